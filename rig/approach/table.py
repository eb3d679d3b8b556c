"""The trial's own table, for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rig.approach.result import OUTCOMES, TRIAL, ApproachResult, Spread, SuiteResult, misses, summarise


def print_suite(result: SuiteResult, console: Console) -> None:
    """Print families, the whole, and why each miss is one."""
    table = Table(title="Approaches", title_justify="left", box=None, pad_edge=False)
    table.add_column("family", no_wrap=True)
    for name in ("runs", *OUTCOMES, "victim unit", "late p50 / p95 / max", "warning p50 / least"):
        table.add_column(name, justify="right", no_wrap=True)
    for family in dict.fromkeys(each.family for each in result.runs):
        own = [each for each in result.runs if each.family == family]
        _add(table, family.replace("_", " "), own, summarise(own))
    _add(table, "all", result.runs, result)
    shares = [f"{TRIAL[name]:.0%}" for name in OUTCOMES]
    table.add_row("trial of 2019", "35", *shares, f"{TRIAL['victim_unit']:.0%}", "-", "-", style="dim")
    console.print(table)
    for line in reasons(result):
        console.print(line, highlight=False)
    verdict = result.summary.verdict
    style = {"PASS": "green", "FAIL": "red"}.get(verdict, "yellow")
    console.print(
        f"[{style}]{verdict}[/]: {result.summary.alerted} of {result.summary.runs} alerted to both, "
        f"{len(misses(result.runs))} missed, {result.summary.silent} silent"
    )


def reasons(result: SuiteResult) -> list[str]:
    """Say of each run with something wrong what it is."""
    return [
        f"{each.family}-{each.run} ({each.about}): {each.outcome}, {each.verdict}: {each.reason}"
        for each in result.runs
        if each.reason
    ]


def _add(table: Table, name: str, runs: Sequence[ApproachResult], result: SuiteResult) -> None:
    summary = result.summary
    table.add_row(
        name,
        str(summary.runs),
        str(summary.alerted),
        str(summary.partly),
        str(summary.silent),
        f"{summary.victim_alerted} of {len(runs)}",
        _late(summary.late_s),
        "-" if summary.warning_s is None else f"{summary.warning_s.p50:.0f} s / {summary.warning_s.min:.0f} s",
    )


def _late(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50:.1f} / {spread.p95:.1f} / {spread.max:.1f} s"
