"""``python -m rig.demo.launch PARENT_PID ARGS...``: become ``python ARGS...`` that ends when the parent ends.

Set in the child itself: code between fork and exec in a process with threads may hang.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h: signal to get when the parent dies."""


def main() -> None:
    """Arrange the end, then replace this process."""
    parent_pid, *argv = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent_pid):
        sys.exit("the parent was gone before this process began")
    os.execv(sys.executable, [sys.executable, *argv])


if __name__ == "__main__":
    main()
