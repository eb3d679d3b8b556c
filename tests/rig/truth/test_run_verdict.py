"""The verdict of runs made by hand: a right bridge passes whatever the errors, a wrong one does not; and why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from protocols.mqtt.messages import AlertKind, BandName
from rig.runs.folder import BenchEvent
from rig.runs.record import RunRecord
from rig.scenario import Scenario
from rig.truth.excuses import Excuses
from rig.truth.findings import Finding, RunVerdict
from rig.truth.run_verdict import judge_run
from rig.truth.verdict import Verdict
from tests.rig.truth.scene import Scene, make, pair_text, played, policy, shifted, walk_text, with_alerts

THROUGH = "{at_m=[0,0], wait_s=10}, {at_m=[200,0], t_s=160}"
SEEDS = range(3)


def wrong(verdict: RunVerdict) -> list[Finding]:
    return [each for each in verdict.findings if each.verdict is Verdict.FAIL]


def judged(scenario: Scenario, record: RunRecord, *events: BenchEvent) -> RunVerdict:
    return judge_run(scenario, policy(scenario), record, events)


STORIES: dict[str, Callable[[], str]] = {
    "through a zone": lambda: walk_text(THROUGH),
    "a fix every 15 s": lambda: walk_text(THROUGH, interval=15),
    "out of an inclusion zone and back": lambda: walk_text(
        "{at_m=[100,0], wait_s=10}, {at_m=[180,0], t_s=80}, {at_m=[100,0], t_s=160}", purpose="inclusion"
    ),
    "unseen for 40 s": lambda: walk_text(THROUGH, events='{at_s=60, do="gnss_lost", lasts_s=40}'),
    "off for 40 s": lambda: walk_text(THROUGH, events='{at_s=60, do="power_off", lasts_s=40}'),
    "towards her": lambda: pair_text(),
    "towards her, a fix every 15 s": lambda: pair_text(interval=15),
    "towards her in town": lambda: pair_text(profile="urban", interval=5),
    "along the ring": lambda: pair_text("{at_m=[-205,0]}, {at_m=[-198,0], t_s=250}", tag=""),
    "away for 20 s": lambda: pair_text(events='{at_s=100, do="gnss_lost", lasts_s=6}'),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_a_right_bridge_passes_whatever_the_errors(tmp_path: Path, story: Callable[[], str]) -> None:
    scenario = make(tmp_path, story())
    for seed in SEEDS:
        verdict = judged(scenario, played(scenario, seed).record)
        assert verdict.verdict is Verdict.PASS, (seed, verdict.problems)


@pytest.mark.soak
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_a_right_bridge_passes_in_many_draws(tmp_path: Path, story: Callable[[], str]) -> None:
    scenario = make(tmp_path, story())
    for seed in range(100, 140):
        verdict = judged(scenario, played(scenario, seed).record)
        assert verdict.verdict is Verdict.PASS, (seed, verdict.problems)


@pytest.mark.parametrize("name", ["through a zone", "towards her", "towards her, a fix every 15 s"])
def test_each_alert_that_is_a_second_late_is_found(tmp_path: Path, name: str) -> None:
    scenario = make(tmp_path, STORIES[name]())
    scene = played(scenario, 3)
    assert scene.record.alerts
    for late in scene.record.alerts:
        others = [each for each in scene.record.alerts if each.index != late.index]
        verdict = judged(scenario, with_alerts(scene, [*others, shifted(late, 1.0)]))
        assert verdict.verdict is Verdict.FAIL
        found = [each for each in wrong(verdict) if each.check == "promptness"]
        assert any(each.reason.startswith("late by 770 ms: 1020 ms from the report that shows it") for each in found)
        assert "late by 770 ms" in verdict.problems[0]


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return played(make(tmp_path_factory.mktemp("through"), walk_text(THROUGH)), 1)


@pytest.fixture(scope="module")
def approach(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return played(make(tmp_path_factory.mktemp("approach"), pair_text()), 1)


@given(which=st.integers(0, 11), by_s=st.floats(-60, 60).filter(lambda s: abs(s) > 0.6))
@settings(max_examples=20)
def test_an_alert_out_of_its_time_is_always_found(approach: Scene, which: int, by_s: float) -> None:
    alerts = list(approach.record.alerts)
    moved = alerts.pop(which % len(alerts))
    verdict = judged(approach.scenario, with_alerts(approach, [*alerts, shifted(moved, by_s)]))
    if by_s > 0:
        assert verdict.verdict is Verdict.FAIL
    else:
        # before any report shows it, but near the line: reports near it may show either side
        early = moved.alert.t_s + by_s
        windows = [f for f in verdict.findings if f.check == "window" and f.received_s == pytest.approx(early)]
        inside = all(f.earliest_s is not None and f.earliest_s <= early for f in windows) and windows
        assert verdict.verdict is Verdict.FAIL or inside


@pytest.mark.parametrize("which", range(6))
def test_an_alert_that_is_missing_is_always_found(approach: Scene, which: int) -> None:
    alerts = list(approach.record.alerts)
    gone = alerts.pop(which % len(alerts))
    verdict = judged(approach.scenario, with_alerts(approach, alerts))
    assert verdict.verdict is Verdict.FAIL
    # a nearer ring that is told later says it too, too late
    reasons = [f.reason for f in wrong(verdict) if f.subject == gone.alert.subject]
    assert any("never" in reason or reason.startswith("late by") for reason in reasons)


@given(t_s=st.floats(1, 45))
@settings(max_examples=8)
def test_silence_is_owed_where_he_is_far(approach: Scene, t_s: float) -> None:
    scene = replace_scene(approach)
    for band, on in ((BandName.PRE_ALERT, True), (BandName.CLEAR, False)):
        at_s = t_s if on else t_s + 0.5
        scene.tell(at_s, AlertKind.PROXIMITY_BREACH, "tag-1", on=on, band=band, about="pp-1", cause="tag-1")
    verdict = judged(scene.scenario, with_alerts(scene, scene.record.alerts))
    assert verdict.verdict is Verdict.FAIL
    stray = next(f for f in wrong(verdict) if f.check == "silence")
    assert stray.reason.startswith(("must not have fired: he was 2", "early by"))
    assert "m away" in stray.reason


def replace_scene(scene: Scene) -> Scene:
    """Copy a scene whose alerts may be added to."""
    return Scene(
        scenario=scene.scenario, policy=scene.policy, record=replace(scene.record, alerts=list(scene.record.alerts))
    )


@pytest.mark.parametrize(
    "kind",
    [
        AlertKind.STRAP_TAMPER,
        AlertKind.BATTERY_LOW,
        AlertKind.COMMS_LOST,
        AlertKind.COVER_LOST,
        AlertKind.PROTECTED_PERSON_NOT_WARNED,
        AlertKind.BEACON_HEARD,
        AlertKind.SOS,
    ],
)
def test_what_nothing_brings_must_not_come(approach: Scene, kind: AlertKind) -> None:
    scene = replace_scene(approach)
    subject = "tag-1" if kind in {AlertKind.STRAP_TAMPER, AlertKind.BATTERY_LOW} else "pp-1"
    scene.tell(30.0, kind, subject, on=True, about="tag-1" if subject == "pp-1" else None)
    verdict = judged(scene.scenario, with_alerts(scene, scene.record.alerts))
    assert verdict.verdict is Verdict.FAIL
    assert any(f.reason.startswith("must not have fired") for f in wrong(verdict))


def test_a_zone_that_is_ignored_says_so(through: Scene) -> None:
    verdict = judged(through.scenario, replace(through.record, alerts=[]))
    assert verdict.verdict is Verdict.FAIL
    window = next(f for f in wrong(verdict) if f.check == "window")
    assert window.reason == "it never came: he was up to 40 m inside Park"
    assert any(f.reason.startswith("never told: the report of") for f in wrong(verdict))


def test_messages_that_came_twice_are_one(through: Scene) -> None:
    """The contract is at least once: a copy with the same id says nothing new; another message does."""
    first = through.record.alerts[0]
    copy = shifted(first, 0.05)
    assert judged(through.scenario, with_alerts(through, [*through.record.alerts, copy])).verdict is Verdict.PASS
    other = replace(copy, event_id="other")
    verdict = judged(through.scenario, with_alerts(through, [*through.record.alerts, other]))
    assert [f.reason for f in wrong(verdict)] == ["told again though nothing had changed"]


def test_a_broker_that_is_gone_excuses_what_waited_and_nothing_else(tmp_path: Path) -> None:
    outage = "[[broker_outage]]\nat_s = 50\nlasts_s = 40\n"
    scenario = make(tmp_path, walk_text(THROUGH) + outage)
    scene = played(scenario, 1)
    entered, left = scene.record.alerts
    assert 50 < entered.alert.t_s < 90
    waited = shifted(entered, 92 - entered.alert.t_s)
    assert judged(scenario, with_alerts(scene, [waited, left])).verdict is Verdict.PASS
    too_late = shifted(entered, 99 - entered.alert.t_s)
    assert judged(scenario, with_alerts(scene, [too_late, left])).verdict is Verdict.FAIL
    assert judged(scenario, with_alerts(scene, [waited, shifted(left, 1)])).verdict is Verdict.FAIL


def test_a_fault_on_the_line_excuses_what_cannot_be_known(tmp_path: Path) -> None:
    scenario = make(tmp_path, walk_text(THROUGH))
    scene = played(scenario, 1)
    events = [
        BenchEvent(t_s=40, t_mono_ns=0, what="fault_applied", fault="serial.stall", device="tag-1"),
        BenchEvent(t_s=100, t_mono_ns=0, what="fault_ended", fault="serial.stall", device="tag-1"),
    ]
    entered, left = scene.record.alerts
    assert judged(scenario, scene.record).verdict is Verdict.PASS
    # entered and left are told when the line is back; silence was owed meanwhile
    back = shifted(entered, 102 - entered.alert.t_s)
    silent = Scene(scenario=scenario, policy=scene.policy, record=replace(scene.record, alerts=[back, left]))
    without = judged(scenario, with_alerts(silent, silent.record.alerts), *events)
    assert {f.what for f in wrong(without)} == {"comms lost", "location lost"}
    for kind in (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST):
        silent.tell(51.0, kind, "tag-1", on=True)
        silent.tell(101.0, kind, "tag-1", on=False)
    assert judged(scenario, with_alerts(silent, silent.record.alerts), *events).problems == ()


def test_nothing_received_at_all_is_the_bench(through: Scene) -> None:
    verdict = judged(through.scenario, replace(through.record, alerts=[], messages=0))
    assert verdict.verdict is Verdict.ERROR
    assert "no message at all" in verdict.problems[0]


def test_latency_is_a_measurement_with_a_margin(approach: Scene) -> None:
    verdict = judged(approach.scenario, approach.record)
    latency = verdict.find("alert_latency")
    assert latency is not None
    assert latency.worst == pytest.approx(20.0, abs=0.1)
    assert (latency.limit, latency.verdict, latency.is_marginal) == ("<= 250", Verdict.PASS, False)
    assert len(latency.series) == len(approach.record.alerts)
    slow = [shifted(each, 0.2) for each in approach.record.alerts]
    again = judged(approach.scenario, with_alerts(approach, slow)).find("alert_latency")
    assert again is not None
    assert again.is_marginal
    warned = verdict.find("warning_latency")
    assert warned is not None
    assert warned.worst == pytest.approx(0.3, abs=0.01)


def test_her_tag_that_is_slow_or_quiet_is_found(approach: Scene) -> None:
    slow = [replace(f, t_s=f.t_s + 3.0) for f in approach.record.felt]
    verdict = judged(approach.scenario, replace(approach.record, felt=slow))
    assert any(f.side == "smart_tag" and f.reason.startswith("late by 1300 ms") for f in wrong(verdict))
    silent = [replace(f, level=0, text=None) for f in approach.record.felt]
    verdict = judged(approach.scenario, replace(approach.record, felt=silent))
    assert any(f.reason.startswith("never warned: he is within 100 m") for f in wrong(verdict))
    scene = replace_scene(approach)
    scene.record.felt = [*approach.record.felt]
    scene.record.felt.insert(0, replace(approach.record.felt[0], t_s=5.0, level=2))
    scene.record.felt.insert(1, replace(approach.record.felt[0], t_s=9.0, level=0, text=None))
    verdict = judged(scene.scenario, scene.record)
    assert any(f.what == "silence of her tag" and "must not have fired: he was" in f.reason for f in wrong(verdict))


STRAP = '{at_s=30, do="strap_cut", lasts_s=50}'


def strapped(folder: Path, *changes: tuple[float, bool], events: str = STRAP) -> RunVerdict:
    """Judge what is told of his strap, by time and whether it is raised."""
    scene = played(make(folder, walk_text("{at_m=[0,0]}", events=events)), 1)
    for t_s, on in changes:
        scene.tell(t_s, AlertKind.STRAP_TAMPER, "tag-1", on=on)
    return judged(scene.scenario, scene.record)


def test_an_equipment_alert_that_is_taken_back_too_soon_is_found(tmp_path: Path) -> None:
    assert strapped(tmp_path, (30.2, True), (80.2, False)).problems == ()
    flapped = strapped(tmp_path, (30.2, True), (40.0, False), (41.0, True), (80.2, False))
    assert "strap tamper · over (tag-1) at 40.0 s: taken back too soon: the strap is cut" in flapped.problems
    for_good = strapped(tmp_path, (30.2, True), (40.0, False), events='{at_s=30, do="strap_cut"}')
    assert for_good.problems == ("strap tamper · over (tag-1) at 40.0 s: taken back too soon: the strap is cut",)
    # a message that goes on with an alert changes nothing of it, and its end is no mistake of its own where it began
    # without a cause
    more = strapped(tmp_path, (30.2, True), (35.0, True), (40.0, False), events='{at_s=30, do="strap_cut"}')
    assert for_good.problems[0] in more.problems
    false = strapped(tmp_path, (10.0, True), (12.0, False), (30.2, True), (80.2, False))
    assert [f.received_s for f in wrong(false)] == [pytest.approx(10.02)]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """He walks up to her with his beacon on, stays for a minute, and nothing is told of the beacon yet."""
    hers = '[[person]]\ndevice = "pp-1"'
    text = pair_text().replace(hers, "beacon = {}\n" + hers)
    return played(make(tmp_path_factory.mktemp("heard"), text), 1)


def beacon(scene: Scene, *changes: tuple[float, bool], about: str = "tag-1") -> RunVerdict:
    """Judge what is told of his beacon, by time and whether it is raised."""
    scene = replace_scene(scene)
    for t_s, on in changes:
        scene.tell(t_s, AlertKind.BEACON_HEARD, "pp-1", on=on, about=about)
    return judged(scene.scenario, with_alerts(scene, scene.record.alerts))


def test_a_beacon_that_is_told_stays_told_while_he_is_there(heard: Scene) -> None:
    assert beacon(heard, (175.0, True)).problems == ()
    assert any("it never came: he came to 4 m" in problem for problem in beacon(heard).problems)
    early = beacon(heard, (160.0, True), (162.0, False))
    assert any("it never came: he came to 4 m" in problem for problem in early.problems)
    over = beacon(heard, (175.0, True), (235.0, False))
    assert over.problems == ("beacon heard · over (pp-1) at 235.0 s: taken back too soon: he was still 4 m away",)
    flaps = beacon(heard, (175.0, True), (235.0, False), (236.0, True))
    assert over.problems[0] in flaps.problems
    other = beacon(heard, (175.0, True), about="tag-99")
    assert any(problem.startswith("beacon heard (pp-1) at 175.0 s: must not have fired") for problem in other.problems)
    assert any("it never came: he came to 4 m" in problem for problem in other.problems)


@pytest.mark.parametrize(
    ("t_s", "subject", "device", "excused"),
    [
        (25.0, "tag-1", "tag-1", True),
        (50.0, "tag-1", "tag-1", True),
        (50.0, "pp-1", "tag-1", False),
        (50.0, "pp-1", None, True),
        (200.0, "tag-1", "tag-1", False),
        (5.0, "tag-1", "tag-1", False),
    ],
    ids=["meanwhile", "shortly after", "of another one", "of all", "long after", "before"],
)
def test_a_fault_excuses_alerts_of_its_own_and_while_it_can_bring_them(
    tmp_path: Path, t_s: float, subject: str, device: str | None, excused: bool
) -> None:
    scenario = make(tmp_path, pair_text("{at_m=[-900,0]}", tag=""))
    scene = played(scenario, 1)
    scene.tell(t_s, AlertKind.COMMS_LOST, subject, on=True)
    scene.tell(t_s + 2, AlertKind.COMMS_LOST, subject, on=False)
    events = [
        BenchEvent(t_s=20, t_mono_ns=0, what="fault_applied", fault="serial.bit_flip", device=device),
        BenchEvent(t_s=21, t_mono_ns=0, what="fault_ended", fault="serial.bit_flip", device=device),
    ]
    found = judged(scenario, with_alerts(scene, scene.record.alerts), *events)
    stray = next(f for f in found.findings if f.received_s == pytest.approx(t_s + 0.02) and f.check == "silence")
    assert (stray.verdict is Verdict.SKIPPED) is excused
    assert (not wrong(found)) is excused


def test_what_befalls_a_tag_may_bring_alerts_to_the_other_one_of_its_pair(tmp_path: Path) -> None:
    scenario = make(tmp_path, pair_text("{at_m=[-900,0]}"))
    scene = played(scenario, 1)
    excuses = Excuses(
        scenario,
        [
            BenchEvent(t_s=20, t_mono_ns=0, what="fault_applied", fault="device.reboot", device="tag-1"),
            BenchEvent(t_s=40, t_mono_ns=0, what="fault_ended", fault="device.reboot", device="tag-1"),
        ],
        scene.policy,
    )
    scene.tell(30.0, AlertKind.COVER_LOST, "pp-1", on=True)
    scene.tell(30.0, AlertKind.COMMS_LOST, "st-1", on=True)
    cover, comms = (seen.alert for seen in scene.record.alerts[-2:])
    assert excuses.find_allowing(cover) is not None
    assert excuses.find_allowing(comms) is None


@pytest.mark.parametrize(
    "events",
    [
        '{at_s=20, do="power_off"}, {at_s=30, do="strap_cut"}',
        '{at_s=20, do="outage"}, {at_s=30, do="strap_cut"}',
        '{at_s=20, do="battery", value=0}, {at_s=30, do="strap_cut"}',
    ],
    ids=["off", "without network", "flat"],
)
def test_what_a_tag_cannot_report_is_not_owed(tmp_path: Path, events: str) -> None:
    scenario = make(tmp_path, walk_text("{at_m=[0,0]}", events=events))
    assert judged(scenario, played(scenario, 1).record).problems == ()


def test_what_a_tag_reports_once_it_is_back_is_owed(tmp_path: Path) -> None:
    events = '{at_s=20, do="power_off", lasts_s=30}, {at_s=30, do="strap_cut"}'
    scenario = make(tmp_path, walk_text("{at_m=[0,0]}", events=events))
    assert (
        "strap tamper (tag-1): it never came: the strap is cut" in judged(scenario, played(scenario, 1).record).problems
    )


def test_a_battery_that_falls_after_the_story_is_no_mistake(tmp_path: Path) -> None:
    scenario = make(tmp_path, walk_text("{at_m=[0,0]}", events='{at_s=195, do="battery", value=15}', interval=60))
    scene = played(scenario, 1)
    last = scene.record.truth["tag-1"].epochs[-1]
    scene.record.truth["tag-1"].epochs.append(
        replace_struct(last, t_s=240.0, t_write_mono_ns=scene.record.start_mono_ns + 240 * 10**9)
    )
    scene.tell(240.0, AlertKind.BATTERY_LOW, "tag-1", on=True)
    assert judged(scenario, scene.record).problems == ()


def test_what_a_broker_that_never_came_back_kept_is_not_judged(tmp_path: Path) -> None:
    outage = "[[broker_outage]]\nat_s = 20\nlasts_s = 1000\n"
    text = walk_text(THROUGH, events='{at_s=30, do="strap_cut"}')
    scenario = make(tmp_path, text + outage)
    scene = played(scenario, 1)
    down = [BenchEvent(t_s=20, t_mono_ns=0, what="broker_down")]
    for events in ([], down):
        verdict = judged(scenario, with_alerts(scene, []), *events)
        assert verdict.problems == ()
        assert any(f.reason.startswith("nobody could be told before the record ended") for f in verdict.findings)
    there = make(tmp_path, text)
    assert (
        "exclusion zone entered · Park (tag-1): it never came: he was up to 40 m inside Park"
        in judged(there, with_alerts(scene, [])).problems
    )


NUMBERS: dict[str, tuple[list[tuple[int, str]], str]] = {
    "in order": ([(1, "a"), (2, "b")], ""),
    "copies": ([(1, "a"), (1, "a"), (2, "b"), (1, "a")], ""),
    "one missing": ([(1, "a"), (3, "b")], "number 2 never came: expected 2, got 3"),
    "some missing": ([(3, "a"), (9, "b")], "numbers 4 to 8 never came: expected 4, got 9"),
    "one for two": ([(1, "a"), (1, "b")], "number 1 came twice: expected the id a, got b"),
    "out of order": ([(2, "a"), (1, "b")], "out of order: expected a number after 2, got 1"),
}


@pytest.mark.parametrize(("numbers", "reason"), NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers_of_alerts_are_judged(through: Scene, numbers: list[tuple[int, str]], reason: str) -> None:
    told = through.record.alerts[0]
    alerts = [
        replace(told, event_id=event_id, sequence=number, source="urn:tag-1", epoch="e") for number, event_id in numbers
    ]
    verdict = judged(through.scenario, with_alerts(through, alerts))
    found = [f for f in verdict.findings if f.check == "numbers"]
    assert [f.reason for f in found] == [
        f"urn:tag-1: {reason}" if reason else "urn:tag-1: all numbers up to 2 came, in order"
    ]
    assert [f.verdict for f in found] == [Verdict.FAIL if reason else Verdict.PASS]


def test_a_stay_that_no_report_shows_is_named(tmp_path: Path, through: Scene) -> None:
    hidden = "{at_m=[0,0], wait_s=20}, {at_m=[200,0], t_s=55}, {at_m=[300,0], t_s=200}"
    scenario = make(tmp_path, walk_text(hidden, interval=60))
    verdict = judged(scenario, played(scenario, 1).record)
    assert verdict.problems == ()
    named = [f for f in verdict.findings if f.reason.endswith("and no report shows it")]
    assert [f.verdict for f in named] == [Verdict.SKIPPED]
    assert " m inside Park from 30.8 to 44.5 s" in named[0].reason
    seen = judged(through.scenario, through.record)
    assert not any("no report shows it" in f.reason for f in seen.findings)
