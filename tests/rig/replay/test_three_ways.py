"""One scenario in virtual time, in real time as processes, and each of the two again: one verdict."""

from pathlib import Path

import pytest

from devices.clock import SystemClock
from rig.play.run import judge, play
from rig.play.settings import PlaySettings
from rig.replay.run_again import replay_run
from rig.runs.folder import MESSAGES_FILE
from rig.scenario import load_scenario
from rig.truth.findings import RunVerdict
from rig.truth.verdict import Verdict
from tests.rig.replay.test_run_again import SHORT


def said(verdict: RunVerdict) -> list[tuple[str, ...]]:
    """What was owed and what became of it; how long a silence was owed depends on how long alerts may take."""
    return sorted(
        (f.what, f.check, f.side, f.subject, f.verdict.value) for f in verdict.findings if f.check != "silence"
    )


@pytest.mark.long
def test_one_verdict_at_every_pace_and_of_every_replay(tmp_path: Path) -> None:
    (tmp_path / "story.toml").write_text(SHORT)
    scenario = load_scenario(tmp_path / "story.toml")
    verdicts = {}
    for pace in ("virtual", "x3"):
        folder = tmp_path / pace
        folder.mkdir()
        play(scenario, PlaySettings(folder=folder, tail_s=1.0, lean=True), pace=pace)
        verdicts[pace] = judge(folder).verdict
        again = replay_run(folder, out=None, pace="max", clock=SystemClock())
        assert again.problems == ()
        assert (again.folder / MESSAGES_FILE).read_bytes() == (folder / MESSAGES_FILE).read_bytes()
        verdicts[f"{pace}, again"] = again.verdict
    assert {each.verdict for each in verdicts.values()} == {Verdict.PASS}, verdicts
    assert len({tuple(said(each)) for each in verdicts.values()}) == 1
