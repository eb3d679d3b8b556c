"""Whether she was warned when she must be, and left in peace when she must be: by her tag's own log.

Whether the provider was told of it is judged by what a subscriber got.

What is owed follows from the true tracks alone. The way of a warning does not lead through the broker, so an outage of
the broker excuses nothing here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.messages import BandName, WarningStep
from rig.scenario import OrderTable, ProtectedTable, Scenario
from rig.truth.expectation import DeviceTruth, JudgePolicy, device_truth
from rig.truth.expected import SAMPLE_S, proximity_alerts
from rig.truth.geometry import separation_m
from rig.truth.verdict import Judgement, Verdict

_LEVEL_OF: Final = {
    BandName.PRE_ALERT: WarnLevel.NOTICE,
    BandName.ALARM: WarnLevel.ALARM,
    BandName.CONTACT: WarnLevel.CONTACT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMoment:
    """From ``t_s`` on the tag warned at this level; 0: it was quiet."""

    t_s: float
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldStep:
    """A step of a warning as the provider was told of it."""

    t_s: float
    step: WarningStep
    level: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What a tag owes from ``from_s`` to ``until_s``: at least ``level``, or silence where that is STAND_DOWN.

    ``earliest_s`` is the first moment at which the level is no mistake, ``t_true_s`` when its cause came true;
    ``acknowledged`` says whether she presses the button.
    """

    smart_tag: str
    level: WarnLevel
    earliest_s: float
    from_s: float
    until_s: float
    t_true_s: float
    reason: str
    acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningMatch:
    """What was owed, when the tag did it (None where it did not, or not all the time), and when the provider knew.

    ``told_at_s`` is when the provider was told that the tag warns, ``answered_at_s`` that she pressed the button.
    """

    owed: Owed
    done_at_s: float | None
    told_at_s: float | None = None
    answered_at_s: float | None = None

    @property
    def problem(self) -> str:
        """Say what is wrong, nothing where all is well."""
        owed, level = self.owed, self.owed.level
        if level is WarnLevel.STAND_DOWN:
            return "" if self.done_at_s is not None else "the tag was not silent all the time"
        if self.done_at_s is None:
            return f"the tag did not warn with {level.name.lower()} all the time from when it must"
        if self.told_at_s is None:
            return "the provider was not told that the tag warns"
        if owed.acknowledged and self.answered_at_s is None:
            return "the provider was not told that she pressed the button"
        return ""

    @property
    def verdict(self) -> Verdict:
        """PASS or FAIL."""
        return Verdict.FAIL if self.problem else Verdict.PASS


def owed_warnings(scenario: Scenario, policy: JudgePolicy) -> list[Owed]:
    """Everything that the smart tags of a scenario owe, in time order."""
    devices = {person.device: device_truth(scenario, person) for person in scenario.person}
    owed: list[Owed] = []
    for order in scenario.order:
        for ring in order.protected:
            person = scenario.find_person(ring.device)
            if person is None or person.smart_tag is None:
                continue
            answers = person.smart_tag.acknowledges_after_s is not None
            pair = (order, ring, devices[order.wearer], devices[ring.device])
            owed += [
                replace(each, acknowledged=answers)
                for each in _warnings(person.smart_tag.id, *pair, scenario.duration_s, policy)
            ]
            owed += _silences(person.smart_tag.id, *pair[1:], scenario.duration_s, policy)
    return sorted(owed, key=lambda each: (each.from_s, each.level))


def _warnings(
    smart_tag: str,
    order: OrderTable,
    ring: ProtectedTable,
    wearer: DeviceTruth,
    protected: DeviceTruth,
    duration_s: float,
    policy: JudgePolicy,
) -> Iterator[Owed]:
    """Count from the latest moment at which reports must show him within a ring, to the first that may show him out."""
    found = [e for e in proximity_alerts(order, ring, wearer, protected, duration_s, policy) if e.side == "protected"]
    for inward in found:
        level = _LEVEL_OF.get(inward.band or BandName.CLEAR)
        if level is None or not inward.required or not inward.reason.startswith("comes"):
            continue
        until_s = min(
            (e.earliest_s for e in found if e.earliest_s > inward.earliest_s and _level(e.band) < level),
            default=duration_s,
        )
        yield Owed(
            smart_tag=smart_tag,
            level=level,
            earliest_s=inward.earliest_s,
            from_s=inward.latest_s,
            until_s=until_s,
            t_true_s=inward.t_true_s,
            reason=inward.reason,
        )


def _level(band: BandName | None) -> int:
    return _LEVEL_OF.get(band or BandName.CLEAR, WarnLevel.STAND_DOWN)


def _silences(
    smart_tag: str,
    ring: ProtectedTable,
    wearer: DeviceTruth,
    protected: DeviceTruth,
    duration_s: float,
    policy: JudgePolicy,
) -> Iterator[Owed]:
    """Find when he is surely outside of all rings."""
    since_s: float | None = None
    lag_m = (wearer.speed_mps + protected.speed_mps) * max(wearer.person.interval_s, protected.person.interval_s)
    for i in range(int(duration_s / SAMPLE_S) + 2):
        t_s = i * SAMPLE_S
        error_m = math.hypot(wearer.error_m(t_s), protected.error_m(t_s)) + lag_m
        line_m = ring.pre_alert_m + policy.exit_margin_m + error_m
        far = t_s <= duration_s and separation_m(*wearer.at(t_s), *protected.at(t_s)) > line_m
        if far and since_s is None:
            since_s = t_s
        elif not far and since_s is not None:
            yield Owed(
                smart_tag=smart_tag,
                level=WarnLevel.STAND_DOWN,
                earliest_s=since_s,
                from_s=since_s,
                until_s=t_s - SAMPLE_S,
                t_true_s=since_s,
                reason="he is far away",
            )
            since_s = None


def judge_warnings(
    owed: Sequence[Owed], moments: Sequence[TagMoment], told: Sequence[ToldStep], *, allowance_s: float
) -> list[WarningMatch]:
    """Hold a tag's log, and what the provider was told, against what it owed.

    What is owed for less than ``allowance_s`` is passed over. The provider may learn of it at any later time: how late
    an alert may be is judged elsewhere.

    Parameters
    ----------
    owed : sequence of Owed
        Of one tag.
    moments : sequence of TagMoment
        In time order.
    told : sequence of ToldStep
        In time order.
    allowance_s : float
        Tag seconds that a warning, or its end, may take.
    """
    matches = []
    for each in owed:
        if each.until_s - each.from_s <= allowance_s:
            continue
        done_s = _find_done(each, moments, allowance_s)
        told_s = _find_told(each, WarningStep.STARTED, told)
        answered_s = _find_told(each, WarningStep.ACKNOWLEDGED, told)
        matches.append(WarningMatch(owed=each, done_at_s=done_s, told_at_s=told_s, answered_at_s=answered_s))
    return matches


def overall(judgement: Judgement, warnings: Sequence[WarningMatch]) -> Verdict:
    """Put both verdicts of a run into one."""
    if any(match.problem for match in warnings):
        return Verdict.FAIL
    return judgement.verdict


def _find_told(owed: Owed, step: WarningStep, told: Sequence[ToldStep]) -> float | None:
    level = owed.level.name.lower()
    return next((t.t_s for t in told if t.step is step and t.level == level and t.t_s >= owed.earliest_s), None)


def _find_done(owed: Owed, moments: Sequence[TagMoment], allowance_s: float) -> float | None:
    """When the tag began to do what it owed, None unless it still did at the end of the allowance and ever after."""
    due_s = owed.from_s + allowance_s
    since_s: float | None = 0.0 if owed.level is WarnLevel.STAND_DOWN else None
    for moment in moments:
        if moment.t_s > owed.until_s:
            break
        done = moment.level == 0 if owed.level is WarnLevel.STAND_DOWN else moment.level >= owed.level
        if not done:
            if moment.t_s > due_s:
                return None
            since_s = None
        elif since_s is None:
            since_s = moment.t_s
    return since_s if since_s is not None and since_s <= due_s else None
