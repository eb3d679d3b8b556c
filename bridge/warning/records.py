"""What goes into the desk and what comes out of it: plain records, time as data."""

from dataclasses import dataclass
from enum import StrEnum, unique

from devices.errors import WarnLoss
from devices.events import Stamps
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnText
from protocols.mqtt.messages import AlertKind, WarningStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When something was shown, and by which device."""

    stamps: Stamps
    shown_by: str
    now_mono_ns: int


@unique
class CauseKind(StrEnum):
    """Why a protected person is warned."""

    PROXIMITY = "proximity"
    """Two positions are within a ring."""
    BEACON = "beacon"
    """Her unit hears his tag, whatever the positions say."""
    SOS = "sos"
    """She called; the tag tells her that it was heard."""
    COVER = "cover"
    """Nobody can say where he is."""
    PROVIDER = "provider"
    """A person at the provider said so."""
    OVER = "over"
    """Nothing any more: the warning is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A reason to warn; ``wearer`` is whom it is about, empty where it is about nobody."""

    kind: CauseKind
    wearer: str = ""


@unique
class CoverGap(StrEnum):
    """What keeps the bridge from covering her."""

    TAG_SILENT = "tag_silent"
    BATTERY_CRITICAL = "battery_critical"
    GNSS_LOST = "gnss_lost"
    CANNOT_JUDGE = "cannot_judge"
    WEARER_LOST = "wearer_lost"
    """Nobody knows where a wearer is, who was not too far away to come near her meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Write this to the tag, now."""

    person: str
    smart_tag: str
    command: WarnCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What an alert of the protected side says now. ``level`` None: it has no level."""

    person: str
    kind: AlertKind
    raised: bool
    reason: str
    on: Occasion
    about: str = ""
    level: str | None = None
    occurred_utc_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether she acknowledged: updates the alert that made the warning."""

    person: str
    wearer: str
    level: str
    reason: str
    on: Occasion


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event in the life of a warning, for the stream ``warning``. Absent stamps: not reached yet."""

    person: str
    smart_tag: str
    step: WarningStep
    on: Occasion
    warn_id: int | None = None
    level: WarnLevel | None = None
    text: WarnText = WarnText.NONE
    cause: Cause | None = None
    repeat: int = 0
    reason: str = ""
    age_ns: int | None = None
    t_rx_mono_ns: int | None = None
    t_asked_mono_ns: int | None = None
    t_written_mono_ns: int | None = None
    t_started_mono_ns: int | None = None
    t_acknowledged_mono_ns: int | None = None


Outcome = Ask | Word | Answer | Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The driver's receipt: the tag has the warning, and, if ``confirmed``, has said so.

    ``warn_id`` differs from ``asked_warn_id`` where a newer warning took its place.
    """

    person: str
    asked_warn_id: int
    warn_id: int
    t_written_mono_ns: int
    t_started_mono_ns: int | None
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """The driver gave a warning up."""

    person: str
    warn_id: int
    loss: WarnLoss
    detail: str


Delivered = Arrived | GivenUp
