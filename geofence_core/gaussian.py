"""Probability that an uncertain point lies within a circle, without scipy.

::

       |    .-- circle       Large against the uncertainty, as rings are: the coordinate towards the mean (x), and what
     --+---(-----x           does not depend on it (t), are Gaussian. For each t the circle is a bound of x, nearly the
       |    `-- mean         same for all t, so that a few Gauss-Hermite nodes in t add it up.

         minor axis          Small, or elongated: along the major axis the integral over the circle's chord is a
       .--+--.               difference of two normal distribution functions; along the minor axis it is summed at NODES
      (   |   )  r           points, y = r sin(phi), which takes the root out of the chord's half length r cos(phi) and
       '--+--'   . mean      leaves a smooth integrand.
"""

import math

import numpy as np

from geofence_core.arrays import F64, indices

NODES = 48
"""Gauss-Legendre nodes; 24 leave errors of 4e-5 where the circle is large against both axes, 48 below 1e-6."""

SETTLED = 6.0
"""Standard deviations of the major axis between mean and circle beyond which the answer is 0 or 1; the error is
below exp(-18) = 2e-8."""

WINDOW = 6.5
"""Standard deviations of the minor axis that are summed over; the rest weighs 8e-11."""

LEAST_SIGMA_M = 1e-6
"""Floor of a standard deviation; metre. A perfect position becomes one known to a micrometre."""

LARGE = 8.0
"""Radii in standard deviations of the major axis from which on the circle's far side cannot matter; below 6e-16."""

STRAIGHT = ((12.0, 5), (4.0, 10))
"""Radius x minor / major^2 from which on so many Gauss-Hermite nodes do; no unit. How straight the circle is over the
spread, in standard deviations across it. Measured error at each limit: 2e-7, growing with its power of -5 and -10
below."""

_BLOCK = 1024
"""Pairs summed at once; no unit. Their nodes stay in the cache."""

_X, _W = np.polynomial.legendre.leggauss(NODES)
HERMITE = {nodes: np.polynomial.hermite_e.hermegauss(nodes) for _, nodes in STRAIGHT}
"""Nodes and weights; the weights add up to sqrt(2 pi)."""

CDF = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)
CDF_SCALE = 0.2316419
PEAK = 0.3989422804014327
"""Constants of the approximation in `normal_cdf`; PEAK is 1 / sqrt(2 pi)."""

_SCALAR = {n: [(x, w * PEAK) for x, w in zip(*(v.tolist() for v in rule), strict=True)] for n, rule in HERMITE.items()}


def normal_cdf(x: F64) -> F64:
    """Return the standard normal distribution function; any shape; absolute error below 7.5e-8.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.2.17.
    """
    z = np.abs(x)
    t = z * CDF_SCALE
    t += 1.0
    np.divide(1.0, t, out=t)
    tail = t * CDF[0]
    for c in CDF[1:]:
        tail += c
        tail *= t
    z *= z
    z *= -0.5
    np.exp(z, out=z)
    tail *= z
    tail *= PEAK
    return np.where(x >= 0, 1.0 - tail, tail)


def p_within(east_m: F64, north_m: F64, var_east_m2: F64, cov_m2: F64, var_north_m2: F64, ring_m: F64) -> F64:
    """Probability that a Gaussian point lies within a circle round the origin.

    Parameters
    ----------
    east_m, north_m
        float64 (P,), metre: mean.
    var_east_m2, cov_m2, var_north_m2
        float64 (P,), square metre: covariance.
    ring_m
        float64 (P,), metre, 0 or more: radius.

    Returns
    -------
    float64 (P,), 0 to 1; NaN where an input is NaN or the covariance is impossible (negative variance, |correlation|
    above 1).

    Notes
    -----
    Error against fine quadrature: below 2e-7, for circles of 0.3 to 1,000 standard deviations and axes of 1 : 1 to
    1 : 100. Cost: 50 ns for a settled pair, 0.15 us for one near a large circle, 3 us near a small one.
    """
    middle = 0.5 * (var_east_m2 + var_north_m2)
    spread = np.sqrt((0.5 * (var_east_m2 - var_north_m2)) ** 2 + cov_m2 * cov_m2)
    with np.errstate(invalid="ignore"):
        possible = (middle - spread >= -1e-9 * np.maximum(middle, 1.0)) & np.isfinite(middle + spread)
    possible &= np.isfinite(east_m + north_m) & (ring_m >= 0)
    out = np.full(east_m.size, np.nan)
    k = indices(possible)
    major = np.maximum(np.sqrt(middle[k] + spread[k]), LEAST_SIGMA_M)
    minor = np.maximum(np.sqrt(np.maximum(middle[k] - spread[k], 0.0)), LEAST_SIGMA_M)
    ring = ring_m[k]
    apart = np.sqrt(east_m[k] ** 2 + north_m[k] ** 2)
    depth = (ring - apart) / major
    p = (depth > 0).astype(np.float64)
    p[ring == 0] = 0.0
    open_ = (np.abs(depth) < SETTLED) & (ring > 0)
    large = ring >= LARGE * major
    straight = ring * minor / (major * major)
    for limit, nodes in STRAIGHT:
        j = indices(open_ & large & (straight >= limit))
        if j.size:
            i = k[j]
            p[j] = _straight(
                nodes, east_m[i], north_m[i], apart[j], var_east_m2[i], cov_m2[i], var_north_m2[i], ring[j], minor[j]
            )
            open_[j] = False
    j = indices(open_)
    if j.size:
        i = k[j]
        turn = 0.5 * np.arctan2(2 * cov_m2[i], var_east_m2[i] - var_north_m2[i])
        cos, sin = np.cos(turn), np.sin(turn)
        along = east_m[i] * cos + north_m[i] * sin
        across = north_m[i] * cos - east_m[i] * sin
        p[j] = _sum(along, across, major[j], minor[j], ring[j])
    out[k] = p
    return out


def p_within_one(
    east_m: float, north_m: float, var_east_m2: float, cov_m2: float, var_north_m2: float, ring_m: float
) -> float:
    """`p_within` of one point in plain Python: the same value but for the last bits of exp (below 1e-14).

    Parameters
    ----------
    east_m, north_m, var_east_m2, cov_m2, var_north_m2, ring_m
        As in `p_within`, and possible: finite, variances of a covariance, ring 0 or more.

    Notes
    -----
    Cost: 1 us settled, 6 to 11 us near a large circle, 150 us near a small one, which is left to the arrays.
    """
    middle = 0.5 * (var_east_m2 + var_north_m2)
    spread = math.sqrt((0.5 * (var_east_m2 - var_north_m2)) ** 2 + cov_m2 * cov_m2)
    major = max(math.sqrt(middle + spread), LEAST_SIGMA_M)
    minor = max(math.sqrt(max(middle - spread, 0.0)), LEAST_SIGMA_M)
    apart = math.sqrt(east_m * east_m + north_m * north_m)
    depth = (ring_m - apart) / major
    if not abs(depth) < SETTLED or ring_m == 0.0:
        return float(depth > 0.0 and ring_m > 0.0)
    straight = ring_m * minor / (major * major)
    nodes = next((nodes for limit, nodes in STRAIGHT if straight >= limit), 0)
    if not nodes or ring_m < LARGE * major:
        args = (east_m, north_m, var_east_m2, cov_m2, var_north_m2, ring_m)
        return float(p_within(*(np.array([value]) for value in args))[0])
    e, n = east_m / apart, north_m / apart
    ee, en, nn = e * e, e * n, n * n
    var_x = max(ee * var_east_m2 + 2.0 * en * cov_m2 + nn * var_north_m2, minor * minor)
    lean = (en * (var_north_m2 - var_east_m2) + (ee - nn) * cov_m2) / var_x
    var_y = nn * var_east_m2 - 2.0 * en * cov_m2 + ee * var_north_m2
    sigma_t = math.sqrt(max(var_y - lean * lean * var_x, 0.0))
    sigma_x = math.sqrt(var_x)
    beyond = (apart - ring_m) * (apart + ring_m)
    stretch = 1.0 + lean * lean
    c4, c3, c2, c1, c0 = CDF
    total = 0.0
    for place, weight in _SCALAR[nodes]:
        t = place * sigma_t
        b = lean * t + apart
        f = t * t + beyond
        x = -f / ((b + math.sqrt(max(b * b - stretch * f, 0.0))) * sigma_x)
        z = abs(x)
        k = 1.0 / (z * CDF_SCALE + 1.0)
        tail = ((((k * c4 + c3) * k + c2) * k + c1) * k + c0) * k * math.exp(z * z * -0.5) * PEAK
        total += (1.0 - tail if x >= 0.0 else tail) * weight
    return min(max(total, 0.0), 1.0)


def _straight(
    nodes: int, east: F64, north: F64, apart: F64, var_east: F64, cov: F64, var_north: F64, ring: F64, minor: F64
) -> F64:
    """Sum over what is independent of the coordinate x towards the mean; its place t moves x's bound on the circle."""
    e, n = east / apart, north / apart
    ee, en, nn = e * e, e * n, n * n
    var_x = np.maximum(ee * var_east + 2.0 * en * cov + nn * var_north, minor * minor)
    lean = (en * (var_north - var_east) + (ee - nn) * cov) / var_x
    var_y = nn * var_east - 2.0 * en * cov + ee * var_north
    sigma_t = np.sqrt(np.maximum(var_y - lean * lean * var_x, 0.0))
    sigma_x = np.sqrt(var_x)
    beyond = (apart - ring) * (apart + ring)
    stretch = 1.0 + lean * lean
    place, weight = (values[:, None] for values in HERMITE[nodes])
    total = np.zeros(apart.size)
    for start in range(0, apart.size, _BLOCK):
        s = slice(start, start + _BLOCK)
        t = place * sigma_t[s]
        b = lean[s] * t
        b += apart[s]
        t *= t
        t += beyond[s]
        # The bound of x from b^2 - stretch t, without cancellation.
        root = b * b
        root -= stretch[s] * t
        np.maximum(root, 0.0, out=root)
        np.sqrt(root, out=root)
        b += root
        b *= sigma_x[s]
        np.negative(t, out=t)
        t /= b
        for row in normal_cdf(t) * (weight * PEAK):
            total[s] += row
    return np.clip(total, 0.0, 1.0)


def _sum(along: F64, across: F64, major: F64, minor: F64, ring: F64) -> F64:
    low = np.arcsin(np.clip((across - WINDOW * minor) / ring, -1.0, 1.0))
    high = np.arcsin(np.clip((across + WINDOW * minor) / ring, -1.0, 1.0))
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    total = np.zeros(along.size)
    for a in range(0, along.size, _BLOCK):
        s = slice(a, a + _BLOCK)
        phi = half[s] * _X[:, None] + centre[s]
        chord = ring[s] * np.cos(phi)
        z = (ring[s] * np.sin(phi) - across[s]) / minor[s]
        inner = normal_cdf((chord - along[s]) / major[s]) - normal_cdf((-chord - along[s]) / major[s])
        # Row by row: a sum along an axis adds one pair in another order than many.
        for row in _W[:, None] * (np.exp(-0.5 * z * z) * chord * inner):
            total[s] += row
    return np.clip(total * half / minor * PEAK, 0.0, 1.0)
