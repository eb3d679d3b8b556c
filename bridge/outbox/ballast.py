"""Room on the disk that is given up for alerts when somebody filled it."""

import contextlib
import os
import shutil
from pathlib import Path

BALLAST_NAME = "ballast"

MARGIN = 2
"""The room is taken again once so many times its size is free: at once, it would fill the disk that was just freed."""


class Ballast:
    """A file that holds nothing but room.

    Parameters
    ----------
    folder : Path
    size_bytes : int
        64 MiB are room for about 7,000 commits of one alert each: 9 KB of log per commit. 0: none.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._path = folder / BALLAST_NAME
        self._size_bytes = size_bytes

    @property
    def is_there(self) -> bool:
        """Whether there is room to give up."""
        return self._size_bytes > 0 and self._path.exists()

    def release(self) -> bool:
        """Give up the room; returns whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def take(self) -> bool:
        """Take the room if the disk has plenty; returns whether it is there afterwards."""
        if self._size_bytes <= 0 or self.is_there:
            return self.is_there
        try:
            if shutil.disk_usage(self._path.parent).free < MARGIN * self._size_bytes:
                return False
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size_bytes)
            finally:
                os.close(fd)
        except OSError:
            with contextlib.suppress(OSError):
                self._path.unlink()
            return False
        return True
