"""Faults of what a tag is heard as and of what it says, each seen through the bleak API as a driver sees it."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from rig.ble.bench import BleBench
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, COMPANY_ID, EVENT, PlainTag
from tests.ble_support import ble_bench, find, until

__all__ = ["ble_bench"]


@pytest.fixture
async def tag(ble_bench: BleBench) -> PlainTag:
    return await ble_bench.add(PlainTag(ble_bench.air, name="tag-1"))


class Heard:
    """What a scan hears, by address."""

    def __init__(self) -> None:
        self.rssi_dbm: list[int] = []
        self.counters: dict[str, list[int]] = {}

    def __call__(self, device: BLEDevice, advert: AdvertisementData) -> None:
        self.rssi_dbm.append(advert.rssi)
        if COMPANY_ID in advert.manufacturer_data:
            counter = int.from_bytes(advert.manufacturer_data[COMPANY_ID][2:4], "little")
            self.counters.setdefault(device.address, []).append(counter)


async def test_faded_tag_is_heard_more_weakly_and_less_often(ble_bench: BleBench, tag: PlainTag) -> None:
    heard = Heard()
    await ble_bench.fault("fade", tag="tag-1", by_db=30.0)
    async with BleakScanner(heard):
        await until(lambda: len(heard.rssi_dbm) >= 5, "5 adverts")
        assert set(heard.rssi_dbm) == {-90}
        steps = [after - before for before, after in pairwise(heard.counters[tag.peripheral.address])]
        await ble_bench.clear("fade", tag="tag-1")
        await until(lambda: heard.rssi_dbm[-1] == -60, "full strength again")
    assert max(steps) > 1, "the weakest get lost"


async def test_repeated_adverts_are_many_on_the_air_and_one_to_a_driver(ble_bench: BleBench, tag: PlainTag) -> None:
    heard, on_air = Heard(), Counter[bytes]()
    ears = await ble_bench.add(PlainTag(ble_bench.air, name="ears", address="C0:DE:00:00:00:02"))
    await ears.peripheral.listen(
        lambda address, data, _rssi: on_air.update([data] * (address == tag.peripheral.address))
    )
    await ble_bench.fault("repeated_adverts", tag="tag-1", copies=3)
    async with BleakScanner(heard):
        await until(lambda: len(heard.counters.get(tag.peripheral.address, [])) >= 9, "9 callbacks")
    await ears.peripheral.stop_listening()
    assert max(on_air.values()) == 3
    counters = heard.counters[tag.peripheral.address]
    assert len(set(counters)) == len(counters)
    await ble_bench.clear("repeated_adverts", tag="tag-1")
    assert tag.peripheral.radio.copies == 1


async def test_new_address_is_another_device(ble_bench: BleBench, tag: PlainTag) -> None:
    before = tag.peripheral.address
    await find(tag)
    await ble_bench.fault("new_address", tag="tag-1")
    assert tag.peripheral.address != before
    async with BleakClient(await find(tag)) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])


async def test_clone_says_the_same_under_another_address(ble_bench: BleBench, tag: PlainTag) -> None:
    heard = Heard()
    await ble_bench.fault("clone", tag="tag-1", rssi_dbm=-50.0)
    async with BleakScanner(heard):
        await until(lambda: len(heard.counters) == 2, "two senders")
        address = tag.peripheral.address
        other = next(each for each in heard.counters if each != address)
        await until(lambda: bool(set(heard.counters[address]) & set(heard.counters[other])), "the same counter of both")
        assert -50 in heard.rssi_dbm
    await ble_bench.clear("clone", tag="tag-1")
    async with BleakScanner() as scanner:
        await until(lambda: address in scanner.discovered_devices_and_advertisement_data, "the tag alone")


async def test_clone_of_the_past_is_silent_until_it_has_one(ble_bench: BleBench, tag: PlainTag) -> None:
    heard = Heard()
    await ble_bench.fault("clone", tag="tag-1", delay_s=0.1)
    async with BleakScanner(heard):
        await until(lambda: len(heard.counters) == 2, "two senders")
        address = tag.peripheral.address
        other = next(each for each in heard.counters if each != address)
        await until(lambda: len(heard.counters[other]) >= 3, "three repetitions")
    assert heard.counters[other][-1] < heard.counters[address][-1]
    await ble_bench.clear("clone", tag="tag-1")


async def test_cut_values_are_short_reads_and_short_notifications(ble_bench: BleBench, tag: PlainTag) -> None:
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await ble_bench.fault("cut_values", tag="tag-1", length=0)
        assert await client.read_gatt_char(BATTERY_LEVEL) == b""
        await ble_bench.clear("cut_values", tag="tag-1")
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
        await ble_bench.fault("cut_values", tag="tag-1", length=2)
        await tag.peripheral.notify(tag.event, b"event")
        await until(lambda: told == [b"ev"], "a short notification")


@pytest.mark.parametrize("acts", [False, True])
async def test_broken_write_ends_the_link_and_acts_or_not(ble_bench: BleBench, tag: PlainTag, acts: bool) -> None:
    lost = asyncio.Event()
    await ble_bench.fault("broken_write", tag="tag-1", times=1, acts=acts)
    client = BleakClient(await find(tag), disconnected_callback=lambda _client: lost.set())
    await client.connect()
    with pytest.raises(BleakError):
        await client.write_gatt_char(COMMAND, b"once", response=True)
    await until(lost.is_set, "the end of the link")
    assert tag.commands == ([b"once"] if acts else [])
    async with BleakClient(await find(tag)) as again:
        await again.write_gatt_char(COMMAND, b"twice", response=True)
    assert tag.commands[-1] == b"twice"
