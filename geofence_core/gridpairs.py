"""(fix, zone) pairs against the grids of their zones: own zones, and whatever pairs a caller has.

::

      all pairs        box of the zone's grid, a lower bound beyond it       a block of pairs at a time
        those within   cell, and what it says: far outside, deep inside      collected over the call
          with a list  nearest edge                                          zone by zone, in full blocks
"""

from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import C128, F64, I32, I64, U8, even, indices
from geofence_core.cells import IN
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable
from geofence_core.grids import FAR_CELLS_PER_DEG, FAR_LIMIT_DEG, LAT_M, ZoneGrids
from geofence_core.listed import Places, listed_m, settle, turned
from geofence_core.nearest import FEW_POINTS, POINTS, Work, by_zone, shortest_first

LOOK_UP = POINTS >> 1
"""Pairs looked up at once: seven buffers of complex numbers fit the second-level cache (1 MB)."""

_BOTH = 0x0101
"""Two true bytes side by side: within the box by longitude and by latitude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """What every pair asks of its zone's grid, complex so that one gather brings two: longitude + i latitude.

    ``middle half`` complex128 (Z,), degree, of the grid; ``metres`` complex128 (Z,), least length of a degree. ``west``
    and ``east``: the outermost middles, degree.
    """

    middle: C128
    half: C128
    metres: C128
    west: float
    east: float


def boxes_of(grids: ZoneGrids) -> Boxes:
    """Pack what grids say of their boxes."""
    return Boxes(
        middle=_packed(grids.lon_deg, grids.lat_deg),
        half=_packed(grids.half_lon_deg, grids.half_lat_deg),
        metres=_packed(grids.lon_m, np.full(grids.lon_m.size, LAT_M)),
        west=float(grids.lon_deg.min(initial=0.0)),
        east=float(grids.lon_deg.max(initial=0.0)),
    )


def _packed(real: F64, imag: F64) -> C128:
    out = np.empty(real.size, dtype=np.complex128)
    out.real, out.imag = real, imag
    return out


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
        ``half_lon_deg half_lat_deg lon_m`` of the grids, (Z,).
    limit_m
        What is certain without any way; metre.
    du, dv
        float64 (N, Z), degrees from the fix's `far_cell` to the middle of the grid, 0 or more; overwritten.
    out
        float64, shaped as ``du``: the bounds, metre; NaN for NaN.
    """
    for d, half, metres in ((du, half_lon, lon_m), (dv, half_lat, LAT_M)):
        d -= half
        squared_way(d, metres)
    du += dv
    np.sqrt(du, out=out)
    out += limit_m


def squared_way(d: F64, metres: F64 | float) -> None:
    """Turn degrees beyond a box into squared metres that are certain all over the far cell, in place."""
    d -= 0.5 / FAR_CELLS_PER_DEG
    np.clip(d, 0.0, FAR_LIMIT_DEG, out=d)
    d *= metres
    d *= d


def pairs_m(
    edges: EdgeTable,
    grids: ZoneGrids,
    boxes: Boxes,
    drawn: DrawnZones,
    places: Places,
    fix: I64,
    zone: I64,
    work: Work,
) -> F64:
    """Signed distance of (fix, zone) pairs whose zones are all indexed.

    Parameters
    ----------
    edges, grids, boxes, drawn
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
    if not out.size:
        return out
    at = _packed(places.lon_deg, places.lat_deg)
    far = far_cell(at.view(np.float64)).view(np.complex128)
    east, west = np.fmax.reduce(places.lon_deg), np.fmin.reduce(places.lon_deg)
    turns = not (east - boxes.west < 179.0 and west - boxes.east > -179.0)
    rows: list[I64] = []
    offs: list[C128] = []
    for a in range(0, zone.size, LOOK_UP):
        part = slice(a, a + LOOK_UP)
        here, off = _within(boxes, grids.limit_m, at, far, fix[part], zone[part], turns, out[part], work)
        if here.size:
            here += a
            rows.append(here)
            offs.append(off)
    if rows:
        here, off = (rows[0], offs[0]) if len(rows) == 1 else (np.concatenate(rows), np.concatenate(offs))
        lists = _with_lists(grids, *_zone_by_zone(zone, here, off), out)
        _walk(edges, grids, drawn, places, fix, lists, out, work)
    return out


def _zone_by_zone(zone: I64, here: I64, off: C128) -> tuple[I64, I64, C128]:
    z = zone.take(here)
    if z.size <= FEW_POINTS:
        return here, z, off
    order = by_zone(z)
    return here.take(order), z.take(order), off.take(order)


def _within(
    boxes: Boxes, limit_m: float, at: C128, far: C128, fix: I64, zone: I64, turns: bool, out: F64, work: Work
) -> tuple[I64, C128]:
    """Put lower bounds into ``out``; the pairs within their boxes, and degrees from the middles of those."""
    n = zone.size
    middle, off = work.at[:n], work.to[:n]
    half, cell = work.held.view(np.complex128)[:n], work.along.view(np.complex128)[:n]
    way = work.length[: 2 * n]
    boxes.middle.take(zone, out=middle, mode="clip")
    boxes.half.take(zone, out=half, mode="clip")
    at.take(fix, out=off, mode="clip")
    off -= middle
    far.take(fix, out=cell, mode="clip")
    cell -= middle
    if turns:
        turned(off.real)
        turned(cell.real)
    np.abs(off.view(np.float64), out=way)
    within = way < half.view(np.float64)
    here = indices(within.view(np.uint16) == _BOTH)
    np.abs(cell.view(np.float64), out=way)
    way -= half.view(np.float64)
    squared_way(way, boxes.metres.take(zone, out=middle, mode="clip").view(np.float64))
    np.add(way[0::2], way[1::2], out=out)
    np.sqrt(out, out=out)
    out += limit_m
    return here, off.take(here)


def _with_lists(grids: ZoneGrids, here: I64, zone: I64, off: C128, out: F64) -> tuple[U8, I64, I64, I32]:
    """Settle pairs deep inside; of those whose cell has a list: its length, the pair, its zone, start of the list."""
    found: list[tuple[U8, I64, I64, I32]] = []
    for part in even(here.size, POINTS):
        row, z = here[part], zone[part]
        cell = _cell(grids, z, off.real[part], off.imag[part])
        count = grids.count.take(cell)
        bare = indices(count == 0)
        deep = bare.take(indices(grids.side.take(cell.take(bare)) == IN))
        out[row.take(deep)] = -grids.limit_m
        listed = indices(count)
        found.append((count.take(listed), row.take(listed), z.take(listed), grids.start.take(cell.take(listed))))
    if len(found) == 1:
        return found[0]
    count, row, z, start = (np.concatenate(column) for column in zip(*found, strict=True))
    return count, row, z, start


def _walk(
    edges: EdgeTable,
    grids: ZoneGrids,
    drawn: DrawnZones,
    places: Places,
    fix: I64,
    lists: tuple[U8, I64, I64, I32],
    out: F64,
    work: Work,
) -> None:
    """Put exact distances into ``out``."""
    lengths, rows, zones, starts = lists
    for part in even(rows.size, POINTS):
        count, row, zone, start = shortest_first(lengths[part], rows[part], zones[part], starts[part])
        whose = fix.take(row)
        at = Places(places.lat_deg.take(whose), places.lon_deg.take(whose))
        settle(listed_m(edges, grids.candidate, drawn, at, zone, start, count, work), grids.limit_m, out, row)


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
) -> tuple[F64, I64]:
    """Signed distance of pairs within the grids of `build_exact_grids`; in the band the bits of `pairs_m`.

    Returns
    -------
    signed_m, rest
        float64 (P,), metre, negative inside, with anything at ``rest``; int64: the pairs outside their grids.

    Notes
    -----
    Measured against geodesics: 1e-5 of the distance, and `edges.BEND_LIMIT_M` where two edges are equally near.
    """
    out = np.empty(zone.size)
    rest: list[I64] = [np.zeros(0, dtype=np.int64)]
    for a in range(0, zone.size, POINTS):
        z = zone[a : a + POINTS]
        lat, lon = places.lat_deg[a : a + POINTS], places.lon_deg[a : a + POINTS]
        u = turned(lon - grids.lon_deg.take(z))
        v = lat - grids.lat_deg.take(z)
        within = (np.abs(u) < grids.half_lon_deg.take(z)) & (np.abs(v) < grids.half_lat_deg.take(z))
        here = indices(within)
        if here.size < z.size:
            rest.append(indices(~within) + a)
        if here.size:
            z = z.take(here)
            cell = _cell(grids, z, u.take(here), v.take(here))
            count, row, z, start = shortest_first(grids.count.take(cell), here + a, z, grids.start.take(cell))
            at = Places(places.lat_deg.take(row), places.lon_deg.take(row))
            out[row] = listed_m(edges, grids.candidate, drawn, at, z, start, count, work)
    return out, np.concatenate(rest)
