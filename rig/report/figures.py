"""The drawings of a report as one library and one script for a page."""

from functools import lru_cache
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from rig.report.charts import bars_figure, histogram_figure, timeline_figure
from rig.report.map import map_figure
from rig.report.model import Report


def page_parts(report: Report) -> tuple[str, str, dict[str, str]]:
    """Scripts with the plotting library in them, the drawings' own script, and their places by name."""
    figures: dict[str, Any] = {"map": map_figure(report), "timeline": timeline_figure(report)}
    if any(value > 0 for hop in report.hops for value in hop.values_ms):
        figures["histogram"] = histogram_figure(report.hops)
        figures["bars"] = bars_figure(report)
    script, places = components(figures)
    return _library(), script, places


@lru_cache(maxsize=1)
def _library() -> str:
    # the core alone: tables and widgets are not drawn, and would treble the file
    return str(Resources(mode="inline", components=["bokeh"]).render())
