"""One epoch of a fleet: one fix per tag, projection included.

Own: eight zones per tag, through `AssignedZones`; 500 homes, so that from the 501st tag on neighbours share a home's
zones (4,000 zones, 20 MB of index; a core's own cache holds 1 to 2). ``TAGRIG_BENCH=full`` gives each of 20,000 tags
zones of its own. Shared: 1,000 zones of an agency, through `ZoneTable.near`. Whole: 100,000 tags with both, a second's
work of a large bridge; the time is in the table. Peers: shapely with every pair; shapely behind a circle filter in
NumPy; sedonadb on all cores, for the side alone, with the table of fixes made each epoch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import geofence_core as gc
from benchmarks import agree, peers
from benchmarks.gate import FULL, Gate, budget
from benchmarks.sedona import Sedona
from benchmarks.workloads import BAND_M, I64, OWN, Fixes, ZoneSet, epoch, own_zones, shared_zones, uniform

OWN_SHAPELY = {
    64: budget("own_epoch_64_shapely"),
    1_000: budget("own_epoch_1000_shapely"),
    20_000: budget("own_epoch_20000_shapely"),
    100_000: budget("own_epoch_100000_shapely"),
}
OWN_HYBRID = {
    64: budget("own_epoch_64_hybrid"),
    1_000: budget("own_epoch_1000_hybrid"),
    20_000: budget("own_epoch_20000_hybrid"),
    100_000: budget("own_epoch_100000_hybrid"),
}
SHARED_SHAPELY = {
    64: budget("shared_epoch_64_shapely"),
    1_000: budget("shared_epoch_1000_shapely"),
    20_000: budget("shared_epoch_20000_shapely"),
    100_000: budget("shared_epoch_100000_shapely"),
}
SHARED_SEDONA = {
    1_000: budget("shared_epoch_1000_sedonadb"),
    20_000: budget("shared_epoch_20000_sedonadb"),
}
WHOLE = budget("whole_epoch_100000")
SHARED = 1_000
PEER_FIXES = 20_000
"""Shapely's share of the epoch of 100,000, which would take a second a round; times are per fix."""


class OwnEpoch:
    """Tags, their zones, and one fix each."""

    def __init__(self, tags: int) -> None:
        homes = tags if FULL and tags <= 20_000 else 500
        self.zones, home = own_zones(homes)
        self.tag = np.arange(tags)
        at, self.fixes = epoch(home, tags)
        self.fix = np.repeat(self.tag, OWN)
        self.zone: I64 = (at[:, None] * OWN + np.arange(OWN)).ravel()
        self.assigned = gc.AssignedZones(self.zones.table, self.fix, self.zone)

    def ours(self) -> gc.FixZones:
        """Signed distance of every pair."""
        return self.assigned.signed_distance_m(self.tag, self.fixes.lat_deg, self.fixes.lon_deg)

    def peers(self, upto: int) -> dict[str, Callable[[], Any]]:
        """Shapely's forms on the first so many tags."""
        peer, some = _peer(self.zones), self.fixes[:upto]
        fix, zone = self.fix[: upto * OWN], self.zone[: upto * OWN]
        return {
            "shapely distance": lambda: peers.own_distance(peer, fix, zone, some),
            "circles, then shapely": lambda: peers.own_hybrid(peer, fix, zone, some),
        }

    def check(self) -> None:
        """Ours and the peers say the same."""
        some = min(len(self.fixes), 5_000)
        got = self.ours()
        rows = slice(0, some * OWN)
        assert np.array_equal(got.fix_ptr, np.arange(len(self.fixes) + 1) * OWN)
        assert np.array_equal(got.zone_idx, self.zone)
        lon = self.fixes.lon_deg[self.fix[rows]]
        for name, peer in self.peers(some).items():
            agree.same_distances(
                got.signed_distance_m[rows],
                peer(),
                self.zones,
                self.zone[rows],
                lon,
                far_is_exact="circles" not in name,
            )


_PEERS: dict[int, peers.Shapely] = {}


def _peer(zones: ZoneSet) -> peers.Shapely:
    """Prepared once per set of zones."""
    return _PEERS.setdefault(id(zones), peers.Shapely(zones))


@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize("tags", OWN_SHAPELY)
def test_own_zones(tags: int, contest: Callable[..., Any]) -> None:
    scene = OwnEpoch(tags)
    scene.check()
    upto = min(tags, PEER_FIXES)
    rivals = scene.peers(upto)
    gates = [
        Gate(budget=OWN_SHAPELY[tags], against=["shapely distance"]),
        Gate(budget=OWN_HYBRID[tags], against=["circles, then shapely"]),
    ]
    items = dict.fromkeys(rivals, upto * OWN) | {"ours": tags * OWN}
    contest(f"epoch, {tags:,} tags x {OWN} own zones (per pair)", scene.ours, rivals, gates, items=items)


def near(zones: ZoneSet, fixes: Fixes) -> peers.Pairs:
    """Ours, as pairs."""
    found = zones.table.near(fixes.lat_deg, fixes.lon_deg, BAND_M)
    return np.repeat(np.arange(len(fixes)), np.diff(found.fix_ptr)), found.zone_idx, found.signed_distance_m


@pytest.mark.parametrize("tags", SHARED_SHAPELY)
def test_shared_zones(tags: int, contest: Callable[..., Any]) -> None:
    zones, fixes = shared_zones(SHARED), uniform(tags)
    peer = _peer(zones)
    some = fixes[:PEER_FIXES]
    agree.same_pairs(near(zones, some), peers.shared_signed(peer, some), zones, some)
    rivals: dict[str, Callable[[], Any]] = {"shapely boxes, dwithin": lambda: peers.shared_signed(peer, some)}
    gates = [Gate(budget=SHARED_SHAPELY[tags], against=["shapely boxes, dwithin"])]
    if tags in SHARED_SEDONA:
        sedona = Sedona(peer)
        agree.same_inside_pairs(sedona.inside_of(some), peers.shared_inside_tree(peer, some), zones)
        rivals["sedonadb, inside only"] = lambda: sedona.inside_of(fixes)
        gates.append(Gate(budget=SHARED_SEDONA[tags], against=["sedonadb, inside only"]))
    items = {"ours": tags, "shapely boxes, dwithin": len(some), "sedonadb, inside only": tags}
    contest(
        f"epoch, {tags:,} tags, {SHARED:,} shared zones, signed",
        lambda: zones.table.near(fixes.lat_deg, fixes.lon_deg, BAND_M),
        rivals,
        gates,
        items=items,
    )


def test_whole_epoch(contest: Callable[..., Any]) -> None:
    """100,000 tags, eight own zones each, and 1,000 shared ones."""
    tags = 100_000
    own, shared = OwnEpoch(tags), shared_zones(SHARED)
    fixes, some = own.fixes, own.fixes[:PEER_FIXES]
    own.check()
    peer = _peer(shared)
    agree.same_pairs(near(shared, some), peers.shared_signed(peer, some), shared, some)
    own_peer = own.peers(PEER_FIXES)["circles, then shapely"]

    def ours() -> None:
        own.ours()
        shared.table.near(fixes.lat_deg, fixes.lon_deg, BAND_M)

    def theirs() -> None:
        own_peer()
        peers.shared_signed(peer, some)

    contest(
        f"whole epoch, {tags:,} tags, {OWN} own and {SHARED:,} shared (per tag)",
        ours,
        {"circles, then shapely": theirs},
        [Gate(budget=WHOLE, against=["circles, then shapely"])],
        items={"ours": tags, "circles, then shapely": len(some)},
        seconds=2.0,
    )
