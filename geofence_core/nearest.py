"""The inner kernel: distance and side of points to the nearest edge of short lists.

::

      points sorted by the length of their lists        step 0 looks at everybody's 1st edge,
      lists   |#       |                                step 1 at the 2nd edge of those who have one, ...
              |#       |
              |##      |   step k touches only          No repeat, no reduceat, no gather per point within a step:
              |###     |   the suffix of points whose   array passes over buffers that stay in the cache. When few
              |######  |   lists go on                  long lists are left, one ragged pass takes the rest.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from geofence_core.arrays import C128, F64, I32, I64, U8, U16, chunks, indices
from geofence_core.edges import ASK, ASK_M, INSIDE, SOFT, EdgeTable

POINTS = 1 << 14
"""Points handled at once: what a step reads and writes of them is about a megabyte, a second-level cache."""

POOL = 16
"""Blocks of so many points are looked up, and their lists collected, before lists are walked: full buffers cost fewer
calls per point."""

FEW_POINTS = 1 << 12
"""Up to so many points one ragged pass is cheaper than steps."""

CANDIDATES = 1 << 16
"""Candidates of a ragged pass; more are cut up, so that temporaries stay below 1 MB each."""

_STEP_NS = 7.0e3
_RAGGED_NS = 16.0
_SEGMENT_NS = 15.0
_PASS_NS = 14.0e3
"""Measured cost in nanoseconds of a step, of a candidate, a list and a call of the ragged pass: where to change over.
Only the speed depends on them."""


class Work:
    """Buffers of one call, kept between calls: fresh ones of this size cost page faults on every use."""

    __slots__ = (
        "across",
        "along",
        "at",
        "best",
        "edge",
        "held",
        "index",
        "length",
        "lower",
        "point",
        "shift",
        "to",
        "winner",
        "zero",
    )

    def __init__(self) -> None:
        self.to, self.at, self.point = (np.empty(POINTS, dtype=np.complex128) for _ in range(3))
        self.length, self.held, self.across, self.best, self.along, self.shift = (np.empty(POINTS) for _ in range(6))
        self.index, self.edge, self.winner = (np.empty(POINTS, dtype=np.int64) for _ in range(3))
        self.lower = np.empty(POINTS, dtype=bool)
        # Against an array the larger of two is found three times as fast as against a number.
        self.zero = np.zeros(POINTS)


_spare: list[Work] = []
"""Buffers not in use. Taking and giving back are single list operations, so threads never share one."""


def borrow() -> Work:
    """Take buffers; give them back with `give_back`."""
    try:
        return _spare.pop()
    except IndexError:
        return Work()


def give_back(work: Work) -> None:
    """Return buffers for the next call."""
    if len(_spare) < 16:
        _spare.append(work)


def nearest(
    edges: EdgeTable,
    candidate: U16,
    base: I64,
    point: C128,
    start: I64 | I32,
    count: U8,
    work: Work,
) -> tuple[F64, I64]:
    """Signed distance of points to their lists of edges.

    Parameters
    ----------
    edges
        The table the lists point into.
    candidate
        uint8 to uint32 (C,): edges of all lists, counted from ``base``.
    base
        int64 (n,), or one for all: first vertex of the zone of each point.
    point
        complex128 (n,), plane coordinates, metre; n up to `POINTS`; each in the plane of its list's zone.
    start, count
        integers (n,): list i is ``candidate[start[i] : start[i] + count[i]]``; counts of 1 and more, uint8 or uint16,
        as `shortest_first` puts them.
    work
        Buffers; ``work.point`` and ``work.shift`` stay as they are.

    Returns
    -------
    signed_m, ask
        float64 (n,), metre, negative left of the nearest edge, a buffer of ``work``; int64: the points whose side is
        not to be trusted, because they are within `edges.ASK_M` of an edge or nearest to a corner where rings touch.

    Notes
    -----
    Method: the nearest edge by squared distances; distance and side anew for the winners, in plain multiplications
    without fused ones and from the corner itself where a corner is nearest, so that every list that holds the winner
    gives the same bits. Against shapely on the same coordinates: below 1e-9 m. Cost: 9 ns a candidate.
    """
    if point.size <= FEW_POINTS:
        winner = _ragged(edges, candidate, base, point, start, count)[1]
    else:
        winner = _winners(edges, candidate, base, point, start, count, work)
    return _distance(edges, point, winner, work)


def shortest_first(count: U8, *columns: Any) -> tuple[Any, ...]:
    """Return lengths of lists, and arrays of as many rows, in the order in which `nearest` walks them."""
    if count.size <= FEW_POINTS:
        return count, *columns
    order = np.argsort(count, kind="stable")
    return count.take(order), *(column.take(order) for column in columns)


def by_zone(zone: I64 | I32) -> I64:
    """Order that puts points of neighbouring zones side by side: their cells and edges then stay in the cache.

    By the highest byte of the zone, which costs a quarter of sorting by zone and keeps 1 in 256 together.
    """
    return np.argsort((zone >> max(0, int(zone.max()).bit_length() - 8)).astype(np.uint8), kind="stable")


def _winners(edges: EdgeTable, candidate: U16, base: I64, point: C128, begin: I64 | I32, count: U8, work: Work) -> I64:
    n = point.size
    longest = int(count[-1])
    # How many lists are shorter than 0, 1, 2, ...: they are in order.
    shorter = count.searchsorted(np.arange(longest + 1, dtype=count.dtype)).tolist()
    at_least = [n - low for low in shorter]
    steps = _steps(at_least)
    best, winner, zero = work.best[:n], work.winner[:n], work.zero
    for k in range(steps):
        m = at_least[k + 1]
        low = n - m
        i, e = work.index[:m], work.edge[:m]
        np.add(begin[low:], k, out=i)
        np.add(candidate.take(i), base[low:] if base.ndim else base, out=e)
        if k == 0:
            # The only edge of a list wins without being measured.
            winner[:] = e
            alone = n - at_least[2] if longest > 1 else n
            if alone == n:
                continue
            low, m, e = alone, n - alone, e[alone:]
        to, at = work.to[:m], work.at[:m]
        length, held, along = work.length[:m], work.held[:m], work.along[:m]
        across, lower = work.across[:m], work.lower[:m]
        edges.at.take(e, out=at, mode="clip")
        np.subtract(point[low:].view(np.float64), at.view(np.float64), out=to.view(np.float64))
        edges.unit.take(e, out=at, mode="clip")
        np.multiply(to, at, out=to)
        edges.length_m.take(e, out=length, mode="clip")
        np.copyto(along, to.real)
        np.minimum(along, length, out=held)
        np.maximum(held, zero[:m], out=held)
        np.subtract(along, held, out=held)
        np.multiply(held, held, out=held)
        np.multiply(to.imag, to.imag, out=across)
        if k == 0:
            np.add(across, held, out=best[low:])
            continue
        np.add(across, held, out=across)
        np.less(across, best[low:], out=lower)
        np.minimum(across, best[low:], out=best[low:])
        np.putmask(winner[low:], lower, e)
    if steps < longest:
        low = shorter[steps + 1]
        rest = base[low:] if base.ndim else base
        lowest, found = _ragged(edges, candidate, rest, point[low:], begin[low:] + steps, count[low:] - steps)
        if steps:
            np.putmask(winner[low:], lowest < best[low:], found)
        else:
            winner[low:] = found
    return winner


def _steps(at_least: list[int]) -> int:
    """How many steps are walked before the ragged pass is cheaper for what is left."""
    longest = len(at_least) - 1
    steps, rest = longest, 0
    for k in range(longest, 0, -1):
        rest += at_least[k]
        if _RAGGED_NS * rest + _SEGMENT_NS * at_least[k] + _PASS_NS < _STEP_NS * (longest - k + 1):
            steps = k - 1
        elif at_least[k] > 4096:
            break
    return steps


def _ragged(edges: EdgeTable, candidate: U16, base: I64, point: C128, start: I64 | I32, count: U8) -> tuple[F64, I64]:
    """Squared distance to the nearest edge of each list, and that edge, the first of equals."""
    number = count.astype(np.int64)
    stop = number.cumsum()
    if stop[-1] > CANDIDATES and number.size > 1:
        parts = [
            _ragged(edges, candidate, base[s] if base.ndim else base, point[s], start[s], count[s])
            for s in chunks(number, CANDIDATES)
        ]
        return np.concatenate([low for low, _ in parts]), np.concatenate([edge for _, edge in parts])
    first = stop - number
    own = np.arange(number.size).repeat(number)
    index = (start - first).take(own)
    index += np.arange(own.size)
    e = candidate.take(index) + (base.take(own) if base.ndim else base)
    to = point.take(own)
    to -= edges.at.take(e)
    to *= edges.unit.take(e)
    along = to.real.copy()
    held = np.minimum(along, edges.length_m.take(e))
    np.maximum(held, np.zeros(held.size), out=held)
    along -= held
    along *= along
    squared = to.imag * to.imag
    squared += along
    lowest = np.minimum.reduceat(squared, first)
    rows = indices(squared == lowest.take(own))
    if rows.size == number.size:
        return lowest, e.take(rows)
    # Written from the last to the first, so that of equals the first edge wins.
    rows = rows[::-1]
    found = np.empty(number.size, dtype=np.int64)
    found[own.take(rows)] = e.take(rows)
    return lowest, found


def _distance(edges: EdgeTable, point: C128, winner: I64, work: Work) -> tuple[F64, I64]:
    n = point.size
    at = edges.at.take(winner, out=work.at[:n], mode="clip")
    to = work.to[:n]
    np.subtract(point.view(np.float64), at.view(np.float64), out=to.view(np.float64))
    unit = edges.unit.take(winner, out=at, mode="clip")
    # unit is the conjugate direction: its imaginary part is minus the northward share.
    along = np.multiply(to.real, unit.real, out=work.along[:n])
    part = np.multiply(to.imag, unit.imag, out=work.held[:n])
    along -= part
    across = np.multiply(to.imag, unit.real, out=work.across[:n])
    np.multiply(to.real, unit.imag, out=part)
    across += part
    length = edges.length_m.take(winner, out=work.length[:n], mode="clip")
    # Where a corner is nearest this is noise, and replaced below.
    signed = np.subtract(length, along, out=work.best[:n])
    signed *= along
    part[:] = edges.bulge_per_m.take(winner)
    signed *= part
    signed -= across
    ask = np.abs(signed, out=part) < ASK_M
    corner = indices((along <= 0.0) | (along >= length))
    if corner.size:
        last = along.take(corner) > 0.0
        e = winner.take(corner)
        gap = point.take(corner)
        gap -= edges.at.take(e + last)
        d = np.sqrt(gap.real * gap.real + gap.imag * gap.imag)
        code = edges.code.take(e)
        code >>= last.view(np.uint8) << 1
        code &= 3
        inside = code == INSIDE
        soft = indices(code == SOFT)
        inside[soft] = across.take(corner.take(soft)) > 0.0
        signed[corner] = np.where(inside, -d, d)
        ask[corner] = (code == ASK) | (d < ASK_M)
    return signed, indices(ask)


def nearest_one(
    edges: Sequence[tuple[float, float, float, float, float, float, float, int, int, float]], x: float, y: float
) -> tuple[float, int]:
    """`nearest` of one point and one list in plain floats.

    Parameters
    ----------
    edges
        Per edge: start x, y; conjugate direction x, y; length; end x, y; code of the start, code of the end; bulge.
    x, y
        Metre.

    Returns
    -------
    signed_m, code
        As in `nearest`; `edges.ASK` where the side is not to be trusted.
    """
    best = 1e300
    signed = 0.0
    found = SOFT
    q: float
    for ax, ay, ux, uy, length, bx, by, code_a, code_b, bulge in edges:
        dx = x - ax
        dy = y - ay
        along = dx * ux - dy * uy
        across = dy * ux + dx * uy
        if along <= 0.0:
            q = dx * dx + dy * dy
            if q < best:
                best = q
                found = code_a
                signed = -sqrt(q) if (across > 0.0 if code_a == SOFT else code_a == INSIDE) else sqrt(q)
        elif along >= length:
            dx = x - bx
            dy = y - by
            q = dx * dx + dy * dy
            if q < best:
                best = q
                found = code_b
                signed = -sqrt(q) if (across > 0.0 if code_b == SOFT else code_b == INSIDE) else sqrt(q)
        else:
            q = across * across
            if q < best:
                best = q
                found = SOFT
                signed = (length - along) * along * bulge - across
    return signed, found
