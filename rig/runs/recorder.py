"""From messages to a record: the one reading of what the subscriber got, for runs under way and for run folders."""

from collections.abc import Callable

import msgspec

from protocols.mqtt.messages import (
    AlertEvent,
    AlertKind,
    BandName,
    MsgType,
    Position,
    PositionEvent,
    ProtectedAlertEvent,
    WarningEvent,
    decode,
)
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, find_topic
from rig.demo.latency import HopTimes, hop_times
from rig.errors import BenchBrokenError
from rig.runs.received import Received
from rig.runs.record import AlertSeen, FixSeen, RunRecord, StepSeen
from rig.truth.verdict import ReceivedAlert

TagTime = Callable[[int], float]
"""Gives seconds since the scenario's zero at a reading of the run's clock."""


def take_message(message: Received, record: RunRecord, tag_time_s: TagTime) -> AlertSeen | StepSeen | FixSeen | None:
    """Add a message to a record and return what it was; None: nothing that a record keeps.

    Raises
    ------
    BenchBrokenError
        It does not keep to the contract.
    """
    record.messages += 1
    topic = find_topic(message.topic)
    if topic is None:
        return None
    body = bytes(message.payload)
    try:
        if topic.stream is Stream.ALERT and topic.side is not Side.BRIDGE:
            event: AlertEvent | ProtectedAlertEvent
            event = decode(body, AlertEvent) if topic.side is Side.TAG else decode(body, ProtectedAlertEvent)
            seen = _alert(message, topic.side, topic.subject, event, tag_time_s, len(record.alerts))
            record.alerts.append(seen)
            return seen
        if topic.stream is Stream.WARNING:
            step = _step(message, decode(body, WarningEvent), tag_time_s)
            record.steps.append(step)
            return step
        if topic.stream is Stream.POSITION:
            fix = _find_fix(topic.subject, decode(body, PositionEvent).data.position, _start_utc_ns(record))
            if fix is not None:
                record.fixes.append(fix)
            return fix
    except (msgspec.ValidationError, msgspec.DecodeError) as exc:
        raise BenchBrokenError(
            f"a message on {message.topic} does not keep to the contract: {exc}. Next: read messages.jsonl"
        ) from exc
    return None


def times_of(seen: AlertSeen, record: RunRecord) -> HopTimes:
    """Count the times of an alert by hop, from the truth log of its device."""
    tail = record.truth.get(seen.trace.device_id) or next(iter(record.truth.values()))
    return hop_times(seen.trace, seen.t_sub_mono_ns, tail, kind=seen.alert.kind, cleared=seen.alert.cleared)


def finish(record: RunRecord) -> None:
    """Read the truth to its end and count all hops anew: an alert can overtake the log of its own epoch."""
    for tail in record.truth.values():
        tail.read_on()
    record.times = [times_of(seen, record) for seen in record.alerts] if record.truth else []


def _start_utc_ns(record: RunRecord) -> int:
    if not record.start_utc_ns:
        for tail in record.truth.values():
            tail.read_on()
            if tail.header is not None:
                record.start_utc_ns = tail.header.start_utc_ns
    return record.start_utc_ns


def _step(message: Received, event: WarningEvent, tag_time_s: TagTime) -> StepSeen:
    data = event.data
    return StepSeen(
        t_s=tag_time_s(message.t_sub_mono_ns),
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
    tag_time_s: TagTime,
    index: int,
) -> AlertSeen:
    data = event.data
    zone = event.data.zone if isinstance(event, AlertEvent) else None
    band: BandName | None = None
    about: str | None = None
    distance_m: float | None = None
    if isinstance(event, AlertEvent):
        if event.data.protected_party is not None:
            band, about = event.data.protected_party.band, event.data.protected_party.ref
    elif event.data.proximity is not None:
        near = event.data.proximity
        band, distance_m, about = near.band, near.distance_m, near.wearer
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
            t_s=tag_time_s(message.t_sub_mono_ns),
            index=index,
            about=about,
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
        event_id=event.id,
        level=data.level,
        source=event.source,
        epoch=data.delivery.epoch,
        sequence=int(event.sequence) if event.sequence.isdecimal() else None,
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
    t_s = (utc_ns(position.properties.time) - start_utc_ns) / 1e9
    return FixSeen(device=device, t_s=t_s, lat_deg=lat, lon_deg=lon, accuracy_m=accuracy)
