"""Signed distance the quick way, in the plane that touches the ellipsoid at the zone; exact where it could matter.

A window rests on errors of metres: centimetres of a plane do not move it. What a report shows is decided on
millimetres, so near a line the geodesic oracle is asked.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import shapely

from rig.local_frame import LocalFrame
from rig.truth.geometry import F64, TrueZone, separation_m

_REACH_M: Final = 20_000.0
"""Metres. The plane is 6 cm short at this distance from where it touches; a zone that reaches farther is exact only."""

_CLOSE_M: Final = 0.5
"""Metres from a line that matters within which the exact distance is taken: eight times the plane's worst error."""

_LAT_MAX_DEG: Final = 80.0
"""Degrees. Nearer to a pole an edge drawn straight in longitude and latitude bends by more than the plane allows."""

_BEND_M: Final = 1_000.0
"""Metres. Longest edge that is straight in the plane and in longitude and latitude: it bends by d^2 tan(lat) / 8R,
2 cm at 51 degrees."""


class QuickZone:
    """One zone feature; ``lines_m`` are the signed distances near which it is exact."""

    def __init__(self, feature: Mapping[str, Any], lines_m: tuple[float, ...]) -> None:  # Any: GeoJSON is nested data
        self._exact = TrueZone(feature)
        self._lines_m = lines_m
        self._frame: LocalFrame | None = None
        self._shape: shapely.Geometry | None = None
        self._reach_m = 0.0
        self._is_area = False
        self._flatten(feature)

    def _flatten(self, feature: Mapping[str, Any]) -> None:
        geometry, properties = feature["geometry"], feature.get("properties") or {}
        drawn = shapely.geometry.shape(geometry)
        west, south, east, north = drawn.bounds
        if max(abs(south), abs(north)) > _LAT_MAX_DEG or east - west > 1.0:
            return
        frame = LocalFrame((south + north) / 2, (west + east) / 2)
        corner = frame.to_local(north, east)
        if max(abs(corner[0]), abs(corner[1])) > _REACH_M:
            return
        # edges are drawn straight in longitude and latitude
        fine = shapely.segmentize(drawn, _BEND_M / 111_700.0)
        self._shape = shapely.transform(fine, lambda xy: _to_local(frame, xy))
        shapely.prepare(self._shape)
        self._frame = frame
        self._is_area = geometry["type"] in {"Polygon", "MultiPolygon"}
        self._reach_m = float(properties.get("radius_m" if geometry["type"] == "Point" else "half_width_m") or 0.0)

    def signed_distance_m(self, lat_deg: float, lon_deg: float) -> float:
        """Signed distance in metres, negative inside."""
        if self._frame is None or self._shape is None:
            return self._exact.signed_distance_m(lat_deg, lon_deg)
        point = shapely.Point(*self._frame.to_local(lat_deg, lon_deg))
        if self._is_area:
            edge_m = float(shapely.distance(shapely.boundary(self._shape), point))
            signed_m = -edge_m if shapely.intersects(self._shape, point) else edge_m
        else:
            signed_m = float(shapely.distance(self._shape, point)) - self._reach_m
        if any(abs(signed_m - line_m) < _CLOSE_M for line_m in self._lines_m):
            return self._exact.signed_distance_m(lat_deg, lon_deg)
        return signed_m


def _to_local(frame: LocalFrame, lon_lat: F64) -> F64:
    return np.array([frame.to_local(float(lat), float(lon)) for lon, lat in lon_lat])


class QuickSeparation:
    """Separation of positions near one another; exact near ``lines_m``."""

    def __init__(self, lines_m: tuple[float, ...]) -> None:
        self._lines_m = lines_m
        self._frame: LocalFrame | None = None

    def __call__(self, lat_a_deg: float, lon_a_deg: float, lat_b_deg: float, lon_b_deg: float) -> float:
        """Metres."""
        if self._frame is None:
            self._frame = LocalFrame(lat_a_deg, lon_a_deg)
        a, b = self._frame.to_local(lat_a_deg, lon_a_deg), self._frame.to_local(lat_b_deg, lon_b_deg)
        apart_m = float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)
        far = max(abs(a[0]), abs(a[1]), abs(b[0]), abs(b[1])) > _REACH_M
        if far or any(abs(apart_m - line_m) < _CLOSE_M for line_m in self._lines_m):
            return separation_m(lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)
        return apart_m
