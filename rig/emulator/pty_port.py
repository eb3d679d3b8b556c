"""A pseudo-terminal that behaves like a serial port with a tag behind it.

A UART loses what nobody reads. So does this port: bytes written while no program has it open are counted and gone, and
what the driver's buffer cannot take is lost at once, never waited for.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rig.errors import PseudoTerminalError

_OPEN_POLL_S: Final = 0.005
"""How often a closed port is looked at, seconds: Linux tells of a hang-up but not of its end. Longer delays the first
bytes after the port is opened; shorter costs a core's time while nobody listens."""

_EMPTY_LOOKS: Final = 4
"""How often in a row the buffer must be seen empty before it counts as read: the kernel hands bytes on from a worker of
its own, and for a moment they are in neither end's count. On a busy machine one look lost the last epoch."""

_READ_SIZE: Final = 4096
"""Bytes taken from the port at once: the terminal driver holds no more."""


class PtyPort:
    """The emulator's end of a pseudo-terminal.

    No slave descriptor is kept: a hang-up on our end then says that no program has the port open. The terminal's
    settings last as long as our end does, so it is raw from the first open on.

    Attributes
    ----------
    path : str
        What a reader opens, such as ``/dev/pts/5``.
    bytes_lost : int
        Written into a full buffer.
    bytes_unheard : int
        Written while the port was closed.
    """

    def __init__(self, link: Path | None = None) -> None:
        try:
            self._fd, slave = os.openpty()
        except OSError as exc:
            raise PseudoTerminalError(f"no pseudo-terminal could be made: {exc}. Is /dev/pts mounted?") from exc
        self.path = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self._fd, False)
        self._link: Path | None = None
        self._was_open = False
        self.bytes_lost = 0
        self.bytes_unheard = 0
        if link is not None:
            try:
                self._make_link(link)
            except BaseException:
                os.close(self._fd)
                raise

    def _make_link(self, link: Path) -> None:
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            raise PseudoTerminalError(f"{link}: something that is no link stands there. Next: choose another --link")
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self.path)
        except OSError as exc:
            raise PseudoTerminalError(f"{link}: the link to {self.path} could not be made: {exc}") from exc
        self._link = link

    @property
    def name(self) -> str:
        """What a person should open: the link where there is one."""
        return str(self._link or self.path)

    def is_open(self) -> bool:
        """Whether a program has the port open; its first look clears what lay in the buffer, as a UART would."""
        poll = select.poll()
        poll.register(self._fd, 0)
        now_open = not any(event & select.POLLHUP for _, event in poll.poll(0))
        if now_open and not self._was_open:
            self._flush()
        self._was_open = now_open
        return now_open

    def _flush(self) -> None:
        # Only the slave's side can drop what waits for the reader; the reader keeps the terminal open meanwhile.
        with contextlib.suppress(OSError):
            slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)

    def write(self, data: bytes, *, patience_s: float = 0.0) -> int:
        """Write now what the terminal takes; count the rest as lost.

        Parameters
        ----------
        data : bytes
        patience_s : float
            How long a full buffer may hold us up; for unpaced runs, where the reader sets the pace.

        Returns
        -------
        int
            Bytes that reached the terminal.
        """
        if not self.is_open():
            self.bytes_unheard += len(data)
            return 0
        done = 0
        deadline = time.monotonic() + patience_s
        while done < len(data):
            try:
                done += os.write(self._fd, data[done:])
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._wait_writable(left_s):
                    break
            except OSError as exc:
                if exc.errno != errno.EIO:
                    raise
                break
        self.bytes_lost += len(data) - done
        return done

    def _wait_writable(self, within_s: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        events = poll.poll(within_s * 1000)
        return any(event & select.POLLOUT for _, event in events)

    def read(self, wake_fd: int) -> bytes | None:
        """Wait for bytes from the reader; None once something came in on ``wake_fd``."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(wake_fd, select.POLLIN)
        wait_only_for_end = select.poll()
        wait_only_for_end.register(wake_fd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if wake_fd in ready:
                return None
            if ready.get(self._fd, 0) & select.POLLIN:
                with contextlib.suppress(BlockingIOError, OSError):
                    return os.read(self._fd, _READ_SIZE)
            # hung up: poll would return at once for ever
            if wait_only_for_end.poll(_OPEN_POLL_S * 1000):
                return None

    def wait_for_open(self, until: Callable[[], bool]) -> bool:
        """Wait until a program opens the port; False where ``until`` became true first."""
        while not self.is_open():
            if until():
                return False
            time.sleep(_OPEN_POLL_S)
        return True

    def drain(self, within_s: float = 1.0) -> None:
        """Give an open reader the time to take what lies in the buffer; closing our end would discard it."""
        deadline = time.monotonic() + within_s
        with contextlib.suppress(OSError):
            slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                empty = 0
                while self._was_open and empty < _EMPTY_LOOKS and time.monotonic() < deadline:
                    empty = 0 if _waiting(slave) else empty + 1
                    time.sleep(_OPEN_POLL_S)
            finally:
                os.close(slave)

    def close(self) -> None:
        """Unplug: the reader sees a hang-up; the link goes, unless another emulator has taken it over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._link is not None and self._link.is_symlink() and str(self._link.readlink()) == self.path:
            self._link.unlink()


def _waiting(slave: int) -> int:
    """Bytes that the reader has not taken yet."""
    return int(struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0\0\0\0"))[0])
