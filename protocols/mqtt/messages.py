"""Payloads of the contract, by their one door: CloudEvents 1.0 envelope, GeoJSON positions, the words of CAP 1.2.

Readers ignore unknown fields (a later bridge may add some), so these structs do too; what a *person* writes, an order
or the configuration, is strict. Fields are encoded in the order they stand in their struct: equal inputs give equal
bytes.
"""

from typing import TypeVar

import msgspec

from protocols.mqtt.bridge_data import (
    BridgeStatusData,
    CapResult,
    CountResult,
    DeviceResult,
    HeartbeatData,
    OrderResult,
    OutboxDepth,
    PathState,
    PongResult,
    ReplayResult,
    ReplyData,
    ReplyResult,
    StatusResult,
    StreamMark,
    WarnResult,
)
from protocols.mqtt.device_data import (
    ActiveAlert,
    ActiveData,
    AlertData,
    AlertLife,
    PositionData,
    ProtectedAlertData,
    ProtectedStatusData,
    ProximityDetail,
    StandingWarning,
    StatusData,
    WarningData,
    WarningLatency,
    WarningTrace,
    WearerPair,
)
from protocols.mqtt.events import (
    DELIVERED,
    ActiveEvent,
    AlertEvent,
    BridgeEvent,
    BridgeStatusEvent,
    ControlEvent,
    CountedEvent,
    DeliveredEvent,
    Event,
    HeartbeatEvent,
    IncidentEvent,
    PositionEvent,
    ProtectedAlertEvent,
    ProtectedEvent,
    ProtectedStatusEvent,
    ReplyEvent,
    StatusEvent,
    WarningEvent,
    WearerEvent,
)
from protocols.mqtt.incident_data import Evidence, IncidentData
from protocols.mqtt.parts import Delivery, DeviceState, PartyBand, Point, Position, PositionProperties, Trace, ZoneRef
from protocols.mqtt.refusal import RefusalReason
from protocols.mqtt.words import (
    STATE_OF,
    AlertKind,
    BandName,
    CanaryState,
    CapStatus,
    Certainty,
    ClockState,
    DiskState,
    MsgType,
    OnOff,
    Presence,
    ReplyState,
    Severity,
    Urgency,
    WarningStep,
)

__all__ = [
    "CONTENT_TYPE",
    "DELIVERED",
    "MAX_PAYLOAD_BYTES",
    "STATE_OF",
    "ActiveAlert",
    "ActiveData",
    "ActiveEvent",
    "AlertData",
    "AlertEvent",
    "AlertKind",
    "AlertLife",
    "BandName",
    "BridgeEvent",
    "BridgeStatusData",
    "BridgeStatusEvent",
    "CanaryState",
    "CapResult",
    "CapStatus",
    "Certainty",
    "ClockState",
    "ControlEvent",
    "CountResult",
    "CountedEvent",
    "DeliveredEvent",
    "Delivery",
    "DeviceResult",
    "DeviceState",
    "DiskState",
    "Event",
    "Evidence",
    "HeartbeatData",
    "HeartbeatEvent",
    "IncidentData",
    "IncidentEvent",
    "MsgType",
    "OnOff",
    "OrderResult",
    "OutboxDepth",
    "PartyBand",
    "PathState",
    "PayloadTooLargeError",
    "Point",
    "PongResult",
    "Position",
    "PositionData",
    "PositionEvent",
    "PositionProperties",
    "Presence",
    "ProtectedAlertData",
    "ProtectedAlertEvent",
    "ProtectedEvent",
    "ProtectedStatusData",
    "ProtectedStatusEvent",
    "ProximityDetail",
    "RefusalReason",
    "ReplayResult",
    "ReplyData",
    "ReplyEvent",
    "ReplyResult",
    "ReplyState",
    "Severity",
    "StandingWarning",
    "StatusData",
    "StatusEvent",
    "StatusResult",
    "StreamMark",
    "Trace",
    "Urgency",
    "WarnResult",
    "WarningData",
    "WarningEvent",
    "WarningLatency",
    "WarningStep",
    "WarningTrace",
    "WearerEvent",
    "WearerPair",
    "ZoneRef",
    "decode",
    "encode",
    "encoded_length",
    "with_attempt",
    "with_delivery",
]

MAX_PAYLOAD_BYTES = 16_384
"""Largest body. The contract's cap: a provider sizes its buffers by it; a longer one is cut by some brokers."""

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"

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


def with_delivery(
    body: bytes, kind: type[DeliveredEvent], *, attempt: int | None = None, durable: bool | None = None
) -> bytes:
    """Return the same event as its ``attempt``-th sending, or with another word about the disk.

    Id, sequence and all else stay; what is None too. A body that would become too long is returned as it is: it must
    go out all the same.
    """
    event = decode(body, kind)
    before = event.data.delivery
    delivery = msgspec.structs.replace(
        before,
        attempt=before.attempt if attempt is None else attempt,
        durable=before.durable if durable is None else durable,
    )
    again = _encoder.encode(msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, delivery=delivery)))
    return again if len(again) <= MAX_PAYLOAD_BYTES else body


def with_attempt(body: bytes, kind: type[DeliveredEvent], attempt: int) -> bytes:
    """Return the same event as its ``attempt``-th sending."""
    return with_delivery(body, kind, attempt=attempt)
