"""The one door to pyserial: which ports there are, and an open port as a descriptor.

No pyserial type and no pyserial exception leaves this file.
"""

import errno
import logging
import termios
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique

import serial
from serial.tools import list_ports as _list_ports

_log = logging.getLogger(__name__)


@unique
class Parity(StrEnum):
    """The parity bit of a UART frame."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"
    MARK = "mark"
    SPACE = "space"


_PARITY = {
    Parity.NONE: serial.PARITY_NONE,
    Parity.EVEN: serial.PARITY_EVEN,
    Parity.ODD: serial.PARITY_ODD,
    Parity.MARK: serial.PARITY_MARK,
    Parity.SPACE: serial.PARITY_SPACE,
}


@unique
class FlowControl(StrEnum):
    """Who holds the sender back."""

    NONE = "none"
    RTS_CTS = "rtscts"
    XON_XOFF = "xonxoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """How a UART is set up.

    Attributes
    ----------
    low_latency : bool
        Asks the driver to hand on bytes at once: an FTDI adapter otherwise collects for up to 16 ms.
    """

    baud: int
    bits: int = 8
    parity: Parity = Parity.NONE
    stop: float = 1
    flow: FlowControl = FlowControl.NONE
    low_latency: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PortInfo:
    """One serial port and what its USB device says it is; absent values are None.

    Attributes
    ----------
    location : str or None
        Bus and socket of the USB device, ``1-2.3``; with interface ``1-2.3:1.0`` where the device has several.
    """

    path: str
    description: str | None = None
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    product: str | None = None
    location: str | None = None


def enumerate_ports() -> list[PortInfo]:
    """Ask the operating system for its serial ports, sorted by path."""
    ports = [
        PortInfo(
            path=info.device,
            description=_said(info.description),
            vid=info.vid,
            pid=info.pid,
            serial_number=_said(info.serial_number),
            manufacturer=_said(info.manufacturer),
            product=_said(info.product),
            location=_said(info.location),
        )
        for info in _list_ports.comports()
    ]
    return sorted(ports, key=lambda port: port.path)


def _said(text: str | None) -> str | None:
    return None if text is None or text in ("", "n/a") else text


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort:
    """A port that is open for us alone: a non-blocking descriptor and what closes it."""

    fd: int
    close: Callable[[], None]


def open_port(path: str, settings: LineSettings) -> OpenPort:
    """Open a port for exclusive use; what it received before is thrown away.

    Raises
    ------
    OSError
        With ``errno`` set where the operating system said why (ENOENT, EACCES, EBUSY, EWOULDBLOCK: in use).
    ValueError
        The port does not take these settings.
    """
    port = serial.Serial()
    port.port = path
    port.baudrate = settings.baud
    port.bytesize = settings.bits
    port.parity = _PARITY[settings.parity]
    port.stopbits = settings.stop
    port.rtscts = settings.flow is FlowControl.RTS_CTS
    port.xonxoff = settings.flow is FlowControl.XON_XOFF
    port.timeout = 0
    port.exclusive = True
    try:
        port.open()
    except serial.SerialException as exc:
        raise OSError(exc.errno or errno.EIO, exc.strerror or str(exc)) from exc
    except termios.error as exc:
        raise OSError(exc.args[0] if exc.args else errno.EIO, f"not a serial port ({exc.args[-1]})") from exc
    fd: int = port.fileno()
    try:
        _block_on_nothing(fd)
        if settings.low_latency:
            _ask_low_latency(port, path)
    except termios.error as exc:
        port.close()
        raise OSError(errno.ENOTTY, f"not a serial port ({exc.args[-1]})") from exc
    return OpenPort(fd=fd, close=lambda: _close(port))


def _block_on_nothing(fd: int) -> None:
    """Set VMIN to 1: with pyserial's 0 an empty line reads as b"", which is how a vanished port reads too."""
    attributes = termios.tcgetattr(fd)
    attributes[6][termios.VMIN] = 1
    attributes[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _ask_low_latency(port: serial.Serial, path: str) -> None:
    try:
        port.set_low_latency_mode(True)
    except (ValueError, NotImplementedError) as exc:
        # A pty, a CDC-ACM device and some drivers have no such mode; they do not collect bytes either.
        _log.debug("%s: no low latency mode: %s", path, exc)


def _close(port: serial.Serial) -> None:
    try:
        port.close()
    except OSError as exc:
        # The adapter was pulled out: the kernel has released it already.
        _log.debug("%s: closing: %s", port.port, exc)
