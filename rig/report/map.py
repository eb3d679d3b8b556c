"""The map of a report, in metres. What moves with the slider has a name, by which the page's own script finds it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.models.annotations import LabelSet

from rig.report.model import AlertMark, PersonPath, Report
from rig.report.style import (
    ALERT_TIPS,
    EXCLUSION,
    INCLUSION,
    INK,
    QUIET_INK,
    alert_source,
    bare_plot,
    person_color,
)
from rig.report.words import clock_text

SIGMAS_95: Final = 2.4477
"""Standard deviations per axis within which 95 % of a two-dimensional normal error lies: sqrt(-2 ln 0.05)."""

_MARKS_WANTED: Final = 8
"""About so many times are written along a wearer's true track."""

_STEPS_S: Final = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Distances in time between two such marks, seconds: round ones."""

_PAD_SHARE: Final = 0.05
"""Empty rim of the map as a share of its longer side."""

_RING_SHARE: Final = 0.5
"""Largest ring that the map makes room for, as a share of the longer side of all tracks and zones."""

_MIN_SIDE_M: Final = 60.0
"""Shortest side of the map, metres: where nobody moves, the errors of the fixes are still seen."""


def map_figure(report: Report) -> Any:
    """Draw zones, tracks, fixes and alerts, and the empty sources of all that moves."""
    east, north = extent(report)
    plot = bare_plot(
        name="map",
        sizing_mode="stretch_both",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        x_axis_label="metres east",
        y_axis_label="metres north",
    )
    plot.x_range = Range1d(start=east[0], end=east[1])
    plot.y_range = Range1d(start=north[0], end=north[1])
    _draw_zones(plot, report)
    for person in report.people:
        _draw_person(plot, person, person_color(report, person.device))
    _draw_moving(plot)
    _draw_alerts(plot, [a for a in report.alerts if a.on_map])
    return plot


def extent(report: Report) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the smallest and largest east and north that must be seen."""
    xs = [p[1] for person in report.people for p in person.truth]
    ys = [p[2] for person in report.people for p in person.truth]
    for zone in report.zones:
        for ring in zone.margin:
            xs += [x for x, _ in ring]
            ys += [y for _, y in ring]
    if not xs:
        xs, ys = [0.0], [0.0]
    box = (min(xs), max(xs), min(ys), max(ys))
    size_m = max(max(xs) - min(xs), max(ys) - min(ys), _MIN_SIDE_M)
    for pair in report.pairs:
        # rings that would make everything else small are left to the reader's zoom
        radius_m = max((r for _, r in pair.rings if r <= _RING_SHARE * size_m), default=0.0)
        for person in report.people:
            if person.device == pair.protected:
                xs += [p[1] + side * radius_m for p in person.truth[:: len(person.truth) - 1 or 1] for side in (-1, 1)]
                ys += [p[2] + side * radius_m for p in person.truth[:: len(person.truth) - 1 or 1] for side in (-1, 1)]
    reach_m = _RING_SHARE * size_m
    for fix in (fix for person in report.people for fix in person.fixes):
        # a fix that is led astray by hundreds of kilometres is left to the reader's zoom, too
        if box[0] - reach_m < fix.east_m < box[1] + reach_m and box[2] - reach_m < fix.north_m < box[3] + reach_m:
            xs.append(fix.east_m)
            ys.append(fix.north_m)
    pad = max(max(xs) - min(xs), max(ys) - min(ys), _MIN_SIDE_M) * _PAD_SHARE
    return _side(xs, pad), _side(ys, pad)


def _side(values: Sequence[float], pad: float) -> tuple[float, float]:
    middle, half = (min(values) + max(values)) / 2, (max(values) - min(values)) / 2
    half = max(half, _MIN_SIDE_M / 2) + pad
    return middle - half, middle + half


def _draw_zones(plot: Any, report: Report) -> None:
    for exclusion, color in ((True, EXCLUSION), (False, INCLUSION)):
        zones = [z for z in report.zones if z.exclusion is exclusion]
        if not zones:
            continue
        shapes = [(z, outer, holes) for z in zones for outer, holes in z.polygons]
        plot.multi_polygons(
            name="zones",
            xs=[[[[x for x, _ in outer], *([x for x, _ in hole] for hole in holes)]] for _, outer, holes in shapes],
            ys=[[[[y for _, y in outer], *([y for _, y in hole] for hole in holes)]] for _, outer, holes in shapes],
            fill_color=color,
            fill_alpha=0.13 if exclusion else 0.06,
            line_color=color,
            line_width=2,
        )
        plot.multi_line(
            name="zones",
            xs=[[x for x, _ in ring] for z in zones for ring in z.margin],
            ys=[[y for _, y in ring] for z in zones for ring in z.margin],
            line_color=color,
            line_dash="dashed",
            line_alpha=0.6,
        )
        named = [(z, outer) for z, outer, _ in shapes]
        plot.text(
            name="zones",
            x=[(min(x for x, _ in outer) + max(x for x, _ in outer)) / 2 for _, outer in named],
            y=[(max if exclusion else min)(y for _, y in outer) for _, outer in named],
            y_offset=-3 if exclusion else 16,
            text=[z.name for z, _ in named],
            text_color=color,
            text_font_size="13px",
            text_font_style="bold",
            text_align="center",
            text_baseline="bottom",
        )


def _draw_person(plot: Any, person: PersonPath, color: str) -> None:
    known = [f for f in person.fixes if math.isfinite(f.major_m)]
    plot.ellipse(
        name="sigma",
        x=[f.east_m for f in known],
        y=[f.north_m for f in known],
        width=[2 * SIGMAS_95 * f.major_m for f in known],
        height=[2 * SIGMAS_95 * f.minor_m for f in known],
        angle=[f.angle_rad for f in known],
        fill_color=color,
        # the more there are, the fainter each: many must not add up to a wall of colour
        fill_alpha=min(0.08, 4.0 / max(1, len(known))),
        line_color=None,
    )
    plot.line(
        name="truth",
        x=[p[1] for p in person.truth],
        y=[p[2] for p in person.truth],
        line_color=color,
        line_width=2.5,
        line_alpha=0.55,
    )
    source = ColumnDataSource(
        {
            "x": [f.east_m for f in person.fixes],
            "y": [f.north_m for f in person.fixes],
            "t": [clock_text(f.t_s) for f in person.fixes],
            "sigma": [
                f"{f.major_m:.1f} x {f.minor_m:.1f} m" if math.isfinite(f.major_m) else "?" for f in person.fixes
            ],
        }
    )
    dots = plot.scatter(
        "x", "y", name="fixes", source=source, size=4, fill_color=color, line_color=None, fill_alpha=0.55
    )
    plot.add_tools(
        HoverTool(
            renderers=[dots],
            tooltips=[("fix of", person.device), ("at", "@t"), ("one sigma", "@sigma")],
            visible=False,
            # a crowd of fixes under the pointer would fill the screen with the same words
            limit=1,
        )
    )
    if person.wearer:
        _draw_times(plot, person, color)


def _draw_times(plot: Any, person: PersonPath, color: str) -> None:
    """Write times along the track; where the person stands still, only once."""
    marks = list(_times(person))
    xs, ys = [m[1] for m in marks], [m[2] for m in marks]
    plot.scatter(name="truth", x=xs, y=ys, size=7, fill_color="#ffffff", line_color=color, line_width=1.5)
    plot.text(
        name="times",
        x=xs,
        y=ys,
        text=["start" if m[0] == person.truth[0][0] else clock_text(m[0]) for m in marks],
        x_offset=-8,
        y_offset=-7,
        text_align="right",
        text_baseline="bottom",
        text_color=QUIET_INK,
        text_font_size="11px",
    )


def _times(person: PersonPath) -> Iterator[tuple[float, float, float]]:
    if not person.truth:
        return
    span_s = person.truth[-1][0] - person.truth[0][0]
    step_s = next((s for s in _STEPS_S if span_s / s <= _MARKS_WANTED), _STEPS_S[-1])
    size_m = max(
        max(p[1] for p in person.truth) - min(p[1] for p in person.truth),
        max(p[2] for p in person.truth) - min(p[2] for p in person.truth),
    )
    drawn: list[tuple[float, float]] = []
    next_s = person.truth[0][0]
    for t_s, x, y in person.truth:
        if t_s < next_s:
            continue
        next_s += step_s
        if all(math.hypot(x - a, y - b) > size_m * _PAD_SHARE for a, b in drawn):
            drawn.append((x, y))
            yield t_s, x, y


def _draw_moving(plot: Any) -> None:
    """Make what the slider moves: rings, the line between a pair, the newest fix, the people."""
    rings = _empty("now_rings", "x", "y", "radius", "color", "label", "top")
    plot.circle(
        "x", "y", radius="radius", name="rings", source=rings, fill_alpha=0, line_color="color", line_width=1.5,
        line_dash="dotted",
    )  # fmt: skip
    plot.text(
        "x", "top", text="label", name="rings", source=rings, text_color="color", text_font_size="11px",
        text_align="center", text_baseline="bottom",
    )  # fmt: skip
    links = _empty("now_links", "x0", "y0", "x1", "y1", "color")
    plot.segment("x0", "y0", "x1", "y1", source=links, line_color="color", line_width=1.5, line_dash="dashed")
    fixes = _empty("now_fixes", "x", "y", "width", "height", "angle", "color")
    plot.ellipse(
        "x", "y", width="width", height="height", angle="angle", source=fixes, fill_color="color", fill_alpha=0.18,
        line_color="color", line_width=1.5,
    )  # fmt: skip
    plot.scatter("x", "y", source=fixes, marker="cross", size=11, line_color="color", line_width=2)
    trails = _empty("now_trails", "xs", "ys", "color")
    plot.multi_line("xs", "ys", source=trails, line_color="color", line_width=5, line_alpha=0.8, line_cap="round")
    people = _empty("now_people", "x", "y", "color", "label", "lift")
    # above all names: a name must not hide somebody who stands near
    plot.scatter(
        "x", "y", source=people, size=16, fill_color="color", line_color="#ffffff", line_width=2.5, level="overlay"
    )
    plot.add_layout(
        LabelSet(
            x="x",
            y="y",
            text="label",
            source=people,
            y_offset="lift",
            text_align="center",
            text_baseline="top",
            text_font_size="12px",
            text_font_style="bold",
            text_color="color",
            background_fill_color="#ffffff",
            background_fill_alpha=0.8,
        )
    )


def _empty(name: str, *columns: str) -> Any:
    return ColumnDataSource(name=name, data={column: [] for column in columns})


def _draw_alerts(plot: Any, alerts: Sequence[AlertMark]) -> None:
    source = alert_source(alerts, "map_alerts")
    # marks of one place (a tag that stands still) share it: their numbers are stacked, not printed over each other
    source.data["lift"] = _lifts(alerts)
    marks = plot.scatter(
        "x", "y", name="alerts", source=source, marker="marker", size=14, fill_color="color", line_color="#ffffff",
        line_width=1.5, alpha="alpha",
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[marks], tooltips=ALERT_TIPS, visible=False))
    labels = LabelSet(
        name="alerts",
        x="x",
        y="y",
        text="number",
        source=source,
        x_offset=9,
        y_offset="lift",
        text_font_size="12px",
        text_font_style="bold",
        text_color=INK,
        text_alpha="label_alpha",
        background_fill_color="#ffffff",
        background_fill_alpha="label_alpha",
    )
    plot.add_layout(labels)


def _lifts(alerts: Sequence[AlertMark]) -> list[int]:
    reach_m = max((max(abs(a.east_m), abs(a.north_m)) for a in alerts), default=0.0) * 0.02
    lifts: list[int] = []
    for i, a in enumerate(alerts):
        near = [
            lifts[j]
            for j in range(i)
            if math.hypot(alerts[j].east_m - a.east_m, alerts[j].north_m - a.north_m) < max(8.0, reach_m)
        ]
        lifts.append(max(near, default=-24) + 16)
    return lifts
