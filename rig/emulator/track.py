"""Where a person truly is: waypoints joined by straight legs at constant speed."""

import bisect
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rig.errors import TrackError
from rig.local_frame import LocalFrame

WALKING_SPEED_MPS: Final = 1.4
"""Speed of a leg that names none, metres per second: the usual walking speed of an adult. Times of a track without
``times_s`` or ``speed_mps`` follow from it."""

MOVING_MPS: Final = 0.2
"""Slower than this, metres per second, counts as standing: the motion sensor rests and there is no course."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waypoint:
    """A place at a time. ``t_s`` counts from the tag's power-on."""

    t_s: float
    east_m: float
    north_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPoint:
    """The truth at one moment; ``course_deg`` is None while standing."""

    east_m: float
    north_m: float
    lat_deg: float
    lon_deg: float
    speed_mps: float
    course_deg: float | None


class Track:
    """Straight legs between waypoints; before the first and after the last the person stands.

    Corners are sharp and speeds change at once: what a person does within a second is not modelled.
    """

    def __init__(self, frame: LocalFrame, waypoints: list[Waypoint], *, repeat: bool = False) -> None:
        if not waypoints:
            raise TrackError("a track needs at least one waypoint, got none")
        for before, after in itertools.pairwise(waypoints):
            if not after.t_s > before.t_s:
                raise TrackError(f"times must rise: waypoint at {after.t_s} s follows one at {before.t_s} s")
        self.frame = frame
        self.waypoints = tuple(waypoints)
        self._times = [w.t_s for w in waypoints]
        self._repeat = repeat and len(waypoints) > 1

    @property
    def duration_s(self) -> float:
        """Time of the last waypoint."""
        return self._times[-1]

    def at(self, t_s: float) -> TrackPoint:
        """Return the truth at a time."""
        if self._repeat and t_s > self._times[-1]:
            t_s = self._times[0] + (t_s - self._times[0]) % (self._times[-1] - self._times[0])
        i = bisect.bisect_right(self._times, t_s)
        if i in {0, len(self._times)}:
            w = self.waypoints[0 if i == 0 else -1]
            return self._point(w.east_m, w.north_m, 0.0, 0.0)
        a, b = self.waypoints[i - 1], self.waypoints[i]
        leg_s = b.t_s - a.t_s
        share = (t_s - a.t_s) / leg_s
        east_mps, north_mps = (b.east_m - a.east_m) / leg_s, (b.north_m - a.north_m) / leg_s
        return self._point(
            a.east_m + share * (b.east_m - a.east_m), a.north_m + share * (b.north_m - a.north_m), east_mps, north_mps
        )

    def _point(self, east_m: float, north_m: float, east_mps: float, north_mps: float) -> TrackPoint:
        lat, lon = self.frame.to_geodetic(east_m, north_m)
        speed = math.hypot(east_mps, north_mps)
        course = math.degrees(math.atan2(east_mps, north_mps)) % 360 if speed >= MOVING_MPS else None
        return TrackPoint(east_m=east_m, north_m=north_m, lat_deg=lat, lon_deg=lon, speed_mps=speed, course_deg=course)


def timed(points: list[tuple[float, float]], speeds_mps: list[float], waits_s: list[float]) -> list[Waypoint]:
    """Waypoints of a path from the speed of each leg and the stay at each point; equal points become one."""
    out: list[Waypoint] = []
    t_s = 0.0
    for i, (east, north) in enumerate(points):
        if i:
            leg_m = math.hypot(east - points[i - 1][0], north - points[i - 1][1])
            t_s += leg_m / speeds_mps[i - 1]
        if not out or t_s > out[-1].t_s:
            out.append(Waypoint(t_s=t_s, east_m=east, north_m=north))
        if waits_s[i] > 0:
            t_s += waits_s[i]
            out.append(Waypoint(t_s=t_s, east_m=east, north_m=north))
    return out


def default_track(frame: LocalFrame) -> Track:
    """Make a walk round a square of 200 m, for ever."""
    corners = [(0.0, 0.0), (200.0, 0.0), (200.0, 200.0), (0.0, 200.0), (0.0, 0.0)]
    return Track(frame, timed(corners, [WALKING_SPEED_MPS] * 4, [0.0] * 5), repeat=True)


def read_track(path: Path) -> Track:
    """Read a GeoJSON LineString: times from ``times_s``, else from ``speed_mps`` and ``wait_s``, else a walk.

    Parameters
    ----------
    path : Path
        A geometry, a Feature, or a FeatureCollection whose first LineString is taken. Properties: ``times_s`` (one
        number per point), ``speed_mps`` (one number, or one per leg), ``wait_s`` (one per point), ``repeat`` (bool).

    Raises
    ------
    TrackError
        The file describes no track; the message names the property or the point.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise TrackError(f"{path}: no track could be read: {exc}. Expected GeoJSON with a LineString") from exc
    geometry, properties = _find_line(data, path)
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or len(coordinates) < 2:
        raise TrackError(f"{path}: a LineString needs two points or more, got {coordinates!r:.80}")
    lon_lat = [_lon_lat(point, i, path) for i, point in enumerate(coordinates)]
    frame = LocalFrame(lon_lat[0][1], lon_lat[0][0])
    points = [frame.to_local(lat, lon) for lon, lat in lon_lat]
    n = len(points)
    if "times_s" in properties:
        times = _numbers(properties["times_s"], n, "times_s", path)
        waypoints = [Waypoint(t_s=t, east_m=e, north_m=s) for t, (e, s) in zip(times, points, strict=True)]
    else:
        speeds = _numbers(properties.get("speed_mps", WALKING_SPEED_MPS), n - 1, "speed_mps", path)
        if min(speeds) <= 0:
            raise TrackError(f"{path}: speed_mps must be above 0, got {min(speeds)}")
        waypoints = timed(points, speeds, _numbers(properties.get("wait_s", 0.0), n, "wait_s", path))
    try:
        return Track(frame, waypoints, repeat=bool(properties.get("repeat", False)))
    except TrackError as exc:
        raise TrackError(f"{path}: {exc}") from exc


def _find_line(data: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON from outside
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "LineString":
        return data, {}
    features = data.get("features", []) if kind == "FeatureCollection" else [data]
    for feature in features if isinstance(features, list) else []:
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        if isinstance(geometry, dict) and geometry.get("type") == "LineString":
            properties = feature.get("properties")
            return geometry, properties if isinstance(properties, dict) else {}
    raise TrackError(
        f"{path}: no LineString in it. Expected GeoJSON: a LineString, or a Feature with one; got {kind!r}"
    )


def _lon_lat(point: Any, index: int, path: Path) -> tuple[float, float]:  # Any: JSON from outside
    try:
        lon, lat = float(point[0]), float(point[1])
    except (TypeError, ValueError, IndexError, KeyError) as exc:
        raise TrackError(f"{path}: point {index} is not [lon, lat] in degrees: {point!r:.60}") from exc
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise TrackError(f"{path}: point {index} lies outside the globe: lon {lon}, lat {lat}. GeoJSON is [lon, lat]")
    return lon, lat


def _numbers(value: Any, count: int, name: str, path: Path) -> list[float]:  # Any: JSON from outside
    values = value if isinstance(value, list) else [value] * count
    if len(values) != count or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise TrackError(f"{path}: {name} must be one number or {count} of them, got {value!r:.80}")
    return [float(v) for v in values]
