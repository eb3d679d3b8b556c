"""Trace events as Perfetto's importer and chrome://tracing want them."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rig.demo.latency import HOPS
from rig.report.trace import trace, write_trace
from tests.rig.report.support import empty_run, loaded_run, verdict_of

REQUIRED = {
    "X": {"name", "ph", "pid", "tid", "ts", "dur"},
    "i": {"name", "ph", "pid", "tid", "ts", "s"},
    "C": {"name", "ph", "pid", "ts", "args"},
    "M": {"name", "ph", "pid", "args"},
}
"""Phases of the format that we use, and the keys that each must have."""


def nested(events: list[dict[str, Any]]) -> bool:
    """Whether slices of each thread nest or do not touch: others are drawn wrongly or dropped."""
    by_thread: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in events:
        if event["ph"] == "X":
            from_ns = round(event["ts"] * 1000)
            span = (from_ns, from_ns + round(event["dur"] * 1000))
            by_thread.setdefault((event["pid"], event["tid"]), []).append(span)
    for spans in by_thread.values():
        open_until: list[int] = []
        for from_ns, to_ns in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= from_ns:
                open_until.pop()
            if open_until and to_ns > open_until[-1]:
                return False
            open_until.append(to_ns)
    return True


def check(data: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = data["traceEvents"]
    assert data["displayTimeUnit"] in {"ms", "ns"}
    assert all(isinstance(value, str) for value in data["otherData"].values())
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    processes = {e["pid"] for e in events if e["name"] == "process_name"}
    assert not processes & {tid for _, tid in threads}
    for event in events:
        assert set(event) >= REQUIRED[event["ph"]]
        assert isinstance(event["pid"], int)
        assert event["pid"] in processes
        if event["ph"] in {"X", "i"}:
            assert isinstance(event["tid"], int)
            assert (event["pid"], event["tid"]) in threads
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "i":
            assert event["s"] in {"g", "p", "t"}
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
    times = [e["ts"] for e in events if e["ph"] != "M"]
    assert times == sorted(times)
    assert nested(events)
    return events


def test_a_run_is_a_trace_with_one_track_per_device_and_stage(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    write_trace(tmp_path / "trace.json", run, verdict_of(run))
    events = check(json.loads((tmp_path / "trace.json").read_text()))
    names = {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert names >= {*HOPS, "alerts", "no broker", "fault serial.bit_flip"}
    processes = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert processes == {"bench", "device tag-4711", "protected person"}
    counters = [e for e in events if e["ph"] == "C"]
    assert {e["name"] for e in counters} == {"distance tag-4711 to pp-17 (m)"}
    assert min(e["args"]["value"] for e in counters) < 65 < max(e["args"]["value"] for e in counters)
    moments = [e for e in events if e["ph"] == "i" and e.get("s") == "g"]
    assert {e["ts"] for e in moments} == {100e6, 372e6, 550e6}


def test_a_stage_takes_what_its_hop_took_and_ends_where_the_next_begins(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    events = check(trace(run, verdict_of(run)))
    mine = [e for e in events if e["ph"] == "X" and e["name"].startswith("1 ")]
    assert [e["args"]["took_ms"] for e in mine] == pytest.approx([0.2, 0.3, 1.0, 0.01, 2.0])
    for before, after in itertools.pairwise(mine):
        assert before["ts"] + before["dur"] == pytest.approx(after["ts"], abs=0.01)
    assert mine[-1]["ts"] + mine[-1]["dur"] == pytest.approx(run.record.alerts[0].alert.t_s * 1e6, abs=0.01)


def test_what_overlaps_gets_a_track_beside_it(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    crowd = [replace(s, alert=replace(s.alert, t_s=300 + i * 1e-3)) for i, s in enumerate(run.record.alerts)]
    run.record.alerts[:] = crowd
    events = check(trace(run, verdict_of(run)))
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert f"{HOPS[0]} (2)" in names


def test_an_empty_run_is_still_a_trace(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    check(trace(run, verdict_of(run)))
