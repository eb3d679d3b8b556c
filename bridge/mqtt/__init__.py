"""To the broker and back: connections, the thread that drives them, what comes in."""
