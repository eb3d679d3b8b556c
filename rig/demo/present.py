"""Turns a run into a report: what was so, what was owed, what came."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from protocols.mqtt.messages import WarningStep
from rig.demo.console import WARNING_HEADS, failures, warning_row
from rig.demo.latency import HOPS, Percentiles
from rig.demo.settings import EXIT_MARGIN_M, DemoSettings
from rig.report.gather import alert_mark, hop_rows, zone_names
from rig.report.lanes import felt_states, in_order, pair_states, zone_states
from rig.report.model import AlertMark, FindingRow, FixMark, Happened, Problem, Report, State, Window
from rig.report.scene import captured_fixes, pairs, people, zone_shapes
from rig.report.words import alert_name, lane_name
from rig.runs.record import RunRecord, StepSeen
from rig.scenario import Scenario
from rig.truth.verdict import Judgement, Match, Verdict
from rig.truth.warned import WarningMatch, overall


def build_report(
    scenario: Scenario,
    settings: DemoSettings,
    record: RunRecord,
    judgement: Judgement,
    warnings: Sequence[WarningMatch],
    hops: Sequence[Percentiles],
    kept: Sequence[bool],
    facts: list[tuple[str, str]],
) -> Report:
    """Gather all that the page shows."""
    names = zone_names(scenario)
    matched = {m.received.index: m for m in judgement.matches if m.received is not None}
    owed = [m for m in judgement.matches if m.expected.required or m.received is not None]
    marks = [_mark(scenario, record, i, matched.get(i), names, kept=kept[i]) for i, _ in enumerate(record.alerts)]
    fixes, notes = _fixes(scenario, settings, record)
    persons, zones, couples = people(scenario, fixes), zone_shapes(scenario, EXIT_MARGIN_M), pairs(scenario)
    outages = [
        State(lane="no broker", text="the broker is gone", from_s=o.at_s, to_s=o.at_s + o.lasts_s, grade=0)
        for o in scenario.broker_outage
    ]
    states = [
        *zone_states(scenario, zones, persons),
        *pair_states(couples, persons),
        *felt_states(record.felt, scenario.duration_s),
        *outages,
    ]
    windows = [_window(m, names) for m in sorted(owed, key=lambda m: m.expected.earliest_s)]
    whole = hops[-1] if hops else None
    tiles = [
        ("alerts owed", str(sum(m.expected.required for m in judgement.matches)), "by the true tracks"),
        ("alerts received", str(len(record.alerts)), f"of {record.messages} messages"),
    ]
    if whole is not None and whole.count:
        tiles.append(("tag to subscriber", f"{whole.p50_ms:.1f} ms", f"median; slowest {whole.p99_ms:.1f} ms"))
    return Report(
        title=scenario.title,
        about=scenario.about,
        verdict=overall(judgement, warnings),
        verdict_text=sentence(judgement, len(record.alerts), warnings),
        problems=[Problem(text=text) for text in failures(judgement, names, record.alerts, warnings)],
        facts=facts,
        duration_s=scenario.duration_s,
        start_utc_ns=record.start_utc_ns,
        tiles=tiles,
        zones=zones,
        people=persons,
        pairs=couples,
        alerts=marks,
        windows=windows,
        states=states,
        happened=[Happened(text=o.text, from_s=o.from_s, to_s=o.to_s) for o in outages],
        lanes=in_order(list(dict.fromkeys([*(w.lane for w in windows), *(m.lane for m in marks)])), states),
        hop_names=HOPS,
        hops=hop_rows(record, kept),
        findings=_rows(judgement, record, names),
        warning_heads=WARNING_HEADS,
        warnings=[warning_row(match) for match in warnings],
        notes=notes,
    )


def _fixes(scenario: Scenario, settings: DemoSettings, record: RunRecord) -> tuple[dict[str, list[FixMark]], list[str]]:
    """Take the fixes from the raw captures, with their error ellipses; else those that were published."""
    fixes, notes = captured_fixes(
        settings.folder / "captures", scenario.frame, start_mono_ns=record.start_mono_ns, speed=settings.speed
    )
    if fixes:
        return fixes, notes
    for f in record.fixes:
        east, north = scenario.frame.to_local(f.lat_deg, f.lon_deg)
        sigma_m = math.nan if f.accuracy_m is None else f.accuracy_m
        mark = FixMark(t_s=f.t_s, east_m=east, north_m=north, major_m=sigma_m, minor_m=sigma_m)
        fixes.setdefault(f.device, []).append(mark)
    return fixes, notes


def sentence(judgement: Judgement, received: int, warnings: Sequence[WarningMatch]) -> str:
    """Say the verdict in a sentence or two."""
    owed = sum(m.expected.required for m in judgement.matches)
    if judgement.verdict is Verdict.PASS:
        alerts = f"All {owed} alerts that the truth demands came in their windows, and no other."
    else:
        alerts = (
            f"{owed} alerts were owed, {received} came: {len(judgement.missing)} missing, "
            f"{len(judgement.untimely)} outside their window, {len(judgement.unexpected)} unexpected."
        )
    if not warnings:
        return alerts
    wrong = sum(bool(match.problem) for match in warnings)
    given = f"{wrong} of {len(warnings)} were not" if wrong else f"all {len(warnings)} were"
    return f"{alerts} Warnings and silences owed to the protected person: {given} kept."


def _mark(
    scenario: Scenario, record: RunRecord, index: int, match: Match | None, names: dict[str, str], *, kept: bool
) -> AlertMark:
    mark = alert_mark(scenario, record, record.alerts[index], None, names, kept=kept)
    return replace(mark, verdict=Verdict.FAIL if match is None else match.verdict, note=_note(match))


def _note(match: Match | None) -> str:
    if match is None:
        return "unexpected"
    if match.received is None:
        return "missing" if match.expected.required else "may come, did not"
    return "" if match.off_s == 0.0 else f"{abs(match.off_s):.1f} s {'late' if match.off_s > 0 else 'early'}"


def _window(match: Match, names: dict[str, str]) -> Window:
    expected = match.expected
    phase = "cleared" if expected.cleared else "raised"
    return Window(
        lane=lane_name(expected, names.get(expected.zone_id or "")),
        text=f"{expected.reason}: {phase}",
        earliest_s=expected.earliest_s,
        latest_s=expected.latest_s,
        missing=match.received is None and expected.required,
    )


def _rows(judgement: Judgement, record: RunRecord, names: dict[str, str]) -> list[FindingRow]:
    rows = []
    for match in judgement.matches:
        e, r = match.expected, match.received
        note = _note(match)
        rows.append(
            FindingRow(
                number="" if r is None else str(r.index + 1),
                what=alert_name(e, names.get(e.zone_id or "")),
                subject=e.subject,
                reason=f"{e.reason}: {note}" if note else e.reason,
                verdict=match.verdict,
                at_s=e.t_true_s,
                earliest_s=e.earliest_s,
                latest_s=e.latest_s,
                received_s=math.nan if r is None else r.t_s,
                margin_s=math.nan if r is None else e.latest_s - r.t_s,
            )
        )
    rows += [
        FindingRow(
            number=str(alert.index + 1),
            what=alert_name(alert, names.get(alert.zone_id or "")),
            subject=alert.subject,
            reason=f"unexpected: {record.alerts[alert.index].reason}",
            verdict=Verdict.FAIL,
            at_s=alert.t_s,
            received_s=alert.t_s,
        )
        for alert in judgement.unexpected
    ]
    return rows


def _written(record: RunRecord) -> list[StepSeen]:
    return [step for step in record.steps if step.step is WarningStep.WRITTEN]


def summary(
    settings: DemoSettings,
    record: RunRecord,
    judgement: Judgement,
    warnings: Sequence[WarningMatch],
    hops: Sequence[Percentiles],
    problems: list[str],
) -> dict[str, Any]:  # Any: becomes JSON
    """Gather what ``--json`` prints and ``summary.json`` keeps."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else round(value, 3)

    return {
        "verdict": overall(judgement, warnings).value,
        "expected": sum(m.expected.required for m in judgement.matches),
        "received": len(record.alerts),
        "missing": len(judgement.missing),
        "unexpected": len(judgement.unexpected),
        "untimely": len(judgement.untimely),
        "problems": problems,
        "messages": record.messages,
        "positions": len(record.fixes),
        "latency_ms": {
            row.name: {"count": row.count, "p50": number(row.p50_ms), "p99": number(row.p99_ms)} for row in hops
        },
        "alerts": [
            {
                "number": seen.index + 1,
                "kind": seen.alert.kind.value,
                "msg_type": seen.msg_type.value,
                "topic": seen.topic,
                "zone": seen.alert.zone_id,
                "band": None if seen.alert.band is None else seen.alert.band.value,
                "t_s": round(seen.alert.t_s, 2),
                "total_ms": number(record.times[seen.index].total_ms),
            }
            for seen in record.alerts
        ],
        "warnings": [dict(zip(WARNING_HEADS, warning_row(match), strict=True)) for match in warnings],
        "fix_to_tag_ms": [number(step.latency_ms) for step in _written(record)],
        "folder": str(settings.folder),
        "report": str(settings.folder / "report.html"),
    }
