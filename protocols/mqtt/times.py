"""UTC as text, without a clock."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(t_utc_ns: int) -> str:
    """RFC 3339 with milliseconds, cut not rounded: a fix at 10:00:00.9996 did not happen at 10:00:01."""
    seconds, rest_ns = divmod(t_utc_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest_ns // 1_000_000:03d}Z"


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    """Format the part that all events of a second share; it costs more than all else in a position event."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def utc_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with offset; exact to the microsecond."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset; expected for example 2026-11-22T20:30:59.870Z")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
