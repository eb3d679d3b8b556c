"""Whose advertisement it is, over the boundary of a slot and beside strangers."""

import pytest

from devices.ble_finder import TagFinder, find_tag_advert
from devices.ble_link import Advert
from protocols.ble import adverts
from protocols.ble.ad import AdvertisementData
from protocols.ble.adverts import COMPANY_ID, SLOT_NS, encode_beacon, encode_tag_advert, tag_ids

KEYS = [bytes([k]) * 16 for k in range(1, 101)]
SLOT = 2_000_000


def heard(data: bytes, *, address: str = "7A:00:00:00:00:01", slot: int = SLOT) -> Advert:
    return Advert(
        address=address,
        data=AdvertisementData(manufacturer_data={COMPANY_ID: data}),
        rssi_dbm=-60,
        t_rx_mono_ns=0,
        t_rx_utc_ns=slot * SLOT_NS + 1,
        receiver="hci0",
    )


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_tag_is_known_by_its_id_with_clocks_a_slot_apart(step: int) -> None:
    finder: TagFinder[int] = TagFinder()
    for k, key in enumerate(KEYS):
        finder.add(k, address=None, key=key)
    assert finder.find(heard(encode_tag_advert(KEYS[42], slot=SLOT + step, counter=1))) == 42


def test_two_slots_away_and_strangers_are_nobodys() -> None:
    finder: TagFinder[int] = TagFinder()
    finder.add(1, address=None, key=KEYS[1])
    assert finder.find(heard(encode_tag_advert(KEYS[1], slot=SLOT + 2, counter=1))) is None
    assert finder.find(heard(encode_tag_advert(KEYS[2], slot=SLOT, counter=1))) is None
    assert finder.find(heard(b"")) is None
    beacon = encode_beacon(KEYS[1], slot=SLOT, counter=1, strap_open=False, battery_pct=50)
    assert finder.find(heard(beacon)) is None and find_tag_advert(heard(beacon).data) is None


def test_the_ids_follow_the_slots() -> None:
    finder: TagFinder[int] = TagFinder()
    finder.add(1, address=None, key=KEYS[1])
    for slot in range(SLOT, SLOT + 5):
        assert finder.find(heard(encode_tag_advert(KEYS[1], slot=slot, counter=1), slot=slot)) == 1


def test_an_address_is_enough_and_a_removed_owner_is_gone() -> None:
    finder: TagFinder[int] = TagFinder()
    finder.add(1, address="C0:DE:00:00:00:01", key=KEYS[1])
    assert finder.find(heard(b"", address="C0:DE:00:00:00:01")) == 1
    advert = heard(encode_tag_advert(KEYS[1], slot=SLOT, counter=1))
    assert finder.find(advert) == 1
    finder.remove(1)
    assert finder.find(advert) is None
    assert finder.find(heard(b"", address="C0:DE:00:00:00:01")) is None


def test_ids_are_made_once_a_slot_however_much_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def counting(key: bytes, t_utc_ns: int) -> tuple[bytes, ...]:
        made.append(key)
        return tag_ids(key, t_utc_ns)

    monkeypatch.setattr("devices.ble_finder.tag_ids", counting)
    finder: TagFinder[int] = TagFinder()
    for k, key in enumerate(KEYS):
        finder.add(k, address=None, key=key)
    data = [encode_tag_advert(key, slot=SLOT, counter=1) for key in KEYS]
    assert [finder.find(heard(each)) for each in data * 3] == list(range(100)) * 3
    assert len(made) == len(KEYS)
    assert adverts.SLOT_S == 900
