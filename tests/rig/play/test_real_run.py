"""Runs in real time: the bridge as a process, on ports; the verdict is that of virtual time."""

from pathlib import Path

import pytest

from rig.errors import BenchBrokenError, RigError
from rig.play.run import judge, play
from rig.play.settings import Planted, PlaySettings, Source
from rig.truth.verdict import Verdict
from tests.rig.play.scenes import RING, ZONE, fault, scene

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.timeout(120)
def test_a_scenario_has_the_same_verdict_in_real_time_and_on_virtual_time(tmp_path: Path) -> None:
    scenario = scene(tmp_path, RING)
    told = []
    for pace in ("virtual", "x20"):
        folder = tmp_path / pace
        folder.mkdir()
        file = play(scenario, PlaySettings(folder=folder, tail_s=1.0), pace=pace)
        judged = judge(folder)
        assert judged.verdict.verdict is Verdict.PASS, judged.verdict.problems
        told.append([(f.what, f.subject) for f in judged.verdict.findings if f.check == "window"])
    assert told[0] == told[1]
    assert (file.pace, file.speed) == ("x20", 20.0)
    assert not list((tmp_path / "x20" / "ports").iterdir())


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_bridge_that_is_killed_and_a_broker_that_does_not_answer_lose_no_alert(tmp_path: Path) -> None:
    faults = fault("broker.no_ack", 5, 15) + fault("host.process_killed", 42, 2)
    folder = tmp_path / "run"
    folder.mkdir()
    play(scene(tmp_path, ZONE, faults), PlaySettings(folder=folder, tail_s=1.0, lean=True), pace="x2")
    judged = judge(folder)
    assert {event.what for event in judged.run.events} == {"fault_applied", "fault_ended"}
    ids = {(seen.alert.kind, seen.alert.cleared) for seen in judged.run.record.alerts}
    assert len(ids) >= 2
    assert judged.verdict.verdict is Verdict.PASS, judged.verdict.problems


def test_what_real_time_cannot_do_is_said_at_once(tmp_path: Path) -> None:
    scenario = scene(tmp_path, ZONE)
    with pytest.raises(RigError, match="Next: --pace virtual"):
        play(scenario, PlaySettings(folder=tmp_path, planted=Planted(delay_alerts_s=1)), pace="real")
    real = {"tag-1": Source(kind="real", transport="serial:/dev/ttyUSB7")}
    with pytest.raises(RigError, match="tag-1 is real, and cannot be hurried"):
        play(scenario, PlaySettings(folder=tmp_path, sources=real), pace="x10")


@pytest.mark.timeout(120)
def test_a_bridge_that_does_not_come_up_breaks_the_run_with_the_end_of_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    settings = PlaySettings(folder=folder, policy={"exit_margin_m": -1.0})
    with pytest.raises(BenchBrokenError, match="exit_margin_m"):
        play(scene(tmp_path, ZONE), settings, pace="x10")
