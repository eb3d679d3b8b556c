"""One grid of cells per zone: (fix, zone) pairs find their short list of edges with two multiplications.

::

      +---+---+---+---+    a zone's box with the band round it, cut into 2^L x 2^L cells of longitude and latitude
      |   |,--|--.|   |
      +---+---+---+---+    cell outside or inside by more than the band: no list, the side is known
      |  ,|   |   |`. |    cell near the boundary: list of the edges that can be nearest there (`cells`)
      +---+---+---+---+    fix outside the box: the band and the way to the box, a lower bound
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I32, I64, U8, U16, indices
from geofence_core.cells import IN, Cells, Lattice, Splitting, relative, split
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable, margin_deg
from geofence_core.judge import OUTSIDE_FLOOR_M
from geofence_core.meridian import latitude_terms, metres_per_degree_lon, project
from geofence_core.nearest import POINTS, Work, nearest

CELLS_PER_EDGE = 4.0
"""Cells of a grid per edge of its zone: more of them shorten the lists and cost memory (README, speed)."""

EXACT_CELLS_PER_EDGE = 48.0
"""The same for distances that are exact everywhere: cells far from a boundary have long lists unless they are small."""

EXACT_MARGIN_M = (1_000.0, 15_000.0)
"""Least and most that is added round a zone where distances are exact everywhere; metre. Beyond it other methods
answer; further out the plane of the zone would err by more than 2 mm per 100 m."""

CELLS_PER_EDGE_ALONE = 24.0
"""Where a table has one zone only, memory is no matter."""

LEVELS_LIMIT = 9
"""Most splits of a grid, 262,144 cells: 2 MB."""

FEW = 2
"""A cell with this many edges is not split for its own sake."""

FAR_LIMIT_DEG = 1.0
"""Lower bounds of far zones grow up to this many degrees from the box; degree. Within 1.5 degrees of a box no parallel
is shorter than `ZoneGrids.lon_m`, so the bound is certain."""

FAR_CELLS_PER_DEG = 128
"""Lower bounds of far zones hold for a whole cell of this many to a degree (870 m), so that one fix at a time can look
them up; the bound loses up to the size of a cell."""

LAT_M = 110_574.0
"""Length of a degree of latitude at least (at the equator, WGS 84); metre."""


class Places(NamedTuple):
    """Positions of pairs: latitude and longitude, float64 (P,), degree, longitude in [-180, 180), NaN allowed."""

    lat_deg: F64
    lon_deg: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneGrids:
    """Grids of Z zones; arrays read-only.

    Per zone, (Z,): ``lon_deg lat_deg`` float64, middle of the grid; ``half_lon_deg half_lat_deg`` float64, half its
    sides; ``lon_scale lat_scale`` float64, cells per degree; ``half`` float64, half its cells along a side; ``size``
    int32, its cells along a side; ``base`` int64, its first cell; ``lon_m`` float64, least metres per degree of
    longitude.
    Per cell: ``start`` int32, ``count`` uint8 or uint16, ``side`` uint8 (`cells.OUT`, `IN`, `MIXED`). ``candidate``
    uint8 to uint32: lists of edges, counted from the first vertex of the zone. ``band_m``: values are exact up to here.
    """

    band_m: float
    lon_deg: F64
    lat_deg: F64
    half_lon_deg: F64
    half_lat_deg: F64
    lon_scale: F64
    lat_scale: F64
    half: F64
    size: I32
    base: I64
    lon_m: F64
    start: I32
    count: U8
    side: U8
    candidate: U16

    @property
    def limit_m(self) -> float:
        """Size of values that are no distances: just above the band; metre."""
        return self.band_m + OUTSIDE_FLOOR_M

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self) if f.name != "band_m")


def build_grids(edges: EdgeTable, band_m: float, *, alone: bool | None = None) -> ZoneGrids:
    """Cut every indexed zone and its band into cells; ``alone``: the zone is the only one of its table."""
    alone = edges.n_zones == 1 if alone is None else alone
    cells_per_edge = CELLS_PER_EDGE_ALONE if alone else CELLS_PER_EDGE
    return _build(edges, band_m, band_m + np.zeros(edges.n_zones), cells_per_edge, alone)


def build_exact_grids(edges: EdgeTable, band_m: float, *, alone: bool | None = None) -> ZoneGrids:
    """Cut every indexed zone, its band, and as much again on each side into cells that all have a list."""
    alone = edges.n_zones == 1 if alone is None else alone
    width = (edges.east_deg - edges.west_deg) * metres_per_degree_lon(np.minimum(np.abs(edges.south_deg), 89.0))
    height = (edges.north_deg - edges.south_deg) * LAT_M
    margin = np.maximum(np.clip(np.maximum(width, height), *EXACT_MARGIN_M), 1.01 * band_m)
    return _build(edges, np.inf, margin, EXACT_CELLS_PER_EDGE, alone)


def _build(edges: EdgeTable, band_m: float, margin_m: F64, cells_per_edge: float, alone: bool) -> ZoneGrids:
    n = edges.n_zones
    ok = edges.is_indexed
    dlon, dlat = margin_deg(edges.south_deg, edges.north_deg, margin_m + 1e-3)
    west, east = np.where(ok, edges.west_deg - dlon, 0.0), np.where(ok, edges.east_deg + dlon, 0.0)
    south, north = np.where(ok, edges.south_deg - dlat, 0.0), np.where(ok, edges.north_deg + dlat, 0.0)
    count = edges.number.astype(np.int64)
    levels = np.clip(np.round(0.5 * np.log2(np.maximum(cells_per_edge * count, 1.0))), 0, LEVELS_LIMIT).astype(np.int64)
    levels[count <= FEW] = np.minimum(levels[count <= FEW], 3)
    levels[~ok] = 0
    size = np.int64(1) << levels
    has_rim = alone and band_m < np.inf
    if has_rim:
        # A rim of cells beyond the band: fixes outside are moved into it instead of being sorted out.
        levels[ok] = np.maximum(levels[ok], 2)
        size = np.int64(1) << levels
        rim_lon, rim_lat = (east - west) / (size - 2), (north - south) / (size - 2)
        west, east, south, north = west - rim_lon, east + rim_lon, south - rim_lat, north + rim_lat
    lattice = Lattice(west, south, east - west, north - south)
    zone = indices(ok & (count > 0))
    none = np.zeros(zone.size, dtype=np.int64)
    how = Splitting(levels=levels, floor=np.zeros(n, dtype=np.int64), few=FEW, band_m=band_m, drop_out=False)
    found = split(edges, lattice, zone, none, none, none, how)
    base = np.concatenate([[0], np.cumsum(size * size)]).astype(np.int64)
    start, number, side = _paint(found, levels, base)
    if has_rim:
        for cells in (number, side):
            square = cells.reshape(int(size[0]), int(size[0]))
            square[[0, -1]] = 0
            square[:, [0, -1]] = 0
    poleward = np.minimum(np.maximum(np.abs(south), np.abs(north)) + 1.5 * FAR_LIMIT_DEG, 89.9)
    grids = ZoneGrids(
        band_m=band_m,
        lon_deg=(west + east) / 2,
        lat_deg=(south + north) / 2,
        half_lon_deg=np.where(ok, (east - west) / 2, -1.0),
        half_lat_deg=np.where(ok, (north - south) / 2, -1.0),
        lon_scale=np.divide(size, east - west, out=np.zeros(n), where=ok),
        lat_scale=np.divide(size, north - south, out=np.zeros(n), where=ok),
        half=size / 2.0,
        size=size.astype(np.int32),
        base=base[:-1],
        lon_m=metres_per_degree_lon(poleward),
        start=start,
        count=number,
        side=side,
        candidate=relative(edges, found),
    )
    for f in fields(grids):
        if f.name != "band_m":
            getattr(grids, f.name).flags.writeable = False
    return grids


def _paint(cells: Cells, levels: I64, base: I64) -> tuple[I32, U8, U8]:
    """Spread settled cells over the dense grids of their zones."""
    n = int(base[-1])
    start, number, side = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.uint8)
    span = np.int64(1) << (levels[cells.zone] - cells.level)
    own = np.repeat(np.arange(span.size), span * span)
    within = np.arange(own.size) - np.repeat(np.cumsum(span * span) - span * span, span * span)
    wide = span[own]
    size = (np.int64(1) << levels[cells.zone])[own]
    at = base[cells.zone[own]] + (cells.y0[own] * wide + within // wide) * size + cells.x0[own] * wide + within % wide
    start[at] = cells.ptr[:-1][own]
    number[at] = np.diff(cells.ptr)[own]
    side[at] = cells.side[own]
    return start, small(number), side


def small(count: I64 | I32) -> U8:
    """Lengths of lists in one byte where they fit, else in two: short keys sort fast."""
    kind = np.uint8 if not count.size or count.max() < 256 else np.uint16
    return count.astype(kind)


def far_cell(deg: F64) -> F64:
    """Middle of the cell of `FAR_CELLS_PER_DEG` that holds a latitude or longitude."""
    middle = deg * FAR_CELLS_PER_DEG
    np.floor(middle, out=middle)
    middle += 0.5
    middle /= FAR_CELLS_PER_DEG
    return middle


def far_m(half_lon: F64, half_lat: F64, lon_m: F64, limit_m: float, du: F64, dv: F64, out: F64) -> None:
    """Lower bound of the distance of pairs outside the band: the band, and the way to the grid's box.

    Parameters
    ----------
    half_lon, half_lat, lon_m
        ``half_lon_deg half_lat_deg lon_m`` of the grids, (P,) or (Z,).
    limit_m
        What is certain without any way; metre.
    du, dv
        float64 (P,) or (N, Z), degrees from the fix's `far_cell` to the middle of the grid, 0 or more; overwritten.
    out
        float64, shaped as ``du``: the bounds, metre; NaN for NaN.
    """
    for d, half, metres in ((du, half_lon, lon_m), (dv, half_lat, LAT_M)):
        d -= half
        d -= 0.5 / FAR_CELLS_PER_DEG
        np.maximum(d, 0.0, out=d)
        np.minimum(d, FAR_LIMIT_DEG, out=d)
        d *= metres
        d *= d
    du += dv
    np.sqrt(du, out=out)
    out += limit_m


def pairs_m(
    edges: EdgeTable, grids: ZoneGrids, drawn: DrawnZones, places: Places, fix: I64, zone: I64, work: Work
) -> F64:
    """Signed distance of (fix, zone) pairs whose zones are all indexed.

    Parameters
    ----------
    edges, grids, drawn
        The zones.
    places
        N fixes.
    fix, zone
        int64 (P,): the pairs.
    work
        Buffers.

    Returns
    -------
    float64 (P,), metre, negative inside; exact up to the band of the grids, beyond it the right sign and a lower bound;
    NaN without a position.
    """
    out = np.empty(zone.size)
    far = Places(far_cell(places.lat_deg), far_cell(places.lon_deg))
    for a in range(0, zone.size, POINTS):
        part = slice(a, a + POINTS)
        _pairs(edges, grids, drawn, places, far, fix[part], zone[part], out[part], work)
    return out


def _pairs(
    edges: EdgeTable,
    grids: ZoneGrids,
    drawn: DrawnZones,
    places: Places,
    far: Places,
    fix: I64,
    zone: I64,
    out: F64,
    work: Work,
) -> None:
    lat, lon = places.lat_deg.take(fix), places.lon_deg.take(fix)
    middle_lon, middle_lat = grids.lon_deg.take(zone), grids.lat_deg.take(zone)
    half_lon, half_lat = grids.half_lon_deg.take(zone), grids.half_lat_deg.take(zone)
    u = turned(lon - middle_lon)
    v = lat - middle_lat
    here = indices((np.abs(u) < half_lon) & (np.abs(v) < half_lat))
    du = turned(far.lon_deg.take(fix) - middle_lon)
    np.abs(du, out=du)
    dv = far.lat_deg.take(fix) - middle_lat
    np.abs(dv, out=dv)
    far_m(half_lon, half_lat, grids.lon_m.take(zone), grids.limit_m, du, dv, out)
    if not here.size:
        return
    z = zone.take(here)
    cell = _cell(grids, z, u.take(here), v.take(here))
    count = grids.count.take(cell)
    deep = here.take(indices((count == 0) & (grids.side.take(cell) == IN)))
    out[deep] = -grids.limit_m
    listed = indices(count)
    if listed.size:
        at, zone_at = here.take(listed), z.take(listed)
        cell = cell.take(listed)
        d = listed_m(
            edges, grids.candidate, drawn, Places(lat.take(at), lon.take(at)), zone_at,
            grids.start.take(cell), count.take(listed), work,
        )  # fmt: skip
        settle(d, grids.limit_m, out, at)


def _cell(grids: ZoneGrids, zone: I64, u: F64, v: F64) -> I64:
    """Cell of pairs within their grids; ``u v`` degrees from the middle, overwritten."""
    half = grids.half.take(zone)
    u *= grids.lon_scale.take(zone)
    u += half
    v *= grids.lat_scale.take(zone)
    v += half
    size = grids.size.take(zone)
    last = size - 1
    x = np.minimum(u.astype(np.int32), last)
    cell = np.minimum(v.astype(np.int32), last).astype(np.int64)
    cell *= size
    cell += x
    cell += grids.base.take(zone)
    return cell


def exact_pairs_m(
    edges: EdgeTable, grids: ZoneGrids, drawn: DrawnZones, places: Places, zone: I64, work: Work
) -> tuple[I64, F64]:
    """Signed distance of pairs within the grids of `build_exact_grids`; in the band the bits of `pairs_m`.

    Returns
    -------
    row, signed_m
        int64 (M,), the pairs that are within; float64 (M,), metre, negative inside.

    Notes
    -----
    Measured against geodesics: 1e-5 of the distance, and `edges.BEND_LIMIT_M` where two edges are equally near.
    """
    rows: list[I64] = []
    found: list[F64] = []
    for a in range(0, zone.size, POINTS):
        z = zone[a : a + POINTS]
        lat, lon = places.lat_deg[a : a + POINTS], places.lon_deg[a : a + POINTS]
        u = turned(lon - grids.lon_deg.take(z))
        v = lat - grids.lat_deg.take(z)
        here = indices((np.abs(u) < grids.half_lon_deg.take(z)) & (np.abs(v) < grids.half_lat_deg.take(z)))
        if here.size:
            z = z.take(here)
            cell = _cell(grids, z, u.take(here), v.take(here))
            at = Places(lat.take(here), lon.take(here))
            start, count = grids.start.take(cell), grids.count.take(cell)
            found.append(listed_m(edges, grids.candidate, drawn, at, z, start, count, work))
            rows.append(here + a)
    if not rows:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    return np.concatenate(rows), np.concatenate(found)


def turned(dlon: F64) -> F64:
    """Differences of longitudes the short way round, in place; NaN stays NaN."""
    if dlon.size and not (dlon.max() <= 180.0 and dlon.min() >= -180.0):
        dlon -= 360.0 * np.rint(dlon / 360.0)
    return dlon


def settle(signed: F64, limit_m: float, out: F64, at: I64) -> None:
    """Put exact values up to the limit into ``out[at]``; beyond it only the side is taken over, as from a far cell."""
    keep = indices(signed <= limit_m)
    d = signed.take(keep)
    np.maximum(d, -limit_m, out=d)
    out[at.take(keep)] = d


def listed_m(
    edges: EdgeTable,
    candidate: U16,
    drawn: DrawnZones,
    places: Places,
    zone: I64 | I32 | int,
    start: I32,
    count: U8,
    work: Work,
) -> F64:
    """Signed distance of pairs with lists: into the zone's plane, nearest edge, back to the ground; float64 (P,).

    ``zone``: integers (P,), or one for all. The plane stretches lengths with the square of the distance from its
    meridian; distances are shrunk by the stretch at the fix, which leaves 1e-7 of them in the band and 1e-5 at 15 km.
    """
    dlon = turned(places.lon_deg - edges.meridian_deg.take(zone))
    point = project(latitude_terms(places.lat_deg), dlon, edges.origin_m.take(zone))
    signed, ask = nearest(edges, candidate, np.asarray(edges.first.take(zone)), point, start, count, work)
    shrink = point.real * point.real
    shrink *= edges.scale_per_m2.take(zone)
    np.subtract(1.0, shrink, out=shrink)
    signed *= shrink
    if ask.size:
        whose = zone if isinstance(zone, np.ndarray) else np.full(signed.size, zone)
        _ask(edges, drawn, places, whose, dlon, ask, signed)
    reach = np.asarray(edges.reach_m.take(zone))
    if not reach.ndim:
        return np.abs(signed) - reach if reach else signed
    lines = indices(reach)
    if lines.size:
        signed[lines] = np.abs(signed[lines]) - reach[lines]
    return signed


def _ask(
    edges: EdgeTable, drawn: DrawnZones, places: Places, zone: I64 | I32, dlon: F64, ask: I64, signed: F64
) -> None:
    ask = ask[edges.reach_m.take(zone.take(ask)) == 0.0]
    if not ask.size:
        return
    z = zone.take(ask)
    lon = places.lon_deg.take(ask)
    turned = np.abs(lon - edges.meridian_deg.take(z)) > 180.0
    lon = np.where(turned, edges.meridian_deg.take(z) + dlon.take(ask), lon)
    inside, touching = drawn.sides(z, places.lat_deg.take(ask), lon)
    d = np.abs(signed.take(ask))
    d = np.where(inside, -d, np.maximum(d, OUTSIDE_FLOOR_M))
    d[touching] = 0.0
    signed[ask] = d + 0.0
