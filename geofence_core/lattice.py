"""Where the cells of a zone lie, and the rectangles of its plane that hold them.

::

      y1 +-------+-------+      Cells are rectangles of longitude and latitude; in the plane of their zone their sides
         |   2   |   3   |      bend. What a line of latitude adds is worked out once for all cells along it, and the
      ym +-------+-------+      corners of four quarters are nine points, not sixteen.
         |   0   |   1   |
      y0 +-------+-------+      The smallest upright rectangle round a cell holds its corners, of each parallel the
         x0      xm     x1      points next to the meridian and furthest from it, and the equator where it is crossed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I64, Bool, expand
from geofence_core.edges import EdgeTable
from geofence_core.meridian import LatitudeTerms, latitude_terms

CELL_SLACK_M = 1e-5
"""Added to each side of a cell; metre. Covers the rounding by which a fix on a cell's border is put into the neighbour;
without it the nearest edge of such a fix could be missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where cells lie: a cell of level k has its corner at ``origin + place * size / 2**k``, per zone, in degrees."""

    west_deg: F64
    south_deg: F64
    lon_deg: F64
    lat_deg: F64


class Roots(NamedTuple):
    """Cells that are split, int64 (R,): their zones and their places among the cells of level 0."""

    zone: I64
    x: I64
    y: I64


class Rectangles(NamedTuple):
    """Upright rectangles in planes, float64 (K, P), metre: middles, and half sides with `CELL_SLACK_M`."""

    x: F64
    y: F64
    half_x: F64
    half_y: F64


class Rows(NamedTuple):
    """Lines of latitude of cells; each root has a line more than it is high. Terms and latitudes (L,), first (R,)."""

    lat_deg: F64
    terms: LatitudeTerms
    first: I64
    cross_equator: bool


def rectangles(
    edges: EdgeTable, lattice: Lattice, roots: Roots, level: int, root: I64, x: I64, y: I64, side: int
) -> Rectangles:
    """Find the rectangles of neighbouring cells.

    Parameters
    ----------
    edges, lattice, roots
        The zones, their cells, and the roots of these.
    level
        Of the cells: how often roots have been split.
    root, x, y
        int64 (P,): root, and place of the lowest cell of each group of ``side`` by ``side`` cells.
    side
        1 or 2.

    Returns
    -------
    Rectangles
        (side * side, P), from the south-west cell by rows.
    """
    rows = _rows(lattice, roots, level, root)
    zone = roots.zone.take(root)
    step = np.arange(side + 1)[:, None]
    line = rows.first.take(root) + (y - (roots.y.take(root) << level)) + step
    width = lattice.lon_deg.take(zone) * 2.0**-level
    dlon = (x + step) * width
    dlon += lattice.west_deg.take(zone)
    dlon -= edges.meridian_deg.take(zone)
    square = dlon * dlon
    east = square * rows.terms.c3.take(line)[:, None]
    east += rows.terms.n.take(line)[:, None]
    east *= dlon
    x_low, x_high = _between(np.minimum, east), _between(np.maximum, east)
    if rows.cross_equator:
        lat = rows.lat_deg.take(line)
        _widen(x_low, x_high, dlon, (lat[:-1] < 0.0) & (lat[1:] > 0.0))
    # On each parallel the northing depends on the square of the way to the meridian.
    ways = np.empty((2, step.size - 1, root.size))
    np.minimum(square[:-1], square[1:], out=ways[0])
    ways[0][(dlon[:-1] < 0.0) & (dlon[1:] > 0.0)] = 0.0
    np.maximum(square[:-1], square[1:], out=ways[1])
    m, s, c4 = (term.take(line)[:, None, None] for term in (rows.terms.m, rows.terms.s, rows.terms.c4))
    north = ways * c4
    north += s
    north *= ways
    north += m
    north -= edges.origin_m.take(zone)
    y_low, y_high = north[:-1].min(axis=1), north[1:].max(axis=1)
    found = np.empty((4, side, side, root.size))
    for low, high, middle, half in ((x_low, x_high, found[0], found[2]), (y_low, y_high, found[1], found[3])):
        np.add(low, high, out=middle)
        middle *= 0.5
        np.subtract(high, low, out=half)
        half *= 0.5
        half += CELL_SLACK_M
    return Rectangles(*found.reshape(4, side * side, root.size))


def _rows(lattice: Lattice, roots: Roots, level: int, root: I64) -> Rows:
    """Lines of latitude of all cells of a level, of roots that still have any."""
    alive = np.bincount(root, minlength=roots.zone.size) > 0
    number = np.where(alive, (1 << level) + 1, 0)
    own, line = expand(roots.y << level, number)
    zone = roots.zone.take(own)
    lat = lattice.south_deg.take(zone) + line * (lattice.lat_deg.take(zone) * 2.0**-level)
    np.clip(lat, -90.0, 90.0, out=lat)
    crosses = bool(lat.size) and float(lat.min()) < 0.0 < float(lat.max())
    return Rows(lat, latitude_terms(lat), np.cumsum(number) - number, crosses)


def _between(extreme: np.ufunc, corner: F64) -> F64:
    """Take the least or largest corner of each cell; (side + 1, side + 1, P) to (side, side, P)."""
    rows = extreme(corner[:-1], corner[1:])
    found: F64 = extreme(rows[:, :-1], rows[:, 1:])
    return found


def _widen(x_low: F64, x_high: F64, dlon: F64, across: Bool) -> None:
    """Add the widest parallel of cells across the equator."""
    terms = latitude_terms(np.zeros(1))
    equator = dlon * (terms.n + dlon * dlon * terms.c3)
    for row in range(across.shape[0]):
        low, high = np.minimum(equator[:-1], equator[1:]), np.maximum(equator[:-1], equator[1:])
        np.minimum(x_low[row], low, out=x_low[row], where=across[row])
        np.maximum(x_high[row], high, out=x_high[row], where=across[row])
