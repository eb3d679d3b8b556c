"""Ours and the peer must say the same before anybody's speed counts.

The peers' plane is not the ground: its edges are straight where drawn ones bend (`plane.bend_m`, up to 0.1 m for edges
of 1.5 km), and its metres grow by up to 2e-5 towards the region's sides (`plane.scale`). The first is allowed for, zone
by zone; the second is taken out. What is left must be within a millimetre.
"""

import numpy as np

from benchmarks import plane
from benchmarks.peers import Bool, Pairs
from benchmarks.workloads import BAND_M, F64, I64, Fixes, ZoneSet

TOLERANCE_M = 1e-3


def same_distances(
    ours: F64, peer: F64, zones: ZoneSet, zone: I64, lon_deg: F64, *, exact: bool = False, far_is_exact: bool = True
) -> None:
    """Signed distances of the same pairs.

    In the band (everywhere with ``exact``) ours equals the peer's; beyond it ours has the peer's side and, where the
    peer knows the distance (``far_is_exact``), a size between the band and that distance.
    """
    assert ours.shape == peer.shape
    assert ours.size, "nothing to compare"
    want = peer / plane.scale(lon_deg)
    allowed = TOLERANCE_M + plane.bend_m(zones.polygons)[zone]
    if exact:
        # Far away the plane's scale is that of neither end.
        allowed = allowed + np.abs(want) * 2.5e-5
    near = np.abs(want) <= (np.inf if exact else BAND_M - 0.1)
    off = np.abs(ours - want)
    worst = np.argmax(np.where(near, off - allowed, -np.inf))
    assert (off <= allowed)[near].all(), f"ours {ours[worst]} m, peer {want[worst]} m, zone {zone[worst]}"
    far = ~near
    assert ((ours < 0) == (want < 0))[far].all(), "sides differ beyond the band"
    if not exact:
        assert (np.abs(ours[far]) >= BAND_M - 0.2).all(), "a bound that is not beyond the band"
        if far_is_exact:
            assert (np.abs(ours) <= np.abs(want) * (1 + 1e-6) + allowed)[far].all(), "a bound beyond the distance"


def same_sides(ours: Bool, peer: Bool) -> None:
    """No fix of a seeded workload lies on a boundary."""
    assert np.array_equal(ours, peer), f"{int((ours != peer).sum())} of {ours.size} sides differ"


def same_inside_pairs(ours: tuple[I64, I64], peer: tuple[I64, I64], zones: ZoneSet) -> None:
    """Which fix is in which zone."""
    n = len(zones)
    a, b = (np.sort(fix.astype(np.int64) * n + zone) for fix, zone in (ours, peer))
    assert b.size, "nothing to compare"
    odd = np.setxor1d(a, b)
    assert not odd.size, f"{odd.size} of {b.size} pairs differ, first fix {odd[0] // n}, zone {odd[0] % n}"


def same_pairs(ours: Pairs, peer: Pairs, zones: ZoneSet, fixes: Fixes) -> None:
    """Sparse answers: the same pairs but for those on the band's very edge, and the same distances."""
    n = len(zones)
    keys = [fix.astype(np.int64) * n + zone for fix, zone, _ in (ours, peer)]
    edge = 0.2
    for key, d, other in ((keys[0], ours[2], keys[1]), (keys[1], peer[2], keys[0])):
        only = ~np.isin(key, other)
        assert (d[only] > BAND_M - edge).all(), f"{int(only.sum())} pairs only one side found"
    _, at_ours, at_peer = np.intersect1d(*keys, return_indices=True)
    fix, zone = keys[0][at_ours] // n, keys[0][at_ours] % n
    same_distances(ours[2][at_ours], peer[2][at_peer], zones, zone, fixes.lon_deg[fix], far_is_exact=False)
