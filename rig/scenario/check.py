"""What must hold in a scenario beyond the types of its tables."""

import math
from typing import Final

from protocols.mqtt.topics import TOPIC_ID_RULE, is_topic_id
from rig.emulator.profiles import PROFILES
from rig.errors import EventError, FaultError, RigError, ScenarioError
from rig.faults.catalogue import plan_fault
from rig.scenario.model import Scenario
from rig.scenario.tables import BeaconTable, FaultTable, OrderTable, PersonTable, ProtectedTable, ZoneTable
from rig.scenario.walk import FAR_M, check_metres

LONGEST_S: Final = 31 * 86_400.0
"""Longest scenario, seconds: a month is the longest recording that one would replay. At a fix a second it is 2.7
million epochs of each device in memory and on the page; more is a slip of the keyboard."""

_INTERVAL_S: Final = (0.01, 604_800.0)
"""Report intervals that a bridge takes, seconds."""

_RING_M: Final = (1.0, 100_000.0)
"""Proximity rings that a bridge takes, metres."""

_NAME_LENGTH: Final = 128
"""Characters of an order's or a zone's id that a bridge takes."""

_BEACON_INTERVAL_S: Final = (0.02, 10.24)
"""Advertising intervals, seconds (Core 5.4 Vol 6 Part B 4.4.2.2.1)."""

_TX_DBM: Final = (-20.0, 20.0)
"""Transmit powers that Bluetooth LE allows, dBm (Core 5.4 Vol 6 Part A 3)."""


def check_scenario(scenario: Scenario) -> None:
    """Check a scenario that was read, or built in code.

    Raises
    ------
    ScenarioError
        It describes something impossible; the message says where.
    """
    if not 0 < scenario.duration_s <= LONGEST_S:
        raise ScenarioError(
            f"duration_s must be above 0 and at most {LONGEST_S:.0f} (31 days), got {scenario.duration_s:g}"
        )
    if not (-90 < scenario.origin.lat_deg < 90 and -180 <= scenario.origin.lon_deg <= 180):
        raise ScenarioError(f"origin lies outside the globe: {scenario.origin.lat_deg}, {scenario.origin.lon_deg}")
    if not scenario.person:
        raise ScenarioError("person: nobody is in it. Expected at least one [[person]]")
    smart_tags = [p.smart_tag.id for p in scenario.person if p.smart_tag]
    _unique([p.device for p in scenario.person], "person.device")
    _unique(smart_tags, "person.smart_tag.id")
    _unique([*(p.device for p in scenario.person), *smart_tags], "device or smart tag")
    _unique([z.id for z in scenario.zone], "zone.id")
    _unique([o.id for o in scenario.order], "order.id")
    _check_ids(scenario)
    # faults first: the actions of a person's device include those that it carries out
    for fault in scenario.fault:
        _check_fault(scenario, fault)
    for person in scenario.person:
        _check_person(scenario, person)
    for zone in scenario.zone:
        _check_zone(zone)
    for order in scenario.order:
        _check_order(scenario, order)
    _check_keys(scenario)
    _check_outages(scenario)


def _check_ids(scenario: Scenario) -> None:
    """Refuse ids that the bridge's configuration does not take; a device's is the name of a file, too."""
    ids = [("person.device", person.device) for person in scenario.person]
    ids += [("person.smart_tag.id", person.smart_tag.id) for person in scenario.person if person.smart_tag]
    ids += [
        ("person.beacon.key", person.beacon.key) for person in scenario.person if person.beacon and person.beacon.key
    ]
    for key, name in ids:
        if not is_topic_id(name):
            raise ScenarioError(f"{key} {name!r}: expected {TOPIC_ID_RULE}")
    names = [("zone.id", zone.id) for zone in scenario.zone] + [("order.id", order.id) for order in scenario.order]
    for key, name in names:
        if not 1 <= len(name) <= _NAME_LENGTH:
            raise ScenarioError(f"{key} {name!r}: expected 1 to {_NAME_LENGTH} characters, got {len(name)}")


def _check_keys(scenario: Scenario) -> None:
    for order in scenario.order:
        wearer = scenario.find_person(order.wearer)
        if wearer is None or wearer.beacon is None:
            continue
        key = wearer.beacon.key or wearer.device
        for ring in order.protected:
            hers = scenario.find_person(ring.device)
            if hers is None or hers.smart_tag is None or (held := scenario.find_beacon_key(hers)) == key:
                continue
            raise ScenarioError(
                f"order {order.id!r}: smart tag {hers.smart_tag.id!r} holds the beacon key {held!r} already, and holds "
                f"one. Expected beacon.key = {held!r} for wearer {wearer.device!r}, or no beacon"
            )


def _check_outages(scenario: Scenario) -> None:
    end_s = 0.0
    for outage in scenario.broker_outage:
        if not (outage.at_s > end_s and 0 < outage.lasts_s < math.inf):
            raise ScenarioError(
                f"broker_outage at_s {outage.at_s:g}, lasts_s {outage.lasts_s:g}: expected outages in order, each "
                "after the end of the one before it and with a duration"
            )
        _check_begins(scenario, outage.at_s, "broker_outage")
        end_s = outage.at_s + outage.lasts_s


def _check_begins(scenario: Scenario, at_s: float, where: str) -> None:
    """Refuse what would never come to pass, and be part of a PASS."""
    if at_s > scenario.duration_s:
        raise ScenarioError(
            f"{where}: at_s {at_s:g} lies after the end, duration_s {scenario.duration_s:g}. Expected an earlier at_s, "
            "or a longer duration_s"
        )


def _unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{what} {name!r} stands {names.count(name)} times. Expected once")


def _check_person(scenario: Scenario, person: PersonTable) -> None:
    where = f"person {person.device!r}"
    known = ", ".join(PROFILES)
    if person.profile not in PROFILES:
        raise ScenarioError(f"{where}: profile {person.profile!r} is not known. Expected one of: {known}")
    for i, place in enumerate(person.surroundings):
        if not 0 <= place.at_s < math.inf:
            raise ScenarioError(f"{where}: surroundings[{i}]: at_s: expected 0 or later, got {place.at_s}")
        if place.profile not in PROFILES:
            raise ScenarioError(
                f"{where}: surroundings[{i}]: profile {place.profile!r} is not known. Expected one of: {known}"
            )
    low_s, high_s = _INTERVAL_S
    if not low_s <= person.interval_s <= high_s:
        raise ScenarioError(f"{where}: interval_s: expected {low_s:g} to {high_s:.0f}, got {person.interval_s:g}")
    if not 0 <= person.battery_pct <= 100:
        raise ScenarioError(f"{where}: battery_pct: expected 0 to 100, got {person.battery_pct:g}")
    if person.smart_tag is not None:
        if person.role != "protected":
            raise ScenarioError(f"{where}: a smart tag is the protected person's, not the {person.role}'s")
        after_s = person.smart_tag.acknowledges_after_s
        if after_s is not None and not 0 <= after_s < math.inf:
            raise ScenarioError(f"{where}: smart_tag.acknowledges_after_s: expected 0 s or more, got {after_s:g}")
    if person.beacon is not None:
        if person.role != "wearer":
            raise ScenarioError(
                f"{where}: a beacon is the wearer's. Expected none on a protected person: it could find her"
            )
        _check_beacon(person.beacon, where)
    if person.track is not None:
        raise ScenarioError(f"{where}: its track was not read. Next: load_scenario, which makes waypoints of it")
    if not person.waypoint:
        raise ScenarioError(f"{where}: expected waypoint or track, got neither")
    try:
        scenario.track(person)
        scenario.actions(person)
    except (EventError, RigError) as exc:
        raise ScenarioError(f"{where}: {exc}") from exc
    for i, event in enumerate(person.event):
        _check_begins(scenario, event.at_s, f"{where}: event[{i}] {event.do!r}")


def _check_beacon(beacon: BeaconTable, where: str) -> None:
    low_s, high_s = _BEACON_INTERVAL_S
    if not low_s <= beacon.interval_s <= high_s:
        raise ScenarioError(f"{where}: beacon.interval_s: expected {low_s:g} to {high_s:g}, got {beacon.interval_s:g}")
    low_dbm, high_dbm = _TX_DBM
    if not low_dbm <= beacon.tx_dbm <= high_dbm:
        raise ScenarioError(f"{where}: beacon.tx_dbm: expected {low_dbm:g} to {high_dbm:g}, got {beacon.tx_dbm:g}")


def _check_fault(scenario: Scenario, fault: FaultTable) -> None:
    try:
        plan_fault(fault.id, at_s=fault.at_s, lasts_s=fault.lasts_s, device=fault.device, parameters=fault.options)
    except FaultError as exc:
        raise ScenarioError(str(exc)) from exc
    _check_begins(scenario, fault.at_s, f"fault {fault.id!r}")
    if fault.device is None:
        return
    if scenario.find_person(fault.device) is None and scenario.find_bearer(fault.device) is None:
        tags = [p.smart_tag.id for p in scenario.person if p.smart_tag]
        known = ", ".join([*(p.device for p in scenario.person), *tags])
        raise ScenarioError(
            f"fault {fault.id!r} at {fault.at_s:g} s: device {fault.device!r} is not in the scenario. "
            f"Expected one of: {known}"
        )


def _check_zone(zone: ZoneTable) -> None:
    shapes = {
        "rings_m": (bool(zone.rings_m),),
        "centre_m and radius_m": (zone.centre_m is not None, zone.radius_m is not None),
        "line_m and half_width_m": (bool(zone.line_m), zone.half_width_m is not None),
    }
    begun = [parts for parts in shapes.values() if any(parts)]
    if len(begun) != 1 or not all(begun[0]):
        raise ScenarioError(f"zone {zone.id!r}: expected exactly one shape: {', '.join(shapes)}")
    _check_length(zone.radius_m, f"zone {zone.id!r}: radius_m")
    _check_length(zone.half_width_m, f"zone {zone.id!r}: half_width_m")
    if zone.centre_m is not None:
        check_metres(zone.centre_m, f"zone {zone.id!r}: centre_m")
    for i, ring in enumerate(zone.rings_m):
        for point in ring:
            check_metres(point, f"zone {zone.id!r}: rings_m[{i}]")
    for point in zone.line_m:
        check_metres(point, f"zone {zone.id!r}: line_m")


def _check_length(length_m: float | None, where: str) -> None:
    if length_m is not None and not 0 < length_m <= FAR_M:
        raise ScenarioError(f"{where}: expected above 0 and at most {FAR_M:.0f} m, got {length_m:g}")


def _check_order(scenario: Scenario, order: OrderTable) -> None:
    known_zones = {z.id for z in scenario.zone}
    for zone in order.zones or []:
        if zone not in known_zones:
            raise ScenarioError(f"order {order.id!r}: zone {zone!r} is not in the scenario")
    _check_role(scenario, order, order.wearer, "wearer", "wearer")
    for ring in order.protected:
        _check_role(scenario, order, ring.device, "protected", "protected.device")
        _check_ring(order, ring)
    _unique([ring.device for ring in order.protected], f"order {order.id!r}: protected.device")


def _check_role(scenario: Scenario, order: OrderTable, device: str, role: str, key: str) -> None:
    person = scenario.find_person(device)
    if person is None:
        raise ScenarioError(f"order {order.id!r}: {key}: device {device!r} is not in the scenario")
    if person.role != role:
        known = ", ".join(each.device for each in scenario.person if each.role == role) or "none, for there is none"
        raise ScenarioError(
            f"order {order.id!r}: {key}: device {device!r} has the role {person.role}. Expected one of role {role}: "
            f"{known}"
        )


def _check_ring(order: OrderTable, ring: ProtectedTable) -> None:
    if not 0 < ring.contact_m < ring.alarm_m < ring.pre_alert_m:
        raise ScenarioError(
            f"order {order.id!r}: rings of {ring.device!r} must grow: contact_m {ring.contact_m}, "
            f"alarm_m {ring.alarm_m}, pre_alert_m {ring.pre_alert_m}"
        )
    low_m, high_m = _RING_M
    for key, radius_m in (("contact_m", ring.contact_m), ("pre_alert_m", ring.pre_alert_m)):
        if not low_m <= radius_m <= high_m:
            raise ScenarioError(
                f"order {order.id!r}: {key} of {ring.device!r}: expected {low_m:g} to {high_m:.0f}, got {radius_m:g}"
            )
