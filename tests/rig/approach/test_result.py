"""What runs come to: shares, percentiles, the verdict, the table, the JSON."""

import io

import msgspec
import pytest
from rich.console import Console

from rig.approach.result import ApproachResult, Outcome, SuiteResult, misses, summarise
from rig.approach.seeds import lines_of
from rig.approach.table import print_suite


def result(
    run: int, outcome: Outcome = "alerted", *, reason: str = "", verdict: str = "", late_s: float | None = 2.0
) -> ApproachResult:
    return ApproachResult(
        family="on_foot",
        run=run,
        seed=1,
        outcome=outcome,
        victim_outcome="warned" if outcome != "silent" else "not_warned",
        late_s=late_s,
        warning_s=100.0 - run,
        verdict=verdict or ("PASS" if outcome == "alerted" else "FAIL"),
        reason=reason,
        about="by the test",
    )


def test_thirty_four_of_thirty_five_pass_where_the_miss_is_explained() -> None:
    runs = [result(n) for n in range(34)]
    assert summarise([*runs, result(34, "partly", reason="she was not warned")]).summary.verdict == "PASS"
    assert summarise([*runs, result(34, "partly")]).summary.verdict == "FAIL"
    assert summarise([*runs, result(34, "silent", reason="nothing came")]).summary.verdict == "FAIL"
    assert summarise([*runs[:33], *(result(n, "partly", reason="late") for n in (33, 34))]).summary.verdict == "FAIL"


def test_a_broken_bench_is_no_verdict_about_the_product() -> None:
    runs = [result(n) for n in range(34)]
    assert summarise([*runs, result(34, "silent", reason="no broker", verdict="ERROR")]).summary.verdict == "ERROR"


def test_nothing_played_is_no_pass() -> None:
    assert summarise([]).summary.verdict == "FAIL"


def test_percentiles_are_values_that_were_there() -> None:
    summary = summarise([result(n, late_s=float(n)) for n in range(1, 21)]).summary
    assert summary.late_s is not None
    assert (summary.late_s.p50, summary.late_s.p95, summary.late_s.max) == (10.0, 19.0, 20.0)
    assert summary.warning_s is not None
    # Of warning times the short ones are the bad ones.
    assert (summary.warning_s.p50, summary.warning_s.min) == (90.0, 80.0)


def test_json_is_what_the_contract_of_the_suite_says() -> None:
    made = summarise([result(1), result(2, "partly", reason="late", late_s=None)])
    data = msgspec.json.decode(msgspec.json.encode(made))
    assert set(data) == {"runs", "summary"}
    assert {"family", "run", "seed", "outcome", "victim_outcome", "late_s", "warning_s", "verdict", "reason"} <= set(
        data["runs"][0]
    )
    assert data["summary"]["alerted"] == 1
    assert msgspec.json.decode(msgspec.json.encode(made), type=SuiteResult) == made


@pytest.mark.parametrize("width", [70, 120, 200])
def test_the_table_has_the_trials_columns_and_every_miss(width: int) -> None:
    made = summarise([result(1), result(2, "partly", reason="she was not warned by 180.5 s")])
    console = Console(file=io.StringIO(), width=width)
    print_suite(made, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "on foot" in text
    assert "on_foot-2 (by the test): partly, FAIL:" in text.replace("\n", " ")
    assert "FAIL: 1 of 2 alerted" in text
    if width >= 120:
        assert "victim unit" in text
        assert "51%" in text


def test_a_seed_is_a_line_and_its_misses() -> None:
    made = summarise([result(1), result(2, "partly", reason="she was not warned")])
    assert misses(made.runs) == [made.runs[1]]
    head, line = lines_of(7, made)
    assert head.startswith("seed 7: 1 of 2 alerted, 1 partly, 0 silent")
    assert line == "  on_foot-2 (by the test): partly, FAIL: she was not warned"
