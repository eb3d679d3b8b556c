"""A run of the demo's story as its folder tells it: real tags' bytes in captures, every alert as it was owed."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from devices.capture import CaptureHeader, CaptureWriter, RecordKind, capture_path
from rig.demo.latency import HopTimes
from rig.demo.settings import STORY, DemoSettings, judge_policy
from rig.emulator.clock import NS_PER_S, SEEDED_START_UTC_NS
from rig.emulator.firmware import AnkleTagFirmware, TagConfig
from rig.report.words import alert_name
from rig.runs.folder import CAPTURES_FOLDER, BenchEvent, RoleEntry, RunFile, Scalar
from rig.runs.load import LoadedRun
from rig.runs.record import Felt, RunRecord
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import expected_alerts
from rig.truth.findings import Finding, Measurement, RunVerdict, conclude
from rig.truth.verdict import Verdict
from tests.rig.support import run_tag, wire
from tests.rig.test_report import as_received

START_MONO_NS = 7_000_000_000
"""The run's clock at the story's zero."""


@lru_cache(maxsize=1)
def story() -> tuple[Scenario, tuple[ExpectedAlert, ...]]:
    """The demo's scenario and what it owes; worked out once."""
    scenario = load_scenario(STORY)
    expected = expected_alerts(scenario, judge_policy(scenario, DemoSettings(folder=Path("runs/demo-1"), speed=1)))
    return scenario, tuple(e for e in expected if e.required)


@lru_cache(maxsize=1)
def _lines() -> dict[str, tuple[tuple[float, bytes], ...]]:
    """What the story's tags write in 600 s, one report every 10 s."""
    scenario, _ = story()
    lines = {}
    for i, person in enumerate(scenario.person):
        config = TagConfig(seed=i + 1, start_utc_ns=SEEDED_START_UTC_NS, interval_s=10.0)
        tag = AnkleTagFirmware(config, scenario.track(person), scenario.actions(person))
        sent = run_tag(tag, scenario.duration_s)
        lines[person.device] = tuple((item.epoch.t_ns / NS_PER_S, wire([item])) for item in sent)
    return lines


def write_captures(folder: Path) -> None:
    """Write the captures of a run on virtual time: stamps are the story's."""
    for device, lines in _lines().items():
        header = CaptureHeader(
            device_id=device, transport="pty:/dev/pts/0", tagrig_version="1", t_start_mono_ns=START_MONO_NS,
            t_start_utc_ns=SEEDED_START_UTC_NS,
        )  # fmt: skip
        writer = CaptureWriter(capture_path(folder / CAPTURES_FOLDER, device, SEEDED_START_UTC_NS), header)
        for t_s, data in lines:
            ns = round(t_s * NS_PER_S)
            writer.write(RecordKind.RECEIVED, data, t_mono_ns=START_MONO_NS + ns, t_utc_ns=SEEDED_START_UTC_NS + ns)
        writer.close()


def bench_event(t_s: float, what: str, **more: str | dict[str, Scalar] | None) -> BenchEvent:
    return BenchEvent(t_s=t_s, t_mono_ns=START_MONO_NS + round(t_s * NS_PER_S), what=what, **more)  # type: ignore[arg-type]


EVENTS = (
    bench_event(100, "fault_applied", fault="serial.bit_flip", device="tag-4711", parameters={"rate": 0.01}),
    bench_event(140, "fault_ended", fault="serial.bit_flip", device="tag-4711"),
    bench_event(372, "broker_down"),
    bench_event(524, "broker_up"),
    bench_event(550, "fault_applied", fault="device.reboot", device="tag-4711"),
)


def loaded_run(
    folder: Path,
    *,
    keep: Callable[[ExpectedAlert], bool] = lambda _: True,
    events: Sequence[BenchEvent] = EVENTS,
    pace: str = "virtual",
) -> LoadedRun:
    """A run of the story in which what ``keep`` says was received."""
    scenario, expected = story()
    write_captures(folder)
    record = as_received(scenario, [e for e in expected if keep(e)])
    record.messages = len(record.alerts) + 900
    record.times = [
        HopTimes(hops_ms=(0.2 + i, 0.3, 1.0, 0.01, 2.0), total_ms=3.51 + i) for i, _ in enumerate(record.alerts)
    ]
    record.felt = [
        Felt(t_s=184, tag="st-17", level=2, mode="warning", text="nearby"),
        Felt(t_s=220, tag="st-17", level=0, mode="idle", text=None),
    ]
    return LoadedRun(
        folder=folder,
        file=run_file(pace),
        scenario=scenario,
        record=record,
        policy=judge_policy(scenario, DemoSettings(folder=folder, speed=1)),
        events=tuple(events),
    )


def run_file(pace: str = "virtual") -> RunFile:
    return RunFile(
        title="A walk",
        suite="approach",
        family="on_foot",
        run="3",
        seed=17,
        parameters={"speed_mps": 1.4},
        pace=pace,
        roles=(
            RoleEntry(role="offender", device="tag-4711", kind="emulated", firmware="2.4.1"),
            RoleEntry(role="victim", device="pp-17", kind="emulated"),
        ),
        versions={"tagrig": "0.1.0"},
        start_mono_ns=START_MONO_NS,
        start_utc_ns=SEEDED_START_UTC_NS,
        allowance_s=1.5,
        faults=("serial.bit_flip",),
    )


LATENCY = Measurement(
    name="alert_latency", unit="ms", limit="<= 250", marginal="<= 200", series=((42.0, 16.0), (75.0, 230.0))
)
UNMEASURED = Measurement(name="warning_latency", unit="s", limit="<= 2")


def verdict_of(run: LoadedRun, *more: Finding) -> RunVerdict:
    """Findings for every alert that the story owes, as a judge gives them."""
    _, expected = story()
    alerts = list(run.record.alerts)
    findings = []
    for e in expected:
        seen = next(
            (
                s
                for s in alerts
                if (s.alert.kind, s.alert.cleared, s.alert.side, s.alert.band) == (e.kind, e.cleared, e.side, e.band)
                and e.earliest_s <= s.alert.t_s <= e.latest_s
            ),
            None,
        )
        if seen is not None:
            alerts.remove(seen)
        findings.append(
            Finding(
                what=alert_name(e, e.zone_id),
                check="window",
                side=e.side,
                subject=e.subject,
                earliest_s=e.earliest_s,
                latest_s=e.latest_s,
                received_s=None if seen is None else seen.alert.t_s,
                verdict=Verdict.FAIL if seen is None else Verdict.PASS,
                reason=f"it never came: {e.reason}" if seen is None else e.reason,
                margin_s=None if seen is None else e.latest_s - seen.alert.t_s,
                index=None if seen is None else seen.index,
            )
        )
    silence = Finding(
        what="silence · proximity", check="silence", side="tag", subject="tag-4711", earliest_s=0.0, latest_s=140.0,
        verdict=Verdict.PASS, reason="silence kept: he was <far> away",
    )  # fmt: skip
    optional = Finding(
        what="location lost", check="window", side="tag", subject="pp-17", earliest_s=3.0, latest_s=9.0,
        verdict=Verdict.SKIPPED, reason="may come, did not",
    )  # fmt: skip
    return conclude([*findings, silence, optional, *more], [LATENCY, UNMEASURED])


def empty_run(folder: Path) -> LoadedRun:
    """A run of which nothing is left but its scenario."""
    scenario, _ = story()
    bare = Scenario(title="Nobody came", duration_s=30.0, origin=scenario.origin, person=[])
    return LoadedRun(
        folder=folder,
        file=run_file(),
        scenario=bare,
        record=RunRecord(start_mono_ns=START_MONO_NS),
        policy=judge_policy(bare, DemoSettings(folder=folder, speed=1)),
        events=(),
    )
