"""Runs on virtual time: the real bridge, broker and subscriber; right, wrong on purpose, and the same twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocols.mqtt.messages import AlertKind
from rig.errors import BenchBrokenError, RigError, ScenarioError
from rig.play.run import JudgedRun, judge, play
from rig.play.settings import Planted, PlaySettings, Source
from rig.runs.load import read_lines
from rig.runs.received import Received
from rig.scenario import Scenario
from rig.truth.verdict import Verdict
from tests.rig.play.scenes import RING, ZONE, fault, scene

pytestmark = pytest.mark.needs("mosquitto")


def run(scenario: Scenario, folder: Path, **settings: object) -> JudgedRun:
    folder.mkdir()
    play(scenario, replace(PlaySettings(folder=folder, lean=True), **settings))  # type: ignore[arg-type]
    return judge(folder)


def alerts(folder: Path) -> list[tuple[str, int, bytes]]:
    return [
        (message.topic, message.t_sub_mono_ns, bytes(message.payload))
        for message in read_lines(folder / "messages.jsonl", Received)
        if message.topic.endswith(("/alert", "/warning"))
    ]


@pytest.fixture(scope="module")
def zone_run(tmp_path_factory: pytest.TempPathFactory) -> JudgedRun:
    folder = tmp_path_factory.mktemp("zone")
    return run(scene(folder, ZONE), folder / "run")


@pytest.fixture(scope="module")
def ring_run(tmp_path_factory: pytest.TempPathFactory) -> JudgedRun:
    folder = tmp_path_factory.mktemp("ring")
    return run(scene(folder, RING), folder / "run", lean=False)


def test_a_walk_through_a_zone_is_told_as_the_truth_wants(zone_run: JudgedRun) -> None:
    assert zone_run.verdict.verdict is Verdict.PASS, zone_run.verdict.problems
    kinds = [(seen.alert.kind, seen.alert.cleared) for seen in zone_run.run.record.alerts]
    assert kinds == [(AlertKind.EXCLUSION_ZONE_ENTERED, False), (AlertKind.EXCLUSION_ZONE_ENTERED, True)]


def test_a_run_file_says_what_ran(zone_run: JudgedRun) -> None:
    file = zone_run.run.file
    assert (file.pace, file.speed, file.broker, file.planted) == ("virtual", 1.0, "mosquitto", {})
    assert [(role.role, role.device, role.kind) for role in file.roles] == [("offender", "tag-1", "emulated")]
    names = {path.name for path in zone_run.run.folder.iterdir()}
    assert {"run.json", "scenario.toml", "bench.toml", "bridge.toml", "zones.geojson", "captures"} <= names
    assert {"journal.jsonl", "messages.jsonl", "truth-tag-1.jsonl", "events.jsonl", "verdict.json"} <= names


def test_the_same_seed_gives_the_same_alerts_to_the_byte(zone_run: JudgedRun, tmp_path: Path) -> None:
    again = run(scene(tmp_path, ZONE), tmp_path / "run")
    assert alerts(again.run.folder) == alerts(zone_run.run.folder)
    other = run(scene(tmp_path, ZONE), tmp_path / "other", seed=6)
    assert alerts(other.run.folder) != alerts(zone_run.run.folder)
    assert other.verdict.verdict is Verdict.PASS, other.verdict.problems


def test_her_smart_tag_warns_her_over_the_emulated_radio(ring_run: JudgedRun) -> None:
    assert ring_run.verdict.verdict is Verdict.PASS, ring_run.verdict.problems
    assert {felt.level for felt in ring_run.run.record.felt} >= {0, 1, 2}
    assert (ring_run.run.folder / "radio" / "hci0.btsnoop").stat().st_size > 1000


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        (Planted(delay_alerts_s=1.0), "late by 750 ms"),
        (Planted(withheld_zones=("z-park",)), "it never came"),
        (Planted(deaf_device="tag-1"), "it never came"),
    ],
)
def test_a_mistake_in_the_bridge_is_found(planted: Planted, reason: str, tmp_path: Path) -> None:
    judged = run(scene(tmp_path, ZONE), tmp_path / "run", planted=planted)
    assert judged.verdict.verdict is Verdict.FAIL
    assert any(reason in finding.reason for finding in judged.verdict.findings), judged.verdict.problems
    assert judged.run.file.planted == planted.words


def test_a_zone_that_is_not_there_cannot_be_withheld(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="'z-moon' cannot be withheld: expected one of: z-park"):
        run(scene(tmp_path, ZONE), tmp_path / "run", planted=Planted(withheld_zones=("z-moon",)))


def test_what_happens_while_the_broker_is_gone_comes_once_it_is_back(tmp_path: Path) -> None:
    outage = "\n[[broker_outage]]\nat_s = 8\nlasts_s = 40\n"
    judged = run(scene(tmp_path, ZONE, outage), tmp_path / "run")
    assert judged.verdict.verdict is Verdict.PASS, judged.verdict.problems
    assert [event.what for event in judged.run.events] == ["broker_down", "broker_up"]
    assert [seen.alert.t_s for seen in judged.run.record.alerts if seen.alert.t_s < 48] == []
    assert len(judged.run.record.alerts) == 2


def test_faults_of_line_clock_and_broker_are_played_and_written_down(tmp_path: Path) -> None:
    faults = (
        fault("serial.garbage", 2, 4, "tag-1")
        + fault("serial.disconnect", 7, 2, "tag-1")
        + fault("clock.step", 10, 5)
        + fault("broker.down", 20, 10)
        + fault("broker.no_ack", 50, 2)
    )
    judged = run(scene(tmp_path, ZONE, faults), tmp_path / "run")
    assert judged.verdict.verdict is Verdict.PASS, judged.verdict.problems
    told = [(event.what, event.fault, event.t_s) for event in judged.run.events]
    assert told == [
        ("fault_applied", "serial.garbage", 2.0),
        ("fault_ended", "serial.garbage", 6.0),
        ("fault_applied", "serial.disconnect", 7.0),
        ("fault_ended", "serial.disconnect", 9.0),
        ("fault_applied", "clock.step", 10.0),
        ("fault_ended", "clock.step", 15.0),
        ("fault_applied", "broker.down", 20.0),
        ("fault_ended", "broker.down", 30.0),
        ("fault_skipped", "broker.no_ack", 50.0),
    ]
    assert "processes in real time" in judged.run.events[-1].detail
    assert judged.run.file.faults == ("serial.garbage", "serial.disconnect", "clock.step", "broker.down")


def test_a_fault_of_the_air_is_played(tmp_path: Path) -> None:
    judged = run(scene(tmp_path, RING, fault("ble.out_of_range", 5, 3, "st-1")), tmp_path / "run")
    assert [event.what for event in judged.run.events] == ["fault_applied", "fault_ended"]
    assert "line lost" not in judged.verdict.problems
    log = (judged.run.folder / "bench.log").read_text()
    assert "st-1" in log


def test_a_recording_speaks_for_a_device(zone_run: JudgedRun, tmp_path: Path) -> None:
    """What the tag of another run said, at its times, brings the same alerts."""
    capture = next((zone_run.run.folder / "captures").glob("*.tagcap"))
    settings = {"tag-1": Source(kind="replay", transport=f"replay:{capture}?pace=recorded")}
    folder = tmp_path / "run"
    folder.mkdir()
    file = play(scene(tmp_path, ZONE), PlaySettings(folder=folder, lean=True, sources=settings, tail_s=1.0))
    assert file.roles[0].kind == "replay"
    assert len(alerts(folder)) == 2


def test_bytes_with_times_speak_for_a_device_and_progress_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    seen: list[tuple[float, float]] = []
    sources = {"tag-1": Source(kind="replay", chunks=((1.0, b"$GPRMC,garbage*00\r\n"), (2.0, b"\x00\xff\x00")))}
    settings = PlaySettings(folder=folder, lean=True, sources=sources)
    play(scene(tmp_path, ZONE), settings, on_progress=lambda *at: seen.append(at))
    assert {json.loads(body)["data"]["kind"] for _, _, body in alerts(folder)} == {"comms_lost", "location_lost"}
    (capture,) = (folder / "captures").iterdir()
    assert b"garbage" in capture.read_bytes()
    assert [t for t, _ in seen[:3]] == [0.0, 5.0, 10.0]
    assert {end for _, end in seen} == {76.0}


def test_a_real_device_knows_no_virtual_time(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"tag-1 is real, and knows no virtual time. Next: --pace real"):
        run(scene(tmp_path, ZONE), tmp_path / "run", sources={"tag-1": Source(kind="real", transport="serial:/dev/x")})


def test_a_smart_tag_out_of_reach_from_the_start_breaks_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: object, bearers: object) -> object:
        async def nothing() -> None:
            return

        return nothing()

    monkeypatch.setattr("rig.play.radio.RunRadio.switch_on_tags", silent)
    with pytest.raises(BenchBrokenError, match="not up within 30 s: no link to st-1"):
        run(scene(tmp_path, RING), tmp_path / "run")


def test_the_embedded_kind_of_broker_does_as_well(tmp_path: Path) -> None:
    judged = run(
        scene(tmp_path, ZONE, "\n[[broker_outage]]\nat_s = 8\nlasts_s = 40\n"), tmp_path / "run", broker="nats"
    )
    assert judged.run.file.broker == "nats"
    assert judged.verdict.verdict is Verdict.PASS, judged.verdict.problems
