"""Edges that can be nearest nowhere in a cell are dropped from its list.

::

      +-------+-------+     q: point of edge e nearest to the centre c, at distance d along the unit vector n.
      |   .   |       |     For every p of the cell  |p - e| >= d + n.(p - c) : the edge lies behind a straight line.
      |  c o-----.q   |     |p - e*| of the centre's nearest edge e* is convex, so the difference is smallest in a
      |       |  |  e |     corner. Not below zero in any of the four? Then e never beats e* in this cell: dropped.
      +-------+--|----+
      |       |  |    |     K neighbouring cells, the quarters of one cell, have one list: what an edge is, is read
      |       |       |     once for all of them. Arrays of rows are (K, M), so that each step is one long pass.
      +-------+-------+
"""

from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I64, chunks
from geofence_core.edges import EdgeTable
from geofence_core.lattice import Rectangles

PRUNE_SLACK = 1e-9
"""Margin by which an edge may lose and still be kept, relative to the distances compared and absolute in metres: keeps
both of two equally near edges, so that all lists of a place agree on the winner."""

PASS = 1 << 15
"""Candidates weighed at once: about ten arrays of so many numbers fit the second-level cache (1 MB)."""


class Lines(NamedTuple):
    """Edges as the steps here read them, column by column, float64 (E,): start, conjugate unit direction, length."""

    x: F64
    y: F64
    unit_x: F64
    unit_y: F64
    length: F64

    @classmethod
    def of(cls, edges: EdgeTable) -> "Lines":
        """Take the columns apart."""
        at, unit = edges.at, edges.unit
        return cls(at.real.copy(), at.imag.copy(), unit.real.copy(), unit.imag.copy(), edges.length_m)


class Pruned(NamedTuple):
    """What is known of K cells round each of P places; arrays (K, P) but for the last.

    ``nearest_m`` float64, from a centre to its nearest edge; ``edge`` int64, that edge; ``along_m across_m`` float64,
    from its start to the centre; ``start`` and ``number`` int64, each cell's list in ``candidate``.
    """

    nearest_m: F64
    edge: I64
    along_m: F64
    across_m: F64
    start: I64
    number: I64
    candidate: I64


def prune(lines: Lines, ptr: I64, candidate: I64, cells: Rectangles) -> Pruned:
    """Shorten lists.

    Parameters
    ----------
    lines
        The edges.
    ptr, candidate
        int64 (P + 1,) and (M,): a list per place, none empty.
    cells
        K of them for each place, (K, P).
    """
    k = len(cells.x)
    number = np.diff(ptr)
    slices = list(chunks(number * k, PASS))
    most = max(int(ptr[s.stop] - ptr[s.start]) for s in slices)
    room = np.empty((2, k * most))
    parts = [
        _pruned(lines, candidate[ptr[s.start] : ptr[s.stop]], number[s], Rectangles(*(c[:, s] for c in cells)), room)
        for s in slices
    ]
    offset = 0
    for part in parts:
        np.add(part.start, offset, out=part.start)
        offset += part.candidate.size
    if len(parts) == 1:
        return parts[0]
    nearest, edge, along, across, start, found, lists = zip(*parts, strict=True)
    return Pruned(
        np.concatenate(nearest, axis=1),
        np.concatenate(edge, axis=1),
        np.concatenate(along, axis=1),
        np.concatenate(across, axis=1),
        np.concatenate(start, axis=1),
        np.concatenate(found, axis=1),
        np.concatenate(lists),
    )


def _pruned(lines: Lines, candidate: I64, number: I64, cells: Rectangles, room: F64) -> Pruned:
    """`prune` of some places; ``room``: buffers."""
    k, places, m = len(cells.x), number.size, candidate.size
    held, work = (buffer[: k * m].reshape(k, m) for buffer in room)
    first = number.cumsum()
    first -= number
    unit_x, unit_y = lines.unit_x.take(candidate), lines.unit_y.take(candidate)
    # Way from the start of each candidate to the centre of each cell, then from the nearest point.
    x, y = cells.x.repeat(number, axis=1), cells.y.repeat(number, axis=1)
    x -= lines.x.take(candidate)
    y -= lines.y.take(candidate)
    np.multiply(x, unit_x, out=held)
    held -= np.multiply(y, unit_y, out=work)
    np.minimum(held, lines.length.take(candidate), out=held)
    np.maximum(held, np.zeros(m), out=held)
    x -= np.multiply(held, unit_x, out=work)
    y += np.multiply(held, unit_y, out=work)
    d = np.multiply(x, x, out=held)
    d += np.multiply(y, y, out=work)
    np.sqrt(d, out=d)
    nearest = np.minimum.reduceat(d, first, axis=1)
    keep = d == nearest.repeat(number, axis=1)
    cell = (np.arange(places).repeat(number) + np.arange(0, k * places, places)[:, None]).ravel()
    of_cells = np.concatenate([candidate] * k)
    # Written from the last to the first, so that of equals the first edge wins, as in every query.
    at = keep.ravel().nonzero()[0][::-1]
    edge = np.empty((k, places), dtype=np.int64)
    edge.ravel()[cell.take(at)] = of_cells.take(at)
    limit, along, across = _corners(lines, edge, cells)
    limit += PRUNE_SLACK * (1.0 + cells.half_x + cells.half_y + nearest)
    # The unit vector of that way times the sides of the cell; where it is 0 the edge is kept already.
    with np.errstate(divide="ignore", invalid="ignore"):
        x /= d
        y /= d
    x *= cells.half_x.repeat(number, axis=1)
    y *= cells.half_y.repeat(number, axis=1)
    sway = np.add(x, y, out=work)
    x -= y
    # d + sway < a or d - sway < b : d < (a + b) / 2 + |sway - (a - b) / 2|, for corners that face each other.
    middle, half = (limit[::2] + limit[1::2]) / 2, (limit[::2] - limit[1::2]) / 2
    for pair, way in enumerate((sway, x)):
        way -= half[pair].repeat(number, axis=1)
        np.abs(way, out=way)
        way += middle[pair].repeat(number, axis=1)
    keep |= d < np.maximum(sway, x, out=x)
    at = keep.ravel().nonzero()[0]
    count = np.bincount(cell.take(at), minlength=k * places)
    start = count.cumsum() - count
    return Pruned(nearest, edge, along, across, start.reshape(k, -1), count.reshape(k, -1), of_cells.take(at))


def _corners(lines: Lines, edge: I64, cells: Rectangles) -> tuple[F64, F64, F64]:
    """Distance from an edge to the corners of its cell, and the way from its start to the centre; metre.

    float64 (4, K, P): north-east, south-west, south-east, north-west; (K, P) twice: along and across the edge.
    """
    unit_x, unit_y = lines.unit_x.take(edge), lines.unit_y.take(edge)
    x, y = cells.x - lines.x.take(edge), cells.y - lines.y.take(edge)
    along, across = x * unit_x - y * unit_y, x * unit_y + y * unit_x
    east_along, north_along = cells.half_x * unit_x, cells.half_y * unit_y
    east_across, north_across = cells.half_x * unit_y, cells.half_y * unit_x
    d, sideways = np.empty((4, *edge.shape)), np.empty((4, *edge.shape))
    for corner, north in ((0, np.subtract), (2, np.add)):
        step = north(east_along, north_along)
        np.add(along, step, out=d[corner])
        np.subtract(along, step, out=d[corner + 1])
    for corner, north in ((0, np.add), (2, np.subtract)):
        step = north(east_across, north_across)
        np.add(across, step, out=sideways[corner])
        np.subtract(across, step, out=sideways[corner + 1])
    held = np.minimum(d, lines.length.take(edge))
    np.maximum(held, np.zeros(edge.shape[1]), out=held)
    d -= held
    d *= d
    sideways *= sideways
    d += sideways
    return np.sqrt(d, out=d), along, across
