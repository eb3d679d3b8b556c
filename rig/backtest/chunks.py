"""Chunks: pieces of a history that can be judged without knowing the rest.

A chunk brings along the last fix that each of its devices had before it. So every way between two fixes of a device
lies wholly in one chunk, however the history is cut::

    device A   o---o---o | o---o          chunk 1: o---o---o        chunk 2: (o)---o---o
    device B     o---o   |   o---o                   o---o                     (o)---o---o
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import Bool, indices
from rig.backtest.fixes import Fixes, Tally
from rig.backtest.sequence import NEVER, by_device, last_rows

CHUNK_FIXES = 1 << 17
"""Default size of a chunk, fixes: 5 MB on the way to a worker, some 100 MB while it is judged, 0.1 s of work."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Fixes sorted by device and time; ``is_lead`` bool marks the fixes that stand before the chunk's own."""

    number: int
    fixes: Fixes
    is_lead: Bool


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A chunk, and the number below which no later chunk has a fix of its own."""

    chunk: Chunk
    complete_below: int


class Chunker:
    """Cuts fixes in order into chunks; drops fixes that have the time of the fix before them.

    Parameters
    ----------
    chunk_fixes : int
        Fixes of its own that a chunk has at most.
    tally : Tally
    place : callable
        Says where the record of a number stands.
    """

    def __init__(self, chunk_fixes: int, tally: Tally, place: Callable[[int], str]) -> None:
        self._chunk_fixes = chunk_fixes
        self._tally = tally
        self._place = place
        self._last = Fixes.none()
        """Per device: its last fix; time `NEVER` where it had none."""
        self._n_cut = 0
        self.n_fixes = 0

    @property
    def n_devices(self) -> int:
        """Devices that had a fix."""
        return int(np.count_nonzero(self._last.t_ns != NEVER))

    def run(self, ordered: Iterator[tuple[Fixes, int]]) -> Iterator[Cut]:
        """Yield chunks. ``ordered`` is what `Sequencer.run` yields."""
        waiting: list[Fixes] = []
        n_waiting = 0
        complete_below = 1
        for fixes, below in ordered:
            if len(fixes):
                waiting.append(fixes)
                n_waiting += len(fixes)
            if n_waiting >= self._chunk_fixes:
                yield from self._cut(waiting, complete_below, below)
                waiting, n_waiting, complete_below = [], 0, below
        if waiting:
            yield from self._cut(waiting, complete_below, below)

    def _cut(self, parts: list[Fixes], before: int, after: int) -> Iterator[Cut]:
        fixes = Fixes.join(parts)
        fixes = self._newer(fixes.take(by_device(fixes)))
        for start in range(0, len(fixes), self._chunk_fixes):
            end = start + self._chunk_fixes
            own = fixes.take(slice(start, end))
            # the pieces of one cut hold numbers of its whole span: none is complete before the last piece
            yield Cut(self._with_leads(own), after if end >= len(fixes) else before)

    def _newer(self, fixes: Fixes) -> Fixes:
        self._grow(int(fixes.device.max()) + 1)
        before = np.concatenate([[NEVER], fixes.t_ns[:-1]])
        first = np.concatenate([[0], last_rows(fixes)[:-1] + 1])
        before[first] = self._last.t_ns[fixes.device[first]]
        same = indices(fixes.t_ns == before)
        if not same.size:
            return fixes
        number = int(fixes.number[same].min())
        self._tally.reject("same_time", same.size, lambda: self._place(number))
        return fixes.take(fixes.t_ns != before)

    def _with_leads(self, own: Fixes) -> Chunk:
        last = last_rows(own)
        devices = own.device[last]
        leads = self._last.take(devices.astype(np.int64))
        leads = leads.take(leads.t_ns != NEVER)
        joined = Fixes.join([leads, own])
        is_lead = np.arange(len(joined)) < len(leads)
        order = by_device(joined)
        for name in ("t_ns", "lat_deg", "lon_deg", "number"):
            getattr(self._last, name)[devices] = getattr(own, name)[last]
        self._n_cut += 1
        self.n_fixes += len(own)
        return Chunk(self._n_cut - 1, joined.take(order), is_lead[order])

    def _grow(self, n_devices: int) -> None:
        known = len(self._last)
        more = n_devices - known
        if more > 0:
            unknown = Fixes(
                np.arange(known, n_devices, dtype=np.int32),
                np.full(more, NEVER, dtype=np.int64),
                np.full(more, np.nan),
                np.full(more, np.nan),
                np.zeros(more, dtype=np.int64),
            )
            self._last = Fixes.join([self._last, unknown])
