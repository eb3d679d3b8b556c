"""``tagrig scan`` and the shared scan, over bleak and an emulated BlueZ."""

import asyncio
import itertools
import json
import re
import sys
import time

import pytest

from devices.ble_finder import find_tag_advert
from devices.ble_link import Advert
from devices.ble_scan import TagKind, scan_tags
from devices.ble_target import BleTarget
from rig.ble.ankle_beacon import AnkleBeacon
from rig.ble.bench import BleBench
from rig.ble.find_me_tag import FindMeTag
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.find_me import FindMeFirmware
from rig.ble.front.hooks import Hook
from rig.ble.plain_tag import PlainTag
from tests.ble_support import ble_bench, until
from tests.devices.smart_tag_bench import (
    BEACON_KEY,
    CLOCK,
    INTERVAL_S,
    ROLLING,
    Followed,
    put_victim,
    radio_on,
    running,
)

__all__ = ["ble_bench"]


async def put_all(bench: BleBench) -> None:
    await put_victim(bench)
    find_me = FindMeTag(
        bench.air,
        name="find-me",
        address="C0:DE:00:00:00:07",
        firmware=FindMeFirmware(),
        clock=CLOCK,
        interval_s=INTERVAL_S,
    )
    await bench.add(find_me)
    firmware = BeaconFirmware(BeaconConfig(start_utc_ns=time.time_ns(), key=BEACON_KEY))
    await bench.add(AnkleBeacon(bench.air, name="beacon", firmware=firmware, clock=CLOCK, interval_s=INTERVAL_S))
    await bench.add(PlainTag(bench.air, name="plain", address="C0:DE:00:00:00:08"))
    # Its advertisements are constant: BlueZ tells of them to a second listener only when their strength changes.
    bench.radio("find-me").rssi_dbm, bench.radio("find-me").rssi_sigma_db = -40, 2.0


async def test_tags_in_range_are_named_loudest_first_with_what_they_are(ble_bench: BleBench) -> None:
    await put_all(ble_bench)
    async with radio_on() as radio:
        found = await scan_tags(radio, adapter=None, listen_s=0.5)
    assert found.problem is None
    assert found.tags[0].kind is TagKind.PROXIMITY
    assert {tag.kind for tag in found.tags} == {
        TagKind.PROXIMITY,
        TagKind.SMART_TAG,
        TagKind.BEACON,
        TagKind.FIND_ME,
    }
    by_kind = {tag.kind: tag for tag in found.tags}
    assert by_kind[TagKind.PROXIMITY].spec == "ble:C0:DE:00:00:00:07"
    assert by_kind[TagKind.PROXIMITY].name == "FindMe"
    assert by_kind[TagKind.PROXIMITY].rssi_dbm == pytest.approx(-40, abs=5)
    assert by_kind[TagKind.SMART_TAG].spec == "ble:rolling?key_file=KEY_FILE"
    assert by_kind[TagKind.SMART_TAG].name is None, "the person's tag tells no name"
    assert by_kind[TagKind.BEACON].spec is None, "the beacon takes no connection"


async def test_an_adapter_that_is_off_or_not_there_is_said_at_once(ble_bench: BleBench) -> None:
    async with radio_on() as radio:
        absent = await scan_tags(radio, adapter="hci7", listen_s=5)
    await ble_bench.fault("adapter_off")
    async with radio_on() as radio:
        off = await scan_tags(radio, adapter=None, listen_s=5)
    assert "hci7" in (absent.problem or "")
    assert "powered_off" in (off.problem or "")
    assert absent.tags == off.tags == ()


async def run_command(*arguments: str, exit_code: int = 0) -> str:
    """Run the command in a process of its own, as it is run: its loop ends with it."""
    code = "from rig.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "scan", "pty:", "--bluetooth", "--listen-s", "0.5", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == exit_code, err.decode()
    return out.decode()


async def test_an_adapter_that_was_named_and_is_not_there_is_no_success(ble_bench: BleBench) -> None:
    assert "Bluetooth not scanned: hci7" in await run_command("--adapter", "hci7", exit_code=3)


async def test_the_command_prints_them(ble_bench: BleBench) -> None:
    await put_all(ble_bench)
    text, as_json = await asyncio.gather(run_command(), run_command("--json", "--adapter", "hci0"))
    assert "Bluetooth: 4 tags in range, 0 other devices" in text
    assert re.search(
        r"C0:DE:00:00:00:07  -[34]\d(\.5)? dBm .*Proximity tag \(Immediate Alert, Link Loss\) 'FindMe'", text
    )
    assert 'use   transport = "ble:C0:DE:00:00:00:07"' in text
    report = json.loads(as_json)["bluetooth"]
    assert (report["problem"], report["n_other"]) == (None, 0)
    specs = {tag["spec"] for tag in report["tags"]}
    assert "ble:C0:DE:00:00:00:07?adapter=hci0" in specs
    assert "ble:rolling?key_file=KEY_FILE&adapter=hci0" in specs


async def test_many_tags_and_listeners_share_one_scan(ble_bench: BleBench) -> None:
    starts = Hook(member="StartDiscovery")
    ble_bench.front.hooks.active.append(starts)
    keys = [bytes([k]) * 16 for k in range(1, 4)]
    for k, key in enumerate(keys):
        await put_victim(ble_bench, f"tag-{k}", key=key, seed=k + 1)
    heard: list[Advert] = []
    async with radio_on() as radio:
        stop = radio.listen(None, heard.append, lambda _is_up, _detail: None)
        all_followed = [
            Followed(radio, BleTarget(text=f"ble:{k}", key=key), device_id=f"tag-{k}") for k, key in enumerate(keys)
        ]
        async with running(*all_followed):
            await until(lambda: all(each.is_up() for each in all_followed), "all links")
        stop()
    assert starts.hits == 1
    assert {find_tag_advert(advert.data) is not None for advert in heard} == {True}
    assert all(advert.receiver == "default adapter" and advert.t_receiver_mono_ns is None for advert in heard)
    assert all(advert.t_rx_mono_ns <= later.t_rx_mono_ns for advert, later in itertools.pairwise(heard))


async def test_two_drivers_of_one_device_are_refused(ble_bench: BleBench) -> None:
    async with radio_on() as radio:
        seat = radio.seat("tag-1", ROLLING, on_advert=lambda _: None, on_adapter=lambda _is_up, _detail: None)
        with pytest.raises(ValueError, match="two drivers of one device_id"):
            radio.seat("tag-1", ROLLING, on_advert=lambda _: None, on_adapter=lambda _is_up, _detail: None)
        seat.leave()
    assert not ble_bench.tags
