"""The drawings of a report as one library and one script for a page."""

from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from rig.report.charts import latency_figure, timeline_figure
from rig.report.map import map_figure
from rig.report.model import Report


def page_parts(report: Report) -> tuple[str, str, dict[str, str]]:
    """Scripts with the plotting library in them, the drawings' own script, and their places by name."""
    figures: dict[str, Any] = {"map": map_figure(report), "timeline": timeline_figure(report)}
    if report.alerts:
        figures["latency"] = latency_figure(report)
    script, places = components(figures)
    # the core alone: tables and widgets are not drawn, and would treble the file
    return Resources(mode="inline", components=["bokeh"]).render(), script, places
