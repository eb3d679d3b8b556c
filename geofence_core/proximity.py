"""Two moving people: how far apart, how fast they close in, when a ring is reached, and how probably it already is.

::

       a at t_a  ---> v_a              both are carried to one time, then everything happens in a's plane:
       b at t_b  ---> v_b              m = b - a, v = v_b - v_a, C = C_a + C_b (each grown with its age)
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, float_column, int_column
from geofence_core.ellipsoid import Frames, arc_m, frames
from geofence_core.errors import ColumnError
from geofence_core.gaussian import p_within

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
    Method: offset of b in a's azimuthal plane (direction from the plane, length from `ellipsoid.arc_m`), velocities and
    covariance of b turned into it, constant velocity, Gaussian errors that are independent of each other (errors of
    receivers near each other are not, so ``p_within`` is spread more than the truth at short range). Separation as good
    as `arc_m`; carrying a position over v t moves it within the plane, which errs by less than 1e-4 of v t up to 30 km.
    ``p_within``: see `gaussian.p_within`.

    Missing values: a NaN velocity leaves only what needs none: the separation if the position is already at ``at_ns``.
    """
    n = len(a)
    if len(b) != n:
        raise ColumnError(f"expected as many rows in b as in a, got {len(b)} and {n}")
    ring = np.broadcast_to(np.asarray(ring_m, dtype=np.float64), (n,))
    if (ring < 0).any():
        raise ColumnError(f"ring_m: expected metres, 0 or more, got {float(np.nanmin(ring))}")
    at_a = frames(_fresh(a, at_ns, max_age_ns), a.lon_deg)
    at_b = frames(_fresh(b, at_ns, max_age_ns), b.lon_deg)
    ee, en, ne, nn = _turn(at_a, at_b)
    age_a_s = (at_ns - a.t_ns).astype(np.float64) * 1e-9
    age_b_s = (at_ns - b.t_ns).astype(np.float64) * 1e-9

    east, north = _offset_m(at_a, at_b)
    v_east = ee * b.velocity_east_mps + ne * b.velocity_north_mps
    v_north = en * b.velocity_east_mps + nn * b.velocity_north_mps
    east = east + _moved(v_east, age_b_s) - _moved(a.velocity_east_mps, age_a_s)
    north = north + _moved(v_north, age_b_s) - _moved(a.velocity_north_mps, age_a_s)
    v_east = v_east - a.velocity_east_mps
    v_north = v_north - a.velocity_north_mps

    apart2 = east * east + north * north
    apart = np.sqrt(apart2)
    dot = east * v_east + north * v_north
    closing = -dot / np.where(apart > 0, apart, np.inf)
    grown = np.square(_moved(a.growth_mps, age_a_s)) + np.square(_moved(b.growth_mps, age_b_s))
    var_east = a.var_east_m2 + _form(ee, ne, b, ee, ne) + grown
    cov = a.cov_east_north_m2 + _form(ee, ne, b, en, nn)
    var_north = a.var_north_m2 + _form(en, nn, b, en, nn) + grown
    return Proximity(
        separation_m=apart,
        closing_mps=closing,
        time_to_ring_s=_time_to_ring_s(apart2, dot, v_east, v_north, ring),
        p_within=p_within(east, north, var_east, cov, var_north, ring),
    )


def _fresh(side: MovingColumns, at_ns: int, max_age_ns: int | None) -> F64:
    if max_age_ns is None:
        return side.lat_deg
    return np.where(side.t_ns >= at_ns - max_age_ns, side.lat_deg, np.nan)


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


def _form(p: F64, q: F64, b: MovingColumns, r: F64, s: F64) -> F64:
    """Return (p, q) C_b (r, s)^T."""
    return p * r * b.var_east_m2 + (p * s + q * r) * b.cov_east_north_m2 + q * s * b.var_north_m2


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
