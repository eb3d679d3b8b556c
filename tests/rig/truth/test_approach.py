"""What becomes of approaches made by hand: to both, to one, to nobody; early and late ones count for nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocols.mqtt.messages import AlertKind, BandName
from rig.runs.record import AlertSeen, RunRecord
from rig.truth.approach import ApproachOutcome, judge_approach
from rig.truth.verdict import Verdict
from tests.rig.truth.scene import APPROACH, Scene, make, pair_text, played, shifted, walk_text, with_alerts

CONTACT_S = 20 + (260 - 20) / 1.6
"""When he is within 20 m of her."""


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return played(make(tmp_path_factory.mktemp("near"), pair_text()), 2)


def outcome(scene: Scene, record: RunRecord | None = None) -> ApproachOutcome:
    return judge_approach(scene.scenario, scene.policy, scene.record if record is None else record)


def is_alarm(seen: AlertSeen) -> bool:
    return seen.alert.band in {BandName.ALARM, BandName.CONTACT}


def test_alerted_to_both(near: Scene) -> None:
    got = outcome(near)
    assert (got.outcome, got.victim_outcome, got.verdict, got.reason) == ("alerted", "warned", Verdict.PASS, "")
    alarm = next(seen for seen in near.record.alerts if is_alarm(seen))
    felt = next(each for each in near.record.felt if each.level == 2)
    # the truth came within 100 m at 120 s, give or take the grid
    assert got.late_s == pytest.approx(max(0.0, alarm.alert.t_s - 120), abs=0.5)
    assert got.warning_s == pytest.approx(CONTACT_S - felt.t_s, abs=0.5)


def test_a_late_or_an_early_alert_is_none(near: Scene) -> None:
    for by_s in (1.0, 30.0, -40.0):
        moved = [shifted(seen, by_s) if is_alarm(seen) else seen for seen in near.record.alerts]
        got = outcome(near, with_alerts(near, moved))
        assert (got.outcome, got.victim_outcome, got.verdict) == ("partly", "warned", Verdict.FAIL), by_s
        assert "the provider was not alerted by" in got.reason
        assert got.late_s is None


def test_a_warning_that_does_not_come_or_comes_late_is_none(near: Scene) -> None:
    quiet = [replace(each, level=min(each.level, 1)) for each in near.record.felt]
    got = outcome(near, replace(near.record, felt=quiet))
    assert (got.outcome, got.victim_outcome, got.warning_s) == ("partly", "not_warned", None)
    late = [replace(each, t_s=each.t_s + 30) for each in near.record.felt]
    assert outcome(near, replace(near.record, felt=late)).victim_outcome == "not_warned"
    silent = outcome(near, replace(near.record, felt=quiet, alerts=[]))
    assert (silent.outcome, silent.verdict) == ("silent", Verdict.FAIL)
    assert "provider" in silent.reason
    assert "she was not warned" in silent.reason


def test_where_he_is_lost_both_must_learn_that(tmp_path: Path) -> None:
    """His tag dies outside of the alarm ring: 11 s later that is told, and to her too, before he can be there."""
    text = pair_text(events='{at_s=40, do="power_off"}')
    scene = played(make(tmp_path, text), 2)
    assert {s.alert.kind for s in scene.record.alerts} == {AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST}
    scene.feel(51.0, 1, "cover_lost")
    scene.tell(51.0, AlertKind.COVER_LOST, "pp-1", on=True)
    got = judge_approach(scene.scenario, scene.policy, with_alerts(scene, scene.record.alerts))
    assert (got.outcome, got.victim_outcome, got.reason) == ("alerted", "told_of_lost_cover", "")
    assert got.late_s == pytest.approx(11, abs=0.5)
    untold = judge_approach(scene.scenario, scene.policy, replace(scene.record, felt=[]))
    assert (untold.outcome, untold.victim_outcome) == ("partly", "not_warned")
    scene.record.felt.clear()
    scene.feel(CONTACT_S + 20, 1, "cover_lost")
    assert judge_approach(scene.scenario, scene.policy, scene.record).victim_outcome == "not_warned"


def test_without_a_tag_of_hers_somebody_must_know_that(tmp_path: Path) -> None:
    text = pair_text(tag='smart_tag = { id = "st-1", present = false }')
    scene = played(make(tmp_path, text), 2)
    assert outcome(scene).outcome == "partly"
    scene.tell(20.0, AlertKind.COVER_LOST, "pp-1", on=True)
    got = outcome(scene, with_alerts(scene, scene.record.alerts))
    assert (got.outcome, got.victim_outcome) == ("alerted", "told_of_lost_cover")
    never = played(make(tmp_path, pair_text(tag="")), 2)
    assert outcome(never).outcome == "alerted"


def test_his_beacon_alone_is_an_alert(tmp_path: Path) -> None:
    """Satellites lost on the way: what is left is that her unit hears him."""
    text = pair_text(APPROACH, events='{at_s=60, do="gnss_lost"}', duration=300).replace(
        'role = "wearer"', 'role = "wearer"\nbeacon = {}', 1
    )
    scene = played(make(tmp_path, text), 2)
    scene.tell(71.0, AlertKind.COVER_LOST, "pp-1", on=True)
    silent = outcome(scene, with_alerts(scene, scene.record.alerts))
    assert silent.outcome == "silent"
    heard_s = CONTACT_S + 2
    scene.tell(heard_s, AlertKind.BEACON_HEARD, "pp-1", on=True, about="tag-1")
    scene.feel(heard_s + 0.3, 2, "nearby")
    got = outcome(scene, with_alerts(scene, scene.record.alerts))
    assert (got.outcome, got.victim_outcome) == ("alerted", "warned")
    assert got.warning_s == pytest.approx(-2.3, abs=0.5)


def test_nobody_approaches_in_a_story_without_a_pair(tmp_path: Path) -> None:
    scene = played(make(tmp_path, walk_text("{at_m=[0,0]}", duration=30)), 1)
    got = outcome(scene)
    assert (got.verdict, got.outcome) == (Verdict.ERROR, "silent")
    assert "nobody approaches" in got.reason
