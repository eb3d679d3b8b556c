"""One run of the suite: played on the bench, judged by the truth, reported."""

from pathlib import Path
from typing import Final

from rig.approach.draw import ApproachRun
from rig.approach.result import ApproachResult
from rig.bench.opening import bench_from
from rig.errors import BenchBrokenError, RunFolderError
from rig.play.run import JudgedRun, judge, play
from rig.play.settings import PlaySettings
from rig.report.write import write_html, write_records
from rig.suites import SuiteOptions
from rig.truth.approach import judge_approach

SUITE: Final = "approach"


def folder_of(run: ApproachRun, out: Path) -> Path:
    """Make the folder of a run; where an earlier one left its own, a new number.

    Raises
    ------
    RunFolderError
        It cannot be made.
    """
    from rig.runs.folder import new_folder

    return new_folder(out / f"{SUITE}-{run.seed}", run.name)


def play_and_judge(run: ApproachRun, options: SuiteOptions) -> ApproachResult:
    """Play a run and say what became of it. What the bench could not do is a result, too."""
    folder = folder_of(run, options.out)
    settings = PlaySettings(
        folder=folder,
        suite=SUITE,
        family=run.family,
        run=str(run.run),
        positions=options.with_report,
        lean=True,
    )
    try:
        with bench_from(options.bench) as bench:
            play(run.scenario, settings, pace=options.pace, bench=bench)
            bench.check()
        judged = judge(folder)
    except (BenchBrokenError, RunFolderError) as exc:
        return _broken(run, folder, str(exc))
    result = result_of(run, judged)
    if options.with_report:
        write_records(judged.run, judged.verdict)
        write_html(judged.run, judged.verdict)
    return result


def result_of(run: ApproachRun, judged: JudgedRun) -> ApproachResult:
    """Judge the approach of a run that was played."""
    loaded = judged.run
    became = judge_approach(loaded.scenario, loaded.policy, loaded.record, loaded.events, verdict=judged.verdict)
    return ApproachResult(
        family=run.family,
        run=run.run,
        seed=run.seed,
        outcome=became.outcome,
        victim_outcome=became.victim_outcome,
        late_s=_rounded(became.late_s),
        warning_s=_rounded(became.warning_s),
        verdict=became.verdict.value,
        reason=became.reason,
        about=run.about,
        folder=str(loaded.folder),
    )


def _broken(run: ApproachRun, folder: Path, reason: str) -> ApproachResult:
    return ApproachResult(
        family=run.family,
        run=run.run,
        seed=run.seed,
        outcome="silent",
        victim_outcome="not_warned",
        late_s=None,
        warning_s=None,
        verdict="ERROR",
        reason=reason,
        about=run.about,
        folder=str(folder),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
