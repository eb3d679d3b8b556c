import pytest

from protocols.ble import uuids
from protocols.ble.ad import (
    FLAGS_GENERAL_DISCOVERABLE,
    FLAGS_NO_BR_EDR,
    AdvertisementData,
    encode_ad,
    parse_ad,
    read_ad,
)
from protocols.errors import EncodeError
from protocols.rejects import Reject, RejectReason
from tests.protocols.ble.support import read, refused

VENDOR = "7a670001-8f2b-4c61-9d3e-5b1f0c2a6e47"
FULL = AdvertisementData(
    flags=FLAGS_GENERAL_DISCOVERABLE | FLAGS_NO_BR_EDR,
    service_uuids=(uuids.IMMEDIATE_ALERT_SERVICE, uuids.BATTERY_SERVICE, uuids.expand_uuid(0x12345678), VENDOR),
    service_data={uuids.BATTERY_SERVICE: b"\x4b", uuids.expand_uuid(0x12345678): b"", VENDOR: b"\x01\x02"},
    manufacturer_data={0xFFFF: b"\xa1abc", 0x004C: b""},
    local_name="Tag 7",
    tx_power_dbm=-4,
    other=((0x19, b"\x00\x02"), (0x24, b"https")),
)
FULL_BYTES = bytes.fromhex(
    "020106"
    "05030218 0f18"
    "0505 78563412"
    "1107 476e2a0c1f5b3e9d614c2b8f0100677a"
    "07ffffff a1616263"
    "03ff4c00"
    "04160f184b"
    "0520 78563412"
    "1321 476e2a0c1f5b3e9d614c2b8f0100677a 0102"
    "020afc"
    "0609 5461672037"
    "0319 0002"
    "0624 6874747073"
)


def test_every_structure_both_ways() -> None:
    assert read(parse_ad, FULL_BYTES) == FULL
    assert encode_ad(FULL, max_octets=255) == FULL_BYTES
    assert read(parse_ad, FULL_BYTES + bytes(40)) == FULL, "zeros behind are no part of it"


def test_cut_at_every_length() -> None:
    edges = {0}
    at = 0
    while at < len(FULL_BYTES):
        at += 1 + FULL_BYTES[at]
        edges.add(at)
    for octets in range(len(FULL_BYTES)):
        data = FULL_BYTES[:octets]
        if octets in edges:
            read(parse_ad, data)
        else:
            reject = refused(parse_ad, data)
            assert (reject.reason, reject.offset) == (RejectReason.CUT_SHORT, octets)
            assert read_ad(data)[0] == read(parse_ad, data[: max(edge for edge in edges if edge < octets)])


def test_nothing_is_an_advertisement_that_says_nothing() -> None:
    assert read(parse_ad, b"") == AdvertisementData()
    assert read(parse_ad, bytes(31)) == AdvertisementData()
    assert encode_ad(AdvertisementData()) == b""


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        ("0101", RejectReason.CUT_SHORT),
        ("040318181a", RejectReason.CUT_SHORT),
        ("0405010203", RejectReason.CUT_SHORT),
        ("0216aa", RejectReason.CUT_SHORT),
        ("0420010203", RejectReason.CUT_SHORT),
        ("0321 0102", RejectReason.CUT_SHORT),
        ("02ff01", RejectReason.CUT_SHORT),
        ("010a", RejectReason.CUT_SHORT),
        ("030a0402", RejectReason.OVERLONG),
    ],
)
def test_a_structure_that_is_refused_leaves_the_others_readable(structure: str, reason: RejectReason) -> None:
    data = bytes.fromhex("03030218" + structure + "0409546167")
    assert refused(parse_ad, data).reason is reason
    said, rejects = read_ad(data)
    assert [reject.reason for reject in rejects] == [reason]
    assert said == AdvertisementData(service_uuids=(uuids.IMMEDIATE_ALERT_SERVICE,), local_name="Tag")


def test_something_behind_the_zeros_is_reserved_and_still_read() -> None:
    data = bytes.fromhex("020106 0000 0409546167")
    reject = refused(parse_ad, data)
    assert (reject.reason, reject.offset) == (RejectReason.RESERVED, 5)
    assert read_ad(data)[0] == AdvertisementData(flags=6, local_name="Tag")


def test_what_is_sent_twice() -> None:
    data = bytes.fromhex("03020218 03030f18 03030218 03ff0100 04ff010007 020a04 020a05 0308 5461 0409 546167 0308 5462")
    assert read(parse_ad, data) == AdvertisementData(
        service_uuids=(uuids.IMMEDIATE_ALERT_SERVICE, uuids.BATTERY_SERVICE),
        manufacturer_data={1: b"\x07"},
        tx_power_dbm=5,
        local_name="Tag",
    )


def test_a_name_that_is_cut_within_a_character_is_still_a_name() -> None:
    assert read(parse_ad, bytes.fromhex("0408 4765c3")).local_name == "Ge�"
    assert read(parse_ad, bytes.fromhex("0408 614100")).local_name == "aA"


def test_more_than_any_advertisement_carries_is_not_read() -> None:
    whole = bytes.fromhex("020106") * 550
    assert read(parse_ad, whole) == AdvertisementData(flags=6)
    reject = parse_ad(whole + b"\x00")
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.offset, len(reject.raw)) == (RejectReason.OVERLONG, 1650, 512)


def test_what_has_no_place_on_the_wire() -> None:
    with pytest.raises(EncodeError, match="at most 31 octets, got 41"):
        encode_ad(AdvertisementData(local_name="x" * 39))
    with pytest.raises(EncodeError, match="at most 254 octets"):
        encode_ad(AdvertisementData(local_name="x" * 300), max_octets=1650)
    with pytest.raises(EncodeError, match="tx_power_dbm"):
        encode_ad(AdvertisementData(tx_power_dbm=128))
    with pytest.raises(EncodeError, match="company id"):
        encode_ad(AdvertisementData(manufacturer_data={0x10000: b""}))


def test_uuids_have_one_form() -> None:
    assert uuids.expand_uuid(0x180F) == "0000180f-0000-1000-8000-00805f9b34fb" == uuids.BATTERY_SERVICE
    assert uuids.find_short_uuid(uuids.BATTERY_SERVICE.upper()) == 0x180F
    assert uuids.find_short_uuid(uuids.SMART_TAG_SERVICE) is None
    values = [value for name, value in vars(uuids).items() if isinstance(value, str) and value[8:9] == "-"]
    assert all(len(value) == 36 and value == value.lower() for value in values)
    assert len(set(values)) == len(values) - 1, "only the tag's clock is another one's"
