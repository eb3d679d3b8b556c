"""The plane the peers work in: a transverse Mercator of their own, as cheap as it can be had.

PROJ takes 150 ns a fix, which would flatter us. So arrays go through a polynomial fitted to PROJ (some 10 ns a fix, off
by micrometres), and one fix through PROJ itself, which is the fastest for one.
"""

import math

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer

from benchmarks.workloads import F64, LAT, LON

EARTH_M = 6_384_000.0
"""Mean radius of curvature at LAT."""

HALF_DEG = 0.75
"""Half the span the polynomial is fitted over; degree. The region and its zones reach 0.68 in longitude."""

_PROJ = Transformer.from_crs("EPSG:4326", f"+proj=tmerc +lat_0={LAT} +lon_0={LON} +k=1 +datum=WGS84", always_xy=True)
_CHUNK = 8_192
_DEGREE = 5


class _Polynomial:
    """x is odd and y even in the difference of longitude: sum of ``c[i][j] u**(2 i) v**j``, and ``u`` times it."""

    def __init__(self) -> None:
        nodes = np.cos(np.pi * (np.arange(24) + 0.5) / 24) * HALF_DEG
        u, v = (g.ravel() for g in np.meshgrid(nodes, nodes))
        east, north = _PROJ.transform(LON + u, LAT + v)
        powers = [(i, j) for i in range(_DEGREE // 2 + 1) for j in range(_DEGREE + 1 - 2 * i)]
        terms = np.stack([u ** (2 * i) * v**j for i, j in powers], axis=1)
        tables = []
        for values, basis in ((east, terms * u[:, None]), (north, terms)):
            scale = np.abs(basis).max(axis=0)
            found = np.linalg.lstsq(basis / scale, values, rcond=None)[0] / scale
            tables.append(
                [[float(c) for c, (k, _) in zip(found, powers, strict=True) if k == i] for i in range(_DEGREE // 2 + 1)]
            )
        self._tables = tables
        x, y = self(LAT + v, LON + u)
        worst = float(np.hypot(x - east, y - north).max())
        assert worst < 1e-4, f"the peers' plane is off by {worst} m"

    def __call__(self, lat_deg: F64, lon_deg: F64) -> tuple[F64, F64]:
        n = lat_deg.size
        out = np.empty((2, n))
        for a in range(0, n, _CHUNK):
            part = slice(a, a + _CHUNK)
            u, v = lon_deg[part] - LON, lat_deg[part] - LAT
            uu = u * u
            for table, to in zip(self._tables, out[:, part], strict=True):
                for i, row in enumerate(reversed(table)):
                    inner = np.full(u.size, row[-1])
                    for c in row[-2::-1]:
                        inner *= v
                        inner += c
                    if i:
                        to *= uu
                        to += inner
                    else:
                        to[:] = inner
            out[0, part] *= u
        return out[0], out[1]


project = _Polynomial()
"""Latitudes and longitudes to east and north in metres."""


def project_one(lat_deg: float, lon_deg: float) -> tuple[float, float]:
    """The same for one fix."""
    x, y = _PROJ.transform(lon_deg, lat_deg)
    return float(x), float(y)


def flatten(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Polygons in degrees to polygons in the plane, through PROJ."""
    return np.array(shapely.transform(polygons, lambda xy: np.column_stack(_PROJ.transform(*xy.T))))


def scale(lon_deg: F64) -> F64:
    """How much longer the plane's distances are than the ground's, about: they grow away from the central meridian."""
    east_m = np.radians(lon_deg - LON) * math.cos(math.radians(LAT)) * EARTH_M
    return 1 + east_m * east_m / (2 * EARTH_M * EARTH_M)


def bend_m(polygons: npt.NDArray[np.object_]) -> F64:
    """Largest gap, per polygon, between an edge as drawn (straight in degrees) and the plane's straight edge."""
    rings, of = shapely.get_rings(polygons, return_index=True)
    at, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    a, b = at[:-1][same], at[1:][same]
    flat = [np.column_stack(_PROJ.transform(*xy.T)) for xy in (a, b, (a + b) / 2)]
    gap = np.hypot(*((flat[0] + flat[1]) / 2 - flat[2]).T)
    worst = np.zeros(len(polygons))
    np.maximum.at(worst, of[ring[:-1][same]], gap)
    return worst
