"""Where the hardware of a bench is just now, and under which names it is leased."""

from pathlib import Path
from urllib.parse import unquote

from devices.inventory import PortInfo, find_by_path, find_by_serial, list_ports
from devices.transports.spec import parse_spec

_LOCAL = ("serial", "pty")
_SCHEMES = (*_LOCAL, "socket", "rfc2217", "ble", "replay", "emulated", "memory")


def find_port(transport: str) -> str | None:
    """Return the path of a local port; None where it is not there, or where the transport is none."""
    spec = parse_spec(transport, _SCHEMES)
    if spec.scheme not in _LOCAL:
        return None
    if spec.scheme == "serial":
        key, equals, value = spec.target.partition("=")
        if equals and key == "by-serial":
            interface = spec.integer("interface", 0, low=0, high=255) if "interface" in spec.options else None
            found = find_by_serial(list_ports(), unquote(value), interface)
            return found[0].path if len(found) == 1 else None
        if equals and key == "by-path":
            return find_by_path(list_ports(), unquote(value))
    return spec.target if Path(spec.target).exists() else None


def resources(transport: str) -> list[str]:
    """Return what is leased for a transport: the name it is asked for by, and the port it is just now.

    Two jobs may name one port differently; they meet at the second. A port without power has only the first.
    """
    spec = parse_spec(transport, _SCHEMES)
    if spec.scheme in ("replay", "emulated", "memory"):
        return []
    if spec.scheme == "ble":
        return [transport if spec.target == "rolling" else f"ble:{spec.target.upper()}"]
    if spec.scheme in ("socket", "rfc2217"):
        host, port = spec.host_port()
        return [f"{host}:{port}"]
    interface = f" interface {spec.options['interface']}" if "interface" in spec.options else ""
    names = [f"{unquote(spec.target)}{interface}"]
    path = find_port(transport)
    if path is not None:
        names.append(str(Path(path).resolve()))
    return names


def template_fields(role: str, transport: str) -> dict[str, str]:
    """Return what commands of the bench file may have filled in; empty where it is not known."""
    path = find_port(transport)
    known: PortInfo | None = None
    if path is not None:
        real = str(Path(path).resolve())
        known = next((port for port in list_ports() if str(Path(port.path).resolve()) == real), None)
    return {
        "role": role,
        "port": path or "",
        "serial": (known.serial_number if known else None) or "",
        "location": (known.location if known else None) or "",
    }
