"""What was made again, beside what the subscriber got: to the byte, first attempts and later ones."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from bridge.publisher import Lane, Message
from protocols.mqtt.messages import with_delivery
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.runs.received import Received

MAX_NAMED = 20
"""Messages that differ and are named."""

_OTHERS = frozenset({Stream.CANARY, Stream.COMMAND, Stream.RECEIPT})
"""Streams that the judging has no part in; nor has it in what the bridge says of its connections."""


class _Delivery(msgspec.Struct, frozen=True):
    attempt: int = 1
    durable: bool = True


class _Data(msgspec.Struct, frozen=True):
    delivery: _Delivery | None = None


class _Head(msgspec.Struct, frozen=True):
    id: str = ""
    data: _Data = _Data()


@dataclass(frozen=True, slots=True, kw_only=True)
class WireComparison:
    """How a replay's messages compare to those that arrived.

    Attributes
    ----------
    received : int
        Messages of the bridge that arrived, repetitions counted.
    identical : int
        Of them, those that are the same to the byte.
    repeated : int
        Of them, those that were no first attempt: the same with the attempt's number in its place.
    others : int
        Messages of others on its topics: receipts, the provider's own words, the bridge's canary and its own status.
    differing, unknown : tuple of str
        Arrived and not the same; arrived and never made. The first of each.
    n_differing, n_unknown : int
    not_received : mapping of str to int
        Made and never arrived, by lane: overtaken states, positions over a limit, a will that was not needed.
    alerts_not_received : tuple of str
        Those of them that are never dropped.
    """

    received: int
    identical: int
    repeated: int
    others: int
    differing: tuple[str, ...]
    unknown: tuple[str, ...]
    n_differing: int
    n_unknown: int
    not_received: dict[str, int] = field(default_factory=dict)
    alerts_not_received: tuple[str, ...] = ()

    @property
    def is_identical(self) -> bool:
        """Whether all that arrived is what was made again."""
        return not self.n_differing and not self.n_unknown


def compare_wire(made: Sequence[Message], received: Iterable[Received]) -> tuple[WireComparison, list[Received]]:
    """Compare; also return what the subscriber would have got of the messages made again, in the order of arrival.

    Each keeps the moment of its arrival: the network is no part of what is replayed.
    """
    by_id = {(message.topic, message.event_id): message for message in made}
    came: set[tuple[str, str]] = set()
    counts: Counter[str] = Counter()
    differing: list[str] = []
    unknown: list[str] = []
    again: list[Received] = []
    for heard in received:
        body = bytes(heard.payload)
        head = _head(body)
        message = by_id.get((heard.topic, head.id)) if head is not None else None
        if head is None or message is None:
            if _is_composed(heard.topic):
                counts["received"] += 1
                counts["unknown"] += 1
                unknown.append(f"{heard.topic} {head.id if head is not None else ''}".rstrip())
            else:
                counts["others"] += 1
            again += [heard] if not _is_composed(heard.topic) else []
            continue
        counts["received"] += 1
        came.add((heard.topic, head.id))
        expected = _as_sent(message, head)
        if expected != message.body:
            counts["repeated"] += 1
        if expected == body:
            counts["identical"] += 1
        else:
            counts["differing"] += 1
            differing.append(f"{heard.topic} {head.id}: {_first_difference(expected, body)}")
        again.append(msgspec.structs.replace(heard, payload=msgspec.Raw(expected)))
    missing = [message for message in made if (message.topic, message.event_id) not in came]
    comparison = WireComparison(
        received=counts["received"],
        identical=counts["identical"],
        repeated=counts["repeated"],
        others=counts["others"],
        differing=tuple(differing[:MAX_NAMED]),
        unknown=tuple(unknown[:MAX_NAMED]),
        n_differing=counts["differing"],
        n_unknown=counts["unknown"],
        not_received=dict(Counter(message.lane.name.lower() for message in missing)),
        alerts_not_received=tuple(f"{m.topic} {m.event_id}" for m in missing if m.lane is Lane.ALERT)[:MAX_NAMED],
    )
    return comparison, again


def _is_composed(topic: str) -> bool:
    found = find_topic(topic)
    if found is None or found.side is Side.PROVIDER or found.stream in _OTHERS:
        return False
    return (found.side, found.stream) != (Side.BRIDGE, Stream.STATUS)


def _head(body: bytes) -> _Head | None:
    try:
        return msgspec.json.decode(body, type=_Head)
    except msgspec.DecodeError:
        return None


def _as_sent(message: Message, head: _Head) -> bytes:
    """Write a message as the attempt was written that arrived."""
    delivery = head.data.delivery
    if message.alert_type is None or delivery is None:
        return message.body
    durable = None if delivery.durable else False
    if delivery.attempt == 1 and durable is None:
        return message.body
    return with_delivery(message.body, message.alert_type, attempt=delivery.attempt, durable=durable)


def _first_difference(then: bytes, now: bytes) -> str:
    place = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now)))
    start = max(0, place - 20)
    return f"from byte {place}: {now[start : place + 20]!r} then, {then[start : place + 20]!r} now"
