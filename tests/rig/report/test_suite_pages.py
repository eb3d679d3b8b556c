"""What the suites leave: pages and JUnit from their results."""

import xml.etree.ElementTree as ET
from pathlib import Path

from rig.approach import pages as approach_pages
from rig.approach.result import ApproachResult, summarise
from rig.nij import pages as nij_pages
from rig.nij.clauses import Clause
from rig.truth.findings import Measurement
from rig.truth.verdict import Verdict
from tests.rig.report.test_junit import parse


def result(run: int, folder: Path, **changes: object) -> ApproachResult:
    values = {
        "family": "by_car", "run": run, "seed": 5, "outcome": "alerted", "victim_outcome": "warned", "late_s": 0.2,
        "warning_s": 130.0, "verdict": "PASS", "reason": "", "about": "at 31 m/s", "folder": str(folder),
    }  # fmt: skip
    return ApproachResult(**{**values, **changes})  # type: ignore[arg-type]


def test_the_approach_suite_has_a_page_and_a_case_a_run(tmp_path: Path) -> None:
    (tmp_path / "by_car-1").mkdir()
    (tmp_path / "by_car-1" / "report.html").touch()
    suite = summarise(
        [
            result(1, tmp_path / "by_car-1"),
            result(2, tmp_path / "by_car-2", outcome="silent", verdict="FAIL", reason="late by 340 ms", warning_s=None),
        ]
    )
    text = approach_pages.write_page(suite, tmp_path, seed=5, pace="virtual").read_text()
    assert '<a href="by_car-1/report.html">1</a>' in text
    # no link to a page that was not written
    assert "by_car-2/report.html" not in text
    assert "1 of 2 alerted, 0 partly, 1 silent." in text
    assert "2:10 min" in text
    approach_pages.write_suite_junit(suite, tmp_path / "junit.xml", seed=5)
    root = parse((tmp_path / "junit.xml").read_bytes())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "silent: late by 340 ms"
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert (properties["alerted"], properties["measurement.true_to_told.s"]) == ("1", "0.2")


def test_the_clauses_have_a_page_and_a_case_each(tmp_path: Path) -> None:
    clauses = [
        Clause(
            number=number, what=number, mark="F2",
            measurement=Measurement(name=number, unit="s", limit="<= 5", series=((0.0, value),)),
        )
        for number, value in (("5.4.1", 0.3), ("5.3.1", 9.0))
    ]  # fmt: skip
    text = nij_pages.write_page(clauses, Verdict.FAIL, tmp_path).read_text()
    assert "1 of 2 clauses are kept." in text
    assert "At a glance" not in text
    nij_pages.write_suite_junit(clauses, tmp_path / "junit.xml")
    root: ET.Element = parse((tmp_path / "junit.xml").read_bytes())
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
