"""Where segments meet edges of polygons, in longitude and latitude, where both are straight."""

from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I64, Bool, indices
from geofence_core.side import ORIENTATION_ERROR
from geofence_core.sweep import Edges


class Ways(NamedTuple):
    """Segments with their longitudes unrolled, degree; one over the antimeridian stands twice, a turn apart."""

    segment: I64
    x0: F64
    y0: F64
    x1: F64
    y1: F64

    def take(self, rows: I64 | slice) -> "Ways":
        """Return some of them."""
        return Ways(self.segment[rows], self.x0[rows], self.y0[rows], self.x1[rows], self.y1[rows])


Boxes = tuple[tuple[F64, F64], tuple[F64, F64]]


def boxes(ways: Ways, slack_deg: float) -> Boxes:
    """Boxes round ways, widened by the slack: west and east, south and north; float64 (N,), degree."""
    x, y = ((ways.x0, ways.x1), (ways.y0, ways.y1))
    west, east = np.minimum(*x) - slack_deg, np.maximum(*x) + slack_deg
    return (west, east), (np.minimum(*y) - slack_deg, np.maximum(*y) + slack_deg)


def boxes_meet(edges: Edges, around: Boxes, way: I64, edge: I64) -> tuple[I64, I64]:
    """Keep the pairs of way and edge whose boxes meet."""
    for (low, high), a, b in zip(around, (edges.lon_a, edges.lat_a), (edges.lon_b, edges.lat_b), strict=True):
        at_a, at_b = a.take(edge), b.take(edge)
        k = indices((np.minimum(at_a, at_b) <= high.take(way)) & (np.maximum(at_a, at_b) >= low.take(way)))
        way, edge = way.take(k), edge.take(k)
    return way, edge


def edge_spans(edges: Edges, ways: Ways, way: I64, edge: I64) -> tuple[I64, F64, F64]:
    """First and last common place of ways and edges.

    Parameters
    ----------
    edges, ways
        What is drawn, and segments that have a length.
    way, edge
        int64 (P,): one of each per pair.

    Returns
    -------
    pair, first, last
        int64 (M,): which of the pairs meet; float64 (M,): where, as fractions of the way. Both are one place unless way
        and edge lie on one line.

    Notes
    -----
    Method: orientation of each end against the other line, differences first (so a zone of a metre keeps its digits).
    A sign that cannot be told from zero counts as a touch: 3e-14 degree, 3e-9 m. The fraction errs by that much of way.
    """
    x0, y0, x1, y1 = (column.take(way) for column in ways[1:])
    ax, ay, bx, by = (column.take(edge) for column in (edges.lon_a, edges.lat_a, edges.lon_b, edges.lat_b))
    # The edge's ends seen from the way's start (0) and end (1). Most pairs: both ends on one side of the way.
    a, a_touches = _orientation(ax - x0, ay - y0, ax - x1, ay - y1)
    b, b_touches = _orientation(bx - x0, by - y0, bx - x1, by - y1)
    k = indices(((a > 0) != (b > 0)) | a_touches | b_touches)
    x0, y0, x1, y1 = (column.take(k) for column in (x0, y0, x1, y1))
    ax, ay, bx, by = (column.take(k) for column in (ax, ay, bx, by))
    ax0, ay0, bx0, by0 = ax - x0, ay - y0, bx - x0, by - y0
    start, start_touches = _orientation(ax0, ay0, bx0, by0)
    end, end_touches = _orientation(ax - x1, ay - y1, bx - x1, by - y1)
    met = ((start > 0) != (end > 0)) | start_touches | end_touches
    # Ends that touch each other's lines may still lie apart along them.
    met &= (np.minimum(ax, bx) <= np.maximum(x0, x1)) & (np.maximum(ax, bx) >= np.minimum(x0, x1))
    met &= (np.minimum(ay, by) <= np.maximum(y0, y1)) & (np.maximum(ay, by) >= np.minimum(y0, y1))
    r = indices(met)
    start, end = start[r], end[r]
    gap = start - end
    one_line = (start_touches & end_touches)[r] | (gap == 0.0)
    first = np.clip(start / np.where(gap == 0.0, 1.0, gap), 0.0, 1.0)
    last = first.copy()
    j = indices(one_line)
    if j.size:
        # Where the edge's ends lie along the way.
        i = r[j]
        dx, dy = (x1 - x0)[i], (y1 - y0)[i]
        length2 = dx * dx + dy * dy
        at_a = np.clip((ax0[i] * dx + ay0[i] * dy) / length2, 0.0, 1.0)
        at_b = np.clip((bx0[i] * dx + by0[i] * dy) / length2, 0.0, 1.0)
        first[j], last[j] = np.minimum(at_a, at_b), np.maximum(at_a, at_b)
    return k[r], first, last


def _orientation(px: F64, py: F64, qx: F64, qy: F64) -> tuple[F64, Bool]:
    """Twice the signed area of (origin, p, q), and whether its sign cannot be told from zero."""
    left, right = px * qy, py * qx
    area = left - right
    return area, np.abs(area) <= ORIENTATION_ERROR * (np.abs(left) + np.abs(right))
