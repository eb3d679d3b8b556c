"""The demo as its users meet it: real processes, a real broker, a real subscriber, a verdict."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig.support import ROOT
from tests.support import wait_until

SHORT = ROOT / "fixtures" / "scenarios" / "into_a_zone.toml"


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from rig.cli import main; main()", "demo", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, out, err


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def seconds(clock_text: str) -> int:
    minutes, rest = clock_text.split(":")
    return 60 * int(minutes) + int(rest)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.long
def test_the_whole_story_passes_and_leaves_its_report(tmp_path: Path) -> None:
    code, out, err = ended(demo("--out", str(tmp_path), "--speed", "20"))
    assert code == 0, out + err
    for words in ("School grounds", "strap tamper", "location lost", "inclusion zone left", "proximity breach", "p99"):
        assert words in out
    for step in ("st-17 warns her: nearby · alarm", "warning acknowledged · alarm", "the broker is killed"):
        assert step in out
    assert "PASS  All 22 alerts" in out
    assert "all 7 were kept" in out
    folder = tmp_path / "demo-1"
    assert str(folder / "report.html") in out
    page = (folder / "report.html").read_text()
    assert '<span class="verdict PASS">' in page
    summary = json.loads((folder / "summary.json").read_text())
    # while he is in the cellar she may also be told that nobody can say whether he is near
    assert (summary["expected"], summary["received"]) == (22, 23)
    # the second approach: she is warned while the broker is gone, the provider learns of it later
    second = [w for w in summary["warnings"] if w["what"] == "alarm"][1]
    assert seconds(second["done"]) < 372 + 152 <= seconds(second["provider told"])
    assert all(ms < 1000 for ms in summary["fix_to_tag_ms"])
    for hop in ("emit→rx", "rx→decoded", "decoded→judged", "submitted→subscriber", "whole way"):
        assert summary["latency_ms"][hop]["count"] >= 13
        assert summary["latency_ms"][hop]["p50"] > 0
    # no wearer-side message tells where the protected person is, or how far
    for line in (folder / "messages.jsonl").read_text().splitlines():
        message: dict[str, Any] = json.loads(line)
        if "/tag/" in message["topic"]:
            assert "distance_m" not in json.dumps(message["payload"])
            assert "bearing_deg" not in json.dumps(message["payload"])


@pytest.mark.long
def test_a_zone_withheld_from_the_bridge_is_missed_by_name(tmp_path: Path) -> None:
    code, out, err = ended(
        demo("--out", str(tmp_path), "--scenario", str(SHORT), "--withhold-zone", "z-park", "--json", "--speed", "20")
    )
    assert code == 1, out + err
    summary = json.loads(out)
    assert summary["verdict"] == "FAIL"
    assert summary["missing"] == 2
    assert summary["unexpected"] == summary["untimely"] == 0
    assert any("exclusion zone entered · Park" in text for text in summary["problems"])
    assert '<span class="verdict FAIL">' in Path(summary["report"]).read_text()


@pytest.mark.long
def test_a_bridge_that_dies_is_a_broken_bench_and_leaves_nothing_running(tmp_path: Path) -> None:
    process = demo("--out", str(tmp_path), "--scenario", str(SHORT))
    wait_until(lambda: _bridge(process) is not None, within_s=30, what="the bridge process")
    wait_until(lambda: (tmp_path / "demo-1" / "messages.jsonl").exists(), within_s=30, what="the story")
    everybody = children_of(process)
    bridge = _bridge(process)
    assert bridge is not None
    bridge.kill()
    code, _, err = ended(process)
    assert code == 3
    assert "the bridge process ended with exit code -9" in err
    wait_until(lambda: gone(everybody), within_s=10, what="the end of all children")


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_its_children_end_too(tmp_path: Path, how: signal.Signals) -> None:
    process = demo("--out", str(tmp_path), "--scenario", str(SHORT))
    wait_until(lambda: (tmp_path / "demo-1" / "messages.jsonl").exists(), within_s=30, what="the story")
    everybody = children_of(process)
    assert len(everybody) >= 4
    process.send_signal(how)
    code, _, err = ended(process)
    if how is signal.SIGINT:
        assert code == 130
        assert "stopped" in err
        assert not list((tmp_path / "demo-1" / "ports").iterdir())
    wait_until(lambda: gone(everybody), within_s=10, what="the end of all children")


def _bridge(process: subprocess.Popen[str]) -> psutil.Process | None:
    for child in children_of(process):
        try:
            if "bridge" in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--withhold-zone", "z-nowhere"], "z-home, z-school"),
        (["--scenario", "pyproject.toml"], "pyproject.toml"),
        (["--speed", "0"], "--speed"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(tmp_path: Path, arguments: list[str], words: str) -> None:
    code, _, err = ended(demo("--out", str(tmp_path), *arguments))
    assert code == 2
    assert words in err
