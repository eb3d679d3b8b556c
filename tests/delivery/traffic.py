"""The messages of the acceptance suite: real alert and position events, numbered without gaps per tag."""

from msgspec.structs import replace

from bridge.publisher import Lane, Message
from protocols.mqtt import messages as m
from protocols.mqtt.ids import event_id, sequence_text
from protocols.mqtt.times import utc_text
from protocols.mqtt.words import AlertKind, MsgType

ROOT = "em/v1/acceptance"
BRIDGE_ID = "b"
TYPE_PREFIX = "org.tagrig.em"

_DATA = m.AlertData(
    alert_id="",
    msg_type=MsgType.ALERT,
    status="Test",
    references=(),
    kind=AlertKind.EXCLUSION_ZONE_ENTERED,
    severity="Extreme",
    urgency="Immediate",
    certainty="Observed",
    state="raised",
    occurred_at="",
    detected_at="",
    enqueued_at="",
    clock="unknown",
    late=False,
    stored=False,
    level=None,
    reason="acceptance suite",
    position=None,
    device=m.DeviceState(battery_pct=71, strap="closed", case="closed"),
    delivery=m.Delivery(attempt=1, durable=True, epoch=""),
    trace=m.Trace(boot_id="", device_id="", rx_mono_ns=0, decoded_mono_ns=0, judged_mono_ns=0, submitted_mono_ns=0),
    zone=m.ZoneRef(id="z-1", type="exclusion", name="acceptance"),
    protected_party=None,
)


def source_of(tag: str, lane: Lane) -> str:
    """Name of a tag's stream."""
    urn = f"urn:em:acceptance:{BRIDGE_ID}:tag:{tag}"
    return urn if lane is Lane.ALERT else f"{urn}:position"


def make_message(tag: str, sequence: int, *, lane: Lane, epoch: str, t_utc_ns: int, t_mono_ns: int) -> Message:
    """One event as the bridge would make it; ``trace.submitted_mono_ns`` is when it was made."""
    source = source_of(tag, lane)
    stream = "alert" if lane is Lane.ALERT else "position"
    head = m.Event(
        specversion="1.0",
        id=event_id(t_utc_ns=t_utc_ns, epoch=epoch, source=source, sequence=sequence),
        source=source,
        type=f"{TYPE_PREFIX}.{stream}.v1",
        subject=f"tag/{tag}",
        time=utc_text(t_utc_ns),
        datacontenttype="application/json",
        sequence=sequence_text(sequence),
        priority=stream,  # type: ignore[arg-type]
    )
    # A position of the suite has the same body: what is under test is the way, not the content.
    data = replace(
        _DATA,
        alert_id=head.id,
        occurred_at=head.time,
        detected_at=head.time,
        enqueued_at=head.time,
        delivery=replace(_DATA.delivery, epoch=epoch),
        trace=replace(_DATA.trace, device_id=tag, submitted_mono_ns=t_mono_ns),
    )
    fields = {name: getattr(head, name) for name in m.Event.__struct_fields__}
    event = m.AlertEvent(**fields, data=data)
    return Message(
        topic=f"{ROOT}/tag/{tag}/{stream}",
        body=m.encode(event),
        lane=lane,
        properties=(("id", head.id), ("source", source), ("sequence", head.sequence)),
        alert_type=m.AlertEvent if lane is Lane.ALERT else None,
        owner=tag,
        event_id=head.id,
        source=source,
        sequence=sequence,
    )
