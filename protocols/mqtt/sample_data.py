"""Data of the samples: what each message of ``samples`` says."""

from collections.abc import Iterator
from typing import Literal, Protocol

from protocols.mqtt import messages as m
from protocols.mqtt.ids import sequence_text
from protocols.mqtt.severity import gravity_of
from protocols.mqtt.topics import Side, Stream

WEARER = "tag-4711"
PERSON = "pp-17"
SMART_TAG = "st-17"
LON_DEG, LAT_DEG = -6.5, 51.0
"""Open water."""

_BOOT_ID = "00000000-0000-4000-8000-000000000000"
_ZONE = m.ZoneRef(id="z-88", type="exclusion", name="Pier")
_HOME = m.ZoneRef(id="z-12", type="inclusion", name="Berth")
_ZONES = {m.AlertKind.EXCLUSION_ZONE_ENTERED: _ZONE, m.AlertKind.INCLUSION_ZONE_LEFT: _HOME}
_BANDS = {m.MsgType.ALERT: m.BandName.PRE_ALERT, m.MsgType.UPDATE: m.BandName.ALARM, m.MsgType.CANCEL: m.BandName.CLEAR}
_DISTANCES_M = {m.BandName.PRE_ALERT: 940.2, m.BandName.ALARM: 412.7, m.BandName.CLEAR: 1210.0}

IncidentState = Literal["opened", "updated", "closed"]
INCIDENT_STATES: tuple[IncidentState, ...] = ("opened", "updated", "closed")


class Maker(Protocol):
    """What the data needs to know of who numbers the events."""

    @property
    def now(self) -> str:
        """Time of the next event."""
        ...

    @property
    def epoch(self) -> str:
        """Name of the start of the bridge."""
        ...

    def delivery(self) -> m.Delivery:
        """First sending."""
        ...

    def source(self, side: Side, stream: Stream) -> str:
        """Name of a stream."""
        ...

    def last_sequence(self, side: Side, stream: Stream) -> int:
        """Its latest number."""
        ...


def place(maker: Maker, *, late: bool = False, north_m: float = 0.0) -> m.Position:
    """Make a fix."""
    return m.Position(
        geometry=m.Point(coordinates=(LON_DEG, round(LAT_DEG + north_m / 111_200, 6), 12.5)),
        properties=m.PositionProperties(
            time=maker.now,
            accuracy_m=4.2,
            accuracy_rule="hdop",
            speed_mps=1.3,
            course_deg=271.0,
            fix="gnss",
            date_rule="receiver",
            stored=late,
            late=late,
        ),
    )


def position(maker: Maker, *, late: bool) -> m.PositionData:
    """Make a position event's data."""
    return m.PositionData(position=place(maker, late=late), epoch=maker.epoch)


def alert(
    maker: Maker, side: Side, kind: m.AlertKind, step: m.MsgType, *, earlier: tuple[str, ...], own_id: str
) -> m.AlertData | m.ProtectedAlertData:
    """Make one event in the life of an alert; ``earlier`` are the ids of those before it, ``own_id`` its own."""
    near = kind is m.AlertKind.PROXIMITY_BREACH
    band = _BANDS[step] if near else None
    level = "alarm" if kind is m.AlertKind.PROTECTED_PERSON_NOT_WARNED else None
    # A Cancel is as grave as what it ends.
    gravity = gravity_of(kind, m.BandName.ALARM if near and step is m.MsgType.CANCEL else band, level)
    device = WEARER if side is Side.TAG else PERSON
    life = {
        "alert_id": earlier[0] if earlier else own_id,
        "msg_type": step,
        "status": "Test",
        "references": earlier,
        "kind": kind,
        "severity": gravity.severity,
        "urgency": "Past" if step is m.MsgType.CANCEL else gravity.urgency,
        "certainty": gravity.certainty,
        "state": m.STATE_OF[step],
        "occurred_at": maker.now,
        "detected_at": maker.now,
        "enqueued_at": maker.now,
        "clock": "synced",
        "late": False,
        "stored": False,
        "level": level,
        "reason": f"sample of {kind}, {m.STATE_OF[step]}",
        "position": place(maker),
        "device": m.DeviceState(battery_pct=71, strap="closed", case="closed")
        if side is Side.TAG
        else m.DeviceState(battery_pct=83),
        "delivery": maker.delivery(),
        "trace": m.Trace(
            boot_id=_BOOT_ID,
            device_id=device,
            rx_mono_ns=1_000_000_000,
            decoded_mono_ns=1_000_150_000,
            judged_mono_ns=1_000_400_000,
            submitted_mono_ns=1_000_520_000,
        ),
    }
    if side is Side.TAG:
        party = m.PartyBand(ref=PERSON, band=band) if band is not None else None
        return m.AlertData(**life, zone=_ZONES.get(kind), protected_party=party)  # type: ignore[arg-type]
    return m.ProtectedAlertData(**life, proximity=_detail(band) if band is not None else None)  # type: ignore[arg-type]


def _detail(band: m.BandName) -> m.ProximityDetail:
    return m.ProximityDetail(wearer=WEARER, band=band, distance_m=_DISTANCES_M[band], bearing_deg=38.5)


def active(maker: Maker, side: Side, kind: m.AlertKind | None, alert_id: str = "") -> m.ActiveData:
    """Make the snapshot that holds one alert, or none."""
    raised: tuple[m.ActiveAlert, ...] = ()
    if kind is not None:
        near = kind is m.AlertKind.PROXIMITY_BREACH
        band = _BANDS[m.MsgType.ALERT] if near else None
        zone = _ZONES.get(kind) if side is Side.TAG else None
        one = m.ActiveAlert(
            alert_id=alert_id,
            kind=kind,
            severity=gravity_of(kind, band).severity,
            raised_at=maker.now,
            zone_id=zone.id if zone is not None else None,
            ref=None if not near else PERSON if side is Side.TAG else WEARER,
            band=band,
        )
        raised = (one,)
    return m.ActiveData(
        alert_sequence=sequence_text(maker.last_sequence(side, Stream.ALERT)), alerts=raised, epoch=maker.epoch
    )


def tag_status(maker: Maker) -> m.StatusData:
    """Make the state of a wearer's device."""
    return m.StatusData(
        comms="up",
        location="valid",
        last_fix_at=maker.now,
        fix_state="fix_3d",
        strap="closed",
        case="closed",
        shielded=False,
        jamming=0,
        battery_pct=71,
        battery_mv=3912,
        charging=False,
        motion=True,
        temperature_c=31.5,
        firmware="2.4.1",
        pairs=(m.WearerPair(ref=PERSON, band=m.BandName.CLEAR),),
        epoch=maker.epoch,
        kind="ankle_tag",
    )


def protected_status(maker: Maker) -> m.ProtectedStatusData:
    """Make the state of a protected person's device."""
    return m.ProtectedStatusData(
        comms="up",
        location="valid",
        last_fix_at=maker.now,
        fix_state="fix_3d",
        battery_pct=83,
        battery_mv=3990,
        charging=False,
        firmware="1.8.0",
        pairs=(m.ProximityDetail(wearer=WEARER, band=m.BandName.CLEAR, distance_m=1210.0, bearing_deg=38.5),),
        epoch=maker.epoch,
        kind="gnss_receiver",
        smart_tag="present",
        smart_tag_id=SMART_TAG,
        sos=False,
        warning=m.StandingWarning(
            level="alarm", text="nearby", step=m.WarningStep.ACKNOWLEDGED, warn_id=4, since=maker.now
        ),
    )


def warning(maker: Maker, step: m.WarningStep) -> m.WarningData:
    """Make one step in the life of a warning."""
    by_itself = step in {m.WarningStep.OWN_STARTED, m.WarningStep.OWN_ENDED, m.WarningStep.OWN_COVER_LOST}
    written = step not in {m.WarningStep.ASKED, m.WarningStep.LOST, m.WarningStep.SUPERSEDED} and not by_itself
    started = written and step not in {m.WarningStep.WRITTEN, m.WarningStep.UNCONFIRMED}
    acknowledged = step is m.WarningStep.ACKNOWLEDGED
    return m.WarningData(
        step=step,
        smart_tag=SMART_TAG,
        warn_id=None if by_itself else 4,
        level=None if by_itself else "alarm",
        text=None if by_itself else "nearby",
        cause=None if by_itself else "proximity",
        wearer=None if by_itself else WEARER,
        repeat=0,
        reason=f"sample of a warning that is {step}",
        occurred_at=maker.now,
        age_s=12.5 if by_itself else None,
        latency=m.WarningLatency(
            fix_to_asked_ms=None if by_itself else 0.8,
            fix_to_written_ms=61.3 if written else None,
            fix_to_started_ms=94.0 if started else None,
            asked_to_written_ms=60.5 if written else None,
            written_to_started_ms=32.7 if started else None,
            started_to_acknowledged_ms=5210.0 if acknowledged else None,
        ),
        delivery=maker.delivery(),
        trace=m.WarningTrace(
            boot_id=_BOOT_ID,
            rx_mono_ns=None if by_itself else 1_000_000_000,
            asked_mono_ns=None if by_itself else 1_000_800_000,
            written_mono_ns=1_061_300_000 if written else None,
            started_mono_ns=1_094_000_000 if started else None,
            acknowledged_mono_ns=6_304_000_000 if acknowledged else None,
        ),
    )


def incident(
    maker: Maker, state: IncidentState, evidence: tuple[m.Evidence, ...], *, incident_id: str, earlier: tuple[str, ...]
) -> m.IncidentData:
    """Make one event in the life of an incident."""
    step = {"opened": m.MsgType.ALERT, "updated": m.MsgType.UPDATE, "closed": m.MsgType.CANCEL}[state]
    gravity = gravity_of(m.AlertKind.EXCLUSION_ZONE_ENTERED)
    return m.IncidentData(
        incident_id=incident_id,
        msg_type=step,
        state=state,
        status="Test",
        references=earlier,
        cause=m.AlertKind.EXCLUSION_ZONE_ENTERED,
        severity=gravity.severity,
        urgency="Past" if state == "closed" else gravity.urgency,
        certainty=gravity.certainty,
        tag=WEARER,
        zone=_ZONE,
        protected_party=m.PartyBand(ref=PERSON, band=m.BandName.ALARM),
        opened_at=maker.now,
        updated_at=maker.now,
        closed_at=maker.now if state == "closed" else None,
        occurrences=1 if state == "opened" else 2,
        reason=f"sample of an incident, {state}",
        position=place(maker),
        acknowledged_at=None if state == "opened" else maker.now,
        acknowledged_by=None if state == "opened" else "desk-3",
        evidence=evidence,
        evidence_left_out=0,
        delivery=maker.delivery(),
    )


def bridge_status(maker: Maker, state: m.OnOff, reason: str) -> m.BridgeStatusData:
    """Make a birth or a will."""
    return m.BridgeStatusData(state=state, reason=reason, version="0.1.0", boot_id=_BOOT_ID, epoch=maker.epoch)


def heartbeat(maker: Maker) -> m.HeartbeatData:
    """Make a heartbeat of a bridge that fares well."""
    mark = m.StreamMark(
        source=maker.source(Side.TAG, Stream.ALERT),
        sequence=sequence_text(maker.last_sequence(Side.TAG, Stream.ALERT)),
        time=maker.now,
    )
    return m.HeartbeatData(
        uptime_s=3600.0,
        devices=2,
        devices_heard=2,
        fixes=7200,
        alerts=maker.last_sequence(Side.TAG, Stream.ALERT),
        outbox=m.OutboxDepth(
            alerts=0,
            states=0,
            positions=0,
            in_flight=0,
            oldest_alert_age_s=0.0,
            positions_dropped=0,
            rejected=0,
            without_subscriber=0,
            unheard_alerts=0,
            positions_unheard=0,
            reconnects=0,
            unreceipted=1,
            oldest_unreceipted_age_s=0.4,
            receipts=3,
        ),
        durable=True,
        epoch=maker.epoch,
        disk="ok",
        canary="ok",
        provider="online",
        clock="synced",
        last_alert=mark,
        paths=(
            m.PathState(
                name="main",
                connected=True,
                endpoint="mqtts://broker.example:8883",
                reconnects=0,
                in_flight=0,
                canary="ok",
            ),
        ),
    )


def replies(maker: Maker) -> Iterator[tuple[str, m.ReplyData]]:
    """Make one reply of every state and with every kind of result."""
    order = m.OrderResult(order_id="order-2026-17", version=1, loaded=True)
    results: tuple[tuple[str, m.ReplyResult | None], ...] = (
        ("load_order", order),
        ("replay", m.ReplayResult(source=maker.source(Side.TAG, Stream.ALERT), first=41, last=43, events=3)),
        ("resend_active", m.CountResult(what="snapshots", count=2)),
        ("incident_cap", m.CapResult(incident_id="01KSRQ84RX0000000000000000", cap_xml="<alert/>")),
        ("locate_now", m.DeviceResult(device=WEARER, answer="ok")),
        ("warn", m.WarnResult(person=PERSON, warn_id=5)),
        ("ping", m.PongResult(bridge_time=maker.now, version="0.1.0", epoch=maker.epoch)),
        (
            "status",
            m.StatusResult(
                version="0.1.0",
                epoch=maker.epoch,
                uptime_s=3600.0,
                devices=2,
                devices_heard=2,
                orders=(order,),
                left_out=0,
                commands_done=8,
                commands_refused=1,
            ),
        ),
        ("stand_down", None),
    )
    for number, (command, result) in enumerate(results):
        yield f"{command} done", _reply(maker, number, command, "done", None, "", result)
    yield "set_interval accepted", _reply(maker, 20, "set_interval", "accepted", None, "", None)
    unreached = "no answer within 5 s"
    yield "vibrate failed", _reply(maker, 21, "vibrate", "failed", m.RefusalReason.NOT_REACHED, unreached, None)
    conflict = "order-2026-17 is loaded as version 2, if_version is 1"
    yield (
        "replace_order refused",
        _reply(maker, 22, "replace_order", "refused", m.RefusalReason.VERSION_CONFLICT, conflict, None),
    )
    forged = m.ReplyData(
        nonce=None,
        command=None,
        state="refused",
        reason=m.RefusalReason.BAD_SIGNATURE,
        detail="",
        result=None,
        answered_at=maker.now,
        delivery=maker.delivery(),
    )
    yield "unsigned command refused", forged


def _reply(
    maker: Maker,
    number: int,
    command: str,
    state: m.ReplyState,
    reason: m.RefusalReason | None,
    detail: str,
    result: m.ReplyResult | None,
) -> m.ReplyData:
    return m.ReplyData(
        nonce=f"nonce-of-a-sample-{number:02d}",
        command=command,
        state=state,
        reason=reason,
        detail=detail,
        result=result,
        answered_at=maker.now,
        delivery=maker.delivery(),
    )
