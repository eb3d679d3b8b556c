"""The port between the pipeline and a broker: messages go in, in order, and stay until the broker has them."""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Protocol

from protocols.mqtt.messages import CountedEvent


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
        Starts with the room that understands it: ``ledger/``, ``incident/``, ``order/``, ``nonce/``.
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
    alert_type: type[CountedEvent] | None = None
    owner: str = ""
    event_id: str = ""
    source: str = ""
    sequence: int = 0
    saves: tuple[Saved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStats:
    """Counters and depths at one moment.

    ``without_subscriber`` counts alerts that the broker took at least once with nobody subscribed, ``unheard_alerts``
    those of them that still wait for a reader; ``positions_unheard`` were dropped for the same reason. ``is_dead``: its
    thread ended by an error, and what waits is lost.
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

    def close(self, timeout_s: float) -> int:
        """Deliver what waits, at most for ``timeout_s``, then disconnect. Returns how many messages were left over."""
        ...

    def stats(self) -> PublisherStats:
        """Read the counters; cheap enough to call every second."""
        ...
