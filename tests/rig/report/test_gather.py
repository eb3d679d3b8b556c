"""From the folder of a run to what its page shows."""

import math
from pathlib import Path

import pytest

from protocols.mqtt.messages import AlertKind
from rig.report.gather import gather, verdict_sentence
from rig.report.page import render
from rig.truth.findings import RunVerdict
from rig.truth.verdict import Verdict
from tests.rig.report.support import bench_event, empty_run, loaded_run, story, verdict_of


def test_the_fixes_come_from_the_bytes_of_the_line_with_their_ellipses(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    report = gather(run, verdict_of(run))
    wearer = next(p for p in report.people if p.wearer)
    assert len(wearer.fixes) > 45
    # the story's cellar: no fix until it is over
    assert not [f for f in wearer.fixes if 311 < f.t_s < 340]
    assert all(f.major_m >= f.minor_m > 0 for f in wearer.fixes)
    assert len({round(f.angle_rad, 3) for f in wearer.fixes}) > 3
    # the ellipses that are drawn hold the truth about 19 times of 20
    track = run.scenario.track(run.scenario.person[0])
    inside = 0
    for fix in wearer.fixes:
        truth = track.at(fix.t_s)
        east, north = truth.east_m - fix.east_m, truth.north_m - fix.north_m
        along = east * math.cos(fix.angle_rad) + north * math.sin(fix.angle_rad)
        across = north * math.cos(fix.angle_rad) - east * math.sin(fix.angle_rad)
        inside += math.hypot(along / fix.major_m, across / fix.minor_m) <= 2.4477
    assert inside / len(wearer.fixes) > 0.8


def test_the_bars_of_the_truth_follow_from_the_tracks(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    states = gather(run, verdict_of(run)).states
    school = [s for s in states if s.lane == "in School grounds"]
    assert len(school) == 1
    _, expected = story()
    entered = next(e for e in expected if e.kind is AlertKind.EXCLUSION_ZONE_ENTERED and not e.cleared)
    assert school[0].from_s == pytest.approx(entered.t_true_s, abs=1.5)
    bands = [s.grade for s in states if s.lane == "proximity (wearer)"]
    assert {1, 2} <= set(bands)
    assert [s.text for s in states if s.lane == "st-17 warns her"] == ["alarm, warning"]
    assert any("no fix" in s.text for s in states if s.lane == "device tag-4711")


def test_what_the_bench_did_has_lanes_and_a_moment_is_wide_enough_to_be_seen(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    report = gather(run, verdict_of(run))
    bars = {s.lane: s for s in report.states if s.grade == 0}
    assert set(bars) == {"fault serial.bit_flip", "no broker", "fault device.reboot"}
    assert (bars["no broker"].from_s, bars["no broker"].to_s) == (372, 524)
    assert "rate 0.01" in bars["fault serial.bit_flip"].text
    assert bars["fault device.reboot"].to_s > 550
    assert report.lanes.index("no broker") > report.lanes.index("proximity (wearer)")
    covered = [row.fault_id for row in report.coverage if row.n_applied]
    assert covered == ["serial.bit_flip", "device.reboot"]
    assert len(report.coverage) > 30
    # alerts that were submitted while the broker was gone tell nothing of the bridge's speed
    assert not any(mark.kept for mark in report.alerts)


def test_a_fault_without_an_end_lasts_a_moment_and_a_broker_that_stays_away_lasts(tmp_path: Path) -> None:
    run = loaded_run(tmp_path, events=[bench_event(500, "broker_down")])
    bar = next(s for s in gather(run, verdict_of(run)).states if s.lane == "no broker")
    assert (bar.from_s, bar.to_s) == (500, 600)


def test_a_missing_alert_is_a_problem_with_a_moment(tmp_path: Path) -> None:
    run = loaded_run(tmp_path, keep=lambda e: e.kind is not AlertKind.STRAP_TAMPER)
    report = gather(run, verdict_of(run))
    assert report.verdict is Verdict.FAIL
    assert [p.text for p in report.problems] == ["strap tamper (tag-4711): it never came: the strap is cut"]
    assert report.problems[0].at_s == pytest.approx(297, abs=3)
    assert [w.lane for w in report.windows if w.missing] == ["strap tamper"]
    assert report.verdict_text.startswith("1 of 23 things")


def test_equal_problems_lead_to_their_own_moments(tmp_path: Path) -> None:
    run = loaded_run(tmp_path, keep=lambda e: e.kind is not AlertKind.PROXIMITY_BREACH)
    report = gather(run, verdict_of(run))
    moments = [p.at_s for p in report.problems]
    assert len(moments) == 16
    assert len(set(moments)) == 6


def test_measurements_are_told_with_their_outcome(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    report = gather(run, verdict_of(run))
    latency, unmeasured = report.measurements
    assert (latency.value, latency.margin, latency.outcome) == (230.0, 20.0, "MARGINAL")
    assert unmeasured.outcome == "UNSET"
    assert math.isnan(unmeasured.value)
    assert "Near its limit: alert_latency" in report.verdict_text


def test_nothing_at_all_still_makes_a_page(tmp_path: Path) -> None:
    report = gather(empty_run(tmp_path), RunVerdict(verdict=Verdict.UNSET))
    assert report.tiles[0] == ("judged", "0", "nothing was judged")
    text = render(report)
    assert "Nothing was demanded, so nothing is proved." in text
    assert "No alert was received." in text


def test_the_sentence_of_each_verdict() -> None:
    assert verdict_sentence(RunVerdict(verdict=Verdict.ERROR, problems=("no epoch",))) == "The bench could not judge."
    assert "proved" in verdict_sentence(RunVerdict(verdict=Verdict.UNSET))
    assert verdict_sentence(RunVerdict(verdict=Verdict.FAIL)) == "A measurement is beyond its limit."


def test_a_damaged_capture_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    run = loaded_run(tmp_path)
    (tmp_path / "captures" / "broken.tagcap").write_bytes(b"not a capture")
    report = gather(run, verdict_of(run))
    assert any("broken.tagcap" in note for note in report.notes)
    assert all(p.fixes for p in report.people)
