"""The page of a suite of runs: one table with a link to each run's own page, and how it compares. No script at all."""

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rig.report.assets import own_file
from rig.report.model import CoverageRow
from rig.report.parts import coverage_chips, fact_table, tile_row
from rig.runs.folder import REPORT_FILE
from rig.truth.verdict import Verdict

SUITE_FILE: Final = "index.html"
"""Name of the page within the suite's folder: what a web server shows of itself."""

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_GOOD: Final = frozenset({"alerted", "PASS"})
_HALF: Final = frozenset({"partly", "MARGINAL"})
_BAD: Final = frozenset({"silent", "FAIL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun:
    """One run of a suite.

    Attributes
    ----------
    family, run : str
    outcome : str
        In the suite's own words, as ``alerted``; a verdict where it has none.
    verdict : Verdict
    reason : str
        Why it is not as it should be; empty where all is well.
    cells : tuple of str
        Further columns.
    folder : Path or None
        The run's folder; None: there is no page to link to.
    """

    family: str
    run: str
    outcome: str
    verdict: Verdict
    reason: str = ""
    cells: tuple[str, ...] = ()
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A bar of shares, each as (name, share of 1): the suite's own or one it is compared with."""

    name: str
    parts: tuple[tuple[str, float], ...]
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """A suite, ready to be written. ``heads`` names the columns of ``SuiteRun.cells``, ``names`` the other columns."""

    title: str
    about: str
    verdict: Verdict
    sentence: str
    heads: tuple[str, ...] = ()
    names: tuple[str, str, str, str] = ("family", "run", "outcome", "why")
    runs: Sequence[SuiteRun] = ()
    tiles: Sequence[tuple[str, str, str]] = ()
    shares: Sequence[Share] = ()
    facts: Sequence[tuple[str, str]] = ()
    coverage: Sequence[CoverageRow] = field(default_factory=tuple)


def write_suite(folder: Path, report: SuiteReport) -> Path:
    """Write the page of a suite; links are relative, so that the folder can be moved as a whole."""
    path = folder / SUITE_FILE
    path.write_text(render_suite(report, folder), encoding="utf-8")
    return path


def render_suite(report: SuiteReport, folder: Path) -> str:
    """Return the page as text."""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{html.escape(report.title)} · {report.verdict.value}</title><style>{own_file("page.css")}</style>
</head><body><main>
<header><div class=head><h1>{html.escape(report.title)}</h1>
<span class="verdict {report.verdict.value}">{report.verdict.value}</span></div>
<p>{html.escape(report.about)}</p><p><b>{html.escape(report.sentence)}</b></p>{tile_row(report.tiles)}</header>
{_shares(report.shares)}{_grid(report.runs, folder)}
<section><h2>Runs</h2>{_table(report, folder)}</section>
<div class=pair>{_coverage(report.coverage)}<section><h2>This suite</h2>{fact_table(report.facts)}</section></div>
</main></body></html>
"""


def _tone(outcome: str) -> str:
    if outcome in _GOOD:
        return "good"
    return "half" if outcome in _HALF else "bad" if outcome in _BAD else "none"


def _shares(shares: Sequence[Share]) -> str:
    if not shares:
        return ""
    bars = ""
    for share in shares:
        parts = "".join(
            f'<span class="{_tone(name)}" style="flex-grow:{part * 1000:.0f}" title="{html.escape(name)} {part:.0%}">'
            f"{f'{html.escape(name)} {part:.0%}' if part >= _NAMED_SHARE else ''}</span>"
            for name, part in share.parts
            if part > 0
        )
        bars += (
            f"<div class=share><b>{html.escape(share.name)}</b><div class=bar>{parts}</div>"
            f"<small>{html.escape(share.remark)}</small></div>"
        )
    return f"<section><h2>Outcomes</h2>{bars}</section>"


_NAMED_SHARE: Final = 0.1
"""A part of a bar that is narrower holds no words; its title tells it."""


def _grid(runs: Sequence[SuiteRun], folder: Path) -> str:
    """Write one cell a run, a row for each family: the whole suite at a glance."""
    rows = ""
    if len({run.family for run in runs}) == len(runs):
        return ""
    for family, group in itertools.groupby(runs, key=lambda run: run.family):
        cells = "".join(
            f'<td class="cell {_tone(run.outcome)}" title="{html.escape(run.reason or run.outcome)}">'
            f"{_link(run, folder, run.run)}<small>{html.escape(run.outcome)}</small></td>"
            for run in group
        )
        rows += f"<tr><th scope=row>{html.escape(family)}</th>{cells}</tr>"
    return (
        f"<section><h2>At a glance</h2><div class=scroll><table class=grid>{rows}</table></div></section>"
        if rows
        else ""
    )


def _link(run: SuiteRun, folder: Path, text: str) -> str:
    if run.folder is None:
        return f"<b>{html.escape(text)}</b>"
    page = run.folder / REPORT_FILE
    target = page.relative_to(folder) if page.is_relative_to(folder) else page.resolve()
    href = target.as_uri() if target.is_absolute() else target.as_posix()
    return f'<a href="{html.escape(href)}">{html.escape(text)}</a>'


def _table(report: SuiteReport, folder: Path) -> str:
    heads = ("verdict", *report.names[:-1], *report.heads, report.names[-1])
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    rows = "".join(
        f'<tr class="{run.verdict.value}"><td><span class="v {run.verdict.value}">{run.verdict.value}</span></td>'
        f"<td>{html.escape(run.family)}</td><td>{_link(run, folder, run.run)}</td><td>{html.escape(run.outcome)}</td>"
        + "".join(f"<td class=nowrap>{html.escape(cell)}</td>" for cell in run.cells)
        + f"<td class=why>{html.escape(run.reason)}</td></tr>"
        for run in report.runs
    )
    return f"<div class=scroll><table class=wide><tr>{top}</tr>{rows}</table></div>"


def _coverage(rows: Sequence[CoverageRow]) -> str:
    if not rows:
        return ""
    n_applied = sum(row.n_applied > 0 for row in rows)
    return (
        f"<section><h2>Faults</h2><p class=note>{n_applied} of the {len(rows)} faults of the catalogue were applied "
        f"(blue).</p>{coverage_chips(rows)}</section>"
    )
