"""Where a segment runs within circles and corridors, on the ground.

::

             .-----------.            The segment is straight in longitude and latitude; on the ground it bends. It is
        ----*---piece-----*---->      halved, and what cannot meet the rim dropped, until a piece bends little. Then a
             '-----------'            straight line against the rim gives a guess, and from there the distance of places
          entry         exit          on the segment itself, as it is measured for a fix, is followed to zero.
"""

from typing import NamedTuple

import numpy as np

from geofence_core.arrays import F64, I64, Bool, indices
from geofence_core.ellipsoid import Frames, arc_m, frames, stretch
from geofence_core.sweep import Rounds, arc_slack_m, length_m

PIECE_M = 1_000.0
TURN_RAD = 0.01
"""Longest piece of a segment, and how far it may turn; metre, radian. The guess on a longer one is worse and needs more
steps; one that turns more could leave and enter a rim again in between."""

PLANE_LIMIT_M = 50_000.0
"""Up to here a corridor's rim is guessed in the plane; metre. Beyond it the plane's error outgrows the margin."""

MARGIN_M = 0.05
MARGIN_RATIO = 1e-5
"""Depth up to which a pass counts as grazing, so that its deepest place is searched for and not guessed; metre, and
share of the distance. Covers the bend of a corridor's piece (20 mm) and the plane's error."""

TOLERANCE_M = 1e-7
TOLERANCE_RATIO = 1e-14
"""How near the rim an entry or exit is found; metre, and share of the distance (rounding)."""

STEPS = 60
"""Most steps to an entry; every fourth halves what is left, so 2**-15 of a piece is sure. All but grazing passes are
done after four."""

GOLDEN_STEPS = 48
"""Steps of the search for the deepest place of a grazing pass; they leave 1e-10 of the piece."""

DEPTH = 40
"""Most halvings of a segment."""


class Lines(NamedTuple):
    """Segments, straight in longitude and latitude, each with an item; place x in [0, 1] is start + x * step."""

    item: I64
    lat: F64
    lon: F64
    dlat: F64
    dlon: F64

    def take(self, rows: I64) -> "Lines":
        """Return some of them."""
        return Lines(self.item[rows], self.lat[rows], self.lon[rows], self.dlat[rows], self.dlon[rows])

    def at(self, x: F64) -> Frames:
        """Place one fix on each."""
        lat = np.clip(self.lat + x * self.dlat, -90.0, 90.0)
        lon = self.lon + x * self.dlon
        return frames(lat, np.where(np.abs(lon) > 360.0, lon - np.copysign(360.0, lon), lon))


def near_rim(rounds: Rounds, lines: Lines) -> I64:
    """Segments that bounds leave near the item's rim: not those far outside, nor those wholly within."""
    apart, half, slack = _bounds(rounds, lines)
    reach = rounds.reach_m.take(lines.item)
    outside = apart - half > reach + rounds.half_m.take(lines.item) + slack
    return indices(~(outside | (apart + half <= reach - slack)))


def _bounds(rounds: Rounds, lines: Lines) -> tuple[F64, F64, F64]:
    """Distance from the segments' middles to their items' middles, half their lengths (upper bound), and slack."""
    half = length_m(lines.lat, lines.lat + lines.dlat, lines.dlon) / 2
    apart = _to_middle_m(rounds, lines.item, lines.at(np.full(lines.item.size, 0.5)))
    return apart, half, arc_slack_m(apart)


def round_spans(rounds: Rounds, lines: Lines) -> tuple[I64, F64, F64]:
    """First and last place of segments within circles and pieces of corridors.

    Parameters
    ----------
    rounds
        Circles and pieces.
    lines
        P segments, each with the item that it is asked for; longitudes unrolled.

    Returns
    -------
    row, first, last
        int64 (M,): which segment, once or more; float64 (M,): a stretch of it within the item, as fractions of the
        segment. Entry and exit are the first and last place of all its rows.

    Notes
    -----
    Error: the places lie within 1e-7 m (and 1e-14 of the distance) of where the fix's own distance says the rim is,
    unless the segment runs along the rim; a pass deeper than 1e-6 m is not missed. Cost: 0.4 us for what is ruled out,
    5 us for what crosses a rim.
    """
    row = np.arange(lines.item.size, dtype=np.int64)
    t0, t1 = np.zeros(row.size), np.ones(row.size)
    found: list[tuple[I64, F64, F64]] = [(row[:0], t0[:0], t1[:0])]
    for depth in range(DEPTH + 1):
        if not row.size:
            break
        whole_line = lines.take(row)
        length = t1 - t0
        line = whole_line._replace(
            lat=whole_line.lat + t0 * whole_line.dlat,
            lon=whole_line.lon + t0 * whole_line.dlon,
            dlat=length * whole_line.dlat,
            dlon=length * whole_line.dlon,
        )
        end_lat = line.lat + line.dlat
        apart, half, slack = _bounds(rounds, line)
        turn = np.abs(np.radians(line.dlon) * np.sin(np.radians(np.maximum(np.abs(line.lat), np.abs(end_lat)))))
        reach = rounds.reach_m.take(line.item)
        within = apart + half <= reach - slack
        meets = (apart - half <= reach + rounds.half_m.take(line.item) + slack) & ~within
        found.append((row[within], t0[within], t1[within]))
        ready = ((2 * half <= PIECE_M) & (turn <= TURN_RAD)) | (depth == DEPTH)
        k = indices(ready & meets)
        if k.size:
            margin = MARGIN_M + MARGIN_RATIO * apart[k] + half[k] * turn[k] / 4
            hit, first, last = _spans(rounds, line.take(k), apart[k], margin)
            k = k[hit]
            found.append((row[k], t0[k] + first * length[k], t0[k] + last * length[k]))
        k = indices(~ready & meets)
        cut = 0.5 * (t0[k] + t1[k])
        row = row[k].repeat(2)
        t0, t1 = np.stack([t0[k], cut], axis=1).ravel(), np.stack([cut, t1[k]], axis=1).ravel()
    rows, firsts, lasts = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, firsts, lasts


def _spans(rounds: Rounds, lines: Lines, apart_m: F64, margin_m: F64) -> tuple[I64, F64, F64]:
    """Stretch of short segments within their items: which of them have one, its first and last place."""
    flat = (rounds.circle.take(lines.item) == 0) & (apart_m + rounds.half_m.take(lines.item) < PLANE_LIMIT_M)
    may = np.zeros(flat.size, dtype=bool)
    first, last = np.zeros(flat.size), np.ones(flat.size)
    grazing = np.ones(flat.size, dtype=bool)
    for rows, guess in ((indices(flat), _plane_guess), (indices(~flat), _curve_guess)):
        if rows.size:
            may[rows], first[rows], last[rows], grazing[rows] = guess(rounds, lines.take(rows), margin_m[rows])
    k = indices(may)
    lines, first, last, grazing = lines.take(k), first[k], last[k], grazing[k]
    zero, one = np.zeros(k.size), np.ones(k.size)
    deep = np.clip(0.5 * (first + last), 0.0, 1.0)
    j = indices(grazing)
    if j.size:
        deep[j] = _deepest(rounds, lines.take(j))
    at_start, at_end = _rim_m(rounds, lines, zero), _rim_m(rounds, lines, one)
    at_deep = _rim_m(rounds, lines, deep)
    hit = indices((at_start <= 0.0) | (at_end <= 0.0) | (at_deep <= 0.0))
    lines, k = lines.take(hit), k[hit]
    at_start, at_end, at_deep, deep = at_start[hit], at_end[hit], at_deep[hit], deep[hit]
    # Somewhere within the item, to search from both ends towards.
    inner = np.where(at_deep <= 0.0, deep, np.where(at_end <= 0.0, 1.0, 0.0))
    at_inner = np.where(at_deep <= 0.0, at_deep, np.where(at_end <= 0.0, at_end, at_start))
    first = _root(rounds, lines, zero[hit], at_start, inner, at_inner, first[hit])
    inner = np.where(at_deep <= 0.0, deep, np.where(at_start <= 0.0, 0.0, 1.0))
    at_inner = np.where(at_deep <= 0.0, at_deep, np.where(at_start <= 0.0, at_start, at_end))
    last = _root(rounds, lines, one[hit], at_end, inner, at_inner, last[hit])
    return k, first, last


def _to_middle_m(rounds: Rounds, item: I64, at: Frames) -> F64:
    x, y, z = (axis.take(item) for axis in rounds.middle_m)
    return arc_m(at.x_m, at.y_m, at.z_m, x, y, z)


def _rim_m(rounds: Rounds, lines: Lines, x: F64) -> F64:
    """Signed distance from place x of each segment to its item, negative within; float64, metre."""
    at = lines.at(x)
    circle = rounds.circle.take(lines.item)
    if circle.all():
        return _to_middle_m(rounds, lines.item, at) - rounds.reach_m.take(lines.item)
    out = np.empty(x.size)
    for rows, distance in ((indices(circle == 1), _to_middle_m), (indices(circle == 0), piece_m)):
        if rows.size:
            out[rows] = distance(rounds, lines.item[rows], Frames(*(column[rows] for column in at)))
    out -= rounds.reach_m.take(lines.item)
    return out


def piece_m(rounds: Rounds, item: I64, at: Frames) -> F64:
    """Distance from fixes to one piece of a line each, in the fix's own plane; float64 (P,), metre."""
    (e0, n0), (e1, n1) = (_in_plane(at, *(axis.take(item) for axis in end)) for end in rounds.ends_m)
    de, dn = e1 - e0, n1 - n0
    length2 = de * de + dn * dn
    length = np.where(length2 > 0, np.sqrt(length2), 1.0)
    place = -(e0 * de + n0 * dn) / (length * length)
    t = np.clip(place, 0.0, 1.0)
    across = (n0 * de - e0 * dn) / length + 4.0 * rounds.bend_m.take(item) * (t * (1.0 - t))
    beyond = (place - t) * length
    out: F64 = np.sqrt(across * across + beyond * beyond)
    return out


def _in_plane(at: Frames, x: F64, y: F64, z: F64) -> tuple[F64, F64]:
    dx, dy, dz = x - at.x_m, y - at.y_m, z - at.z_m
    east = dy * at.cos_lon - dx * at.sin_lon
    north = dz * at.cos_lat - (dx * at.cos_lon + dy * at.sin_lon) * at.sin_lat
    scale = stretch((east * east + north * north) * at.curvature)
    return east * scale, north * scale


def _plane_guess(rounds: Rounds, lines: Lines, margin_m: F64) -> tuple[Bool, F64, F64, Bool]:
    """Take segment and piece for straight, in the plane of the segment's middle.

    Returns
    -------
    may, first, last, grazing
        bool: whether they may meet; float64: where, fraction; bool: whether the meeting is less deep than the margin.
    """
    at = lines.at(np.full(lines.item.size, 0.5))
    start, end = lines.at(np.zeros(lines.item.size)), lines.at(np.ones(lines.item.size))
    e0, n0 = _in_plane(at, start.x_m, start.y_m, start.z_m)
    e1, n1 = _in_plane(at, end.x_m, end.y_m, end.z_m)
    (ea, na), (eb, nb) = (_in_plane(at, *(axis.take(lines.item) for axis in end)) for end in rounds.ends_m)
    length = np.sqrt((eb - ea) ** 2 + (nb - na) ** 2)
    safe = np.where(length > 0, length, 1.0)
    along = ((eb - ea) / safe, (nb - na) / safe)
    # Along and across the piece, from its start.
    u, v = (e0 - ea) * along[0] + (n0 - na) * along[1], (n0 - na) * along[0] - (e0 - ea) * along[1]
    du, dv = (e1 - e0) * along[0] + (n1 - n0) * along[1], (n1 - n0) * along[0] - (e1 - e0) * along[1]
    reach = rounds.reach_m.take(lines.item)
    low, high = _rounded_box(u, v, du, dv, length, reach + margin_m)
    may = low <= high
    first, last = _rounded_box(u, v, du, dv, length, reach)
    inner = _rounded_box(u, v, du, dv, length, np.maximum(reach - margin_m, 0.0))
    missed = ~(first <= last)
    first, last = np.where(missed, low, first), np.where(missed, high, last)
    grazing = missed | ~(inner[0] <= inner[1]) | (reach <= margin_m)
    return may, first, last, grazing


def _rounded_box(u: F64, v: F64, du: F64, dv: F64, length: F64, reach: F64) -> tuple[F64, F64]:
    """Stretch of the lines (u, v) + x (du, dv) no further than ``reach`` from (0..length, 0); empty: first > last."""
    box = [_strip(v, dv, -reach, reach), _strip(u, du, np.zeros(u.size), length)]
    parts = [
        (np.maximum(box[0][0], box[1][0]), np.minimum(box[0][1], box[1][1])),
        _disc(u, v, du, dv, reach),
        _disc(u - length, v, du, dv, reach),
    ]
    first, last = np.full(u.size, np.inf), np.full(u.size, -np.inf)
    for a, b in parts:
        low, high = np.maximum(a, 0.0), np.minimum(b, 1.0)
        some = low <= high
        first = np.where(some, np.minimum(first, low), first)
        last = np.where(some, np.maximum(last, high), last)
    return first, last


def _strip(v: F64, dv: F64, low: F64, high: F64) -> tuple[F64, F64]:
    still = dv == 0.0
    step = np.where(still, 1.0, dv)
    a, b = (low - v) / step, (high - v) / step
    within = (v >= low) & (v <= high)
    first = np.where(still, np.where(within, 0.0, np.inf), np.minimum(a, b))
    last = np.where(still, np.where(within, 1.0, -np.inf), np.maximum(a, b))
    return first, last


def _disc(u: F64, v: F64, du: F64, dv: F64, reach: F64) -> tuple[F64, F64]:
    speed2 = du * du + dv * dv
    return _parabola(u * u + v * v - reach * reach, 2.0 * (u * du + v * dv), speed2)


def _parabola(c0: F64, c1: F64, c2: F64) -> tuple[F64, F64]:
    """Where c0 + c1 x + c2 x^2 <= 0 with c2 > 0; empty: first > last."""
    square = c1 * c1 - 4.0 * c0 * c2
    some = (square >= 0.0) & (c2 > 0.0)
    # The root of larger size first, the other from the product: no cancellation.
    q = -0.5 * (c1 + np.copysign(np.sqrt(np.where(some, square, 0.0)), c1))
    a = q / np.where(some, c2, 1.0)
    b = np.where(q == 0.0, a, c0 / np.where(q == 0.0, 1.0, q))
    return np.where(some, np.minimum(a, b), np.inf), np.where(some, np.maximum(a, b), -np.inf)


def _curve_guess(rounds: Rounds, lines: Lines, margin_m: F64) -> tuple[Bool, F64, F64, Bool]:
    """Lay a parabola through the squared distances of three places; returns as `_plane_guess`."""
    n = lines.item.size
    d0, dm, d1 = (_to_middle_m(rounds, lines.item, lines.at(np.full(n, x))) for x in (0.0, 0.5, 1.0))
    reach = rounds.reach_m.take(lines.item)
    # Differences of squares, so that a large circle keeps its digits.
    fm, f1 = (dm - d0) * (dm + d0), (d1 - d0) * (d1 + d0)
    c2 = 2.0 * (f1 - 2.0 * fm)
    c1 = f1 - c2
    c0 = (d0 - reach) * (d0 + reach)
    deepest = np.where(c2 > 0, np.clip(-c1 / np.where(c2 > 0, 2 * c2, 1.0), 0.0, 1.0), np.where(f1 < 0, 1.0, 0.0))
    depth = (c0 + deepest * (c1 + deepest * c2)) / (d0 + reach)
    half = rounds.half_m.take(lines.item)
    a, b = _parabola(c0, c1, c2)
    first, last = np.clip(a, 0.0, 1.0), np.clip(b, 0.0, 1.0)
    missed = ~(a <= b)
    first, last = np.where(missed, deepest, first), np.where(missed, deepest, last)
    return depth <= margin_m + half, first, last, missed | (np.abs(depth) <= margin_m) | (half > 0)


def _deepest(rounds: Rounds, lines: Lines) -> F64:
    """Place nearest to the item's middle line, by golden section."""
    ratio = 0.6180339887498949
    a, b = np.zeros(lines.item.size), np.ones(lines.item.size)
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    at_x, at_y = _rim_m(rounds, lines, x), _rim_m(rounds, lines, y)
    for _ in range(GOLDEN_STEPS):
        left = at_x <= at_y
        a, b = np.where(left, a, x), np.where(left, y, b)
        new = np.where(left, b - ratio * (b - a), a + ratio * (b - a))
        at_new = _rim_m(rounds, lines, new)
        x, y = np.where(left, new, y), np.where(left, x, new)
        at_x, at_y = np.where(left, at_new, at_y), np.where(left, at_x, at_new)
    return np.where(at_x <= at_y, x, y)


def _root(rounds: Rounds, lines: Lines, outer: F64, at_outer: F64, inner: F64, at_inner: F64, guess: F64) -> F64:
    """Place on the rim between one outside and one within; the outer place itself where that is within as well."""
    out = outer.copy()
    k = indices((at_outer > 0.0) & (at_inner <= 0.0))
    line, a, fa, b, fb = lines.take(k), outer[k], at_outer[k], inner[k], at_inner[k]
    tolerance = TOLERANCE_M + TOLERANCE_RATIO * rounds.reach_m.take(line.item)
    x = np.clip(guess[k], np.minimum(a, b), np.maximum(a, b))
    before, at_before = a, fa
    for step in range(STEPS):
        if not k.size:
            break
        at_x = _rim_m(rounds, line, x)
        within = at_x <= 0.0
        a, fa = np.where(within, a, x), np.where(within, fa, at_x)
        b, fb = np.where(within, x, b), np.where(within, at_x, fb)
        out[k] = x
        rise = at_x - at_before
        new = x - at_x * (x - before) / np.where(rise == 0.0, np.inf, rise)
        low, high = np.minimum(a, b), np.maximum(a, b)
        new = np.where((new > low) & (new < high) & (step % 4 != 3), new, 0.5 * (a + b))
        open_ = indices((np.abs(at_x) > tolerance) & (new != x) & (low < high))
        k, line, tolerance = k[open_], line.take(open_), tolerance[open_]
        before, at_before, x = x[open_], at_x[open_], new[open_]
        a, fa, b, fb = a[open_], fa[open_], b[open_], fb[open_]
    return out
