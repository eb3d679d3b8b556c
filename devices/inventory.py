"""Which serial ports there are, and how to name one so that the name still fits after it was plugged in again."""

from pathlib import Path
from urllib.parse import quote

from devices.serial_door import PortInfo, enumerate_ports

__all__ = ["BY_PATH", "PortInfo", "find_by_path", "find_by_path_link", "find_by_serial", "list_ports", "stable_target"]

BY_PATH = Path("/dev/serial/by-path")
"""Where udev keeps links that name the USB socket a port hangs on."""


def list_ports() -> list[PortInfo]:
    """Return the serial ports of this machine, sorted by path; pseudo-terminals are not among them."""
    return enumerate_ports()


def find_by_serial(ports: list[PortInfo], serial_number: str, interface: int | None) -> list[PortInfo]:
    """Return the ports whose USB device has this serial number, and this interface where one is named.

    A device with several UARTs (FT4232) shows them all under one serial number.
    """
    found = [port for port in ports if port.serial_number == serial_number]
    if interface is None or len(found) == 1:
        return found
    return [port for port in found if (port.location or "").endswith(f".{interface}")]


def find_by_path(ports: list[PortInfo], place: str) -> str | None:
    """Return the port at a place: a name in ``/dev/serial/by-path`` or a USB location such as ``1-2.3``."""
    link = BY_PATH / place
    if "/" not in place and link.exists():
        return str(link)
    found = [port for port in ports if port.location == place]
    return found[0].path if len(found) == 1 else None


def find_by_path_link(port: PortInfo) -> str | None:
    """Return the name in ``/dev/serial/by-path`` that leads to this port."""
    if not BY_PATH.is_dir():
        return None
    for link in sorted(BY_PATH.iterdir()):
        if link.resolve() == Path(port.path).resolve():
            return link.name
    return None


def stable_target(port: PortInfo, ports: list[PortInfo]) -> str:
    """Return the target of a ``serial:`` specification that survives replugging: by serial number, place, or path."""
    if port.serial_number is not None:
        namesakes = [other for other in ports if other.serial_number == port.serial_number]
        if len(namesakes) == 1:
            return f"by-serial={quote(port.serial_number, safe=' ')}"
    link = find_by_path_link(port)
    if link is not None:
        return f"by-path={link}"
    if port.location is not None:
        return f"by-path={port.location}"
    return port.path
