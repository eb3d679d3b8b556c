"""Every edge for every fix, compiled: what numba gives without an index."""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import shapely

from benchmarks.peers import Shapely
from benchmarks.plane import project_one
from benchmarks.workloads import F64, I64


def edges(peer: Shapely) -> tuple[F64, F64, F64, F64, I64]:
    """Ends of all edges in the plane, and where each zone's begin."""
    rings, of = shapely.get_rings(peer.flat, return_index=True)
    at, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    a, b = at[:-1][same], at[1:][same]
    first = np.searchsorted(of[ring[:-1][same]], np.arange(len(peer.flat) + 1))
    columns = (a[:, 0], a[:, 1], b[:, 0], b[:, 1])
    return *(np.ascontiguousarray(c) for c in columns), first  # type: ignore[return-value]


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _signed(x: float, y: float, ax: F64, ay: F64, bx: F64, by: F64, first: I64, out: F64) -> None:
    for zone in range(first.size - 1):
        best, inside = np.inf, False
        for e in range(first[zone], first[zone + 1]):
            dx, dy, px, py = bx[e] - ax[e], by[e] - ay[e], x - ax[e], y - ay[e]
            t = min(1.0, max(0.0, (px * dx + py * dy) / (dx * dx + dy * dy)))
            rx, ry = px - t * dx, py - t * dy
            best = min(best, rx * rx + ry * ry)
            if (ay[e] > y) != (by[e] > y) and (px < dx * py / dy):
                inside = not inside
        out[zone] = -math.sqrt(best) if inside else math.sqrt(best)


def single(peer: Shapely) -> Any:
    """One fix against all zones of a wearer."""
    columns = edges(peer)
    out: npt.NDArray[np.float64] = np.empty(len(peer.flat))

    def check(lat: float, lon: float) -> F64:
        x, y = project_one(lat, lon)
        _signed(x, y, *columns, out)
        return out

    return check
