"""The drawings below the map: the timeline, and what each alert took by hop."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.models.annotations import BoxAnnotation, LabelSet, Legend, LegendItem, Span

from rig.report.model import HopRow, Report, State
from rig.report.style import ALERT_TIPS, BENCH, EXCLUSION, INK, QUIET_INK, alert_source, bare_plot
from rig.report.words import clock_text, nearest_rank

_TICKS_WANTED: Final = 12
"""About so many ticks along the timeline."""

_STEPS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)

_NAMED_LANES: Final = ("surroundings ", "device ", "fault ", "no br")
"""Rows whose bars carry their words; those of alerts carry marks and numbers."""

_LETTER_SHARE: Final = 1 / 130
"""Width of a letter as a share of the timeline on a narrow page."""

_GRADES: Final = {0: BENCH, 1: "#f5d9a8", 2: "#efb36b", 3: "#e07b53"}
_HOPS: Final = ("#7fb3d5", "#76c7b7", "#f2c14e", "#c3a6d8", "#8fa3b5")

_BINS_PER_DECADE: Final = 6
_LOWEST_MS: Final = 0.01
_HIGHEST_MS: Final = 100_000.0
"""Range of the histogram, milliseconds: what took less or more is drawn in its first or last bin."""

_MAX_BARS: Final = 60
"""Alerts with a bar of their own; of more the slowest are drawn."""


def timeline_figure(report: Report) -> Any:
    """Draw what was so, what was owed and what came, one lane per cause."""
    lanes = list(reversed(report.lanes)) or [" "]
    plot = bare_plot(name="timeline", height=96 + 32 * len(lanes), y_range=lanes, x_axis_label="story")
    plot.x_range = Range1d(start=-0.01 * report.duration_s, end=1.01 * report.duration_s)
    step_s = next((s for s in _STEPS_S if report.duration_s / s <= _TICKS_WANTED), _STEPS_S[-1])
    ticks = list(range(0, int(report.duration_s) + 1, step_s))
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: clock_text(tick) for tick in ticks}
    plot.yaxis.major_label_text_font_size = "13px"
    plot.ygrid.grid_line_color = None
    for each in report.happened:
        if each.to_s > each.from_s:
            plot.add_layout(BoxAnnotation(left=each.from_s, right=each.to_s, fill_color=BENCH, fill_alpha=0.18))
    _draw_states(plot, report)
    _draw_windows(plot, report)
    source = alert_source(report.alerts, "timeline_alerts")
    marks = plot.scatter(
        "t_s", "lane", source=source, marker="marker", size=13, fill_color="color", line_color="#ffffff",
        line_width=1.5, alpha="alpha",
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[marks], tooltips=ALERT_TIPS, visible=False))
    plot.add_layout(
        LabelSet(
            x="t_s",
            y="lane",
            text="number",
            source=source,
            x_offset=7,
            y_offset=-8,
            text_font_size="11px",
            text_font_style="bold",
            text_color=INK,
            text_alpha="alpha",
        )
    )
    plot.add_layout(Span(name="cursor", location=0, dimension="height", line_color=INK, line_width=1.5))
    return plot


def _draw_states(plot: Any, report: Report) -> None:
    bars = ColumnDataSource(
        {
            "lane": [s.lane for s in report.states],
            "left": [s.from_s for s in report.states],
            "right": [s.to_s for s in report.states],
            "text": [s.text for s in report.states],
            "from": [clock_text(s.from_s) for s in report.states],
            "to": [clock_text(s.to_s) for s in report.states],
            "color": [_GRADES[s.grade] for s in report.states],
        }
    )
    wide = [s for s in _apart(report.states, report.duration_s) if s.lane.startswith(_NAMED_LANES)]
    plot.text(
        x=[s.from_s for s in wide],
        y=[s.lane for s in wide],
        text=[s.label or s.text for s in wide],
        x_offset=5,
        text_font_size="11px",
        text_color=INK,
        text_baseline="middle",
        level="annotation",
    )
    truth = plot.hbar(
        y="lane", left="left", right="right", height=0.6, fill_color="color", line_color=None, source=bars
    )
    plot.add_tools(
        HoverTool(renderers=[truth], tooltips=[("so in truth", "@text"), ("from, to", "@from, @to")], visible=False)
    )


def _apart(states: Sequence[State], duration_s: float) -> Iterator[State]:
    """Leave out bars that are too short for words, and those whose words would run into the ones before."""
    ends_s: dict[str, float] = {}
    for state in sorted(states, key=lambda s: s.from_s):
        words_s = len(state.label or state.text) * duration_s * _LETTER_SHARE
        if state.to_s - state.from_s >= words_s and state.from_s >= ends_s.get(state.lane, 0.0):
            ends_s[state.lane] = state.from_s + words_s
            yield state


def _draw_windows(plot: Any, report: Report) -> None:
    owed = ColumnDataSource(
        {
            "lane": [w.lane for w in report.windows],
            "left": [w.earliest_s for w in report.windows],
            "right": [w.latest_s for w in report.windows],
            "text": [w.text for w in report.windows],
            "from": [clock_text(w.earliest_s) for w in report.windows],
            "to": [clock_text(w.latest_s) for w in report.windows],
            "line": [EXCLUSION if w.missing else QUIET_INK for w in report.windows],
            "width": [3 if w.missing else 1 for w in report.windows],
            "fill": [0.25 if w.missing else 0.0 for w in report.windows],
        }
    )
    windows = plot.hbar(
        y="lane",
        left="left",
        right="right",
        height=0.74,
        fill_color=EXCLUSION,
        fill_alpha="fill",
        line_color="line",
        line_width="width",
        line_dash="dotted",
        source=owed,
    )
    plot.add_tools(
        HoverTool(renderers=[windows], tooltips=[("owed", "@text"), ("between", "@from and @to")], visible=False)
    )


def histogram_figure(hops: Sequence[HopRow]) -> Any:
    """Draw one histogram per hop, all on the same axis, with the median and the slowest."""
    rows = [hop for hop in hops if hop.values_ms]
    lowest = 10.0 ** math.floor(math.log10(max(_LOWEST_MS, min(v for hop in rows for v in hop.values_ms))))
    highest = max(10.0 * lowest, min(_HIGHEST_MS, max(v for hop in rows for v in hop.values_ms)))
    n_bins = math.ceil(math.log10(highest / lowest) * _BINS_PER_DECADE + 1e-9)
    edges = [lowest * 10 ** (i / _BINS_PER_DECADE) for i in range(n_bins + 1)]
    plot = bare_plot(height=84 + 62 * len(rows), x_axis_type="log", x_axis_label="milliseconds", toolbar_location=None)
    plot.x_range = Range1d(start=edges[0] * 0.9, end=edges[-1] * 1.1)
    plot.y_range = Range1d(start=-0.1, end=len(rows) + 0.05)
    decades = [edge for i, edge in enumerate(edges) if i % _BINS_PER_DECADE == 0]
    plot.xaxis.ticker = FixedTicker(ticks=decades)
    plot.xaxis.major_label_overrides = {decade: f"{decade:g}" for decade in decades}
    plot.yaxis.ticker = FixedTicker(ticks=[i + 0.3 for i in range(len(rows))])
    plot.yaxis.major_label_overrides = {i + 0.3: hop.name for i, hop in enumerate(reversed(rows))}
    plot.yaxis.major_tick_line_color = None
    plot.ygrid.grid_line_color = None
    for i, hop in enumerate(reversed(rows)):
        counts = [0] * n_bins
        for value in hop.values_ms:
            place = math.floor(math.log10(max(value, lowest) / lowest) * _BINS_PER_DECADE + 1e-9)
            counts[min(place, n_bins - 1)] += 1
        color = _HOPS[hops.index(hop)] if hops.index(hop) < len(_HOPS) else QUIET_INK
        source = ColumnDataSource(
            {
                "left": edges[:-1],
                "right": edges[1:],
                "bottom": [i] * n_bins,
                "top": [i + 0.82 * count / max(counts) for count in counts],
                "count": counts,
                "hop": [hop.name] * n_bins,
                "range": [f"{_ms(a)} to {_ms(b)}" for a, b in itertools.pairwise(edges)],
            }
        )
        bars = plot.quad(
            left="left", right="right", bottom="bottom", top="top", source=source, fill_color=color,
            line_color="#ffffff",
        )  # fmt: skip
        plot.add_tools(
            HoverTool(
                renderers=[bars], tooltips=[("hop", "@hop"), ("alerts", "@count"), ("took", "@range")], visible=False
            )
        )
        plot.add_layout(Span(location=i, dimension="width", line_color="#c8d0d8", line_width=1))
        median, slowest = nearest_rank(hop.values_ms, 0.5), hop.values_ms[-1]
        for value, dash in ((median, "solid"), (slowest, "dotted")):
            at = min(max(value, edges[0]), edges[-1])
            plot.segment(x0=[at], x1=[at], y0=[i], y1=[i + 0.9], line_color=INK, line_width=1.5, line_dash=dash)
    return plot


def bars_figure(report: Report) -> Any:
    """Draw one bar per alert, hop by hop; without those that waited for a broker that was gone."""
    alerts = [a for a in report.alerts if not (a.kept or all(math.isnan(v) for v in a.hops_ms))]
    slowest = sorted(alerts, key=lambda a: -sum(v for v in a.hops_ms if v == v))[:_MAX_BARS]
    alerts = [a for a in alerts if a in slowest]
    names = [f"{a.number}  {a.name} · {a.phase}" for a in reversed(alerts)]
    plot = bare_plot(
        height=96 + 22 * max(1, len(names)),
        y_range=names or [" "],
        x_axis_label="milliseconds from the tag's write",
        toolbar_location=None,
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
            y="y", left="left", right="right", height=0.7, fill_color=_HOPS[i % len(_HOPS)], line_color=None,
            source=source,
        )  # fmt: skip
        plot.add_tools(HoverTool(renderers=[bar], tooltips=[("hop", "@hop"), ("took", "@took")], visible=False))
        items.append(LegendItem(label=hop, renderers=[bar]))
        left = right
    plot.x_range = Range1d(start=0, end=max([*left, 0.1]) * 1.03)
    plot.add_layout(
        Legend(
            items=items,
            label_text_font_size="12px",
            border_line_color=None,
            orientation="horizontal",
            nrows="auto",
        ),
        "above",
    )
    return plot


def _ms(value: float) -> str:
    return f"{value:.3g} ms"
