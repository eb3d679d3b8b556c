"""What the drawings of a report share: colours, the bare plot, the marks of alerts."""

import math
from collections.abc import Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from rig.report.model import AlertMark, Report
from rig.report.words import clock_text
from rig.truth.verdict import Verdict

# Any throughout: bokeh's plots are assembled from attributes that its types leave open

INK: Final = "#22303c"
QUIET_INK: Final = "#5d6d7e"
GRID: Final = "#e6eaee"
EXCLUSION: Final = "#c0392b"
INCLUSION: Final = "#2e8b57"
WEARER: Final = "#1f5fa8"
PROTECTED: Final = "#8e44ad"
RAISED: Final = "#d35400"
CLEARED: Final = "#2e8b57"
BENCH: Final = "#b8c2cc"


def bare_plot(**options: Any) -> Any:
    """Make an empty plot in the page's look, as wide as its place."""
    options.setdefault("sizing_mode", "stretch_width")
    options.setdefault("toolbar_location", "above")
    options.setdefault("tools", "xpan,xwheel_zoom,reset,save")
    plot = figure(
        background_fill_color="#ffffff",
        border_fill_color="#ffffff",
        outline_line_color=GRID,
        min_border_right=14,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    # a page that scrolls must not be caught by a plot under the pointer
    plot.toolbar.active_scroll = None
    plot.grid.grid_line_color = GRID
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_line_color = GRID
        axis.major_tick_line_color = GRID
        axis.minor_tick_line_color = None
        axis.major_label_text_color = INK
        axis.major_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_color = QUIET_INK
    return plot


def alert_source(alerts: Sequence[AlertMark], name: str) -> Any:
    """Make the columns that all marks of alerts draw and tell from."""
    return ColumnDataSource(
        name=name,
        data={
            "x": [a.east_m for a in alerts],
            "y": [a.north_m for a in alerts],
            "t_s": [a.t_s for a in alerts],
            "lane": [a.lane for a in alerts],
            "number": [str(a.number) for a in alerts],
            "name": [f"{a.name} · {a.phase}" for a in alerts],
            "at": [clock_text(a.t_s) for a in alerts],
            "reason": [a.reason for a in alerts],
            "took": ["by deadline" if math.isnan(a.total_ms) else f"{a.total_ms:.2f} ms" for a in alerts],
            "verdict": [f"{a.verdict.value} {a.note}".strip() for a in alerts],
            "marker": ["square" if a.phase == "cleared" else "triangle" for a in alerts],
            "color": [
                EXCLUSION if a.verdict is Verdict.FAIL else CLEARED if a.phase == "cleared" else RAISED for a in alerts
            ],
            "alpha": [1.0 for _ in alerts],
            "label_alpha": [1.0 for _ in alerts],
        },
    )


ALERT_TIPS: Final = [
    ("alert", "@number  @name"),
    ("received", "@at"),
    ("bridge says", "@reason"),
    ("tag to subscriber", "@took"),
    ("verdict", "@verdict"),
]


_COLORS: Final = {True: (WEARER, "#117a8b", "#3b4cc0"), False: (PROTECTED, "#b03a78", "#6c3483")}
"""Colours of wearers and of protected persons, one after another."""


def person_color(report: Report, device: str) -> str:
    """Return the colour in which a person moves."""
    person = next(p for p in report.people if p.device == device)
    same = [p.device for p in report.people if p.wearer is person.wearer]
    colors = _COLORS[person.wearer]
    return colors[same.index(device) % len(colors)]
