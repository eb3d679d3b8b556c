"""Values of standard characteristics, both ways; the service and section of each stands at its layout.

What the Bluetooth SIG keeps for the future is refused, not ignored: a tag of a later layout is not misread. Location
and Navigation is in ``location.py`` and offered from here too.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag, unique

from protocols.ble.layout import (
    MAX_VALUE_OCTETS,
    Field,
    Layout,
    ValueRefusedError,
    rejecting,
    u8,
    u16,
)
from protocols.ble.location import (
    ElevationSource,
    LnFeature,
    LocationAndSpeed,
    PositionQuality,
    PositionStatus,
    decode_ln_feature,
    decode_location_and_speed,
    decode_location_fields,
    decode_position_quality,
    encode_ln_feature,
    encode_location_and_speed,
    encode_position_quality,
)
from protocols.ble.times import DATE_TIME, DAY_NS, SECOND_NS, read_date_time, write_date_time
from protocols.errors import EncodeError
from protocols.rejects import RejectReason
from protocols.reports import BatteryLevel, PnpId

__all__ = [
    "AdjustReason",
    "AlertLevel",
    "CurrentTime",
    "ElevationSource",
    "LnFeature",
    "LocationAndSpeed",
    "PositionQuality",
    "PositionStatus",
    "decode_alert_level",
    "decode_battery_level",
    "decode_current_time",
    "decode_ln_feature",
    "decode_location_and_speed",
    "decode_location_fields",
    "decode_pnp_id",
    "decode_position_quality",
    "decode_system_id",
    "decode_text",
    "decode_tx_power",
    "encode_alert_level",
    "encode_battery_level",
    "encode_current_time",
    "encode_ln_feature",
    "encode_location_and_speed",
    "encode_pnp_id",
    "encode_position_quality",
    "encode_system_id",
    "encode_text",
    "encode_tx_power",
]

_BATTERY_LEVEL = Layout("battery level", u8("battery_pct", 100))
"""BAS 1.1, 3.1."""

_ALERT_LEVEL = Layout("alert level", u8("level", 2))
"""IAS 1.0, 3.1, and LLS 1.0, 3.1."""

_TX_POWER = Layout("TX power level", Field("tx_power_dbm", 1, -100, 20))
"""TPS 1.0, 3.1."""

_SYSTEM_ID = Layout("system id", Field("system_id", 8, 0, 2**64 - 1))
"""DIS 1.2, 3.7: 40 bits of the maker's and above them 24 of his organisation."""

_PNP_ID = Layout("PnP id", u8("vendor_source", 2, low=1), u16("vendor_id"), u16("product_id"), u16("product_version"))
"""DIS 1.2, 3.9."""

_CURRENT_TIME = Layout("current time", *DATE_TIME, u8("day of week", 7), u8("fractions256"), u8("adjust reason", 15))
"""CTS 1.1, 3.1."""

_FRACTION_NS = SECOND_NS // 256
_THURSDAY = 4


@unique
class AlertLevel(IntEnum):
    """What a Find Me tag does: nothing, a little, all it can."""

    NONE = 0
    MILD = 1
    HIGH = 2


class AdjustReason(IntFlag):
    """Why a clock was set."""

    NONE = 0
    MANUAL = 1
    EXTERNAL_REFERENCE = 2
    TIME_ZONE = 4
    DAYLIGHT_SAVING = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTime:
    """A clock's reading, UTC between us and a tag.

    ``day`` counts from 1970-01-01, None: unknown. ``time_of_day_ns`` has steps of 1/256 s. ``day_of_week``: 1 Monday to
    7 Sunday, None: unknown.
    """

    day: int | None
    time_of_day_ns: int
    day_of_week: int | None
    adjust_reason: AdjustReason = AdjustReason.NONE

    @property
    def t_utc_ns(self) -> int | None:
        """The moment, or None where the date is unknown."""
        return None if self.day is None else self.day * DAY_NS + self.time_of_day_ns


def encode_battery_level(battery_pct: int) -> bytes:
    """Return the value of 0 to 100 percent."""
    return _BATTERY_LEVEL.pack(battery_pct)


@rejecting
def decode_battery_level(data: bytes) -> BatteryLevel:
    """Value of ``BATTERY_LEVEL`` to its report."""
    return BatteryLevel(battery_pct=_BATTERY_LEVEL.unpack(data)[0])


def encode_alert_level(level: AlertLevel) -> bytes:
    """Return the value."""
    return _ALERT_LEVEL.pack(level)


@rejecting
def decode_alert_level(data: bytes) -> AlertLevel:
    """Value of ``ALERT_LEVEL`` of either service."""
    return AlertLevel(_ALERT_LEVEL.unpack(data)[0])


def encode_tx_power(tx_power_dbm: int) -> bytes:
    """Return the value of -100 to 20 dBm."""
    return _TX_POWER.pack(tx_power_dbm)


@rejecting
def decode_tx_power(data: bytes) -> int:
    """Value of ``TX_POWER_LEVEL`` in dBm."""
    return _TX_POWER.unpack(data)[0]


def encode_text(text: str) -> bytes:
    """Return a string of the Device Information service (DIS 1.2, 3.1 to 3.6)."""
    value = text.encode("utf-8")
    if len(value) > MAX_VALUE_OCTETS or "\x00" in text:
        raise EncodeError(f"text: expected at most {MAX_VALUE_OCTETS} octets without a zero, got {len(value)}")
    return value


@rejecting
def decode_text(data: bytes) -> str:
    """Value of a string of the Device Information service; zeros behind it, which some devices send, are taken off."""
    if len(data) > MAX_VALUE_OCTETS:
        detail = f"text: expected at most {MAX_VALUE_OCTETS} octets, got {len(data)}"
        raise ValueRefusedError(RejectReason.OVERLONG, MAX_VALUE_OCTETS, detail)
    content = data.rstrip(b"\x00")
    if b"\x00" in content:
        raise ValueRefusedError(RejectReason.BAD_FIELD, content.index(0), "text: expected no zero within it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        reason = RejectReason.CUT_SHORT if exc.reason == "unexpected end of data" else RejectReason.BAD_FIELD
        raise ValueRefusedError(reason, exc.start, f"text: expected UTF-8, got {exc.reason}") from exc


def encode_system_id(system_id: int) -> bytes:
    """Return the value of 64 bits."""
    return _SYSTEM_ID.pack(system_id)


@rejecting
def decode_system_id(data: bytes) -> int:
    """Value of ``SYSTEM_ID``."""
    return _SYSTEM_ID.unpack(data)[0]


def encode_pnp_id(pnp: PnpId) -> bytes:
    """Return the value."""
    return _PNP_ID.pack(pnp.vendor_source, pnp.vendor_id, pnp.product_id, pnp.product_version)


@rejecting
def decode_pnp_id(data: bytes) -> PnpId:
    """Value of ``PNP_ID``."""
    vendor_source, vendor_id, product_id, product_version = _PNP_ID.unpack(data)
    return PnpId(
        vendor_source=vendor_source, vendor_id=vendor_id, product_id=product_id, product_version=product_version
    )


def encode_current_time(t_utc_ns: int, adjust_reason: AdjustReason = AdjustReason.EXTERNAL_REFERENCE) -> bytes:
    """Return the value of a moment, cut to 1/256 s, with its day of the week."""
    day, time_of_day_ns = divmod(t_utc_ns, DAY_NS)
    fraction = time_of_day_ns % SECOND_NS // _FRACTION_NS
    numbers = write_date_time(day, time_of_day_ns)
    return _CURRENT_TIME.pack(*numbers, _day_of_week(day), fraction, int(adjust_reason))


@rejecting
def decode_current_time(data: bytes) -> CurrentTime:
    """Value of ``CURRENT_TIME``. A day of the week that is not the date's is refused: one of the two is wrong."""
    *numbers, day_of_week, fraction, adjust_reason = _CURRENT_TIME.unpack(data)
    day, time_of_day_ns = read_date_time(tuple(numbers), 0)
    if day is not None and day_of_week and day_of_week != _day_of_week(day):
        detail = f"day of week: expected {_day_of_week(day)} for this date, got {day_of_week}"
        raise ValueRefusedError(RejectReason.BAD_FIELD, 7, detail)
    return CurrentTime(
        day=day,
        time_of_day_ns=time_of_day_ns + fraction * _FRACTION_NS,
        day_of_week=day_of_week or None,
        adjust_reason=AdjustReason(adjust_reason),
    )


def _day_of_week(day: int) -> int:
    """Monday is 1; 1970-01-01 was a Thursday."""
    return (day + _THURSDAY - 1) % 7 + 1
