"""Published predicates of plane geometry asked of the core: witness points, and which cell of the DE-9IM each fills.

The core answers one question about areas: is a fix inside, on the boundary, or outside. A suite's pair of geometries is
therefore cut into pieces by all of their lines; one point of each piece is a witness. The core says where each witness
lies in the areas, and the cells that are filled make the matrix from which every predicate follows.
"""

import gzip
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

import geofence_core as gc

F64 = npt.NDArray[np.float64]
Matrix = frozenset[str]
"""Cells of the DE-9IM that are not empty, such as {"II", "IE", "BE"}; interior, boundary, exterior of a, then of b."""

ON_DEG = 1e-10
"""A witness this near to a line or point is on it; degree. Witnesses where lines cross are rounded."""
ON_M = 2e-5
"""The same for the boundary of a zone; metre."""


@dataclass(frozen=True, slots=True)
class Case:
    """One pair of geometries and what is to be said of it; ``op`` in lower case, ``detail`` a pattern or a length."""

    name: str
    a: shapely.Geometry
    b: shapely.Geometry | None
    op: str
    detail: str
    expected: str

    @property
    def true(self) -> bool:
        return self.expected == "true"


def jts_cases(path: Path) -> Iterator[Case]:
    """Every check of one XML file; ``a`` and ``b`` in the order of the check's arguments."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for number, case in enumerate(ET.fromstring(data).iter("case")):
        drawn = {k: _geometry(case.findtext(k)) for k in ("a", "b")}
        for op in case.iter("op"):
            first = (op.get("arg1") or "A").lower()
            second = "b" if first == "a" else "a"
            a, b = drawn[first], drawn[second]
            # arg3 is the pattern of a relate and the length of a distance check.
            detail = op.get("arg3") or ""
            name = f"{number} {(case.findtext('desc') or '').strip()}"
            text = " ".join((op.text or "").split())
            if a is not None:
                yield Case(name, a, b, (op.get("name") or "").lower(), detail, text)


def _geometry(text: str | None) -> shapely.Geometry | None:
    return None if text is None else shapely.from_wkt(" ".join(text.split()))


def is_area(geometry: shapely.Geometry | None) -> bool:
    return geometry is not None and geometry.geom_type in {"Polygon", "MultiPolygon"} and not geometry.is_empty


def moved(geometry: shapely.Geometry, lon: float, lat: float) -> shapely.Geometry:
    """Plane units as 1/1024 degree at a place of whole degrees: no coordinate of the suites is rounded."""
    return shapely.transform(geometry, lambda xy: xy / 1024.0 + [lon, lat])


def zone_of(area: shapely.Geometry) -> gc.ZoneTable:
    """The area as a zone; vertices that stand twice, which the suites take for valid, are removed."""
    z = gc.ZoneTable.from_shapely([area], ["z"], mend=True)
    assert all("repeated vertices" in m.what for m in z.mends), z.mends
    return z


def places(geometry: shapely.Geometry, at: F64) -> list[str]:
    """I, B or E of each witness: by the core in areas, by distance on lines and points."""
    if is_area(geometry):
        signed = zone_of(geometry).signed_distance_m(at[:, 1], at[:, 0])[:, 0]
        return np.where(np.abs(signed) <= ON_M, "B", np.where(signed < 0, "I", "E")).tolist()
    witness = shapely.points(at)
    on = shapely.distance(geometry, witness) <= ON_DEG
    ends = shapely.boundary(geometry)
    at_end = (
        np.zeros(len(at), dtype=bool) if ends is None or ends.is_empty else shapely.distance(ends, witness) <= ON_DEG
    )
    return np.where(at_end, "B", np.where(on, "I", "E")).tolist()


def witnesses(a: shapely.Geometry, b: shapely.Geometry) -> F64:
    """A point of every piece into which the lines of both cut the plane, of every stretch of line, and every node."""
    lines = [shapely.boundary(g) if is_area(g) else g for g in (a, b)]
    noded = shapely.union_all([g for g in lines if "Point" not in g.geom_type])
    points = [shapely.get_coordinates(g) for g in lines if "Point" in g.geom_type]
    for line in shapely.get_parts(noded):
        xy = shapely.get_coordinates(line)
        points += [xy, (xy[1:] + xy[:-1]) / 2]
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    for face in faces:
        within = shapely.get_coordinates(shapely.point_on_surface(face))
        # A second one beside it: the first may stand on one of the points.
        points += [within, within + 1e-6 * (shapely.get_coordinates(face)[:1] - within)]
    west, south, _, _ = shapely.total_bounds([a, b])
    return np.concatenate([*points, [[west - 0.01, south - 0.01]]])


def matrix(a: shapely.Geometry, b: shapely.Geometry) -> Matrix:
    at = witnesses(a, b)
    return frozenset(p + q for p, q in zip(places(a, at), places(b, at), strict=True))


def filled(pattern: str) -> Matrix:
    """Cells that a DE-9IM pattern without wildcards says are not empty."""
    names = [p + q for p in "IBE" for q in "IBE"]
    return frozenset(name for name, mark in zip(names, pattern, strict=True) if mark != "F")


def holds(op: str, found: Matrix, a: shapely.Geometry, b: shapely.Geometry) -> bool:
    """A predicate by its definition on the matrix (OGC 06-103r4, 6.1.15)."""
    meet = bool(found & {"II", "IB", "BI", "BB"})
    dims = [shapely.get_dimensions(g) for g in (a, b)]
    answers = {
        "intersects": meet,
        "disjoint": not meet,
        "contains": "II" in found and not found & {"EI", "EB"},
        "within": "II" in found and not found & {"IE", "BE"},
        "covers": meet and not found & {"EI", "EB"},
        "coveredby": meet and not found & {"IE", "BE"},
        "touches": meet and "II" not in found,
        "equalstopo": dims[0] == dims[1] and "II" in found and not found & {"IE", "BE", "EI", "EB"},
        "overlaps": dims[0] == dims[1] and found >= {"II", "IE", "EI"},
        "crosses": dims[0] != dims[1] and found >= {"II", "IE" if dims[0] < dims[1] else "EI"},
    }
    return answers[op]
