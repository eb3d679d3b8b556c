"""Published good and bad GeoJSON, dressed as zones: what is good loads, what is bad is refused for what is wrong.

A file of these suites is no zone file: features lack an id and a purpose, geometries stand bare. `dressed` adds just
that, and leaves everything else as wrong as it was.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import geofence_core as gc

pytestmark = pytest.mark.corpus

NO_ZONE = "is no zone; expected one of Polygon, MultiPolygon, Point, LineString"

GOOD_BUT_REFUSED = {
    "valid_feature_null_geometry": "no geometry",
    "valid_featurecollection_with_geometrycollection": NO_ZONE,
    "valid_geometry_geometrycollection": NO_ZONE,
    "valid_geometry_multilinestring": NO_ZONE,
    "good-geometrycollection": NO_ZONE,
    "good-multilinestring": NO_ZONE,
    "issue82": "outside longitude",
}
"""Valid GeoJSON that is no zone, or lies nowhere on Earth (issue82 goes down to latitude -134)."""

BAD_BUT_LOADED = {
    "bbox-4or6elements": "a bbox is not read: the zone is its geometry",
    "bbox-contains-string": "the same",
    "bbox-string": "the same",
    "invalid_geometry_bbox_not4or6": "the same",
    "problematic_wrong_bbox_coordinate_order": "the same",
    "feature_changed_semantics": "members that RFC 7946 does not know are not read",
    "excessive_precision_truncated": "more digits than a metre needs are no fault; the suite's own tool is silent too",
    "problematic_3d_coordinates": "altitudes are not read",
    "problematic_4d_coordinates": "the same",
    "problematic_holes": "holes are zones' holes",
}

REFUSED = {
    "invalid_interior_not_cw": "a hole must run clockwise",
    "invalid_less_three_unique_nodes": "3 positions enclose nothing",
    "invalid_unclosed": "vertex 3: the last position differs from the first",
    "invalid_feature_geometry_is_string": "geometry must be an object, got str",
    "invalid_feature_id_type": "expected a string 'id', got {}",
    "invalid_feature_properties_is_int": "no properties",
    "invalid_feature_wrong_geometry_key": "no geometry",
    "invalid_featurecollection_feature_nullfeature": "expected a Feature, got 'NoneType'",
    "invalid_featurecollection_features_is_object": "'features' must be a list, got dict",
    "invalid_featurecollection_nulltype": "expected type FeatureCollection, got None",
    "invalid_geometry_coordinates_empty_position": "vertex 2: expected [longitude, latitude], got []",
    "invalid_geometry_coordinates_missing": "the geometry is empty",
    "invalid_geometry_depth_deep_point": "expected [longitude, latitude], got [[",
    "invalid_geometry_depth_deep_polygon": "expected [longitude, latitude], got [[[",
    "invalid_geometry_depth_shallow_linestring": "expected [longitude, latitude], got 102.0",
    "invalid_geometry_geometrycollection_null_geometry": NO_ZONE,
    "invalid_geometry_mislabeled_point": "a polygon without rings",
    "invalid_geometry_missing_type": NO_ZONE,
    "invalid_geometry_wrong_geometry_type": NO_ZONE,
    "problematic_crosses_antimeridian": "crosses the antimeridian",
    "problematic_feature_null_geometry": "no geometry",
    "problematic_inner_and_exterior_ring_intersect": "ring 0, vertex 3: self-intersection",
    "problematic_self_intersection_large": "ring 0, vertex 1: self-intersection",
    "problematic_zero_length_linestring": "the same position as the vertex before it",
    "problematic_crs_defined": "reproject the file to EPSG:4326",
    "problematic_nested_geometrycollection": NO_ZONE,
    "bad-duplicate-properties": "member 'type' stands twice",
    "bad-json": "not JSON",
    "bad-object-type": "expected type FeatureCollection, got {}",
    "bad-polygon-interiorring-rhr": "a hole must run clockwise",
    "bad-polygonloop": "expected [longitude, latitude], got -80.59869",
    "bad-properties-as-array": "no properties",
    "badcoordtype": "expected [longitude, latitude], got 1",
    "different-first-last": "the last position differs from the first",
    "different-first-size": "a shell must run counter-clockwise",
    "expected_object": "no properties",
    "false": NO_ZONE,
    "featurecollection-obj": "'features' must be a list, got dict",
    "featurecollection": "'features' must be a list, got NoneType",
    "geometry_changed_semantics": "expected type FeatureCollection, got 'Point'",
    "geometrycollection_nested": NO_ZONE,
    "multipoint-multidimension": NO_ZONE,
    "nofeaturetype": "expected a Feature, got 'Featre'",
    "point-labeled-as-a-multipolygon": "a polygon without rings",
    "point-toofew": "expected [longitude, latitude], got [2]",
    "rootstring": "expected a FeatureCollection, got NoneType",
    "short-line": "a corridor needs two different positions",
}


def cases(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(class, name, text) of every file."""
    for path in sorted((folder / "zones" / "geojson-cases").iterdir()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.decode().splitlines():
            case = json.loads(line)
            yield path.name.split(".")[0], Path(case["source_path"]).stem, case["text"]


def dressed(document: Any) -> Any:
    """The document with an id, a purpose and sizes where a zone file must have them."""
    if not isinstance(document, dict):
        return document
    if document.get("type") == "FeatureCollection":
        features = document.get("features")
        if isinstance(features, list):
            return {**document, "features": [_feature(f, f"z{i}") for i, f in enumerate(features)]}
        return document
    if document.get("type") == "Feature" or "geometry" in document:
        return _feature(document, "z")
    if "features" in document or not isinstance(document.get("type", ""), str):
        return document
    return {"type": "FeatureCollection", "features": [_feature({"type": "Feature", "geometry": document}, "z")]}


def _feature(found: Any, zone_id: str) -> Any:
    if not isinstance(found, dict):
        return found
    given = found.get("properties", {})
    asked = {"purpose": "exclusion", "radius_m": 10.0, "half_width_m": 10.0}
    properties = {**(given or {}), **asked} if given is None or isinstance(given, dict) else given
    return {"id": zone_id, **found, "properties": properties}


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless a member stands twice in it: such a text must reach the core as it is."""
    if len(dict(members)) < len(members):
        raise ValueError
    return dict(members)


def said_of(text: str, path: Path) -> str | None:
    """Why the file is refused; None where it loads."""
    try:
        path.write_text(json.dumps(dressed(json.loads(text, object_pairs_hook=_once))))
    except ValueError:
        path.write_text(text)
    try:
        gc.ZoneTable.from_geojson(path)
    except gc.GeofenceError as exc:
        return str(exc).replace(str(path), "FILE")
    return None


def test_every_file_of_the_suites(corpus: Path, tmp_path: Path) -> None:
    """Good files load, bad ones do not, but for those in the tables above, each with its reason."""
    seen = {}
    for suite, name, text in cases(corpus):
        seen[name] = (suite, said_of(text, tmp_path / "zones.geojson"))
    assert len(seen) == 81
    refused = {name for name, (_, said) in seen.items() if said is not None}
    assert refused == set(REFUSED) | set(GOOD_BUT_REFUSED)
    for name, reason in (REFUSED | GOOD_BUT_REFUSED).items():
        assert reason in (seen[name][1] or ""), name
    good = {name for name, (suite, _) in seen.items() if suite.endswith(("valid", "good"))}
    assert good & refused == set(GOOD_BUT_REFUSED)
    assert seen.keys() - good - refused == set(BAD_BUT_LOADED)


def test_mending_leaves_no_file_half_read(corpus: Path, tmp_path: Path) -> None:
    """With ``mend=True`` a file loads with a report of what was changed, or is refused as before."""
    mended = set()
    for _, name, text in cases(corpus):
        path = tmp_path / "zones.geojson"
        if said_of(text, path) is None:
            assert gc.ZoneTable.from_geojson(path, mend=True).mends == (), name
            continue
        try:
            z = gc.ZoneTable.from_geojson(path, mend=True)
        except gc.GeofenceError:
            continue
        assert z.mends, name
        mended.add(name)
    assert mended == {
        "invalid_interior_not_cw",
        "bad-polygon-interiorring-rhr",
        "invalid_unclosed",
        "different-first-last",
        "different-first-size",
        "problematic_crosses_antimeridian",
        "problematic_inner_and_exterior_ring_intersect",
        "problematic_self_intersection_large",
    }
