"""Who came near whom between two fixes: where every device of a pair went lately, and the bands that follow from it.

At 60 s between fixes a car goes 1.8 km, through all rings of an order; both ends of that way may be clear.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from bridge.pair_index import PairRow
from geofence_core.arrays import I8
from geofence_core.evaluate import NEVER_NS
from geofence_core.pairs import Band
from geofence_core.passing import Placed, closest_m, place

THIN_NS = 500_000_000
"""Nanoseconds between positions that are kept of the other's way. A walker's corner is rounded by less than a metre in
it; less would keep a long way of a fast receiver for nothing."""

MAX_KEPT = 512
"""Positions kept of one device: four minutes of a receiver at 2 Hz, twice the age at which a position counts as too
old by default. 50 kB; of a way that is longer only the newest part is judged."""

MAX_MPS = 100.0
"""Metres per second. What moves faster did not go there: it is a receiver's jump, or a position that was made up. Above
any road; more would draw ways of jumps through rings far off."""

_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})


class _Held(NamedTuple):
    """A band that a way showed, whose next fix ends it, and the band of where both were last."""

    band: int
    mover_idx: int
    shown: int


class Passes:
    """Bands that only the way between two fixes of a device shows.

    Such a band holds until that device's next fix: what it shows then is judged as ever.

    Parameters
    ----------
    max_age_ns : int
        Between two fixes further apart nobody knows the way.
    """

    def __init__(self, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._newest: dict[int, Placed] = {}
        self._judged_ns: dict[int, int] = {}
        self._step: dict[int, tuple[Placed, Placed] | None] = {}
        self._ways: dict[int, deque[Placed]] = {}
        self._held: dict[tuple[int, int], _Held] = {}
        self._left_ns: dict[tuple[int, int], dict[int, int]] = {}

    def move(self, device_idx: int, t_ns: int, t_judge_ns: int, lat_deg: float, lon_deg: float) -> None:
        """Take a device's newest position; ``t_ns`` by our clock, ``t_judge_ns`` by the receiver's."""
        before = self._newest.get(device_idx)
        # Fixes of one batch are taken in the receiver's order, which need not be the order in which they were decoded.
        t_ns = t_ns if before is None else max(t_ns, before.t_ns)
        now = self._newest[device_idx] = place(t_ns, lat_deg, lon_deg)
        # Fixes that a line held up arrive at once, and are as far apart as the receiver says.
        told_ns = t_judge_ns - self._judged_ns.get(device_idx, t_judge_ns)
        self._judged_ns[device_idx] = t_judge_ns
        way = self._ways.setdefault(device_idx, deque(maxlen=MAX_KEPT))
        if before is None or not self._is_way(before, now, told_ns):
            way.clear()
            self._step[device_idx] = None
        else:
            self._step[device_idx] = (before, now)
            if len(way) > 1 and t_ns - way[-2].t_ns < THIN_NS:
                way.pop()
        way.append(now)

    def _is_way(self, before: Placed, now: Placed, told_ns: int) -> bool:
        """Whether somebody may have gone from one position to the other, and not long ago."""
        took_ns = max(now.t_ns - before.t_ns, told_ns)
        if not 0 <= took_ns <= self._max_age_ns:
            return False
        return math.dist(before[1:], now[1:]) <= MAX_MPS * took_ns / 1e9

    def raise_bands(self, mover_idx: int, rows: Sequence[PairRow], before: I8, after: I8) -> I8:
        """Bring the bands of a device's pairs up to what its way showed.

        Parameters
        ----------
        mover_idx
            Whose pairs they are.
        rows
            P pairs.
        before, after
            int8 (P,): before its newest position, and by where both are now.

        Returns
        -------
        int8 (P,)
            Unknown bands stay so; a way that leaves a ring shows nothing that was not told.
        """
        # A fix that no way led to ends what was held, too.
        moved = mover_idx in self._step
        step = self._step.pop(mover_idx, None)
        was, now = before.tolist(), after.tolist()
        if step is None and not self._held and was == now:
            return after
        bands = [
            self._band(mover_idx, row, step, known, shown, moved=moved)
            for row, known, shown in zip(rows, was, now, strict=True)
        ]
        if bands == now:
            return after
        raised = np.array(bands, dtype=np.int8)
        raised.flags.writeable = False
        return raised

    def _band(
        self,
        mover_idx: int,
        row: PairRow,
        step: tuple[Placed, Placed] | None,
        before: int,
        after: int,
        *,
        moved: bool,
    ) -> int:
        name, held = row.name, self._held.get(row.name)
        known = before
        if held is not None and (after == Band.UNKNOWN or (moved and held.mover_idx == mover_idx)):
            # A way back through the ring is another approach: what was held says nothing against it.
            known = held.shown
            del self._held[name]
            held = None
        if after == Band.UNKNOWN:
            return after
        known = max(known, after, Band.CLEAR if held is None else held.band)
        if step is not None and known < Band.CONTACT:
            passed = self._passed(step, row)
            if passed > known and self._left_ns.get(name, _NOTHING).get(passed, NEVER_NS) <= step[0].t_ns:
                held = _Held(passed, mover_idx, after)
        if held is not None:
            self._held[name] = held._replace(shown=after)
        band = after if held is None else max(after, held.band)
        if band < before:
            # The other's next fix shows the same way once more.
            left = self._left_ns.setdefault(name, {})
            left.update(dict.fromkeys(range(band + 1, before + 1), self._newest[mover_idx].t_ns))
        return band

    def forget(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Keep only what concerns these pairs."""
        keep = set(pairs)
        self._held = {name: held for name, held in self._held.items() if name in keep}
        self._left_ns = {name: left for name, left in self._left_ns.items() if name in keep}

    def _passed(self, step: tuple[Placed, Placed], row: PairRow) -> int:
        way = self._ways.get(row.other_idx)
        if not way or step[0].t_ns - way[-1].t_ns > self._max_age_ns:
            return Band.CLEAR
        nearest_m = closest_m(*step, _since(way, step[0].t_ns))
        return sum(nearest_m <= ring_m for ring_m in row.rings_m)


def _since(way: deque[Placed], t_ns: int) -> Sequence[Placed]:
    """Positions from the last one that is not later than a time."""
    if way[-1].t_ns <= t_ns:
        return (way[-1],)
    part: list[Placed] = []
    for point in reversed(way):
        part.append(point)
        if point.t_ns <= t_ns:
            break
    part.reverse()
    return part
