"""One HTML file: verdict, map with a slider, timeline, tables. Opens anywhere, asks the network for nothing."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rig.report.assets import own_file
from rig.report.figures import page_parts
from rig.report.model import AlertMark, Report
from rig.report.moving import moving_json
from rig.report.parts import (
    coverage_chips,
    fact_table,
    finding_table,
    hop_table,
    measurement_table,
    plain_table,
    problem_list,
    tile_row,
)
from rig.report.style import CLEARED, EXCLUSION, INCLUSION, RAISED, person_color
from rig.truth.verdict import Verdict

POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content Security Policy: whatever the page holds, the browser asks nobody for anything."""

_VIRTUAL_NOTE: Final = (
    "On virtual time nothing takes time but waits: these figures show which alert waited for a timer or for a broker, "
    "not how fast the bridge computes."
)
_REAL_NOTE: Final = (
    "Real time, all on one machine's monotonic clock; without alerts that waited for a broker that was gone."
)


_ICON_BEFORE: Final = '<svg viewBox="0 0 16 16"><path d="M3 2h2v12H3zM14 2v12L6 8z"/></svg>'
_ICON_AFTER: Final = '<svg viewBox="0 0 16 16"><path d="M11 2h2v12h-2zM2 2v12l8-6z"/></svg>'
_ICON_PLAY: Final = (
    '<svg viewBox="0 0 16 16"><path class=go d="M3 1v14l11-7z"/><path class=hold d="M3 2h4v12H3zM9 2h4v12H9z"/></svg>'
)


def write_page(report: Report, path: Path) -> None:
    """Write the page of a run."""
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Return the page of a run as text."""
    library, script, places = page_parts(report)
    notes = "".join(f"<p class=note>{html.escape(note)}</p>" for note in report.notes)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{html.escape(report.title)} · {report.verdict.value}</title>
<style>{own_file("page.css")}</style>
{library}
</head><body><main>
<header><div class=head><h1>{html.escape(report.title)}</h1>
<span class="verdict {report.verdict.value}">{report.verdict.value}</span></div>
<p>{html.escape(report.about)}</p><p class=note>{html.escape(report.verdict_text)}</p>{problem_list(report.problems)}
{tile_row(report.tiles)}{notes}</header>
<section id="scene-section"><h2>Map</h2><p class=note>Where they truly were and what their tags reported, at the
moment of the slider. Ellipses hold the truth 19 times of 20 by the device's own word. Numbers are those of the alerts;
point at a mark for more.</p>
<div class=scene><div class=map>{places["map"]}</div>
<aside class=panel aria-live="off"><div class=when><span id="clock">0:00</span><span id="utc" class=quiet></span></div>
<div id="now"></div></aside></div>{_layers(report)}</section>
{_steer(report)}
<section><h2>Timeline</h2><p class=note>Coloured bars: what was so in truth; grey: what the bench did. Dotted boxes:
when an alert was owed. Triangles: raised or updated; squares: cleared, as the subscriber got them. A click moves the
map.</p>
<div class=scroll><div class=wide id="timeline">{places["timeline"]}</div></div></section>
<section><h2>Verdicts</h2><p class=note>The grey bar is the window in which something was owed, the mark when it came.
The margin is what was left of the window.</p>{finding_table(report.findings)}</section>
{_warning_section(report)}{_measurement_section(report)}{_latency_sections(report, places)}
<div class=pair>{_coverage_section(report)}<section><h2>This run</h2>{fact_table(report.facts)}</section></div>
</main><script type="application/json" id="scene">{moving_json(report)}</script>
{script}<script>{own_file("player.js")}</script></body></html>
"""


def _layers(report: Report) -> str:
    entries = [("truth", _keys([person_color(report, p.device) for p in report.people]), "true tracks")]
    entries += [("fixes", _keys([person_color(report, p.device) for p in report.people], "dot"), "fixes")]
    entries.append(("sigma", _keys(["#1f5fa833"]), "error ellipses"))
    if report.zones:
        shown = [c for c, e in ((EXCLUSION, True), (INCLUSION, False)) if any(z.exclusion is e for z in report.zones)]
        entries.append(("zones", _keys(shown), "zones (dashed: leaving counts from here)"))
    if report.pairs:
        entries.append(("rings", _keys(["#8e44ad"]), "proximity rings"))
    if report.alerts:
        entries.append(("alerts", _keys([RAISED, CLEARED]), "alerts raised, cleared"))
    boxes = "".join(
        f'<label><input type=checkbox checked data-layer="{name}">{keys}{html.escape(text)}</label>'
        for name, keys, text in entries
    )
    return f"<div class=layers>{boxes}</div>"


def _keys(colors: Sequence[str], kind: str = "") -> str:
    shape = ";width:8px;height:8px;border-radius:50%" if kind == "dot" else ""
    return "".join(f'<span class=key style="background:{color}{shape}"></span>' for color in dict.fromkeys(colors))


def _steer(report: Report) -> str:
    rates = [1, 10, 60, 300]
    wanted = next((rate for rate in rates if report.duration_s / rate <= 90), rates[-1])
    options = "".join(f"<option value={r}{' selected' if r == wanted else ''}>× {r}</option>" for r in rates)
    return f"""<div class=steer role=group aria-label="Moment of the story"><div class=buttons>
<button id="before" title="The alert or fault before" aria-label="The alert or fault before">{_ICON_BEFORE}</button>
<button id="play" title="Play (space)" aria-label="Play" aria-pressed="false">{_ICON_PLAY}</button>
<button id="after" title="The next alert or fault" aria-label="The next alert or fault">{_ICON_AFTER}</button></div>
<div class=track><div id="ticks"></div><input type=range id="time" min=0 max="{report.duration_s:g}" step=0.1 value=0
data-first="{_first(report):.3f}" aria-label="Time of the story"></div>
<select id="rate" aria-label="Speed">{options}</select></div>"""


def _first(report: Report) -> float:
    """Begin at what a person looks for: the first thing that went wrong, else the first alert, else the middle."""
    wrong = [p.at_s for p in report.problems if p.at_s == p.at_s]
    raised: Sequence[AlertMark] = [a for a in report.alerts if a.phase != "cleared"]
    bad = [a.t_s for a in raised if a.verdict is Verdict.FAIL]
    found = [*wrong, *bad, *(a.t_s for a in raised), report.duration_s / 2]
    return min(max(0.0, found[0]), report.duration_s)


def _warning_section(report: Report) -> str:
    if not report.warnings:
        return ""
    return (
        "<section><h2>Warnings</h2><p class=note>What the protected person's tag owed her by the true tracks, and what "
        f"it did by its own log.</p>{plain_table(report.warning_heads, report.warnings)}</section>"
    )


def _measurement_section(report: Report) -> str:
    if not report.measurements:
        return ""
    return f"<section><h2>Measurements</h2>{measurement_table(report.measurements)}</section>"


def _latency_sections(report: Report, places: dict[str, str]) -> str:
    note = _VIRTUAL_NOTE if report.is_virtual else _REAL_NOTE
    if not report.alerts:
        return "<section><h2>Latency by hop</h2><p>No alert was received.</p></section>"
    table = hop_table(report.hops)
    if "histogram" not in places:
        return f"<section><h2>Latency by hop</h2><p class=note>{note}</p>{table}</section>"
    return (
        f"<section><h2>Latency by hop</h2><p class=note>{note} Solid line: the median; dotted: the slowest.</p>"
        f"{places['histogram']}{table}</section>"
        f"<section><h2>Latency by alert</h2><p class=note>One bar an alert, hop by hop.</p>"
        f"<div class=scroll><div class=wide>{places['bars']}</div></div></section>"
    )


def _coverage_section(report: Report) -> str:
    if not report.coverage:
        return ""
    n_applied = sum(row.n_applied > 0 for row in report.coverage)
    return (
        f"<section><h2>Faults</h2><p class=note>{n_applied} of the {len(report.coverage)} faults of the catalogue were "
        f"applied in this run (blue).</p>{coverage_chips(report.coverage)}</section>"
    )
