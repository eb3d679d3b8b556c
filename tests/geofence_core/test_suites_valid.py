"""What JTS and Turf call valid loads, what they call invalid is refused; with mending, what is left is valid."""

import json
from pathlib import Path

import pytest
import shapely

import geofence_core as gc
from tests.geofence_core.drawing import collection, feature
from tests.geofence_core.planar_suites import jts_cases, moved

pytestmark = pytest.mark.corpus

REPEATED = "the same position as the vertex before it"
JTS_VALID_BUT_REFUSED = {
    "A - polygon with repeated point (valid)": REPEATED,
    "A - shell has repeated points (valid)": REPEATED,
    "A - hole with repeated points (valid)": REPEATED,
    "A - hole touches shell at repeated shell point (valid)": REPEATED,
    "A - hole touches shell at repeated shell end point (valid)": REPEATED,
    "A - hole touches shell at repeated hole point (valid)": REPEATED,
    "A - hole touches shell at repeated hole end point (valid)": REPEATED,
    "A - hole touches hole at repeated point on hole (valid)": REPEATED,
    "mA - shell touches shell at repeated point (valid)": REPEATED,
    "A - empty shell and holes (valid)": "the geometry is empty",
    "A - non-empty shell and empty hole (valid)": "the ring has no positions",
}
"""A vertex that stands twice is most often a slip of the pen: refused, and removed by ``mend=True``."""


def said_of(area: shapely.Geometry) -> str | None:
    try:
        gc.ZoneTable.from_shapely([area], ["z"])
    except gc.ZoneGeometryError as exc:
        return exc.reason
    return None


@pytest.mark.filterwarnings("ignore:invalid value encountered in from_wkt")
@pytest.mark.parametrize(
    ("name", "valid", "invalid"), [("general-TestValid.xml", 26, 42), ("misc-TestInvalidA.xml", 0, 75)]
)
def test_validity_of_areas_of_jts(corpus: Path, name: str, valid: int, invalid: int) -> None:
    seen = {True: 0, False: 0}
    differs = {}
    for case in jts_cases(corpus / "zones" / "jts" / name):
        if "Polygon" not in case.a.geom_type:
            continue
        said = said_of(moved(case.a, -2.0, 53.0))
        seen[case.true] += 1
        if (said is None) != case.true:
            differs[case.name.split(" ", 1)[1]] = said
    assert seen == {True: valid, False: invalid}
    expected = JTS_VALID_BUT_REFUSED if valid else {}
    assert differs.keys() == expected.keys()
    for case_name, reason in expected.items():
        assert reason in differs[case_name]


NOTHING_LEFT = "nothing of the zone is left"
NOTHING_TO_MEND = {
    "general-TestValid.xml": {
        "A - empty shell and holes (valid)": "the geometry is empty",
        "A - non-empty shell and empty hole (valid)": "the ring has no positions",
        "A - zero-area polygon (too few distinct points)": "1 positions enclose nothing",
        "A - zero-area polygon with multiple points (self-intersection)": "the ring encloses no area",
        "A - polygon with too few points (too few distinct points)": "3 positions enclose nothing",
        "A - polygon with invalid point": "a coordinate is not a number",
        "mA - multipolygon with component with too few points (too few distinct points)": "3 positions enclose nothing",
        "A - hole identical to shell (self-intersection)": NOTHING_LEFT,
    },
    "misc-TestInvalidA.xml": {
        "Polygon - Zero area": NOTHING_LEFT,
        "Polygon/Hole - Equal": NOTHING_LEFT,
        "Polygon/Hole - Covers": NOTHING_LEFT,
        "Polygon/Hole - Collapsed shell": NOTHING_LEFT,
        "Polygon/Holes - Cover Exactly": NOTHING_LEFT,
    },
}
"""Areas that stay refused with ``mend=True``, and why."""


@pytest.mark.filterwarnings("ignore:invalid value encountered in from_wkt")
@pytest.mark.parametrize(("name", "mended"), [("general-TestValid.xml", 45), ("misc-TestInvalidA.xml", 70)])
def test_what_is_mended_is_valid(corpus: Path, name: str, mended: int) -> None:
    """Each area that is refused loads mended, with a report and valid rings, or has a reason to stay refused."""
    seen = 0
    refused = {}
    for case in jts_cases(corpus / "zones" / "jts" / name):
        area = moved(case.a, -2.0, 53.0)
        if "Polygon" not in case.a.geom_type or said_of(area) is None:
            continue
        try:
            z = gc.ZoneTable.from_shapely([area], ["z"], mend=True)
        except gc.ZoneGeometryError as exc:
            refused[case.name.split(" ", 1)[1]] = exc.reason
            continue
        assert z.mends, case.name
        rings = z.shapes[0].polygons
        assert shapely.is_valid(shapely.MultiPolygon([shapely.Polygon(p[0], p[1:]) for p in rings])), case.name
        seen += 1
    assert seen == mended
    assert refused.keys() == NOTHING_TO_MEND[name].keys()
    for case_name, reason in NOTHING_TO_MEND[name].items():
        assert reason in refused[case_name]


TURF_VALID_BUT_REFUSED = {
    "MultiLineString/multilinestring": "is no zone",
    "MultiPoint/multipoint-with-z": "is no zone",
    "MultiPolygon/multipolygon-touch": "a hole must run clockwise",
    "Polygon/polygon-internal-hole": "a hole must run clockwise",
    "Polygon/polygon-with-hole-1-vertice-touching": "a hole must run clockwise",
}
"""Turf does not look at the winding of holes (RFC 7946, 3.1.6); these three load with ``mend=True``."""


def test_validity_of_turf(corpus: Path) -> None:
    lines = (corpus / "zones" / "turf" / "boolean-valid.jsonl").read_text().splitlines()
    differs = {}
    for case in map(json.loads, lines):
        geometry = case["geojson"]["features"][0]["geometry"]
        document = collection(feature(geometry, radius_m=1.0, half_width_m=1.0))
        try:
            gc.ZoneTable.from_geojson(document)
            said = ""
        except gc.ZoneGeometryError as exc:
            said = exc.reason
        if bool(said) == case["expected"]:
            differs[case["case"]] = said
            if "clockwise" in said:
                assert gc.ZoneTable.from_geojson(document, mend=True).mends
    assert len(lines) == 17
    assert differs.keys() == TURF_VALID_BUT_REFUSED.keys()
    for name, reason in TURF_VALID_BUT_REFUSED.items():
        assert reason in differs[name]
