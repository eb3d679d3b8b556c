"""A run is done again from its folder alone: to the byte, with its verdict; and what was touched is named."""

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from devices.clock import SystemClock
from protocols.mqtt.topics import Stream
from rig.cli.replay import command
from rig.errors import ScenarioError
from rig.play.settings import Planted, PlaySettings
from rig.play.virtual import play_virtual
from rig.replay.errors import ReplayError
from rig.replay.judging import judge_folder
from rig.replay.run_again import replay_run
from rig.runs.folder import EVENTS_FILE, FELT_FILE, JOURNAL_FILE, MESSAGES_FILE, SCENARIO_FILE, VERDICT_FILE
from rig.scenario import load_scenario, resolve_text
from rig.truth.findings import write_verdict
from rig.truth.verdict import Verdict

STORY = """
title = "He comes, the broker goes, her tag warns"
seed = 4
duration_s = 70
origin = { lat_deg = 51.0, lon_deg = -6.5 }
[[zone]]
id = "z"
purpose = "exclusion"
centre_m = [60, 0]
radius_m = 20
[[person]]
device = "his"
role = "wearer"
waypoint = [{ at_m = [0, 0], wait_s = 5 }, { at_m = [120, 0], speed_mps = 2.5 }]
event = [{ at_s = 55, do = "strap_cut" }]
[[person]]
device = "hers"
role = "protected"
waypoint = [{ at_m = [110, 30] }]
smart_tag = { id = "st", acknowledges_after_s = 4 }
[[order]]
id = "o"
wearer = "his"
[[order.protected]]
device = "hers"
contact_m = 20
alarm_m = 50
pre_alert_m = 90
[[broker_outage]]
at_s = 30
lasts_s = 8
"""


SHORT = """
title = "Into a zone"
duration_s = 12
origin = { lat_deg = 51.0, lon_deg = -6.5 }
zone = [{ id = "z", purpose = "exclusion", centre_m = [60, 0], radius_m = 20 }]
person = [{ device = "his", role = "wearer", waypoint = [{ at_m = [0, 0] }, { at_m = [60, 0], speed_mps = 8 }] }]
order = [{ id = "o", wearer = "his" }]
"""


SOUND = Planted()


def play(folder: Path, story: str = STORY, *, planted: Planted = SOUND) -> Path:
    folder.mkdir()
    (folder / "source.toml").write_text(story)
    scenario = load_scenario(folder / "source.toml")
    (folder / SCENARIO_FILE).write_text(resolve_text(scenario))
    play_virtual(scenario, PlaySettings(folder=folder, planted=planted))
    write_verdict(folder / VERDICT_FILE, judge_folder(folder))
    return folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(played: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played, tmp_path / "run"))


def replay(run: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(run), "--no-report", *options])


def test_a_run_with_warnings_and_a_broker_that_was_gone_is_the_same_again(run: Path) -> None:
    again = replay_run(run, out=None, pace="max", clock=SystemClock())
    assert again.problems == ()
    assert again.judged.cautions == []
    assert again.judged.proven == len(again.judged.messages) > 200
    assert again.wire.received == again.wire.identical > 200
    assert {message.topic.rpartition("/")[2] for message in again.judged.messages} >= {
        Stream.ALERT, Stream.WARNING, Stream.POSITION, Stream.STATUS, Stream.HEARTBEAT, Stream.INCIDENT
    }  # fmt: skip
    assert {line.device: line.is_identical for line in again.lines} == {"his": True, "hers": True}
    assert again.verdict == again.verdict_then
    assert again.verdict.verdict is Verdict.PASS
    assert again.folder == run.parent / "run-replay-1"
    # A file of a run is the file of its replay.
    assert (again.folder / MESSAGES_FILE).read_bytes() == (run / MESSAGES_FILE).read_bytes()
    assert (again.folder / VERDICT_FILE).read_bytes() == (run / VERDICT_FILE).read_bytes()


def test_every_pace_gives_the_same_and_a_replay_can_be_replayed(run: Path) -> None:
    folders = [run]
    for pace in ("max", "x2000", "x5000"):
        again = replay_run(folders[-1], out=None, pace=pace, clock=SystemClock())
        assert again.problems == ()
        folders.append(again.folder)
    assert len({(folder / MESSAGES_FILE).read_bytes() for folder in folders}) == 1
    assert len({(folder / VERDICT_FILE).read_bytes() for folder in folders}) == 1


def test_at_a_pace_of_people_alerts_are_told_as_they_come(run: Path) -> None:
    result = replay(run, "--pace", "x5000")
    assert result.exit_code == 0, result.output
    assert "tag/his/alert  Alert exclusion_zone_entered" in result.output
    assert "protected/hers/warning  started" in result.output
    assert "PASS (as then)" in result.output


def test_the_same_verdict_is_the_same_exit_code(tmp_path: Path) -> None:
    run = play(tmp_path / "late", SHORT, planted=Planted(delay_alerts_s=1.0))
    result = replay(run, "--json")
    summary = msgspec.json.decode(result.stdout)
    assert result.exit_code == 1, result.output
    assert (summary["same"], summary["verdict"], summary["verdict_then"]) == (True, "FAIL", "FAIL")
    assert summary["identical"] == summary["received"]


@pytest.mark.parametrize(
    ("name", "then", "now", "said"),
    [
        (JOURNAL_FILE, b'"lat_deg":51.000', b'"lat_deg":51.000001', "is not the same"),
        (JOURNAL_FILE, b'"battery_pct":83', b'"battery_pct":9', "messages then"),
        (MESSAGES_FILE, b'"kind":"strap_tamper"', b'"kind":"case_tamper"', "arrived and is not the same"),
        (MESSAGES_FILE, b'"id":"01', b'"id":"07', "was never made"),
        (VERDICT_FILE, b'"verdict": "PASS"', b'"verdict": "FAIL"', "the verdict was"),
    ],
)
def test_what_was_touched_is_named(run: Path, name: str, then: bytes, now: bytes, said: str) -> None:
    content = (run / name).read_bytes()
    assert then in content
    (run / name).write_bytes(content.replace(then, now))
    result = replay(run)
    assert result.exit_code == 3
    assert said in result.output


def test_bytes_that_were_touched_are_named(run: Path) -> None:
    (path,) = (run / "captures").glob("his_*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = replay(run)
    assert result.exit_code == 3
    assert "his: " in result.output
    assert "were judged that no bytes say" in result.output


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_damaged_verdict_is_told_and_the_run_is_judged_anew(run: Path, content: bytes) -> None:
    (run / VERDICT_FILE).write_bytes(content)
    result = replay(run)
    assert result.exit_code == 0, result.output
    assert "PASS (then: not known)" in result.output
    assert f"note          {run / VERDICT_FILE} is damaged: the verdict of then is not known" in result.output


def gone(run: Path, name: str) -> list[str]:
    summary = msgspec.json.decode(replay(run, "--json").stdout)
    told: list[str] = summary["cautions"]
    assert [line for line in replay(run).output.splitlines() if line.startswith("note")][: len(told)] == [
        f"note          {caution}" for caution in told
    ], name
    return told


def test_what_is_gone_from_a_run_is_told_in_a_line_each(run: Path) -> None:
    (path,) = (run / "captures").glob("his_*")
    path.unlink()
    assert gone(run, "his") == ["captures of his are gone: their bytes were not held against the journal"]
    shutil.rmtree(run / "captures")
    (run / FELT_FILE).unlink()
    (run / EVENTS_FILE).unlink()
    messages = (run / MESSAGES_FILE).read_bytes()
    (run / MESSAGES_FILE).write_bytes(messages[:-20])
    told = gone(run, "all")
    assert told[0] == "captures are gone: the bytes were not held against the journal"
    assert told[1].startswith("felt.jsonl is gone: what she felt is not known")
    assert told[2].startswith("events.jsonl is gone: faults and outages of the bench are not known")
    assert told[3] == "messages.jsonl: its last line is cut: that message was not compared"
    (run / MESSAGES_FILE).unlink()
    assert gone(run, "messages")[3] == "messages.jsonl is gone: nothing that arrived was compared"


def test_a_run_of_another_code_says_so(run: Path) -> None:
    journal = run / JOURNAL_FILE
    content = journal.read_bytes()
    code = content.split(b'"code":"', 1)[1][:16]
    journal.write_bytes(content.replace(code, b"0" * 16))
    result = replay(run)
    assert result.exit_code == 0
    assert "was judged by other code than this" in result.output


def test_what_is_no_run_is_refused(tmp_path: Path, run: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = replay(empty)
    assert result.exit_code == 2
    assert "run.json" in result.output
    with pytest.raises(ReplayError, match="pace 'fast': expected max, recorded, or a factor"):
        replay_run(run, out=None, pace="fast", clock=SystemClock())
    shutil.copytree(run, tmp_path / "part", ignore=shutil.ignore_patterns(SCENARIO_FILE))
    with pytest.raises(ScenarioError, match=r"part/scenario\.toml: the scenario cannot be read"):
        replay_run(tmp_path / "part", out=None, pace="max", clock=SystemClock())
    assert not list(tmp_path.glob("part-replay*")), "a folder was left of a replay that could not begin"


def test_without_a_journal_the_captures_are_played_and_the_alerts_compared(tmp_path: Path) -> None:
    run = play(tmp_path / "run", SHORT)
    (run / JOURNAL_FILE).unlink()
    result = replay(run)
    assert result.exit_code == 0, result.output
    assert "1 of 1 came again" in result.output
    messages = run / MESSAGES_FILE
    messages.write_bytes(messages.read_bytes().replace(b'"z"', b'"y"'))
    result = replay(run, "--json")
    summary = msgspec.json.decode(result.stdout)
    assert result.exit_code == 3
    assert (summary["journal"], summary["same"], summary["alerts_same"]) == (False, False, 0)
    assert "did not come again: exclusion_zone_entered y of his" in summary["problems"][0]
    assert "came too: exclusion_zone_entered z of his" in summary["problems"][1]
    messages.write_bytes(messages.read_bytes()[:-20])
    (caution,) = msgspec.json.decode(replay(run, "--json").stdout)["cautions"]
    assert caution == "messages.jsonl: its last line is cut: that message was not compared"
    assert caution in replay(run).output
    shutil.rmtree(run / "captures")
    assert "neither a journal nor captures" in replay(run).output
