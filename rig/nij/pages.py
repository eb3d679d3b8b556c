"""What the suite leaves for people and for CI: a page of the clauses, and JUnit."""

import math
from collections.abc import Sequence
from pathlib import Path

from rig.nij.clauses import Clause
from rig.report.junit import JunitRun, write_junit
from rig.report.suite import SuiteReport, SuiteRun, write_suite
from rig.report.words import number_text
from rig.truth.findings import conclude
from rig.truth.verdict import Verdict


def write_page(clauses: Sequence[Clause], verdict: Verdict, folder: Path) -> Path:
    """Write the suite's page."""
    kept = sum(each.measurement.verdict is Verdict.PASS for each in clauses)
    report = SuiteReport(
        title="NIJ 1004.00, clauses known by number",
        about=(
            "The standard is known here by documents that quote it (F2). What the emulated receiver contributes is its "
            "profile's, not a real one's; bridge, broker and subscriber are real."
        ),
        verdict=verdict,
        sentence=f"{kept} of {len(clauses)} clauses are kept.",
        names=("clause", "what", "outcome", "what the figure stands for"),
        heads=("mark", "limit", "measured", "margin"),
        runs=[
            SuiteRun(
                family=each.number,
                run=each.what,
                outcome="MARGINAL" if each.measurement.is_marginal else each.measurement.verdict.value,
                verdict=each.measurement.verdict,
                reason=each.note,
                cells=(
                    each.mark,
                    f"{each.measurement.limit} {each.measurement.unit}",
                    number_text(math.nan if each.measurement.worst is None else each.measurement.worst),
                    number_text(math.nan if each.measurement.margin is None else each.measurement.margin + 0.0),
                ),
            )
            for each in clauses
        ],
    )
    return write_suite(folder, report)


def write_suite_junit(clauses: Sequence[Clause], path: Path) -> None:
    """Write one case a clause, what was measured as properties."""
    verdict = conclude((), [each.measurement for each in clauses])
    run = JunitRun(suite="", name="nij", duration_s=0.0, start_utc_ns=0, verdict=verdict)
    write_junit(path, [run], name="nij")
