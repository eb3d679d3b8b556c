"""What segments are held against: edges of polygons as drawn, circles and pieces of corridors, all in one grid.

An item stands in each cell that its boundary may cross: the cells an edge passes through; for a circle, or the ground
within half a width of a corridor's piece, the cells about its rim, found by halving the grid. What lies wholly inside
holds no item: whether a segment begins or ends in a zone is asked of the zones themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import F64, I32, I64, freeze, indices
from geofence_core.densify import bends_m, densify
from geofence_core.ellipsoid import arc_m, frames, vectors
from geofence_core.shapes import ZoneShape
from geofence_core.sweepgrid import Axis, Grid, axis

EDGE_SLACK_DEG = 1e-9
"""Added to the boxes of edges as they are entered; degree. Points between the ends of an edge or segment are rounded
(6e-14 degree); without it a cell could be missed by a touch on its very border."""

CELLS_PER_ITEM = 4
CELLS_LEAST = 1 << 12
CELLS_LIMIT = 1 << 20
"""Cells of the grid for each item, at least and at most; no unit. More cells mean shorter lists and more memory (12
bytes); few large circles need more cells than items."""

ENTRIES_PER_ITEM = 48
"""Entries an item may have on average (more where there are few) before the grid is made coarser; no unit. Bounds the
memory of a few long edges that cross many cells."""

DEGREE_M = 111_695.0
"""Longest degree of a meridian (at the poles), also of a parallel over the cosine of its latitude; metre. A smaller
value gives lengths that are too short to rule out with."""

SHORT_DEGREE_M = 110_570.0
"""Shortest degree of a meridian (at the equator); metre. A larger value gives boxes that are too narrow."""

ARC_SLACK = 1e-5
ARC_SLACK_M = 0.1
ARC_SLACK_LIMIT_M = 1.5e7
ARC_SLACK_FAR = 5e-3
"""Slack of distances that rule out, above the errors of `ellipsoid.arc_m`: share and metre up to the limit (metre),
share beyond it. The metres cover the bend of a corridor's piece (20 mm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges of the polygons as drawn; float64 (E,) degree, ``zone`` int64 (E,)."""

    lon_a: F64
    lat_a: F64
    lon_b: F64
    lat_b: F64
    zone: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Circles, and the pieces of corridors' lines; K items, Earth-centred metres.

    ``ends_m`` float64 (2, 3, K): where the piece starts and ends, a circle's centre twice; ``middle_m`` float64 (3, K)
    between them; ``half_m bend_m`` half the length, and `densify.bends_m`; ``reach_m`` radius or half width; ``circle``
    int64 (K,): 1 for a circle; ``zone`` int64 (K,).
    """

    ends_m: F64
    middle_m: F64
    half_m: F64
    bend_m: F64
    reach_m: F64
    circle: I64
    zone: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepIndex:
    """Z zones in a grid.

    ``within`` int32: cells that meet a zone's box, ``rims`` those that hold items (`Grid.sums`); ``ptr item`` int32:
    items of each cell, edges first, rounds from ``edges.zone.size`` on.
    """

    zones: int
    grid: Grid
    within: I32
    rims: I32
    ptr: I32
    item: I32
    edges: Edges
    rounds: Rounds

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return _nbytes(self)


def sweep_index(shapes: Sequence[ZoneShape]) -> SweepIndex:
    """Enter zones into a grid.

    Parameters
    ----------
    shapes
        Z validated zones.

    Notes
    -----
    Cost: about 1 us an edge, 40 us a circle. Memory: about 120 bytes an edge, the grid included.
    """
    edges, edge_boxes = _edges(shapes)
    rounds, round_boxes = _rounds(shapes)
    boxes = _within_the_map(np.concatenate([edge_boxes, round_boxes], axis=1))
    items = edges.zone.size + rounds.zone.size
    along = int(np.sqrt(min(max(CELLS_PER_ITEM * items, CELLS_LEAST), CELLS_LIMIT)))
    while True:
        grid = Grid(
            lon=axis(np.concatenate([edges.lon_a, edges.lon_b, boxes[0], boxes[1]]), along),
            lat=axis(np.concatenate([edges.lat_a, edges.lat_b, boxes[2], boxes[3]]), along),
        )
        item, cell = _entered(edges, rounds, grid)
        if item.size <= ENTRIES_PER_ITEM * items + CELLS_LIMIT or along <= 8:
            break
        along //= 2
    return _index(len(shapes), grid, boxes, edges, rounds, item, cell)


def sweep_like(shapes: Sequence[ZoneShape], grid: Grid) -> SweepIndex | None:
    """Enter a few zones into the grid of others; None where they do not lie within it."""
    edges, edge_boxes = _edges(shapes)
    rounds, round_boxes = _rounds(shapes)
    boxes = _within_the_map(np.concatenate([edge_boxes, round_boxes], axis=1))
    if not (grid.lon.holds(boxes[:2]) and grid.lat.holds(boxes[2:])):
        return None
    return _index(len(shapes), grid, boxes, edges, rounds, *_entered(edges, rounds, grid))


def _entered(edges: Edges, rounds: Rounds, grid: Grid) -> tuple[I64, I64]:
    """Items and the cells they stand in; a pair may stand twice, since the halves of a walk meet in cells."""
    item, cell = grid.walk(edges.lon_a, edges.lat_a, edges.lon_b, edges.lat_b, slack_deg=EDGE_SLACK_DEG)
    round_, round_cell = _rims(rounds, grid)
    return np.append(item, round_ + edges.zone.size), np.append(cell, round_cell)


def _index(zones: int, grid: Grid, boxes: F64, edges: Edges, rounds: Rounds, item: I64, cell: I64) -> SweepIndex:
    # A cell once per item, items in order.
    items = max(edges.zone.size + rounds.zone.size, 1)
    key = np.unique(cell * items + item)
    count = np.bincount(key // items, minlength=grid.cells)
    index = SweepIndex(
        zones=zones,
        grid=grid,
        within=grid.sums(grid.covered(*boxes)),
        rims=grid.sums(count.reshape(grid.lat.size, grid.lon.size) > 0),
        ptr=np.append(0, np.cumsum(count)).astype(np.int32),
        item=(key % items).astype(np.int32),
        edges=edges,
        rounds=rounds,
    )
    freeze(index)
    return index


def length_m(lat0: F64, lat1: F64, dlon: F64) -> F64:
    """Upper bound of the length of a line that is straight in longitude and latitude; float64, metre."""
    north = lat1 - lat0
    least = np.where(lat0 * lat1 <= 0.0, 0.0, np.minimum(np.abs(lat0), np.abs(lat1)))
    east = dlon * np.cos(np.radians(least))
    bound: F64 = DEGREE_M * np.sqrt(north * north + east * east)
    return bound


def arc_slack_m(arc: F64) -> F64:
    """More than `ellipsoid.arc_m` may err; float64, metre."""
    return np.where(arc < ARC_SLACK_LIMIT_M, ARC_SLACK * arc + ARC_SLACK_M, ARC_SLACK_FAR * arc)


def _edges(shapes: Sequence[ZoneShape]) -> tuple[Edges, F64]:
    """Edges of all rings, and boxes that hold each polygon: west, east, south, north, float64 (4, boxes)."""
    polygons = [(z, polygon) for z, shape in enumerate(shapes) for polygon in shape.polygons]
    rings = [(z, ring) for z, polygon in polygons for ring in polygon]
    empty = np.zeros((0, 2))
    a = np.concatenate([empty, *(ring[:-1] for _, ring in rings)])
    b = np.concatenate([empty, *(ring[1:] for _, ring in rings)])
    zone = np.repeat(np.array([z for z, _ in rings], dtype=np.int64), [len(ring) - 1 for _, ring in rings])
    low = np.array([polygon[0].min(axis=0) for _, polygon in polygons]).reshape(-1, 2)
    high = np.array([polygon[0].max(axis=0) for _, polygon in polygons]).reshape(-1, 2)
    edges = Edges(lon_a=a[:, 0].copy(), lat_a=a[:, 1].copy(), lon_b=b[:, 0].copy(), lat_b=b[:, 1].copy(), zone=zone)
    boxes = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]])
    # All longitudes meet at a pole, so a zone that reaches it is there whatever longitude a fix came with.
    poles = [[-180.0, 180.0, pole, pole] for pole in (90.0, -90.0) if (boxes[2:] == pole).any()]
    return edges, np.concatenate([boxes, np.array(poles).reshape(-1, 4).T], axis=1)


def _rounds(shapes: Sequence[ZoneShape]) -> tuple[Rounds, F64]:
    """Circles and pieces of corridors, and the box of each, whose longitudes may lie beyond +-180."""
    lines = [(z, s.line, s.half_width_m or 0.0) for z, s in enumerate(shapes) if s.line is not None]
    circles = [(z, s.centre, s.radius_m or 0.0) for z, s in enumerate(shapes) if s.centre is not None]
    empty = np.zeros((0, 2))
    a = np.concatenate([empty, *(line[:-1] for _, line, _ in lines)])
    b = np.concatenate([empty, *(line[1:] for _, line, _ in lines)])
    size = [len(line) - 1 for _, line, _ in lines]
    zone = np.repeat(np.array([z for z, _, _ in lines], dtype=np.int64), size)
    reach = np.repeat(np.array([w for _, _, w in lines]), size)
    ids = tuple(s.zone_id for s in shapes)
    edge, lon, lat = densify(np.stack([a[:, 0], b[:, 0]], axis=1), np.stack([a[:, 1], b[:, 1]], axis=1), ids, zone)
    length, bend = bends_m(lon, lat)
    centre = np.array([c for _, c, _ in circles], dtype=np.float64).reshape(-1, 2)
    # The same trigonometry as for the zones' own circles, so that both call the same fix inside.
    at = frames(centre[:, 1], centre[:, 0])
    centre_m = np.stack([at.x_m, at.y_m, at.z_m])
    drawn_m = np.stack(vectors(lat, lon))
    ends = np.concatenate([np.moveaxis(drawn_m, 2, 0), np.stack([centre_m, centre_m])], axis=2)
    none = np.zeros(len(circles))
    rounds = Rounds(
        ends_m=ends,
        middle_m=ends.mean(axis=0),
        half_m=np.append(length / 2, none),
        bend_m=np.append(bend, none),
        reach_m=np.append(reach[edge], np.array([r for _, _, r in circles])),
        circle=np.append(np.zeros(edge.size, dtype=np.int64), np.ones(len(circles), dtype=np.int64)),
        zone=np.append(zone[edge], np.array([z for z, _, _ in circles], dtype=np.int64)),
    )
    lon_low, lon_high = (np.append(f(lon, axis=1), centre[:, 0]) for f in (np.min, np.max))
    lat_low, lat_high = (np.append(f(lat, axis=1), centre[:, 1]) for f in (np.min, np.max))
    north = rounds.reach_m / SHORT_DEGREE_M
    lat_low, lat_high = lat_low - north, lat_high + north
    polar = np.maximum(np.abs(lat_low), np.abs(lat_high))
    # A path of this length, held below this latitude, turns round the axis by no more than this.
    shrink = np.cos(np.radians(np.minimum(polar, 89.9999)))
    east = np.where(polar < 89.9999, np.degrees(rounds.reach_m / 6_378_137.0 / shrink), 360.0)
    east = np.where(east < 90.0, east * (1 + 1e-9), 360.0)
    return rounds, np.stack([lon_low - east, lon_high + east, lat_low, lat_high])


def _within_the_map(boxes: F64) -> F64:
    """Bring boxes to longitudes and latitudes of the map, cutting those that go on beyond +-180."""
    parts = [boxes + np.array([[turn], [turn], [0.0], [0.0]]) for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)]
    every = np.concatenate(parts, axis=1)
    every[:2] = np.clip(every[:2], -181.0, 181.0)
    every[2:] = np.clip(every[2:], -90.0, 90.0)
    every = every[:, every[0] < every[1]]
    every[:2] = np.clip(every[:2], -180.0, 180.0)
    return every + EDGE_SLACK_DEG * np.array([[-1.0], [1.0], [-1.0], [1.0]])


def _rims(rounds: Rounds, grid: Grid) -> tuple[I64, I64]:
    """Cells that the rims of circles and corridors may cross: the grid is halved down to its cells, item by item."""
    n = rounds.zone.size
    item = np.arange(n, dtype=np.int64)
    box = np.stack([np.zeros(n, np.int64), np.full(n, grid.lon.size), np.zeros(n, np.int64), np.full(n, grid.lat.size)])
    found: list[tuple[I64, I64]] = [(item[:0], item[:0])]
    while item.size:
        may = _may_cross(rounds, item, grid.lon, grid.lat, box)
        item, box = item[may], box[:, may]
        wide, high = box[1] - box[0], box[3] - box[2]
        one = (wide == 1) & (high == 1)
        found.append((item[one], box[2, one] * grid.lon.size + box[0, one]))
        item, box = item[~one].repeat(2), box[:, ~one]
        across = (box[1] - box[0]) >= (box[3] - box[2])
        first, second = box.copy(), box.copy()
        for low, mine in ((0, across), (2, ~across)):
            middle = (box[low, mine] + box[low + 1, mine]) // 2
            first[low + 1, mine] = middle
            second[low, mine] = middle
        box = np.stack([first, second], axis=2).reshape(4, -1)
    items, cells = (np.concatenate(column) for column in zip(*found, strict=True))
    return items, cells


def _may_cross(rounds: Rounds, item: I64, lon: Axis, lat: Axis, box: I64) -> I64:
    west, east = lon.border_deg[box[0]], lon.border_deg[box[1]]
    south, north = (np.clip(lat.border_deg[rows], -90.0, 90.0) for rows in (box[2], box[3]))
    middle_lat = (south + north) / 2
    half_m = np.maximum(length_m(south, middle_lat, (east - west) / 2), length_m(middle_lat, north, (east - west) / 2))
    apart = arc_m(*vectors(middle_lat, (west + east) / 2), *rounds.middle_m[:, item])
    slack = arc_slack_m(apart)
    outer = rounds.reach_m[item] + rounds.half_m[item]
    return indices((apart - half_m <= outer + slack) & (apart + half_m >= rounds.reach_m[item] - slack))


def _nbytes(record: SweepIndex | Grid | Axis | Edges | Rounds) -> int:
    values = [getattr(record, name) for name in record.__slots__]
    arrays = sum(int(v.nbytes) for v in values if isinstance(v, np.ndarray))
    return arrays + sum(_nbytes(v) for v in values if isinstance(v, Grid | Axis | Edges | Rounds))
