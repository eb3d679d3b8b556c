"""Faults of bluetoothd, adapter and bus, each seen through the bleak API as a driver sees it."""

import asyncio
import re
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
)

from rig.ble.bench import BleBench
from rig.ble.errors import FrontMisuseError
from rig.ble.faults import FAULTS, apply_fault
from rig.ble.plain_tag import BATTERY_LEVEL, PlainTag
from tests.ble_support import ble_bench, find, until

__all__ = ["ble_bench"]


@pytest.fixture
async def tag(ble_bench: BleBench) -> PlainTag:
    return await ble_bench.add(PlainTag(ble_bench.air, name="tag-1"))


def test_every_fault_of_the_catalogue_is_shown_by_a_test() -> None:
    folder = Path(__file__).parent
    shown = "".join(path.read_text() for path in folder.glob("test_faults_*.py"))
    named = set(re.findall(r'fault\("(\w+)"', shown)) | set(re.findall(r'^        \("(\w+)", \{', shown, re.MULTILINE))
    assert named == set(FAULTS)
    assert all(fault.what and fault.sees and fault.where for fault in FAULTS.values())


async def test_an_unknown_fault_tag_or_option_is_told_with_what_there_is(ble_bench: BleBench, tag: PlainTag) -> None:
    for wrong, text in (
        (apply_fault(ble_bench, "link_gain", None, {}), "link_loss"),
        (ble_bench.fault("link_loss"), "name the tag"),
        (ble_bench.fault("adapter_off", tag="tag-1"), "no fault of one tag"),
        (ble_bench.fault("slow_read", tag="tag-1", delay=3), "delay_s"),
        (ble_bench.fault("link_loss", tag="tag-9"), "tag-1"),
    ):
        with pytest.raises(FrontMisuseError, match=text):
            await wrong


async def test_connect_fails_as_it_is_told_to(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("connect_fails", text="le-connection-refused")
    with pytest.raises(BleakDBusError, match="le-connection-refused"):
        await BleakClient(device).connect()
    await ble_bench.clear("connect_fails")
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_connect_in_progress_is_an_error_of_its_own(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("connect_in_progress", times=1)
    with pytest.raises(BleakDBusError, match="InProgress"):
        await BleakClient(device).connect()
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_connect_aborted_is_tried_again_by_bleak_itself(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("connect_aborted", times=2)
    async with BleakClient(device) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
    assert ble_bench.front.devices.aborts == 0


async def test_connect_never_answers_ends_with_bleaks_timeout(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("connect_never_answers")
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=0.2).connect()
    await ble_bench.clear("connect_never_answers")
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_gatt_in_progress_only_makes_a_read_slow(ble_bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        await ble_bench.fault("gatt_in_progress", times=3)
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
    assert ble_bench.front.hooks.active[0].hits == 3


async def test_device_gone_is_not_found_until_it_is_heard_again(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("device_gone", tag="tag-1")
    with pytest.raises((BleakDeviceNotFoundError, BleakError), match="not found"):
        await BleakClient(device).connect()
    async with BleakClient(await find(tag)) as client:
        assert client.is_connected


async def test_services_never_resolve_ends_with_bleaks_timeout(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("services_never_resolve")
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=0.3).connect()
    await until(lambda: not tag.peripheral.connected, "the end of the half-made link")
    await ble_bench.clear("services_never_resolve")
    async with BleakClient(device) as client:
        assert client.is_connected


async def until_scan_tells(reason: BleakBluetoothNotAvailableReason | None) -> None:
    """Scan until it ends so; a scan that overtakes the adapter's signal meets the adapter as it is."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5.0
    told: BleakBluetoothNotAvailableReason | str | None = "nothing yet"
    while told is not reason:
        assert loop.time() < deadline, f"the scan told {told}, expected {reason}"
        await asyncio.sleep(0)
        try:
            await BleakScanner.discover(timeout=0.01)
            told = None
        except BleakBluetoothNotAvailableError as exc:
            told = exc.reason
        except BleakDBusError as exc:
            told = exc.dbus_error


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("adapter_off", BleakBluetoothNotAvailableReason.POWERED_OFF),
        ("adapter_unplugged", BleakBluetoothNotAvailableReason.NO_BLUETOOTH),
    ],
)
async def test_an_adapter_that_goes_is_told_with_its_reason(
    ble_bench: BleBench, tag: PlainTag, fault: str, reason: BleakBluetoothNotAvailableReason
) -> None:
    lost = asyncio.Event()
    client = BleakClient(await find(tag), disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await (ble_bench.fault("adapter_off") if fault == "adapter_off" else ble_bench.fault("adapter_unplugged"))
    await until(lost.is_set, "the end of the link")
    await until_scan_tells(reason)
    await ble_bench.clear(fault)
    await until_scan_tells(None)
    async with BleakClient(await find(tag)) as again:
        assert again.is_connected


async def test_bluetoothd_dead_answers_nothing_until_it_is_back(ble_bench: BleBench, tag: PlainTag) -> None:
    client = BleakClient(await find(tag))
    await client.connect()
    await ble_bench.fault("bluetoothd_dead")
    with pytest.raises(BleakDBusError, match="ServiceUnknown"):
        await client.read_gatt_char(BATTERY_LEVEL)
    with pytest.raises(BleakDBusError, match="ServiceUnknown"):
        await BleakScanner.discover(timeout=0.1)
    with pytest.raises(BleakDBusError, match="ServiceUnknown"):
        await client.disconnect()
    await ble_bench.clear("bluetoothd_dead")
    async with BleakClient(await find(tag)) as again:
        assert await again.read_gatt_char(BATTERY_LEVEL) == bytes([87])


async def test_bus_dropped_ends_links_and_the_next_connect_works(ble_bench: BleBench, tag: PlainTag) -> None:
    lost = asyncio.Event()
    device = await find(tag)
    client = BleakClient(device, disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("bus_dropped")
    await until(lost.is_set, "the callback")
    async with BleakClient(await find(tag)) as again:
        assert await again.read_gatt_char(BATTERY_LEVEL) == bytes([87])


async def test_a_client_that_loses_its_bus_finds_its_link_still_up(ble_bench: BleBench, tag: PlainTag) -> None:
    lost = asyncio.Event()
    device = await find(tag)
    client = BleakClient(device, disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("bus_dropped", links_stay=True)
    await until(lost.is_set, "the callback")
    assert tag.peripheral.connected
    async with BleakClient(device) as again:
        assert await again.read_gatt_char(BATTERY_LEVEL) == bytes([87])
    await until(lambda: not tag.peripheral.connected, "the end of the link")


async def test_bus_down_refuses_until_it_is_up_again(ble_bench: BleBench, tag: PlainTag) -> None:
    lost = asyncio.Event()
    client = BleakClient(await find(tag), disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("bus_down")
    await until(lost.is_set, "the callback")
    with pytest.raises(OSError):
        await BleakScanner.discover(timeout=0.1)
    await ble_bench.clear("bus_down")
    async with BleakClient(await find(tag)) as again:
        assert again.is_connected
