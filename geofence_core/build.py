"""From drawn zones to flat arrays: rings for the side, short pieces for the distance, balls for ruling zones out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I8, I64, Bool
from geofence_core.boundary import BALL_SLACK_M, Balls, BoundaryRuns
from geofence_core.densify import bends_m, densify
from geofence_core.ellipsoid import frames, vectors
from geofence_core.errors import ZoneGeometryError
from geofence_core.seams import shared_seam, split_seams
from geofence_core.shapes import DrawnArrays, DrawnShapes, ZoneShape
from geofence_core.side import RUN, Boxes, SideRuns, sides

AREA, CIRCLE, CORRIDOR = 0, 1, 2

BLOCK = 16
"""Runs of one block. A zone of 128 edges is one block; with larger ones more runs are asked per block that is opened,
with smaller ones more blocks per zone."""

BOUND_SLACK_M = 1e-6
"""Added to each zone's ball; metre. Covers rounding (2e-9 m), so that a lower bound is never too high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneArrays:
    """All zones, ready for queries; Z zones, arrays read-only.

    ``method`` int8 (Z,): `AREA`, `CIRCLE` or `CORRIDOR`. ``cx_m cy_m cz_m ball_m`` float64 (Z,): a ball that holds the
    zone's boundary. ``far_inside`` bool (Z,): True where everything outside that ball belongs to the zone (a zone that
    is most of the globe). ``reach_m`` float64 (Z,): radius of a circle, half width of a corridor, 0 for areas.
    """

    method: I8
    cx_m: F64
    cy_m: F64
    cz_m: F64
    ball_m: F64
    far_inside: Bool
    reach_m: F64
    rings: SideRuns
    boundary: BoundaryRuns

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        own = (self.method, self.cx_m, self.cy_m, self.cz_m, self.ball_m, self.far_inside, self.reach_m)
        return sum(a.nbytes for a in own) + self.rings.nbytes + self.boundary.nbytes


@dataclass(slots=True)
class Chains:
    """Polylines of all zones in one list of edges; ``chain`` changes where the line breaks off."""

    lon: F64  # (E, 2)
    lat: F64  # (E, 2)
    chain: I64  # (E,)
    zone: I64  # (E,)
    artificial: Bool  # (E,)


def build(shapes: Sequence[ZoneShape]) -> ZoneArrays:
    """Index validated zones.

    Raises
    ------
    ZoneGeometryError
        A zone without any boundary (the whole globe), or one that is too long to cut into pieces.
    """
    ids = tuple(s.zone_id for s in shapes)
    method = np.array([{"circle": CIRCLE, "corridor": CORRIDOR}.get(s.kind, AREA) for s in shapes], dtype=np.int8)
    chains = chains_of(shapes)
    rings = _side_runs(chains, method, len(shapes))
    boundary = _boundary_runs(chains, ids)
    has_boundary = np.diff(boundary.blocks.ptr) > 0
    for z in np.flatnonzero(~has_boundary & (method != CIRCLE)):
        raise ZoneGeometryError(ids[z], None, None, "the zone has no boundary: it covers the whole globe")
    reach = np.array([s.radius_m or s.half_width_m or 0.0 for s in shapes])
    centre, ball = _balls(shapes, method, boundary, reach)
    arrays = ZoneArrays(
        method=method,
        cx_m=centre[0],
        cy_m=centre[1],
        cz_m=centre[2],
        ball_m=ball,
        far_inside=_far_inside(rings, method, centre),
        reach_m=reach,
        rings=rings,
        boundary=boundary,
    )
    _freeze(arrays)
    return arrays


def _freeze(record: ZoneArrays | SideRuns | BoundaryRuns | Boxes | Balls) -> None:
    for name in record.__slots__:
        value = getattr(record, name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        else:
            _freeze(value)


def chains_of(shapes: Sequence[ZoneShape]) -> Chains:
    """Return all edges of all zones in order, cut where a map was cut."""
    if isinstance(shapes, DrawnShapes) and not (np.abs(shapes.arrays.lonlat_deg) == (180.0, 90.0)).any():
        return _uncut_chains(shapes.arrays)
    lines: list[F64] = []
    flags: list[Bool] = []
    zones: list[int] = []
    for z, shape in enumerate(shapes):
        if shape.line is not None:
            lines.append(shape.line)
            flags.append(np.zeros(len(shape.line) - 1, dtype=bool))
            zones.append(z)
        drawn = [ring for polygon in shape.polygons for ring in polygon]
        seam = shared_seam(drawn)
        for ring in drawn:
            whole, artificial = split_seams(ring, seam)
            lines.append(whole)
            flags.append(artificial)
            zones.append(z)
    if not lines:
        none = np.zeros(0, dtype=np.int64)
        return Chains(np.zeros((0, 2)), np.zeros((0, 2)), none, none, np.zeros(0, dtype=bool))
    size = np.array([len(line) - 1 for line in lines])
    line_of = np.repeat(np.arange(len(lines), dtype=np.int64), size)
    artificial = np.concatenate(flags)
    start = np.concatenate([line[:-1] for line in lines])
    end = np.concatenate([line[1:] for line in lines])
    new_chain = np.ones(line_of.size, dtype=bool)
    new_chain[1:] = (line_of[1:] != line_of[:-1]) | (artificial[1:] != artificial[:-1])
    return Chains(
        lon=np.stack([start[:, 0], end[:, 0]], axis=1),
        lat=np.stack([start[:, 1], end[:, 1]], axis=1),
        chain=np.cumsum(new_chain) - 1,
        zone=np.array(zones, dtype=np.int64)[line_of],
        artificial=artificial,
    )


def _uncut_chains(drawn: DrawnArrays) -> Chains:
    """`chains_of` where no position lies on the antimeridian or a pole: a chain per ring or line."""
    rings = np.diff(drawn.ring_ptr)
    zone = np.repeat(np.arange(drawn.kind.size), np.diff(drawn.polygon_ptr[drawn.zone_ptr]))
    line = np.arange(rings.size).repeat(rings)
    starts = np.ones(line.size, dtype=bool)
    starts[drawn.ring_ptr[1:] - 1] = False
    at = np.flatnonzero(starts)
    lonlat = drawn.lonlat_deg
    has_edges = rings > 1
    return Chains(
        lon=np.stack([lonlat[at, 0], lonlat[at + 1, 0]], axis=1),
        lat=np.stack([lonlat[at, 1], lonlat[at + 1, 1]], axis=1),
        chain=(np.cumsum(has_edges) - 1)[line[at]],
        zone=zone[line[at]],
        artificial=np.zeros(at.size, dtype=bool),
    )


def _groups(chain: I64, size: int) -> I64:
    """Cut each chain into groups of up to ``size`` neighbours; the first member of every group."""
    begin = np.flatnonzero(np.diff(chain, prepend=-1))
    place = np.arange(chain.size) - np.repeat(begin, np.diff(begin, append=chain.size))
    return np.flatnonzero(place % size == 0)


def _runs(chain: I64) -> tuple[I64, I64]:
    """Cut chains of edges into runs: first edge of each run, and a vertex table (R, RUN + 1).

    The table counts edge starts 0..E-1 and, past the last edge of a run, that edge's end as E + edge.
    """
    n = chain.size
    first = _groups(chain, RUN)
    count = np.diff(first, append=n)
    step = np.arange(RUN + 1)
    vertex = first[:, None] + step
    table = np.where(step < count[:, None], vertex, n + first[:, None] + count[:, None] - 1)
    return first, table


def _ptr(owner: I64, owners: int) -> I64:
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=owners))]).astype(np.int64)


def _side_runs(chains: Chains, method: I8, n_zones: int) -> SideRuns:
    area = method[chains.zone] == AREA
    lon2, lat2, zone, chain = chains.lon[area], chains.lat[area], chains.zone[area], chains.chain[area]
    first, table = _runs(chain)
    lon = np.concatenate([lon2[:, 0], lon2[:, 1]])[table]
    lat = np.concatenate([lat2[:, 0], lat2[:, 1]])[table]
    block = _groups(chain[first], BLOCK)
    runs = Boxes(
        ptr=np.append(block, first.size),
        lon_min=lon.min(axis=1),
        lon_max=lon.max(axis=1),
        lat_min=lat.min(axis=1),
        lat_max=lat.max(axis=1),
        lon_first=lon[:, 0].copy(),
        lon_last=lon[:, -1].copy(),
    )
    blocks = Boxes(
        ptr=_ptr(zone[first[block]], n_zones),
        lon_min=_reduce(np.minimum, runs.lon_min, block),
        lon_max=_reduce(np.maximum, runs.lon_max, block),
        lat_min=_reduce(np.minimum, runs.lat_min, block),
        lat_max=_reduce(np.maximum, runs.lat_max, block),
        lon_first=runs.lon_first[block],
        lon_last=runs.lon_last[np.append(block, first.size)[1:] - 1],
    )
    touches = [np.bincount(zone, (lat2 == pole).any(axis=1), minlength=n_zones) > 0 for pole in (90.0, -90.0)]
    return SideRuns(
        blocks=blocks,
        runs=runs,
        lon=lon,
        lat=lat,
        bounds=~chains.artificial[area][first],
        touches_north=touches[0],
        touches_south=touches[1],
    )


def _reduce(ufunc: np.ufunc, values: F64, first: I64) -> F64:
    """`ufunc.reduceat` that takes no groups for an answer."""
    reduced: F64 = ufunc.reduceat(values, first) if first.size else np.zeros(0)
    return reduced


def _boundary_runs(chains: Chains, ids: tuple[str, ...]) -> BoundaryRuns:
    real = ~chains.artificial
    zone, chain = chains.zone[real], chains.chain[real]
    edge, lon2, lat2 = densify(chains.lon[real], chains.lat[real], ids, zone)
    first, table = _runs(chain[edge])
    lon = np.concatenate([lon2[:, 0], lon2[:, 1]])[table]
    lat = np.concatenate([lat2[:, 0], lat2[:, 1]])[table]
    xyz = vectors(lat, lon)
    centre = [(c.min(axis=1) + c.max(axis=1)) / 2 for c in xyz]
    gap2 = sum(((c - m[:, None]) ** 2 for c, m in zip(xyz, centre, strict=True)), np.zeros(lon.shape))
    radius = np.sqrt(gap2.max(axis=1)) + BALL_SLACK_M
    block = _groups(chain[edge[first]], BLOCK)
    return BoundaryRuns(
        blocks=_round(centre, radius, block, _ptr(zone[edge[first[block]]], len(ids))),
        runs=Balls(ptr=np.append(block, first.size), cx_m=centre[0], cy_m=centre[1], cz_m=centre[2], radius_m=radius),
        x_m=xyz[0],
        y_m=xyz[1],
        z_m=xyz[2],
        bend_m=_run_bends(lon2, lat2, table),
    )


def _round(centre: Sequence[F64], radius: F64, first: I64, ptr: I64) -> Balls:
    """Balls round groups of balls: the middle of the centres' box, and the furthest edge of a member."""
    middle = [(_reduce(np.minimum, c, first) + _reduce(np.maximum, c, first)) / 2 for c in centre]
    group = np.repeat(np.arange(first.size), np.diff(first, append=radius.size))
    gap2 = sum(((c - m[group]) ** 2 for c, m in zip(centre, middle, strict=True)), np.zeros(radius.size))
    reach = _reduce(np.maximum, np.sqrt(gap2) + radius, first)
    return Balls(ptr=ptr, cx_m=middle[0], cy_m=middle[1], cz_m=middle[2], radius_m=reach)


def _run_bends(lon: F64, lat: F64, table: I64) -> npt.NDArray[np.float32]:
    """Bend of each piece of a run, 0 for the filling; the run's vertex table says which piece starts where."""
    bend = np.append(bends_m(lon, lat)[1], np.zeros(1))
    return bend[np.minimum(table[:, :-1], len(lon))].astype(np.float32)


def _balls(
    shapes: Sequence[ZoneShape], method: I8, boundary: BoundaryRuns, reach: F64
) -> tuple[tuple[F64, F64, F64], F64]:
    """Ball of each zone, round the balls of its blocks; a circle's own centre."""
    n = len(shapes)
    centre = np.zeros((3, n))
    ball = np.zeros(n)
    blocks = boundary.blocks
    drawn = np.flatnonzero(np.diff(blocks.ptr))
    whole = _round([blocks.cx_m, blocks.cy_m, blocks.cz_m], blocks.radius_m, blocks.ptr[drawn], blocks.ptr)
    centre[:, drawn] = np.stack([whole.cx_m, whole.cy_m, whole.cz_m])
    ball[drawn] = whole.radius_m
    circles = np.flatnonzero(method == CIRCLE)
    if circles.size:
        lonlat = np.array([shapes[z].centre for z in circles.tolist()], dtype=np.float64)
        # The same trigonometry and wrapping as for fixes, so a fix at the very centre is at distance 0.
        at = frames(lonlat[:, 1], lonlat[:, 0])
        centre[:, circles] = np.stack([at.x_m, at.y_m, at.z_m])
    ball += np.where(method == AREA, 0.0, reach) + BOUND_SLACK_M
    return (centre[0].copy(), centre[1].copy(), centre[2].copy()), ball


def _far_inside(rings: SideRuns, method: I8, centre: tuple[F64, F64, F64]) -> Bool:
    """Side of the place opposite each zone's ball; rings only, circles and corridors are never most of the globe."""
    inside = np.zeros(method.size, dtype=bool)
    areas = np.flatnonzero(method == AREA)
    if areas.size:
        x, y, z = (-c[areas] for c in centre)
        lat = np.degrees(np.arctan2(z, np.hypot(x, y)))
        lon = np.degrees(np.arctan2(y, x))
        inside[areas] = sides(rings, areas, lat, np.where(lon >= 180.0, lon - 360.0, lon))[0]
    return inside
