"""The part of the checks that takes GEOS: rings that cross, parts that overlap, cutting at the antimeridian."""

import re

import numpy as np
import shapely
from shapely import affinity

from geofence_core.arrays import F64
from geofence_core.errors import ZoneGeometryError
from geofence_core.shapes import Mend, ZoneShape

_LOCATION = re.compile(r"^(?P<what>[^\[]*?)\s*\[(?P<x>\S+)\s+(?P<y>[^\]\s]+)")


def encloses_nothing(ring: F64) -> bool:
    """Whether all positions of a ring lie on one line."""
    return float(shapely.area(shapely.convex_hull(shapely.LineString(ring - ring[0])))) == 0.0


def crosses_itself(ring: F64) -> bool:
    """Whether a closed ring meets itself anywhere but at its ends."""
    return not shapely.is_simple(shapely.LinearRing(ring))


def check(shape: ZoneShape, mend: bool, mends: list[Mend]) -> ZoneShape:
    """Refuse rings and parts that cross, overlap or lie where they cannot; or rebuild them and say so.

    Raises
    ------
    ZoneGeometryError
        Names the ring and the vertex that starts the edge nearest to the place.
    """
    geometry = _to_shapely(shape)
    if shapely.is_valid(geometry):
        return shape
    text = str(shapely.is_valid_reason(geometry))
    match = _LOCATION.match(text)
    what = match["what"].lower() if match else text.lower()
    ring, vertex = _locate(shape, float(match["x"]), float(match["y"])) if match else (None, None)
    if not mend:
        at = f" near longitude {match['x']}, latitude {match['y']}" if match else ""
        raise ZoneGeometryError(
            shape.zone_id, ring, vertex, f"{what}{at}; next: redraw this place, or load with mend=True"
        )
    mended = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    before, after = float(shapely.area(geometry)), float(shapely.area(mended))
    change = f"{abs(after - before) / before:.3%} of its area" if before > 0 else "its area"
    mends.append(Mend(zone_id=shape.zone_id, ring=ring, what=f"rebuilt the rings ({what}), which changed {change}"))
    return _from_shapely(shape, mended)


def _locate(shape: ZoneShape, x: float, y: float) -> tuple[int, int]:
    """Return ring and vertex that start the edge nearest to a place."""
    best, found, ring = np.inf, (0, 0), 0
    for rings in shape.polygons:
        for xy in rings:
            a, d = xy[:-1], np.diff(xy, axis=0)
            w = np.array([x, y]) - a
            t = np.clip((w * d).sum(axis=1) / np.maximum((d * d).sum(axis=1), 1e-300), 0.0, 1.0)
            gap = np.hypot(*(w - t[:, None] * d).T)
            if gap.min() < best:
                best, found = float(gap.min()), (ring, int(np.argmin(gap)))
            ring += 1
    return found


def cut_at_antimeridian(shape: ZoneShape) -> ZoneShape:
    """Cut a zone that runs beyond longitude +-180 and bring every part back within it."""
    geometry = _to_shapely(shape)
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        window = shapely.box(-180.0 + turn, -90.0, 180.0 + turn, 90.0)
        inside = shapely.intersection(geometry, window)
        parts += [
            affinity.translate(p, xoff=-turn)
            for p in shapely.get_parts(inside)
            if isinstance(p, shapely.Polygon) and p.area > 0
        ]
    # Parts drawn on different turns of the globe can only now be seen to overlap.
    return _from_shapely(shape, shapely.union_all(parts))


def _to_shapely(shape: ZoneShape) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.Polygon(rings[0], list(rings[1:])) for rings in shape.polygons])


def _from_shapely(shape: ZoneShape, geometry: shapely.Geometry) -> ZoneShape:
    parts = [p for p in shapely.get_parts(geometry) if isinstance(p, shapely.Polygon) and p.area > 0]
    if not parts:
        raise ZoneGeometryError(
            shape.zone_id, None, None, "nothing of the zone is left after mending; next: draw it again"
        )
    oriented = [shapely.orient_polygons(p, exterior_cw=False) for p in parts]
    polygons = tuple(
        tuple(np.array(ring.coords, dtype=np.float64)[:, :2] for ring in (p.exterior, *p.interiors)) for p in oriented
    )
    return shape.with_polygons(polygons)
