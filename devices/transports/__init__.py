"""One file per scheme behind one ``Transport`` interface; ``open_transport`` picks it from a specification string."""

import importlib
from collections.abc import Callable

from devices.clock import Clock, SystemClock
from devices.transports.base import Chunk, Transport
from devices.transports.spec import TransportSpec, parse_spec

__all__ = ["SCHEMES", "Chunk", "Transport", "open_transport"]

SCHEMES: dict[str, str] = {
    "memory": "devices.transports.scheme_memory",
    "pty": "devices.transports.scheme_pty",
    "replay": "devices.transports.scheme_replay",
    "rfc2217": "devices.transports.scheme_rfc2217",
    "serial": "devices.transports.scheme_serial",
    "socket": "devices.transports.scheme_socket",
}
"""Scheme and the module whose ``from_spec`` makes its transport; loaded when its scheme is first used."""


def open_transport(spec: str, *, clock: Clock | None = None) -> Transport:
    """Make the transport that a specification string names. Nothing is opened yet: call its ``open``.

    Parameters
    ----------
    spec : str
        ``serial:/dev/ttyUSB0?baud=9600``, ``serial:by-serial=FT9XQ2LB``, ``socket://host:port``,
        ``rfc2217://host:port?baud=9600``, ``pty:/path``, ``memory:NAME``, ``replay:FILE?pace=x10``
        (all forms and options: ``devices/README.md``).
    clock : Clock, optional
        Stamps the chunks and paces a replay; the machine's own by default.

    Raises
    ------
    TransportSpecError
        The string names no transport; the message says what was expected.
    """
    parsed = parse_spec(spec, SCHEMES)
    from_spec: Callable[[TransportSpec, Clock], Transport] = importlib.import_module(SCHEMES[parsed.scheme]).from_spec
    return from_spec(parsed, SystemClock() if clock is None else clock)
