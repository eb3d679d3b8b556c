"""The driver of a smart tag against an emulated one, through bleak and an emulated BlueZ, when all is well."""

from devices.events import LinkState, PresenceEvent
from protocols.ble.smart_tag import WarnLevel
from protocols.reports import BatteryLevel, DeviceInformation, TagEvent, TagEventKind, TagMode, TagState
from rig.ble.bench import BleBench
from tests.ble_support import ble_bench
from tests.devices.smart_tag_bench import command, following, put_victim

__all__ = ["ble_bench"]


async def test_it_finds_its_tag_by_the_rolling_id_and_reads_it(ble_bench: BleBench) -> None:
    await put_victim(ble_bench, "stranger", key=bytes(16 * [9]), seed=5)
    await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        await followed.says(lambda: bool(followed.reports(DeviceInformation)), "the device information")
    assert followed.reports(PresenceEvent)[0].present
    assert followed.links[0].state is LinkState.UP and followed.links[0].detail == "smart tag"
    assert followed.reports(DeviceInformation)[0].model == "smart tag (emulated)"
    assert followed.reports(BatteryLevel)[0].battery_pct == 82
    assert followed.reports(TagState)[0].state is TagMode.IDLE
    assert TagEventKind.REBOOTED in {event.kind for event in followed.reports(TagEvent)}
    stamps = followed.events[0].stamps
    assert stamps.t_rx_mono_ns <= stamps.t_decoded_mono_ns
    health = followed.driver.health
    assert (health.link, health.present, health.radio.connected) == (LinkState.UP, True, 1)
    assert health.connect_ns is not None and health.rssi_dbm == -60


async def test_a_warning_is_written_started_acknowledged_and_stood_down(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        receipt = await followed.driver.warn(command(7))
        assert tag.firmware.level is WarnLevel.ALARM
        assert receipt.confirmed and receipt.warn_id == 7 and receipt.t_started_mono_ns is not None
        assert receipt.t_asked_mono_ns <= receipt.t_written_mono_ns
        await tag.press(0.02)
        await followed.says(
            lambda: TagEventKind.WARN_ACKED in {event.kind for event in followed.reports(TagEvent)}, "the answer"
        )
        receipt = await followed.driver.warn(command(8, WarnLevel.STAND_DOWN))
        assert receipt.warn_id == 8 and receipt.confirmed
        assert tag.firmware.level is WarnLevel.STAND_DOWN
    assert followed.driver.health.warnings.lost == 0


async def test_a_warning_asked_before_the_link_is_the_first_thing_written(ble_bench: BleBench) -> None:
    async with following() as followed:
        tag = await put_victim(ble_bench)
        receipt = await followed.driver.warn(command(7))
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM
    health = followed.driver.health
    assert health.first_warning_ns is not None and health.first_warning_ns < 1_000_000_000
