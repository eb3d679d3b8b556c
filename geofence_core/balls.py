"""Which zones matter to a fix, by balls: for zones that no plane serves, and for distances beyond the band."""

import numpy as np

from geofence_core import judge
from geofence_core.arrays import F64, I64, chunks, expand, indices
from geofence_core.build import ZoneArrays
from geofence_core.ellipsoid import Frames

CUBE_M = 2_000.0
"""Edge of the cubes in which fixes are grouped before they ask which zones matter; metre. About the size of a zone:
smaller cubes mean more of them, larger ones more zones to rule out per fix."""

CHUNK_PAIRS = 1 << 18
"""(fix, zone) pairs looked at at once; bounds the temporaries to about 30 MB."""

_CUBE_HALF_DIAGONAL_M = CUBE_M * 0.87
"""From a cube's middle to its corners, rounded up; metre. Less would lose zones for fixes in the corners."""

_CUBE_SPAN = 1 << 13
"""Cubes along each axis; 2**13 of `CUBE_M` cover the Earth's diameter with room to spare."""


def near_by_balls(arrays: ZoneArrays, fixes: Frames, within_m: float, band_m: float) -> tuple[I64, I64, F64]:
    """Every pair with a signed distance up to ``within_m``.

    Parameters
    ----------
    arrays, fixes
        Z zones, N positions.
    within_m, band_m
        Metre; sizes are exact up to ``band_m``.

    Returns
    -------
    fix_idx, zone_idx, signed_m
        int64 (M,), rising by fix, then zone; float64 (M,).
    """
    fix, zone = _candidates(arrays, fixes, within_m)
    kept: list[tuple[I64, I64, F64]] = []
    for a in range(0, fix.size, CHUNK_PAIRS):
        f, z = fix[a : a + CHUNK_PAIRS], zone[a : a + CHUNK_PAIRS]
        gap = judge.ball_gap_m(arrays, fixes, f, z)
        may = indices((gap <= within_m) | arrays.far_inside[z])
        f, z, gap = f[may], z[may], gap[may]
        d = judge.signed_m(arrays, fixes, f, z, gap, band_m)
        wanted = indices(d <= within_m)
        kept.append((f[wanted], z[wanted], d[wanted]))
    if not kept:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    fix, zone, signed = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.argsort(fix, kind="stable")
    return fix[order], zone[order], signed[order]


def _candidates(arrays: ZoneArrays, fixes: Frames, within_m: float) -> tuple[I64, I64]:
    """Pairs that the balls do not rule out, asked once per cube of fixes instead of once per fix."""
    n_zones = arrays.method.size
    present = indices(~np.isnan(fixes.x_m))
    none = np.zeros(0, dtype=np.int64)
    if not present.size or not n_zones:
        return none, none
    cell = [np.floor(c[present] / CUBE_M).astype(np.int64) for c in (fixes.x_m, fixes.y_m, fixes.z_m)]
    half = _CUBE_SPAN // 2
    key = ((cell[0] + half) * _CUBE_SPAN + cell[1] + half) * _CUBE_SPAN + cell[2] + half
    cells, which = np.unique(key, return_inverse=True)
    x, y, z = (
        ((cells // scale % _CUBE_SPAN) - half + 0.5) * CUBE_M for scale in (_CUBE_SPAN * _CUBE_SPAN, _CUBE_SPAN, 1)
    )
    reach = arrays.ball_m + (within_m + _CUBE_HALF_DIAGONAL_M)
    rows: list[I64] = []
    zones: list[I64] = []
    for part in chunks(np.full(cells.size, n_zones), CHUNK_PAIRS):
        d2 = (x[part, None] - arrays.cx_m) ** 2
        d2 += (y[part, None] - arrays.cy_m) ** 2
        d2 += (z[part, None] - arrays.cz_m) ** 2
        row, zone = np.nonzero((d2 <= reach * reach) | arrays.far_inside)
        rows.append(row + part.start)
        zones.append(zone)
    per_cell = np.bincount(np.concatenate(rows), minlength=cells.size)
    start = np.cumsum(per_cell) - per_cell
    owner, entry = expand(start[which], per_cell[which])
    return present[owner], np.concatenate(zones)[entry]
