"""Every fault of the emulated radio against the driver: no hang, no lost warning without a word, recovery by itself."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from devices.ble_target import BleTarget, Pairing
from devices.errors import WarnLoss, WarnLostError
from devices.events import DeviceEvent, LinkState, PresenceEvent
from devices.smart_tag import SmartTag, WarnReceipt
from protocols.ble import uuids
from protocols.ble.smart_tag import WarnLevel
from protocols.rejects import Reject, RejectReason
from protocols.reports import TagEvent, TagEventKind, TagState
from rig.ble.bench import BleBench
from rig.ble.faults import FAULTS
from rig.ble.firmware.buzzer import BuzzCause
from rig.ble.front.options import FrontOptions
from rig.ble.victim import VictimTag
from rig.faults.apply import AIR_FAULTS
from tests.ble_support import ble_bench, until
from tests.devices.smart_tag_bench import (
    CALM,
    CLOCK,
    PASSKEY,
    PATIENT,
    ROLLING,
    SECURED,
    TAG_KEY,
    Followed,
    command,
    following,
    put_victim,
    radio_on,
    running,
)

__all__ = ["ble_bench"]

BONDED = BleTarget(text="ble:rolling?key_file=tag.key&pair=bond", key=TAG_KEY, pair=Pairing.BOND)


async def warned(driver: SmartTag, tag: VictimTag, warn_id: int) -> WarnReceipt:
    """Warn, and see at the tag that it does."""
    receipt = await driver.warn(command(warn_id))
    assert receipt.confirmed and receipt.warn_id == warn_id
    assert tag.firmware.level is WarnLevel.ALARM
    return receipt


async def loss_of(driver: SmartTag, warn_id: int) -> WarnLoss:
    with pytest.raises(WarnLostError) as caught:
        await driver.warn(command(warn_id))
    assert str(warn_id) in str(caught.value)
    return caught.value.reason


# --- the link -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["link_loss", "tag_disconnects"])
async def test_a_link_that_ends_is_made_anew_and_warns(ble_bench: BleBench, fault: str) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault(fault, tag="tag-1")
        await followed.says(lambda: followed.has_lost("the connection broke"), "the loss")
        await followed.up()
        await warned(followed.driver, tag, 1)
    back = next(link for link in followed.links[2:] if link.state is LinkState.UP)
    assert back.gap_ns is not None and 0 < back.gap_ns < 2_000_000_000
    assert followed.driver.health.radio.lost == 1


async def test_a_warning_under_way_when_the_link_breaks_reaches_the_tag_on_the_next(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault("slow_link", tag="tag-1", delay_s=0.05)
        warning = asyncio.create_task(followed.driver.warn(command(1)))
        await asyncio.sleep(0)
        await ble_bench.fault("link_loss", tag="tag-1")
        await ble_bench.clear("slow_link", tag="tag-1")
        receipt = await warning
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM
        first_warning_ns = followed.driver.health.first_warning_ns
    assert first_warning_ns is None or first_warning_ns < 1_000_000_000


async def test_out_of_range_is_absence_a_reported_loss_and_a_late_warning_on_return(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        await ble_bench.fault("out_of_range", tag="tag-1")
        await followed.says(followed.is_lost, "the loss")
        assert await loss_of(followed.driver, 1) is WarnLoss.OUT_OF_RANGE
        await followed.says(lambda: not followed.reports(PresenceEvent)[-1].present, "absence")
        assert tag.firmware.level is WarnLevel.STAND_DOWN
        await ble_bench.clear("out_of_range", tag="tag-1")
        await followed.says(lambda: tag.firmware.level is WarnLevel.ALARM, "the late warning")
        await followed.says(lambda: followed.reports(PresenceEvent)[-1].present, "presence")
        await followed.says(
            lambda: any(
                event.kind is TagEventKind.WARN_STARTED and event.warn_id == 1 for event in followed.reports(TagEvent)
            ),
            "the tag's word that it warns",
        )
    health = followed.driver.health
    assert (health.warnings.lost, health.warnings.confirmed) == (1, 1)


async def test_half_of_the_advertisements_lost_is_still_presence(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    await ble_bench.fault("lost_adverts", tag="tag-1", loss=0.5)
    async with following(timing=CALM) as followed:
        await followed.up()
        await warned(followed.driver, tag, 1)
    assert all(event.present for event in followed.reports(PresenceEvent))


async def test_noise_in_the_strength_is_not_presence_by_itself(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    await ble_bench.fault("rssi_noise", tag="tag-1", rssi_dbm=-75.0, sigma_db=6.0)
    async with following(timing=PATIENT) as followed:
        await followed.up()
    assert followed.driver.health.rssi_dbm is not None
    assert followed.driver.health.radio.adverts_new <= followed.driver.health.radio.adverts


async def test_connection_requests_that_get_lost_are_repeated(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    await ble_bench.fault("connect_lost", tag="tag-1", loss=1.0)
    async with following(timing=PATIENT) as followed:
        await followed.says(lambda: followed.driver.health.radio.connect_failures >= 1, "a failed attempt")
        await ble_bench.clear("connect_lost", tag="tag-1")
        await followed.up()
        await warned(followed.driver, tag, 1)


async def test_a_slow_link_is_slow_and_nothing_else(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=CALM) as followed:
        await followed.up()
        await ble_bench.fault("slow_link", tag="tag-1", delay_s=0.03)
        receipt = await warned(followed.driver, tag, 1)
        assert receipt.t_written_mono_ns - receipt.t_asked_mono_ns >= 60_000_000
    assert followed.driver.health.radio.lost == 0


# --- the tag --------------------------------------------------------------------------------------------------------


async def test_a_tag_that_no_longer_answers_is_noticed_and_connected_anew(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault("slow_read", tag="tag-1", delay_s=60.0)
        await followed.says(lambda: followed.has_lost("no answer to a read within 0.4 s"), "the freeze")
        await ble_bench.clear("slow_read", tag="tag-1")
        await followed.up()
        await warned(followed.driver, tag, 1)
    assert followed.driver.health.radio.unanswered >= 1


async def test_a_warning_to_a_frozen_tag_goes_over_a_new_link(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault("slow_write", tag="tag-1", delay_s=60.0)
        warning = asyncio.create_task(followed.driver.warn(command(1)))
        await followed.says(lambda: followed.has_lost("no answer to a write within 0.4 s"), "the freeze")
        await ble_bench.clear("slow_write", tag="tag-1")
        receipt = await warning
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM
    assert followed.driver.health.first_warning_ns is not None


async def test_a_tag_that_freezes_for_good_is_a_reported_loss(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        await ble_bench.fault("slow_write", tag="tag-1", delay_s=60.0)
        assert await loss_of(followed.driver, 1) is WarnLoss.OUT_OF_RANGE


async def test_a_silent_tag_with_a_live_link_is_present(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=replace(PATIENT, presence_s=5.0)) as followed:
        await followed.up()
        await ble_bench.fault("tag_silent", tag="tag-1")
        n_states = len(followed.reports(TagState))
        await followed.says(lambda: len(followed.reports(TagState)) >= n_states + 6, "six more pulses")
        await warned(followed.driver, tag, 1)
    assert [event.present for event in followed.reports(PresenceEvent)] == [True]


async def test_a_dropped_word_of_the_tag_is_read_from_its_state(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await followed.says(lambda: TagEventKind.REBOOTED in {e.kind for e in followed.reports(TagEvent)}, "events")
        await ble_bench.fault("dropped_notifications", tag="tag-1", count=1000)
        await warned(followed.driver, tag, 1)


async def test_cut_values_are_rejects_and_warnings_go_on(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await followed.says(lambda: bool(followed.reports(TagEvent)), "events")
        await ble_bench.fault("cut_notifications", tag="tag-1", length=1)
        await warned(followed.driver, tag, 1)
        await followed.says(lambda: bool(followed.reports(Reject)), "a reject")
    assert {reject.reason for reject in followed.reports(Reject)} == {RejectReason.CUT_SHORT}
    assert followed.driver.health.radio.rejects == len(followed.reports(Reject))


async def test_a_refused_warning_is_lost_at_once_and_the_next_one_goes(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=CALM) as followed:
        await followed.up()
        await ble_bench.fault("write_refused", tag="tag-1", uuid=uuids.TAG_WARN, code=0x80)
        assert await loss_of(followed.driver, 1) is WarnLoss.REFUSED
        await ble_bench.clear("write_refused", tag="tag-1")
        await warned(followed.driver, tag, 2)
    assert followed.driver.health.radio.lost == 0


async def test_a_handle_that_is_not_the_tags_any_more_has_its_services_found_anew(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=CALM) as followed:
        await followed.up()
        await ble_bench.fault("write_refused", tag="tag-1", uuid=uuids.TAG_WARN, code=0x01)
        warning = asyncio.create_task(followed.driver.warn(command(1)))
        await followed.says(lambda: followed.has_lost("found anew"), "the removal from the cache")
        await ble_bench.clear("write_refused", tag="tag-1")
        receipt = await warning
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM


async def test_a_handle_that_stays_wrong_is_a_refused_warning(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    await ble_bench.fault("write_refused", tag="tag-1", uuid=uuids.TAG_WARN, code=0x01)
    async with following(timing=CALM) as followed:
        assert await loss_of(followed.driver, 1) is WarnLoss.REFUSED


async def test_refused_reads_do_not_end_a_link(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    for uuid in (uuids.TAG_STATE, uuids.BATTERY_LEVEL, uuids.FIRMWARE_REVISION):
        tag.peripheral.gatt.read_refusals[uuid] = 0x0E  # what the fault "read_refused" does, for three at once
    async with following(timing=CALM) as followed:
        await followed.up()
        await warned(followed.driver, tag, 1)
    assert followed.driver.health.radio.lost == 0


async def test_a_tag_that_restarts_is_told_what_it_forgot(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await warned(followed.driver, tag, 1)
        rewritten = followed.driver.health.warnings.rewritten
        await tag.reboot()
        await followed.says(lambda: followed.driver.health.warnings.rewritten > rewritten, "the warning written again")
        await followed.says(lambda: tag.firmware.level is WarnLevel.ALARM, "the warning after the restart")


async def test_a_tag_that_is_switched_off_is_absent_and_found_again(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        await ble_bench.remove("tag-1")
        await followed.says(lambda: not followed.reports(PresenceEvent)[-1].present, "absence")
        tag = await put_victim(ble_bench, seed=2)
        await followed.up()
        await warned(followed.driver, tag, 1)


# --- the Bluetooth service ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("connect_fails", {"times": 2}),
        ("connect_in_progress", {"times": 2}),
        ("connect_aborted", {"times": 1}),
    ],
)
async def test_a_connect_that_fails_is_tried_again(ble_bench: BleBench, fault: str, options: dict[str, Any]) -> None:
    tag = await put_victim(ble_bench)
    await ble_bench.fault(fault, **options)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await warned(followed.driver, tag, 1)
    assert followed.driver.health.radio.connect_failures == (0 if fault == "connect_aborted" else 2)


@pytest.mark.parametrize("fault", ["connect_never_answers", "services_never_resolve"])
async def test_a_connect_without_an_answer_has_a_deadline(ble_bench: BleBench, fault: str) -> None:
    tag = await put_victim(ble_bench)
    await ble_bench.fault(fault)
    async with following(timing=PATIENT) as followed:
        warning = asyncio.create_task(followed.driver.warn(command(1)))
        await followed.says(lambda: followed.has_lost("no connection within 0.5 s"), "the deadline")
        await ble_bench.clear(fault)
        receipt = await warning
        assert receipt.confirmed and tag.firmware.level is WarnLevel.ALARM


async def test_reads_and_writes_in_progress_are_slow_only(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=CALM) as followed:
        await followed.up()
        await ble_bench.fault("gatt_in_progress", times=3)
        await warned(followed.driver, tag, 1)
    assert followed.driver.health.radio.lost == 0


async def test_a_device_object_that_is_gone_is_found_again(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault("device_gone", tag="tag-1")
        await followed.says(followed.is_lost, "the loss")
        # The link went on unseen; the tag advertises again once it has ended.
        await ble_bench.fault("link_loss", tag="tag-1")
        await followed.up()
        await warned(followed.driver, tag, 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("adapter_off", "powered_off"),
        ("adapter_unplugged", "no_bluetooth"),
        ("bluetoothd_dead", ""),
        ("bus_down", "cannot be reached"),
    ],
)
async def test_an_adapter_or_service_that_goes_is_named_and_its_return_is_used(
    ble_bench: BleBench, fault: str, words: str
) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault(fault)
        await followed.says(lambda: followed.has_lost(words), f"a loss with {words!r}")
        await ble_bench.clear(fault)
        await followed.up(within_s=10)
        await warned(followed.driver, tag, 2)


async def test_a_warning_while_the_adapter_is_off_is_a_reported_loss_and_comes_late(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following() as followed:
        await followed.up()
        await ble_bench.fault("adapter_off")
        assert await loss_of(followed.driver, 1) is WarnLoss.OUT_OF_RANGE
        await ble_bench.clear("adapter_off")
        await followed.says(lambda: tag.firmware.level is WarnLevel.ALARM, "the late warning", within_s=30)


async def test_a_bus_that_drops_everybody_is_reached_again(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        await ble_bench.fault("bus_dropped")
        await followed.says(followed.is_lost, "the loss")
        await followed.up(within_s=10)
        await warned(followed.driver, tag, 1)
        await ble_bench.fault("link_loss", tag="tag-1")
        await followed.says(lambda: len(followed.links) >= 5, "the second return, over a new scan", within_s=30)
        await warned(followed.driver, tag, 2)


# --- security -------------------------------------------------------------------------------------------------------


async def test_keys_and_time_go_over_a_link_that_the_passkey_protects(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench, key=TAG_KEY, passkey=PASSKEY)
    async with following(SECURED, timing=PATIENT) as followed:
        await followed.up()
        await followed.says(lambda: TagEventKind.KEYS_SET in {e.kind for e in followed.reports(TagEvent)}, "the keys")
        assert tag.peripheral.encrypted
        await warned(followed.driver, tag, 1)
    assert followed.driver.health.radio.pair_failures == 0


async def test_a_wrong_passkey_is_told_and_warnings_go_all_the_same(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench, passkey=PASSKEY + 1)
    async with following(SECURED, timing=PATIENT) as followed:
        await followed.says(lambda: followed.driver.health.radio.connected >= 1, "a link")
        await followed.says(lambda: any("not secured" in link.detail for link in followed.links), "the refusal")
        await warned(followed.driver, tag, 1)
    assert TagEventKind.KEYS_SET not in {event.kind for event in followed.reports(TagEvent)}


async def test_without_a_passkey_of_ours_the_one_at_the_host_counts(ble_bench: BleBench) -> None:
    ble_bench.front.system_passkey = PASSKEY
    await ble_bench.fault("wrong_passkey")
    tag = await put_victim(ble_bench, passkey=PASSKEY)
    target = BleTarget(text="ble:rolling?key_file=tag.key&pair=mitm", key=TAG_KEY, pair=Pairing.MITM)
    async with following(target, timing=PATIENT) as followed:
        await followed.says(lambda: any("not secured" in link.detail for link in followed.links), "the refusal")
        await warned(followed.driver, tag, 1)
        await ble_bench.clear("wrong_passkey")
        await followed.says(lambda: TagEventKind.KEYS_SET in {e.kind for e in followed.reports(TagEvent)}, "the keys")


async def test_a_bond_without_the_passkey_is_not_taken_for_one_with(ble_bench: BleBench) -> None:
    """Somebody who answers under the tag's id without a label to read from gets no keys."""
    tag = await put_victim(ble_bench, passkey=None)
    async with following(SECURED, timing=PATIENT) as followed:
        await followed.says(lambda: followed.has_lost("without asking for the passkey"), "the refusal")
        await warned(followed.driver, tag, 1)
    assert TagEventKind.KEYS_SET not in {event.kind for event in followed.reports(TagEvent)}


async def test_a_refused_pairing_leaves_a_link_that_warns(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench)
    await ble_bench.fault("pairing_refused", tag="tag-1")
    async with following(BONDED, timing=PATIENT) as followed:
        await followed.says(lambda: any("not secured" in link.detail for link in followed.links), "the refusal")
        await warned(followed.driver, tag, 1)
        await ble_bench.clear("pairing_refused", tag="tag-1")
        await followed.says(lambda: tag.peripheral.encrypted, "a later pairing")


async def test_a_tag_that_wants_a_secured_link_for_warnings_gets_one(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench, passkey=PASSKEY, guarded=True)
    async with following(SECURED, timing=PATIENT) as followed:
        await warned(followed.driver, tag, 1)
        assert tag.peripheral.encrypted
        await followed.says(lambda: bool(followed.reports(TagState)), "the state, which is guarded too")


async def test_a_secured_characteristic_without_pairing_is_a_refused_warning(ble_bench: BleBench) -> None:
    """It stays lost, and she is made to feel something all the same: Immediate Alert is open to everybody."""
    tag = await put_victim(ble_bench)
    await ble_bench.fault("needs_encryption", tag="tag-1", uuid=uuids.TAG_WARN)
    async with following(timing=PATIENT) as followed:
        await followed.up()
        assert await loss_of(followed.driver, 1) is WarnLoss.REFUSED
        await until(
            lambda: any(b.on and b.cause is BuzzCause.FIND for b in tag.firmware.buzzer.log), "her tag to sound"
        )


async def test_a_bond_that_the_tag_lost_is_made_anew(ble_bench: BleBench) -> None:
    tag = await put_victim(ble_bench, passkey=PASSKEY)
    async with following(SECURED, timing=PATIENT) as followed:
        await followed.says(lambda: TagEventKind.KEYS_SET in {e.kind for e in followed.reports(TagEvent)}, "the keys")
        await ble_bench.fault("bond_lost", tag="tag-1")
        await ble_bench.fault("link_loss", tag="tag-1")
        await followed.says(lambda: followed.driver.health.radio.bonds_lost == 1, "the lost bond", within_s=30)
        await followed.up(within_s=10)
        await followed.says(
            lambda: sum(e.kind is TagEventKind.KEYS_SET for e in followed.reports(TagEvent)) >= 2, "the keys again"
        )
        await warned(followed.driver, tag, 1)


# --- many tags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ble_bench", [FrontOptions(connection_limit=2)], indirect=True)
async def test_an_alarm_gets_a_place_on_a_full_adapter(ble_bench: BleBench) -> None:
    keys = [bytes(15 * [0] + [k + 1]) for k in range(4)]
    tags = [await put_victim(ble_bench, f"tag-{k}", key=key, seed=k + 1) for k, key in enumerate(keys)]
    async with radio_on(n_slots=2) as radio:
        all_followed = [
            Followed(radio, BleTarget(text=f"ble:{k}", key=key), device_id=f"tag-{k}", timing=PATIENT)
            for k, key in enumerate(keys)
        ]
        async with running(*all_followed):
            await until(lambda: sum(each.is_up() for each in all_followed) == 2, "two links")
            waiting = next(k for k, each in enumerate(all_followed) if not each.is_up())
            await warned(all_followed[waiting].driver, tags[waiting], 1)
            await until(
                lambda: all(each.driver.health.present for each in all_followed), "all present, linked or heard"
            )
    assert sum(each.driver.health.radio.gave_way for each in all_followed) >= 1


@pytest.mark.parametrize("ble_bench", [FrontOptions(connection_limit=1)], indirect=True)
async def test_a_limit_that_nobody_told_is_learned(ble_bench: BleBench) -> None:
    keys = [bytes([k + 1]) * 16 for k in range(2)]
    tags = [await put_victim(ble_bench, f"tag-{k}", key=key, seed=k + 1) for k, key in enumerate(keys)]
    async with radio_on(n_slots=7) as radio:
        both = [
            Followed(radio, BleTarget(text=f"ble:{k}", key=key), device_id=f"tag-{k}", timing=CALM)
            for k, key in enumerate(keys)
        ]
        async with running(*both):
            await until(lambda: any(each.has_lost("connection-limit") for each in both), "the refusal")
            waiting = next(k for k, each in enumerate(both) if not each.is_up())
            await warned(both[waiting].driver, tags[waiting], 1)
            assert both[1 - waiting].has_lost("more urgent")


@pytest.mark.parametrize("ble_bench", [FrontOptions(duplicate_filter=True)], indirect=True)
async def test_a_tag_that_cannot_be_connected_is_present_by_its_advertisements(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)
    await ble_bench.fault("connect_fails")
    async with following() as followed:
        await followed.says(lambda: followed.driver.health.radio.adverts_new > 20, "advertisements")
        failures = followed.driver.health.radio.connect_failures
        await followed.says(lambda: followed.driver.health.radio.connect_failures > failures, "more attempts")
        assert followed.driver.health.present
        assert await loss_of(followed.driver, 1) is WarnLoss.OUT_OF_RANGE
    assert [event.present for event in followed.reports(PresenceEvent)] == [True]


async def test_an_error_of_who_listens_ends_the_driver_instead_of_vanishing(ble_bench: BleBench) -> None:
    await put_victim(ble_bench)

    def fails(event: DeviceEvent) -> None:
        match event.report:
            case TagEvent():
                raise LookupError("a bug of the listener")

    async with radio_on() as radio:
        driver = SmartTag(device_id="tag-1", target=ROLLING, radio=radio, clock=CLOCK, on_event=fails)
        async with asyncio.timeout(5):
            with pytest.raises(LookupError, match="a bug of the listener"):
                await driver.run()
        assert await loss_of(driver, 1) is WarnLoss.NOT_RUNNING


def test_every_fault_of_the_bench_is_met_here() -> None:
    source = __file__
    with open(source, encoding="utf-8") as text:  # noqa: PTH123
        written = text.read()
    # the others are met by tests/rig/faults/test_ble.py, with the bridge round the driver
    with_the_bridge = {name for name, _ in AIR_FAULTS.values()}
    assert not [fault for fault in FAULTS if f'"{fault}"' not in written and fault not in with_the_bridge]
