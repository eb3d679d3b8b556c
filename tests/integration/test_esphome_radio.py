"""The same driver through an ESPHome Bluetooth proxy in another room."""

from dataclasses import replace

from devices.ble_link import Advert
from devices.ble_scan import scan_tags
from devices.ble_target import BleTarget, Pairing
from protocols.ble.smart_tag import WarnLevel
from protocols.reports import TagEvent, TagEventKind
from rig.ble.bench import BleBench
from tests.ble_support import ble_bench
from tests.devices.esphome_proxy import EsphomeProxy, proxy_on
from tests.devices.smart_tag_bench import CALM, TAG_KEY, command, following, put_victim, radio_on

__all__ = ["ble_bench"]


def through(proxy: EsphomeProxy) -> BleTarget:
    adapter = f"esphome://127.0.0.1:{proxy.port}"
    return BleTarget(text=f"ble:rolling?key_file=tag.key&adapter={adapter}", key=TAG_KEY, adapter=adapter)


async def test_a_tag_in_another_room_is_heard_connected_and_warned(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with proxy_on(ble_bench.air) as proxy, following(through(proxy), timing=CALM) as followed:
        await followed.up()
        receipt = await followed.driver.warn(command(1))
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM
        await tag.press(0.02)
        await followed.says(
            lambda: TagEventKind.WARN_ACKED in {event.kind for event in followed.reports(TagEvent)}, "the answer"
        )
    assert followed.driver.health.rssi_dbm == -60


async def test_each_hop_of_an_advertisement_is_stamped(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    heard: list[Advert] = []
    async with proxy_on(ble_bench.air) as proxy, radio_on() as radio:
        adapter = through(proxy).adapter
        stop = radio.listen(adapter, heard.append, lambda _is_up, _detail: None)
        found = await scan_tags(radio, adapter=adapter, listen_s=0.5)
        stop()
    assert len(found.tags) == 1 and heard
    assert all(advert.receiver == adapter for advert in heard)
    assert all((advert.t_receiver_mono_ns or 0) <= advert.t_rx_mono_ns for advert in heard)
    assert all(advert.t_receiver_mono_ns is not None for advert in heard)


async def test_a_lost_link_and_a_lost_proxy_are_made_anew(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with proxy_on(ble_bench.air) as proxy, following(through(proxy), timing=CALM) as followed:
        await followed.up()
        await ble_bench.fault("link_loss", tag="tag-1")
        await followed.says(lambda: followed.driver.health.radio.connected == 2, "the second link")
        await followed.driver.warn(command(1))
        proxy.hang_up()
        await followed.says(lambda: followed.driver.health.radio.connected == 3, "the third link", within_s=30)
        receipt = await followed.driver.warn(command(2, WarnLevel.CONTACT))
        assert receipt.confirmed and tag.firmware.level is WarnLevel.CONTACT


async def test_a_proxy_cannot_give_a_passkey_and_no_keys_are_sent(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench, passkey=471100)
    async with proxy_on(ble_bench.air) as proxy:
        target = replace(through(proxy), pair=Pairing.MITM, passkey=471100)
        async with following(target, timing=CALM) as followed:
            await followed.says(
                lambda: any("cannot be given a passkey" in link.detail for link in followed.links), "it"
            )
            assert (await followed.driver.warn(command(1))).confirmed
            assert tag.firmware.level is WarnLevel.ALARM
    assert TagEventKind.KEYS_SET not in {event.kind for event in followed.reports(TagEvent)}


async def test_a_node_that_is_no_proxy_and_one_that_is_not_there_are_named(ble_bench: BleBench) -> None:
    async with proxy_on(ble_bench.air, features=0) as proxy, radio_on() as radio:
        found = await scan_tags(radio, adapter=through(proxy).adapter, listen_s=5)
        port = proxy.port
    assert "no Bluetooth proxy with connections" in (found.problem or "")
    async with radio_on() as radio:
        found = await scan_tags(radio, adapter=f"esphome://127.0.0.1:{port}", listen_s=5)
    assert f"esphome://127.0.0.1:{port}" in (found.problem or "")
