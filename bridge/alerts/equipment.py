"""Equipment: strap, case, shielding, jamming, battery, from the tag's own status."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.alerts.change import AlertKey, Change
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind
from protocols.reports import Closure, Jamming, TagStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPolicy:
    """Thresholds in percent; an alert clears ``hysteresis_pct`` above the level that raised it."""

    low_pct: int
    critical_pct: int
    hysteresis_pct: int


def equipment_changes(
    status: TagStatus,
    *,
    device_id: str,
    stamps: Stamps,
    battery: BatteryPolicy,
    is_raised: Callable[[AlertKey], bool],
    late: bool,
) -> Iterator[Change]:
    """Compare a status with what is raised.

    A late status (from the tag's memory, older than one we had) tells of tampering in the past under its own keys; its
    battery is of no interest any more.
    """
    occurred_utc_ns = status.t_status_utc_ns if status.t_status_utc_ns is not None else stamps.t_rx_utc_ns

    def change(kind: AlertKind, raised: bool, reason: str, level: str | None = None) -> Change:
        return Change(
            key=AlertKey(device_id=device_id, kind=kind, late=late),
            raised=raised,
            occurred_utc_ns=occurred_utc_ns,
            stamps=stamps,
            shown_by=device_id,
            reason=reason,
            level=level,
            stored=status.stored,
        )

    yield change(AlertKind.STRAP_TAMPER, status.strap is Closure.OPEN, f"strap {status.strap}")
    yield change(AlertKind.CASE_TAMPER, status.case is Closure.OPEN, f"case {status.case}")
    yield change(
        AlertKind.SHIELDING_SUSPECTED,
        status.shielded,
        "the tag senses a shield" if status.shielded else "the tag senses no shield",
    )
    jamming = status.jamming.name.lower()
    jammed = status.jamming is not Jamming.NONE
    yield change(AlertKind.JAMMING_SUSPECTED, jammed, f"jamming {jamming}", jamming if jammed else None)
    if not late:
        yield from battery_changes(
            status.battery_pct,
            device_id=device_id,
            occurred_utc_ns=occurred_utc_ns,
            stamps=stamps,
            battery=battery,
            is_raised=is_raised,
            stored=status.stored,
        )


def battery_changes(
    battery_pct: int,
    *,
    device_id: str,
    occurred_utc_ns: int,
    stamps: Stamps,
    battery: BatteryPolicy,
    is_raised: Callable[[AlertKey], bool],
    stored: bool = False,
) -> Iterator[Change]:
    """Compare a battery with what is raised. Between the two levels what was raised stays raised."""
    for kind, limit_pct in (
        (AlertKind.BATTERY_LOW, battery.low_pct),
        (AlertKind.BATTERY_CRITICAL, battery.critical_pct),
    ):
        key = AlertKey(device_id=device_id, kind=kind)
        yield Change(
            key=key,
            raised=battery_pct < limit_pct + battery.hysteresis_pct if is_raised(key) else battery_pct <= limit_pct,
            occurred_utc_ns=occurred_utc_ns,
            stamps=stamps,
            shown_by=device_id,
            reason=f"battery {battery_pct} %",
            stored=stored,
        )
