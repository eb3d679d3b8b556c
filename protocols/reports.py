"""What a device said: one record per report, absent values are ``None``, time is integer nanoseconds.

Reports carry the device's own claims only. When and through which wire they came is added by ``devices``. ``offset`` is
the position in a byte stream; the value of a BLE characteristic is no stream, its reports have 0.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique


@unique
class FixState(StrEnum):
    """What kind of answer the receiver gave for an epoch. Only ``POSITION`` carries coordinates."""

    POSITION = "position"
    NO_FIX = "no_fix"
    """Status V, mode N, quality 0, or empty coordinates."""
    DEAD_RECKONING = "dead_reckoning"
    """Mode E or quality 6: computed without satellites."""
    MANUAL = "manual"
    """Mode M or quality 7: typed in by a person."""
    SIMULATOR = "simulator"
    """Mode S or quality 8."""


@unique
class FixMode(StrEnum):
    """Dimensions of the solution."""

    NONE = "none"
    TWO_D = "2d"
    THREE_D = "3d"


@unique
class FixQuality(IntEnum):
    """GGA quality indicator, or what the mode letters of RMC, GLL, GNS and VTG say in its terms."""

    INVALID = 0
    GNSS = 1
    DIFFERENTIAL = 2
    PRECISE = 3
    RTK_FIXED = 4
    RTK_FLOAT = 5
    ESTIMATED = 6
    MANUAL = 7
    SIMULATOR = 8


@unique
class DateRule(StrEnum):
    """Where the date of ``t_fix_utc_ns`` came from."""

    SENT = "sent"
    """The epoch's own RMC or ZDA."""
    CARRIED = "carried"
    """An earlier epoch's date, advanced over midnight where the time of day fell."""
    ROLLOVER = "rollover"
    """The sent date moved by whole 1024-week rollovers onto the host's clock."""
    HOST = "host"
    """Only a time of day was ever sent; the host's date was used."""
    NONE = "none"
    """No date: ``t_fix_utc_ns`` is None (also for a 1980 or 2080 power-up date)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEllipse:
    """Standard deviations of a position, from GST; the major axis is oriented from true north."""

    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One epoch of a receiver, assembled from its sentences.

    ``offset`` is the stream position of the epoch's first byte. ``horizontal_sigma_m`` is the standard deviation per
    axis (not a 68 % radius); ``sigma_rule`` names where it came from.
    """

    offset: int
    state: FixState
    talker: str
    t_fix_utc_ns: int | None = None
    time_of_day_ns: int | None = None
    date_rule: DateRule = DateRule.NONE
    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    mode: FixMode | None = None
    quality: FixQuality | None = None
    satellites_used: int | None = None
    satellites_in_view: int | None = None
    pdop: float | None = None
    hdop: float | None = None
    vdop: float | None = None
    cn0_max_dbhz: float | None = None
    cn0_mean_dbhz: float | None = None
    error_ellipse: ErrorEllipse | None = None
    horizontal_sigma_m: float | None = None
    sigma_rule: str | None = None
    stored: bool = False
    sequence: int | None = None


@unique
class Closure(StrEnum):
    """State of a strap or a case."""

    CLOSED = "closed"
    OPEN = "open"


@unique
class Jamming(IntEnum):
    """The tag's own jamming detector."""

    NONE = 0
    SUSPECTED = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TagStatus:
    """The tag about itself, from its status sentence (``protocols/README.md``)."""

    offset: int
    sequence: int
    stored: bool
    strap: Closure
    case: Closure
    shielded: bool
    jamming: Jamming
    battery_pct: int
    battery_mv: int
    charging: bool
    motion: bool
    temperature_c: float | None
    firmware: str
    t_status_utc_ns: int | None


@unique
class CommandVerb(StrEnum):
    """Downlink commands that a tag understands."""

    REPORT_INTERVAL = "INTERVAL"
    LOCATE_NOW = "LOCATE"
    VIBRATE = "VIBRATE"
    FIRMWARE_QUERY = "FIRMWARE"


@unique
class CommandOutcome(StrEnum):
    """What the tag answered to a command."""

    DONE = "OK"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAck:
    """The tag's answer to the command with the same ``command_id``; ``value`` is the answer's text, if any."""

    offset: int
    command_id: int
    outcome: CommandOutcome
    value: str = ""


@unique
class TagMode(IntEnum):
    """What the smart tag is doing for the person who carries it."""

    IDLE = 0
    WARNING = 1
    """It warns: buzzer, motor or light as the warning asked."""
    ACKNOWLEDGED = 2
    """The person has pressed the button; the cause of the warning goes on."""
    SOS = 3
    """The person has called for help and not taken it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagState:
    """The smart tag about itself. ``warn_id`` is the warning it shows or showed last, None after a start.

    ``own_warning``: it warns by itself because it hears the wearer's beacon. ``gnss``: its receiver has a fix.
    """

    offset: int = 0
    state: TagMode
    warn_id: int | None
    sos: bool
    motion: bool
    battery_pct: int
    gnss: bool
    sequence: int
    own_warning: bool


@unique
class TagEventKind(IntEnum):
    """What happened at a smart tag."""

    WARN_STARTED = 0
    """The warning ``warn_id`` can be felt or heard."""
    WARN_ACKED = 1
    """The person has acknowledged the warning ``warn_id`` (None: the tag's own)."""
    SOS_PRESSED = 2
    SOS_CANCELLED = 3
    OWN_WARNING_STARTED = 4
    """The tag hears the wearer's beacon and warns without being told."""
    OWN_WARNING_ENDED = 5
    BUTTON = 6
    """A press with no warning to acknowledge."""
    REBOOTED = 7
    KEYS_SET = 8
    COVER_LOST = 9
    """The tag has told the person that nobody watches over her through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEvent:
    """One event of a smart tag; ``age_ms`` is how long ago it happened when it was sent."""

    offset: int = 0
    sequence: int
    kind: TagEventKind
    warn_id: int | None
    age_ms: int


@unique
class BeaconVerdict(IntEnum):
    """What an advertisement that has the form of a wearer's beacon turned out to be."""

    GENUINE = 0
    STRANGER = 1
    """Somebody else's: no id of this order's key."""
    FORGED = 2
    """An id of this key under a message that the key did not make."""
    REPLAYED = 3
    """Made with the key, but sent again long after its time."""
    CLONED = 4
    """Two senders at once, or one in two places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconSighting:
    """What a smart tag heard of the wearer's beacon since it last said so.

    ``rssi_dbm`` is the strongest, ``count`` the number of advertisements, ``counter`` the newest one's event counter;
    ``age_ms`` is how long ago that one came when the sighting was sent.
    """

    offset: int = 0
    rolling_id: bytes
    rssi_dbm: int
    count: int
    counter: int
    age_ms: int
    verdict: BeaconVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryLevel:
    """Charge of a battery, percent."""

    offset: int = 0
    battery_pct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PnpId:
    """Vendor, product and version numbers; ``vendor_source`` 1: Bluetooth company, 2: USB vendor."""

    vendor_source: int
    vendor_id: int
    product_id: int
    product_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInformation:
    """What a BLE device says it is; None for what it does not offer."""

    offset: int = 0
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    hardware: str | None = None
    firmware: str | None = None
    software: str | None = None
    system_id: int | None = None
    pnp: PnpId | None = None


NmeaReport = Fix | TagStatus | CommandAck
"""What a serial tag says."""

BleReport = Fix | TagState | TagEvent | BeaconSighting | BatteryLevel | DeviceInformation
"""What a smart tag says."""

Report = NmeaReport | BleReport
