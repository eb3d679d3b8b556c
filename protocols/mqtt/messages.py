"""Payloads of the contract: CloudEvents 1.0 envelope, GeoJSON positions, the words of CAP 1.2.

The privacy wall is a matter of types: what goes to ``{root}/tag/...`` has no field that could hold the protected
person's position, distance or bearing; those stand in ``ProximityDetail`` and the ``Protected...`` structs, which only
``{root}/protected/...`` carries.

Readers ignore unknown fields (a later bridge may add some), so these structs do too; what a *person* writes, the
configuration, is strict. Fields are encoded in the order they stand here: equal inputs give equal bytes.
"""

from typing import Literal, TypeVar

import msgspec

from protocols.mqtt.words import STATE_OF as STATE_OF
from protocols.mqtt.words import AlertKind as AlertKind
from protocols.mqtt.words import BandName as BandName
from protocols.mqtt.words import CapStatus as CapStatus
from protocols.mqtt.words import Certainty as Certainty
from protocols.mqtt.words import MsgType as MsgType
from protocols.mqtt.words import OnOff as OnOff
from protocols.mqtt.words import Severity as Severity
from protocols.mqtt.words import SmartTagState, WarnCause, WarnLevelName, WarnTextName
from protocols.mqtt.words import Urgency as Urgency
from protocols.mqtt.words import WarningStep as WarningStep

MAX_PAYLOAD_BYTES = 16_384
"""Largest body. The contract's cap: a provider sizes its buffers by it; a longer one is cut by some brokers."""

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class Point(msgspec.Struct, frozen=True, tag="Point", tag_field="type"):
    """GeoJSON point: longitude, latitude and, if known, altitude in metres."""

    coordinates: tuple[float, ...]


class PositionProperties(msgspec.Struct, frozen=True):
    """What is known of a fix. ``time`` is the receiver's own; ``date_rule`` says where its date came from."""

    time: str | None
    accuracy_m: float | None
    accuracy_rule: str | None
    speed_mps: float | None
    course_deg: float | None
    fix: str
    date_rule: str
    stored: bool
    late: bool


class Position(msgspec.Struct, frozen=True, tag="Feature", tag_field="type"):
    """GeoJSON feature."""

    geometry: Point
    properties: PositionProperties


class ZoneRef(msgspec.Struct, frozen=True):
    """The zone an alert is about."""

    id: str
    type: Literal["exclusion", "inclusion"]
    name: str | None


class PartyBand(msgspec.Struct, frozen=True):
    """All that a wearer-side reader learns about the protected person: a reference and a band."""

    ref: str
    band: BandName


class DeviceState(msgspec.Struct, frozen=True):
    """The tag about itself when the alert was detected; null where it never said."""

    battery_pct: int | None = None
    strap: str | None = None
    case: str | None = None


class Delivery(msgspec.Struct, frozen=True):
    """``attempt`` counts the sendings of one id; ``epoch`` names the start of the bridge that numbered it."""

    attempt: int
    durable: bool
    epoch: str


class Trace(msgspec.Struct, frozen=True):
    """When the alert passed each stage, CLOCK_MONOTONIC of the machine whose boot is ``boot_id``."""

    boot_id: str
    device_id: str
    rx_mono_ns: int
    decoded_mono_ns: int
    judged_mono_ns: int
    submitted_mono_ns: int


class AlertLife(msgspec.Struct, frozen=True):
    """One event in the life of an alert: what both sides of the wall are told."""

    alert_id: str
    msg_type: MsgType
    status: CapStatus
    references: tuple[str, ...]
    kind: AlertKind
    severity: Severity
    urgency: Urgency
    certainty: Certainty
    state: Literal["raised", "updated", "cleared"]
    occurred_at: str
    detected_at: str
    enqueued_at: str
    clock: Literal["synced", "unsynced", "unknown"]
    late: bool
    stored: bool
    level: str | None
    reason: str
    position: Position | None
    device: DeviceState
    delivery: Delivery
    trace: Trace


class AlertData(AlertLife, frozen=True):
    """As wearer-side readers and the provider get it."""

    zone: ZoneRef | None
    protected_party: PartyBand | None


class ProximityDetail(msgspec.Struct, frozen=True):
    """A pair as seen from the protected person. Distance and bearing (from her to him) are null while unknown."""

    wearer: str
    band: BandName
    distance_m: float | None
    bearing_deg: float | None


class ProtectedAlertData(AlertLife, frozen=True):
    """As it stands on the protected person's side."""

    proximity: ProximityDetail | None


class ActiveAlert(msgspec.Struct, frozen=True):
    """An alert that is raised now."""

    alert_id: str
    kind: AlertKind
    severity: Severity
    raised_at: str
    zone_id: str | None = None
    ref: str | None = None
    band: BandName | None = None


class ActiveData(msgspec.Struct, frozen=True):
    """Retained snapshot; empty list: nothing is raised. It reflects all alerts up to ``alert_sequence``.

    ``truncated`` alerts are raised too and did not fit; those listed are then the most severe ones.
    """

    alert_sequence: str
    alerts: tuple[ActiveAlert, ...]
    epoch: str
    truncated: int = 0


class PositionData(msgspec.Struct, frozen=True):
    """One fix that gave a position."""

    position: Position
    epoch: str


class WearerPair(msgspec.Struct, frozen=True):
    """Band to one protected person, in the wearer's status."""

    ref: str
    band: BandName


class StatusData(msgspec.Struct, frozen=True):
    """Retained state of a wearer's device. ``kind`` is what the configuration calls it."""

    comms: Literal["up", "lost", "unknown"]
    location: Literal["valid", "lost", "unknown"]
    last_fix_at: str | None
    fix_state: str | None
    strap: str | None
    case: str | None
    shielded: bool | None
    jamming: int | None
    battery_pct: int | None
    battery_mv: int | None
    charging: bool | None
    motion: bool | None
    temperature_c: float | None
    firmware: str | None
    pairs: tuple[WearerPair, ...]
    epoch: str
    kind: str | None = None


class StandingWarning(msgspec.Struct, frozen=True):
    """What her tag was asked to show last, and the last step of it."""

    level: WarnLevelName
    text: WarnTextName
    step: WarningStep
    warn_id: int
    since: str


class ProtectedStatusData(msgspec.Struct, frozen=True):
    """Retained state of a protected person's device.

    ``smart_tag`` is ``none_issued`` where nobody could warn her; null for a device that is not a person's reference.
    """

    comms: Literal["up", "lost", "unknown"]
    location: Literal["valid", "lost", "unknown"]
    last_fix_at: str | None
    fix_state: str | None
    battery_pct: int | None
    battery_mv: int | None
    charging: bool | None
    firmware: str | None
    pairs: tuple[ProximityDetail, ...]
    epoch: str
    kind: str | None = None
    smart_tag: SmartTagState | None = None
    smart_tag_id: str | None = None
    sos: bool | None = None
    warning: StandingWarning | None = None


class WarningLatency(msgspec.Struct, frozen=True):
    """Milliseconds between the stages that were reached, on the bridge's monotonic clock.

    ``fix_to_...`` count from when the first byte of what made the warning was read: a fix, a sighting, her call.
    """

    fix_to_asked_ms: float | None = None
    fix_to_written_ms: float | None = None
    fix_to_started_ms: float | None = None
    asked_to_written_ms: float | None = None
    written_to_started_ms: float | None = None
    started_to_acknowledged_ms: float | None = None


class WarningTrace(msgspec.Struct, frozen=True):
    """When a warning passed each stage, CLOCK_MONOTONIC of the machine whose boot is ``boot_id``."""

    boot_id: str
    rx_mono_ns: int | None
    asked_mono_ns: int | None
    written_mono_ns: int | None
    started_mono_ns: int | None
    acknowledged_mono_ns: int | None


class WarningData(msgspec.Struct, frozen=True):
    """One step in the life of a warning. ``repeat`` counts how often she was warned of the same before.

    ``age_s`` is set where the tag told of something that lay back. A warning holds neither position nor distance.
    """

    step: WarningStep
    smart_tag: str
    warn_id: int | None
    level: WarnLevelName | None
    text: WarnTextName | None
    cause: WarnCause | None
    wearer: str | None
    repeat: int
    reason: str
    occurred_at: str
    age_s: float | None
    latency: WarningLatency
    delivery: Delivery
    trace: WarningTrace


class BridgeStatusData(msgspec.Struct, frozen=True):
    """Birth and will of a bridge."""

    state: OnOff
    reason: str
    version: str
    boot_id: str
    epoch: str


class OutboxDepth(msgspec.Struct, frozen=True):
    """What waits to be delivered, and what was lost; counts since the bridge started.

    ``without_subscriber`` counts alerts that met nobody at least once, ``unheard_alerts`` those that still wait for a
    subscriber, ``positions_unheard`` positions that were dropped for want of one.
    """

    alerts: int
    states: int
    positions: int
    in_flight: int
    oldest_alert_age_s: float
    positions_dropped: int
    rejected: int
    without_subscriber: int
    unheard_alerts: int
    positions_unheard: int
    reconnects: int


class HeartbeatData(msgspec.Struct, frozen=True):
    """Every ten seconds; silence is an alarm at the provider.

    ``fixes`` and ``alerts`` count all that were heard and published since the start. The last sequence number of each
    device stands in its ``active`` snapshot: a list of them here would grow with the devices.
    """

    uptime_s: float
    devices: int
    devices_heard: int
    fixes: int
    alerts: int
    outbox: OutboxDepth
    durable: bool
    epoch: str


class Event(msgspec.Struct, frozen=True):
    """Envelope without its data: all that routing and counting need."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    sequence: str
    priority: Literal["alert", "state", "position"]


class AlertEvent(Event, frozen=True):
    """``{root}/tag/{tag}/alert``."""

    data: AlertData


class ProtectedAlertEvent(Event, frozen=True):
    """``{root}/protected/{ref}/alert``."""

    data: ProtectedAlertData


class ActiveEvent(Event, frozen=True):
    """``.../active``."""

    data: ActiveData


class PositionEvent(Event, frozen=True):
    """``.../position``."""

    data: PositionData


class StatusEvent(Event, frozen=True):
    """``{root}/tag/{tag}/status``."""

    data: StatusData


class ProtectedStatusEvent(Event, frozen=True):
    """``{root}/protected/{ref}/status``."""

    data: ProtectedStatusData


class WarningEvent(Event, frozen=True):
    """``{root}/protected/{ref}/warning``."""

    data: WarningData


class BridgeStatusEvent(Event, frozen=True):
    """``{root}/bridge/{id}/status``."""

    data: BridgeStatusData


class HeartbeatEvent(Event, frozen=True):
    """``{root}/bridge/{id}/heartbeat``."""

    data: HeartbeatData


WearerEvent = AlertEvent | ActiveEvent | PositionEvent | StatusEvent
"""All that may stand below ``{root}/tag/``."""
ProtectedEvent = ProtectedAlertEvent | ActiveEvent | PositionEvent | ProtectedStatusEvent | WarningEvent
"""All that may stand below ``{root}/protected/``."""
BridgeEvent = BridgeStatusEvent | HeartbeatEvent
"""All that may stand below ``{root}/bridge/``."""

_encoder = msgspec.json.Encoder()
_EventT = TypeVar("_EventT", bound=Event)


class PayloadTooLargeError(ValueError):
    """A body longer than ``MAX_PAYLOAD_BYTES``."""


def encode(event: Event) -> bytes:
    """JSON of an event; the same event always gives the same bytes.

    Raises
    ------
    PayloadTooLargeError
        The body would be longer than the contract allows.
    """
    body = _encoder.encode(event)
    if len(body) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(
            f"event {event.id} of {event.source} has {len(body)} bytes; at most {MAX_PAYLOAD_BYTES} are allowed"
        )
    return body


def encoded_length(part: msgspec.Struct) -> int:
    """Bytes that a part of an event takes in its body."""
    return len(_encoder.encode(part))


def decode(body: bytes, kind: type[_EventT]) -> _EventT:
    """Validate and read a body.

    Raises
    ------
    msgspec.ValidationError
        A field is missing or of the wrong type; the message has its path.
    msgspec.DecodeError
        The body is not JSON.
    """
    return msgspec.json.decode(body, type=kind)


CountedEvent = AlertEvent | ProtectedAlertEvent | WarningEvent
"""Events that are sent until they are delivered; ``delivery.attempt`` counts."""


def with_attempt(body: bytes, kind: type[CountedEvent], attempt: int) -> bytes:
    """Return the same event as its ``attempt``-th sending; id, sequence and all else stay.

    A body that one more digit would make too long is returned as it is: it must go out again all the same.
    """
    event = decode(body, kind)
    delivery = msgspec.structs.replace(event.data.delivery, attempt=attempt)
    again = _encoder.encode(msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, delivery=delivery)))
    return again if len(again) <= MAX_PAYLOAD_BYTES else body
