"""Planes about a meridian: what a fix's latitude contributes is computed once, what its longitude adds is two products.

::

        y |      . P          Transverse Mercator about the meridian of each zone, scale 1 on it:
          |     /
      m0 -+----/-----> x          x = D (n + D^2 c3)          D: degrees of longitude from the meridian
          |                       y = m - m0 + D^2 (s + D^2 c4)
       meridian of the zone       m, n, s, c3, c4: functions of the latitude alone

Every zone has its own meridian, so no region has to be chosen, and a fix near several zones pays for its latitude once.
Along a meridian a plane may be as long as the Earth; across it is held to `STRIP_HALF_WIDTH_M`. The functions of
latitude are polynomials of low degree per `ROW_DEG` degrees: multiplications and additions only, so that one fix in
plain floats and a million in arrays give the same bits.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from geofence_core.arrays import C128, F64, I64
from geofence_core.ellipsoid import A_M, E2, F

STRIP_HALF_WIDTH_M = 45_000.0
"""Furthest from its meridian that a plane is used, up to latitude 56; metre. There the terms left out reach 3e-5 m;
wider planes lose accuracy with the fifth power, narrower ones leave more zones to the slower method without planes."""

LATITUDE_LIMIT_DEG = 86.0
"""Beyond this latitude planes about meridians are not used; degree. They would be narrower than 8 km."""

SCALE_PER_M2 = 1.0 / (2.0 * 6_371_000.0**2)
"""The plane stretches distances by ``1 + x^2 * SCALE_PER_M2``; 1/m^2. With the mean radius for all latitudes the
correction is right to 5e-8 of the distance."""

ROW_DEG = 2
"""Degrees of latitude that share polynomials. Fixes of one region then mostly share a row, which costs half as much as
a gather of coefficients for every fix; wider rows need higher degrees."""

_DEGREES = (5, 4, 4, 3, 2)
"""Degrees of the polynomials of m, n, s, c3, c4 over a row: each leaves less than 2e-7 m at 45 km and 2e-8 m at 5 km,
and edges and fixes leave the same."""

_ROWS = 180 // ROW_DEG
_RAD = math.pi / 180.0
_Row = TypeVar("_Row", int, I64)


class LatitudeTerms(NamedTuple):
    """What latitudes contribute to plane coordinates; each float64 (N,): metre, metre per degree^1 to ^4."""

    m: F64
    n: F64
    s: F64
    c3: F64
    c4: F64


@cache
def _coefficients() -> tuple[tuple[F64, ...], ...]:
    """Per term its coefficients from the highest power down, each float64 (`_ROWS`,), by interpolation per row."""
    found = []
    for term, degree in enumerate(_DEGREES):
        nodes = 0.5 * ROW_DEG * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
        lat = _middle(np.arange(_ROWS))[:, None] + nodes
        values = _closed_form(lat)[term]
        solved = np.linalg.solve(np.vander(nodes), values.T)
        for row in solved:
            row.flags.writeable = False
        found.append(tuple(solved))
    return tuple(found)


@cache
def _rows_of_floats() -> list[tuple[tuple[float, ...], ...]]:
    terms = _coefficients()
    return [tuple(tuple(float(c[row]) for c in term) for term in terms) for row in range(_ROWS)]


def _closed_form(lat_deg: F64) -> tuple[F64, F64, F64, F64, F64]:
    """Series of the transverse Mercator projection; Snyder, "Map Projections", USGS 1395, equations 8-9 and 8-10."""
    phi = lat_deg * _RAD
    sin, cos = np.sin(phi), np.cos(phi)
    normal = A_M / np.sqrt(1.0 - E2 * sin * sin)
    third = F / (2.0 - F)
    r = A_M / (1.0 + third)
    # Meridian arc (Helmert), to the fourth power of the third flattening: 1e-8 m.
    m = r * (
        (1 + third**2 / 4 + third**4 / 64) * phi
        - 1.5 * (third - third**3 / 8) * np.sin(2 * phi)
        + 15 / 16 * (third**2 - third**4 / 4) * np.sin(4 * phi)
        - 35 / 48 * third**3 * np.sin(6 * phi)
        + 315 / 512 * third**4 * np.sin(8 * phi)
    )
    # The powers of t = tan(latitude) are multiplied out, so that nothing blows up at the poles.
    eta2 = E2 / (1.0 - E2) * cos * cos
    c3 = normal * cos * (cos * cos * (1.0 + eta2) - sin * sin) / 6.0
    c4 = normal * sin * cos * (cos * cos * (5.0 + 9.0 * eta2 + 4.0 * eta2 * eta2) - sin * sin) / 24.0
    return m, normal * cos * _RAD, normal * sin * cos / 2.0 * _RAD**2, c3 * _RAD**3, c4 * _RAD**4


def latitude_terms(lat_deg: F64) -> LatitudeTerms:
    """Evaluate the functions of latitude.

    Parameters
    ----------
    lat_deg
        float64 (N,), degree, within +-90, no NaN.

    Returns
    -------
    LatitudeTerms
        float64 (N,) each.

    Notes
    -----
    Measured against the closed forms: 2e-8 m at 5 km from the meridian. Cost: 12 ns where all latitudes share a row,
    else 35 ns.
    """
    if not lat_deg.size:
        return LatitudeTerms(*(np.zeros(0) for _ in _DEGREES))
    v, coefficients = _rows_of(lat_deg, None)
    return LatitudeTerms(*(_horner(v, term) for term in coefficients))


def _rows_of(lat_deg: F64, out: F64 | None) -> tuple[F64, Sequence[Sequence[Any]]]:
    """Return latitudes from the middles of their rows, and per term the coefficients: numbers where all share a row."""
    row = _row(float(np.minimum.reduce(lat_deg)))
    if row == _row(float(np.maximum.reduce(lat_deg))):
        return np.subtract(lat_deg, _middle(row), out=out), _rows_of_floats()[row]
    rows = np.minimum(((lat_deg + 90.0) * (1.0 / ROW_DEG)).astype(np.int64), _ROWS - 1)
    found = tuple(tuple(c.take(rows) for c in term) for term in _coefficients())
    return np.subtract(lat_deg, _middle(rows), out=out), found


Terms = tuple[float, float, float, float, float]


def latitude_terms_one(lat_deg: float) -> Terms:
    """`latitude_terms` of one latitude in plain floats, the same bits; 1 us."""
    row = _row(lat_deg)
    v = lat_deg - _middle(row)
    (m5, m4, m3, m2, m1, m0), (n4, n3, n2, n1, n0), (s4, s3, s2, s1, s0), c3, c4 = _rows_of_floats()[row]
    return (
        ((((m5 * v + m4) * v + m3) * v + m2) * v + m1) * v + m0,
        (((n4 * v + n3) * v + n2) * v + n1) * v + n0,
        (((s4 * v + s3) * v + s2) * v + s1) * v + s0,
        ((c3[0] * v + c3[1]) * v + c3[2]) * v + c3[3],
        (c4[0] * v + c4[1]) * v + c4[2],
    )


def project(terms: LatitudeTerms, dlon_deg: F64, origin_m: F64 | float) -> C128:
    """Place positions in planes.

    Parameters
    ----------
    terms
        Of their latitudes, (N,).
    dlon_deg
        float64 (N,): longitude minus the plane's meridian, within +-180, degree.
    origin_m
        float64, broadcast to (N,): ``m`` of the plane's origin.

    Returns
    -------
    complex128 (N,): east + i north of the origin, metre. Against PROJ's transverse Mercator: 4e-6 m at 30 km from the
    meridian and latitude 53, 2e-8 m at 5 km.
    """
    d2 = dlon_deg * dlon_deg
    out = np.empty(dlon_deg.shape, dtype=np.complex128)
    x = d2 * terms.c3
    x += terms.n
    np.multiply(x, dlon_deg, out=out.real)
    y = d2 * terms.c4
    y += terms.s
    y *= d2
    m = terms.m - origin_m
    np.add(m, y, out=out.imag)
    return out


def place(lat_deg: F64, dlon_deg: F64, origin_m: F64 | float, out: C128, scratch: Sequence[F64]) -> None:
    """Put ``project(latitude_terms(lat_deg), dlon_deg, origin_m)`` into ``out``, without temporaries.

    ``lat_deg``, ``dlon_deg`` and ``out`` (N,), N not 0; four ``scratch`` arrays of N: arrays that are new for each step
    leave the cache, which costs as much as the arithmetic.
    """
    d2, x, y = scratch[1:4]
    v, (m, n, s, c3, c4) = _rows_of(lat_deg, scratch[0])
    np.multiply(dlon_deg, dlon_deg, out=d2)
    _horner(v, c3, x)
    x *= d2
    x += _horner(v, n, y)
    np.multiply(x, dlon_deg, out=out.real)
    _horner(v, c4, y)
    y *= d2
    y += _horner(v, s, x)
    y *= d2
    _horner(v, m, x)
    x -= origin_m
    np.add(x, y, out=out.imag)


def in_plane(terms: Terms, dlon_deg: float, origin_m: float) -> tuple[float, float]:
    """`project` of one position in plain floats, the same bits."""
    m, n, s, c3, c4 = terms
    d2 = dlon_deg * dlon_deg
    return (d2 * c3 + n) * dlon_deg, (m - origin_m) + (d2 * c4 + s) * d2


def strip_half_width_m(lat_deg: F64) -> F64:
    """Width to each side of a meridian in which a plane is used: less towards the poles, where the series is slower."""
    t = np.abs(np.tan(np.minimum(np.abs(lat_deg), LATITUDE_LIMIT_DEG) * _RAD))
    return STRIP_HALF_WIDTH_M * np.minimum(1.0, (1.5 / np.maximum(t, 1.5)) ** 0.8)


def metres_per_degree_lon(lat_deg: F64) -> F64:
    """Length of a degree of longitude; float64 as ``lat_deg``."""
    sin = np.sin(lat_deg * _RAD)
    length: F64 = A_M * np.cos(lat_deg * _RAD) / np.sqrt(1.0 - E2 * sin * sin) * _RAD
    return length


def _row(lat_deg: float) -> int:
    return min(int((lat_deg + 90.0) * (1.0 / ROW_DEG)), _ROWS - 1)


def _middle(row: _Row) -> _Row:
    """Latitude in the middle of a row."""
    return row * ROW_DEG - (90 - ROW_DEG // 2)


def _horner(v: F64, coefficients: Sequence[Any], out: F64 | None = None) -> F64:
    out = np.multiply(v, coefficients[0], out=out)
    for c in coefficients[1:-1]:
        out += c
        out *= v
    out += coefficients[-1]
    return out
