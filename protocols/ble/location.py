"""Location and Navigation service (LNS 1.0): Location and Speed, Position Quality, LN Feature, both ways.

Location and Speed (3.2): flags 2, then as the flags say speed 2, total distance 3, latitude 4 and longitude 4,
elevation 3, heading 2, rolling time 1, UTC 7. Position Quality (3.3): flags 2, beacons in solution 1, in view 1, time
to first fix 2, horizontal error 4, vertical error 4, HDOP 1, VDOP 1. LN Feature (3.1): 4.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag, unique

from protocols.ble.layout import Field, FlaggedLayout, Layout, ValueRefusedError, rejecting, u8, u16, u32
from protocols.ble.times import DATE_TIME, DAY_NS, read_date_time, write_date_time
from protocols.errors import EncodeError
from protocols.nmea.sigma import horizontal_sigma
from protocols.rejects import RejectReason
from protocols.reports import DateRule, Fix, FixMode, FixState

TALKER = "LN"
"""Talker of a fix that came through this service; NMEA 0183 has it not."""

_BAD = RejectReason.BAD_FIELD
_COORDINATE_STEP = 10_000_000
_LAT = Field("latitude", 4, -90 * _COORDINATE_STEP, 90 * _COORDINATE_STEP, _BAD)
_LON = Field("longitude", 4, -180 * _COORDINATE_STEP, 180 * _COORDINATE_STEP, _BAD)
_ELEVATION = Field("elevation", 3, -(2**23), 2**23 - 1)
_DISTANCE = Field("total distance", 3, 0, 2**24 - 1)

_STATUS_SHIFT = 7
_LOCATION_AND_SPEED = FlaggedLayout(
    "location and speed",
    0x1FFF,
    (u16("speed"),),
    (_DISTANCE,),
    (_LAT, _LON),
    (_ELEVATION,),
    (u16("heading", 35_999, outside=_BAD),),
    (u8("rolling time"),),
    DATE_TIME,
)
_POSITION_QUALITY = FlaggedLayout(
    "position quality",
    0x01FF,
    (u8("beacons in solution"),),
    (u8("beacons in view"),),
    (u16("time to first fix"),),
    (u32("horizontal error"),),
    (u32("vertical error"),),
    (u8("HDOP"),),
    (u8("VDOP"),),
)
_FORMAT_3D = 1 << 9
_ELEVATION_SHIFT = 10
_MAGNETIC = 1 << 12
_LN_FEATURE = Layout("LN feature", u32("feature", 2**21 - 1))


@unique
class PositionStatus(IntEnum):
    """Bits 7 and 8 of the flags. Only ``POSITION_OK`` is a position."""

    NO_POSITION = 0
    POSITION_OK = 1
    ESTIMATED = 2
    LAST_KNOWN = 3


@unique
class ElevationSource(IntEnum):
    """Bits 10 and 11 of the flags."""

    POSITIONING_SYSTEM = 0
    BAROMETER = 1
    DATABASE = 2
    OTHER = 3


class LnFeature(IntFlag):
    """What the tag supports (LNS 1.0, 3.1)."""

    SPEED = 1 << 0
    TOTAL_DISTANCE = 1 << 1
    LOCATION = 1 << 2
    ELEVATION = 1 << 3
    HEADING = 1 << 4
    ROLLING_TIME = 1 << 5
    UTC_TIME = 1 << 6
    REMAINING_DISTANCE = 1 << 7
    REMAINING_VERTICAL_DISTANCE = 1 << 8
    ESTIMATED_TIME_OF_ARRIVAL = 1 << 9
    BEACONS_IN_SOLUTION = 1 << 10
    BEACONS_IN_VIEW = 1 << 11
    TIME_TO_FIRST_FIX = 1 << 12
    HORIZONTAL_ERROR = 1 << 13
    VERTICAL_ERROR = 1 << 14
    HDOP = 1 << 15
    VDOP = 1 << 16
    CONTENT_MASKING = 1 << 17
    FIX_RATE_SETTING = 1 << 18
    ELEVATION_SETTING = 1 << 19
    POSITION_STATUS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationAndSpeed:
    """All that the characteristic says; None for what it left out.

    ``day`` counts from 1970-01-01 and is None where the date, or all of the time, was not sent. ``three_d``: speed and
    distance are along the path, not over ground. ``heading_is_magnetic``: the compass's, not the course over ground.
    """

    status: PositionStatus
    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None
    elevation_source: ElevationSource = ElevationSource.POSITIONING_SYSTEM
    speed_mps: float | None = None
    total_distance_m: float | None = None
    three_d: bool = False
    heading_deg: float | None = None
    heading_is_magnetic: bool = False
    rolling_time_s: int | None = None
    day: int | None = None
    time_of_day_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionQuality:
    """How good the receiver holds its position to be; None for what it left out."""

    status: PositionStatus
    satellites_used: int | None = None
    satellites_in_view: int | None = None
    time_to_first_fix_s: float | None = None
    horizontal_error_m: float | None = None
    vertical_error_m: float | None = None
    hdop: float | None = None
    vdop: float | None = None


def encode_location_and_speed(value: LocationAndSpeed) -> bytes:
    """Return the value: at most 28 octets, so it needs an ATT MTU of 31. ``EncodeError`` for what has no place."""
    if (value.lat_deg is None) is not (value.lon_deg is None):
        raise EncodeError("lat_deg and lon_deg: expected both or neither")
    if value.day is not None and value.time_of_day_ns is None:
        raise EncodeError("day: expected a time_of_day_ns with it, got None")
    flags = (
        value.status << _STATUS_SHIFT
        | _FORMAT_3D * value.three_d
        | value.elevation_source << _ELEVATION_SHIFT
        | _MAGNETIC * value.heading_is_magnetic
    )
    location = None
    if value.lat_deg is not None and value.lon_deg is not None:
        location = (round(value.lat_deg * _COORDINATE_STEP), round(value.lon_deg * _COORDINATE_STEP))
    heading = None if value.heading_deg is None else (round(value.heading_deg * 100) % 36_000,)
    moment = None if value.time_of_day_ns is None else write_date_time(value.day, value.time_of_day_ns)
    rolling = None if value.rolling_time_s is None else (value.rolling_time_s,)
    return _LOCATION_AND_SPEED.pack(
        flags,
        (
            _scaled(value.speed_mps, 100),
            _scaled(value.total_distance_m, 10),
            location,
            _scaled(value.alt_m, 100),
            heading,
            rolling,
            moment,
        ),
    )


def _read_location(data: bytes) -> LocationAndSpeed:
    flags, (speed, distance, location, elevation, heading, rolling, moment) = _LOCATION_AND_SPEED.unpack(data)
    day, time_of_day_ns = (None, None) if moment is None else read_date_time(moment, len(data) - 7)
    return LocationAndSpeed(
        status=PositionStatus(flags >> _STATUS_SHIFT & 3),
        lat_deg=None if location is None else location[0] / _COORDINATE_STEP,
        lon_deg=None if location is None else location[1] / _COORDINATE_STEP,
        alt_m=_unscaled(elevation, 100),
        elevation_source=ElevationSource(flags >> _ELEVATION_SHIFT & 3),
        speed_mps=_unscaled(speed, 100),
        total_distance_m=_unscaled(distance, 10),
        three_d=bool(flags & _FORMAT_3D),
        heading_deg=_unscaled(heading, 100),
        heading_is_magnetic=bool(flags & _MAGNETIC),
        rolling_time_s=None if rolling is None else rolling[0],
        day=day,
        time_of_day_ns=time_of_day_ns,
    )


decode_location_fields = rejecting(_read_location)
"""Value of ``LOCATION_AND_SPEED`` to all that it says."""


@rejecting
def decode_location_and_speed(data: bytes) -> Fix:
    """Value of ``LOCATION_AND_SPEED`` to a fix.

    No position and a last known one are ``NO_FIX``, an estimated one is ``DEAD_RECKONING``; none of them carries
    coordinates. Speed along the path and the compass's heading are not speed and course over ground: they are left out.
    A value that claims a position and gives none is a part of a split report and refused: raise the ATT MTU to 31.
    """
    value = _read_location(data)
    t_fix_utc_ns = None
    if value.day is not None and value.time_of_day_ns is not None:
        t_fix_utc_ns = value.day * DAY_NS + value.time_of_day_ns
    date_rule = DateRule.NONE if t_fix_utc_ns is None else DateRule.SENT
    if value.status is not PositionStatus.POSITION_OK:
        estimated = value.status is PositionStatus.ESTIMATED
        return Fix(
            offset=0,
            state=FixState.DEAD_RECKONING if estimated else FixState.NO_FIX,
            talker=TALKER,
            t_fix_utc_ns=t_fix_utc_ns,
            time_of_day_ns=value.time_of_day_ns,
            date_rule=date_rule,
            mode=None if estimated else FixMode.NONE,
        )
    if value.lat_deg is None:
        raise ValueRefusedError(_BAD, 0, "location and speed: expected a location with status position ok, got none")
    sigma_m, sigma_rule = horizontal_sigma(None, None, None)
    return Fix(
        offset=0,
        state=FixState.POSITION,
        talker=TALKER,
        t_fix_utc_ns=t_fix_utc_ns,
        time_of_day_ns=value.time_of_day_ns,
        date_rule=date_rule,
        lat_deg=value.lat_deg,
        lon_deg=value.lon_deg,
        alt_m=value.alt_m,
        speed_mps=None if value.three_d else value.speed_mps,
        course_deg=None if value.heading_is_magnetic else value.heading_deg,
        horizontal_sigma_m=sigma_m,
        sigma_rule=sigma_rule,
    )


def encode_position_quality(value: PositionQuality) -> bytes:
    """Return the value; ``EncodeError`` for what has no place in it."""
    return _POSITION_QUALITY.pack(
        value.status << _STATUS_SHIFT,
        (
            _scaled(value.satellites_used, 1),
            _scaled(value.satellites_in_view, 1),
            _scaled(value.time_to_first_fix_s, 10),
            _scaled(value.horizontal_error_m, 100),
            _scaled(value.vertical_error_m, 100),
            _scaled(value.hdop, 5),
            _scaled(value.vdop, 5),
        ),
    )


@rejecting
def decode_position_quality(data: bytes) -> PositionQuality:
    """Value of ``POSITION_QUALITY`` to what it says."""
    flags, (used, in_view, first_fix, horizontal, vertical, hdop, vdop) = _POSITION_QUALITY.unpack(data)
    return PositionQuality(
        status=PositionStatus(flags >> _STATUS_SHIFT & 3),
        satellites_used=None if used is None else used[0],
        satellites_in_view=None if in_view is None else in_view[0],
        time_to_first_fix_s=_unscaled(first_fix, 10),
        horizontal_error_m=_unscaled(horizontal, 100),
        vertical_error_m=_unscaled(vertical, 100),
        hdop=_unscaled(hdop, 5),
        vdop=_unscaled(vdop, 5),
    )


def encode_ln_feature(feature: LnFeature) -> bytes:
    """Return the value; ``EncodeError`` for a bit that has no meaning."""
    return _LN_FEATURE.pack(int(feature))


@rejecting
def decode_ln_feature(data: bytes) -> LnFeature:
    """Value of ``LN_FEATURE`` to what the tag supports."""
    return LnFeature(_LN_FEATURE.unpack(data)[0])


def _scaled(value: float | None, steps: int) -> tuple[int] | None:
    return None if value is None else (round(value * steps),)


def _unscaled(numbers: tuple[int, ...] | None, steps: int) -> float | None:
    return None if numbers is None else numbers[0] / steps
