"""Shared zones: one directory of cells for all of them, so a fix meets only the zones that matter where it is.

::

      sheet (a rectangle of longitude and latitude)          fix -> tile -> leaf -> rows (zone, list of edges)
      +-----+-----+-----+-----+
      |  .  |  .  |     |  .  |   .  tile without any zone: one byte read, done
      +-----+-----+-----+-----+   #  tile cut into 64 x 64 leaves
      |  .  |  #  |  #  |  .  |
      +-----+-----+-----+-----+   leaf    [ zone 4: list of 2 edges | zone 7: deep inside | zone 9: list of 1 edge ]
      |  .  |  .  |  .  |  .  |   tiles along the rim are empty: fixes outside are moved into it instead of masked
      +-----+-----+-----+-----+

Leaves are about 54 m high everywhere and about square. Zones of one region make one sheet; zones spread over the globe
make one sheet per block of 4 degrees, found through a map of blocks.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I32, I64, U16, expand, group_starts, indices
from geofence_core.cells import IN, Cells, Splitting, split
from geofence_core.edges import EdgeTable, margin_deg
from geofence_core.lattice import Lattice, Roots

TILES_PER_DEG = 32
"""Tiles per degree of latitude: 3.5 km. With larger tiles more empty leaves are stored, with smaller ones more rows
stand at the level of tiles."""

LEAF_BITS = 6
"""A tile has 2**6 x 2**6 leaves of 54 m: lists of two or three edges where streets bound the zones."""

TILES_LIMIT = 1 << 18
"""Tiles of a sheet that covers all zones; above it the zones are spread over sheets of `BLOCK_DEG`."""

BLOCK_DEG = 4
FEW = 1


Box = tuple[F64, F64, F64, F64]
"""West, east, south, north, float64 (Z,), degree."""


class Frame(NamedTuple):
    """Rectangle of tiles with one tile of rim on every side; degrees, and tiles in number."""

    west_deg: float
    south_deg: float
    width_deg: float
    height_deg: float
    columns: int
    rows: int

    @classmethod
    def around(cls, box: Box, stretch: int) -> "Frame":
        """Lay tiles round zones."""
        west, east, south, north = box
        width, height = stretch / TILES_PER_DEG, 1.0 / TILES_PER_DEG
        west0, south0 = (math.floor(west.min() / width) - 1) * width, (math.floor(south.min() / height) - 1) * height
        columns = math.floor((east.max() - west0) / width) + 2
        return cls(west0, south0, width, height, columns, math.floor((north.max() - south0) / height) + 2)

    @classmethod
    def of_block(cls, west: float, south: float, stretch: int) -> "Frame":
        """Lay tiles over a block of `BLOCK_DEG`."""
        width, height = stretch / TILES_PER_DEG, 1.0 / TILES_PER_DEG
        columns, rows = round(BLOCK_DEG / width) + 2, round(BLOCK_DEG / height) + 2
        return cls(west - width, south - height, width, height, columns, rows)

    def holds(self, box: Box) -> bool:
        """Whether zones lie within, off the rim."""
        west, east, south, north = box
        x, y = self.west_deg + self.width_deg, self.south_deg + self.height_deg
        wide, high = (self.columns - 2) * self.width_deg, (self.rows - 2) * self.height_deg
        return bool((west >= x).all() and (east < x + wide).all() and (south >= y).all() and (north < y + high).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One rectangle of tiles, arrays read-only.

    ``west_deg south_deg`` corner; ``lon_scale lat_scale`` leaves per degree; ``columns rows`` tiles, the empty rim
    included. ``tile`` int32 (rows * columns,): which block of leaves, 0 for none. Leaf i has the rows ``first[i]`` to
    ``first[i + 1]``, int32. Per row: ``entry`` int32. Per entry: ``zone_start_count`` int32 (., 4), one gather for all
    three: zone, first candidate, number of candidates (0: deep inside), unused. ``candidate`` uint8 to
    uint32, edges counted from the first vertex of the zone.
    """

    west_deg: float
    south_deg: float
    lon_scale: float
    lat_scale: float
    columns: int
    rows: int
    tile: I32
    first: I32
    entry: I32
    zone_start_count: I32
    candidate: U16

    @property
    def frame(self) -> Frame:
        """Where its tiles lie."""
        side = 1 << LEAF_BITS
        return Frame(
            self.west_deg, self.south_deg, side / self.lon_scale, side / self.lat_scale, self.columns, self.rows
        )

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self) if f.name in SHEET_ARRAYS)


SHEET_ARRAYS = ("tile", "first", "entry", "zone_start_count", "candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """All sheets of a table. ``block`` int32 (45 * 90,): sheet + 1 of each block of 4 degrees; empty for one sheet."""

    band_m: float
    sheets: tuple[Sheet, ...]
    block: I32

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return int(self.block.nbytes) + sum(s.nbytes for s in self.sheets)


NO_BLOCKS = np.zeros(0, dtype=np.int32)
"""Map of a table that one sheet covers."""
NO_BLOCKS.flags.writeable = False


def build_sheets(edges: EdgeTable, band_m: float) -> Sheets:
    """Cut the surroundings of all indexed zones into cells of one lattice."""
    zones, box = _reach(edges, band_m)
    if not zones.size:
        return Sheets(band_m=band_m, sheets=(), block=NO_BLOCKS)
    west, east, south, north = box
    if west.min() >= -180.0 and east.max() < 180.0:
        stretch = _lon_stretch((south.min() + north.max()) / 2)
        tiles = (north.max() - south.min()) * TILES_PER_DEG * ((east.max() - west.min()) * TILES_PER_DEG / stretch)
        if tiles <= TILES_LIMIT:
            sheet = zones_sheet(edges, band_m, zones, box, Frame.around(box, stretch))
            return Sheets(band_m=band_m, sheets=(sheet,), block=NO_BLOCKS)
    return _blocks(edges, band_m, zones, box)


def sheets_like(edges: EdgeTable, sheets: Sheets) -> Sheets | None:
    """Build sheets of a few zones in the rectangles of others; None where the zones do not lie within those."""
    zones, box = _reach(edges, sheets.band_m)
    if not zones.size:
        return Sheets(band_m=sheets.band_m, sheets=(), block=sheets.block)
    if sheets.block.size:
        return _blocks(edges, sheets.band_m, zones, box)
    if not sheets.sheets or not sheets.sheets[0].frame.holds(box):
        return None
    sheet = zones_sheet(edges, sheets.band_m, zones, box, sheets.sheets[0].frame)
    return Sheets(band_m=sheets.band_m, sheets=(sheet,), block=sheets.block)


def _reach(edges: EdgeTable, band_m: float) -> tuple[I64, Box]:
    """Return the indexed zones and their boxes with the band."""
    zones = indices(edges.is_indexed & (edges.number > 0))
    dlon, dlat = margin_deg(edges.south_deg[zones], edges.north_deg[zones], band_m + 1e-3)
    west, east = edges.west_deg[zones] - dlon, edges.east_deg[zones] + dlon
    return zones, (west, east, edges.south_deg[zones] - dlat, edges.north_deg[zones] + dlat)


def _lon_stretch(lat_deg: float) -> int:
    """Degrees of longitude per degree of latitude in a leaf, a power of two: leaves about square."""
    return 1 << max(0, round(math.log2(1.0 / max(math.cos(math.radians(lat_deg)), 0.06))))


def _blocks(edges: EdgeTable, band_m: float, zones: I64, box: Box) -> Sheets:
    west, east, south, north = box
    n_lon = 360 // BLOCK_DEG
    x0, x1 = (np.floor((c + 180.0) / BLOCK_DEG).astype(np.int64) for c in (west, east))
    y0, y1 = (np.floor((c + 90.0) / BLOCK_DEG).astype(np.int64) for c in (south, north))
    across = x1 - x0 + 1
    own, k = expand(np.zeros(zones.size, dtype=np.int64), across * (y1 - y0 + 1))
    x, y = x0[own] + k % across[own], y0[own] + k // across[own]
    # Blocks beyond +-180 are those of the other side; the zone is then reached over the antimeridian.
    key = y * n_lon + x % n_lon
    block = np.zeros(n_lon * (180 // BLOCK_DEG), dtype=np.int32)
    sheets: list[Sheet] = []
    for one in np.unique(key).tolist():
        rows = np.flatnonzero(key == one)
        turn = (x[rows] % n_lon - x[rows]).astype(np.float64) * BLOCK_DEG
        z = own[rows]
        moved = (west[z] + turn, east[z] + turn, south[z], north[z])
        corner = ((one % n_lon) * BLOCK_DEG - 180.0, (one // n_lon) * BLOCK_DEG - 90.0)
        stretch = _lon_stretch(corner[1] + BLOCK_DEG / 2)
        sheets.append(zones_sheet(edges, band_m, zones[z], moved, Frame.of_block(*corner, stretch), turn))
        block[one] = len(sheets)
    block.flags.writeable = False
    return Sheets(band_m=band_m, sheets=tuple(sheets), block=block)


def zones_sheet(edges: EdgeTable, band_m: float, zones: I64, box: Box, frame: Frame, turn: F64 | None = None) -> Sheet:
    """Build one sheet; ``box``: of each zone with the band; ``turn``: degrees they are moved round the globe."""
    west, east, south, north = box
    west0, south0, width, height, columns, rows = frame
    n = edges.n_zones
    x0, x1 = (np.clip(np.floor((c - west0) / width).astype(np.int64), 1, columns - 2) for c in (west, east))
    y0, y1 = (np.clip(np.floor((c - south0) / height).astype(np.int64), 1, rows - 2) for c in (south, north))
    # Roots: the smallest square of 2**k tiles whose multiples hold the zone in at most 2 x 2.
    spread = np.maximum(np.maximum(x1 - x0, y1 - y0), 1)
    power = np.ceil(np.log2(spread)).astype(np.int64)
    rx0, rx1, ry0, ry1 = x0 >> power, x1 >> power, y0 >> power, y1 >> power
    across = rx1 - rx0 + 1
    own, k = expand(np.zeros(zones.size, dtype=np.int64), across * (ry1 - ry0 + 1))
    level_of = np.zeros(n, dtype=np.int64)
    level_of[zones] = power
    size = np.ldexp(1.0, power)
    lattice_west = np.zeros(n)
    lattice_west[zones] = west0 - (0.0 if turn is None else turn)
    lattice = Lattice(
        lattice_west, np.full(n, south0), _spread(n, zones, width * size), _spread(n, zones, height * size)
    )
    how = Splitting(levels=level_of + LEAF_BITS, floor=level_of, few=FEW, band_m=band_m, drop_out=True)
    roots = Roots(zones[own], rx0[own] + k % across[own], ry0[own] + k // across[own])
    return _directory(split(edges, lattice, roots, how), level_of, frame)


def _spread(n: int, zones: I64, values: F64) -> F64:
    out = np.ones(n)
    out[zones] = values
    return out


def _directory(cells: Cells, power: I64, frame: Frame) -> Sheet:
    """Paint settled cells onto leaves and sort their rows by leaf, then zone."""
    west, south, width, height, columns, rows = frame
    side = 1 << LEAF_BITS
    count = np.diff(cells.ptr)
    useful = indices((count > 0) | (cells.side == IN))
    power_of = (LEAF_BITS + power).astype(np.int32).take(cells.zone.take(useful)) - cells.level.take(useful)
    x, y = cells.x0.take(useful) << power_of, cells.y0.take(useful) << power_of
    inner = indices((x >= side) & (y >= side) & (x < (columns - 1) * side) & (y < (rows - 1) * side))
    # Entries in order of zones, so that a leaf's rows, sorted stably, are in that order too.
    inner = inner.take(np.argsort(cells.zone.take(useful.take(inner)), kind="stable"))
    power_of, x, y, useful = power_of.take(inner), x.take(inner), y.take(inner), useful.take(inner)
    # No cell is larger than a tile.
    tile_of = (y >> LEAF_BITS) * columns + (x >> LEAF_BITS)
    used = np.zeros(columns * rows, dtype=bool)
    used[tile_of] = True
    tile = np.zeros(columns * rows, dtype=np.int32)
    tile[used] = np.arange(1, int(used.sum()) + 1)
    leaves = (int(used.sum()) + 1) << (2 * LEAF_BITS)
    mask = side - 1
    leaf = (tile.take(tile_of).astype(np.int64) << (2 * LEAF_BITS)) | ((y & mask) << LEAF_BITS) | (x & mask)
    leaf, entry = _rows_by_leaf(leaf, power_of)
    starts = group_starts(leaf)
    first = np.append(starts, leaf.size).astype(np.int32).repeat(np.diff(leaf.take(starts), prepend=-1, append=leaves))
    record = np.zeros((useful.size, 4), dtype=np.int32)
    record[:, 0], record[:, 1], record[:, 2] = cells.zone.take(useful), cells.ptr.take(useful), count.take(useful)
    sheet = Sheet(
        west_deg=west,
        south_deg=south,
        lon_scale=side / width,
        lat_scale=side / height,
        columns=columns,
        rows=rows,
        tile=tile,
        first=first,
        entry=entry,
        zone_start_count=record,
        candidate=cells.candidate,
    )
    for name in SHEET_ARRAYS:
        getattr(sheet, name).flags.writeable = False
    return sheet


def _rows_by_leaf(leaf: I64, power: I64) -> tuple[I64, I32]:
    """Every leaf of entries, in rising order: its number and the entry's.

    ``leaf``: that of each entry's lowest corner; ``power``: 2**power by 2**power leaves belong to it. One key instead
    of two: sorting plain integers is several times faster than sorting rows.
    """
    bits = int(leaf.size).bit_length()
    corner = (leaf << bits) + np.arange(leaf.size)
    number = np.bincount(power)
    key = np.empty(int((number << 2 * np.arange(number.size)).sum()), dtype=np.int64)
    done = 0
    for p in indices(number).tolist():
        step = np.arange(1 << p)
        within = ((step[:, None] << LEAF_BITS) + step).ravel() << bits
        part = key[done : done + int(number[p]) * within.size].reshape(-1, within.size)
        np.add(corner.take(indices(power == p))[:, None], within, out=part)
        done += part.size
    key.sort()
    entry = np.empty(key.size, dtype=np.int32)
    np.bitwise_and(key, (1 << bits) - 1, out=entry, casting="same_kind")
    key >>= bits
    return key, entry
