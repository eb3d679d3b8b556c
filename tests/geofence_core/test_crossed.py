"""Zones swept between two fixes: against GEOS in longitude and latitude, against places along the way, and by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import geofence_core as gc
from tests.geofence_core.drawing import (
    box,
    circle,
    collection,
    corridor,
    metres,
    mixed,
    multipolygon,
    polygon,
    scatter,
    star,
    table,
)

Rows = list[tuple[int, float, float]]


def rows(zones: gc.ZoneTable, *segment: float) -> Rows:
    """What one segment touches: (zone, entry, exit)."""
    got = zones.crossed(*segment)
    assert got.segment_ptr.tolist() == [0, got.zone_idx.size]
    return list(zip(got.zone_idx.tolist(), got.entry.tolist(), got.exit.tolist(), strict=True))


def dense(zones: gc.ZoneTable, got: gc.CrossedZones) -> tuple[np.ndarray, np.ndarray]:
    """Entry and exit as (N, Z), NaN where untouched."""
    n = got.segment_ptr.size - 1
    entry, exit_ = np.full((2, n, len(zones)), np.nan)
    segment = np.repeat(np.arange(n), np.diff(got.segment_ptr))
    entry[segment, got.zone_idx] = got.entry
    exit_[segment, got.zone_idx] = got.exit
    return entry, exit_


def segments(rng: np.random.Generator, n: int, length_m: float, **where: float) -> tuple[np.ndarray, ...]:
    lat, lon = scatter(rng, n, **where)
    to_lat, to_lon = metres(0.0, 0.0, *rng.normal(0, length_m, (2, n)))
    return lat, lon, np.clip(lat + to_lat, -89.9, 89.9), lon + to_lon / np.cos(np.radians(lat))


def check_ends(zones: gc.ZoneTable, got: gc.CrossedZones, way: tuple[np.ndarray, ...]) -> None:
    entry, exit_ = dense(zones, got)
    assert np.array_equal(entry == 0.0, zones.contains(way[0], way[1]))
    assert np.array_equal(exit_ == 1.0, zones.contains(way[2], way[3]))
    assert (got.entry <= got.exit).all()
    assert (got.entry >= 0.0).all() and (got.exit <= 1.0).all()
    segment = np.repeat(np.arange(got.segment_ptr.size - 1), np.diff(got.segment_ptr))
    assert (np.diff(segment * len(zones) + got.zone_idx) > 0).all()


@pytest.mark.parametrize("length_m", [3.0, 300.0, 30_000.0])
def test_polygons_against_geos(length_m: float) -> None:
    rng = np.random.default_rng(int(length_m))
    zones = mixed(rng, 60)
    way = segments(rng, 1_500, length_m)
    got = zones.crossed(*way)
    check_ends(zones, got, way)
    entry, exit_ = dense(zones, got)
    lines = shapely.linestrings(np.stack([np.column_stack(way[1::-1]), np.column_stack(way[:1:-1])], axis=1))
    areas = [z for z, shape in enumerate(zones.shapes) if shape.polygons]
    assert len(areas) == 30
    touched = 0
    for z in areas:
        drawn = shapely.MultiPolygon([shapely.Polygon(r[0], r[1:]) for r in zones.shapes[z].polygons])
        shapely.prepare(drawn)
        meets = shapely.intersects(drawn, lines)
        assert np.array_equal(meets, ~np.isnan(entry[:, z]))
        for i in np.flatnonzero(meets):
            shared = shapely.get_coordinates(shapely.intersection(lines[i], drawn))
            along = (shared - shapely.get_coordinates(lines[i])[0]) @ np.array(
                [way[3][i] - way[1][i], way[2][i] - way[0][i]]
            )
            along /= shapely.length(lines[i]) ** 2
            assert entry[i, z] == pytest.approx(along.min(), abs=1e-9)
            assert exit_[i, z] == pytest.approx(along.max(), abs=1e-9)
            touched += 1
    assert touched > 40


@given(
    seed=st.integers(0, 10_000),
    scale_m=st.sampled_from([0.5, 30.0, 2_000.0, 300_000.0]),
    lat=st.sampled_from([0.0, -33.0, 53.0, 84.0]),
)
@settings(deadline=None, max_examples=60)
def test_random_zones_with_holes_against_geos(seed: int, scale_m: float, lat: float) -> None:
    rng = np.random.default_rng(seed)
    ring = star(rng, lat, 10.0, scale_m, int(rng.integers(3, 30)))
    hole = star(rng, lat, 10.0, scale_m * 0.2, int(rng.integers(3, 12)))[::-1]
    drawn = shapely.Polygon(ring, [hole])
    if not drawn.is_valid:
        return
    zones = gc.ZoneTable.from_shapely([drawn], ["z"])
    way = segments(rng, 80, scale_m, lat=lat, lon=10.0, span_m=1.5 * scale_m)
    # Some through corners, and some from corner to corner.
    way[0][:10], way[1][:10] = ring[0][1], ring[0][0]
    way[2][5:15], way[3][5:15] = hole[1][1], hole[1][0]
    got = zones.crossed(*way)
    check_ends(zones, got, way)
    entry, exit_ = (values[:, 0] for values in dense(zones, got))
    for i in range(80):
        line = shapely.LineString([(way[1][i], way[0][i]), (way[3][i], way[2][i])])
        shared = shapely.intersection(line, drawn)
        if shapely.is_empty(shared) != np.isnan(entry[i]):
            # One place that rounding puts on either side.
            assert drawn.distance(line) < 1e-12
            continue
        if np.isnan(entry[i]):
            continue
        along = [line.project(shapely.Point(xy), normalized=True) for xy in shapely.get_coordinates(shared)]
        assert entry[i] == pytest.approx(min(along), abs=1e-7)
        assert exit_[i] == pytest.approx(max(along), abs=1e-7)


@pytest.mark.parametrize("length_m", [5.0, 800.0, 20_000.0])
def test_all_kinds_against_places_along_the_way(length_m: float) -> None:
    rng = np.random.default_rng(int(length_m) + 1)
    zones = mixed(rng, 120)
    way = segments(rng, 2_000, length_m)
    got = zones.crossed(*way)
    check_ends(zones, got, way)
    entry, exit_ = dense(zones, got)
    lat0, lon0, lat1, lon1 = way
    for f in np.linspace(0, 1, 61):
        held = zones.contains(lat0 + f * (lat1 - lat0), lon0 + f * (lon1 - lon0))
        # Fractions of a way that are shorter than a micrometre say nothing.
        assert not (held & ~((f >= entry - 1e-7) & (f <= exit_ + 1e-7))).any()
    for place in (entry, exit_):
        i, z = np.nonzero((place > 0.0) & (place < 1.0))
        assert i.size >= 3
        where = place[i, z]
        at = lat0[i] + where * (lat1 - lat0)[i], lon0[i] + where * (lon1 - lon0)[i]
        signed = zones.signed_distance_m(*at)[np.arange(i.size), z]
        assert np.abs(signed).max() < 1.1e-5


def test_a_large_circle_and_a_wide_corridor_over_long_ways() -> None:
    rng = np.random.default_rng(8)
    zones = table(circle(50, 5, 4e5, "c"), circle(10, 170, 3e6, "big"), corridor([[0, 40], [20, 60]], 2e5, "w"))
    lat, lon = rng.uniform(-40, 80, (2, 300)), rng.uniform(-170, 170, (2, 300))
    way = lat[0], lon[0], lat[1], np.clip(lon[1], lon[0] - 179, lon[0] + 179)
    got = zones.crossed(*way)
    check_ends(zones, got, way)
    entry, exit_ = dense(zones, got)
    wrapped = [(way[1] + f * (way[3] - way[1]) + 180) % 360 - 180 for f in np.linspace(0, 1, 201)]
    for f, at_lon in zip(np.linspace(0, 1, 201), wrapped, strict=True):
        held = zones.contains(way[0] + f * (way[2] - way[0]), at_lon)
        assert not (held & ~((f >= entry - 1e-7) & (f <= exit_ + 1e-7))).any()
    i, z = np.nonzero((entry > 0.0) & (entry < 1.0))
    f = entry[i, z]
    at = way[0][i] + f * (way[2] - way[0])[i], way[1][i] + f * (way[3] - way[1])[i]
    rim = zones.signed_distance_m(*at, exact=True)[np.arange(i.size), z]
    assert np.abs(rim[z < 2]).max() < 1e-3
    assert np.abs(rim[z == 2]).max() < 0.05
    assert {0, 1, 2} <= set(z.tolist())


HOLED = polygon(box(10, 50, 10.04, 50.04), box(10.01, 50.01, 10.03, 50.03)[::-1])
PARTS = multipolygon([box(10, 50, 10.01, 50.01)], [box(10.03, 50, 10.04, 50.01)])


@pytest.mark.parametrize(
    ("zone", "segment", "want"),
    [
        (HOLED, (50.02, 9.98, 50.02, 10.06), (0.25, 0.75)),
        (HOLED, (50.02, 10.005, 50.02, 10.035), (0.0, 1.0)),
        (HOLED, (50.02, 10.02, 50.02, 10.06), (0.25, 0.5)),
        (HOLED, (50.02, 10.015, 50.02, 10.025), None),
        (HOLED, (50.02, 10.01, 50.02, 10.02), (0.0, 0.0)),
        (HOLED, (49.99, 10.0, 50.01, 9.98), None),
        (HOLED, (49.99, 10.01, 50.01, 9.99), (0.5, 0.5)),
        (HOLED, (50.01, 10.0, 50.03, 9.98), (0.0, 0.0)),
        (HOLED, (50.01, 9.99, 50.01, 10.0), (1.0, 1.0)),
        (HOLED, (50.0, 9.99, 50.0, 10.05), (1 / 6, 5 / 6)),
        (HOLED, (50.0, 10.01, 50.0, 10.02), (0.0, 1.0)),
        (HOLED, (50.03, 10.005, 50.03, 10.05), (0.0, 7 / 9)),
        (HOLED, (50.01, 10.01, 50.02, 10.02), (0.0, 0.0)),
        (HOLED, (50.035, 10.02, 50.035, 10.02), (0.0, 1.0)),
        (HOLED, (50.02, 10.02, 50.02, 10.02), None),
        (HOLED, (50.04, 10.04, 50.04, 10.04), (0.0, 1.0)),
        (PARTS, (50.005, 9.99, 50.005, 10.05), (1 / 6, 5 / 6)),
        (PARTS, (50.005, 10.005, 50.005, 10.035), (0.0, 1.0)),
        (PARTS, (50.005, 10.015, 50.005, 10.025), None),
    ],
)
def test_entry_and_exit_by_hand(
    zone: dict[str, object], segment: tuple[float, ...], want: tuple[float, float] | None
) -> None:
    got = rows(table(zone), *segment)
    assert len(got) == (0 if want is None else 1)
    if want is not None:
        assert got[0] == (0, pytest.approx(want[0], abs=1e-12), pytest.approx(want[1], abs=1e-12))
        back = rows(table(zone), *segment[2:], *segment[:2])
        if segment[:2] != segment[2:]:
            assert back[0] == (0, pytest.approx(1 - want[1], abs=1e-12), pytest.approx(1 - want[0], abs=1e-12))


FIJI = multipolygon([box(179, -18, 180, -16)], [box(-180, -18, -179, -16)])


@pytest.mark.parametrize(
    ("zone", "segment", "want"),
    [
        (FIJI, (-17, 178, -17, -178), (0.25, 0.75)),
        (FIJI, (-17, -178, -17, 178), (0.25, 0.75)),
        (FIJI, (-17, 178, -17, 182), (0.25, 0.75)),
        (FIJI, (-17, 179.5, -17, -179.5), (0.0, 1.0)),
        (FIJI, (-17, 179.5, -17, 180), (0.0, 1.0)),
        (FIJI, (-19, 180, -15, 180), (0.25, 0.75)),
        (FIJI, (-19, 180, -15, -180), (0.25, 0.75)),
        (FIJI, (-19, 179, -15, -179), (0.25, 0.75)),
        (FIJI, (-17, 170, -17, 175), None),
        (FIJI, (-17, -100, -17, 100), (79 / 160, 81 / 160)),
        (polygon(box(179, -18, 180, -16)), (-17, -179, -17, -180), (1.0, 1.0)),
        (polygon(box(179, -18, 180, -16)), (-17, -179, -17, 179.5), (2 / 3, 1.0)),
        (polygon(box(179, -18, 180, -16)), (-19, -180, -15, -180), (0.25, 0.75)),
        (polygon(box(-180, -18, -179, -16)), (-17, 179, -17, -178.5), (0.4, 0.8)),
        (polygon(box(-180, 80, 180, 90)), (70, 0, 90, 0), (0.5, 1.0)),
        (polygon(box(-180, 80, 180, 90)), (70, 170, 90, -170), (0.5, 1.0)),
        (polygon(box(0, 80, 90, 90)), (85, 120, 90, 120), (1.0, 1.0)),
        (polygon(box(0, 80, 90, 90)), (90, 120, 85, 120), (0.0, 0.0)),
        (polygon(box(-180, 10, 180, 20)), (0, 180, 40, 179), (0.25, 0.5)),
        (polygon(box(-180, -90, 180, 90), box(10, 10, 11, 11)[::-1]), (10.5, 10.5, 10.5, 12.5), (0.25, 1.0)),
        (polygon(box(-180, -90, 180, 90), box(10, 10, 11, 11)[::-1]), (50, 50, 51, 50), (0.0, 1.0)),
        (circle(90, 0, 111_694.0), (88, 30, 90, 30), (0.5, 1.0)),
        (circle(-17, 180, 50_000.0), (-17, 179, -17, -179), (0.2652, 0.7348)),
        (circle(0, 0, 100.0), (-0.01, 0, 0.01, 0), (0.45478, 0.54522)),
        (corridor([[179.9, 0], [180, 0]], 1_000.0), (-0.1, 180, 0.1, 180), (0.45478, 0.54522)),
        (corridor([[179.9, 0], [180, 0]], 1_000.0), (-0.1, -180, 0.1, -180), (0.45478, 0.54522)),
    ],
)
def test_the_short_way_round_and_the_poles(
    zone: dict[str, object], segment: tuple[float, ...], want: tuple[float, float] | None
) -> None:
    got = rows(table(zone), *segment)
    assert len(got) == (0 if want is None else 1)
    if want is not None:
        assert got[0] == (0, pytest.approx(want[0], abs=2e-4), pytest.approx(want[1], abs=2e-4))
        assert (got[0][1] == 0.0) == (want[0] == 0.0)
        assert (got[0][2] == 1.0) == (want[1] == 1.0)


def test_a_way_that_turns_round_the_pole_within_metres_of_it() -> None:
    zones = table(circle(90, 0, 5.0, "in"), circle(89.9999, 90, 3.0, "beside"))
    got = rows(zones, 89.9999, 10.0, 89.9999, 170.0)
    assert [z for z, _, _ in got] == [1]
    assert got[0][1] == pytest.approx(0.5 - 0.096, abs=2e-3)
    assert got[0][2] == pytest.approx(0.5 + 0.096, abs=2e-3)


@pytest.mark.parametrize("gap_m", [-1e-3, -1e-5, 1e-5, 1e-3])
@pytest.mark.parametrize("kind", ["circle", "corridor"])
def test_grazing_a_rim(kind: str, gap_m: float) -> None:
    """Northwards past the rim, by less than a millimetre within or beyond it."""
    lat, lon = 53.0, -2.0
    zones = table(circle(lat, lon, 200.0) if kind == "circle" else corridor([[lon, lat], [lon - 0.01, lat]], 200.0))
    east, step = lon + 200.0 / 67_130.0, 1e-9
    for _ in range(40):
        d = zones.signed_distance_m([lat, lat], [east, east + step])[:, 0]
        east += step * (gap_m - d[0]) / (d[1] - d[0])
    assert zones.signed_distance_m(lat, east)[0, 0] == pytest.approx(gap_m, abs=1e-7)
    got = rows(zones, lat - 0.02, east, lat + 0.021, east)
    assert len(got) == (gap_m < 0)
    if got:
        assert got[0][2] - got[0][1] == pytest.approx(2 * np.sqrt(2 * 200 * -gap_m) / (0.041 * 111_300), rel=0.1)


def test_what_is_no_position_touches_nothing() -> None:
    zones = table(polygon(box(-10, -10, 10, 10)))
    way = np.array([[0.0, 0, 1, 1]] * 7)
    way[0, 0], way[1, 1], way[2, 2], way[3, 3] = (np.nan,) * 4
    way[4, 0], way[5, 3] = 91.0, np.inf
    got = zones.crossed(*way.T)
    assert got.segment_ptr.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    for i in range(4):
        for bad in (math.nan, math.inf, -math.inf, 400.0):
            one = [0.0, 0.0, 1.0, 1.0]
            one[i] = bad
            assert rows(zones, *one) == []
    assert zones.crossed([], [], [], []).segment_ptr.tolist() == [0]
    with pytest.raises(gc.ColumnError, match="lon1_deg"):
        zones.crossed([0.0], [0.0], [0.0], [0.0, 1.0])


def test_a_table_without_zones() -> None:
    got = gc.ZoneTable.from_geojson(collection()).crossed([0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0])
    assert got.segment_ptr.tolist() == [0, 0, 0]


def tracks(rng: np.random.Generator, n: int, step_m: float) -> tuple[np.ndarray, ...]:
    heading = np.cumsum(rng.normal(0, 0.2, n + 1))
    # Folded back into the zones' country.
    east, north = (20_000 * np.arcsin(np.sin(np.cumsum(step_m * f(heading)) / 20_000)) for f in (np.cos, np.sin))
    lat, lon = (np.asarray(c) for c in metres(53.2, -2.4, east, north))
    lat[rng.integers(0, n, 20)] = np.nan
    return lat[:-1], lon[:-1], lat[1:], lon[1:]


@pytest.mark.parametrize("step_m", [10.0, 400.0])
def test_cutting_and_shuffling_change_no_bit(step_m: float) -> None:
    rng = np.random.default_rng(12)
    zones = mixed(rng, 200)
    way = tracks(rng, 40_000, step_m)
    whole = zones.crossed(*way)
    order = rng.permutation(40_000)
    shuffled = zones.crossed(*(column[order] for column in way))
    for i, k in enumerate(order[:3_000]):
        a, b = slice(*whole.segment_ptr[k : k + 2]), slice(*shuffled.segment_ptr[i : i + 2])
        assert np.array_equal(whole.zone_idx[a], shuffled.zone_idx[b])
        assert np.array_equal(whole.entry[a], shuffled.entry[b])
        assert np.array_equal(whole.exit[a], shuffled.exit[b])
    assert whole.zone_idx.size == shuffled.zone_idx.size > 5_000
    cuts = [0, 1, 5_000, 16_384, 16_390, 33_333, 40_000]
    parts = [zones.crossed(*(column[a:b] for column in way)) for a, b in pairwise(cuts)]
    for name in ("zone_idx", "entry", "exit"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))


def test_a_cluster_of_small_zones_in_two_far_places() -> None:
    """Lines of the grid follow the zones: both towns are resolved, and a way between them meets what lies on it."""
    rng = np.random.default_rng(5)
    features = []
    for i in range(200):
        lat, lon = (53.0, -2.0) if i % 2 else (-37.0, 145.0)
        at = metres(lat, lon, *rng.uniform(-2_000, 2_000, 2))
        features.append(polygon(star(rng, *at, 60.0, 6), zone_id=f"z{i}"))
    zones = table(*features)
    way = tuple(
        np.append(a, b)
        for a, b in zip(
            segments(rng, 500, 500.0, lat=53.0, lon=-2.0, span_m=2_500.0),
            segments(rng, 500, 500.0, lat=-37.0, lon=145.0, span_m=2_500.0),
            strict=True,
        )
    )
    far = tuple(np.append(c, v) for c, v in zip(way, (53.0, -2.02, -37.0, 145.02), strict=True))
    got = zones.crossed(*far)
    check_ends(zones, got, far)
    entry, _ = dense(zones, got)
    lines = shapely.linestrings(np.stack([np.column_stack(far[1::-1]), np.column_stack(far[:1:-1])], axis=1))
    drawn = np.array([shapely.Polygon(s.polygons[0][0]) for s in zones.shapes])
    assert np.array_equal(~np.isnan(entry), shapely.intersects(lines[:, None], drawn))
