"""The suite on the bench: a run of it is alerted; with a mistake planted in the bridge it is not, and says why."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from rig.approach.draw import DEFAULT_SEED, ApproachRun, draw_runs
from rig.approach.judging import play_and_judge, result_of
from rig.approach.result import SuiteResult
from rig.play.run import judge, play
from rig.play.settings import Planted, PlaySettings
from rig.suites import SUITES, SuiteOptions

NEEDED = 34


def find_run(name: str) -> ApproachRun:
    return next(run for run in draw_runs(DEFAULT_SEED) if run.name == name)


@pytest.fixture
def options(tmp_path: Path) -> SuiteOptions:
    return SuiteOptions(out=tmp_path, with_report=False, as_json=True)


def test_a_car_between_two_reports_is_alerted(options: SuiteOptions) -> None:
    result = play_and_judge(find_run("by_car-5"), options)
    assert (result.outcome, result.victim_outcome, result.verdict, result.reason) == ("alerted", "warned", "PASS", "")
    assert result.late_s is not None
    assert result.late_s < 6
    assert result.warning_s is not None
    assert result.warning_s > 10
    assert (Path(result.folder) / "verdict.json").exists()


def test_an_alert_held_back_for_a_second_is_found(tmp_path: Path) -> None:
    run = find_run("on_foot-5")
    settings = PlaySettings(folder=tmp_path, lean=True, positions=False, planted=Planted(delay_alerts_s=1.0))
    play(run.scenario, settings)
    result = result_of(run, judge(tmp_path))
    assert result.outcome != "alerted"
    assert result.verdict == "FAIL"
    assert "the provider was not alerted" in result.reason
    assert "late by" in result.reason


def test_a_tag_that_the_bridge_does_not_hear_is_no_approach_alerted(tmp_path: Path) -> None:
    run = find_run("on_foot-5")
    settings = PlaySettings(folder=tmp_path, lean=True, positions=False, planted=Planted(deaf_device="tag-1"))
    play(run.scenario, settings)
    result = result_of(run, judge(tmp_path))
    assert result.outcome != "alerted"
    assert result.verdict == "FAIL"
    assert result.reason


def test_a_broker_that_does_not_start_is_an_error_of_the_bench(
    options: SuiteOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = play_and_judge(find_run("on_foot-5"), options)
    assert (result.verdict, result.outcome, result.victim_outcome) == ("ERROR", "silent", "not_warned")
    assert "mosquitto" in result.reason


def test_the_suite_is_registered() -> None:
    assert SUITES["approach"] == "rig.approach.suite"


def run_command(out: Path, *options: str) -> SuiteResult:
    """As a person types it."""
    command = [sys.executable, "-m", "rig.demo.verb", "run", "approach", "--jobs", "2", "--no-report", "--json"]
    done = subprocess.run([*command, "--out", str(out), *options], capture_output=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=SuiteResult)


@pytest.mark.soak
@pytest.mark.timeout(3700)
@pytest.mark.parametrize("seed", [DEFAULT_SEED, *range(1, 21)])
def test_every_draw_passes(seed: int, tmp_path: Path) -> None:
    result = run_command(tmp_path, "--seed", str(seed))
    assert result.summary.runs == 35
    assert result.summary.alerted >= NEEDED
    assert result.summary.silent == 0
    assert {each.seed for each in result.runs} == {seed}
