"""One wearer, one fix at a time: plain Python floats on cells that are unpacked when they are first visited.

::

      fix -> far cell (870 m)  -> what far zones answer anywhere in it, and the zones whose grids reach into it
          -> cell of each grid -> side, or its two or three edges as tuples of floats

An array call costs more than all of this: no array is touched once the cells along a wearer's way are known.
"""

from math import floor, hypot, log2, nan, sqrt

import numpy as np

from geofence_core.arrays import I64, indices
from geofence_core.cells import IN, MIXED
from geofence_core.edges import ASK, ASK_M
from geofence_core.gridpairs import squared_way
from geofence_core.grids import FAR_CELLS_PER_DEG, FAR_LIMIT_DEG, LAT_M
from geofence_core.index import ZoneIndex
from geofence_core.judge import OUTSIDE_FLOOR_M
from geofence_core.lattice import CELL_SLACK_M
from geofence_core.listed import Places
from geofence_core.meridian import Terms, in_plane, latitude_terms_one
from geofence_core.nearest import nearest_one

CELL_M = 30.0
"""Cells of the grids are cut again until they are about this high; metre. Their lists get shorter, at the price of
unpacking more of them along the way: at 15 m/s a wearer meets a new one every two seconds."""

FEW_ZONES = 16
"""Up to so many zones plain Python works a far cell out faster than array calls do."""

CELLS_LIMIT = 20_000
"""Unpacked cells kept per fence, about 10 MB; beyond it they are forgotten and unpacked again."""

_HALF_CELL_DEG = 0.5 / FAR_CELLS_PER_DEG * (1.0 + 1e-9)

CELL_STRETCH = 0.02
"""Share by which the corners of a cell may lie further from its middle than half its sides as they are there: cells are
not quite rectangles in the plane."""

LAT_MOST_M = 111_700.0
"""Length of a degree of latitude at most (at the poles, WGS 84); metre."""

_Edge = tuple[float, float, float, float, float, float, float, int, int, float]
_Cell = tuple[list[_Edge], bool | None]
"""The edges that can be nearest in a cell, and its side: inside, outside, or None where the boundary runs through."""


class _Columns:
    """Arrays of an index as Python reads single numbers from them fastest: a third of the time of a NumPy scalar."""

    __slots__ = ("at", "bulge", "candidate", "code", "count", "length", "side", "start", "unit")

    def __init__(self, index: ZoneIndex) -> None:
        grids, edges = index.grids, index.edges
        self.start, self.count, self.side = grids.start.data, grids.count.data, grids.side.data
        self.candidate = grids.candidate.data
        # East and north in turns.
        self.at, self.unit = edges.at.view(np.float64).data, edges.unit.view(np.float64).data
        self.length, self.bulge, self.code = edges.length_m.data, edges.bulge_per_m.data, edges.code.data


class _ZoneCells:
    """One zone's grid, its cells unpacked on demand into `_Cell`."""

    __slots__ = (
        "_base",
        "_columns",
        "_cuts",
        "_first",
        "_known",
        "cells",
        "half",
        "half_lat",
        "half_lon",
        "lat",
        "lat_scale",
        "lon",
        "lon_scale",
        "meridian",
        "origin",
        "place",
        "reach",
        "scale",
        "size",
        "zone",
    )  # fmt: skip

    def __init__(self, index: ZoneIndex, columns: _Columns, zone: int, place: int) -> None:
        grids, edges = index.grids, index.edges
        self._columns = columns
        self._known: dict[int, _Edge] = {}
        self._first, self._base = int(edges.first[zone]), int(grids.base[zone])
        self.cells: dict[int, _Cell] = {}
        self.zone, self.place = zone, place
        self.lon, self.lat = float(grids.lon_deg[zone]), float(grids.lat_deg[zone])
        # A hair less, so that rounding cannot put a fix beyond the last cell; the rim of a grid is beyond the band.
        self.half_lon = float(grids.half_lon_deg[zone]) * (1.0 - 1e-12)
        self.half_lat = float(grids.half_lat_deg[zone]) * (1.0 - 1e-12)
        self.lon_scale, self.lat_scale = float(grids.lon_scale[zone]), float(grids.lat_scale[zone])
        height_m = LAT_M / self.lat_scale
        self._cuts = max(0, round(log2(height_m / CELL_M)))
        fine = 1 << self._cuts
        self.lon_scale, self.lat_scale = self.lon_scale * fine, self.lat_scale * fine
        self.half, self.size = float(grids.half[zone]) * fine, int(grids.size[zone]) * fine
        self.meridian, self.origin = float(edges.meridian_deg[zone]), float(edges.origin_m[zone])
        self.scale, self.reach = float(edges.scale_per_m2[zone]), float(edges.reach_m[zone])

    def unpack(self, cell: int) -> _Cell:
        """Read one cell out of the arrays and keep it."""
        columns, cuts = self._columns, self._cuts
        row, column = divmod(cell, self.size)
        at = self._base + (row >> cuts) * (self.size >> cuts) + (column >> cuts)
        count, known = columns.count[at], columns.side[at]
        side = None if known == MIXED else known == IN
        found: _Cell = [], side
        if count:
            start = columns.start[at]
            first = self._first
            edges = [self._edge(first + e) for e in columns.candidate[start : start + count].tolist()]
            found = self._nearest_of(edges, side, row, column) if count > 1 or side is None else (edges, side)
        if len(self.cells) >= CELLS_LIMIT:
            self.cells.clear()
            self._known.clear()
        self.cells[cell] = found
        return found

    def _nearest_of(self, edges: list[_Edge], side: bool | None, row: int, column: int) -> _Cell:
        """Keep the edges that can be nearest in a cell: distances change by no more than the way from its middle."""
        d = self.lon + (column + 0.5 - self.half) / self.lon_scale - self.meridian
        terms = latitude_terms_one(self.lat + (row + 0.5 - self.half) / self.lat_scale)
        x, y = in_plane(terms, d, self.origin)
        reach = hypot(terms[1] / self.lon_scale, LAT_MOST_M / self.lat_scale) * (0.5 + 0.5 * CELL_STRETCH)
        reach += CELL_SLACK_M
        distances = [abs(nearest_one((edge,), x, y)[0]) for edge in edges]
        least = min(distances)
        kept = [edge for edge, distance in zip(edges, distances, strict=True) if distance <= least + 2.0 * reach]
        if side is None and least - reach > ASK_M and not self.reach:
            signed, code = nearest_one(kept, x, y)
            side = None if code == ASK else signed < 0.0
        return kept, side

    def _edge(self, e: int) -> _Edge:
        found = self._known.get(e)
        if found is None:
            c = self._columns
            at, unit, code, k = c.at, c.unit, c.code[e], 2 * e
            found = (
                at[k], at[k + 1], unit[k], unit[k + 1], c.length[e], at[k + 2], at[k + 3],
                code & 3, code >> 2 & 3, c.bulge[e],
            )  # fmt: skip
            self._known[e] = found
        return found


class SingleFence:
    """One wearer's zones, asked one fix at a time; made by `AssignedZones.single`."""

    def __init__(self, index: ZoneIndex, zone_idx: I64) -> None:
        self._index = index
        self._limit_m = index.grids.limit_m
        self._zones = zone_idx
        self._ids = zone_idx.tolist()
        grids = index.grids
        # Longitude and latitude in rows of two: middles of the grids, half their sides, metres per degree at least.
        self._middle = np.stack([grids.lon_deg[zone_idx], grids.lat_deg[zone_idx]])
        self._half = np.stack([grids.half_lon_deg[zone_idx], grids.half_lat_deg[zone_idx]])
        self._metres = np.stack([grids.lon_m[zone_idx], np.full(zone_idx.size, LAT_M)])
        self._lon_extent = float(self._middle[0].min(initial=np.inf)), float(self._middle[0].max(initial=-np.inf))
        self._nowhere = [(z, nan) for z in zone_idx.tolist()]
        mine = index.edges.is_indexed[zone_idx]
        columns = _Columns(index)
        self._cells = [_ZoneCells(index, columns, z, k) if mine[k] else None for k, z in enumerate(self._ids)]
        self._others = np.flatnonzero(~mine)
        few = zone_idx.size <= FEW_ZONES
        rows = (*self._middle.tolist(), *self._half.tolist(), self._metres[0].tolist())
        self._few = list(zip(self._cells, *rows, strict=True)) if few else []
        self._far: dict[tuple[int, int], tuple[list[tuple[int, float]], list[_ZoneCells]]] = {}

    def __reduce__(self) -> tuple[type["SingleFence"], tuple[ZoneIndex, I64]]:
        """Leave the unpacked cells behind."""
        return type(self), (self._index, self._zones)

    def check(self, lat_deg: float, lon_deg: float) -> list[tuple[int, float]]:
        """Judge one fix.

        Parameters
        ----------
        lat_deg, lon_deg
            Degree.

        Returns
        -------
        list of (zone_idx, signed_distance_m)
            All own zones in rising order; exact up to the table's ``band_m``, beyond it side and lower bound; the same
            bits as `AssignedZones.signed_distance_m`. NaN distances without a position.
        """
        if not (abs(lat_deg) <= 90.0 and abs(lon_deg) <= 360.0):
            return list(self._nowhere)
        if lon_deg >= 180.0:
            lon_deg -= 360.0
        elif lon_deg < -180.0:
            lon_deg += 360.0
        key = floor(lat_deg * FAR_CELLS_PER_DEG), floor(lon_deg * FAR_CELLS_PER_DEG)
        known = self._far.get(key) or self._look_round(key)
        found = known[0].copy()
        terms: Terms | None = None
        limit = self._limit_m
        for z in known[1]:
            u = lon_deg - z.lon
            if not -180.0 <= u <= 180.0:
                u -= 360.0 * round(u / 360.0)
            v = lat_deg - z.lat
            if not (-z.half_lon < u < z.half_lon and -z.half_lat < v < z.half_lat):
                continue
            cell = int(v * z.lat_scale + z.half) * z.size + int(u * z.lon_scale + z.half)
            edges, side = z.cells.get(cell) or z.unpack(cell)
            if edges:
                if terms is None:
                    terms = latitude_terms_one(lat_deg)
                signed = self._signed_m(z, edges, terms, lat_deg, lon_deg)
                if signed <= limit:
                    found[z.place] = z.zone, max(signed, -limit)
            elif side:
                found[z.place] = z.zone, -limit
        if self._others.size:
            self._judge_others(lat_deg, lon_deg, found)
        return found

    def inside(self, lat_deg: float, lon_deg: float) -> list[int]:
        """Return the own zones that hold a fix, in rising order: those for which `check` is not above 0."""
        if self._others.size or not (abs(lat_deg) <= 90.0 and -180.0 <= lon_deg < 180.0):
            return [zone for zone, signed in self.check(lat_deg, lon_deg) if signed <= 0.0]
        key = floor(lat_deg * FAR_CELLS_PER_DEG), floor(lon_deg * FAR_CELLS_PER_DEG)
        known = self._far.get(key) or self._look_round(key)
        found: list[int] = []
        for z in known[1]:
            u = lon_deg - z.lon
            if not -180.0 <= u <= 180.0:
                u -= 360.0 * round(u / 360.0)
            v = lat_deg - z.lat
            if -z.half_lon < u < z.half_lon and -z.half_lat < v < z.half_lat:
                cell = int(v * z.lat_scale + z.half) * z.size + int(u * z.lon_scale + z.half)
                edges, side = z.cells.get(cell) or z.unpack(cell)
                if side is None:
                    side = self._signed_m(z, edges, latitude_terms_one(lat_deg), lat_deg, lon_deg) <= 0.0
                if side:
                    found.append(z.zone)
        return found

    def _signed_m(self, z: _ZoneCells, edges: list[_Edge], terms: Terms, lat_deg: float, lon_deg: float) -> float:
        """Signed distance to one zone by the edges of a cell; the steps of `grids.listed_m`."""
        d = lon_deg - z.meridian
        if not -180.0 <= d <= 180.0:
            d -= 360.0 * round(d / 360.0)
        x, y = in_plane(terms, d, z.origin)
        signed, code = nearest_one(edges, x, y)
        close = -ASK_M < signed < ASK_M or code == ASK
        signed *= 1.0 - x * x * z.scale
        if z.reach:
            return abs(signed) - z.reach
        if close:
            lon = d + z.meridian if abs(lon_deg - z.meridian) > 180.0 else lon_deg
            return self._ask(z.zone, lat_deg, lon, signed)
        return signed

    def _look_round(self, key: tuple[int, int]) -> tuple[list[tuple[int, float]], list[_ZoneCells]]:
        """Work out a far cell: bounds of all zones, and the zones whose grids reach into it."""
        lat, lon = (key[0] + 0.5) / FAR_CELLS_PER_DEG, (key[1] + 0.5) / FAR_CELLS_PER_DEG
        bounds = self._bounds_of_few(lat, lon) if len(self._ids) <= FEW_ZONES else self._bounds(lat, lon)
        known = list(zip(self._ids, bounds[0], strict=True)), bounds[1]
        if len(self._far) >= CELLS_LIMIT:
            self._far.clear()
        self._far[key] = known
        return known

    def _bounds(self, lat: float, lon: float) -> tuple[list[float], list[_ZoneCells]]:
        beyond = self._middle - np.array([[lon], [lat]])
        np.abs(beyond, out=beyond)
        if lon - self._lon_extent[0] > 180.0 or self._lon_extent[1] - lon > 180.0:
            np.minimum(beyond[0], np.abs(360.0 - beyond[0]), out=beyond[0])
        beyond -= self._half
        reaches = beyond <= _HALF_CELL_DEG
        squared_way(beyond, self._metres)
        far = np.sqrt(beyond[0] + beyond[1])
        far += self._limit_m
        near = [self._cells[k] for k in indices(reaches[0] & reaches[1]).tolist()]
        return far.tolist(), [z for z in near if z is not None]

    def _bounds_of_few(self, lat: float, lon: float) -> tuple[list[float], list[_ZoneCells]]:
        """`_bounds` in plain floats, the same bits."""
        far: list[float] = []
        near: list[_ZoneCells] = []
        for z, zone_lon, zone_lat, half_lon, half_lat, lon_m in self._few:
            du = abs(lon - zone_lon)
            du = min(du, abs(360.0 - du))
            dv = abs(lat - zone_lat)
            if z is not None and du <= half_lon + _HALF_CELL_DEG and dv <= half_lat + _HALF_CELL_DEG:
                near.append(z)
            du = min(max(du - half_lon - 0.5 / FAR_CELLS_PER_DEG, 0.0), FAR_LIMIT_DEG) * lon_m
            dv = min(max(dv - half_lat - 0.5 / FAR_CELLS_PER_DEG, 0.0), FAR_LIMIT_DEG) * LAT_M
            far.append(sqrt(du * du + dv * dv) + self._limit_m)
        return far, near

    def _ask(self, zone: int, lat_deg: float, lon_deg: float, signed: float) -> float:
        inside, touching = self._index.drawn.sides(np.array([zone]), np.array([lat_deg]), np.array([lon_deg]))
        if touching[0]:
            return 0.0
        d = abs(signed)
        return -d + 0.0 if inside[0] else max(d, OUTSIDE_FLOOR_M)

    def _judge_others(self, lat_deg: float, lon_deg: float, found: list[tuple[int, float]]) -> None:
        zone = self._zones[self._others]
        at = Places(np.array([lat_deg]), np.array([lon_deg]))
        signed = self._index.pairs_m(at, np.zeros(zone.size, dtype=np.int64), zone, self._index.band_m)
        for place, z, d in zip(self._others.tolist(), zone.tolist(), signed.tolist(), strict=True):
            found[place] = z, d
