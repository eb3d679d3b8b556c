"""Equipment and battery of devices; and what nothing explains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from protocols.mqtt.messages import AlertKind, MsgType
from rig.runs.record import AlertSeen
from rig.truth.expectation import ExpectedAlert
from rig.truth.expected import device_alerts, silence_alerts
from rig.truth.findings import Finding, span_text
from rig.truth.line_findings import Explained
from rig.truth.lines import LINE_KINDS
from rig.truth.reports import ReportLog
from rig.truth.situation import Situation
from rig.truth.verdict import Judgement, Match, ReceivedAlert, Verdict, judge

_DEVICE_KINDS: Final = frozenset(
    {
        AlertKind.STRAP_TAMPER,
        AlertKind.CASE_TAMPER,
        AlertKind.SHIELDING_SUSPECTED,
        AlertKind.JAMMING_SUSPECTED,
        AlertKind.BATTERY_LOW,
        AlertKind.BATTERY_CRITICAL,
    }
)


_SILENT_KINDS: Final = frozenset({AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST})
"""Judged exactly where a device left a log of its own, else by what its surroundings make likely."""


def device_findings(situation: Situation) -> Iterator[Explained]:
    """Judge what devices owe about themselves."""
    expected = [
        each
        for device in situation.truth.values()
        for each in device_alerts(
            device,
            situation.scenario.duration_s,
            situation.policy,
            with_silence=False,
            told_s=_find_told_s(device.person.device, situation),
        )
    ]
    expected += [
        each
        for device in situation.truth.values()
        if device.person.device not in situation.logs
        for each in silence_alerts(device, situation.scenario.duration_s, situation.policy)
    ]
    expected = [_past_cuts(each, situation) for each in expected]
    received = list(_received(situation))
    judgement = judge(expected, received, allowance_s=situation.policy.allowance_s)
    for match in judgement.matches:
        alert = match.received
        yield _of_match(match, situation), () if alert is None else (alert.index,)
    yield from _too_soon(judgement, received, situation)


def _find_told_s(device: str, situation: Situation) -> list[float] | None:
    """Return when a device surely told how it was; None where it left no log."""
    log = situation.logs.get(device)
    if log is None:
        return None
    return [situation.time.t_s(each.sent_mono_ns) for each in log.all if each.sure and not each.stored]


def _past_cuts(expected: ExpectedAlert, situation: Situation) -> ExpectedAlert:
    """Move the end of a window past the times at which nobody could be told."""
    due_s = situation.deadlines.after(expected.earliest_s, expected.latest_s)
    is_unseen = situation.deadlines.is_unseen(expected.latest_s, due_s)
    return replace(expected, latest_s=due_s, required=expected.required and not is_unseen)


def _received(situation: Situation) -> Iterator[ReceivedAlert]:
    """Find what devices told about themselves, copies of a message left out."""
    known = {person.device for person in situation.scenario.person}
    ids: set[str] = set()
    for seen in situation.alerts:
        if seen.alert.subject not in known or seen.late or not _is_of_device(seen.alert, situation):
            continue
        if seen.event_id and seen.event_id in ids:
            continue
        ids.add(seen.event_id)
        yield seen.alert


def _too_soon(judgement: Judgement, received: Sequence[ReceivedAlert], situation: Situation) -> Iterator[Explained]:
    """Find alerts that were taken back while what they tell of, and must be told of, still stood."""
    brought = {match.received.index: match.expected for match in judgement.matches if match.received is not None}
    for alert in judgement.unexpected:
        if not alert.cleared or alert.kind not in _DEVICE_KINDS:
            continue
        cause = _find_cause(alert, received, brought)
        if cause is None or not cause.required:
            continue
        fault = situation.excuses.find_allowing(alert)
        reason = f"taken back too soon: {cause.reason}" if fault is None else f"may come under {fault.fault}"
        finding = Finding(
            what=_what(alert),
            check="silence",
            side=alert.side,
            subject=alert.subject,
            received_s=alert.t_s,
            verdict=Verdict.FAIL if fault is None else Verdict.SKIPPED,
            reason=reason,
            index=alert.index,
        )
        yield finding, (alert.index,)


def _find_cause(
    cleared: ReceivedAlert, received: Sequence[ReceivedAlert], brought: Mapping[int, ExpectedAlert]
) -> ExpectedAlert | None:
    """Return what brought the alert that is taken back; None where it did not stand, or nothing brought it."""
    cause = None
    for each in received:
        if each.index >= cleared.index:
            break
        if (each.kind, each.subject) == (cleared.kind, cleared.subject):
            # what goes on with an alert has no cause of its own
            cause = None if each.cleared else brought.get(each.index, cause)
    return cause


def _is_of_device(alert: ReceivedAlert, situation: Situation) -> bool:
    return alert.kind in _DEVICE_KINDS or (alert.kind in _SILENT_KINDS and alert.subject not in situation.logs)


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


def unexplained(situation: Situation, explained: set[int]) -> Iterator[Finding]:
    """Find what came and nothing accounts for."""
    seen_ids: set[str] = set()
    for seen in situation.alerts:
        alert = seen.alert
        again = bool(seen.event_id) and seen.event_id in seen_ids
        seen_ids.add(seen.event_id)
        if seen.index in explained or (alert.kind in LINE_KINDS and not seen.late) or again:
            continue
        verdict, reason = _why(seen, situation)
        if verdict is None:
            continue
        yield Finding(
            what=_what(alert),
            check="silence",
            side=alert.side,
            subject=alert.subject,
            received_s=alert.t_s,
            verdict=verdict,
            reason=reason,
            index=alert.index,
        )


def _why(seen: AlertSeen, situation: Situation) -> tuple[Verdict | None, str]:
    alert = seen.alert
    fault = situation.excuses.find_allowing(alert)
    if fault is not None:
        return Verdict.SKIPPED, f"may come under {fault.fault}"
    if seen.late:
        if any(report.stored for report in situation.logs.get(alert.subject, _NOTHING).all):
            return Verdict.SKIPPED, "tells of the past, from the tag's memory"
        return Verdict.FAIL, "must not have fired: it tells of a past that the tag's memory does not hold"
    if alert.cleared or seen.msg_type is MsgType.UPDATE:
        # what it ends or goes on with is judged where it began
        return None, ""
    return Verdict.FAIL, "must not have fired: nothing in the scenario brings it"


_NOTHING: Final = ReportLog(())
