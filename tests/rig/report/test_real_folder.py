"""A run that was really played: everything that its report shows comes from its folder."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from rig.cli.export import command
from rig.errors import RunFolderError
from rig.play.run import judge, play
from rig.play.settings import Planted, PlaySettings
from rig.report.write import write_report
from rig.runs.folder import VERDICT_FILE
from rig.truth.findings import read_verdict
from tests.rig.play.scenes import RING, scene
from tests.rig.report.test_junit import parse
from tests.rig.report.test_trace import check

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose bridge was made to be a second late."""
    parent = tmp_path_factory.mktemp("run")
    run = parent / "played"
    run.mkdir()
    play(scene(parent, RING), PlaySettings(folder=run, planted=Planted(delay_alerts_s=1.0)))
    judge(run)
    moved = parent / "moved"
    # reports read the folder and nothing that only the run itself knew
    run.rename(moved)
    return moved


def test_a_late_alert_is_red_in_every_output(folder: Path) -> None:
    verdict = read_verdict(folder / VERDICT_FILE)
    text = write_report(folder, verdict).read_text()
    assert '<span class="verdict FAIL">FAIL</span>' in text
    assert "late by 750 ms" in text
    assert "delay_alerts_s" in text
    root = parse((folder / "junit.xml").read_bytes())
    assert int(root.get("failures", "0")) > 0
    events = check(json.loads((folder / "trace.json").read_text()))
    slow = [e for e in events if e["ph"] == "X" and e["args"].get("took_ms", 0) >= 1000]
    assert slow
    assert {e["args"]["verdict"] for e in slow} == {"FAIL"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"] == "FAIL"
    assert summary["latency_ms"]["whole way"]["p50"] >= 1000


def test_what_was_exported_can_be_read_by_others(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(p.suffix for p in tmp_path.iterdir()).count(".nmea") == 2
    assert any(line.startswith("$GNRMC") for line in (tmp_path / "tag-1.nmea").read_text().splitlines())


def test_a_damaged_folder_is_refused_by_file_and_line(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken, ignore=shutil.ignore_patterns("ports", "*.sock"))
    with (broken / "events.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(RunFolderError, match=r"events\.jsonl, line \d+"):
        write_report(broken, read_verdict(broken / VERDICT_FILE))
