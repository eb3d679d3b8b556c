"""Limits, measurements, and how many findings become one verdict."""

from pathlib import Path

import pytest

from rig.errors import RigError, ScenarioError
from rig.truth.findings import (
    Finding,
    Limit,
    Measurement,
    RunVerdict,
    conclude,
    read_verdict,
    span_text,
    together,
    write_verdict,
)
from rig.truth.verdict import Verdict


def finding(verdict: Verdict, received_s: float | None = 1.0, reason: str = "late by 340 ms") -> Finding:
    return Finding(
        what="proximity",
        check="window",
        side="tag",
        subject="tag-1",
        received_s=received_s,
        verdict=verdict,
        reason=reason,
    )


def measured(*values: float, limit: str | None = "<= 250", marginal: str | None = "<= 200") -> Measurement:
    series = tuple((float(i), float(value)) for i, value in enumerate(values))
    return Measurement(name="alert_latency", unit="ms", limit=limit, marginal=marginal, series=series)


@pytest.mark.parametrize(
    ("text", "value", "holds", "margin"),
    [
        ("<= 250", 250, True, 0),
        ("< 250", 250, False, 0),
        (">= 3", 2, False, -1),
        (" > -1.5e1 ", 0, True, 15),
        ("== 0", 0, True, 0),
        ("== 0", 2, False, -2),
    ],
)
def test_limits(text: str, value: float, holds: bool, margin: float) -> None:
    limit = Limit.parse(text)
    assert limit.holds(value) is holds
    assert limit.margin(value) == pytest.approx(margin)


@pytest.mark.parametrize("text", ["250", "=< 250", "<= much", "<= 1.2.3", ""])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match="Expected one of <= >= < > =="):
        Limit.parse(text)


def test_a_measurement_is_its_worst_value() -> None:
    good = measured(20, 180, 90)
    assert (good.worst, good.margin, good.verdict, good.is_marginal) == (180, 70, Verdict.PASS, False)
    assert measured(20, 230).is_marginal
    bad = measured(20, 251)
    assert (bad.verdict, bad.is_marginal) == (Verdict.FAIL, False)
    least = measured(3, 7, limit=">= 5", marginal=None)
    assert (least.worst, least.verdict) == (3, Verdict.FAIL)
    assert measured(5, 1, 3, 2, 4, limit=None).percentile(0.5) == 3


def test_without_values_or_limit_nothing_is_green() -> None:
    assert measured().verdict is Verdict.UNSET
    assert measured().worst is None
    assert measured(1.0, limit=None).verdict is Verdict.UNSET


def test_verdicts_come_together() -> None:
    every = [Verdict.PASS, Verdict.SKIPPED, Verdict.FAIL, Verdict.ERROR]
    assert together(every) is Verdict.ERROR
    assert together(every[:3]) is Verdict.FAIL
    assert together(every[:2]) is Verdict.PASS
    assert together([]) is Verdict.UNSET


def test_a_run_concludes_by_its_worst_and_says_why() -> None:
    verdict = conclude([finding(Verdict.FAIL, 9.0), finding(Verdict.PASS, 3.0)], [measured(10)])
    assert verdict.verdict is Verdict.FAIL
    assert [each.received_s for each in verdict.findings] == [3.0, 9.0]
    assert verdict.problems == ("proximity (tag-1) at 9.0 s: late by 340 ms",)
    beyond = conclude([finding(Verdict.PASS)], [measured(10, 300)])
    assert beyond.problems == ("alert_latency: 300 ms is not <= 250 ms",)
    assert conclude([finding(Verdict.SKIPPED)]).verdict is Verdict.UNSET
    assert conclude([], errors=["no tag"]).verdict is Verdict.ERROR
    marginal = conclude([finding(Verdict.PASS)], [measured(230)])
    assert (marginal.verdict, len(marginal.marginal)) == (Verdict.PASS, 1)
    assert marginal.find("alert_latency") is marginal.marginal[0]
    assert marginal.find("none") is None


def test_a_verdict_is_kept_as_a_file_and_read_again(tmp_path: Path) -> None:
    verdict = conclude([finding(Verdict.FAIL), finding(Verdict.PASS, None)], [measured(10, 20)])
    path = tmp_path / "verdict.json"
    write_verdict(path, verdict)
    assert read_verdict(path) == verdict
    before = path.read_bytes()
    write_verdict(path, read_verdict(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [None, "{}", "no JSON"])
def test_what_is_no_verdict_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "verdict.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RigError, match=r"not a verdict: .*Next"):
        read_verdict(path)


def test_times_as_people_say_them() -> None:
    assert span_text(0.34) == "340 ms"
    assert span_text(12.345) == "12.3 s"
    assert RunVerdict(verdict=Verdict.PASS).problems == ()
