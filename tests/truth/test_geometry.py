"""The oracle itself, against figures from elsewhere: projections centred on the fix, and distances known by hand."""

import math

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from rig.truth.geometry import TrueZone, contains, separation_m, signed_distance_m


def zone(geometry: dict[str, object], **properties: float) -> dict[str, object]:
    return {"type": "Feature", "id": "z", "properties": properties, "geometry": geometry}


def polygon(*rings: list[list[float]]) -> dict[str, object]:
    return zone({"type": "Polygon", "coordinates": list(rings)})


SQUARE = [[10.0, 50.0], [10.02, 50.0], [10.02, 50.01], [10.0, 50.01], [10.0, 50.0]]


def test_known_geodesics() -> None:
    """A degree of the equator, and the quarter meridian of WGS 84 (10,001,965.729 m)."""
    assert separation_m(0.0, 0.0, 0.0, 1.0) == pytest.approx(6378137.0 * math.radians(1.0), abs=1e-6)
    assert separation_m(0.0, 0.0, 90.0, 0.0) == pytest.approx(10_001_965.729, abs=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_distance_equals_an_azimuthal_plane_round_the_fix(seed: int) -> None:
    """Edges cut to metres, projected by PROJ round the fix, measured by shapely: another road to the same figure."""
    rng = np.random.default_rng(seed)
    lat, lon = float(rng.uniform(-80, 80)), float(rng.uniform(-170, 170))
    angle = np.sort(rng.uniform(0, 2 * math.pi, 9))
    reach = rng.uniform(0.005, 0.02, 9)
    ring = np.column_stack([lon + reach * np.cos(angle) / math.cos(math.radians(lat)), lat + reach * np.sin(angle)])
    ring = np.vstack([ring, ring[:1]])
    truth = TrueZone(polygon(ring.tolist()))
    edge = shapely.segmentize(shapely.LineString(ring), 2e-5)
    for _ in range(4):
        at_lat, at_lon = lat + float(rng.normal(0, 0.02)), lon + float(rng.normal(0, 0.02))
        plane = Transformer.from_crs(
            "EPSG:4326", f"+proj=aeqd +lat_0={at_lat} +lon_0={at_lon} +datum=WGS84", always_xy=True
        )
        east, north = plane.transform(*shapely.get_coordinates(edge).T)
        want = shapely.distance(shapely.LineString(np.column_stack([east, north])), shapely.Point(0, 0))
        got = truth.signed_distance_m(at_lat, at_lon)
        assert abs(got) == pytest.approx(want, abs=2e-4)
        assert (got < 0) == bool(shapely.contains_xy(shapely.Polygon(ring), at_lon, at_lat))


def test_the_plain_calls_do_what_the_class_does() -> None:
    assert contains(polygon(SQUARE), 50.005, 10.01)
    assert not contains(polygon(SQUARE), 50.02, 10.01)
    assert signed_distance_m(polygon(SQUARE), 50.01, 10.01) == pytest.approx(0.0, abs=1e-6)
    assert signed_distance_m(polygon(SQUARE), 50.02, 10.005) == pytest.approx(
        separation_m(50.01, 10, 50.02, 10), abs=0.01
    )


def test_an_edge_is_straight_in_degrees_not_on_the_ground() -> None:
    """A long parallel lies nearer to the equator than the geodesic between its ends: 23.6 m at 30 km on 53 degrees."""
    wide = polygon([[0, 53], [0.447, 53], [0.447, 53.1], [0, 53.1], [0, 53]])
    middle = signed_distance_m(wide, 52.9, 0.2235)
    assert middle == pytest.approx(separation_m(53, 0.2235, 52.9, 0.2235), abs=0.2)


def test_circle_and_corridor() -> None:
    ring = zone({"type": "Point", "coordinates": [10.0, 50.0]}, radius_m=100.0)
    assert signed_distance_m(ring, 50.0, 10.0) == -100.0
    assert contains(ring, 50.0008, 10.0)
    assert not contains(ring, 50.001, 10.0)
    lane = zone({"type": "LineString", "coordinates": [[10, 50], [10, 50.1]]}, half_width_m=20.0)
    assert signed_distance_m(lane, 50.05, 10.0) == pytest.approx(-20.0, abs=1e-6)
    assert contains(lane, 50.05, 10.0002)
    assert not contains(lane, 50.05, 10.0004)


def test_no_position_is_nowhere() -> None:
    for lat, lon in ((math.nan, 0.0), (0.0, math.nan)):
        assert not contains(polygon(SQUARE), lat, lon)
        assert math.isnan(signed_distance_m(polygon(SQUARE), lat, lon))


def test_where_a_map_was_cut_is_no_boundary() -> None:
    halves = zone(
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[179.9, 0], [180, 0], [180, 0.1], [179.9, 0.1], [179.9, 0]]],
                [[[-180, 0], [-179.9, 0], [-179.9, 0.1], [-180, 0.1], [-180, 0]]],
            ],
        }
    )
    deep = signed_distance_m(halves, 0.05, 180.0)
    assert deep == pytest.approx(-separation_m(0, 180, 0.05, 180), abs=1e-3)
    assert signed_distance_m(halves, 0.05, -180.0) == pytest.approx(deep)
    cap = polygon([[-180, 89], [180, 89], [180, 90], [-180, 90], [-180, 89]])
    assert signed_distance_m(cap, 89.5, 180.0) == pytest.approx(-separation_m(89, 0, 89.5, 0), abs=1e-3)
    assert contains(cap, 90.0, 12.0)


def test_other_geometries_are_refused() -> None:
    with pytest.raises(ValueError, match="MultiPoint"):
        TrueZone(zone({"type": "MultiPoint", "coordinates": [[0, 0]]}))
