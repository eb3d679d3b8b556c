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

Patience = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]
"""Seconds. Less than a tenth is below what a Bluetooth link needs to be made; an hour is no longer a warning."""

Hold = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
"""Seconds. Below one the gap between two advertisements would end it; a day is the longest a person can act on."""

Grace = Annotated[float, msgspec.Meta(ge=0, le=3600)]
"""Seconds. Nobody is told that she is covered meanwhile; longer than an hour would hide that she is not."""

Repeats = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""Warnings. A tag that buzzes a thousand times is empty or thrown away."""

LogRatio = Annotated[float, msgspec.Meta(ge=-10, le=10)]
"""Natural logarithm of a likelihood ratio; 10 is twenty thousand to one, beyond what any calibration supports."""

BeaconRange = Annotated[float, msgspec.Meta(ge=1, le=50)]
"""Metres. Below one a body between tag and unit decides; beyond 50 a beacon is not heard reliably."""

PatternName = Literal["silent", "vibrate", "sound", "both"]

Reach = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""Metres per second. Zero: she is told of lost cover by the age of his position alone; 100 is beyond any road."""

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


BallastSize = Annotated[int, msgspec.Meta(ge=0, le=65_536)]
"""MiB. Zero: no ballast; more than 64 GiB is not a reserve but the disk."""

RetentionDays = Annotated[float, msgspec.Meta(ge=0.01, le=3650)]
"""Days. Below a quarter of an hour a provider cannot ask for a replay; ten years is beyond any order."""

ReceiptTimeout = Annotated[float, msgspec.Meta(ge=1, le=3600)]
"""Seconds. Less would send again what is still on its way through a broker that elects a leader."""

CommandWindow = Annotated[float, msgspec.Meta(ge=1, le=3600)]
"""Seconds. Below one no clocks agree; a command of an hour ago is not what the provider wants now."""

RenotifyInterval = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
"""Seconds. Zero: each return is an incident of its own."""

Partition = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$")]
"""Which part of how many: ``2/8``."""


class BridgeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this bridge is.

    ``partition``: which part of the devices it serves, of how many bridges with the same configuration.
    """

    id: Name = "bridge-1"
    agency: Name = "demo"
    topic_root: Name | None = None
    status: Literal["Actual", "Exercise", "Test"] = "Actual"
    event_type_prefix: Name = "org.example.em"
    partition: Partition | None = None


class BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where messages go. Without ``url`` the bridge starts a broker of its own on loopback.

    ``more_urls``: further endpoints of the same broker (a cluster's other nodes), tried in turn. ``second_urls``:
    endpoints of an independent broker to which everything goes as well. ``allow_plain``: accept ``mqtt://`` off
    loopback. ``verify``: false only on loopback.
    """

    url: Text | None = None
    more_urls: tuple[Text, ...] = ()
    second_urls: tuple[Text, ...] = ()
    allow_plain: bool = False
    verify: bool = True
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


class OutboxSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where messages wait until they are delivered, and how long sent ones are kept.

    Attributes
    ----------
    durable : bool
        False: in memory only; what waits is lost with the process.
    folder : str
        Relative to the configuration file; one bridge at a time.
    ballast_mib : int
        Room on the disk that is given up for alerts when it is full.
    retention_days : float
        How long sent alerts and positions are kept for a replay and for evidence.
    receipts : str
        ``auto``: unreceipted alerts are sent again once the provider has ever sent a receipt.
    receipt_timeout_s : float
        An alert without a receipt for so long is sent again; doubled each time up to a quarter of an hour.
    """

    durable: bool = True
    folder: Text = "outbox"
    ballast_mib: BallastSize = 64
    retention_days: RetentionDays = 30.0
    receipts: Literal["auto", "always", "never"] = "auto"
    receipt_timeout_s: ReceiptTimeout = 15.0


class CommandsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose commands are obeyed. Without ``provider_key_file``: nobody's.

    ``provider_key_file``: Ed25519 public key in PEM. ``issuer``: the name that stands in the provider's commands.
    ``window_s``: how old a command may be, and how far ahead its clock.
    """

    provider_key_file: Text | None = None
    issuer: Name = "provider"
    window_s: CommandWindow = 60.0


class DisclosureSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The log of what left the house: one hash-chained line per message to an outside broker.

    ``folder``: relative to the configuration file. ``purpose`` stands in every line.
    """

    enabled: bool = True
    folder: Text = "disclosures"
    purpose: Name = "supervision of a court order"


class ZonesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """GeoJSON file of the zones, relative to the configuration file.

    ``mend``: what has one sensible reading (a ring wound the wrong way, a repeated vertex) is put right and told,
    instead of refused. ``index``: where the zones are kept ready to be judged by; written when it is absent or the
    zones have changed.
    """

    file: Text | None = None
    index: Text | None = None
    mend: bool = False


class CaptureSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Folder for raw captures, relative to the configuration file; absent: none are written.

    ``journal``: beside that folder a file is kept of everything that decides what the bridge says, so that a run can be
    replayed to the byte. It grows without end: for benches and trials.
    """

    folder: Text | None = None
    journal: bool = False


class PolicySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds that decide about alerts, and limits of the queues.

    ``near_interval_s``: how often the tags of a pair report while it could be within a ring before the next usual
    report; tags that report as often anyway are left alone. Five seconds at 31 m/s are 155 m.
    ``reach_mps``: how fast a wearer whose place is not known is thought to come nearer; a car on a trunk road.
    """

    exit_margin_m: Margin = 0.0
    max_position_age_s: PositionAge = 120.0
    battery_low_pct: Percent = 20
    battery_critical_pct: Percent = 10
    battery_hysteresis_pct: Percent = 5
    heartbeat_interval_s: BeatInterval = 10.0
    status_interval_s: StatusInterval = 60.0
    publish_positions: bool = True
    max_queued_positions: QueueLimit | None = None
    canary_interval_s: BeatInterval = 30.0
    incident_renotify_s: RenotifyInterval = 900.0
    near_interval_s: ReportInterval = 5.0
    reach_mps: Reach = 40.0


class WarningSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When and how a protected person is warned through her smart tag.

    Attributes
    ----------
    confirm_limit_s : float
        From the decision to the tag's word that it warns; later, the provider is told that she is not warned. A
        connection that must be made first takes up to two seconds.
    acknowledge_limit_s : float
        From the tag's word to the person's button; later, the provider is told. A minute is enough to reach into a bag.
    repeat_s, max_repeats : float, int
        An alarm that she has not acknowledged is repeated so often at most. Twice a minute wakes a sleeper.
    retry_s : float
        Wait before a lost warning is asked again; doubled up to a minute.
    start_grace_s : float
        After a start of the bridge both sides must be located within this, or she is told that she is not covered.
    cover_settle_s : float
        How long cover must hold before she is told that it is back: a receiver in a doorway must not buzz her.
    beacon_within_m, beacon_log_ratio : float
        A heard beacon is proximity if it is this much likelier that he is within so many metres than beyond. 0: as
        likely as not, because a warning too many costs less than one too few.
    beacon_hold_s : float
        Silence after which he is not thought near by radio any more: he may stand behind a wall for a while.
    forged_hold_s : float
        Silence after which a forged beacon is thought gone.
    """

    confirm_limit_s: Patience = 5.0
    acknowledge_limit_s: Patience = 60.0
    repeat_s: Patience = 30.0
    max_repeats: Repeats = 10
    retry_s: Patience = 5.0
    start_grace_s: Grace = 120.0
    cover_settle_s: Grace = 30.0
    beacon_within_m: BeaconRange = 30.0
    beacon_log_ratio: LogRatio = 0.0
    beacon_hold_s: Hold = 60.0
    forged_hold_s: Hold = 600.0
    notice_pattern: PatternName = "vibrate"
    alarm_pattern: PatternName = "both"
    contact_pattern: PatternName = "both"
    cover_pattern: PatternName = "vibrate"
    sos_pattern: PatternName = "vibrate"
    stand_down_pattern: PatternName = "silent"


class DeviceSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device on one transport.

    ``kind`` is told in its status. An ankle tag and a GNSS receiver are read and judged alike; a smart tag is the
    protected person's, is reached by Bluetooth (``ble:...``) and can be written to.
    """

    id: Name
    transport: Text
    kind: Literal["ankle_tag", "gnss_receiver", "smart_tag"] = "ankle_tag"
    role: Literal["wearer", "protected"] = "wearer"
    interval_s: ReportInterval = 1.0
    silence_buffer_s: SilenceBuffer = 10.0


class ProtectedSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A protected person in an order, and the rings around her.

    ``device`` is her reference and tells where she is. ``smart_tag`` is what warns her; absent: ``device`` itself if
    it is a smart tag, else nothing does. ``beacon_calibration_file``: how strongly her smart tag hears the wearer's
    beacon, as ``tagrig calibrate rssi`` wrote it; absent: as one commonly is heard.
    """

    device: Name
    smart_tag: Name | None = None
    beacon_calibration_file: Text | None = None
    contact_m: Ring = 50.0
    alarm_m: Ring = 500.0
    pre_alert_m: Ring = 1000.0


class OrderSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a court ordered for one wearer. Without ``zones``: all zones of the file.

    ``beacon_key_file`` holds the key of the beacon in his tag, so that her unit knows it from any other.
    """

    id: Name
    beacon_key_file: Text | None = None
    wearer: Name
    zones: tuple[str, ...] | None = None
    protected: tuple[ProtectedSection, ...] = ()


class BridgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration."""

    bridge: BridgeSection = BridgeSection()
    broker: BrokerSection = BrokerSection()
    outbox: OutboxSection = OutboxSection()
    commands: CommandsSection = CommandsSection()
    disclosure: DisclosureSection = DisclosureSection()
    zones: ZonesSection = ZonesSection()
    capture: CaptureSection = CaptureSection()
    policy: PolicySection = PolicySection()
    warning: WarningSection = WarningSection()
    device: tuple[DeviceSection, ...] = ()
    order: tuple[OrderSection, ...] = ()
