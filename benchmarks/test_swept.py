"""Segments between two fixes against 1,000 shared zones: which are touched, entered and left where.

Tracks: from each fix of a 1 Hz track to the next, 1 to 15 m. Uniform: 2 km in any direction, as after a gap. The peer
is shapely in degrees, as drawn: a tree of boxes, prepared sides and crossings, then the intersection of those pairs
that have one end outside (`benchmarks.peers.swept_tree`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.gate import Gate, budget
from benchmarks.workloads import Fixes, degrees, shared_zones, tracks, uniform

SEGMENTS = 10_000
SWEPT = {"tracks": budget("swept_1000_tracks"), "uniform": budget("swept_1000_uniform")}
FRACTION_TOLERANCE = 1e-6
"""Of 2 km: 2 mm; where a segment runs along an edge the peer's intersection is no better."""


def segments(stream: str) -> tuple[Fixes, Fixes]:
    """Starts and ends."""
    if stream == "tracks":
        fixes = tracks(SEGMENTS + 1, per_track=SEGMENTS + 1)
        return fixes[:-1], fixes[1:]
    start = uniform(SEGMENTS, seed=5)
    angle = np.random.default_rng(6).uniform(0, 7, SEGMENTS)
    lat, lon = degrees(2_000 * np.exp(1j * angle), 0.0, 0.0)
    return start, Fixes(start.lat_deg + lat, start.lon_deg + lon / 0.6)


@pytest.mark.parametrize("stream", SWEPT)
def test_swept(stream: str, contest: Callable[..., Any]) -> None:
    zones = shared_zones(1_000)
    peer = peers.Shapely(zones)
    start, stop = segments(stream)

    def ours() -> Any:
        return zones.table.crossed(start.lat_deg, start.lon_deg, stop.lat_deg, stop.lon_deg)

    got, (segment, zone, entry, leave) = ours(), peers.swept_tree(peer, start, stop)
    order = np.lexsort((zone, segment))
    assert np.array_equal(np.repeat(np.arange(SEGMENTS), np.diff(got.segment_ptr)), segment[order])
    assert np.array_equal(got.zone_idx, zone[order])
    assert np.abs(got.entry - entry[order]).max() < FRACTION_TOLERANCE
    assert np.abs(got.exit - leave[order]).max() < FRACTION_TOLERANCE
    contest(
        f"swept segments, 1,000 zones, {stream}",
        ours,
        {"shapely tree, intersection": lambda: peers.swept_tree(peer, start, stop)},
        [Gate(budget=SWEPT[stream], against=["shapely tree, intersection"])],
        items=SEGMENTS,
    )
