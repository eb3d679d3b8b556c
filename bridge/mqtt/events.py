"""What a session tells: facts noted by its callbacks, handled by whoever drives it."""

from dataclasses import dataclass

UNSUPPORTED_VERSION = 0x84
"""CONNACK: the broker speaks another version of MQTT."""

NO_MATCHING_SUBSCRIBERS = 0x10
"""PUBACK: the broker took it, and nobody was subscribed. No failure by its number."""

SESSION_TAKEN_OVER = 0x8E
"""DISCONNECT: another connection came with our client id."""

FIRST_FAILURE_CODE = 0x80
"""Reason codes from here on mean that it was not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The broker answered CONNECT with success."""

    session_present: bool
    receive_maximum: int
    maximum_packet_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The broker answered CONNECT with a reason."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """PUBACK for a packet id, with its reason code."""

    packet_id: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """SUBACK: one reason code per filter, in the order they were asked for."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message for us. ``response_topic`` and ``correlation`` are properties of MQTT 5."""

    topic: str
    body: bytes
    is_retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The connection is gone; ``code`` is the broker's own, if it gave one."""

    reason: str
    code: int = 0


SessionEvent = Connected | Refused | Acknowledged | Subscribed | Received | Closed
