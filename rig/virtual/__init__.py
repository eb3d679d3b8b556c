"""Virtual time: one event loop whose clock jumps to the next thing that is due, while threads and sockets are real."""
