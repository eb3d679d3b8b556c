"""What a bridge's configuration may hold. Every default is a decision; ``bridge/README.md`` lists them."""

from typing import Annotated, Literal

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class BridgeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this bridge is."""

    id: str = "bridge-1"
    agency: str = "demo"
    topic_root: str | None = None
    status: Literal["Actual", "Exercise", "Test"] = "Actual"
    event_type_prefix: str = "org.example.em"


class BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where messages go. Without ``url`` the bridge starts a broker of its own on loopback."""

    url: str | None = None
    mqtt_version: Literal["5", "3.1.1"] = "5"
    embedded: Literal["nats", "mosquitto"] = "nats"
    store_folder: str | None = None
    client_id: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 15


class ZonesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """GeoJSON file of the zones, relative to the configuration file."""

    file: str | None = None


class CaptureSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Folder for raw captures, relative to the configuration file; absent: none are written."""

    folder: str | None = None


class PolicySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds that decide about alerts, and limits of the queues."""

    exit_margin_m: NotNegative = 0.0
    max_position_age_s: Positive = 120.0
    battery_low_pct: Percent = 20
    battery_critical_pct: Percent = 10
    battery_hysteresis_pct: Percent = 5
    heartbeat_interval_s: Positive = 10.0
    status_interval_s: Positive = 60.0
    publish_positions: bool = True
    max_queued_positions: Annotated[int, msgspec.Meta(ge=1)] = 10_000


class DeviceSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device on one transport."""

    id: str
    transport: str
    kind: Literal["ankle_tag", "gnss_receiver"] = "ankle_tag"
    role: Literal["wearer", "protected"] = "wearer"
    interval_s: Positive = 1.0
    silence_buffer_s: Positive = 10.0


class ProtectedSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A protected person in an order, and the rings around her."""

    device: str
    contact_m: Positive = 50.0
    alarm_m: Positive = 500.0
    pre_alert_m: Positive = 1000.0


class OrderSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a court ordered for one wearer. Without ``zones``: all zones of the file."""

    id: str
    wearer: str
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
