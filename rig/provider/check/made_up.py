"""What the made-up bridge sends: every sample of the contract under names of its own, and the awkward cases."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from protocols.mqtt import messages as m
from protocols.mqtt.ids import epoch_id, event_id, sequence_text
from protocols.mqtt.samples import Sample, SampleNames, samples
from protocols.mqtt.table import Direction
from protocols.mqtt.times import utc_ns, utc_text
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.provider.check.envelope import COPIED, DELIVERED

_STEP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """One message to send.

    Attributes
    ----------
    what : str
        For a person.
    topic, body, retain, properties
        As they go out.
    source, event_id, sequence
        Of its envelope.
    wants_receipt : bool
        Alerts, warnings and incidents.
    """

    what: str
    topic: str
    body: bytes
    retain: bool
    properties: tuple[tuple[str, str], ...]
    source: str
    event_id: str
    sequence: int
    wants_receipt: bool


def make_up(root: str, agency: str, bridge_id: str, run: str, t_utc_ns: int) -> Iterator[MadeUp]:
    """Make all messages, in the order in which they go out.

    Parameters
    ----------
    root, agency, bridge_id : str
    run : str
        Part of the tag's and the person's name: a stream that a subscriber has never heard of.
    t_utc_ns : int
        Now. The samples lie before it, a second each.
    """
    epoch = epoch_id(t_utc_ns=t_utc_ns, entropy=run.encode().ljust(10, b"\0"))
    names = SampleNames(agency=agency, bridge_id=bridge_id, root=root, epoch=epoch)
    plain = [each for each in samples(names) if each.channel.direction is Direction.OUT and each.event is not None]
    subjects = {topic.subject for each in plain if (topic := find_topic(each.topic)) and topic.side is not Side.BRIDGE}
    alerts: list[tuple[MadeUp, m.AlertEvent]] = []
    for sample in samples(names, t_utc_ns=t_utc_ns - len(plain) * _STEP_NS):
        if sample.channel.direction is not Direction.OUT or sample.event is None:
            continue
        message, event = _renamed(sample, sample.event, {name: f"{name}-{run}" for name in subjects})
        yield message
        if isinstance(event, m.AlertEvent):
            alerts.append((message, event))
    yield from _awkward(*alerts[0], epoch, last=int(alerts[-1][1].sequence))


def _renamed(sample: Sample, event: m.Event, names: Mapping[str, str]) -> tuple[MadeUp, m.Event]:
    """Give the people in a sample the names of this run, and mark it as a test."""
    body, topic = sample.body, sample.topic
    for old, new in names.items():
        body = body.replace(old.encode(), new.encode())
        topic = topic.replace(f"/{old}/", f"/{new}/")
    body = body.replace(b'"status":"Actual"', b'"status":"Test"')
    event = m.decode(body, type(event))
    return _made_up(sample.title, topic, event, body, sample.channel.retain), event


def _awkward(message: MadeUp, event: m.AlertEvent, epoch: str, *, last: int) -> Iterator[MadeUp]:
    """Make what a subscriber must bear: the same once more, a field from the future, two in the wrong order."""
    again = m.with_delivery(message.body, m.AlertEvent, attempt=2)
    yield _made_up("an event that is sent a second time", message.topic, event, again, retain=False)
    strange = _next(event, epoch, last + 1)
    tree = msgspec.json.decode(m.encode(strange))
    tree["x_new"] = {"in": "the envelope"}
    tree["data"]["x_new"] = ["in", "the", "data"]
    body = msgspec.json.encode(tree)
    yield _made_up("an event with fields of a later version", message.topic, strange, body, retain=False)
    for number, what in ((last + 3, "an event before the one it follows"), (last + 2, "an event that comes late")):
        after = _next(event, epoch, number)
        yield _made_up(what, message.topic, after, m.encode(after), retain=False)


def _next(event: m.AlertEvent, epoch: str, sequence: int) -> m.AlertEvent:
    """Make another alert of the same stream."""
    t_utc_ns = utc_ns(event.time) + sequence * _STEP_NS
    new_id = event_id(t_utc_ns=t_utc_ns, epoch=epoch, source=event.source, sequence=sequence)
    return replace(
        event,
        id=new_id,
        time=utc_text(t_utc_ns),
        sequence=sequence_text(sequence),
        data=replace(event.data, alert_id=new_id, status="Test"),
    )


def _made_up(what: str, topic: str, event: m.Event, body: bytes, retain: bool) -> MadeUp:
    found = find_topic(topic)
    return MadeUp(
        what=what,
        topic=topic,
        body=body,
        retain=retain,
        properties=tuple((name, getattr(event, name)) for name in COPIED),
        source=event.source,
        event_id=event.id,
        sequence=int(event.sequence),
        wants_receipt=found is not None and found.stream in DELIVERED - {Stream.REPLY},
    )
