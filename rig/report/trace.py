"""A run as trace events, for Perfetto (ui.perfetto.dev) and chrome://tracing: where each alert spent its time.

One process a device with a thread for each stage, one for the bench, one for what the protected person felt, and the
distance of each pair as a counter. Times are microseconds since the story's zero. Slices of one thread nest or do not
touch, as the readers want it: what overlaps otherwise gets a thread beside it. Format: "Trace Event Format", the JSON
object form.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rig.demo.latency import HOPS, HopTimes
from rig.report.gather import PHASES, by_alert, kept_alerts, zone_names
from rig.report.lanes import bench_states, felt_states
from rig.report.words import alert_name
from rig.runs.load import LoadedRun
from rig.runs.record import AlertSeen
from rig.truth.findings import RunVerdict
from rig.truth.verdict import Verdict

Json = dict[str, Any]
"""An event: the format's own keys."""

_BENCH: Final = "bench"
_FELT: Final = "protected person"
_FIRST_TID: Final = 1001
_COUNTER_STEPS: Final = 600
"""Values of a counter over the whole story."""


class _Writer:
    """Gives out process and thread numbers, and writes events in order."""

    def __init__(self) -> None:
        self.events: list[Json] = []
        self._pids: dict[str, int] = {}
        self._threads: dict[tuple[str, str, int], int] = {}
        self._ends_us: dict[tuple[str, str], list[float]] = {}

    def pid(self, process: str) -> int:
        if process not in self._pids:
            pid = self._pids[process] = len(self._pids) + 1
            self._meta(pid, pid, "process_name", name=process)
            self._meta(pid, pid, "process_sort_index", sort_index=pid)
        return self._pids[process]

    def _tid(self, process: str, thread: str, lane: int) -> int:
        key = (process, thread, lane)
        if key not in self._threads:
            # readers take a thread whose number is that of a process for its main thread
            tid = self._threads[key] = _FIRST_TID + len(self._threads)
            name = thread if not lane else f"{thread} ({lane + 1})"
            self._meta(self.pid(process), tid, "thread_name", name=name)
            self._meta(self.pid(process), tid, "thread_sort_index", sort_index=tid)
        return self._threads[key]

    def _meta(self, pid: int, tid: int, kind: str, **args: str | int) -> None:
        self.events.append({"ph": "M", "pid": pid, "tid": tid, "ts": 0, "name": kind, "args": args})

    def slice(self, process: str, thread: str, name: str, from_us: float, to_us: float, args: Json) -> None:
        """Add a slice; on the first lane of the thread that is free by then."""
        # to the nanosecond, as readers count: what ends where the next begins must not reach into it
        from_us, to_us = round(from_us, 3), round(to_us, 3)
        ends = self._ends_us.setdefault((process, thread), [])
        lane = next((i for i, end_us in enumerate(ends) if end_us <= from_us), len(ends))
        ends[lane : lane + 1] = [max(to_us, from_us)]
        self._add("X", process, self._tid(process, thread, lane), name, from_us, args, dur=round(to_us - from_us, 3))

    def instant(self, process: str, thread: str, name: str, at_us: float, args: Json, *, scope: str = "t") -> None:
        """Add a moment; scope g reaches over all tracks."""
        self._add("i", process, self._tid(process, thread, 0), name, at_us, args, s=scope)

    def counter(self, process: str, name: str, at_us: float, value: float) -> None:
        """Add a value of a counter."""
        self._add("C", process, self.pid(process), name, at_us, {"value": value})

    def _add(self, kind: str, process: str, tid: int, name: str, at_us: float, args: Json, **more: float | str) -> None:
        event: Json = {"ph": kind, "pid": self.pid(process), "tid": tid, "ts": round(at_us, 3), "name": name}
        self.events.append({**event, "cat": process.split(" ")[0], **more, "args": args})


def write_trace(path: Path, run: LoadedRun, verdict: RunVerdict) -> None:
    """Write ``trace.json``."""
    path.write_text(json.dumps(trace(run, verdict), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def trace(run: LoadedRun, verdict: RunVerdict) -> Json:
    """Return the trace of a run."""
    writer = _Writer()
    writer.pid(_BENCH)
    _bench(run, writer)
    _alerts(run, verdict, writer)
    _felt(run, writer)
    _distances(run, writer)
    meta = [event for event in writer.events if event["ph"] == "M"]
    rest = sorted((event for event in writer.events if event["ph"] != "M"), key=lambda event: float(event["ts"]))
    about = {
        "title": run.scenario.title,
        "verdict": verdict.verdict.value,
        "pace": run.file.pace,
        "seed": str(run.file.seed),
        **{f"version {name}": version for name, version in run.file.versions.items()},
    }
    return {"traceEvents": [*meta, *rest], "displayTimeUnit": "ms", "otherData": about}


def _bench(run: LoadedRun, writer: _Writer) -> None:
    for state, happened in bench_states(run.events, run.scenario.duration_s):
        from_us, to_us = happened.from_s * 1e6, happened.to_s * 1e6
        if to_us > from_us:
            writer.slice(_BENCH, state.lane, state.text, from_us, to_us, {})
        writer.instant(_BENCH, state.lane, state.text, from_us, {}, scope="g")
    for event in run.events:
        if event.what == "note":
            writer.instant(_BENCH, "notes", event.detail or event.what, event.t_s * 1e6, {"device": event.device or ""})


def _alerts(run: LoadedRun, verdict: RunVerdict, writer: _Writer) -> None:
    names, kept = zone_names(run.scenario), kept_alerts(run)
    by_index = by_alert(verdict)
    for seen, is_kept in zip(run.record.alerts, kept, strict=True):
        finding = by_index.get(seen.index)
        name = f"{seen.index + 1} {alert_name(seen.alert, names.get(seen.alert.zone_id or ''))}"
        args = {
            "phase": PHASES[seen.msg_type],
            "reason": seen.reason,
            "topic": seen.topic,
            "verdict": (Verdict.UNSET if finding is None else finding.verdict).value,
            "why": "" if finding is None else finding.reason,
            "kept while the broker was gone": is_kept,
        }
        process = f"device {seen.trace.device_id}"
        times = run.record.times[seen.index] if seen.index < len(run.record.times) else None
        for hop, from_us, to_us in _hops(run, seen, times):
            writer.slice(process, hop, name, from_us, to_us, {**args, "took_ms": round((to_us - from_us) / 1e3, 3)})
        writer.instant(process, "alerts", f"{name} · {PHASES[seen.msg_type]}", seen.alert.t_s * 1e6, args, scope="p")


def _hops(run: LoadedRun, seen: AlertSeen, times: HopTimes | None) -> Iterator[tuple[str, float, float]]:
    """Yield each hop with its begin and end, counted back from the subscriber's stamp.

    Latencies pass on the machine's clock, the story on the tags': at a pace of x10 a millisecond stays one.
    """
    if times is None:
        return
    end_us = seen.alert.t_s * 1e6
    for hop, took_ms in reversed(list(zip(HOPS, times.hops_ms, strict=True))):
        if math.isnan(took_ms):
            return
        yield hop, end_us - took_ms * 1e3, end_us
        end_us -= took_ms * 1e3


def _felt(run: LoadedRun, writer: _Writer) -> None:
    for state in felt_states(run.record.felt, run.scenario.duration_s):
        writer.slice(_FELT, state.lane, state.text, state.from_s * 1e6, state.to_s * 1e6, {"level": state.grade})


def _distances(run: LoadedRun, writer: _Writer) -> None:
    scenario = run.scenario
    step_s = scenario.duration_s / _COUNTER_STEPS
    for order in scenario.order:
        wearer = scenario.find_person(order.wearer)
        for ring in order.protected:
            protected = scenario.find_person(ring.device)
            if wearer is None or protected is None:
                continue
            his, hers = scenario.track(wearer), scenario.track(protected)
            for i in range(_COUNTER_STEPS + 1):
                a, b = his.at(i * step_s), hers.at(i * step_s)
                distance_m = math.hypot(a.east_m - b.east_m, a.north_m - b.north_m)
                name = f"distance {order.wearer} to {ring.device} (m)"
                writer.counter(_BENCH, name, i * step_s * 1e6, round(distance_m, 2))
