"""Joins what chunks say, in their order, into crossings and periods of dwell.

Chunks share no knowledge but this: the last fix a device has in one chunk leads its next one. A run that reaches behind
its chunk is kept open by (device, zone) and continued by the next chunk in which the device has fixes.
"""

from dataclasses import dataclass, replace

import numpy as np

from geofence_core.arrays import F64, I8, I64, indices
from rig.backtest.judge import Began, Crossings, Ended, Judged, Runs
from rig.errors import BenchBrokenError

_END = np.iinfo(np.int64).max
"""``closed_by`` of periods that the end of the history closed: behind all others."""


Periods = Runs
"""Runs of which none goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class ZoneTotals:
    """Sums over all devices, one row per zone: int64 (Z,)."""

    devices: I64
    periods: I64
    passes: I64
    fixes: I64
    dwell_ns: I64

    @property
    def dwell_s(self) -> F64:
        """Time inside, seconds."""
        return self.dwell_ns / 1e9


class Stitcher:
    """Takes the judged chunks in order; gives rows out in an order that the cuts cannot change.

    Rows are sorted by the number of the fix that showed them, then zone. They are held until no chunk to come can have
    an earlier one. Periods that are open at the end come last, by device and zone.
    """

    def __init__(self, n_zones: int) -> None:
        self._n_zones = max(n_zones, 1)
        self._next = 0
        self._crossings: list[Crossings] = []
        self._periods: list[Periods] = []
        self._open = _no_runs()
        """Runs that go on, sorted by (device, zone)."""
        self._pairs = np.zeros(0, dtype=np.int64)
        self._fresh_pairs: list[I64] = []
        self._sums = np.zeros((4, self._n_zones), dtype=np.int64)
        self.n_crossings = 0
        self.n_periods = 0

    def take(self, judged: Judged, complete_below: int) -> tuple[Crossings | None, Periods | None]:
        """Take the next chunk; return the rows that are final now."""
        if judged.number != self._next:
            raise BenchBrokenError(f"chunk {judged.number} came where chunk {self._next} was due; next: report this")
        self._next += 1
        if len(judged.crossings):
            self._crossings.append(judged.crossings)
        self._join(judged)
        return self._ripe(complete_below)

    def finish(self) -> tuple[Crossings | None, Periods | None]:
        """Close what is open; return the last rows."""
        still = self._open
        if len(still):
            self._close(still, np.full(len(still), Ended.END, dtype=np.int8), np.full(len(still), _END))
        self._open = _no_runs()
        return self._ripe(_END)

    def totals(self) -> ZoneTotals:
        """Return the sums over all periods so far."""
        self._gather_pairs()
        devices = np.bincount(self._pairs % self._n_zones, minlength=self._n_zones).astype(np.int64)
        return ZoneTotals(devices, *self._sums)

    def _join(self, judged: Judged) -> None:
        runs = judged.runs
        known_key = self._key(self._open)
        going_on = np.isin(self._open.device, judged.devices)
        continued = indices(runs.began == Began.BEFORE_CHUNK)
        order = np.argsort(self._key(runs)[continued])
        continued = continued[order]
        expected = indices(going_on)
        if not np.array_equal(self._key(runs)[continued], known_key[expected]):
            raise BenchBrokenError(
                f"chunk {judged.number} begins inside other zones than the chunk before it ended in: the judges do not "
                "agree with one another; next: see that all workers run the same versions of tagrig and NumPy"
            )
        before = self._open.take(expected)
        for name in ("began", "from_ns", "first_ns"):
            getattr(runs, name)[continued] = getattr(before, name)
        runs.n_fixes[continued] += before.n_fixes
        goes_on = runs.ended == Ended.BEHIND_CHUNK
        closed = runs.take(~goes_on)
        if len(closed):
            self._close(closed, closed.ended, closed.closed_by)
        still = Runs.join([self._open.take(~going_on), runs.take(goes_on)])
        self._open = still.take(np.argsort(self._key(still), kind="stable"))

    def _close(self, runs: Runs, ended: I8, closed_by: I64) -> None:
        periods = replace(runs, ended=ended, closed_by=closed_by)
        self._periods.append(periods)
        passed = periods.began == Began.PASS
        for row, weight in enumerate((~passed, passed, periods.n_fixes, periods.to_ns - periods.from_ns)):
            np.add.at(self._sums[row], periods.zone, weight)
        self._fresh_pairs.append(np.unique(self._key(runs)))
        if sum(map(len, self._fresh_pairs)) > len(self._pairs) + (1 << 16):
            self._gather_pairs()

    def _gather_pairs(self) -> None:
        self._pairs = np.unique(np.concatenate([self._pairs, *self._fresh_pairs]))
        self._fresh_pairs = []

    def _key(self, rows: Runs) -> I64:
        return rows.device.astype(np.int64) * self._n_zones + rows.zone

    def _ripe(self, below: int) -> tuple[Crossings | None, Periods | None]:
        crossings = periods = None
        if self._crossings:
            held = Crossings.join(self._crossings)
            ripe = held.after < below
            crossings = held.take(ripe)
            crossings = crossings.take(np.lexsort((crossings.zone, crossings.after)))
            self._crossings = [held.take(~ripe)]
            self.n_crossings += len(crossings)
        if self._periods:
            kept = Periods.join(self._periods)
            ripe = (kept.closed_by < below) | (below == _END)
            periods = kept.take(ripe)
            periods = periods.take(np.lexsort((periods.zone, periods.device, periods.closed_by)))
            self._periods = [kept.take(~ripe)]
            self.n_periods += len(periods)
        return crossings, periods


def _no_runs() -> Runs:
    none = np.zeros(0, dtype=np.int64)
    small = np.zeros(0, dtype=np.int8)
    return Runs(np.zeros(0, dtype=np.int32), none, small, small, none, none, none, none, none, none)
