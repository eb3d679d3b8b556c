"""Whatever a pipeline did is done again from its journal, message for message to the byte."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from bridge.config.load import load_config
from bridge.journaled import JournaledComposer, JournaledPipeline
from bridge.pipeline import Pipeline
from devices.errors import WarnLoss
from devices.events import DeviceEvent
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import HeartbeatEvent, ReplyEvent
from protocols.mqtt.samples import samples
from protocols.reports import BatteryLevel, BeaconVerdict, Closure, TagEventKind, TagMode
from rig.replay.errors import ReplayError
from rig.replay.journal_file import read_journal
from rig.replay.judged import Judged, JudgedAgain
from rig.replay.turns import _TURNS, REPORTS
from tests.bridge import bench as bench_module
from tests.bridge.bench import Bench
from tests.bridge.test_replan_property import World
from tests.bridge.warning_bench import WarningBench
from tests.devices.manual_clock import ManualClock


class TickingClock(ManualClock):
    """Another reading each time: one that is missed or asked for twice shows in the next message."""

    def mono_ns(self) -> int:
        self._mono_ns += 1
        return super().mono_ns()

    def utc_ns(self) -> int:
        self._offset_ns += 1_000_003
        return super().utc_ns()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal.jsonl"
    monkeypatch.setattr(Bench, "journal_file", path)
    monkeypatch.setattr(bench_module, "ManualClock", TickingClock)
    return path


def again(folder: Path) -> Judged:
    return JudgedAgain(load_config(folder / "bridge.toml"), read_journal(folder / "journal.jsonl")).run()


def assert_same(folder: Path, *benches: Bench) -> Judged:
    judged = again(folder)
    made = [message for bench in benches for message in bench.messages]
    assert judged.differences == []
    assert [(m.topic, m.body, m.lane, m.retain) for m in judged.messages] == [
        (m.topic, m.body, m.lane, m.retain) for m in made
    ]
    assert judged.proven == len(made) > 0
    return judged


def zones_and_pairs(folder: Path) -> list[Bench]:
    bench = Bench(folder)
    bench.status("tag", strap=Closure.OPEN)
    for north_m in (500, 90, 0, 40, 500, 1200):
        bench.wait(1)
        bench.fix("tag", north_m)
        bench.fix("her", north_m + 300)
    bench.fix("tag", 20, t_s=2, stored=True)
    bench.wait(200)
    bench.pipeline.resend_active(bench.pipeline.views, bench.clock.mono_ns())
    bench.pipeline.set_interval(bench.pipeline.views[0], 7.0, bench.clock.mono_ns())
    bench.fix("tag", 0)
    bench.wait(16)
    bench.fix("tag", 0)
    alert = bench.alerts()[-1]
    bench.pipeline.acknowledge(alert["id"], "desk 4", bench.clock.utc_ns())
    bench.pipeline.finish(bench.clock.mono_ns())
    return [bench]


def warnings(folder: Path) -> list[Bench]:
    bench = WarningBench(folder)
    bench.presence(True)
    bench.link_up()
    bench.near(1200, 800, 300)
    bench.arrive()
    bench.tag_state(TagMode.WARNING)
    bench.acknowledge()
    bench.tag_event(TagEventKind.SOS_PRESSED, age_s=3)
    bench.wait(70)
    bench.sighting(BeaconVerdict.GENUINE)
    bench.pipeline.take_provider("her", WarnLevel.CONTACT, WarnText.TEST, bench.clock.mono_ns())
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    bench.feed("her", BatteryLevel(battery_pct=7))
    bench.wait(30)
    bench.pipeline.take_provider("her", None, WarnText.NONE, bench.clock.mono_ns())
    bench.presence(False)
    return [bench]


def restarts(folder: Path) -> list[Bench]:
    first = Bench(folder)
    first.fix("tag", 0)
    first.fix("her", 20)
    first.status("tag", strap=Closure.OPEN)
    second = Bench(folder, epoch="SECOND", after=first, down_s=30)
    second.wait(300)
    second.fix("tag", 500)
    second.status("tag")
    return [first, second]


def orders(folder: Path) -> list[Bench]:
    world = World(folder, seed=3)
    world.bench.presence(True)
    for _ in range(20):
        world.move()
        world.change()
    return [world.bench]


def replies(folder: Path) -> list[Bench]:
    bench = Bench(folder)
    for sample in samples():
        if isinstance(sample.event, ReplyEvent):
            bench.messages.append(bench.composer.reply(sample.event.data, bench.clock.utc_ns()))
        elif isinstance(sample.event, HeartbeatEvent):
            bench.messages.append(bench.composer.heartbeat(sample.event.data, bench.clock.utc_ns()))
    return [bench]


@pytest.mark.parametrize("story", [zones_and_pairs, warnings, restarts, orders, replies])
def test_what_a_pipeline_said_is_said_again(
    tmp_path: Path, journal: Path, story: Callable[[Path], list[Bench]]
) -> None:
    assert_same(tmp_path, *story(tmp_path))


def test_a_judgement_that_differs_is_named_with_its_turn(tmp_path: Path, journal: Path) -> None:
    zones_and_pairs(tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if b'"do":"process"' in line and b'"lat_deg":51.0,' in line)
    lines[place] = lines[place].replace(b'"lat_deg":51.0,', b'"lat_deg":51.3,')
    journal.write_bytes(b"".join(lines))
    judged = again(tmp_path)
    turn = msgspec.json.decode(lines[place])["n"]
    assert judged.differences[0].turn == turn
    assert "messages then" in str([each.what for each in judged.differences if each.turn == turn])
    assert judged.proven < len(judged.messages)


def test_a_bridge_that_died_in_a_turn_loses_the_comparison_of_that_turn_only(tmp_path: Path, journal: Path) -> None:
    benches = restarts(tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    second = next(i for i, line in enumerate(lines) if i and line.startswith(b'{"start"'))
    # The last line of the first start is missing, and what was begun of another stands torn before the second.
    torn = [*lines[: second - 1], lines[5][:40] + b"\n", *lines[second:]]
    journal.write_bytes(b"".join(torn))
    judged = again(tmp_path)
    assert judged.differences == []
    assert "died in turn" in judged.cautions[0]
    assert [m.body for m in judged.messages][-3:] == [m.body for m in benches[1].messages][-3:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"n":1,"do":"start","given":{}}\n{"n":1}\n', "lost its beginning"),
        (b'{"start":{"format":2}}\n', "journal format 2"),
        (b"not json\n" + b'{"n":1}\n', "line 1"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=said):
        read_journal(path)


def test_a_turn_of_a_newer_bridge_is_refused_by_name(tmp_path: Path, journal: Path) -> None:
    zones_and_pairs(tmp_path)
    journal.write_bytes(journal.read_bytes().replace(b'"do":"on_due"', b'"do":"on_moon"'))
    with pytest.raises(ReplayError, match="on_moon"):
        again(tmp_path)


def test_whatever_a_pipeline_can_be_given_is_journaled_and_can_be_done_again() -> None:
    given = {name for name, each in vars(Pipeline).items() if not name.startswith("_") and inspect.isfunction(each)}
    journaled = {name for name in vars(JournaledPipeline) if not name.startswith("_")}
    assert given == journaled
    asked = {name for name in vars(JournaledComposer) if not name.startswith("_")}
    assert given | asked == set(_TURNS)


def test_every_report_of_every_device_has_its_name_in_a_journal() -> None:
    reports = get_type_hints(DeviceEvent)["report"]
    assert {each.__name__ for each in get_args(reports)} == set(REPORTS)
