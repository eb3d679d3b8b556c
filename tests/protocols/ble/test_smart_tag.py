from dataclasses import replace

import pytest

from protocols.ble.smart_tag import (
    BeaconSighting,
    BeaconVerdict,
    TagEvent,
    TagEventKind,
    TagKeys,
    TagMode,
    TagState,
    WarnCommand,
    WarnLevel,
    WarnPattern,
    WarnText,
    decode_sighting,
    decode_tag_event,
    decode_tag_keys,
    decode_tag_state,
    decode_warn,
    encode_sighting,
    encode_tag_event,
    encode_tag_keys,
    encode_tag_state,
    encode_warn,
)
from protocols.errors import EncodeError
from protocols.rejects import Reject, RejectReason
from tests.protocols.ble.support import check_value, read, refused

STATE = TagState(
    state=TagMode.WARNING,
    warn_id=0x1234,
    sos=False,
    motion=True,
    battery_pct=87,
    gnss=True,
    sequence=0xABCD,
    own_warning=False,
)
STATE_BYTES = bytes.fromhex("11 16 57 cdab 3412")
WARN = WarnCommand(warn_id=0x1234, level=WarnLevel.ALARM, pattern=WarnPattern.BOTH, text=WarnText.NEARBY)
WARN_BYTES = bytes.fromhex("12 3412 03 01")
EVENT = TagEvent(sequence=0xABCD, kind=TagEventKind.WARN_ACKED, warn_id=0x1234, age_ms=70_000)
EVENT_BYTES = bytes.fromhex("11 01 cdab 3412 70110100")
SIGHTING = BeaconSighting(
    rolling_id=bytes.fromhex("0102030405060708"),
    rssi_dbm=-71,
    count=300,
    counter=0xDEADBEEF,
    age_ms=250,
    verdict=BeaconVerdict.GENUINE,
)
SIGHTING_BYTES = bytes.fromhex("10 0102030405060708 b9 2c01 efbeadde fa000000")
KEYS = TagKeys(tag_key=bytes(range(1, 17)), beacon_key=bytes(range(17, 33)))
KEYS_BYTES = bytes.fromhex("10") + bytes(range(1, 33))


def test_state() -> None:
    check_value(decode_tag_state, STATE_BYTES, STATE)
    assert encode_tag_state(STATE) == STATE_BYTES


def test_every_mode_and_flag_both_ways() -> None:
    for mode in TagMode:
        for bits in range(32):
            sos, motion, gnss, own_warning, has_warn_id = (bool(bits >> n & 1) for n in range(5))
            state = replace(
                STATE,
                state=mode,
                sos=sos,
                motion=motion,
                gnss=gnss,
                own_warning=own_warning,
                warn_id=0 if has_warn_id else None,
            )
            data = encode_tag_state(state)
            assert data[:2] == bytes([0x10 | mode, bits])
            assert read(decode_tag_state, data) == state


def test_warn() -> None:
    check_value(decode_warn, WARN_BYTES, WARN)
    assert encode_warn(WARN) == WARN_BYTES
    for level in WarnLevel:
        for pattern in WarnPattern:
            for text in WarnText:
                command = WarnCommand(warn_id=65_535, level=level, pattern=pattern, text=text)
                assert read(decode_warn, encode_warn(command)) == command


def test_event() -> None:
    check_value(decode_tag_event, EVENT_BYTES, EVENT)
    assert encode_tag_event(EVENT) == EVENT_BYTES
    for kind in TagEventKind:
        for warn_id in (None, 0, 65_535):
            event = replace(EVENT, kind=kind, warn_id=warn_id, age_ms=2**32 - 1)
            assert read(decode_tag_event, encode_tag_event(event)) == event


def test_sighting() -> None:
    check_value(decode_sighting, SIGHTING_BYTES, SIGHTING)
    assert encode_sighting(SIGHTING) == SIGHTING_BYTES
    for verdict in BeaconVerdict:
        for rssi_dbm in (-127, 0, 20):
            sighting = replace(SIGHTING, verdict=verdict, rssi_dbm=rssi_dbm)
            assert read(decode_sighting, encode_sighting(sighting)) == sighting


def test_keys() -> None:
    without = TagKeys(tag_key=KEYS.tag_key, beacon_key=None)
    assert read(decode_tag_keys, KEYS_BYTES) == KEYS
    assert encode_tag_keys(KEYS) == KEYS_BYTES
    assert encode_tag_keys(without) == KEYS_BYTES[:17] + bytes(16)
    assert read(decode_tag_keys, encode_tag_keys(without)) == without


def test_a_reject_of_keys_and_their_text_hold_no_key() -> None:
    for data in (KEYS_BYTES[:-1], KEYS_BYTES + b"\x00", b"\x20" + KEYS_BYTES[1:]):
        reject = decode_tag_keys(data)
        assert isinstance(reject, Reject)
        assert reject.raw == data[:1]
    assert repr(KEYS) == "TagKeys()"


def test_keys_of_zeros_are_none() -> None:
    reject = decode_tag_keys(b"\x10" + bytes(16) + KEYS_BYTES[17:])
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.offset) == (RejectReason.BAD_FIELD, 1)
    with pytest.raises(EncodeError, match="zeros"):
        encode_tag_keys(TagKeys(tag_key=bytes(16), beacon_key=None))
    with pytest.raises(EncodeError, match="zeros"):
        encode_tag_keys(TagKeys(tag_key=KEYS.tag_key, beacon_key=bytes(16)))
    with pytest.raises(EncodeError, match="beacon_key: expected 16 octets, got 15"):
        encode_tag_keys(TagKeys(tag_key=KEYS.tag_key, beacon_key=bytes(15)))


@pytest.mark.parametrize(
    ("decode", "data", "known"),
    [
        (decode_tag_state, STATE_BYTES, 4),
        (decode_warn, WARN_BYTES, 4),
        (decode_tag_event, EVENT_BYTES, 10),
        (decode_sighting, SIGHTING_BYTES, 5),
    ],
)
def test_a_header_that_is_not_ours(decode: type, data: bytes, known: int) -> None:
    for header in range(256):
        changed = bytes([header]) + data[1:]
        if header in range(0x10, 0x10 + known):
            read(decode, changed)
        else:
            reject = refused(decode, changed)
            assert (reject.reason, reject.offset) == (RejectReason.UNKNOWN_VALUE, 0)


@pytest.mark.parametrize(
    ("decode", "data", "at", "octet"),
    [
        (decode_tag_state, STATE_BYTES, 1, 0x20),
        (decode_tag_state, STATE_BYTES, 1, 0x80),
        (decode_tag_state, STATE_BYTES, 2, 101),
        (decode_warn, WARN_BYTES, 3, 4),
        (decode_warn, WARN_BYTES, 4, 5),
        (decode_tag_event, EVENT_BYTES, 1, 2),
        (decode_sighting, SIGHTING_BYTES, 9, 0x80),
        (decode_sighting, SIGHTING_BYTES, 9, 21),
    ],
)
def test_what_is_kept_for_the_future(decode: type, data: bytes, at: int, octet: int) -> None:
    reject = refused(decode, data[:at] + bytes([octet]) + data[at + 1 :])
    assert (reject.reason, reject.offset) == (RejectReason.RESERVED, at)


def test_a_warn_id_where_none_is_meant() -> None:
    assert refused(decode_tag_state, bytes.fromhex("11 06 57 cdab 3412")).offset == 5
    assert refused(decode_tag_event, bytes.fromhex("11 00 cdab 3412 70110100")).offset == 4
    assert refused(decode_sighting, SIGHTING_BYTES[:10] + b"\x00\x00" + SIGHTING_BYTES[12:]).offset == 10


def test_all_but_the_keys_fit_in_the_smallest_mtu() -> None:
    assert max(map(len, (STATE_BYTES, WARN_BYTES, EVENT_BYTES, SIGHTING_BYTES))) == 20


def test_what_has_no_place_on_the_wire() -> None:
    with pytest.raises(EncodeError, match="warn_id: expected 0 to 65535, got 65536"):
        encode_warn(replace(WARN, warn_id=65_536))
    with pytest.raises(EncodeError, match="sequence"):
        encode_tag_state(replace(STATE, sequence=-1))
    with pytest.raises(EncodeError, match="rolling_id: expected 8 octets, got 7"):
        encode_sighting(replace(SIGHTING, rolling_id=b"1234567"))
    with pytest.raises(EncodeError, match="count: expected 1 to 65535, got 0"):
        encode_sighting(replace(SIGHTING, count=0))
    with pytest.raises(EncodeError, match="rssi_dbm"):
        encode_sighting(replace(SIGHTING, rssi_dbm=127))
