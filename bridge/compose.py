"""From what was decided to encoded messages: ids, sequence numbers, envelope, the two sides of the privacy wall."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import asdict, replace

from bridge.alerts.change import Change, Raised
from bridge.compose_parts import (
    active_alert,
    clipped,
    device_state,
    find_position,
    last_fix_at,
    proximity_detail,
    shortened,
)
from bridge.identity import Identity
from bridge.incident import Incident
from bridge.incident_data import incident_data
from bridge.publisher import Lane, Message, Saved
from bridge.view import DeviceView
from bridge.warning.records import Step
from bridge.warning.told import warning_data
from protocols.mqtt import messages as m
from protocols.mqtt.ids import event_id, sequence_text
from protocols.mqtt.severity import gravity_of
from protocols.mqtt.table import HEARTBEAT_EXPIRY_S
from protocols.mqtt.times import utc_text
from protocols.mqtt.topics import Side, Stream, Topic
from protocols.reports import Fix

MAX_REASON = 1024
"""Characters of an alert's reason. It may quote an operating system or a device, and a body has a size limit."""

MAX_FIRMWARE = 64
"""Characters of a firmware's name, for the same reason."""

_PRIORITY: dict[Stream, Literal["alert", "position"]] = {
    Stream.ALERT: "alert",
    Stream.WARNING: "alert",
    Stream.INCIDENT: "alert",
    Stream.REPLY: "alert",
    Stream.POSITION: "position",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStamps:
    """When an alert was judged and handed to the publisher, on both of the bridge's clocks."""

    judged_mono_ns: int
    submitted_mono_ns: int
    submitted_utc_ns: int


class Composer:
    """Makes messages; counts each stream's sequence without gaps: a number is taken once its message is encoded.

    Parameters
    ----------
    identity : Identity
    kinds : mapping of str to str, optional
        What each device is, by its id.
    sequences : mapping of str to int, optional
        Last number of each source, as earlier starts left them.

    Attributes
    ----------
    alerts : int
        Made since the start.
    last_alert : StreamMark or None
        The newest of them.
    clock : str
        Whether the machine's clock is synchronised, as it was asked last.
    """

    def __init__(
        self,
        identity: Identity,
        kinds: Mapping[str, str] | None = None,
        *,
        sequences: Mapping[str, int] | None = None,
    ) -> None:
        self.identity = identity
        self._kinds = kinds or {}
        self.alerts = 0
        self._sequences: dict[str, int] = dict(sequences or {})
        self.last_alert: m.StreamMark | None = None
        self.clock: m.ClockState = "unknown"

    def last_alert_sequence(self, view: DeviceView) -> int:
        """Sequence number of the device's latest alert; 0: there never was one."""
        return self._sequences.get(self._source(view.side, view.id, Stream.ALERT), 0)

    def alert(
        self, change: Change, step: m.MsgType, raised: Raised | None, view: DeviceView, stages: StageStamps
    ) -> tuple[m.AlertEvent | m.ProtectedAlertEvent, Message]:
        """Make one event in the life of an alert, for the side of the wall that its device stands on."""
        head = self._head(view.side, view.id, Stream.ALERT, change.stamps.t_rx_utc_ns)
        life = asdict(self._life(head, change, step, raised, view, stages))
        event: m.AlertEvent | m.ProtectedAlertEvent
        if view.side is Side.PROTECTED:
            hers = m.ProtectedAlertData(**life, proximity=proximity_detail(change))
            event = m.ProtectedAlertEvent(**asdict(head), data=hers)
        else:
            party = m.PartyBand(ref=change.key.about, band=change.band) if change.band is not None else None
            his = m.AlertData(**life, zone=change.zone, protected_party=party)
            event = m.AlertEvent(**asdict(head), data=his)
        message = self._message(event, view.side, view.id, Stream.ALERT, Lane.ALERT, alert_type=type(event))
        self.alerts += 1
        self.last_alert = m.StreamMark(source=event.source, sequence=event.sequence, time=event.time)
        return event, message

    def active(self, view: DeviceView, raised: Iterable[Raised], t_utc_ns: int) -> Message:
        """Make the retained snapshot of what is raised for a device; the most severe alerts if not all fit."""
        head = self._head(view.side, view.id, Stream.ACTIVE, t_utc_ns)
        sequence = sequence_text(self.last_alert_sequence(view))
        data = m.ActiveData(
            alert_sequence=sequence, alerts=tuple(active_alert(each) for each in raised), epoch=self.identity.epoch
        )
        try:
            event = m.ActiveEvent(**asdict(head), data=data)
            return self._message(event, view.side, view.id, Stream.ACTIVE, Lane.STATE, retain=True)
        except m.PayloadTooLargeError:
            event = m.ActiveEvent(**asdict(head), data=shortened(data))
            return self._message(event, view.side, view.id, Stream.ACTIVE, Lane.STATE, retain=True)

    def warning(self, step: Step, view: DeviceView) -> tuple[m.WarningEvent, Message]:
        """Make one step in the life of a warning. There is no wearer's side of it."""
        data = warning_data(
            step,
            boot_id=self.identity.boot_id,
            delivery=self._delivery(),
        )
        data = replace(data, reason=clipped(data.reason, MAX_REASON))
        head = self._head(Side.PROTECTED, view.id, Stream.WARNING, step.on.stamps.t_rx_utc_ns)
        event = m.WarningEvent(**asdict(head), data=data)
        message = self._message(event, Side.PROTECTED, view.id, Stream.WARNING, Lane.ALERT, alert_type=m.WarningEvent)
        return event, message

    def position(self, view: DeviceView, fix: Fix, t_utc_ns: int, *, late: bool) -> Message:
        """Make a position event of a fix that has coordinates."""
        place = find_position(fix, late=late)
        assert place is not None
        data = m.PositionData(position=place, epoch=self.identity.epoch)
        event = m.PositionEvent(**asdict(self._head(view.side, view.id, Stream.POSITION, t_utc_ns)), data=data)
        return self._message(event, view.side, view.id, Stream.POSITION, Lane.POSITION)

    def status(self, view: DeviceView, t_utc_ns: int) -> Message:
        """Make the retained state of a device."""
        head = asdict(self._head(view.side, view.id, Stream.STATUS, t_utc_ns))
        event: m.StatusEvent | m.ProtectedStatusEvent
        if view.side is Side.PROTECTED:
            event = m.ProtectedStatusEvent(**head, data=self._protected_status(view))
        else:
            event = m.StatusEvent(**head, data=self._wearer_status(view))
        return self._message(event, view.side, view.id, Stream.STATUS, Lane.STATE, retain=True)

    def incident(self, incident: Incident, t_utc_ns: int) -> tuple[m.IncidentEvent, Message]:
        """Make one event in the life of an incident, for the control centre."""
        subject = incident.key.subject
        head = self._head(Side.CONTROL, subject, Stream.INCIDENT, t_utc_ns)
        data = incident_data(incident, status=self.identity.status, delivery=self._delivery())
        event = m.IncidentEvent(**asdict(head), data=replace(data, reason=clipped(data.reason, MAX_REASON)))
        return event, self._message(
            event, Side.CONTROL, subject, Stream.INCIDENT, Lane.ALERT, alert_type=m.IncidentEvent
        )

    def reply(self, data: m.ReplyData, t_utc_ns: int, *, saves: tuple[Saved, ...] = ()) -> Message:
        """Make an answer to a command; ``saves`` is kept in its transaction."""
        bridge_id = self.identity.bridge_id
        event = m.ReplyEvent(
            **asdict(self._head(Side.BRIDGE, bridge_id, Stream.REPLY, t_utc_ns)),
            data=replace(data, delivery=self._delivery()),
        )
        message = self._message(event, Side.BRIDGE, bridge_id, Stream.REPLY, Lane.ALERT, alert_type=m.ReplyEvent)
        return dataclasses.replace(message, saves=saves)

    @property
    def bridge_status_topic(self) -> str:
        """Where the bridge's own status goes."""
        return self._topic(Side.BRIDGE, self.identity.bridge_id, Stream.STATUS)

    def bridge_status(self, state: m.OnOff, reason: str, t_utc_ns: int) -> Message:
        """Make a birth, a farewell or a will."""
        identity = self.identity
        data = m.BridgeStatusData(
            state=state, reason=reason, version=identity.version, boot_id=identity.boot_id, epoch=identity.epoch
        )
        head = asdict(self._head(Side.BRIDGE, identity.bridge_id, Stream.STATUS, t_utc_ns))
        event = m.BridgeStatusEvent(**head, data=data)
        return self._message(event, Side.BRIDGE, identity.bridge_id, Stream.STATUS, Lane.STATE, retain=True)

    def heartbeat(self, data: m.HeartbeatData, t_utc_ns: int) -> Message:
        """Make a heartbeat."""
        bridge_id = self.identity.bridge_id
        event = m.HeartbeatEvent(**asdict(self._head(Side.BRIDGE, bridge_id, Stream.HEARTBEAT, t_utc_ns)), data=data)
        return self._message(event, Side.BRIDGE, bridge_id, Stream.HEARTBEAT, Lane.STATE, expiry_s=HEARTBEAT_EXPIRY_S)

    def _source(self, side: Side, subject: str, stream: Stream) -> str:
        """Name a stream that is counted by itself; a tag's alerts are the tag's own source."""
        identity = self.identity
        if side is Side.BRIDGE:
            urn = f"urn:em:{identity.agency}:{subject}"
        else:
            urn = f"urn:em:{identity.agency}:{identity.origin or identity.bridge_id}:{side}:{subject}"
        return urn if stream is Stream.ALERT else f"{urn}:{stream}"

    def _head(self, side: Side, subject: str, stream: Stream, t_utc_ns: int) -> m.Event:
        source = self._source(side, subject, stream)
        sequence = self._sequences.get(source, 0) + 1
        scope = "" if side is Side.TAG else f"{side}."
        return m.Event(
            specversion="1.0",
            id=event_id(t_utc_ns=t_utc_ns, epoch=self.identity.epoch, source=source, sequence=sequence),
            source=source,
            type=f"{self.identity.event_type_prefix}.{scope}{stream}.v1",
            subject=f"{side}/{subject}",
            time=utc_text(t_utc_ns),
            datacontenttype="application/json",
            sequence=sequence_text(sequence),
            priority=_PRIORITY.get(stream, "state"),
        )

    def _life(
        self,
        head: m.Event,
        change: Change,
        step: m.MsgType,
        raised: Raised | None,
        view: DeviceView,
        stages: StageStamps,
    ) -> m.AlertLife:
        # A Cancel is as grave as what it ends, so that it reaches the same desks.
        grave = raised.last if raised is not None and step is m.MsgType.CANCEL else change
        gravity = gravity_of(change.key.kind, grave.band, grave.level)
        return m.AlertLife(
            alert_id=raised.alert_id if raised is not None else head.id,
            msg_type=step,
            status=self.identity.status,
            references=raised.references if raised is not None else (),
            kind=change.key.kind,
            severity=gravity.severity,
            urgency="Past" if step is m.MsgType.CANCEL or change.key.late else gravity.urgency,
            certainty=gravity.certainty,
            state=m.STATE_OF[step],
            occurred_at=utc_text(change.occurred_utc_ns),
            detected_at=head.time,
            enqueued_at=utc_text(stages.submitted_utc_ns),
            clock=self.clock,
            late=change.key.late,
            stored=change.stored,
            level=change.level,
            reason=clipped(change.reason, MAX_REASON),
            position=find_position(change.fix, late=change.key.late) if change.fix is not None else None,
            device=device_state(view),
            delivery=self._delivery(),
            trace=m.Trace(
                boot_id=self.identity.boot_id,
                device_id=change.shown_by,
                rx_mono_ns=change.stamps.t_rx_mono_ns,
                decoded_mono_ns=change.stamps.t_decoded_mono_ns,
                judged_mono_ns=stages.judged_mono_ns,
                submitted_mono_ns=stages.submitted_mono_ns,
            ),
        )

    def _delivery(self) -> m.Delivery:
        return m.Delivery(attempt=1, durable=self.identity.durable, epoch=self.identity.epoch)

    def _wearer_status(self, view: DeviceView) -> m.StatusData:
        status = view.status
        return m.StatusData(
            comms=view.comms,
            location=view.location,
            last_fix_at=last_fix_at(view),
            fix_state=view.fix_state,
            strap=status.strap if status else None,
            case=status.case if status else None,
            shielded=status.shielded if status else None,
            jamming=int(status.jamming) if status else None,
            battery_pct=status.battery_pct if status else None,
            battery_mv=status.battery_mv if status else None,
            charging=status.charging if status else None,
            motion=status.motion if status else None,
            temperature_c=status.temperature_c if status else None,
            firmware=clipped(status.firmware, MAX_FIRMWARE) if status else None,
            pairs=tuple(view.wearer_pairs.values()),
            epoch=self.identity.epoch,
            kind=self._kinds.get(view.id),
        )

    def _protected_status(self, view: DeviceView) -> m.ProtectedStatusData:
        status = view.status
        firmware = status.firmware if status else view.firmware
        return m.ProtectedStatusData(
            comms=view.comms,
            location=view.location,
            last_fix_at=last_fix_at(view),
            fix_state=view.fix_state,
            battery_pct=view.charge_pct,
            battery_mv=status.battery_mv if status else None,
            charging=status.charging if status else None,
            firmware=clipped(firmware, MAX_FIRMWARE) if firmware is not None else None,
            pairs=tuple(view.protected_pairs.values()),
            epoch=self.identity.epoch,
            kind=self._kinds.get(view.id),
            smart_tag=view.smart_tag,
            smart_tag_id=view.smart_tag_id,
            sos=view.sos,
            warning=view.standing,
        )

    def _topic(self, side: Side, subject: str, stream: Stream) -> str:
        return str(Topic(root=self.identity.root, side=side, subject=subject, stream=stream))

    def _message(
        self,
        event: m.Event,
        side: Side,
        subject: str,
        stream: Stream,
        lane: Lane,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        alert_type: type[m.DeliveredEvent] | None = None,
    ) -> Message:
        body = m.encode(event)
        # Not before: a message that cannot be encoded would leave a gap, which a reader takes for a loss.
        self._sequences[event.source] = int(event.sequence)
        return Message(
            topic=self._topic(side, subject, stream),
            body=body,
            lane=lane,
            retain=retain,
            expiry_s=expiry_s,
            properties=(
                ("id", event.id),
                ("type", event.type),
                ("source", event.source),
                ("sequence", event.sequence),
                ("time", event.time),
            ),
            alert_type=alert_type,
            owner="" if side is Side.BRIDGE else subject,
            event_id=event.id,
            source=event.source,
            sequence=int(event.sequence),
        )
