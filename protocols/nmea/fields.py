"""Text of one field to a value in our units. Every field that is used is evaluated here, at decode, never later."""

import re
from dataclasses import dataclass

from protocols.rejects import RejectReason

NS_PER_S = 1_000_000_000
DAY_NS = 86_400 * NS_PER_S
MPS_PER_KNOT = 1852.0 / 3600.0
MPS_PER_KMH = 1.0 / 3.6

SAME_POSITION_DEG = 2e-6
"""Two positions with one time that are no further apart (0.2 m) are one: some receivers smooth RMC and not GGA. That
is a tenth of the best sigma without carrier phase. Smaller doubles the fixes of such receivers, larger would drop
positions that differ on purpose, as those of a chart plotter that interpolates."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_FRACTION_DIGITS = 9


class FieldRefusedError(ValueError):
    """A field that cannot be what its sentence says it is; becomes a ``Reject`` in the decoder, never leaves it."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _bad(name: str, expected: str, got: str) -> FieldRefusedError:
    return FieldRefusedError(RejectReason.BAD_FIELD, f"{name}: expected {expected}, got {got!r}")


def number(name: str, text: str) -> float | None:
    """Decimal number, or None where the field is empty. Exponents, ``nan`` and ``inf`` are not numbers here."""
    if not text:
        return None
    if not _NUMBER.fullmatch(text) and not _NUMBER.fullmatch(text.strip() or "x"):
        raise _bad(name, "a decimal number", text)
    return float(text)


def non_negative(name: str, text: str) -> float | None:
    """Like ``number``, and not below zero."""
    value = number(name, text)
    if value is not None and value < 0.0:
        raise _bad(name, "a number not below 0", text)
    return value


def count(name: str, text: str) -> int | None:
    """Whole number not below zero, or None where the field is empty."""
    if not text:
        return None
    stripped = text.strip()
    if not stripped.isdigit():
        raise _bad(name, "a whole number", text)
    return int(stripped)


def course(name: str, text: str) -> float | None:
    """Degrees from true north, 0 to 360, or None."""
    value = number(name, text)
    if value is not None and not 0.0 <= value <= 360.0:
        raise _bad(name, "0 to 360 degrees", text)
    return value


def time_of_day(text: str) -> int | None:
    """``hhmmss`` or ``hhmmss.s...`` to nanoseconds since midnight; 23:59:60 is the leap second and allowed."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    if len(whole) != 6 or not whole.isdigit() or not (fraction.isdigit() or not fraction):
        raise _bad("time", "hhmmss or hhmmss.sss", text)
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    if hours > 23 or minutes > 59 or seconds > 60 or (seconds == 60 and (hours, minutes) != (23, 59)):
        raise _bad("time", "a time of day (second 60 only at 23:59)", text)
    sub_ns = int(fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0")) if fraction else 0
    return (hours * 3600 + minutes * 60 + seconds) * NS_PER_S + sub_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Coordinates of one sentence; ``step_deg`` is the value of one unit in the last decimal that was sent."""

    lat_deg: float
    lon_deg: float
    step_deg: float

    def agrees_with(self, other: "Position") -> bool:
        """Return whether both can be one position: as near as rounding to the coarser one's decimals, or nearer."""
        step_deg = max(self.step_deg * 1.001, other.step_deg * 1.001, SAME_POSITION_DEG)
        return abs(self.lat_deg - other.lat_deg) <= step_deg and abs(self.lon_deg - other.lon_deg) <= step_deg


def find_position(fields: list[str], at: int) -> Position | None:
    """Read ``ddmm.mm,N,dddmm.mm,E`` from four fields starting at ``at``; None where any of them is empty.

    Raises
    ------
    FieldRefusedError
        ``BAD_HEMISPHERE`` for a letter that is not N or S, E or W; ``BAD_FIELD`` for bad digits.
    """
    lat_text, north_south, lon_text, east_west = fields[at : at + 4]
    if north_south and north_south not in ("N", "S"):
        raise FieldRefusedError(RejectReason.BAD_HEMISPHERE, f"latitude: expected N or S, got {north_south!r}")
    if east_west and east_west not in ("E", "W"):
        raise FieldRefusedError(RejectReason.BAD_HEMISPHERE, f"longitude: expected E or W, got {east_west!r}")
    if not lat_text or not lon_text:
        return None
    lat_deg, lat_decimals = _degrees("latitude", lat_text, 90.0)
    lon_deg, lon_decimals = _degrees("longitude", lon_text, 180.0)
    if not north_south or not east_west:
        return None
    return Position(
        lat_deg=-lat_deg if north_south == "S" else lat_deg,
        lon_deg=-lon_deg if east_west == "W" else lon_deg,
        step_deg=10.0 ** -min(lat_decimals, lon_decimals) / 60.0,
    )


def _degrees(name: str, text: str, limit_deg: float) -> tuple[float, int]:
    whole, dot, decimals = text.partition(".")
    if not dot or not whole.isdigit() or not decimals.isdigit() or not 3 <= len(whole) <= 5:
        raise _bad(name, "degrees and minutes with decimals, as 4916.45", text)
    minutes = float(text[len(whole) - 2 :])
    degrees = int(whole[:-2]) + minutes / 60.0
    if minutes >= 60.0 or degrees > limit_deg:
        raise _bad(name, f"minutes below 60 and at most {limit_deg:.0f} degrees", text)
    return degrees, len(decimals)
