"""Summary, exports, and the page of a suite."""

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from protocols.nmea import NmeaDecoder
from protocols.nmea.checksum import checksum
from protocols.rejects import Reject
from protocols.reports import Fix, FixState
from rig.cli.export import command
from rig.demo.settings import STORY
from rig.report.export import whole_lines
from rig.report.gather import coverage_rows
from rig.report.suite import Share, SuiteReport, SuiteRun, render_suite, write_suite
from rig.report.summary import summary
from rig.report.write import write_records
from rig.runs.folder import EVENTS_FILE, SCENARIO_FILE, write_run_file
from rig.truth.verdict import Verdict
from tests.rig.report.support import EVENTS, loaded_run, run_file, verdict_of, write_captures


def test_the_summary_is_plain_numbers(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    data = json.loads(json.dumps(summary(run, verdict_of(run))))
    assert data["verdict"] == "PASS"
    assert data["findings"] == {"PASS": 23, "FAIL": 0, "ERROR": 0, "SKIPPED": 1, "UNSET": 0}
    assert data["latency_ms"]["whole way"] == {"count": 22, "p50": 13.51, "p95": 23.51, "p99": 24.51, "max": 24.51}
    assert [m["outcome"] for m in data["measurements"]] == ["MARGINAL", "UNSET"]
    assert data["faults"] == ["device.reboot", "serial.bit_flip"]
    assert (data["seed"], data["family"], data["alerts"][0]["t_s"]) == (17, "on_foot", run.record.alerts[0].alert.t_s)


def test_the_files_for_programs_are_written_together(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    write_records(run, verdict_of(run))
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"junit.xml", "summary.json", "trace.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with captures, a radio capture and no message."""
    run = tmp_path / "run-1"
    run.mkdir()
    write_captures(run)
    write_run_file(run, run_file())
    shutil.copyfile(STORY, run / SCENARIO_FILE)
    (run / "bridge.toml").write_text(
        '[policy]\nexit_margin_m = 10.0\n[[device]]\nid = "tag-4711"\nkind = "ankle_tag"\n'
    )
    (run / EVENTS_FILE).write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in EVENTS))
    (run / "radio").mkdir()
    (run / "radio" / "hci0.btsnoop").write_bytes(b"btsnoop\0" + bytes([0, 0, 0, 1, 0, 0, 3, 0xEA]))
    return run


def test_the_exported_text_is_what_the_line_carried(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    names = [Path(each["path"]).name for each in json.loads(done.output)["files"]]
    assert names == ["pp-17.nmea", "tag-4711.nmea", "hci0.btsnoop", "trace.json"]
    reports = NmeaDecoder().feed((tmp_path / "out" / "tag-4711.nmea").read_bytes())
    assert not [r for r in reports if isinstance(r, Reject)]
    assert len([r for r in reports if isinstance(r, Fix) and r.state is FixState.POSITION]) > 45
    assert (tmp_path / "out" / "hci0.btsnoop").read_bytes().startswith(b"btsnoop")


def test_stamped_lines_tell_who_and_when(folder: Path) -> None:
    done = CliRunner().invoke(command, [str(folder), "--stamped"])
    assert done.exit_code == 0, done.output
    assert "no verdict" in done.output
    lines = (folder / "export" / "tag-4711.nmea").read_bytes().splitlines()
    for line in lines[:50]:
        match = re.fullmatch(rb"\\(s:tag-4711,c:(\d+))\*([0-9A-F]{2})\\\$.*", line)
        assert match is not None, line
        assert checksum(match[1]) == int(match[3], 16)


def test_what_is_no_run_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path)])
    assert done.exit_code == 2
    assert "Expected the folder of a run" in done.output


def test_lines_are_joined_over_chunks_and_nothing_is_lost() -> None:
    chunks = [(1, b"$A"), (2, b"B\r\n$C\n$"), (3, b"D"), (4, b"x" * 5000)]
    lines = list(whole_lines(iter(chunks)))
    assert lines[:2] == [(1, b"$AB"), (2, b"$C")]
    assert b"".join(line for _, line in lines[2:]) == b"$D" + b"x" * 5000


def suite_report(folder: Path) -> SuiteReport:
    runs = [
        SuiteRun(
            family="on_foot", run="1", outcome="alerted", verdict=Verdict.PASS, cells=("12 ms",), folder=folder / "a"
        ),
        SuiteRun(
            family="on_foot", run="2", outcome="silent", verdict=Verdict.FAIL, reason="late by <340 ms>", cells=("–",)
        ),
    ]
    return SuiteReport(
        title="Approach", about="Ours & nobody's", verdict=Verdict.FAIL, sentence="1 of 2 alerted.", heads=("latency",),
        runs=runs, tiles=[("alerted", "50 %", "")], coverage=coverage_rows(EVENTS),
        shares=[Share(name="trial", parts=(("alerted", 0.51), ("partly", 0.23), ("silent", 0.26)))],
    )  # fmt: skip


def test_the_page_of_a_suite_links_to_the_runs_and_has_no_script(tmp_path: Path) -> None:
    path = write_suite(tmp_path, suite_report(tmp_path))
    text = path.read_text()
    assert path.name == "index.html"
    assert '<a href="a/report.html">1</a>' in text
    assert "<script" not in text
    assert "late by &lt;340 ms&gt;" in text
    assert "alerted 51%" in text
    assert "2 of the" in text
    elsewhere = render_suite(suite_report(tmp_path / "elsewhere"), tmp_path / "here")
    assert f'href="{(tmp_path / "elsewhere" / "a" / "report.html").as_uri()}"' in elsewhere
