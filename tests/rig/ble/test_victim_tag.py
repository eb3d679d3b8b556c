"""The emulated smart tag, Find Me tag and beacon on the air, used by the real driver through the emulated org.bluez."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from devices.ble_target import parse_ble_target
from devices.bleak_door import BleRadio
from devices.clock import SystemClock
from devices.events import DeviceEvent, LinkEvent, LinkState
from devices.smart_tag import SmartTag
from protocols.ble.beacon import SLOT_NS
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from protocols.reports import (
    BatteryLevel,
    BeaconSighting,
    BeaconVerdict,
    DeviceInformation,
    Fix,
    TagEvent,
    TagEventKind,
    TagMode,
    TagState,
)
from rig.ble.ankle_beacon import AnkleBeacon, Way
from rig.ble.bench import BleBench
from rig.ble.find_me_tag import FindMeTag
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.buzzer import BuzzCause
from rig.ble.firmware.find_me import FindMeFirmware
from rig.ble.firmware.location import TagReceiver
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.path_loss import RADIO_PROFILES, PathLoss
from rig.ble.victim import TagChange, VictimTag
from rig.emulator.track import default_track
from rig.local_frame import LocalFrame
from tests.ble_support import ble_bench, until

__all__ = ["ble_bench"]

CLOCK = SystemClock()
TAG_KEY = bytes(range(16))
BEACON_KEY = bytes(range(16, 32))


def firmware(**more: object) -> SmartTagFirmware:
    start_utc_ns = CLOCK.utc_ns()
    config = {"start_utc_ns": start_utc_ns, "tag_key": TAG_KEY, "beacon_key": BEACON_KEY} | more
    return SmartTagFirmware(SmartTagConfig(**config))  # type: ignore[arg-type]


def victim(bench: BleBench, **more: object) -> VictimTag:
    return VictimTag(bench.air, name="her-tag", firmware=firmware(), clock=CLOCK, interval_s=0.02, **more)  # type: ignore[arg-type]


async def beacon_at(bench: BleBench, distance_m: float) -> AnkleBeacon:
    beacon = AnkleBeacon(
        bench.air,
        name="his-tag",
        firmware=BeaconFirmware(BeaconConfig(start_utc_ns=CLOCK.utc_ns(), key=BEACON_KEY)),
        clock=CLOCK,
        interval_s=0.02,
    )
    beacon.reach(
        "her-tag",
        PathLoss(RADIO_PROFILES["free_space"], seed=1, pair="his/hers"),
        lambda: Way(distance_m=distance_m, moved_m=0.0),
    )
    return await bench.add(beacon)


class Driver:
    """The real driver, and what it said."""

    def __init__(self, target: str, folder: Path) -> None:
        (folder / "tag.key").write_text(TAG_KEY.hex())
        self.events: list[DeviceEvent] = []
        self.radio = BleRadio(CLOCK)
        self.tag = SmartTag(
            device_id="smart-1",
            target=parse_ble_target(target, folder=folder),
            radio=self.radio,
            clock=CLOCK,
            on_event=self.events.append,
        )

    def of(self, kind: type) -> list[object]:
        return [event.report for event in self.events if isinstance(event.report, kind)]

    def kinds(self) -> list[TagEventKind]:
        return [report.kind for report in self.of(TagEvent) if isinstance(report, TagEvent)]

    @property
    def up(self) -> bool:
        return any(isinstance(r, LinkEvent) and r.state is LinkState.UP for r in self.of(LinkEvent))


@contextlib.asynccontextmanager
async def driver(folder: Path, target: str = "ble:rolling?key_file=tag.key") -> AsyncIterator[Driver]:
    made = Driver(target, folder)
    async with made.radio:
        task = asyncio.create_task(made.tag.run())
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def command(warn_id: int, level: WarnLevel) -> WarnCommand:
    return WarnCommand(warn_id=warn_id, level=level, pattern=WarnPattern.BOTH, text=WarnText.NEARBY)


async def test_the_driver_finds_it_by_its_key_warns_and_hears_her_answer(ble_bench: BleBench, tmp_path: Path) -> None:
    changes: list[TagChange] = []
    tag = await ble_bench.add(victim(ble_bench, on_change=changes.append, speed=10.0))
    async with driver(tmp_path) as bridge:
        receipt = await bridge.tag.warn(command(7, WarnLevel.ALARM))
        assert receipt.confirmed
        assert (receipt.warn_id, tag.firmware.buzzer.asking) == (7, BuzzCause.TOLD)
        await tag.press(0.05)
        await until(lambda: TagEventKind.WARN_ACKED in bridge.kinds(), "her acknowledgement")
        stood_down = await bridge.tag.warn(command(8, WarnLevel.STAND_DOWN))
        assert stood_down.confirmed
        await until(
            lambda: any(
                isinstance(s, TagState) and s.state is TagMode.IDLE and s.warn_id == 8 for s in bridge.of(TagState)
            ),
            "the state after it",
        )
        await until(lambda: bool(bridge.of(BatteryLevel) and bridge.of(DeviceInformation)), "its battery and name")
        (information,) = bridge.of(DeviceInformation)[:1]
        assert isinstance(information, DeviceInformation)
        assert information.serial is None
        await tag.call_for_help()
        await until(lambda: TagEventKind.SOS_PRESSED in bridge.kinds(), "SOS")
    assert [c.buzz.cause for c in changes if c.buzz and c.buzz.on] == [BuzzCause.TOLD, BuzzCause.STAND_DOWN]
    assert {WarnLevel.ALARM, WarnLevel.STAND_DOWN} <= {change.level for change in changes}


async def test_with_no_bridge_at_all_it_hears_him_and_warns_and_the_bridge_learns_of_it_later(
    ble_bench: BleBench, tmp_path: Path
) -> None:
    tag = await ble_bench.add(victim(ble_bench, acknowledges_after_s=0.05))
    await beacon_at(ble_bench, 4.0)
    await until(lambda: tag.firmware.own.active, "her tag's own warning")
    await until(lambda: tag.firmware.mode is TagMode.ACKNOWLEDGED, "her press")
    async with driver(tmp_path) as bridge:
        await until(lambda: bool(bridge.of(BeaconSighting)), "a sighting")
        started = next(
            e for e in bridge.of(TagEvent) if isinstance(e, TagEvent) and e.kind is TagEventKind.OWN_WARNING_STARTED
        )
        assert started.age_ms >= 50
        assert TagEventKind.WARN_ACKED in bridge.kinds()
        (sighting, *_) = bridge.of(BeaconSighting)
        assert isinstance(sighting, BeaconSighting)
        assert (sighting.verdict, sighting.rssi_dbm) == (BeaconVerdict.GENUINE, -72)


async def test_out_of_the_radios_reach_nothing_is_heard(ble_bench: BleBench) -> None:
    tag = await ble_bench.add(victim(ble_bench))
    beacon = await beacon_at(ble_bench, 2000.0)
    start = beacon.firmware.events
    await until(lambda: beacon.firmware.events > start + 20, "twenty advertisements")
    assert not tag.firmware.own.active
    assert tag.firmware.heard == 0
    await ble_bench.remove("her-tag")
    start = beacon.firmware.events
    await until(lambda: beacon.firmware.events > start + 3, "it goes on when a listener is switched off")


async def test_a_tag_of_the_shops_sounds_and_says_nothing(ble_bench: BleBench, tmp_path: Path) -> None:
    tag = await ble_bench.add(
        FindMeTag(
            ble_bench.air,
            name="cheap",
            address="C0:DE:00:00:00:09",
            firmware=FindMeFirmware(),
            clock=CLOCK,
            interval_s=0.02,
        )
    )
    async with driver(tmp_path, "ble:C0:DE:00:00:00:09") as bridge:
        receipt = await bridge.tag.warn(command(1, WarnLevel.CONTACT))
        assert not receipt.confirmed
        await until(lambda: tag.firmware.buzzer.asking is BuzzCause.FIND, "its beep")
        tag.press()
        assert tag.firmware.buzzer.asking is None


async def test_it_tells_where_it_is_when_it_has_a_receiver(ble_bench: BleBench, tmp_path: Path) -> None:
    track = default_track(LocalFrame(51.0, -6.5))
    await ble_bench.add(
        victim(ble_bench, receiver=TagReceiver(track, profile="open_sky", seed=1, interval_s=0.05), speed=20.0)
    )
    async with driver(tmp_path) as bridge:
        await until(lambda: any(isinstance(f, Fix) and f.lat_deg is not None for f in bridge.of(Fix)), "a position")
        fix = next(f for f in bridge.of(Fix) if isinstance(f, Fix) and f.lat_deg is not None)
        assert fix.lat_deg is not None
        assert abs(fix.lat_deg - 51.0) < 0.01


async def test_it_changes_address_and_id_together_and_the_driver_still_knows_it(
    ble_bench: BleBench, tmp_path: Path
) -> None:
    # the tag's own time runs 300 times faster: a slot every 3 s, of which the driver's clock sees one boundary
    start_utc_ns = (CLOCK.utc_ns() // SLOT_NS + 1) * SLOT_NS - 60_000_000_000
    tag = VictimTag(
        ble_bench.air,
        name="her-tag",
        firmware=firmware(start_utc_ns=start_utc_ns),
        clock=CLOCK,
        interval_s=0.02,
        speed=300.0,
    )
    await ble_bench.add(tag)
    first = tag.peripheral.address
    await until(lambda: tag.peripheral.address != first, "a new address")
    async with driver(tmp_path) as bridge:
        receipt = await bridge.tag.warn(command(1, WarnLevel.NOTICE))
        assert receipt.confirmed
