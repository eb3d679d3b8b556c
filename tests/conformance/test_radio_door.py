"""What every library that drives a radio keeps to, each with the real library over an emulated radio."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devices.ble_link import Advert, Characteristic, Link, RadioDoor
from devices.bleak_door import BleakDoor
from devices.errors import AttRefusedError, LinkAuthError, LinkFailedError, LinkLostError, RadioAbsentError
from devices.esphome_door import EsphomeDoor
from rig.ble.bench import BleBench
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, EVENT, SECRET, PlainTag
from tests.ble_support import ble_bench, until
from tests.devices.esphome_proxy import proxy_on
from tests.devices.smart_tag_bench import CLOCK

__all__ = ["ble_bench"]

DOORS = ("bleak", "esphome")
ALERT_LEVEL = "00002a06-0000-1000-8000-00805f9b34fb"
WITHIN_S = 3.0


@pytest.fixture(params=DOORS)
async def door(request: pytest.FixtureRequest, ble_bench: BleBench) -> AsyncIterator[RadioDoor]:
    if request.param == "bleak":
        yield BleakDoor("hci0", CLOCK, asyncio.Lock())
        return
    async with proxy_on(ble_bench.air) as proxy:
        remote = EsphomeDoor(f"esphome://127.0.0.1:{proxy.port}", CLOCK)
        yield remote
        await remote.close()


@pytest.fixture
async def tag(ble_bench: BleBench) -> PlainTag:
    return await ble_bench.add(PlainTag(ble_bench.air, name="tag-1"))


async def hear(door: RadioDoor, tag: PlainTag) -> Advert:
    """Listen until the tag is heard."""
    heard: list[Advert] = []
    scan = await door.start_scan(heard.append)
    await until(lambda: any(advert.address == tag.peripheral.address for advert in heard), "its advertisement")
    await scan.stop()
    return next(advert for advert in reversed(heard) if advert.address == tag.peripheral.address)


@pytest.fixture
async def link(door: RadioDoor, tag: PlainTag) -> AsyncIterator[Link]:
    made = await door.connect(await hear(door, tag), within_s=WITHIN_S)
    yield made
    await made.disconnect()


def find(link: Link, uuid: str) -> Characteristic:
    return next(each for each in link.characteristics if each.uuid == uuid)


async def test_an_advertisement_says_what_was_sent_and_when_it_came(door: RadioDoor, tag: PlainTag) -> None:
    advert = await hear(door, tag)
    assert advert.rssi_dbm == -60
    assert advert.data.local_name == "tag-1"
    assert "00001802-0000-1000-8000-00805f9b34fb" in advert.data.service_uuids
    assert set(advert.data.manufacturer_data) == {0xFFFF}
    assert 0 < advert.t_rx_mono_ns <= CLOCK.mono_ns()


async def test_counters_keep_coming_and_a_stopped_scan_is_silent(door: RadioDoor, tag: PlainTag) -> None:
    heard: list[Advert] = []
    scan = await door.start_scan(heard.append)
    await until(lambda: len({bytes(advert.data.manufacturer_data[0xFFFF]) for advert in heard}) >= 5, "five counters")
    await scan.stop()
    await scan.stop()
    n_heard = len(heard)
    sent = tag.adverts
    await until(lambda: tag.adverts >= sent + 10, "ten more advertisements")
    assert len(heard) <= n_heard + 1


async def test_characteristics_of_one_uuid_are_told_apart_by_service_and_handle(link: Link) -> None:
    both = [each for each in link.characteristics if each.uuid == ALERT_LEVEL]
    assert len({each.handle for each in both}) == len({each.service_uuid for each in both}) == 2
    handles = [each.handle for each in link.characteristics]
    assert handles == sorted(set(handles))
    assert "notify" in find(link, EVENT).properties


async def test_reads_writes_and_notifications(link: Link, tag: PlainTag) -> None:
    assert await link.read(find(link, BATTERY_LEVEL).handle, within_s=WITHIN_S) == bytes([87])
    await link.write(find(link, COMMAND).handle, b"with", response=True, within_s=WITHIN_S)
    assert tag.commands == [b"with"]
    await link.write(find(link, COMMAND).handle, b"without", response=False, within_s=WITHIN_S)
    await until(lambda: tag.commands[-1] == b"without", "the write without response")
    told: list[bytes] = []
    await link.subscribe(find(link, EVENT).handle, told.append, within_s=WITHIN_S)
    for k in range(3):
        await tag.peripheral.notify(tag.event, bytes([k]))
    await until(lambda: told == [b"\x00", b"\x01", b"\x02"], "the notifications, in order")


async def test_refusals_are_named(link: Link, tag: PlainTag) -> None:
    tag.peripheral.gatt.write_refusals[COMMAND] = 0x80
    with pytest.raises(AttRefusedError) as caught:
        await link.write(find(link, COMMAND).handle, b"x", response=True, within_s=WITHIN_S)
    assert caught.value.code == 0x80
    with pytest.raises(LinkAuthError):
        await link.read(find(link, SECRET).handle, within_s=WITHIN_S)
    assert not link.lost.is_set()


async def test_pairing_opens_what_was_closed(link: Link) -> None:
    await link.pair(passkey=None, within_s=WITHIN_S)
    assert await link.read(find(link, SECRET).handle, within_s=WITHIN_S) == b"secret"


async def test_a_refused_pairing_is_an_error_of_ours(ble_bench: BleBench, link: Link) -> None:
    await ble_bench.fault("pairing_refused", tag="tag-1")
    with pytest.raises((LinkAuthError, LinkLostError)):
        await link.pair(passkey=None, within_s=WITHIN_S)


async def test_no_answer_is_a_lost_link_by_the_deadline(link: Link, tag: PlainTag) -> None:
    tag.peripheral.gatt.read_delay_s = 60.0
    with pytest.raises(LinkLostError):
        await link.read(find(link, BATTERY_LEVEL).handle, within_s=0.1)
    tag.peripheral.gatt.read_delay_s = 0.0


async def test_a_link_that_breaks_is_told_and_refuses_everything(ble_bench: BleBench, link: Link) -> None:
    handle = find(link, BATTERY_LEVEL).handle
    await ble_bench.fault("link_loss", tag="tag-1")
    await until(link.lost.is_set, "the loss")
    with pytest.raises(LinkLostError):
        await link.read(handle, within_s=WITHIN_S)
    with pytest.raises(LinkLostError):
        await link.write(handle, b"x", response=True, within_s=WITHIN_S)


async def test_ending_a_link_is_idempotent_and_frees_the_tag(link: Link, tag: PlainTag) -> None:
    await link.disconnect()
    await link.disconnect()
    assert link.lost.is_set()
    await until(lambda: not tag.peripheral.connected, "the end at the tag")


async def test_a_tag_that_left_is_a_failed_connection_by_the_deadline(
    ble_bench: BleBench, door: RadioDoor, tag: PlainTag
) -> None:
    advert = await hear(door, tag)
    await ble_bench.fault("out_of_range", tag="tag-1")
    with pytest.raises(LinkFailedError):
        await door.connect(advert, within_s=0.3)


async def test_a_cancelled_attempt_leaves_nothing_behind(ble_bench: BleBench, door: RadioDoor, tag: PlainTag) -> None:
    advert = await hear(door, tag)
    await ble_bench.fault("out_of_range", tag="tag-1")
    attempt = asyncio.create_task(door.connect(advert, within_s=WITHIN_S))
    await asyncio.sleep(0)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    assert attempt.cancelled()
    await ble_bench.clear("out_of_range", tag="tag-1")
    link = await door.connect(await hear(door, tag), within_s=WITHIN_S)
    await link.disconnect()


async def test_forgetting_a_bond_asks_for_a_new_one(door: RadioDoor, tag: PlainTag, link: Link) -> None:
    await link.pair(passkey=None, within_s=WITHIN_S)
    await link.forget(within_s=WITHIN_S)
    await until(lambda: not tag.peripheral.connected, "the end of the link")
    again = await door.connect(await hear(door, tag), within_s=WITHIN_S)
    with pytest.raises(LinkAuthError):
        await again.read(find(again, SECRET).handle, within_s=WITHIN_S)
    await again.disconnect()


@pytest.mark.parametrize(
    "make", [lambda: BleakDoor("hci7", CLOCK, asyncio.Lock()), lambda: EsphomeDoor("esphome://127.0.0.1:1", CLOCK)]
)
async def test_a_radio_that_is_not_there_is_absent(ble_bench: BleBench, make: type[RadioDoor]) -> None:
    absent = make()
    with pytest.raises(RadioAbsentError):
        await absent.start_scan(lambda _: None)
    await absent.close()
