"""Data of an incident: alerts of one cause, for the force control centre.

It holds what a wearer-side reader may know, never the protected person's position, distance or bearing.
"""

from typing import Literal

import msgspec

from protocols.mqtt.parts import Delivery, PartyBand, Position, ZoneRef
from protocols.mqtt.words import AlertKind, CapStatus, Certainty, MsgType, Severity, Urgency


class Evidence(msgspec.Struct, frozen=True):
    """An alert event that belongs to an incident; ``source`` and ``id`` find it on the alert topic."""

    source: str
    id: str
    sequence: str
    kind: AlertKind
    msg_type: MsgType
    at: str


class IncidentData(msgspec.Struct, frozen=True):
    """One event in the life of an incident: opened, updated, closed.

    ``tag`` is the device that the topic names. ``occurrences`` counts how often the cause came back before the incident
    was closed for good. ``evidence`` lists the first alert and the newest ones; ``evidence_left_out`` more do not fit.
    """

    incident_id: str
    msg_type: MsgType
    state: Literal["opened", "updated", "closed"]
    status: CapStatus
    references: tuple[str, ...]
    cause: AlertKind
    severity: Severity
    urgency: Urgency
    certainty: Certainty
    tag: str
    zone: ZoneRef | None
    protected_party: PartyBand | None
    opened_at: str
    updated_at: str
    closed_at: str | None
    occurrences: int
    reason: str
    position: Position | None
    acknowledged_at: str | None
    acknowledged_by: str | None
    evidence: tuple[Evidence, ...]
    evidence_left_out: int
    delivery: Delivery
