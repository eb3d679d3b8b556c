"""The table of topics: what stands where, in which direction, how it is sent. Schemas and access lists follow it."""

from dataclasses import dataclass
from enum import StrEnum, unique

import msgspec

from protocols.mqtt import messages as m
from protocols.mqtt.inbound import CanaryBody, ProviderStatusBody, ReceiptBody
from protocols.mqtt.topics import Side, Stream

HEARTBEAT_EXPIRY_S = 30
"""A heartbeat older than this says nothing about now."""

COMMAND_EXPIRY_S = 60
"""What a provider should set on a command: its window is as long by default."""

CANARY_EXPIRY_S = 10
"""A canary that is still on its way after so long has told what it was sent to tell."""


@unique
class Direction(StrEnum):
    """Seen from the bridge."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One kind of topic.

    Attributes
    ----------
    side, stream
        ``{root}/{side}/{subject}/{stream}``.
    direction : Direction
    body : type
        What its messages hold; of ``cmd`` None: a signed token, see ``signed``.
    retain : bool
        The broker keeps the newest for readers who come later.
    expiry_s : int or None
        MQTT 5 message expiry; None: never.
    summary : str
        For people.
    """

    side: Side
    stream: Stream
    direction: Direction
    body: type[msgspec.Struct] | None
    summary: str
    retain: bool = False
    expiry_s: int | None = None

    @property
    def name(self) -> str:
        """Key of this kind of topic: ``tag_alert``."""
        return f"{self.side}_{self.stream}"

    def topic(self, root: str, subject: str) -> str:
        """Its topic, or a filter if ``subject`` is ``+``."""
        return f"{root}/{self.side}/{subject}/{self.stream}"


CHANNELS: tuple[Channel, ...] = (
    Channel(
        side=Side.TAG,
        stream=Stream.ALERT,
        direction=Direction.OUT,
        body=m.AlertEvent,
        summary="One event in the life of an alert about a wearer. All kinds share it: order holds per topic only.",
    ),
    Channel(
        side=Side.TAG,
        stream=Stream.ACTIVE,
        direction=Direction.OUT,
        body=m.ActiveEvent,
        retain=True,
        summary="Snapshot of the alerts that are raised for a wearer; an empty list when there are none.",
    ),
    Channel(
        side=Side.TAG,
        stream=Stream.POSITION,
        direction=Direction.OUT,
        body=m.PositionEvent,
        summary="One fix of a wearer's device.",
    ),
    Channel(
        side=Side.TAG,
        stream=Stream.STATUS,
        direction=Direction.OUT,
        body=m.StatusEvent,
        retain=True,
        summary="State of a wearer's device.",
    ),
    Channel(
        side=Side.PROTECTED,
        stream=Stream.ALERT,
        direction=Direction.OUT,
        body=m.ProtectedAlertEvent,
        summary="One event in the life of an alert about a protected person, with distance and bearing.",
    ),
    Channel(
        side=Side.PROTECTED,
        stream=Stream.ACTIVE,
        direction=Direction.OUT,
        body=m.ActiveEvent,
        retain=True,
        summary="Snapshot of the alerts that are raised for a protected person.",
    ),
    Channel(
        side=Side.PROTECTED,
        stream=Stream.POSITION,
        direction=Direction.OUT,
        body=m.PositionEvent,
        summary="One fix of a protected person's device.",
    ),
    Channel(
        side=Side.PROTECTED,
        stream=Stream.STATUS,
        direction=Direction.OUT,
        body=m.ProtectedStatusEvent,
        retain=True,
        summary="State of a protected person's device and of her smart tag.",
    ),
    Channel(
        side=Side.PROTECTED,
        stream=Stream.WARNING,
        direction=Direction.OUT,
        body=m.WarningEvent,
        summary="One step in the life of a warning to a protected person.",
    ),
    Channel(
        side=Side.CONTROL,
        stream=Stream.INCIDENT,
        direction=Direction.OUT,
        body=m.IncidentEvent,
        summary="Incident for the force control centre: alerts of one cause and pair or zone.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.STATUS,
        direction=Direction.OUT,
        body=m.BridgeStatusEvent,
        retain=True,
        summary="Birth of a bridge, and its will.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.HEARTBEAT,
        direction=Direction.OUT,
        body=m.HeartbeatEvent,
        expiry_s=HEARTBEAT_EXPIRY_S,
        summary="Every ten seconds; silence is an alarm at the provider.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.REPLY,
        direction=Direction.OUT,
        body=m.ReplyEvent,
        summary="Answer to a command, by its nonce.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.RECEIPT,
        direction=Direction.IN,
        body=ReceiptBody,
        summary="The provider has events of a stream, up to a number or one by its id.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.COMMAND,
        direction=Direction.IN,
        body=None,
        expiry_s=COMMAND_EXPIRY_S,
        summary="A signed command: a JWS compact token (EdDSA) whose claim cmd is the command.",
    ),
    Channel(
        side=Side.BRIDGE,
        stream=Stream.CANARY,
        direction=Direction.BOTH,
        body=CanaryBody,
        expiry_s=CANARY_EXPIRY_S,
        summary="From a bridge to itself through the broker: routing and access lists work.",
    ),
    Channel(
        side=Side.PROVIDER,
        stream=Stream.STATUS,
        direction=Direction.IN,
        body=ProviderStatusBody,
        retain=True,
        summary="Whether a consumer of the provider listens; offline is its will.",
    ),
)
"""All topics of version 1."""


def find_channel(side: Side, stream: Stream) -> Channel | None:
    """Look up a kind of topic; None: there is no such stream on that side."""
    return next((each for each in CHANNELS if (each.side, each.stream) == (side, stream)), None)
