"""The two modem lines that a host drives, DTR and RTS, of a serial port that is used for nothing else.

Benches hang relays and reset pins on them. A pseudo-terminal has none; an RFC 2217 server has those of its port.
"""

import contextlib
import warnings
from enum import StrEnum, unique

import serial

from devices.errors import TransportLostError, TransportOpenError

_BAUD = 9600
"""Bd. No byte is ever sent; the rate only has to be one that every port takes."""


@unique
class ModemLine(StrEnum):
    """A line that the host drives."""

    DTR = "dtr"
    RTS = "rts"


class ModemLines:
    """A port whose lines are ours. Blocking: every call ends within seconds, over a network too.

    Parameters
    ----------
    port : str
        A path, or ``rfc2217://host:port``.
    """

    def __init__(self, port: str) -> None:
        self._port = port
        self._serial: serial.SerialBase | None = None

    def set(self, line: ModemLine, *, high: bool) -> None:
        """Drive a line; the port is opened with it at that level where it is not open yet.

        The other line stays as the driver has it: high from the first opening on.

        Raises
        ------
        TransportOpenError
            The port is absent, busy, or has no such lines.
        TransportLostError
            It went away.
        """
        if self._serial is None:
            self._serial = self._open(line, high=high)
        try:
            setattr(self._serial, line.value, high)
        except (OSError, serial.SerialException) as exc:
            self.close()
            raise TransportLostError(
                f"{self._port}: {line.value.upper()} cannot be set: {exc}. "
                "Next: check the port; a pseudo-terminal has no such line"
            ) from exc

    def close(self) -> None:
        """Let the port go: most drivers drop both lines with it. Never raises."""
        port, self._serial = self._serial, None
        if port is not None:
            with contextlib.suppress(OSError, serial.SerialException):
                port.close()

    def _open(self, line: ModemLine, *, high: bool) -> serial.SerialBase:
        try:
            port = serial.serial_for_url(self._port, do_not_open=True)
        except ValueError as exc:
            raise TransportOpenError(f"{self._port}: {exc}. Expected a path, or rfc2217://host:port") from exc
        port.baudrate = _BAUD
        port.timeout = 0
        if not self._port.startswith("rfc2217://"):
            port.exclusive = True
        setattr(port, line.value, high)
        try:
            with warnings.catch_warnings():
                # pyserial's RFC 2217 client starts its thread by a call that Python 3.10 deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
                port.open()
        except (OSError, serial.SerialException) as exc:
            raise TransportOpenError(
                f"{self._port}: cannot be opened for its {line.value.upper()} line: {exc}. Next: check the port"
            ) from exc
        return port
