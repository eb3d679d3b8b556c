"""Two moving people: how far apart, how fast they close in, when a ring is reached, and how probably it already is.

::

       a at t_a  ---> v_a              both are carried to one time, then everything happens in a's plane:
       b at t_b  ---> v_b              m = b - a, v = v_b - v_a, C = C_a + C_b (each grown with its age)
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, float_column, int_column
from geofence_core.ellipsoid import Frames, arc_m, frames
from geofence_core.errors import ColumnError
from geofence_core.gaussian import SETTLED, p_within, p_within_one
from geofence_core.pairplane import WORK, Near, Side, judge, judge_one, moments

CHUNK = 1 << 12
"""Pairs judged at once; no unit. Their scratch memory, 0.5 MB, stays in the cache; fewer pay more calls a pair."""

_FLOATS = (
    "lat_deg",
    "lon_deg",
    "velocity_east_mps",
    "velocity_north_mps",
    "var_east_m2",
    "cov_east_north_m2",
    "var_north_m2",
    "growth_mps",
)


@dataclass(frozen=True, slots=True, eq=False)
class MovingColumns:
    """One side of P pairs; columns of length P, NaN where unknown.

    ``t_ns`` int64, UTC of the position; ``lat_deg lon_deg``; ``velocity_east_mps velocity_north_mps``; covariance
    of the position ``var_east_m2 cov_east_north_m2 var_north_m2``; ``growth_mps``, how fast the standard deviation
    per axis grows with the age of the position (0 for one known to move at its velocity).
    """

    t_ns: I64
    lat_deg: F64
    lon_deg: F64
    velocity_east_mps: F64
    velocity_north_mps: F64
    var_east_m2: F64
    cov_east_north_m2: F64
    var_north_m2: F64
    growth_mps: F64

    def __post_init__(self) -> None:
        n = int_column(self.t_ns, "t_ns").size
        for name in _FLOATS:
            float_column(getattr(self, name), name, n)

    def __len__(self) -> int:
        """Return P."""
        return len(self.t_ns)

    @classmethod
    def of(
        cls,
        t_ns: npt.ArrayLike,
        lat_deg: npt.ArrayLike,
        lon_deg: npt.ArrayLike,
        *,
        sigma_m: npt.ArrayLike,
        velocity_east_mps: npt.ArrayLike = 0.0,
        velocity_north_mps: npt.ArrayLike = 0.0,
        growth_mps: npt.ArrayLike = 0.0,
    ) -> "MovingColumns":
        """Make columns from any sequences, with the same standard deviation along both axes."""
        t = int_column(t_ns, "t_ns")
        zero = np.zeros(t.size)
        variance = np.square(np.asarray(sigma_m, dtype=np.float64)) + zero
        return cls(
            t_ns=t,
            lat_deg=float_column(lat_deg, "lat_deg", t.size),
            lon_deg=float_column(lon_deg, "lon_deg", t.size),
            velocity_east_mps=np.asarray(velocity_east_mps, dtype=np.float64) + zero,
            velocity_north_mps=np.asarray(velocity_north_mps, dtype=np.float64) + zero,
            var_east_m2=variance,
            cov_east_north_m2=zero,
            var_north_m2=variance,
            growth_mps=np.asarray(growth_mps, dtype=np.float64) + zero,
        )


class Moving(NamedTuple):
    """One row of `MovingColumns`, for `proximity_one`; NaN where unknown."""

    t_ns: int
    lat_deg: float
    lon_deg: float
    velocity_east_mps: float
    velocity_north_mps: float
    var_east_m2: float
    cov_east_north_m2: float
    var_north_m2: float
    growth_mps: float

    def columns(self) -> MovingColumns:
        """Return columns of one row."""
        return MovingColumns(np.array([self.t_ns], dtype=np.int64), *(np.array([v]) for v in self[1:]))


class ProximityOne(NamedTuple):
    """One row of `Proximity`."""

    separation_m: float
    closing_mps: float
    time_to_ring_s: float
    p_within: float


@dataclass(frozen=True, slots=True, eq=False)
class Proximity:
    """What holds between the two sides of each pair at one time; float64 (P,), NaN where unknown.

    ``separation_m``; ``closing_mps``, positive while they approach; ``time_to_ring_s`` at constant velocity, 0 within
    the ring, infinity when it is never reached; ``p_within``, probability that the separation is below the ring.
    """

    separation_m: F64
    closing_mps: F64
    time_to_ring_s: F64
    p_within: F64


def proximity(
    a: MovingColumns, b: MovingColumns, *, at_ns: int, ring_m: npt.ArrayLike, max_age_ns: int | None = None
) -> Proximity:
    """Judge pairs of moving people at one time.

    Parameters
    ----------
    a, b
        Both sides of P pairs.
    at_ns
        UTC, nanosecond: the time both are carried to.
    ring_m
        float64 (P,) or one for all; metre, 0 or more.
    max_age_ns
        Nanosecond; older positions are unknown. Absent: none is too old.

    Returns
    -------
    Proximity

    Raises
    ------
    ColumnError
        The sides differ in length, or a ring is negative.

    Notes
    -----
    Method: `pairplane.judge` up to 5 degrees apart; beyond, next to the poles and over the antimeridian the offset of b
    in a's azimuthal plane (direction from the plane, length from `ellipsoid.arc_m`). Velocities and covariance of both
    are turned into one plane; constant velocity; Gaussian errors that are independent of each other (errors of
    receivers near each other are not, so ``p_within`` is spread more than the truth at short range).

    Error of the separation, measured over the whole Earth: 1.5e-8 of it up to 10 km, 3.5e-8 (1 mm) at 30 km, 2e-6 at
    300 km, 7e-6 at 550 km, beyond that of `arc_m`. Carrying a position over v t moves it within the plane, which errs
    by less than 1e-4 of v t up to 30 km. ``p_within``: see `gaussian.p_within`.

    Cost: 60 to 90 ns a pair, a seventh of PROJ's geodesic alone; 0.1 us more where the ring is within 6 standard
    deviations; 0.6 us for pairs that are not for the plane. Any cut into calls gives the same bits.

    Missing values: a NaN velocity leaves only what needs none: the separation if the position is already at ``at_ns``.
    """
    n = len(a)
    if len(b) != n:
        raise ColumnError(f"expected as many rows in b as in a, got {len(b)} and {n}")
    given = np.asarray(ring_m, dtype=np.float64)
    ring = np.broadcast_to(given, (n,))
    if (given < 0).any():
        raise ColumnError(f"ring_m: expected metres, 0 or more, got {float(np.nanmin(given))}")
    out = Proximity(*(np.empty(n) for _ in range(4)))
    work = np.empty((WORK, min(n, CHUNK)))
    side_a, side_b = _side(a, at_ns, max_age_ns), _side(b, at_ns, max_age_ns)
    far: list[I64] = []
    near: list[Near] = []
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            rings = ring[part] if given.ndim else float(given)
            filled = (out.separation_m[part], out.closing_mps[part], out.time_to_ring_s[part], out.p_within[part])
            beyond, open_ = judge(
                side_a.take(part), side_b.take(part), at_ns, rings, SETTLED, filled, work[:, : part.stop - start]
            )
            far.append(beyond + start)
            near.append(open_._replace(row=open_.row + start))
        some = Near(*(np.concatenate(column) for column in zip(*near, strict=True))) if near else None
        if some is not None and some.row.size:
            out.p_within[some.row] = p_within(*moments(side_a, side_b, some), ring[some.row])
        rows = np.concatenate(far) if far else np.zeros(0, dtype=np.int64)
        if rows.size:
            found = _anywhere(side_a.take(rows), side_b.take(rows), at_ns, ring[rows])
            for column, values in zip(
                (out.separation_m, out.closing_mps, out.time_to_ring_s, out.p_within), found, strict=True
            ):
                column[rows] = values
    return out


def proximity_one(a: Moving, b: Moving, *, at_ns: int, ring_m: float, max_age_ns: int | None = None) -> ProximityOne:
    """Judge one pair; what `proximity` gives for it, without the overhead of arrays.

    Parameters
    ----------
    a, b, at_ns, ring_m, max_age_ns
        As in `proximity`.

    Raises
    ------
    ColumnError
        The ring is negative.

    Notes
    -----
    The same bits as in `proximity`, but for ``p_within`` between 0 and 1, which differs by less than 1e-14. Cost: 4 us
    where the ring is far off, 9 us near it; 0.2 ms for what `proximity` does not judge in the pair's plane.
    """
    if ring_m < 0:
        raise ColumnError(f"ring_m: expected metres, 0 or more, got {ring_m}")
    if max_age_ns is None or (a.t_ns >= at_ns - max_age_ns and b.t_ns >= at_ns - max_age_ns):
        judged = judge_one(a, b, at_ns, ring_m, SETTLED)
        if judged is not None:
            separation, closing, time, rest = judged
            p = float(rest) if isinstance(rest, bool) else p_within_one(*rest, ring_m)
            return ProximityOne(separation, closing, time, p)
    one = proximity(a.columns(), b.columns(), at_ns=at_ns, ring_m=ring_m, max_age_ns=max_age_ns)
    return ProximityOne(
        float(one.separation_m[0]), float(one.closing_mps[0]), float(one.time_to_ring_s[0]), float(one.p_within[0])
    )


def _side(side: MovingColumns, at_ns: int, max_age_ns: int | None) -> Side:
    """Columns as arrays; a position that is too old has no latitude."""
    lat = side.lat_deg if max_age_ns is None else np.where(side.t_ns >= at_ns - max_age_ns, side.lat_deg, np.nan)
    return Side(
        side.t_ns,
        lat,
        side.lon_deg,
        side.velocity_east_mps,
        side.velocity_north_mps,
        side.var_east_m2,
        side.cov_east_north_m2,
        side.var_north_m2,
        side.growth_mps,
    )


def _anywhere(a: Side, b: Side, at_ns: int, ring: F64) -> tuple[F64, F64, F64, F64]:
    """Judge pairs wherever they are, from vectors: the four columns of `Proximity`."""
    at_a = frames(a.lat_deg, a.lon_deg)
    at_b = frames(b.lat_deg, b.lon_deg)
    ee, en, ne, nn = _turn(at_a, at_b)
    age_a_s = (at_ns - a.t_ns).astype(np.float64) * 1e-9
    age_b_s = (at_ns - b.t_ns).astype(np.float64) * 1e-9

    east, north = _offset_m(at_a, at_b)
    v_east = ee * b.v_east + ne * b.v_north
    v_north = en * b.v_east + nn * b.v_north
    east = east + _moved(v_east, age_b_s) - _moved(a.v_east, age_a_s)
    north = north + _moved(v_north, age_b_s) - _moved(a.v_north, age_a_s)
    v_east = v_east - a.v_east
    v_north = v_north - a.v_north

    apart2 = east * east + north * north
    apart = np.sqrt(apart2)
    dot = east * v_east + north * v_north
    closing = -dot / np.where(apart > 0, apart, np.inf)
    grown = np.square(_moved(a.growth, age_a_s)) + np.square(_moved(b.growth, age_b_s))
    var_east = a.var_east + _form(ee, ne, b, ee, ne) + grown
    cov = a.cov + _form(ee, ne, b, en, nn)
    var_north = a.var_north + _form(en, nn, b, en, nn) + grown
    time = _time_to_ring_s(apart2, dot, v_east, v_north, ring)
    return apart, closing, time, p_within(east, north, var_east, cov, var_north, ring)


def _moved(velocity_mps: F64, age_s: F64) -> F64:
    """Distance covered; 0 at age 0 even where the velocity is unknown."""
    return np.where(age_s == 0.0, 0.0, velocity_mps * age_s)


def _turn(a: Frames, b: Frames) -> tuple[F64, F64, F64, F64]:
    """Components of b's east and north in a's plane: east on east, east on north, north on east, north on north."""
    sin_d = b.sin_lon * a.cos_lon - b.cos_lon * a.sin_lon
    cos_d = b.cos_lon * a.cos_lon + b.sin_lon * a.sin_lon
    # Normalised, so that a turn stays a turn: the planes of distant places are tilted against each other.
    ee, en = cos_d, a.sin_lat * sin_d
    ne, nn = -b.sin_lat * sin_d, a.cos_lat * b.cos_lat + a.sin_lat * b.sin_lat * cos_d
    size_e = np.sqrt(ee * ee + en * en)
    size_n = np.sqrt(ne * ne + nn * nn)
    size_e = np.where(size_e > 0, size_e, 1.0)
    size_n = np.where(size_n > 0, size_n, 1.0)
    return ee / size_e, en / size_e, ne / size_n, nn / size_n


def _offset_m(a: Frames, b: Frames) -> tuple[F64, F64]:
    dx, dy, dz = b.x_m - a.x_m, b.y_m - a.y_m, b.z_m - a.z_m
    east = dy * a.cos_lon - dx * a.sin_lon
    north = dz * a.cos_lat - (dx * a.cos_lon + dy * a.sin_lon) * a.sin_lat
    flat = np.sqrt(east * east + north * north)
    scale = arc_m(a.x_m, a.y_m, a.z_m, b.x_m, b.y_m, b.z_m) / np.where(flat > 0, flat, 1.0)
    return east * scale, north * scale


def _form(p: F64, q: F64, b: Side, r: F64, s: F64) -> F64:
    """Return (p, q) C_b (r, s)^T."""
    return p * r * b.var_east + (p * s + q * r) * b.cov + q * s * b.var_north


def _time_to_ring_s(apart2: F64, dot: F64, v_east: F64, v_north: F64, ring: F64) -> F64:
    """First root of |m + v t| = ring for t >= 0."""
    speed2 = v_east * v_east + v_north * v_north
    outside = apart2 - ring * ring
    root = dot * dot - speed2 * outside
    meets = (dot < 0) & (root >= 0)
    # outside / (-dot + sqrt(root)) is the nearer root without cancellation.
    t = np.where(meets, outside / np.where(meets, np.sqrt(np.maximum(root, 0.0)) - dot, 1.0), np.inf)
    t = np.where(outside <= 0, 0.0, t)
    return np.where(np.isnan(outside) | (np.isnan(dot) & (outside > 0)), np.nan, t)
