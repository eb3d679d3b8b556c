"""Values of Arrow columns: numbers, times, and which of them are none.

A value that does not fit never stops its block: the block is converted at once, and where that fails once more by
pattern, with a mask of what does not fit. No step looks at single rows in Python.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geofence_core.arrays import F64, I64, Bool
from rig.backtest.columns import EARLIEST_S, LATEST_S, UNIT_NS

_ABSENT = (b"", b"nan", b"null", b"none", b"na", b"n/a", b"-")
"""Text, in small letters, that says there is no value."""

_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DECIMAL = r"^(?P<whole>[0-9]{1,18})(?:\.(?P<part>[0-9]*))?$"
_ISO = (
    r"^(?P<month>[0-9]{4}-[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<h>[0-9]{2}):(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,](?P<part>[0-9]+))?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|(?P<sign>[+-])(?P<zh>[0-9]{2})(?::?(?P<zm>[0-9]{2}))?)?)?$"
)
_PART_DIGITS = 9
"""Decimals of a second that nanoseconds can hold; further ones are cut off."""

_HEAD_ROWS = 1024
"""Rows that tell numbers from dates."""

_SPAN_S = (1 << 63) / 1e9 - 1.0
"""What nanoseconds in int64 can hold on either side of 1970; second."""


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Times of a block: ``t_ns`` int64 where ``known``; ``bad``: there is something that is no time."""

    t_ns: I64
    known: Bool
    bad: Bool
    n_without_zone: int = 0


def is_text(kind: Any) -> bool:
    """Whether a type is text or bytes."""
    return any(
        f(kind) for f in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def numbers(column: Any) -> tuple[F64, Bool]:
    """Read a column as float64, NaN where there is none, and say which values are no numbers."""
    column = _decoded(column)
    bad = np.zeros(len(column), dtype=bool)
    if not is_text(column.type):
        return _float64(column.cast(pa.float64(), safe=False)), bad
    try:
        return _float64(pc.cast(_filled(column), pa.float64())), bad
    except pa.ArrowInvalid:
        plain, absent = _plain(column)
        fits = pc.and_(pc.match_substring_regex(plain, _NUMBER), pa.array(~absent))
        bad = ~np.asarray(fits) & ~absent
        return _float64(pc.cast(_as_text(_where(fits, plain)), pa.float64())), bad


def looks_like_iso(column: Any) -> bool | None:
    """Whether text tells time as dates rather than as numbers; None where it says neither."""
    plain, absent = _plain(_decoded(column).slice(0, _HEAD_ROWS))
    n_dates = int(np.count_nonzero(pc.match_substring_regex(plain, _ISO)))
    n_numbers = int(np.count_nonzero(np.asarray(pc.match_substring_regex(plain, _NUMBER)) & ~absent))
    return None if n_dates == n_numbers == 0 else n_dates >= n_numbers


def iso_times(column: Any) -> Times:
    """Read dates with times as ISO 8601 writes them; where no zone is given, as UTC."""
    column = _decoded(column)
    n = len(column)
    for zone in ("UTC", None):
        try:
            parsed = pc.cast(_filled(column), pa.timestamp("ns", zone))
        except pa.ArrowInvalid:
            continue
        known = np.asarray(pc.is_valid(parsed))
        n_without_zone = 0 if zone else int(known.sum())
        return Times(_int64(parsed), known, np.zeros(n, dtype=bool), n_without_zone)
    plain, absent = _plain(column)
    return _iso_by_pattern(plain, absent)


def _iso_by_pattern(plain: Any, absent: Bool) -> Times:
    found = pc.extract_regex(plain, _ISO)
    matched = np.asarray(pc.is_valid(found))

    def part(name: str) -> I64:
        digits = pc.struct_field(found, name)
        return _int64(pc.cast(_as_text(_where(pc.not_equal(pc.binary_length(digits), 0), digits)), pa.int64()))

    month_text = (
        pc.fill_null(_as_text(pc.struct_field(found, "month")), "1970-01").to_numpy(zero_copy_only=False).astype("U7")
    )
    month_number = np.char.partition(month_text, "-")[:, 2].astype(np.int64)
    right_month = (month_number >= 1) & (month_number <= 12)
    month = np.where(right_month, month_text, "1970-01").astype("datetime64[M]")
    first = month.astype("datetime64[D]")
    days = ((month + 1).astype("datetime64[D]") - first).astype(np.int64)
    day, h, minute, s, zh, zm = (part(name) for name in ("day", "h", "min", "s", "zh", "zm"))
    sign = np.where(np.asarray(pc.equal(_as_text(pc.struct_field(found, "sign")), "-").fill_null(False)), -1, 1)
    # a leap second is the moment after it: no clock of ours tells the two apart
    right = right_month & (day >= 1) & (day <= days) & (h < 24) & (minute < 60) & (s <= 60) & (zh < 24) & (zm < 60)
    seconds = first.astype("datetime64[s]").astype(np.int64) + (day - 1) * 86_400 + h * 3_600 + minute * 60 + s
    seconds -= sign * (zh * 3_600 + zm * 60)
    known = matched & right & ~absent & (np.abs(seconds) < _SPAN_S)
    t_ns = np.where(known, seconds, 0) * 1_000_000_000 + _nanos(pc.struct_field(found, "part"))
    zoned = np.asarray(pc.greater(pc.binary_length(pc.struct_field(found, "zone")), 0).fill_null(False))
    return Times(np.where(known, t_ns, 0), known, ~known & ~absent, int((known & ~zoned).sum()))


def stamps(column: Any) -> Times:
    """Read Arrow timestamps; where they have no zone, as UTC."""
    known = np.asarray(pc.is_valid(column))
    ns = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}[column.type.unit]
    count = _int64(column)
    far = known & (np.abs(count / (1e9 / ns)) >= _SPAN_S)
    n_without_zone = 0 if column.type.tz else int(known.sum())
    return Times(np.where(far, 0, count) * ns, known & ~far, far, n_without_zone)


def counted_times(column: Any, values: F64, bad: Bool, unit: str | None, *, is_sure: bool) -> Times:
    """Read numbers that count time since 1970.

    Parameters
    ----------
    column, values, bad
        A column and what `numbers` says of it.
    unit
        One of `UNIT_NS`; None where the column holds no number.
    is_sure
        The user named the unit: times outside 1980 to 2100 are meant.
    """
    known = ~bad & np.isfinite(values)
    bad = bad | np.isinf(values)
    if unit is None:
        return Times(np.zeros(values.size, dtype=np.int64), known, bad)
    ns = UNIT_NS[unit]
    seconds = np.where(known, values, 0.0) * (ns / 1e9)
    far = np.abs(seconds) >= _SPAN_S if is_sure else (seconds < EARLIEST_S) | (seconds >= LATEST_S)
    bad = bad | (known & far)
    known &= ~far
    column = _decoded(column)
    t_ns = np.zeros(values.size, dtype=np.int64)
    by_value = known.copy()
    if is_text(column.type):
        found = pc.extract_regex(_as_text(_where(pa.array(known), _plain(column)[0])), _DECIMAL)
        by_value &= ~np.asarray(pc.is_valid(found))
        in_digits = known & ~by_value
        whole = _int64(pc.cast(pc.struct_field(found, "whole"), pa.int64()))
        t_ns = np.where(in_digits, whole * ns + _nanos(pc.struct_field(found, "part")) * ns // 1_000_000_000, 0)
    elif pa.types.is_integer(column.type):
        t_ns = np.where(known, _int64(column.cast(pa.int64(), safe=False)), 0) * ns
        by_value[:] = False
    # a float64 of today tells seconds to 0.2 us: microseconds are what it can mean
    t_ns[by_value] = np.rint(values[by_value] * (ns / 1e3)).astype(np.int64) * 1_000
    return Times(t_ns, known, bad)


def _nanos(digits: Any) -> I64:
    """Decimals as a number of 1e-9."""
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(_as_text(digits), _PART_DIGITS, "0"), 0, _PART_DIGITS)
    return _int64(pc.cast(padded, pa.int64()))


def _plain(column: Any) -> tuple[Any, Bool]:
    """Bytes without blanks around them, and which of them say that there is no value."""
    text = pc.ascii_trim_whitespace(_as_text(column.cast(pa.binary()).fill_null(b"")))
    absent = pc.is_in(pc.ascii_lower(text).cast(pa.binary()), value_set=pa.array(_ABSENT, pa.binary()))
    return text.cast(pa.binary()), np.asarray(absent)


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _as_text(column: Any) -> Any:
    return column if pa.types.is_string(column.type) else column.cast(pa.binary()).cast(pa.string(), safe=False)


def _filled(column: Any) -> Any:
    """Text, without what is empty."""
    text = _as_text(column)
    empty = pc.equal(pc.binary_length(text), 0)
    return _where(pc.invert(empty), text) if pc.any(empty).as_py() else text


def _where(condition: Any, column: Any) -> Any:
    return pc.if_else(condition, column, pa.scalar(None, column.type))


def _float64(column: Any) -> F64:
    values: F64 = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values


def _int64(column: Any) -> I64:
    """Return integers (or timestamps) as int64, 0 where there is none."""
    values: I64 = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return values
