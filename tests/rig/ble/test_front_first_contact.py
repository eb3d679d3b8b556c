"""A plain tag, found, connected, read, written and notified through the public bleak API alone."""

import asyncio

from bleak import BleakClient

from rig.ble.bench import BleBench
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, EVENT, PlainTag
from tests.ble_support import ble_bench, find, until

__all__ = ["ble_bench"]


async def test_a_tag_is_found_connected_read_written_and_notifies(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(PlainTag(ble_bench.air))
    lost = asyncio.Event()
    told: list[bytes] = []
    async with BleakClient(await find(tag), disconnected_callback=lambda _client: lost.set()) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
        await client.write_gatt_char(COMMAND, b"beep", response=True)
        assert tag.commands == [b"beep"]
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await tag.peripheral.notify(tag.event, b"event")
        await until(lambda: told == [b"event"], "the notification")
    await until(lost.is_set, "the end of the link")
    await until(lambda: not tag.peripheral.connected, "the end of the link at the tag")
