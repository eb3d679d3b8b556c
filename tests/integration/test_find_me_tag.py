"""A plain Find Me tag of the shops behind the same driver: told, never confirmed, known by its address."""

from devices.ble_target import BleTarget
from devices.events import PresenceEvent
from protocols.ble.smart_tag import WarnLevel
from protocols.reports import BatteryLevel, DeviceInformation, TagEvent, TagEventKind
from rig.ble.bench import BleBench
from rig.ble.find_me_tag import FindMeTag
from rig.ble.firmware.find_me import FindMeFirmware
from tests.ble_support import ble_bench, until
from tests.devices.smart_tag_bench import CALM, CLOCK, FAST, INTERVAL_S, command, following

__all__ = ["ble_bench"]

ADDRESS = "C0:DE:00:00:00:07"
TARGET = BleTarget(text=f"ble:{ADDRESS}", address=ADDRESS)


async def put(bench: BleBench) -> FindMeTag:
    tag = FindMeTag(
        bench.air, name="find-me", address=ADDRESS, firmware=FindMeFirmware(), clock=CLOCK, interval_s=INTERVAL_S
    )
    return await bench.add(tag)


async def test_each_level_reaches_the_two_services_that_share_a_characteristic(ble_bench: BleBench) -> None:
    tag = await put(ble_bench)
    async with following(TARGET, timing=CALM) as followed:
        await followed.up()
        told = []
        for warn_id, level in enumerate(WarnLevel):
            receipt = await followed.driver.warn(command(warn_id, level))
            assert not receipt.confirmed and receipt.t_started_mono_ns is None
            # A write without response is on its way when the call returns.
            expected = min(level, WarnLevel.ALARM)
            await until(lambda expected=expected: tag.firmware.level is expected, f"level {expected}")
            told.append((tag.firmware.level, tag.firmware.link_loss_level))
        await followed.says(lambda: bool(followed.reports(DeviceInformation)), "who it is")
    assert followed.links[0].detail == "Proximity tag"
    assert told == [(0, 0), (1, 1), (2, 2), (2, 2)]
    assert followed.reports(BatteryLevel)[0].battery_pct == 82
    assert followed.driver.health.warnings.unconfirmed == len(WarnLevel)


async def test_what_an_earlier_run_left_behind_does_not_sound_at_the_next_lost_link(ble_bench: BleBench) -> None:
    tag = await put(ble_bench)
    tag.firmware.write_link_loss(bytes([2]), 0)
    async with following(TARGET, timing=CALM) as followed:
        await followed.up()
        await until(lambda: tag.firmware.link_loss_level == 0, "the level that nobody stands for any more")


async def test_a_warning_stands_again_after_a_lost_link_unless_she_silenced_it(ble_bench: BleBench) -> None:
    tag = await put(ble_bench)
    async with following(TARGET, timing=CALM) as followed:
        await followed.says(lambda: bool(followed.reports(DeviceInformation)), "the whole of the set-up")
        await followed.driver.warn(command(1))
        await ble_bench.fault("link_loss", tag="find-me")
        await until(lambda: followed.driver.health.radio.connected == 2, "the return")
        await until(lambda: tag.firmware.level is WarnLevel.ALARM, "the warning after the return")
        await followed.says(lambda: len(followed.reports(DeviceInformation)) == 2, "the whole of the second set-up")
        tag.press()
        await followed.says(lambda: bool(followed.reports(TagEvent)), "the button")
        await ble_bench.fault("link_loss", tag="find-me")
        await until(lambda: followed.driver.health.radio.connected == 3, "the second return")
        await followed.says(lambda: len(followed.reports(DeviceInformation)) == 3, "the whole of the third set-up")
        assert tag.firmware.level is WarnLevel.STAND_DOWN
    assert followed.reports(TagEvent)[0].kind is TagEventKind.BUTTON
    assert followed.driver.health.warnings.written == 2


async def test_a_constant_advertisement_is_enough_to_find_it_and_its_link_to_keep_it_present(
    ble_bench: BleBench,
) -> None:
    await put(ble_bench)
    async with following(TARGET) as followed:
        await followed.up()
        n_values = followed.driver.health.radio.values
        await followed.says(lambda: followed.driver.health.radio.values > n_values, "an answer on the link")
        await ble_bench.fault("out_of_range", tag="find-me")
        await followed.says(lambda: not followed.reports(PresenceEvent)[-1].present, "absence")
        await ble_bench.clear("out_of_range", tag="find-me")
        await followed.up()
    assert [event.present for event in followed.reports(PresenceEvent)] == [True, False, True]


async def test_a_tag_that_says_nothing_on_its_link_is_present_as_long_as_it_answers(ble_bench: BleBench) -> None:
    await put(ble_bench)
    async with following(TARGET) as followed:
        await followed.up()
        # On a link it advertises nothing, and its battery does not change: only what is asked proves that it is there.
        long_enough_ns = CLOCK.mono_ns() + round(2 * FAST.presence_s * 1e9)
        await followed.says(
            lambda: (followed.driver.health.last_rx_mono_ns or 0) > long_enough_ns, "an answer after the limit"
        )
    assert [event.present for event in followed.reports(PresenceEvent)] == [True]
