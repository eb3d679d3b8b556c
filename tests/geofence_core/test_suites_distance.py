"""Distances, ranges and swept segments of JTS, Turf and Traccar through the core."""

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely

import geofence_core as gc
from tests.geofence_core.drawing import circle, corridor, polygon, table
from tests.geofence_core.planar_suites import is_area, jts_cases, zone_of

pytestmark = pytest.mark.corpus

PLANE = pyproj.Proj("+proj=aeqd +lat_0=0 +lon_0=0 +ellps=WGS84")
"""The suites' units as metres round (0, 0): within 500 m of it an edge straight in degrees is straight on the ground to
a micrometre, and the plane's distances are the geodesics' to a nanometre."""

THIN_M = 1.0
"""Half width of the corridors that stand for lines; what they measure is the way to the line minus this."""


def placed(geometry: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(geometry, lambda xy: np.column_stack(PLANE(xy[:, 0], xy[:, 1], inverse=True)))


def to_m(geometry: shapely.Geometry, at: np.ndarray) -> np.ndarray:
    """Distance of each position (longitude first) to a geometry by the core; 0 inside."""
    lat, lon = at[:, 1], at[:, 0]
    if is_area(geometry):
        return np.maximum(zone_of(geometry).signed_distance_m(lat, lon, exact=True)[:, 0], 0.0)
    if "Line" in geometry.geom_type:
        lines = [shapely.get_coordinates(part).tolist() for part in shapely.get_parts(geometry) if not part.is_empty]
        z = table(*(corridor(line, THIN_M, f"z{i}") for i, line in enumerate(lines)))
        return (z.signed_distance_m(lat, lon, exact=True) + THIN_M).min(axis=1)
    points = shapely.get_coordinates(geometry)
    return np.min([gc.separation_m(lat, lon, y, x) for x, y in points], axis=0)


def apart_m(a: shapely.Geometry, b: shapely.Geometry) -> float:
    """Distance of two geometries that do not cross: one end of the shortest way is a vertex."""
    return float(min(to_m(a, shapely.get_coordinates(b)).min(), to_m(b, shapely.get_coordinates(a)).min()))


def test_distances_of_jts(corpus: Path) -> None:
    """All kinds against all; to an empty geometry JTS says 0, here there is no zone, and collections are none."""
    seen = left_out = 0
    for case in jts_cases(corpus / "zones" / "jts" / "general-TestDistance.xml"):
        assert case.b is not None
        if case.a.is_empty or case.b.is_empty or "Collection" in case.a.geom_type:
            left_out += 1
            continue
        a, b = placed(case.a), placed(case.b)
        want = float(case.expected)
        if shapely.intersects(case.a, case.b):
            assert want == 0.0
        else:
            assert apart_m(a, b) == pytest.approx(want, abs=2e-6), case.name
        seen += 1
    assert (seen, left_out) == (24, 8)


def test_ranges_of_jts(corpus: Path) -> None:
    """``isWithinDistance`` of points and areas, by ``near`` as well."""
    seen = by_near = 0
    for case in jts_cases(corpus / "zones" / "jts" / "general-TestWithinDistance.xml"):
        assert case.b is not None
        a, b, reach = placed(case.a), placed(case.b), float(case.detail)
        if not shapely.intersects(case.a, case.b):
            # A range of just the distance is met in the plane; metres are a micrometre off.
            assert (apart_m(a, b) <= reach + 2e-6) == case.true, case.name
        area, point = (a, b) if is_area(a) else (b, a)
        if is_area(area) and "Point" in point.geom_type:
            at = shapely.get_coordinates(point)
            found = zone_of(area).near(at[:, 1], at[:, 0], reach + 2e-6)
            assert (found.zone_idx.size > 0) == case.true, case.name
            by_near += 1
        seen += 1
    assert (seen, by_near) == (22, 4)


# Points that Turf does not find on their line, and why the core does.
ON_LINE_BY_MEANING = {
    "PointIsOnLineButFailsWithSmallEpsilonValue": "3e-9 m beside the line: Turf asks for 1e-17 of a cross product",
    "PointIsOnLineButFailsWithoutEpsilonForBackwardsCompatibility": "the same",
    "PointOnEndFailsWhenIgnoreEndpoints": "the ends of a line are on it; Turf was asked to leave them out",
}


def test_points_on_lines_of_turf(corpus: Path) -> None:
    lines = (corpus / "zones" / "turf" / "boolean-point-on-line.jsonl").read_text().splitlines()
    differs = set()
    for case in map(json.loads, lines):
        point, line = (shapely.geometry.shape(f["geometry"]) for f in case["geojson"]["features"])
        on = bool(to_m(line, shapely.get_coordinates(point))[0] < 1e-6)
        if on != case["expected"]:
            assert on
            differs.add(case["case"])
    assert len(lines) == 10
    assert differs == set(ON_LINE_BY_MEANING)


# ---------------------------------------------------------------- Traccar: segments between two fixes


def test_segments_of_traccar(corpus: Path) -> None:
    """Circle, polygon and polyline zones against the way between two fixes; their points are asked elsewhere."""
    seen = 0
    for line in (corpus / "zones" / "peers" / "traccar-geofence.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["op"] != "intersectsSegment":
            continue
        numbers = case["wkt_lat_lon_order"].split("(", 1)[1].replace("(", "").replace(")", "")
        if case["shape"] == "circle":
            place, radius = numbers.split(",")
            drawn = circle(*map(float, place.split()), float(radius))
        else:
            at = [[float(v) for v in reversed(p.split())] for p in numbers.split(",")]
            # A polyline without a width is as wide as nothing: a micrometre.
            drawn = polygon([*at, at[0]]) if case["shape"] == "polygon" else corridor(at, case["half_width_m"] or 1e-6)
        lat0, lon0, lat1, lon1 = case["args_lat_lon"]
        swept = table(drawn, mend=True).crossed(lat0, lon0, lat1, lon1)
        assert (swept.zone_idx.size > 0) == case["expected"], case["wkt_lat_lon_order"]
        seen += 1
    assert seen == 5
