"""A history against an agency's zones, on one thread: as 1 Hz tracks, and scattered as after a shuffle.

Inside: which fix is in which zone, `ZoneTable.containing`. Signed: all zones within 250 m, with distances. 10 and
1,000 zones, and with ``TAGRIG_BENCH=full`` 10,000. Peers: shapely (boxes by a tree or by NumPy, prepared side; for
distances prepared "within the band", then distance, through trees of edges for large zones) on one thread; sedonadb on
all cores, its table of fixes made beforehand.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks import agree, peers
from benchmarks.gate import FULL, Gate, budget
from benchmarks.sedona import Sedona
from benchmarks.workloads import BAND_M, I64, Fixes, ZoneSet, shared_zones, tracks, uniform

FIXES = {10: 200_000, 1_000: 100_000, 10_000: 50_000}
SIGNED_FIXES = 10_000
"""The peers' share of the signed replay, where they take 1 to 80 us a fix; times are per fix."""

SEDONA_SIGNED_FIXES = 2_000
"""sedonadb's share: 50 us a fix and more."""

CHECKED = 10_000

INSIDE_SHAPELY = {
    (10, "tracks"): budget("replay_inside_10_tracks_shapely"),
    (10, "uniform"): budget("replay_inside_10_uniform_shapely"),
    (1_000, "tracks"): budget("replay_inside_1000_tracks_shapely"),
    (1_000, "uniform"): budget("replay_inside_1000_uniform_shapely"),
    (10_000, "tracks"): budget("replay_inside_10000_tracks_shapely"),
    (10_000, "uniform"): budget("replay_inside_10000_uniform_shapely"),
}
INSIDE_SEDONA = {
    (10, "tracks"): budget("replay_inside_10_tracks_sedonadb"),
    (10, "uniform"): budget("replay_inside_10_uniform_sedonadb"),
    (1_000, "tracks"): budget("replay_inside_1000_tracks_sedonadb"),
    (1_000, "uniform"): budget("replay_inside_1000_uniform_sedonadb"),
    (10_000, "tracks"): budget("replay_inside_10000_tracks_sedonadb"),
    (10_000, "uniform"): budget("replay_inside_10000_uniform_sedonadb"),
}
SIGNED_SHAPELY = {
    (10, "tracks"): budget("replay_signed_10_tracks_shapely"),
    (10, "uniform"): budget("replay_signed_10_uniform_shapely"),
    (1_000, "tracks"): budget("replay_signed_1000_tracks_shapely"),
    (1_000, "uniform"): budget("replay_signed_1000_uniform_shapely"),
    (10_000, "tracks"): budget("replay_signed_10000_tracks_shapely"),
    (10_000, "uniform"): budget("replay_signed_10000_uniform_shapely"),
}
SIGNED_SEDONA = {
    (1_000, "tracks"): budget("replay_signed_1000_tracks_sedonadb"),
    (1_000, "uniform"): budget("replay_signed_1000_uniform_sedonadb"),
}
MODES = [(zones, stream) for zones, stream in INSIDE_SHAPELY if FULL or zones < 10_000]


@cache
def peer_of(zones: int) -> peers.Shapely:
    """Prepared once."""
    return peers.Shapely(shared_zones(zones))


@cache
def sedona_of(zones: int) -> Sedona:
    """Connected once."""
    return Sedona(peer_of(zones))


def history(stream: str, n: int) -> Fixes:
    """Fixes in the order that the stream has."""
    return tracks(n) if stream == "tracks" else uniform(n)


def inside_pairs(zones: ZoneSet, fixes: Fixes) -> tuple[I64, I64]:
    """Ours: fix and zone of every fix that is in a zone."""
    found = zones.table.containing(fixes.lat_deg, fixes.lon_deg)
    return np.repeat(np.arange(len(fixes)), np.diff(found.fix_ptr)), found.zone_idx


def near_pairs(zones: ZoneSet, fixes: Fixes) -> peers.Pairs:
    """Ours: fix, zone and signed distance within the band."""
    found = zones.table.near(fixes.lat_deg, fixes.lon_deg, BAND_M)
    return np.repeat(np.arange(len(fixes)), np.diff(found.fix_ptr)), found.zone_idx, found.signed_distance_m


@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize(("n_zones", "stream"), MODES)
def test_inside(n_zones: int, stream: str, contest: Callable[..., Any]) -> None:
    zones, peer, sedona = shared_zones(n_zones), peer_of(n_zones), sedona_of(n_zones)
    fixes = history(stream, FIXES[n_zones])
    some = fixes[:CHECKED] if n_zones > 10 else fixes
    want = peers.shared_inside_tree(peer, some)
    agree.same_inside_pairs(inside_pairs(zones, some), want, zones)
    agree.same_inside_pairs(sedona.inside_of(some), want, zones)
    sedona.load(fixes.lon_deg, fixes.lat_deg, "history")
    rivals: dict[str, Callable[[], Any]] = {
        "shapely tree of boxes": lambda: peers.shared_inside_tree(peer, fixes),
        "sedonadb": lambda: sedona.inside("history"),
    }
    if n_zones <= peers.LOOP_UP_TO_ZONES:
        agree.same_inside_pairs(peers.shared_inside_loop(peer, some), want, zones)
        rivals["shapely boxes"] = lambda: peers.shared_inside_loop(peer, fixes)
    gates = [
        Gate(budget=INSIDE_SHAPELY[n_zones, stream], against=[name for name in rivals if "shapely" in name]),
        Gate(budget=INSIDE_SEDONA[n_zones, stream], against=["sedonadb"]),
    ]
    contest(
        f"replay, {n_zones:,} zones, {stream}, inside",
        lambda: zones.table.containing(fixes.lat_deg, fixes.lon_deg),
        rivals,
        gates,
        items=len(fixes),
    )


@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize(("n_zones", "stream"), MODES)
def test_signed(n_zones: int, stream: str, contest: Callable[..., Any]) -> None:
    zones, peer = shared_zones(n_zones), peer_of(n_zones)
    fixes = history(stream, FIXES[n_zones])
    some, checked = (fixes[:SIGNED_FIXES], fixes[:CHECKED]) if n_zones > 10 else (fixes, fixes)
    agree.same_pairs(near_pairs(zones, checked), peers.shared_signed(peer, checked), zones, checked)
    rivals: dict[str, Callable[[], Any]] = {"shapely boxes, dwithin": lambda: peers.shared_signed(peer, some)}
    items = {"ours": len(fixes), "shapely boxes, dwithin": len(some)}
    gates = [Gate(budget=SIGNED_SHAPELY[n_zones, stream], against=["shapely boxes, dwithin"])]
    if (n_zones, stream) in SIGNED_SEDONA:
        sedona, few = sedona_of(n_zones), fixes[:SEDONA_SIGNED_FIXES]
        sedona.load_flat(few, "few")
        agree.same_inside_pairs(_negative(sedona.signed("few")), _negative(peers.shared_signed(peer, few)), zones)
        rivals["sedonadb"] = lambda: sedona.signed("few")
        items["sedonadb"] = len(few)
        gates.append(Gate(budget=SIGNED_SEDONA[n_zones, stream], against=["sedonadb"]))
    contest(
        f"replay, {n_zones:,} zones, {stream}, signed 250 m",
        lambda: zones.table.near(fixes.lat_deg, fixes.lon_deg, BAND_M),
        rivals,
        gates,
        items=items,
    )


def _negative(pairs: peers.Pairs) -> tuple[I64, I64]:
    inside = pairs[2] < 0
    return pairs[0][inside], pairs[1][inside]
