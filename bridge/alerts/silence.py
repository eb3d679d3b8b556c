"""Silence is an alert: nothing heard (``comms_lost``), or no position (``location_lost``), for interval plus buffer."""

from bridge.alerts.change import AlertKey, Change
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind
from protocols.reports import Fix


def silence_change(
    kind: AlertKind,
    *,
    device_id: str,
    silent_since_utc_ns: int,
    limit_s: float | None,
    stamps: Stamps,
    detail: str,
) -> Change:
    """Say that a deadline passed. It occurred when the device was last heard, it was detected now.

    ``limit_s`` None: the driver of a radio tag judged it, and ``detail`` says how.
    """
    what = "nothing heard" if kind is AlertKind.COMMS_LOST else "no position"
    return Change(
        key=AlertKey(device_id=device_id, kind=kind),
        raised=True,
        occurred_utc_ns=silent_since_utc_ns,
        stamps=stamps,
        shown_by=device_id,
        reason=detail if limit_s is None else f"{what} for {limit_s:g} s{f' ({detail})' if detail else ''}",
    )


def heard_change(kind: AlertKind, *, device_id: str, stamps: Stamps, fix: Fix | None = None) -> Change:
    """Say that the silence is over."""
    return Change(
        key=AlertKey(device_id=device_id, kind=kind),
        raised=False,
        occurred_utc_ns=stamps.t_rx_utc_ns,
        stamps=stamps,
        shown_by=device_id,
        reason="heard again" if kind is AlertKind.COMMS_LOST else "position again",
        fix=fix,
    )
