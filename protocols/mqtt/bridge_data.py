"""Data of what a bridge says about itself, and of its answers to commands."""

import msgspec

from protocols.mqtt.parts import Delivery
from protocols.mqtt.refusal import RefusalReason
from protocols.mqtt.words import CanaryState, ClockState, DiskState, OnOff, Presence, ReplyState


class BridgeStatusData(msgspec.Struct, frozen=True):
    """Birth and will of a bridge."""

    state: OnOff
    reason: str
    version: str
    boot_id: str
    epoch: str


class StreamMark(msgspec.Struct, frozen=True):
    """An event by its place in its stream."""

    source: str
    sequence: str
    time: str


class PathState(msgspec.Struct, frozen=True):
    """One way to the provider: ``main``, or ``second`` where an independent broker gets everything too."""

    name: str
    connected: bool
    endpoint: str
    reconnects: int
    in_flight: int
    canary: CanaryState


class OutboxDepth(msgspec.Struct, frozen=True):
    """What waits to be delivered, and what was lost; counts since the bridge started.

    ``without_subscriber`` counts alerts that met nobody at least once, ``unheard_alerts`` those that still wait for a
    subscriber, ``positions_unheard`` positions that were dropped for want of one. ``unreceipted`` alerts were taken by
    the broker and are not confirmed by the provider; ``receipts`` counts those that came.
    """

    alerts: int
    states: int
    positions: int
    in_flight: int
    oldest_alert_age_s: float
    positions_dropped: int
    rejected: int
    without_subscriber: int
    unheard_alerts: int
    positions_unheard: int
    reconnects: int
    unreceipted: int = 0
    oldest_unreceipted_age_s: float = 0.0
    receipts: int = 0


class HeartbeatData(msgspec.Struct, frozen=True):
    """Every ten seconds; silence is an alarm at the provider.

    ``disk``: whether what waits is on disk; ``full`` and ``failing``: alerts go out from memory. ``canary``: whether
    the bridge's own message comes back through the broker; ``never`` since the start often means that an access list
    denies it. ``provider``: whether any consumer says that it listens. ``last_alert``: newest of all alerts.
    ``fixes`` and ``alerts`` count all that were heard and published since the start. The last sequence number of each
    device stands in its ``active`` snapshot: a list of them here would grow with the devices.
    """

    uptime_s: float
    devices: int
    devices_heard: int
    fixes: int
    alerts: int
    outbox: OutboxDepth
    durable: bool
    epoch: str
    disk: DiskState = "off"
    canary: CanaryState = "off"
    provider: Presence = "unknown"
    clock: ClockState = "unknown"
    last_alert: StreamMark | None = None
    paths: tuple[PathState, ...] = ()
    commands_refused: int = 0


class _Result(msgspec.Struct, frozen=True, tag_field="kind"):
    """What a command led to; ``kind`` says what is told."""


class OrderResult(_Result, frozen=True, tag="order"):
    """An order and the version that is judged by now; after its withdrawal the version that was."""

    order_id: str
    version: int
    loaded: bool


class ReplayResult(_Result, frozen=True, tag="replay"):
    """So many events of ``first`` to ``last`` are sent again; if more was asked for, go on after ``last``.

    ``waiting``: were not sent yet and come by themselves. ``missing``: are not kept any more, or never were.
    """

    source: str
    first: int
    last: int
    events: int
    waiting: int = 0
    missing: int = 0


class CountResult(_Result, frozen=True, tag="count"):
    """So many of ``what``, for example snapshots that were published again."""

    what: str
    count: int


class CapResult(_Result, frozen=True, tag="cap"):
    """An incident as CAP 1.2 XML."""

    incident_id: str
    cap_xml: str


class DeviceResult(_Result, frozen=True, tag="device"):
    """What a device answered, in its own words. Never a position: that goes its ordinary way."""

    device: str
    answer: str


class WarnResult(_Result, frozen=True, tag="warning"):
    """The warning that was asked of her tag; its steps follow on the stream ``warning``."""

    person: str
    warn_id: int | None


class PongResult(_Result, frozen=True, tag="pong"):
    """The bridge's time."""

    bridge_time: str
    version: str
    epoch: str


class StatusResult(_Result, frozen=True, tag="status"):
    """What is loaded. ``left_out`` further orders did not fit."""

    version: str
    epoch: str
    uptime_s: float
    devices: int
    devices_heard: int
    orders: tuple[OrderResult, ...]
    left_out: int
    commands_done: int
    commands_refused: int


ReplyResult = (
    OrderResult | ReplayResult | CountResult | CapResult | DeviceResult | WarnResult | PongResult | StatusResult
)


class ReplyData(msgspec.Struct, frozen=True):
    """Answer to a command, by its ``nonce``; null: the sender could not be known.

    ``accepted`` is followed by ``done`` or ``failed``. A refused command changed nothing; ``reason`` and ``detail`` say
    why.
    """

    nonce: str | None
    command: str | None
    state: ReplyState
    reason: RefusalReason | None
    detail: str
    result: ReplyResult | None
    answered_at: str
    delivery: Delivery
