"""What ends a verb that runs until it is told to stop."""

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, an orderly kill, and the terminal being closed. Without the last, closing a window would leave messages
undelivered and children running."""
