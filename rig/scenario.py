"""Scenario files (TOML): who walks where, which zones there are, what happens to the devices, what the order says.

Places are metres east and north of an origin; the bench turns them into positions on the ellipsoid.
"""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from rig.emulator.events import DeviceAction, in_order, make_actions
from rig.emulator.profiles import DEFAULT_PROFILE, PROFILES
from rig.emulator.track import WALKING_SPEED_MPS, Track, Waypoint
from rig.errors import EventError, RigError, ScenarioError
from rig.local_frame import LocalFrame

Metres = tuple[float, float]


class OriginTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where metre 0, 0 lies."""

    lat_deg: float
    lon_deg: float


class ZoneTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One zone: ``rings_m`` (outer ring, then holes), or ``centre_m`` and ``radius_m``, or ``line_m`` and a width."""

    id: str
    purpose: Literal["exclusion", "inclusion"]
    name: str = ""
    rings_m: list[list[Metres]] = []
    centre_m: Metres | None = None
    radius_m: float | None = None
    line_m: list[Metres] = []
    half_width_m: float | None = None


class WaypointTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place, reached at ``t_s`` or at ``speed_mps`` from the one before, where the person stays ``wait_s``."""

    at_m: Metres
    t_s: float | None = None
    speed_mps: float | None = None
    wait_s: float = 0.0


class EventTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that happens to a device: ``do`` is a name from ``rig.emulator.events``."""

    at_s: float
    do: str
    value: str | float | int = ""
    lasts_s: float | None = None


class SmartTagTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The smart tag that a protected person carries.

    ``acknowledges_after_s``: how long she takes to press the button after a warning begins; absent: she does not.
    """

    id: str
    acknowledges_after_s: float | None = None


class PersonTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person and the device on them."""

    device: str
    role: Literal["wearer", "protected"]
    name: str = ""
    profile: str = DEFAULT_PROFILE
    interval_s: float = 1.0
    battery_pct: float = 83.0
    waypoint: list[WaypointTable]
    event: list[EventTable] = []
    smart_tag: SmartTagTable | None = None


class ProtectedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom an order protects, and the proximity rings round them."""

    device: str
    contact_m: float
    alarm_m: float
    pre_alert_m: float


class OrderTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the court ordered for one wearer; no ``zones`` means all zones of the scenario."""

    id: str
    wearer: str
    zones: list[str] | None = None
    protected: list[ProtectedTable] = []


class BrokerOutageTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker is killed, and started again on its port and its store."""

    at_s: float
    lasts_s: float


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole file."""

    title: str
    about: str = ""
    seed: int = 1
    duration_s: float
    origin: OriginTable
    zone: list[ZoneTable] = []
    person: list[PersonTable]
    order: list[OrderTable] = []
    broker_outage: list[BrokerOutageTable] = []

    @property
    def frame(self) -> LocalFrame:
        """The plane of this scenario's metres."""
        return LocalFrame(self.origin.lat_deg, self.origin.lon_deg)

    def find_person(self, device: str) -> PersonTable | None:
        """Return the person who carries a device."""
        return next((p for p in self.person if p.device == device), None)

    def track(self, person: PersonTable) -> Track:
        """Where a person truly is."""
        return Track(self.frame, _waypoints(person))

    def actions(self, person: PersonTable) -> tuple[DeviceAction, ...]:
        """Return what happens to a person's device, in order."""
        actions: list[DeviceAction] = []
        for event in person.event:
            value = f"{event.value:g}" if isinstance(event.value, int | float) else event.value
            actions += make_actions(event.do, value, event.at_s, event.lasts_s)
        return in_order(actions)

    def zones_geojson(self) -> dict[str, Any]:  # Any: GeoJSON is nested data
        """All zones as a GeoJSON FeatureCollection in degrees."""
        return {"type": "FeatureCollection", "features": [_feature(self.frame, zone) for zone in self.zone]}


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file.

    Raises
    ------
    ScenarioError
        The file cannot be read, has an unknown key, or describes something impossible; the message says where.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"{path}: the scenario cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(f"{path}: not TOML: {exc}") from exc
    try:
        scenario = msgspec.convert(data, Scenario)
    except msgspec.ValidationError as exc:
        raise ScenarioError(f"{path}: {exc}. Next: see the table of keys in rig/README.md") from exc
    try:
        _check(scenario)
    except RigError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc
    return scenario


def _check(scenario: Scenario) -> None:
    if not scenario.duration_s > 0:
        raise ScenarioError(f"duration_s must be above 0, got {scenario.duration_s}")
    if not (-90 < scenario.origin.lat_deg < 90 and -180 <= scenario.origin.lon_deg <= 180):
        raise ScenarioError(f"origin lies outside the globe: {scenario.origin.lat_deg}, {scenario.origin.lon_deg}")
    _unique([p.device for p in scenario.person], "person.device")
    _unique([z.id for z in scenario.zone], "zone.id")
    _unique([o.id for o in scenario.order], "order.id")
    for person in scenario.person:
        _check_person(scenario, person)
    for zone in scenario.zone:
        _check_zone(zone)
    for order in scenario.order:
        _check_order(scenario, order)
    _unique([p.smart_tag.id for p in scenario.person if p.smart_tag], "person.smart_tag.id")
    end_s = 0.0
    for outage in scenario.broker_outage:
        if not (outage.at_s > end_s and outage.lasts_s > 0):
            raise ScenarioError(
                f"broker_outage at_s {outage.at_s:g}, lasts_s {outage.lasts_s:g}: expected outages in order, each "
                "after the end of the one before it and with a duration"
            )
        end_s = outage.at_s + outage.lasts_s


def _unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{what} {name!r} stands {names.count(name)} times. Expected once")


def _check_person(scenario: Scenario, person: PersonTable) -> None:
    where = f"person {person.device!r}"
    if person.profile not in PROFILES:
        raise ScenarioError(f"{where}: profile {person.profile!r} is not known. Expected one of: {', '.join(PROFILES)}")
    if not person.interval_s > 0:
        raise ScenarioError(f"{where}: interval_s must be above 0, got {person.interval_s}")
    if person.smart_tag is not None and person.role != "protected":
        raise ScenarioError(f"{where}: a smart tag is the protected person's, not the {person.role}'s")
    try:
        scenario.track(person)
        scenario.actions(person)
    except (EventError, RigError) as exc:
        raise ScenarioError(f"{where}: {exc}") from exc


def _check_zone(zone: ZoneTable) -> None:
    shapes = {
        "rings_m": (bool(zone.rings_m),),
        "centre_m and radius_m": (zone.centre_m is not None, zone.radius_m is not None),
        "line_m and half_width_m": (bool(zone.line_m), zone.half_width_m is not None),
    }
    begun = [parts for parts in shapes.values() if any(parts)]
    if len(begun) != 1 or not all(begun[0]):
        raise ScenarioError(f"zone {zone.id!r}: expected exactly one shape: {', '.join(shapes)}")


def _check_order(scenario: Scenario, order: OrderTable) -> None:
    known_zones = {z.id for z in scenario.zone}
    for zone in order.zones or []:
        if zone not in known_zones:
            raise ScenarioError(f"order {order.id!r}: zone {zone!r} is not in the scenario")
    devices = [order.wearer, *(p.device for p in order.protected)]
    for device in devices:
        if scenario.find_person(device) is None:
            raise ScenarioError(f"order {order.id!r}: device {device!r} is not in the scenario")
    for ring in order.protected:
        if not 0 < ring.contact_m < ring.alarm_m < ring.pre_alert_m:
            raise ScenarioError(
                f"order {order.id!r}: rings of {ring.device!r} must grow: contact_m {ring.contact_m}, "
                f"alarm_m {ring.alarm_m}, pre_alert_m {ring.pre_alert_m}"
            )


def _waypoints(person: PersonTable) -> list[Waypoint]:
    out: list[Waypoint] = []
    for i, w in enumerate(person.waypoint):
        east, north = w.at_m
        if w.t_s is not None:
            t_s = w.t_s
        elif not out:
            t_s = 0.0
        else:
            speed = w.speed_mps or WALKING_SPEED_MPS
            if speed <= 0:
                raise ScenarioError(f"waypoint {i}: speed_mps must be above 0, got {speed}")
            t_s = out[-1].t_s + math.hypot(east - out[-1].east_m, north - out[-1].north_m) / speed
        out.append(Waypoint(t_s=t_s, east_m=east, north_m=north))
        if w.wait_s > 0:
            out.append(Waypoint(t_s=t_s + w.wait_s, east_m=east, north_m=north))
    return out


def _feature(frame: LocalFrame, zone: ZoneTable) -> dict[str, Any]:  # Any: GeoJSON is nested data
    def lon_lat(point: Metres) -> list[float]:
        lat, lon = frame.to_geodetic(*point)
        return [round(lon, 9), round(lat, 9)]

    properties: dict[str, Any] = {"purpose": zone.purpose, "name": zone.name or zone.id}
    geometry: dict[str, Any]
    if zone.centre_m is not None:
        geometry = {"type": "Point", "coordinates": lon_lat(zone.centre_m)}
        properties["radius_m"] = zone.radius_m
    elif zone.line_m:
        geometry = {"type": "LineString", "coordinates": [lon_lat(p) for p in zone.line_m]}
        properties["half_width_m"] = zone.half_width_m
    else:
        rings = [[lon_lat(p) for p in ring] for ring in zone.rings_m]
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]}
    return {"type": "Feature", "id": zone.id, "properties": properties, "geometry": geometry}
