"""The same index, compiled: numba walks the arrays of `geofence_core.sheets` fix by fix.

What NumPy pays in passes over its buffers this saves, and what batched gathers hide of the caches' misses this pays. So
it is the measure of how close NumPy comes to what the machine can do with this index. A fix nearer to a boundary than
`edges.ASK_M`, whose side the core looks up in the drawing, gets the side of its nearest edge here.
"""

import math
from typing import Any

import numba
import numpy as np

from benchmarks.workloads import F64, I64
from geofence_core import ZoneTable, meridian
from geofence_core.edges import ASK, INSIDE, SOFT
from geofence_core.grids import FAR_CELLS_PER_DEG, FAR_LIMIT_DEG, LAT_M
from geofence_core.sheets import LEAF_BITS

_TERMS = meridian._coefficients()  # noqa: SLF001 - the polynomials themselves, which are nobody else's business
_POWERS = max(len(term) for term in _TERMS)
_ROWS = _TERMS[0][0].size
_ROW_DEG = meridian.ROW_DEG


def _polynomials() -> F64:
    """Coefficients of the five terms, highest power first, by row of latitudes: (rows, terms, powers)."""
    out = np.zeros((_ROWS, len(_TERMS), _POWERS))
    for k, term in enumerate(_TERMS):
        for j, column in enumerate(term):
            out[:, k, _POWERS - len(term) + j] = column
    return out


_POLYNOMIALS = _polynomials()
_jit: Any = numba.njit(nogil=True, cache=True, inline="never")
_inline: Any = numba.njit(nogil=True, cache=True, inline="always")


@_inline
def _term(row: F64, v: float) -> float:
    out = row[0]
    for j in range(1, row.size):
        out = out * v + row[j]
    return out


@_jit
def _listed(
    lat: float,
    lon: float,
    polynomials: F64,
    meridian_deg: float,
    origin_m: float,
    scale: float,
    first: int,
    start: int,
    count: int,
    candidate: Any,
    at: Any,
    unit: Any,
    length_m: F64,
    bulge_per_m: Any,
    code: Any,
) -> float:
    """Signed distance of one fix to one list."""
    row = min(int((lat + 90.0) / _ROW_DEG), _ROWS - 1)
    v = lat - (row * _ROW_DEG - (90 - _ROW_DEG // 2))
    terms = polynomials[row]
    d = lon - meridian_deg
    d2 = d * d
    x = (d2 * _term(terms[3], v) + _term(terms[1], v)) * d
    y = (_term(terms[0], v) - origin_m) + (d2 * _term(terms[4], v) + _term(terms[2], v)) * d2
    best, winner = np.inf, -1
    for k in range(start, start + count):
        e = first + candidate[k]
        dx, dy = x - at[e].real, y - at[e].imag
        along = dx * unit[e].real - dy * unit[e].imag
        across = dy * unit[e].real + dx * unit[e].imag
        beyond = along - max(min(along, length_m[e]), 0.0)
        q = across * across + beyond * beyond
        if q < best:
            best, winner = q, e
    e = winner
    dx, dy = x - at[e].real, y - at[e].imag
    along = dx * unit[e].real - dy * unit[e].imag
    across = dy * unit[e].real + dx * unit[e].imag
    if along <= 0.0 or along >= length_m[e]:
        last = along > 0.0
        corner = (code[e] >> 2 if last else code[e]) & 3
        to = at[e + 1] if last else at[e]
        size = math.sqrt((x - to.real) ** 2 + (y - to.imag) ** 2)
        inside = across > 0.0 if corner in (SOFT, ASK) else corner == INSIDE
        signed = -size if inside else size
    else:
        signed = (length_m[e] - along) * along * bulge_per_m[e] - across
    return signed * (1.0 - x * x * scale)


@_jit
def _near(
    lat: F64,
    lon: F64,
    band_m: float,
    polynomials: F64,
    west: float,
    south: float,
    lon_scale: float,
    lat_scale: float,
    columns: int,
    rows: int,
    tile: Any,
    first: Any,
    entry: Any,
    record: Any,
    candidate: Any,
    zone_first: I64,
    meridian_deg: F64,
    origin_m: F64,
    scale: F64,
    at: Any,
    unit: Any,
    length_m: F64,
    bulge_per_m: Any,
    code: Any,
    out_fix: I64,
    out_zone: I64,
    out_m: F64,
) -> int:
    """Pairs within the band or inside; how many, also where they do not fit."""
    n = 0
    wide, high = (columns << LEAF_BITS) - 0.5, (rows << LEAF_BITS) - 0.5
    mask = (1 << LEAF_BITS) - 1
    for i in range(lat.size):
        x = int(min(max((lon[i] - west) * lon_scale, 0.0), wide))
        y = int(min(max((lat[i] - south) * lat_scale, 0.0), high))
        block = tile[(y >> LEAF_BITS) * columns + (x >> LEAF_BITS)]
        if block == 0:
            continue
        leaf = (((block << LEAF_BITS) | (y & mask)) << LEAF_BITS) | (x & mask)
        for r in range(first[leaf], first[leaf + 1]):
            row = entry[r]
            zone = record[row, 0]
            signed = -band_m
            if record[row, 2]:
                signed = _listed(
                    lat[i],
                    lon[i],
                    polynomials,
                    meridian_deg[zone],
                    origin_m[zone],
                    scale[zone],
                    zone_first[zone],
                    record[row, 1],
                    record[row, 2],
                    candidate,
                    at,
                    unit,
                    length_m,
                    bulge_per_m,
                    code,
                )
                if signed > band_m:
                    continue
                signed = max(signed, -band_m)
            if n < out_fix.size:
                out_fix[n], out_zone[n], out_m[n] = i, zone, signed
            n += 1
    return n


@_jit
def _bounds(
    lat: F64, lon: F64, middle_lon: float, middle_lat: float, half_lon: float, half_lat: float, lon_m: float,
    limit_m: float, out: F64,
) -> None:  # fmt: skip
    """Lower bounds of one zone beyond its band."""
    for i in range(lat.size):
        u = abs((math.floor(lon[i] * FAR_CELLS_PER_DEG) + 0.5) / FAR_CELLS_PER_DEG - middle_lon)
        v = abs((math.floor(lat[i] * FAR_CELLS_PER_DEG) + 0.5) / FAR_CELLS_PER_DEG - middle_lat)
        u = min(max(u - half_lon - 0.5 / FAR_CELLS_PER_DEG, 0.0), FAR_LIMIT_DEG) * lon_m
        v = min(max(v - half_lat - 0.5 / FAR_CELLS_PER_DEG, 0.0), FAR_LIMIT_DEG) * LAT_M
        out[i] = math.sqrt(u * u + v * v) + limit_m


@_jit
def _scatter(fix: I64, signed: F64, n: int, out: F64) -> None:
    for k in range(n):
        out[fix[k]] = signed[k]


class Compiled:
    """The sheets of one table, asked by compiled code."""

    def __init__(self, table: ZoneTable) -> None:
        index = table.index
        edges, sheets = index.edges, index.sheets
        assert len(sheets.sheets) == 1, "zones of one region have one sheet"
        assert not edges.reach_m.any(), "only polygons"
        sheet = sheets.sheets[0]
        self._grids = index.grids
        self._band_m = sheets.band_m
        self._sheet = (
            sheet.west_deg, sheet.south_deg, sheet.lon_scale, sheet.lat_scale, sheet.columns, sheet.rows,
            sheet.tile, sheet.first, sheet.entry, sheet.zone_start_count, sheet.candidate,
        )  # fmt: skip
        self._edges = (
            edges.first, edges.meridian_deg, edges.origin_m, edges.scale_per_m2,
            edges.at, edges.unit, edges.length_m, edges.bulge_per_m, edges.code,
        )  # fmt: skip
        self._room(1 << 16)

    def _room(self, n: int) -> None:
        self._fix, self._zone, self._m = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)

    def near(self, lat_deg: F64, lon_deg: F64) -> tuple[I64, I64, F64]:
        """As `ZoneTable.near` with the table's band."""
        while True:
            n = _near(
                lat_deg, lon_deg, self._band_m, _POLYNOMIALS, *self._sheet, *self._edges, self._fix, self._zone, self._m
            )
            if n <= self._fix.size:
                return self._fix[:n], self._zone[:n], self._m[:n]
            self._room(2 * n)

    def one(self, lat_deg: F64, lon_deg: F64) -> F64:
        """As `ZoneTable.signed_distance_m` of a table of one zone."""
        grids = self._grids
        fix, _, signed = self.near(lat_deg, lon_deg)
        out = np.empty(lat_deg.size)
        _bounds(
            lat_deg, lon_deg, grids.lon_deg[0], grids.lat_deg[0], grids.half_lon_deg[0], grids.half_lat_deg[0],
            grids.lon_m[0], grids.limit_m, out,
        )  # fmt: skip
        _scatter(fix, signed, fix.size, out)
        return out
