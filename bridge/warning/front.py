"""Between the pipeline and the desk: reports and bands in; writes, alerts and steps out, the writes first."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from bridge.alerts.change import AlertKey, Change
from bridge.alerts.kept import KeptAlert
from bridge.emitter import Emitter
from bridge.orders.handover import Handover
from bridge.plan import Plan
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn
from bridge.view import DeviceView
from bridge.warning.desk import Desk
from bridge.warning.person import PersonDesk
from bridge.warning.policy import WarningPolicy
from bridge.warning.records import Answer, Ask, CoverGap, Delivered, Occasion, Outcome, Step, Word
from bridge.warning.told import standing
from devices.clock import Clock
from devices.events import Stamps
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import AlertKind, BandName
from protocols.mqtt.words import SmartTagState
from protocols.reports import BeaconSighting, TagEvent, TagState

_ANSWERED = (AlertKind.PROXIMITY_BREACH, AlertKind.BEACON_HEARD)
"""Alerts that carry whether she acknowledged; on her side only."""


def make_front(
    plan: Plan,
    *,
    views: Mapping[str, DeviceView],
    emitter: Emitter,
    wheel: DeadlineWheel,
    clock: Clock,
    ask: Callable[[Ask], None],
) -> "WarningFront":
    """Put the desk of a plan together, and note who has no smart tag."""
    for person in plan.unwarnable:
        views[person].smart_tag = "none_issued"
    policy = plan.config.warning
    desk = Desk(
        plan.charges,
        WarningPolicy.of(policy),
        beacon_within_m=policy.beacon_within_m,
        beacon_log_ratio=policy.beacon_log_ratio,
        epoch=emitter.epoch,
    )
    return WarningFront(desk, views=views, emitter=emitter, wheel=wheel, clock=clock, ask=ask)


class WarningFront:
    """Runs what the desk decides, in the turn of the loop in which it decides it.

    Parameters
    ----------
    desk : Desk
    views : mapping of str to DeviceView
        All devices by id.
    emitter : Emitter
    wheel : DeadlineWheel
        One deadline per protected person.
    clock : Clock
        Stamps the moment of asking.
    ask : callable
        Hands a warning to the driver of the tag; must not wait.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        views: Mapping[str, DeviceView],
        emitter: Emitter,
        wheel: DeadlineWheel,
        clock: Clock,
        ask: Callable[[Ask], None],
    ) -> None:
        self._desk = desk
        self._views = views
        self._emitter = emitter
        self._wheel = wheel
        self._clock = clock
        self._ask = ask
        self._lost_wearers: dict[str, set[str]] = {}
        for view in views.values():
            person = desk.find(view.id)
            if person is not None:
                view.smart_tag, view.smart_tag_id, view.sos = "unknown", person.smart_tag, False

    def start(self, now_mono_ns: int) -> None:
        """Begin to wait for the bands of everybody."""
        for person in self._desk.people:
            person.start(now_mono_ns)
            self._arm(person)

    def restore(self, alerts: Iterable[KeptAlert], stamps: Stamps, turn: Turn) -> None:
        """Take up the alerts that an earlier start left raised about protected persons."""
        for alert in alerts:
            person = self._desk.find(alert.device_id)
            if person is not None:
                on = self._on(stamps, alert.device_id)
                is_located = self._views[alert.device_id].location != "lost"
                found = person.restore(alert.kind, alert.about, alert.level, on, is_located=is_located)
                self._run(person.person, found, turn, on)
                if self._views[person.smart_tag].comms == "lost":
                    self._views[person.person].smart_tag = "absent"

    def change_orders(self, handover: Handover, stamps: Stamps, turn: Turn) -> None:
        """Go on with another plan's protected persons: whose order is gone is stood down, before all else."""
        on = self._on(stamps, "")
        found = self._desk.change_orders(handover.plan.charges, on)
        for person, _ in found:
            self._name(self._views[person], self._desk.find(person), "unknown")
        for person in handover.unwarnable_before - handover.unwarnable:
            if self._desk.find(person) is None:
                self._views[person].smart_tag = None
        for person in handover.unwarnable:
            self._views[person].smart_tag = "none_issued"
        for person, outcomes in found:
            self._run(person, outcomes, turn, replace(on, shown_by=person))
        for person, _ in found:
            self._take_gaps(person, stamps, turn)
        for person, lost in self._lost_wearers.items():
            desk = self._desk.find(person)
            for wearer in lost - set(desk.wearers if desk is not None else ()):
                self._take_wearer(person, wearer, False, stamps, turn)

    def _name(self, view: DeviceView, person: PersonDesk | None, unheard: SmartTagState) -> None:
        if person is None:
            view.smart_tag, view.smart_tag_id, view.sos, view.standing = None, None, None, None
            self._wheel.cancel(Deadline(Due.WARNING, view.device_idx))
            return
        comms = self._views[person.smart_tag].comms
        view.smart_tag = "present" if comms == "up" else "absent" if comms == "lost" else unheard
        view.smart_tag_id, view.sos = person.smart_tag, person.has_called

    def _take_gaps(self, person_id: str, stamps: Stamps, turn: Turn) -> None:
        """Take what is missing for her already: nobody will say it again."""
        person = self._desk.find(person_id)
        if person is None or not person.wearers:
            return
        tag = self._views[person.smart_tag]
        battery = AlertKey(device_id=tag.id, kind=AlertKind.BATTERY_CRITICAL)
        if tag.comms == "lost":
            self.take_cover(person_id, CoverGap.TAG_SILENT, True, stamps, turn)
        if self._emitter.ledger.is_raised(battery):
            self.take_cover(person_id, CoverGap.BATTERY_CRITICAL, True, stamps, turn)
        if self._views[person_id].location == "lost":
            self.take_cover(person_id, CoverGap.GNSS_LOST, True, stamps, turn)
        if self._lost_wearers.get(person_id, set()).intersection(person.wearers):
            self.take_cover(person_id, CoverGap.WEARER_LOST, True, stamps, turn)

    def take_provider(self, person: str, level: WarnLevel | None, text: WarnText, stamps: Stamps, turn: Turn) -> None:
        """Take a warning that the provider asks for, or, with None, takes back."""
        on = self._on(stamps, person)
        self._run(person, self._desk.take_provider(person, level, text, on), turn, on)

    def find_person(self, person: str) -> PersonDesk | None:
        """Look up who can be warned."""
        return self._desk.find(person)

    def take_band(self, wearer: str, person: str, band: BandName, stamps: Stamps, shown_by: str, turn: Turn) -> None:
        """Take the band of a pair."""
        on = self._on(stamps, shown_by)
        self._run(person, self._desk.take_band(wearer, person, band, on), turn, on)

    def take_report(
        self, view: DeviceView, report: TagState | TagEvent | BeaconSighting, stamps: Stamps, turn: Turn
    ) -> None:
        """Take what a smart tag said of itself or of a beacon."""
        on = self._on(stamps, view.id)
        match report:
            case TagState():
                found = self._desk.take_state(view.id, report, on)
            case TagEvent():
                found = self._desk.take_event(view.id, report, on)
            case BeaconSighting():
                found = self._desk.take_sighting(view.id, report, on)
        self._run_for_tag(view.id, found, turn, on)

    def take_presence(self, view: DeviceView, present: bool, stamps: Stamps, turn: Turn) -> None:
        """Take a smart tag's coming or going."""
        on = self._on(stamps, view.id)
        person = self._desk.find_by_tag(view.id)
        if person is not None:
            self._views[person.person].smart_tag = "present" if present else "absent"
        self._run_for_tag(view.id, self._desk.take_presence(view.id, present, on), turn, on)

    def take_link(self, view: DeviceView, stamps: Stamps, turn: Turn) -> None:
        """Take a connection that is up."""
        on = self._on(stamps, view.id)
        self._run_for_tag(view.id, self._desk.take_link(view.id, on), turn, on)

    def take_battery(self, view: DeviceView, critical: bool, stamps: Stamps, turn: Turn) -> None:
        """Take whether a smart tag's battery will end soon."""
        person = self._desk.find_by_tag(view.id)
        if person is not None:
            self.take_cover(person.person, CoverGap.BATTERY_CRITICAL, critical, stamps, turn)

    def take_cover(self, person: str, gap: CoverGap, lost: bool, stamps: Stamps, turn: Turn) -> None:
        """Take the beginning or the end of a gap in somebody's cover."""
        on = self._on(stamps, person)
        self._run(person, self._desk.take_cover(person, gap, lost, on), turn, on)

    def lose_wearer(self, wearer: str, people: Iterable[str], stamps: Stamps, turn: Turn) -> None:
        """Take that nobody knows where a wearer is who may come near these people."""
        for person in people:
            self._take_wearer(person, wearer, True, stamps, turn)

    def find_wearer(self, wearer: str, stamps: Stamps, turn: Turn) -> None:
        """Take that a wearer's place is known again."""
        for person in [name for name, lost in self._lost_wearers.items() if wearer in lost]:
            self._take_wearer(person, wearer, False, stamps, turn)

    def _take_wearer(self, person: str, wearer: str, lost: bool, stamps: Stamps, turn: Turn) -> None:
        """Her cover has this gap while any wearer of hers is lost."""
        before = self._lost_wearers.get(person, set())
        after = before | {wearer} if lost else before - {wearer}
        self._lost_wearers[person] = after
        if bool(after) is not bool(before):
            self.take_cover(person, CoverGap.WEARER_LOST, lost, stamps, turn)

    def take_delivered(self, delivered: Delivered, stamps: Stamps, turn: Turn) -> None:
        """Take what became of a warning."""
        on = self._on(stamps, delivered.person)
        self._run(delivered.person, self._desk.take_delivered(delivered, on), turn, on)

    def take_due(self, view: DeviceView, stamps: Stamps, turn: Turn) -> None:
        """Do what is due for a protected person."""
        person = self._desk.find(view.id)
        if person is not None:
            on = self._on(stamps, view.id)
            self._run(view.id, person.take_due(on), turn, on)

    def _on(self, stamps: Stamps, shown_by: str) -> Occasion:
        return Occasion(stamps=stamps, shown_by=shown_by, now_mono_ns=self._clock.mono_ns())

    def _run_for_tag(self, device_id: str, found: Iterable[Outcome], turn: Turn, on: Occasion) -> None:
        person = self._desk.find_by_tag(device_id)
        if person is not None:
            self._run(person.person, found, turn, on)

    def _run(self, person_id: str, found: Iterable[Outcome], turn: Turn, on: Occasion) -> None:
        person = self._desk.find(person_id)
        view = self._views.get(person_id)
        if view is None:
            return
        # Nothing that is told to the provider may hold up or fail what is written to her tag.
        rest = []
        for outcome in found:
            if isinstance(outcome, Ask):
                self._ask(outcome)
            else:
                rest.append(outcome)
        for outcome in rest:
            match outcome:
                case Word():
                    self._tell(outcome, view)
                case Answer():
                    self._tell_answer(outcome, view)
                case Step():
                    if person is not None and person.delivery.is_current(outcome.warn_id):
                        view.standing = standing(outcome)
                    self._emitter.warning(outcome, view)
        if person is not None:
            view.sos = person.has_called
            self._arm(person)
            turn.touch(view, on.stamps)
        elif rest:
            turn.touch(view, on.stamps)

    def _arm(self, person: PersonDesk) -> None:
        deadline = Deadline(Due.WARNING, self._views[person.person].device_idx)
        due_mono_ns = person.next_due_mono_ns()
        if due_mono_ns is None:
            self._wheel.cancel(deadline)
        else:
            self._wheel.touch(deadline, due_mono_ns)

    def _tell(self, word: Word, view: DeviceView) -> None:
        pair = view.protected_pairs.get(word.about)
        change = Change(
            key=AlertKey(device_id=word.person, kind=word.kind, about=word.about),
            raised=word.raised,
            occurred_utc_ns=word.on.stamps.t_rx_utc_ns if word.occurred_utc_ns is None else word.occurred_utc_ns,
            stamps=word.on.stamps,
            shown_by=word.on.shown_by,
            reason=word.reason,
            band=pair.band if pair is not None else None,
            level=word.level,
            fix=view.fix,
        )
        self._emitter.alert(change, view, self._clock.mono_ns())

    def _tell_answer(self, answer: Answer, view: DeviceView) -> None:
        """Update the alert behind a warning; the next change of its band says no more of it."""
        for kind in _ANSWERED:
            raised = self._emitter.ledger.find(AlertKey(device_id=answer.person, kind=kind, about=answer.wearer))
            if raised is not None:
                on = answer.on
                change = replace(
                    raised.last,
                    stamps=on.stamps,
                    shown_by=on.shown_by,
                    reason=answer.reason,
                    level=answer.level,
                    occurred_utc_ns=on.stamps.t_rx_utc_ns,
                )
                self._emitter.alert(change, view, self._clock.mono_ns())
