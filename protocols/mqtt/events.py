"""Events: the CloudEvents envelope, and what each topic carries in it."""

from typing import Annotated, Literal

import msgspec

from protocols.mqtt.bridge_data import BridgeStatusData, HeartbeatData, ReplyData
from protocols.mqtt.device_data import (
    ActiveData,
    AlertData,
    PositionData,
    ProtectedAlertData,
    ProtectedStatusData,
    StatusData,
    WarningData,
)
from protocols.mqtt.incident_data import IncidentData

SequenceNumber = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{20}(?!\n)$")]
"""Twenty digits: order as text is order as number."""

EventTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Event(msgspec.Struct, frozen=True):
    """Envelope without its data: all that routing and counting need."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: EventTime
    datacontenttype: Literal["application/json"]
    sequence: SequenceNumber
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


class ReplyEvent(Event, frozen=True):
    """``{root}/bridge/{id}/reply``."""

    data: ReplyData


class IncidentEvent(Event, frozen=True):
    """``{root}/control/{tag}/incident``."""

    data: IncidentData


WearerEvent = AlertEvent | ActiveEvent | PositionEvent | StatusEvent
"""All that may stand below ``{root}/tag/``."""
ProtectedEvent = ProtectedAlertEvent | ActiveEvent | PositionEvent | ProtectedStatusEvent | WarningEvent
"""All that may stand below ``{root}/protected/``."""
BridgeEvent = BridgeStatusEvent | HeartbeatEvent | ReplyEvent
"""All that a bridge tells below ``{root}/bridge/``."""
ControlEvent = IncidentEvent
"""All that may stand below ``{root}/control/``."""
CountedEvent = AlertEvent | ProtectedAlertEvent | WarningEvent
"""Alerts and steps of warnings."""
DeliveredEvent = CountedEvent | IncidentEvent | ReplyEvent
"""Events that are sent until they are delivered; their ``delivery.attempt`` counts."""

DELIVERED: dict[str, type[DeliveredEvent]] = {
    kind.__name__: kind for kind in (AlertEvent, ProtectedAlertEvent, WarningEvent, IncidentEvent, ReplyEvent)
}
"""Events that are sent until they are delivered, by the name under which an outbox may keep their kind."""
