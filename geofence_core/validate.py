"""Checks that a zone means what its author drew, or says which vertex is wrong.

Nothing is changed silently: without ``mend`` a fault raises ``ZoneGeometryError``; with it, what can be mended without
guessing a position is mended and reported as a ``Mend``.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geofence_core import topology
from geofence_core.arrays import F64, Bool
from geofence_core.errors import ZoneGeometryError
from geofence_core.shapes import Mend, ZoneShape

RADIUS_LIMIT_M = 9_000_000.0
"""Largest circle; metre. Beyond a quarter of the globe geodesics from the centre begin to meet again near the
antipode, so a larger circle has no clear outside."""

HALF_WIDTH_LIMIT_M = 1_000_000.0
"""Widest corridor; metre. Wider ones are drawn as polygons; the limit catches a width given in millimetres."""

LONGEST_EDGE_DEG = 180.0
"""An edge over more degrees of longitude than this is nearly always one that meant to cross the antimeridian."""

SWAP_FAR_KM = 1_000.0
SWAP_NEAR_KM = 200.0
"""A zone this far from the middle of all others, which would lie this near to it with latitude and longitude exchanged,
was written in the wrong order; kilometres. Narrower limits miss swaps, wider ones accuse zones of honest orders."""

_CUT = "next: cut it at the antimeridian (RFC 7946, 3.1.9), add a vertex in between, or load with mend=True"


def check(shape: ZoneShape, *, mend: bool = False) -> tuple[ZoneShape, list[Mend]]:
    """Check one zone; with ``mend`` repair what has one sensible reading.

    Returns
    -------
    shape, mends
        The zone with valid rings (shell counter-clockwise, holes clockwise, closed) and what was changed.

    Raises
    ------
    ZoneGeometryError
        Names zone, ring and vertex of the first fault.
    """
    mends: list[Mend] = []
    if shape.kind == "circle":
        return _check_circle(shape, mend, mends), mends
    if shape.kind == "corridor":
        return _check_corridor(shape, mend, mends), mends
    return _check_area(shape, mend, mends), mends


def check_order(
    shapes: Sequence[ZoneShape], centres: F64, *, mend: bool = False
) -> tuple[Sequence[ZoneShape], list[Mend]]:
    """Find zones whose latitude and longitude were exchanged, by comparing each with the middle of all others.

    Only collections of at least three zones have a middle worth comparing with. ``centres``: float64 (Z, 2), longitude
    and latitude of each zone's middle.
    """
    mends: list[Mend] = []
    result: list[ZoneShape] = []
    done = 0
    while done < len(shapes) and len(shapes) >= 3:
        others = np.stack([_medians_of_others(column) for column in centres.T], axis=1)
        found = np.flatnonzero(_fits_exchanged(centres, others)[done:])
        if not found.size:
            break
        i = done + int(found[0])
        result = result or list(shapes)
        result[i], changed = check_place(result[i], others[i], mend=mend)
        mends += changed
        centres[i] = centres[i, ::-1]
        done = i + 1
    return result or shapes, mends


def check_place(shape: ZoneShape, others: F64, *, mend: bool = False) -> tuple[ZoneShape, list[Mend]]:
    """Check one zone against the middle of all others, float64 (2,), longitude and latitude, as `check_order` does."""
    centre = _middle(shape)
    if not _fits_exchanged(centre, others):
        return shape, []
    if not mend:
        raise ZoneGeometryError(
            shape.zone_id,
            None,
            None,
            f"lies {_km(*centre, *others):.0f} km from the other zones but would lie among them with latitude and "
            "longitude exchanged; next: write [longitude, latitude], or load with mend=True",
        )
    return _swapped(shape), [Mend(zone_id=shape.zone_id, ring=None, what="exchanged latitude and longitude")]


def _fits_exchanged(centre: F64, others: F64) -> Bool:
    """Whether zones are far from the others, but near with latitude and longitude exchanged; (..., 2) each."""
    lon, lat = centre[..., 0], centre[..., 1]
    to = others[..., 0], others[..., 1]
    fits: Bool = (np.abs(lon) <= 90) & (_km(lon, lat, *to) >= SWAP_FAR_KM) & (_km(lat, lon, *to) <= SWAP_NEAR_KM)
    return fits


def _medians_of_others(values: F64) -> F64:
    """Median of all values but one, for each; float64 (n,), n of 2 and more."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    rank = np.empty(values.size, dtype=np.int64)
    rank[order] = np.arange(values.size)
    low, high = (values.size - 2) // 2, (values.size - 1) // 2
    middle: F64 = (ranked[low + (rank <= low)] + ranked[high + (rank <= high)]) / 2
    return middle


def _km(lon_a: F64, lat_a: F64, lon_b: F64, lat_b: F64) -> F64:
    lam = np.radians(lon_a - lon_b)
    a, b = np.radians(lat_a), np.radians(lat_b)
    hav = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(lam / 2) ** 2
    km: F64 = 12_742.0 * np.arcsin(np.sqrt(np.minimum(hav, 1.0)))
    return km


def _all_positions(shape: ZoneShape) -> F64:
    if shape.centre is not None:
        return np.array([shape.centre])
    if shape.line is not None:
        return shape.line
    return np.concatenate([ring for rings in shape.polygons for ring in rings])


def _middle(shape: ZoneShape) -> F64:
    xy = _all_positions(shape)
    return np.asarray((xy.min(axis=0) + xy.max(axis=0)) / 2)


def _swapped(shape: ZoneShape) -> ZoneShape:
    if shape.centre is not None:
        return replace(shape, centre=(shape.centre[1], shape.centre[0]))
    if shape.line is not None:
        return replace(shape, line=shape.line[:, ::-1].copy())
    polygons = tuple(tuple(ring[:, ::-1][::-1].copy() for ring in rings) for rings in shape.polygons)
    return shape.with_polygons(polygons)


# ---------------------------------------------------------------- positions


def _check_numbers(zone_id: str, ring: int | None, xy: F64) -> None:
    bad = np.flatnonzero(~np.isfinite(xy).all(axis=1))
    if bad.size:
        v = int(bad[0])
        raise ZoneGeometryError(
            zone_id,
            ring,
            None if ring is None else v,
            f"a coordinate is not a number: {xy[v].tolist()}; next: remove or correct the vertex",
        )


def _check_range(shape: ZoneShape, mend: bool, mends: list[Mend]) -> ZoneShape:
    """Latitude within 90 degrees; longitude within 180 (with ``mend``, a ring may run on beyond the antimeridian)."""
    xy = _all_positions(shape)
    if np.abs(xy[:, 1]).max() > 90.0 and np.abs(xy[:, 0]).max() <= 90.0 and np.abs(xy[:, 1]).max() <= 180.0:
        if not mend:
            ring, v = _first_outside(shape, 90.0)
            raise ZoneGeometryError(
                shape.zone_id,
                ring,
                v,
                "latitude beyond 90 degrees while all longitudes would fit: latitude and longitude look exchanged; "
                "next: write [longitude, latitude], or load with mend=True",
            )
        mends.append(Mend(zone_id=shape.zone_id, ring=None, what="exchanged latitude and longitude"))
        return _swapped(shape)
    lon_limit = 540.0 if mend and shape.centre is None else 180.0
    if np.abs(xy[:, 1]).max() > 90.0 or np.abs(xy[:, 0]).max() > lon_limit:
        ring, v = _first_outside(shape, 90.0, lon_limit)
        raise ZoneGeometryError(
            shape.zone_id,
            ring,
            v,
            "outside longitude +-180 or latitude +-90; next: check the units and the order [longitude, latitude], "
            "and cut zones at the antimeridian",
        )
    return shape


def _first_outside(shape: ZoneShape, lat_limit: float, lon_limit: float = 540.0) -> tuple[int | None, int | None]:
    if shape.centre is not None:
        return None, None
    lines = [shape.line] if shape.line is not None else [r for rings in shape.polygons for r in rings]
    for ring, xy in enumerate(lines):
        bad = np.flatnonzero((np.abs(xy[:, 1]) > lat_limit) | (np.abs(xy[:, 0]) > lon_limit))
        if bad.size:
            return ring, int(bad[0])
    return None, None


def _drop_duplicates(zone_id: str, ring: int, xy: F64, mend: bool, mends: list[Mend]) -> F64:
    same = np.flatnonzero((xy[1:] == xy[:-1]).all(axis=1))
    if not same.size:
        return xy
    if not mend:
        v = int(same[0]) + 1
        raise ZoneGeometryError(
            zone_id, ring, v, "the same position as the vertex before it; next: remove it, or load with mend=True"
        )
    mends.append(Mend(zone_id=zone_id, ring=ring, what=f"removed {same.size} repeated vertices"))
    return np.delete(xy, same + 1, axis=0)


def _short_way(zone_id: str, ring: int, xy: F64, mend: bool, mends: list[Mend]) -> F64:
    """Refuse edges over more than half the globe, or read them (mend) as the short way over the antimeridian.

    An edge all the way from -180 to 180 is meant where it closes a zone round a pole; where taking it as no way at all
    leaves a closed ring with an area, it was meant as a step over the antimeridian.
    """
    dlon = np.abs(np.diff(xy[:, 0]))
    wide = dlon > LONGEST_EDGE_DEG
    if not wide.any():
        return xy
    short = np.column_stack([np.unwrap(xy[:, 0], period=360.0), xy[:, 1]])
    all_round = (np.abs(xy[1:, 0]) == 180.0) & (np.abs(xy[:-1, 0]) == 180.0)
    bad = np.flatnonzero(wide & ~(all_round & (not _is_ring(short))))
    if not bad.size:
        return xy
    v = int(bad[0])
    if not mend:
        raise ZoneGeometryError(
            zone_id,
            ring,
            v,
            f"the edge to the next vertex spans {dlon[v]:.1f} degrees of longitude: it crosses the antimeridian "
            f"or goes round the globe; {_CUT}",
        )
    mends.append(Mend(zone_id=zone_id, ring=ring, what=f"read {bad.size} edges as crossing the antimeridian"))
    # A step from 180 to -180 has no length once it is unrolled.
    same = np.flatnonzero((short[1:] == short[:-1]).all(axis=1))
    return np.delete(short, same + 1, axis=0)


def _is_ring(xy: F64) -> bool:
    return bool(xy[0, 0] == xy[-1, 0]) and _twice_area(xy) != 0.0


def _twice_area(xy: F64) -> float:
    # Relative to the first vertex: a zone of a metre at longitude 180 would otherwise lose its area to rounding.
    x, y = (xy - xy[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


# ---------------------------------------------------------------- circles and corridors


def _check_circle(shape: ZoneShape, mend: bool, mends: list[Mend]) -> ZoneShape:
    _check_numbers(shape.zone_id, None, _all_positions(shape))
    shape = _check_range(shape, mend, mends)
    radius = shape.radius_m
    if radius is None or not 0 < radius <= RADIUS_LIMIT_M:
        raise ZoneGeometryError(
            shape.zone_id, None, None, f"radius_m must lie above 0 and up to {RADIUS_LIMIT_M:.0f}, got {radius}"
        )
    return shape


def _check_corridor(shape: ZoneShape, mend: bool, mends: list[Mend]) -> ZoneShape:
    half = shape.half_width_m
    if half is None or not 0 < half <= HALF_WIDTH_LIMIT_M:
        raise ZoneGeometryError(
            shape.zone_id, None, None, f"half_width_m must lie above 0 and up to {HALF_WIDTH_LIMIT_M:.0f}, got {half}"
        )
    _check_numbers(shape.zone_id, 0, _all_positions(shape))
    shape = _check_range(shape, mend, mends)
    line = _all_positions(shape)
    line = _drop_duplicates(shape.zone_id, 0, line, mend, mends)
    if len(line) < 2:
        raise ZoneGeometryError(
            shape.zone_id, 0, None, "a corridor needs two different positions; next: use a Point with radius_m"
        )
    return replace(shape, line=_short_way(shape.zone_id, 0, line, mend, mends))


# ---------------------------------------------------------------- polygons


def _check_area(shape: ZoneShape, mend: bool, mends: list[Mend]) -> ZoneShape:
    zone_id = shape.zone_id
    if not shape.polygons:
        raise ZoneGeometryError(zone_id, None, None, "the geometry is empty; next: draw the zone or remove it")
    ring = 0
    for rings in shape.polygons:
        for xy in rings:
            _check_numbers(zone_id, ring, xy)
            ring += 1
    shape = _check_range(shape, mend, mends)
    ring = 0
    polygons: list[tuple[F64, ...]] = []
    beyond = False
    for rings in shape.polygons:
        first = ring
        checked: list[F64] = []
        for xy in rings:
            good = _check_ring(zone_id, ring, xy, mend, mends)
            if checked:
                good = _beside(good, checked[0])
            good = _wind(zone_id, ring, good, ring == first, mend, mends)
            beyond = beyond or bool(np.abs(good[:, 0]).max() > 180.0)
            checked.append(good)
            ring += 1
        polygons.append(tuple(checked))
    shape = shape.with_polygons(tuple(polygons))
    shape = topology.check(shape, mend, mends)
    if beyond:
        shape = topology.cut_at_antimeridian(shape)
        mends.append(Mend(zone_id=zone_id, ring=None, what="cut at the antimeridian"))
    return shape


def _check_ring(zone_id: str, ring: int, xy: F64, mend: bool, mends: list[Mend]) -> F64:
    if not len(xy):
        raise ZoneGeometryError(zone_id, ring, None, "the ring has no positions; next: draw it or remove it")
    if not (xy[0] == xy[-1]).all():
        if not mend:
            raise ZoneGeometryError(
                zone_id,
                ring,
                len(xy) - 1,
                "the last position differs from the first; next: close the ring, or load with mend=True",
            )
        xy = np.concatenate([xy, xy[:1]])
        mends.append(Mend(zone_id=zone_id, ring=ring, what="closed the ring"))
    xy = _drop_duplicates(zone_id, ring, xy, mend, mends)
    if len(xy) < 4:
        raise ZoneGeometryError(
            zone_id, ring, None, f"{len(xy)} positions enclose nothing, a ring needs 4 or more; next: draw it again"
        )
    xy = _short_way(zone_id, ring, xy, mend, mends)
    if xy[0, 0] != xy[-1, 0]:
        raise ZoneGeometryError(
            zone_id, ring, None, f"the ring goes round a pole without touching it, so neither side is inside; {_CUT}"
        )
    return xy


def _beside(hole: F64, shell: F64) -> F64:
    """Move a hole by whole turns next to its shell (only shells that run beyond the antimeridian need it)."""
    turns = np.round(((shell[:, 0].min() + shell[:, 0].max()) - (hole[:, 0].min() + hole[:, 0].max())) / 720.0)
    return hole + np.array([360.0 * turns, 0.0]) if turns else hole


def _wind(zone_id: str, ring: int, xy: F64, is_shell: bool, mend: bool, mends: list[Mend]) -> F64:
    area2 = _twice_area(xy)
    if topology.encloses_nothing(xy):
        raise ZoneGeometryError(zone_id, ring, None, "the ring encloses no area; next: draw it again")
    if topology.crosses_itself(xy):
        # Such a ring has no winding; the check of the whole zone names the place.
        return xy
    if (area2 > 0) == is_shell:
        return xy
    role, want = ("shell", "counter-clockwise") if is_shell else ("hole", "clockwise")
    if not mend:
        raise ZoneGeometryError(
            zone_id,
            ring,
            None,
            f"wrong winding: a {role} must run {want} (RFC 7946, 3.1.6); next: reverse it, or load with mend=True",
        )
    mends.append(Mend(zone_id=zone_id, ring=ring, what=f"reversed the {role} to run {want}"))
    return xy[::-1].copy()
