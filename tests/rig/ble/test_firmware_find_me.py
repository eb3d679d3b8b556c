"""The cheap tag of the shops, and the beacon of the wearer's tag."""

import itertools

import pytest

from protocols.ble.beacon import SLOT_NS, Beacon, BeaconVerdict, BeaconWatch, decode_beacon
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.buzzer import BuzzCause
from rig.ble.firmware.find_me import FindMeFirmware

S = 1_000_000_000
START_UTC_NS = 1_767_268_800 * S


def test_it_sounds_when_told_and_a_press_silences_it() -> None:
    tag = FindMeFirmware()
    tag.link_up(0)
    assert tag.write_alert(b"\x02", 0) is None
    assert tag.buzzer.asking is BuzzCause.FIND
    assert tag.level == 2
    tag.press(S)
    assert (tag.buzzer.asking, tag.level, tag.take_presses(), tag.take_presses()) == (None, 0, 1, 0)
    tag.write_alert(b"\x01", 2 * S)
    tag.write_alert(b"\x00", 3 * S)
    assert tag.buzzer.asking is None


@pytest.mark.parametrize(("data", "code"), [(b"", 0x0D), (b"\x01\x00", 0x0D), (b"\x03", 0x13)])
def test_levels_that_are_none_are_refused(data: bytes, code: int) -> None:
    tag = FindMeFirmware()
    assert tag.write_alert(data, 0) == code
    assert tag.write_link_loss(data, 0) == code


def test_a_lost_link_sets_it_off_and_a_new_one_ends_that() -> None:
    tag = FindMeFirmware()
    tag.link_up(0)
    tag.write_link_loss(b"\x02", 0)
    tag.link_down(S, lost=False)
    assert tag.buzzer.asking is None
    tag.link_up(2 * S)
    tag.link_down(3 * S)
    assert tag.buzzer.asking is BuzzCause.LINK_LOSS
    tag.run(70 * S)
    tag.link_up(70 * S)
    assert tag.buzzer.asking is None


def test_a_press_without_a_link_is_lost_and_the_battery_runs_down() -> None:
    tag = FindMeFirmware(battery_pct=1.0)
    tag.press(0)
    tag.link_up(S)
    assert tag.take_presses() == 0
    tag.run(80 * 3600 * S)
    assert not tag.on_air


def test_the_beacon_counts_events_and_changes_its_id_with_the_slot() -> None:
    key = bytes(range(16))
    firmware = BeaconFirmware(BeaconConfig(start_utc_ns=START_UTC_NS, key=key))
    watch = BeaconWatch(key)
    heard: list[Beacon] = []
    for t_ns in range(0, 3 * SLOT_NS, 10 * S):
        firmware.strap_open = t_ns > SLOT_NS
        beacon = decode_beacon(firmware.advert(t_ns))
        assert isinstance(beacon, Beacon)
        verdict = watch.hear(beacon, t_rx_utc_ns=START_UTC_NS + t_ns, t_rx_mono_ns=t_ns, rssi_dbm=-60)
        assert verdict.verdict is BeaconVerdict.GENUINE
        assert verdict.is_alive
        heard.append(beacon)
    assert len({beacon.rolling_id for beacon in heard}) == 3
    jumps = [b.counter - a.counter for a, b in itertools.pairwise(heard) if b.counter - a.counter != 1]
    assert len(jumps) == 2
    assert [heard[0].strap_open, heard[-1].strap_open] == [False, True]
