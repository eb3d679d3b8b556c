"""The pipeline: a batch of device events in, messages out. One thread, no waiting, no I/O; time comes as data.

::

    events -> views and rows -> ZoneJudge, PairJudge -> changes -> Emitter (ledger, composer) -> publish
                                      deadlines passed ----^
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from bridge.alerts.change import Change, Ledger
from bridge.alerts.silence import heard_change
from bridge.alerts.zones import zone_change
from bridge.commands.intervals import set_interval
from bridge.compose import Composer
from bridge.emitter import AlertObserver, Emitter
from bridge.equipment_watch import EquipmentWatch
from bridge.incidents import IncidentBook
from bridge.judge import FixRow, ZoneJudge
from bridge.late import LateReports
from bridge.ordering import Placement
from bridge.orders.change import arm_places, find_recent, withdraw
from bridge.orders.handover import Handover
from bridge.pair_watch import PairWatch
from bridge.plan import Plan
from bridge.publisher import Message, Saved
from bridge.recovery import Recovery, read_kept
from bridge.sampling import Steer
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.silent import be_located, fall_silent, take_link
from bridge.turn import Turn, in_time_order, judged
from bridge.view import DeviceView
from bridge.warning.front import make_front
from bridge.warning.person import PersonDesk
from bridge.warning.records import Ask, Delivered
from devices.clock import Clock
from devices.events import DeviceEvent, LinkEvent, LinkState, PresenceEvent, Stamps
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import AlertKind
from protocols.rejects import Reject
from protocols.reports import (
    BatteryLevel,
    BeaconSighting,
    CommandAck,
    DeviceInformation,
    Fix,
    FixState,
    TagEvent,
    TagState,
    TagStatus,
)


class Pipeline:
    """Turns what devices said into messages.

    Parameters
    ----------
    plan : Plan
    composer : Composer
    clock : Clock
        Stamps the stages judged and submitted.
    wheel : DeadlineWheel
        Its deadlines are moved here; the owner calls ``on_due`` when some have passed.
    publish : callable
        Takes every message, in order.
    on_alert : callable
        Told of every alert and every step of a warning, for logs.
    ask : callable
        Hands a warning to the driver of a smart tag; must not wait.
    steer : callable
        Hands a report interval to the driver of an ankle tag; must not wait. Absent: nobody's is changed.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        composer: Composer,
        clock: Clock,
        wheel: DeadlineWheel,
        publish: Callable[[Message], None],
        on_alert: AlertObserver,
        ask: Callable[[Ask], None],
        steer: Callable[[Steer], None] | None = None,
    ) -> None:
        self._clock = clock
        self._wheel = wheel
        policy = plan.config.policy
        self._publish_positions = policy.publish_positions
        self._emitter = Emitter(
            composer=composer,
            clock=clock,
            publish=publish,
            on_alert=on_alert,
            status_interval_ns=int(policy.status_interval_s * 1e9),
            wheel=wheel,
            renotify_ns=int(policy.incident_renotify_s * 1e9),
        )
        self._plan = plan
        self._recovery: Recovery | None = None
        self.views = tuple(DeviceView(device, index) for index, device in enumerate(plan.devices))
        self._by_id = {view.id: view for view in self.views}
        self._live = ZoneJudge(plan, late=False)
        self._late = LateReports(ZoneJudge(plan, late=True), ledger=self.ledger, alert=self._alert, wheel=wheel)
        self._warning = make_front(plan, views=self._by_id, emitter=self._emitter, wheel=wheel, clock=clock, ask=ask)
        self._equipment = EquipmentWatch(policy, ledger=self.ledger, alert=self._alert, warning=self._warning)
        self._pairs = PairWatch(
            plan,
            self.views,
            clock=clock,
            wheel=wheel,
            ledger=self.ledger,
            alert=self._alert,
            warning=self._warning,
            steer=steer,
        )

    @property
    def ledger(self) -> Ledger:
        """Which alerts are raised."""
        return self._emitter.ledger

    @property
    def incidents(self) -> IncidentBook:
        """Which incidents are open, and the newest of those that were closed."""
        return self._emitter.incidents

    def restore(self, saved: Iterable[Saved]) -> None:
        """Take what earlier starts kept; ``start`` goes on from it."""
        self._recovery = Recovery(
            read_kept(saved),
            plan=self._plan,
            views=self._by_id,
            emitter=self._emitter,
            zones=self._live,
            pairs=self._pairs,
            warning=self._warning,
            wheel=self._wheel,
            alert=self._alert,
        )

    def start(self, now_mono_ns: int, now_utc_ns: int) -> None:
        """Arm the silence deadlines: a device that is never heard is silent too. Raises as ``process`` does."""
        for view in self.views:
            view.heard_utc_ns = now_utc_ns
            self._arm(view, Due.COMMS, now_mono_ns)
            if not view.is_smart_tag or view.device_idx in self._pairs.devices:
                # A smart tag that tells nobody's place may well have no receiver.
                self._arm(view, Due.LOCATION, now_mono_ns)
        self._warning.start(now_mono_ns)
        if self._recovery is not None:
            self._act(self._recovery.run, now_mono_ns)
            self._recovery = None

    def acknowledge(self, event_id: str, by: str, at_utc_ns: int) -> str | None:
        """Note that somebody has taken up an alert; returns the id of its incident, None: it is in no open one."""
        return self._emitter.acknowledge(event_id, by, at_utc_ns)

    def process(self, batch: Sequence[DeviceEvent]) -> None:
        """Judge all that arrived in one turn of the loop. Alerts are published before anything else of the batch.

        Raises
        ------
        ExceptionGroup
            Errors of ours, after all devices that they do not concern were served.
        """
        turn = Turn()
        for event in batch:
            with turn.failures:
                self._take(event, turn)
        self._judge_live(turn.unjudged, turn)
        self._late.take(turn)
        if self._publish_positions:
            for rows, late in ((turn.live, False), (turn.late, True)):
                for row in rows:
                    with turn.failures:
                        self._emitter.position(row, late=late)
        self._emit_states(turn)
        turn.failures.raise_all()

    def on_due(self, passed: Iterable[Deadline], now_mono_ns: int) -> None:
        """Handle deadlines that passed; raises as ``process`` does."""
        stamps = self._stamps_of(now_mono_ns)
        turn = Turn()
        for deadline in passed:
            view = self.views[deadline.device_idx]
            with turn.failures:
                match deadline.due:
                    case Due.COMMS | Due.LOCATION:
                        self._pairs.doubt_interval(view)
                        near = self._pairs.find_reachable(view)
                        self._alert(fall_silent(view, deadline.due, stamps, turn, self._warning, in_reach=near))
                        turn.touch(view, stamps)
                    case Due.PAIR_AGE:
                        self._pairs.judge(view, stamps, turn)
                        self._pairs.doubt(view, stamps, turn)
                    case Due.LATE_RUN:
                        self._late.end_run(view, stamps)
                        turn.touch(view, stamps)
                    case Due.WARNING:
                        self._warning.take_due(view, stamps, turn)
                    case Due.INCIDENT:
                        self._emitter.close_incidents(now_mono_ns, stamps.t_rx_utc_ns)
        self._emit_states(turn)
        turn.failures.raise_all()

    def on_delivered(self, delivered: Delivered, now_mono_ns: int) -> None:
        """Take what a smart tag's driver says about a warning; raises as ``process`` does."""
        self._act(lambda stamps, turn: self._warning.take_delivered(delivered, stamps, turn), now_mono_ns)

    def replan(self, handover: Handover, now_mono_ns: int) -> None:
        """Go on with another plan of the same devices; raises as ``process`` does.

        Her tag first: who is protected no more is stood down, who is protected now is warned. What is judged as before
        keeps its state and its alerts; the rest is judged anew by where everybody was last; alerts of what is judged no
        more are cancelled.
        """
        self._plan = handover.plan
        stamps = self._stamps_of(now_mono_ns)
        turn = Turn()
        with turn.failures:
            self._warning.change_orders(handover, stamps, turn)
        with turn.failures:
            self._pairs.hand_over(handover, stamps, turn)
            arm_places(handover, self.views, self._wheel, now_mono_ns)
        with turn.failures:
            unknown = self._live.hand_over(handover)
            self._late.judge.hand_over(handover)
            withdraw(handover.plan, self.ledger, self._by_id, stamps, turn, self._alert)
            rows = find_recent(self.views, unknown, now_mono_ns - self._pairs.max_age_ns)
            for transition in self._live.judge_again(rows):
                self._alert(zone_change(dataclasses.replace(transition, stamps=stamps)))
                turn.touch(self._by_id[transition.device_id], stamps)
        self._emit_states(turn)
        turn.failures.raise_all()

    def take_provider(
        self, person: str, level: WarnLevel | None, text: WarnText, now_mono_ns: int
    ) -> PersonDesk | None:
        """Warn a protected person for the provider, or stop it (None); returns her desk, None: nobody warns her."""
        self._act(lambda stamps, turn: self._warning.take_provider(person, level, text, stamps, turn), now_mono_ns)
        return self._warning.find_person(person)

    def set_interval(self, view: DeviceView, interval_s: float, now_mono_ns: int) -> Saved:
        """Expect a device's reports as often as it was told to send them; says what is to be kept."""
        self._pairs.take_order(view, interval_s)
        return set_interval(view, interval_s, self._wheel, now_mono_ns)

    def on_steered(self, steer: Steer, followed: bool, now_mono_ns: int) -> None:
        """Take whether a tag reports as often as it was asked to because of who is near whom."""
        view = self._by_id[steer.device_id]
        self._pairs.take_steered(view, steer.interval_s if followed else None, now_mono_ns)
        if followed or steer.interval_s > view.device.interval_s:
            # Where only the answer was lost the tag reports less often by now, and is not silent for that.
            set_interval(view, steer.interval_s, self._wheel, now_mono_ns)

    def resend_active(self, views: Iterable[DeviceView], now_mono_ns: int) -> None:
        """Publish the snapshots of raised alerts of devices again."""
        for view in views:
            self._emitter.active(view, self._stamps_of(now_mono_ns))

    def finish(self, now_mono_ns: int) -> None:
        """Close what only more reports could have closed: runs of late reports."""
        self.on_due(
            [Deadline(Due.LATE_RUN, view.device_idx) for view in self.views if view.late_run.is_open], now_mono_ns
        )

    def _take(self, event: DeviceEvent, turn: Turn) -> None:
        view = self._by_id[event.device_id]
        match event.report:
            case Fix():
                self._heard(view, event.stamps, turn)
                self._take_fix(view, event.report, event.stamps, turn)
            case TagStatus():
                self._heard(view, event.stamps, turn)
                self._take_status(view, event.report, event.stamps)
            case CommandAck():
                self._heard(view, event.stamps, turn)
            case Reject():
                view.counts[f"reject_{event.report.reason}"] += 1
            case LinkEvent():
                take_link(view, event.report, self._wheel)
                if view.is_smart_tag and event.report.state is LinkState.UP:
                    self._warning.take_link(view, event.stamps, turn)
            case TagState() | TagEvent() | BeaconSighting() as report:
                # First what may be her call, then who is heard.
                self._warning.take_report(view, report, event.stamps, turn)
                self._heard(view, event.stamps, turn)
                if isinstance(report, TagState):
                    self._equipment.take_battery(view, report.battery_pct, event.stamps, turn)
                    view.motion = report.motion
            case BatteryLevel():
                self._heard(view, event.stamps, turn)
                self._equipment.take_battery(view, event.report.battery_pct, event.stamps, turn)
            case DeviceInformation():
                self._heard(view, event.stamps, turn)
                view.firmware = event.report.firmware
            case PresenceEvent():
                if event.report.present:
                    self._heard(view, event.stamps, turn)
                elif view.comms != "lost":
                    view.link_detail = event.report.detail
                    self._alert(fall_silent(view, Due.COMMS, event.stamps, turn, self._warning, told=event.report))
                    turn.touch(view, event.stamps)

    def _act(self, do: Callable[[Stamps, Turn], None], now_mono_ns: int) -> None:
        """Do one thing in a turn of its own."""
        turn = Turn()
        with turn.failures:
            do(self._stamps_of(now_mono_ns), turn)
        self._emit_states(turn)
        turn.failures.raise_all()

    def _stamps_of(self, now_mono_ns: int) -> Stamps:
        """Stamps of something that no device said: the passing of time."""
        return Stamps(t_rx_mono_ns=now_mono_ns, t_rx_utc_ns=self._clock.utc_ns(), t_decoded_mono_ns=now_mono_ns)

    def _alert(self, change: Change) -> None:
        self._emitter.alert(change, self._by_id[change.key.device_id], self._clock.mono_ns())

    def _arm(self, view: DeviceView, due: Due, from_mono_ns: int) -> None:
        self._wheel.touch(Deadline(due, view.device_idx), from_mono_ns + view.limit_ns)

    def _heard(self, view: DeviceView, stamps: Stamps, turn: Turn) -> None:
        view.heard_utc_ns = stamps.t_rx_utc_ns
        if view.is_smart_tag:
            # A tag at rest has nothing to say; its driver tells when it is gone.
            self._wheel.cancel(Deadline(Due.COMMS, view.device_idx))
            if view.comms != "up":
                self._warning.take_presence(view, True, stamps, turn)
        else:
            self._arm(view, Due.COMMS, stamps.t_decoded_mono_ns)
        if view.comms == "lost":
            self._alert(heard_change(AlertKind.COMMS_LOST, device_id=view.id, stamps=stamps))
        view.comms = "up"
        turn.touch(view, stamps)

    def _take_fix(self, view: DeviceView, fix: Fix, stamps: Stamps, turn: Turn) -> None:
        view.counts["fixes"] += 1
        if fix.state is not FixState.POSITION or fix.lat_deg is None or fix.lon_deg is None:
            if not fix.stored:
                view.fix_state = fix.state
            return
        placement, t_judge_ns = view.order.place(
            fix.t_fix_utc_ns, stamps.t_rx_mono_ns, t_rx_utc_ns=stamps.t_rx_utc_ns, stored=fix.stored
        )
        told_ns = None if placement is Placement.UNDATED else fix.t_fix_utc_ns
        row = FixRow(
            view=view,
            fix=fix,
            lat_deg=fix.lat_deg,
            lon_deg=fix.lon_deg,
            t_utc_ns=stamps.t_rx_utc_ns if told_ns is None else told_ns,
            t_judge_ns=t_judge_ns,
            stamps=stamps,
        )
        if not fix.stored:
            self._has_position(row, turn)
        if placement is Placement.LATE:
            view.counts["late"] += 1
            turn.late.append(row)
            return
        if placement is Placement.UNDATED:
            view.counts["undated"] += 1
        elif placement is Placement.STEPPED:
            view.counts["clock_steps"] += 1
            # What the device said before in this batch has times after the step.
            self._judge_live([before for before in turn.unjudged if before.view is view], turn)
            turn.unjudged = [other for other in turn.unjudged if other.view is not view]
            self._live.reset_time(view.device_idx, forget=False)
        turn.live.append(row)
        turn.unjudged.append(row)

    def _has_position(self, row: FixRow, turn: Turn) -> None:
        """Note that a device knows where it is; also by a clock that is behind, but not by its memory."""
        self._arm(row.view, Due.LOCATION, row.stamps.t_decoded_mono_ns)
        change = be_located(row, turn, self._warning)
        if change is not None:
            self._alert(change)
        row.view.location = "valid"

    def _take_live_position(self, row: FixRow, turn: Turn) -> None:
        """Note where a device is now, and judge its pairs. A position from its memory proves no such thing."""
        row.view.fix, row.view.newest = row.fix, row
        self._pairs.take(row, turn)

    def _take_status(self, view: DeviceView, status: TagStatus, stamps: Stamps) -> None:
        view.counts["statuses"] += 1
        told_utc_ns, newest_utc_ns = status.t_status_utc_ns, view.status_utc_ns
        late = status.stored and (told_utc_ns is None or (newest_utc_ns is not None and told_utc_ns <= newest_utc_ns))
        if late:
            self._late.note(view, stamps)
        self._equipment.take_status(view, status, stamps, late=late, is_told=self._late.is_told)

    def _judge_live(self, rows: list[FixRow], turn: Turn) -> None:
        rows = in_time_order(rows)
        for transition in judged(self._live, rows, turn.failures):
            with turn.failures:
                self._alert(zone_change(transition))
        for row in rows:
            if not row.fix.stored:
                with turn.failures:
                    self._take_live_position(row, turn)
        for view in {row.view.device_idx: row.view for row in rows}.values():
            view.order.end_batch()

    def _emit_states(self, turn: Turn) -> None:
        for view, stamps in turn.touched.values():
            with turn.failures:
                self._emitter.state(view, stamps)
