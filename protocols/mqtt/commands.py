"""What a provider may ask of a bridge, and the orders it may hand over.

Strict: an unknown field is refused. A field that was misspelt and ignored could cost a person her protection.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from protocols.mqtt.inbound import MAX_SEQUENCE, EventId, PersonName, SourceName

# In Python's patterns "$" also matches before a line end; "(?!\\n)" says no in Python's and in JSON Schema's dialect.
DeviceId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(?!\n)$")]
"""As it stands in topics."""

OrderId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
IncidentId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?!\n)$")]
Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQUENCE)]
Number = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQUENCE)]
Reason = Annotated[str, msgspec.Meta(max_length=256)]

Ring = Annotated[float, msgspec.Meta(ge=1, le=100_000)]
"""Metres, with the bounds that the configuration has."""

Interval = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
"""Seconds between reports. No tag reports faster on command; a day is the slowest schedule of an order."""

Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=60)]
"""How long a tag vibrates. Longer than a minute empties its battery and is no signal any more."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with an offset."""

MAX_PROTECTED = 64
"""Protected persons of one order: as many pairs as one device's status has room for."""

ZONES_SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array"}},
}
"""A GeoJSON FeatureCollection in the layout of a zones file; the bridge checks each zone before it takes the order."""

Zones = Annotated[dict[str, object], msgspec.Meta(extra_json_schema=ZONES_SCHEMA)]


class OrderedProtection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A protected person in an order and the rings around her, metres.

    ``device`` tells where she is; ``smart_tag`` warns her; absent: ``device`` itself if it is a smart tag.
    """

    device: DeviceId
    smart_tag: DeviceId | None = None
    contact_m: Ring = 50.0
    alarm_m: Ring = 500.0
    pre_alert_m: Ring = 1000.0


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a court ordered for one wearer.

    Attributes
    ----------
    id : str
    version : int
        Rises with each replacement.
    wearer : str
        Id of the wearer's device.
    valid_from, valid_until : datetime, optional
        When it is judged by; absent: from now on, without end.
    zones : dict, optional
        A GeoJSON FeatureCollection as Python objects, nothing left out; absent: the order has no zones.
    protected : tuple of OrderedProtection
    """

    id: OrderId
    version: Version
    wearer: DeviceId
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    zones: Zones | None = None
    protected: Annotated[tuple[OrderedProtection, ...], msgspec.Meta(max_length=MAX_PROTECTED)] = ()


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="command"):
    """Common to all commands: ``command`` names it."""


class LocateNow(_Command, frozen=True, tag="locate_now"):
    """Ask a wearer's tag for a fix now; the answer is an ordinary position."""

    tag: DeviceId


class SetInterval(_Command, frozen=True, tag="set_interval"):
    """Ask a wearer's tag to report every so many seconds."""

    tag: DeviceId
    interval_s: Interval


class Vibrate(_Command, frozen=True, tag="vibrate"):
    """Make a wearer's tag vibrate, to tell him that he is called."""

    tag: DeviceId
    seconds: Seconds = 3.0


class Warn(_Command, frozen=True, tag="warn"):
    """Warn a protected person through her smart tag."""

    person: DeviceId
    level: Literal["notice", "alarm", "contact"]
    text: Literal["none", "nearby", "cover_lost", "test"] = "none"


class StandDown(_Command, frozen=True, tag="stand_down"):
    """Take back the warning that a protected person's smart tag shows; what is still so warns her again."""

    person: DeviceId


class AcknowledgeAlert(_Command, frozen=True, tag="acknowledge_alert"):
    """A person at the provider saw an alert; it stays raised until its cause is over."""

    source: SourceName
    event_id: EventId
    by: PersonName


class LoadOrder(_Command, frozen=True, tag="load_order"):
    """Judge by a new order from now on."""

    order: Order


class ReplaceOrder(_Command, frozen=True, tag="replace_order"):
    """Put a new version in the place of the one that is loaded, which must be ``if_version``."""

    order: Order
    if_version: Version


class WithdrawOrder(_Command, frozen=True, tag="withdraw_order"):
    """Judge by an order no more; it must be loaded as ``if_version``."""

    order_id: OrderId
    if_version: Version
    reason: Reason = ""


class Replay(_Command, frozen=True, tag="replay"):
    """Send events of a stream again, both ends included, with the ids they had."""

    source: SourceName
    first: Number
    last: Number


class ResendActive(_Command, frozen=True, tag="resend_active"):
    """Publish the snapshot of raised alerts of every device again."""


class IncidentCap(_Command, frozen=True, tag="incident_cap"):
    """Render an incident as CAP 1.2 XML, in the reply."""

    incident_id: IncidentId


class Ping(_Command, frozen=True, tag="ping"):
    """Answer at once."""


class Status(_Command, frozen=True, tag="status"):
    """Tell what is loaded and how the bridge fares."""


Command = (
    LocateNow
    | SetInterval
    | Vibrate
    | Warn
    | StandDown
    | AcknowledgeAlert
    | LoadOrder
    | ReplaceOrder
    | WithdrawOrder
    | Replay
    | ResendActive
    | IncidentCap
    | Ping
    | Status
)
"""All that a provider may ask."""

COMMANDS: dict[str, type[Command]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        LocateNow,
        SetInterval,
        Vibrate,
        Warn,
        StandDown,
        AcknowledgeAlert,
        LoadOrder,
        ReplaceOrder,
        WithdrawOrder,
        Replay,
        ResendActive,
        IncidentCap,
        Ping,
        Status,
    )
}
"""Commands by name."""


def command_name(command: Command) -> str:
    """Name of a command, as it stands in its field ``command``."""
    return str(command.__struct_config__.tag)
