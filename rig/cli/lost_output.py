"""Standard output that ends before the verb does (``tagrig run X | head -1``, a full disk), or never was (``>&-``)."""

import os
import sys
from typing import Final

OUTPUT_CLOSED: Final = 141
"""Exit code where nobody reads any more, as shells count SIGPIPE: not 1, which is a verdict."""


def stand_in_for_closed() -> None:
    """Put nowhere in the place of standard streams that are closed (``>&-``).

    Python then has None for them, and the next file that is opened would get their numbers: a journal would be where
    the processes that we start print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def drop_output() -> None:
    """Send what is still printed, and what waits in the buffer, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
