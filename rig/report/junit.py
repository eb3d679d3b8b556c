"""JUnit XML of runs, for the viewers of CI systems: one suite a run, one case a finding, measurements as properties.

FAIL is a failure, ERROR and UNSET are errors (what was not judged is never green), SKIPPED is skipped. The layout is
that of the ``junit-10`` schema that Jenkins publishes, which other readers keep to.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rig.errors import RigError
from rig.report.words import clock_text, span_text
from rig.truth.findings import Finding, Measurement, RunVerdict
from rig.truth.verdict import Verdict

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped: text of a device may hold any byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JunitRun:
    """One run: names, duration, start (0: not told), what a reader wants to know of it, its verdict."""

    suite: str
    name: str
    duration_s: float
    start_utc_ns: int
    verdict: RunVerdict
    facts: Sequence[tuple[str, str]] = ()


def write_junit(path: Path, runs: Iterable[JunitRun], *, name: str = "tagrig") -> None:
    """Write the file.

    Raises
    ------
    RigError
        It cannot be written.
    """
    data = junit_xml(runs, name=name)
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise RigError(f"{path}: the JUnit file cannot be written: {exc.strerror}. Next: another path") from exc


def junit_xml(runs: Iterable[JunitRun], *, name: str = "tagrig") -> bytes:
    """Return the file's bytes."""
    suites = [_suite(run) for run in runs]
    root = ET.Element("testsuites", {"name": _clean(name), **_sums(suites)})
    root.extend(suites)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _sums(suites: Sequence[ET.Element]) -> dict[str, str]:
    counts = ("tests", "failures", "errors", "skipped")
    sums = {key: str(sum(int(suite.get(key, "0")) for suite in suites)) for key in counts}
    # "skipped" of the whole is not in the schema
    del sums["skipped"]
    return {**sums, "time": f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}"}


def _suite(run: JunitRun) -> ET.Element:
    where = _clean(f"{run.suite}.{run.name}" if run.suite else run.name)
    cases = [_finding_case(where, finding) for finding in run.verdict.findings]
    # what has no limit is a property and nothing that could be green
    cases += [_measurement_case(where, each) for each in run.verdict.measurements if each.limit is not None]
    if not cases or run.verdict.verdict in {Verdict.ERROR, Verdict.UNSET}:
        cases.insert(0, _run_case(where, run.verdict))
    suite = ET.Element(
        "testsuite",
        {
            "name": where,
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
            "time": f"{run.duration_s:.3f}",
        },
    )
    if run.start_utc_ns:
        started = datetime.fromtimestamp(run.start_utc_ns // 1_000_000_000, UTC)
        suite.set("timestamp", f"{started:%Y-%m-%dT%H:%M:%S}")
    properties = ET.SubElement(suite, "properties")
    for key, value in (*run.facts, *_measured(run.verdict.measurements)):
        ET.SubElement(properties, "property", {"name": _clean(key), "value": _clean(value)})
    suite.extend(cases)
    return suite


def _measured(measurements: Iterable[Measurement]) -> Iterable[tuple[str, str]]:
    for each in measurements:
        if each.worst is not None:
            yield f"measurement.{each.name}.{each.unit}", f"{each.worst:.6g}"
        if each.limit is not None:
            yield f"measurement.{each.name}.limit", each.limit
            yield f"measurement.{each.name}.outcome", "MARGINAL" if each.is_marginal else each.verdict.value
        if each.margin is not None:
            yield f"measurement.{each.name}.margin", f"{each.margin:.6g}"


def _case(where: str, name: str, verdict: Verdict, message: str, text: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": where, "name": _clean(name), "time": "0"})
    message, text = _clean(message), _clean(text)
    if verdict is Verdict.FAIL:
        ET.SubElement(case, "failure", {"message": message, "type": "FAIL"}).text = text
    elif verdict in {Verdict.ERROR, Verdict.UNSET}:
        ET.SubElement(case, "error", {"message": message, "type": verdict.value}).text = text
    elif verdict is Verdict.SKIPPED:
        ET.SubElement(case, "skipped", {"message": message})
    return case


def _finding_case(where: str, finding: Finding) -> ET.Element:
    known = [t for t in (finding.earliest_s, finding.latest_s, finding.received_s) if t is not None]
    at = f" at {clock_text(known[0])}" if known else ""
    lines = [
        f"{finding.check} of {finding.subject}",
        f"owed between {_clock(finding.earliest_s)} and {_clock(finding.latest_s)}",
        f"came {_clock(finding.received_s)}",
        f"margin {'–' if finding.margin_s is None else span_text(finding.margin_s)}",
    ]
    return _case(
        where,
        f"{finding.what} ({finding.subject}){at}",
        finding.verdict,
        finding.reason or finding.verdict.value,
        "\n".join(lines),
    )


def _clock(t_s: float | None) -> str:
    return "–" if t_s is None else clock_text(t_s)


def _measurement_case(where: str, measurement: Measurement) -> ET.Element:
    worst = "no value" if measurement.worst is None else f"{measurement.worst:.6g} {measurement.unit}"
    message = f"{measurement.name}: {worst}, limit {measurement.limit or 'none'}"
    # what had no value in this run is told and not judged
    verdict = Verdict.SKIPPED if measurement.verdict is Verdict.UNSET else measurement.verdict
    return _case(where, f"measurement {measurement.name}", verdict, message, message)


def _run_case(where: str, verdict: RunVerdict) -> ET.Element:
    message = verdict.problems[0] if verdict.problems else "nothing was judged"
    return _case(where, "the run", verdict.verdict, message, "\n".join(verdict.problems))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
