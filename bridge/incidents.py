"""Incidents: alerts of one cause grouped, so that a control centre hears of an episode once. Pure; time is data.

::

    alert events -> IncidentBook -> Incident opened | updated | closed

An incident is about one cause: a pair, a wearer's zone, a device's tampering, a call for help. An alert of CAP severity
Extreme opens it, and so does one of ``EMERGENCIES``; every alert of its cause belongs to it while it is open. It is
quiet once none of them is raised, and closed after a quiet time: who comes back sooner is the same incident. What is
told late is no incident of now.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile

from msgspec.structs import replace

from bridge.alerts.change import Change
from bridge.incident import ROOM, SEVEREST_FIRST, Incident, IncidentKey, RaisedPart, incident_key, save_incident
from bridge.publisher import Saved
from protocols.mqtt.messages import AlertEvent, AlertKind, Evidence, IncidentEvent, MsgType, ProtectedAlertEvent
from protocols.mqtt.times import utc_text

EMERGENCIES = frozenset({AlertKind.INCLUSION_ZONE_LEFT, AlertKind.SHIELDING_SUSPECTED, AlertKind.JAMMING_SUSPECTED})
"""What is less than Extreme and an emergency all the same: a monitored person must be where he was ordered to be, and
misuse of the equipment is a matter for the police."""

MAX_EVIDENCE = 16
"""Alert events that an incident lists: the first, and the newest. 16 take about 3 kB of a body's 16; those between are
on the alert topics, in order."""

MAX_CLOSED = 200
"""Closed incidents that can still be asked for as CAP, about 4 kB each; a control centre asks within hours."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An incident after an alert event; ``is_news``: a message about it is due."""

    incident: Incident
    is_news: bool


class IncidentBook:
    """The incidents that are open, at most one for each cause, and the newest of those that were closed.

    Parameters
    ----------
    renotify_ns : int
        How long an incident must be quiet to be closed; 0: it is closed at once.
    """

    def __init__(self, renotify_ns: int) -> None:
        self._renotify_ns = renotify_ns
        self._open: dict[IncidentKey, Incident] = {}
        self._key_of: dict[str, IncidentKey] = {}
        self._quiet_mono_ns: dict[IncidentKey, int] = {}
        """When they may be closed, soonest first: all wait equally long from when they fell quiet."""
        self._closed: OrderedDict[str, Incident] = OrderedDict()

    def open(self) -> tuple[Incident, ...]:
        """List the open incidents."""
        return tuple(self._open.values())

    def untold(self) -> tuple[Incident, ...]:
        """List the incidents whose newest message does not say what is so."""
        return tuple(each for each in (*self._open.values(), *self._closed.values()) if not each.is_told)

    def find(self, incident_id: str) -> Incident | None:
        """Look up an incident, open or among the newest closed ones."""
        key = self._key_of.get(incident_id)
        return self._open[key] if key is not None else self._closed.get(incident_id)

    def take(
        self, change: Change, step: MsgType, event: AlertEvent | ProtectedAlertEvent, now_mono_ns: int
    ) -> Taken | None:
        """Take an alert event; None: it belongs to no incident."""
        if change.key.late:
            return None
        key = incident_key(change, hers=isinstance(event, ProtectedAlertEvent))
        data = event.data
        now_utc_ns = change.stamps.t_rx_utc_ns
        known = self._open.get(key)
        part = RaisedPart(
            alert_id=data.alert_id,
            kind=data.kind,
            severity=data.severity,
            urgency=data.urgency,
            certainty=data.certainty,
            band=change.band,
            reason=data.reason,
        )
        proof = Evidence(
            source=event.source, id=event.id, sequence=event.sequence, kind=data.kind, msg_type=step, at=event.time
        )
        if known is None:
            if step is MsgType.CANCEL or (data.severity != "Extreme" and data.kind not in EMERGENCIES):
                return None
            after = Incident(
                incident_id=f"INC-{event.id}",
                key=key,
                kind=data.kind,
                state="opened",
                peak=part,
                raised=(part,),
                opened_utc_ns=now_utc_ns,
                updated_utc_ns=now_utc_ns,
                evidence=(proof,),
            )
        else:
            after = _with_part(_with_proof(known, proof), part, step, now_utc_ns)
        if isinstance(event, AlertEvent):
            after = replace(after, zone=event.data.zone or after.zone, position=event.data.position or after.position)
        return self._put(known, after, now_utc_ns, now_mono_ns)

    def next_due_mono_ns(self) -> int | None:
        """When ``take_due`` has something to close."""
        return next(iter(self._quiet_mono_ns.values()), None)

    def take_due(self, now_mono_ns: int, now_utc_ns: int) -> list[Incident]:
        """Close what was quiet long enough."""
        due = takewhile(lambda item: item[1] <= now_mono_ns, self._quiet_mono_ns.items())
        return [self._close(key, now_utc_ns) for key, _ in list(due)]

    def acknowledge(self, event_id: str, by: str, at_utc_ns: int) -> Incident | None:
        """Note that somebody has taken up an alert; None: it is in no open incident, or was taken up before."""
        for key, known in self._open.items():
            ids = {proof.id for proof in known.evidence} | {part.alert_id for part in known.raised}
            if event_id in ids and known.acknowledged_by is None:
                after = replace(
                    known,
                    state="updated",
                    acknowledged_by=by,
                    acknowledged_at=utc_text(at_utc_ns),
                    updated_utc_ns=at_utc_ns,
                )
                self._open[key] = after
                return after
        return None

    def note(self, incident_id: str, event: IncidentEvent) -> list[Saved]:
        """Note the newest message about an incident; return what is to be kept with it."""
        key = self._key_of.get(incident_id)
        if key is not None:
            self._open[key] = _with_event(self._open[key], event)
            return [save_incident(self._open[key])]
        known = self._closed[incident_id]
        self._closed[incident_id] = _with_event(known, event)
        saved = [save_incident(self._closed[incident_id])]
        while len(self._closed) > MAX_CLOSED:
            _, oldest = self._closed.popitem(last=False)
            saved.append(Saved(owner=oldest.key.subject, key=f"{ROOM}{oldest.incident_id}", value=None))
        return saved

    def restore(self, incident: Incident, now_mono_ns: int, now_utc_ns: int) -> None:
        """Take up an incident of an earlier start; its quiet time went on meanwhile."""
        if incident.state == "closed":
            self._closed[incident.incident_id] = incident
            return
        self._open[incident.key] = incident
        self._key_of[incident.incident_id] = incident.key
        if incident.quiet_utc_ns is not None:
            left_ns = self._renotify_ns - max(0, now_utc_ns - incident.quiet_utc_ns)
            self._quiet_mono_ns[incident.key] = now_mono_ns + max(0, left_ns)
            self._quiet_mono_ns = dict(sorted(self._quiet_mono_ns.items(), key=lambda item: item[1]))

    def drop_alerts(self, raised_ids: frozenset[str], now_mono_ns: int, now_utc_ns: int) -> list[Incident]:
        """Settle incidents whose alerts are not raised any more; ``raised_ids``: all alerts that are."""
        found = []
        for known in self.open():
            left = tuple(part for part in known.raised if part.alert_id in raised_ids)
            if left != known.raised:
                quiet_utc_ns = None if left else now_utc_ns
                taken = self._put(
                    known, replace(known, raised=left, quiet_utc_ns=quiet_utc_ns), now_utc_ns, now_mono_ns
                )
                found.append(taken.incident)
        return found

    def _put(self, known: Incident | None, after: Incident, now_utc_ns: int, now_mono_ns: int) -> Taken:
        is_news = known is None or known.summary() != after.summary()
        if known is not None and is_news:
            after = replace(after, state="updated", updated_utc_ns=now_utc_ns)
        self._open[after.key] = after
        self._key_of[after.incident_id] = after.key
        if after.raised:
            self._quiet_mono_ns.pop(after.key, None)
        elif known is None or known.quiet_utc_ns is None:
            self._quiet_mono_ns[after.key] = now_mono_ns + self._renotify_ns
        if not after.raised and not self._renotify_ns:
            return Taken(self._close(after.key, now_utc_ns), True)
        return Taken(after, is_news)

    def _close(self, key: IncidentKey, now_utc_ns: int) -> Incident:
        self._quiet_mono_ns.pop(key, None)
        closed = replace(self._open.pop(key), state="closed", updated_utc_ns=now_utc_ns)
        del self._key_of[closed.incident_id]
        self._closed[closed.incident_id] = closed
        return closed


def _with_part(known: Incident, part: RaisedPart, step: MsgType, now_utc_ns: int) -> Incident:
    others = tuple(each for each in known.raised if each.alert_id != part.alert_id)
    if step is MsgType.CANCEL:
        quiet_utc_ns = known.quiet_utc_ns if others or known.quiet_utc_ns is not None else now_utc_ns
        return replace(known, raised=others, quiet_utc_ns=quiet_utc_ns)
    if part.kind is AlertKind.PROXIMITY_BREACH:
        # The other side of the pair says the same in the next message.
        others = tuple(replace(part, alert_id=each.alert_id) if each.kind is part.kind else each for each in others)
    peak = min(known.peak, part, key=lambda each: SEVEREST_FIRST.index(each.severity))
    returned = known.quiet_utc_ns is not None
    return replace(
        known, raised=(*others, part), peak=peak, quiet_utc_ns=None, occurrences=known.occurrences + int(returned)
    )


def _with_event(known: Incident, event: IncidentEvent) -> Incident:
    if known.first_event_id:
        return replace(known, event=event)
    return replace(known, event=event, first_event_id=event.id, first_event_at=event.time)


def _with_proof(known: Incident, proof: Evidence) -> Incident:
    evidence = (*known.evidence, proof)
    if len(evidence) <= MAX_EVIDENCE:
        return replace(known, evidence=evidence)
    kept = (evidence[0], *evidence[2:])
    return replace(known, evidence=kept, evidence_left_out=known.evidence_left_out + 1)
