"""UTC and angles as the digits of a sentence."""

from datetime import UTC, datetime, timedelta

from protocols.errors import EncodeError
from protocols.nmea.fields import DAY_NS, NS_PER_S

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(utc_ns: int, decimals: int) -> str:
    """Time of day as ``hhmmss.s...``, cut, not rounded: rounding could make it 24:00."""
    seconds, sub_ns = divmod(utc_ns % DAY_NS, NS_PER_S)
    whole = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return f"{whole}.{sub_ns:09d}"[: 7 + decimals] if decimals else whole


def date_text(utc_ns: int) -> str:
    """Date as ``yyyymmdd``."""
    return f"{_UNIX + timedelta(days=utc_ns // DAY_NS):%Y%m%d}"


def angle_text(name: str, angle_deg: float, limit_deg: int, decimals: int, letters: str) -> str:
    """Degrees as ``ddmm.m...,N``: rounded to ``decimals`` of a minute, with its hemisphere letter."""
    if not -limit_deg <= angle_deg <= limit_deg:
        raise EncodeError(f"{name}: expected -{limit_deg} to {limit_deg} degrees, got {angle_deg!r}")
    unit = 10**decimals
    steps = round(abs(angle_deg) * 60 * unit)
    degrees, rest = divmod(steps, 60 * unit)
    minutes, fraction = divmod(rest, unit)
    width = 2 if limit_deg == 90 else 3
    return f"{degrees:0{width}d}{minutes:02d}.{fraction:0{decimals}d},{letters[angle_deg < 0]}"
