"""What one sentence says, evaluated: the records between the sentence layer and the epoch assembler."""

from dataclasses import dataclass
from enum import StrEnum, unique

from protocols.nmea.fields import Position
from protocols.reports import FixMode, FixQuality, FixState


@unique
class Kind(StrEnum):
    """The sentence types that are decoded."""

    RMC = "RMC"
    GGA = "GGA"
    GLL = "GLL"
    GNS = "GNS"
    GSA = "GSA"
    GSV = "GSV"
    GST = "GST"
    VTG = "VTG"
    ZDA = "ZDA"
    GBS = "GBS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """RMC, GGA, GLL or GNS: a sentence that says where the receiver is, or that it does not know.

    ``position`` is set exactly when ``state`` is ``POSITION``; coordinates sent in any other state are dropped.
    """

    kind: Kind
    talker: str
    time_of_day_ns: int | None
    state: FixState
    position: Position | None
    quality: FixQuality | None
    day: int | None = None
    alt_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    satellites_used: int | None = None
    hdop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """GSA: dimensions, satellites and dilution of precision."""

    kind: Kind = Kind.GSA
    time_of_day_ns: None = None
    talker: str
    mode: FixMode | None
    satellites_used: int
    pdop: float | None
    hdop: float | None
    vdop: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One GSV message: some of the satellites in view of one constellation on one signal."""

    kind: Kind = Kind.GSV
    time_of_day_ns: None = None
    talker: str
    signal_id: str
    is_first: bool
    is_last: bool
    satellites_in_view: int | None
    cn0_dbhz_by_satellite: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """GST: standard deviations of the position error."""

    kind: Kind = Kind.GST
    talker: str
    time_of_day_ns: int | None
    semi_major_m: float | None
    semi_minor_m: float | None
    orientation_deg: float | None
    lat_sigma_m: float | None
    lon_sigma_m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """VTG: course and speed over ground."""

    kind: Kind = Kind.VTG
    time_of_day_ns: None = None
    talker: str
    speed_mps: float | None
    course_deg: float | None
    quality: FixQuality | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """ZDA and GBS: what the epoch needs of them is their time, and of ZDA the date."""

    kind: Kind
    talker: str
    time_of_day_ns: int | None
    day: int | None


Sentence = Claim | Solution | View | Noise | Ground | Moment
