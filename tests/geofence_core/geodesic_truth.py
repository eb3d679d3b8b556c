"""Distance from many fixes to drawn edges by geodesics alone: no projection, so no region in which it holds.

Edges are sampled; Earth-centred chords, certain bounds for geodesics, rule out what cannot be nearest; between the
samples that are left a golden-section search over PROJ's geodesics finds the least distance. Error below 1e-7 m.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pyproj import Geod

from tests.geofence_core.hard_points import edges_of

F64 = npt.NDArray[np.float64]
GEOD = Geod(ellps="WGS84")
A_M, E2 = 6378137.0, 0.0066943799901413165

SAMPLE_M = 500.0
"""Longest gap between samples; metre. The distance along so short a piece of a drawn edge has one minimum."""
SAMPLES = 400
"""Samples on a small zone's lines, at least."""
LONGEST_DEGREE_M = 111_700.0
"""No degree of latitude or longitude on WGS 84 is longer; metre."""
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
STEPS = 44
"""Golden-section steps: 500 m shrink below a micrometre along the edge; the distance is flat there."""


def separation_m(lat_a: F64, lon_a: F64, lat_b: F64, lon_b: F64) -> F64:
    """Geodesic distance; metre."""
    return np.asarray(GEOD.inv(lon_a, lat_a, lon_b, lat_b)[2])


def line_m(lines: Sequence[F64], lat: F64, lon: F64) -> F64:
    """Distance of each fix to lines straight in longitude and latitude.

    Parameters
    ----------
    lines
        (V, 2) each, longitude first, running on beyond 180 degrees; rings closed.
    lat, lon
        (N,) degree.
    """
    start, end = edges_of(lines)
    length = np.hypot(*(end - start).T) * LONGEST_DEGREE_M
    gap_m = min(SAMPLE_M, float(length.sum()) / SAMPLES)
    count = np.maximum(np.ceil(length / gap_m), 1).astype(np.int64)
    edge = np.repeat(np.arange(count.size), count)
    t = (np.arange(edge.size) - (np.cumsum(count) - count)[edge]) / count[edge]
    step = (end - start) / count[:, None]
    a = start[edge] + t[:, None] * (end - start)[edge]
    b = a + step[edge]
    out = np.empty(lat.size)
    rows = max(1, 4_000_000 // len(a))
    for i in range(0, lat.size, rows):
        out[i : i + rows] = _nearest_m(a, b, lat[i : i + rows], lon[i : i + rows])
    return out


def _nearest_m(a: F64, b: F64, lat: F64, lon: F64) -> F64:
    fix = _vectors(lat, lon)
    ends = _chords(fix, _vectors(a[:, 1], a[:, 0]))
    middle = _chords(fix, _vectors((a[:, 1] + b[:, 1]) / 2, (a[:, 0] + b[:, 0]) / 2))
    half = np.hypot(*(b - a).T) * (LONGEST_DEGREE_M / 2)
    best = np.minimum(ends.min(axis=1), middle.min(axis=1))
    # Equal chords are unequal arcs by a part of the flattening.
    slack = 1e-7 + 1e-3 * best * (best / 6.4e6) ** 2
    row, piece = np.nonzero(middle - half <= (best + slack)[:, None])
    distance = _golden(a[piece], b[piece], lat[row], lon[row])
    out = np.full(lat.size, np.inf)
    np.minimum.at(out, row, distance)
    return out


def _golden(a: F64, b: F64, lat: F64, lon: F64) -> F64:
    """Least distance to each piece from ``a`` to ``b``, its ends included."""

    def distance(t: F64) -> F64:
        at = a + t[:, None] * (b - a)
        return separation_m(lat, lon, at[:, 1], at[:, 0])

    low, high = np.zeros(lat.size), np.ones(lat.size)
    least = np.minimum(distance(low), distance(high))
    c, d = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    fc, fd = distance(c), distance(d)
    for _ in range(STEPS):
        left = fc <= fd
        high, low = np.where(left, d, high), np.where(left, low, c)
        t = np.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        ft = distance(t)
        c, d = np.where(left, t, d), np.where(left, c, t)
        fc, fd = np.where(left, ft, fd), np.where(left, fc, ft)
    return np.minimum(least, np.minimum(fc, fd))


def _vectors(lat: F64, lon: F64) -> F64:
    phi, lam = np.radians(lat), np.radians(lon)
    n = A_M / np.sqrt(1 - E2 * np.sin(phi) ** 2)
    return np.column_stack([n * np.cos(phi) * np.cos(lam), n * np.cos(phi) * np.sin(lam), n * (1 - E2) * np.sin(phi)])


def _chords(a: F64, b: F64) -> F64:
    return np.asarray(np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)))
