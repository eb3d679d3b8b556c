"""Equipment, battery, silence, her tag's warnings; and what nothing explains."""

from collections.abc import Iterator

from protocols.mqtt.messages import AlertKind
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import device_alerts
from rig.truth.findings import Finding, span_text
from rig.truth.line_findings import Explained
from rig.truth.lines import LINE_KINDS
from rig.truth.situation import Situation
from rig.truth.verdict import Match, ReceivedAlert, Verdict, judge
from rig.truth.warned import TagMoment, ToldStep, WarningMatch, judge_warnings, owed_warnings

_DEVICE_KINDS = frozenset(
    {
        AlertKind.STRAP_TAMPER,
        AlertKind.CASE_TAMPER,
        AlertKind.SHIELDING_SUSPECTED,
        AlertKind.JAMMING_SUSPECTED,
        AlertKind.BATTERY_LOW,
        AlertKind.BATTERY_CRITICAL,
        AlertKind.COMMS_LOST,
        AlertKind.LOCATION_LOST,
    }
)


def device_findings(situation: Situation) -> Iterator[Explained]:
    """Judge what devices owe about themselves."""
    expected = [
        each
        for device in situation.truth.values()
        for each in device_alerts(device, situation.scenario.duration_s, situation.policy)
    ]
    known = {person.device for person in situation.scenario.person}
    received = [
        seen.alert
        for seen in situation.alerts
        if seen.alert.kind in _DEVICE_KINDS and not seen.late and seen.alert.subject in known
    ]
    judgement = judge(expected, received, allowance_s=situation.policy.allowance_s)
    for match in judgement.matches:
        alert = match.received
        yield _of_match(match, situation), () if alert is None else (alert.index,)


def _of_match(match: Match, situation: Situation) -> Finding:
    expected, alert = match.expected, match.received
    due_s = expected.latest_s + situation.policy.allowance_s
    reason = expected.reason
    if alert is None and expected.required:
        reason = f"it never came: {expected.reason}"
    elif match.off_s:
        reason = f"{'late' if match.off_s > 0 else 'early'} by {span_text(abs(match.off_s))}: {expected.reason}"
    return Finding(
        what=_what(expected),
        check="window",
        side=expected.side,
        subject=expected.subject,
        earliest_s=expected.earliest_s,
        latest_s=expected.latest_s,
        received_s=None if alert is None else alert.t_s,
        verdict=match.verdict,
        reason=reason,
        margin_s=None if alert is None else due_s - alert.t_s,
        index=None if alert is None else alert.index,
    )


def _what(alert: ExpectedAlert | ReceivedAlert) -> str:
    return alert.kind.value.replace("_", " ") + (" · over" if alert.cleared else "")


def warning_findings(situation: Situation) -> Iterator[Explained]:
    """Judge what the protected persons felt, by the logs of their tags."""
    owed = owed_warnings(situation.scenario, situation.policy)
    for tag in dict.fromkeys(each.smart_tag for each in owed):
        moments = [TagMoment(t_s=f.t_s, level=f.level) for f in situation.record.felt if f.tag == tag]
        told = [
            ToldStep(t_s=step.t_s, step=step.step, level=step.level)
            for step in situation.record.steps
            if step.smart_tag == tag
        ]
        hers = [each for each in owed if each.smart_tag == tag]
        allowance_s = situation.policy.tag_limit_s * situation.policy.speed
        for match in judge_warnings(hers, moments, told, allowance_s=allowance_s):
            yield _of_warning(match, allowance_s), ()


def _of_warning(match: WarningMatch, allowance_s: float) -> Finding:
    owed = match.owed
    silence = owed.level == 0
    due_s = owed.from_s + allowance_s
    return Finding(
        what="silence of her tag" if silence else f"her tag warns · {owed.level.name.lower()}",
        check="warning",
        side="smart_tag",
        subject=owed.smart_tag,
        earliest_s=owed.earliest_s,
        latest_s=owed.until_s if silence else owed.from_s,
        received_s=None if silence else match.done_at_s,
        verdict=match.verdict,
        reason=match.problem or owed.reason,
        margin_s=None if silence or match.done_at_s is None else due_s - match.done_at_s,
    )


def unexplained(situation: Situation, explained: set[int]) -> Iterator[Finding]:
    """Find what came and nothing accounts for."""
    for seen in situation.alerts:
        alert = seen.alert
        if seen.index in explained or alert.kind in LINE_KINDS:
            continue
        yield Finding(
            what=_what(alert),
            check="silence",
            side=alert.side,
            subject=alert.subject,
            received_s=alert.t_s,
            verdict=Verdict.FAIL,
            reason="must not have fired: nothing in the scenario brings it",
            index=alert.index,
        )
