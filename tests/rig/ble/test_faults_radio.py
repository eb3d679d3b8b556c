"""Faults of tag and air, each seen through the bleak API as a driver sees it."""

import asyncio

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from rig.ble.bench import BleBench
from rig.ble.front.options import FrontOptions
from rig.ble.pairing import Pairing
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, COMPANY_ID, EVENT, SEALED, SECRET, PlainTag
from tests.ble_support import ble_bench, find, until

__all__ = ["ble_bench"]


@pytest.fixture
async def tag(ble_bench: BleBench) -> PlainTag:
    return await ble_bench.add(PlainTag(ble_bench.air, name="tag-1"))


class Heard:
    """What a scan hears."""

    def __init__(self) -> None:
        self.counters: list[int] = []
        self.rssi_dbm: list[int] = []

    def __call__(self, _device: BLEDevice, advert: AdvertisementData) -> None:
        self.counters.append(int.from_bytes(advert.manufacturer_data[COMPANY_ID][2:4], "little"))
        self.rssi_dbm.append(advert.rssi)


async def test_rssi_noise_scatters_what_callbacks_tell(ble_bench: BleBench, tag: PlainTag) -> None:
    heard = Heard()
    await ble_bench.fault("rssi_noise", tag="tag-1", rssi_dbm=-75.0, sigma_db=6.0)
    async with BleakScanner(heard):
        await until(lambda: len(heard.rssi_dbm) >= 20, "20 adverts")
    assert len(set(heard.rssi_dbm)) > 5
    assert -80 < sum(heard.rssi_dbm) / len(heard.rssi_dbm) < -70
    await ble_bench.clear("rssi_noise", tag="tag-1")
    assert tag.peripheral.radio.rssi_sigma_db == 0.0


async def test_lost_adverts_leave_gaps_in_the_counter(ble_bench: BleBench, tag: PlainTag) -> None:
    heard = Heard()
    await ble_bench.fault("lost_adverts", tag="tag-1", loss=0.5)
    async with BleakScanner(heard):
        await until(lambda: len(heard.counters) >= 10, "10 adverts")
    steps = [after - before for before, after in zip(heard.counters, heard.counters[1:], strict=False)]
    assert max(steps) > 1


async def test_out_of_range_a_tag_is_not_found_and_its_link_ends(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    lost = asyncio.Event()
    client = BleakClient(device, disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("out_of_range", tag="tag-1")
    with pytest.raises(BleakError):
        await client.read_gatt_char(BATTERY_LEVEL)
    await until(lost.is_set, "the supervision timeout")
    await until(lambda: not tag.peripheral.connected, "the supervision timeout at the tag")
    assert await BleakScanner.find_device_by_filter(lambda _device, _advert: False, timeout=0.1) is None
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=0.2).connect()
    await ble_bench.clear("out_of_range", tag="tag-1")
    async with BleakClient(device) as again:
        assert await again.read_gatt_char(BATTERY_LEVEL) == bytes([87])


async def test_a_short_loss_of_range_delays_but_loses_nothing(ble_bench: BleBench, tag: PlainTag) -> None:
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await ble_bench.fault("out_of_range", tag="tag-1")
        await tag.peripheral.notify(tag.event, b"kept")
        await ble_bench.clear("out_of_range", tag="tag-1")
        await until(lambda: told == [b"kept"], "the notification after the gap")
        assert client.is_connected


async def test_link_loss_ends_a_read_in_flight(ble_bench: BleBench, tag: PlainTag) -> None:
    lost = asyncio.Event()
    client = BleakClient(await find(tag), disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("slow_read", tag="tag-1", delay_s=5.0)
    read = asyncio.create_task(client.read_gatt_char(BATTERY_LEVEL))
    await until(lambda: tag.peripheral.gatt.reads == 1, "the request at the tag")
    await ble_bench.fault("link_loss", tag="tag-1")
    with pytest.raises(BleakError, match=r"Not connected|disconnected"):
        await read
    await until(lost.is_set, "the callback")


async def test_connect_lost_ends_before_services_are_found(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("connect_lost", tag="tag-1")
    with pytest.raises((BleakError, TimeoutError)):
        await BleakClient(device, timeout=0.5).connect()
    assert not tag.peripheral.connected
    await ble_bench.clear("connect_lost", tag="tag-1")
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_slow_link_takes_two_intervals_for_a_write(ble_bench: BleBench, tag: PlainTag) -> None:
    loop = asyncio.get_running_loop()
    async with BleakClient(await find(tag)) as client:
        await ble_bench.fault("slow_link", tag="tag-1", delay_s=0.03)
        start = loop.time()
        await client.write_gatt_char(COMMAND, b"x", response=True)
        assert loop.time() - start >= 0.06


async def test_tag_disconnects_is_told_at_once(ble_bench: BleBench, tag: PlainTag) -> None:
    lost = asyncio.Event()
    device = await find(tag)
    client = BleakClient(device, disconnected_callback=lambda _client: lost.set())
    await client.connect()
    await ble_bench.fault("tag_disconnects", tag="tag-1")
    await until(lost.is_set, "the callback")
    async with BleakClient(device) as again:
        assert again.is_connected


async def test_tag_silent_cannot_be_connected(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    await ble_bench.fault("tag_silent", tag="tag-1")
    with pytest.raises(TimeoutError):
        await BleakClient(device, timeout=0.2).connect()
    await ble_bench.clear("tag_silent", tag="tag-1")
    async with BleakClient(device) as client:
        assert client.is_connected


async def test_slow_read_of_an_old_link_never_answers_on_the_next_one(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    client = BleakClient(device)
    await client.connect()
    await ble_bench.fault("slow_read", tag="tag-1", delay_s=0.1)
    read = asyncio.create_task(client.read_gatt_char(BATTERY_LEVEL))
    await until(lambda: tag.peripheral.gatt.reads == 1, "the request at the tag")
    await ble_bench.fault("link_loss", tag="tag-1")
    with pytest.raises(BleakError):
        await read
    await ble_bench.clear("slow_read", tag="tag-1")
    tag.battery_pct = 12
    loop = asyncio.get_running_loop()
    async with BleakClient(device) as again:
        over = loop.time() + 0.12
        while loop.time() < over:
            assert await again.read_gatt_char(COMMAND) == b""
        assert await again.read_gatt_char(BATTERY_LEVEL) == bytes([12])


async def test_slow_write_answers_late(ble_bench: BleBench, tag: PlainTag) -> None:
    loop = asyncio.get_running_loop()
    async with BleakClient(await find(tag)) as client:
        await ble_bench.fault("slow_write", tag="tag-1", delay_s=0.1)
        start = loop.time()
        await client.write_gatt_char(COMMAND, b"x", response=True)
        assert loop.time() - start >= 0.1


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        ("cut_notifications", {"length": 2}, [b"on", b"tw", b"th"]),
        ("dropped_notifications", {"count": 2}, [b"three"]),
    ],
)
async def test_notifications_are_damaged(
    ble_bench: BleBench, tag: PlainTag, fault: str, options: dict[str, int], expected: list[bytes]
) -> None:
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await ble_bench.fault(fault, tag="tag-1", **options)
        for value in (b"one", b"two", b"three"):
            await tag.peripheral.notify(tag.event, value)
        await until(lambda: len(told) == len(expected), "the notifications")
        await ble_bench.clear(fault, tag="tag-1")
        await tag.peripheral.notify(tag.event, b"whole")
        await until(lambda: told[-1] == b"whole", "a whole notification")
    assert told == [*expected, b"whole"]


async def test_read_refused_tells_the_att_code(ble_bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        await ble_bench.fault("read_refused", tag="tag-1", uuid=BATTERY_LEVEL, code=0x81)
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.read_gatt_char(BATTERY_LEVEL)
        assert int(caught.value.code) == 0x81
        await ble_bench.clear("read_refused", tag="tag-1")
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])


async def test_write_refused_tells_the_att_code(ble_bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        await ble_bench.fault("write_refused", tag="tag-1", uuid=COMMAND)
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.write_gatt_char(COMMAND, b"x", response=True)
        assert int(caught.value.code) == 0x80
    assert tag.commands == []


async def test_needs_encryption_until_it_is_paired(ble_bench: BleBench, tag: PlainTag) -> None:
    await ble_bench.fault("needs_encryption", tag="tag-1", uuid=BATTERY_LEVEL)
    async with BleakClient(await find(tag)) as client:
        with pytest.raises(BleakDBusError, match="Not paired"):
            await client.read_gatt_char(BATTERY_LEVEL)
        await client.pair()
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
        assert await client.read_gatt_char(SECRET) == b"secret"
        with pytest.raises(BleakDBusError, match="Not paired"):
            await client.read_gatt_char(SEALED)


async def test_pairing_refused_is_an_authentication_failure(ble_bench: BleBench, tag: PlainTag) -> None:
    await ble_bench.fault("pairing_refused", tag="tag-1")
    async with BleakClient(await find(tag)) as client:
        with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
            await client.pair()
        await ble_bench.clear("pairing_refused", tag="tag-1")
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"


@pytest.mark.parametrize("ble_bench", [FrontOptions(system_passkey=123456)], indirect=True)
async def test_wrong_passkey_fails_and_the_right_one_seals(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(PlainTag(ble_bench.air, name="tag-1", pairing=Pairing.PASSKEY, passkey=123456))
    await ble_bench.fault("wrong_passkey")
    async with BleakClient(await find(tag)) as client:
        with pytest.raises(BleakDBusError, match="AuthenticationFailed"):
            await client.pair()
        await ble_bench.clear("wrong_passkey")
        await client.pair()
        assert await client.read_gatt_char(SEALED) == b"sealed"


async def test_bond_lost_fails_until_the_device_is_removed(ble_bench: BleBench, tag: PlainTag) -> None:
    device = await find(tag)
    async with BleakClient(device) as client:
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
    async with BleakClient(device) as client:
        assert await client.read_gatt_char(SECRET) == b"secret", "a bonded link is encrypted from its start"
    await ble_bench.fault("bond_lost", tag="tag-1")
    with pytest.raises((BleakError, TimeoutError)):
        await BleakClient(device, timeout=1.0).connect()
    await BleakClient(device).unpair()
    async with BleakClient(await find(tag)) as client:
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
