"""What a failed expectation tells: what did arrive, the nearest miss, what happened round it, where the run lies."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rig.demo.latency import HOPS
from rig.pytest_plugin.asked import Asked
from rig.runs.load import LoadedRun
from rig.runs.record import AlertSeen
from rig.truth.findings import Finding, RunVerdict, span_text

_MAX_ARRIVED: Final = 10
"""Alerts that a message lists; the report has them all."""
_MAX_SLICE: Final = 14
"""Lines of the trace round the moment in question."""
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 3.0
"""Seconds of the scenario before the window and after it that the slice shows: some reports on either side."""


def replay_command(run: LoadedRun) -> str:
    """Return the one command that plays a run again to the same verdict."""
    return f"tagrig replay {run.folder}"


def explain(problem: str, run: LoadedRun, asked: Asked, window: tuple[float, float] | None, verdict: RunVerdict) -> str:
    """Put a message together."""
    lines = [problem, "", f"arrived ({len(run.record.alerts)}):"]
    lines += [f"  {_line(run, seen)}" for seen in _nearest_first(run, asked, window)[:_MAX_ARRIVED]] or [
        "  no alert at all"
    ]
    if len(run.record.alerts) > _MAX_ARRIVED:
        lines.append(f"  ... and {len(run.record.alerts) - _MAX_ARRIVED} more")
    lines.append(f"nearest miss: {_nearest_miss(run, asked, window, verdict)}")
    at = window or _whole(run, asked)
    lines.append(f"trace, {max(0.0, at[0] - _BEFORE_S):.1f} to {at[1] + _AFTER_S:.1f} s:")
    slice_ = _slice(run, asked, at)
    lines += [f"  {t_s:8.2f} s  {text}" for t_s, text in slice_] or ["  nothing"]
    if run.record.alerts:
        # the nearest miss may lie far from its window: its hops belong to the slice all the same
        seen = nearest(run, asked, window)
        own = (seen.alert.t_s, _alert_text(run, seen))
        lines += [] if own in slice_ else [f"  {own[0]:8.2f} s  {own[1]}"]
    lines += [f"run: {run.folder}", f"replay it: {replay_command(run)}"]
    return "\n".join(lines)


def _line(run: LoadedRun, seen: AlertSeen) -> str:
    alert = seen.alert
    parts = [
        alert.kind.value,
        alert.zone_id,
        alert.band and f"band {alert.band.value}",
        "over" if alert.cleared else None,
    ]
    total_ms = run.record.times[seen.index].total_ms if seen.index < len(run.record.times) else math.nan
    took = "" if math.isnan(total_ms) else f", {total_ms:.0f} ms after its report"
    return f"{alert.t_s:8.2f} s  {' '.join(p for p in parts if p)} ({alert.side} {alert.subject}{took})"


def _nearest_first(run: LoadedRun, asked: Asked, window: tuple[float, float] | None) -> list[AlertSeen]:
    """All alerts by time where they are few, else those nearest to what was asked for."""
    alerts = run.record.alerts
    if len(alerts) <= _MAX_ARRIVED:
        return alerts
    near = sorted(alerts, key=lambda seen: _unlikeness(seen, asked, window))[:_MAX_ARRIVED]
    return sorted(near, key=lambda seen: seen.alert.t_s)


def _unlikeness(seen: AlertSeen, asked: Asked, window: tuple[float, float] | None) -> tuple[int, float]:
    """Return how many words differ, and how far it is from the window in time."""
    alert = seen.alert
    pairs = (
        (asked.kind, alert.kind),
        (asked.kind, alert.kind),  # another kind is another thing: it counts twice
        (asked.zone, alert.zone_id),
        (asked.band, alert.band),
        (asked.side, alert.side),
        (asked.device, alert.subject),
        (asked.cleared, alert.cleared),
    )
    return sum(want is not None and want != got for want, got in pairs), _off_s(alert.t_s, window)


def _off_s(t_s: float, window: tuple[float, float] | None) -> float:
    return 0.0 if window is None else max(0.0, window[0] - t_s, t_s - window[1])


def _nearest_miss(run: LoadedRun, asked: Asked, window: tuple[float, float] | None, verdict: RunVerdict) -> str:
    if not run.record.alerts:
        return "none: nothing arrived"
    seen = nearest(run, asked, window)
    differs, off_s = _unlikeness(seen, asked, window)
    parts = [_line(run, seen).strip()]
    said = next((each.reason for each in verdict.findings if each.index == seen.index and each.reason), "")
    if said:
        parts.append(f"the truth says: {said}")
    elif not differs and window is not None and off_s:
        parts.append(f"{'early' if seen.alert.t_s < window[0] else 'late'} by {span_text(off_s)}")
    return "; ".join(parts)


def nearest(run: LoadedRun, asked: Asked, window: tuple[float, float] | None) -> AlertSeen:
    """Return the alert that is most like the one asked for, and among those the nearest in time."""
    return min(run.record.alerts, key=lambda each: _unlikeness(each, asked, window))


def _whole(run: LoadedRun, asked: Asked) -> tuple[float, float]:
    times = [seen.alert.t_s for seen in run.record.alerts if asked.fits(seen)]
    return (times[0], times[0]) if times else (0.0, run.scenario.duration_s)


def _slice(run: LoadedRun, asked: Asked, window: tuple[float, float]) -> list[tuple[float, str]]:
    low, high = window[0] - _BEFORE_S, window[1] + _AFTER_S
    found = sorted((each for each in _happened(run, asked) if low <= each[0] <= high), key=lambda each: each[0])
    if len(found) <= _MAX_SLICE:
        return found
    # what happened to people and bench stays; of the reports those nearest to the window's ends
    middle = (window[0], window[1])
    kept = sorted(found, key=lambda e: (e[1].startswith("report"), min(abs(e[0] - m) for m in middle)))[:_MAX_SLICE]
    return sorted(kept, key=lambda each: each[0])


def _happened(run: LoadedRun, asked: Asked) -> Iterator[tuple[float, str]]:
    for event in run.events:
        fault = f" {event.fault}" if event.fault else ""
        yield event.t_s, f"bench: {event.what.replace('_', ' ')}{fault} {event.detail}".rstrip()
    for seen in run.record.alerts:
        yield seen.alert.t_s, _alert_text(run, seen)
    for step in run.record.steps:
        yield step.t_s, f"warning {step.step.value} ({step.smart_tag})"
    for felt in run.record.felt:
        yield felt.t_s, f"{felt.tag} {felt.mode}, level {felt.level}"
    for device, tail in run.record.truth.items():
        if asked.device not in (None, device) and asked.side != "protected":
            continue
        for epoch in tail.epochs:
            what = "no position" if epoch.lat_deg is None else f"{epoch.lat_deg:.6f}, {epoch.lon_deg:.6f}"
            yield epoch.t_s, f"report {epoch.sequence} of {device}: {what}"


def _alert_text(run: LoadedRun, seen: AlertSeen) -> str:
    alert = seen.alert
    what = " ".join(filter(None, (alert.kind.value, alert.zone_id, "over" if alert.cleared else None)))
    hops = run.record.times[seen.index].hops_ms if seen.index < len(run.record.times) else ()
    known = [f"{name} {ms:.0f}" for name, ms in zip(HOPS, hops, strict=True) if not math.isnan(ms)]
    return f"alert {what} of {alert.subject}; ms by hop: {', '.join(known) or 'no report'}"


def summary(verdicts: Sequence[Finding]) -> str:
    """Return the findings that are not green, one a line."""
    bad = [
        f"  {each.verdict.value} {each.what} ({each.subject}): {each.reason}"
        for each in verdicts
        if not _is_green(each)
    ]
    return "\n".join(bad)


def _is_green(finding: Finding) -> bool:
    return finding.verdict.value in ("PASS", "SKIPPED")
