"""The port between the pipeline and a broker: messages go in, in order, and stay until the broker has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique
from typing import Literal, Protocol

from protocols.mqtt.messages import DeliveredEvent


@unique
class Lane(IntEnum):
    """Which queue a message waits in. The lower the number, the sooner it is sent; order is kept within a lane."""

    ALERT = 0
    """Never dropped: kept until the broker took it and somebody was subscribed."""
    STATE = 1
    """Only the newest of a topic is kept: one that was overtaken before it could be sent is of no use to anybody."""
    POSITION = 2
    """The oldest is dropped beyond a limit, counted and published in the heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Something to be known again after a restart, kept in one transaction with the message that made it so.

    Attributes
    ----------
    owner : str
        Id of the device it belongs to; empty: the bridge itself. It goes with its device to another bridge.
    key : str
        Starts with the room that understands it: ``ledger/``, ``incident/``, ``progress/``, ``order/``, ``issued/``,
        ``nonce/``, ``nonce-floor``, ``interval/``.
    value : bytes or None
        None: forget it.
    """

    owner: str
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, encoded.

    Attributes
    ----------
    topic : str
    body : bytes
    lane : Lane
    retain : bool
        The broker keeps it for readers who come later.
    expiry_s : int or None
        MQTT 5 message expiry. Never set on alerts.
    properties : tuple of (str, str)
        MQTT 5 user properties: copies of envelope fields, so that a router need not parse the body.
    alert_type : type or None
        How to read the body again to count up ``delivery.attempt``; None: the body is sent unchanged.
    owner : str
        Id of the device it is about; empty: the bridge itself.
    event_id, source, sequence
        Of its envelope: the duplicate key, and its number in its stream.
    saves : tuple of Saved
        Kept in the transaction that keeps the message.
    """

    topic: str
    body: bytes
    lane: Lane
    retain: bool = False
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()
    alert_type: type[DeliveredEvent] | None = None
    owner: str = ""
    event_id: str = ""
    source: str = ""
    sequence: int = 0
    saves: tuple[Saved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One message that came from a broker. What it holds is the sender's claim.

    ``response_topic`` and ``correlation`` are MQTT 5 properties, None without.
    """

    topic: str
    body: bytes
    response_topic: str | None
    correlation: bytes | None
    t_rx_utc_ns: int
    t_rx_mono_ns: int


@unique
class DeliveryTroubleKind(StrEnum):
    """What threatens the delivery although a connection stands."""

    AMNESIA = "amnesia"
    """The broker kept nothing of our session: what it had acknowledged may be lost there."""
    CANARY_LOST = "canary_lost"
    """A message to ourselves does not come back: the broker refuses or does not route what we publish."""
    NOBODY_LISTENS = "nobody_listens"
    """Every consumer of the provider that ever said so is gone."""
    SUBSCRIPTION_REFUSED = "subscription_refused"
    """Receipts, commands or the canary do not reach us."""
    TAKEN_OVER = "taken_over"
    """Another client uses our client id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTrouble:
    """A trouble began, or is over. ``path``: name of the path to a broker, empty where it concerns all."""

    kind: DeliveryTroubleKind
    is_over: bool
    detail: str
    path: str = ""


CanaryState = Literal["off", "never", "ok", "late"]
"""``never``: none came back yet; ``late``: they came back, and do not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStats:
    """One path to a broker.

    ``url`` is the endpoint in use, or tried last; ``is_connecting``: an attempt is under way.
    """

    name: str
    url: str
    connected: bool
    is_connecting: bool = False
    detail: str
    connects: int
    in_flight: int
    canary: CanaryState


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStats:
    """Counters and depths at one moment. ``connected`` and ``detail`` are the main path's.

    ``without_subscriber`` counts alerts that the broker took at least once with nobody subscribed, ``unheard_alerts``
    those of them that still wait for a reader; ``positions_unheard`` were dropped for the same reason. ``is_dead``: its
    thread ended by an error, and what waits is not sent. ``durable``: what is submitted reaches the disk; where it
    should and does not, ``disk_trouble`` says why, and else what the disk did not give back as written.
    ``unreceipted`` alerts were acknowledged by a broker and not confirmed by the provider. ``provider_online``: what
    its consumers say; None: none ever said anything.
    """

    running: bool
    is_dead: bool
    connected: bool
    detail: str
    submitted: int
    delivered: int
    queued_alerts: int
    queued_states: int
    queued_positions: int
    in_flight: int
    positions_dropped: int
    states_superseded: int
    rejected: int
    without_subscriber: int
    unheard_alerts: int
    positions_unheard: int
    resent: int
    connects: int
    oldest_alert_submitted_mono_ns: int | None
    durable: bool = False
    disk_trouble: str | None = None
    unreceipted: int = 0
    oldest_unreceipted_age_ns: int | None = None
    receipts_seen: int = 0
    inbound_refused: int = 0
    commands_dropped: int = 0
    canary: CanaryState = "off"
    provider_online: bool | None = None
    paths: tuple[PathStats, ...] = ()


class Publisher(Protocol):
    """Takes messages at any time, also with no broker in reach. Thread-safe."""

    def submit(self, message: Message) -> None:
        """Take responsibility for a message; never waits for the network.

        Raises
        ------
        PublisherClosedError
            ``close`` was called.
        """
        ...

    def submit_durably(self, messages: Sequence[Message], timeout_s: float) -> bool:
        """Submit and wait for the commit; True: all of them are on disk. Not from the event loop's thread.

        Raises
        ------
        PublisherClosedError
            ``close`` was called.
        """
        ...

    def close(self, timeout_s: float) -> int:
        """Deliver what waits, at most for ``timeout_s``, then disconnect. Returns how many messages were left over."""
        ...

    def stats(self) -> PublisherStats:
        """Read the counters; cheap enough to call every second."""
        ...
