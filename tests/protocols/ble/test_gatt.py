from datetime import UTC, datetime

import pytest

from protocols.ble.gatt import (
    AdjustReason,
    AlertLevel,
    CurrentTime,
    decode_alert_level,
    decode_battery_level,
    decode_current_time,
    decode_pnp_id,
    decode_system_id,
    decode_text,
    decode_tx_power,
    encode_alert_level,
    encode_battery_level,
    encode_current_time,
    encode_pnp_id,
    encode_system_id,
    encode_text,
    encode_tx_power,
)
from protocols.errors import EncodeError
from protocols.rejects import RejectReason
from protocols.reports import BatteryLevel, PnpId
from tests.protocols.ble.support import check_value, read, refused

NOON = datetime(2026, 3, 1, 12, 34, 56, 500_000, tzinfo=UTC)
"""A Sunday."""
NOON_BYTES = bytes.fromhex("ea070301 0c2238 07 80 02")
DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("battery_pct", [0, 1, 75, 100])
def test_battery_level(battery_pct: int) -> None:
    check_value(decode_battery_level, bytes([battery_pct]), BatteryLevel(battery_pct=battery_pct))
    assert encode_battery_level(battery_pct) == bytes([battery_pct])


@pytest.mark.parametrize("octet", [101, 127, 128, 255])
def test_a_battery_of_more_than_a_hundred_percent_is_reserved(octet: int) -> None:
    reject = refused(decode_battery_level, bytes([octet]))
    assert (reject.reason, reject.offset) == (RejectReason.RESERVED, 0)
    assert reject.detail == f"battery_pct: expected 0 to 100, got {octet}"


def test_alert_level() -> None:
    for level in AlertLevel:
        check_value(decode_alert_level, bytes([level]), level)
        assert encode_alert_level(level) == bytes([level])
    assert {refused(decode_alert_level, bytes([octet])).reason for octet in range(3, 256)} == {RejectReason.RESERVED}


@pytest.mark.parametrize(("octet", "tx_power_dbm"), [(0x9C, -100), (0xFC, -4), (0, 0), (4, 4), (20, 20)])
def test_tx_power(octet: int, tx_power_dbm: int) -> None:
    check_value(decode_tx_power, bytes([octet]), tx_power_dbm)
    assert encode_tx_power(tx_power_dbm) == bytes([octet])


@pytest.mark.parametrize("octet", [0x9B, 0x80, 21, 127])
def test_tx_power_beyond_what_the_service_allows_is_reserved(octet: int) -> None:
    assert refused(decode_tx_power, bytes([octet])).reason is RejectReason.RESERVED


@pytest.mark.parametrize("text", ["", "2.4.1", "Gerät 7", "日本"])
def test_text(text: str) -> None:
    assert read(decode_text, text.encode()) == text
    assert read(decode_text, text.encode() + b"\x00\x00") == text
    assert encode_text(text) == text.encode()


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        ("Gerät".encode()[:4], RejectReason.CUT_SHORT, 3),
        (b"ab\xff\xfe", RejectReason.BAD_FIELD, 2),
        (b"ab\x00cd", RejectReason.BAD_FIELD, 2),
        (b"\xed\xa0\x80", RejectReason.BAD_FIELD, 0),
    ],
)
def test_text_that_is_none(data: bytes, reason: RejectReason, offset: int) -> None:
    reject = refused(decode_text, data)
    assert (reject.reason, reject.offset) == (reason, offset)


def test_text_longer_than_an_attribute_is_refused_and_not_kept() -> None:
    assert read(decode_text, b"x" * 512) == "x" * 512
    reject = decode_text(b"x" * 513)
    assert (reject.reason, reject.offset, len(reject.raw)) == (RejectReason.OVERLONG, 512, 512)  # type: ignore[union-attr]


def test_system_id() -> None:
    """The example of the standard: address 12:34:56:9A:BC:DE."""
    data = bytes.fromhex("debc9afeff563412")
    check_value(decode_system_id, data, 0x123456FFFE9ABCDE)
    assert encode_system_id(0x123456FFFE9ABCDE) == data


def test_pnp_id() -> None:
    pnp = PnpId(vendor_source=2, vendor_id=0x1915, product_id=0xEEEE, product_version=0x0102)
    data = bytes.fromhex("021519eeee0201")
    check_value(decode_pnp_id, data, pnp)
    assert encode_pnp_id(pnp) == data
    for source in (0, 3, 255):
        reject = refused(decode_pnp_id, bytes([source]) + data[1:])
        assert (reject.reason, reject.offset) == (RejectReason.RESERVED, 0)


def test_current_time() -> None:
    t_utc_ns = int(NOON.timestamp()) * 10**9 + 500_000_000
    clock = CurrentTime(
        day=t_utc_ns // DAY_NS,
        time_of_day_ns=t_utc_ns % DAY_NS,
        day_of_week=7,
        adjust_reason=AdjustReason.EXTERNAL_REFERENCE,
    )
    check_value(decode_current_time, NOON_BYTES, clock)
    assert clock.t_utc_ns == t_utc_ns
    assert encode_current_time(t_utc_ns) == NOON_BYTES
    assert encode_current_time(t_utc_ns + 3_906_249) == NOON_BYTES, "cut to 1/256 s, never ahead"


@pytest.mark.parametrize(
    ("at", "octet", "reason"),
    [
        (2, 13, RejectReason.RESERVED),
        (3, 32, RejectReason.RESERVED),
        (4, 24, RejectReason.RESERVED),
        (5, 60, RejectReason.RESERVED),
        (6, 60, RejectReason.RESERVED),
        (7, 8, RejectReason.RESERVED),
        (9, 16, RejectReason.RESERVED),
    ],
)
def test_a_part_of_a_time_that_cannot_be(at: int, octet: int, reason: RejectReason) -> None:
    data = bytearray(NOON_BYTES)
    data[at] = octet
    reject = refused(decode_current_time, bytes(data))
    assert (reject.reason, reject.offset) == (reason, at)


def test_a_day_that_there_is_not_is_a_bad_field() -> None:
    reject = refused(decode_current_time, bytes.fromhex("ea07021d0c223800 80 02"))
    assert (reject.reason, reject.detail) == (
        RejectReason.BAD_FIELD,
        "date: expected a day that there is, got 2026-02-29",
    )
    assert read(decode_current_time, bytes.fromhex("e807021d0c223804 80 02")).day_of_week == 4


def test_a_day_of_the_week_that_is_not_the_dates() -> None:
    reject = refused(decode_current_time, NOON_BYTES[:7] + b"\x06" + NOON_BYTES[8:])
    assert (reject.reason, reject.offset) == (RejectReason.BAD_FIELD, 7)
    assert read(decode_current_time, NOON_BYTES[:7] + b"\x00" + NOON_BYTES[8:]).day_of_week is None


@pytest.mark.parametrize("date_hex", ["00000000", "ea070001", "ea070300", "00000301"])
def test_a_clock_without_a_date_has_a_time_of_day_only(date_hex: str) -> None:
    clock = read(decode_current_time, bytes.fromhex(date_hex + "0c2238000000"))
    assert (clock.day, clock.t_utc_ns, clock.day_of_week) == (None, None, None)
    assert clock.time_of_day_ns == ((12 * 60 + 34) * 60 + 56) * 10**9


@pytest.mark.parametrize("year", [1, 1677, 2262, 9999])
def test_a_year_that_nanoseconds_do_not_reach_is_a_bad_field(year: int) -> None:
    reject = refused(decode_current_time, year.to_bytes(2, "little") + NOON_BYTES[2:7] + b"\x00\x00\x00")
    assert (reject.reason, reject.offset) == (RejectReason.BAD_FIELD, 0)


def test_what_has_no_place_on_the_wire() -> None:
    with pytest.raises(EncodeError, match="battery_pct: expected 0 to 100, got 140"):
        encode_battery_level(140)
    with pytest.raises(EncodeError, match="tx_power_dbm: expected -100 to 20, got 21"):
        encode_tx_power(21)
    with pytest.raises(EncodeError, match="at most 512 octets"):
        encode_text("x" * 513)
    with pytest.raises(EncodeError, match="without a zero"):
        encode_text("a\x00b")
    with pytest.raises(EncodeError, match="year: expected 1678 to 2261"):
        encode_current_time(400 * 366 * DAY_NS)
    with pytest.raises(EncodeError, match="days since 1970"):
        encode_current_time(-800_000 * DAY_NS)
