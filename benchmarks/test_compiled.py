"""How close NumPy comes to compiled code on the same index: one zone, tracks and scattered fixes against 1,000 zones.

One zone and tracks favour compiled code, which makes one pass where NumPy makes thirty. Scattered fixes miss the caches
at every step, and batched gathers overlap the misses.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.compiled import Compiled
from benchmarks.gate import Gate, budget
from benchmarks.workloads import BAND_M, F64, one_zone, over, shared_zones, tracks, uniform

FIXES = 100_000
ONE = {
    8: budget("compiled_one_zone_8"),
    64: budget("compiled_one_zone_64"),
    512: budget("compiled_one_zone_512"),
    5_000: budget("compiled_one_zone_5000"),
}
NEAR = {"tracks": budget("compiled_tracks_1000"), "uniform": budget("compiled_uniform_1000")}
TOLERANCE_M = 1e-6
ASKED_M = 0.01
"""Nearer to a boundary the core asks the drawing for the side; compiled code does not."""


def same(ours: F64, theirs: F64) -> None:
    """The same arrays, the same answers."""
    sure = np.abs(ours) > ASKED_M
    assert np.abs(ours - theirs)[sure].max() < TOLERANCE_M
    assert np.abs(np.abs(ours) - np.abs(theirs)).max() < TOLERANCE_M


@pytest.mark.parametrize("vertices", ONE)
def test_one_zone(vertices: int, contest: Callable[..., Any]) -> None:
    table, fixes = one_zone(vertices).table, over(vertices, FIXES)
    compiled = Compiled(table)

    def ours() -> F64:
        return table.signed_distance_m(fixes.lat_deg, fixes.lon_deg)

    same(ours()[:, 0], compiled.one(fixes.lat_deg, fixes.lon_deg))
    contest(
        f"close to the limit, one zone, {vertices} vertices, signed",
        ours,
        {"numba, same index": lambda: compiled.one(fixes.lat_deg, fixes.lon_deg)},
        [Gate(budget=ONE[vertices], against=["numba, same index"])],
        items=FIXES,
    )


@pytest.mark.parametrize("stream", NEAR)
def test_shared_zones(stream: str, contest: Callable[..., Any]) -> None:
    table = shared_zones(1_000).table
    fixes = tracks(FIXES) if stream == "tracks" else uniform(FIXES)
    compiled = Compiled(table)
    got = table.near(fixes.lat_deg, fixes.lon_deg, BAND_M)
    fix, zone, signed = compiled.near(fixes.lat_deg, fixes.lon_deg)
    assert np.array_equal(np.repeat(np.arange(FIXES), np.diff(got.fix_ptr)), fix)
    assert np.array_equal(got.zone_idx, zone)
    same(got.signed_distance_m, signed)
    contest(
        f"close to the limit, 1,000 zones, {stream}, signed",
        lambda: table.near(fixes.lat_deg, fixes.lon_deg, BAND_M),
        {"numba, same index": lambda: compiled.near(fixes.lat_deg, fixes.lon_deg)},
        [Gate(budget=NEAR[stream], against=["numba, same index"])],
        items=FIXES,
    )
