"""A tag whose Bluetooth stack talks HCI over a port, as with a dongle: the same tag, the same driver."""

from bleak import BleakClient, BleakScanner

from rig.ble.bench import BleBench
from rig.ble.hci_port import offer_controller, open_hci_port
from rig.ble.plain_tag import BATTERY_LEVEL, COMPANY_ID, EVENT, SECRET, PlainTag
from tests.ble_support import ble_bench, find, until
from tests.support import free_port

__all__ = ["ble_bench"]


async def test_a_tag_on_an_hci_port_is_the_same_to_a_driver(ble_bench: BleBench) -> None:
    number = free_port()
    controller = await offer_controller(ble_bench.air, "dongle", f"tcp-server:127.0.0.1:{number}")
    port = await open_hci_port(f"tcp-client:127.0.0.1:{number}")
    tag = PlainTag(port, name="tag-1")
    await tag.start()
    counters: set[int] = set()

    def note(_device: object, advert: object) -> None:
        counters.add(int.from_bytes(advert.manufacturer_data[COMPANY_ID][2:4], "little"))  # type: ignore[attr-defined]

    async with BleakScanner(note):
        await until(lambda: len(counters) >= 4, "adverts that change")
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([87])
        await client.start_notify(EVENT, lambda _characteristic, value: told.append(bytes(value)))
        await tag.tell(b"event")
        await until(lambda: told == [b"event"], "the notification")
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
    await until(lambda: not tag.peripheral.connected, "the end of the link")
    await tag.peripheral.set_address("C0:DE:00:00:00:55")
    assert (await find("C0:DE:00:00:00:55")).name == "tag-1"
    await tag.stop()
    await port.close()
    await controller.close()


async def test_the_adapter_on_an_hci_port_serves_the_same_front() -> None:
    async with BleBench() as tags:
        number = free_port()
        controller = await offer_controller(tags.air, "dongle", f"tcp-server:127.0.0.1:{number}")
        tag = await tags.add(PlainTag(tags.air, name="tag-1"))
        async with BleBench(hci=f"tcp-client:127.0.0.1:{number}") as bench:
            link = await bench.front.radio.connect(tag.peripheral.address, timeout_s=5)
            services = await link.discover()
            battery = next(c for s in services for c in s.characteristics if c.uuid == BATTERY_LEVEL)
            assert await link.read(battery.handle) == bytes([87])
            await link.disconnect()
        await controller.close()
