"""The core equals the oracle over zones and places that hypothesis thinks up."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import geofence_core as gc
from rig.truth.geometry import TrueZone
from tests.geofence_core.drawing import M_PER_DEG, circle, corridor, multipolygon, polygon, star, table

SIDE_M = 1e-6
"""Fixes further than this from the boundary must be on the right side."""

# Latitudes up to 85 degrees, longitudes with the antimeridian in reach, zones from a metre to 30 km.
places = st.tuples(
    st.floats(-85, 85), st.sampled_from([0.0, 12.3, -75.0, 179.9995, -179.9, 180.0]) | st.floats(-179, 179)
)
sizes = st.floats(0, 4.5).map(lambda e: 10.0**e)
seeds = st.integers(0, 2**32 - 1)
reaches = st.lists(st.tuples(st.floats(-2.5, 2.5), st.floats(-2.5, 2.5)), min_size=3, max_size=6)


def error_bound_m(distance_m: float) -> float:
    """Stated bound: 2 mm where two bent edges are equally near, 1e-5 of long distances, what a wide reach adds."""
    return 2.5e-3 + 1e-5 * abs(distance_m)


def at(lat: float, lon: float, size: float, reach: tuple[float, float]) -> tuple[float, float]:
    """A fix within a few sizes of the zone."""
    to_lon = lon + reach[1] * size / (M_PER_DEG * math.cos(math.radians(lat)))
    return lat + reach[0] * size / M_PER_DEG, (to_lon + 180.0) % 360.0 - 180.0


def agree(z: gc.ZoneTable, truth: TrueZone, fixes: list[tuple[float, float]]) -> None:
    lat, lon = (np.array(c) for c in zip(*fixes, strict=True))
    exact = z.signed_distance_m(lat, lon, exact=True)[:, 0]
    quick = z.signed_distance_m(lat, lon)[:, 0]
    inside = z.contains(lat, lon)[:, 0]
    ptr, _, near = z.near(lat, lon, 100.0)
    for i, (a, o) in enumerate(fixes):
        want = truth.signed_distance_m(a, o)
        bound = error_bound_m(want)
        assert abs(abs(exact[i]) - abs(want)) <= bound, (a, o, exact[i], want)
        is_area = z.kinds[0] in ("polygon", "multipolygon")
        if abs(want) > (SIDE_M if is_area else bound):
            assert inside[i] == (want < 0), (a, o, want)
        assert inside[i] == (exact[i] <= 0) == (quick[i] <= 0)
        assert abs(quick[i]) <= abs(exact[i])
        if abs(exact[i]) <= z.band_m:
            assert quick[i] == exact[i]
        assert near[ptr[i] : ptr[i + 1]].tolist() == ([quick[i]] if exact[i] <= 100.0 else [])


def feature_of(z: gc.ZoneTable) -> dict[str, object]:
    """The zone as it was mended: cut at the antimeridian where it crossed it."""
    return multipolygon(*[[r.tolist() for r in rings] for rings in z.shapes[0].polygons])


@settings(max_examples=25)
@given(places, sizes, seeds, st.integers(3, 40), st.booleans(), reaches)
def test_polygons_with_holes(
    place: tuple[float, float], size: float, seed: int, vertices: int, hole: bool, where: list[tuple[float, float]]
) -> None:
    rng = np.random.default_rng(seed)
    assume(abs(place[0]) + 1.5 * size / M_PER_DEG < 89)
    rings = [star(rng, *place, size, max(vertices, 5))]
    if hole:
        rings.append(star(rng, *place, size * 0.3, 6)[::-1])
    z = table(polygon(*rings), mend=True)
    agree(
        z, TrueZone(feature_of(z)), [at(*place, size, r) for r in where if abs(place[0] + r[0] * size / M_PER_DEG) < 90]
    )


@settings(max_examples=20)
@given(places, sizes, seeds, st.integers(0, 10), st.floats(-3, 3))
def test_fixes_at_the_boundary(place: tuple[float, float], size: float, seed: int, corner: int, log_gap: float) -> None:
    """On a vertex, on an edge, and a hair's breadth to either side."""
    rng = np.random.default_rng(seed)
    assume(abs(place[0]) + 1.5 * size / M_PER_DEG < 89)
    z = table(polygon(star(rng, *place, size, 11)), mend=True)
    ring = z.shapes[0].polygons[0][0]
    a, b = ring[corner % (len(ring) - 1)], ring[corner % (len(ring) - 1) + 1]
    gap = 10.0**log_gap * 1e-6 * np.array([-1.0, 1.0, 0.0])
    fixes = [(float(a[1]), float(a[0]))]
    fixes += [(float((a[1] + b[1]) / 2 + g), float((a[0] + b[0]) / 2)) for g in gap]
    assert z.contains(*fixes[0]).all()
    agree(z, TrueZone(feature_of(z)), fixes)


@settings(max_examples=20)
@given(places, sizes, reaches)
def test_circles(place: tuple[float, float], size: float, where: list[tuple[float, float]]) -> None:
    drawn = circle(*place, size)
    fixes = [at(*place, size, r) for r in where if abs(place[0] + r[0] * size / M_PER_DEG) < 90]
    assume(fixes)
    agree(table(drawn), TrueZone(drawn), fixes)


@settings(max_examples=20)
@given(places, sizes, seeds, st.integers(2, 9), st.floats(0.01, 0.5), reaches)
def test_corridors(
    place: tuple[float, float], size: float, seed: int, positions: int, width: float, where: list[tuple[float, float]]
) -> None:
    assume(abs(place[0]) + 1.5 * size / M_PER_DEG < 89)
    line = star(np.random.default_rng(seed), *place, size, max(positions, 4))[:positions]
    drawn = corridor(line, size * width)
    fixes = [at(*place, size, r) for r in where if abs(place[0] + r[0] * size / M_PER_DEG) < 90]
    assume(fixes and max(abs(p[0]) for p in line) <= 180.0)
    agree(table(drawn, mend=True), TrueZone(drawn), fixes)


@settings(max_examples=30)
@given(seeds, st.lists(st.integers(0, 300), max_size=6), st.floats(0, 800))
def test_histories_cut_anywhere_give_the_same_transitions(seed: int, cuts: list[int], margin: float) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    zones = table(circle(53.0, -2.0, 400.0, "a"), polygon(star(rng, 53.0, -2.0, 900.0, 9), zone_id="b"))
    own = gc.AssignedZones(zones, [0, 0, 1], [0, 1, 1])
    lat = 53.0 + rng.normal(0, 0.008, n)
    lat[rng.uniform(size=n) < 0.1] = np.nan
    fixes = gc.FixColumns.of(rng.integers(0, 2, n), np.sort(rng.integers(0, n, n)), lat, -2.0 + rng.normal(0, 0.01, n))
    want_state, want = gc.evaluate(own, gc.FenceState.unknown(own), fixes, exit_margin_m=margin)
    state, found = gc.FenceState.unknown(own), []
    edges = sorted({0, n, *cuts})
    for a, b in pairwise(edges):
        part = gc.FixColumns(*(getattr(fixes, c)[a:b] for c in fixes.__slots__))
        state, some = gc.evaluate(own, state, part, exit_margin_m=margin)
        found += [(int(f) + a, int(z), int(k)) for f, z, k in zip(some.fix_idx, some.zone_idx, some.kind, strict=True)]
    assert sorted(found) == sorted(zip(want.fix_idx.tolist(), want.zone_idx.tolist(), want.kind.tolist(), strict=True))
    assert np.array_equal(state.inside, want_state.inside)
