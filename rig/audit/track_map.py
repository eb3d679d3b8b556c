"""A map of the points as an SVG picture: self-contained, to scale, without any background from outside."""

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from protocols.mqtt.times import utc_text
from rig.audit.findings import Findings, Gap, Point

WIDTH, HEIGHT, EDGE = 1000, 700, 60
"""Pixels of the picture and of its white edge."""

MAX_LINE_POINTS = 20_000
"""Points drawn one by one; of more every n-th is, and the picture says so. A browser shows this many at once."""

METRES_PER_DEG = 111_320.0
"""Metres per degree of latitude. A map of a town needs no better; the numbers are in the table."""

_NICE_M = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A zone: its rings of (lat, lon); a circle as a ring too."""

    zone_id: str
    name: str
    purpose: str
    rings: tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    lat_deg: float
    lon_deg: float
    scale: float

    def place(self, lat_deg: float, lon_deg: float) -> tuple[float, float]:
        """Pixels of a place, y downwards."""
        east_m, north_m = _offset_m(lat_deg - self.lat_deg, lon_deg - self.lon_deg, self.lat_deg)
        return WIDTH / 2 + east_m * self.scale, HEIGHT / 2 - north_m * self.scale


def draw_map(findings: Findings, shapes: tuple[Shape, ...] = ()) -> str:
    """Draw the points in order of time, broken at gaps, with zones, first and last point, north and scale."""
    points = findings.points
    step = max(1, math.ceil(len(points) / MAX_LINE_POINTS))
    drawn = points[::step]
    frame = _frame([(p.lat_deg, p.lon_deg) for p in points] + [place for s in shapes for r in s.rings for place in r])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f"<title>{escape(f'Device {findings.device}, {findings.period}')}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white" stroke="black"/>',
    ]
    parts += [_zone(shape, frame) for shape in shapes]
    parts += [_line(run, frame) for run in _runs(drawn, findings.cadence.gaps)]
    parts += [_dot(point, frame) for point in drawn]
    if points:
        parts += [_mark(points[0], frame, "first"), _mark(points[-1], frame, "last")]
    else:
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no points in this period</text>')
    parts += _furniture(frame, len(points), step)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _offset_m(dlat_deg: float, dlon_deg: float, lat_deg: float) -> tuple[float, float]:
    dlon_deg = (dlon_deg + 180.0) % 360.0 - 180.0
    return dlon_deg * METRES_PER_DEG * math.cos(math.radians(lat_deg)), dlat_deg * METRES_PER_DEG


def _frame(places: list[tuple[float, float]]) -> _Frame:
    if not places:
        return _Frame(0.0, 0.0, 1.0)
    lat0, lon0 = places[0]
    offsets = [_offset_m(lat - lat0, lon - lon0, lat0) for lat, lon in places]
    east, north = [e for e, _ in offsets], [n for _, n in offsets]
    wide_m, high_m = max(max(east) - min(east), 50.0), max(max(north) - min(north), 50.0)
    scale = min((WIDTH - 2 * EDGE) / wide_m, (HEIGHT - 2 * EDGE) / high_m)
    lat_deg = lat0 + (max(north) + min(north)) / 2 / METRES_PER_DEG
    lon_deg = lon0 + (max(east) + min(east)) / 2 / (METRES_PER_DEG * max(0.01, math.cos(math.radians(lat0))))
    return _Frame(lat_deg, lon_deg, scale)


def _zone(shape: Shape, frame: _Frame) -> str:
    paths = []
    for ring in shape.rings:
        corners = [frame.place(lat, lon) for lat, lon in ring]
        paths.append("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z")
    colour = "#b00020" if shape.purpose == "exclusion" else "#00639b"
    label = escape(f"{shape.purpose} zone {shape.name}")
    x, y = frame.place(*shape.rings[0][0])
    path = f'<path d="{" ".join(paths)}" fill="{colour}" fill-opacity="0.12" fill-rule="evenodd" stroke="{colour}"/>'
    return f'<g>{path}<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{label}</text></g>'


def _runs(points: tuple[Point, ...], gaps: tuple[Gap, ...]) -> list[list[Point]]:
    """Points that follow each other without a gap."""
    starts = {gap.start_utc_ns for gap in gaps}
    runs: list[list[Point]] = [[]]
    for before, after in pairwise(points):
        runs[-1].append(before)
        if before.t_utc_ns in starts or before.stored != after.stored:
            runs.append([])
    if points:
        runs[-1].append(points[-1])
    return [run for run in runs if len(run) > 1]


def _line(run: list[Point], frame: _Frame) -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (frame.place(p.lat_deg, p.lon_deg) for p in run))
    dashes = ' stroke-dasharray="4 3"' if run[0].stored else ""
    return f'<polyline points="{corners}" fill="none" stroke="#555" stroke-width="1"{dashes}/>'


def _dot(point: Point, frame: _Frame) -> str:
    x, y = frame.place(point.lat_deg, point.lon_deg)
    fill = "none" if point.stored else "#222"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{fill}" stroke="#222" stroke-width="0.5"/>'


def _mark(point: Point, frame: _Frame, word: str) -> str:
    x, y = frame.place(point.lat_deg, point.lon_deg)
    dy = -10 if word == "first" else 20
    label = escape(f"{word}: {utc_text(point.t_utc_ns)}")
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="black" stroke-width="2"/>'
    return f'{ring}<text x="{x + 8:.1f}" y="{y + dy:.1f}">{label}</text>'


def _furniture(frame: _Frame, n_points: int, step: int) -> list[str]:
    length_m = max((m for m in _NICE_M if m * frame.scale <= WIDTH / 4), default=_NICE_M[0])
    length = length_m * frame.scale
    y = HEIGHT - 24
    shown = f"{n_points} points" if step == 1 else f"every {step}. of {n_points} points"
    shown += "; hollow and dashed: from the device's memory"
    return [
        f'<line x1="{EDGE}" y1="{y}" x2="{EDGE + length:.1f}" y2="{y}" stroke="black" stroke-width="3"/>',
        f'<text x="{EDGE}" y="{y - 8}">{length_m} m</text>',
        f'<text x="{WIDTH - EDGE}" y="{y}" text-anchor="end">{shown}</text>',
        f'<text x="{WIDTH - 30}" y="40" text-anchor="middle" font-size="18">N</text>',
        f'<path d="M{WIDTH - 30},46 l-6,18 l6,-5 l6,5 Z" fill="black"/>',
    ]
