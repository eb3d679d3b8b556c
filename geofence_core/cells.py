"""Cells with the few edges that can be nearest in them: one build for the grids of own zones and for shared sheets.

::

      +---------------+      +-------+-------+      +-------+-------+     Every (zone, cell) starts with all edges of
      |  1  2  3  4   |      | 1 2   | 2 3 4 |      | 1 2   | 2 | 3 |     the zone and is split into 2 x 2, until the
      |  5  6  7  8   |  ->  +-------+-------+  ->  +-------+---+---+     list is short, the cell small enough, or the
      |               |      | 1 5 6 | 6 7 8 |      | 1 | 5 | 6 | 8 |     boundary further away than the band. What
      +---------------+      +-------+-------+      +---+---+---+---+     leaves a list: `prune`.

Cells are rectangles of longitude and latitude, so a fix finds its cell without any projection; here each is replaced by
the smallest upright rectangle of the zone's plane that holds it (`lattice`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I32, I64, U8, U16, Bool, even, expand, indices, narrow, ranges
from geofence_core.edges import ASK, ASK_M, INSIDE, SOFT, STARTS_EDGE, EdgeTable
from geofence_core.lattice import Lattice, Rectangles, Roots, rectangles
from geofence_core.prune import Lines, Pruned, prune

OUT, IN, MIXED, BEYOND = 0, 1, 2, 3
"""What is known of a whole cell: outside the zone, inside, or the boundary comes within `edges.ASK_M` of it; not in
the box of the zone and its band, where that is told apart."""

BATCH_EDGES = 1 << 15
"""Edges whose zones are split at once: the lists of a level are tens of times as many."""

PLACES = 1 << 13
"""Places of a level that are worked on at once, four cells each: what is known of them stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """(zone, cell) rows; R of them, with lists of candidate edges (CSR).

    ``zone`` int32 (R,); ``x0 y0`` int32 (R,), place among the cells of its level; ``level`` int32 (R,), its number of
    splits; ``side`` uint8 (R,), `OUT`, `IN` or `MIXED`; ``ptr`` int64 (R + 1,), ``candidate`` uint8 to uint32, edges in
    rising order, counted from the first vertex of their zone: a byte or two for all but the longest boundaries.
    A cell without candidates is further than the band from the boundary everywhere.
    """

    zone: I32
    x0: I32
    y0: I32
    level: I32
    side: U8
    ptr: I64
    candidate: U16


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


class _Live(NamedTuple):
    """Places of a level that are still weighed: ``side`` by ``side`` cells each, from ``x y``, with one list; (P,)."""

    level: int
    side: int
    root: I64
    x: I64
    y: I64
    ptr: I64
    candidate: I64

    def part(self, some: slice) -> "_Live":
        """Return a run of places."""
        ptr = self.ptr[some.start : some.stop + 1]
        candidate = self.candidate[ptr[0] : ptr[-1]]
        return _Live(self.level, self.side, self.root[some], self.x[some], self.y[some], ptr - ptr[0], candidate)

    @classmethod
    def joined(cls, parts: "list[_Live]") -> "_Live":
        """Put runs of places together again."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            parts[0].level,
            parts[0].side,
            np.concatenate([part.root for part in parts]),
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.y for part in parts]),
            _ptr(np.concatenate([np.diff(part.ptr) for part in parts])),
            np.concatenate([part.candidate for part in parts]),
        )


def split(edges: EdgeTable, lattice: Lattice, roots: Roots, how: Splitting) -> Cells:
    """Split root cells until each is settled.

    Parameters
    ----------
    edges, lattice
        The zones and where their cells lie.
    roots
        Root cells; every root sees all edges of its zone.
    how
        When to stop.

    Returns
    -------
    Cells
        Settled cells in no particular order.
    """
    done: list[Cells] = []
    lines = Lines.of(edges)
    weight = edges.number[roots.zone].astype(np.int64)
    batch = np.cumsum(weight) // BATCH_EDGES
    for b in np.unique(batch).tolist():
        rows = np.flatnonzero(batch == b)
        some = Roots(*(column[rows] for column in roots))
        own, candidate = expand(edges.first[some.zone], weight[rows])
        starts = edges.code[candidate] >= STARTS_EDGE
        candidate = candidate[starts]
        ptr = _ptr(np.bincount(own[starts], minlength=rows.size))
        live = _Live(0, 1, np.arange(rows.size), some.x, some.y, ptr, candidate)
        while live.root.size:
            parts = [_level(edges, lines, lattice, some, live.part(s), how, done) for s in even(live.root.size, PLACES)]
            live = _Live.joined(parts)
    return _joined(done)


def _level(
    edges: EdgeTable, lines: Lines, lattice: Lattice, roots: Roots, live: _Live, how: Splitting, done: list[Cells]
) -> _Live:
    """Prune the lists of one level, put settled cells into ``done`` and return the quarters of the others."""
    zone = roots.zone.take(live.root)
    cells = rectangles(edges, lattice, roots, live.level, live.root, live.x, live.y, live.side)
    found = prune(lines, live.ptr, live.candidate, cells)
    gap, is_in = _gap(edges, zone, cells, found)
    far = gap > how.band_m + ASK_M
    side = np.where(is_in, np.uint8(IN), np.uint8(OUT))
    side[gap <= ASK_M] = MIXED
    settled = far | (found.number <= how.few)
    settled &= live.level >= how.floor.take(zone)
    settled |= live.level >= how.levels.take(zone)
    gone = far & ~is_in if how.drop_out else np.zeros(far.shape, dtype=bool)
    placed = _in_order(live, zone, settled & ~gone)
    ptr, candidate = _lists(found, np.where(far, 0, found.number).take(placed.cell), placed.cell)
    candidate -= edges.first.take(placed.zone).repeat(np.diff(ptr))
    level = np.full(placed.cell.size, live.level, dtype=np.int32)
    x, y = placed.x.astype(np.int32), placed.y.astype(np.int32)
    zone_of = placed.zone.astype(np.int32)
    done.append(Cells(zone_of, x, y, level, side.take(placed.cell), ptr, narrow(candidate)))
    placed = _in_order(live, zone, ~(settled | gone))
    ptr, candidate = _lists(found, found.number.take(placed.cell), placed.cell)
    return _Live(live.level + 1, 2, placed.root, 2 * placed.x, 2 * placed.y, ptr, candidate)


def _gap(edges: EdgeTable, zone: I64, cells: Rectangles, found: Pruned) -> tuple[F64, Bool]:
    """How far each cell stays from the boundary at least, and whether its centre is inside."""
    code, along = edges.code.take(found.edge), found.along_m
    corner = np.where(along >= edges.length_m.take(found.edge), code >> 2 & 3, np.uint8(SOFT))
    corner = np.where(along <= 0.0, code & 3, corner)
    inside: Bool = np.where(corner == SOFT, found.across_m > 0.0, corner == INSIDE)
    gap = found.nearest_m
    reach = edges.reach_m.take(zone)
    if reach.any():
        within = (gap < reach) & (reach > 0)
        inside = np.where(reach > 0, within, inside)
        gap = np.abs(gap - reach)
    gap = gap - np.sqrt(cells.half_x * cells.half_x + cells.half_y * cells.half_y)
    # Rings touch at the nearest point: only the drawing can tell the side.
    gap[corner == ASK] = -np.inf
    return gap, inside


class _Placed(NamedTuple):
    """Some cells of a level in order of their places, (C,): where in the arrays (K, P), and what they are."""

    cell: I64
    root: I64
    zone: I64
    x: I64
    y: I64


def _in_order(live: _Live, zone: I64, wanted: Bool) -> _Placed:
    found = indices(wanted.T.ravel())
    place, of_place = (found >> 2, found & 3) if live.side == 2 else (found, np.zeros_like(found))
    return _Placed(
        of_place * zone.size + place,
        live.root.take(place),
        zone.take(place),
        live.x.take(place) + (of_place & 1),
        live.y.take(place) + (of_place >> 1),
    )


def _lists(found: Pruned, count: I64, cell: I64) -> tuple[I64, I64]:
    """Copy the lists of cells one after the other."""
    return _ptr(count), found.candidate.take(ranges(found.start.take(cell), count))


def _ptr(count: I64) -> I64:
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def _joined(parts: list[Cells]) -> Cells:
    if not parts:
        none, few = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint8)
        return Cells(none, none, none, none, few, np.zeros(1, dtype=np.int64), narrow(np.zeros(0, dtype=np.int64)))
    count = np.concatenate([np.diff(part.ptr) for part in parts])
    return Cells(
        np.concatenate([part.zone for part in parts]),
        np.concatenate([part.x0 for part in parts]),
        np.concatenate([part.y0 for part in parts]),
        np.concatenate([part.level for part in parts]),
        np.concatenate([part.side for part in parts]),
        _ptr(count),
        np.concatenate([part.candidate for part in parts]),  # the widest number of any part
    )
