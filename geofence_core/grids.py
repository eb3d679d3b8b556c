"""One grid of cells per zone: (fix, zone) pairs find their short list of edges with two multiplications.

::

      +---+---+---+---+    a zone's box with the band round it, cut into 2^L x 2^L cells of longitude and latitude
      |   |,--|--.|   |
      +---+---+---+---+    cell outside or inside by more than the band: no list, the side is known
      |  ,|   |   |`. |    cell near the boundary: list of the edges that can be nearest there (`cells`)
      +---+---+---+---+    fix outside the box: the band and the way to the box, a lower bound
"""

from dataclasses import dataclass, fields

import numpy as np

from geofence_core.arrays import F64, I32, I64, U8, U16, indices, narrow
from geofence_core.cells import BEYOND, Cells, Splitting, split
from geofence_core.edges import EdgeTable, margin_deg
from geofence_core.judge import OUTSIDE_FLOOR_M
from geofence_core.lattice import Lattice, Roots
from geofence_core.meridian import metres_per_degree_lon

CELLS_PER_EDGE = 4.0
"""Cells of a grid per edge of its zone: more of them shorten the lists and cost memory (README, speed)."""

EXACT_CELLS_PER_EDGE = 48.0
"""The same for distances that are exact everywhere: cells far from a boundary have long lists unless they are small."""

EXACT_MARGIN_M = (1_000.0, 15_000.0)
"""Least and most that is added round a zone where distances are exact everywhere; metre. Beyond it other methods
answer; further out the plane of the zone would err by more than 2 mm per 100 m."""

CELLS_PER_EDGE_ALONE = 24.0
"""Where a table has one zone only, memory is no matter."""

CELLS_ALONE = 1 << 16
"""Least cells of the grid of a table's only zone: 400 kB, a third of a second-level cache, and 20 ms to build."""

LEVELS_LIMIT = 9
"""Most splits of a grid, 262,144 cells: 2 MB."""

FEW = 2
"""A cell with this many edges is not split for its own sake, unless its zone is the only one."""

FAR_LIMIT_DEG = 1.0
"""Lower bounds of far zones grow up to this many degrees from the box; degree. Within 1.5 degrees of a box no parallel
is shorter than `ZoneGrids.lon_m`, so the bound is certain."""

FAR_CELLS_PER_DEG = 128
"""Lower bounds of far zones hold for a whole cell of this many to a degree (870 m), so that one fix at a time can look
them up; the bound loses up to the size of a cell."""

LAT_M = 110_574.0
"""Length of a degree of latitude at least (at the equator, WGS 84); metre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneGrids:
    """Grids of Z zones; arrays read-only.

    Per zone, (Z,): ``lon_deg lat_deg`` float64, middle of the grid; ``half_lon_deg half_lat_deg`` float64, half its
    sides; ``lon_scale lat_scale`` float64, cells per degree; ``half`` float64, half its cells along a side; ``size``
    int32, its cells along a side; ``base`` int64, its first cell; ``lon_m`` float64, least metres per degree of
    longitude.
    Per cell: ``start`` int32, ``count`` uint8 or uint16, ``side`` uint8 (`cells.OUT`, `IN`, `MIXED`, `BEYOND`).
    ``candidate`` uint8 to uint32: lists of edges, counted from the first vertex of the zone.
    ``band_m``: values are exact up to here.
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
    cells = np.maximum(cells_per_edge * count, CELLS_ALONE if alone else 1)
    levels = np.clip(np.round(0.5 * np.log2(cells)), 0, LEVELS_LIMIT).astype(np.int64)
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
    place = np.zeros(zone.size, dtype=np.int64)
    floor, few = np.zeros(n, dtype=np.int64), 1 if alone else FEW
    how = Splitting(levels=levels, floor=floor, few=few, band_m=band_m, drop_out=False)
    found = split(edges, lattice, Roots(zone, place, place), how)
    base = np.concatenate([[0], np.cumsum(size * size)]).astype(np.int64)
    start, number, side = _paint(found, levels, base)
    if has_rim:
        for cells, rim in ((number, 0), (side, BEYOND)):
            square = cells.reshape(int(size[0]), int(size[0]))
            square[[0, -1]] = rim
            square[:, [0, -1]] = rim
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
        candidate=found.candidate,
    )
    for f in fields(grids):
        if f.name != "band_m":
            getattr(grids, f.name).flags.writeable = False
    return grids


def _paint(cells: Cells, levels: I64, base: I64) -> tuple[I32, U8, U8]:
    """Spread settled cells over the dense grids of their zones."""
    n = int(base[-1])
    start, number, side = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.uint8)
    level = levels.take(cells.zone)
    power = level - cells.level
    corner = base.take(cells.zone) + (((cells.y0 << level) + cells.x0) << power)  # int64, as the levels are
    count = np.diff(cells.ptr)
    for p in indices(np.bincount(power)).tolist():
        mine = indices(power == p)
        places = corner.take(mine)
        step = np.arange(1 << p)
        at = places[:, None, None] + (step[:, None] << level.take(mine)[:, None, None]) + step
        for grid, values in ((start, cells.ptr), (number, count), (side, cells.side)):
            grid[at] = values.take(mine)[:, None, None]
    return start, narrow(number), side
