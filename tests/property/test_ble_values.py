"""Every BLE value both ways over generated records, and random bytes through every decoder."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ble import uuids
from protocols.ble.ad import MAX_EXTENDED_OCTETS, AdvertisementData, encode_ad, parse_ad, read_ad
from protocols.ble.adverts import (
    Beacon,
    TagAdvert,
    decode_beacon,
    decode_tag_advert,
    encode_beacon,
    encode_tag_advert,
    rolling_id,
    verify_beacon,
)
from protocols.ble.beacon import BeaconWatch
from protocols.ble.gatt import (
    AdjustReason,
    ElevationSource,
    LnFeature,
    LocationAndSpeed,
    PositionQuality,
    PositionStatus,
    decode_current_time,
    decode_ln_feature,
    decode_location_and_speed,
    decode_location_fields,
    decode_pnp_id,
    decode_position_quality,
    decode_system_id,
    decode_text,
    encode_current_time,
    encode_ln_feature,
    encode_location_and_speed,
    encode_pnp_id,
    encode_position_quality,
    encode_system_id,
    encode_text,
)
from protocols.ble.smart_tag import (
    BeaconSighting,
    BeaconVerdict,
    TagEvent,
    TagEventKind,
    TagKeys,
    TagMode,
    TagState,
    decode_sighting,
    decode_tag_event,
    decode_tag_keys,
    decode_tag_state,
    encode_sighting,
    encode_tag_event,
    encode_tag_keys,
    encode_tag_state,
)
from protocols.rejects import Reject
from protocols.reports import Fix, FixState, PnpId
from tests.protocols.ble.support import read
from tests.protocols.ble.test_golden_ble import DECODERS

DAY_NS = 86_400 * 10**9
KEY = bytes(range(16))

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
key = st.binary(min_size=16, max_size=16).filter(any)
percent = st.integers(0, 100)


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


def steps(low: int, high: int, per_unit: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda number: number / per_unit)


states = st.builds(
    TagState,
    state=st.sampled_from(TagMode),
    warn_id=optional(u16),
    sos=st.booleans(),
    motion=st.booleans(),
    battery_pct=percent,
    gnss=st.booleans(),
    sequence=u16,
    own_warning=st.booleans(),
)
events = st.builds(TagEvent, sequence=u16, kind=st.sampled_from(TagEventKind), warn_id=optional(u16), age_ms=u32)
sightings = st.builds(
    BeaconSighting,
    rolling_id=st.binary(min_size=8, max_size=8),
    rssi_dbm=st.integers(-127, 20),
    count=st.integers(1, 65_535),
    counter=u32,
    age_ms=u32,
    verdict=st.sampled_from(BeaconVerdict),
)
keys = st.builds(TagKeys, tag_key=key, beacon_key=optional(key))
pnp_ids = st.builds(PnpId, vendor_source=st.integers(1, 2), vendor_id=u16, product_id=u16, product_version=u16)
qualities = st.builds(
    PositionQuality,
    status=st.sampled_from(PositionStatus),
    satellites_used=optional(u8),
    satellites_in_view=optional(u8),
    time_to_first_fix_s=optional(steps(0, 65_535, 10)),
    horizontal_error_m=optional(steps(0, 2**32 - 1, 100)),
    vertical_error_m=optional(steps(0, 2**32 - 1, 100)),
    hdop=optional(steps(0, 255, 5)),
    vdop=optional(steps(0, 255, 5)),
)


@st.composite
def locations(draw: st.DrawFn) -> LocationAndSpeed:
    place = draw(
        st.none() | st.tuples(steps(-900_000_000, 900_000_000, 10**7), steps(-(18 * 10**8), 18 * 10**8, 10**7))
    )
    second = draw(optional(st.integers(0, 86_399)))
    return LocationAndSpeed(
        status=draw(st.sampled_from(PositionStatus)),
        lat_deg=None if place is None else place[0],
        lon_deg=None if place is None else place[1],
        alt_m=draw(optional(steps(-(2**23), 2**23 - 1, 100))),
        elevation_source=draw(st.sampled_from(ElevationSource)),
        speed_mps=draw(optional(steps(0, 65_535, 100))),
        total_distance_m=draw(optional(steps(0, 2**24 - 1, 10))),
        three_d=draw(st.booleans()),
        heading_deg=draw(optional(steps(0, 35_999, 100))),
        heading_is_magnetic=draw(st.booleans()),
        rolling_time_s=draw(optional(u8)),
        day=None if second is None else draw(optional(st.integers(-100_000, 100_000))),
        time_of_day_ns=None if second is None else second * 10**9,
    )


PAIRS: list[tuple[st.SearchStrategy[object], Callable[..., bytes], Callable[[bytes], object]]] = [
    (states, encode_tag_state, decode_tag_state),
    (events, encode_tag_event, decode_tag_event),
    (sightings, encode_sighting, decode_sighting),
    (keys, encode_tag_keys, decode_tag_keys),
    (pnp_ids, encode_pnp_id, decode_pnp_id),
    (qualities, encode_position_quality, decode_position_quality),
    (locations(), encode_location_and_speed, decode_location_fields),
    (u64, encode_system_id, decode_system_id),
    (st.integers(0, 2**21 - 1).map(LnFeature), encode_ln_feature, decode_ln_feature),
    (
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40),
        encode_text,
        decode_text,
    ),
]


@pytest.mark.parametrize(("values", "encode", "decode"), PAIRS, ids=lambda row: getattr(row, "__name__", ""))
@given(data=st.data())
@settings(max_examples=60)
def test_encode_and_decode_are_inverse(
    values: st.SearchStrategy[object],
    encode: Callable[..., bytes],
    decode: Callable[[bytes], object],
    data: st.DataObject,
) -> None:
    value = data.draw(values)
    assert decode(encode(value)) == value


@given(locations())
@settings(max_examples=100)
def test_only_a_position_that_is_ok_has_coordinates(value: LocationAndSpeed) -> None:
    fix = decode_location_and_speed(encode_location_and_speed(value))
    if value.status is PositionStatus.POSITION_OK and value.lat_deg is None:
        assert isinstance(fix, Reject)
        return
    assert isinstance(fix, Fix)
    assert (fix.state is FixState.POSITION) is (value.status is PositionStatus.POSITION_OK)
    assert (fix.lat_deg is not None) is (fix.state is FixState.POSITION) is (fix.horizontal_sigma_m is not None)


@given(st.integers(-100_000 * DAY_NS, 100_000 * DAY_NS), st.integers(0, 15).map(AdjustReason))
@settings(max_examples=100)
def test_a_clock_is_read_as_it_was_set_to_a_256th_of_a_second(t_utc_ns: int, reason: AdjustReason) -> None:
    clock = read(decode_current_time, encode_current_time(t_utc_ns, reason))
    assert clock.t_utc_ns is not None
    assert 0 <= t_utc_ns - clock.t_utc_ns < 10**9 // 256 + 1
    assert clock.adjust_reason is reason or clock.adjust_reason == reason


@given(key, u32, u32, st.booleans(), percent)
@settings(max_examples=100)
def test_adverts_both_ways(key: bytes, slot: int, counter: int, strap_open: bool, battery_pct: int) -> None:
    data = encode_beacon(key, slot=slot, counter=counter, strap_open=strap_open, battery_pct=battery_pct)
    beacon = read(decode_beacon, data)
    assert beacon == Beacon(
        rolling_id=rolling_id(key, slot, b"beacon"),
        counter=counter,
        strap_open=strap_open,
        battery_pct=battery_pct,
        mac=data[-4:],
    )
    assert verify_beacon(key, slot, beacon)
    assert not verify_beacon(key, slot + 1, beacon)
    advert = read(decode_tag_advert, encode_tag_advert(key, slot=slot, counter=counter))
    assert advert == TagAdvert(rolling_id=rolling_id(key, slot, b"tag"), counter=counter)


uuid = st.one_of(
    st.integers(0, 2**16 - 1).map(uuids.expand_uuid),
    st.integers(2**16, 2**32 - 1).map(uuids.expand_uuid),
    st.uuids().map(str),
)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
read_types = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x16, 0x20, 0x21, 0xFF}
adverts = st.builds(
    AdvertisementData,
    flags=optional(u8),
    service_uuids=st.lists(uuid, unique=True, max_size=4).map(
        lambda found: tuple(sorted(found, key=lambda row: len(uuid_octets(row))))
    ),
    service_data=st.dictionaries(uuid, st.binary(max_size=20), max_size=3),
    manufacturer_data=st.dictionaries(u16, st.binary(max_size=24), max_size=3),
    local_name=optional(names),
    tx_power_dbm=optional(st.integers(-127, 127)),
    other=st.lists(
        st.tuples(u8.filter(lambda ad_type: ad_type not in read_types), st.binary(max_size=12)), max_size=3
    ).map(tuple),
)


def uuid_octets(text: str) -> str:
    """Digits of the form in which a UUID is sent: shorter ones go first."""
    short = uuids.find_short_uuid(text)
    return "x" * (16 if short is None else 2 if short < 2**16 else 4)


@given(adverts)
@settings(max_examples=150)
def test_advertising_data_both_ways(said: AdvertisementData) -> None:
    data = encode_ad(said, max_octets=MAX_EXTENDED_OCTETS)
    assert parse_ad(data) == said
    for octets in range(0, len(data), 7):
        part, rejects = read_ad(data[:octets])
        assert len(rejects) <= 1
        assert set(part.service_uuids) <= set(said.service_uuids)


def run_random_bytes(n_bytes: int, seed: int) -> Counter[str]:
    """Feed every decoder with ``n_bytes`` in pieces: half of any bytes, half good values with a few bytes changed."""
    random_ = random.Random(seed)
    good = [bytes.fromhex(row) for row in GOOD]
    watch = BeaconWatch(KEY)
    outcomes: Counter[str] = Counter()
    done = 0
    while done < n_bytes:
        if random_.random() < 0.5:
            piece = random_.randbytes(random_.randrange(48 if random_.random() < 0.5 else 400))
        else:
            changed = bytearray(random_.choice(good))
            for _ in range(random_.randrange(4)):
                changed[random_.randrange(len(changed))] = random_.randrange(256)
            piece = bytes(changed[: random_.randrange(len(changed) + 1)] if random_.random() < 0.3 else changed)
        done += len(piece)
        for name, decode in DECODERS.items():
            found = decode(piece)
            if isinstance(found, Reject):
                assert 0 <= found.offset <= len(piece)
                outcomes["reject"] += 1
            else:
                outcomes[name] += 1
            if isinstance(found, Beacon):
                watch.hear(found, t_rx_utc_ns=1_980_000 * 900 * 10**9, t_rx_mono_ns=done)
        read_ad(piece)
    return outcomes


GOOD = (
    "111657cdab3412",
    "1101cdab341270110100",
    "100102030405060708b92c01efbeaddefa000000",
    "1234120301",
    "10" + bytes(range(1, 33)).hex(),
    encode_beacon(KEY, slot=1_980_000, counter=7, strap_open=True, battery_pct=57).hex(),
    encode_tag_advert(KEY, slot=1_980_000, counter=7).hex(),
    "02010607020218" + "0f181918" + "07ffffffa1616263" + "020afc" + "06095461672037",
    "ea0703010c2238078002",
    "ff047d00393000" + "5cddd1eb879f215a" + "2efbff0e6a07ea0703010c0000",
    "ff00070b1b01a90100008a0200000609",
    "45001000",
    "021519eeee0201",
    "debc9afeff563412",
)


def test_random_bytes_through_every_decoder() -> None:
    outcomes = run_random_bytes(1_000_000, seed=4)
    assert outcomes.keys() == {*DECODERS, "reject"}, "every decoder also met values that it takes"
    assert outcomes["reject"] > 100_000


@pytest.mark.soak
def test_ten_million_random_bytes_through_every_decoder() -> None:
    outcomes = run_random_bytes(10_000_000, seed=44)
    assert outcomes.keys() == {*DECODERS, "reject"}
