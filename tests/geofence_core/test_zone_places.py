"""Zones where maps fail: on the antimeridian, at the poles, round the globe, under a metre, with exclaves and holes."""

from typing import Any

import numpy as np
import pytest

import geofence_core as gc
from rig.truth.geometry import TrueZone, separation_m
from tests.geofence_core.drawing import M_PER_DEG, box, circle, corridor, multipolygon, polygon, star, table

CASES: dict[str, tuple[dict[str, Any], list[tuple[float, float]]]] = {
    "two parts meet on the antimeridian": (
        multipolygon([box(179.99, 10, 180, 10.02)], [box(-180, 10, -179.98, 10.01)]),
        [
            (10.005, 180.0),
            (10.005, -180.0),
            (10.015, 180.0),
            (10.015, -180.0),
            (10.005, 179.9999),
            (10.015, -179.9999),
            (10.015, 179.9999),
            (10.01, -180.0),
            (10.01, 180.0),
            (10.02, -180.0),
            (10.03, 180.0),
            (9.99, -179.999),
        ],
    ),
    "one part ends on the antimeridian": (
        polygon(box(179.99, 10, 180, 10.02)),
        [(10.01, 180.0), (10.01, -180.0), (10.01, -179.9999), (10.01, 179.9999), (10.02, -180.0), (10.021, 180.0)],
    ),
    "a cap round the north pole": (
        polygon(box(-180, 80, 180, 90)),
        [(85, 180), (85, -180), (80, 0), (79.9, 33), (80.1, 33), (79.999, -180)],
    ),
    "a ring of a metre round the south pole": (
        polygon(box(-180, -90, 180, -89.99999)),
        [(-90, 0), (-89.999995, 10), (-89.99998, 10), (-89.9, 10), (-89.99999, 77)],
    ),
    "a wedge that ends in the south pole": (
        polygon(box(0, -90, 90, -80)),
        [(-90, 0), (-90, 200), (-85, 45), (-85, 135), (-89.9999, 45), (-89.9999, 200), (-80, 45), (-79.99, -1)],
    ),
    "a belt round the globe": (
        polygon(box(-180, 10, 180, 20)),
        [(15, 180), (15, -180), (10, 5), (9.99, 5), (20.01, 180), (19.99, -180)],
    ),
    "all of the globe but a hole": (
        polygon(box(-180, -90, 180, 90), box(10, 10, 11, 11)[::-1]),
        [(10.5, 10.5), (10.001, 10.5), (9.999, 10.5), (10, 10.5), (9.9, 9.9)],
    ),
    "an island in a hole": (
        multipolygon(
            [box(10, 50, 10.1, 50.1), box(10.02, 50.02, 10.08, 50.08)[::-1]], [box(10.04, 50.04, 10.06, 50.06)]
        ),
        [(50.05, 10.05), (50.03, 10.03), (50.01, 10.01), (50.04, 10.05), (50.02, 10.05), (50.2, 10.2)],
    ),
    "two parts that touch in a corner": (
        multipolygon([box(10, 50, 10.01, 50.01)], [box(10.01, 50.01, 10.02, 50.02)]),
        [(50.01, 10.01), (50.0101, 10.0099), (50.0099, 10.0099), (50.0101, 10.0101), (50.005, 10.015)],
    ),
    "a hole that touches its shell": (
        polygon(box(10, 50, 10.02, 50.02), [[10, 50], [10.005, 50.01], [10.01, 50.005], [10, 50]]),
        [(50, 10), (50.006, 10.006), (50.0001, 10.0001), (50.015, 10.015)],
    ),
    "a zone of a decimetre": (
        polygon(box(10, 50, 10 + 1.4e-6, 50 + 0.9e-6)),
        [(50 + 4e-7, 10 + 7e-7), (50 + 4e-7, 10 - 7e-7), (50, 10), (50.00001, 10.00001)],
    ),
    "a circle round the pole": (circle(90, 20, 1_000.0), [(89.995, 100), (90, 0), (89.99, 0), (89.991, -170)]),
    "a circle over the antimeridian": (circle(-17, 180, 5_000.0), [(-17, -179.97), (-17, 179.96), (-17.05, 180)]),
    "a circle of a continent": (circle(0, 0, 3e6), [(26.9, 0), (27.2, 0), (0, 26.9), (0, 27.0), (-19, 19.2)]),
    "a corridor that ends on the antimeridian": (
        corridor([[179.9, 66.9], [180, 66.95]], 25.0),
        [(66.95, -180.0), (66.95, 180), (66.9501, -179.9999), (66.92, 179.94), (66.93, 179.94)],
    ),
    "a corridor that ends in the pole": (
        corridor([[0, 89.99], [0, 90]], 30.0),
        [(90, 45), (89.995, 0), (89.995, 90), (89.9998, 180)],
    ),
    "a country": (
        polygon([[-5, 40], [3, 42], [4, 49], [-2, 51], [-6, 47], [-5, 40]]),
        [(45, 0), (40.9, -2), (41.0, -1.0), (51, -2), (49.5, 4), (45, -5.3), (52, -2), (36, 0)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_side_and_distance_equal_the_oracle(name: str) -> None:
    drawn, places = CASES[name]
    z, truth = table(drawn), TrueZone(drawn)
    lat, lon = np.array(places, dtype=float).T
    exact = z.signed_distance_m(lat, lon, exact=True)[:, 0]
    quick = z.signed_distance_m(lat, lon)[:, 0]
    inside = z.contains(lat, lon)[:, 0]
    for i in range(lat.size):
        want = truth.signed_distance_m(lat[i], lon[i])
        if abs(want) > 1e-6:
            assert inside[i] == (want < 0), places[i]
        # Large circles are as good as the distance to their centre.
        slack = 1e-6 if "continent" not in name else 6.0
        assert abs(exact[i]) == pytest.approx(abs(want), rel=1e-6, abs=slack), places[i]
        assert abs(quick[i]) <= abs(exact[i])
        assert (quick[i] <= 0) == inside[i]


def test_a_cut_zone_has_no_boundary_at_the_cut() -> None:
    z = table(multipolygon([box(179.99, 10, 180, 10.02)], [box(-180, 10, -179.98, 10.01)]))
    assert z.signed_distance_m(10.005, 180.0)[0, 0] == pytest.approx(-553.04, abs=0.01)


def test_the_pole_is_in_its_cap_whatever_longitude_it_came_with() -> None:
    z = table(polygon(box(-180, 80, 180, 90)))
    lon = np.array([-180.0, -77.0, 0.0, 180.0, 300.0])
    assert z.contains(np.full(5, 90.0), lon).all()
    deep = z.signed_distance_m(np.full(5, 90.0), lon, exact=True)[:, 0]
    assert deep == pytest.approx(-separation_m(90, 0, 80, 0), abs=0.1)


@pytest.mark.parametrize("others", [[], [179.97], [179.97, -179.97], [10.0]])
@pytest.mark.parametrize(("written", "zones"), [(180.02, [0]), (-180.02, [1]), (340.0, []), (-340.0, [])])
def test_a_sheet_round_the_globe_knows_a_longitude_however_it_is_written(
    written: float, zones: list[int], others: list[float]
) -> None:
    """Its rim reaches beyond the antimeridian, where the zones at its other end are."""
    west = polygon(box(-179.99, 50.0, -179.95, 50.05), zone_id="west")
    east = polygon(box(179.95, 50.0, 179.99, 50.05), zone_id="east")
    z = table(west, east)
    lon = np.array([written, *others])
    lat = np.full(lon.size, 50.02)
    inside, near = z.containing(lat, lon), z.near(lat, lon, 200.0)
    assert inside.zone_idx[: inside.fix_ptr[1]].tolist() == zones
    assert near.zone_idx[: near.fix_ptr[1]].tolist() == zones
    assert np.flatnonzero(z.contains(lat, lon)[0]).tolist() == zones
    assert np.flatnonzero(z.signed_distance_m(lat, lon)[0] <= 0.0).tolist() == zones


@pytest.mark.parametrize(
    "ring",
    [
        [[179.99, 10], [-179.98, 10], [-179.98, 10.01], [179.99, 10.01], [179.99, 10]],
        [[179.99, 10], [180.02, 10], [180.02, 10.01], [179.99, 10.01], [179.99, 10]],
        [[-180.01, 10], [-179.98, 10], [-179.98, 10.01], [-180.01, 10.01], [-180.01, 10]],
    ],
)
def test_a_zone_mended_at_the_antimeridian_is_the_zone_that_was_meant(ring: list[list[float]]) -> None:
    z = table(polygon(ring), mend=True)
    meant = table(multipolygon([box(179.99, 10, 180, 10.01)], [box(-180, 10, -179.98, 10.01)]))
    lat, lon = np.meshgrid(np.linspace(9.995, 10.015, 9), [179.98, 179.995, 180, -180, -179.99, -179.975])
    at = (lat.ravel(), lon.ravel())
    assert np.allclose(
        z.signed_distance_m(*at, exact=True), meant.signed_distance_m(*at, exact=True), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("lat", [-89.5, -60.0, 0.0, 45.0, 84.0, 89.5])
def test_distance_errs_below_two_millimetres_per_100_m_up_to_30_km(lat: float) -> None:
    """The bound of the package's README, with a factor of five to spare."""
    rng = np.random.default_rng(int(lat) + 100)
    radius = 2_000.0
    drawn = polygon(star(rng, lat, 30.0, radius, 12))
    z, truth = table(drawn), TrueZone(drawn)
    for reach in (50.0, 1_000.0, 30_000.0):
        for bearing in (0.3, 2.0, 4.0):
            north, east = np.cos(bearing) * (radius + reach), np.sin(bearing) * (radius + reach)
            at = lat + north / M_PER_DEG, 30.0 + east / (M_PER_DEG * np.cos(np.radians(lat)))
            if abs(at[0]) > 90:
                continue
            want = truth.signed_distance_m(*at)
            got = z.signed_distance_m(*at, exact=True)[0, 0]
            assert abs(got - want) <= 1e-6 + 4e-6 * abs(want)


def test_thousands_of_edges_find_the_nearest_one() -> None:
    """The runs' bounds rule nothing out that could be nearest: a comb whose every tooth is a candidate."""
    teeth = [[10 + i * 1e-4, 50 + (i % 2) * 1e-3] for i in range(1001)]
    drawn = polygon([*reversed(teeth), [10.0, 49.99], [10.1, 49.99], teeth[-1]])
    z, truth = table(drawn), TrueZone(drawn)
    rng = np.random.default_rng(5)
    lat, lon = 50 + rng.uniform(-1e-3, 2e-3, 8), 10 + rng.uniform(-0.01, 0.11, 8)
    got = z.signed_distance_m(lat, lon, exact=True)[:, 0]
    for i in range(8):
        want = truth.signed_distance_m(lat[i], lon[i])
        assert got[i] == pytest.approx(want, rel=1e-6, abs=1e-5)


def test_a_fix_just_outside_never_reads_as_on_the_boundary() -> None:
    z = table(polygon(box(10, 50, 10.01, 50.01)))
    lat = np.nextafter(50.01, 51) + np.arange(20) * np.spacing(50.01)
    inside = z.contains(lat, np.full(20, 10.005))[:, 0]
    signed = z.signed_distance_m(lat, np.full(20, 10.005))[:, 0]
    assert np.array_equal(inside, signed <= 0)
    assert not inside[5:].any()
    assert not np.signbit(signed[signed == 0]).any()


def test_the_middle_of_a_circle_is_a_radius_deep() -> None:
    assert table(circle(53.2, -2.4, 200.0)).signed_distance_m(53.2, -2.4)[0, 0] == -200.0


def test_zone_ids_do_not_depend_on_place() -> None:
    z = table(circle(0, 0, 5, "b"), circle(0, 0, 6, "a"))
    assert (z.idx("a"), z.idx("b")) == (1, 0)
    with pytest.raises(KeyError):
        z.idx("c")
    assert isinstance(z, gc.ZoneTable)
