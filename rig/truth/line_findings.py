"""Zones and rings: each alert in its window, silence elsewhere, passes between two reports."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.truth.excuses import Disturbance
from rig.truth.findings import Finding, span_text
from rig.truth.lines import LINE_KINDS, Line, turns_of
from rig.truth.passes import Passing
from rig.truth.situation import Situation
from rig.truth.spans import Side, SpanMatch, Turn, match_spans
from rig.truth.verdict import Verdict

EARLY_S = 60.0
"""Tag seconds before a window within which an alert is called early; longer before, it must not have come at all."""

Explained = tuple[Finding, tuple[int, ...]]
"""A finding, and the alerts that it accounts for."""


def line_findings(situation: Situation, lines: Iterable[Line]) -> Iterator[Explained]:
    """Judge lines of a run."""
    for line in lines:
        turns, again = turns_of(line.key, situation.alerts, time=situation.time, excuses=situation.excuses)
        for seen in again:
            reason = "told again though nothing had changed"
            finding = _finding(line, "window", Verdict.FAIL, reason, received_s=seen.alert.t_s, index=seen.index)
            yield finding, (seen.index,)
        matches = match_spans(
            line.spans,
            turns,
            on_side=line.on_side,
            allowance_s=situation.policy.allowance_s,
            deadlines=situation.deadlines,
        )
        for match in matches:
            yield from _judged(line, match, situation)
        for passing in line.passings:
            if passing.required:
                yield _passed(line, passing, turns, situation)
        for stay in line.unseen:
            where = "inside" if line.on_side is Side.IN else "out of"
            reason = (
                f"he was up to {stay.deep_m:.0f} m {where} {line.name} from {stay.from_s:.1f} to {stay.until_s:.1f} s "
                "and no report shows it"
            )
            yield _finding(line, "window", Verdict.SKIPPED, reason, earliest_s=stay.from_s, latest_s=stay.until_s), ()
        # whatever changed while it might is nobody's mistake
        used = tuple(turn.index for turn in turns)
        for finding in _may_have(line, turns, matches):
            yield finding, used


def _may_have(line: Line, turns: list[Turn], matches: list[SpanMatch]) -> Iterator[Finding]:
    told = {match.turn.index for match in matches if match.turn is not None}
    told |= {turn.index for match in matches for turn in match.stray}
    for turn in turns:
        if turn.index not in told:
            yield _finding(
                line,
                "window",
                Verdict.PASS,
                "may have come: reports near the line may show either side",
                received_s=turn.t_s,
                index=turn.index,
                cleared=not turn.on,
            )


def _judged(line: Line, match: SpanMatch, situation: Situation) -> Iterator[Explained]:
    allowance_s = situation.policy.allowance_s
    due_s = situation.deadlines.after(match.earliest_s, match.latest_s + allowance_s)
    turn = match.turn
    begins = not match.on and match.earliest_s >= match.span.from_s and turn is None and match.late_s == 0.0
    if not begins:
        yield (
            _finding(
                line,
                "window",
                Verdict.SKIPPED if match.open else Verdict.PASS if match.late_s == 0.0 else Verdict.FAIL,
                _late_reason(line, match),
                earliest_s=match.earliest_s,
                latest_s=match.latest_s,
                received_s=None if turn is None else turn.t_s,
                margin_s=None if turn is None else due_s - turn.t_s,
                index=None if turn is None else turn.index,
                cleared=not match.on,
            ),
            () if turn is None else (turn.index,),
        )
    for stray in match.stray:
        yield (
            _finding(
                line,
                "silence",
                _stray_verdict(line, stray, situation),
                _stray_reason(line, match, stray, situation),
                earliest_s=match.span.from_s,
                latest_s=match.span.until_s,
                received_s=stray.t_s,
                index=stray.index,
                cleared=not stray.on,
            ),
            (stray.index,),
        )
    if not match.on and not match.stray and match.span.until_s - match.span.from_s > allowance_s:
        where = _where(line, match)
        yield (
            _finding(
                line,
                "silence",
                Verdict.PASS,
                f"silence kept: {where}",
                earliest_s=match.span.from_s,
                latest_s=match.span.until_s,
                what=f"silence · {name_of(line)}",
            ),
            (),
        )


def _passed(line: Line, passing: Passing, turns: list[Turn], situation: Situation) -> Explained:
    due_s = situation.deadlines.after(passing.from_s, passing.seen_s + situation.policy.allowance_s)
    turn = next((each for each in turns if each.on and passing.from_s <= each.t_s <= due_s), None)
    state = False
    for each in turns:
        if each.t_s <= passing.from_s:
            state = each.on
    done = turn is not None or state
    is_open = situation.deadlines.is_unseen(passing.seen_s + situation.policy.allowance_s, due_s)
    verdict = Verdict.PASS if done else Verdict.FAIL if passing.required and not is_open else Verdict.SKIPPED
    reason = f"he passed at {passing.near_m:.0f} m between two reports"
    if is_open and not done:
        reason = f"{_OPEN}: {reason}"
    if verdict is Verdict.FAIL:
        reason = f"it never came: {reason}"
    finding = _finding(
        line,
        "window",
        verdict,
        reason,
        earliest_s=passing.from_s,
        latest_s=passing.seen_s,
        received_s=None if turn is None else turn.t_s,
        margin_s=None if turn is None else due_s - turn.t_s,
        index=None if turn is None else turn.index,
    )
    return finding, () if turn is None else (turn.index,)


_OPEN: Final = "nobody could be told before the record ended"


def _late_reason(line: Line, match: SpanMatch) -> str:
    if match.open:
        return f"{_OPEN}: {_where(line, match)}"
    if match.late_s == 0.0:
        return ""
    if not math.isinf(match.late_s):
        return f"late by {span_text(match.late_s)}"
    return f"it never came: {_where(line, match)}"


def _where(line: Line, match: SpanMatch) -> str:
    """Say where he was, in the words of the line."""
    span = match.span
    if line.key.kind not in LINE_KINDS:
        return line.name if span.side is Side.IN else "nothing brought it"
    if line.key.kind is AlertKind.PROXIMITY_BREACH:
        radius_m = float(line.name.removesuffix(" m"))
        near_m, far_m = span.near_m + radius_m, span.far_m + radius_m
        return f"he came to {near_m:.0f} m" if span.side is Side.IN else f"he was {near_m:.0f} to {far_m:.0f} m away"
    if span.side is Side.IN:
        return f"he was up to {-span.near_m:.0f} m inside {line.name}"
    return f"he was {span.near_m:.0f} to {span.far_m:.0f} m out of {line.name}"


def _stray_reason(line: Line, match: SpanMatch, stray: Turn, situation: Situation) -> str:
    ahead_s = match.span.until_s - stray.t_s
    if line.key.kind not in LINE_KINDS:
        if match.on:
            return f"taken back too soon: {line.name}"
        allowing = _find_allowing(stray, situation)
        return "must not have fired: nothing brought it" if allowing is None else f"may come under {allowing.fault}"
    here_m = _distance_m(line, stray.t_s, situation)
    if match.on:
        return f"taken back too soon: he was still {here_m}"
    comes = any(span.from_s >= match.span.until_s and span.side is line.on_side for span in line.spans)
    if comes and ahead_s <= EARLY_S:
        return f"early by {span_text(ahead_s)}: he was {here_m}"
    return f"must not have fired: he was {here_m}"


def _stray_verdict(line: Line, stray: Turn, situation: Situation) -> Verdict:
    if line.key.kind in LINE_KINDS or _find_allowing(stray, situation) is None:
        return Verdict.FAIL
    return Verdict.SKIPPED


def _find_allowing(stray: Turn, situation: Situation) -> Disturbance | None:
    return situation.excuses.find_allowing(situation.alerts[stray.index].alert)


def _distance_m(line: Line, t_s: float, situation: Situation) -> str:
    key = line.key
    if key.kind is AlertKind.PROXIMITY_BREACH:
        pair = next(p for p in situation.pairs if {p.order.wearer, p.ring.device} == {key.subject, key.about})
        look = min(pair.looks, key=lambda each: abs(each.t_s - t_s))
        return f"{look.true_m:.0f} m away"
    signed_m = situation.zone_distance_m(str(key.zone_id), key.subject, t_s)
    return f"{abs(signed_m):.0f} m {'inside' if signed_m <= 0 else 'out of'} {line.name}"


def name_of(line: Line) -> str:
    """Name the alert of a line in words."""
    key = line.key
    if key.kind not in LINE_KINDS:
        return key.kind.value.replace("_", " ")
    if key.band is not None:
        return f"proximity · {key.band.value.replace('_', '-')} ({line.name})"
    return f"{key.kind.value.replace('_', ' ')} · {line.name}"


def _finding(
    line: Line,
    check: str,
    verdict: Verdict,
    reason: str,
    *,
    earliest_s: float | None = None,
    latest_s: float | None = None,
    received_s: float | None = None,
    margin_s: float | None = None,
    index: int | None = None,
    cleared: bool = False,
    what: str = "",
) -> Finding:
    return Finding(
        what=what or name_of(line) + (" · over" if cleared else ""),
        check="silence" if check == "silence" else "window",
        side=line.key.side,
        subject=line.key.subject,
        earliest_s=earliest_s,
        latest_s=latest_s,
        received_s=received_s,
        verdict=verdict,
        reason=reason,
        margin_s=margin_s,
        index=index,
    )
