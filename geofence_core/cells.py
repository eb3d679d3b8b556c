"""Cells with the few edges that can be nearest in them: one build for the grids of own zones and for shared sheets.

::

      +-------+-------+     Every (zone, cell) starts with all edges of the zone and is split into 2 x 2, until the list
      |   .   |       |     is short, the cell small enough, or the boundary further away than the band.
      |  c o-----.q   |
      |       |  |  e |     q: point of edge e nearest to the centre c, at distance d along the unit vector n.
      +-------+--|----+     For every p of the cell  |p - e| >= d + n.(p - c) : the edge lies behind a straight line.
      |       |  |    |     |p - e*| of the centre's nearest edge e* is convex, so the difference is smallest in a
      |       |       |     corner. Not below zero in any of the four? Then e never beats e* in this cell: dropped.
      +-------+-------+

Cells are rectangles of longitude and latitude, so a fix finds its cell without any projection; here each is replaced by
the smallest upright rectangle of the zone's plane that holds it.
"""

from dataclasses import dataclass, replace

import numpy as np

from geofence_core.arrays import C128, F64, I64, U8, U16, Bool, chunks, expand
from geofence_core.edges import ASK, ASK_M, INSIDE, SOFT, STARTS_EDGE, EdgeTable
from geofence_core.meridian import LatitudeTerms, latitude_terms

OUT, IN, MIXED, BEYOND = 0, 1, 2, 3
"""What is known of a whole cell: outside the zone, inside, or the boundary comes within `edges.ASK_M` of it; not in
the box of the zone and its band, where that is told apart."""

CELL_SLACK_M = 1e-5
"""Added to each side of a cell; metre. Covers the rounding by which a fix on a cell's border is put into the neighbour;
without it the nearest edge of such a fix could be missing."""

PRUNE_SLACK = 1e-9
"""Margin by which an edge may lose and still be kept, relative to the distances compared and absolute in metres: keeps
both of two equally near edges, so that all lists of a place agree on the winner."""

BATCH_EDGES = 1 << 14
"""Edges whose zones are split at once; their cells are hundreds of times as many, 50 MB of temporaries."""

PASS = 1 << 14
"""Candidates weighed at once: about ten arrays of so many numbers fit the second-level cache (1 MB)."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """(zone, cell) rows; R of them, with lists of candidate edges (CSR).

    ``zone`` int64 (R,); ``x0 y0`` int64 (R,), place among the cells of its level; ``level`` int64 (R,), its number of
    splits; ``side`` uint8 (R,), `OUT`, `IN` or `MIXED`; ``ptr`` int64 (R + 1,), ``candidate`` int64, edges in rising
    order. A cell without candidates is further than the band from the boundary everywhere.
    """

    zone: I64
    x0: I64
    y0: I64
    level: I64
    side: U8
    ptr: I64
    candidate: I64


def relative(edges: EdgeTable, cells: Cells) -> U16:
    """Candidates counted from the first vertex of their zone: a byte or two for all but the longest boundaries."""
    offset = cells.candidate - np.repeat(edges.first[cells.zone], np.diff(cells.ptr))
    most = int(offset.max(initial=0))
    kind = np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32
    return offset.astype(kind)


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where cells lie: a cell of level k has its corner at ``origin + place * size / 2**k``, per zone, in degrees."""

    west_deg: F64
    south_deg: F64
    lon_deg: F64
    lat_deg: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """When cells stop: after ``levels`` (Z,) splits; or, once split ``floor`` (Z,) times, with at most ``few`` edges.

    ``band_m``: cells further than this from the boundary carry no list; ``drop_out``: such cells outside are left out.
    """

    levels: I64
    floor: I64
    few: int
    band_m: float
    drop_out: bool


def split(edges: EdgeTable, lattice: Lattice, zone: I64, x0: I64, y0: I64, level: I64, how: Splitting) -> Cells:
    """Split root cells until each is settled.

    Parameters
    ----------
    edges, lattice
        The zones and where their cells lie.
    zone, x0, y0, level
        int64 (R,): root cells; every root sees all edges of its zone.
    how
        When to stop.

    Returns
    -------
    Cells
        Settled cells in no particular order.
    """
    done: list[Cells] = []
    weight = edges.number[zone].astype(np.int64)
    batch = np.cumsum(weight) // BATCH_EDGES
    for b in np.unique(batch).tolist():
        rows = np.flatnonzero(batch == b)
        z = zone[rows]
        own, candidate = expand(edges.first[z], weight[rows])
        starts = edges.code[candidate] >= STARTS_EDGE
        candidate = candidate[starts]
        ptr = np.concatenate([[0], np.cumsum(np.bincount(own[starts], minlength=z.size))]).astype(np.int64)
        live = Cells(z, x0[rows], y0[rows], level[rows], np.zeros(z.size, dtype=np.uint8), ptr, candidate)
        while live.zone.size:
            live = _level(edges, lattice, live, how, done)
    return _joined(done)


def _level(edges: EdgeTable, lattice: Lattice, live: Cells, how: Splitting, done: list[Cells]) -> Cells:
    """Prune the lists of one level, put settled cells into ``done`` and return the quarters of the others."""
    z = live.zone
    centre, hx, hy = _rectangles(edges, lattice, live)
    distance, sign_inside, unsure, ptr, candidate = _prune(edges, live, centre, hx, hy)
    reach = edges.reach_m[z]
    signed = np.where(reach > 0, distance - reach, np.where(sign_inside, -distance, distance))
    half_diagonal = np.sqrt(hx * hx + hy * hy)
    gap = np.where(unsure, -np.inf, np.abs(signed) - half_diagonal)
    side = np.where(gap > ASK_M, np.where(signed < 0, IN, OUT), MIXED).astype(np.uint8)
    far = gap > how.band_m + ASK_M
    count = np.diff(ptr)
    settled = (live.level >= how.levels[z]) | ((far | (count <= how.few)) & (live.level >= how.floor[z]))
    gone = far & (side == OUT) & how.drop_out
    current = replace(live, side=side, ptr=ptr, candidate=candidate)
    done.append(_rows(current, np.flatnonzero(settled & ~gone), far))
    return _quarters(_rows(current, np.flatnonzero(~settled & ~gone), np.zeros(far.size, dtype=bool)))


def _rectangles(edges: EdgeTable, lattice: Lattice, cells: Cells) -> tuple[C128, F64, F64]:
    """Centre and half sides of the smallest upright rectangle that holds each cell, in its zone's plane."""
    z = cells.zone
    scale = np.ldexp(1.0, -cells.level)
    width, height = lattice.lon_deg[z] * scale, lattice.lat_deg[z] * scale
    west = lattice.west_deg[z] + cells.x0 * width - edges.meridian_deg[z]
    south = lattice.south_deg[z] + cells.y0 * height
    low = np.minimum(np.maximum(-west, 0.0), width) + west
    far = np.where(np.abs(west) > np.abs(west + width), west, west + width)
    x_low, x_high = np.full(z.size, np.inf), np.full(z.size, -np.inf)
    y_low, y_high = x_low.copy(), x_high.copy()
    latitudes = [south, south + height]
    if ((south < 0.0) & (latitudes[1] > 0.0)).any():  # the widest parallel of a cell across the equator
        latitudes.append(np.clip(0.0, south, latitudes[1]))
    for lat in latitudes:
        terms = latitude_terms(np.clip(lat, -90.0, 90.0))
        for dlon in (west, west + width):
            x = dlon * (terms.n + dlon * dlon * terms.c3)
            np.minimum(x_low, x, out=x_low)
            np.maximum(x_high, x, out=x_high)
        for dlon in (low, far):
            y = _northing(terms, dlon) - edges.origin_m[z]
            np.minimum(y_low, y, out=y_low)
            np.maximum(y_high, y, out=y_high)
    centre = np.empty(z.size, dtype=np.complex128)
    centre.real = (x_low + x_high) / 2
    centre.imag = (y_low + y_high) / 2
    return centre, (x_high - x_low) / 2 + CELL_SLACK_M, (y_high - y_low) / 2 + CELL_SLACK_M


def _northing(terms: LatitudeTerms, dlon: F64) -> F64:
    d2 = dlon * dlon
    return terms.m + d2 * (terms.s + d2 * terms.c4)


def _prune(edges: EdgeTable, cells: Cells, centre: C128, hx: F64, hy: F64) -> tuple[F64, Bool, Bool, I64, I64]:
    """Drop the edges that can be nearest nowhere in their cell (see the picture above).

    Returns
    -------
    distance, inside, unsure, ptr, candidate
        float64 (R,) from the centre to its nearest edge; bool (R,) its side, and whether rings touch at its nearest
        point, so that only the drawing can tell the side; the shorter lists.
    """
    number = np.diff(cells.ptr)
    parts = [
        _pruned(edges, cells.candidate[cells.ptr[s.start] : cells.ptr[s.stop]], number[s], centre[s], hx[s], hy[s])
        for s in chunks(number, PASS)
    ]
    distance, inside, unsure, kept, candidate = (np.concatenate(column) for column in zip(*parts, strict=True))
    return distance, inside, unsure, np.concatenate([[0], np.cumsum(kept)]), candidate


def _pruned(
    edges: EdgeTable, candidate: I64, number: I64, centre: C128, hx: F64, hy: F64
) -> tuple[F64, Bool, Bool, I64, I64]:
    """`_prune` of some cells; of their lists the lengths."""
    own = np.arange(number.size).repeat(number)
    first = np.cumsum(number) - number
    unit = edges.unit.take(candidate)
    # Way from the nearest point of each candidate to the centre of its cell, along and across the edge.
    to = centre.take(own)
    to -= edges.at.take(candidate)
    to *= unit
    along = to.real.copy()
    held = np.minimum(along, edges.length_m.take(candidate))
    np.maximum(held, np.zeros(held.size), out=held)
    along -= held
    to.real = along
    along *= along
    along += to.imag * to.imag
    d = np.sqrt(along, out=along)
    nearest = np.minimum.reduceat(d, first)
    keep = d == nearest.take(own)
    best_row = np.flatnonzero(keep)[::-1]
    best = np.empty(number.size, dtype=np.int64)
    # Written from the last to the first, so that of equals the first edge wins, as in every query.
    best[own.take(best_row)] = candidate.take(best_row)
    start, along_best, length = edges.at.take(best), edges.unit.take(best), edges.length_m.take(best)
    to_best = (centre - start) * along_best
    slack = PRUNE_SLACK * (1.0 + hx + hy + nearest)
    np.conjugate(unit, out=unit)
    to *= unit
    per_metre = 1.0 / (d + 1e-300)
    across_x, across_y = hx.take(own), hy.take(own)
    across_x *= per_metre
    across_x *= to.real
    across_y *= per_metre
    across_y *= to.imag
    for sign in (1, -1):
        sway = across_x + sign * across_y
        corner = (hx + 1j * sign * hy) * along_best
        keep |= d + sway < (_gap(to_best + corner, length) + slack).take(own)
        keep |= d - sway < (_gap(to_best - corner, length) + slack).take(own)
    rows = np.flatnonzero(keep)
    inside, unsure = _side_of_best(edges, to_best, length, best)
    kept = np.add.reduceat(keep, first, dtype=np.int64)
    return nearest, inside, unsure, kept, candidate.take(rows)


def _gap(to: C128, length: F64) -> F64:
    """Distance to edges of points given along and across them; metre."""
    along = to.real.copy()
    held = np.minimum(along, length)
    np.maximum(held, np.zeros(held.size), out=held)
    along -= held
    along *= along
    along += to.imag * to.imag
    return np.sqrt(along, out=along)


def _side_of_best(edges: EdgeTable, to: C128, length: F64, edge: I64) -> tuple[Bool, Bool]:
    code = edges.code.take(edge)
    end = np.where(to.real >= length, code >> 2 & 3, SOFT)
    corner = np.where(to.real <= 0.0, code & 3, end)
    inside: Bool = np.where(corner == SOFT, to.imag > 0.0, corner == INSIDE)
    return inside, corner == ASK


def _rows(cells: Cells, rows: I64, without_list: Bool) -> Cells:
    count = np.where(without_list[rows], 0, np.diff(cells.ptr)[rows])
    kept = expand(cells.ptr[:-1][rows], count)[1]
    ptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return Cells(
        cells.zone[rows],
        cells.x0[rows],
        cells.y0[rows],
        cells.level[rows],
        cells.side[rows],
        ptr,
        cells.candidate[kept],
    )


def _quarters(cells: Cells) -> Cells:
    n = cells.zone.size
    count = np.repeat(np.diff(cells.ptr), 4)
    kept = expand(np.repeat(cells.ptr[:-1], 4), count)[1]
    return Cells(
        np.repeat(cells.zone, 4),
        2 * np.repeat(cells.x0, 4) + np.tile([0, 1, 0, 1], n),
        2 * np.repeat(cells.y0, 4) + np.tile([0, 0, 1, 1], n),
        np.repeat(cells.level, 4) + 1,
        np.repeat(cells.side, 4),
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        cells.candidate[kept],
    )


def _joined(parts: list[Cells]) -> Cells:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Cells(none, none, none, none, np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64), none)
    count = np.concatenate([np.diff(p.ptr) for p in parts])
    return Cells(
        np.concatenate([p.zone for p in parts]),
        np.concatenate([p.x0 for p in parts]),
        np.concatenate([p.y0 for p in parts]),
        np.concatenate([p.level for p in parts]),
        np.concatenate([p.side for p in parts]),
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        np.concatenate([p.candidate for p in parts]),
    )
