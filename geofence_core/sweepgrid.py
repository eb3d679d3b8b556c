"""A grid over longitude and latitude whose lines stand closer where more was drawn, and lines walked through it.

::

      |   |  | | | |   |       |         degree -> bin -> column, row: two look-ups
    --+---+--+-+-+-+---+-------+--
      |   |  |#|#|#|   |       |         # cells that count
    --+---+--+-+-+-+---+-------+--
      |   |  |#|.|#| <==== line |        counts summed from the corner say at once whether a box of cells is empty:
    --+---+--+-+-+-+---+-------+--       four look-ups

A line is cut until its pieces cover single rows, columns or 2 x 2 cells; pieces over empty cells drop out.
"""

from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import F64, I32, I64, Bool, expand, indices

BINS = 1 << 16
"""Bins of the table that leads from a degree to its cell; no unit. Fewer make clusters of zones share cells, more leave
the cache: 256 kB an axis."""

BIN_DEG = 1e-7
"""Least width of a bin; degree. Narrower ones would be narrower than the slack of the lines that are entered."""

UNIFORM_SHARE = 0.5
"""Share of the cells that stand at equal distances; the others follow what was drawn. At 0 empty country between two
towns is one cell, which long lines cannot be told apart in; at 1 a town is one cell."""

CellBoxes = tuple[I32, I32, I32, I32]
"""Boxes of cells: first column and past the last, first row and past the last; int32 (N,) each."""

PARTS = 64
"""Most parts a piece of a line is cut into at once; no unit. Bounds the memory of long lines over empty country."""

DEPTH = 40
"""Most times a piece is cut, into two or more; 2**-40 of half the globe is 20 micrometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Cells along one axis: ``cell`` int32 (BINS,) of each bin, ``border_deg`` float64 (cells + 1,)."""

    low_deg: float
    per_deg: float
    cell: I32
    border_deg: F64

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.border_deg.size - 1

    def cells(self, deg: F64) -> I32:
        """Cell of each coordinate; what lies beyond the grid (and NaN) counts to its outermost, empty cells."""
        place = deg - self.low_deg
        place *= self.per_deg
        with np.errstate(invalid="ignore"):
            number = place.astype(np.intp)
        # What no integer can hold becomes some integer: it is no position, or looked at again.
        return self.cell.take(number, mode="clip")

    def holds(self, deg: F64) -> bool:
        """Whether coordinates lie off the outermost cells."""
        cell = self.cells(deg)
        return bool(((cell > 0) & (cell < self.size - 1)).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Columns (longitude) and rows (latitude); a cell's number is ``row * columns + column``."""

    lon: Axis
    lat: Axis

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.lon.size * self.lat.size

    def boxes(self, x0: F64, y0: F64, x1: F64, y1: F64) -> CellBoxes:
        """Box of cells round each line."""
        ax, bx = self.lon.cells(x0), self.lon.cells(x1)
        ay, by = self.lat.cells(y0), self.lat.cells(y1)
        west, south = np.minimum(ax, bx), np.minimum(ay, by)
        east, north = np.maximum(ax, bx, out=ax), np.maximum(ay, by, out=ay)
        east += 1
        north += 1
        return west, east, south, north

    def sums(self, counts: Bool) -> I32:
        """Sum cells that count, bool (rows, columns), from the corner; int32 ((rows + 1) * (columns + 1),)."""
        out = np.zeros((self.lat.size + 1, self.lon.size + 1), dtype=np.int32)
        np.cumsum(counts, axis=0, out=out[1:, 1:])
        np.cumsum(out[1:, 1:], axis=1, out=out[1:, 1:])
        return out.ravel()

    def unsummed(self, sums: I32) -> Bool:
        """Cells that count, from their `sums`."""
        table = sums.reshape(self.lat.size + 1, self.lon.size + 1)
        counts: Bool = np.diff(np.diff(table, axis=0), axis=1) > 0
        return counts

    def count(self, sums: I32, west: I32, east: I32, south: I32, north: I32) -> I32:
        """Cells that count within boxes of cells; int32 (N,)."""
        step = np.int32(self.lon.size + 1)
        low, high = south * step, north * step
        found: I32 = sums.take(high + east)
        found -= sums.take(low + east)
        found -= sums.take(high + west)
        found += sums.take(low + west)
        return found

    def covered(self, west: F64, east: F64, south: F64, north: F64) -> Bool:
        """Cells touched by boxes given in degrees, float64 (K,); bool (rows, columns)."""
        a, b, c, d = self.boxes(west, south, east, north)
        edge = np.zeros((self.lat.size + 1, self.lon.size + 1), dtype=np.int64)
        for row, column, step in ((c, a, 1), (d, b, 1), (c, b, -1), (d, a, -1)):
            np.add.at(edge, (row, column), step)
        touched: Bool = edge.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
        return touched

    def list_cells(self, owner: I64, west: I32, east: I32, south: I32, north: I32) -> tuple[I64, I64]:
        """List the cells of boxes of cells: which owner, which cell; int64 (M,)."""
        wide = (east - west).astype(np.int64)
        box, place = expand(np.zeros(owner.size, dtype=np.int64), wide * (north - south))
        row, column = np.divmod(place, wide.take(box))
        return owner.take(box), (south.take(box) + row) * self.lon.size + west.take(box) + column

    def walk(
        self, x0: F64, y0: F64, x1: F64, y1: F64, *, sums: I32 | None = None, slack_deg: float = 0.0
    ) -> tuple[I64, I64]:
        """List the cells that lines pass through, and few others.

        Parameters
        ----------
        x0, y0, x1, y1
            float64 (N,), degree: ends.
        sums
            Which cells count (`sums`); absent: all.
        slack_deg
            How far to either side the line counts.

        Returns
        -------
        owner, cell
            int64 (M,): which line, which cell; a cell may stand twice for a line.
        """
        owner = np.arange(x0.size, dtype=np.int64)
        t0, t1 = np.zeros(x0.size), np.ones(x0.size)
        done: list[tuple[I64, I64]] = []
        for depth in range(DEPTH + 1):
            px, py = x0.take(owner), y0.take(owner)
            dx, dy = x1.take(owner) - px, y1.take(owner) - py
            ax, bx, ay, by = px + t0 * dx, px + t1 * dx, py + t0 * dy, py + t1 * dy
            if slack_deg:
                ax, bx = np.minimum(ax, bx) - slack_deg, np.maximum(ax, bx) + slack_deg
                ay, by = np.minimum(ay, by) - slack_deg, np.maximum(ay, by) + slack_deg
            west, east, south, north = self.boxes(ax, ay, bx, by)
            wide, high = east - west, north - south
            small = (np.minimum(wide, high) == 1) | (wide * high <= 4) | (depth == DEPTH)
            counts = True if sums is None else self.count(sums, west, east, south, north) > 0
            k = indices(small & counts)
            done.append(self.list_cells(owner[k], west[k], east[k], south[k], north[k]))
            k = indices(~small & counts)
            if not k.size:
                break
            # Into pieces of about two cells at once: nearly all of them end here.
            parts = np.minimum(np.maximum(wide[k], high[k]) // 2 + 1, PARTS).astype(np.int64)
            which, place = expand(np.zeros(k.size, dtype=np.int64), parts)
            step = ((t1[k] - t0[k]) / parts).take(which)
            start = t0[k].take(which)
            t0, t1 = start + place * step, start + (place + 1) * step
            owner = owner[k].take(which)
        own, cell = (np.concatenate(column) for column in zip(*done, strict=True))
        return own, cell


def axis(deg: F64, cells: int) -> Axis:
    """Lay the cells of one axis.

    Parameters
    ----------
    deg
        float64 (K,): coordinates of what was drawn.
    cells
        About how many cells; one more at each end stays empty.
    """
    low, high = (float(deg.min()), float(deg.max())) if deg.size else (0.0, 0.0)
    width = max((high - low) / (BINS - 4), BIN_DEG)
    low -= 1.5 * width
    per_deg = 1.0 / width
    drawn = np.bincount(((deg - low) * per_deg).astype(np.int64), minlength=BINS).astype(np.float64)
    used = np.arange(BINS) < (high - low) * per_deg + 1.0
    used[0] = False
    mass = UNIFORM_SHARE * used / used.sum() + (1 - UNIFORM_SHARE) * drawn / max(drawn.sum(), 1.0)
    place = 1 + np.minimum((np.cumsum(mass) - mass) * cells, cells - 1).astype(np.int64)
    place[~used] = cells + 1
    place[0] = 0
    # Numbers without a gap: heavy bins skip some.
    first = np.flatnonzero(np.diff(place, prepend=-1))
    number = np.zeros(BINS, dtype=np.int32)
    number[first[1:]] = 1
    border = low + np.append(first, BINS) * width
    return Axis(low_deg=low, per_deg=per_deg, cell=np.cumsum(number).astype(np.int32), border_deg=border)
