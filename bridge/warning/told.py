"""A step of a warning in the contract's words."""

from bridge.warning.records import CauseKind, Step
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt import messages as m
from protocols.mqtt.times import utc_text
from protocols.mqtt.words import WarnCause, WarnLevelName, WarnTextName

LEVEL_NAMES: dict[WarnLevel, WarnLevelName] = {
    WarnLevel.STAND_DOWN: "stand_down",
    WarnLevel.NOTICE: "notice",
    WarnLevel.ALARM: "alarm",
    WarnLevel.CONTACT: "contact",
}
TEXT_NAMES: dict[WarnText, WarnTextName] = {
    WarnText.NONE: "none",
    WarnText.NEARBY: "nearby",
    WarnText.COVER_LOST: "cover_lost",
    WarnText.STAND_DOWN: "stand_down",
    WarnText.TEST: "test",
}
_CAUSES: dict[CauseKind, WarnCause] = {
    CauseKind.PROXIMITY: "proximity",
    CauseKind.BEACON: "beacon",
    CauseKind.SOS: "sos",
    CauseKind.COVER: "cover",
    CauseKind.PROVIDER: "provider",
    CauseKind.OVER: "over",
}


def standing(step: Step) -> m.StandingWarning | None:
    """Make the retained form of a step; None for what the tag did by itself."""
    if step.warn_id is None or step.level is None:
        return None
    return m.StandingWarning(
        level=LEVEL_NAMES[step.level],
        text=TEXT_NAMES[step.text],
        step=step.step,
        warn_id=step.warn_id,
        since=utc_text(step.on.stamps.t_rx_utc_ns),
    )


def warning_data(step: Step, *, boot_id: str, delivery: m.Delivery) -> m.WarningData:
    """Make the body of a warning event."""
    cause = step.cause
    return m.WarningData(
        step=step.step,
        smart_tag=step.smart_tag,
        warn_id=step.warn_id,
        level=LEVEL_NAMES[step.level] if step.level is not None else None,
        text=TEXT_NAMES[step.text] if step.level is not None else None,
        cause=_CAUSES[cause.kind] if cause is not None else None,
        wearer=cause.wearer or None if cause is not None else None,
        repeat=step.repeat,
        reason=step.reason,
        occurred_at=utc_text(step.on.stamps.t_rx_utc_ns - (step.age_ns or 0)),
        age_s=round(step.age_ns / 1e9, 3) if step.age_ns is not None else None,
        latency=m.WarningLatency(
            fix_to_asked_ms=_ms(step.t_rx_mono_ns, step.t_asked_mono_ns),
            fix_to_written_ms=_ms(step.t_rx_mono_ns, step.t_written_mono_ns),
            fix_to_started_ms=_ms(step.t_rx_mono_ns, step.t_started_mono_ns),
            asked_to_written_ms=_ms(step.t_asked_mono_ns, step.t_written_mono_ns),
            written_to_started_ms=_ms(step.t_written_mono_ns, step.t_started_mono_ns),
            started_to_acknowledged_ms=_ms(step.t_started_mono_ns, step.t_acknowledged_mono_ns),
        ),
        delivery=delivery,
        trace=m.WarningTrace(
            boot_id=boot_id,
            rx_mono_ns=step.t_rx_mono_ns,
            asked_mono_ns=step.t_asked_mono_ns,
            written_mono_ns=step.t_written_mono_ns,
            started_mono_ns=step.t_started_mono_ns,
            acknowledged_mono_ns=step.t_acknowledged_mono_ns,
        ),
    )


def _ms(from_mono_ns: int | None, to_mono_ns: int | None) -> float | None:
    if from_mono_ns is None or to_mono_ns is None:
        return None
    return round((to_mono_ns - from_mono_ns) / 1e6, 3)
