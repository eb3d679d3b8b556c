"""The map of a report, in metres, as long eastwards as northwards."""

import math
from collections.abc import Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.models.annotations import LabelSet, Legend, LegendItem

from rig.report.model import AlertMark, PersonPath, Report
from rig.report.style import (
    ALERT_TIPS,
    EXCLUSION,
    INCLUSION,
    INK,
    PROTECTED,
    WEARER,
    alert_source,
    bare_plot,
    clock_text,
)

_MAP_WIDTH: Final = 880
_MAP_HEIGHT: Final = 820
"""Largest frame of the map, pixels: the legend stands beside it, and the whole of it fits a screen."""

_MINUTES: Final = 60.0
"""Story seconds between two marks on the wearer's true track."""

_MAP_PAD_M: Final = 25.0
"""Empty rim of the map, metres."""


def map_figure(report: Report) -> Any:
    """Draw zones, rings, tracks, fixes and alerts."""
    east, north = _extent(report)
    share = (north[1] - north[0]) / (east[1] - east[0])
    frame_width = min(_MAP_WIDTH, round(_MAP_HEIGHT / share))
    plot = bare_plot(
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
            line_color=PROTECTED,
            line_dash="dotted",
            line_alpha=0.8,
        )
        plot.text(
            x=[ring.east_m],
            y=[ring.north_m + ring.radius_m],
            text=[ring.name],
            text_color=PROTECTED,
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
        Legend(items=legend, label_text_font_size="12px", label_text_color=INK, border_line_color=None, spacing=4),
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
    for exclusion, label, color in ((True, "exclusion zone", EXCLUSION), (False, "inclusion zone", INCLUSION)):
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
    color = WEARER if person.wearer else PROTECTED
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
        x=[p[1] for p in person.truth], y=[p[2] for p in person.truth], line_color=INK, line_width=2, line_alpha=0.75
    )
    source = ColumnDataSource(
        {
            "x": [f[1] for f in person.fixes],
            "y": [f[2] for f in person.fixes],
            "t": [clock_text(f[0]) for f in person.fixes],
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
    plot.scatter(x=xs, y=ys, size=8, fill_color="#ffffff", line_color=INK, line_width=1.5)
    plot.text(
        x=xs,
        y=ys,
        text=["start" if m[0] == 0 else clock_text(m[0]) for m in marks],
        x_offset=-9,
        y_offset=-9,
        text_align="right",
        text_baseline="bottom",
        text_color="#5d6d7e",
        text_font_size="12px",
    )


def _draw_alerts(plot: Any, alerts: Sequence[AlertMark], legend: list[Any]) -> None:
    for label, some in (
        ("alert raised or updated", [a for a in alerts if a.phase != "cleared"]),
        ("alert cleared", [a for a in alerts if a.phase == "cleared"]),
    ):
        if not some:
            continue
        source = alert_source(some)
        marks = plot.scatter(
            "x", "y", source=source, marker="marker", size=15, fill_color="color", line_color="#ffffff", line_width=1.5
        )
        plot.add_tools(HoverTool(renderers=[marks], tooltips=ALERT_TIPS))
        legend.append(LegendItem(label=label, renderers=[marks]))
    source = alert_source(alerts)
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
            text_color=INK,
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
