"""What a bridge's configuration may hold. Every default is a decision; ``bridge/README.md`` lists them."""

from typing import Annotated, Literal

import msgspec

# Every number has both bounds: TOML knows inf and nan, and neither passes a bound on its side.

Margin = Annotated[float, msgspec.Meta(ge=0, le=10_000)]
"""Metres. Ten kilometres beyond a zone is not "just outside" of anything."""

Ring = Annotated[float, msgspec.Meta(ge=1, le=100_000)]
"""Metres. Below one metre no receiver can tell; beyond 100 km two people are not near."""

PositionAge = Annotated[float, msgspec.Meta(ge=0.1, le=86_400)]
"""Seconds. A position of more than a day ago says nothing about who is near."""

ReportInterval = Annotated[float, msgspec.Meta(ge=0.01, le=604_800)]
"""Seconds. 100 Hz is beyond any receiver that we read; a week is beyond any tag's schedule."""

SilenceBuffer = Annotated[float, msgspec.Meta(ge=0.01, le=604_800)]
"""Seconds. Less than a serial line's own jitter would raise and clear at every report."""

BeatInterval = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]
"""Seconds. More than ten a second is load without news; a bridge that is silent for an hour is not watched."""

StatusInterval = Annotated[float, msgspec.Meta(ge=0.1, le=86_400)]
"""Seconds. States go out on change anyway; a day is the longest that a reader should have to believe an old one."""

QueueLimit = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""Messages. A million positions are about 700 MB of memory."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""Names that stand in messages: a body has a size limit, and they are not what it is for."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
"""Paths and addresses; the longest path that Linux takes."""

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class BridgeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this bridge is."""

    id: Name = "bridge-1"
    agency: Name = "demo"
    topic_root: Name | None = None
    status: Literal["Actual", "Exercise", "Test"] = "Actual"
    event_type_prefix: Name = "org.example.em"


class BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where messages go. Without ``url`` the bridge starts a broker of its own on loopback."""

    url: Text | None = None
    mqtt_version: Literal["5", "3.1.1"] = "5"
    embedded: Literal["nats", "mosquitto"] = "nats"
    store_folder: Text | None = None
    client_id: Name | None = None
    username: Text | None = None
    password_file: Text | None = None
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 15


class ZonesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """GeoJSON file of the zones, relative to the configuration file.

    ``mend``: what has one sensible reading (a ring wound the wrong way, a repeated vertex) is put right and told,
    instead of refused.
    """

    file: Text | None = None
    mend: bool = False


class CaptureSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Folder for raw captures, relative to the configuration file; absent: none are written."""

    folder: Text | None = None


class PolicySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds that decide about alerts, and limits of the queues."""

    exit_margin_m: Margin = 0.0
    max_position_age_s: PositionAge = 120.0
    battery_low_pct: Percent = 20
    battery_critical_pct: Percent = 10
    battery_hysteresis_pct: Percent = 5
    heartbeat_interval_s: BeatInterval = 10.0
    status_interval_s: StatusInterval = 60.0
    publish_positions: bool = True
    max_queued_positions: QueueLimit = 10_000


class DeviceSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device on one transport. ``kind`` is told in its status; both kinds are read and judged alike."""

    id: Name
    transport: Text
    kind: Literal["ankle_tag", "gnss_receiver"] = "ankle_tag"
    role: Literal["wearer", "protected"] = "wearer"
    interval_s: ReportInterval = 1.0
    silence_buffer_s: SilenceBuffer = 10.0


class ProtectedSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A protected person in an order, and the rings around her."""

    device: Name
    contact_m: Ring = 50.0
    alarm_m: Ring = 500.0
    pre_alert_m: Ring = 1000.0


class OrderSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a court ordered for one wearer. Without ``zones``: all zones of the file."""

    id: Name
    wearer: Name
    zones: tuple[str, ...] | None = None
    protected: tuple[ProtectedSection, ...] = ()


class BridgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration."""

    bridge: BridgeSection = BridgeSection()
    broker: BrokerSection = BrokerSection()
    zones: ZonesSection = ZonesSection()
    capture: CaptureSection = CaptureSection()
    policy: PolicySection = PolicySection()
    device: tuple[DeviceSection, ...] = ()
    order: tuple[OrderSection, ...] = ()
