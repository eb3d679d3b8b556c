"""Zones swept between two fixes: which, and where the way enters and leaves them.

::

                 .-----------.
        0 -------|===.   .===|------ 1        entry: first point in the zone        (0 = it starts inside)
                 |   | o |   |                exit: last point in the zone          (1 = it ends inside)
                 |   '---'   |                a hole, or a way out and in again, in between does not show
                 '-----------'

A segment is straight in longitude and latitude, as edges are, and takes the short way round. Three things are found
apart and put together by minimum and maximum: zones that hold its start, zones that hold its end (both asked of the
zones), and where it meets a boundary (`sweep`).
"""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, Bool, chunks, expand, float_column, group_starts, indices
from geofence_core.roundspan import Lines, round_spans
from geofence_core.side import ORIENTATION_ERROR
from geofence_core.sweep import Edges, SweepIndex

CHUNK = 1 << 14
"""Segments ruled out at once; their temporaries stay in a cache of 1 MB."""

POOL = 1 << 17
"""Segments whose remainder is judged at once."""

CHUNK_CELLS = 1 << 18
CHUNK_ITEMS = 1 << 17
"""Cells walked, and (segment, item) pairs looked at, at once; bounds the temporaries to about 60 MB."""

NOT_ZERO = 5e-324
NOT_ONE = 1.0 - 2.0**-53
"""Least entry of a segment that starts outside, and greatest exit of one that ends outside; fraction. The next doubles
to 0 and 1, which say that it starts or ends inside."""


class CrossedZones(NamedTuple):
    """Zones touched by each segment (CSR): segment i has ``zone_idx[segment_ptr[i]:segment_ptr[i + 1]]``, rising.

    ``segment_ptr`` int64 (N + 1,); ``zone_idx`` int64 (M,); ``entry exit`` float64 (M,), fractions of the segment in
    [0, 1]: the first and the last of its points in the zone.
    """

    segment_ptr: I64
    zone_idx: I64
    entry: F64
    exit: F64


class FindHolders(Protocol):
    """Zones that hold fixes: `ZoneTable.near`, of which only ``fix_ptr`` and ``zone_idx`` are used."""

    def __call__(self, lat_deg: F64, lon_deg: F64, within_m: float) -> tuple[I64, I64, F64]:
        """Return ``fix_ptr, zone_idx, signed_distance_m``."""
        ...


class _Ways(NamedTuple):
    """Segments with their longitudes unrolled; one over the antimeridian stands twice, a turn apart."""

    segment: I64
    x0: F64
    y0: F64
    x1: F64
    y1: F64

    def take(self, rows: I64 | slice) -> "_Ways":
        """Return some of them."""
        return _Ways(self.segment[rows], self.x0[rows], self.y0[rows], self.x1[rows], self.y1[rows])


def crossed(
    index: SweepIndex,
    holders: FindHolders,
    lat0_deg: npt.ArrayLike,
    lon0_deg: npt.ArrayLike,
    lat1_deg: npt.ArrayLike,
    lon1_deg: npt.ArrayLike,
) -> CrossedZones:
    """Zones touched by segments, with entry and exit.

    Parameters
    ----------
    index, holders
        Z zones, entered by `sweep.sweep_index`, and the call that says which of them hold a fix.
    lat0_deg, lon0_deg, lat1_deg, lon1_deg
        float64 (N,), degree: where the segments start and end.

    Returns
    -------
    CrossedZones
        One row for each zone that shares at least a point with the segment. ``entry`` is 0 exactly if ``contains``
        holds for the start, ``exit`` is 1 exactly if it holds for the end.

    Notes
    -----
    Polygons are decided in longitude and latitude, with the orientation of each edge: fractions err by rounding only,
    and what cannot be told from a touch counts as one. Circles and corridors on the ground: `roundspan.round_spans`.
    Any cut of the segments into calls gives the same bits.

    Cost: 50 ns for a segment that is far from all zones' boxes; 1 to 3 us for one that meets boundaries.

    Missing values: a segment with NaN, or an impossible position, touches nothing.
    """
    columns = [float_column(lat0_deg, "lat0_deg")]
    for values, name in ((lon0_deg, "lon0_deg"), (lat1_deg, "lat1_deg"), (lon1_deg, "lon1_deg")):
        columns.append(float_column(values, name, columns[0].size))
    n = columns[0].size
    keys: list[I64] = [np.zeros(0, dtype=np.int64)]
    entries, exits = [np.zeros(0)], [np.zeros(0)]
    for a in range(0, n, POOL):
        part = [column[a : a + POOL] for column in columns]
        size = part[0].size
        rows = [_may_touch(index, [c[b : b + CHUNK] for c in part]) + b for b in range(0, size, CHUNK)]
        key, entry, exit_ = _judge(index, holders, part, np.concatenate(rows))
        keys.append(key + a * max(index.zones, 1))
        entries.append(entry)
        exits.append(exit_)
    segment, zone = np.divmod(np.concatenate(keys), max(index.zones, 1))
    ptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(segment, minlength=n), out=ptr[1:])
    return CrossedZones(ptr, zone, np.concatenate(entries), np.concatenate(exits))


def _may_touch(index: SweepIndex, part: list[F64]) -> I64:
    """Rule out segments whose box of cells meets no zone's box; what is left."""
    y0, x0, y1, x1 = part
    box = index.grid.boxes(x0, y0, x1, y1)
    may = index.grid.count(index.within, *box) > 0
    west, east = min(x0.min(), x1.min()), max(x0.max(), x1.max())
    if not (west > -180.0 and east < 180.0 and east - west <= 180.0):
        # May need unrolling; NaN is looked at later.
        may |= (np.abs(x0) >= 180.0) | (np.abs(x1) >= 180.0) | (np.abs(x1 - x0) > 180.0)
    return indices(may)


def _judge(index: SweepIndex, holders: FindHolders, part: list[F64], rows: I64) -> tuple[I64, F64, F64]:
    """Entries and exits of the rows; keys are segment * zones + zone, rising."""
    lat0, lon0, lat1, lon1 = (column.take(rows) for column in part)
    ways = _unroll(lat0, lon0, lat1, lon1)
    box = index.grid.boxes(ways.x0, ways.y0, ways.x1, ways.y1)
    keep = indices(index.grid.count(index.within, *box) > 0)
    ways = ways.take(keep)
    weight = (box[1] - box[0] + box[3] - box[2]).take(keep).astype(np.int64)
    kept = ways.segment[group_starts(ways.segment)]
    starts, ends = _held(index, holders, lat0[kept], lon0[kept], lat1[kept], lon1[kept], kept)
    both = np.intersect1d(starts, ends, assume_unique=True)
    found = [(starts, np.zeros(starts.size), np.zeros(starts.size)), (ends, np.ones(ends.size), np.ones(ends.size))]
    for some in chunks(weight, CHUNK_CELLS):
        found += _meetings(index, ways.take(some), both)
    key, entry, exit_ = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(key, kind="stable")
    key = key[order]
    begin = group_starts(key)
    if not begin.size:
        return key, entry, exit_
    zones = max(index.zones, 1)
    segment, zone = np.divmod(key[begin], zones)
    entry, exit_ = np.minimum.reduceat(entry[order], begin), np.maximum.reduceat(exit_[order], begin)
    return rows[segment] * zones + zone, entry, exit_


def _unroll(lat0: F64, lon0: F64, lat1: F64, lon1: F64) -> _Ways:
    """Wrap longitudes as `ellipsoid.frames` does, go the short way, and repeat what reaches the antimeridian."""
    valid = (np.abs(lat0) <= 90.0) & (np.abs(lat1) <= 90.0) & (np.abs(lon0) <= 360.0) & (np.abs(lon1) <= 360.0)
    k = indices(valid)
    y0, y1 = lat0[k], lat1[k]
    x0, x1 = _wrap(lon0[k]), _wrap(lon1[k])
    gap = x1 - x0
    x1 = np.where(gap > 180.0, x1 - 360.0, np.where(gap < -180.0, x1 + 360.0, x1))
    turn = np.where(np.minimum(x0, x1) <= -180.0, 360.0, np.where(np.maximum(x0, x1) >= 180.0, -360.0, 0.0))
    again = indices(turn != 0.0)
    if not again.size:
        return _Ways(k, x0, y0, x1, y1)
    row = np.append(np.arange(k.size), again)
    shift = np.append(np.zeros(k.size), turn[again])
    order = np.argsort(row, kind="stable")
    row, shift = row[order], shift[order]
    return _Ways(k[row], x0[row] + shift, y0[row], x1[row] + shift, y1[row])


def _wrap(lon: F64) -> F64:
    lon = np.where(lon >= 180.0, lon - 360.0, lon)
    return np.where(lon < -180.0, lon + 360.0, lon)


def _held(
    index: SweepIndex, holders: FindHolders, lat0: F64, lon0: F64, lat1: F64, lon1: F64, segment: I64
) -> tuple[I64, I64]:
    """Keys of the zones that hold starts and ends, each rising; the end that is the next start is asked once."""
    n = segment.size
    if not n:
        return segment, segment
    new = np.ones(n, dtype=bool)
    new[:-1] = (lat1[:-1] != lat0[1:]) | (lon1[:-1] != lon0[1:])
    k = indices(new)
    ptr, zone, _ = holders(np.append(lat0, lat1[k]), np.append(lon0, lon1[k]), 0.0)
    place = np.arange(1, n + 1)
    place[k] = n + np.arange(k.size)
    keys = []
    for fix in (np.arange(n), place):
        owner, entry = expand(ptr[fix], ptr[fix + 1] - ptr[fix])
        keys.append(segment[owner] * index.zones + zone[entry])
    return keys[0], keys[1]


def _meetings(index: SweepIndex, ways: _Ways, both: I64) -> list[tuple[I64, F64, F64]]:
    """Where ways meet edges, and run within circles and corridors; keys whose ends are both inside may lack."""
    found: list[tuple[I64, F64, F64]] = []
    # A segment without length is where it starts and ends, no more.
    ways = ways.take(indices((ways.x0 != ways.x1) | (ways.y0 != ways.y1)))
    owner, cell = index.grid.walk(ways.x0, ways.y0, ways.x1, ways.y1, sums=index.rims)
    start = index.ptr.take(cell).astype(np.int64)
    count = index.ptr.take(cell + 1) - start
    filled = indices(count > 0)
    owner, start, count = owner[filled], start[filled], count[filled]
    edges = index.edges.zone.size
    for some in chunks(count, CHUNK_ITEMS):
        which, entry = expand(start[some], count[some])
        way, item = owner[some].take(which), index.item.take(entry).astype(np.int64)
        drawn = item < edges
        if edges and drawn.any():
            k = indices(drawn)
            found.append(_edge_meetings(index, ways, way[k], item[k]))
        k = indices(~drawn)
        if k.size:
            found.append(_round_meetings(index, ways, way[k], item[k] - edges, both))
    return found


def _round_meetings(index: SweepIndex, ways: _Ways, way: I64, item: I64, both: I64) -> tuple[I64, F64, F64]:
    key = ways.segment[way] * index.zones + index.rounds.zone[item]
    # One that starts and ends inside needs no more; and a pair met in several cells is asked once.
    pair = np.unique((way * index.rounds.zone.size + item)[~np.isin(key, both)])
    way, item = np.divmod(pair, index.rounds.zone.size)
    x0, y0 = ways.x0[way], ways.y0[way]
    row, first, last = round_spans(index.rounds, Lines(item, y0, x0, ways.y1[way] - y0, ways.x1[way] - x0))
    return ways.segment[way[row]] * index.zones + index.rounds.zone[item[row]], *_open(first, last)


def _open(first: F64, last: F64) -> tuple[F64, F64]:
    """Keep found places off 0 and 1, which belong to segments that start and end inside."""
    return np.clip(first, NOT_ZERO, NOT_ONE), np.clip(last, NOT_ZERO, NOT_ONE)


def _edge_meetings(index: SweepIndex, ways: _Ways, way: I64, edge: I64) -> tuple[I64, F64, F64]:
    way, edge = _boxes_meet(index.edges, ways, way, edge)
    e = index.edges
    x0, y0, x1, y1 = ways.x0[way], ways.y0[way], ways.x1[way], ways.y1[way]
    ax, ay, bx, by = e.lon_a[edge], e.lat_a[edge], e.lon_b[edge], e.lat_b[edge]
    # Edge seen from the way's start (0) and end (1); differences first, so a zone of a metre keeps its digits.
    ax0, ay0, bx0, by0 = ax - x0, ay - y0, bx - x0, by - y0
    ax1, ay1, bx1, by1 = ax - x1, ay - y1, bx - x1, by - y1
    start, start_touches = _orientation(ax0, ay0, bx0, by0)
    end, end_touches = _orientation(ax1, ay1, bx1, by1)
    a, a_touches = _orientation(ax0, ay0, ax1, ay1)
    b, b_touches = _orientation(bx0, by0, bx1, by1)
    met = ((start > 0) != (end > 0)) | start_touches | end_touches
    met &= ((a > 0) != (b > 0)) | a_touches | b_touches
    k = indices(met)
    start, end = start[k], end[k]
    gap = start - end
    along = (start_touches & end_touches)[k] | (gap == 0.0)
    first = np.clip(start / np.where(gap == 0.0, 1.0, gap), 0.0, 1.0)
    last = first.copy()
    j = indices(along)
    if j.size:
        # On one line: where the edge's ends lie along the way.
        r = k[j]
        dx, dy = x1[r] - x0[r], y1[r] - y0[r]
        length2 = dx * dx + dy * dy
        at_a = np.clip((ax0[r] * dx + ay0[r] * dy) / length2, 0.0, 1.0)
        at_b = np.clip((bx0[r] * dx + by0[r] * dy) / length2, 0.0, 1.0)
        first[j], last[j] = np.minimum(at_a, at_b), np.maximum(at_a, at_b)
    return ways.segment[way[k]] * index.zones + e.zone[edge[k]], *_open(first, last)


def _boxes_meet(edges: Edges, ways: _Ways, way: I64, edge: I64) -> tuple[I64, I64]:
    for w0, w1, ea, eb in ((ways.x0, ways.x1, edges.lon_a, edges.lon_b), (ways.y0, ways.y1, edges.lat_a, edges.lat_b)):
        low, high = np.minimum(w0, w1), np.maximum(w0, w1)
        a, b = ea.take(edge), eb.take(edge)
        k = indices((np.minimum(a, b) <= high.take(way)) & (np.maximum(a, b) >= low.take(way)))
        way, edge = way[k], edge[k]
    return way, edge


def _orientation(px: F64, py: F64, qx: F64, qy: F64) -> tuple[F64, Bool]:
    """Twice the signed area of (origin, p, q), and whether its sign cannot be told from zero."""
    left, right = px * qy, py * qx
    area = left - right
    return area, np.abs(area) <= ORIENTATION_ERROR * (np.abs(left) + np.abs(right))
