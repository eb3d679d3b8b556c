"""Which alerts a scenario must bring, which it may bring, and when: from the true tracks and events alone.

Positions are reported with an error, once per interval. So each alert has a window: from the first moment at which a
report may show the cause, to the one by which reports must have shown it. What comes outside is early or late.
"""

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from protocols.mqtt.messages import AlertKind, BandName
from rig.emulator.battery import Battery
from rig.emulator.events import DeviceAction, EventKind
from rig.scenario import OrderTable, ProtectedTable, Scenario
from rig.truth.expectation import DeviceTruth, ExpectedAlert, JudgePolicy, Side, device_truth
from rig.truth.geometry import TrueZone, separation_m
from rig.truth.windows import Crossing, Sample, find_crossings

SAMPLE_S: Final = 0.25
"""Step of the truth, tag seconds: at a walk 0.4 m, far less than any error."""

_MAX_SKIP_S: Final = 5.0
"""Longest stretch between two exact distances, tag seconds: errors change within it by less than their windows."""

_MIN_SPEED_MPS: Final = 0.1
"""Divisor for people who stand still, metres per second."""

_STAMP_SLACK_S: Final = 0.1
"""Rounding of times on the wire and of the bench's own clock readings, tag seconds."""


def expected_alerts(scenario: Scenario, policy: JudgePolicy) -> list[ExpectedAlert]:
    """All alerts of a scenario, by the start of their windows.

    Parameters
    ----------
    scenario : Scenario
    policy : JudgePolicy
    """
    devices = {person.device: device_truth(scenario, person) for person in scenario.person}
    found: list[ExpectedAlert] = []
    zones = scenario.zones_geojson()["features"]
    for order in scenario.order:
        wearer = devices[order.wearer]
        for zone in zones:
            if order.zones is None or zone["id"] in order.zones:
                found += _zone_alerts(zone, wearer, scenario.duration_s, policy)
        for ring in order.protected:
            found += proximity_alerts(order, ring, wearer, devices[ring.device], scenario.duration_s, policy)
            found += _cover_alerts(wearer, devices[ring.device], scenario.duration_s, policy)
    for device in devices.values():
        found += device_alerts(device, scenario.duration_s, policy)
    found = [_past_outages(each, scenario, policy) for each in found]
    return sorted(found, key=lambda a: (a.earliest_s, a.latest_s, a.kind, a.side != "tag"))


def device_alerts(
    device: DeviceTruth,
    duration_s: float,
    policy: JudgePolicy,
    *,
    with_silence: bool = True,
    told_s: Sequence[float] | None = None,
) -> Iterator[ExpectedAlert]:
    """Find what a device itself owes: equipment, battery and, where asked for, silence by its scenario.

    ``told_s``: when it really reported and was surely heard, rising, where a log says so.
    """
    end_s = max([duration_s, *(told_s or ())[-1:]])
    for each in (*_equipment_alerts(device), *_battery_alerts(device, end_s, policy)):
        yield _as_told(each, device.person.interval_s, duration_s, told_s)
    if with_silence:
        yield from silence_alerts(device, duration_s, policy)


def _as_told(
    expected: ExpectedAlert, interval_s: float, duration_s: float, told_s: Sequence[float] | None
) -> ExpectedAlert:
    """Owe what happened to a device only where it could still report it: the story may be over, or it may be off."""
    latest_s = expected.latest_s
    required = latest_s <= duration_s + interval_s + _STAMP_SLACK_S
    if told_s is not None:
        i = bisect.bisect_left(told_s, expected.t_true_s - _STAMP_SLACK_S)
        required = required and i < len(told_s)
        latest_s = max(latest_s, told_s[i] + _STAMP_SLACK_S) if i < len(told_s) else latest_s
    return replace(expected, latest_s=latest_s, required=required)


def _past_outages(expected: ExpectedAlert, scenario: Scenario, policy: JudgePolicy) -> ExpectedAlert:
    """Move the end of a window: what happens while the broker is gone is owed once it is back."""
    for outage in scenario.broker_outage:
        back_s = outage.at_s + outage.lasts_s + policy.reconnect_s
        if expected.earliest_s <= back_s and outage.at_s <= expected.latest_s:
            expected = replace(expected, latest_s=max(expected.latest_s, back_s))
    return expected


def _times(duration_s: float) -> Iterator[float]:
    return (i * SAMPLE_S for i in range(int(duration_s / SAMPLE_S) + 1))


def _distances(
    exact: Callable[[float], float], device: DeviceTruth, duration_s: float, policy: JudgePolicy
) -> Iterator[tuple[float, float]]:
    """Distances at every step, exact wherever a line that matters is near.

    The exact distance costs milliseconds and cannot change faster than the person moves: where it is far from all
    lines, it is asked again only when one could have been reached, and in between it is a straight line.
    """
    times = list(_times(duration_s))
    margin_m = policy.exit_margin_m
    i, d = 0, exact(times[0])
    while True:
        yield times[i], d
        error_m = device.error_m(times[i])
        lines = (-error_m, 0.0, error_m, margin_m - error_m, margin_m, margin_m + error_m)
        slack_m = min(abs(d - line) for line in lines)
        steps = max(1, int(min(_MAX_SKIP_S, slack_m / max(device.speed_mps, _MIN_SPEED_MPS)) / SAMPLE_S))
        following = min(i + steps, len(times) - 1)
        if following == i:
            return
        following_d = exact(times[following])
        for k in range(i + 1, following):
            yield times[k], d + (following_d - d) * (k - i) / (following - i)
        i, d = following, following_d


def _zone_alerts(
    zone: dict[str, Any],  # Any: GeoJSON is nested data
    wearer: DeviceTruth,
    duration_s: float,
    policy: JudgePolicy,
) -> Iterator[ExpectedAlert]:
    true_zone = TrueZone(zone)
    samples = [
        Sample(t_s=t, distance_m=d, error_m=wearer.error_m(t), observed=wearer.observed(t))
        for t, d in _distances(lambda t: true_zone.signed_distance_m(*wearer.at(t)), wearer, duration_s, policy)
    ]
    exclusion = zone["properties"]["purpose"] == "exclusion"
    kind = AlertKind.EXCLUSION_ZONE_ENTERED if exclusion else AlertKind.INCLUSION_ZONE_LEFT
    name = zone["properties"].get("name", zone["id"])
    crossings = find_crossings(
        samples, exit_margin_m=policy.exit_margin_m, report_s=wearer.person.interval_s + _STAMP_SLACK_S
    )
    for crossing in crossings:
        raised = crossing.inward == exclusion
        if crossing.first and not raised:
            continue
        yield _from_crossing(
            crossing, kind, not raised, wearer, _zone_reason(crossing, name, policy.exit_margin_m), zone_id=zone["id"]
        )


def _zone_reason(crossing: Crossing, name: str, exit_margin_m: float) -> str:
    if crossing.first:
        return f"is {'inside' if crossing.inward else 'outside'} {name} when first seen"
    if crossing.inward:
        return f"walks into {name}"
    return f"is {exit_margin_m:g} m out of {name}" if exit_margin_m else f"walks out of {name}"


def _from_crossing(
    crossing: Crossing,
    kind: AlertKind,
    cleared: bool,
    device: DeviceTruth,
    reason: str,
    *,
    zone_id: str | None = None,
    band: BandName | None = None,
    side: Side | None = None,
    subject: str | None = None,
) -> ExpectedAlert:
    return ExpectedAlert(
        kind=kind,
        cleared=cleared,
        side=side or device.side,
        subject=subject or device.person.device,
        zone_id=zone_id,
        band=band,
        earliest_s=crossing.earliest_s - SAMPLE_S,
        latest_s=crossing.latest_s + SAMPLE_S,
        t_true_s=crossing.t_true_s,
        required=crossing.required,
        reason=reason,
    )


def proximity_alerts(
    order: OrderTable,
    ring: ProtectedTable,
    wearer: DeviceTruth,
    protected: DeviceTruth,
    duration_s: float,
    policy: JudgePolicy,
) -> Iterator[ExpectedAlert]:
    """Find the changes of a pair's band, each for his side and for hers, as if the broker were always there."""
    bands = (
        (ring.pre_alert_m, BandName.CLEAR, BandName.PRE_ALERT),
        (ring.alarm_m, BandName.PRE_ALERT, BandName.ALARM),
        (ring.contact_m, BandName.ALARM, BandName.CONTACT),
    )
    report_s = max(wearer.person.interval_s, protected.person.interval_s)
    separations = [(t, separation_m(*wearer.at(t), *protected.at(t))) for t in _times(duration_s)]
    # the newest position of the one who does not report just now is up to an interval old
    lag_m = (wearer.speed_mps + protected.speed_mps) * report_s
    for radius_m, outer, inner in bands:
        samples = [
            Sample(
                t_s=t,
                distance_m=d - radius_m,
                error_m=math.hypot(wearer.error_m(t), protected.error_m(t)) + lag_m,
                observed=wearer.observed(t) and protected.observed(t),
            )
            for t, d in separations
        ]
        for crossing in find_crossings(samples, exit_margin_m=policy.exit_margin_m, report_s=report_s + _STAMP_SLACK_S):
            if crossing.first and not crossing.inward:
                continue
            band = inner if crossing.inward else outer
            verb = "comes within" if crossing.inward else "goes beyond"
            reason = f"{verb} {radius_m:g} m of {protected.person.name or protected.person.device}"
            sides: tuple[tuple[Side, str], ...] = (("tag", order.wearer), ("protected", ring.device))
            for side, subject in sides:
                yield _from_crossing(
                    crossing,
                    AlertKind.PROXIMITY_BREACH,
                    band is BandName.CLEAR,
                    wearer,
                    reason,
                    band=band,
                    side=side,
                    subject=subject,
                )


_EQUIPMENT: Final[dict[EventKind, tuple[AlertKind, bool, str]]] = {
    EventKind.STRAP_CUT: (AlertKind.STRAP_TAMPER, False, "the strap is cut"),
    EventKind.STRAP_CLOSE: (AlertKind.STRAP_TAMPER, True, "the strap is closed again"),
    EventKind.CASE_OPEN: (AlertKind.CASE_TAMPER, False, "the case is opened"),
    EventKind.CASE_CLOSE: (AlertKind.CASE_TAMPER, True, "the case is closed again"),
    EventKind.SHIELD_ON: (AlertKind.SHIELDING_SUSPECTED, False, "the tag is wrapped in metal"),
    EventKind.SHIELD_OFF: (AlertKind.SHIELDING_SUSPECTED, True, "the metal is gone"),
}


def find_equipment_s(
    actions: Sequence[DeviceAction], kind: AlertKind, cleared: bool, *, before_s: float
) -> float | None:
    """When the last thing happened to a tag's equipment that an alert of a kind tells of; None: nothing did."""
    found = None
    for action in actions:
        if action.at_s > before_s:
            break
        if action.kind is EventKind.JAM:
            told: tuple[AlertKind, bool] = (AlertKind.JAMMING_SUSPECTED, float(action.value) == 0)
        elif action.kind in _EQUIPMENT:
            told = _EQUIPMENT[action.kind][:2]
        else:
            continue
        if told == (kind, cleared):
            found = action.at_s
    return found


def _equipment_alerts(device: DeviceTruth) -> Iterator[ExpectedAlert]:
    last: dict[AlertKind, bool] = {}
    for action in device.actions:
        if action.kind is EventKind.JAM:
            on = float(action.value) > 0
            kind, cleared = AlertKind.JAMMING_SUSPECTED, not on
            reason = "a jammer comes near" if on else "the jammer is gone"
        elif action.kind in _EQUIPMENT:
            kind, cleared, reason = _EQUIPMENT[action.kind]
        else:
            continue
        if last.get(kind, True) == cleared:
            continue
        last[kind] = cleared
        yield _at(device, kind, cleared, action.at_s, reason)


def _at(device: DeviceTruth, kind: AlertKind, cleared: bool, t_s: float, reason: str) -> ExpectedAlert:
    """Something the tag tells by its next status sentence that gets through."""
    latest_s = t_s + device.person.interval_s + _STAMP_SLACK_S
    for gap in device.gaps:
        if gap.silent and gap.start_s <= latest_s and t_s <= gap.end_s:
            latest_s = gap.end_s + device.person.interval_s
    return ExpectedAlert(
        kind=kind,
        cleared=cleared,
        side=device.side,
        subject=device.person.device,
        earliest_s=t_s - _STAMP_SLACK_S,
        latest_s=latest_s,
        t_true_s=t_s,
        required=True,
        reason=reason,
    )


def _battery_alerts(device: DeviceTruth, duration_s: float, policy: JudgePolicy) -> Iterator[ExpectedAlert]:
    battery = Battery(level_pct=device.person.battery_pct)
    step_s = device.person.interval_s
    actions = list(device.actions)
    raised: set[AlertKind] = set()
    levels = (
        (AlertKind.BATTERY_LOW, policy.battery_low_pct),
        (AlertKind.BATTERY_CRITICAL, policy.battery_critical_pct),
    )
    for i in range(int(duration_s / step_s) + 1):
        t_s = i * step_s
        while actions and actions[0].at_s <= t_s:
            _apply_to_battery(battery, actions.pop(0))
        for kind, limit in levels:
            if kind not in raised and battery.percent <= limit:
                raised.add(kind)
                yield _at(device, kind, False, t_s, f"the battery falls to {limit} %")
            elif kind in raised and battery.percent >= limit + policy.battery_hysteresis_pct:
                raised.discard(kind)
                yield _at(device, kind, True, t_s, "the battery is charged again")
        battery.advance(step_s)


def _apply_to_battery(battery: Battery, action: DeviceAction) -> None:
    match action.kind:
        case EventKind.BATTERY:
            battery.level_pct = float(action.value)
        case EventKind.DRAIN:
            battery.drain_factor = float(action.value)
        case EventKind.CHARGE_ON | EventKind.CHARGE_OFF:
            battery.charging = action.kind is EventKind.CHARGE_ON
        case _:
            pass


def _cover_alerts(
    wearer: DeviceTruth, protected: DeviceTruth, duration_s: float, policy: JudgePolicy
) -> Iterator[ExpectedAlert]:
    """Find when it may be said that she is not covered: while one of the two is not located, if he could reach her."""
    tag = protected.person.smart_tag
    if tag is None or not tag.issued:
        return
    for device in (wearer, protected):
        for lost in silence_alerts(device, duration_s, policy):
            if lost.kind is AlertKind.LOCATION_LOST:
                settle_s = policy.cover_settle_s if lost.cleared else 0.0
                yield replace(
                    lost,
                    kind=AlertKind.COVER_LOST,
                    side="protected",
                    subject=protected.person.device,
                    latest_s=lost.latest_s + settle_s,
                    required=False,
                    reason="she is covered again" if lost.cleared else "nobody can say who is near her",
                )


def silence_alerts(device: DeviceTruth, duration_s: float, policy: JudgePolicy) -> Iterator[ExpectedAlert]:
    """Find what silence a device owes by its scenario, where no log says when it really was silent."""
    silence_s = policy.silence_s[device.person.device]
    interval_s = device.person.interval_s
    for gap in device.gaps:
        if gap.first:
            continue
        longest_s = gap.end_s - gap.start_s + 2 * interval_s
        surely_s = gap.sure_until_s - gap.sure_from_s - interval_s if gap.sure else 0.0
        earliest_s = gap.start_s - interval_s + silence_s - _STAMP_SLACK_S
        latest_s = gap.sure_from_s + interval_s + silence_s + _STAMP_SLACK_S
        if longest_s < silence_s or earliest_s > duration_s:
            continue
        required = surely_s > silence_s and latest_s < duration_s
        kinds = (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST) if gap.silent else (AlertKind.LOCATION_LOST,)
        for kind in kinds:
            yield ExpectedAlert(
                kind=kind,
                cleared=False,
                side=device.side,
                subject=device.person.device,
                earliest_s=earliest_s,
                latest_s=latest_s if required else gap.end_s + interval_s,
                t_true_s=gap.start_s,
                required=required,
                reason=f"nothing is heard ({gap.cause})" if gap.silent else f"no position ({gap.cause})",
            )
            if gap.sure_until_s < duration_s:
                yield ExpectedAlert(
                    kind=kind,
                    cleared=True,
                    side=device.side,
                    subject=device.person.device,
                    earliest_s=gap.sure_until_s if gap.sure else earliest_s,
                    latest_s=gap.end_s + interval_s + _STAMP_SLACK_S,
                    t_true_s=gap.sure_until_s,
                    required=required and gap.end_s + interval_s < duration_s,
                    reason="the tag is heard again" if gap.silent else "positions come again",
                )
