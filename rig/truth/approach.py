"""What became of an approach: were the provider and she alerted in time, or told in time that nobody could say.

An approach is *alerted* when both the provider's alert and her warning fall into their truth windows, *partly* when one
of the two does, *silent* when neither. What is owed follows from what anybody could know:

- a fix, or the way between two, shows him within the alarm ring, or her unit surely hears his tag: an alert and a
  warning;
- nothing ever surely shows him (his tag is dead, shielded, jammed): that his place is not known, to both, in time;
- she has no tag that could be told: the provider's alert, and that she is not covered or not warned.

A late or an early alert is none. An outage of the broker moves the end of the provider's window, not of hers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from protocols.mqtt.messages import AlertKind, BandName
from rig.runs.folder import BenchEvent
from rig.runs.record import AlertSeen, Felt, RunRecord
from rig.scenario import PersonTable, Scenario
from rig.truth.cover import LINK_S, place_owing
from rig.truth.excuses import Excuses
from rig.truth.expectation import JudgePolicy
from rig.truth.findings import RunVerdict
from rig.truth.heard import HEARD_LIMIT_S, find_heard
from rig.truth.lines import LEVEL, Pair
from rig.truth.run_verdict import judge_run
from rig.truth.silence import silence_of, slack_s
from rig.truth.situation import Situation, make_situation
from rig.truth.spans import Side
from rig.truth.stretches import merged
from rig.truth.tag_findings import NOT_WARNED_S, near_felt, warn_limit_s
from rig.truth.verdict import Verdict

Outcome = Literal["alerted", "partly", "silent"]
VictimOutcome = Literal["warned", "told_of_lost_cover", "not_warned"]

_COVER_KINDS = frozenset({AlertKind.COVER_LOST, AlertKind.LOCATION_LOST, AlertKind.COMMS_LOST})
_UNWARNED_KINDS = frozenset({AlertKind.COVER_LOST, AlertKind.PROTECTED_PERSON_NOT_WARNED, AlertKind.COMMS_LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproachOutcome:
    """What became of one approach.

    Attributes
    ----------
    outcome, victim_outcome : str
    late_s : float or None
        From the moment it came true to the provider's alert that counts, tag seconds; None: there was none.
    warning_s : float or None
        From her warning to contact (or to where he came nearest), negative where it came after; None: there was none.
    verdict : Verdict
        PASS where it is alerted and nothing else is wrong with the run.
    reason : str
        What is missing, or what else is wrong; empty where all is well.
    """

    outcome: Outcome
    victim_outcome: VictimOutcome
    late_s: float | None
    warning_s: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """From ``earliest_s`` it is no mistake; by ``due_s`` it is owed, infinite where nothing ever surely shows it."""

    earliest_s: float
    due_s: float
    t_true_s: float
    by_radio_s: float


def judge_approach(
    scenario: Scenario,
    policy: JudgePolicy,
    record: RunRecord,
    events: Sequence[BenchEvent] = (),
    *,
    verdict: RunVerdict | None = None,
) -> ApproachOutcome:
    """Judge the approach of a run: of its pair that comes nearest.

    Parameters
    ----------
    scenario, policy, record, events
        As for ``judge_run``.
    verdict : RunVerdict, optional
        Of this run, where it was judged already.
    """
    judged = judge_run(scenario, policy, record, events) if verdict is None else verdict
    situation = make_situation(scenario, policy, record, Excuses(scenario, events, policy))
    if judged.verdict is Verdict.ERROR or not situation.pairs:
        reason = judged.problems[0] if judged.problems else "the scenario has no pair: nobody approaches anybody"
        return ApproachOutcome(
            outcome="silent",
            victim_outcome="not_warned",
            late_s=None,
            warning_s=None,
            verdict=Verdict.ERROR,
            reason=reason,
        )
    pair = min(situation.pairs, key=lambda each: min(look.true_m for look in each.looks))
    return _Approach(situation, pair, judged).outcome()


class _Approach:
    def __init__(self, situation: Situation, pair: Pair, judged: RunVerdict) -> None:
        self._s = situation
        self._pair = pair
        self._judged = judged
        person = situation.scenario.find_person(pair.ring.device)
        assert person is not None
        self._her: PersonTable = person
        self._tag = person.smart_tag.id if person.smart_tag is not None else ""
        self._window = self._find_window()
        failed = [each for each in judged.findings if each.verdict is Verdict.FAIL]
        self._wrong = {each.index for each in failed if each.index is not None}
        self._wrong_felt = {each.received_s for each in failed if each.side == "smart_tag"}

    def outcome(self) -> ApproachOutcome:
        told, provider_why = self._provider()
        victim, felt, victim_why = self._victim()
        ends = (told is not None) + (victim != "not_warned")
        outcome: Outcome = "alerted" if ends == 2 else "partly" if ends == 1 else "silent"
        whys = [why for why in (provider_why, victim_why) if why]
        whys += [problem for problem in self._judged.problems if not whys]
        good = outcome == "alerted" and self._judged.verdict is not Verdict.FAIL
        return ApproachOutcome(
            outcome=outcome,
            victim_outcome=victim,
            late_s=None if told is None else told.alert.t_s - self._came_true_s(told),
            warning_s=None if felt is None else self._contact_s() - felt.t_s,
            verdict=Verdict.PASS if good else Verdict.FAIL,
            reason="" if good else "; ".join(whys[:2]),
        )

    # When it can be known

    def _find_window(self) -> _Window:
        pair = self._pair
        shown = [(s.from_s, s.from_s) for s in pair.spans[BandName.ALARM] if s.side is Side.EITHER]
        earliest = [from_s for from_s, _ in shown]
        sure = [s.from_s for s in pair.spans[BandName.ALARM] if s.side is Side.IN]
        earliest += sure
        for passing in pair.passings[BandName.ALARM]:
            earliest.append(passing.from_s)
            if passing.required:
                sure.append(passing.seen_s)
        heard = find_heard(pair, self._s)
        radio_s = min((each.earliest_s for each in heard), default=math.inf)
        earliest += [each.earliest_s for each in heard]
        heard_s = HEARD_LIMIT_S * self._s.policy.speed
        sure += [each.latest_s + heard_s for each in heard if math.isfinite(each.latest_s)]
        true_s = [look.t_s for look in pair.looks if look.true_m <= pair.ring.alarm_m]
        return _Window(
            earliest_s=min(earliest, default=math.inf),
            due_s=min(sure, default=math.inf),
            t_true_s=min(true_s, default=0.0),
            by_radio_s=radio_s,
        )

    def _contact_s(self) -> float:
        looks, ring = self._pair.looks, self._pair.ring
        contact = next((look.t_s for look in looks if look.true_m <= ring.contact_m), None)
        return min(looks, key=lambda look: look.true_m).t_s if contact is None else contact

    def _came_true_s(self, told: AlertSeen) -> float:
        if told.alert.kind in _COVER_KINDS:
            fixes = self._s.seen[self._pair.order.wearer].times_s
            return max((t_s for t_s in fixes if t_s <= told.alert.t_s), default=0.0)
        return min(self._window.t_true_s, told.alert.t_s)

    # The provider

    def _provider(self) -> tuple[AlertSeen | None, str]:
        window, policy = self._window, self._s.policy
        due_s = self._s.deadlines.after(window.earliest_s, window.due_s + policy.allowance_s)
        near = [seen for seen in self._s.alerts if self._is_near_alert(seen)]
        good = [seen for seen in near if seen.index not in self._wrong and seen.alert.t_s <= due_s]
        if good:
            return good[0], ""
        if math.isfinite(window.due_s):
            return None, f"the provider was not alerted by {due_s:.1f} s{self._nearest_miss(near)}"
        lost_s = self._lost_due_s()
        told = [
            seen
            for seen in self._s.alerts
            if seen.alert.kind in _COVER_KINDS
            and not seen.alert.cleared
            and seen.alert.subject in {self._pair.order.wearer, self._pair.ring.device}
            and seen.index not in self._wrong
            and seen.alert.t_s <= lost_s
        ]
        if told:
            return told[0], ""
        return None, f"the provider was not told by {lost_s:.1f} s that nobody knows where he is"

    def _is_near_alert(self, seen: AlertSeen) -> bool:
        alert, pair = seen.alert, self._pair
        if alert.cleared or seen.late or alert.t_s < self._window.earliest_s - slack_s(self._s):
            return False
        people = {pair.order.wearer, pair.ring.device}
        if alert.subject not in people or alert.about not in {None, *people}:
            return False
        if alert.kind is AlertKind.BEACON_HEARD:
            return True
        near = LEVEL.get(alert.band or BandName.UNKNOWN, 0)
        return alert.kind is AlertKind.PROXIMITY_BREACH and near >= LEVEL[BandName.ALARM]

    def _nearest_miss(self, near: Sequence[AlertSeen]) -> str:
        if not near:
            return ""
        first = near[0]
        why = next((each.reason for each in self._judged.findings if each.index == first.index and each.reason), "")
        return f": {first.alert.kind.value.replace('_', ' ')} came at {first.alert.t_s:.1f} s ({why or 'too late'})"

    def _lost_due_s(self) -> float:
        """By when the provider must know that a position is missing."""
        start_s = self._lost_start_s()
        return self._s.deadlines.after(start_s, start_s + self._s.policy.allowance_s)

    def _lost_start_s(self) -> float:
        """When the first silence of either is beyond doubt; minus infinity where there is none."""
        starts = []
        for device in (self._pair.order.wearer, self._pair.ring.device):
            log = self._s.logs.get(device)
            if log is not None:
                starts += [from_s for from_s, _ in merged(silence_of(self._s, device, log, positions=True).must)]
        return min(starts, default=-math.inf)

    # Her

    def _victim(self) -> tuple[VictimOutcome, Felt | None, str]:
        if not self._tag or not self._s.is_reachable(self._tag):
            return self._unreachable()
        window, limit_s = self._window, warn_limit_s(self._s)
        stretches = self._s.excuses.silenced(self._tag, self._s.scenario)
        due_s = window.due_s
        for from_s, until_s in sorted(stretches):
            due_s = until_s if from_s <= due_s <= until_s else due_s
        due_s += limit_s
        late: Felt | None = None
        # a notice is for the outer ring; where his place is lost, hearing his tag is all that her own tag can tell
        lost_s = self._lost_start_s()
        notice_s = max(lost_s, window.by_radio_s) if math.isfinite(lost_s) else math.inf
        for felt in near_felt(self._s.record, self._tag):
            enough = 1 if felt.t_s >= notice_s else LEVEL[BandName.ALARM]
            early = felt.t_s < window.earliest_s - slack_s(self._s)
            if felt.level < enough or early or felt.t_s in self._wrong_felt:
                continue
            if felt.t_s <= due_s:
                return "warned", felt, ""
            late = late or felt
        if math.isfinite(window.due_s):
            came = "" if late is None else f": she was warned at {late.t_s:.1f} s"
            return "not_warned", late, f"she was not warned by {due_s:.1f} s{came}"
        return self._told_of_lost_cover()

    def _told_of_lost_cover(self) -> tuple[VictimOutcome, Felt | None, str]:
        """Judge whether she knew before contact, or as soon as anybody could, that his place is not known.

        Who is warned of his nearness when he is lost, and stays so, knows more than that.
        """
        must = merged(place_owing(self._s, self._her, [self._pair.order.wearer]).must)
        aged_s = must[0][0] if must else self._s.scenario.duration_s
        lost_s = self._lost_start_s()
        limit_s = LINK_S * self._s.policy.speed + self._s.policy.allowance_s
        due_s = max(lost_s, min(aged_s, self._contact_s())) + limit_s
        felt = [each for each in self._s.record.felt if each.tag == self._tag and each.t_s <= due_s]
        told = next((each for each in felt if each.text == "cover_lost"), None)
        if told is None and felt and felt[-1].level > 0:
            quiet = max((i for i, each in enumerate(felt) if each.level == 0), default=-1)
            told = felt[quiet + 1]
        if told is not None:
            return "told_of_lost_cover", told, ""
        return "not_warned", None, f"she was not told by {due_s:.1f} s that nobody knows where he is"

    def _unreachable(self) -> tuple[VictimOutcome, Felt | None, str]:
        """Judge whether the provider learned that she cannot be warned; of a tag that was never issued it knows."""
        tag = self._her.smart_tag
        if tag is None or not tag.issued:
            return "told_of_lost_cover", None, ""
        policy = self._s.policy
        near_s = self._window.due_s if math.isfinite(self._window.due_s) else self._lost_due_s()
        due_s = near_s + NOT_WARNED_S + policy.confirm_limit_s + policy.allowance_s
        due_s = self._s.deadlines.after(near_s, due_s)
        for seen in self._s.alerts:
            alert = seen.alert
            hers = alert.subject in {self._pair.ring.device, self._tag}
            if alert.kind in _UNWARNED_KINDS and hers and not alert.cleared and alert.t_s <= due_s:
                return "told_of_lost_cover", None, ""
        return "not_warned", None, f"nobody was told by {due_s:.1f} s that she cannot be warned"
