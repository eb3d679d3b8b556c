"""What a running bridge tells about itself: one JSON line per event with ``--json``, never a position."""

from collections.abc import Callable

import msgspec


class Ready(msgspec.Struct, frozen=True, tag_field="event", tag="ready"):
    """Devices are being read. ``broker_connected`` may be false: it goes on trying.

    ``without_smart_tag`` names the protected persons whom nobody can warn.
    """

    broker: str
    broker_connected: bool
    embedded: str | None
    root: str
    epoch: str
    devices: tuple[str, ...]
    zones: int
    pairs: int
    smart_tags: tuple[str, ...] = ()
    without_smart_tag: tuple[str, ...] = ()
    durable: bool = False


class BrokerChanged(msgspec.Struct, frozen=True, tag_field="event", tag="broker"):
    """The connection to the broker came or went."""

    broker: str
    connected: bool
    detail: str
    path: str = ""


class LinkChanged(msgspec.Struct, frozen=True, tag_field="event", tag="link"):
    """The wire to a device changed state."""

    device: str
    state: str
    detail: str
    gap_s: float | None


class AlertPublished(msgspec.Struct, frozen=True, tag_field="event", tag="alert"):
    """An alert was handed to the publisher."""

    device: str
    msg_type: str
    kind: str
    about: str
    sequence: str
    late: bool


class AlertKept(msgspec.Struct, frozen=True, tag_field="event", tag="kept"):
    """An alert, or another message that must arrive, was kept before it is sent; ``durable``: on disk."""

    source: str
    sequence: int
    id: str
    durable: bool


class WarningTold(msgspec.Struct, frozen=True, tag_field="event", tag="smart_tag"):
    """A step in the life of a warning to a protected person was handed to the publisher."""

    person: str
    smart_tag: str
    step: str
    warn_id: int | None
    level: str | None
    cause: str | None
    sequence: str


class Warned(msgspec.Struct, frozen=True, tag_field="event", tag="warning"):
    """Something the operator should change; the bridge goes on."""

    detail: str


class Stopped(msgspec.Struct, frozen=True, tag_field="event", tag="stopped"):
    """The last event. Of the ``undelivered`` messages, ``lost`` are on no disk either."""

    reason: str
    fixes: int
    late: int
    rejects: int
    submitted: int
    delivered: int
    undelivered: int
    lost: int
    positions_dropped: int
    resent: int


LifeEvent = Ready | BrokerChanged | LinkChanged | AlertPublished | AlertKept | WarningTold | Warned | Stopped
LifeObserver = Callable[[LifeEvent], None]
