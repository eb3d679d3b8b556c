"""Tables and small drawings of a page, as HTML; whatever comes from outside is escaped."""

import html
import itertools
import math
from collections.abc import Sequence
from typing import Final

from rig.report.model import CoverageRow, FindingRow, HopRow, MeasurementRow, Problem
from rig.report.words import clock_text, nearest_rank, number_text, span_text
from rig.truth.findings import Limit
from rig.truth.verdict import Verdict

_WINDOW_PX: Final = (132, 16)
_SERIES_PX: Final = (240, 44)
_SERIES_POINTS: Final = 400
"""Points of a small drawing of a series; of more the highest and lowest of each stretch are drawn."""

_OPTIONAL: Final = frozenset({Verdict.SKIPPED, Verdict.UNSET})


def problem_list(problems: Sequence[Problem]) -> str:
    """Write what went wrong, each with a way to its moment."""
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(p.text)} {_at(p.at_s, 'at ' + clock_text(p.at_s))}</li>" for p in problems)
    return f"<ul class=problems>{items}</ul>"


def tile_row(tiles: Sequence[tuple[str, str, str]]) -> str:
    """Write the figures of the head."""
    if not tiles:
        return ""
    cells = "".join(
        f"<div><span>{html.escape(name)}</span><b>{html.escape(value)}</b>"
        f'<small title="{html.escape(remark)}">{html.escape(remark)}</small></div>'
        for name, value, remark in tiles
    )
    return f"<div class=tiles>{cells}</div>"


def finding_table(rows: Sequence[FindingRow]) -> str:
    """Write the verdicts; silences that were kept, and what might have come and did not, are folded away."""
    kept = [row for row in rows if row.is_silence and row.verdict is Verdict.PASS]
    optional = [row for row in rows if row not in kept and _might_have_come(row)]
    shown = [row for row in rows if row not in optional and row not in kept]
    out = _findings(shown) if shown else "<p>Nothing was demanded and nothing came.</p>"
    for some, what in (
        (kept, "silences owed and kept"),
        (optional, "that might have come and did not, or could not be judged"),
    ):
        if some:
            out += f"<details><summary>{len(some)} {what}</summary>{_findings(some)}</details>"
    return out


def _might_have_come(row: FindingRow) -> bool:
    return row.verdict in _OPTIONAL or (row.verdict is Verdict.PASS and not math.isfinite(row.received_s))


def _findings(rows: Sequence[FindingRow]) -> str:
    heads = (
        "<th>verdict</th><th>what</th><th>who</th><th class=r>owed between</th><th></th><th class=r>came</th>"
        "<th class=r>margin</th><th>why</th>"
    )
    body = "".join(
        f'<tr class="{row.verdict.value}"><td><span class="v {row.verdict.value}">{row.verdict.value}</span></td>'
        f"<td>{f'<b>{row.number}</b> ' if row.number else ''}{html.escape(row.what)}</td>"
        f"<td class=nowrap>{html.escape(row.subject)}</td>"
        f'<td class="r nowrap">{_between(row.earliest_s, row.latest_s)}</td><td>{_window(row)}</td>'
        f"<td class=r>{_at(row.received_s, clock_text(row.received_s)) or '–'}</td>"
        f'<td class="r nowrap">{span_text(row.margin_s)}</td>'
        f"<td class=why>{html.escape(row.reason)}{_look(row)}</td></tr>"
        for row in rows
    )
    return f"<div class=scroll><table class=wide><tr>{heads}</tr>{body}</table></div>"


def _look(row: FindingRow) -> str:
    missing = row.verdict in {Verdict.FAIL, Verdict.ERROR} and not math.isfinite(row.received_s)
    return f" {_at(row.at_s, 'show')}" if missing else ""


def _at(t_s: float, text: str) -> str:
    if not math.isfinite(t_s):
        return ""
    return f'<button class=at data-t="{t_s:.3f}" title="move the map to {clock_text(t_s)}">{html.escape(text)}</button>'


def _between(earliest_s: float, latest_s: float) -> str:
    if math.isfinite(earliest_s) and math.isfinite(latest_s):
        return f"{clock_text(earliest_s)} – {clock_text(latest_s)}"
    if math.isfinite(latest_s):
        return f"by {clock_text(latest_s)}"
    return f"from {clock_text(earliest_s)}" if math.isfinite(earliest_s) else "–"


def _window(row: FindingRow) -> str:
    """Draw where in its window something came."""
    if not (math.isfinite(row.earliest_s) and math.isfinite(row.latest_s)):
        return ""
    width, height = _WINDOW_PX
    known = [row.earliest_s, row.latest_s, *([row.received_s] if math.isfinite(row.received_s) else [])]
    low, span = min(known), max(max(known) - min(known), 1e-6)
    scale = (width - 24) / span

    def x(t_s: float) -> float:
        return 12 + (t_s - low) * scale

    color = "#b03a2e" if row.verdict in {Verdict.FAIL, Verdict.ERROR} else "#21794a"
    left, right = x(row.earliest_s), max(x(row.latest_s), x(row.earliest_s) + 2)
    mark = ""
    if math.isfinite(row.received_s):
        mark = f'<path d="M{x(row.received_s):.1f} 1l4.5 8h-9z" fill="{color}"/>'
    label = f"owed {_between(row.earliest_s, row.latest_s)}, came {clock_text(row.received_s)}"
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<line x1="2" x2="{width - 2}" y1="12" y2="12" stroke="#dde3e8"/>'
        f'<rect x="{left:.1f}" y="8.5" width="{right - left:.1f}" height="7" rx="2" fill="#c9d6e2"/>{mark}</svg>'
    )


def measurement_table(rows: Sequence[MeasurementRow]) -> str:
    """Write the measurements with their limits and their course."""
    body = "".join(
        f'<tr class="{row.outcome}"><td><span class="v {row.outcome}">{row.outcome}</span></td>'
        f"<td>{html.escape(row.name.replace('_', ' '))}</td>"
        f'<td class="r nowrap">{number_text(row.value)} {html.escape(row.unit)}</td>'
        f'<td class="r nowrap">{html.escape(row.limit) or "no limit"}</td>'
        f'<td class="r nowrap">{number_text(row.margin)}</td><td class=r>{len(row.series)}</td>'
        f"<td>{_series(row)}</td></tr>"
        for row in rows
    )
    return (
        "<div class=scroll><table class=wide><tr><th>outcome</th><th>measurement</th><th class=r>worst value</th>"
        "<th class=r>limit</th><th class=r>margin</th><th class=r>values</th><th>over the story</th></tr>"
        f"{body}</table></div>"
    )


def _series(row: MeasurementRow) -> str:
    points = [(t, v) for t, v in row.series if math.isfinite(v)]
    if len(points) < 2:
        return ""
    width, height = _SERIES_PX
    limit = Limit.parse(row.limit).value if row.limit else math.nan
    values = [v for _, v in points] + ([limit] if math.isfinite(limit) else [])
    low, high = min(0.0, *values), max(*values, 1e-12)
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1e-9)

    def place(t_s: float, value: float) -> tuple[float, float]:
        return 3 + (t_s - first) / (last - first) * (width - 6), height - 4 - (value - low) / (high - low) * (
            height - 8
        )

    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>' for x, y in (place(*p) for p in _thinned(points)))
    line = ""
    if math.isfinite(limit):
        y = place(first, limit)[1]
        line = f'<line x1="0" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#b03a2e" stroke-dasharray="4 3"/>'
    label = (
        f"{row.name}: {number_text(min(v for _, v in points))} to {number_text(max(v for _, v in points))} {row.unit}"
    )
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{html.escape(label)}">'
        f"<title>{html.escape(label)}; dashed: the limit</title>"
        f'<line x1="0" x2="{width}" y1="{height - 4}" y2="{height - 4}" stroke="#dde3e8"/>{line}'
        f'<g fill="#1f5fa8">{dots}</g></svg>'
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _SERIES_POINTS:
        return list(points)
    size = math.ceil(len(points) / (_SERIES_POINTS // 2))
    stretches = [points[i : i + size] for i in range(0, len(points), size)]
    return [each for part in stretches for each in (min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1]))]


def hop_table(hops: Sequence[HopRow]) -> str:
    """Write the percentiles of the hops."""
    rows = "".join(
        f"<tr><td>{html.escape(hop.name)}</td><td class=r>{len(hop.values_ms)}</td>"
        + "".join(f"<td class=r>{_ms(nearest_rank(hop.values_ms, share))}</td>" for share in (0.5, 0.95, 0.99, 1.0))
        + "</tr>"
        for hop in hops
    )
    return (
        "<div class=scroll><table><tr><th>hop</th><th class=r>alerts</th><th class=r>p50 ms</th><th class=r>p95 ms</th>"
        f"<th class=r>p99 ms</th><th class=r>slowest ms</th></tr>{rows}</table></div>"
        "<p class=note>Nearest rank: with fewer than 20 alerts the p95 is the slowest one, with fewer than 100 the "
        "p99.</p>"
    )


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def coverage_chips(rows: Sequence[CoverageRow]) -> str:
    """Write which faults of the catalogue this run applied."""
    out = ""
    for layer, group in itertools.groupby(rows, key=lambda row: row.layer):
        chips = "".join(
            f'<span class="{"on" if row.n_applied else ""}" title="{html.escape(row.expected)}">'
            f"{html.escape(row.fault_id.partition('.')[2] or row.fault_id)}"
            f"{f' × {row.n_applied}' if row.n_applied > 1 else ''}</span>"
            for row in group
        )
        out += f"<div class=layer-name>{html.escape(layer)}</div><div class=chips>{chips}</div>"
    return out


def fact_table(facts: Sequence[tuple[str, str]]) -> str:
    """Write what was run, by what."""
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in facts)
    return f"<table>{rows}</table>"


def plain_table(heads: Sequence[str], table: Sequence[tuple[str, ...]]) -> str:
    """Write a table whose last column is a verdict."""
    out = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    rows = "".join(
        f'<tr class="{row[-1].split()[0]}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[:-1])
        + f'<td><span class="v {row[-1].split()[0]}">{html.escape(row[-1])}</span></td></tr>'
        for row in table
    )
    return f"<div class=scroll><table class=wide><tr>{out}</tr>{rows}</table></div>"
