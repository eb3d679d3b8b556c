"""The page of a run: complete, self-contained, and honest about what is missing."""

import math
import re
from pathlib import Path

import pytest

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.messages import AlertKind, BandName, MsgType, Trace
from rig.demo.latency import HOPS, HopTimes, TruthTail, hop_times, percentiles
from rig.demo.present import build_report, summary
from rig.demo.settings import STORY, DemoSettings, judge_policy
from rig.report.page import render
from rig.runs.record import AlertSeen, Felt, FixSeen, RunRecord
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import expected_alerts
from rig.truth.records import TruthEpoch, encode_record
from rig.truth.verdict import ReceivedAlert, Verdict, judge
from rig.truth.warned import Owed, WarningMatch

TRACE = Trace(boot_id="b", device_id="tag-4711", rx_mono_ns=0, decoded_mono_ns=0, judged_mono_ns=0, submitted_mono_ns=0)


@pytest.fixture(scope="module")
def story() -> tuple[Scenario, list[ExpectedAlert]]:
    scenario = load_scenario(STORY)
    settings = DemoSettings(folder=Path("runs/demo-1"), speed=10)
    return scenario, expected_alerts(scenario, judge_policy(scenario, settings))


def as_received(scenario: Scenario, expected: list[ExpectedAlert]) -> RunRecord:
    record = RunRecord(start_mono_ns=0)
    for e in expected:
        person = scenario.find_person(e.subject)
        assert person is not None
        at = scenario.track(person).at(e.t_true_s)
        index = len(record.alerts)
        record.fixes.append(
            FixSeen(device=e.subject, t_s=e.t_true_s, lat_deg=at.lat_deg, lon_deg=at.lon_deg, accuracy_m=2.0)
        )
        record.alerts.append(
            AlertSeen(
                index=index,
                topic=f"em/v1/demo/{e.side}/{e.subject}/alert",
                alert=ReceivedAlert(
                    kind=e.kind,
                    cleared=e.cleared,
                    side=e.side,
                    subject=e.subject,
                    zone_id=e.zone_id,
                    band=e.band,
                    t_s=e.t_true_s if e.earliest_s <= e.t_true_s else e.latest_s,
                    index=index,
                ),
                msg_type=MsgType.CANCEL if e.cleared else MsgType.ALERT,
                reason=f"because of <{e.kind}>",
                zone_name=None,
                distance_m=None,
                lat_deg=at.lat_deg,
                lon_deg=at.lon_deg,
                accuracy_m=2.0,
                trace=TRACE,
                t_sub_mono_ns=0,
                late=False,
                severity="Extreme",
            )
        )
        record.times.append(HopTimes(hops_ms=(0.2, 0.3, 1.0, 0.01, 2.0), total_ms=3.51))
    return record


OWED = Owed(
    smart_tag="st-17", level=WarnLevel.ALARM, earliest_s=180, from_s=190, until_s=210, t_true_s=181, reason="<near>"
)  # fmt: skip
WARNED = WarningMatch(owed=OWED, done_at_s=184, told_at_s=184)


def page(scenario: Scenario, expected: list[ExpectedAlert], record: RunRecord, *warnings: WarningMatch) -> str:
    settings = DemoSettings(folder=Path("runs/demo-1"), speed=10)
    judgement = judge(expected, [seen.alert for seen in record.alerts], allowance_s=10)
    hops, kept = percentiles(record.times), [False] * len(record.alerts)
    return render(build_report(scenario, settings, record, judgement, warnings, hops, kept, [("seed", "17")]))


def test_the_page_asks_nobody_for_anything(story: tuple[Scenario, list[ExpectedAlert]]) -> None:
    text = page(*story, as_received(*story))
    outside_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", outside_scripts)
    assert not re.search(r"<script[^>]+src=|<link[^>]+href=", text)
    assert "default-src 'none'" in text
    assert "connect-src" not in text
    assert "cdn.bokeh.org" not in text
    assert len(text) < 3_000_000


def test_the_page_holds_the_story(story: tuple[Scenario, list[ExpectedAlert]]) -> None:
    scenario, expected = story
    text = page(scenario, expected, as_received(scenario, expected))
    assert '<span class="verdict PASS">PASS</span>' in text
    for word in ("School grounds", "Home area", "strap tamper", "location lost", "pre-alert", "the strap is cut"):
        assert word in text
    for hop in HOPS:
        assert hop in text
    # what the bridge says is text, not markup
    assert "because of <strap" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_page_says_what_is_missing(story: tuple[Scenario, list[ExpectedAlert]]) -> None:
    scenario, expected = story
    record = as_received(scenario, [e for e in expected if e.kind is not AlertKind.STRAP_TAMPER])
    text = page(scenario, expected, record)
    assert '<span class="verdict FAIL">FAIL</span>' in text
    assert "missing: strap tamper: the strap is cut at 4:56" in text
    nothing = page(scenario, expected, RunRecord(start_mono_ns=0))
    assert "No alert was received." in nothing


def test_the_page_tells_of_warnings(story: tuple[Scenario, list[ExpectedAlert]]) -> None:
    scenario, expected = story
    record = as_received(scenario, expected)
    record.felt += [
        Felt(t_s=184, tag="st-17", level=2, mode="warning", text="nearby"),
        Felt(t_s=220, tag="st-17", level=0, mode="idle", text=None),
    ]
    good = page(scenario, expected, record, WARNED)
    assert '<span class="verdict PASS">PASS</span>' in good
    assert "all 1 were kept" in good
    assert "st-17 warns her" in good
    assert "&lt;near&gt;" in good
    bad = page(scenario, expected, record, WARNED, WarningMatch(owed=OWED, done_at_s=None))
    assert '<span class="verdict FAIL">FAIL</span>' in bad
    assert "1 of 2 were not kept" in bad
    assert "the tag did not warn with alarm" in bad


def test_the_summary_is_plain_numbers(story: tuple[Scenario, list[ExpectedAlert]]) -> None:
    scenario, expected = story
    record = as_received(scenario, expected)
    judgement = judge(expected, [seen.alert for seen in record.alerts], allowance_s=10)
    settings = DemoSettings(folder=Path("runs/demo-1"), speed=10)
    data = summary(settings, record, judgement, [WARNED], percentiles(record.times), [])
    assert data["verdict"] == "PASS"
    assert data["expected"] == 22
    assert data["received"] == len(expected)
    assert data["latency_ms"]["whole way"] == {"count": len(expected), "p50": 3.51, "p99": 3.51}
    assert [(w["tag"], w["what"], w["verdict"]) for w in data["warnings"]] == [("st-17", "alarm", "PASS")]
    assert {a["band"] for a in data["alerts"]} >= {BandName.PRE_ALERT.value, None}


def epoch(sequence: int, write_ns: int) -> bytes:
    return encode_record(
        TruthEpoch(
            sequence=sequence, t_s=float(sequence), t_utc_ns=0, stored=False, true_lat_deg=0.0, true_lon_deg=0.0,
            lat_deg=None, lon_deg=None, sigma_m=None, t_write_mono_ns=write_ns, bytes_written=1, bytes_lost=0,
        )
    )  # fmt: skip


def test_hops_count_from_the_write_that_was_received(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    tail = TruthTail(log)
    tail.read_on()
    log.write_bytes(epoch(1, 1_000_000_000) + epoch(2, 1_100_000_000)[:40])
    tail.read_on()
    assert [e.sequence for e in tail.epochs] == [1]
    log.write_bytes(epoch(1, 1_000_000_000) + epoch(2, 1_100_000_000))
    tail.read_on()
    assert [e.sequence for e in tail.epochs] == [1, 2]
    trace = Trace(
        boot_id="b",
        device_id="tag-4711",
        rx_mono_ns=1_100_300_000,
        decoded_mono_ns=1_100_500_000,
        judged_mono_ns=1_101_500_000,
        submitted_mono_ns=1_101_600_000,
    )
    times = hop_times(trace, 1_104_000_000, tail, kind=AlertKind.STRAP_TAMPER, cleared=False)
    assert times.hops_ms == pytest.approx((0.3, 0.2, 1.0, 0.1, 2.4))
    assert times.total_ms == pytest.approx(4.0)
    by_deadline = hop_times(trace, 1_104_000_000, tail, kind=AlertKind.LOCATION_LOST, cleared=False)
    assert [math.isnan(v) for v in by_deadline.hops_ms] == [True, True, True, False, False]
    assert math.isnan(by_deadline.total_ms)


def test_percentiles_are_values_that_occurred() -> None:
    times = [HopTimes(hops_ms=(float(i), math.nan, 0.0, 0.0, 0.0), total_ms=float(i)) for i in range(1, 101)]
    rows = {row.name: row for row in percentiles(times)}
    assert (rows[HOPS[0]].count, rows[HOPS[0]].p50_ms, rows[HOPS[0]].p99_ms) == (100, 50.0, 99.0)
    assert rows[HOPS[1]].count == 0
    assert math.isnan(rows[HOPS[1]].p99_ms)


def test_verdict_names() -> None:
    assert {v.value for v in Verdict} == {"PASS", "FAIL", "ERROR", "SKIPPED", "UNSET"}
