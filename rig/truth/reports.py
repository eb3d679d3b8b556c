"""What a device reported, by its own log: when, from where it truly was, and where it said it was."""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rig.emulator.clock import NS_PER_S
from rig.truth.records import TruthEpoch

STAMP_SLACK_S: Final = 0.1
"""Rounding of times on the wire and of the bench's own clock readings, tag seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One epoch that went onto the wire.

    Attributes
    ----------
    t_s : float
        Tag time of the epoch.
    sent_mono_ns : int
        Just before the write that completed it.
    lat_deg, lon_deg : float or None
        Where the tag said it was; None without a fix.
    stored : bool
        From its memory: it tells of the past.
    sure : bool
        Whether it surely reached the bridge whole.
    """

    t_s: float
    sent_mono_ns: int
    lat_deg: float | None
    lon_deg: float | None
    stored: bool = False
    sure: bool = True

    @property
    def is_live_fix(self) -> bool:
        """Whether it tells a position of now."""
        return not self.stored and self.lat_deg is not None


class ReportLog:
    """Everything one device reported, in the order of sending."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self.all = tuple(sorted(reports, key=lambda each: each.sent_mono_ns))
        self.fixes = tuple(each for each in self.all if each.is_live_fix)
        self.fix_times_s = tuple(each.t_s for each in self.fixes)
        self._sent_ns = [each.sent_mono_ns for each in self.all]

    @classmethod
    def of(cls, epochs: Iterable[TruthEpoch], *, doubtful: Sequence[tuple[float, float]] = ()) -> "ReportLog":
        """Take a truth log's epochs; those within ``doubtful`` times (tag seconds) may not have arrived."""
        return cls(
            Report(
                t_s=epoch.t_s,
                sent_mono_ns=epoch.t_write_mono_ns,
                lat_deg=epoch.lat_deg,
                lon_deg=epoch.lon_deg,
                stored=epoch.stored,
                sure=not epoch.bytes_lost
                and epoch.bytes_written > 0
                and not any(from_s <= epoch.t_s <= until_s for from_s, until_s in doubtful),
            )
            for epoch in epochs
        )

    def find_sent_before(self, mono_ns: int, *, within_ns: int) -> int | None:
        """When the last report before a moment was sent; None where that is too long ago to be its cause."""
        i = bisect.bisect_right(self._sent_ns, mono_ns)
        if i == 0 or mono_ns - self._sent_ns[i - 1] > within_ns:
            return None
        return self._sent_ns[i - 1]


def nominal_times_s(interval_s: float, duration_s: float) -> list[float]:
    """When a tag reports unless something wakes it or a command changes its interval: a grid from its power-on."""
    return [i * interval_s for i in range(int(duration_s / interval_s) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTime:
    """The scenario's seconds on the machine's monotonic clock."""

    start_mono_ns: int
    speed: float = 1.0

    def t_s(self, mono_ns: int) -> float:
        """Return tag seconds of a reading."""
        return (mono_ns - self.start_mono_ns) * self.speed / NS_PER_S

    def real_s(self, tag_s: float) -> float:
        """Return how long a stretch of tag time lasts on the clock."""
        return tag_s / self.speed
