"""Points that are hard to judge: on rings, a hair beside them, in line with them, equally far from several edges.

Works in any plane whose axes have a fixed scale: degrees (longitude, latitude) with metres per degree, or metres.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

HAIRS_LOG10_M = (-13.0, -3.0)
"""Offsets beside edges and vertices: from below the rounding of the coordinates to what a ruler shows."""

LATTICE_LOG2 = (4, 12)
"""Cell borders lie on multiples of 2**-4 to 2**-12 of the plane's unit: 7 km to 27 m in degrees."""


def edges_of(rings: Sequence[F64]) -> tuple[F64, F64]:
    """Starts and ends of all edges; (E, 2) each."""
    return np.concatenate([r[:-1] for r in rings]), np.concatenate([r[1:] for r in rings])


def metres_per_degree(lat: float) -> F64:
    """Metres per degree of longitude and of latitude on WGS 84 at a latitude; (2,)."""
    phi = np.radians(lat)
    w2 = 1 - 0.0066943799901413165 * np.sin(phi) ** 2
    across = 6378137.0 / np.sqrt(w2) * np.cos(phi)
    along = 6378137.0 * (1 - 0.0066943799901413165) / w2**1.5
    return np.radians(1.0) * np.array([across, along])


def hard_points(
    rng: np.random.Generator, rings: Sequence[F64], n: int, scale_m: F64, holes: Sequence[F64] = ()
) -> dict[str, F64]:
    """About n points round closed rings, by kind; each (m, 2) in the rings' plane.

    Parameters
    ----------
    rings, holes
        (V, 2), closed; ``holes`` are those of the rings whose corners are to be asked for as well.
    scale_m
        (2,) metres per unit of each axis.
    """
    start, end = edges_of(rings)
    size_m = float(np.hypot(*((np.concatenate(rings).max(axis=0) - np.concatenate(rings).min(axis=0)) * scale_m)))
    kinds: dict[str, Callable[[int], F64]] = {
        "vertices": lambda m: start[rng.integers(0, len(start), m)],
        "on edges": lambda m: _along(rng, start, end, rng.uniform(0, 1, m))[0],
        "in line with edges": lambda m: _along(
            rng, start, end, np.where(rng.uniform(size=m) < 0.5, rng.uniform(-3, 0, m), rng.uniform(1, 4, m))
        )[0],
        "beside edges": lambda m: _beside_edges(rng, start, end, m, scale_m),
        "beside vertices": lambda m: _beside(rng, start, m, scale_m),
        "cell borders": lambda m: _cell_borders(rng, start, end, m),
        "where edges meet cell borders": lambda m: _crossings(rng, start, end, m),
        "equally far from two edges": lambda m: _bisectors(rng, rings, m, scale_m, size_m),
        "equally far from three places": lambda m: _circumcentres(rng, start, end, m, scale_m),
    }
    if holes:
        corners = np.concatenate([h[:-1] for h in holes])
        kinds["corners of holes"] = lambda m: np.concatenate(
            [corners[rng.integers(0, len(corners), m - m // 2)], _beside(rng, corners, m // 2, scale_m)]
        )
    share = -(-n // len(kinds))
    return {name: make(share) for name, make in kinds.items()}


def _along(rng: np.random.Generator, start: F64, end: F64, t: F64) -> tuple[F64, npt.NDArray[np.int64]]:
    edge = rng.integers(0, len(start), t.size)
    return start[edge] + t[:, None] * (end[edge] - start[edge]), edge


def _hairs_m(rng: np.random.Generator, m: int) -> F64:
    return np.asarray(10.0 ** rng.uniform(*HAIRS_LOG10_M, m))


def _beside(rng: np.random.Generator, places: F64, m: int, scale_m: F64) -> F64:
    angle = rng.uniform(0, 2 * np.pi, m)
    offset = _hairs_m(rng, m)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) / scale_m
    return np.asarray(places[rng.integers(0, len(places), m)] + offset)


def _beside_edges(rng: np.random.Generator, start: F64, end: F64, m: int, scale_m: F64) -> F64:
    at, edge = _along(rng, start, end, rng.uniform(0, 1, m))
    along = (end - start)[edge] * scale_m
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / np.hypot(*along.T)[:, None]
    return np.asarray(at + (_hairs_m(rng, m) * rng.choice([-1.0, 1.0], m))[:, None] * normal / scale_m)


def _snap(rng: np.random.Generator, values: F64) -> F64:
    cells = 2.0 ** rng.integers(LATTICE_LOG2[0], LATTICE_LOG2[1] + 1, values.size)
    return np.asarray(np.round(values * cells) / cells)


def _ulps(rng: np.random.Generator, values: F64) -> F64:
    """Each value, or its neighbour among the doubles on either side."""
    to = rng.choice([-np.inf, 0.0, np.inf], values.size)
    return np.where(to == 0.0, values, np.nextafter(values, to))


def _cell_borders(rng: np.random.Generator, start: F64, end: F64, m: int) -> F64:
    west, east = start.min(axis=0), start.max(axis=0)
    at = rng.uniform(west - 0.3 * (east - west), east + 0.3 * (east - west), (m, 2))
    which = rng.integers(0, 3, m)
    for axis in (0, 1):
        on = (which == axis) | (which == 2)
        at[on, axis] = _ulps(rng, _snap(rng, at[on, axis]))
    return at


def _crossings(rng: np.random.Generator, start: F64, end: F64, m: int) -> F64:
    """Where edges meet the cells' borders, one last bit to either side included."""
    at, edge = _along(rng, start, end, rng.uniform(0, 1, m))
    axis = rng.integers(0, 2, m)
    rows = np.arange(m)
    border = _snap(rng, at[rows, axis])
    step = (end - start)[edge]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (border - start[edge][rows, axis]) / step[rows, axis]
    on = (t >= 0) & (t <= 1)
    at[on] = start[edge][on] + t[on, None] * step[on]
    at[rows[on], axis[on]] = _ulps(rng, border[on])
    return at


def _bisectors(rng: np.random.Generator, rings: Sequence[F64], m: int, scale_m: F64, size_m: float) -> F64:
    """On the bisectors of the corners, as deep as the zone and as shallow as a hair."""
    corner, before, after = (
        np.concatenate([np.roll(r[:-1], shift, axis=0) for r in rings]) * scale_m for shift in (0, 1, -1)
    )
    pick = rng.integers(0, len(corner), m)
    a, b = before[pick] - corner[pick], after[pick] - corner[pick]
    way = a / np.hypot(*a.T)[:, None] + b / np.hypot(*b.T)[:, None]
    length = np.hypot(*way.T)
    # A straight corner has no bisector this way; its normal is one.
    way = np.where(
        length[:, None] > 1e-9, way / np.maximum(length, 1e-300)[:, None], np.column_stack([-a[:, 1], a[:, 0]])
    )
    way /= np.hypot(*way.T)[:, None]
    reach = size_m * 10.0 ** rng.uniform(-6, 0, m) * rng.choice([-1.0, 1.0], m)
    return np.asarray((corner[pick] + way * reach[:, None]) / scale_m)


def _circumcentres(rng: np.random.Generator, start: F64, end: F64, m: int, scale_m: F64) -> F64:
    """Equally far from three places on the rings, and the middles of two of them where three are in line."""
    a, b, c = (_along(rng, start, end, rng.choice([0.0, 0.5, 1.0], m))[0] * scale_m for _ in range(3))
    u, v = b - a, c - a
    cross = 2 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    uu, vv = (u * u).sum(axis=1), (v * v).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = a + np.column_stack([v[:, 1] * uu - u[:, 1] * vv, u[:, 0] * vv - v[:, 0] * uu]) / cross[:, None]
        far = ~(np.hypot(*(centre - a).T) < 4 * np.hypot(*np.ptp(start * scale_m, axis=0)))
    return np.where(far[:, None], (a + b) / 2, centre) / scale_m
