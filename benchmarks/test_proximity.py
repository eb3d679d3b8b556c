"""200,000 pairs of a wearer and a protected person, 2 % of them near their ring.

Ours answers separation, closing speed, time to the ring and the probability of being within it, both sides carried to
one time with their covariances. The peer is PROJ's geodesic distance alone, which is the first of the four.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from pyproj import Geod

import geofence_core as gc
from benchmarks.gate import Gate, budget
from benchmarks.workloads import degrees, uniform

PAIRS = 200_000
RING_M = 500.0
NEAR = 0.02
AT_NS = 1_735_689_600_000_000_000
ELLIPSOID = Geod(ellps="WGS84")


def sides() -> tuple[gc.MovingColumns, gc.MovingColumns]:
    """Both sides of all pairs: a second or two old, walking, a few metres uncertain."""
    rng = np.random.default_rng(9)
    a = uniform(PAIRS, seed=9)
    apart = np.where(
        rng.random(PAIRS) < NEAR, rng.uniform(RING_M - 30, RING_M + 30, PAIRS), rng.uniform(1e3, 3e4, PAIRS)
    )
    lat, lon = degrees(apart * np.exp(1j * rng.uniform(0, 7, PAIRS)))
    made = []
    for lat_deg, lon_deg in ((a.lat_deg, a.lon_deg), (a.lat_deg + lat - 53.2, a.lon_deg + lon + 2.4)):
        made.append(
            gc.MovingColumns.of(
                AT_NS - rng.integers(0, 2_000_000_000, PAIRS),
                lat_deg,
                lon_deg,
                sigma_m=rng.uniform(2, 8, PAIRS),
                velocity_east_mps=rng.normal(0, 1, PAIRS),
                velocity_north_mps=rng.normal(0, 1, PAIRS),
                growth_mps=0.5,
            )
        )
    return made[0], made[1]


def distance_m(a: gc.MovingColumns, b: gc.MovingColumns) -> np.ndarray[Any, Any]:
    """PROJ's."""
    return np.asarray(ELLIPSOID.inv(a.lon_deg, a.lat_deg, b.lon_deg, b.lat_deg)[2])


def test_proximity(contest: Callable[..., Any]) -> None:
    a, b = sides()
    still_a, still_b = (
        gc.MovingColumns.of(np.full(PAIRS, AT_NS), s.lat_deg, s.lon_deg, sigma_m=np.sqrt(s.var_east_m2)) for s in (a, b)
    )
    still = gc.proximity(still_a, still_b, at_ns=AT_NS, ring_m=RING_M)
    want = distance_m(a, b)
    assert np.abs(still.separation_m - want).max() < 1e-3
    moved = gc.proximity(a, b, at_ns=AT_NS, ring_m=RING_M)
    assert np.abs(moved.separation_m - want).max() < 30.0
    settled = np.abs(moved.separation_m - RING_M) > 200
    assert np.abs(moved.p_within - (moved.separation_m < RING_M))[settled].max() < 1e-6
    assert 0.2 < moved.p_within[~settled].mean() < 0.8
    contest(
        f"proximity, {PAIRS:,} pairs, 2 % near",
        lambda: gc.proximity(a, b, at_ns=AT_NS, ring_m=RING_M),
        {"pyproj Geod.inv (distance)": lambda: distance_m(a, b)},
        [Gate(budget=budget("proximity_200000"), against=["pyproj Geod.inv (distance)"])],
        items=PAIRS,
    )
