"""Plays a scenario on the bench and keeps what the subscriber got; what it means is for ``rig.truth`` to say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from devices.clock import Clock
from protocols.mqtt.messages import (
    AlertEvent,
    AlertKind,
    BandName,
    MsgType,
    Position,
    PositionEvent,
    ProtectedAlertEvent,
    Trace,
    WarningEvent,
    WarningStep,
    decode,
)
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.demo.bench import Bench
from rig.demo.latency import HopTimes, TruthTail, hop_times
from rig.demo.settings import DemoSettings, truth_file
from rig.demo.subscriber import Received
from rig.demo.tag_words import TagWord
from rig.emulator.clock import NS_PER_S
from rig.errors import BenchBrokenError
from rig.scenario import Scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.verdict import ReceivedAlert, judge

_TURN_S: Final = 0.05
"""Longest wait for a message before the display is brought up to date, real seconds."""

_AFTER_S: Final = 0.3
"""The bench listens on for so long after the last expected alert, real seconds: one too many must be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSeen:
    """One alert message as the subscriber got it."""

    index: int
    topic: str
    alert: ReceivedAlert
    msg_type: MsgType
    reason: str
    zone_name: str | None
    distance_m: float | None
    lat_deg: float | None
    lon_deg: float | None
    accuracy_m: float | None
    trace: Trace
    t_sub_mono_ns: int
    late: bool
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FixSeen:
    """One published position; ``t_s`` is the fix's own time in tag seconds."""

    device: str
    t_s: float
    lat_deg: float
    lon_deg: float
    accuracy_m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSeen:
    """One step of a warning as the subscriber got it; ``latency_ms`` from the fix's first byte to the tag's write."""

    t_s: float
    step: WarningStep
    smart_tag: str
    level: str | None
    text: str | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What a smart tag did, by its own log; ``text`` says what began to be felt, None where nothing did."""

    t_s: float
    tag: str
    level: int
    mode: str
    text: str | None


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """Everything that a run left."""

    start_mono_ns: int
    start_utc_ns: int = 0
    alerts: list[AlertSeen] = field(default_factory=list)
    times: list[HopTimes] = field(default_factory=list)
    fixes: list[FixSeen] = field(default_factory=list)
    truth: dict[str, TruthTail] = field(default_factory=dict)
    steps: list[StepSeen] = field(default_factory=list)
    felt: list[Felt] = field(default_factory=list)
    messages: int = 0


class Audience(Protocol):
    """Whoever watches a run."""

    def truth(self, expected: ExpectedAlert) -> None:
        """Note that something came true."""
        ...

    def alert(self, seen: AlertSeen, times: HopTimes) -> None:
        """Note that an alert arrived."""
        ...

    def step(self, seen: StepSeen) -> None:
        """Note that a step of a warning was told."""
        ...

    def felt(self, felt: Felt) -> None:
        """Note that a smart tag did something."""
        ...

    def happened(self, t_s: float, what: str) -> None:
        """Note what the bench did to itself."""
        ...

    def progress(self, t_s: float) -> None:
        """Note how far the story is, in tag seconds."""
        ...


def play(
    bench: Bench,
    scenario: Scenario,
    settings: DemoSettings,
    expected: Sequence[ExpectedAlert],
    audience: Audience,
    clock: Clock,
) -> RunRecord:
    """Run the story to its end.

    Raises
    ------
    BenchBrokenError
        A process died, or a message of the bridge's does not keep to the contract.
    """
    bench.go()
    record = RunRecord(start_mono_ns=bench.start_mono_ns)
    record.truth = {p.device: TruthTail(truth_file(settings.folder, p.device)) for p in scenario.person}
    beats = sorted((e for e in expected if e.required), key=lambda e: e.t_true_s)
    beats = [e for e in beats if not (e.side == "protected" and e.band is not None)]
    allowance_s = settings.allowance_s * settings.speed
    end_s = max([scenario.duration_s, *(e.latest_s for e in expected if e.required)]) + allowance_s
    with (settings.folder / "messages.jsonl").open("wb", buffering=0) as log:
        while True:
            t_s = bench.tag_time_s(clock.mono_ns())
            while beats and beats[0].t_true_s <= t_s:
                audience.truth(beats.pop(0))
            audience.progress(min(t_s, scenario.duration_s))
            done = bench.follow(t_s)
            if done is not None:
                audience.happened(t_s, done)
            if t_s > scenario.duration_s + _AFTER_S * settings.speed and (
                t_s > end_s or _nothing_owed(expected, record, allowance_s)
            ):
                break
            for message in bench.messages(_TURN_S):
                log.write(msgspec.json.encode(message) + b"\n")
                record.messages += 1
                _take(message, bench, record, audience)
            for word in bench.tag_words():
                _take_word(word, bench, record, audience)
    _finish(record)
    return record


def _nothing_owed(expected: Sequence[ExpectedAlert], record: RunRecord, allowance_s: float) -> bool:
    return not judge(expected, [seen.alert for seen in record.alerts], allowance_s=allowance_s).missing


def _take(message: Received, bench: Bench, record: RunRecord, audience: Audience) -> None:
    topic = find_topic(message.topic)
    if topic is None:
        return
    try:
        if topic.stream is Stream.ALERT and topic.side is not Side.BRIDGE:
            event: AlertEvent | ProtectedAlertEvent
            if topic.side is Side.TAG:
                event = decode(bytes(message.payload), AlertEvent)
            else:
                event = decode(bytes(message.payload), ProtectedAlertEvent)
            seen = _alert(message, topic.side, topic.subject, event, bench, len(record.alerts))
            for tail in record.truth.values():
                tail.read_on()
            record.alerts.append(seen)
            audience.alert(seen, _times(seen, record))
        elif topic.stream is Stream.WARNING:
            step = _step(message, decode(bytes(message.payload), WarningEvent), bench)
            record.steps.append(step)
            audience.step(step)
        elif topic.stream is Stream.POSITION:
            position = decode(bytes(message.payload), PositionEvent).data.position
            _read_start(record)
            fix = _find_fix(topic.subject, position, record.start_utc_ns)
            if fix is not None:
                record.fixes.append(fix)
    except (msgspec.ValidationError, msgspec.DecodeError) as exc:
        raise BenchBrokenError(
            f"a message on {message.topic} does not keep to the contract: {exc}. Next: read messages.jsonl"
        ) from exc


def _take_word(word: TagWord, bench: Bench, record: RunRecord, audience: Audience) -> None:
    felt = Felt(t_s=bench.tag_time_s(word.t_mono_ns), tag=word.tag, level=word.level, mode=word.mode, text=word.felt)
    record.felt.append(felt)
    audience.felt(felt)


def _step(message: Received, event: WarningEvent, bench: Bench) -> StepSeen:
    data = event.data
    return StepSeen(
        t_s=bench.tag_time_s(message.t_sub_mono_ns),
        step=data.step,
        smart_tag=data.smart_tag,
        level=data.level,
        text=data.text,
        latency_ms=data.latency.fix_to_written_ms,
    )


def _alert(
    message: Received,
    side: Side,
    subject: str,
    event: AlertEvent | ProtectedAlertEvent,
    bench: Bench,
    index: int,
) -> AlertSeen:
    data = event.data
    zone = event.data.zone if isinstance(event, AlertEvent) else None
    band: BandName | None = None
    distance_m: float | None = None
    if isinstance(event, AlertEvent):
        band = event.data.protected_party.band if event.data.protected_party else None
    elif event.data.proximity is not None:
        band, distance_m = event.data.proximity.band, event.data.proximity.distance_m
    cleared = data.msg_type is MsgType.CANCEL
    if data.kind is AlertKind.PROXIMITY_BREACH and cleared:
        band = BandName.CLEAR
    lat, lon, accuracy = _coordinates(data.position)
    return AlertSeen(
        index=index,
        topic=message.topic,
        alert=ReceivedAlert(
            kind=data.kind,
            cleared=cleared,
            side="tag" if side is Side.TAG else "protected",
            subject=subject,
            zone_id=zone.id if zone else None,
            band=band,
            t_s=bench.tag_time_s(message.t_sub_mono_ns),
            index=index,
        ),
        msg_type=data.msg_type,
        reason=data.reason,
        zone_name=zone.name if zone else None,
        distance_m=distance_m,
        lat_deg=lat,
        lon_deg=lon,
        accuracy_m=accuracy,
        trace=data.trace,
        t_sub_mono_ns=message.t_sub_mono_ns,
        late=data.late,
        severity=data.severity,
    )


def _coordinates(position: Position | None) -> tuple[float | None, float | None, float | None]:
    if position is None:
        return None, None, None
    lon, lat = position.geometry.coordinates[:2]
    return lat, lon, position.properties.accuracy_m


def _find_fix(device: str, position: Position, start_utc_ns: int) -> FixSeen | None:
    lat, lon, accuracy = _coordinates(position)
    if position.properties.time is None or lat is None or lon is None:
        return None
    t_s = (utc_ns(position.properties.time) - start_utc_ns) / NS_PER_S
    return FixSeen(device=device, t_s=t_s, lat_deg=lat, lon_deg=lon, accuracy_m=accuracy)


def _read_start(record: RunRecord) -> None:
    if record.start_utc_ns:
        return
    for tail in record.truth.values():
        tail.read_on()
        if tail.header is not None:
            record.start_utc_ns = tail.header.start_utc_ns


def _times(seen: AlertSeen, record: RunRecord) -> HopTimes:
    tail = record.truth.get(seen.trace.device_id) or next(iter(record.truth.values()))
    return hop_times(seen.trace, seen.t_sub_mono_ns, tail, kind=seen.alert.kind, cleared=seen.alert.cleared)


def _finish(record: RunRecord) -> None:
    """Read the truth to its end and count all hops anew: an alert can overtake the log of its own epoch."""
    for tail in record.truth.values():
        tail.read_on()
    record.times = [_times(seen, record) for seen in record.alerts]
