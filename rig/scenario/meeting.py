"""Two ways in one plane: how near they come, and where to move one so that they come as near as a story wants."""

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Final

from rig.emulator.track import Waypoint

_EXACT_M: Final = 1e-3
"""How exactly the closest approach is met, metres: a hundredth of what any receiver tells."""

_FARTHEST_M: Final = 100_000.0
"""Longest push in search of a closest approach, metres: two ways of a story that are farther apart never meet."""


def closest_approach(one: Sequence[Waypoint], other: Sequence[Waypoint], until_s: float) -> tuple[float, float]:
    """Return the least distance of two ways in metres, and when it is reached first.

    Both are straight between their waypoints and stand still before and after them, so between two times at which
    either turns the distance has one minimum, which is exact.
    """
    times = sorted({0.0, until_s} | {w.t_s for w in (*one, *other) if 0 <= w.t_s <= until_s})
    apart = [_apart(one, other, t) for t in times]
    best_m, best_s = math.hypot(*apart[0]), times[0]
    for (t0, (e0, n0)), (t1, (e1, n1)) in itertools.pairwise(zip(times, apart, strict=True)):
        de, dn = e1 - e0, n1 - n0
        square = de * de + dn * dn
        share = 0.0 if square == 0 else min(max(-(e0 * de + n0 * dn) / square, 0.0), 1.0)
        m = math.hypot(e0 + share * de, n0 + share * dn)
        if m < best_m - 1e-9:
            best_m, best_s = m, t0 + share * (t1 - t0)
    return best_m, best_s


def meeting_shift(
    moved: Sequence[Waypoint],
    other: Sequence[Waypoint],
    *,
    at_s: float,
    closest_m: float,
    bearing_deg: float,
    until_s: float,
) -> tuple[float, float]:
    """Return by how much to move a way, east and north in metres, so that two come within ``closest_m`` and no nearer.

    It is first laid so that both would be at one place at ``at_s``, then pushed along the bearing until the closest
    approach of the whole story is as wanted; the time of that may then be another one, as ways that bend will have it.
    """
    east, north = _apart(moved, other, at_s)
    angle = math.radians(bearing_deg)

    def shifted(push_m: float) -> tuple[float, float]:
        return -east + push_m * math.sin(angle), -north + push_m * math.cos(angle)

    def closest(push_m: float) -> float:
        de, dn = shifted(push_m)
        way = [Waypoint(t_s=w.t_s, east_m=w.east_m + de, north_m=w.north_m + dn) for w in moved]
        return closest_approach(way, other, until_s)[0]

    low_m, high_m = 0.0, max(closest_m, 1.0)
    while closest(high_m) < closest_m and high_m < _FARTHEST_M:
        low_m, high_m = high_m, 2 * high_m
    while high_m - low_m > _EXACT_M / 2:
        middle_m = (low_m + high_m) / 2
        if closest(middle_m) < closest_m:
            low_m = middle_m
        else:
            high_m = middle_m
    return shifted(high_m)


def _apart(one: Sequence[Waypoint], other: Sequence[Waypoint], t_s: float) -> tuple[float, float]:
    (e1, n1), (e2, n2) = _at(one, t_s), _at(other, t_s)
    return e1 - e2, n1 - n2


def _at(way: Sequence[Waypoint], t_s: float) -> tuple[float, float]:
    i = _index_after(way, t_s)
    if i in {0, len(way)}:
        end = way[0 if i == 0 else -1]
        return end.east_m, end.north_m
    a, b = way[i - 1], way[i]
    share = (t_s - a.t_s) / (b.t_s - a.t_s)
    return a.east_m + share * (b.east_m - a.east_m), a.north_m + share * (b.north_m - a.north_m)


def _index_after(way: Sequence[Waypoint], t_s: float) -> int:
    return bisect.bisect_right(way, t_s, key=lambda w: w.t_s)
