"""Room on the disk that is given up for alerts when somebody filled it."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

from bridge.outbox.port import OutboxTrouble, TroubleKind, TroubleListener

_log = logging.getLogger(__name__)

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
    on_trouble : callable
        Told when the room is given up, and when it is there again.
    """

    def __init__(self, folder: Path, size_bytes: int, on_trouble: TroubleListener) -> None:
        self._on_trouble = on_trouble
        self._is_released = False
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
        self._is_released = True
        detail = "the disk is full; the ballast was released: room for some thousand alerts"
        _log.error("%s", detail)
        self._on_trouble(OutboxTrouble(kind=TroubleKind.BALLAST_RELEASED, detail=detail))
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
        if self._is_released:
            self._is_released = False
            detail = "the disk has room again; the ballast is back"
            self._on_trouble(OutboxTrouble(kind=TroubleKind.BALLAST_RELEASED, detail=detail, is_over=True))
        return True
