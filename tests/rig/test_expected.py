"""The oracle against situations worked by hand, and against a bridge of twenty lines under hundreds of error draws."""

import math
from pathlib import Path
from typing import Any

import pytest

from protocols.mqtt.messages import AlertKind, BandName
from rig.emulator.events import EventKind
from rig.emulator.gnss import GnssReceiver
from rig.emulator.profiles import PROFILES
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import ExpectedAlert, JudgePolicy
from rig.truth.expected import expected_alerts
from rig.truth.verdict import ReceivedAlert, Verdict, judge
from rig.truth.windows import Sample, find_crossings

HEAD = """
title = "by hand"
duration_s = {duration}
origin = {{ lat_deg = 51.0, lon_deg = -6.5 }}
"""
WEARER = """
[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{waypoints}]
event = [{events}]
"""
ORDER = """
[[order]]
id = "o"
wearer = "tag-1"
"""
CIRCLE = """
[[zone]]
id = "z"
purpose = "{purpose}"
centre_m = [100, 0]
radius_m = 40
"""
POLICY = JudgePolicy(exit_margin_m=10.0, silence_s={"tag-1": 20.0, "pp-1": 20.0})
ERROR_M = 4 * 1.1 * PROFILES["open_sky"].sd_m


def scenario(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load_scenario(path)


def walk(
    tmp_path: Path, waypoints: str, *, purpose: str = "exclusion", events: str = "", duration: int = 200
) -> Scenario:
    text = HEAD.format(duration=duration) + CIRCLE.format(purpose=purpose)
    return scenario(tmp_path, text + WEARER.format(waypoints=waypoints, events=events) + ORDER)


def keys(expected: list[ExpectedAlert]) -> list[tuple[AlertKind, bool, bool]]:
    return [(e.kind, e.cleared, e.required) for e in expected]


def test_a_straight_walk_through_a_circle(tmp_path: Path) -> None:
    """At 1 m/s along the axis: in at 60 s, out of the margin at 150 s."""
    enter, leave = expected_alerts(walk(tmp_path, "{at_m=[0,0]}, {at_m=[200,0], t_s=200}"), POLICY)
    assert (enter.kind, enter.cleared, enter.required) == (AlertKind.EXCLUSION_ZONE_ENTERED, False, True)
    assert enter.t_true_s == pytest.approx(60, abs=0.5)
    assert enter.earliest_s == pytest.approx(60 - ERROR_M, abs=1)
    assert enter.latest_s == pytest.approx(60 + ERROR_M + 1, abs=1)
    assert leave.cleared
    assert leave.t_true_s == pytest.approx(150, abs=0.5)
    assert (leave.earliest_s, leave.latest_s) == (
        pytest.approx(150 - ERROR_M, abs=1),
        pytest.approx(150 + ERROR_M + 1, abs=1),
    )


def test_passing_by_owes_nothing_and_grazing_may_bring_something(tmp_path: Path) -> None:
    by = expected_alerts(walk(tmp_path, "{at_m=[0,60]}, {at_m=[200,60], t_s=200}"), POLICY)
    graze = expected_alerts(walk(tmp_path, "{at_m=[0,43]}, {at_m=[200,43], t_s=200}"), POLICY)
    assert keys(by) == []
    assert keys(graze) == [
        (AlertKind.EXCLUSION_ZONE_ENTERED, False, False),
        (AlertKind.EXCLUSION_ZONE_ENTERED, True, False),
    ]


def test_first_seen_inside_is_an_alert_and_first_seen_outside_is_none(tmp_path: Path) -> None:
    inside = expected_alerts(walk(tmp_path, "{at_m=[100,0]}"), POLICY)
    assert keys(inside) == [(AlertKind.EXCLUSION_ZONE_ENTERED, False, True)]
    assert inside[0].latest_s < 10
    assert keys(expected_alerts(walk(tmp_path, "{at_m=[0,0]}"), POLICY)) == []
    away = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", purpose="inclusion"), POLICY)
    assert keys(away) == [(AlertKind.INCLUSION_ZONE_LEFT, False, True)]


def test_leaving_an_inclusion_zone_and_coming_back(tmp_path: Path) -> None:
    left, back = expected_alerts(
        walk(tmp_path, "{at_m=[100,0]}, {at_m=[200,0], t_s=100}, {at_m=[100,0], t_s=200}", purpose="inclusion"), POLICY
    )
    assert (left.kind, left.cleared, back.cleared) == (AlertKind.INCLUSION_ZONE_LEFT, False, True)
    assert left.t_true_s == pytest.approx(50, abs=0.5)
    assert back.t_true_s == pytest.approx(160, abs=0.5)


def test_what_happens_without_positions_is_owed_when_they_come_again(tmp_path: Path) -> None:
    """In at 60 s, unseen from 50 to 80 s: the alert is due only once fixes are back."""
    expected = expected_alerts(
        walk(tmp_path, "{at_m=[0,0]}, {at_m=[200,0], t_s=200}", events='{at_s=50, do="gnss_lost", lasts_s=30}'), POLICY
    )
    enter = next(e for e in expected if e.kind is AlertKind.EXCLUSION_ZONE_ENTERED and not e.cleared)
    assert enter.required
    assert 80 < enter.latest_s < 95
    assert [(e.cleared, e.required) for e in expected if e.kind is AlertKind.LOCATION_LOST] == [
        (False, True),
        (True, True),
    ]
    # wholly unseen: may be noticed at the rim of the gap, must not be owed
    unseen = expected_alerts(
        walk(tmp_path, "{at_m=[0,0]}, {at_m=[200,0], t_s=200}", events='{at_s=40, do="gnss_lost", lasts_s=130}'), POLICY
    )
    assert not [e for e in unseen if e.kind is AlertKind.EXCLUSION_ZONE_ENTERED and e.required]


def test_silence_shorter_than_the_buffer_owes_nothing(tmp_path: Path) -> None:
    short = walk(tmp_path, "{at_m=[0,0]}", events='{at_s=50, do="gnss_lost", lasts_s=8}')
    assert keys(expected_alerts(short, POLICY)) == []
    dark = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", events='{at_s=50, do="power_off", lasts_s=60}'), POLICY)
    assert {e.kind for e in dark if e.required} == {AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("strap_cut", AlertKind.STRAP_TAMPER),
        ("case_open", AlertKind.CASE_TAMPER),
        ("shield_on", AlertKind.SHIELDING_SUSPECTED),
    ],
)
def test_equipment_is_owed_at_once_and_cleared_at_once(tmp_path: Path, event: str, kind: AlertKind) -> None:
    expected = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", events=f'{{at_s=30, do="{event}", lasts_s=15}}'), POLICY)
    raised, cleared = (e for e in expected if e.kind is kind)
    assert (raised.cleared, cleared.cleared) == (False, True)
    assert raised.t_true_s == 30
    assert raised.latest_s == pytest.approx(31.1)
    assert cleared.t_true_s == 45


def test_jamming_owes_its_own_alert_and_the_lost_position(tmp_path: Path) -> None:
    text = '{at_s=30, do="jam", value=3, lasts_s=60}'
    expected = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", events=text), POLICY)
    assert {(e.kind, e.required) for e in expected} == {
        (AlertKind.JAMMING_SUSPECTED, True),
        (AlertKind.LOCATION_LOST, True),
    }


def test_a_battery_that_runs_down_and_is_charged(tmp_path: Path) -> None:
    events = '{at_s=10, do="battery", value=19}, {at_s=50, do="battery", value=9}, {at_s=90, do="battery", value=60}'
    expected = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", events=events), POLICY)
    assert [(e.kind, e.cleared, e.t_true_s) for e in expected] == [
        (AlertKind.BATTERY_LOW, False, 10),
        (AlertKind.BATTERY_CRITICAL, False, 50),
        (AlertKind.BATTERY_CRITICAL, True, 90),
        (AlertKind.BATTERY_LOW, True, 90),
    ]


PROXIMITY = """
[[person]]
device = "pp-1"
role = "protected"
waypoint = [{ at_m = [300, 0] }]
[[order]]
id = "o"
wearer = "tag-1"
protected = [{ device = "pp-1", contact_m = 50, alarm_m = 100, pre_alert_m = 200 }]
"""


def test_bands_are_owed_in_order_to_both_sides(tmp_path: Path) -> None:
    text = HEAD.format(duration=200) + WEARER.format(waypoints="{at_m=[0,0]}, {at_m=[380,0], t_s=190}", events="")
    expected = expected_alerts(scenario(tmp_path, text + PROXIMITY), POLICY)
    for side, subject in (("tag", "tag-1"), ("protected", "pp-1")):
        mine = [e for e in expected if e.side == side]
        assert {e.subject for e in mine} == {subject}
        assert [(e.band, e.cleared) for e in mine] == [
            (BandName.PRE_ALERT, False),
            (BandName.ALARM, False),
            (BandName.CONTACT, False),
            (BandName.ALARM, False),
        ]
        # at 2 m/s: 200 m at 50 s, 100 m at 100 s, 50 m at 125 s, out of contact (60 m) at 180 s
        assert [e.t_true_s for e in mine] == [pytest.approx(t, abs=0.5) for t in (50, 100, 125, 180)]


def test_an_outage_moves_what_a_tag_can_tell_to_its_end(tmp_path: Path) -> None:
    events = '{at_s=40, do="outage", lasts_s=30}, {at_s=50, do="strap_cut"}'
    expected = expected_alerts(walk(tmp_path, "{at_m=[0,0]}", events=events), POLICY)
    strap = next(e for e in expected if e.kind is AlertKind.STRAP_TAMPER)
    assert 70 <= strap.latest_s < 75


def test_crossings_of_a_sawtooth() -> None:
    """Distance falls by 1 m/s from 30 to -30 m and rises again; error 5 m, margin 10 m."""
    samples = [Sample(t_s=t, distance_m=30 - t if t <= 60 else t - 90, error_m=5, observed=True) for t in range(141)]
    first, inward, outward = find_crossings(samples, exit_margin_m=10, report_s=1)
    assert (first.inward, first.first, first.required) == (False, True, True)
    assert (inward.earliest_s, inward.t_true_s, inward.latest_s) == (26, 31, 36)
    assert (outward.earliest_s, outward.t_true_s, outward.latest_s) == (96, 101, 106)


def received(expected: ExpectedAlert, t_s: float, index: int = 0) -> ReceivedAlert:
    return ReceivedAlert(
        kind=expected.kind, cleared=expected.cleared, side=expected.side, subject=expected.subject,
        zone_id=expected.zone_id, band=expected.band, t_s=t_s, index=index,
    )  # fmt: skip


def test_verdicts(tmp_path: Path) -> None:
    expected = expected_alerts(walk(tmp_path, "{at_m=[0,0]}, {at_m=[200,0], t_s=200}"), POLICY)
    good = [received(e, e.t_true_s, i) for i, e in enumerate(expected)]
    assert judge(expected, good, allowance_s=1).verdict is Verdict.PASS
    missing = judge(expected, good[:1], allowance_s=1)
    assert missing.verdict is Verdict.FAIL
    assert [e.cleared for e in missing.missing] == [True]
    late = judge(expected, [received(expected[0], expected[0].latest_s + 1.34), good[1]], allowance_s=1)
    assert late.verdict is Verdict.FAIL
    assert late.untimely[0].off_s == pytest.approx(0.34)
    early = judge(expected, [received(expected[0], expected[0].earliest_s - 2), good[1]], allowance_s=1)
    assert early.untimely[0].off_s == pytest.approx(-2)
    twice = judge(expected, [*good, received(expected[0], 61, 2)], allowance_s=1)
    assert twice.verdict is Verdict.FAIL
    assert [u.index for u in twice.unexpected] == [2]
    assert judge([], [], allowance_s=1).verdict is Verdict.UNSET


def plain_bridge(story: Scenario, seed: int) -> list[ReceivedAlert]:
    """Zones as a bridge of twenty lines judges them: circles, hysteresis, nothing else."""
    person = story.person[0]
    receiver = GnssReceiver(story.track(person), PROFILES[person.profile], seed)
    inside: dict[str, bool] = {}
    out = []
    lost = [(a.at_s, a.kind is EventKind.GNSS_LOST) for a in story.actions(person)]
    for i in range(int(story.duration_s) + 1):
        receiver.blocked = any(kind for at, kind in lost if at <= i and not any(at < b <= i for b, _ in lost))
        position = receiver.observe(float(i)).position
        if position is None:
            continue
        for zone in story.zone:
            assert zone.centre_m is not None
            assert zone.radius_m is not None
            d = math.hypot(position.east_m - zone.centre_m[0], position.north_m - zone.centre_m[1]) - zone.radius_m
            before = inside.get(zone.id)
            now = d <= (10.0 if before else 0.0)
            inside[zone.id] = now
            bad = now if zone.purpose == "exclusion" else not now
            if (before is None and bad) or (before is not None and now != before):
                kind = (
                    AlertKind.EXCLUSION_ZONE_ENTERED if zone.purpose == "exclusion" else AlertKind.INCLUSION_ZONE_LEFT
                )
                out.append(
                    ReceivedAlert(
                        kind=kind,
                        cleared=not bad,
                        side="tag",
                        subject=person.device,
                        zone_id=zone.id,
                        band=None,
                        t_s=float(i),
                        index=len(out),
                    )
                )
    return out


def test_a_right_bridge_passes_whatever_the_errors_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    story = walk(
        tmp_path,
        "{at_m=[0,0]}, {at_m=[200,0], t_s=120}, {at_m=[200,200], t_s=220}, {at_m=[100,10], t_s=330}",
        duration=360,
        events='{at_s=180, do="gnss_lost", lasts_s=12}',
    )
    expected = [e for e in expected_alerts(story, POLICY) if e.zone_id is not None]
    assert [(e.cleared, e.required) for e in expected] == [(False, True), (True, True), (False, True)]
    for seed in range(40):
        got = plain_bridge(story, seed)
        judgement = judge(expected, got, allowance_s=0.0)
        assert judgement.verdict is Verdict.PASS, (seed, judgement.missing, judgement.untimely, judgement.unexpected)
        late: list[Any] = [received(e, g.t_s + 30, g.index) for e, g in zip(expected, got, strict=True)]
        assert judge(expected, late, allowance_s=0.0).verdict is Verdict.FAIL
        assert judge(expected, got[1:], allowance_s=0.0).verdict is Verdict.FAIL
