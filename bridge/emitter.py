"""From changes to published messages: asks the ledger what is news, composes it, publishes it."""

from collections.abc import Callable
from dataclasses import replace

from bridge.alerts.change import Change, Ledger
from bridge.alerts.kept import save_alert, save_progress
from bridge.compose import Composer, StageStamps
from bridge.incident import Incident, save_incident
from bridge.incidents import IncidentBook
from bridge.judge import FixRow
from bridge.publisher import Message
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.view import DeviceView
from bridge.warning.records import Step
from devices.clock import Clock
from devices.events import Stamps
from protocols.mqtt.messages import CountedEvent

AlertObserver = Callable[[CountedEvent], None]

KEEP_PROGRESS_NS = 60_000_000_000
"""ns of a receiver's time between two words to the disk about how far it has come. After a restart, memory of this last
while may be told twice as live; less writes more."""

INCIDENT_DEADLINE = Deadline(Due.INCIDENT, 0)
"""One for all incidents: the earliest that may be closed."""


class Emitter:
    """Publishes alerts, incidents, snapshots, states and positions of all devices.

    Parameters
    ----------
    composer : Composer
    clock : Clock
        Stamps the moment of submission.
    publish : callable
        Takes every message, in order.
    on_alert : callable
        Told of every alert and every step of a warning, for logs.
    status_interval_ns : int
        A device's state goes out at least this often while it is heard, else only on change.
    wheel : DeadlineWheel
        An incident that is quiet is closed by its deadline.
    renotify_ns : int
        How long it must be quiet.
    """

    def __init__(
        self,
        *,
        composer: Composer,
        clock: Clock,
        publish: Callable[[Message], None],
        on_alert: AlertObserver,
        status_interval_ns: int,
        wheel: DeadlineWheel,
        renotify_ns: int,
    ) -> None:
        self.ledger = Ledger()
        self.incidents = IncidentBook(renotify_ns)
        self._wheel = wheel
        self._composer = composer
        self._clock = clock
        self._publish = publish
        self._on_alert = on_alert
        self._status_interval_ns = status_interval_ns
        self._alerted: set[int] = set()
        self._snapshots: set[int] = set()

    @property
    def epoch(self) -> str:
        """Name of this start of the bridge."""
        return self._composer.identity.epoch

    def alert(self, change: Change, view: DeviceView, judged_mono_ns: int) -> None:
        """Publish what a change means for its alert, if anything."""
        step = self.ledger.find_step(change)
        if step is None:
            return
        stages = StageStamps(
            judged_mono_ns=judged_mono_ns,
            submitted_mono_ns=self._clock.mono_ns(),
            submitted_utc_ns=self._clock.utc_ns(),
        )
        event, message = self._composer.alert(change, step, self.ledger.find(change.key), view, stages)
        after = self.ledger.follow(change, step, event.id)
        saves = [save_alert(change.key, after, view.side)]
        taken = self.incidents.take(change, step, event, stages.submitted_mono_ns)
        if taken is not None:
            saves.append(save_incident(taken.incident))
        self._publish(replace(message, saves=tuple(saves)))
        self.ledger.put(change.key, after)
        self._alerted.add(view.device_idx)
        self._on_alert(event)
        if taken is not None:
            if taken.is_news:
                self._tell_incident(taken.incident, change.stamps.t_rx_utc_ns)
            self.arm_incidents()

    def close_incidents(self, now_mono_ns: int, now_utc_ns: int) -> None:
        """Close the incidents that were quiet long enough."""
        for incident in self.incidents.take_due(now_mono_ns, now_utc_ns):
            self._tell_incident(incident, now_utc_ns)
        self.arm_incidents()

    def acknowledge(self, event_id: str, by: str, at_utc_ns: int) -> str | None:
        """Note on its incident that somebody has taken up an alert; returns the incident's id."""
        incident = self.incidents.acknowledge(event_id, by, at_utc_ns)
        if incident is None:
            return None
        self._tell_incident(incident, at_utc_ns)
        return incident.incident_id

    def settle_incidents(self, raised_ids: frozenset[str], now_mono_ns: int, now_utc_ns: int) -> None:
        """After a restart: bring incidents in line with the alerts that are raised, and tell what is not told yet."""
        self.incidents.drop_alerts(raised_ids, now_mono_ns, now_utc_ns)
        for incident in self.incidents.untold():
            self._tell_incident(incident, now_utc_ns)
        self.arm_incidents()

    def arm_incidents(self) -> None:
        """Wait for the next incident that may be closed."""
        due_mono_ns = self.incidents.next_due_mono_ns()
        if due_mono_ns is None:
            self._wheel.cancel(INCIDENT_DEADLINE)
        else:
            self._wheel.touch(INCIDENT_DEADLINE, due_mono_ns)

    def _tell_incident(self, incident: Incident, t_utc_ns: int) -> None:
        event, message = self._composer.incident(incident, t_utc_ns)
        saves = self.incidents.note(incident.incident_id, event)
        self._publish(replace(message, saves=tuple(saves)))

    def warning(self, step: Step, view: DeviceView) -> None:
        """Publish a step in the life of a warning."""
        event, message = self._composer.warning(step, view)
        self._publish(message)
        self._on_alert(event)

    def position(self, row: FixRow, *, late: bool) -> None:
        """Publish a position, and keep now and then how far a device has come."""
        message = self._composer.position(row.view, row.fix, row.stamps.t_rx_utc_ns, late=late)
        newest_ns, kept_ns = row.view.order.newest_utc_ns, row.view.kept_until_utc_ns
        if newest_ns is not None and (kept_ns is None or abs(newest_ns - kept_ns) >= KEEP_PROGRESS_NS):
            row.view.kept_until_utc_ns = newest_ns
            message = replace(message, saves=(save_progress(row.view.id, newest_ns),))
        self._publish(message)

    def state(self, view: DeviceView, stamps: Stamps) -> None:
        """Publish a device's state and snapshot of alerts, each when something in it changed."""
        matters = _what_matters(view)
        if matters != view.published or stamps.t_decoded_mono_ns >= view.status_due_mono_ns:
            view.published = matters
            view.status_due_mono_ns = stamps.t_decoded_mono_ns + self._status_interval_ns
            self._publish(self._composer.status(view, stamps.t_rx_utc_ns))
        if view.device_idx not in self._snapshots or view.device_idx in self._alerted:
            self.active(view, stamps)

    def active(self, view: DeviceView, stamps: Stamps) -> None:
        """Publish the snapshot of a device's raised alerts."""
        self._alerted.discard(view.device_idx)
        self._snapshots.add(view.device_idx)
        raised = self.ledger.of_device(view.id)
        self._publish(self._composer.active(view, raised, stamps.t_rx_utc_ns))


def _what_matters(view: DeviceView) -> tuple[object, ...]:
    """Choose the fields of a state that a person acts on; millivolts and degrees ride along."""
    told = view.status
    return (
        view.comms,
        view.location,
        view.fix_state,
        (view.battery_pct, view.firmware, view.smart_tag, view.sos, view.standing),
        tuple(view.wearer_pairs.values()),
        tuple(pair.band for pair in view.protected_pairs.values()),
        (told.strap, told.case, told.shielded, told.jamming, told.battery_pct, told.charging, told.firmware)
        if told is not None
        else None,
    )
