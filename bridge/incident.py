"""An incident: alerts of one cause, as they stand; also as they are kept over a restart."""

from enum import StrEnum, unique
from typing import Literal

import msgspec

from bridge.alerts.change import Change
from bridge.publisher import Saved
from protocols.mqtt.messages import (
    AlertKind,
    BandName,
    Certainty,
    Evidence,
    IncidentEvent,
    Position,
    Severity,
    Urgency,
    ZoneRef,
)
from protocols.mqtt.times import utc_text

ROOM = "incident/"
"""Start of the keys of this room."""

SEVEREST_FIRST: tuple[Severity, ...] = ("Extreme", "Severe", "Moderate", "Minor")


@unique
class Cause(StrEnum):
    """What alerts are grouped by, beside whom they are about."""

    PROXIMITY = "proximity"
    ZONE = "zone"
    TAMPER = "tamper"
    CALL = "call"
    FORGERY = "forgery"
    INTERFERENCE = "interference"
    SILENCE = "silence"
    POWER = "power"
    COVER = "cover"


_CAUSE_OF: dict[AlertKind, Cause] = {
    AlertKind.EXCLUSION_ZONE_ENTERED: Cause.ZONE,
    AlertKind.INCLUSION_ZONE_LEFT: Cause.ZONE,
    AlertKind.PROXIMITY_BREACH: Cause.PROXIMITY,
    AlertKind.BEACON_HEARD: Cause.PROXIMITY,
    AlertKind.PROTECTED_PERSON_NOT_WARNED: Cause.PROXIMITY,
    AlertKind.STRAP_TAMPER: Cause.TAMPER,
    AlertKind.CASE_TAMPER: Cause.TAMPER,
    AlertKind.SOS: Cause.CALL,
    AlertKind.BEACON_FORGED: Cause.FORGERY,
    AlertKind.SHIELDING_SUSPECTED: Cause.INTERFERENCE,
    AlertKind.JAMMING_SUSPECTED: Cause.INTERFERENCE,
    AlertKind.COMMS_LOST: Cause.SILENCE,
    AlertKind.LOCATION_LOST: Cause.SILENCE,
    AlertKind.BATTERY_LOW: Cause.POWER,
    AlertKind.BATTERY_CRITICAL: Cause.POWER,
    AlertKind.COVER_LOST: Cause.COVER,
}


class IncidentKey(msgspec.Struct, frozen=True):
    """What an incident is about: the device that its topic names, the cause, and the other person or the zone."""

    subject: str
    cause: Cause
    about: str = ""


class RaisedPart(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of an incident that is raised."""

    alert_id: str
    kind: AlertKind
    severity: Severity
    urgency: Urgency
    certainty: Certainty
    band: BandName | None
    reason: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as it stands; also as it is kept over a restart.

    Attributes
    ----------
    incident_id : str
        Made of the id of the alert event that opened it.
    key : IncidentKey
    kind : AlertKind
        Of the alert that opened it.
    state : str
    peak : RaisedPart
        The gravest alert so far.
    raised : tuple of RaisedPart
        What is raised now.
    zone, position : optional
        Of the wearer's alerts; never of the protected person's.
    opened_utc_ns, updated_utc_ns : int
        ``updated``: when what a person acts on changed.
    quiet_utc_ns : int or None
        Since when nothing is raised.
    occurrences : int
        How often it was raised anew after a quiet time, the first included.
    first_event_id, first_event_at : str
        Of its first message; empty until that was made.
    event : IncidentEvent or None
        Its newest message.
    """

    incident_id: str
    key: IncidentKey
    kind: AlertKind
    state: Literal["opened", "updated", "closed"]
    peak: RaisedPart
    raised: tuple[RaisedPart, ...]
    opened_utc_ns: int
    updated_utc_ns: int
    evidence: tuple[Evidence, ...]
    zone: ZoneRef | None = None
    position: Position | None = None
    quiet_utc_ns: int | None = None
    occurrences: int = 1
    evidence_left_out: int = 0
    acknowledged_at: str | None = None
    acknowledged_by: str | None = None
    first_event_id: str = ""
    first_event_at: str = ""
    event: IncidentEvent | None = None

    @property
    def gravest(self) -> RaisedPart:
        """The gravest alert that is raised; of a quiet incident the gravest that was."""
        return min(self.raised, key=lambda part: SEVEREST_FIRST.index(part.severity), default=self.peak)

    @property
    def band(self) -> BandName | None:
        """Band of its pair."""
        if self.key.cause is not Cause.PROXIMITY:
            return None
        known = [part.band for part in self.raised if part.band is not None]
        if known:
            return known[-1]
        return BandName.UNKNOWN if self.raised else BandName.CLEAR

    @property
    def is_told(self) -> bool:
        """Whether its newest message says what is so."""
        return self.event is not None and self.event.data.updated_at == utc_text(self.updated_utc_ns)

    def summary(self) -> tuple[object, ...]:
        """List what a person acts on: a message goes out when it changes."""
        kinds = frozenset(part.kind for part in self.raised)
        return (kinds, self.gravest.severity, self.band, self.state == "closed", self.occurrences, self.acknowledged_by)


def incident_key(change: Change, *, hers: bool) -> IncidentKey:
    """Say which incident an alert belongs to; ``hers``: it stands on the protected person's side.

    Both sides of a pair are one incident, which stands under the wearer.
    """
    key = change.key
    cause = _CAUSE_OF[key.kind]
    if key.kind is AlertKind.PROTECTED_PERSON_NOT_WARNED and not key.about:
        # Of her own call: nothing tells her that it was heard.
        return IncidentKey(key.device_id, Cause.CALL)
    if hers and cause in {Cause.PROXIMITY, Cause.FORGERY} and key.about:
        return IncidentKey(key.about, cause, key.device_id)
    return IncidentKey(key.device_id, cause, key.about)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Incident)


def save_incident(incident: Incident) -> Saved:
    """Keep an incident over a restart."""
    return Saved(owner=incident.key.subject, key=f"{ROOM}{incident.incident_id}", value=_encoder.encode(incident))


def read_incident(value: bytes) -> Incident:
    """Read what ``save_incident`` kept.

    Raises
    ------
    msgspec.MsgspecError
        It is not one.
    """
    return _decoder.decode(value)
