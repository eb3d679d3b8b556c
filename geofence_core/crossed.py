"""Zones swept between two fixes: which, and where the way enters and leaves them.

::

                 .-----------.
        0 -------|===.   .===|------ 1        entry: first point in the zone        (0 = it starts inside)
                 |   | o |   |                exit: last point in the zone          (1 = it ends inside)
                 |   '---'   |                a hole, or a way out and in again, in between does not show
                 '-----------'

A segment is straight in longitude and latitude, as edges are, and takes the short way round. Three things are found
apart and put together by minimum and maximum: zones that hold its start, zones that hold its end, and where it meets a
boundary (`sweep`). Which zones hold a place is asked of the zones, once for each stretch of a track that comes near no
boundary:

::

        o----o----o----o-|--o----o----o       |  boundary: asked for the first place, and behind each boundary
        ^                   ^
"""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, Bool, chunks, expand, float_column, group_starts, indices
from geofence_core.edgespan import Ways, boxes, boxes_meet, edge_spans
from geofence_core.roundspan import Lines, near_rim, round_spans
from geofence_core.sweep import SweepIndex
from geofence_core.sweepgrid import CellBoxes

CHUNK = 1 << 14
"""Segments ruled out at once; their temporaries stay in a cache of 1 MB."""

POOL = 1 << 17
"""Segments whose remainder is judged at once."""

CHUNK_CELLS = 1 << 16
CHUNK_ITEMS = 1 << 14
"""Cells walked, and (segment, item) pairs looked at, at once; bounds the temporaries to about 20 MB, the pairs'
to a cache of 1 MB."""

QUIET_DEG = 1e-7
"""A segment whose box is further than this from the boxes of all edges ends in the zones that it starts in; degree.
Wider than the stretch along a boundary, 1e-6 m, where the side of a fix may be called either way."""

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
    """Zones that hold fixes: `ZoneTable.containing`."""

    def __call__(self, lat_deg: F64, lon_deg: F64) -> tuple[I64, I64]:
        """Return ``fix_ptr, zone_idx``, zones rising."""
        ...


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

    Cost: 30 ns for a segment that is far from all zones' boxes, 0.2 us for one in a zone or near one, 1 to 3 us for one
    that meets boundaries; a track of metres over 1,000 zones 0.1 to 0.3 us on average, segments of 2 km 3 us.

    Missing values: a segment with NaN, or an impossible position, touches nothing.
    """
    columns = [float_column(lat0_deg, "lat0_deg")]
    for values, name in ((lon0_deg, "lon0_deg"), (lat1_deg, "lat1_deg"), (lon1_deg, "lon1_deg")):
        columns.append(float_column(values, name, columns[0].size))
    n = columns[0].size
    found = [_Rows(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))]
    for a in range(0, n, POOL):
        rows = _judge(index, holders, [column[a : a + POOL] for column in columns])
        found.append(rows._replace(segment=rows.segment + a))
    segment, zone, entry, exit_ = (np.concatenate(column) for column in zip(*found, strict=True))
    ptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(segment, minlength=n), out=ptr[1:])
    return CrossedZones(ptr, zone, entry, exit_)


Meetings = tuple[I64, F64, F64]
"""Keys, first and last places of segments in zones."""


class _Rows(NamedTuple):
    """Rows of the answer: segments rising, and zones within a segment."""

    segment: I64
    zone: I64
    entry: F64
    exit: F64


def _judge(index: SweepIndex, holders: FindHolders, part: list[F64]) -> _Rows:
    rows, box = _may_touch(index, part)
    lat0, lon0, lat1, lon1 = (column.take(rows) for column in part)
    if box is None:
        ways = _unroll(lat0, lon0, lat1, lon1)
        box = index.grid.boxes(ways.x0, ways.y0, ways.x1, ways.y1)
        k = indices(index.grid.count(index.within, *box) > 0)
        ways, box = ways.take(k), (box[0][k], box[1][k], box[2][k], box[3][k])
        kept = ways.segment[group_starts(ways.segment)]
    else:
        kept = np.arange(rows.size, dtype=np.int64)
        ways = Ways(kept, lon0, lat0, lon1, lat1)
    # All longitudes meet at a pole: a zone there may hold it without an edge near this one.
    noisy = (np.abs(lat0) == 90.0) | (np.abs(lat1) == 90.0)
    met, round_way, item = _near_rims(index, ways, box, noisy)
    held = _held(holders, (lat0[kept], lon0[kept], lat1[kept], lon1[kept]), rows[kept], noisy[kept])
    quiet = indices(~noisy[kept])
    place, zone = held.zones(held.start[quiet])
    still = _Rows(kept[quiet[place]], zone, np.zeros(zone.size), np.ones(zone.size))
    loud = indices(noisy[kept])
    if not loud.size:
        return still._replace(segment=rows[still.segment])
    keys = []
    for stretch in (held.start[loud], held.end[loud]):
        place, zone = held.zones(stretch)
        keys.append(kept[loud[place]] * index.zones + zone)
    moving = _merge(index, ways, met, keys[0], keys[1], round_way, item)
    segment, zone, entry, exit_ = (np.concatenate(pair) for pair in zip(still, moving, strict=True))
    order = np.argsort(segment, kind="stable")
    return _Rows(rows[segment[order]], zone[order], entry[order], exit_[order])


def _merge(
    index: SweepIndex, ways: Ways, met: list[Meetings], starts: I64, ends: I64, round_way: I64, item: I64
) -> _Rows:
    """Put together what is known of segments that come near a boundary; keys are segment * zones + zone."""
    found = [
        *met,
        (starts, np.zeros(starts.size), np.zeros(starts.size)),
        (ends, np.ones(ends.size), np.ones(ends.size)),
    ]
    key = ways.segment[round_way] * index.zones + index.rounds.zone[item]
    # One that starts and ends in the zone needs no more.
    k = indices(~(_in_sorted(key, starts) & _in_sorted(key, ends)))
    for a in range(0, k.size, CHUNK_ITEMS):
        some = k[a : a + CHUNK_ITEMS]
        row, first, last = round_spans(index.rounds, _lines(ways, round_way[some], item[some]))
        found.append((key[some[row]], *_open(first, last)))
    key, entry, exit_ = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(key, kind="stable")
    key = key[order]
    begin = group_starts(key)
    if not begin.size:
        return _Rows(key, key, entry, exit_)
    segment, zone = np.divmod(key[begin], index.zones)
    return _Rows(segment, zone, np.minimum.reduceat(entry[order], begin), np.maximum.reduceat(exit_[order], begin))


def _may_touch(index: SweepIndex, part: list[F64]) -> tuple[I64, CellBoxes | None]:
    """Rule out segments whose box of cells meets no zone's box; what is left, and the boxes of cells.

    Where longitudes may need unrolling, or a value is missing or impossible, boxes are None and more is left.
    """
    n = part[0].size
    left: list[I64] = []
    boxes_left: list[CellBoxes] = []
    plain = True
    for a in range(0, n, CHUNK):
        y0, x0, y1, x1 = (column[a : a + CHUNK] for column in part)
        box = index.grid.boxes(x0, y0, x1, y1)
        may = index.grid.count(index.within, *box) > 0
        # These hand NaN on, as Python's min and max do not.
        west, east = np.minimum(x0.min(), x1.min()), np.maximum(x0.max(), x1.max())
        south, north = np.minimum(y0.min(), y1.min()), np.maximum(y0.max(), y1.max())
        if not (west > -180.0 and east < 180.0 and east - west <= 180.0 and south >= -90.0 and north <= 90.0):
            plain = False
            may |= (np.abs(x0) >= 180.0) | (np.abs(x1) >= 180.0) | (np.abs(x1 - x0) > 180.0)
        k = indices(may)
        left.append(k + a)
        boxes_left.append((box[0].take(k), box[1].take(k), box[2].take(k), box[3].take(k)))
    rows = np.concatenate(left)
    if not plain:
        return rows, None
    west_, east_, south_, north_ = (np.concatenate(side) for side in zip(*boxes_left, strict=True))
    return rows, (west_, east_, south_, north_)


def _in_sorted(key: I64, keys: I64) -> Bool:
    if not keys.size:
        return np.zeros(key.size, dtype=bool)
    found: Bool = keys[np.minimum(np.searchsorted(keys, key), keys.size - 1)] == key
    return found


def _open(first: F64, last: F64) -> tuple[F64, F64]:
    """Keep found places off 0 and 1, which belong to segments that start and end inside."""
    return np.clip(first, NOT_ZERO, NOT_ONE), np.clip(last, NOT_ZERO, NOT_ONE)


def _unroll(lat0: F64, lon0: F64, lat1: F64, lon1: F64) -> Ways:
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
        return Ways(k, x0, y0, x1, y1)
    row = np.append(np.arange(k.size), again)
    shift = np.append(np.zeros(k.size), turn[again])
    order = np.argsort(row, kind="stable")
    row, shift = row[order], shift[order]
    return Ways(k[row], x0[row] + shift, y0[row], x1[row] + shift, y1[row])


def _wrap(lon: F64) -> F64:
    lon = np.where(lon >= 180.0, lon - 360.0, lon)
    return np.where(lon < -180.0, lon + 360.0, lon)


def _near_rims(index: SweepIndex, ways: Ways, box: CellBoxes, noisy: Bool) -> tuple[list[Meetings], I64, I64]:
    """Look at what lies along the ways that have a length.

    Returns
    -------
    met, way, item
        Where ways meet edges (key, first, last); int64 twice: pairs of way and round item that may meet at its rim.
        Segments that come near either are marked in ``noisy``.
    """
    edges, zones = index.edges, index.zones
    moving = (ways.x0 != ways.x1) | (ways.y0 != ways.y1)
    k = indices(moving & (index.grid.count(index.rims, *box) > 0))
    west, east, south, north = (side[k] for side in box)
    around = boxes(ways, QUIET_DEG)
    met: list[Meetings] = []
    rounds: list[tuple[I64, I64]] = [(k[:0], k[:0])]
    for some in chunks((east - west + north - south).astype(np.int64), CHUNK_CELLS):
        row = k[some]
        owner, cell = index.grid.walk(ways.x0[row], ways.y0[row], ways.x1[row], ways.y1[row], sums=index.rims)
        start = index.ptr.take(cell).astype(np.int64)
        count = index.ptr.take(cell + 1) - start
        for few in chunks(count, CHUNK_ITEMS):
            which, entry = expand(start[few], count[few])
            way, item = row.take(owner[few].take(which)), index.item.take(entry).astype(np.int64)
            j = indices(item < edges.zone.size)
            near, edge = boxes_meet(edges, around, way.take(j), item.take(j))
            noisy[ways.segment.take(near)] = True
            pair, first, last = edge_spans(edges, ways, near, edge)
            met.append((ways.segment[near[pair]] * zones + edges.zone[edge[pair]], *_open(first, last)))
            j = indices(item >= edges.zone.size)
            if j.size:
                # A pair met in several cells is asked once.
                n = index.rounds.zone.size
                pair = np.sort(way[j] * n + item[j] - edges.zone.size)
                way, item = np.divmod(pair[group_starts(pair)], n)
                j = near_rim(index.rounds, _lines(ways, way, item))
                noisy[ways.segment[way[j]]] = True
                rounds.append((way[j], item[j]))
    way, item = (np.concatenate(column) for column in zip(*rounds, strict=True))
    return met, way, item


def _lines(ways: Ways, way: I64, item: I64) -> Lines:
    x0, y0 = ways.x0[way], ways.y0[way]
    return Lines(item, y0, x0, ways.y1[way] - y0, ways.x1[way] - x0)


class _Held(NamedTuple):
    """Zones of stretches of places (CSR), and the stretch in which each segment starts and ends."""

    ptr: I64
    zone: I64
    start: I64
    end: I64

    def zones(self, stretch: I64) -> tuple[I64, I64]:
        """Zones of some stretches: which of the stretches given, which zone."""
        first = self.ptr.take(stretch)
        owner, entry = expand(first, self.ptr.take(stretch + 1) - first)
        return owner, self.zone.take(entry)


def _held(holders: FindHolders, ends_deg: tuple[F64, F64, F64, F64], row: I64, noisy: Bool) -> _Held:
    """Find the zones that hold the starts and ends of segments.

    Places are taken in the order start, end, start, end; one that is the place before it, or that follows it along a
    quiet segment, is in the same zones.
    """
    lat0, lon0, lat1, lon1 = ends_deg
    n = row.size
    new = np.ones((n, 2), dtype=bool)
    new[:, 1] = noisy
    new[1:, 0] = (row[1:] != row[:-1] + 1) | (lat0[1:] != lat1[:-1]) | (lon0[1:] != lon1[:-1])
    first = indices(new.ravel())
    segment, end = first >> 1, (first & 1) == 1
    ptr, zone = holders(
        np.where(end, lat1.take(segment), lat0.take(segment)), np.where(end, lon1.take(segment), lon0.take(segment))
    )
    stretch = np.cumsum(new.ravel())
    stretch -= 1
    return _Held(ptr, zone, stretch[::2], stretch[1::2])
