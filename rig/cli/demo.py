"""``tagrig demo``: the main job on embedded defaults, judged against the truth."""

import contextlib
import json
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
from rig.demo.play import play
from rig.demo.present import build_report, sentence, summary
from rig.demo.settings import RECONNECT_S, STORY, DemoSettings, judge_policy, new_run_folder, write_bridge_files
from rig.errors import BenchBrokenError, RigError
from rig.report.gather import zone_names
from rig.report.page import write_page
from rig.runs.record import AlertSeen, RunRecord
from rig.scenario import Scenario, load_scenario, resolve_text
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import expected_alerts
from rig.truth.tag_findings import near_felt
from rig.truth.verdict import Verdict, judge
from rig.truth.warned import TagMoment, ToldStep, WarningMatch, judge_warnings, overall, owed_warnings

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
        (settings.folder / "scenario.toml").write_text(resolve_text(scenario), encoding="utf-8")
    except RigError as exc:
        _end(exc, ExitCode.USAGE)
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    narrator = Narrator(console, scenario, settings, quiet=as_json)
    narrator.opening()
    try:
        verdict = _run(scenario, settings, config, narrator, console, as_json=as_json)
    except BenchBrokenError as exc:
        _end(exc, ExitCode.BENCH_BROKEN)
    except KeyboardInterrupt:
        click.echo("tagrig demo: stopped; all its processes are ended. There is no verdict.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(ExitCode.OK if verdict is Verdict.PASS else ExitCode.VERDICT_FAIL)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig demo: {exc}", err=True)
    sys.exit(code)


def _run(
    scenario: Scenario, settings: DemoSettings, config: Path, narrator: Narrator, console: Console, *, as_json: bool
) -> Verdict:
    clock = SystemClock()
    began_ns = clock.mono_ns()
    narrator.waiting("Starting the processes, and working out from the truth what must be reported …")
    expected, record = _play(scenario, settings, config, narrator, clock)
    judgement = judge(
        expected, [seen.alert for seen in record.alerts], allowance_s=settings.allowance_s * settings.speed
    )
    warnings = _judge_warnings(scenario, settings, record)
    verdict = overall(judgement, warnings)
    kept = _kept(scenario, settings, record)
    hops = percentiles([times for times, is_kept in zip(record.times, kept, strict=True) if not is_kept])
    names = zone_names(scenario)
    problems = failures(judgement, names, record.alerts, warnings)
    facts = [
        ("scenario", scenario.title),
        ("seed", str(scenario.seed if settings.seed is None else settings.seed)),
        ("tag time", f"{settings.speed:g} times real time"),
        ("origin", f"{scenario.origin.lat_deg}, {scenario.origin.lon_deg} (made up, open water)"),
        ("messages to the subscriber", str(record.messages)),
        ("fixes published", str(len(record.fixes))),
        ("kept while the broker was gone", f"{sum(kept)} alerts, not counted among the latencies by hop"),
        ("simulated", "tags, positions and radio are emulated; bridge, broker and subscriber are real"),
    ]
    write_page(
        build_report(scenario, settings, record, judgement, warnings, hops, kept, facts),
        settings.folder / "report.html",
    )
    data = summary(settings, record, judgement, warnings, hops, problems)
    (settings.folder / "summary.json").write_text(json.dumps(data, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(data))
        return verdict
    print_summary(console, judgement, hops, names, record.alerts, warnings)
    style = "bold green" if verdict is Verdict.PASS else "bold red"
    took_s = (clock.mono_ns() - began_ns) / 1e9
    console.print()
    console.print(f"{verdict.value}  {sentence(judgement, len(record.alerts), warnings)}", style=style, soft_wrap=True)
    console.print(f"Map, timeline and tables: {settings.folder / 'report.html'}   ({took_s:.0f} s)", soft_wrap=True)
    return verdict


def _kept(scenario: Scenario, settings: DemoSettings, record: RunRecord) -> list[bool]:
    """Which alerts waited for a broker that was gone: how long that took says nothing of the bridge."""
    gone = [(o.at_s, o.at_s + o.lasts_s + RECONNECT_S * settings.speed) for o in scenario.broker_outage]

    def submitted_s(seen: AlertSeen) -> float:
        return (seen.trace.submitted_mono_ns - record.start_mono_ns) * settings.speed / 1e9

    return [any(from_s <= submitted_s(seen) < until_s for from_s, until_s in gone) for seen in record.alerts]


def _judge_warnings(scenario: Scenario, settings: DemoSettings, record: RunRecord) -> list[WarningMatch]:
    owed = owed_warnings(scenario, judge_policy(scenario, settings))
    matches: list[WarningMatch] = []
    for tag in dict.fromkeys(each.smart_tag for each in owed):
        matches += judge_warnings(
            [each for each in owed if each.smart_tag == tag],
            [TagMoment(t_s=felt.t_s, level=felt.level) for felt in near_felt(record, tag)],
            [ToldStep(t_s=s.t_s, step=s.step, level=s.level) for s in record.steps if s.smart_tag == tag],
            allowance_s=settings.allowance_s * settings.speed,
        )
    return matches


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
