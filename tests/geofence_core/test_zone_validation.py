"""Every fault in a zone is refused with its ring, its vertex and what to do; mending says what it changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geofence_core as gc
from tests.geofence_core.drawing import (
    box,
    circle,
    corridor,
    feature,
    multipolygon,
    polygon,
    table,
)

SQUARE = box(10, 50, 11, 51)
NAN = float("nan")

# name, feature, ring, vertex, part of the reason, part of the mend's report (None: mending refuses too)
FAULTS: list[tuple[str, dict[str, Any], int | None, int | None, str, str | None]] = [
    ("unclosed", polygon(SQUARE[:-1]), 0, 3, "close the ring", "closed"),
    ("clockwise shell", polygon(SQUARE[::-1]), 0, None, "counter-clockwise", "reversed the shell"),
    (
        "counter-clockwise hole",
        polygon(SQUARE, box(10.2, 50.2, 10.4, 50.4)),
        1,
        None,
        "must run clockwise",
        "reversed the hole",
    ),
    ("repeated vertex", polygon([*SQUARE[:2], SQUARE[1], *SQUARE[2:]]), 0, 2, "same position", "removed 1"),
    ("not a number", polygon([*SQUARE[:2], [10.5, NAN], *SQUARE[2:]]), 0, 2, "not a number", None),
    ("infinite", polygon([*SQUARE[:1], [float("inf"), 50.0], *SQUARE[2:]]), 0, 1, "not a number", None),
    (
        "bow tie",
        polygon([[10, 50], [11, 51], [11, 50], [10, 50.9], [10, 50]]),
        0,
        0,
        "self-intersection near longitude 10.4",
        "rebuilt the rings",
    ),
    ("latitude out of range", polygon(box(100, 50, 101, 95)), 0, 2, "outside longitude", None),
    ("longitude out of range", polygon(box(1000, 50, 1001, 51)), 0, 0, "outside longitude", None),
    (
        "exchanged, seen by range",
        polygon([[50, 100], [50, 101], [51, 101], [51, 100], [50, 100]]),
        0,
        0,
        "exchanged",
        "exch",
    ),
    ("too few positions", polygon([[10, 50], [11, 51], [10, 50]]), 0, None, "encloses? nothing|enclose nothing", None),
    ("no area", polygon([[10, 50], [11, 51], [12, 52], [10, 50]]), 0, None, "no area", None),
    (
        "hole outside its shell",
        polygon(SQUARE, box(12, 50, 13, 51)[::-1]),
        1,
        0,
        "hole lies outside shell",
        "rebuilt the rings",
    ),
    ("overlapping parts", multipolygon([SQUARE], [box(10.5, 50.5, 12, 52)]), 0, 2, "self-intersection", "rebuilt"),
    ("shared edge", multipolygon([SQUARE], [box(11, 50, 12, 51)]), 0, 1, "self-intersection", "rebuilt"),
    ("part in a part", multipolygon([SQUARE], [box(10.2, 50.2, 10.4, 50.4)]), 1, 0, "nested shells", "rebuilt"),
    (
        "over the antimeridian",
        polygon([[179, 10], [-179, 10], [-179, 11], [179, 11], [179, 10]]),
        0,
        0,
        "antimeridian",
        "cut at the antimeridian",
    ),
    (
        "stepping over the antimeridian",
        polygon(
            [[179, 10], [180, 10], [-180, 10], [-179, 10], [-179, 11], [-180, 11], [180, 11], [179, 11], [179, 10]]
        ),
        0,
        1,
        "antimeridian",
        "cut at the antimeridian",
    ),
    (
        "round a pole",
        polygon([[0, 80], [120, 80], [-120, 80], [0, 80]]),
        0,
        1,
        "antimeridian",
        None,
    ),
    ("empty geometry", feature({"type": "Polygon", "coordinates": []}), None, None, "empty", None),
    ("empty ring", polygon([]), 0, None, "empty", None),
    ("no geometry", feature(None), None, None, "no geometry", None),  # type: ignore[arg-type]
    ("unknown geometry", feature({"type": "MultiPoint", "coordinates": [[1, 2]]}), None, None, "is no zone", None),
    ("position of one number", polygon([[10], *SQUARE[1:]]), 0, 0, "expected \\[longitude, latitude\\]", None),
    ("position of text", polygon([["10", 50], *SQUARE[1:]]), 0, 0, "expected two numbers", None),
    ("huge integer", polygon([[10**400, 50], *SQUARE[1:]]), 0, 0, "expected two numbers", None),
    (
        "point as multipolygon",
        feature({"type": "MultiPolygon", "coordinates": [1.0, 2.0]}),
        0,
        None,
        "without rings",
        None,
    ),
    ("circle without radius", feature({"type": "Point", "coordinates": [1, 2]}), None, None, "radius_m", None),
    ("circle of no size", circle(50, 10, 0.0), None, None, "radius_m", None),
    ("circle of half the globe", circle(50, 10, 1e7), None, None, "radius_m", None),
    ("circle nowhere", circle(NAN, 10, 10.0), None, None, "not a number", None),
    ("circle off the map", circle(99, 170, 10.0), None, None, "outside longitude", None),
    (
        "corridor without width",
        feature({"type": "LineString", "coordinates": [[1, 2], [2, 3]]}),
        None,
        None,
        "half_w",
        None,
    ),
    ("corridor of no width", corridor([[1, 2], [2, 3]], -1.0), None, None, "half_width_m", None),
    ("corridor of one place", corridor([[1, 2]], 10.0), 0, None, "two different positions", None),
    ("corridor standing still", corridor([[1, 2], [1, 2], [2, 3]], 10.0), 0, 1, "same position", "removed 1"),
    ("corridor over the antimeridian", corridor([[179, 2], [-179, 2]], 10.0), 0, 0, "antimeridian", "read 1"),
]


@pytest.mark.parametrize(
    ("drawn", "ring", "vertex", "reason", "mended"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_fault_is_refused_with_its_place_and_mended_only_on_request(
    drawn: dict[str, Any], ring: int | None, vertex: int | None, reason: str, mended: str | None
) -> None:
    with pytest.raises(gc.ZoneGeometryError, match=reason) as caught:
        table(drawn)
    assert caught.value.zone_id == "z"
    assert (caught.value.ring, caught.value.vertex) == (ring, vertex)
    if mended is None:
        with pytest.raises(gc.ZoneGeometryError):
            table(drawn, mend=True)
        return
    z = table(drawn, mend=True)
    assert any(mended in m.what for m in z.mends), z.mends
    assert all(m.zone_id == "z" for m in z.mends)
    # What was mended is valid as it now stands.
    again = [[r.tolist() for r in rings] for rings in z.shapes[0].polygons]
    if again:
        table(multipolygon(*again))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.pop("id"), "expected a string 'id'"),
        (lambda f: f.update(id=True), "expected a string 'id'"),
        (lambda f: f.update(id=1.5), "expected a string 'id'"),
        (lambda f: f["properties"].pop("purpose"), "purpose must be one of exclusion, inclusion"),
        (lambda f: f["properties"].update(purpose="Exclusion"), "purpose must be one of"),
        (lambda f: f["properties"].update(name=7), "name must be a string"),
        (lambda f: f.update(properties=None), "properties.purpose"),
        (lambda f: f.update(properties=[]), "properties.purpose"),
        (lambda f: f.update(type="Featre"), "expected a Feature"),
        (lambda f: f.update(geometry="POLYGON EMPTY"), "geometry must be an object"),
        (lambda f: f["geometry"].update(type=["Polygon"]), "is no zone"),
    ],
)
def test_what_a_zone_needs_is_asked_for(change: Any, reason: str) -> None:
    drawn = polygon(SQUARE)
    change(drawn)
    with pytest.raises(gc.ZoneGeometryError, match=reason):
        table(drawn)


def test_an_id_stands_once() -> None:
    with pytest.raises(gc.ZoneGeometryError, match=r"features\[0\] and features\[1\]"):
        table(polygon(SQUARE), polygon(SQUARE))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "expected a FeatureCollection, got list"),
        ({"type": "Topology"}, "got 'Topology'"),
        ({"type": "Polygon", "coordinates": [SQUARE]}, "wrap each geometry in a Feature"),
        ({"type": "FeatureCollection"}, "'features' must be a list"),
        ({"type": "FeatureCollection", "features": {}}, "'features' must be a list"),
        (
            {
                "type": "FeatureCollection",
                "features": [],
                "crs": {"type": "name", "properties": {"name": "EPSG:27700"}},
            },
            "reproject",
        ),
    ],
)
def test_what_is_no_zone_file_is_said_so(document: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps(document))
    with pytest.raises(gc.ZoneFileError, match=reason) as caught:
        gc.ZoneTable.from_geojson(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"type": "FeatureCollection", "type": "Feature", "features": []}', "'type' stands twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
    ],
)
def test_damaged_files_are_said_so(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "zones.geojson"
    path.write_bytes(content)
    with pytest.raises(gc.ZoneFileError, match=reason):
        gc.ZoneTable.from_geojson(path)


def test_an_absent_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(gc.ZoneFileError, match="check the path"):
        gc.ZoneTable.from_geojson(tmp_path / "none.geojson")


def test_a_zone_in_the_wrong_order_among_others_is_found() -> None:
    good = [polygon(box(10 + i / 10, 50, 10.05 + i / 10, 50.05), zone_id=f"g{i}") for i in range(3)]
    swapped = polygon(
        [[50.0, 10.0], [50.0, 10.05], [50.05, 10.05], [50.05, 10.0], [50.0, 10.0]][::-1], zone_id="swapped"
    )
    with pytest.raises(gc.ZoneGeometryError, match="among them with latitude and longitude exchanged") as caught:
        table(*good, swapped)
    assert caught.value.zone_id == "swapped"
    z = table(*good, swapped, mend=True)
    assert [m.what for m in z.mends] == ["exchanged latitude and longitude"]
    assert z.contains(50.02, 10.02)[0, 3]


def test_circles_and_corridors_in_the_wrong_order_are_found_as_well() -> None:
    good = [circle(50.0, 10.0 + i / 10, 100.0, zone_id=f"g{i}") for i in range(3)]
    for swapped in (circle(10.0, 50.0, 100.0, "s"), corridor([[50.0, 10.0], [50.1, 10.0]], 50.0, "s")):
        with pytest.raises(gc.ZoneGeometryError, match="exchanged"):
            table(*good, swapped)
        assert table(*good, swapped, mend=True).contains(50.0, 10.0)[0, 3]


def test_zones_far_apart_are_no_suspects() -> None:
    table(*(circle(lat, lon, 500.0, f"z{lat}") for lat, lon in [(50, 10), (-34, 151), (64, -22), (1, 104)]))


def test_the_whole_globe_is_no_zone() -> None:
    with pytest.raises(gc.ZoneGeometryError, match="no boundary"):
        table(polygon(box(-180, -90, 180, 90)))


def test_an_endless_boundary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofence_core.densify.PIECES_LIMIT", 50)
    with pytest.raises(gc.ZoneGeometryError, match="more than 50 pieces"):
        table(polygon(SQUARE))


def test_mending_keeps_what_was_not_wrong() -> None:
    z = table(polygon(SQUARE), mend=True)
    assert z.mends == ()
    assert np.array_equal(z.shapes[0].polygons[0][0], np.array(SQUARE))
