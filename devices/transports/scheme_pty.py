"""``pty:PATH`` opens a pseudo-terminal that another program made; ``pty:`` alone makes one and publishes its name.

A pseudo-terminal is not a UART: it has no baud rate, no parity, no modem lines and no breaks (``devices/README.md``).
"""

import fcntl
import logging
import os
import termios
import tty
from pathlib import Path

from devices.clock import Clock
from devices.errors import TransportOpenError
from devices.transports.base import Transport
from devices.transports.descriptor import Descriptor, DescriptorTransport
from devices.transports.spec import TransportSpec

_log = logging.getLogger(__name__)


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``pty:PATH[?flush=yes]`` or ``pty:[?link=PATH]``."""
    if spec.target:
        spec.check_options("flush")
        return PtyTransport(spec, clock, path=spec.target, flush=spec.flag("flush", default=False))
    spec.check_options("link")
    link = spec.options.get("link")
    return CreatedPtyTransport(spec, clock, link=Path(link) if link else None)


def explain_open_error(spec: str, path: str, exc: OSError) -> TransportOpenError:
    """Say why a terminal could not be opened and what to do about it."""
    if isinstance(exc, FileNotFoundError):
        text = f"{path} does not exist; is it plugged in, or its emulator running? Next: 'tagrig scan' lists the ports"
    elif isinstance(exc, PermissionError):
        text = f"no permission for {path}. Next: add yourself to the group that owns it (Debian: 'dialout')"
    elif isinstance(exc, BlockingIOError):
        text = f"{path} is in use by another program. Next: close it ('fuser {path}' names it)"
    else:
        text = f"cannot open {path}: {exc.strerror or exc}"
    return TransportOpenError(f"{spec}: {text}")


class PtyTransport(DescriptorTransport):
    """The driver's end of a pseudo-terminal that exists already.

    Parameters
    ----------
    path : str
        The terminal, or a link to it.
    flush : bool
        Whether bytes written before the opening are thrown away, as a UART would have lost them.
    """

    def __init__(self, spec: TransportSpec, clock: Clock, *, path: str, flush: bool) -> None:
        super().__init__(spec, clock)
        self._path = path
        self._flush = flush

    async def _acquire(self) -> Descriptor:
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise explain_open_error(self.spec, self._path, exc) from exc
        try:
            if not os.isatty(fd):
                raise TransportOpenError(
                    f"{self.spec}: {self._path} is not a terminal. Next: replay:{self._path} for a recording"
                )
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tty.setraw(fd, termios.TCSANOW)
            if self._flush:
                termios.tcflush(fd, termios.TCIFLUSH)
        except TransportOpenError:
            os.close(fd)
            raise
        except OSError as exc:
            os.close(fd)
            raise explain_open_error(self.spec, self._path, exc) from exc
        except termios.error as exc:
            os.close(fd)
            raise TransportOpenError(f"{self.spec}: cannot set {self._path} to raw mode: {exc.args[-1]}") from exc
        return Descriptor(fd=fd, release=lambda: os.close(fd))


class CreatedPtyTransport(DescriptorTransport):
    """A pseudo-terminal of our own; another program plays the device on ``peer_path``.

    Like a UART it does not notice whether anybody is at the other end, so it is never lost.

    Parameters
    ----------
    link : Path or None
        A symbolic link to ``peer_path``, so that its name stays the same over openings.
    """

    def __init__(self, spec: TransportSpec, clock: Clock, *, link: Path | None) -> None:
        super().__init__(spec, clock)
        self._link = link
        self.peer_path: str | None = None

    async def _acquire(self) -> Descriptor:
        try:
            master, slave = os.openpty()
        except OSError as exc:
            raise TransportOpenError(f"{self.spec}: cannot make a pseudo-terminal: {exc.strerror}") from exc
        peer_path = os.ttyname(slave)
        try:
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(master, False)
            self._point_link_at(peer_path)
        except BaseException:
            os.close(master)
            os.close(slave)
            raise

        def release() -> None:
            # The slave is held open as well: without it a read fails whenever no other program has it open.
            os.close(master)
            os.close(slave)
            self.peer_path = None
            if self._link is not None and self._link.is_symlink() and str(self._link.readlink()) == peer_path:
                self._link.unlink()

        self.peer_path = peer_path
        _log.info("%s: the device's end is %s", self.spec, self._link or peer_path)
        return Descriptor(fd=master, release=release)

    def _point_link_at(self, peer_path: str) -> None:
        if self._link is None:
            return
        try:
            if self._link.is_symlink():
                self._link.unlink()
            self._link.symlink_to(peer_path)
        except OSError as exc:
            raise TransportOpenError(f"{self.spec}: cannot make the link {self._link}: {exc.strerror}") from exc
