"""Signed distance the slow, independent way: one fix, one zone, geodesics to the drawn edge.

Nothing is shared with the code under test. The side comes from GEOS on the rings as drawn; the distance from PROJ
geodesics to sample points on the drawn edges, then a golden-section search with geographiclib along the few edges on
which the minimum can lie. No projection is involved, so there is no region of validity.

================  ==================================================================
question          answered by
================  ==================================================================
side of a fix     shapely ``intersects`` in longitude and latitude (edges straight)
coarse distance   pyproj ``Geod.inv`` to samples every `SAMPLE_M` along each edge
fine distance     geographiclib ``Inverse`` at points of the edge between two samples
circle            geographiclib ``Inverse`` to the centre, minus the radius
corridor          distance to the line, minus the half width
================  ==================================================================
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from geographiclib.geodesic import Geodesic
from pyproj import Geod
from shapely import affinity

# A GeoJSON object has no static type; the values are checked by what is done with them.
Json = Any
F64 = npt.NDArray[np.float64]

SAMPLE_M = 500.0
"""Longest gap between samples of an edge; metre. The distance along 500 m of drawn edge has one minimum only (it is
convex up to the edge's bend of a few millimetres), so the search between two samples finds it."""

_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 40
"""Golden-section steps: 500 m shrink to 2 micrometres along the edge, and the distance is flat at its minimum."""


def separation_m(lat_a_deg: float, lon_a_deg: float, lat_b_deg: float, lon_b_deg: float) -> float:
    """Geodesic distance on WGS 84 by geographiclib; metre; error below 1e-8 m."""
    return float(Geodesic.WGS84.Inverse(lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg, Geodesic.DISTANCE)["s12"])


def signed_distance_m(zone_feature: Mapping[str, Json], lat_deg: float, lon_deg: float) -> float:
    """Signed distance from one fix to one GeoJSON zone feature; metre, negative inside, NaN without a position."""
    return TrueZone(zone_feature).signed_distance_m(lat_deg, lon_deg)


def contains(zone_feature: Mapping[str, Json], lat_deg: float, lon_deg: float) -> bool:
    """Whether a fix is in, or on the boundary of, one GeoJSON zone feature; False without a position."""
    return TrueZone(zone_feature).contains(lat_deg, lon_deg)


class TrueZone:
    """One zone feature, sampled once and asked many times.

    Parameters
    ----------
    feature
        GeoJSON Feature: Polygon, MultiPolygon, Point with ``radius_m``, LineString with ``half_width_m``. Taken as
        valid; latitude within 90, longitude within 180 degrees.
    """

    def __init__(self, feature: Mapping[str, Json]) -> None:
        geometry = feature["geometry"]
        properties = feature.get("properties") or {}
        self._kind: str = geometry["type"]
        self._reach_m = 0.0
        self._area: shapely.Geometry | None = None
        self._centre = (math.nan, math.nan)
        edges: list[F64] = []
        if self._kind == "Point":
            self._reach_m = float(properties["radius_m"])
            self._centre = (float(geometry["coordinates"][1]), float(geometry["coordinates"][0]))
        elif self._kind == "LineString":
            self._reach_m = float(properties["half_width_m"])
            edges = _edges(geometry["coordinates"])
        elif self._kind in {"Polygon", "MultiPolygon"}:
            groups = [geometry["coordinates"]] if self._kind == "Polygon" else geometry["coordinates"]
            self._area = shapely.MultiPolygon([shapely.Polygon(g[0], g[1:]) for g in groups])
            for line in shapely.get_parts(_true_boundary(self._area)):
                edges += _edges(shapely.get_coordinates(line).tolist())
        else:
            raise ValueError(f"expected Polygon, MultiPolygon, Point or LineString, got {self._kind!r}")
        self._geod = Geod(ellps="WGS84")
        self._segments = np.array(edges, dtype=np.float64).reshape(-1, 4)
        self._edge, self._t = self._samples()

    def contains(self, lat_deg: float, lon_deg: float) -> bool:
        """Whether the fix is in the zone or on its boundary."""
        if math.isnan(lat_deg) or math.isnan(lon_deg):
            return False
        if self._area is None:
            return self.signed_distance_m(lat_deg, lon_deg) <= 0.0
        if abs(lat_deg) == 90.0:
            # Every longitude names the same place there.
            return bool(shapely.intersects(self._area, shapely.LineString([(-180.0, lat_deg), (180.0, lat_deg)])))
        lons = {lon_deg, -180.0, 180.0} if abs(lon_deg) == 180.0 else {lon_deg}
        return any(bool(shapely.intersects(self._area, shapely.Point(lon, lat_deg))) for lon in lons)

    def signed_distance_m(self, lat_deg: float, lon_deg: float) -> float:
        """Signed distance to the zone; metre, negative inside, NaN without a position; error below 1e-7 m."""
        if math.isnan(lat_deg) or math.isnan(lon_deg):
            return math.nan
        if self._kind == "Point":
            return separation_m(lat_deg, lon_deg, *self._centre) - self._reach_m
        distance = self._edge_distance_m(lat_deg, lon_deg)
        if self._area is None:
            return distance - self._reach_m
        return -distance if self.contains(lat_deg, lon_deg) else distance

    def _samples(self) -> tuple[npt.NDArray[np.int64], F64]:
        """Sample points: edge index and place on the edge (0 to 1), both ends of every edge included."""
        lon0, lat0, lon1, lat1 = self._segments.T
        length = self._geod.inv(lon0, lat0, lon1, lat1)[2] if len(self._segments) else np.zeros(0)
        # The drawn edge can be longer than the geodesic between its ends, at most as long as this.
        drawn = np.maximum(length, np.hypot(lat1 - lat0, (lon1 - lon0) * _widest_cosine(lat0, lat1)) * 111_700.0)
        pieces = np.maximum(np.ceil(drawn / SAMPLE_M), 1).astype(np.int64)
        edge = np.repeat(np.arange(len(pieces)), pieces + 1)
        first = np.cumsum(pieces + 1) - (pieces + 1)
        t = (np.arange(edge.size) - first[edge]) / pieces[edge]
        return edge, t

    def _at(self, edge: int, t: float) -> tuple[float, float]:
        lon0, lat0, lon1, lat1 = self._segments[edge]
        return float(lat0 + (lat1 - lat0) * t), float(lon0 + (lon1 - lon0) * t)

    def _edge_distance_m(self, lat_deg: float, lon_deg: float) -> float:
        ends = self._segments[self._edge]
        lon = ends[:, 0] + (ends[:, 2] - ends[:, 0]) * self._t
        lat = ends[:, 1] + (ends[:, 3] - ends[:, 1]) * self._t
        distance = self._geod.inv(np.full(lon.size, lon_deg), np.full(lon.size, lat_deg), lon, lat)[2]
        best = float(distance.min())
        # Between samples the edge comes nearer by half a gap at most.
        same = self._edge[:-1] == self._edge[1:]
        hope = np.minimum(distance[:-1], distance[1:]) - SAMPLE_M
        middle_hope = np.where(same, hope, np.inf)
        gaps = np.flatnonzero(middle_hope <= best)
        for i in gaps[np.argsort(middle_hope[gaps], kind="stable")]:
            if middle_hope[i] > best:
                break
            best = min(best, self._between_m(lat_deg, lon_deg, int(i)))
        return best

    def _between_m(self, lat_deg: float, lon_deg: float, sample: int) -> float:
        """Least distance to the edge between a sample and the next one."""
        edge = int(self._edge[sample])

        def distance_m(t: float) -> float:
            return separation_m(lat_deg, lon_deg, *self._at(edge, t))

        return _golden(distance_m, float(self._t[sample]), float(self._t[sample + 1]))


def _golden(f: Callable[[float], float], low: float, high: float) -> float:
    """Return the least value of a function with one minimum between ``low`` and ``high``."""
    a, b = low, high
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    fc, fd = f(c), f(d)
    for _ in range(_STEPS):
        if fc <= fd:
            b, d, fd = d, c, fc
            c = b - _GOLDEN * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + _GOLDEN * (b - a)
            fd = f(d)
    return min(fc, fd)


def _widest_cosine(lat0: F64, lat1: F64) -> F64:
    nearest_equator = np.where(lat0 * lat1 < 0, 0.0, np.minimum(np.abs(lat0), np.abs(lat1)))
    return np.asarray(np.cos(np.radians(nearest_equator)))


def _edges(positions: Sequence[Sequence[float]]) -> list[F64]:
    return [np.array([*a[:2], *b[:2]], dtype=np.float64) for a, b in pairwise(positions)]


def _true_boundary(area: shapely.MultiPolygon) -> shapely.Geometry:
    """Return the drawn boundary without what a map's edge made: a shared antimeridian, and the lines at the poles."""
    boundary: shapely.Geometry = shapely.boundary(area)
    west, _, east, _ = area.bounds
    if west == -180.0 and east == 180.0:
        at_east = shapely.intersection(boundary, shapely.LineString([(180.0, -90.0), (180.0, 90.0)]))
        at_west = shapely.intersection(boundary, shapely.LineString([(-180.0, -90.0), (-180.0, 90.0)]))
        shared = shapely.intersection(at_east, affinity.translate(at_west, xoff=360.0))
        boundary = shapely.difference(boundary, shared)
        boundary = shapely.difference(boundary, affinity.translate(shared, xoff=-360.0))
    for lat in (-90.0, 90.0):
        boundary = shapely.difference(boundary, shapely.LineString([(-180.0, lat), (180.0, lat)]))
    return boundary
