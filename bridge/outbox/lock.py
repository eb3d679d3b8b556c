"""One bridge at a time: the lock of an outbox's folder."""

import contextlib
import fcntl
import os
from pathlib import Path

from bridge.errors import OutboxError, OutboxLockedError

LOCK_NAME = "lock"


class OutboxLock:
    """Held as long as the process lives, or until ``release``: the kernel frees it when the process dies.

    Two bridges with one outbox would both send its messages, and with one client id the broker would throw them out in
    turn for ever.

    Parameters
    ----------
    folder : Path
        Made if it is not there, readable by its owner only: what waits is personal data.

    Raises
    ------
    OutboxLockedError
        Another process holds it; names its id.
    OutboxError
        The folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / LOCK_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise OutboxError(
                f"{folder}: cannot be used as a folder for the outbox ({exc.strerror}). Next: make it writable for "
                "this user, or set outbox.folder"
            ) from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise OutboxLockedError(
                f"{folder}: is in use by process {holder}. Next: stop that bridge, or set another outbox.folder"
            ) from exc
        # A full disk does not hold the number; the lock holds all the same.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def take_again(self) -> None:
        """Hold the lock in a folder that was made anew, too.

        Raises
        ------
        OutboxLockedError
            Another process has it meanwhile.
        """
        held = os.fstat(self._fd)
        with contextlib.suppress(OSError):
            if os.path.samestat(held, (self._folder / LOCK_NAME).stat()):
                return
        again = OutboxLock(self._folder)
        os.close(self._fd)
        self._fd, again._fd = again._fd, -1

    def release(self) -> None:
        """Let others have the folder; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
