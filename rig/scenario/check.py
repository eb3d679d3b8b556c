"""What must hold in a scenario beyond the types of its tables."""

import math
from typing import Final

from rig.emulator.profiles import PROFILES
from rig.errors import EventError, FaultError, RigError, ScenarioError
from rig.faults.catalogue import plan_fault
from rig.scenario.model import Scenario
from rig.scenario.tables import BeaconTable, FaultTable, OrderTable, PersonTable, ZoneTable

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
    if not (math.isfinite(scenario.duration_s) and scenario.duration_s > 0):
        raise ScenarioError(f"duration_s must be above 0, got {scenario.duration_s}")
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
    known = ", ".join(PROFILES)
    if person.profile not in PROFILES:
        raise ScenarioError(f"{where}: profile {person.profile!r} is not known. Expected one of: {known}")
    for i, place in enumerate(person.surroundings):
        if place.profile not in PROFILES:
            raise ScenarioError(
                f"{where}: surroundings[{i}]: profile {place.profile!r} is not known. Expected one of: {known}"
            )
    if not person.interval_s > 0:
        raise ScenarioError(f"{where}: interval_s must be above 0, got {person.interval_s}")
    if person.smart_tag is not None and person.role != "protected":
        raise ScenarioError(f"{where}: a smart tag is the protected person's, not the {person.role}'s")
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
