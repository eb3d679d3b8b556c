"""The drawings of a report; the one place that imports bokeh."""

import math
from collections.abc import Sequence
from typing import Any, Final

from bokeh.embed import components
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    Range1d,
)
from bokeh.models.annotations import LabelSet, Legend, LegendItem
from bokeh.plotting import figure
from bokeh.resources import Resources

from rig.report.model import AlertMark, PersonPath, Report
from rig.truth.verdict import Verdict

# Any throughout: bokeh carries no types
_WIDTH: Final = 1160
"""Pixels: fits a laptop's screen without scrolling sideways."""

_MAP_WIDTH: Final = 880
_MAP_HEIGHT: Final = 820
"""Largest frame of the map, pixels: the legend stands beside it, and the whole of it fits a screen."""

_TICK_S: Final = 30
"""Story seconds between two ticks of the timeline."""

_MINUTES: Final = 60.0
"""Story seconds between two marks on the wearer's true track."""

_INK: Final = "#22303c"
_GRID: Final = "#e6eaee"
_EXCLUSION: Final = "#c0392b"
_INCLUSION: Final = "#2e8b57"
_WEARER: Final = "#1f5fa8"
_PROTECTED: Final = "#8e44ad"
_RAISED: Final = "#d35400"
_CLEARED: Final = "#2e8b57"
_GRADES: Final = {1: "#f5d9a8", 2: "#efb36b", 3: "#e07b53"}
_HOPS: Final = ("#7fb3d5", "#76c7b7", "#f2c14e", "#c3a6d8", "#8fa3b5")

_MAP_PAD_M: Final = 25.0
"""Empty rim of the map, metres."""


def page_parts(report: Report) -> tuple[str, str, dict[str, str]]:
    """Scripts with the plotting library in them, the drawings' own script, and their places by name."""
    figures: dict[str, Any] = {"map": _map(report), "timeline": _timeline(report)}
    if report.alerts:
        figures["latency"] = _latency(report)
    script, places = components(figures)
    # the core alone: tables and widgets are not drawn, and would treble the file
    return Resources(mode="inline", components=["bokeh"]).render(), script, places


def _figure(**options: Any) -> Any:
    if "frame_width" not in options:
        options["width"] = _WIDTH
    plot = figure(
        toolbar_location="above",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        active_drag="pan",
        background_fill_color="#ffffff",
        border_fill_color="#ffffff",
        outline_line_color=_GRID,
        **options,
    )
    plot.toolbar.logo = None
    plot.grid.grid_line_color = _GRID
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_line_color = _GRID
        axis.major_tick_line_color = _GRID
        axis.minor_tick_line_color = None
        axis.major_label_text_color = _INK
        axis.major_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = _INK
    return plot


def _map(report: Report) -> Any:
    east, north = _extent(report)
    share = (north[1] - north[0]) / (east[1] - east[0])
    frame_width = min(_MAP_WIDTH, round(_MAP_HEIGHT / share))
    plot = _figure(
        # sizes of the frame itself, so that a metre is as long eastwards as northwards
        frame_width=frame_width,
        frame_height=round(frame_width * share),
        match_aspect=True,
        x_axis_label="metres east",
        y_axis_label="metres north",
    )
    plot.x_range = Range1d(start=east[0], end=east[1])
    plot.y_range = Range1d(start=north[0], end=north[1])
    legend: list[Any] = []
    _draw_zones(plot, report, legend)
    for ring in report.rings:
        line = plot.circle(
            x=ring.east_m,
            y=ring.north_m,
            radius=ring.radius_m,
            fill_alpha=0,
            line_color=_PROTECTED,
            line_dash="dotted",
            line_alpha=0.8,
        )
        plot.text(
            x=[ring.east_m],
            y=[ring.north_m + ring.radius_m],
            text=[ring.name],
            text_color=_PROTECTED,
            text_font_size="11px",
            text_align="center",
            text_baseline="bottom",
        )
        if ring is report.rings[0]:
            legend.append(LegendItem(label="proximity rings", renderers=[line]))
    for person in report.people:
        _draw_person(plot, person, legend)
    _draw_alerts(plot, [a for a in report.alerts if a.on_map], legend)
    plot.add_layout(
        Legend(items=legend, label_text_font_size="12px", label_text_color=_INK, border_line_color=None, spacing=4),
        "right",
    )
    return plot


def _extent(report: Report) -> tuple[tuple[float, float], tuple[float, float]]:
    xs = [p[1] for person in report.people for p in person.truth]
    ys = [p[2] for person in report.people for p in person.truth]
    for zone in report.zones:
        for ring in zone.margin:
            xs += [x for x, _ in ring]
            ys += [y for _, y in ring]
    for circle in report.rings:
        xs += [circle.east_m - circle.radius_m, circle.east_m + circle.radius_m]
        ys += [circle.north_m - circle.radius_m, circle.north_m + circle.radius_m]
    return (min(xs) - _MAP_PAD_M, max(xs) + _MAP_PAD_M), (min(ys) - _MAP_PAD_M, max(ys) + _MAP_PAD_M)


def _draw_zones(plot: Any, report: Report, legend: list[Any]) -> None:
    for exclusion, label, color in ((True, "exclusion zone", _EXCLUSION), (False, "inclusion zone", _INCLUSION)):
        zones = [z for z in report.zones if z.exclusion is exclusion]
        if not zones:
            continue
        shapes = [(z, outer, holes) for z in zones for outer, holes in z.polygons]
        area = plot.multi_polygons(
            xs=[[[[x for x, _ in outer], *([x for x, _ in hole] for hole in holes)]] for _, outer, holes in shapes],
            ys=[[[[y for _, y in outer], *([y for _, y in hole] for hole in holes)]] for _, outer, holes in shapes],
            fill_color=color,
            fill_alpha=0.13,
            line_color=color,
            line_width=2,
        )
        margin = plot.multi_line(
            xs=[[x for x, _ in ring] for z in zones for ring in z.margin],
            ys=[[y for _, y in ring] for z in zones for ring in z.margin],
            line_color=color,
            line_dash="dashed",
            line_alpha=0.6,
        )
        plot.text(
            x=[
                min(x for x, _ in outer) + 4 if z.exclusion else sum(x for x, _ in outer) / len(outer)
                for z, outer, _ in shapes
            ],
            y=[min(y for _, y in outer) + 4 for _, outer, _ in shapes],
            text=[z.name for z, _, _ in shapes],
            text_color=color,
            text_font_size="13px",
            text_font_style="bold",
            text_align="left" if exclusion else "center",
            text_baseline="bottom",
        )
        legend.append(LegendItem(label=label, renderers=[area]))
        legend.append(LegendItem(label="  leaving counts from here", renderers=[margin]))


def _draw_person(plot: Any, person: PersonPath, legend: list[Any]) -> None:
    color = _WEARER if person.wearer else _PROTECTED
    who = "wearer" if person.wearer else "protected person"
    sigma = plot.circle(
        x=[f[1] for f in person.fixes],
        y=[f[2] for f in person.fixes],
        radius=[f[3] or 0.0 for f in person.fixes],
        fill_color=color,
        fill_alpha=0.07,
        line_color=None,
    )
    truth = plot.line(
        x=[p[1] for p in person.truth], y=[p[2] for p in person.truth], line_color=_INK, line_width=2, line_alpha=0.75
    )
    source = ColumnDataSource(
        {
            "x": [f[1] for f in person.fixes],
            "y": [f[2] for f in person.fixes],
            "t": [_clock(f[0]) for f in person.fixes],
            "sigma": ["?" if f[3] is None else f"{f[3]:.1f} m" for f in person.fixes],
        }
    )
    dots = plot.scatter("x", "y", source=source, size=4, fill_color=color, line_color=None, fill_alpha=0.9)
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("fix of", person.device), ("at", "@t"), ("sigma", "@sigma")]))
    if person.truth and person.wearer:
        _draw_minutes(plot, person)
    legend.append(LegendItem(label=f"true track, {who}", renderers=[truth]))
    legend.append(LegendItem(label=f"fixes, {who}", renderers=[dots]))
    legend.append(LegendItem(label="  sigma", renderers=[sigma]))


def _draw_minutes(plot: Any, person: PersonPath) -> None:
    """Mark the track minute by minute; where the person stands still, only once."""
    marks: list[tuple[float, float, float]] = []
    for t_s, x, y in person.truth:
        moved = not marks or math.hypot(x - marks[-1][1], y - marks[-1][2]) > _MAP_PAD_M
        if moved and (not marks or t_s % _MINUTES == 0):
            marks.append((t_s, x, y))
    xs, ys = [m[1] for m in marks], [m[2] for m in marks]
    plot.scatter(x=xs, y=ys, size=8, fill_color="#ffffff", line_color=_INK, line_width=1.5)
    plot.text(
        x=xs,
        y=ys,
        text=["start" if m[0] == 0 else _clock(m[0]) for m in marks],
        x_offset=-9,
        y_offset=-9,
        text_align="right",
        text_baseline="bottom",
        text_color="#5d6d7e",
        text_font_size="12px",
    )


def _alert_source(alerts: Sequence[AlertMark]) -> Any:
    return ColumnDataSource(
        {
            "x": [a.east_m for a in alerts],
            "y": [a.north_m for a in alerts],
            "t_s": [a.t_s for a in alerts],
            "lane": [a.lane for a in alerts],
            "number": [str(a.number) for a in alerts],
            "name": [f"{a.name} · {a.phase}" for a in alerts],
            "at": [_clock(a.t_s) for a in alerts],
            "reason": [a.reason for a in alerts],
            "took": ["by deadline" if math.isnan(a.total_ms) else f"{a.total_ms:.2f} ms" for a in alerts],
            "verdict": [f"{a.verdict.value} {a.note}".strip() for a in alerts],
            "marker": ["square" if a.phase == "cleared" else "triangle" for a in alerts],
            "color": [
                _EXCLUSION if a.verdict is Verdict.FAIL else _CLEARED if a.phase == "cleared" else _RAISED
                for a in alerts
            ],
        }
    )


_ALERT_TIPS: Final = [
    ("alert", "@number  @name"),
    ("received", "@at"),
    ("bridge says", "@reason"),
    ("tag to subscriber", "@took"),
    ("verdict", "@verdict"),
]


def _draw_alerts(plot: Any, alerts: Sequence[AlertMark], legend: list[Any]) -> None:
    for label, some in (
        ("alert raised or updated", [a for a in alerts if a.phase != "cleared"]),
        ("alert cleared", [a for a in alerts if a.phase == "cleared"]),
    ):
        if not some:
            continue
        source = _alert_source(some)
        marks = plot.scatter(
            "x", "y", source=source, marker="marker", size=15, fill_color="color", line_color="#ffffff", line_width=1.5
        )
        plot.add_tools(HoverTool(renderers=[marks], tooltips=_ALERT_TIPS))
        legend.append(LegendItem(label=label, renderers=[marks]))
    source = _alert_source(alerts)
    # marks of one place (a tag that stands still) share it: their numbers are stacked, not printed over each other
    source.data["lift"] = _lifts(alerts)
    plot.add_layout(
        LabelSet(
            x="x",
            y="y",
            text="number",
            source=source,
            x_offset=11,
            y_offset="lift",
            text_font_size="13px",
            text_font_style="bold",
            text_color=_INK,
            background_fill_color="#ffffff",
            background_fill_alpha=0.75,
        )
    )


def _lifts(alerts: Sequence[AlertMark]) -> list[int]:
    lifts: list[int] = []
    for i, a in enumerate(alerts):
        near = [
            lifts[j] for j in range(i) if math.hypot(alerts[j].east_m - a.east_m, alerts[j].north_m - a.north_m) < 8
        ]
        lifts.append(max(near, default=-22) + 17)
    return lifts


def _timeline(report: Report) -> Any:
    lanes = list(reversed(report.lanes))
    plot = _figure(height=110 + 34 * max(1, len(lanes)), y_range=lanes, x_axis_label="story (minutes : seconds)")
    plot.x_range = Range1d(start=-2, end=report.duration_s + 6)
    ticks = list(range(0, int(report.duration_s) + 1, _TICK_S))
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: _clock(tick) for tick in ticks}
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
            "from": [_clock(w.earliest_s) for w in report.windows],
            "to": [_clock(w.latest_s) for w in report.windows],
            "line": [_EXCLUSION if w.missing else "#5d6d7e" for w in report.windows],
            "width": [3 if w.missing else 1 for w in report.windows],
            "fill": [0.25 if w.missing else 0.0 for w in report.windows],
        }
    )
    windows = plot.hbar(
        y="lane",
        left="left",
        right="right",
        height=0.62,
        fill_color=_EXCLUSION,
        fill_alpha="fill",
        line_color="line",
        line_width="width",
        line_dash="dotted",
        source=owed,
    )
    plot.add_tools(HoverTool(renderers=[windows], tooltips=[("owed", "@text"), ("between", "@from and @to")]))
    source = _alert_source(report.alerts)
    marks = plot.scatter(
        "t_s", "lane", source=source, marker="marker", size=13, fill_color="color", line_color="#ffffff", line_width=1.5
    )
    plot.add_tools(HoverTool(renderers=[marks], tooltips=_ALERT_TIPS))
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
            text_color=_INK,
        )
    )
    return plot


def _latency(report: Report) -> Any:
    alerts = [a for a in report.alerts if not all(math.isnan(v) for v in a.hops_ms)]
    names = [f"{a.number}  {a.name} · {a.phase}" for a in reversed(alerts)]
    plot = _figure(
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


def _clock(t_s: float) -> str:
    return f"{int(t_s) // 60}:{int(t_s) % 60:02d}"
