"""``serial:``: a UART of this machine, named by path, USB serial number or USB socket, opened for us alone."""

from collections.abc import Callable
from urllib.parse import unquote

from devices.clock import Clock
from devices.errors import TransportOpenError
from devices.inventory import find_by_path, find_by_serial, list_ports
from devices.serial_door import FlowControl, LineSettings, Parity, PortInfo, open_port
from devices.transports.base import Transport
from devices.transports.descriptor import Descriptor, DescriptorTransport
from devices.transports.scheme_pty import explain_open_error
from devices.transports.spec import BAUD_MAX, SERIAL_BAUD_DEFAULT, TransportSpec, closest

_OPTIONS = ("baud", "bits", "parity", "stop", "flow", "low_latency", "interface")
_STOPS = {"1": 1.0, "1.5": 1.5, "2": 2.0}


def line_settings(spec: TransportSpec) -> LineSettings:
    """Read the UART options of a specification."""
    return LineSettings(
        baud=spec.integer("baud", SERIAL_BAUD_DEFAULT, low=50, high=BAUD_MAX),
        bits=spec.integer("bits", 8, low=5, high=8),
        parity=Parity(spec.choice("parity", Parity.NONE, Parity)),
        stop=_STOPS[spec.choice("stop", "1", _STOPS)],
        flow=FlowControl(spec.choice("flow", FlowControl.NONE, FlowControl)),
        low_latency=spec.flag("low_latency", default=True),
    )


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``serial:PATH``, ``serial:by-serial=X`` or ``serial:by-path=X``."""
    spec.check_options(*_OPTIONS)
    key, equals, value = spec.target.partition("=")
    if equals and "/" not in key and key not in ("by-serial", "by-path"):
        raise spec.error(f"unknown lookup {key!r}{closest(key, ('by-serial', 'by-path'))} Lookups: by-serial, by-path.")
    if not spec.target or (equals and not value):
        raise spec.error("expected a port, for example serial:/dev/ttyUSB0?baud=9600 or serial:by-serial=FT9XQ2LB")
    interface = spec.integer("interface", 0, low=0, high=255) if "interface" in spec.options else None
    return SerialTransport(spec, clock, settings=line_settings(spec), interface=interface)


class SerialTransport(DescriptorTransport):
    """A serial port through pyserial. The port is looked up at each opening, so a moved adapter is found again.

    Parameters
    ----------
    settings : LineSettings
    interface : int or None
        Which UART of a USB device that has several.
    list_ports : callable
        Where ``by-serial`` and ``by-path`` are looked up.
    """

    def __init__(
        self,
        spec: TransportSpec,
        clock: Clock,
        *,
        settings: LineSettings,
        interface: int | None = None,
        list_ports: Callable[[], list[PortInfo]] = list_ports,
    ) -> None:
        super().__init__(spec, clock)
        self._settings = settings
        self._interface = interface
        self._list_ports = list_ports

    def _look_up(self) -> str:
        key, equals, value = self._spec.target.partition("=")
        if not equals or key not in ("by-serial", "by-path"):
            return self._spec.target
        value = unquote(value)
        ports = self._list_ports()
        if key == "by-path":
            path = find_by_path(ports, value)
            if path is not None:
                return path
            there = [port.location for port in ports if port.location is not None]
            raise TransportOpenError(f"{self.spec}: no port at {value!r}; there are {_listed(there)}. {_NEXT}")
        found = find_by_serial(ports, value, self._interface)
        if len(found) == 1:
            return found[0].path
        if not found:
            there = [port.serial_number for port in ports if port.serial_number is not None]
            raise TransportOpenError(
                f"{self.spec}: no port with serial number {value!r}; there are {_listed(there)}. {_NEXT}"
            )
        paths = ", ".join(f"{port.path} ({port.location})" for port in found)
        raise TransportOpenError(
            f"{self.spec}: {len(found)} ports have serial number {value!r}: {paths}. "
            "Next: add ?interface=N, the last number of the location"
        )

    async def _acquire(self) -> Descriptor:
        path = self._look_up()
        try:
            port = open_port(path, self._settings)
        except OSError as exc:
            raise explain_open_error(self.spec, path, exc) from exc
        except ValueError as exc:
            raise TransportOpenError(f"{self.spec}: {path} does not take these settings: {exc}") from exc
        return Descriptor(fd=port.fd, release=port.close)


_NEXT = "Next: plug it in; 'tagrig scan' lists the ports"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
