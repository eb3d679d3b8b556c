"""The NMEA 0183 checksum: exclusive or of all bytes between ``$`` or ``!`` and ``*``."""

from functools import reduce
from operator import xor


def checksum(body: bytes) -> int:
    """Return the exclusive or of the bytes of ``body`` (0 to 255)."""
    return reduce(xor, body, 0)


def seal(body: str) -> bytes:
    """Return the whole sentence ``$body*hh`` with its line end."""
    raw = body.encode("ascii")
    return b"$%b*%02X\r\n" % (raw, checksum(raw))
