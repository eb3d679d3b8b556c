"""The timeline of a report, and what each alert took by hop."""

import math
from typing import Any, Final

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.models.annotations import LabelSet, Legend, LegendItem

from rig.report.model import Report
from rig.report.style import ALERT_TIPS, EXCLUSION, INK, alert_source, bare_plot, clock_text

_TICK_S: Final = 30
"""Story seconds between two ticks of the timeline."""

_GRADES: Final = {1: "#f5d9a8", 2: "#efb36b", 3: "#e07b53"}
_HOPS: Final = ("#7fb3d5", "#76c7b7", "#f2c14e", "#c3a6d8", "#8fa3b5")


def timeline_figure(report: Report) -> Any:
    """Draw what was so, what was owed and what came, one lane per cause."""
    lanes = list(reversed(report.lanes))
    plot = bare_plot(height=110 + 34 * max(1, len(lanes)), y_range=lanes, x_axis_label="story (minutes : seconds)")
    plot.x_range = Range1d(start=-2, end=report.duration_s + 6)
    ticks = list(range(0, int(report.duration_s) + 1, _TICK_S))
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: clock_text(tick) for tick in ticks}
    plot.yaxis.major_label_text_font_size = "13px"
    plot.ygrid.grid_line_color = None
    bars = ColumnDataSource(
        {
            "lane": [s.lane for s in report.states],
            "left": [s.from_s for s in report.states],
            "right": [s.to_s for s in report.states],
            "text": [s.text for s in report.states],
            "color": [_GRADES[s.grade] for s in report.states],
        }
    )
    truth = plot.hbar(
        y="lane", left="left", right="right", height=0.62, fill_color="color", line_color=None, source=bars
    )
    plot.add_tools(HoverTool(renderers=[truth], tooltips=[("so in truth", "@text")]))
    owed = ColumnDataSource(
        {
            "lane": [w.lane for w in report.windows],
            "left": [w.earliest_s for w in report.windows],
            "right": [w.latest_s for w in report.windows],
            "text": [w.text for w in report.windows],
            "from": [clock_text(w.earliest_s) for w in report.windows],
            "to": [clock_text(w.latest_s) for w in report.windows],
            "line": [EXCLUSION if w.missing else "#5d6d7e" for w in report.windows],
            "width": [3 if w.missing else 1 for w in report.windows],
            "fill": [0.25 if w.missing else 0.0 for w in report.windows],
        }
    )
    windows = plot.hbar(
        y="lane",
        left="left",
        right="right",
        height=0.62,
        fill_color=EXCLUSION,
        fill_alpha="fill",
        line_color="line",
        line_width="width",
        line_dash="dotted",
        source=owed,
    )
    plot.add_tools(HoverTool(renderers=[windows], tooltips=[("owed", "@text"), ("between", "@from and @to")]))
    source = alert_source(report.alerts)
    marks = plot.scatter(
        "t_s", "lane", source=source, marker="marker", size=13, fill_color="color", line_color="#ffffff", line_width=1.5
    )
    plot.add_tools(HoverTool(renderers=[marks], tooltips=ALERT_TIPS))
    plot.add_layout(
        LabelSet(
            x="t_s",
            y="lane",
            text="number",
            source=source,
            x_offset=8,
            y_offset=-8,
            text_font_size="12px",
            text_font_style="bold",
            text_color=INK,
        )
    )
    return plot


def latency_figure(report: Report) -> Any:
    """Draw one bar per alert, hop by hop; without those that waited for a broker that was gone."""
    alerts = [a for a in report.alerts if not (a.kept or all(math.isnan(v) for v in a.hops_ms))]
    names = [f"{a.number}  {a.name} · {a.phase}" for a in reversed(alerts)]
    plot = bare_plot(
        height=120 + 24 * max(1, len(names)), y_range=names, x_axis_label="milliseconds from the tag's write"
    )
    plot.ygrid.grid_line_color = None
    left = [0.0] * len(names)
    items: list[Any] = []
    for i, hop in enumerate(report.hop_names):
        values = [0.0 if math.isnan(a.hops_ms[i]) else a.hops_ms[i] for a in reversed(alerts)]
        right = [start + value for start, value in zip(left, values, strict=True)]
        source = ColumnDataSource(
            {
                "y": names,
                "left": left,
                "right": right,
                "took": [f"{v:.3f} ms" for v in values],
                "hop": [hop] * len(names),
            }
        )
        bar = plot.hbar(
            y="y", left="left", right="right", height=0.7, fill_color=_HOPS[i], line_color=None, source=source
        )
        plot.add_tools(HoverTool(renderers=[bar], tooltips=[("hop", "@hop"), ("took", "@took")]))
        items.append(LegendItem(label=hop, renderers=[bar]))
        left = right
    plot.x_range.start = 0
    plot.add_layout(
        Legend(items=items, label_text_font_size="12px", border_line_color=None, orientation="horizontal"), "above"
    )
    return plot
