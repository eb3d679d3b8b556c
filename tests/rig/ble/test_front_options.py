"""Options of the emulated bluetoothd: each where real ones differ from each other."""

import asyncio

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDBusError

from rig.ble.bench import BleBench
from rig.ble.front.options import FrontOptions
from rig.ble.pairing import Pairing
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, EVENT, SEALED, PlainTag
from tests.ble_support import ble_bench, find, until

__all__ = ["ble_bench"]


def other(bench: BleBench, number: int, **more: object) -> PlainTag:
    return PlainTag(bench.air, name=f"tag-{number}", address=f"C0:DE:00:00:00:{number:02X}", number=number, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("ble_bench", [FrontOptions(connection_limit=2)], indirect=True)
async def test_a_connection_beyond_the_limit_is_refused_until_one_ends(ble_bench: BleBench) -> None:
    tags = [await ble_bench.add(other(ble_bench, number)) for number in (1, 2, 3)]
    devices = [await find(tag) for tag in tags]
    one, two = BleakClient(devices[0]), BleakClient(devices[1])
    await one.connect()
    await two.connect()
    with pytest.raises(BleakDBusError, match="concurrent-connection-limit"):
        await BleakClient(devices[2]).connect()
    await one.disconnect()
    async with BleakClient(devices[2]) as three:
        assert three.is_connected
    await two.disconnect()


@pytest.mark.parametrize(
    ("ble_bench", "stale"), [(FrontOptions(cached_gatt=True), True), (FrontOptions(), False)], indirect=["ble_bench"]
)
async def test_services_that_are_cached_are_stale_after_a_firmware_update(ble_bench: BleBench, stale: bool) -> None:
    tag = await ble_bench.add(other(ble_bench, 1))
    async with BleakClient(await find(tag)) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
    await ble_bench.remove("tag-1")
    updated = PlainTag(ble_bench.air, name="tag-1", address="C0:DE:00:00:00:01", services_before=2)
    await ble_bench.add(updated)
    async with BleakClient(await find(updated)) as client:
        value = await client.read_gatt_char(BATTERY_LEVEL)
        assert value == (b"\x0f\x18" if stale else bytes([87])), "the old handle is another attribute now"
    if stale:
        await BleakClient(await find(updated)).unpair()
        async with BleakClient(await find(updated)) as client:
            assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])


@pytest.mark.parametrize("ble_bench", [FrontOptions(temporary_s=0.4)], indirect=True)
async def test_a_device_that_is_not_heard_any_more_is_removed_but_not_a_connected_one(ble_bench: BleBench) -> None:
    gone, held = await ble_bench.add(other(ble_bench, 1)), await ble_bench.add(other(ble_bench, 2))
    await find(gone)
    client = BleakClient(await find(held))
    await client.connect()
    objects = ble_bench.front.tree.objects
    path = "/org/bluez/hci0/dev_C0_DE_00_00_00_01"
    await until(lambda: path not in objects, "the removal")
    assert client.is_connected
    await client.disconnect()


@pytest.mark.parametrize("ble_bench", [FrontOptions(duplicate_filter=True)], indirect=True)
async def test_a_filtering_controller_tells_a_constant_advert_once_whatever_its_rssi(ble_bench: BleBench) -> None:
    constant = await ble_bench.add(other(ble_bench, 1, counting=False))
    counting = await ble_bench.add(other(ble_bench, 2))
    constant.peripheral.radio.rssi_sigma_db = 8.0
    heard: dict[str, int] = {}
    async with BleakScanner(lambda device, _advert: heard.update({device.address: heard.get(device.address, 0) + 1})):
        await until(lambda: heard.get(counting.peripheral.address, 0) >= 10, "ten adverts")
    assert heard[constant.peripheral.address] == 1


@pytest.mark.parametrize("ble_bench", [FrontOptions(rssi_delta_db=8)], indirect=True)
async def test_small_changes_of_rssi_are_kept_where_steps_are_asked_for(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(other(ble_bench, 1, counting=False))
    heard: list[int] = []
    async with BleakScanner(lambda _device, advert: heard.append(advert.rssi)):
        await until(lambda: heard == [-60], "the first advert")
        tag.peripheral.radio.rssi_dbm = -65
        adverts = tag.adverts
        await until(lambda: tag.adverts >= adverts + 5, "five adverts")
        tag.peripheral.radio.rssi_dbm = -70
        await until(lambda: heard == [-60, -70], "the step")


@pytest.mark.parametrize("ble_bench", [FrontOptions(system_passkey=707070)], indirect=True)
async def test_a_bonded_tag_is_known_under_each_of_its_private_addresses(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(other(ble_bench, 1, pairing=Pairing.PASSKEY, passkey=707070))
    await tag.peripheral.set_address(tag.peripheral.private_address())
    first = tag.peripheral.address
    client = BleakClient(await find(tag), pair=True)
    await client.connect()
    assert client.address == "C0:DE:00:00:00:01", "pairing tells who is behind the address"
    assert await client.read_gatt_char(SEALED) == b"sealed"
    await client.disconnect()
    await tag.peripheral.set_address(tag.peripheral.private_address())
    assert tag.peripheral.address != first
    async with BleakClient(await find("C0:DE:00:00:00:01")) as again:
        assert await again.read_gatt_char(SEALED) == b"sealed"


async def test_an_address_that_rotates_while_connected_leaves_the_link_alone(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(other(ble_bench, 1))
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await tag.peripheral.set_address("C0:DE:00:00:00:99")
        await tag.peripheral.notify(tag.event, b"still here")
        await until(lambda: told == [b"still here"], "the notification")
        await client.write_gatt_char(COMMAND, b"ack", response=True)
    device = await find("C0:DE:00:00:00:99")
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_many_connects_at_once_all_succeed(ble_bench: BleBench) -> None:
    tags = [await ble_bench.add(other(ble_bench, number)) for number in range(1, 16)]
    async with BleakScanner() as scanner:
        await until(lambda: len(scanner.discovered_devices) == len(tags), "all tags")
        devices = scanner.discovered_devices
    clients = [BleakClient(device) for device in devices]
    await asyncio.gather(*(client.connect() for client in clients))
    values = await asyncio.gather(*(client.read_gatt_char(BATTERY_LEVEL) for client in clients))
    assert values == [bytes([87])] * len(tags)
    await asyncio.gather(*(client.disconnect() for client in clients))


async def test_an_absent_tag_does_not_hold_up_the_others(ble_bench: BleBench) -> None:
    absent, present = await ble_bench.add(other(ble_bench, 1)), await ble_bench.add(other(ble_bench, 2))
    gone, here = await find(absent), await find(present)
    await ble_bench.fault("out_of_range", tag="tag-1")
    late = BleakClient(gone, timeout=5)
    waiting = asyncio.create_task(late.connect())
    await until(lambda: bool(ble_bench.front.devices.connecting), "the attempt")
    async with BleakClient(here) as client:
        assert client.is_connected
    assert not waiting.done()
    await ble_bench.clear("out_of_range", tag="tag-1")
    await waiting
    await late.disconnect()
