"""Every fix against one zone: the grid's numbers are scalars, so a fix costs no gather until its cell is known."""

from collections.abc import Iterator

import numpy as np

from geofence_core.arrays import F64, I32, I64, U8, Bool, even, indices
from geofence_core.cells import BEYOND, IN, MIXED
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable
from geofence_core.gridpairs import far_cell, far_m
from geofence_core.grids import ZoneGrids
from geofence_core.listed import Places, into_rim, listed_m, turned
from geofence_core.nearest import POINTS, POOL, Work, shortest_first

HAIR = 1e-6
"""Fixes this near to the outline of a grid are looked at one by one; cells. Covers the rounding by which two ways to
say where it is may differ."""


def column_m(edges: EdgeTable, grids: ZoneGrids, drawn: DrawnZones, places: Places, zone: int, work: Work) -> F64:
    """Signed distance of N fixes to one indexed zone.

    Parameters
    ----------
    edges, grids, drawn
        The zones.
    places
        N fixes.
    zone
        Its index.
    work
        Buffers.

    Returns
    -------
    float64 (N,), metre, the same bits as `grids.pairs_m`.
    """
    out = np.empty(places.lat_deg.size)
    limit_m = grids.limit_m
    # What the side of a cell without a list says; fixes in the rim are put right below.
    bare = np.full(4, limit_m)
    bare[IN] = -limit_m
    for span in _spans(out.size):
        lists: list[tuple[I64, I32, U8]] = []
        beyond: list[I64] = []
        for a in range(span.start, span.stop, POINTS):
            part = slice(a, min(a + POINTS, span.stop))
            cell, _ = _cells(grids, places.lat_deg[part], places.lon_deg[part], zone, work)
            side = grids.side.take(cell)
            bare.take(side, out=out[part], mode="clip")
            in_rim = indices(side == BEYOND)
            if in_rim.size:
                beyond.append(in_rim + a)
            count = grids.count.take(cell)
            listed = indices(count)
            if listed.size:
                lists.append((listed + a, cell.take(listed), count.take(listed)))
        for rows, d in _walked(edges, grids, drawn, places, zone, lists, work):
            np.clip(d, -limit_m, limit_m, out=d)
            out[rows] = d
        if beyond:
            rows = np.concatenate(beyond)
            out[rows] = _far_m(grids, places.lat_deg.take(rows), places.lon_deg.take(rows), zone)
    return out


def column_inside(edges: EdgeTable, grids: ZoneGrids, drawn: DrawnZones, places: Places, zone: int, work: Work) -> Bool:
    """Side of N fixes against one indexed zone; bool (N,); `column_m` not above 0, from grids without a band."""
    out = np.empty(places.lat_deg.size, dtype=bool)
    for span in _spans(out.size):
        lists: list[tuple[I64, I32, U8]] = []
        for a in range(span.start, span.stop, POINTS):
            part = slice(a, min(a + POINTS, span.stop))
            cell, _ = _cells(grids, places.lat_deg[part], places.lon_deg[part], zone, work)
            side = grids.side.take(cell)
            np.equal(side, IN, out=out[part])
            mixed = indices(side == MIXED)
            if mixed.size:
                cell = cell.take(mixed)
                lists.append((mixed + a, cell, grids.count.take(cell)))
        for rows, d in _walked(edges, grids, drawn, places, zone, lists, work):
            out[rows] = d <= 0.0
    return out


def column_exact_m(
    edges: EdgeTable, grids: ZoneGrids, drawn: DrawnZones, places: Places, zone: int, work: Work
) -> tuple[F64, I64]:
    """Signed distance of the fixes within a grid of `build_exact_grids`; as `grids.exact_pairs_m`, the same bits.

    Returns
    -------
    signed_m, rest
        float64 (N,), metre, with anything at ``rest``; int64: the fixes that are outside the grid.
    """
    out = np.empty(places.lat_deg.size)
    rest: list[I64] = [np.zeros(0, dtype=np.int64)]
    for a in range(0, out.size, POINTS):
        lat, lon = places.lat_deg[a : a + POINTS], places.lon_deg[a : a + POINTS]
        cell, all_within = _cells(grids, lat, lon, zone, work)
        rows = np.arange(a, a + lat.size)
        if not all_within:
            u, v = np.abs(turned(lon - grids.lon_deg[zone])), np.abs(lat - grids.lat_deg[zone])
            within = (u < grids.half_lon_deg[zone]) & (v < grids.half_lat_deg[zone])
            here = indices(within)
            rest.append(indices(~within) + a)
            rows, cell = here + a, cell.take(here)
            if not rows.size:
                continue
        row, d = _listed(edges, grids, drawn, places, zone, rows, cell, grids.count.take(cell), work)
        out[row] = d
    return out, np.concatenate(rest)


def _cells(grids: ZoneGrids, lat: F64, lon: F64, zone: int, work: Work) -> tuple[I32, bool]:
    """Find the cells of fixes; where not all are within the grid, the others get a cell of its rim."""
    n = lat.size
    size = int(grids.size[zone])
    half, half_lon = float(grids.half[zone]), float(grids.half_lon_deg[zone])
    middle = float(grids.lon_deg[zone]), float(grids.lat_deg[zone])
    scales = float(grids.lon_scale[zone]), float(grids.lat_scale[zone])
    if abs(middle[0]) + half_lon > 180.0:
        lon = turned(lon - middle[0]) + middle[0]
    u, v = work.held[:n], work.along[:n]
    all_within = True
    for value, deg, scale, centre in ((u, lon, scales[0], middle[0]), (v, lat, scales[1], middle[1])):
        np.multiply(deg, scale, out=value)
        value += half - centre * scale
        # Looking at the extremes costs less than moving what may be outside; NaN is never within.
        if not (np.minimum.reduce(value) > HAIR and np.maximum.reduce(value) < size - HAIR):
            all_within = False
            into_rim(value, size)
    cell: I32 = v.astype(np.int32)
    cell *= size
    cell += u.astype(np.int32)
    if grids.base[zone]:
        cell += int(grids.base[zone])
    return cell, all_within


def _far_m(grids: ZoneGrids, lat: F64, lon: F64, zone: int) -> F64:
    """Lower bounds, the bits of `gridpairs.far_m`."""
    out = np.empty(lat.size)
    du = np.abs(turned(far_cell(lon) - grids.lon_deg[zone]))
    dv = np.abs(far_cell(lat) - grids.lat_deg[zone])
    half_lon, half_lat = grids.half_lon_deg[zone], grids.half_lat_deg[zone]
    far_m(half_lon, half_lat, grids.lon_m[zone], grids.limit_m, du, dv, out)
    return out


def _spans(n: int) -> Iterator[slice]:
    """Cut fixes into those whose lists are collected before they are walked."""
    for a in range(0, n, POINTS * POOL):
        yield slice(a, min(a + POINTS * POOL, n))


def _walked(
    edges: EdgeTable,
    grids: ZoneGrids,
    drawn: DrawnZones,
    places: Places,
    zone: int,
    lists: list[tuple[I64, I32, U8]],
    work: Work,
) -> Iterator[tuple[I64, F64]]:
    """Walk lists in full blocks: fixes and their signed distances."""
    if not lists:
        return
    rows, cell, count = (np.concatenate(column) for column in zip(*lists, strict=True))
    for part in even(rows.size, POINTS):
        yield _listed(edges, grids, drawn, places, zone, rows[part], cell[part], count[part], work)


def _listed(
    edges: EdgeTable,
    grids: ZoneGrids,
    drawn: DrawnZones,
    places: Places,
    zone: int,
    rows: I64,
    cell: I32,
    count: U8,
    work: Work,
) -> tuple[I64, F64]:
    """Judge fixes with lists: in the order in which these were walked, and their signed distances, a buffer."""
    count, rows, cell = shortest_first(count, rows, cell)
    at = Places(places.lat_deg.take(rows), places.lon_deg.take(rows))
    return rows, listed_m(edges, grids.candidate, drawn, at, zone, grids.start.take(cell), count, work)
