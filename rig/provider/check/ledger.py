"""All that came, judged together: order, gaps, duplicates, what is retained, latency, heartbeats."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from protocols.mqtt import messages as m
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.provider.check.client import Came
from rig.provider.check.envelope import DELIVERED, RETAINED, Judged, find_judged
from rig.provider.streams import Arrival, StreamCheck

MAX_EXAMPLES = 5
"""Cases shown of one fault: a person needs one, and sees by five whether they are alike."""

MAX_REMEMBERED = 200_000
"""Events whose ids are remembered, to know a duplicate by: 60 MB at most; beyond it the oldest are forgotten."""

MAX_BEATS = 10_000
"""Heartbeats kept of a bridge: a day at one in ten seconds."""


@dataclass(slots=True)
class Tally:
    """How often something was right and wrong, with the first wrong cases."""

    good: int = 0
    bad: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, faults: tuple[str, ...]) -> None:
        """Count one case."""
        if not faults:
            self.good += 1
            return
        self.bad += 1
        self.examples += faults[: MAX_EXAMPLES - len(self.examples)]


@dataclass(slots=True)
class _Known:
    likeness: bytes
    sequence: str


@dataclass(slots=True)
class BridgeSeen:
    """What was heard of one bridge."""

    state: str | None = None
    is_state_retained: bool = False
    beats: deque[tuple[int, m.HeartbeatData]] = field(default_factory=lambda: deque(maxlen=MAX_BEATS))


class Ledger:
    """Follows everything that came to one subscriber. Takes times as data; asks no clock."""

    def __init__(self) -> None:
        self.schema = Tally()
        self.envelope = Tally()
        self.properties = Tally()
        self.privacy = Tally()
        self.same_again = Tally()
        self.numbering = Tally()
        self.delivered = StreamCheck()
        self.positions = StreamCheck()
        self.latencies_s: deque[float] = deque(maxlen=MAX_REMEMBERED)
        self.bridges: dict[str, BridgeSeen] = {}
        self.strangers = 0
        self.kinds: dict[str, int] = {}
        self.last_of: dict[str, str] = {}
        """Sequence of the newest event of each delivered stream, by source."""
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._numbers: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._states: dict[str, bool] = {}

    def take(self, came: Came) -> Judged | None:
        """Enter one message."""
        if not came.body:
            self._forget(came.topic)
            return None
        judged = find_judged(came)
        if judged is None:
            self.strangers += 1
            return None
        self.schema.note(judged.schema_faults)
        topic, event = judged.topic, judged.event
        if (topic.side, topic.stream) in RETAINED:
            self._states[came.topic] = self._states.get(came.topic, False) or came.retain
        if event is None:
            return judged
        self.envelope.note(judged.envelope_faults)
        if came.properties is not None:
            self.properties.note(judged.property_faults)
        self.privacy.note(judged.privacy_faults)
        if judged.envelope_faults:
            return judged
        if topic.side is Side.BRIDGE:
            self._take_bridge(topic.subject, event, came)
        if topic.stream in DELIVERED:
            self._take_delivered(judged, event, came)
        elif topic.stream is Stream.POSITION:
            self.positions.take(event.source, "", int(event.sequence))
        return judged

    @property
    def subjects(self) -> int:
        """Devices and persons of whom anything was heard."""
        return len({topic.rsplit("/", 1)[0] for topic in self._states})

    @property
    def not_retained(self) -> list[str]:
        """Topics of states that came only live: a reader who comes later finds nothing there."""
        return [topic for topic, is_retained in self._states.items() if not is_retained]

    @property
    def retained_count(self) -> int:
        """Topics of states that the broker keeps."""
        return sum(self._states.values())

    def _forget(self, topic: str) -> None:
        """Take a state away as an empty retained body does: its device, or its bridge, is no more."""
        self._states.pop(topic, None)
        parts = find_topic(topic)
        if parts is not None and parts.side is Side.BRIDGE and parts.stream is Stream.STATUS:
            self.bridges.pop(parts.subject, None)

    def _take_delivered(self, judged: Judged, event: m.Event, came: Came) -> None:
        arrival = self.delivered.take(event.source, "", int(event.sequence))
        key = (event.source, event.id)
        known = self._known.get(key)
        if known is not None:
            is_same = known.likeness == judged.likeness and known.sequence == event.sequence
            fault = f"{came.topic}: {event.id} came again with another content"
            self.same_again.note(() if is_same else (fault,))
            return
        number = (event.source, event.sequence)
        other = self._numbers.get(number)
        fault = f"{came.topic}: number {int(event.sequence)} stands for {other} and for {event.id}"
        self.numbering.note(() if other is None else (fault,))
        self._known[key] = _Known(judged.likeness, event.sequence)
        self._numbers[number] = event.id
        for memory in (self._known, self._numbers):
            while len(memory) > MAX_REMEMBERED:
                memory.popitem(last=False)
        if arrival is not Arrival.LATE:
            self.last_of[event.source] = event.sequence
        self._note_kind(event)
        if _is_fresh(event):
            self.latencies_s.append((came.t_utc_ns - utc_ns(event.time)) / 1e9)

    def _note_kind(self, event: m.Event) -> None:
        kind = event.type.rsplit(".", 2)[-2]
        if isinstance(event, m.AlertEvent | m.ProtectedAlertEvent):
            kind = f"{event.data.kind} {event.data.msg_type}"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def _take_bridge(self, name: str, event: m.Event, came: Came) -> None:
        seen = self.bridges.setdefault(name, BridgeSeen())
        if isinstance(event, m.BridgeStatusEvent):
            seen.state = event.data.state
            seen.is_state_retained |= came.retain
        elif isinstance(event, m.HeartbeatEvent):
            seen.beats.append((came.t_mono_ns, event.data))


def _is_fresh(event: m.Event) -> bool:
    """Whether the time between detection and arrival says something about the way: not of what lay back or waited."""
    match event:
        case m.AlertEvent() | m.ProtectedAlertEvent():
            return event.data.delivery.attempt == 1 and not event.data.late and not event.data.stored
        case m.WarningEvent():
            return event.data.delivery.attempt == 1 and event.data.age_s is None
        case _:
            return False
