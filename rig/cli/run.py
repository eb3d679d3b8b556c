"""``tagrig run``: a scenario or a suite on the bench, judged by the truth, with a folder that proves it."""

import importlib
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from rig.cli.exit_codes import ExitCode
from rig.cli.lost_output import drop_output
from rig.cli.stop_signals import STOP_SIGNALS
from rig.errors import BenchBrokenError, RigError
from rig.runs.folder import new_folder, speed_of
from rig.suites import SUITES, SuiteOptions

if TYPE_CHECKING:
    from rig.play.run import JudgedRun

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: neither a verdict nor a broken bench."""

_PLANTED_HELP = "A mistake in the bridge, to see the judge find it: delay_alerts_s=1, withheld_zone=ID, deaf_device=ID."


@click.command(epilog=f"Suites: {', '.join(SUITES) or 'none'}.")
@click.argument("what", metavar="SCENARIO.toml|NAME|SUITE")
@click.option("--bench", "bench_file", type=click.Path(path_type=Path), help="Bench file. [all emulated]")
@click.option("--pace", default="virtual", show_default=True, metavar="virtual|real|xN", help="How time passes.")
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter of the scenario.")
@click.option("--seed", type=int, help="Another draw of all errors. [the scenario's]")
@click.option(
    "--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Parent of the run folder."
)
@click.option("--family", help="Only this part of a suite.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs of a suite at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML there, too.")
@click.option("--no-report", is_flag=True, help="No page, no trace: the verdict only.")
@click.option("--plant", "plants", multiple=True, metavar="NAME=VALUE", help=_PLANTED_HELP)
def command(
    what: str,
    bench_file: Path | None,
    pace: str,
    sets: tuple[str, ...],
    seed: int | None,
    out: Path,
    family: str | None,
    jobs: int,
    as_json: bool,
    junit: Path | None,
    no_report: bool,
    plants: tuple[str, ...],
) -> None:
    """Play a scenario (a file, or the name of one that comes with this project) or a suite, and judge it by the truth.

    Exit codes: 0 PASS, 1 FAIL, 2 usage, 3 the bench could not play or judge, 130 interrupted.
    """
    # a terminal's end must clean up as Ctrl-C does, and an event loop ends in order by Ctrl-C only
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in STOP_SIGNALS:
        if number is not signal.SIGINT:
            signal.signal(number, _interrupt)
    try:
        speed_of(pace)
        pairs = _parameters(sets)
        if junit is not None:
            _check_writable(junit)
        if what in SUITES:
            # what would have no effect is no silent PASS
            if pairs or plants:
                raise click.UsageError("--set and --plant are for scenarios; a suite draws its own")
            options = SuiteOptions(
                pace=pace,
                seed=seed,
                out=out,
                bench=bench_file,
                jobs=jobs,
                family=family,
                as_json=as_json,
                junit=junit,
                with_report=not no_report,
            )
            sys.exit(importlib.import_module(SUITES[what]).run(options))
        if family is not None or jobs != 1:
            raise click.UsageError("--family and --jobs are for suites")
        sys.exit(_run(what, bench_file, pace, pairs, seed, out, as_json, junit, not no_report, plants))
    except BenchBrokenError as exc:
        _end(exc, ExitCode.BENCH_BROKEN)
    except RigError as exc:
        _end(exc, ExitCode.USAGE)
    except KeyboardInterrupt:
        click.echo("tagrig run: stopped; there is no verdict.", err=True)
        sys.exit(_INTERRUPTED)


def _run(
    what: str,
    bench_file: Path | None,
    pace: str,
    sets: tuple[tuple[str, str], ...],
    seed: int | None,
    out: Path,
    as_json: bool,
    junit: Path | None,
    with_report: bool,
    plants: tuple[str, ...],
) -> int:
    # here: the help must not load radio, numpy and the oracle
    from rig.bench.opening import bench_from
    from rig.play.library import find_scenario
    from rig.play.progress import ProgressLine
    from rig.play.run import check_pace, check_planted, judge, parse_planted, play
    from rig.play.settings import PlaySettings
    from rig.report.write import write_html, write_records
    from rig.scenario import Scalar, load_scenario, read_parameters
    from rig.scenario.parameters import merge_parameters

    path = find_scenario(what, others=tuple(SUITES))
    given: dict[str, Scalar] = dict(sets)
    scenario = load_scenario(path, parameters=given, seed=seed)
    planted = parse_planted([_pair(text, "--plant") for text in plants])
    check_planted(planted, scenario)
    bench = bench_from(bench_file)
    check_pace(pace, planted, {each.device: each.kind for each in bench.assign(scenario)})
    with bench, ProgressLine(quiet=as_json) as line:
        folder = new_folder(out, path.stem)
        settings = PlaySettings(
            folder=folder, run=path.stem, planted=planted, parameters=merge_parameters(read_parameters(path), given)
        )
        play(scenario, settings, pace=pace, bench=bench, on_progress=line.show)
        bench.check()
        line.say("judging")
        judged = judge(folder)
        if with_report:
            line.say("writing the report")
            write_records(judged.run, judged.verdict)
            write_html(judged.run, judged.verdict)
    try:
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(_summary(judged)) + b"\n")
            sys.stdout.buffer.flush()
        else:
            _print(judged, with_report)
    except BrokenPipeError:
        drop_output()  # who reads the first line only (| head) does not change the verdict
    if junit is not None:
        from rig.report.junit import write_junit
        from rig.report.write import junit_run

        write_junit(junit, [junit_run(judged.run, judged.verdict)])
    return _exit_code(judged)


def _exit_code(judged: "JudgedRun") -> ExitCode:
    match judged.verdict.verdict.value:
        case "PASS":
            return ExitCode.OK
        case "FAIL":
            return ExitCode.VERDICT_FAIL
        case _:
            return ExitCode.BENCH_BROKEN


def _summary(judged: "JudgedRun") -> dict[str, Any]:  # Any: JSON
    run, verdict = judged.run, judged.verdict
    return {
        "title": run.file.title,
        "folder": str(run.folder),
        "verdict": verdict.verdict.value,
        "seed": run.file.seed,
        "pace": run.file.pace,
        "parameters": run.file.parameters,
        "planted": run.file.planted,
        "problems": list(verdict.problems),
        "findings": [msgspec.to_builtins(finding) for finding in verdict.findings],
        "measurements": [
            {
                "name": each.name,
                "unit": each.unit,
                "limit": each.limit,
                "worst": each.worst,
                "margin": each.margin,
                "verdict": each.verdict.value,
                "count": len(each.series),
            }
            for each in verdict.measurements
        ],
    }


def _print(judged: "JudgedRun", with_report: bool) -> None:
    run, verdict = judged.run, judged.verdict
    click.echo(f"{run.file.title}   (seed {run.file.seed}, {run.file.pace} pace, broker {run.file.broker})")
    for each in verdict.measurements:
        worst = "-" if each.worst is None or math.isnan(each.worst) else f"{each.worst:.4g} {each.unit}"
        limit = "" if each.limit is None else f"  limit {each.limit} {each.unit}"
        click.echo(f"  {each.verdict.value:<8} {each.name}: worst {worst} of {len(each.series)}{limit}")
    right = sum(finding.verdict.value == "PASS" for finding in verdict.findings)
    skipped = [finding for finding in verdict.findings if finding.verdict.value == "SKIPPED"]
    untried = [finding for finding in skipped if finding.check == "bench"]
    words = [f"{right} of {len(verdict.findings)} findings are right"]
    if len(skipped) > len(untried):
        words.append(f"{len(skipped) - len(untried)} optional")
    if untried:
        words.append(f"{len(untried)} not brought about")
    click.echo(f"  {', '.join(words)}.")
    for finding in untried:
        click.echo(f"  SKIPPED  {finding.what} at {finding.received_s or 0.0:.1f} s: {finding.reason}")
    for problem in verdict.problems:
        click.echo(f"  {problem}")
    color = "green" if verdict.verdict.value == "PASS" else "red"
    click.secho(f"{verdict.verdict.value}  {run.folder}{'/report.html' if with_report else ''}", fg=color, bold=True)
    if verdict.verdict.value != "PASS":
        click.echo(f"Again: tagrig replay {run.folder}")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option} {text!r}: expected NAME=VALUE")
    return name, value


def _parameters(sets: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what --set says; a name given twice would silently be one of them."""
    given: dict[str, str] = {}
    for name, value in (_pair(text, "--set") for text in sets):
        if name in given:
            raise click.UsageError(f"--set {name}: given twice, {given[name]} and {value}; expected one of them")
        given[name] = value
    return tuple(given.items())


def _check_writable(path: Path) -> None:
    """Refuse a file that cannot be written before minutes are spent on what belongs in it."""
    if path.is_dir():
        problem = "is a folder"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = "you may not write there"
    else:
        return
    raise RigError(f"--junit {path}: {problem}. Expected a file in a folder that you may write. Next: another path")


def _interrupt(_signal: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _end(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig run: {exc}", err=True)
    sys.exit(code)
