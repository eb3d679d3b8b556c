"""From the folder of a run and its verdict to what the page shows."""

import math
from collections.abc import Sequence

from protocols.mqtt.messages import AlertKind, MsgType
from rig.demo.latency import HOPS, TOTAL
from rig.faults.coverage import coverage
from rig.report.lanes import bench_states, device_states, felt_states, in_order, pair_states, zone_states
from rig.report.model import (
    AlertMark,
    CoverageRow,
    FindingRow,
    HopRow,
    MeasurementRow,
    Problem,
    Report,
    Window,
)
from rig.report.scene import captured_fixes, logged_fixes, pairs, people, zone_shapes
from rig.report.words import alert_name, lane_name, number_text, span_text
from rig.runs.folder import CAPTURES_FOLDER, BenchEvent
from rig.runs.load import LoadedRun
from rig.runs.record import AlertSeen, RunRecord
from rig.scenario import Scenario
from rig.truth.findings import Finding, Measurement, RunVerdict
from rig.truth.verdict import Verdict

PHASES = {MsgType.ALERT: "raised", MsgType.UPDATE: "updated", MsgType.CANCEL: "cleared"}


def gather(run: LoadedRun, verdict: RunVerdict) -> Report:
    """Put together the page of a run."""
    scenario, record, file = run.scenario, run.record, run.file
    names = zone_names(scenario)
    fixes, notes = captured_fixes(
        run.folder / CAPTURES_FOLDER, scenario.frame, start_mono_ns=file.start_mono_ns, speed=file.speed
    )
    # a capture may be missing, or may be of a line that carried nothing; the tag's own log tells what it sent
    fixes = {**logged_fixes(record.truth, scenario.frame), **{device: mine for device, mine in fixes.items() if mine}}
    persons, zones, couples = people(scenario, fixes), zone_shapes(scenario, run.policy.exit_margin_m), pairs(scenario)
    kept = kept_alerts(run)
    several = sum(p.role == "wearer" for p in scenario.person) > 1 or len(scenario.person) > 2
    by_index = by_alert(verdict)
    marks = [
        alert_mark(scenario, record, seen, by_index.get(seen.index), names, kept=kept[seen.index], several=several)
        for seen in record.alerts
    ]
    bench = list(bench_states(run.events, scenario.duration_s))
    states = [
        *zone_states(scenario, zones, persons, with_subject=several),
        *pair_states(couples, persons, with_subject=several),
        *felt_states(record.felt, scenario.duration_s),
        *device_states(scenario, fixes),
        *(state for state, _ in bench),
    ]
    windows = [w for f in verdict.findings if (w := _find_window(f, marks, scenario.duration_s)) is not None]
    hops = hop_rows(record, kept)
    rows = [finding_row(f, scenario.duration_s) for f in verdict.findings]
    if not record.truth and not persons:
        notes.append("the folder holds no true track: the map shows what the devices said")
    notes += [f"{p.name}: one of {p.one_of} fixes is drawn" for p in persons if p.one_of > 1]
    return Report(
        title=scenario.title,
        about=scenario.about,
        verdict=verdict.verdict,
        verdict_text=verdict_sentence(verdict),
        problems=_problems(verdict, scenario.duration_s),
        facts=_facts(run),
        duration_s=scenario.duration_s,
        start_utc_ns=file.start_utc_ns,
        is_virtual=file.pace == "virtual",
        tiles=_tiles(run, verdict, rows, hops),
        zones=zones,
        people=persons,
        pairs=couples,
        alerts=marks,
        windows=windows,
        states=states,
        happened=[happened for _, happened in bench],
        lanes=in_order(list(dict.fromkeys([*(w.lane for w in windows), *(m.lane for m in marks)])), states),
        hop_names=HOPS,
        hops=hops,
        findings=rows,
        measurements=[measurement_row(m) for m in verdict.measurements],
        coverage=coverage_rows(run.events),
        notes=notes,
    )


def by_alert(verdict: RunVerdict) -> dict[int, Finding]:
    """Find what is said of each alert; of several findings one that fails, else the one about its window."""
    found: dict[int, Finding] = {}
    for finding in sorted(verdict.findings, key=lambda f: (f.verdict is Verdict.PASS, f.check != "window")):
        if finding.index is not None:
            found.setdefault(finding.index, finding)
    return found


def zone_names(scenario: Scenario) -> dict[str, str]:
    """Names of the zones by id."""
    return {zone.id: zone.name or zone.id for zone in scenario.zone}


def kept_alerts(run: LoadedRun) -> list[bool]:
    """Find the alerts that waited for a broker that was gone: how long that took says nothing of the bridge."""
    gone: list[tuple[float, float]] = []
    for i, event in enumerate(run.events):
        if event.what == "broker_down":
            back_s = next((e.t_s for e in run.events[i + 1 :] if e.what == "broker_up"), math.inf)
            gone.append((event.t_s, back_s + run.policy.reconnect_s))
    times = [run.file.t_s(seen.trace.submitted_mono_ns) for seen in run.record.alerts]
    return [any(from_s <= t_s < until_s for from_s, until_s in gone) for t_s in times]


def alert_mark(
    scenario: Scenario,
    record: RunRecord,
    seen: AlertSeen,
    finding: Finding | None,
    names: dict[str, str],
    *,
    kept: bool,
    several: bool = False,
) -> AlertMark:
    """Make the mark of one alert; it stands where the alert says, else where the person truly was."""
    alert = seen.alert
    person = scenario.find_person(alert.subject)
    east = north = math.nan
    if seen.lat_deg is not None and seen.lon_deg is not None:
        east, north = scenario.frame.to_local(seen.lat_deg, seen.lon_deg)
    elif person is not None:
        point = scenario.track(person).at(alert.t_s)
        east, north = point.east_m, point.north_m
    times = record.times[seen.index] if seen.index < len(record.times) else None
    return AlertMark(
        number=seen.index + 1,
        lane=lane_name(alert, names.get(alert.zone_id or ""), with_subject=several),
        name=alert_name(alert, names.get(alert.zone_id or "")),
        phase=PHASES[seen.msg_type],
        reason=seen.reason,
        severity=seen.severity,
        t_s=alert.t_s,
        east_m=east,
        north_m=north,
        # the protected side of a pair's alert would only cover the wearer's
        on_map=not (alert.side == "protected" and alert.kind is AlertKind.PROXIMITY_BREACH) and not math.isnan(east),
        hops_ms=times.hops_ms if times is not None else (math.nan,) * len(HOPS),
        total_ms=times.total_ms if times is not None else math.nan,
        verdict=Verdict.UNSET if finding is None else finding.verdict,
        note="" if finding is None else finding.reason,
        kept=kept,
    )


def _find_window(finding: Finding, marks: Sequence[AlertMark], duration_s: float) -> Window | None:
    if finding.check != "window" or (finding.earliest_s is None and finding.latest_s is None):
        return None
    missing = finding.received_s is None and finding.verdict in {Verdict.FAIL, Verdict.ERROR}
    if finding.received_s is None and not missing:
        return None
    lane = marks[finding.index].lane if finding.index is not None and finding.index < len(marks) else finding.what
    return Window(
        lane=lane,
        text=finding.what,
        earliest_s=max(0.0, finding.earliest_s or 0.0),
        latest_s=duration_s if finding.latest_s is None else min(finding.latest_s, duration_s),
        missing=missing,
    )


def hop_rows(record: RunRecord, kept: Sequence[bool]) -> list[HopRow]:
    """All latencies by hop, then of the whole way, each rising."""
    times = [t for t, is_kept in zip(record.times, kept, strict=False) if not is_kept]
    columns = [(name, [t.hops_ms[i] for t in times]) for i, name in enumerate(HOPS)]
    columns.append((TOTAL, [t.total_ms for t in times]))
    return [
        HopRow(name=name, values_ms=tuple(sorted(v for v in values if not math.isnan(v)))) for name, values in columns
    ]


def finding_row(finding: Finding, duration_s: float) -> FindingRow:
    """Make the row of one finding."""

    def known(value: float | None) -> float:
        return math.nan if value is None else value

    shown = (finding.received_s, finding.latest_s, finding.earliest_s)
    return FindingRow(
        number="" if finding.index is None else str(finding.index + 1),
        what=finding.what,
        subject=finding.subject,
        reason=finding.reason,
        verdict=finding.verdict,
        at_s=min(duration_s, max(0.0, next((t for t in shown if t is not None), 0.0))),
        is_silence=finding.check == "silence" or finding.what.startswith("silence"),
        earliest_s=known(finding.earliest_s),
        latest_s=known(finding.latest_s),
        received_s=known(finding.received_s),
        margin_s=known(finding.margin_s),
    )


def measurement_row(measurement: Measurement) -> MeasurementRow:
    """Make the row of one measurement."""
    worst, margin = measurement.worst, measurement.margin
    return MeasurementRow(
        name=measurement.name,
        value=math.nan if worst is None else worst,
        unit=measurement.unit,
        limit=measurement.limit or "",
        outcome="MARGINAL" if measurement.is_marginal else measurement.verdict.value,
        margin=math.nan if margin is None else margin,
        series=measurement.series,
    )


def verdict_sentence(verdict: RunVerdict) -> str:
    """Say the verdict in a sentence."""
    counts = {each: sum(f.verdict is each for f in verdict.findings) for each in Verdict}
    judged = counts[Verdict.PASS] + counts[Verdict.FAIL]
    if verdict.verdict is Verdict.PASS:
        text = f"All {judged} things that the truth demands or forbids are as they must be."
    elif verdict.verdict is Verdict.FAIL:
        text = f"{counts[Verdict.FAIL]} of {judged} things that the truth demands or forbids are not as they must be."
        if not counts[Verdict.FAIL]:
            text = "A measurement is beyond its limit."
    elif verdict.verdict is Verdict.ERROR:
        text = "The bench could not judge."
    else:
        text = "Nothing was demanded, so nothing is proved."
    if verdict.marginal:
        text += f" Near its limit: {', '.join(m.name for m in verdict.marginal)}."
    return text


def _problems(verdict: RunVerdict, duration_s: float) -> list[Problem]:
    wrong = [f for f in verdict.findings if f.verdict in {Verdict.FAIL, Verdict.ERROR}]
    out = []
    for text in verdict.problems:
        # equal sentences stand in the order of their findings
        finding = next((f for f in wrong if f.reason and f.what in text and f.reason in text), None)
        if finding is not None:
            wrong.remove(finding)
        out.append(Problem(text=text, at_s=math.nan if finding is None else finding_row(finding, duration_s).at_s))
    return out


def _tiles(
    run: LoadedRun, verdict: RunVerdict, rows: Sequence[FindingRow], hops: Sequence[HopRow]
) -> list[tuple[str, str, str]]:
    passed = sum(f.verdict is Verdict.PASS for f in verdict.findings)
    failed = sum(f.verdict in {Verdict.FAIL, Verdict.ERROR} for f in verdict.findings)
    how = f"{failed} not as they must be" if failed else "all as they must be" if passed else "nothing was judged"
    tiles = [
        ("judged", str(passed + failed), how),
        ("alerts received", str(len(run.record.alerts)), f"of {run.record.messages} messages"),
    ]
    margins = [(row.margin_s, row.what) for row in rows if math.isfinite(row.margin_s)]
    if margins:
        tiles.append(("smallest margin", span_text(min(margins)[0]), min(margins)[1]))
    whole = hops[-1].values_ms
    if whole and run.file.pace != "virtual" and verdict.find("alert_latency") is None:
        tiles.append(("tag to subscriber", f"{number_text(whole[-1])} ms", f"slowest of {len(whole)}"))
    measured = [m for m in verdict.measurements if m.worst is not None]
    if measured:
        first = min(measured, key=lambda m: m.verdict is not Verdict.FAIL)
        tiles.append(
            (first.name.replace("_", " "), f"{number_text(first.worst or 0.0)} {first.unit}", _remark(first, run))
        )
    n_faults = sum(event.what == "fault_applied" for event in run.events)
    if n_faults:
        tiles.append(("faults applied", str(n_faults), ", ".join(sorted({e.fault for e in run.events if e.fault}))))
    return tiles


def _remark(measurement: Measurement, run: LoadedRun) -> str:
    limit = f"limit {measurement.limit}" if measurement.limit else f"worst of {len(measurement.series)}"
    return f"{limit}, on virtual time" if run.file.pace == "virtual" else limit


def _facts(run: LoadedRun) -> list[tuple[str, str]]:
    file, origin = run.file, run.scenario.origin
    kinds = {
        "emulated": "behaves like the device; positions and radio are simulated",
        "replay": "a recording",
        "real": "hardware",
    }
    facts = [("run", " / ".join(part for part in (file.suite, file.family, file.run) if part) or run.folder.name)]
    facts += [
        (f"role {role.role}", f"{role.device}, {role.kind}: {kinds[role.kind]} {role.firmware}".strip())
        for role in file.roles
    ]
    facts += [
        ("pace", "virtual time" if file.pace == "virtual" else f"{file.speed:g} times real time"),
        ("seed", str(file.seed)),
        ("parameters", ", ".join(f"{k} = {v}" for k, v in file.parameters.items()) or "none"),
        ("origin", f"{origin.lat_deg}, {origin.lon_deg}"),
        ("broker", file.broker or "not told"),
        ("messages to the subscriber", str(run.record.messages)),
        ("allowance for the way", f"{file.allowance_s:g} s of the story"),
    ]
    if file.planted:
        facts.append(("wrong on purpose", ", ".join(f"{k} {v}" for k, v in file.planted.items())))
    facts += [(f"version of {name}", version) for name, version in sorted(file.versions.items())]
    return facts


def coverage_rows(events: Sequence[BenchEvent]) -> list[CoverageRow]:
    """Hold what was done against the catalogue of faults; nothing where no fault was applied."""
    rows = coverage(events)
    if not any(row.applied for row in rows):
        return []
    return [
        CoverageRow(fault_id=row.fault, layer=row.layer, n_applied=row.applied, expected=f"{row.what}: {row.outcome}")
        for row in rows
    ]
