"""shapely in the best forms found, from latitudes and longitudes to side and signed distance.

Everything that can be made beforehand is made beforehand: planes, prepared polygons and boundaries, trees. What is
timed is the projection of the fixes (`plane.project`) and the question. Where only the side is asked, the peer needs no
plane: it works in degrees, as drawn, and no projection is timed.

What decides their speed: ``contains_xy`` and ``dwithin`` use prepared geometry, ``distance`` does not and is linear in
vertices; a tree over a zone's edges is slow at 8 vertices and wins at 5,000.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import shapely

from benchmarks.plane import flatten, project, project_one
from benchmarks.workloads import BAND_M, F64, I64, Fixes, ZoneSet

Bool = npt.NDArray[np.bool_]
Pairs = tuple[I64, I64, F64]
"""Fix, zone and signed distance of each pair."""

TREE_FROM_VERTICES = 250
"""Zones larger than this are measured through a tree of their edges; about where it overtakes ``distance``."""

LOOP_UP_TO_ZONES = 64
"""So many zones are looked at one after the other with a box test in NumPy; beyond, a tree of boxes is faster."""


@dataclass(frozen=True, eq=False)
class Shapely:
    """One set of zones as shapely likes it."""

    zones: ZoneSet

    @cached_property
    def degrees(self) -> npt.NDArray[np.object_]:
        """Prepared, in degrees."""
        made = np.array(shapely.transform(self.zones.polygons, lambda xy: xy))
        shapely.prepare(made)
        return made

    @cached_property
    def flat(self) -> npt.NDArray[np.object_]:
        """Prepared, in the plane."""
        made = flatten(self.zones.polygons)
        shapely.prepare(made)
        return made

    @cached_property
    def lines(self) -> npt.NDArray[np.object_]:
        """Boundaries, prepared, in the plane."""
        made = np.asarray(shapely.boundary(self.flat))
        shapely.prepare(made)
        return made

    @cached_property
    def degree_lines(self) -> npt.NDArray[np.object_]:
        """Boundaries, in degrees."""
        return np.asarray(shapely.boundary(self.degrees))

    @cached_property
    def circles(self) -> tuple[F64, F64, F64]:
        """A circle round each zone: x, y, radius."""
        west, south, east, north = shapely.bounds(self.flat).T
        x, y = (west + east) / 2, (south + north) / 2
        at, zone = shapely.get_coordinates(self.flat, return_index=True)
        radius = np.zeros(x.size)
        np.maximum.at(radius, zone, np.hypot(at[:, 0] - x[zone], at[:, 1] - y[zone]))
        return x, y, radius

    @cached_property
    def box_tree(self) -> shapely.STRtree:
        """Boxes of the zones in the plane, grown by the band."""
        west, south, east, north = shapely.bounds(self.flat).T
        return shapely.STRtree(shapely.box(west - BAND_M, south - BAND_M, east + BAND_M, north + BAND_M))

    @cached_property
    def degree_tree(self) -> shapely.STRtree:
        """Boxes of the zones in degrees."""
        return shapely.STRtree(shapely.box(*shapely.bounds(self.degrees).T))

    @cached_property
    def edge_trees(self) -> dict[int, shapely.STRtree]:
        """Tree of the edges of each large zone."""
        large = np.flatnonzero(self.zones.edges > TREE_FROM_VERTICES)
        return {int(z): edge_tree(self.flat[z]) for z in large}


def edge_tree(polygon: shapely.Polygon) -> shapely.STRtree:
    """One box per edge."""
    at, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    same = ring[1:] == ring[:-1]
    return shapely.STRtree(shapely.linestrings(np.stack([at[:-1][same], at[1:][same]], axis=1)))


def signed(inside: Bool, distance_m: F64) -> F64:
    """Negative inside."""
    return np.where(inside, -distance_m, distance_m)


# One zone, many fixes.


def one_inside(peer: Shapely, fixes: Fixes) -> Bool:
    """Prepared point in polygon, in degrees."""
    return np.asarray(shapely.contains_xy(peer.degrees[0], fixes.lon_deg, fixes.lat_deg))


def one_distance(peer: Shapely, fixes: Fixes) -> F64:
    """Prepared side, then the distance of every fix."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    return signed(shapely.contains_xy(peer.flat[0], x, y), shapely.distance(peer.lines[0], shapely.points(x, y)))


def one_edge_tree(peer: Shapely, fixes: Fixes) -> F64:
    """Prepared side, then the nearest edge from a tree."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    (fix, _), d = _tree_of(peer).query_nearest(shapely.points(x, y), return_distance=True, all_matches=False)
    distance = np.empty(x.size)
    distance[fix] = d
    return signed(shapely.contains_xy(peer.flat[0], x, y), distance)


def one_dwithin(peer: Shapely, fixes: Fixes) -> F64:
    """Prepared "within the band" of the polygon rules most outside fixes out; then as `one_distance`."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    at = shapely.points(x, y)
    near = np.flatnonzero(shapely.dwithin(peer.flat[0], at, BAND_M))
    distance = np.full(x.size, BAND_M)
    distance[near] = shapely.distance(peer.lines[0], at[near])
    return signed(shapely.contains_xy(peer.flat[0], x, y), distance)


def one_dwithin_tree(peer: Shapely, fixes: Fixes) -> F64:
    """Prepared side, prepared "within the band" of the boundary, and a tree of the edges for those that are."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    at = shapely.points(x, y)
    near = np.flatnonzero(shapely.dwithin(peer.lines[0], at, BAND_M))
    (fix, _), d = _tree_of(peer).query_nearest(at[near], return_distance=True, all_matches=False)
    distance = np.full(x.size, BAND_M)
    distance[near[fix]] = d
    return signed(shapely.contains_xy(peer.flat[0], x, y), distance)


@cache
def _tree_of(peer: Shapely) -> shapely.STRtree:
    return edge_tree(peer.flat[0])


# One fix, all zones of one wearer.


def fix_arrays(peer: Shapely, lat: float, lon: float) -> F64:
    """Two calls over the zones' arrays."""
    x, y = project_one(lat, lon)
    inside = shapely.contains_xy(peer.flat, x, y)
    return signed(inside, shapely.distance(peer.lines, shapely.Point(x, y)))


def fix_objects(peer: Shapely, lat: float, lon: float) -> list[float]:
    """One zone after the other, which is faster for few zones."""
    at = shapely.Point(*project_one(lat, lon))
    return [-line.distance(at) if polygon.contains(at) else line.distance(at) for polygon, line in _objects(peer)]


@cache
def _objects(peer: Shapely) -> list[tuple[shapely.Polygon, shapely.Geometry]]:
    return list(zip(peer.flat.tolist(), peer.lines.tolist(), strict=True))


def fix_inside(peer: Shapely, lat: float, lon: float) -> Bool:
    """Only the side, in degrees."""
    return np.asarray(shapely.contains_xy(peer.degrees, lon, lat))


# An epoch: pairs of a fix and one of its wearer's own zones.


def own_distance(peer: Shapely, fix: I64, zone: I64, fixes: Fixes) -> F64:
    """Prepared side and the distance of every pair."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    inside = shapely.contains_xy(peer.flat[zone], x[fix], y[fix])
    return signed(inside, shapely.distance(peer.lines[zone], shapely.points(x, y)[fix]))


def own_hybrid(peer: Shapely, fix: I64, zone: I64, fixes: Fixes) -> F64:
    """A circle round each zone rules most pairs out in NumPy; shapely does the rest."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    cx, cy, radius = (c[zone] for c in peer.circles)
    px, py = x[fix], y[fix]
    dx, dy = px - cx, py - cy
    out = np.sqrt(dx * dx + dy * dy) - radius
    near = np.flatnonzero(out <= BAND_M)
    px, py, of = px[near], py[near], zone[near]
    inside = shapely.contains_xy(peer.flat[of], px, py)
    out[near] = signed(inside, shapely.distance(peer.lines[of], shapely.points(px, py)))
    return out


# Many fixes, many shared zones.


def shared_inside_tree(peer: Shapely, fixes: Fixes) -> tuple[I64, I64]:
    """Boxes by a tree, then prepared point in polygon, in degrees."""
    fix, zone = peer.degree_tree.query(shapely.points(fixes.lon_deg, fixes.lat_deg))
    inside = shapely.contains_xy(peer.degrees[zone], fixes.lon_deg[fix], fixes.lat_deg[fix])
    return fix[inside], zone[inside]


def shared_inside_loop(peer: Shapely, fixes: Fixes) -> tuple[I64, I64]:
    """Boxes by NumPy, one zone after the other, then prepared point in polygon, in degrees."""
    rows = []
    for zone, box in enumerate(shapely.bounds(peer.degrees).tolist()):
        maybe = _in_box(fixes.lon_deg, fixes.lat_deg, *box)
        inside = shapely.contains_xy(peer.degrees[zone], fixes.lon_deg[maybe], fixes.lat_deg[maybe])
        rows.append((maybe[inside], np.full(int(inside.sum()), zone)))
    return np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


def shared_signed(peer: Shapely, fixes: Fixes) -> Pairs:
    """Boxes, prepared side, prepared "within the band", then distance; a tree of the edges for large zones."""
    x, y = project(fixes.lat_deg, fixes.lon_deg)
    at = shapely.points(x, y)
    if len(peer.zones) <= LOOP_UP_TO_ZONES:
        boxes = shapely.bounds(peer.flat) + BAND_M * np.array([-1, -1, 1, 1])
        found = [_in_box(x, y, *box) for box in boxes.tolist()]
        fix = np.concatenate(found)
        zone = np.repeat(np.arange(len(found)), [f.size for f in found])
    else:
        fix, zone = peer.box_tree.query(at)
    inside = shapely.contains_xy(peer.flat[zone], x[fix], y[fix])
    close = shapely.dwithin(peer.lines[zone], at[fix], BAND_M)
    kept = np.flatnonzero(inside | close)
    fix, zone, inside, close = fix[kept], zone[kept], inside[kept], close[kept]
    distance = np.full(fix.size, BAND_M)
    small = close & (peer.zones.edges[zone] <= TREE_FROM_VERTICES)
    distance[small] = shapely.distance(peer.lines[zone[small]], at[fix[small]])
    for large, tree in peer.edge_trees.items():
        rows = np.flatnonzero(close & (zone == large))
        if rows.size:
            (row, _), d = tree.query_nearest(at[fix[rows]], return_distance=True, all_matches=False)
            distance[rows[row]] = d
    return fix, zone, signed(inside, distance)


def _in_box(x: F64, y: F64, west: float, south: float, east: float, north: float) -> I64:
    return np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))


# Segments swept between two fixes.


def swept_tree(peer: Shapely, start: Fixes, stop: Fixes) -> tuple[I64, I64, F64, F64]:
    """Segment, zone, entry and exit fraction, in degrees: boxes, prepared sides and crossings, then intersections."""
    a, b = (np.column_stack([f.lon_deg, f.lat_deg]) for f in (start, stop))
    lines = shapely.linestrings(np.stack([a, b], axis=1))
    segment, zone = peer.degree_tree.query(lines)
    polygons = peer.degrees[zone]
    a_in = shapely.contains_xy(polygons, a[segment, 0], a[segment, 1])
    b_in = shapely.contains_xy(polygons, b[segment, 0], b[segment, 1])
    touched = a_in | b_in
    rest = np.flatnonzero(~touched)
    touched[rest] = shapely.intersects(polygons[rest], lines[segment[rest]])
    segment, zone, a_in, b_in = segment[touched], zone[touched], a_in[touched], b_in[touched]
    entry, leave = np.where(a_in, 0.0, np.inf), np.where(b_in, 1.0, -np.inf)
    cut = np.flatnonzero(~(a_in & b_in))
    of = segment[cut]
    crossing = shapely.intersection(peer.degree_lines[zone[cut]], lines[of])
    at, row = shapely.get_coordinates(crossing, return_index=True)
    d = (b - a)[of[row]]
    t = ((at - a[of[row]]) * d).sum(axis=1) / (d * d).sum(axis=1)
    np.minimum.at(entry, cut[row], t)
    np.maximum.at(leave, cut[row], t)
    return segment, zone, entry, leave
