"""``tagrig demo``: the main job on embedded defaults, judged against the truth."""

import contextlib
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from devices.clock import Clock, SystemClock
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS
from rig.demo.bench import Bench
from rig.demo.children import Children
from rig.demo.console import Narrator, failures, print_summary
from rig.demo.latency import percentiles
from rig.demo.play import RunRecord, play
from rig.demo.present import build_report, sentence, summary, zone_names
from rig.demo.settings import STORY, DemoSettings, judge_policy, new_run_folder, write_bridge_files
from rig.errors import BenchBrokenError, RigError
from rig.report.page import write_page
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import expected_alerts
from rig.truth.verdict import Judgement, Verdict, judge

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: neither a verdict nor a broken bench."""

_LOG_WIDTH = 120
"""Columns where the output is no terminal (a file, a CI log): narrower tables would break their lines."""


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Parent of the run folder."
)
@click.option(
    "--scenario", "scenario_file", type=click.Path(path_type=Path, exists=True), help="Another story. [built in]"
)
@click.option("--speed", type=click.FloatRange(1, 20), default=10.0, show_default=True, help="Tag time per real time.")
@click.option("--seed", type=int, help="Another draw of all errors. [the scenario's]")
@click.option(
    "--allowance-s", type=click.FloatRange(0), default=1.5, show_default=True, help="Real time an alert may take."
)
@click.option(
    "--withhold-zone", "withheld", multiple=True, metavar="ID", help="Do not tell the bridge: see the demo fail."
)
@click.option("--json", "as_json", is_flag=True, help="Print only a JSON summary.")
def command(
    out: Path,
    scenario_file: Path | None,
    speed: float,
    seed: int | None,
    allowance_s: float,
    withheld: tuple[str, ...],
    as_json: bool,
) -> None:
    """Play a story: emulated tags, bridge, broker, subscriber, each its own process; judge the alerts by the truth.

    Exit code 0: every expected alert came in its window and no other. 1: not so. 3: the bench broke.
    """
    # a terminal's end must clean up as Ctrl-C does
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        scenario = load_scenario(scenario_file or STORY)
        settings = DemoSettings(
            folder=new_run_folder(out), speed=speed, seed=seed, withheld_zones=withheld, allowance_s=allowance_s
        )
        config = write_bridge_files(scenario, settings)
        shutil.copyfile(scenario_file or STORY, settings.folder / "scenario.toml")
    except RigError as exc:
        _end(exc, ExitCode.USAGE)
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    narrator = Narrator(console, scenario, settings, quiet=as_json)
    narrator.opening()
    try:
        judgement = _run(scenario, settings, config, narrator, console, as_json=as_json)
    except BenchBrokenError as exc:
        _end(exc, ExitCode.BENCH_BROKEN)
    except KeyboardInterrupt:
        click.echo("tagrig demo: stopped; all its processes are ended. There is no verdict.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(ExitCode.OK if judgement.verdict is Verdict.PASS else ExitCode.VERDICT_FAIL)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig demo: {exc}", err=True)
    sys.exit(code)


def _run(
    scenario: Scenario, settings: DemoSettings, config: Path, narrator: Narrator, console: Console, *, as_json: bool
) -> Judgement:
    clock = SystemClock()
    began_ns = clock.mono_ns()
    narrator.waiting("Starting the processes, and working out from the truth what must be reported …")
    expected, record = _play(scenario, settings, config, narrator, clock)
    judgement = judge(
        expected, [seen.alert for seen in record.alerts], allowance_s=settings.allowance_s * settings.speed
    )
    hops = percentiles(record.times)
    names = zone_names(scenario)
    problems = failures(judgement, names, record.alerts)
    facts = [
        ("scenario", scenario.title),
        ("seed", str(scenario.seed if settings.seed is None else settings.seed)),
        ("tag time", f"{settings.speed:g} times real time"),
        ("origin", f"{scenario.origin.lat_deg}, {scenario.origin.lon_deg} (made up, open water)"),
        ("messages to the subscriber", str(record.messages)),
        ("fixes published", str(len(record.fixes))),
        ("simulated", "tags and positions are emulated; bridge, broker and subscriber are real"),
    ]
    write_page(build_report(scenario, settings, record, judgement, hops, facts), settings.folder / "report.html")
    data = summary(settings, record, judgement, hops, problems)
    (settings.folder / "summary.json").write_text(json.dumps(data, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(data))
        return judgement
    print_summary(console, judgement, hops, names, record.alerts)
    style = "bold green" if judgement.verdict is Verdict.PASS else "bold red"
    took_s = (clock.mono_ns() - began_ns) / 1e9
    console.print()
    console.print(f"{judgement.verdict.value}  {sentence(judgement, len(record.alerts))}", style=style)
    console.print(f"Map, timeline and tables: {settings.folder / 'report.html'}   ({took_s:.0f} s)", soft_wrap=True)
    return judgement


def _play(
    scenario: Scenario,
    settings: DemoSettings,
    config: Path,
    narrator: Narrator,
    clock: Clock,
) -> tuple[list[ExpectedAlert], RunRecord]:
    with Children() as children, contextlib.closing(Bench(scenario, settings, str(config), children, clock)) as bench:
        bench.launch()
        expected = expected_alerts(scenario, judge_policy(scenario, settings))
        bench.bring_up()
        narrator.begin()
        try:
            return expected, play(bench, scenario, settings, expected, narrator, clock)
        finally:
            narrator.end()
