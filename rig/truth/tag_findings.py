"""What her smart tag did, by its own log: warned where it must, quiet where it must; and what the provider was told.

A warning does not go through the broker: its outages excuse nothing here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from protocols.mqtt.messages import AlertKind, BandName, WarningStep
from rig.runs.record import Felt, RunRecord
from rig.truth.cover import aged_places
from rig.truth.findings import Finding, span_text
from rig.truth.heard import Explained, HeardWindow, find_heard
from rig.truth.lines import LEVEL, Line, LineKey, Pair
from rig.truth.situation import Situation
from rig.truth.spans import Side, Span
from rig.truth.stretches import Owing, Stretch, merged, spans_of
from rig.truth.verdict import Verdict

_HOLD_S = 30.0
"""Tag seconds that her tag's own warning outlasts the last advertisement it heard."""

NOT_WARNED_S = 10.0
"""Tag seconds beyond the bridge's own limit in which a warning that does not arrive is given up: the driver makes two
attempts at a link."""

_COVER_TEXT = "cover_lost"
"""What a tag shows where nobody can say who is near; never that he is."""

_NAMES = {1: "notice", 2: "alarm", 3: "contact"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hers:
    """One protected person with a smart tag that can be warned: her pairs, and what her tag felt like."""

    device: str
    tag: str
    answers: bool
    pairs: tuple[Pair, ...]
    heard: tuple[HeardWindow, ...]
    felt: tuple[Felt, ...]


def find_hers(situation: Situation) -> Iterator[Hers]:
    """Find everybody who can be warned."""
    for person in situation.scenario.person:
        tag = person.smart_tag
        if tag is None or not situation.is_reachable(tag.id):
            continue
        pairs = tuple(pair for pair in situation.pairs if pair.ring.device == person.device)
        yield Hers(
            device=person.device,
            tag=tag.id,
            answers=tag.acknowledges_after_s is not None,
            pairs=pairs,
            heard=tuple(window for pair in pairs for window in find_heard(pair, situation)),
            felt=tuple(near_felt(situation.record, tag.id)),
        )


def near_felt(record: RunRecord, tag: str) -> Iterator[Felt]:
    """Give what a tag did about nearness: while it says something else, such as that cover is lost, its level is 0.

    A tag that keeps no log is known by what it told.
    """
    log = [each for each in record.felt if each.tag == tag]
    if not log:
        yield from _felt_by_steps(record, tag)
        return
    text: str | None = None
    for each in log:
        if each.text is not None or each.level == 0:
            text = each.text
        yield replace(each, level=0) if text == _COVER_TEXT else each


def _felt_by_steps(record: RunRecord, tag: str) -> Iterator[Felt]:
    numbers = {word: number for number, word in _NAMES.items()}
    for step in record.steps:
        if step.smart_tag != tag or step.text == _COVER_TEXT:
            continue
        if step.step is WarningStep.STARTED:
            level = numbers.get(step.level or "", 0)
            yield Felt(t_s=step.t_s, tag=tag, level=level, mode="warning" if level else "idle", text=step.text)
        elif step.step is WarningStep.STOOD_DOWN:
            yield Felt(t_s=step.t_s, tag=tag, level=0, mode="idle", text=None)


def tag_findings(situation: Situation) -> Iterator[Explained]:
    """Judge every smart tag that can be warned."""
    for hers in find_hers(situation):
        for pair in hers.pairs:
            for band, spans in pair.spans.items():
                for span in spans:
                    if span.side is Side.IN:
                        yield from _warned(hers, pair, band, span, situation)
        for from_s, until_s in quiet_stretches(hers, situation):
            yield _quiet(hers, from_s, until_s, situation), ()


def _warned(hers: Hers, pair: Pair, band: BandName, span: Span, situation: Situation) -> Iterator[Explained]:
    """Judge one stay within a ring: at least its level from when reports must show it, for as long as they do."""
    level, limit_s = LEVEL[band], warn_limit_s(situation)
    from_s = _after(situation.excuses.silenced(hers.tag, situation.scenario), span.from_s)
    # whose position is too old is not thought near any more: then she is owed that nobody can say
    aged = aged_places(situation, (pair.order.wearer, pair.ring.device)).may
    until_s = min([span.until_s, *(lost_s for lost_s, back_s in aged if back_s > from_s)])
    if until_s - from_s <= limit_s:
        return
    spans = pair.spans[band]
    outs_s = [each.until_s for each in spans if each.side is Side.OUT and each.until_s <= span.from_s]
    earliest_s = max(outs_s, default=0.0)
    done_s, gap_s = _hold(hers.felt, level, from_s + limit_s, until_s)
    reason = f"he is within {_radius(pair, band):g} m"
    verdict = Verdict.PASS
    if done_s is None:
        late = next((f.t_s for f in hers.felt if f.level >= level and from_s + limit_s < f.t_s < until_s), None)
        told = "never warned" if late is None else f"late by {span_text(late - from_s - limit_s)}"
        reason, verdict, done_s = f"{told}: {reason}", Verdict.FAIL, late
    elif gap_s is not None and not situation.is_unreachable(hers.tag, gap_s):
        reason, verdict = f"quiet again at {gap_s:.1f} s: {reason}", Verdict.FAIL
    what = f"her tag warns · {_NAMES[level]}"
    yield (
        Finding(
            what=what,
            check="warning",
            side="smart_tag",
            subject=hers.tag,
            earliest_s=earliest_s,
            latest_s=from_s,
            received_s=done_s,
            verdict=verdict,
            reason=reason,
            margin_s=None if done_s is None else from_s + limit_s - done_s,
        ),
        (),
    )
    if verdict is Verdict.PASS:
        yield _told(hers, level, earliest_s, span, situation), ()


def warn_limit_s(situation: Situation) -> float:
    """Return the tag seconds in which a report becomes a warning."""
    return situation.policy.tag_limit_s * situation.policy.speed + situation.policy.allowance_s


def _radius(pair: Pair, band: BandName) -> float:
    ring = pair.ring
    return {BandName.PRE_ALERT: ring.pre_alert_m, BandName.ALARM: ring.alarm_m}.get(band, ring.contact_m)


def _after(stretches: Sequence[Stretch], t_s: float) -> float:
    for from_s, until_s in sorted(stretches):
        if from_s <= t_s <= until_s:
            t_s = until_s
    return t_s


def _hold(felt: Sequence[Felt], level: int, due_s: float, until_s: float) -> tuple[float | None, float | None]:
    """Return when a level was reached that held at ``due_s``, None if it did not; and when it was lost too soon."""
    since_s: float | None = None
    for each in felt:
        if each.t_s > due_s:
            break
        if each.level < level:
            since_s = None
        elif since_s is None:
            since_s = each.t_s
    if since_s is None:
        return None, None
    return since_s, next((each.t_s for each in felt if due_s < each.t_s < until_s and each.level < level), None)


def _told(hers: Hers, level: int, earliest_s: float, span: Span, situation: Situation) -> Finding:
    """Find whether the provider learned that she was warned, and that she pressed the button."""
    steps = [each for each in situation.record.steps if each.smart_tag == hers.tag and each.t_s >= earliest_s]
    began = [f.t_s for f in hers.felt if f.level >= level and f.t_s <= span.until_s]
    started = {WarningStep.STARTED, WarningStep.OWN_STARTED}
    told = next((s.t_s for s in steps if s.step in started and _reaches(s.level, level, s.step)), None)
    pressed = any(f.mode == "acknowledged" and f.t_s >= (began[0] if began else earliest_s) for f in hers.felt)
    answered = any(s.step is WarningStep.ACKNOWLEDGED for s in steps)
    reason, verdict = "the provider knows that she is warned", Verdict.PASS
    if told is None:
        reason, verdict = "the provider was not told that the tag warns", Verdict.FAIL
    elif hers.answers and pressed and not answered:
        reason, verdict = "the provider was not told that she pressed the button", Verdict.FAIL
    return Finding(
        what=f"provider told of her warning · {_NAMES[level]}",
        check="told",
        side="protected",
        subject=hers.device,
        earliest_s=earliest_s,
        received_s=told,
        verdict=verdict,
        reason=reason,
    )


def _reaches(name: str | None, level: int, step: WarningStep) -> bool:
    if step is WarningStep.OWN_STARTED:
        return True
    numbers = {word: number for number, word in _NAMES.items()}
    return numbers.get(name or "", 0) >= level


def quiet_stretches(hers: Hers, situation: Situation) -> list[Stretch]:
    """Find when her tag must not say that he is near: all of them are surely far, and out of the beacon's reach."""
    policy = situation.policy
    hold_s = max(policy.beacon_hold_s, _HOLD_S) + warn_limit_s(situation)
    may: list[Stretch] = [(each.earliest_s, each.until_s + hold_s) for each in hers.heard]
    may += [
        (span.from_s, span.until_s + warn_limit_s(situation))
        for pair in hers.pairs
        for span in pair.spans[BandName.PRE_ALERT]
        if span.side is not Side.OUT
    ]
    # after a fault a tag that could not be reached is stood down late
    may += [
        (from_s, until_s + warn_limit_s(situation))
        for from_s, until_s in situation.excuses.silenced(hers.tag, situation.scenario)
    ]
    spans = spans_of(Owing(may=tuple(merged(may))), duration_s=situation.scenario.duration_s)
    return [(each.from_s, each.until_s) for each in spans if each.side is Side.OUT]


def _quiet(hers: Hers, from_s: float, until_s: float, situation: Situation) -> Finding:
    wrong: float | None = None
    for each in hers.felt:
        if each.level == 0:
            continue
        if each.t_s >= until_s:
            break
        ends_s = next((f.t_s for f in hers.felt if f.t_s > each.t_s), math.inf)
        if ends_s > from_s:
            wrong = max(each.t_s, from_s)
            break
    reason, verdict = "she was left in peace", Verdict.PASS
    if wrong is not None:
        near_m = min(min(pair.looks, key=lambda look: abs(look.t_s - wrong)).true_m for pair in hers.pairs)
        reason, verdict = f"must not have fired: he was {near_m:.0f} m away", Verdict.FAIL
    return Finding(
        what="silence of her tag",
        check="warning",
        side="smart_tag",
        subject=hers.tag,
        earliest_s=from_s,
        latest_s=until_s,
        received_s=wrong,
        verdict=verdict,
        reason=reason,
    )


def not_warned_lines(situation: Situation) -> Iterator[Line]:
    """Make the lines of ``protected_person_not_warned``: owed where her tag is not there and he is near."""
    for pair in situation.pairs:
        person = situation.scenario.find_person(pair.ring.device)
        if person is None or person.smart_tag is None or not person.smart_tag.issued:
            continue
        tag = person.smart_tag.id
        near = [(span.from_s, span.until_s) for span in pair.spans[BandName.PRE_ALERT] if span.side is not Side.OUT]
        near += [(each.earliest_s, each.until_s) for each in find_heard(pair, situation)]
        must: list[Stretch] = []
        policy = situation.policy
        if situation.is_reachable(tag):
            gone = situation.excuses.silenced(tag, situation.scenario)
        else:
            gone = [(0.0, situation.scenario.duration_s)]
            must = [
                (span.from_s + NOT_WARNED_S + policy.confirm_limit_s, span.until_s)
                for span in pair.spans[BandName.PRE_ALERT]
                if span.side is Side.IN
            ]
        hold_s = policy.beacon_hold_s + warn_limit_s(situation)
        may = [
            (max(a, c), min(b + hold_s, d + hold_s))
            for a, b in near
            for c, d in gone
            if max(a, c) < min(b + hold_s, d + hold_s)
        ]
        yield Line(
            key=LineKey(
                kind=AlertKind.PROTECTED_PERSON_NOT_WARNED,
                side="protected",
                subject=pair.ring.device,
                about=pair.order.wearer,
            ),
            name="her tag could not be told that he is near",
            on_side=Side.IN,
            spans=tuple(spans_of(Owing(must=tuple(must), may=tuple(may)), duration_s=situation.scenario.duration_s)),
        )
