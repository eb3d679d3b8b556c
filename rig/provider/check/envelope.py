"""One message against the contract: its topic, its envelope, its fields, its MQTT 5 properties, the privacy wall."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from protocols.mqtt import messages as m
from protocols.mqtt.ids import SEQUENCE_DIGITS
from protocols.mqtt.table import CHANNELS, Direction
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, Topic, find_topic
from rig.provider.check.client import Came

EVENT_OF: Final[Mapping[tuple[Side, Stream], type[m.Event]]] = {
    (each.side, each.stream): each.body
    for each in CHANNELS
    if each.direction is Direction.OUT and each.body is not None and issubclass(each.body, m.Event)
}
"""What a bridge sends, by topic."""

RETAINED: Final = frozenset((each.side, each.stream) for each in CHANNELS if each.retain)
"""Topics whose newest message the broker keeps for readers who come later."""

DELIVERED: Final = frozenset({Stream.ALERT, Stream.WARNING, Stream.INCIDENT, Stream.REPLY})
"""Streams that are sent until they are delivered: their numbers have no gap."""

HERS_ONLY: Final = frozenset({"distance_m", "bearing_deg", "proximity"})
"""Fields that tell where the protected person is; none of them may stand outside ``protected/``."""

COPIED: Final = ("id", "type", "source", "sequence", "time")
"""Envelope fields that MQTT 5 user properties repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A message taken apart.

    Attributes
    ----------
    topic : Topic
    event : Event or None
        None: its body cannot be read as what its topic carries.
    schema_faults, envelope_faults, property_faults, privacy_faults : tuple of str
        What is wrong, each for a person; empty: nothing.
    likeness : bytes
        Hash of all that must be equal in two sendings of one event.
    """

    topic: Topic
    event: m.Event | None
    schema_faults: tuple[str, ...] = ()
    envelope_faults: tuple[str, ...] = ()
    property_faults: tuple[str, ...] = ()
    privacy_faults: tuple[str, ...] = ()
    likeness: bytes = b""


def find_judged(came: Came) -> Judged | None:
    """Judge a message; None: it is none that a bridge sends (a receipt, a command, another program's)."""
    topic = find_topic(came.topic)
    kind = EVENT_OF.get((topic.side, topic.stream)) if topic is not None else None
    if topic is None or kind is None:
        return None
    if len(came.body) > m.MAX_PAYLOAD_BYTES:
        fault = f"{came.topic}: {len(came.body)} bytes; at most {m.MAX_PAYLOAD_BYTES} are allowed"
        return Judged(topic=topic, event=None, schema_faults=(fault,))
    try:
        event = m.decode(came.body, kind)
        tree = msgspec.json.decode(came.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        return Judged(topic=topic, event=None, schema_faults=(f"{came.topic}: {exc}",))
    return Judged(
        topic=topic,
        event=event,
        envelope_faults=tuple(f"{came.topic}: {fault}" for fault in _envelope(event, topic)),
        property_faults=tuple(f"{came.topic}: {fault}" for fault in _properties(event, came)),
        privacy_faults=tuple(
            f"{came.topic}: holds {field!r}" for field in (() if topic.side is Side.PROTECTED else _hers(tree))
        ),
        likeness=_likeness(tree),
    )


def _envelope(event: m.Event, topic: Topic) -> Iterator[str]:
    scope = "" if topic.side is Side.TAG else f"{topic.side}."
    if event.subject != f"{topic.side}/{topic.subject}":
        yield f"subject: expected {topic.side}/{topic.subject}, got {event.subject!r}"
    if not event.type.endswith(f".{scope}{topic.stream}.v1"):
        yield f"type: expected one that ends in .{scope}{topic.stream}.v1, got {event.type!r}"
    if len(event.sequence) != SEQUENCE_DIGITS or not event.sequence.isdecimal():
        yield f"sequence: expected {SEQUENCE_DIGITS} digits, got {event.sequence!r}"
    if not event.id or not event.source:
        yield "id and source must not be empty: they are the duplicate key"
    try:
        utc_ns(event.time)
    except ValueError as exc:
        yield f"time: expected RFC 3339 with an offset, got {event.time!r} ({exc})"


def _properties(event: m.Event, came: Came) -> Iterator[str]:
    """Compare what MQTT 5 repeats; a broker in between may drop properties, but must not change them."""
    if came.properties is None:
        return
    if came.content_type is not None and came.content_type != m.CONTENT_TYPE:
        yield f"content type: expected {m.CONTENT_TYPE!r}, got {came.content_type!r}"
    for name in COPIED:
        told = came.properties.get(name)
        if told is not None and told != getattr(event, name):
            yield f"user property {name}: {told!r}, in the body {getattr(event, name)!r}"


def _hers(tree: object) -> Iterator[str]:
    match tree:
        case dict():
            for name, value in tree.items():
                if name in HERS_ONLY:
                    yield str(name)
                yield from _hers(value)
        case list():
            for value in tree:
                yield from _hers(value)


def _likeness(tree: object) -> bytes:
    """Hash an event without ``data.delivery``, the only part that a second sending may change."""
    if isinstance(tree, dict) and isinstance(data := tree.get("data"), dict):
        tree = {**tree, "data": {name: value for name, value in data.items() if name != "delivery"}}
    return blake2b(msgspec.json.encode(tree, order="sorted"), digest_size=16).digest()
