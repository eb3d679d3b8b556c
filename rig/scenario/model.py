"""A scenario as the bench asks it: where people truly are, what happens to their devices, which zones there are."""

from typing import Any

import msgspec

from rig.emulator.events import DeviceAction, EventKind, in_order, make_actions
from rig.emulator.track import Track
from rig.local_frame import LocalFrame
from rig.scenario.fault_events import fault_actions
from rig.scenario.shapes import zone_feature
from rig.scenario.tables import BrokerOutageTable, FaultTable, OrderTable, OriginTable, PersonTable, ZoneTable
from rig.scenario.walk import walk


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A whole scenario."""

    title: str
    about: str = ""
    seed: int = 1
    duration_s: float
    origin: OriginTable
    zone: list[ZoneTable] = []
    person: list[PersonTable]
    order: list[OrderTable] = []
    fault: list[FaultTable] = []
    broker_outage: list[BrokerOutageTable] = []

    @property
    def frame(self) -> LocalFrame:
        """The plane of this scenario's metres."""
        return LocalFrame(self.origin.lat_deg, self.origin.lon_deg)

    def find_person(self, device: str) -> PersonTable | None:
        """Return the person who carries a device."""
        return next((p for p in self.person if p.device == device), None)

    def find_bearer(self, smart_tag: str) -> PersonTable | None:
        """Return the person who was given a smart tag."""
        return next((p for p in self.person if p.smart_tag is not None and p.smart_tag.id == smart_tag), None)

    def find_beacon_key(self, person: PersonTable) -> str | None:
        """Return the name of the beacon key that a protected person's smart tag holds; it holds one."""
        for order in self.order:
            wearer = self.find_person(order.wearer)
            if wearer is None or wearer.beacon is None or all(ring.device != person.device for ring in order.protected):
                continue
            return wearer.beacon.key or wearer.device
        return None

    def track(self, person: PersonTable) -> Track:
        """Where a person truly is."""
        return Track(self.frame, walk(person.waypoint))

    def actions(self, person: PersonTable) -> tuple[DeviceAction, ...]:
        """Return what happens to a person's device, in order: events, surroundings, and the faults it carries out."""
        actions: list[DeviceAction] = []
        for event in person.event:
            value = f"{event.value:.12g}" if isinstance(event.value, int | float) else event.value
            actions += make_actions(event.do, value, event.at_s, event.lasts_s)
        for place in person.surroundings:
            actions += make_actions(EventKind.PROFILE, place.profile, place.at_s, None)
        for fault in self.fault:
            if fault.device == person.device:
                actions += fault_actions(fault)
        return in_order(actions)

    def profile_at(self, person: PersonTable, t_s: float) -> str:
        """Return the surroundings of a person at a time."""
        name = person.profile
        for action in self.actions(person):
            if action.kind is EventKind.PROFILE and action.at_s <= t_s:
                name = action.value
        return name

    def zones_geojson(self) -> dict[str, Any]:  # Any: GeoJSON is nested data
        """All zones as a GeoJSON FeatureCollection in degrees."""
        return {"type": "FeatureCollection", "features": [zone_feature(self.frame, zone) for zone in self.zone]}
