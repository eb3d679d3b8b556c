"""One HTML file: verdict, map, timeline, latency, tables. Opens anywhere, asks the network for nothing."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rig.report.figures import page_parts
from rig.report.model import Report
from rig.truth.verdict import Verdict

_STYLE: Final = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#22303c;background:#f4f6f8;margin:0}
main{width:1200px;margin:24px auto 48px}
header,section{background:#fff;border-radius:10px;padding:18px 20px;margin:0 0 16px;box-shadow:0 1px 3px #0001}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:0 0 2px}p{margin:4px 0 10px}
.note{color:#5d6d7e;font-size:13px}
.verdict{float:right;font-weight:700;font-size:20px;border-radius:8px;padding:6px 18px;color:#fff}
.verdict.PASS{background:#2e8b57}.verdict.FAIL,.verdict.ERROR{background:#c0392b}.verdict.UNSET{background:#7f8c8d}
.problems{color:#c0392b;font-weight:600}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;color:#5d6d7e;font-weight:600;font-size:13px;border-bottom:2px solid #e6eaee;padding:4px 10px 4px 0}
td{border-bottom:1px solid #eef1f4;padding:4px 10px 4px 0;vertical-align:top}
td.r,th.r{text-align:right}tr.FAIL td{color:#c0392b;font-weight:600}tr.SKIPPED td{color:#95a5a6}
.pair{display:flex;gap:16px}.pair section{flex:1}
"""


_POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content Security Policy: whatever the page holds, the browser asks nobody for anything."""


def write_page(report: Report, path: Path) -> None:
    """Write the page of a run."""
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Return the page of a run as text."""
    library, script, places = page_parts(report)
    problems = "".join(f"<p class=problems>{html.escape(text)}</p>" for text in report.problems)
    latency = places.get("latency", "<p>No alert was received.</p>")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{html.escape(report.title)} · {report.verdict.value}</title>
<style>{_STYLE}</style>
{library}
</head><body><main>
<header><span class="verdict {report.verdict.value}">{report.verdict.value}</span>
<h1>{html.escape(report.title)}</h1><p>{html.escape(report.about)}</p>
<p class=note>{html.escape(report.verdict_text)}</p>{problems}</header>
<section><h2>Map</h2><p class=note>Where they truly walked, what the tags reported, and where the alerts were when they
were raised. Numbers are those of the table below; point at a mark for more.</p>{places["map"]}</section>
<section><h2>Timeline</h2><p class=note>Coloured bars: what was so in truth. Dotted boxes: when an alert was owed.
Triangles: raised or updated; squares: cleared, as the subscriber got them.</p>{places["timeline"]}</section>
<section><h2>Alerts</h2>{_alert_table(report)}</section>
{_warning_section(report)}
<section><h2>Latency by alert</h2><p class=note>Real time, all on one machine's monotonic clock; without
alerts that waited for a broker that was gone.</p>{latency}</section>
<div class=pair><section><h2>Latency by hop</h2>{_hop_table(report)}</section>
<section><h2>This run</h2>{_fact_table(report)}</section></div>
</main>{script}</body></html>
"""


def _warning_section(report: Report) -> str:
    if not report.warnings:
        return ""
    return (
        "<section><h2>Warnings</h2><p class=note>What the protected person's tag owed her by the true tracks, and what "
        f"it did by its own log.</p>{_table(report.warning_heads, report.warnings)}</section>"
    )


def _alert_table(report: Report) -> str:
    heads = ("no.", "true at", "what", "why", "owed between", "received", "ms", "verdict")
    return _table(heads, report.rows)


def _table(heads: Sequence[str], table: Sequence[tuple[str, ...]]) -> str:
    out = "".join(f"<th>{head}</th>" for head in heads)
    rows = "".join(
        f'<tr class="{row[-1].split()[0]}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table
    )
    return f"<table><tr>{out}</tr>{rows}</table>"


def _hop_table(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=r>{count}</td><td class=r>{_ms(p50)}</td>"
        f"<td class=r>{_ms(p99)}</td></tr>"
        for name, count, p50, p99 in report.hops
    )
    return (
        "<table><tr><th>hop</th><th class=r>alerts</th><th class=r>p50 ms</th><th class=r>p99 ms</th></tr>"
        f"{rows}</table><p class=note>With fewer than 100 alerts the p99 is the slowest one.</p>"
    )


def _fact_table(report: Report) -> str:
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in report.facts)
    return f"<table>{rows}</table>"


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def verdict_text(verdict: Verdict, expected: int, received: int, missing: int, unexpected: int, untimely: int) -> str:
    """Say the verdict in a sentence."""
    if verdict is Verdict.PASS:
        return f"All {expected} alerts that the truth demands came in their windows, and no other."
    parts = [f"{missing} missing", f"{untimely} outside their window", f"{unexpected} unexpected"]
    return f"{expected} alerts were owed, {received} came: {', '.join(parts)}."
