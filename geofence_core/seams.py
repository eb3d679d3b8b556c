"""Edges that are drawn but bound nothing: where a map was cut, not where a zone ends.

A zone over the antimeridian or round a pole is cut for GeoJSON at longitude +-180 (RFC 7946, 3.1.9) and closed along
latitude +-90. Where both sides of the cut belong to the zone there is no boundary, so such stretches count for the
side of a fix (the rings as drawn) but not for its distance.
"""

from itertools import pairwise

import numpy as np

from geofence_core.arrays import F64, Bool


def split_seams(ring: F64, both_sides: list[tuple[float, float]]) -> tuple[F64, Bool]:
    """Mark the edges of a ring that bound nothing, cutting seam edges where the shared stretch begins and ends.

    Parameters
    ----------
    ring
        float64 (V, 2), closed, columns lon_deg, lat_deg.
    both_sides
        Stretches of latitude where the zone lies on both sides of the antimeridian (`shared_seam`).

    Returns
    -------
    ring, artificial
        float64 (W, 2), W >= V, the same ring with vertices added on the antimeridian; bool (W - 1,) per edge.
    """
    ring = _with_cuts(ring, both_sides)
    lon, lat = ring[:, 0], ring[:, 1]
    on_seam = (np.abs(lon[:-1]) == 180.0) & (lon[:-1] == lon[1:])
    artificial = (np.abs(lat[:-1]) == 90.0) & (lat[:-1] == lat[1:])
    middle = (lat[:-1] + lat[1:]) / 2
    for low, high in both_sides:
        artificial |= on_seam & (middle > low) & (middle < high)
    return ring, artificial


def shared_seam(rings: list[F64]) -> list[tuple[float, float]]:
    """Latitudes along which a zone's rings touch the antimeridian from the east and from the west."""
    east = _touching(rings, 180.0)
    west = _touching(rings, -180.0)
    shared = [(max(a, c), min(b, d)) for a, b in east for c, d in west]
    return [(low, high) for low, high in shared if low < high]


def _touching(rings: list[F64], lon: float) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for ring in rings:
        on = np.flatnonzero((ring[:-1, 0] == lon) & (ring[1:, 0] == lon))
        lats = ring[:, 1]
        found += [(float(min(lats[i], lats[i + 1])), float(max(lats[i], lats[i + 1]))) for i in on]
    return found


def _with_cuts(ring: F64, both_sides: list[tuple[float, float]]) -> F64:
    if not both_sides:
        return ring
    ends = sorted({lat for stretch in both_sides for lat in stretch})
    rows: list[tuple[float, float]] = []
    for (lon, lat), (lon_next, lat_next) in pairwise(ring.tolist()):
        rows.append((lon, lat))
        if abs(lon) == 180.0 and lon == lon_next:
            between = [e for e in ends if min(lat, lat_next) < e < max(lat, lat_next)]
            rows += [(lon, e) for e in (between if lat < lat_next else reversed(between))]
    rows.append((ring[-1, 0], ring[-1, 1]))
    return np.array(rows, dtype=np.float64)
