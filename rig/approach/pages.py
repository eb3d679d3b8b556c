"""What the suite leaves for people and for CI: a page that links to every run's own, and JUnit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rig.approach.result import OUTCOMES, TRIAL, ApproachResult, SuiteResult
from rig.report.gather import coverage_rows
from rig.report.junit import JunitRun, write_junit
from rig.report.suite import Share, SuiteReport, SuiteRun, write_suite
from rig.report.words import clock_text, span_text
from rig.runs.folder import EVENTS_FILE, REPORT_FILE, BenchEvent
from rig.runs.load import read_lines
from rig.truth.findings import Finding, Measurement, conclude
from rig.truth.verdict import Verdict

_ABOUT: Final = (
    "Seven families of five approaches each, drawn anew by each seed. The scenarios of the police bench trial that "
    "they are measured by are not public; these are our own. A run is alerted when the provider's alert and the victim "
    "unit's warning both come within the windows that the true tracks allow, partly when one of the two does."
)


def write_page(result: SuiteResult, folder: Path, *, seed: int, pace: str) -> Path:
    """Write the suite's page into its folder."""
    summary = result.summary
    share = {"alerted": summary.alerted, "partly": summary.partly, "silent": summary.silent}
    tiles = [
        ("alerted to both", f"{summary.alerted} of {summary.runs}", f"{_percent(summary.alerted, summary.runs)}"),
        ("silent", str(summary.silent), "the trial: 26 % of its runs"),
        ("victim unit", f"{summary.victim_alerted} of {summary.runs}", "warned, or its lost cover told in time"),
    ]
    if summary.late_s is not None:
        remark = f"p95 {span_text(summary.late_s.p95)}, slowest {span_text(summary.late_s.max)}"
        tiles.append(("from true to told, median", span_text(summary.late_s.p50), remark))
    if summary.warning_s is not None:
        remark = f"one in twenty below {_span(summary.warning_s.p05)}, least {_span(summary.warning_s.min)}"
        tiles.append(("warning before contact, median", _span(summary.warning_s.p50), remark))
    report = SuiteReport(
        title="Approach suite",
        about=_ABOUT,
        verdict=Verdict(summary.verdict),
        sentence=f"{summary.alerted} of {summary.runs} alerted, {summary.partly} partly, {summary.silent} silent.",
        heads=("what is particular", "victim unit", "from true to told", "warning before contact"),
        runs=[_row(each) for each in result.runs],
        tiles=tiles,
        shares=[
            Share(
                name=f"This bench, {summary.runs} runs",
                parts=tuple((name, share[name] / max(1, summary.runs)) for name in OUTCOMES),
            ),
            Share(
                name="Police bench trial, 35 runs",
                parts=tuple((name, TRIAL[name]) for name in OUTCOMES),
                remark="other scenarios, other devices: a scale, no comparison of products",
            ),
        ],
        facts=[
            ("seed", str(seed)),
            ("pace", "virtual time" if pace == "virtual" else pace),
            ("simulated", "tags, positions and radio are emulated; bridge, broker and subscriber are real"),
        ],
        coverage=coverage_rows(list(_events(result))),
    )
    return write_suite(folder, report)


def write_suite_junit(result: SuiteResult, path: Path, *, seed: int) -> None:
    """Write one case a run; its lateness and its warning time as properties of the whole."""
    findings = [
        Finding(
            what=f"{each.family}-{each.run}: {each.about}",
            check="window",
            side="bench",
            subject=each.family,
            verdict=Verdict(each.verdict),
            reason=f"{each.outcome}: {each.reason}" if each.reason else each.outcome,
            margin_s=None,
        )
        for each in result.runs
    ]
    late = [(float(i), each.late_s) for i, each in enumerate(result.runs) if each.late_s is not None]
    warned = [(float(i), each.warning_s) for i, each in enumerate(result.runs) if each.warning_s is not None]
    measured = [
        Measurement(name="true_to_told", unit="s", series=tuple(late)),
        Measurement(name="warning_before_contact", unit="s", series=tuple(warned)),
    ]
    summary = result.summary
    facts = [("seed", str(seed))]
    facts += [(name, str(getattr(summary, name))) for name in ("alerted", "partly", "silent", "victim_alerted")]
    run = JunitRun(
        suite="approach", name=f"seed {seed}", duration_s=0.0, start_utc_ns=0,
        verdict=conclude(findings, measured), facts=facts,
    )  # fmt: skip
    write_junit(path, [run], name="approach")


def _row(result: ApproachResult) -> SuiteRun:
    folder = Path(result.folder) if result.folder else None
    return SuiteRun(
        family=result.family.replace("_", " "),
        run=str(result.run),
        outcome=result.outcome,
        verdict=Verdict(result.verdict),
        reason=result.reason,
        cells=(
            result.about,
            result.victim_outcome.replace("_", " "),
            "–" if result.late_s is None else span_text(result.late_s),
            "–" if result.warning_s is None else _span(result.warning_s),
        ),
        folder=folder if folder is not None and (folder / REPORT_FILE).exists() else None,
    )


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if abs(seconds) < 120 else f"{clock_text(seconds)} min"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _events(result: SuiteResult) -> Iterator[BenchEvent]:
    for each in result.runs:
        if each.folder:
            yield from read_lines(Path(each.folder) / EVENTS_FILE, BenchEvent)
