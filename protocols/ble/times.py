"""Date Time of the Bluetooth SIG (GSS, Date Time): year, month, day, hours, minutes, seconds; 0: part unknown."""

from datetime import date

from protocols.ble.layout import ValueRefusedError, u8, u16
from protocols.errors import EncodeError
from protocols.rejects import RejectReason

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS

_FIRST_YEAR, _LAST_YEAR = 1_677, 2_262
"""Nanoseconds since 1970 fit in 64 bits from 1677-09-21 to 2262-04-11. The characteristic can say 1582 to 9999."""

DATE_TIME = (
    u16("year", 9_999),
    u8("month", 12),
    u8("day", 31),
    u8("hours", 23),
    u8("minutes", 59),
    u8("seconds", 59),
)
DATE_TIME_OCTETS = sum(part.octets for part in DATE_TIME)

_UNIX_ORDINAL = date(1970, 1, 1).toordinal()


def read_date_time(numbers: tuple[int, ...], at: int) -> tuple[int | None, int]:
    """Numbers of a Date Time at octet ``at`` to its day since 1970-01-01 (None: unknown) and its time of day."""
    year, month, day, hours, minutes, seconds = numbers
    time_of_day_ns = ((hours * 60 + minutes) * 60 + seconds) * SECOND_NS
    if not (year and month and day):
        return None, time_of_day_ns
    if not _FIRST_YEAR < year < _LAST_YEAR:
        detail = f"year: expected {_FIRST_YEAR + 1} to {_LAST_YEAR - 1}, or 0 for unknown, got {year}"
        raise ValueRefusedError(RejectReason.BAD_FIELD, at, detail)
    try:
        return date(year, month, day).toordinal() - _UNIX_ORDINAL, time_of_day_ns
    except ValueError as exc:
        detail = f"date: expected a day that there is, got {year:04}-{month:02}-{day:02}"
        raise ValueRefusedError(RejectReason.BAD_FIELD, at, detail) from exc


def write_date_time(day: int | None, time_of_day_ns: int) -> tuple[int, ...]:
    """Numbers of a Date Time; the time is cut to whole seconds."""
    if not 0 <= time_of_day_ns < DAY_NS:
        raise EncodeError(f"time_of_day_ns: expected 0 to {DAY_NS - 1}, got {time_of_day_ns!r}")
    seconds = time_of_day_ns // SECOND_NS
    clock = (seconds // 3_600, seconds // 60 % 60, seconds % 60)
    if day is None:
        return (0, 0, 0, *clock)
    try:
        moment = date.fromordinal(day + _UNIX_ORDINAL)
    except (ValueError, OverflowError) as exc:
        raise EncodeError(f"day: expected days since 1970-01-01 of the years 1678 to 2261, got {day!r}") from exc
    if not _FIRST_YEAR < moment.year < _LAST_YEAR:
        raise EncodeError(f"year: expected {_FIRST_YEAR + 1} to {_LAST_YEAR - 1}, got {moment.year}")
    return (moment.year, moment.month, moment.day, *clock)
