"""One valid message of every kind: every alert through its whole life, every other topic, every command.

All is made of its inputs, so the same inputs give the same bytes. Places lie in open water; ids are made up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from protocols.mqtt import commands as c
from protocols.mqtt import messages as m
from protocols.mqtt import sample_data as d
from protocols.mqtt.ids import event_id, sequence_text
from protocols.mqtt.inbound import CanaryBody, ProviderStatusBody, ReceiptBody, ReceiptState
from protocols.mqtt.table import Channel, find_channel
from protocols.mqtt.times import utc_text
from protocols.mqtt.topics import Side, Stream, default_root

SAMPLE_UTC_NS = 1_780_000_000_000_000_000
"""2026-05-28T20:26:40Z: fixed, so that samples are the same in every build."""

_STEP_NS = 1_000_000_000
_HERS = frozenset(
    {
        m.AlertKind.SOS,
        m.AlertKind.PROTECTED_PERSON_NOT_WARNED,
        m.AlertKind.COVER_LOST,
        m.AlertKind.BEACON_HEARD,
        m.AlertKind.BEACON_FORGED,
    }
)
"""Alerts of the protected side only."""

_ON_BOTH = frozenset(
    {
        m.AlertKind.PROXIMITY_BREACH,
        m.AlertKind.COMMS_LOST,
        m.AlertKind.LOCATION_LOST,
        m.AlertKind.BATTERY_LOW,
        m.AlertKind.BATTERY_CRITICAL,
    }
)
"""Alerts of either side; what a pair is, each side is told in its own words."""

_PRIORITY = {
    Stream.ALERT: "alert",
    Stream.WARNING: "alert",
    Stream.INCIDENT: "alert",
    Stream.REPLY: "alert",
    Stream.POSITION: "position",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNames:
    """Names that stand in samples.

    Attributes
    ----------
    agency, bridge_id : str
    root : str
        Empty: the default root of the agency.
    consumer : str
        The provider's.
    epoch : str
        26 characters, as ``ids.epoch_id`` makes them.
    """

    agency: str = "demo"
    bridge_id: str = "bridge-1"
    root: str = ""
    consumer: str = "provider"
    epoch: str = "01KSRQ8400SAMP1E0SAMP1E0SA"

    @property
    def topic_root(self) -> str:
        """Root of the topics."""
        return self.root or default_root(self.agency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One message as it stands on its topic. ``event`` is None for what a provider or the canary sends."""

    title: str
    channel: Channel
    topic: str
    body: bytes
    event: m.Event | None = None


def samples(names: SampleNames | None = None, *, t_utc_ns: int = SAMPLE_UTC_NS) -> Iterator[Sample]:
    """Make all samples, in an order in which a bridge could have sent them.

    Parameters
    ----------
    names : SampleNames, optional
    t_utc_ns : int
        When the first of them was; each later one is a second later.

    Yields
    ------
    Sample
    """
    maker = _Maker(names or SampleNames(), t_utc_ns)
    yield maker.event("bridge online", Side.BRIDGE, Stream.STATUS, d.bridge_status(maker, "online", "started"))
    tag_life = list(_tag_life(maker))
    yield from tag_life
    yield from _protected_life(maker)
    yield from _incident(maker, [each.event for each in tag_life if isinstance(each.event, m.AlertEvent)])
    yield maker.event("heartbeat", Side.BRIDGE, Stream.HEARTBEAT, d.heartbeat(maker))
    for title, reply in d.replies(maker):
        yield maker.event(title, Side.BRIDGE, Stream.REPLY, reply)
    yield from _inbound(maker)
    yield maker.event(
        "bridge offline", Side.BRIDGE, Stream.STATUS, d.bridge_status(maker, "offline", "connection lost")
    )


def command_samples() -> tuple[c.Command, ...]:
    """One of every command, as it stands in the claim ``cmd`` of a signed token."""
    source = "urn:em:demo:bridge-1:tag:tag-4711"
    order = c.Order(
        id="order-2026-17",
        version=1,
        wearer=d.WEARER,
        valid_until=datetime.fromtimestamp(SAMPLE_UTC_NS // _STEP_NS, UTC) + timedelta(days=90),
        zones={
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "id": "z-88",
                    "properties": {"purpose": "exclusion", "radius_m": 300.0, "name": "Pier"},
                    "geometry": {"type": "Point", "coordinates": [d.LON_DEG, d.LAT_DEG]},
                }
            ],
        },
        protected=(c.OrderedProtection(device=d.PERSON, smart_tag=d.SMART_TAG),),
    )
    return (
        c.LocateNow(tag=d.WEARER),
        c.SetInterval(tag=d.WEARER, interval_s=10.0),
        c.Vibrate(tag=d.WEARER, seconds=3.0),
        c.Warn(person=d.PERSON, level="alarm", text="nearby"),
        c.StandDown(person=d.PERSON),
        c.AcknowledgeAlert(source=source, event_id="01KSRQ84RX0000000000000000", by="desk-3"),
        c.LoadOrder(order=order),
        c.ReplaceOrder(order=msgspec.structs.replace(order, version=2), if_version=1),
        c.WithdrawOrder(order_id=order.id, if_version=2, reason="discharged by the court"),
        c.Replay(source=source, first=41, last=43),
        c.ResendActive(),
        c.IncidentCap(incident_id="01KSRQ84RX0000000000000000"),
        c.Ping(),
        c.Status(),
    )


def _tag_life(maker: "_Maker") -> Iterator[Sample]:
    yield maker.event("status of a wearer's tag", Side.TAG, Stream.STATUS, d.tag_status(maker))
    yield maker.event("position of a wearer", Side.TAG, Stream.POSITION, d.position(maker, late=False))
    yield maker.event("position that a tag had stored", Side.TAG, Stream.POSITION, d.position(maker, late=True))
    for kind in m.AlertKind:
        if kind not in _HERS:
            yield from _life(maker, Side.TAG, kind)
    yield maker.event("nothing raised for a wearer", Side.TAG, Stream.ACTIVE, d.active(maker, Side.TAG, None))


def _protected_life(maker: "_Maker") -> Iterator[Sample]:
    yield maker.event("status of a protected person", Side.PROTECTED, Stream.STATUS, d.protected_status(maker))
    yield maker.event("position of a protected person", Side.PROTECTED, Stream.POSITION, d.position(maker, late=False))
    for kind in m.AlertKind:
        if kind in _HERS | _ON_BOTH:
            yield from _life(maker, Side.PROTECTED, kind)
    for step in m.WarningStep:
        yield maker.event(f"warning {step}", Side.PROTECTED, Stream.WARNING, d.warning(maker, step))
    active = d.active(maker, Side.PROTECTED, None)
    yield maker.event("nothing raised for a protected person", Side.PROTECTED, Stream.ACTIVE, active)


def _life(maker: "_Maker", side: Side, kind: m.AlertKind) -> Iterator[Sample]:
    """Make an alert raised, the snapshot that holds it, updated, cleared."""
    ids: tuple[str, ...] = ()
    for step in m.MsgType:
        own_id = maker.next_id(side, Stream.ALERT)
        data = d.alert(maker, side, kind, step, earlier=ids, own_id=own_id)
        sample = maker.event(f"{kind} {m.STATE_OF[step]}", side, Stream.ALERT, data)
        assert sample.event is not None
        ids = (*ids, sample.event.id)
        yield sample
        if step is m.MsgType.ALERT:
            active = d.active(maker, side, kind, ids[0])
            yield maker.event(f"{kind} is raised", side, Stream.ACTIVE, active)


def _incident(maker: "_Maker", alerts: list[m.AlertEvent]) -> Iterator[Sample]:
    cause = [each for each in alerts if each.data.kind is m.AlertKind.EXCLUSION_ZONE_ENTERED]
    evidence = tuple(
        m.Evidence(
            source=each.source,
            id=each.id,
            sequence=each.sequence,
            kind=each.data.kind,
            msg_type=each.data.msg_type,
            at=each.data.occurred_at,
        )
        for each in cause
    )
    incident_id = maker.next_id(Side.CONTROL, Stream.INCIDENT)
    ids: tuple[str, ...] = ()
    for count, state in enumerate(d.INCIDENT_STATES, start=1):
        data = d.incident(maker, state, evidence[:count], incident_id=incident_id, earlier=ids)
        sample = maker.event(f"incident {state}", Side.CONTROL, Stream.INCIDENT, data)
        assert sample.event is not None
        ids = (*ids, sample.event.id)
        yield sample


def _inbound(maker: "_Maker") -> Iterator[Sample]:
    source = maker.source(Side.TAG, Stream.ALERT)
    upto = ReceiptBody(source=source, upto=sequence_text(3))
    shown = ReceiptBody(
        source=source, id="01KSRQ84RX0000000000000000", state=ReceiptState.DISPLAYED, at=maker.now, by="desk-3"
    )
    yield maker.plain("receipt up to a number", Side.BRIDGE, Stream.RECEIPT, upto)
    yield maker.plain("receipt of one event", Side.BRIDGE, Stream.RECEIPT, shown)
    yield maker.plain("canary", Side.BRIDGE, Stream.CANARY, CanaryBody(epoch=maker.names.epoch, number=7))
    online, offline = ProviderStatusBody(state="online", at=maker.now), ProviderStatusBody(state="offline")
    yield maker.plain("provider online", Side.PROVIDER, Stream.STATUS, online)
    yield maker.plain("provider offline", Side.PROVIDER, Stream.STATUS, offline)


class _Maker:
    """Numbers events as a bridge does."""

    def __init__(self, names: SampleNames, t_utc_ns: int) -> None:
        self.names = names
        self._t_utc_ns = t_utc_ns
        self._sequences: dict[str, int] = {}

    @property
    def now(self) -> str:
        return utc_text(self._t_utc_ns)

    @property
    def epoch(self) -> str:
        return self.names.epoch

    def delivery(self) -> m.Delivery:
        return m.Delivery(attempt=1, durable=True, epoch=self.names.epoch)

    def source(self, side: Side, stream: Stream) -> str:
        names = self.names
        urn = f"urn:em:{names.agency}:{names.bridge_id}"
        if side is not Side.BRIDGE:
            urn = f"{urn}:{side}:{self._subject(side)}"
        return urn if stream is Stream.ALERT else f"{urn}:{stream}"

    def last_sequence(self, side: Side, stream: Stream) -> int:
        return self._sequences.get(self.source(side, stream), 0)

    def next_id(self, side: Side, stream: Stream) -> str:
        source = self.source(side, stream)
        sequence = self._sequences.get(source, 0) + 1
        return event_id(t_utc_ns=self._t_utc_ns, epoch=self.names.epoch, source=source, sequence=sequence)

    def event(self, title: str, side: Side, stream: Stream, data: msgspec.Struct) -> Sample:
        """Put data into its envelope; it takes the next number of its stream."""
        channel = _channel(side, stream)
        source = self.source(side, stream)
        own_id = self.next_id(side, stream)
        sequence = self._sequences[source] = self._sequences.get(source, 0) + 1
        scope = "" if side is Side.TAG else f"{side}."
        assert channel.body is not None
        event = channel.body(
            specversion="1.0",
            id=own_id,
            source=source,
            type=f"org.example.em.{scope}{stream}.v1",
            subject=f"{side}/{self._subject(side)}",
            time=self.now,
            datacontenttype="application/json",
            sequence=sequence_text(sequence),
            priority=_PRIORITY.get(stream, "state"),
            data=data,
        )
        assert isinstance(event, m.Event)
        topic = channel.topic(self.names.topic_root, self._subject(side))
        self._t_utc_ns += _STEP_NS
        return Sample(title=title, channel=channel, topic=topic, body=m.encode(event), event=event)

    def plain(self, title: str, side: Side, stream: Stream, body: msgspec.Struct) -> Sample:
        """Make a message without an envelope."""
        channel = _channel(side, stream)
        topic = channel.topic(self.names.topic_root, self._subject(side))
        return Sample(title=title, channel=channel, topic=topic, body=msgspec.json.encode(body))

    def _subject(self, side: Side) -> str:
        match side:
            case Side.PROTECTED:
                return d.PERSON
            case Side.BRIDGE:
                return self.names.bridge_id
            case Side.PROVIDER:
                return self.names.consumer
            case _:
                return d.WEARER


def _channel(side: Side, stream: Stream) -> Channel:
    channel = find_channel(side, stream)
    assert channel is not None
    return channel
