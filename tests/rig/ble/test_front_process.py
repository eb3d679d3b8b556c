"""The bench in a process of its own: led by lines, ended with its parent, good for a hundred tags."""

import asyncio
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner

from rig.ble.bench_process import BleBenchProcess, pack, unpack
from rig.ble.errors import BenchProcessError
from rig.ble.plain_tag import BATTERY_LEVEL, COMMAND, EVENT
from rig.ble.snoop import read_snoop
from tests.ble_support import BUS_VARIABLE, find, until

PLAIN = "rig.ble.plain_tag:PlainTag"
ADDRESS = "C0:DE:00:00:00:01"


def test_bytes_travel_in_values_of_any_shape() -> None:
    value = {"a": [b"\x00\xff", 1, None, 2.5, "x", True], "b": {"c": b""}}
    assert unpack(pack(value)) == value
    assert pack(object()).startswith("<object")


async def test_a_bench_in_another_process_does_all_that_one_in_this_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with BleBenchProcess(tmp_path) as bench:
        monkeypatch.setenv(BUS_VARIABLE, bench.bus_address)
        assert await bench.add(PLAIN, name="tag-1", address=ADDRESS) == "tag-1"
        lost = asyncio.Event()
        told: list[bytes] = []
        client = BleakClient(await find(ADDRESS), disconnected_callback=lambda _client: lost.set())
        await client.connect()
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await bench.call("tag-1", "tell", value=b"event")
        await until(lambda: told == [b"event"], "the notification")
        await client.write_gatt_char(COMMAND, b"beep", response=True)
        assert await bench.get("tag-1", "commands") == [b"beep"]
        await bench.radio("tag-1", rssi_dbm=-77.0)
        await bench.fault("link_loss", tag="tag-1")
        await until(lost.is_set, "the end of the link")
        await bench.fault("read_refused", tag="tag-1", uuid=BATTERY_LEVEL)
        await bench.clear("read_refused", tag="tag-1")
        async with BleakScanner() as scanner:
            await until(lambda: bool(scanner.discovered_devices), "the tag")
            ((_, advert),) = scanner.discovered_devices_and_advertisement_data.values()
        assert advert.rssi == -77
        await bench.remove("tag-1")
        for wrong, text in (
            (bench.ask("dance"), "no command"),
            (bench.fault("no_such"), "there is no fault"),
            (bench.get("tag-1", "commands"), "no tag"),
            (bench.add("rig.ble.nothing:X"), "ModuleNotFoundError"),
        ):
            with pytest.raises(BenchProcessError, match=text):
                await wrong
        await bench.add(PLAIN, name="tag-2")
        for wrong in (bench.radio("tag-2", colour=1), bench.get("tag-2", "_advert")):
            with pytest.raises(BenchProcessError):
                await wrong
    assert len(list(read_snoop(tmp_path / "hci0.btsnoop"))) > 100
    with pytest.raises(BenchProcessError, match="not been started"):
        await bench.ask("get")


async def test_a_process_that_dies_is_told_with_its_log(tmp_path: Path) -> None:
    async with BleBenchProcess(tmp_path) as bench:
        assert bench._process is not None
        bench._process.kill()
        with pytest.raises(BenchProcessError, match=r"bench\.log|does not answer"):
            await bench.add(PLAIN)


async def test_forty_tags_are_found_and_ten_of_them_connected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with BleBenchProcess() as bench:
        monkeypatch.setenv(BUS_VARIABLE, bench.bus_address)
        for number in range(40):
            await bench.add(
                PLAIN, name=f"tag-{number}", address=f"C0:DE:00:00:00:{number:02X}", number=number, interval_s=0.1
            )
        async with BleakScanner() as scanner:
            await until(lambda: len(scanner.discovered_devices) == 40, "all tags")
            devices = scanner.discovered_devices[:10]
        clients = [BleakClient(device) for device in devices]
        await asyncio.gather(*(client.connect() for client in clients))
        assert await asyncio.gather(*(client.read_gatt_char(BATTERY_LEVEL) for client in clients)) == [b"W"] * 10
        await asyncio.gather(*(client.disconnect() for client in clients))
