"""Links that a killed process left at the Bluetooth service: such a tag says nothing to a scan, and must be found."""

from bleak import BleakClient

from rig.ble.bench import BleBench
from tests.ble_support import ble_bench, find, until
from tests.devices.smart_tag_bench import CALM, TAG_KEY, command, following, put_victim

__all__ = ["ble_bench"]


async def test_tags_whose_links_outlived_a_killed_bridge_are_freed_found_and_warned(ble_bench: BleBench) -> None:
    keys = (TAG_KEY, bytes(15) + b"x")
    tags = [await put_victim(ble_bench, f"tag-{n}", key=key, seed=n) for n, key in enumerate(keys)]
    for tag in tags:
        await BleakClient(await find(tag)).connect()
    # what the kernel does to a killed process's sockets; bluetoothd keeps the links
    await ble_bench.fault("bus_dropped", links_stay=True)
    assert all(tag.peripheral.connected for tag in tags)
    async with following(timing=CALM) as followed:
        await followed.up()
        receipt = await followed.driver.warn(command(1))
        assert receipt.confirmed
        await until(lambda: not tags[1].peripheral.connected, "the freedom of a tag that is not ours")
