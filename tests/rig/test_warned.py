"""The oracle of warnings against situations worked by hand."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.messages import WarningStep
from rig.errors import ScenarioError
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import JudgePolicy
from rig.truth.expected import expected_alerts
from rig.truth.verdict import Verdict
from rig.truth.warned import Owed, TagMoment, ToldStep, judge_warnings, owed_warnings

APPROACH = """
title = "straight to her and back"
duration_s = 900
origin = { lat_deg = 51.0, lon_deg = -6.5 }

[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{at_m=[0,0]}, {at_m=[380,0], t_s=380, wait_s=60}, {at_m=[0,0], t_s=820}]

[[person]]
device = "pp-1"
role = "protected"
waypoint = [{at_m=[400,0]}]
smart_tag = { id = "st-1" }

[[order]]
id = "o"
wearer = "tag-1"
protected = [{ device = "pp-1", contact_m = 5, alarm_m = 100, pre_alert_m = 200 }]
"""
POLICY = JudgePolicy(exit_margin_m=10.0, silence_s={"tag-1": 20.0, "pp-1": 20.0}, reconnect_s=7.0)


def load(tmp_path: Path, text: str = APPROACH) -> Scenario:
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load_scenario(path)


@functools.cache
def owed(text: str = APPROACH) -> list[Owed]:
    with tempfile.TemporaryDirectory() as folder:
        return owed_warnings(load(Path(folder), text), POLICY)


def test_rings_owe_warnings_and_distance_owes_silence() -> None:
    """At 1 m/s he is 200 m away at 200 s, 100 m at 300 s; the way back begins at 440 s."""
    before, notice, alarm, after = owed()
    assert [e.level for e in (before, notice, alarm, after)] == [
        WarnLevel.STAND_DOWN, WarnLevel.NOTICE, WarnLevel.ALARM, WarnLevel.STAND_DOWN,
    ]  # fmt: skip
    assert before.from_s == 0
    assert before.until_s == pytest.approx(200 - 10, abs=20)
    assert before.until_s < notice.earliest_s
    assert notice.t_true_s == pytest.approx(200, abs=1)
    assert notice.t_true_s < notice.from_s < 220
    assert alarm.t_true_s == pytest.approx(300, abs=1)
    # out of the margin round the alarm ring at 440 + 90 s, of that round the pre-alert ring 100 s later
    assert alarm.until_s == pytest.approx(530, abs=20)
    assert notice.until_s == pytest.approx(630, abs=20)
    assert after.from_s > notice.until_s
    assert after.until_s == 900


def moments(*steps: tuple[float, int]) -> list[TagMoment]:
    return [TagMoment(t_s=t, level=level) for t, level in steps]


GOOD = moments((201, 1), (302, 2), (535, 1), (640, 0))


TOLD = [
    ToldStep(t_s=t, step=step, level=level)
    for t, step, level in (
        (201, WarningStep.STARTED, "notice"), (209, WarningStep.ACKNOWLEDGED, "notice"),
        (302, WarningStep.STARTED, "alarm"), (310, WarningStep.ACKNOWLEDGED, "alarm"),
    )
]  # fmt: skip


def verdicts(log: list[TagMoment], told: list[ToldStep] = TOLD, *, answers: bool = False) -> list[Verdict]:
    hers = [replace(each, acknowledged=answers) for each in owed()]
    return [match.verdict for match in judge_warnings(hers, log, told, allowance_s=5)]


def test_a_tag_that_follows_the_rings_passes() -> None:
    assert verdicts(GOOD) == [Verdict.PASS] * 4


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        ([], [1, 2]),
        (moments((50, 1), *[(m.t_s, m.level) for m in GOOD]), [0]),
        (moments((201, 1), (350, 2), (535, 1), (640, 0)), [2]),
        (moments((201, 1), (302, 2), (400, 0), (410, 2), (535, 1), (640, 0)), [1, 2]),
        (moments((201, 1), (302, 2), (535, 1)), [3]),
        (moments((201, 3), (640, 0)), []),
    ],
    ids=["silent", "a false alarm", "50 s late", "quiet in between", "does not end", "too loud is no failure"],
)
def test_what_a_tag_does_wrong_is_found(log: list[TagMoment], wrong: list[int]) -> None:
    expected = [Verdict.FAIL if i in wrong else Verdict.PASS for i in range(4)]
    assert verdicts(log) == expected


@pytest.mark.parametrize(("missing", "wrong"), [(0, [1]), (1, [1]), (2, [2]), (3, [2])])
def test_the_provider_must_be_told_of_each_step(missing: int, wrong: list[int]) -> None:
    assert verdicts(GOOD, answers=True) == [Verdict.PASS] * 4
    told = [step for i, step in enumerate(TOLD) if i != missing]
    expected = [Verdict.FAIL if i in wrong else Verdict.PASS for i in range(4)]
    assert verdicts(GOOD, told, answers=True) == expected


def test_an_outage_of_the_broker_moves_alerts_but_no_warning(tmp_path: Path) -> None:
    text = APPROACH + "[[broker_outage]]\nat_s = 190\nlasts_s = 100\n"
    assert owed(text) == owed()
    with_outage = load(tmp_path, text)
    pre_alert = next(e for e in expected_alerts(with_outage, POLICY) if e.t_true_s == pytest.approx(200, abs=1))
    assert pre_alert.latest_s == 297


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("waypoint = [{at_m=[0,0]}, ", 'smart_tag = {id = "x"}\nwaypoint = [{at_m=[0,0]}, ', "protected person's"),
        ("[[order]]", "[[broker_outage]]\nat_s = 5\nlasts_s = 0\n[[order]]", "with a duration"),
    ],
)
def test_impossible_parts_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in APPROACH
    with pytest.raises(ScenarioError, match=words):
        load(tmp_path, APPROACH.replace(old, new, 1))
