"""Standard output that ends before the verb does: ``tagrig run X | head -1``, a full disk."""

import os
import sys
from typing import Final

OUTPUT_CLOSED: Final = 141
"""Exit code where nobody reads any more, as shells count SIGPIPE: not 1, which is a verdict."""


def drop_output() -> None:
    """Send what is still printed, and what waits in the buffer, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
