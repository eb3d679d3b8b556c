r"""Every zone's boundary as straight edges in the zone's own plane: the numbers that all cell indexes share.

::

      lon/lat, as drawn             plane about the zone's meridian           code of a sharp corner
      A-----------B                 A-----.-----.-----B                            outside only
      |   zone    |     densify     |                 |        start A, direction     /\
      |           |   ---------->   |                 |        length, codes         /  \ inside: 0 < across

The interior lies left of every edge, so the nearest edge tells the side: its sign of "across", or, when the nearest
point is a corner sharper than a right angle, the code kept with the corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import shapely

from geofence_core.arrays import C128, F32, F64, I32, I64, U8, Bool, group_starts
from geofence_core.build import Chains, chains_of
from geofence_core.densify import densify
from geofence_core.meridian import (
    LATITUDE_LIMIT_DEG,
    SCALE_PER_M2,
    latitude_terms,
    metres_per_degree_lon,
    project,
    strip_half_width_m,
)
from geofence_core.shapes import KINDS, DrawnArrays, DrawnShapes, ZoneShape

BEND_LIMIT_M = 1e-3
"""Largest sideways gap between an edge as drawn and its straight pieces; metre. Distances are corrected for it; what is
left is that of two edges equally near to within twice the gap either may be taken. Less costs pieces on long edges."""

ASK_M = 3e-3
"""Nearer to its boundary than this, a fix's side is decided on the numbers as drawn; metre. Must exceed twice the gap
between drawn edge and pieces (`BEND_LIMIT_M`, and 1e-4 for pieces of 1 km that are not straight in the plane)."""

RADIUS_LIMIT_M = 10_000.0
HALF_WIDTH_LIMIT_M = 500.0
"""Largest circle and widest corridor that are judged in a plane; metre. The plane's error over their reach is 2e-5 m
and 6e-5 m at these sizes, and grows with its third and second power."""

SOFT, INSIDE, OUTSIDE, ASK = 0, 1, 2, 3
"""What a corner says when it is the nearest point: the sign of across decides; inside; outside; look at the drawing
(rings of one zone touch there)."""

STARTS_EDGE = 16
"""Bit of a vertex's code: an edge starts there."""

SHARP_COSINE = 0.1
"""Corners that turn by less than this cosine's angle (84 degrees) are soft: the sign of across is right all round them,
and rounding at almost straight joints cannot pick the wrong code."""

FEW_RINGS = 8
"""Up to so many rings of a zone are held against each other, two by two, before their corners are."""

_TOUCH_DEG = 1e-10
"""Rings of one zone closer than this at a corner touch there; degree (1e-5 m). Only costs time when too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTable:
    """Boundaries of Z zones in their planes, E vertices in chains; an edge runs from its vertex to the next.

    ``at`` complex128 (E,), vertices; ``unit`` complex128 (E,), conjugate unit direction of the edge that starts there;
    ``length_m`` float64 (E,); ``bulge_per_m`` float32 (E,): the drawn edge lies left of its piece by
    ``along * (length - along) * bulge_per_m``;
    ``code`` uint8 (E,), two bits for the edge's start, two for its end, and `STARTS_EDGE`, which the last vertex of a
    chain lacks.

    Per zone, (Z,): ``first`` int64, ``number`` int32, its vertices; ``is_indexed`` bool, False where planes do not
    serve (poles, seams, continents); ``meridian_deg``,
    ``origin_m`` float64, the plane; ``west_deg east_deg south_deg north_deg`` float64, box of the zone with its reach;
    ``reach_m`` float64, radius or half width of lines and points, 0 for areas; ``scale_per_m2`` float64.
    """

    at: C128
    unit: C128
    length_m: F64
    bulge_per_m: F32
    code: U8
    first: I64
    number: I32
    is_indexed: Bool
    meridian_deg: F64
    origin_m: F64
    west_deg: F64
    east_deg: F64
    south_deg: F64
    north_deg: F64
    reach_m: F64
    scale_per_m2: F64

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self))

    @property
    def n_zones(self) -> int:
        """Z."""
        return int(self.is_indexed.size)


def build_edges(shapes: Sequence[ZoneShape]) -> EdgeTable:
    """Lay validated zones out in their planes.

    Raises
    ------
    ZoneGeometryError
        A boundary needs too many pieces (`densify.PIECES_LIMIT`).
    """
    shapes = DrawnShapes.of(shapes)
    n_zones = len(shapes)
    chains = chains_of(shapes)
    is_circle = shapes.arrays.kind == KINDS.index("circle")
    centres = _centres(shapes.arrays, is_circle)
    box, reach = _boxes(shapes.arrays, chains, is_circle, centres)
    indexed = _indexed(chains, box, reach, is_circle)
    west, south, east, north = box
    meridian = (west + east) / 2
    middle = (south + north) / 2
    meridian[is_circle & indexed], middle[is_circle & indexed] = centres[indexed[is_circle]].T
    origin = np.zeros(n_zones)
    origin[indexed] = latitude_terms(middle[indexed]).m
    vertices = _vertices(shapes.ids, chains, indexed, np.flatnonzero(is_circle & indexed), centres[indexed[is_circle]])
    at = project(latitude_terms(vertices.lat), vertices.lon - meridian[vertices.zone], origin[vertices.zone])
    edges = np.flatnonzero(vertices.starts_edge)
    step = at[np.minimum(edges + 1, at.size - 1)] - at[edges]
    length = np.zeros(at.size)
    length[edges] = np.sqrt(step.real**2 + step.imag**2)
    unit = np.ones(at.size, dtype=np.complex128)
    some = length[edges] > 0
    unit[edges[some]] = step[some].conj() / length[edges[some]]
    number = np.bincount(vertices.zone, minlength=n_zones)
    bulge = np.zeros(at.size, dtype=np.float32)
    bends = _bends(vertices, edges, at, unit, meridian, origin)
    bulge[edges[some]] = 4.0 * bends[some] / length[edges[some]] ** 2
    table = EdgeTable(
        at=at,
        unit=unit,
        length_m=length,
        bulge_per_m=bulge,
        code=_codes(vertices, unit, reach, _touching(vertices)),
        first=np.cumsum(number) - number,
        number=number.astype(np.int32),
        is_indexed=indexed,
        meridian_deg=meridian,
        origin_m=origin,
        west_deg=west,
        east_deg=east,
        south_deg=south,
        north_deg=north,
        reach_m=reach,
        scale_per_m2=np.where(is_circle, SCALE_PER_M2 / 3.0, SCALE_PER_M2),
    )
    for f in fields(table):
        getattr(table, f.name).flags.writeable = False
    return table


@dataclass(slots=True)
class _Vertices:
    """Vertices of all chains, closing ones included; (E,) each. ``before``: vertex whose edge ends here, or -1."""

    lon: F64
    lat: F64
    zone: I64
    starts_edge: Bool
    before: I64
    after: I64


def margin_deg(south: F64, north: F64, metres: F64 | float) -> tuple[F64, F64]:
    """Degrees of longitude and of latitude that are at least ``metres`` anywhere in a box of latitudes."""
    lat = metres / 110_574.0 * (1 + 1e-9)
    poleward = np.minimum(np.maximum(np.abs(south - lat), np.abs(north + lat)), 89.0)
    return metres / metres_per_degree_lon(poleward) * (1 + 1e-9), lat + np.zeros(south.size)


def _centres(drawn: DrawnArrays, is_circle: Bool) -> F64:
    """Longitude and latitude of each circle; float64 (., 2)."""
    return drawn.lonlat_deg[drawn.ring_ptr[drawn.polygon_ptr[drawn.zone_ptr[:-1][is_circle]]]]


def _boxes(drawn: DrawnArrays, chains: Chains, is_circle: Bool, centres: F64) -> tuple[tuple[F64, F64, F64, F64], F64]:
    """West, south, east, north of each zone with its reach, and the reach."""
    n, reach = drawn.kind.size, drawn.size_m
    low = [np.full(n, np.inf) for _ in range(2)]
    high = [np.full(n, -np.inf) for _ in range(2)]
    first = group_starts(chains.zone)
    drawn_zones = chains.zone[first]
    for axis, values in enumerate((chains.lon, chains.lat)):
        if first.size:
            low[axis][drawn_zones] = np.minimum.reduceat(np.minimum(values[:, 0], values[:, 1]), first)
            high[axis][drawn_zones] = np.maximum.reduceat(np.maximum(values[:, 0], values[:, 1]), first)
        low[axis][is_circle] = high[axis][is_circle] = centres[:, axis]
    dlon, dlat = margin_deg(low[1], high[1], reach)
    return (low[0] - dlon, low[1] - dlat, high[0] + dlon, high[1] + dlat), reach


def _indexed(chains: Chains, box: tuple[F64, F64, F64, F64], reach: F64, is_circle: Bool) -> Bool:
    west, south, east, north = box
    poleward = np.maximum(np.abs(south), np.abs(north))
    equatorward = np.where((south <= 0) & (north >= 0), 0.0, np.minimum(np.abs(south), np.abs(north)))
    half = (east - west) / 2 * metres_per_degree_lon(equatorward)
    indexed: Bool = (poleward < LATITUDE_LIMIT_DEG) & (half <= strip_half_width_m(poleward))
    indexed &= reach <= np.where(is_circle, RADIUS_LIMIT_M, HALF_WIDTH_LIMIT_M)
    indexed &= np.bincount(chains.zone, chains.artificial, minlength=reach.size) == 0
    return indexed


def _vertices(ids: tuple[str, ...], chains: Chains, indexed: Bool, circles: I64, centres: F64) -> _Vertices:
    """Densified vertices, chain by chain; a circle is one edge without length at its centre."""
    kept = indexed[chains.zone]
    source, lon2, lat2 = densify(chains.lon[kept], chains.lat[kept], ids, chains.zone[kept], BEND_LIMIT_M)
    chain, zone = chains.chain[kept][source], chains.zone[kept][source]
    if circles.size:
        first_free = int(chain.max()) + 1 if chain.size else 0
        lon2 = np.concatenate([lon2, np.repeat(centres[:, :1], 2, axis=1)])
        lat2 = np.concatenate([lat2, np.repeat(centres[:, 1:], 2, axis=1)])
        chain = np.concatenate([chain, first_free + np.arange(circles.size)])
        zone = np.concatenate([zone, circles])
        order = np.argsort(zone, kind="stable")
        lon2, lat2, chain, zone = lon2[order], lat2[order], chain[order], zone[order]
    n = chain.size
    is_last = np.ones(n, dtype=bool)
    is_last[:-1] = chain[1:] != chain[:-1]
    # A vertex per edge, and one more where a chain ends.
    row = np.repeat(np.arange(n), 1 + is_last)
    closing = np.zeros(row.size, dtype=bool)
    closing[1:] = row[1:] == row[:-1]
    side = closing.astype(np.int64)
    starts = ~closing
    index = np.arange(row.size)
    chain_first = np.concatenate([[0], np.flatnonzero(closing)[:-1] + 1]) if row.size else index
    chain_last = np.flatnonzero(closing)
    lon, lat = lon2[row, side], lat2[row, side]
    closed = (lon[chain_first] == lon[chain_last]) & (lat[chain_first] == lat[chain_last]) if row.size else starts[:0]
    before = index - 1
    before[chain_first] = np.where(closed, chain_last - 1, -1)
    after = index.copy()
    after[chain_last] = np.where(closed, chain_first, -1)
    return _Vertices(lon=lon, lat=lat, zone=zone[row], starts_edge=starts, before=before, after=after)


def _bends(vertices: _Vertices, edges: I64, at: C128, unit: C128, meridian: F64, origin: F64) -> F64:
    zone = vertices.zone[edges]
    lat = (vertices.lat[edges] + vertices.lat[edges + 1]) / 2
    lon = (vertices.lon[edges] + vertices.lon[edges + 1]) / 2
    middle = project(latitude_terms(lat), lon - meridian[zone], origin[zone])
    left: F64 = ((middle - at[edges]) * unit[edges]).imag
    return left


def _codes(vertices: _Vertices, unit: C128, reach: F64, touches: Bool) -> U8:
    """Code of every vertex, then per edge those of its two ends."""
    n = unit.size
    at = np.full(n, SOFT, dtype=np.uint8)
    has_both = (vertices.before >= 0) & (vertices.after >= 0)
    v = np.flatnonzero(has_both)
    # Both units are conjugates: d1 * conj(d2) of directions is conj(u1) * u2.
    turn = unit[vertices.before[v]].conj() * unit[vertices.after[v]]
    left = -turn.imag
    sharp = turn.real < SHARP_COSINE
    at[v[sharp]] = np.where(left[sharp] > 0, OUTSIDE, INSIDE)
    at[touches] = ASK
    is_line = reach[vertices.zone] > 0
    at[is_line] = OUTSIDE
    end = np.append(at[1:], SOFT)[:n]
    code = (at | (end << 2)).astype(np.uint8)
    code[~vertices.starts_edge] = 0
    code[vertices.starts_edge] |= STARTS_EDGE
    return code


def _touching(vertices: _Vertices) -> Bool:
    """Vertices where rings of one zone touch each other."""
    out = np.zeros(vertices.zone.size, dtype=bool)
    ring = _rings(vertices)
    mine = np.flatnonzero(_may_touch(vertices, ring)[ring])
    if not mine.size:
        return out
    edges = mine[vertices.starts_edge[mine]]
    ends = np.stack(
        [
            np.stack([vertices.lon[edges], vertices.lat[edges]], axis=-1),
            np.stack([vertices.lon[edges + 1], vertices.lat[edges + 1]], axis=-1),
        ],
        axis=1,
    )
    tree = shapely.STRtree(np.asarray(shapely.linestrings(ends)))
    points = shapely.points(vertices.lon[mine], vertices.lat[mine])
    point, line = tree.query(points, predicate="dwithin", distance=_TOUCH_DEG)
    v, e = mine[point], edges[line]
    out[v[(vertices.zone[v] == vertices.zone[e]) & (ring[v] != ring[e])]] = True
    return out


def _may_touch(vertices: _Vertices, ring: I64) -> Bool:
    """Rings that come near another ring of their zone; bool, by ring."""
    zone = vertices.zone[~vertices.starts_edge]
    number = np.bincount(zone) if zone.size else np.zeros(0, dtype=np.int64)
    many = number > 1
    if not many.any():
        return np.zeros(zone.size, dtype=bool)
    touching: Bool = (number > FEW_RINGS)[zone]
    few = np.flatnonzero((many & (number <= FEW_RINGS))[zone])
    if not few.size:
        return touching
    mine = np.flatnonzero(many[vertices.zone] & ~touching[ring])
    place = np.zeros(zone.size, dtype=np.int64)
    place[few] = np.arange(few.size)
    lines = np.asarray(shapely.linestrings(vertices.lon[mine], vertices.lat[mine], indices=place[ring[mine]]))
    shapely.prepare(lines)
    for step in range(1, min(FEW_RINGS, few.size)):
        one = np.flatnonzero(zone[few[step:]] == zone[few[:-step]])
        near = one[shapely.dwithin(lines[one], lines[one + step], 2.0 * _TOUCH_DEG)]
        touching[few[near]] = touching[few[near + step]] = True
    return touching


def _rings(vertices: _Vertices) -> I64:
    closing = ~vertices.starts_edge
    return np.cumsum(closing) - closing
