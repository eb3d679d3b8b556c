"""Predicates of JTS and Turf on points, lines and areas against areas: the core's sides give every published answer."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely

import geofence_core as gc
from tests.geofence_core.planar_suites import Case, filled, holds, is_area, jts_cases, matrix, moved, zone_of

pytestmark = pytest.mark.corpus

ORIGINS = [(0.0, 0.0), (-2.0, 53.0), (100.0, -70.0), (-179.0, 10.0)]
"""Whole degrees, longitude first, to which the suites' planes are moved."""


def asked(case: Case) -> bool:
    """Whether a check is about an area, and neither of its geometries is empty or a collection of several kinds."""
    both = [case.a, case.b]
    plain = all(g is not None and not g.is_empty and g.geom_type != "GeometryCollection" for g in both)
    return plain and any(is_area(g) for g in both)


# File -> how many of its checks concern areas, and how many do not.
JTS = {
    "general-TestRelatePA.xml": (121, 0),
    "general-TestRelateAA.xml": (41, 0),
    "validate-TestRelateAC.xml": (11, 0),
    "general-TestRectanglePredicate.xml": (66, 4),
    "general-TestPreparedPointPredicate.xml": (3, 0),
}


@pytest.mark.parametrize("name", JTS)
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
def test_relations_of_jts(corpus: Path, name: str, origin: tuple[float, float]) -> None:
    """DE-9IM matrices and the predicates named after them; what is left out are collections of several kinds."""
    seen = left_out = 0
    found: dict[str, frozenset[str]] = {}
    for case in jts_cases(corpus / "zones" / "jts" / name):
        if not asked(case) or case.b is None:
            left_out += 1
            continue
        key = f"{case.name} {case.a.wkt[:9]}"
        if key not in found:
            found[key] = matrix(moved(case.a, *origin), moved(case.b, *origin))
        if case.op == "relate":
            assert (found[key] == filled(case.detail)) == case.true, (case.name, sorted(found[key]))
        else:
            assert holds(case.op, found[key], case.a, case.b) == case.true, (case.name, case.op, sorted(found[key]))
        seen += 1
    assert (seen, left_out) == JTS[name]


def test_empty_geometries_of_jts_are_refused(corpus: Path) -> None:
    """An empty area is no zone, so the 52 relations with one are not asked."""
    areas = {
        g.wkt
        for case in jts_cases(corpus / "zones" / "jts" / "misc-TestRelateEmpty.xml.gz")
        for g in (case.a, case.b)
        if g is not None and "Polygon" in g.geom_type and g.is_empty
    }
    assert areas == {"POLYGON EMPTY", "MULTIPOLYGON EMPTY"}
    for wkt in areas:
        with pytest.raises(gc.ZoneGeometryError, match="empty"):
            zone_of(shapely.from_wkt(wkt))


def test_interior_points_of_jts(corpus: Path) -> None:
    """The published interior point of each area is well inside it; of points and lines there is nothing to ask."""
    seen = 0
    for case in jts_cases(corpus / "zones" / "jts" / "general-TestInteriorPoint.xml"):
        if is_area(case.a):
            point = moved(shapely.from_wkt(case.expected), -2.0, 53.0)
            assert zone_of(moved(case.a, -2.0, 53.0)).signed_distance_m(point.y, point.x)[0, 0] < -1.0, case.name
            seen += 1
    assert seen == 5


def test_the_point_that_is_not_on_the_line_of_jts(corpus: Path) -> None:
    """A line 400 million million units long passes the origin; the core counts as touched what is below 3e-9 m."""
    (case,) = jts_cases(corpus / "zones" / "jts" / "robust-TestRobustRelate.xml")
    line = shapely.get_coordinates(case.a) * 2.0**-42
    for third in ([0.0, 1.0], [0.0, -1.0]):
        zone = shapely.Polygon([line[0], line[1], third])
        signed = zone_of(zone).signed_distance_m(0.0, 0.0)[0, 0]
        assert abs(signed) < 1e-8
        assert signed <= 0.0 or not shapely.intersects_xy(zone, 0.0, 0.0)


# ---------------------------------------------------------------- Turf

# File -> checks that concern areas, checks that do not.
TURF = {
    "boolean-contains": (30, 8),
    "boolean-within": (26, 11),
    "boolean-intersects": (14, 11),
    "boolean-disjoint": (13, 13),
    "boolean-touches": (31, 23),
}

NO_ZONES = {("boolean-within", "Polygon/Polygon/Polygon-Polygon"): "encloses no area"}
"""Checks with an area that is refused, and why: this one is drawn up and down a single line."""


def turf_cases(folder: Path, name: str) -> list[Case]:
    lines = (folder / "zones" / "turf" / f"{name}.jsonl").read_text().splitlines()
    cases = []
    for line in lines:
        case = json.loads(line)
        a, b = (shapely.geometry.shape(f["geometry"]) for f in case["geojson"]["features"])
        cases.append(Case(case["case"], a, b, name.split("-")[1], "", str(case["expected"]).lower()))
    return cases


@pytest.mark.parametrize("name", TURF)
def test_predicates_of_turf(corpus: Path, name: str) -> None:
    seen = left_out = 0
    for case in turf_cases(corpus, name):
        if not asked(case) or case.b is None:
            left_out += 1
            continue
        if (name, case.name) in NO_ZONES:
            with pytest.raises(gc.ZoneGeometryError, match=NO_ZONES[name, case.name]):
                matrix(case.a, case.b)
            left_out += 1
            continue
        found = matrix(case.a, case.b)
        assert holds(case.op, found, case.a, case.b) == case.true, (case.name, sorted(found))
        seen += 1
    assert (seen, left_out) == TURF[name]


# ---------------------------------------------------------------- segments


def segments(line: shapely.Geometry) -> list[np.ndarray]:
    parts = [shapely.get_coordinates(p) for p in shapely.get_parts(line)]
    ends = np.concatenate([np.hstack([xy[:-1], xy[1:]]) for xy in parts])
    return [ends[:, 1], ends[:, 0], ends[:, 3], ends[:, 2]]


def test_lines_that_meet_areas_are_swept_by_them(corpus: Path) -> None:
    """Every published line against an area, as segments between two fixes."""
    cases = [c for name in TURF for c in turf_cases(corpus, name)]
    cases += [
        Case(c.name, moved(c.a, -2.0, 53.0), moved(c.b, -2.0, 53.0), c.op, "", c.expected)
        for c in jts_cases(corpus / "zones" / "jts" / "general-TestRectanglePredicate.xml")
        if c.b is not None
    ]
    seen: Counter[bool] = Counter()
    for case in cases:
        line, area = (case.b, case.a) if is_area(case.a) else (case.a, case.b)
        if not is_area(area) or line is None or "Line" not in line.geom_type or not asked(case):
            continue
        want = bool(shapely.intersects(line, area))
        if case.op in {"intersects", "disjoint"}:
            assert want == (case.true == (case.op == "intersects"))
        swept = zone_of(area).crossed(*segments(line))
        assert (swept.zone_idx.size > 0) == want, case.name
        whole = bool(shapely.covers(area, line))
        inside = (
            swept.zone_idx.size == len(swept.segment_ptr) - 1 and (swept.entry == 0).all() and (swept.exit == 1).all()
        )
        assert inside or not whole, case.name
        seen[want] += 1
    assert seen[True] >= 30
    assert seen[False] >= 5
