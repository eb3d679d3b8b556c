"""Turns a run into a report: what was so, what was owed, what came."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import shapely

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.messages import AlertKind, BandName, MsgType, WarningStep
from rig.demo.console import WARNING_HEADS, alert_name, clock_text, failures, milliseconds, warning_row
from rig.demo.latency import HOPS, Percentiles
from rig.demo.settings import EXIT_MARGIN_M, DemoSettings
from rig.report.model import AlertMark, PersonPath, Report, Ring, RingShape, State, Window, ZoneShape
from rig.report.page import verdict_text
from rig.runs.record import AlertSeen, Felt, RunRecord, StepSeen
from rig.scenario import Scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.verdict import Judgement, Match, Verdict
from rig.truth.warned import WarningMatch, overall

_TRUTH_STEP_S = 1.0
"""Step of the drawn true track, tag seconds."""

_BAND_GRADE = {BandName.PRE_ALERT: 1, BandName.ALARM: 2, BandName.CONTACT: 3}


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
    lanes = list(dict.fromkeys(_lane(m.expected, names) for m in sorted(owed, key=lambda m: m.expected.earliest_s)))
    marks = [
        replace(_mark(scenario, record, seen, matched.get(seen.index), names), kept=kept[seen.index])
        for seen in record.alerts
    ]
    lanes += [mark.lane for mark in marks if mark.lane not in lanes]
    outages = _outages(scenario)
    return Report(
        title=scenario.title,
        about=scenario.about,
        verdict=overall(judgement, warnings),
        verdict_text=sentence(judgement, len(record.alerts), warnings),
        problems=failures(judgement, names, record.alerts, warnings),
        facts=facts,
        duration_s=scenario.duration_s,
        zones=[_zone(scenario, zone) for zone in scenario.zones_geojson()["features"]],
        people=_people(scenario, record),
        rings=_rings(scenario),
        alerts=marks,
        windows=[_window(m, names) for m in owed],
        states=[
            *_states([m.expected for m in owed if m.expected.required], names, scenario.duration_s),
            *_felt(record.felt, scenario.duration_s),
            *outages,
        ],
        lanes=list(
            dict.fromkeys([*lanes, *(_felt_lane(felt.tag) for felt in record.felt), *(bar.lane for bar in outages)])
        ),
        hop_names=HOPS,
        hops=[(row.name, row.count, row.p50_ms, row.p99_ms) for row in hops],
        rows=_rows(judgement, record, names),
        warning_heads=WARNING_HEADS,
        warnings=[warning_row(match) for match in warnings],
    )


def sentence(judgement: Judgement, received: int, warnings: Sequence[WarningMatch]) -> str:
    """Say the verdict in a sentence or two."""
    alerts = verdict_text(
        judgement.verdict,
        sum(m.expected.required for m in judgement.matches),
        received,
        len(judgement.missing),
        len(judgement.unexpected),
        len(judgement.untimely),
    )
    if not warnings:
        return alerts
    wrong = sum(bool(match.problem) for match in warnings)
    given = f"{wrong} of {len(warnings)} were not" if wrong else f"all {len(warnings)} were"
    return f"{alerts} Warnings and silences owed to the protected person: {given} kept."


def zone_names(scenario: Scenario) -> dict[str, str]:
    """Names of the zones by id."""
    return {zone.id: zone.name or zone.id for zone in scenario.zone}


def _lane(expected: ExpectedAlert, names: dict[str, str]) -> str:
    return _lane_name(expected.kind, expected.zone_id, expected.side, names)


def _lane_name(kind: AlertKind, zone_id: str | None, side: str, names: dict[str, str]) -> str:
    name = {
        AlertKind.EXCLUSION_ZONE_ENTERED: "in",
        AlertKind.INCLUSION_ZONE_LEFT: "out of",
    }.get(kind, kind.value.replace("_", " "))
    if zone_id is not None:
        return f"{name} {names.get(zone_id, zone_id)}"
    if kind is AlertKind.PROXIMITY_BREACH:
        return "proximity (protected)" if side == "protected" else "proximity (wearer)"
    return name


def _mark(
    scenario: Scenario, record: RunRecord, seen: AlertSeen, match: Match | None, names: dict[str, str]
) -> AlertMark:
    alert = seen.alert
    person = scenario.find_person(alert.subject)
    if seen.lat_deg is not None and seen.lon_deg is not None:
        east, north = scenario.frame.to_local(seen.lat_deg, seen.lon_deg)
    elif person is not None:
        point = scenario.track(person).at(alert.t_s)
        east, north = point.east_m, point.north_m
    else:
        east = north = math.nan
    times = record.times[seen.index]
    return AlertMark(
        number=seen.index + 1,
        lane=_lane_name(alert.kind, alert.zone_id, alert.side, names),
        name=alert_name(alert, names.get(alert.zone_id or "")),
        phase=_phase(seen),
        reason=seen.reason,
        severity=seen.severity,
        t_s=alert.t_s,
        east_m=east,
        north_m=north,
        # the protected side of a pair's alert would only cover the wearer's
        on_map=not (alert.side == "protected" and alert.kind is AlertKind.PROXIMITY_BREACH) and not math.isnan(east),
        hops_ms=times.hops_ms,
        total_ms=times.total_ms,
        verdict=Verdict.FAIL if match is None else match.verdict,
        note=_note(match),
    )


def _phase(seen: AlertSeen) -> str:
    return {MsgType.ALERT: "raised", MsgType.UPDATE: "updated", MsgType.CANCEL: "cleared"}[seen.msg_type]


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
        lane=_lane(expected, names),
        text=f"{expected.reason}: {phase}",
        earliest_s=expected.earliest_s,
        latest_s=expected.latest_s,
        t_true_s=expected.t_true_s,
        missing=match.received is None and expected.required,
    )


def _states(expected: Sequence[ExpectedAlert], names: dict[str, str], duration_s: float) -> list[State]:
    """Bars from one truth to the next in the same lane."""
    states: list[State] = []
    by_lane: dict[str, list[ExpectedAlert]] = {}
    for e in sorted(expected, key=lambda e: e.t_true_s):
        by_lane.setdefault(_lane(e, names), []).append(e)
    for lane, changes in by_lane.items():
        ends = [e.t_true_s for e in changes[1:]] + [duration_s]
        for change, end_s in zip(changes, ends, strict=True):
            if not change.cleared:
                grade = 2 if change.band is None else _BAND_GRADE.get(change.band, 1)
                states.append(State(lane=lane, text=change.reason, from_s=change.t_true_s, to_s=end_s, grade=grade))
    return states


def _felt_lane(tag: str) -> str:
    return f"{tag} warns her"


def _felt(log: Sequence[Felt], duration_s: float) -> list[State]:
    """Bars of what a smart tag did, by its own log."""
    states = []
    for tag in dict.fromkeys(felt.tag for felt in log):
        moments = [felt for felt in log if felt.tag == tag]
        ends_s = [felt.t_s for felt in moments[1:]] + [duration_s]
        for felt, end_s in zip(moments, ends_s, strict=True):
            if felt.level and end_s > felt.t_s:
                text = f"{WarnLevel(felt.level).name.lower()}, {felt.mode}"
                states.append(
                    State(
                        lane=_felt_lane(tag), text=text, from_s=felt.t_s, to_s=min(end_s, duration_s), grade=felt.level
                    )
                )
    return states


def _outages(scenario: Scenario) -> list[State]:
    return [
        State(lane="no broker", text="the broker is gone", from_s=o.at_s, to_s=o.at_s + o.lasts_s, grade=3)
        for o in scenario.broker_outage
    ]


def _people(scenario: Scenario, record: RunRecord) -> list[PersonPath]:
    out = []
    for person in scenario.person:
        track = scenario.track(person)
        points = [track.at(i * _TRUTH_STEP_S) for i in range(int(scenario.duration_s / _TRUTH_STEP_S) + 1)]
        fixes = [
            (f.t_s, *scenario.frame.to_local(f.lat_deg, f.lon_deg), f.accuracy_m)
            for f in record.fixes
            if f.device == person.device and f.t_s <= scenario.duration_s
        ]
        out.append(
            PersonPath(
                name=person.name or person.device,
                device=person.device,
                wearer=person.role == "wearer",
                truth=[(i * _TRUTH_STEP_S, p.east_m, p.north_m) for i, p in enumerate(points)],
                fixes=fixes,
            )
        )
    return out


def _rings(scenario: Scenario) -> list[RingShape]:
    """Rings round the protected person where the two were closest."""
    out = []
    for order in scenario.order:
        wearer = scenario.find_person(order.wearer)
        for ring in order.protected:
            protected = scenario.find_person(ring.device)
            if wearer is None or protected is None:
                continue
            his, hers = scenario.track(wearer), scenario.track(protected)
            steps = [i * _TRUTH_STEP_S for i in range(int(scenario.duration_s / _TRUTH_STEP_S) + 1)]
            closest = min(
                steps,
                key=lambda t: math.hypot(his.at(t).east_m - hers.at(t).east_m, his.at(t).north_m - hers.at(t).north_m),
            )
            at = hers.at(closest)
            out += [
                RingShape(name=f"{name} {radius:g} m", east_m=at.east_m, north_m=at.north_m, radius_m=radius)
                for name, radius in (
                    ("pre-alert", ring.pre_alert_m),
                    ("alarm", ring.alarm_m),
                    ("contact", ring.contact_m),
                )
            ]
    return out


def _zone(scenario: Scenario, feature: dict[str, Any]) -> ZoneShape:  # Any: GeoJSON is nested data
    frame, geometry, properties = scenario.frame, feature["geometry"], feature["properties"]

    def metres(points: Sequence[Sequence[float]]) -> Ring:
        return [frame.to_local(lat, lon) for lon, lat in points]

    area: shapely.Geometry
    if geometry["type"] == "Point":
        area = shapely.Point(metres([geometry["coordinates"]])[0]).buffer(properties["radius_m"], quad_segs=32)
    elif geometry["type"] == "LineString":
        area = shapely.LineString(metres(geometry["coordinates"])).buffer(properties["half_width_m"], quad_segs=16)
    else:
        rings = [metres(ring) for ring in geometry["coordinates"]]
        area = shapely.Polygon(rings[0], rings[1:])
    return ZoneShape(
        zone_id=feature["id"],
        name=properties["name"],
        exclusion=properties["purpose"] == "exclusion",
        polygons=_polygons(area),
        margin=[outer for outer, _ in _polygons(area.buffer(EXIT_MARGIN_M, quad_segs=16))],
    )


def _polygons(area: shapely.Geometry) -> list[tuple[Ring, list[Ring]]]:
    return [
        ([(x, y) for x, y in part.exterior.coords], [[(x, y) for x, y in hole.coords] for hole in part.interiors])
        for part in shapely.get_parts(area)
        if isinstance(part, shapely.Polygon)
    ]


def _rows(judgement: Judgement, record: RunRecord, names: dict[str, str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for match in judgement.matches:
        e, r = match.expected, match.received
        total = milliseconds(record.times[r.index].total_ms) if r is not None else "–"
        rows.append(
            (
                "–" if r is None else str(r.index + 1),
                clock_text(e.t_true_s),
                alert_name(e, names.get(e.zone_id or "")),
                e.reason,
                f"{clock_text(e.earliest_s)} to {clock_text(e.latest_s)}",
                "–" if r is None else clock_text(r.t_s),
                total,
                f"{match.verdict.value} {_note(match)}".strip(),
            )
        )
    rows += [
        (
            str(alert.index + 1),
            "–",
            alert_name(alert, names.get(alert.zone_id or "")),
            record.alerts[alert.index].reason,
            "must not come",
            clock_text(alert.t_s),
            milliseconds(record.times[alert.index].total_ms),
            "FAIL unexpected",
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
