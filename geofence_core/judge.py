"""Signed distance of (fix, zone) pairs by the fix's own plane: zones that no plane of theirs serves, and far distances.

::

    |P - c| - ball  >  band       the zone is far: side known for all of the outside, bound from the ball
    otherwise   area              side from the rings, distance from the boundary
                circle            distance to the centre - radius
                corridor          distance to the line - half width

Calls differ only in how they choose pairs, so they give the same bits.
"""

import numpy as np

from geofence_core.arrays import F64, I64, indices
from geofence_core.boundary import boundary_m
from geofence_core.build import AREA, CIRCLE, CORRIDOR, ZoneArrays
from geofence_core.ellipsoid import Frames, arc_m
from geofence_core.side import sides

OUTSIDE_FLOOR_M = 1e-9
"""Least distance reported outside a zone, and by how much a value beyond the band exceeds it; metre. Side and distance
are found separately, so a fix that is outside by less than rounding would otherwise get 0, which means inside."""


def ball_gap_m(zones: ZoneArrays, fixes: Frames, fix_idx: I64, zone_idx: I64) -> F64:
    """Chord from each fix to its zone's ball, negative within; float64 (P,), metre, NaN without a position."""
    dx = fixes.x_m[fix_idx] - zones.cx_m[zone_idx]
    dy = fixes.y_m[fix_idx] - zones.cy_m[zone_idx]
    dz = fixes.z_m[fix_idx] - zones.cz_m[zone_idx]
    gap: F64 = np.sqrt(dx * dx + dy * dy + dz * dz) - zones.ball_m[zone_idx]
    return gap


def signed_m(zones: ZoneArrays, fixes: Frames, fix_idx: I64, zone_idx: I64, gap_m: F64, band_m: float) -> F64:
    """Signed distance of pairs.

    Parameters
    ----------
    zones, fixes
        Z zones and N positions.
    fix_idx, zone_idx
        int64 (P,).
    gap_m
        float64 (P,), what `ball_gap_m` gave for these pairs.
    band_m
        Distances are exact up to here; infinity for everywhere.

    Returns
    -------
    float64 (P,), metre, negative inside, 0 on the boundary; NaN without a position. Beyond ``band_m`` the value has the
    right sign and its size is the distance or a lower bound of it above ``band_m``.
    """
    out = np.where(zones.far_inside[zone_idx], -gap_m, gap_m)
    with np.errstate(invalid="ignore"):
        close = indices(gap_m <= band_m)
    if close.size:
        out[close] = _close_m(zones, fixes, fix_idx[close], zone_idx[close], band_m)
    return out


def _close_m(zones: ZoneArrays, fixes: Frames, fix: I64, zone: I64, band_m: float) -> F64:
    out = np.empty(fix.size)
    method = zones.method[zone]
    area = indices(method == AREA)
    if area.size:
        out[area] = _area_m(zones, fixes, fix[area], zone[area], band_m)
    circle = indices(method == CIRCLE)
    if circle.size:
        f, z = fix[circle], zone[circle]
        centre = (zones.cx_m[z], zones.cy_m[z], zones.cz_m[z])
        out[circle] = arc_m(fixes.x_m[f], fixes.y_m[f], fixes.z_m[f], *centre) - zones.reach_m[z]
    corridor = indices(method == CORRIDOR)
    if corridor.size:
        f, z = fix[corridor], zone[corridor]
        half = zones.reach_m[z]
        out[corridor] = boundary_m(zones.boundary, fixes, f, z, band_m + half) - half
    return out


def _area_m(zones: ZoneArrays, fixes: Frames, fix: I64, zone: I64, band_m: float) -> F64:
    is_inside, touching = sides(zones.rings, zone, fixes.lat_deg[fix], fixes.lon_deg[fix])
    d = boundary_m(zones.boundary, fixes, fix, zone, np.full(fix.size, band_m))
    signed = np.where(is_inside, -d, np.maximum(d, OUTSIDE_FLOOR_M))
    signed[touching] = 0.0
    # Turns -0.0, a fix inside by less than rounding, into 0.0.
    return signed + 0.0
