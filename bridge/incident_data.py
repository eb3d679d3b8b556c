"""What the control centre is told of an incident: never the protected person's position, distance or bearing."""

from bridge.identity import Identity
from bridge.incident import Cause, Incident
from bridge.incidents import IncidentBook
from protocols.cap import cap_xml
from protocols.mqtt.messages import CapStatus, Delivery, IncidentData, MsgType, PartyBand
from protocols.mqtt.times import utc_text

_MSG_TYPE = {"opened": MsgType.ALERT, "updated": MsgType.UPDATE, "closed": MsgType.CANCEL}


def incident_data(incident: Incident, *, status: CapStatus, delivery: Delivery) -> IncidentData:
    """Say how an incident stands."""
    gravest, last = incident.gravest, incident.event
    is_closed = incident.state == "closed"
    references = tuple(dict.fromkeys((incident.first_event_id, last.id))) if last is not None else ()
    party = None
    if incident.key.cause is Cause.PROXIMITY and incident.key.about:
        assert incident.band is not None
        party = PartyBand(ref=incident.key.about, band=incident.band)
    updated_at = utc_text(incident.updated_utc_ns)
    return IncidentData(
        incident_id=incident.incident_id,
        msg_type=_MSG_TYPE[incident.state],
        state=incident.state,
        status=status,
        references=references,
        cause=incident.kind,
        severity=gravest.severity,
        urgency=gravest.urgency if incident.raised else "Past",
        certainty=gravest.certainty,
        tag=incident.key.subject,
        zone=incident.zone,
        protected_party=party,
        opened_at=utc_text(incident.opened_utc_ns),
        updated_at=updated_at,
        closed_at=updated_at if is_closed else None,
        occurrences=incident.occurrences,
        reason=_reason(incident),
        position=incident.position,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        evidence=incident.evidence,
        evidence_left_out=incident.evidence_left_out,
        delivery=delivery,
    )


def find_cap(book: IncidentBook, incident_id: str, identity: Identity) -> str | None:
    """Write an incident's newest message as CAP 1.2; None: it is not known, or was not told yet."""
    incident = book.find(incident_id)
    if incident is None or incident.event is None:
        return None
    sender = f"urn:em:{identity.agency}:{identity.bridge_id}"
    return cap_xml(incident.event, sender=sender, addresses=(identity.agency,), first_sent=incident.first_event_at)


def _reason(incident: Incident) -> str:
    """Say in words what is raised, newest last."""
    if incident.state == "closed":
        return "over: nothing of it came back"
    if not incident.raised:
        return (
            f"over since {utc_text(incident.quiet_utc_ns or incident.updated_utc_ns)}; kept open in case it comes back"
        )
    return "; ".join(dict.fromkeys(part.reason for part in incident.raised))
