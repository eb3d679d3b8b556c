"""Fix to buzz over the emulated radio: a line, the bridge, bleak, her tag, her thumb; with a broker and without."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import life
from bridge.app import BridgeApp
from bridge.config.load import load_config
from bridge.plan import make_plan
from devices.clock import SystemClock
from protocols.ble.smart_tag import WarnLevel, WarnText
from rig.ble.ankle_beacon import AnkleBeacon, Way
from rig.ble.bench import BleBench
from rig.ble.find_me_tag import FindMeTag
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.buzzer import BuzzCause
from rig.ble.firmware.find_me import FindMeFirmware
from rig.ble.firmware.location import TagReceiver
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.path_loss import RADIO_PROFILES, PathLoss
from rig.ble.victim import VictimTag
from rig.emulator.track import default_track
from rig.local_frame import LocalFrame
from tests.ble_support import ble_bench, until
from tests.bridge.support import LAT, LON, Line, Subscriber, epoch_bytes, subscriber
from tests.support import LOOPBACK, Mosquitto, free_port

__all__ = ["ble_bench"]

CLOCK = SystemClock()
TAG_KEY = bytes(range(16))
BEACON_KEY = bytes(range(16, 32))

CONFIG = """
[bridge]
agency = "t"
[broker]
url = "{broker}"
[policy]
max_position_age_s = 60
[warning]
confirm_limit_s = {confirm_s}
beacon_hold_s = 1
[[device]]
id = "his"
transport = "{his}"
interval_s = 60
[[device]]
id = "hers"
role = "protected"
transport = "{hers}"
interval_s = 60
[[device]]
id = "st"
kind = "smart_tag"
role = "protected"
transport = "{target}"
[[order]]
id = "o"
wearer = "his"
zones = []
{beacon}
  [[order.protected]]
  device = "hers"
  smart_tag = "st"
  contact_m = 50
  alarm_m = 500
  pre_alert_m = 1000
"""


class Scene:
    """A bridge at work, the two lines it reads, and all that it said of itself."""

    def __init__(self, app: BridgeApp, seen: list[life.LifeEvent], his: Line, hers: Line) -> None:
        self.app = app
        self.seen = seen
        self._his, self._hers = his, hers
        self._second = 0

    def come_to(self, distance_m: float) -> None:
        """She stays, he is so many metres off, a second later."""
        self._second += 1
        self._hers.write(epoch_bytes(self._second, 0))
        self._his.write(epoch_bytes(self._second, distance_m))

    def steps(self, level: str | None = None) -> list[str]:
        told = [event for event in self.seen if isinstance(event, life.WarningTold)]
        return [event.step for event in told if level in {None, event.level}]

    def alerts(self, kind: str) -> list[str]:
        return [event.msg_type for event in self.seen if isinstance(event, life.AlertPublished) and event.kind == kind]

    async def reach(self, step: str, level: str | None = None, *, times: int = 1) -> None:
        await until(lambda: self.steps(level).count(step) >= times, f"{step} of {level} for the {times}. time")

    async def linked(self) -> None:
        def is_up() -> bool:
            return any(isinstance(e, life.LinkChanged) and e.device == "st" and e.state == "up" for e in self.seen)

        await until(is_up, "a link to her tag")


@contextlib.asynccontextmanager
async def bridge(
    folder: Path,
    *,
    broker: str | None = None,
    target: str = "ble:rolling?key_file=tag.key",
    confirm_s: float = 5,
    beacon: bool = False,
    locates: bool = False,
) -> AsyncIterator[Scene]:
    for name, key in (("tag.key", TAG_KEY), ("beacon.key", BEACON_KEY)):
        (folder / name).write_text(key.hex())
        (folder / name).chmod(0o600)
    his, hers = Line(), Line()
    text = CONFIG.format(
        broker=broker or f"mqtt://{LOOPBACK}:{free_port()}",
        his=his.spec,
        hers=hers.spec,
        target=target,
        confirm_s=confirm_s,
        beacon='beacon_key_file = "beacon.key"' if beacon else "",
    )
    if locates:
        text = text.replace('device = "hers"\n  smart_tag = "st"', 'device = "st"')
    (folder / "bridge.toml").write_text(text)
    loaded = load_config(folder / "bridge.toml")
    seen: list[life.LifeEvent] = []
    app = BridgeApp(loaded, make_plan(loaded), clock=CLOCK, observe=seen.append, environment={}, flush_timeout_s=0.2)
    task = asyncio.create_task(app.run())
    scene = Scene(app, seen, his, hers)
    try:
        await until(lambda: sum(isinstance(e, life.LinkChanged) and e.state == "up" for e in seen) >= 2, "both lines")
        yield scene
    finally:
        app.request_stop()
        await task
        his.unplug()
        hers.unplug()


def victim(
    bench: BleBench, *, acknowledges_after_s: float | None = 0.05, receiver: TagReceiver | None = None
) -> VictimTag:
    config = SmartTagConfig(start_utc_ns=CLOCK.utc_ns(), tag_key=TAG_KEY, beacon_key=BEACON_KEY)
    return VictimTag(
        bench.air,
        name="her-tag",
        firmware=SmartTagFirmware(config),
        clock=CLOCK,
        interval_s=0.02,
        acknowledges_after_s=acknowledges_after_s,
        receiver=receiver,
    )


def felt(tag: VictimTag) -> list[tuple[WarnLevel, WarnText]]:
    return [(buzz.level, buzz.text) for buzz in tag.firmware.buzzer.log if buzz.on and buzz.cause is BuzzCause.TOLD]


async def test_she_is_warned_with_no_broker_from_the_start(ble_bench: BleBench, tmp_path: Path) -> None:
    tag = await ble_bench.add(victim(ble_bench))
    async with bridge(tmp_path) as scene:
        await scene.linked()
        scene.come_to(3000)
        scene.come_to(900)
        await scene.reach("started", "notice")
        scene.come_to(400)
        await scene.reach("acknowledged", "alarm")
        scene.come_to(30)
        await scene.reach("acknowledged", "contact")
        scene.come_to(3000)
        await scene.reach("stood_down")
        assert not any(isinstance(event, life.BrokerChanged) and event.connected for event in scene.seen)
    nearby = WarnText.NEARBY
    levels = (WarnLevel.NOTICE, WarnLevel.ALARM, WarnLevel.CONTACT)
    assert felt(tag) == [(level, nearby) for level in levels]
    assert scene.steps("alarm") == ["asked", "written", "started", "acknowledged"]
    assert scene.alerts("protected_person_not_warned") == []


def steps_heard(heard: Subscriber, level: str) -> list[str]:
    told = [message.json["data"] for message in heard.on("protected/hers/warning")]
    return [data["step"] for data in told if data["level"] == level]


@pytest.mark.needs("mosquitto")
async def test_broker_killed_between_two_approaches_delays_the_news_and_not_the_warning(
    ble_bench: BleBench, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    tag = await ble_bench.add(victim(ble_bench))
    with subscriber(mosquitto.host, mosquitto.port) as heard:
        async with bridge(tmp_path, broker=mosquitto.url) as scene:
            await scene.linked()
            scene.come_to(3000)
            scene.come_to(400)
            await until(lambda: "acknowledged" in steps_heard(heard, "alarm"), "her answer at the provider")
            scene.come_to(3000)
            await until(lambda: "stood_down" in steps_heard(heard, "stand_down"), "the stand-down at the provider")
            mosquitto.kill()
            scene.come_to(30)
            await scene.reach("acknowledged", "contact")
            assert felt(tag)[-1] == (WarnLevel.CONTACT, WarnText.NEARBY)
            assert steps_heard(heard, "contact") == []
            await asyncio.to_thread(mosquitto.start)
            await until(lambda: "acknowledged" in steps_heard(heard, "contact"), "the news after all", within_s=15)
    warnings = [message.json for message in heard.on("protected/hers/warning")]
    numbers = [int(message["sequence"]) for message in warnings]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    latency = [w["data"]["latency"] for w in warnings if w["data"]["step"] == "started"][-1]
    assert 0 < latency["fix_to_asked_ms"] < latency["fix_to_written_ms"] <= latency["fix_to_started_ms"]
    # On his side there is no such stream.
    assert {message.topic.rsplit("/", 1)[1] for message in heard.heard if "/tag/his/" in message.topic} <= {
        "alert",
        "active",
        "position",
        "status",
    }


async def test_warning_that_does_not_reach_her_is_told_and_ends_when_she_is_reached(
    ble_bench: BleBench, tmp_path: Path
) -> None:
    tag = await ble_bench.add(victim(ble_bench))
    async with bridge(tmp_path, confirm_s=0.3) as scene:
        await scene.linked()
        scene.come_to(3000)
        await ble_bench.fault("out_of_range", tag="her-tag")
        scene.come_to(30)
        await until(lambda: scene.alerts("protected_person_not_warned") == ["Alert"], "the alert")
        assert felt(tag) == []
        await ble_bench.clear("out_of_range", tag="her-tag")
        await scene.reach("acknowledged", "contact")
        await until(lambda: scene.alerts("protected_person_not_warned") == ["Alert", "Cancel"], "its end")
    assert felt(tag) == [(WarnLevel.CONTACT, WarnText.NEARBY)]


async def test_her_call_is_answered_by_her_tag_and_raised(ble_bench: BleBench, tmp_path: Path) -> None:
    tag = await ble_bench.add(victim(ble_bench, acknowledges_after_s=None))
    async with bridge(tmp_path) as scene:
        await scene.linked()
        tag.firmware.button_down(tag.now_ns() - 3_000_000_000)
        tag.wake()
        await scene.reach("started", "notice")
        assert scene.alerts("sos") == ["Alert"]
        tag.firmware.button_down(tag.now_ns() - 3_000_000_000)
        tag.wake()
        await until(lambda: scene.alerts("sos") == ["Alert", "Cancel"], "the end of her call")
        await scene.reach("stood_down")
    assert felt(tag) == [(WarnLevel.NOTICE, WarnText.NONE)]


async def test_his_beacon_warns_her_while_positions_say_that_he_is_far(ble_bench: BleBench, tmp_path: Path) -> None:
    await ble_bench.add(victim(ble_bench))
    async with bridge(tmp_path, beacon=True) as scene:
        await scene.linked()
        scene.come_to(5000)
        beacon = AnkleBeacon(
            ble_bench.air,
            name="his-tag",
            firmware=BeaconFirmware(BeaconConfig(start_utc_ns=CLOCK.utc_ns(), key=BEACON_KEY)),
            clock=CLOCK,
            interval_s=0.02,
        )
        loss = PathLoss(RADIO_PROFILES["free_space"], seed=1, pair="his/hers")
        beacon.reach("her-tag", loss, lambda: Way(distance_m=3.0, moved_m=0.0))
        await ble_bench.add(beacon)
        await scene.reach("started", "alarm")
        await until(lambda: scene.alerts("beacon_heard") == ["Alert"], "beacon heard")
        await scene.reach("own_started")
        await ble_bench.remove("his-tag")
        await scene.reach("stood_down")
        assert scene.alerts("beacon_heard") == ["Alert", "Cancel"]
        assert scene.alerts("proximity_breach") == []


async def test_find_me_tag_is_told_and_nobody_claims_that_she_felt_it(ble_bench: BleBench, tmp_path: Path) -> None:
    address = "C0:DE:00:00:00:07"
    find_me = FindMeTag(
        ble_bench.air, name="cheap", address=address, firmware=FindMeFirmware(), clock=CLOCK, interval_s=0.02
    )
    await ble_bench.add(find_me)
    async with bridge(tmp_path, target=f"ble:{address}") as scene:
        await scene.linked()
        scene.come_to(3000)
        scene.come_to(400)
        await scene.reach("unconfirmed", "alarm")
        assert scene.steps("alarm") == ["asked", "written", "unconfirmed"]
        assert scene.alerts("protected_person_not_warned") == []


async def test_her_tag_tells_where_she_is_and_is_warned_by_that(ble_bench: BleBench, tmp_path: Path) -> None:
    receiver = TagReceiver(default_track(LocalFrame(LAT, LON)), profile="open_sky", seed=1)
    tag = await ble_bench.add(victim(ble_bench, receiver=receiver))
    async with bridge(tmp_path, locates=True) as scene:
        await scene.linked()
        scene.come_to(300)
        await scene.reach("acknowledged", "alarm")
    assert felt(tag) == [(WarnLevel.ALARM, WarnText.NEARBY)]


async def test_without_any_bluetooth_the_bridge_judges_on_and_says_that_she_is_not_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    async with bridge(tmp_path, confirm_s=0.3) as scene:
        scene.come_to(3000)
        scene.come_to(30)
        await until(lambda: scene.alerts("protected_person_not_warned") == ["Alert"], "the alert")
        lost = [e for e in scene.seen if isinstance(e, life.LinkChanged) and e.device == "st"]
        assert {event.state for event in lost} == {"lost"}
        scene.come_to(3000)
        await until(lambda: scene.alerts("protected_person_not_warned") == ["Alert", "Cancel"], "its end")
    # One for each side.
    assert sorted(scene.alerts("proximity_breach")) == ["Alert", "Alert", "Cancel", "Cancel"]
