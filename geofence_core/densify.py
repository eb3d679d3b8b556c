"""Edges as GeoJSON draws them (straight in longitude and latitude) turned into short straight pieces on the ground.

::

      lon/lat                       ground, seen from above the edge's middle
      A ------------ B              A .--'''''--. B     the drawn edge bends away from the shortest way
                                    A---|---|---B       halved until a piece bends little; the rest is a parabola
                                                        whose height is kept with the piece
"""

import numpy as np

from geofence_core.arrays import F64, I64, Bool
from geofence_core.ellipsoid import vectors
from geofence_core.errors import ZoneGeometryError

PIECE_LIMIT_M = 1_000.0
"""Longest piece; metre. Longer pieces would bend in a fix's local plane: 0.03 mm at 1 km and 30 km away."""

BEND_LIMIT_M = 0.01
"""Largest sideways gap between a piece and the edge it stands for; metre. The distance is corrected for the gap as for
a parabola, which at this size leaves micrometres; ten times less costs three times the pieces on east-west edges."""

BEND_LIMIT_RATIO = 2.5e-4
"""Largest gap per length of the piece. Only next to a pole do edges bend this much within a piece; there it keeps the
parabola's slope below a thousandth, and the error of measuring across the piece below 0.05 mm per 100 m."""

_NEAR_DEG = 0.2
"""Edges up to this long are judged by an estimate first; degree of longitude and of latitude. Within the
limits here no shorter one bends by more than `BEND_LIMIT_RATIO`."""

_M_PER_DEG = 111_320.0
_BEND_M_PER_DEG2 = _M_PER_DEG * np.pi / 180.0 / 8.0
"""Length of a degree, and height of an arc that turns by a degree for each degree of its length; metre, within 1 %."""

PIECES_LIMIT = 4_000_000
"""Most pieces of one zone; about 0.5 GB. The coast of the largest country at 1:10 million takes a twentieth."""


def densify(
    lon: F64, lat: F64, zone_ids: tuple[str, ...], zone_of: I64, bend_limit_m: float = BEND_LIMIT_M
) -> tuple[I64, F64, F64]:
    """Halve edges until each piece is short and straight enough.

    Parameters
    ----------
    lon, lat
        float64 (E, 2), degree; start and end of each edge. Longitudes may run beyond 180.
    zone_ids, zone_of
        Names of the zones, and the zone of each edge (E,), for the error message.
    bend_limit_m
        Largest sideways gap between a piece and its edge; metre.

    Returns
    -------
    edge, lon, lat
        int64 (Q,), float64 (Q, 2) twice: the pieces in order of their edges, each with the edge it came from.

    Raises
    ------
    ZoneGeometryError
        A zone would need more than `PIECES_LIMIT` pieces.

    Notes
    -----
    The points in between lie exactly on the drawn edge (repeated halving in degrees). Bends stay below the limit
    at any latitude, poles included.
    """
    cut = np.flatnonzero(_is_cut(lon, lat, bend_limit_m))
    if not cut.size:
        return np.arange(len(lon), dtype=np.int64), lon, lat
    whole = np.ones(len(lon), dtype=bool)
    whole[cut] = False
    others = np.bincount(zone_of[whole], minlength=len(zone_ids))
    edge, new_lon, new_lat = cut, lon[cut], lat[cut]
    split = np.ones(cut.size, dtype=bool)
    while split.any():
        counts = others + np.bincount(zone_of[edge], weights=1.0 + split, minlength=len(zone_ids))
        if counts.size and counts.max() > PIECES_LIMIT:
            raise ZoneGeometryError(
                zone_ids[int(np.argmax(counts))],
                None,
                None,
                f"its boundary needs more than {PIECES_LIMIT} pieces of {PIECE_LIMIT_M:.0f} m or less; next: draw it "
                "with fewer or shorter edges",
            )
        new = np.repeat(split, 1 + split)
        edge, new_lon, new_lat = _halve(edge, new_lon, new_lat, split)
        split = new
        split[new] = _is_cut(new_lon[new], new_lat[new], bend_limit_m)
    pieces = np.ones(len(lon), dtype=np.int64)
    pieces[cut] = np.bincount(edge, minlength=len(lon))[cut]
    every = np.arange(len(lon), dtype=np.int64).repeat(pieces)
    lon, lat = lon.take(every, axis=0), lat.take(every, axis=0)
    at = np.flatnonzero(~whole.take(every))
    lon[at], lat[at] = new_lon, new_lat
    return every, lon, lat


def _is_cut(lon: F64, lat: F64, bend_limit_m: float) -> Bool:
    """Whether edges are too long or too bent, E of them; a closer look is taken only where an estimate leaves doubt.

    A path straight in longitude and latitude leaves its chord by an eighth of its acceleration across, here on a
    sphere; up to `_NEAR_DEG` that is right to a hundredth of the largest bend an edge of this length can have.
    """
    dlon, dlat = lon[:, 1] - lon[:, 0], lat[:, 1] - lat[:, 0]
    middle = np.radians((lat[:, 0] + lat[:, 1]) / 2)
    sin, cos = np.sin(middle), np.cos(middle)
    east, square = dlon * cos, dlat * dlat
    length2 = east * east + square
    size = np.sqrt(length2)
    bend = np.abs(dlon * sin) * (length2 + square) / np.maximum(size, 1e-300) * _BEND_M_PER_DEG2
    doubt = 0.05 * bend_limit_m + 0.02 * _BEND_M_PER_DEG2 * np.abs(dlon) * (np.abs(dlon) + 2.0 * np.abs(dlat)) + 2e-6
    near = np.maximum(np.abs(dlon), np.abs(dlat)) <= _NEAR_DEG
    near &= np.abs(middle) <= 1.5
    cut: Bool = near & ((size > 1.01 * PIECE_LIMIT_M / _M_PER_DEG) | (bend - doubt > bend_limit_m))
    kept = near & (size < 0.99 * PIECE_LIMIT_M / _M_PER_DEG) & (bend + doubt < bend_limit_m)
    open_ = np.flatnonzero(~(cut | kept))
    cut[open_] = _too_long_or_bent(lon[open_], lat[open_], bend_limit_m)
    return cut


def bends_m(lon: F64, lat: F64) -> tuple[F64, F64]:
    """Length of pieces, and how far the drawn edge lies left of the middle of each (negative: right).

    Parameters
    ----------
    lon, lat
        float64 (Q, 2), degree; start and end of each piece.

    Returns
    -------
    length, bend
        float64 (Q,), metre.
    """
    ax, ay, az = vectors(lat[:, 0], lon[:, 0])
    bx, by, bz = vectors(lat[:, 1], lon[:, 1])
    mid_lat = lat.mean(axis=1)
    mid_lon = lon.mean(axis=1)
    mx, my, mz = vectors(mid_lat, mid_lon)
    # Middle of the drawn edge against the middle of its chord, taken along (up x direction): upwards lies the Earth's
    # own bulge, and forwards only the edge's uneven scale.
    gx, gy, gz = mx - (ax + bx) / 2, my - (ay + by) / 2, mz - (az + bz) / 2
    phi, lam = np.radians(mid_lat), np.radians(mid_lon)
    ux, uy, uz = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    dx, dy, dz = bx - ax, by - ay, bz - az
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    left = gx * (uy * dz - uz * dy) + gy * (uz * dx - ux * dz) + gz * (ux * dy - uy * dx)
    return length, left / np.where(length > 0, length, 1.0)


def _too_long_or_bent(lon: F64, lat: F64, bend_limit_m: float) -> Bool:
    length, bend = bends_m(lon, lat)
    bend = np.abs(bend)
    # An edge more than a third round the globe can have both ends in one place; halving it first tells.
    wide = np.abs(lon[:, 1] - lon[:, 0]) > 120.0
    on_pole = np.abs(lat).min(axis=1) == 90.0
    split: Bool = (length > PIECE_LIMIT_M) | (bend > bend_limit_m) | (wide & ~on_pole)
    # Below a micrometre the bend is rounding of the coordinates, not the edge.
    split |= (bend > BEND_LIMIT_RATIO * length) & (bend > 1e-6)
    return split


def _halve(edge: I64, lon: F64, lat: F64, split: Bool) -> tuple[I64, F64, F64]:
    count = 1 + split.astype(np.int64)
    parent = np.repeat(np.arange(edge.size), count)
    second = np.zeros(parent.size, dtype=bool)
    second[1:] = parent[1:] == parent[:-1]
    first = np.zeros(parent.size, dtype=bool)
    first[:-1] = second[1:]
    new_lon, new_lat = lon.take(parent, axis=0), lat.take(parent, axis=0)
    for values, ends in ((new_lon, lon), (new_lat, lat)):
        middle = (ends[:, 0] + ends[:, 1])[split] / 2
        values[first, 1] = middle
        values[second, 0] = middle
    return edge[parent], new_lon, new_lat
