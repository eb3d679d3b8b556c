"""Promptness: from the report that shows it to the subscriber, and to her tag."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind, BandName
from rig.emulator.clock import NS_PER_S
from rig.runs.record import AlertSeen
from rig.truth.expected import find_equipment_s
from rig.truth.findings import Finding, Measurement, span_text
from rig.truth.line_findings import name_of
from rig.truth.lines import LEVEL, Line, Pair, turns_of
from rig.truth.planar import QuickZone
from rig.truth.reports import STAMP_SLACK_S
from rig.truth.shown import Shown, ring_shown, zone_shown
from rig.truth.situation import Situation
from rig.truth.spans import Turn
from rig.truth.tag_findings import near_felt
from rig.truth.verdict import Verdict

ALERT_LATENCY: Final = "alert_latency"
WARNING_LATENCY: Final = "warning_latency"
"""Names of the two measurements."""

_MARGINAL_SHARE: Final = 0.8
"""Of a limit: beyond it a value is told as marginal."""

_CAUSE_NS: Final = 2 * NS_PER_S
"""A report sent longer before a reception than this did not cause it, nanoseconds."""

_RAISED_BY_TIME: Final = frozenset(
    {AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST, AlertKind.COVER_LOST, AlertKind.PROTECTED_PERSON_NOT_WARNED}
)
_ENDED_BY_TIME: Final = frozenset(
    {
        AlertKind.COVER_LOST,
        AlertKind.PROTECTED_PERSON_NOT_WARNED,
        AlertKind.BEACON_HEARD,
        AlertKind.BEACON_FORGED,
    }
)
"""Because something did not come, or came for long enough: no report shows it. Their windows are judged elsewhere."""


_UNANSWERED: Final = "not_acknowledged"
"""Level of an alert that is updated because she did not press the button in time: no report shows that."""


@dataclass(slots=True)
class Promptness:
    """What was found: findings of what was too slow or never told, and both series."""

    findings: list[Finding]
    alerts: list[tuple[float, float]]
    warnings: list[tuple[float, float]]

    def measurements(self, situation: Situation) -> tuple[Measurement, ...]:
        """Both measurements; her tag's only where there is a tag."""
        limit_ms, tag_s = situation.policy.latency_limit_ms, situation.policy.tag_limit_s
        measured = [
            Measurement(
                name=ALERT_LATENCY,
                unit="ms",
                limit=f"<= {limit_ms:g}",
                marginal=f"<= {limit_ms * _MARGINAL_SHARE:g}",
                series=tuple(sorted(self.alerts)),
            )
        ]
        if any(person.smart_tag is not None for person in situation.scenario.person):
            measured.append(
                Measurement(
                    name=WARNING_LATENCY,
                    unit="s",
                    limit=f"<= {tag_s:g}",
                    marginal=f"<= {tag_s * _MARGINAL_SHARE:g}",
                    series=tuple(sorted(self.warnings)),
                )
            )
        return tuple(measured)


def judge_promptness(situation: Situation) -> Promptness:
    """Judge every alert that a report shows, every report that shows one, and every warning of her tag."""
    found = Promptness(findings=[], alerts=[], warnings=[])
    on_lines: dict[int, int | None] = {}
    for line, shown in _shown_by_line(situation):
        turns, _ = turns_of(line.key, situation.alerts, time=situation.time, excuses=situation.excuses)
        for before, turn in zip((None, *turns), turns, strict=False):
            cause = _find_shown(shown, turn, before, situation)
            sent = None if cause is None else cause.sent_mono_ns
            known = on_lines.get(turn.index)
            on_lines[turn.index] = sent if known is None else known if sent is None else max(known, sent)
        found.findings += _untold(line, shown, turns, situation)
    for seen in situation.alerts:
        _take(seen, on_lines.get(seen.index), found, situation)
    for pair in situation.pairs:
        _take_warnings(pair, found, situation)
    return found


def _shown_by_line(situation: Situation) -> Iterator[tuple[Line, list[Shown]]]:
    margin_m = situation.policy.exit_margin_m
    zones = {feature["id"]: feature for feature in situation.scenario.zones_geojson()["features"]}
    for line in situation.lines:
        log = situation.logs.get(line.key.subject)
        if line.key.zone_id is not None and log is not None:
            yield line, zone_shown(line, QuickZone(zones[line.key.zone_id], (0.0, margin_m)), log, margin_m=margin_m)
    for pair in situation.pairs:
        rings = find_ring_shown(pair, situation)
        for line in pair.lines():
            if line.key.band is not None and line.key.band.value in rings:
                yield line, rings[line.key.band.value]


def find_ring_shown(pair: Pair, situation: Situation) -> dict[str, list[Shown]]:
    """Read the reports of a pair; nothing where one of them left no log."""
    his, hers = situation.logs.get(pair.order.wearer), situation.logs.get(pair.ring.device)
    if his is None or hers is None:
        return {}
    policy = situation.policy
    return ring_shown(pair, his, hers, margin_m=policy.exit_margin_m, max_age_s=policy.max_position_age_s)


def _find_shown(shown: Sequence[Shown], turn: Turn, before: Turn | None, situation: Situation) -> Shown | None:
    """Return what the reports showed when a change arrived, None where they did not show it yet.

    What they showed before the change ``before`` it is no cause: a ring that was passed between two reports comes to
    its end though no report ever showed him within.
    """
    alerts = situation.record.alerts
    since_ns = 0 if before is None else alerts[before.index].t_sub_mono_ns
    last = None
    for each in shown:
        if each.sent_mono_ns > alerts[turn.index].t_sub_mono_ns:
            break
        last = each
    return last if last is not None and last.on is turn.on and last.sure and last.sent_mono_ns >= since_ns else None


def _untold(line: Line, shown: Sequence[Shown], turns: Sequence[Turn], situation: Situation) -> Iterator[Finding]:
    """Find what reports showed and nobody was told of before they showed the contrary."""
    limit_s = situation.policy.latency_limit_ms / 1000 * situation.policy.speed
    for each in shown:
        sent_s = situation.time.t_s(each.sent_mono_ns)
        due_s = situation.deadlines.after(sent_s, sent_s + limit_s)
        until_s = situation.deadlines.after(sent_s, situation.time.t_s(each.until_mono_ns) + limit_s)
        if not each.sure or not each.on or due_s > situation.scenario.duration_s:
            continue
        state = False
        for turn in turns:
            if turn.t_s > sent_s:
                break
            state = turn.on
        if state or any(turn.on and sent_s <= turn.t_s <= until_s for turn in turns):
            continue
        yield Finding(
            what=name_of(line),
            check="promptness",
            side=line.key.side,
            subject=line.key.subject,
            earliest_s=sent_s,
            latest_s=due_s,
            verdict=Verdict.FAIL,
            reason=f"never told: the report of {each.t_s:.1f} s shows it ({_depth(line, each)})",
        )


def _depth(line: Line, shown: Shown) -> str:
    if line.key.kind is AlertKind.INCLUSION_ZONE_LEFT:
        return f"{shown.distance_m:.0f} m out of {line.name}"
    return f"{-shown.distance_m:.0f} m within {line.name}"


def _take(seen: AlertSeen, shown_ns: int | None, found: Promptness, situation: Situation) -> None:
    """Count the way of one alert: from what shows it, or from what it says itself that it came from."""
    alert = seen.alert
    if seen.late or alert.kind in (_ENDED_BY_TIME if alert.cleared else _RAISED_BY_TIME):
        return
    if seen.level == _UNANSWERED:
        return
    claimed_ns = _claimed_ns(seen, situation)
    if shown_ns is None:
        shown_ns = _find_equipment_ns(seen, situation)
    from_ns = claimed_ns if shown_ns is None else min(shown_ns, claimed_ns)
    from_s = situation.time.t_s(from_ns)
    if any(cut_s <= alert.t_s and from_s <= back_s for cut_s, back_s in situation.excuses.cuts):
        return
    if any(a <= from_s <= b for a, b in situation.excuses.blind(seen.trace.device_id)):
        return
    latency_ms = (seen.t_sub_mono_ns - from_ns) / 1e6
    found.alerts.append((alert.t_s, latency_ms))
    limit_ms = situation.policy.latency_limit_ms
    if latency_ms <= limit_ms:
        return
    of_zone = [line for line in situation.lines if alert.zone_id is not None and line.key.zone_id == alert.zone_id]
    what = name_of(of_zone[0]) if of_zone else alert.kind.value.replace("_", " ")
    if alert.band is not None and alert.band is not BandName.CLEAR:
        what += f" · {alert.band.value.replace('_', '-')}"
    what += " · over" if alert.cleared else ""
    found.findings.append(
        Finding(
            what=what,
            check="promptness",
            side=alert.side,
            subject=alert.subject,
            earliest_s=from_s,
            latest_s=from_s + limit_ms / 1000 * situation.policy.speed,
            received_s=alert.t_s,
            verdict=Verdict.FAIL,
            reason=f"late by {latency_ms - limit_ms:.0f} ms: {latency_ms:.0f} ms from the report that shows it to the "
            f"subscriber, {limit_ms:g} ms allowed",
            margin_s=(limit_ms - latency_ms) / 1000 * situation.policy.speed,
            index=seen.index,
        )
    )


def _claimed_ns(seen: AlertSeen, situation: Situation) -> int:
    """When the report was sent that the alert says it came from; where none was, when the bridge had its cause."""
    log = situation.logs.get(seen.trace.device_id)
    sent_ns = None if log is None else log.find_sent_before(seen.trace.rx_mono_ns, within_ns=_CAUSE_NS)
    return seen.trace.rx_mono_ns if sent_ns is None else sent_ns


def _find_equipment_ns(seen: AlertSeen, situation: Situation) -> int | None:
    """When the first report went out after what happened to the tag; None for what is not told by its sensors."""
    alert = seen.alert
    log = situation.logs.get(alert.subject)
    if log is None:
        return None
    happened_s = find_equipment_s(situation.truth[alert.subject].actions, alert.kind, alert.cleared, before_s=alert.t_s)
    if happened_s is None:
        return None
    told = (r.sent_mono_ns for r in log.all if not r.stored and r.sure and r.t_s >= happened_s - STAMP_SLACK_S / 2)
    return next(told, None)


def _take_warnings(pair: Pair, found: Promptness, situation: Situation) -> None:
    """Count from the report that shows him within a ring to what she feels."""
    person = situation.scenario.find_person(pair.ring.device)
    if person is None or person.smart_tag is None or not situation.is_reachable(person.smart_tag.id):
        return
    tag, limit_s = person.smart_tag.id, situation.policy.tag_limit_s
    felt = list(near_felt(situation.record, tag))
    for band, rings in find_ring_shown(pair, situation).items():
        level = LEVEL[BandName(band)]
        for each in rings:
            sent_s, until_s = situation.time.t_s(each.sent_mono_ns), situation.time.t_s(each.until_mono_ns)
            before = [f.level for f in felt if f.t_s < sent_s]
            if not each.on or not each.sure or (before and before[-1] >= level):
                continue
            if situation.is_unreachable(tag, sent_s):
                continue
            done_s = next((f.t_s for f in felt if f.level >= level and sent_s <= f.t_s <= until_s), math.inf)
            if math.isinf(done_s):
                # whether she was warned at all is judged by what she is owed
                continue
            took_s = situation.time.real_s(done_s - sent_s)
            found.warnings.append((done_s, took_s))
            if took_s > limit_s:
                found.findings.append(
                    Finding(
                        what=f"her tag warns · {band.replace('_', '-')}",
                        check="promptness",
                        side="smart_tag",
                        subject=tag,
                        earliest_s=sent_s,
                        latest_s=sent_s + limit_s * situation.policy.speed,
                        received_s=done_s,
                        verdict=Verdict.FAIL,
                        reason=f"late by {span_text(took_s - limit_s)}: {took_s:.2f} s from the report that shows it",
                        margin_s=(limit_s - took_s) * situation.policy.speed,
                    )
                )
