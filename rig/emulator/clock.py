"""The tag's own time: it starts at a UTC of its own and may run faster than the bench's clock."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NS_PER_S: Final = 1_000_000_000
"""Nanoseconds in a second."""

SEEDED_START_UTC_NS: Final = 1_767_268_800 * NS_PER_S
"""2026-01-01T12:00:00Z: where the clock of a seeded tag starts unless told otherwise, so that a seed alone fixes
every byte. Another value changes the recorded bytes of every seeded run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagClock:
    """Maps tag time (nanoseconds since power-on) to the tag's UTC and to the bench's monotonic clock.

    Attributes
    ----------
    start_utc_ns : int
        The tag's UTC at power-on.
    start_mono_ns : int
        The bench's monotonic clock at power-on.
    speed : float
        Seconds of tag time per second of the bench; ``math.inf`` for as fast as the reader takes it.
    """

    start_utc_ns: int
    start_mono_ns: int
    speed: float = 1.0

    def utc_ns(self, t_ns: int) -> int:
        """Return the tag's UTC at a tag time."""
        return self.start_utc_ns + t_ns

    def due_mono_ns(self, t_ns: int) -> int:
        """When a tag time is reached on the bench's clock: absolute, so that errors do not add up."""
        return self.start_mono_ns if math.isinf(self.speed) else self.start_mono_ns + round(t_ns / self.speed)

    def tag_time_ns(self, mono_ns: int) -> int | None:
        """Tag time at a moment of the bench's clock; None where the tag runs unpaced."""
        return None if math.isinf(self.speed) else round((mono_ns - self.start_mono_ns) * self.speed)


def to_ns(seconds: float) -> int:
    """Whole nanoseconds of a number of seconds."""
    return round(seconds * NS_PER_S)


def format_utc(utc_ns: int) -> str:
    """RFC 3339 with milliseconds, for people."""
    moment = datetime.fromtimestamp(utc_ns // NS_PER_S, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{utc_ns % NS_PER_S // 1_000_000:03d}Z"


def parse_utc(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with a zone.

    Raises
    ------
    ValueError
        The text is no time, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone. Expected RFC 3339 such as 2026-01-01T12:00:00Z")
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * NS_PER_S + moment.microsecond * 1000
