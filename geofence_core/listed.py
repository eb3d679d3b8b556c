"""Pairs with a list of edges: into the plane of the zone, to the nearest edge, back to the ground."""

from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I32, I64, U8, U16, indices
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable
from geofence_core.judge import OUTSIDE_FLOOR_M
from geofence_core.meridian import place
from geofence_core.nearest import Work, nearest


class Places(NamedTuple):
    """Positions of pairs: latitude and longitude, float64 (P,), degree, longitude in [-180, 180), NaN allowed."""

    lat_deg: F64
    lon_deg: F64


def places_of(lat_deg: F64, lon_deg: F64) -> Places:
    """Return fixes as they are judged: longitudes wrapped to [-180, 180), what is no position NaN in both."""
    if lat_deg.size and (
        np.minimum.reduce(lat_deg) >= -90.0
        and np.maximum.reduce(lat_deg) <= 90.0
        and np.minimum.reduce(lon_deg) >= -180.0
        and np.maximum.reduce(lon_deg) < 180.0
    ):
        return Places(lat_deg, lon_deg)
    with np.errstate(invalid="ignore"):
        valid = (np.abs(lat_deg) <= 90.0) & (np.abs(lon_deg) <= 360.0)
    lat, lon = np.where(valid, lat_deg, np.nan), np.where(valid, lon_deg, np.nan)
    lon = np.where(lon >= 180.0, lon - 360.0, lon)
    return Places(lat, np.where(lon < -180.0, lon + 360.0, lon))


def turned(dlon: F64) -> F64:
    """Differences of longitudes the short way round, in place; NaN stays NaN."""
    if dlon.size and not (np.maximum.reduce(dlon) <= 180.0 and np.minimum.reduce(dlon) >= -180.0):
        dlon -= 360.0 * np.rint(dlon / 360.0)
    return dlon


def into_rim(cell: F64, size: int) -> None:
    """Move what is outside ``size`` cells, and NaN, to the first or the last of them, in place."""
    np.clip(cell, 0.0, size - 0.5, out=cell)
    if np.isnan(np.minimum.reduce(cell)):
        np.fmax(cell, 0.0, out=cell)


def settle(signed: F64, limit_m: float, out: F64, at: I64) -> None:
    """Put exact values up to the limit into ``out[at]``; beyond it only the side is taken over, as from a far cell."""
    keep = indices(signed <= limit_m)
    d = signed.take(keep)
    np.maximum(d, -limit_m, out=d)
    out[at.take(keep)] = d


def listed_m(
    edges: EdgeTable,
    candidate: U16,
    drawn: DrawnZones,
    places: Places,
    zone: I64 | I32 | int,
    start: I32,
    count: U8,
    work: Work,
) -> F64:
    """Signed distance of pairs with lists: into the zone's plane, nearest edge, back to the ground.

    ``zone``: integers (P,), or one for all; pairs as `nearest.shortest_first` puts them, P from 1 to `nearest.POINTS`.
    Returns float64 (P,), a buffer of ``work`` that its next use overwrites. The plane stretches lengths with the square
    of the distance from its meridian; distances are shrunk by the stretch at the fix, which leaves 1e-7 of them in the
    band and 1e-5 at 15 km.
    """
    n = places.lat_deg.size
    dlon = turned(np.subtract(places.lon_deg, edges.meridian_deg.take(zone), out=work.shift[:n]))
    point, scratch = work.point[:n], [a[:n] for a in (work.length, work.held, work.across, work.along)]
    place(places.lat_deg, dlon, edges.origin_m.take(zone), point, scratch)
    signed, ask = nearest(edges, candidate, np.asarray(edges.first.take(zone)), point, start, count, work)
    shrink = np.multiply(point.real, point.real, out=scratch[0])
    shrink *= edges.scale_per_m2.take(zone)
    np.subtract(1.0, shrink, out=shrink)
    signed *= shrink
    if ask.size:
        whose = zone if isinstance(zone, np.ndarray) else np.full(n, zone)
        _ask(edges, drawn, places, whose, dlon, ask, signed)
    reach = np.asarray(edges.reach_m.take(zone))
    if not reach.ndim:
        return np.abs(signed) - reach if reach else signed
    lines = indices(reach)
    if lines.size:
        signed[lines] = np.abs(signed[lines]) - reach[lines]
    return signed


def _ask(
    edges: EdgeTable, drawn: DrawnZones, places: Places, zone: I64 | I32, dlon: F64, ask: I64, signed: F64
) -> None:
    ask = ask[edges.reach_m.take(zone.take(ask)) == 0.0]
    if not ask.size:
        return
    z = zone.take(ask)
    lon = places.lon_deg.take(ask)
    turned = np.abs(lon - edges.meridian_deg.take(z)) > 180.0
    lon = np.where(turned, edges.meridian_deg.take(z) + dlon.take(ask), lon)
    inside, touching = drawn.sides(z, places.lat_deg.take(ask), lon)
    d = np.abs(signed.take(ask))
    d = np.where(inside, -d, np.maximum(d, OUTSIDE_FLOOR_M))
    d[touching] = 0.0
    signed[ask] = d + 0.0
