"""``tagrig run approach``: plays all runs of a draw, judges each by the truth, prints the trial's table."""

import sys
from functools import partial
from typing import Final

import msgspec
from rich.console import Console

from rig.approach.draw import DEFAULT_SEED, draw_runs
from rig.approach.judging import SUITE, play_and_judge
from rig.approach.pages import write_page, write_suite_junit
from rig.approach.result import ApproachResult, SuiteResult, summarise
from rig.approach.table import print_suite
from rig.approach.workers import each_done
from rig.cli.exit_codes import ExitCode
from rig.suites import PIPED_WIDTH, SuiteOptions

_EXIT: Final = {"PASS": ExitCode.OK, "FAIL": ExitCode.VERDICT_FAIL, "ERROR": ExitCode.BENCH_BROKEN}


def run(options: SuiteOptions) -> int:
    """Play a draw; give the exit code.

    Raises
    ------
    RigError
        No such family, or a folder cannot be made.
    """
    seed = DEFAULT_SEED if options.seed is None else options.seed
    result = play_draw(seed, options, progress=not options.as_json)
    if options.junit is not None:
        write_suite_junit(result, options.junit, seed=seed)
    if options.as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    else:
        print_suite(result, Console(width=None if sys.stdout.isatty() else PIPED_WIDTH))
    if options.with_report:
        page = write_page(result, options.out / f"{SUITE}-{seed}", seed=seed, pace=options.pace)
        if not options.as_json:
            Console(width=PIPED_WIDTH).print(f"All runs: {page}", soft_wrap=True)
    return _EXIT[result.summary.verdict]


def play_draw(seed: int, options: SuiteOptions, *, progress: bool = False) -> SuiteResult:
    """Play and judge all runs of a draw, in the order of the families."""
    runs = draw_runs(seed, options.family)
    found: dict[str, ApproachResult] = {}
    console = Console(stderr=True)
    for result in each_done(partial(play_and_judge, options=options), runs, options.jobs):
        found[f"{result.family}-{result.run}"] = result
        if progress:
            console.print(f"{len(found)} of {len(runs)}: {result.family}-{result.run} {result.outcome}", style="dim")
    return summarise([found[run.name] for run in runs])
