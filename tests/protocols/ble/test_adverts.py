import hashlib
import hmac

import pytest

from protocols.ble.ad import AdvertisementData, encode_ad, parse_ad
from protocols.ble.beacon import (
    BEACON_PURPOSE,
    COMPANY_ID,
    SLOT_NS,
    TAG_PURPOSE,
    Beacon,
    TagAdvert,
    decode_beacon,
    decode_tag_advert,
    encode_beacon,
    encode_tag_advert,
    is_tag,
    rolling_id,
    slot_of,
    tag_ids,
)
from protocols.errors import EncodeError
from protocols.rejects import RejectReason
from tests.protocols.ble.support import check_value, read, refused

KEY = bytes(range(16))
OTHER_KEY = bytes(range(1, 17))
SLOT = 1_980_000
T = SLOT * SLOT_NS
COUNTER = 0xDEADBEEF


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def test_the_layouts_as_written() -> None:
    slot = SLOT.to_bytes(8, "big")
    pseudonym = hmac_sha256(KEY, b"id\x00beacon\x00" + slot)[:8]
    bare = b"\xb1" + pseudonym + bytes.fromhex("efbeadde") + bytes([0x80 | 57])
    mac = hmac_sha256(KEY, b"mac\x00" + slot + bare)[:4]
    data = encode_beacon(KEY, slot=SLOT, counter=COUNTER, strap_open=True, battery_pct=57)
    assert data == bare + mac
    beacon = Beacon(rolling_id=pseudonym, counter=COUNTER, strap_open=True, battery_pct=57, mac=mac)
    check_value(decode_beacon, data, beacon)

    tag_id = hmac_sha256(KEY, b"id\x00tag\x00" + slot)[:8]
    advert = encode_tag_advert(KEY, slot=SLOT, counter=COUNTER)
    assert advert == b"\xa1" + tag_id + bytes.fromhex("efbeadde")
    check_value(decode_tag_advert, advert, TagAdvert(rolling_id=tag_id, counter=COUNTER))


def test_both_fit_in_a_legacy_advertisement_with_flags_and_a_service() -> None:
    for payload in (
        encode_beacon(KEY, slot=SLOT, counter=0, strap_open=False, battery_pct=0),
        encode_tag_advert(KEY, slot=SLOT, counter=0),
    ):
        said = AdvertisementData(flags=6, manufacturer_data={COMPANY_ID: payload})
        assert read(parse_ad, encode_ad(said)) == said


def test_a_kind_that_is_not_ours() -> None:
    beacon = encode_beacon(KEY, slot=SLOT, counter=0, strap_open=False, battery_pct=0)
    advert = encode_tag_advert(KEY, slot=SLOT, counter=0)
    for kind in range(256):
        if kind != beacon[0]:
            reject = refused(decode_beacon, bytes([kind]) + beacon[1:])
            assert (reject.reason, reject.offset) == (RejectReason.UNKNOWN_VALUE, 0)
        if kind != advert[0]:
            assert refused(decode_tag_advert, bytes([kind]) + advert[1:]).reason is RejectReason.UNKNOWN_VALUE


def test_a_battery_of_more_than_a_hundred_percent_is_reserved() -> None:
    data = bytearray(encode_beacon(KEY, slot=SLOT, counter=0, strap_open=False, battery_pct=100))
    for status in range(256):
        data[13] = status
        if status & 0x7F <= 100:
            beacon = read(decode_beacon, bytes(data))
            assert (beacon.strap_open, beacon.battery_pct) == (status >= 128, status & 0x7F)
        else:
            reject = refused(decode_beacon, bytes(data))
            assert (reject.reason, reject.offset) == (RejectReason.RESERVED, 13)


def test_ids_differ_by_key_slot_and_purpose() -> None:
    ids = {
        rolling_id(key, slot, purpose)
        for key in (KEY, OTHER_KEY)
        for slot in range(SLOT, SLOT + 50)
        for purpose in (BEACON_PURPOSE, TAG_PURPOSE)
    }
    assert len(ids) == 200
    assert {len(pseudonym) for pseudonym in ids} == {8}


def test_a_tag_is_known_beside_its_slot_and_nowhere_else() -> None:
    advert = read(decode_tag_advert, encode_tag_advert(KEY, slot=SLOT, counter=7))
    known = [is_tag(KEY, advert, T + n * SLOT_NS // 2) for n in range(-4, 7)]
    assert known == [False] * 2 + [True] * 6 + [False] * 3
    assert not is_tag(OTHER_KEY, advert, T)
    assert advert.rolling_id in tag_ids(KEY, T) and len(tag_ids(KEY, T)) == 3


def test_the_first_slot_has_none_before_it() -> None:
    assert slot_of(SLOT_NS - 1) == 0
    assert len(tag_ids(KEY, 0)) == 2


def test_what_has_no_place_on_the_wire() -> None:
    with pytest.raises(EncodeError, match="key: expected at least 16 octets, got 15"):
        rolling_id(KEY[:15], SLOT, TAG_PURPOSE)
    with pytest.raises(EncodeError, match="slot: expected 0 to"):
        encode_tag_advert(KEY, slot=-1, counter=0)
    with pytest.raises(EncodeError, match="counter: expected 0 to 4294967295"):
        encode_tag_advert(KEY, slot=SLOT, counter=2**32)
    with pytest.raises(EncodeError, match="battery_pct: expected 0 to 100, got 101"):
        encode_beacon(KEY, slot=SLOT, counter=0, strap_open=False, battery_pct=101)
