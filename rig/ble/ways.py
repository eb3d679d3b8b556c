"""True distances for the radio paths: two tracks, or a number that a person sets."""

import math
from collections.abc import Callable

from rig.ble.ankle_beacon import Way
from rig.emulator.track import Track, TrackPoint


def way_between(one: Track, other: Track, now_s: Callable[[], float]) -> Callable[[], Way]:
    """Return where two people of one scenario are to each other at its present moment.

    The way that both moved is summed from call to call, straight: a path that is asked four times a second misses
    nothing that matters to a radio.
    """
    last: tuple[TrackPoint, TrackPoint] | None = None
    moved_m = 0.0

    def where() -> Way:
        nonlocal last, moved_m
        now = (one.at(now_s()), other.at(now_s()))
        if last is not None:
            moved_m += sum(_apart_m(a, b) for a, b in zip(last, now, strict=True))
        last = now
        return Way(distance_m=_apart_m(*now), moved_m=moved_m)

    return where


def way_set(distance_m: Callable[[], float]) -> Callable[[], Way]:
    """Return a distance that somebody sets; a new one is a way that was moved."""
    last_m = distance_m()
    moved_m = 0.0

    def where() -> Way:
        nonlocal last_m, moved_m
        now_m = distance_m()
        moved_m, last_m = moved_m + abs(now_m - last_m), now_m
        return Way(distance_m=now_m, moved_m=moved_m)

    return where


def _apart_m(a: TrackPoint, b: TrackPoint) -> float:
    return math.hypot(a.east_m - b.east_m, a.north_m - b.north_m)
