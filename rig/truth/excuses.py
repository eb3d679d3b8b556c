"""What faults and outages of a run excuse, and what they owe: by the catalogue, at the times they really happened."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.emulator.gnss import REACQUIRE_S
from rig.faults.catalogue import find_entry
from rig.faults.entry import Arrival, Expect, Fixes
from rig.runs.folder import BenchEvent
from rig.scenario import Scenario
from rig.truth.expectation import JudgePolicy
from rig.truth.verdict import ReceivedAlert

AFTER_S: Final = 5.0
"""Tag seconds after a fault in which its traces still come in: what a line held back, what a receiver needs."""

RELINK_S: Final = 30.0
"""Tag seconds in which a smart tag is found and connected again after its radio was disturbed: the driver backs off up
to a quarter of a minute, and a connection takes seconds."""

_BRIDGE_BACK_S: Final = 15.0
"""Tag seconds in which a bridge that was started again has read its outbox and its devices (2 to 4 on an idle
machine)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A fault while it lasted; ``until_s`` is the end of the run where nothing ended it."""

    fault: str
    expect: Expect
    device: str | None
    from_s: float
    until_s: float

    def concerns(self, device: str) -> bool:
        """Whether it befell a device; one that names none befell all."""
        return self.device is None or self.device == device

    def may_bring(self, kind: AlertKind) -> bool:
        """Whether an alert of a kind is no mistake under it."""
        return kind in self.expect.allowed or kind in self.expect.owed


class Excuses:
    """Everything that happened to the bench itself.

    Parameters
    ----------
    scenario : Scenario
    events : sequence of BenchEvent
        What the bench did. Without any, outages are taken from the scenario.
    policy : JudgePolicy
        What the bridge was told: how long things may take.
    """

    def __init__(self, scenario: Scenario, events: Sequence[BenchEvent], policy: JudgePolicy) -> None:
        reconnect_s = policy.reconnect_s
        self._scenario, self._policy = scenario, policy
        self.disturbances = tuple(_disturbances(events, scenario.duration_s))
        cuts = list(_broker_cuts(scenario, events, reconnect_s))
        cuts += [
            (each.from_s, math.inf if _keeps_all(each, scenario.duration_s) else each.until_s + reconnect_s)
            for each in self.disturbances
            if each.expect.arrival is not Arrival.PROMPT
        ]
        cuts += [(a, b + _BRIDGE_BACK_S) for a, b in _pairs(events, "bridge_down", "bridge_up")]
        self.cuts = tuple(sorted(cuts))

    def blind(self, device: str) -> list[tuple[float, float]]:
        """Return when reports of a device may not arrive, or not say what is so."""
        return [
            (each.from_s, each.until_s + AFTER_S)
            for each in self.disturbances
            if each.concerns(device) and each.expect.fixes is not Fixes.KEPT
        ]

    def silenced(self, smart_tag: str, scenario: Scenario) -> list[tuple[float, float]]:
        """Return when a smart tag may not be reached: its radio is disturbed, or the bridge is not there."""
        bearer = scenario.find_bearer(smart_tag)
        names = {None, smart_tag, None if bearer is None else bearer.device}
        stretches = [
            (each.from_s, each.until_s + RELINK_S)
            for each in self.disturbances
            if each.fault.startswith("ble.") and each.device in names and each.may_bring(AlertKind.COVER_LOST)
        ]
        host = [each for each in self.disturbances if each.fault.startswith("host.process")]
        return stretches + [(each.from_s, each.until_s + _BRIDGE_BACK_S) for each in host]

    def misled(self, device: str) -> list[tuple[float, float]]:
        """Return when positions of a device are wrong: what they show is no mistake of the bridge's."""
        return [
            (each.from_s, each.until_s + AFTER_S)
            for each in self.disturbances
            if each.concerns(device) and each.expect.fixes is Fixes.WRONG
        ]

    def find_allowing(self, alert: ReceivedAlert) -> Disturbance | None:
        """Return a fault that may bring an alert: of its kind, of its device or pair, and not long over."""
        for each in self.disturbances:
            if not each.may_bring(alert.kind) or not self._is_about(alert, each):
                continue
            end_s = each.until_s + self._after_s(alert)
            for cut_s, back_s in self.cuts:
                end_s = max(end_s, back_s) if cut_s <= end_s else end_s
            if each.from_s <= alert.t_s <= end_s:
                return each
        return None

    def _is_about(self, alert: ReceivedAlert, fault: Disturbance) -> bool:
        """Whether a fault befell the device of an alert, its bearer, or the other one of a pair."""
        if fault.device is None:
            return True
        near = self._names_of(fault.device)
        if alert.kind in _PAIR_KINDS:
            for order in self._scenario.order:
                if order.wearer in near:
                    near = near.union(*(self._names_of(ring.device) for ring in order.protected))
                elif near & {ring.device for ring in order.protected}:
                    near |= {order.wearer}
        return alert.subject in near

    def _names_of(self, device: str) -> frozenset[str]:
        """Return the devices of the person who has one: what befalls her smart tag is told of her, and the reverse."""
        person = self._scenario.find_person(device) or self._scenario.find_bearer(device)
        if person is None:
            return frozenset({device})
        tag = () if person.smart_tag is None else (person.smart_tag.id,)
        return frozenset({person.device, *tag})

    def _after_s(self, alert: ReceivedAlert) -> float:
        """Return how long after a fault an alert may still tell of it, tag seconds."""
        policy = self._policy
        report_s = max(person.interval_s for person in self._scenario.person) + REACQUIRE_S[1]
        after_s = AFTER_S + report_s + _BRIDGE_BACK_S + policy.allowance_s
        if alert.kind in _SILENT_KINDS or alert.kind in _COVER_KINDS:
            # the last report before it was over may be the one that did not come
            after_s += max(policy.silence_s.values(), default=0.0) + RELINK_S
        if alert.kind in _COVER_KINDS:
            after_s += policy.cover_settle_s
        if alert.kind in _BEACON_KINDS:
            after_s += policy.beacon_hold_s
        return after_s


_SILENT_KINDS: Final = frozenset({AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST})
_COVER_KINDS: Final = frozenset({AlertKind.COVER_LOST, AlertKind.PROTECTED_PERSON_NOT_WARNED})
_BEACON_KINDS: Final = frozenset({AlertKind.BEACON_HEARD, AlertKind.BEACON_FORGED})
_PAIR_KINDS: Final = _COVER_KINDS | _BEACON_KINDS | {AlertKind.PROXIMITY_BREACH}
"""Alerts to one of a pair that what befalls the other one may bring."""


def _keeps_all(fault: Disturbance, duration_s: float) -> bool:
    """Whether a fault keeps the broker away to the end of the run."""
    return fault.fault in {"broker.down", "broker.refuse"} and fault.until_s >= duration_s


def _disturbances(events: Sequence[BenchEvent], end_s: float) -> Iterator[Disturbance]:
    open_faults: list[BenchEvent] = []
    for event in events:
        if event.what == "fault_applied":
            open_faults.append(event)
        elif event.what == "fault_ended":
            begun = next((b for b in open_faults if (b.fault, b.device) == (event.fault, event.device)), None)
            if begun is not None:
                open_faults.remove(begun)
                yield _disturbance(begun, event.t_s)
    for begun in open_faults:
        lasting = find_entry(begun.fault).lasting
        yield _disturbance(begun, end_s if lasting else begun.t_s)


def _disturbance(begun: BenchEvent, until_s: float) -> Disturbance:
    return Disturbance(
        fault=begun.fault,
        expect=find_entry(begun.fault).expect,
        device=begun.device,
        from_s=begun.t_s,
        until_s=until_s,
    )


def _broker_cuts(scenario: Scenario, events: Sequence[BenchEvent], reconnect_s: float) -> Iterator[tuple[float, float]]:
    seen = list(_pairs(events, "broker_down", "broker_up"))
    if not seen:
        seen = [(outage.at_s, outage.at_s + outage.lasts_s) for outage in scenario.broker_outage]
    for from_s, until_s in seen:
        yield from_s, until_s + reconnect_s


def _pairs(events: Iterable[BenchEvent], down: str, up: str) -> Iterator[tuple[float, float]]:
    """Find from when until when something was gone; infinite where it did not come back."""
    from_s: float | None = None
    for event in events:
        if event.what == down and from_s is None:
            from_s = event.t_s
        elif event.what == up and from_s is not None:
            yield from_s, event.t_s
            from_s = None
    if from_s is not None:
        yield from_s, math.inf
