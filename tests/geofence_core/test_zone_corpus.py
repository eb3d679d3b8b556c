"""Published geometry cases and real boundaries: their answers are ours, or the difference has a reason here."""

import gzip
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import geofence_core as gc
from rig.truth.geometry import TrueZone
from tests.geofence_core.drawing import circle, collection, corridor, feature, polygon, table

pytestmark = pytest.mark.corpus


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    yield from (json.loads(line) for line in text.splitlines() if line)


def read_zones(path: Path) -> dict[str, Any]:
    """A boundary file as a zone file: with ids and a purpose."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    document = json.loads(text)
    features = document["features"] if document["type"] == "FeatureCollection" else [document]
    return collection(*(feature(f["geometry"], f"z{i}") for i, f in enumerate(features)))


# ---------------------------------------------------------------- suites with expected answers


def covered(area: shapely.Geometry, points: shapely.Geometry) -> bool:
    z = gc.ZoneTable.from_shapely([area], ["z"])
    xy = shapely.get_coordinates(points)
    return bool(z.contains(xy[:, 1], xy[:, 0]).all())


def jts_cases(folder: Path, name: str) -> Iterator[tuple[str, shapely.Geometry, shapely.Geometry, bool]]:
    """(case, points, area, are all points in or on the area)."""
    for case in ET.parse(folder / name).getroot().iter("case"):
        a, b = (shapely.from_wkt(" ".join((case.findtext(k) or "POINT EMPTY").split())) for k in ("a", "b"))
        points, area = (a, b) if "Point" in a.geom_type else (b, a)
        if "Polygon" not in area.geom_type or "Point" not in points.geom_type or points.is_empty:
            continue
        for op in case.iter("op"):
            ours = {"coveredby": a is points, "covers": b is points, "intersects": points.geom_type == "Point"}
            if ours.get((op.get("name") or "").lower()) and (op.get("arg1") or "A").upper() == "A":
                yield case.findtext("desc") or name, points, area, (op.text or "").strip() == "true"


@pytest.mark.parametrize(
    ("name", "least"), [("general-TestRelatePA.xml", 8), ("general-TestPreparedPointPredicate.xml", 1)]
)
def test_point_in_area_cases_of_jts(corpus: Path, name: str, least: int) -> None:
    # A power of two scales the plane into degrees without moving any point off any edge.
    seen = 0
    for case, points, area, want in jts_cases(corpus / "zones" / "jts", name):
        small = [shapely.transform(g, lambda xy: xy / 1024.0) for g in (area, points)]
        assert covered(*small) == want, case
        seen += 1
    assert seen >= least


@pytest.mark.parametrize(
    ("name", "points_at", "negated", "least"),
    [
        ("boolean-contains", 1, False, 4),
        ("boolean-within", 0, False, 4),
        ("boolean-intersects", 0, False, 2),
        ("boolean-disjoint", 0, True, 2),
    ],
)
def test_predicates_of_turf_on_points(corpus: Path, name: str, points_at: int, negated: bool, least: int) -> None:
    """Turf's contains and within leave the boundary out, ours keeps it: shapely's touches tells those cases apart."""
    seen = 0
    for case in read_lines(corpus / "zones" / "turf" / f"{name}.jsonl"):
        drawn = [shapely.geometry.shape(f["geometry"]) for f in case["geojson"]["features"]]
        points, area = drawn[points_at], drawn[1 - points_at]
        if name in {"boolean-intersects", "boolean-disjoint"} and "Point" in area.geom_type:
            points, area = area, points
        if "Polygon" not in area.geom_type or points.geom_type not in {"Point", "MultiPoint"}:
            continue
        z = gc.ZoneTable.from_shapely([area], ["z"])
        xy = shapely.get_coordinates(points)
        inside = z.contains(xy[:, 1], xy[:, 0])[:, 0]
        seen += 1
        if name in {"boolean-contains", "boolean-within"}:
            strictly = inside.all() and not shapely.touches(area, points)
            assert strictly == case["expected"], case["case"]
        else:
            assert (inside.any() != negated) == case["expected"], case["case"]
    assert seen >= least


def test_the_hole_of_turfs_point_in_polygon(corpus: Path) -> None:
    z = gc.ZoneTable.from_geojson(read_zones(corpus / "zones" / "turf" / "pip-poly-with-hole.geojson"), mend=True)
    lat, lon = (
        np.array([36.20373274711739, 36.20258997094334, 36.18527313913089]),
        np.array([-86.69208526611328, -86.72229766845702, -86.75079345703125]),
    )
    truth = TrueZone(feature({"type": "Polygon", "coordinates": [r.tolist() for r in z.shapes[0].polygons[0]]}))
    assert z.contains(lat, lon)[:, 0].tolist() == [truth.contains(a, o) for a, o in zip(lat, lon, strict=True)]
    assert z.contains(lat, lon)[:, 0].tolist() == [False, True, False]


def test_containment_cases_of_traccar(corpus: Path) -> None:
    """Circles, polygons and corridors, the antimeridian included; segments between fixes are not asked here."""
    seen = 0
    for case in read_lines(corpus / "zones" / "peers" / "traccar-geofence.jsonl"):
        if case["op"] != "containsPoint":
            continue
        numbers = case["wkt_lat_lon_order"].split("(", 1)[1].replace("(", "").replace(")", "")
        if case["shape"] == "circle":
            place, radius = numbers.split(",")
            lat, lon = map(float, place.split())
            drawn = circle(lat, lon, float(radius))
        else:
            line = [[float(v) for v in reversed(p.split())] for p in numbers.split(",")]
            line = [[lon + 360 if lon < -180 else lon, lat] for lon, lat in line]
            drawn = polygon(line) if case["shape"] == "polygon" else corridor(line, case["half_width_m"])
        z = table(drawn, mend=True)
        assert z.contains(*case["args_lat_lon"])[0, 0] == case["expected"], case["wkt_lat_lon_order"]
        seen += 1
    assert seen == 9


# ---------------------------------------------------------------- files that are broken, odd or valid


def refusal(path: Path, mend: bool) -> str | None:
    try:
        gc.ZoneTable.from_geojson(path, mend=mend)
    except gc.GeofenceError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize(
    "name",
    [
        "chrieke-invalid_structure.jsonl",
        "chrieke-invalid_geometries.jsonl",
        "chrieke-problematic_geometries.jsonl",
        "chrieke-problematic_structure.jsonl",
        "geojsonhint-bad.jsonl.gz",
        "geojsonhint-good.jsonl",
        "chrieke-valid.jsonl",
    ],
)
def test_every_odd_file_is_read_or_refused_with_a_reason(corpus: Path, name: str, tmp_path: Path) -> None:
    for case in read_lines(corpus / "zones" / "geojson-cases" / name):
        path = tmp_path / "zones.geojson"
        path.write_text(case["text"])
        for mend in (False, True):
            said = refusal(path, mend)
            assert said is None or len(said) > 20, case["source_path"]


# Faults of geometry, seen once the features carry what a zone needs. None: nothing is wrong with it as a zone.
GEOMETRY_CASES = {
    "invalid_interior_not_cw": "must run clockwise",
    "invalid_less_three_unique_nodes": "same position|enclose",
    "invalid_unclosed": "close the ring",
    "problematic_3d_coordinates": None,
    "problematic_4d_coordinates": None,
    "problematic_crosses_antimeridian": "antimeridian|outside longitude|winding|counter-clockwise",
    "problematic_feature_null_geometry": "no geometry",
    "problematic_holes": None,
    "problematic_inner_and_exterior_ring_intersect": "intersection",
    "problematic_self_intersection_large": "self-intersection",
    "problematic_wrong_bbox_coordinate_order": None,
    "problematic_zero_length_linestring": "same position|two different",
}


def test_geometries_known_as_invalid_are_refused_for_what_they_are(corpus: Path) -> None:
    seen = set()
    for name in ("chrieke-invalid_geometries.jsonl", "chrieke-problematic_geometries.jsonl"):
        for case in read_lines(corpus / "zones" / "geojson-cases" / name):
            key = Path(case["source_path"]).stem
            document = json.loads(case["text"])
            drawn = [
                feature(f["geometry"], f"z{i}", half_width_m=10.0, radius_m=10.0)
                for i, f in enumerate(document["features"])
            ]
            seen.add(key)
            reason = GEOMETRY_CASES[key]
            if reason is None:
                assert len(table(*drawn)) == len(drawn)
            else:
                with pytest.raises(gc.ZoneGeometryError, match=reason):
                    table(*drawn)
    assert seen == set(GEOMETRY_CASES)


# ---------------------------------------------------------------- real boundaries


def shares(z: gc.ZoneTable, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    inside: np.ndarray = z.contains(lat, lon).sum(axis=1)
    return inside


@pytest.mark.parametrize("name", ["cheshire_east_oa", "warrington_oa", "cheshire_east_wards", "warrington_lsoa"])
def test_areas_that_tile_a_county_hold_each_fix_once(corpus: Path, name: str) -> None:
    document = read_zones(corpus / "zones" / "uk" / f"{name}.geojson.gz")
    z = gc.ZoneTable.from_geojson(document, mend=True)
    areas = shapely.union_all([shapely.make_valid(shapely.geometry.shape(f["geometry"])) for f in document["features"]])
    rng = np.random.default_rng(1)
    west, south, east, north = areas.bounds
    lat, lon = rng.uniform(south, north, 20_000), rng.uniform(west, east, 20_000)
    inside = shapely.contains_xy(areas, lon, lat)
    assert 5_000 < inside.sum() < 20_000
    assert (shares(z, lat[inside], lon[inside]) == 1).all()
    assert (shares(z, lat[~inside], lon[~inside]) == 0).all()


def test_sides_in_real_boundaries_equal_shapely(corpus: Path) -> None:
    """Vertices and middles of edges of neighbours as well: fixes as close to a boundary as they come."""
    document = read_zones(corpus / "zones" / "uk" / "warrington_lsoa.geojson.gz")
    z = gc.ZoneTable.from_geojson(document, mend=True)
    areas = [shapely.geometry.shape(f["geometry"]) for f in document["features"]]
    xy = np.concatenate([shapely.get_coordinates(a) for a in areas])
    rng = np.random.default_rng(2)
    xy = np.concatenate([xy[:2_000], (xy[1:1_000] + xy[:999]) / 2, xy[:1_000] + rng.normal(0, 1e-6, (1_000, 2))])
    got = z.contains(xy[:, 1], xy[:, 0])
    want = np.stack([shapely.intersects_xy(a, xy[:, 0], xy[:, 1]) for a in areas], axis=1)
    # A middle of an edge is on it only up to rounding, which shapely decides exactly and we call touched.
    for i, j in np.argwhere(got != want):
        assert got[i, j]
        assert shapely.distance(areas[j], shapely.Point(xy[i])) < 1e-13


@pytest.mark.parametrize(
    "name", ["world/countries50m_dev.geojson.gz", "misc/switzerland.geojson", "osm/osm_places_liechtenstein.geojson.gz"]
)
def test_real_zones_equal_the_oracle(corpus: Path, name: str) -> None:
    z = gc.ZoneTable.from_geojson(read_zones(corpus / "zones" / name), mend=True)
    rng = np.random.default_rng(3)
    for i in rng.permutation(len(z))[:10]:
        shape = z.shapes[i]
        truth = TrueZone(
            feature({"type": "MultiPolygon", "coordinates": [[r.tolist() for r in p] for p in shape.polygons]})
        )
        xy = np.concatenate([r for p in shape.polygons for r in p])
        at = xy[rng.integers(0, len(xy), 6)] + rng.normal(0, 1, (6, 2)) * 10.0 ** rng.uniform(-5, 0.5, (6, 1))
        lat, lon = np.clip(at[:, 1], -90, 90), (at[:, 0] + 180) % 360 - 180
        got = z.signed_distance_m(lat, lon, exact=True)[:, i]
        for k in range(6):
            want = truth.signed_distance_m(float(lat[k]), float(lon[k]))
            assert got[k] == pytest.approx(want, rel=4e-6, abs=2e-6), (z.ids[i], lat[k], lon[k])
