"""One file per scheme behind one ``Transport`` interface; ``open_transport`` picks it from a specification string."""
