"""Data of what devices did: alerts, snapshots, positions, states, warnings.

The privacy wall is a matter of types: what goes to ``{root}/tag/...`` has no field that could hold the protected
person's position, distance or bearing; those stand in ``ProximityDetail`` and the ``Protected...`` structs, which only
``{root}/protected/...`` carries.
"""

from typing import Literal

import msgspec

from protocols.mqtt.parts import Delivery, DeviceState, PartyBand, Position, Trace, ZoneRef
from protocols.mqtt.words import (
    AlertKind,
    BandName,
    CapStatus,
    Certainty,
    MsgType,
    Severity,
    SmartTagState,
    Urgency,
    WarnCause,
    WarningStep,
    WarnLevelName,
    WarnTextName,
)


class AlertLife(msgspec.Struct, frozen=True):
    """One event in the life of an alert: what both sides of the wall are told."""

    alert_id: str
    msg_type: MsgType
    status: CapStatus
    references: tuple[str, ...]
    kind: AlertKind
    severity: Severity
    urgency: Urgency
    certainty: Certainty
    state: Literal["raised", "updated", "cleared"]
    occurred_at: str
    detected_at: str
    enqueued_at: str
    clock: Literal["synced", "unsynced", "unknown"]
    late: bool
    stored: bool
    level: str | None
    reason: str
    position: Position | None
    device: DeviceState
    delivery: Delivery
    trace: Trace


class AlertData(AlertLife, frozen=True):
    """As wearer-side readers and the provider get it."""

    zone: ZoneRef | None
    protected_party: PartyBand | None


class ProximityDetail(msgspec.Struct, frozen=True):
    """A pair as seen from the protected person. Distance and bearing (from her to him) are null while unknown."""

    wearer: str
    band: BandName
    distance_m: float | None
    bearing_deg: float | None


class ProtectedAlertData(AlertLife, frozen=True):
    """As it stands on the protected person's side."""

    proximity: ProximityDetail | None


class ActiveAlert(msgspec.Struct, frozen=True):
    """An alert that is raised now."""

    alert_id: str
    kind: AlertKind
    severity: Severity
    raised_at: str
    zone_id: str | None = None
    ref: str | None = None
    band: BandName | None = None


class ActiveData(msgspec.Struct, frozen=True):
    """Retained snapshot; empty list: nothing is raised. It reflects all alerts up to ``alert_sequence``.

    ``truncated`` alerts are raised too and did not fit; those listed are then the most severe ones.
    """

    alert_sequence: str
    alerts: tuple[ActiveAlert, ...]
    epoch: str
    truncated: int = 0


class PositionData(msgspec.Struct, frozen=True):
    """One fix that gave a position."""

    position: Position
    epoch: str


class WearerPair(msgspec.Struct, frozen=True):
    """Band to one protected person, in the wearer's status."""

    ref: str
    band: BandName


class StatusData(msgspec.Struct, frozen=True):
    """Retained state of a wearer's device. ``kind`` is what the configuration calls it."""

    comms: Literal["up", "lost", "unknown"]
    location: Literal["valid", "lost", "unknown"]
    last_fix_at: str | None
    fix_state: str | None
    strap: str | None
    case: str | None
    shielded: bool | None
    jamming: int | None
    battery_pct: int | None
    battery_mv: int | None
    charging: bool | None
    motion: bool | None
    temperature_c: float | None
    firmware: str | None
    pairs: tuple[WearerPair, ...]
    epoch: str
    kind: str | None = None


class StandingWarning(msgspec.Struct, frozen=True):
    """What her tag was asked to show last, and the last step of it."""

    level: WarnLevelName
    text: WarnTextName
    step: WarningStep
    warn_id: int
    since: str


class ProtectedStatusData(msgspec.Struct, frozen=True):
    """Retained state of a protected person's device.

    ``smart_tag`` is ``none_issued`` where nobody could warn her; null for a device that is not a person's reference.
    """

    comms: Literal["up", "lost", "unknown"]
    location: Literal["valid", "lost", "unknown"]
    last_fix_at: str | None
    fix_state: str | None
    battery_pct: int | None
    battery_mv: int | None
    charging: bool | None
    firmware: str | None
    pairs: tuple[ProximityDetail, ...]
    epoch: str
    kind: str | None = None
    smart_tag: SmartTagState | None = None
    smart_tag_id: str | None = None
    sos: bool | None = None
    warning: StandingWarning | None = None


class WarningLatency(msgspec.Struct, frozen=True):
    """Milliseconds between the stages that were reached, on the bridge's monotonic clock.

    ``fix_to_...`` count from when the first byte of what made the warning was read: a fix, a sighting, her call.
    """

    fix_to_asked_ms: float | None = None
    fix_to_written_ms: float | None = None
    fix_to_started_ms: float | None = None
    asked_to_written_ms: float | None = None
    written_to_started_ms: float | None = None
    started_to_acknowledged_ms: float | None = None


class WarningTrace(msgspec.Struct, frozen=True):
    """When a warning passed each stage, CLOCK_MONOTONIC of the machine whose boot is ``boot_id``."""

    boot_id: str
    rx_mono_ns: int | None
    asked_mono_ns: int | None
    written_mono_ns: int | None
    started_mono_ns: int | None
    acknowledged_mono_ns: int | None


class WarningData(msgspec.Struct, frozen=True):
    """One step in the life of a warning. ``repeat`` counts how often she was warned of the same before.

    ``age_s`` is set where the tag told of something that lay back. A warning holds neither position nor distance.
    """

    step: WarningStep
    smart_tag: str
    warn_id: int | None
    level: WarnLevelName | None
    text: WarnTextName | None
    cause: WarnCause | None
    wearer: str | None
    repeat: int
    reason: str
    occurred_at: str
    age_s: float | None
    latency: WarningLatency
    delivery: Delivery
    trace: WarningTrace
