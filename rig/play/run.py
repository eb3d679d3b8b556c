"""One run from a scenario to a folder: played at any pace, judged, reported."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rig.errors import RigError
from rig.play.settings import PlaySettings
from rig.runs.folder import BENCH_FILE, SCENARIO_FILE, VERDICT_FILE, RunFile, speed_of
from rig.runs.load import LoadedRun, load_run
from rig.scenario import Scenario, resolve_text
from rig.truth.findings import RunVerdict, write_verdict
from rig.truth.run_verdict import judge_run

if TYPE_CHECKING:
    from rig.bench.opening import OpenBench


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """A run and what the truth says of it."""

    run: LoadedRun
    verdict: RunVerdict


def play(
    scenario: Scenario, settings: PlaySettings, *, pace: str = "virtual", bench: "OpenBench | None" = None
) -> RunFile:
    """Play a scenario; its folder then holds all but the verdict and the reports.

    Parameters
    ----------
    scenario : Scenario
    settings : PlaySettings
    pace : str
        ``virtual``, ``real`` or ``x`` and a number.
    bench : OpenBench, optional
        What stands for the devices; absent: emulated.

    Raises
    ------
    BenchBrokenError
        The bench could not play.
    RigError
        The pace is none, or the scenario asks for what cannot be.
    """
    speed = speed_of(pace)
    (settings.folder / SCENARIO_FILE).write_text(resolve_text(scenario))
    if bench is None:
        (settings.folder / BENCH_FILE).write_text('[bench]\nname = "emulated"\nemulate_missing = true\n')
    if speed is None:
        # a page that only shows a run needs neither radio nor broker
        from rig.play.virtual import play_virtual

        return play_virtual(scenario, settings)
    raise RigError(f"pace {pace}: not on this bench")


def judge(folder: Path) -> JudgedRun:
    """Judge a run folder, and keep the verdict in it.

    Raises
    ------
    RunFolderError
        It is not the folder of a run.
    """
    run = load_run(folder)
    verdict = judge_run(run.scenario, run.policy, run.record, run.events)
    write_verdict(folder / VERDICT_FILE, verdict)
    return JudgedRun(run=run, verdict=verdict)
