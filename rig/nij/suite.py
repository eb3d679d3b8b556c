"""``tagrig run nij``: plays both scenarios, measures every clause, prints clause, limit, measured, margin."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from rig.cli.exit_codes import ExitCode
from rig.errors import RigError
from rig.nij.clauses import Clause, Measuring, indoor_clauses, on_demand_clause, outdoor_clauses
from rig.nij.on_demand import measure_on_demand
from rig.nij.pages import write_page, write_suite_junit
from rig.play.run import judge, play
from rig.play.settings import PlaySettings
from rig.report.write import write_html, write_records
from rig.runs.folder import new_folder
from rig.scenario import load_scenario
from rig.suites import PIPED_WIDTH, SuiteOptions
from rig.truth.findings import together
from rig.truth.verdict import Verdict

_HERE: Final = Path(__file__).parent

_PARTS: Final[dict[str, Measuring]] = {"outdoor": outdoor_clauses, "indoor": indoor_clauses}
"""Scenario files beside this module, and what is measured of each."""

_EXIT: Final = {Verdict.PASS: ExitCode.OK, Verdict.FAIL: ExitCode.VERDICT_FAIL}


def run(options: SuiteOptions) -> int:
    """Play and measure; give the exit code.

    Raises
    ------
    BenchBrokenError
        The bench could not play.
    RigError
        A family or a bench is asked for.
    """
    if options.bench is not None or options.family is not None:
        raise RigError("nij has no families and plays on the emulated bench only. Next: leave --family and --bench out")
    clauses = sorted(measure(options), key=lambda each: each.number)
    verdict = together(each.measurement.verdict for each in clauses)
    if options.junit is not None:
        write_suite_junit(clauses, options.junit)
    if options.with_report:
        write_page(clauses, verdict, options.out / "nij")
    if options.as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(_json(clauses, verdict)), indent=1) + b"\n")
    else:
        _print(clauses, verdict)
    return _EXIT.get(verdict, ExitCode.BENCH_BROKEN)


def measure(options: SuiteOptions) -> Iterator[Clause]:
    """Play all parts and measure their clauses."""
    for name, measuring in _PARTS.items():
        scenario = load_scenario(_HERE / f"{name}.toml", seed=options.seed)
        folder = new_folder(options.out / "nij", name)
        settings = PlaySettings(folder=folder, suite="nij", family=name, run=name, lean=True)
        play(scenario, settings, pace=options.pace)
        judged = judge(folder)
        if options.with_report:
            write_records(judged.run, judged.verdict)
            write_html(judged.run, judged.verdict)
        yield from measuring(judged.run)
        if name == "outdoor":
            yield on_demand_clause(measure_on_demand(scenario, scenario.seed))


def _json(clauses: list[Clause], verdict: Verdict) -> dict[str, Any]:  # Any: JSON
    return {
        "clauses": [
            {
                "clause": each.number,
                "what": each.what,
                "mark": each.mark,
                "limit": each.measurement.limit,
                "unit": each.measurement.unit,
                "measured": each.measurement.worst,
                "margin": each.measurement.margin,
                "verdict": each.measurement.verdict.value,
                "note": each.note,
            }
            for each in clauses
        ],
        "verdict": verdict.value,
    }


def _print(clauses: list[Clause], verdict: Verdict) -> None:
    table = Table(title="NIJ 1004.00, clauses known by number", title_justify="left", box=None, pad_edge=False)
    for name in ("clause", "what", "mark"):
        table.add_column(name)
    for name in ("limit", "measured", "margin", ""):
        table.add_column(name, justify="right")
    for each in clauses:
        measured = each.measurement
        worst, margin = measured.worst, measured.margin
        table.add_row(
            each.number,
            each.what,
            each.mark,
            f"{measured.limit} {measured.unit}",
            "-" if worst is None else f"{worst:.4g}",
            "-" if margin is None else f"{margin + 0.0:.4g}",
            measured.verdict.value,
        )
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(table)
    for number, note in dict.fromkeys((each.number, each.note) for each in clauses if each.note):
        console.print(f"{number}: {note}", style="dim")
    style = "green" if verdict is Verdict.PASS else "red"
    console.print(
        f"[{style}]{verdict}[/]: the standard is known here by documents that quote it (F2); what the emulated "
        "receiver contributes is its profile's, not a real one's."
    )
