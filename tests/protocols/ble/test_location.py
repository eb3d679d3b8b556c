from dataclasses import replace
from itertools import product

import pytest

from protocols.ble.gatt import (
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
from protocols.errors import EncodeError
from protocols.rejects import RejectReason
from protocols.reports import DateRule, FixMode, FixState
from tests.protocols.ble.support import check_value, read, refused

DAY = 20_513
"""2026-03-01."""
FULL = LocationAndSpeed(
    status=PositionStatus.POSITION_OK,
    speed_mps=1.25,
    total_distance_m=1234.5,
    lat_deg=-33.8567844,
    lon_deg=151.2152967,
    alt_m=-12.34,
    elevation_source=ElevationSource.BAROMETER,
    heading_deg=271.5,
    rolling_time_s=7,
    day=DAY,
    time_of_day_ns=43_200 * 10**9,
)
FULL_BYTES = bytes.fromhex("ff04 7d00 393000 5cddd1eb 879f215a 2efbff 0e6a 07 ea0703010c0000")


def test_every_field() -> None:
    check_value(decode_location_fields, FULL_BYTES, FULL)
    assert encode_location_and_speed(FULL) == FULL_BYTES


def test_a_fix_of_every_field() -> None:
    fix = read(decode_location_and_speed, FULL_BYTES)
    check_value(decode_location_and_speed, FULL_BYTES, fix)
    assert (fix.state, fix.talker, fix.offset) == (FixState.POSITION, "LN", 0)
    assert (fix.lat_deg, fix.lon_deg, fix.alt_m) == (-33.8567844, 151.2152967, -12.34)
    assert (fix.speed_mps, fix.course_deg) == (1.25, 271.5)
    assert (fix.t_fix_utc_ns, fix.date_rule) == ((DAY * 86_400 + 43_200) * 10**9, DateRule.SENT)
    assert (fix.horizontal_sigma_m, fix.sigma_rule) == (7.0, "floor_gnss")


def test_every_combination_of_fields_both_ways() -> None:
    absent = {
        "speed_mps": {"speed_mps": None},
        "total_distance_m": {"total_distance_m": None},
        "location": {"lat_deg": None, "lon_deg": None},
        "alt_m": {"alt_m": None},
        "heading_deg": {"heading_deg": None},
        "rolling_time_s": {"rolling_time_s": None},
        "time": {"day": None, "time_of_day_ns": None},
    }
    seen = set()
    for bits in product((True, False), repeat=len(absent)):
        left_out = {
            key: value
            for there, fields in zip(bits, absent.values(), strict=True)
            if not there
            for key, value in fields.items()
        }
        value = replace(FULL, **left_out)
        data = encode_location_and_speed(value)
        seen.add(data[:2])
        check_value(decode_location_fields, data, value)
        if value.lat_deg is None:
            assert refused(decode_location_and_speed, data).reason is RejectReason.BAD_FIELD
        else:
            fix = read(decode_location_and_speed, data)
            assert (fix.alt_m, fix.speed_mps, fix.course_deg) == (value.alt_m, value.speed_mps, value.heading_deg)
            assert fix.time_of_day_ns == value.time_of_day_ns
    assert len(seen) == 128


@pytest.mark.parametrize("three_d", [False, True])
@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("source", ElevationSource)
@pytest.mark.parametrize("status", PositionStatus)
def test_every_status_and_source_both_ways(
    status: PositionStatus, source: ElevationSource, magnetic: bool, three_d: bool
) -> None:
    value = replace(FULL, status=status, elevation_source=source, heading_is_magnetic=magnetic, three_d=three_d)
    data = encode_location_and_speed(value)
    check_value(decode_location_fields, data, value)
    fix = read(decode_location_and_speed, data)
    if status is PositionStatus.POSITION_OK:
        assert (fix.speed_mps is None) is three_d, "speed along the path is not speed over ground"
        assert (fix.course_deg is None) is magnetic, "where the compass points is not where the person goes"


@pytest.mark.parametrize(
    ("status", "state", "mode"),
    [
        (PositionStatus.NO_POSITION, FixState.NO_FIX, FixMode.NONE),
        (PositionStatus.LAST_KNOWN, FixState.NO_FIX, FixMode.NONE),
        (PositionStatus.ESTIMATED, FixState.DEAD_RECKONING, None),
    ],
)
def test_a_status_that_is_no_position_has_none_whatever_coordinates_come_with_it(
    status: PositionStatus, state: FixState, mode: FixMode | None
) -> None:
    for location in (FULL, replace(FULL, lat_deg=None, lon_deg=None)):
        fix = read(decode_location_and_speed, encode_location_and_speed(replace(location, status=status)))
        assert (fix.state, fix.mode) == (state, mode)
        assert (fix.lat_deg, fix.lon_deg, fix.alt_m, fix.speed_mps, fix.course_deg) == (None,) * 5
        assert fix.horizontal_sigma_m is None
        assert fix.t_fix_utc_ns is not None, "when it was so is known"


def test_nought_nought_with_no_position_is_no_place() -> None:
    """What receivers without a fix send."""
    fix = read(decode_location_and_speed, bytes.fromhex("0400 00000000 00000000"))
    assert (fix.state, fix.lat_deg) == (FixState.NO_FIX, None)
    fix = read(decode_location_and_speed, bytes.fromhex("8400 00000000 00000000"))
    assert (fix.state, fix.lat_deg) == (FixState.POSITION, 0.0)


@pytest.mark.parametrize("bit", [13, 14, 15])
def test_flags_kept_for_the_future(bit: int) -> None:
    data = (int.from_bytes(FULL_BYTES[:2], "little") | 1 << bit).to_bytes(2, "little") + FULL_BYTES[2:]
    reject = refused(decode_location_and_speed, data)
    assert (reject.reason, reject.offset) == (RejectReason.RESERVED, 0)


@pytest.mark.parametrize(
    ("lat", "lon", "offset"),
    [
        (900_000_001, 0, 2),
        (-900_000_001, 0, 2),
        (0, 1_800_000_001, 6),
        (0, -1_800_000_001, 6),
        (2**31 - 1, 0, 2),
    ],
)
def test_coordinates_that_are_nowhere(lat: int, lon: int, offset: int) -> None:
    data = b"\x84\x00" + lat.to_bytes(4, "little", signed=True) + lon.to_bytes(4, "little", signed=True)
    reject = refused(decode_location_and_speed, data)
    assert (reject.reason, reject.offset) == (RejectReason.BAD_FIELD, offset)


def test_a_heading_of_a_whole_turn_is_a_bad_field_and_is_sent_as_nought() -> None:
    value = replace(LocationAndSpeed(status=PositionStatus.NO_POSITION), heading_deg=359.996)
    assert encode_location_and_speed(value) == bytes.fromhex("1000 0000")
    reject = refused(decode_location_fields, bytes.fromhex("1000 a08c"))
    assert (reject.reason, reject.offset) == (RejectReason.BAD_FIELD, 2)


def test_a_time_without_a_date_dates_nothing() -> None:
    value = replace(FULL, day=None)
    data = encode_location_and_speed(value)
    assert data[-7:-3] == bytes(4)
    check_value(decode_location_fields, data, value)
    fix = read(decode_location_and_speed, data)
    assert (fix.t_fix_utc_ns, fix.time_of_day_ns, fix.date_rule) == (None, 43_200 * 10**9, DateRule.NONE)


def test_position_quality_every_combination_both_ways() -> None:
    full = PositionQuality(
        status=PositionStatus.POSITION_OK,
        satellites_used=7,
        satellites_in_view=11,
        time_to_first_fix_s=28.3,
        horizontal_error_m=4.25,
        vertical_error_m=6.5,
        hdop=1.2,
        vdop=1.8,
    )
    data = bytes.fromhex("ff00 07 0b 1b01 a9010000 8a020000 06 09")
    check_value(decode_position_quality, data, full)
    assert encode_position_quality(full) == data
    names = [name for name in PositionQuality.__slots__ if name != "status"]
    for status in PositionStatus:
        for bits in product((True, False), repeat=len(names)):
            left_out = dict.fromkeys(name for name, there in zip(names, bits, strict=True) if not there)
            value = replace(full, status=status, **left_out)
            check_value(decode_position_quality, encode_position_quality(value), value)


def test_position_quality_with_flags_kept_for_the_future() -> None:
    for bit in range(9, 16):
        assert refused(decode_position_quality, (1 << bit).to_bytes(2, "little")).reason is RejectReason.RESERVED


def test_ln_feature() -> None:
    feature = LnFeature.SPEED | LnFeature.LOCATION | LnFeature.UTC_TIME | LnFeature.POSITION_STATUS
    check_value(decode_ln_feature, bytes.fromhex("45001000"), feature)
    assert encode_ln_feature(feature) == bytes.fromhex("45001000")
    for bit in range(32):
        data = (1 << bit).to_bytes(4, "little")
        if bit <= 20:
            check_value(decode_ln_feature, data, LnFeature(1 << bit))
        else:
            assert refused(decode_ln_feature, data).reason is RejectReason.RESERVED


def test_what_has_no_place_on_the_wire() -> None:
    nowhere = LocationAndSpeed(status=PositionStatus.NO_POSITION)
    with pytest.raises(EncodeError, match="both or neither"):
        encode_location_and_speed(replace(nowhere, lat_deg=1.0))
    with pytest.raises(EncodeError, match="expected a time_of_day_ns"):
        encode_location_and_speed(replace(nowhere, day=1))
    with pytest.raises(EncodeError, match="speed"):
        encode_location_and_speed(replace(nowhere, speed_mps=700.0))
    with pytest.raises(EncodeError, match="latitude"):
        encode_location_and_speed(replace(nowhere, lat_deg=90.1, lon_deg=0.0))
    with pytest.raises(EncodeError, match="time_of_day_ns"):
        encode_location_and_speed(replace(nowhere, time_of_day_ns=86_400 * 10**9))
