"""After a restart: what was raised stays raised under its ids, until what raised it is known to be over.

::

    kept (ledger/, incident/) -> read_kept -> Recovery: ledger, views, zones, her desk, incidents
                                                 -> cancels of what nobody judges or hears of any more
                                                 -> a snapshot of every device

What was known of positions is not kept. A pair that was near stays near until both are heard again, or until nobody
can tell; her own call stays until her own hand ends it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from bridge.alerts import kept as alerts_room
from bridge.alerts.change import Change, Raised
from bridge.alerts.kept import KeptAlert, read_alert
from bridge.alerts.withdrawn import ZONE_KINDS, withdrawn_change
from bridge.alerts.zones import end_of_late_run
from bridge.config.schema import DeviceSection
from bridge.emitter import Emitter
from bridge.incident import ROOM as INCIDENT_ROOM
from bridge.incident import Incident, read_incident
from bridge.judge import ZoneJudge
from bridge.orders.change import withdraw
from bridge.pair_watch import PairWatch
from bridge.plan import Plan
from bridge.publisher import Saved
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn
from bridge.view import DeviceView
from bridge.warning.front import WarningFront
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind
from protocols.mqtt.topics import Side

_log = logging.getLogger(__name__)

NOT_CONFIGURED = "the device is not configured any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What earlier starts left."""

    alerts: tuple[KeptAlert, ...]
    incidents: tuple[Incident, ...]
    progress: Mapping[str, int]


def read_kept(saved: Iterable[Saved]) -> Kept:
    """Read what is kept of alerts and incidents, oldest first; other rooms are left to others.

    What cannot be read is told and left out: a bridge that does not start is worse than an alert raised anew.
    """
    alerts: list[KeptAlert] = []
    incidents: list[Incident] = []
    progress: dict[str, int] = {}
    for each in saved:
        if each.value is None:
            continue
        try:
            if each.key.startswith(alerts_room.ROOM):
                alerts.append(read_alert(each.value))
            elif each.key.startswith(INCIDENT_ROOM):
                incidents.append(read_incident(each.value))
            elif each.key == alerts_room.PROGRESS:
                progress[each.owner] = int(each.value)
        except (msgspec.MsgspecError, ValueError) as exc:
            _log.error("%s: what was kept as %s cannot be read and is left out: %s", each.owner, each.key, exc)
    alerts.sort(key=lambda alert: (alert.raised_utc_ns, alert.alert_id))
    incidents.sort(key=lambda incident: incident.updated_utc_ns)
    return Kept(alerts=tuple(alerts), incidents=tuple(incidents), progress=progress)


class Recovery:
    """Puts what was kept back into the rooms of a pipeline, before its first report.

    Parameters
    ----------
    kept : Kept
    plan : Plan
    views : mapping of str to DeviceView
        All devices by id.
    emitter : Emitter
    zones : ZoneJudge
        The one for live fixes.
    pairs : PairWatch
    warning : WarningFront
    wheel : DeadlineWheel
    alert : callable
        Takes every change.
    """

    def __init__(
        self,
        kept: Kept,
        *,
        plan: Plan,
        views: Mapping[str, DeviceView],
        emitter: Emitter,
        zones: ZoneJudge,
        pairs: PairWatch,
        warning: WarningFront,
        wheel: DeadlineWheel,
        alert: Callable[[Change], None],
    ) -> None:
        self._kept = kept
        self._plan = plan
        self._views = views
        self._emitter = emitter
        self._zones = zones
        self._pairs = pairs
        self._warning = warning
        self._wheel = wheel
        self._alert = alert
        self._gone: dict[str, DeviceView] = {}

    def run(self, stamps: Stamps, turn: Turn) -> None:
        """Restore everything; her tag first, then what is over, then the snapshots."""
        now_mono_ns = stamps.t_decoded_mono_ns
        for alert in self._kept.alerts:
            self._emitter.ledger.put(alert.key, alert.as_raised(stamps))
        for incident in self._kept.incidents:
            self._emitter.incidents.restore(incident, now_mono_ns, stamps.t_rx_utc_ns)
        for device_id, newest_utc_ns in self._kept.progress.items():
            if device_id in self._views:
                view = self._views[device_id]
                view.order.restore(newest_utc_ns)
                view.status_utc_ns = newest_utc_ns
        known = [alert for alert in self._kept.alerts if alert.device_id in self._views and not alert.late]
        for alert in known:
            with turn.failures:
                self._take_up(alert, now_mono_ns)
        self._zones.restore(
            [
                (self._views[alert.device_id].device_idx, alert.zone, alert.kind is AlertKind.EXCLUSION_ZONE_ENTERED)
                for alert in known
                if alert.kind in ZONE_KINDS and alert.zone is not None
            ]
        )
        with turn.failures:
            self._warning.restore(known, stamps, turn)
        with turn.failures:
            withdraw(self._plan, self._emitter.ledger, self._views, stamps, turn, self._alert)
        for alert in self._kept.alerts:
            with turn.failures:
                self._end(alert, stamps)
        with turn.failures:
            self._settle_incidents(stamps)
        for view in (*self._views.values(), *self._gone.values()):
            with turn.failures:
                self._emitter.active(view, stamps)

    def _take_up(self, alert: KeptAlert, now_mono_ns: int) -> None:
        """Tell a room what an alert says, so that the room finds out when it is over."""
        view = self._views[alert.device_id]
        match alert.kind:
            case AlertKind.COMMS_LOST:
                view.comms = "lost"
            case AlertKind.LOCATION_LOST:
                view.location = "lost"
            case AlertKind.PROXIMITY_BREACH:
                # The band is unknown until both are heard; if they are not, the deadline says so.
                deadline = Deadline(Due.PAIR_AGE, view.device_idx)
                self._wheel.touch(deadline, now_mono_ns + self._pairs.max_age_ns + 1)

    def _end(self, alert: KeptAlert, stamps: Stamps) -> None:
        """Cancel what nothing can end any more."""
        raised = self._emitter.ledger.find(alert.key)
        if raised is None:
            return
        if alert.device_id not in self._views:
            if alert.kind is AlertKind.SOS:
                _log.error(
                    "%s: she has called for help and is not configured any more; the call stays", alert.device_id
                )
                return
            self._cancel_gone(alert, raised, stamps)
        elif alert.late:
            self._alert(end_of_late_run(raised.last, stamps))
        elif alert.kind is AlertKind.COVER_LOST and self._warning.find_person(alert.device_id) is None:
            self._alert(withdrawn_change(raised.last, stamps))

    def _cancel_gone(self, alert: KeptAlert, raised: Raised, stamps: Stamps) -> None:
        view = self._gone.get(alert.device_id)
        if view is None:
            role: Literal["wearer", "protected"] = "protected" if alert.side is Side.PROTECTED else "wearer"
            device = DeviceSection(id=alert.device_id, transport="none:", role=role)
            view = self._gone[alert.device_id] = DeviceView(device, -1 - len(self._gone))
        change = replace(withdrawn_change(raised.last, stamps), reason=NOT_CONFIGURED)
        self._emitter.alert(change, view, stamps.t_decoded_mono_ns)

    def _settle_incidents(self, stamps: Stamps) -> None:
        """Bring incidents in line with the alerts: a crash may have come between the two."""
        raised_ids = frozenset(raised.alert_id for raised in self._emitter.ledger.all())
        self._emitter.settle_incidents(raised_ids, stamps.t_decoded_mono_ns, stamps.t_rx_utc_ns)
