"""The plane of a pair: how b lies from a, from their latitudes and longitudes by multiplications only.

::

              b    east and north hold for the middle of the way (Delambre's analogies, ellipsoidal radii);
             /     turn = difference of longitude x sine of the mean latitude: how b's north leans against a's
            +      so b's velocity and covariance are turned by half of it, a's the other way
           /
          a

Everything needed of a latitude is a polynomial of its square, so there is no trigonometry, and one pair in plain Python
(`judge_one`) gives the same bits as one of many.
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np

from geofence_core.arrays import F64, I64, Bool, indices

_Number = TypeVar("_Number", float, F64)

SPAN_DEG2 = 25.0
"""Sum of squared differences of latitude and longitude up to which this plane is used; square degree (5 degrees). The
error of the series grows with the fourth power: 1e-6 of the distance here."""

SUM_DEG2 = 150.0**2
"""Squared sum of both latitudes up to which the polynomials hold; square degree (mean latitude of 75 degrees). A wider
range needs a term more in each, two passes over all pairs."""

LON_DEG = 350.0
"""Longitude of a up to which b's, no more than the span away, is a longitude too; degree."""

EAST = (
    2.3282739803234887e-21,
    -3.618571543826071e-16,
    -2.7890540321836245e-11,
    2.5111320702103224e-05,
    -4.210359432204284,
    111319.49194323472,
)
"""Metres per degree of longitude, of the squared sum of latitudes in degrees, highest power first; minimax in relative
error, 1.0e-8 up to 75 degrees. WGS 84, `ellipsoid`."""

NORTH = (
    -6.996998459219048e-17,
    1.9259681142546775e-11,
    -2.0936970625089894e-06,
    0.08455987737812032,
    110574.27476310902,
)
"""Metres per degree of latitude likewise; relative error 9.6e-9."""

HALF_TURN = (3.4561711037972543e-15, -9.646305765206659e-10, 7.615172711294269e-05)
"""Half the turn in radians, per degree of longitude and degree of the sum, likewise; relative error 3.5e-5: 2e-7 radian
between places 30 km apart."""

FLAT_LAT = math.radians(1.0) ** 2 / 24
FLAT_LON = math.radians(1.0) ** 2 / 12
"""Curvature terms per square degree; no unit; second order of Delambre's analogies."""


class Side(NamedTuple):
    """One side of n pairs: the columns of `proximity.MovingColumns`, or some rows of them."""

    t_ns: I64
    lat_deg: F64
    lon_deg: F64
    v_east: F64
    v_north: F64
    var_east: F64
    cov: F64
    var_north: F64
    growth: F64

    def take(self, rows: I64 | slice) -> "Side":
        """Return some of the pairs."""
        return Side(*(column[rows] for column in self))  # type: ignore[arg-type]


WORK = 13
"""Rows of scratch memory that `judge` needs."""


class Near(NamedTuple):
    """Pairs whose probability is open: which, b's offset (metre), half the turn, both ages (second)."""

    row: I64
    east: F64
    north: F64
    half_turn: F64
    age_a: F64
    age_b: F64


def judge(
    a: Side, b: Side, at_ns: int, ring_m: F64 | float, settled_sigma: float, out: tuple[F64, F64, F64, F64], work: F64
) -> tuple[I64, Near]:
    """Judge n pairs in their plane.

    Parameters
    ----------
    a, b
        Both sides.
    at_ns, ring_m
        Nanosecond; metre, one or n.
    settled_sigma
        Standard deviations between separation and ring from which on the probability is 0 or 1.
    out
        float64 (n,) each, filled: separation, closing speed, time to the ring, probability.
    work
        float64 (`WORK`, n), scratch.

    Returns
    -------
    beyond, near
        int64: pairs that are not for this plane (too far apart, next to a pole or the antimeridian, in one place, with
        something missing or impossible), whose output means nothing; and pairs within ``settled_sigma``, whose
        probability stands at 0 or 1 for now.

    Notes
    -----
    Some 120 passes over rows that stay in the cache. Settled is what the sum of both variances says: no less than the
    larger axis of the covariance, and it needs no turning. The turn is taken to first order: velocities err by its
    square over 8, 5e-6 of them at 30 km.
    """
    total, square, east, north, half, dlat, dlon, g, ve, vn, age_a, age_b, x = work
    np.add(a.lat_deg, b.lat_deg, out=total)
    np.multiply(total, total, out=square)
    np.subtract(b.lat_deg, a.lat_deg, out=dlat)
    np.subtract(b.lon_deg, a.lon_deg, out=dlon)
    _polynomial(HALF_TURN, square, half)
    half *= total
    half *= dlon
    _polynomial(EAST, square, east)
    east *= dlon
    _polynomial(NORTH, square, north)
    north *= dlat
    dlat *= dlat
    dlon *= dlon
    np.add(dlat, dlon, out=total)
    lon = a.lon_deg
    # One reduction tells for all; NaN is never within. What is left to look at singly is rare.
    good: Bool | None = None
    if not (total.max() <= SPAN_DEG2 and square.max() <= SUM_DEG2 and lon.min() >= -LON_DEG and lon.max() <= LON_DEG):
        good = (total <= SPAN_DEG2) & (square <= SUM_DEG2) & (np.abs(lon) <= LON_DEG)

    np.multiply(half, half, out=g)
    g *= 1 / 6
    dlat *= FLAT_LAT
    dlat -= g
    dlat += 1.0
    east *= dlat
    dlon *= -FLAT_LON
    dlon -= g
    dlon += 1.0
    north *= dlon

    for age, side in ((age_a, a), (age_b, b)):
        np.multiply(np.subtract(at_ns, side.t_ns, out=x.view(np.int64)), 1e-9, out=age)
    # b's velocity and way, seen from the middle; then a's, which leans the other way.
    np.multiply(b.v_north, half, out=x)
    np.subtract(b.v_east, x, out=ve)
    np.multiply(b.v_east, half, out=x)
    np.add(b.v_north, x, out=vn)
    np.multiply(ve, age_b, out=x)
    east += x
    np.multiply(vn, age_b, out=x)
    north += x
    own_east, own_north = dlat, dlon
    np.multiply(a.v_north, half, out=x)
    np.add(a.v_east, x, out=own_east)
    np.multiply(a.v_east, half, out=x)
    np.subtract(a.v_north, x, out=own_north)
    # From here on how b comes nearer.
    np.subtract(own_east, ve, out=ve)
    np.subtract(own_north, vn, out=vn)
    own_east *= age_a
    east -= own_east
    own_north *= age_a
    north -= own_north

    apart, closing, time, p = out
    apart2, toward, speed2, outside, root = total, square, dlat, dlon, g
    _dot(east, north, east, north, apart2, x)
    np.sqrt(apart2, out=apart)
    _dot(east, north, ve, vn, toward, x)
    np.divide(toward, apart, out=closing)
    _dot(ve, vn, ve, vn, speed2, x)
    np.subtract(apart2, ring_m * ring_m, out=outside)
    np.multiply(toward, toward, out=root)
    np.multiply(speed2, outside, out=x)
    root -= x
    if not (apart2.min() > 0.0) or math.isnan(root.sum()):
        good = _and(good, (apart2 > 0.0) & ~np.isnan(root))
    # outside / (toward + sqrt(root)) is the nearer root of |m + v t| = ring without cancellation; no root gives NaN.
    np.sqrt(root, out=x)
    x += toward
    np.divide(outside, x, out=time)
    meets = x > 0.0
    np.putmask(time, np.logical_not(meets, out=meets), np.inf)
    inside = outside <= 0.0
    np.putmask(time, inside, 0.0)
    np.copyto(p, inside)

    trace, least, trace_b, least_b = speed2, toward, outside, root
    _trace(a, trace, least, x)
    _trace(b, trace_b, least_b, x)
    np.minimum(least, least_b, out=least)
    if not (least.min() >= 0.0):
        good = _and(good, least >= 0.0)
    trace += trace_b
    grown = _grown(a.growth, age_a, b.growth, age_b, least, x)
    grown *= 2.0
    trace += grown
    trace *= settled_sigma * settled_sigma
    np.subtract(ring_m, apart, out=x)
    x *= x
    k = indices(_and(good, x <= trace))
    near = Near(k, east.take(k), north.take(k), half.take(k), age_a.take(k), age_b.take(k))
    return (k[:0] if good is None else indices(~good)), near


def judge_one(
    a: tuple[float, ...], b: tuple[float, ...], at_ns: int, ring_m: float, settled_sigma: float
) -> tuple[float, float, float, tuple[float, float, float, float, float] | bool] | None:
    """`judge` for one pair of plain floats, the same bits; None where it is not for this plane.

    Parameters
    ----------
    a, b
        Values in the order of `Side`.
    at_ns, ring_m, settled_sigma
        As in `judge`.

    Returns
    -------
    separation, closing speed, time to the ring, and whether it is within the ring; in place of the last the offset and
    covariance (`moments`) where the probability is open.
    """
    t_a, lat_a, lon_a, own_east, own_north, ae, ac, an, growth_a = a
    t_b, lat_b, lon_b, ve, vn, be, bc, bn, growth_b = b
    total = lat_a + lat_b
    y = total * total
    dlat, dlon = lat_b - lat_a, lon_b - lon_a
    h2, h1, h0 = HALF_TURN
    half = ((y * h2 + h1) * y + h0) * total * dlon
    e5, e4, e3, e2, e1, e0 = EAST
    east = (((((y * e5 + e4) * y + e3) * y + e2) * y + e1) * y + e0) * dlon
    n4, n3, n2, n1, n0 = NORTH
    north = ((((y * n4 + n3) * y + n2) * y + n1) * y + n0) * dlat
    dlat *= dlat
    dlon *= dlon
    if not (dlat + dlon <= SPAN_DEG2 and y <= SUM_DEG2 and abs(lon_a) <= LON_DEG):
        return None
    g = half * half * (1 / 6)
    east *= dlat * FLAT_LAT - g + 1.0
    north *= dlon * -FLAT_LON - g + 1.0
    age_a, age_b = (at_ns - t_a) * 1e-9, (at_ns - t_b) * 1e-9
    ve, vn = ve - vn * half, vn + ve * half
    own_east, own_north = own_east + own_north * half, own_north - own_east * half
    east = east + ve * age_b - own_east * age_a
    north = north + vn * age_b - own_north * age_a
    ve, vn = own_east - ve, own_north - vn
    apart2 = east * east + north * north
    toward = east * ve + north * vn
    speed2 = ve * ve + vn * vn
    outside = apart2 - ring_m * ring_m
    root = toward * toward - speed2 * outside
    trace_a, trace_b = ae + an, be + bn
    possible = trace_a >= 0.0 and trace_b >= 0.0 and ae * an - ac * ac >= 0.0 and be * bn - bc * bc >= 0.0
    if not (possible and apart2 > 0.0 and root == root):
        return None
    apart = math.sqrt(apart2)
    time = math.inf
    if outside <= 0.0:
        time = 0.0
    elif root >= 0.0:
        x = math.sqrt(root) + toward
        time = outside / x if x > 0.0 else math.inf
    grown_a, grown_b = growth_a * age_a, growth_b * age_b
    grown = grown_a * grown_a + grown_b * grown_b
    trace = (trace_a + trace_b + grown * 2.0) * (settled_sigma * settled_sigma)
    depth = ring_m - apart
    if not depth * depth <= trace:
        return apart, toward / apart, time, outside <= 0.0
    (ae, ac, an), (be, bc, bn) = _leant(be, bc, bn, half), _leant(ae, ac, an, -half)
    return apart, toward / apart, time, (east, north, (ae + be) + grown, ac + bc, (an + bn) + grown)


def _leant(var_east: _Number, cov: _Number, var_north: _Number, h: _Number) -> tuple[_Number, _Number, _Number]:
    """Covariance turned by a small angle h, east towards north: a turn and no more, whatever the angle."""
    size = 1.0 / (1.0 + h * h)
    cc, ch, hh = size, h * size, h * h * size
    mixed = 2.0 * ch * cov
    return (
        (cc * var_east + hh * var_north) - mixed,
        ch * (var_east - var_north) + (cc - hh) * cov,
        (hh * var_east + cc * var_north) + mixed,
    )


def moments(a: Side, b: Side, near: Near) -> tuple[F64, F64, F64, F64, F64]:
    """Offset (east, north) and covariance (east, both, north) of near pairs; ``a`` and ``b`` hold all pairs."""
    k, h = near.row, near.half_turn
    scratch = np.empty((2, k.size))
    grown = _grown(a.growth.take(k), near.age_a, b.growth.take(k), near.age_b, scratch[0], scratch[1])
    (ae, ac, an), (be, bc, bn) = (
        _leant(side.var_east.take(k), side.cov.take(k), side.var_north.take(k), lean)
        for side, lean in ((b, h), (a, -h))
    )
    return near.east, near.north, (ae + be) + grown, ac + bc, (an + bn) + grown


def _polynomial(coefficients: tuple[float, ...], x: F64, out: F64) -> None:
    """Horner's rule, highest power first."""
    np.multiply(x, coefficients[0], out=out)
    out += coefficients[1]
    for coefficient in coefficients[2:]:
        out *= x
        out += coefficient


def _dot(a: F64, b: F64, c: F64, d: F64, out: F64, x: F64) -> None:
    np.multiply(a, c, out=out)
    np.multiply(b, d, out=x)
    out += x


def _trace(side: Side, trace: F64, least: F64, x: F64) -> None:
    """Sum of the variances; and a value below zero (or NaN) where the covariance is impossible."""
    np.add(side.var_east, side.var_north, out=trace)
    np.multiply(side.var_east, side.var_north, out=least)
    np.multiply(side.cov, side.cov, out=x)
    least -= x
    np.minimum(least, trace, out=least)


def _grown(growth_a: F64, age_a: F64, growth_b: F64, age_b: F64, out: F64, x: F64) -> F64:
    np.multiply(growth_a, age_a, out=out)
    out *= out
    np.multiply(growth_b, age_b, out=x)
    x *= x
    out += x
    return out


def _and(good: Bool | None, more: Bool) -> Bool:
    return more if good is None else good & more
