"""What stands on the map: zones, true tracks, fixes, rings; from a scenario and from what the devices sent."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import shapely

from devices.capture import SUFFIX, read_capture
from devices.errors import CaptureError
from protocols.nmea import NmeaDecoder
from protocols.reports import Fix, FixState
from rig.demo.latency import TruthTail
from rig.local_frame import LocalFrame
from rig.report.model import FixMark, Pair, PersonPath, Ring, ZoneShape
from rig.scenario import Scenario

_TRUTH_STEP_S: Final = 1.0
"""Step of a drawn true track, tag seconds; a longer story is drawn in longer steps."""

_MAX_TRUTH_POINTS: Final = 7_200
_MAX_FIXES: Final = 4_000
"""Points and fixes of one person on the page: a browser moves so many at each step of the slider; the rest is left out
evenly, and the page says so."""


def zone_shapes(scenario: Scenario, exit_margin_m: float) -> list[ZoneShape]:
    """Zones in metres, each with the line at which leaving it counts."""
    return [_zone(scenario.frame, zone, exit_margin_m) for zone in scenario.zones_geojson()["features"]]


def _zone(frame: LocalFrame, feature: dict[str, Any], exit_margin_m: float) -> ZoneShape:  # Any: GeoJSON is nested data
    geometry, properties = feature["geometry"], feature["properties"]

    def metres(points: Sequence[Sequence[float]]) -> Ring:
        return [frame.to_local(lat, lon) for lon, lat in points]

    area: shapely.Geometry
    if geometry["type"] == "Point":
        area = shapely.Point(metres([geometry["coordinates"]])[0]).buffer(properties["radius_m"], quad_segs=32)
    elif geometry["type"] == "LineString":
        area = shapely.LineString(metres(geometry["coordinates"])).buffer(properties["half_width_m"], quad_segs=16)
    else:
        rings = [metres(ring) for ring in geometry["coordinates"]]
        area = shapely.Polygon(rings[0], rings[1:])
    return ZoneShape(
        zone_id=feature["id"],
        name=properties["name"],
        exclusion=properties["purpose"] == "exclusion",
        polygons=_polygons(area),
        margin=[outer for outer, _ in _polygons(area.buffer(exit_margin_m, quad_segs=16))],
    )


def _polygons(area: shapely.Geometry) -> list[tuple[Ring, list[Ring]]]:
    return [
        ([(x, y) for x, y in part.exterior.coords], [[(x, y) for x, y in hole.coords] for hole in part.interiors])
        for part in shapely.get_parts(area)
        if isinstance(part, shapely.Polygon)
    ]


def people(scenario: Scenario, fixes: dict[str, list[FixMark]]) -> list[PersonPath]:
    """Everybody's true track, and the fixes of their devices."""
    step_s = max(_TRUTH_STEP_S, scenario.duration_s / _MAX_TRUTH_POINTS)
    n_steps = int(scenario.duration_s / step_s + 1e-9) + 1
    out = []
    for person in scenario.person:
        track = scenario.track(person)
        points = [(i * step_s, track.at(i * step_s)) for i in range(n_steps)]
        seen = [f for f in fixes.get(person.device, []) if f.t_s <= scenario.duration_s]
        one_of = math.ceil(len(seen) / _MAX_FIXES) or 1
        out.append(
            PersonPath(
                name=person.name or person.device,
                device=person.device,
                wearer=person.role == "wearer",
                truth=[(t_s, p.east_m, p.north_m) for t_s, p in points],
                fixes=seen[::one_of],
                one_of=one_of,
            )
        )
    return out


def pairs(scenario: Scenario) -> list[Pair]:
    """Who must stay away from whom, by all orders."""
    return [
        Pair(
            wearer=order.wearer,
            protected=ring.device,
            rings=(("pre-alert", ring.pre_alert_m), ("alarm", ring.alarm_m), ("contact", ring.contact_m)),
        )
        for order in scenario.order
        for ring in order.protected
    ]


def captured_fixes(
    folder: Path, frame: LocalFrame, *, start_mono_ns: int, speed: float
) -> tuple[dict[str, list[FixMark]], list[str]]:
    """Decode the raw captures of a run: the fixes by device, as they came in, and what could not be read."""
    fixes: dict[str, list[FixMark]] = {}
    notes: list[str] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            header, chunks = read_capture(path)
        except CaptureError as exc:
            notes.append(f"a capture could not be read: {exc}")
            continue
        decoder = NmeaDecoder()
        mine = fixes.setdefault(header.device_id, [])
        t_s = 0.0
        for chunk in chunks:
            t_s = (chunk.t_rx_mono_ns - start_mono_ns) * speed / 1e9
            mine += _marks(decoder.feed(chunk.data, t_rx_utc_ns=chunk.t_rx_utc_ns), frame, t_s)
        mine += _marks(decoder.close(), frame, t_s)
    for mine in fixes.values():
        mine.sort(key=lambda fix: fix.t_s)
    return fixes, notes


def _marks(reports: Iterable[object], frame: LocalFrame, t_s: float) -> Iterator[FixMark]:
    for fix in reports:
        if not isinstance(fix, Fix) or fix.state is not FixState.POSITION or fix.stored:
            continue
        if fix.lat_deg is None or fix.lon_deg is None:
            continue
        east, north = frame.to_local(fix.lat_deg, fix.lon_deg)
        ellipse = fix.error_ellipse
        if ellipse is not None:
            yield FixMark(
                t_s=t_s,
                east_m=east,
                north_m=north,
                major_m=ellipse.semi_major_m,
                minor_m=ellipse.semi_minor_m,
                angle_rad=math.radians(90.0 - ellipse.orientation_deg),
            )
        else:
            sigma_m = math.nan if fix.horizontal_sigma_m is None else fix.horizontal_sigma_m
            yield FixMark(t_s=t_s, east_m=east, north_m=north, major_m=sigma_m, minor_m=sigma_m)


def logged_fixes(logs: dict[str, TruthTail], frame: LocalFrame) -> dict[str, list[FixMark]]:
    """Take the fixes from the truth logs of emulated tags, where there is no capture of the line."""
    fixes: dict[str, list[FixMark]] = {}
    for device, log in logs.items():
        for epoch in log.epochs:
            if epoch.lat_deg is None or epoch.lon_deg is None or epoch.stored:
                continue
            east, north = frame.to_local(epoch.lat_deg, epoch.lon_deg)
            sigma_m = math.nan if epoch.sigma_m is None else epoch.sigma_m
            fixes.setdefault(device, []).append(
                FixMark(t_s=epoch.t_s, east_m=east, north_m=north, major_m=sigma_m, minor_m=sigma_m)
            )
    return fixes
