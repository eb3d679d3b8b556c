"""Every fault of the air against the real bridge and its driver: she is warned or it is told; no alert is lost."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import life
from devices.clock import SystemClock
from devices.smart_tag_session import TagTiming
from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.words import AlertKind
from rig.ble.ankle_beacon import AnkleBeacon, Way
from rig.ble.bench import BleBench
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.buzzer import BuzzCause
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.path_loss import RADIO_PROFILES, PathLoss
from rig.ble.victim import VictimTag
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.entry import Value
from tests.ble_support import ble_bench, until
from tests.bridge.support import epoch_bytes
from tests.rig.faults.fault_bench import (
    HER_TAG,
    HERS,
    HIS,
    ZONE,
    Bench,
    BrokerControl,
    bridge_at_work,
    check_ledger,
    line_table,
    new_name,
    plugged,
    provider_at,
    shared_broker,
)

__all__ = ["ble_bench", "shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")

CLOCK = SystemClock()
TAG_KEY = bytes(range(16))
BEACON_KEY = bytes(range(16, 32))
RADIO, BEACON = "her-tag", "his-beacon"

ORDER = """
[[device]]
id = "st"
kind = "smart_tag"
role = "protected"
transport = "ble:rolling?key_file=tag.key"
interval_s = 0.2
silence_buffer_s = 0.6
[[order]]
id = "o"
wearer = "his"
zones = []
beacon_key_file = "beacon.key"
  [[order.protected]]
  device = "hers"
  smart_tag = "st"
  contact_m = 50
  alarm_m = 500
  pre_alert_m = 1000
[warning]
confirm_limit_s = {confirm_s}
cover_settle_s = 0
beacon_hold_s = 1
forged_hold_s = 1
"""


class Scene:
    """Both persons, and her tag on the air."""

    def __init__(self, bench: Bench, tag: VictimTag, air: BleBench) -> None:
        self.bench = bench
        self.tag = tag
        self.air = air

    async def come_to(self, distance_m: float) -> None:
        """She stays, he is so many metres off, a second later."""
        self.bench.second += 1
        await self.bench.ends[HERS].send(epoch_bytes(self.bench.second, 0))
        await self.bench.ends[HIS].send(epoch_bytes(self.bench.second, distance_m))

    async def relink(self) -> None:
        """Break the link, and wait until the driver has found the tag again."""
        ups = self.bench.links(HER_TAG).count("up")
        await self.air.fault("link_loss", tag=RADIO)
        await self.bench.linked(HER_TAG, times=ups + 1)

    async def approach(self) -> None:
        """He comes and goes: she is warned, acknowledges, and is stood down."""
        contacts, told = self.felt(WarnLevel.CONTACT), self.bench.steps_told("acknowledged", "contact")
        await self.come_to(30)
        await until(lambda: self.felt(WarnLevel.CONTACT) == contacts + 1, "her tag to sound")
        await self.bench.reach("acknowledged", "contact", times=told + 1)
        await self.come_to(3000)
        await until(lambda: self.tag.firmware.level is WarnLevel.STAND_DOWN, "the stand-down")

    def felt(self, level: WarnLevel) -> int:
        """How often she felt a warning of the bridge's, of a level."""
        log = self.tag.firmware.buzzer.log
        return sum(buzz.on and buzz.level is level and buzz.cause is BuzzCause.TOLD for buzz in log)


@contextlib.asynccontextmanager
async def air_bench(
    folder: Path, broker: MosquittoBroker, air: BleBench, *, confirm_s: float = 5.0
) -> AsyncIterator[Scene]:
    agency = new_name()
    (folder / "zones.geojson").write_text(ZONE)
    for name, key in (("tag.key", TAG_KEY), ("beacon.key", BEACON_KEY)):
        (folder / name).write_text(key.hex())
        (folder / name).chmod(0o600)
    config = SmartTagConfig(start_utc_ns=CLOCK.utc_ns(), tag_key=TAG_KEY, beacon_key=BEACON_KEY)
    tag = await air.add(
        VictimTag(
            air.air,
            name=RADIO,
            firmware=SmartTagFirmware(config),
            clock=CLOCK,
            interval_s=0.02,
            acknowledges_after_s=0.02,
        )
    )
    with provider_at(broker, agency) as provider:
        bench = Bench(provider, BrokerControl(broker, None))
        bench.air = air
        bench.radios = {HER_TAG: RADIO, HERS: RADIO, HIS: BEACON}
        devices = "".join(
            line_table(device, f"{agency}-{device}", role=role, interval_s=60, buffer_s=10)
            for device, role in ((HIS, "wearer"), (HERS, "protected"))
        )
        async with (
            plugged(bench, HIS, f"{agency}-{HIS}"),
            plugged(bench, HERS, f"{agency}-{HERS}"),
            bridge_at_work(
                folder, bench, broker.url, devices + ORDER.format(confirm_s=confirm_s), agency=agency, lines=3
            ),
        ):
            scene = Scene(bench, tag, air)
            await bench.linked(HER_TAG)
            await scene.come_to(3000)
            yield scene
        check_ledger(provider.heard)


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("ble.loss", {"share": 0.5}),
        ("ble.fade", {"by_db": 25.0}),
        ("ble.duplicate", {"copies": 3}),
    ],
)
async def test_tag_that_is_heard_badly_is_found_again_and_warns_her(
    tmp_path: Path, shared_broker: MosquittoBroker, ble_bench: BleBench, fault: str, parameters: dict[str, Value]
) -> None:
    async with air_bench(tmp_path, shared_broker, ble_bench) as scene:
        async with scene.bench.fault(fault, HER_TAG, **parameters):
            await scene.relink()
            await scene.approach()
        await scene.relink()
        await scene.approach()
    assert scene.felt(WarnLevel.CONTACT) == 2, "nothing acts twice"
    assert scene.bench.steps(AlertKind.PROTECTED_PERSON_NOT_WARNED) == []


async def test_tag_under_a_new_address_is_known_and_warns_her(
    tmp_path: Path, shared_broker: MosquittoBroker, ble_bench: BleBench
) -> None:
    async with air_bench(tmp_path, shared_broker, ble_bench) as scene:
        before = scene.tag.peripheral.address
        assert await scene.bench.begin("ble.address_rotation", HERS) is None, "it happens once"
        await scene.relink()
        assert scene.tag.peripheral.address != before
        await scene.approach()


async def test_clone_of_his_beacon_is_a_forgery_and_no_proximity(
    tmp_path: Path, shared_broker: MosquittoBroker, ble_bench: BleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocols.ble.beacon.COPY_NS", 200_000_000)  # thirty seconds in the field
    async with air_bench(tmp_path, shared_broker, ble_bench) as scene:
        beacon = AnkleBeacon(
            ble_bench.air,
            name=BEACON,
            firmware=BeaconFirmware(BeaconConfig(start_utc_ns=CLOCK.utc_ns(), key=BEACON_KEY)),
            clock=CLOCK,
            interval_s=0.02,
        )
        beacon.reach(
            RADIO, PathLoss(RADIO_PROFILES["free_space"], seed=1, pair="h"), lambda: Way(distance_m=2, moved_m=0)
        )
        await ble_bench.add(beacon)
        await until(lambda: scene.bench.steps(AlertKind.BEACON_HEARD)[:1] == ["Alert"], "his beacon")
        async with scene.bench.fault("ble.clone", HIS, delay_s=0.6):
            await until(lambda: scene.bench.steps(AlertKind.BEACON_FORGED)[:1] == ["Alert"], "the forgery")
        await ble_bench.remove(BEACON)
        await until(lambda: scene.bench.steps(AlertKind.BEACON_FORGED)[-1:] == ["Cancel"], "its end")
        assert scene.bench.steps(AlertKind.PROXIMITY_BREACH) == []
        await scene.come_to(30)
        await scene.bench.reach("acknowledged", "contact")


@pytest.mark.parametrize("acts", [pytest.param(False, marks=pytest.mark.soak), True])
async def test_warning_whose_link_breaks_goes_out_on_the_next(
    tmp_path: Path, shared_broker: MosquittoBroker, ble_bench: BleBench, acts: bool
) -> None:
    async with air_bench(tmp_path, shared_broker, ble_bench) as scene:
        ups = scene.bench.links(HER_TAG).count("up")
        async with scene.bench.fault("ble.disconnect_during_write", HER_TAG, acts=acts):
            await scene.approach()
        assert scene.bench.links(HER_TAG).count("up") > ups, "the link did break"
    assert scene.felt(WarnLevel.CONTACT) == 1, "a warning that comes twice acts once"


async def test_cut_values_are_refused_and_the_next_whole_one_counts(
    tmp_path: Path, shared_broker: MosquittoBroker, ble_bench: BleBench
) -> None:
    async with air_bench(tmp_path, shared_broker, ble_bench, confirm_s=0.3) as scene:
        async with scene.bench.fault("ble.truncated_value", HER_TAG, length=1):
            await scene.come_to(30)
            await until(lambda: scene.felt(WarnLevel.CONTACT) == 1, "her tag to sound")
            await until(lambda: _was_told(scene.bench), "the provider's word of her warning")
        await scene.come_to(3000)
        await until(lambda: scene.tag.firmware.level is WarnLevel.STAND_DOWN, "the stand-down")
        await scene.relink()
        await scene.approach()
        await until(
            lambda: scene.bench.steps(AlertKind.PROTECTED_PERSON_NOT_WARNED)[-1:] in ([], ["Cancel"]), "its end"
        )
    assert scene.bench.rejects() > 0


def _was_told(bench: Bench) -> bool:
    steps = {(e.step, e.level) for e in bench.seen if isinstance(e, life.WarningTold)}
    return ("started", "contact") in steps or bench.steps(AlertKind.PROTECTED_PERSON_NOT_WARNED) == ["Alert"]


@pytest.mark.parametrize(("fault", "device"), [("ble.out_of_range", HER_TAG), ("ble.adapter_off", None)])
async def test_tag_that_cannot_be_reached_is_lost_cover_and_is_warned_once_it_can(
    tmp_path: Path,
    shared_broker: MosquittoBroker,
    ble_bench: BleBench,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    device: str | None,
) -> None:
    # ten and eight seconds in the field
    monkeypatch.setattr("devices.smart_tag.TagTiming", lambda: TagTiming(presence_s=0.6, connect_s=0.8))
    async with air_bench(tmp_path, shared_broker, ble_bench, confirm_s=0.3) as scene:
        async with scene.bench.fault(fault, device):
            await scene.bench.linked(HER_TAG, "lost")
            await scene.come_to(30)
            await scene.bench.told(AlertKind.PROTECTED_PERSON_NOT_WARNED, "Alert")
            await scene.bench.told(AlertKind.COVER_LOST, "Alert")
            assert scene.felt(WarnLevel.CONTACT) == 0
        await scene.bench.reach("acknowledged", "contact")
        await scene.bench.told(AlertKind.PROTECTED_PERSON_NOT_WARNED, "Alert", "Cancel")
        await scene.bench.told(AlertKind.COVER_LOST, "Alert", "Cancel")
        await scene.come_to(3000)
        await until(lambda: scene.tag.firmware.level is WarnLevel.STAND_DOWN, "the stand-down")
