"""One fix of one wearer: all own zones, side and distance, in microseconds; and the side alone.

The stream is harsher than life: half of its places lie within 60 m of a boundary, and it jumps to a new one after every
20 fixes. Warm: the tag has been at the place before. Cold: each fix is at a place where the tag has never been.
Contenders take turns place by place, and the projection is timed. Absolute times are reported; what is held are ratios
of medians, and of the 99th percentile of 1,200 samples.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import geofence_core as gc
from benchmarks import agree, brute, peers
from benchmarks.gate import Gate, budget
from benchmarks.workloads import stream, wearer_zones

PLACES, PER_PLACE = 60, 20
"""1,200 samples: a p99 needs a thousand."""

WARM = {
    "8": budget("one_fix_warm_8"),
    "8 with a county": budget("one_fix_warm_8_county"),
    "50": budget("one_fix_warm_50"),
    "200": budget("one_fix_warm_200"),
}
WARM_P99 = {
    "8": budget("one_fix_warm_p99_8"),
    "8 with a county": budget("one_fix_warm_p99_8_county"),
    "50": budget("one_fix_warm_p99_50"),
    "200": budget("one_fix_warm_p99_200"),
}
COLD = {
    "8": budget("one_fix_cold_8"),
    "8 with a county": budget("one_fix_cold_8_county"),
    "50": budget("one_fix_cold_50"),
    "200": budget("one_fix_cold_200"),
}
INSIDE = {
    "8": budget("one_fix_inside_8"),
    "8 with a county": budget("one_fix_inside_8_county"),
    "50": budget("one_fix_inside_50"),
    "200": budget("one_fix_inside_200"),
}
SHAPELY = ["shapely arrays", "shapely objects"]


def fence_of(kind: str) -> gc.SingleFence:
    """The one wearer's fence, as new."""
    zones = wearer_zones(kind)
    return gc.AssignedZones(zones.table, np.zeros(len(zones), dtype=np.int64)).single(0)


def contenders(kind: str, fence: gc.SingleFence) -> dict[str, Callable[[float, float], Any]]:
    """Ours, both forms of shapely, and numba with every edge."""
    peer = peers.Shapely(wearer_zones(kind))
    return {
        "ours": fence.check,
        "shapely arrays": lambda lat, lon: peers.fix_arrays(peer, lat, lon),
        "shapely objects": lambda lat, lon: peers.fix_objects(peer, lat, lon),
        "numba, every edge": brute.single(peer),
    }


def check_answers(kind: str, calls: dict[str, Callable[[float, float], Any]], block: Sequence[Any]) -> None:
    """All contenders say the same, ours also when asked again."""
    zones = wearer_zones(kind)
    zone = np.arange(len(zones))
    for lat, lon in block:
        for _ in range(2):
            found = calls["ours"](lat, lon)
            assert [z for z, _ in found] == zone.tolist()
            got = np.array([d for _, d in found])
            for name in calls:
                if name != "ours":
                    want = np.asarray(calls[name](lat, lon), dtype=np.float64)
                    agree.same_distances(got, want, zones, zone, np.full(zone.size, lon))


@pytest.mark.parametrize("kind", WARM)
def test_warm(kind: str, contest_of_fixes: Callable[..., Any]) -> None:
    fence = fence_of(kind)
    calls = contenders(kind, fence)
    blocks = stream(kind, PLACES, PER_PLACE)
    check_answers(kind, calls, [block[0] for block in blocks])

    def visit(block: Sequence[tuple[float, float]]) -> None:
        for _ in range(2):
            for lat, lon in block:
                fence.check(lat, lon)

    gates = [
        Gate(budget=WARM[kind], against=SHAPELY),
        Gate(budget=WARM_P99[kind], against=SHAPELY, quantile=0.99),
    ]
    contest_of_fixes(f"one fix, {kind} zones, warm", calls, gates, blocks, visit)


@pytest.mark.parametrize("kind", COLD)
def test_cold(kind: str, contest_of_fixes: Callable[..., Any]) -> None:
    blocks = stream(kind, 600, 1)
    fences: list[gc.SingleFence] = []

    def ours(lat: float, lon: float) -> list[tuple[int, float]]:
        return fences[-1].check(lat, lon)

    def new_fence(_: Sequence[tuple[float, float]]) -> None:
        fences[:] = [fence_of(kind)]

    new_fence(())
    calls = contenders(kind, fences[-1]) | {"ours": ours}
    check_answers(kind, calls, [block[0] for block in blocks[:60]])
    gates = [Gate(budget=COLD[kind], against=SHAPELY)]
    contest_of_fixes(f"one fix, {kind} zones, cold", calls, gates, blocks, new_fence)


@pytest.mark.parametrize("kind", INSIDE)
def test_inside_only(kind: str, contest_of_fixes: Callable[..., Any]) -> None:
    """Through `SingleFence.inside`, at places where the tag has been before."""
    fence, zones = fence_of(kind), wearer_zones(kind)
    peer = peers.Shapely(zones)
    blocks = stream(kind, PLACES, PER_PLACE)
    calls: dict[str, Callable[[float, float], Any]] = {
        "ours": fence.inside,
        "shapely prepared": lambda lat, lon: peers.fix_inside(peer, lat, lon),
    }

    def visit(block: Sequence[tuple[float, float]]) -> None:
        for lat, lon in block:
            want = np.flatnonzero(peers.fix_inside(peer, lat, lon)).tolist()
            assert fence.inside(lat, lon) == want
            assert np.flatnonzero(zones.table.contains(lat, lon)[0]).tolist() == want

    gates = [Gate(budget=INSIDE[kind], against=["shapely prepared"])]
    contest_of_fixes(f"one fix, {kind} zones, inside only", calls, gates, blocks, visit)
