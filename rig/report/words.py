"""Words that reports, tables and narration share."""

import math
from collections.abc import Sequence
from typing import Final

from protocols.mqtt.messages import AlertKind, BandName
from rig.truth.expectation import ExpectedAlert
from rig.truth.verdict import ReceivedAlert

_OVER: Final = {
    AlertKind.EXCLUSION_ZONE_ENTERED: "exclusion zone left",
    AlertKind.INCLUSION_ZONE_LEFT: "inclusion zone returned to",
    AlertKind.PROXIMITY_BREACH: "proximity over",
    AlertKind.STRAP_TAMPER: "strap closed again",
    AlertKind.CASE_TAMPER: "case closed again",
    AlertKind.LOCATION_LOST: "location back",
    AlertKind.COMMS_LOST: "heard again",
}

_SHORT: Final = {AlertKind.EXCLUSION_ZONE_ENTERED: "in", AlertKind.INCLUSION_ZONE_LEFT: "out of"}


def alert_name(alert: ExpectedAlert | ReceivedAlert, zone_name: str | None) -> str:
    """Name an alert, or its end, in words."""
    name = alert.kind.value.replace("_", " ")
    if alert.cleared:
        name = _OVER.get(alert.kind, f"{name} over")
    if zone_name:
        name += f" · {zone_name}"
    if alert.band is not None and alert.band is not BandName.CLEAR and not alert.cleared:
        name += f" · {alert.band.value.replace('_', '-')}"
    return f"{name} (to the protected person)" if alert.side == "protected" else name


def lane_name(alert: ExpectedAlert | ReceivedAlert, zone_name: str | None, *, with_subject: bool = False) -> str:
    """Name the cause that an alert and its end share: their row in the timeline."""
    name = _SHORT.get(alert.kind, alert.kind.value.replace("_", " "))
    if zone_name:
        return lane_of(f"{name} {zone_name}", "tag", alert.subject, with_subject=with_subject)
    if alert.kind is AlertKind.PROXIMITY_BREACH:
        return lane_of("proximity", alert.side, alert.subject, with_subject=with_subject)
    return lane_of(name, alert.side, alert.subject, with_subject=with_subject)


def lane_of(name: str, side: str, subject: str, *, with_subject: bool) -> str:
    """Name a row by its cause and by whom it is about: by device where there are several."""
    if with_subject:
        return f"{name} · {subject}"
    if side == "protected":
        return f"{name} (protected)"
    return "proximity (wearer)" if name == "proximity" else name


def clock_text(t_s: float) -> str:
    """Minutes and seconds of the story; hours where there are any."""
    if not math.isfinite(t_s):
        return "–"
    sign, whole = ("-", int(-t_s)) if t_s < 0 else ("", int(t_s))
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{sign}{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{sign}{rest // 60}:{rest % 60:02d}"


def number_text(value: float) -> str:
    """Write a value so that a person sees what matters of it."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"


def span_text(seconds: float) -> str:
    """Say a time as people do: milliseconds below a second."""
    if not math.isfinite(seconds):
        return "–"
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if abs(seconds) < 120 else clock_text(seconds)


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
