"""The pipeline: a batch of device events in, messages out. One thread, no waiting, no I/O; time comes as data.

::

    events -> views and rows -> ZoneJudge, PairJudge -> changes -> Emitter (ledger, composer) -> publish
                                      deadlines passed ----^
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from bridge.alerts.change import AlertKey, Change, Ledger
from bridge.alerts.equipment import BatteryPolicy, equipment_changes
from bridge.alerts.proximity import BandTransition, find_separation, proximity_changes
from bridge.alerts.silence import heard_change, silence_change
from bridge.alerts.zones import ZoneTransition, end_of_late_run, zone_change
from bridge.batcher import Failures
from bridge.compose import Composer
from bridge.emitter import AlertObserver, Emitter
from bridge.judge import FixRow, PairJudge, ZoneJudge
from bridge.ordering import Placement
from bridge.plan import Plan
from bridge.publisher import Message
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.view import DeviceView
from devices.clock import Clock
from devices.events import DeviceEvent, LinkEvent, LinkState, Stamps
from protocols.mqtt.messages import AlertKind, BandName, ProximityDetail, WearerPair
from protocols.rejects import Reject
from protocols.reports import CommandAck, Fix, FixState, TagStatus


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
        Told of every alert event, for logs.
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
    ) -> None:
        self._clock = clock
        self._wheel = wheel
        policy = plan.config.policy
        self._battery = BatteryPolicy(
            low_pct=policy.battery_low_pct,
            critical_pct=policy.battery_critical_pct,
            hysteresis_pct=policy.battery_hysteresis_pct,
        )
        self._publish_positions = policy.publish_positions
        self._emitter = Emitter(
            composer=composer,
            clock=clock,
            publish=publish,
            on_alert=on_alert,
            status_interval_ns=int(policy.status_interval_s * 1e9),
        )
        self.views = tuple(DeviceView(device, index) for index, device in enumerate(plan.devices))
        self._by_id = {view.id: view for view in self.views}
        self._live = ZoneJudge(plan, late=False)
        self._late = ZoneJudge(plan, late=True)
        self._pairs = PairJudge(plan, self.views)
        for wearer_idx, protected_idx in self._pairs.names():
            self._set_band(self.views[wearer_idx], self.views[protected_idx], BandName.UNKNOWN, None)

    @property
    def ledger(self) -> Ledger:
        """Which alerts are raised."""
        return self._emitter.ledger

    def start(self, now_mono_ns: int, now_utc_ns: int) -> None:
        """Arm the silence deadlines: a device that is never heard is silent too."""
        for view in self.views:
            view.heard_utc_ns = now_utc_ns
            self._arm(view, Due.COMMS, now_mono_ns)
            self._arm(view, Due.LOCATION, now_mono_ns)

    def process(self, batch: Sequence[DeviceEvent]) -> None:
        """Judge all that arrived in one turn of the loop. Alerts are published before anything else of the batch.

        Raises
        ------
        ExceptionGroup
            Errors of ours, after all devices that they do not concern were served.
        """
        work = _Work()
        for event in batch:
            with work.failures:
                self._take(event, work)
        self._judge_live(work.unjudged, work)
        self._judge_late(work)
        if self._publish_positions:
            for rows, late in ((work.live, False), (work.late, True)):
                for row in rows:
                    with work.failures:
                        self._emitter.position(row, late=late)
        self._emit_states(work)
        work.failures.raise_all()

    def on_due(self, passed: Iterable[Deadline], now_mono_ns: int) -> None:
        """Handle deadlines that passed; raises as ``process`` does."""
        stamps = self._stamps_of(now_mono_ns)
        work = _Work()
        for deadline in passed:
            view = self.views[deadline.device_idx]
            with work.failures:
                match deadline.due:
                    case Due.COMMS | Due.LOCATION:
                        self._fell_silent(view, deadline.due, stamps)
                        work.touched[view.device_idx] = (view, stamps)
                    case Due.PAIR_AGE:
                        self._judge_pairs(view, stamps, work)
                    case Due.LATE_RUN:
                        self._end_late_run(view, stamps)
                        work.touched[view.device_idx] = (view, stamps)
        self._emit_states(work)
        work.failures.raise_all()

    def finish(self, now_mono_ns: int) -> None:
        """Close what only more reports could have closed: runs of late reports."""
        self.on_due(
            [Deadline(Due.LATE_RUN, view.device_idx) for view in self.views if view.late_run.is_open], now_mono_ns
        )

    def _take(self, event: DeviceEvent, work: "_Work") -> None:
        view = self._by_id[event.device_id]
        match event.report:
            case Fix():
                self._heard(view, event.stamps, work)
                self._take_fix(view, event.report, event.stamps, work)
            case TagStatus():
                self._heard(view, event.stamps, work)
                self._take_status(view, event.report, event.stamps)
            case CommandAck():
                self._heard(view, event.stamps, work)
            case Reject():
                view.counts[f"reject_{event.report.reason}"] += 1
            case LinkEvent():
                self._take_link(view, event.report)

    def _stamps_of(self, now_mono_ns: int) -> Stamps:
        """Stamps of something that no device said: the passing of time."""
        return Stamps(t_rx_mono_ns=now_mono_ns, t_rx_utc_ns=self._clock.utc_ns(), t_decoded_mono_ns=now_mono_ns)

    def _alert(self, change: Change) -> None:
        self._emitter.alert(change, self._by_id[change.key.device_id], self._clock.mono_ns())

    def _arm(self, view: DeviceView, due: Due, from_mono_ns: int) -> None:
        self._wheel.touch(Deadline(due, view.device_idx), from_mono_ns + view.limit_ns)

    def _heard(self, view: DeviceView, stamps: Stamps, work: "_Work") -> None:
        view.heard_utc_ns = stamps.t_rx_utc_ns
        self._arm(view, Due.COMMS, stamps.t_decoded_mono_ns)
        if view.comms == "lost":
            self._alert(heard_change(AlertKind.COMMS_LOST, device_id=view.id, stamps=stamps))
        view.comms = "up"
        work.touched[view.device_idx] = (view, stamps)

    def _take_fix(self, view: DeviceView, fix: Fix, stamps: Stamps, work: "_Work") -> None:
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
            self._has_position(row)
        if placement is Placement.LATE:
            view.counts["late"] += 1
            work.late.append(row)
            return
        if placement is Placement.UNDATED:
            view.counts["undated"] += 1
        elif placement is Placement.STEPPED:
            view.counts["clock_steps"] += 1
            # What the device said before in this batch has times after the step.
            self._judge_live([before for before in work.unjudged if before.view is view], work)
            work.unjudged = [other for other in work.unjudged if other.view is not view]
            self._live.reset_time(view.device_idx, forget=False)
        work.live.append(row)
        work.unjudged.append(row)

    def _has_position(self, row: FixRow) -> None:
        """Note that a device knows where it is; also by a clock that is behind, but not by its memory."""
        view, stamps = row.view, row.stamps
        view.fix_state = row.fix.state
        view.position_utc_ns = stamps.t_rx_utc_ns
        self._arm(view, Due.LOCATION, stamps.t_decoded_mono_ns)
        if view.location == "lost":
            self._alert(heard_change(AlertKind.LOCATION_LOST, device_id=view.id, stamps=stamps, fix=row.fix))
        view.location = "valid"

    def _take_live_position(self, row: FixRow, work: "_Work") -> None:
        """Note where a device is now, and judge its pairs. A position from its memory proves no such thing."""
        view, stamps = row.view, row.stamps
        view.fix = row.fix
        if view.device_idx in self._pairs.devices:
            self._pairs.move(row)
            self._wheel.touch(
                Deadline(Due.PAIR_AGE, view.device_idx), stamps.t_decoded_mono_ns + self._pairs.max_age_ns + 1
            )
            self._judge_pairs(view, stamps, work)

    def _take_status(self, view: DeviceView, status: TagStatus, stamps: Stamps) -> None:
        view.counts["statuses"] += 1
        told_utc_ns, newest_utc_ns = status.t_status_utc_ns, view.status_utc_ns
        late = status.stored and (told_utc_ns is None or (newest_utc_ns is not None and told_utc_ns <= newest_utc_ns))
        if late:
            self._late_report(view, stamps)
        else:
            view.status = status
            view.status_utc_ns = told_utc_ns if told_utc_ns is not None else newest_utc_ns
            equipment = (status.strap, status.case, status.shielded, status.jamming, status.battery_pct)
            if equipment == view.judged_equipment:
                return
            view.judged_equipment = equipment
        for change in equipment_changes(
            status,
            device_id=view.id,
            stamps=stamps,
            battery=self._battery,
            is_raised=self.ledger.is_raised,
            late=late,
        ):
            if not (late and self._is_told(change)):
                self._alert(change)

    def _take_link(self, view: DeviceView, link: LinkEvent) -> None:
        view.link = link.state
        view.link_detail = "" if link.state is LinkState.UP else link.detail
        view.counts[f"link_{link.state}"] += 1
        if link.state is LinkState.ENDED:
            # A replay that is over is not silent, it has nothing more to say.
            view.has_ended = True
            for due in (Due.COMMS, Due.LOCATION):
                self._wheel.cancel(Deadline(due, view.device_idx))

    def _judge_live(self, rows: list[FixRow], work: "_Work") -> None:
        rows = _in_time_order(rows)
        for transition in _judged(self._live, rows, work.failures):
            with work.failures:
                self._alert(zone_change(transition))
        for row in rows:
            if not row.fix.stored:
                with work.failures:
                    self._take_live_position(row, work)
        for view in {row.view.device_idx: row.view for row in rows}.values():
            view.order.end_batch()

    def _judge_late(self, work: "_Work") -> None:
        """Judge late fixes run by run."""
        pending: list[FixRow] = []
        for row in work.late:
            run = row.view.late_run
            if run.is_ended_by(row.t_utc_ns):
                self._judge_run(pending, work)
                pending = []
                with work.failures:
                    self._end_late_run(row.view, row.stamps)
            self._late_report(row.view, row.stamps)
            pending.append(dataclasses.replace(row, t_judge_ns=run.take(row.t_utc_ns)))
        self._judge_run(pending, work)

    def _judge_run(self, rows: list[FixRow], work: "_Work") -> None:
        for transition in _judged(self._late, rows, work.failures):
            change = zone_change(transition)
            if not self._is_told(change):
                with work.failures:
                    self._alert(change)

    def _is_told(self, late: Change) -> bool:
        """Whether a live alert that is raised says the same as this late one.

        A fix that is late but not from a memory is of about now: its receiver's clock was set back.
        """
        live = self.ledger.find(dataclasses.replace(late.key, late=False))
        return late.raised and live is not None and (not late.stored or late.occurred_utc_ns >= live.raised_utc_ns)

    def _late_report(self, view: DeviceView, stamps: Stamps) -> None:
        view.late_run.is_open = True
        self._arm(view, Due.LATE_RUN, stamps.t_decoded_mono_ns)

    def _end_late_run(self, view: DeviceView, stamps: Stamps) -> None:
        view.late_run.close()
        self._wheel.cancel(Deadline(Due.LATE_RUN, view.device_idx))
        self._late.reset_time(view.device_idx, forget=True)
        for raised in list(self.ledger.of_device(view.id, late=True)):
            self._alert(end_of_late_run(raised.last, stamps))

    def _judge_pairs(self, view: DeviceView, stamps: Stamps, work: "_Work") -> None:
        """Judge the pairs that a device is in. No others: their alerts would name a person of another case."""
        for transition in self._pairs.judge(view, self._clock.mono_ns(), stamps=stamps):
            wearer, protected = self._by_id[transition.wearer_id], self._by_id[transition.protected_id]
            self._note_band(transition, wearer, protected)
            key = AlertKey(device_id=wearer.id, kind=AlertKind.PROXIMITY_BREACH, about=protected.id)
            for change in proximity_changes(transition, was_raised=self.ledger.is_raised(key)):
                self._alert(change)
            work.touched[wearer.device_idx] = (wearer, stamps)
            work.touched[protected.device_idx] = (protected, stamps)

    def _note_band(self, transition: BandTransition, wearer: DeviceView, protected: DeviceView) -> None:
        separation = find_separation(transition)
        detail = ProximityDetail(
            wearer=wearer.id,
            band=transition.band,
            distance_m=round(separation.distance_m, 1) if separation else None,
            bearing_deg=round(separation.bearing_deg, 1) if separation else None,
        )
        self._set_band(wearer, protected, transition.band, detail)

    def _set_band(
        self, wearer: DeviceView, protected: DeviceView, band: BandName, detail: ProximityDetail | None
    ) -> None:
        wearer.wearer_pairs[protected.id] = WearerPair(ref=protected.id, band=band)
        protected.protected_pairs[wearer.id] = detail or ProximityDetail(
            wearer=wearer.id, band=band, distance_m=None, bearing_deg=None
        )

    def _fell_silent(self, view: DeviceView, due: Due, stamps: Stamps) -> None:
        if due is Due.COMMS:
            kind = AlertKind.COMMS_LOST
            view.comms = "lost"
            since_utc_ns = view.heard_utc_ns
        else:
            kind = AlertKind.LOCATION_LOST
            view.location = "lost"
            since_utc_ns = view.position_utc_ns
        self._alert(
            silence_change(
                kind,
                device_id=view.id,
                silent_since_utc_ns=stamps.t_rx_utc_ns - view.limit_ns if since_utc_ns is None else since_utc_ns,
                limit_s=view.limit_ns / 1e9,
                stamps=stamps,
                detail=view.link_detail,
            )
        )

    def _emit_states(self, work: "_Work") -> None:
        for view, stamps in work.touched.values():
            with work.failures:
                self._emitter.state(view, stamps)


class _Work:
    """What one batch has brought up so far."""

    __slots__ = ("failures", "late", "live", "touched", "unjudged")

    def __init__(self) -> None:
        self.failures = Failures()
        self.live: list[FixRow] = []
        self.unjudged: list[FixRow] = []
        self.late: list[FixRow] = []
        self.touched: dict[int, tuple[DeviceView, Stamps]] = {}


def _judged(judge: ZoneJudge, rows: list[FixRow], failures: Failures) -> list[ZoneTransition]:
    """Judge all rows in one call; where that fails, device by device: an error leaves the judge as it was."""
    with failures:
        return judge.judge(rows)
    found: list[ZoneTransition] = []
    for view in {row.view.device_idx: row.view for row in rows}.values():
        with failures:
            found += judge.judge([row for row in rows if row.view is view])
    return found


def _in_time_order(rows: list[FixRow]) -> list[FixRow]:
    return sorted(rows, key=lambda row: (row.t_judge_ns, row.view.device_idx))
