"""Distance in metres from fixes to the boundaries of zones, on the ellipsoid, without a map projection.

::

       fix P                      the boundary is cut into runs of RUN short pieces, runs into blocks, each in a ball
        o- - - -( block )         1. blocks: lowest bound |P - c| - r of all; further than asked for? done
         `- - - - - ( run )       2. the same with the runs of blocks whose bound beats the best upper bound
           `- - - - - - ( run )   3. runs left: vertices in P's own azimuthal plane, point-to-segment distance, minimum

Everything is measured from the fix, so one method holds at every latitude, across the antimeridian, over the poles, and
for zones of a metre or of a continent; the pieces are short (`densify`), so straight in that plane.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, Bool, chunks, expand, group_starts, indices
from geofence_core.ellipsoid import Frames, arc_m, stretch

PLANE_LIMIT_M = 300_000.0
"""Up to this distance the azimuthal plane is used, beyond it distances to the vertices and the triangle they make;
metre. The plane's error grows with the cube of the distance: 0.1 m here."""

PRUNE_RELATIVE = 1e-5
PRUNE_M = 1e-3
"""Margin by which a run's bound may miss the best upper bound and still be opened: chords and arcs order two distances
differently only when they are closer than this. Smaller ones could lose the nearest piece."""

BALL_SLACK_M = 0.1
"""Added to each run's ball; metre. The drawn edge bulges out of the ball of its vertices by up to 20 mm (the Earth's
curve over 1 km) and 10 mm (`densify.BEND_LIMIT_M`); without it a lower bound could be too high."""

CHUNK_BALLS = 1 << 14
CHUNK_OPEN = 1 << 12
"""Blocks bounded, and runs opened, at once; keeps temporaries near 20 MB and the inner loop near the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balls:
    """Balls round parts of boundaries, as children of owners (zones, or coarser balls).

    ``ptr`` int64 (owners + 1,); ``cx_m cy_m cz_m radius_m`` float64 (balls,), Earth-centred.
    """

    ptr: I64
    cx_m: F64
    cy_m: F64
    cz_m: F64
    radius_m: F64

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, name).nbytes) for name in self.__slots__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryRuns:
    """Boundaries of all zones as runs of `side.RUN` pieces, shorter ones filled up with their last vertex.

    ``blocks`` balls of each zone's blocks; ``runs`` balls of each block's runs; ``x_m y_m z_m`` float64 (R, RUN + 1),
    Earth-centred vertices; ``bend_m`` float32 (R, RUN), height of the drawn edge left of each piece's middle
    (`densify.bends_m`). Circles have no blocks.
    """

    blocks: Balls
    runs: Balls
    x_m: F64
    y_m: F64
    z_m: F64
    bend_m: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, name).nbytes) for name in self.__slots__)


def boundary_m(runs: BoundaryRuns, fixes: Frames, fix_idx: I64, zone_idx: I64, band_m: F64) -> F64:
    """Distance from each fix to the boundary of its zone.

    Parameters
    ----------
    runs
        Boundaries of all zones.
    fixes
        Positions, N of them.
    fix_idx, zone_idx
        int64 (P,): one (fix, zone) pair each; every zone has at least one run, every fix a position.
    band_m
        float64 (P,), metre: up to here the distance is exact, beyond it a lower bound may stand for it.

    Returns
    -------
    float64 (P,), metre, >= 0. Every value above ``band_m`` is the distance or a lower bound of it that is above
    ``band_m`` as well.

    Notes
    -----
    Measured against geodesics to the drawn edge, by distance from the boundary: error below 1e-6 m up to 100 m, 1e-5 m
    up to 1 km, 1e-4 m at 3 km, and 0.1 mm per 100 m up to 300 km; beyond that the bound of `ellipsoid.arc_m`.
    """
    out = np.empty(fix_idx.size)
    start = runs.blocks.ptr[zone_idx]
    count = runs.blocks.ptr[zone_idx + 1] - start
    for part in chunks(count, CHUNK_BALLS):
        out[part] = _boundary(runs, fixes, fix_idx[part], band_m[part], start[part], count[part])
    return out


def _boundary(runs: BoundaryRuns, fixes: Frames, fix: I64, band_m: F64, start: I64, count: I64) -> F64:
    pair, block = expand(start, count)
    out, needed, pair, block = _prune(runs.blocks, fixes, fix, band_m, pair, block, np.ones(fix.size, dtype=bool))
    first = runs.runs.ptr[block]
    inner, run = expand(first, runs.runs.ptr[block + 1] - first)
    lower, needed, pair, run = _prune(runs.runs, fixes, fix, band_m, pair[inner], run, needed)
    out = np.maximum(out, lower)

    best = np.full(fix.size, np.inf)
    far = (lower > PLANE_LIMIT_M)[pair]
    for rows, distance in ((indices(~far), _plane_m), (indices(far), _triangle_m)):
        for part in range(0, rows.size, CHUNK_OPEN):
            chunk = rows[part : part + CHUNK_OPEN]
            d = distance(runs, fixes, fix[pair[chunk]], run[chunk])
            begin = group_starts(pair[chunk])
            seen = pair[chunk[begin]]
            best[seen] = np.minimum(best[seen], np.minimum.reduceat(d, begin))
    out[needed] = best[needed]
    return out


def _prune(
    balls: Balls, fixes: Frames, fix: I64, band_m: F64, pair: I64, ball: I64, wanted: Bool
) -> tuple[F64, Bool, I64, I64]:
    """Bound distances by balls and drop the balls that cannot hold the nearest piece.

    Parameters
    ----------
    fix, band_m, wanted
        Per pair (P,).
    pair, ball
        int64 (M,), pairs in rising order: which ball is asked for which pair.

    Returns
    -------
    lower, wanted, pair, ball
        Lower bound per pair (0 where no ball was asked), whether the pair still needs its distance, and what is left.
    """
    lower = np.zeros(fix.size)
    if not pair.size:
        return lower, wanted, pair, ball
    row = fix[pair]
    dx = fixes.x_m[row] - balls.cx_m[ball]
    dy = fixes.y_m[row] - balls.cy_m[ball]
    dz = fixes.z_m[row] - balls.cz_m[ball]
    centre = np.sqrt(dx * dx + dy * dy + dz * dz)
    radius = balls.radius_m[ball]
    gap = centre - radius
    begin = group_starts(pair)
    asked = pair[begin]
    lower[asked] = np.maximum(np.minimum.reduceat(gap, begin), 0.0)
    limit = np.full(fix.size, -np.inf)
    limit[asked] = np.minimum.reduceat(centre + radius, begin) * (1 + PRUNE_RELATIVE) + PRUNE_M
    wanted = wanted & (lower <= band_m)
    keep = indices(wanted[pair] & (gap <= limit[pair]))
    return lower, wanted, pair[keep], ball[keep]


def _plane_m(runs: BoundaryRuns, fixes: Frames, fix: I64, run: I64) -> F64:
    """Distance to the pieces of one run each, in the azimuthal plane of the fix; float64 (S,)."""
    dx = runs.x_m[run] - fixes.x_m[fix][:, None]
    dy = runs.y_m[run] - fixes.y_m[fix][:, None]
    dz = runs.z_m[run] - fixes.z_m[fix][:, None]
    sin_lon = fixes.sin_lon[fix][:, None]
    cos_lon = fixes.cos_lon[fix][:, None]
    east = dy * cos_lon - dx * sin_lon
    north = dz * fixes.cos_lat[fix][:, None] - (dx * cos_lon + dy * sin_lon) * fixes.sin_lat[fix][:, None]
    scale = stretch((east * east + north * north) * fixes.curvature[fix][:, None])
    east *= scale
    north *= scale
    e0, n0 = east[:, :-1], north[:, :-1]
    de = east[:, 1:] - e0
    dn = north[:, 1:] - n0
    length2 = de * de + dn * dn
    along = -(e0 * de + n0 * dn)
    length = np.where(length2 > 0, np.sqrt(length2), 1.0)
    place = along / (length * length)
    t = np.clip(place, 0.0, 1.0)
    # The piece is a chord of the drawn edge; the edge lies left of it by a parabola over the chord.
    left = 4.0 * runs.bend_m[run] * (t * (1.0 - t))
    across = (n0 * de - e0 * dn) / length + left
    beyond = (place - t) * length
    # A piece without length, the filling of a short run, is a point.
    d2 = np.where(length2 > 0, across * across + beyond * beyond, e0 * e0 + n0 * n0)
    d: F64 = np.sqrt(d2.min(axis=1))
    return d


def _triangle_m(runs: BoundaryRuns, fixes: Frames, fix: I64, run: I64) -> F64:
    """Distance to the pieces of one run each, from geodesics to their ends; float64 (S,)."""
    x, y, z = runs.x_m[run], runs.y_m[run], runs.z_m[run]
    s = arc_m(fixes.x_m[fix][:, None], fixes.y_m[fix][:, None], fixes.z_m[fix][:, None], x, y, z)
    s0, s1 = s[:, :-1], s[:, 1:]
    length2 = np.diff(x) ** 2 + np.diff(y) ** 2 + np.diff(z) ** 2
    length = np.sqrt(length2)
    # Foot of the perpendicular by the law of cosines, counted from the piece's start, then held within the piece.
    foot = ((s0 - s1) * (s0 + s1) + length2) / np.where(length > 0, 2 * length, 1.0)
    held = np.clip(foot, 0.0, length)
    d: F64 = np.sqrt(np.maximum(s0 * s0 + held * (held - 2 * foot), 0.0)).min(axis=1)
    return d
