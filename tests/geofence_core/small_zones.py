"""Zones of a decimetre to a kilometre, of shapes and at places that are known to be hard for geofences."""

import math

import numpy as np
import shapely

from tests.geofence_core.drawing import M_PER_DEG, box, metres, star
from tests.geofence_core.projected_truth import DrawnZone


def _at(lat: float, lon: float, points_m: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Positions (longitude first) from metres east and north of a place."""
    return [metres(lat, lon, east, north)[::-1] for east, north in points_m]


def _rounded(rng: np.random.Generator, lat: float, lon: float, holes: int) -> shapely.Polygon:
    shell = star(rng, lat, lon, 150.0, 24, inner=0.8)
    centres = [metres(lat, lon, 55 * math.cos(a), 55 * math.sin(a)) for a in np.arange(holes) * 2 * math.pi / holes]
    return shapely.Polygon(shell, [star(rng, *c, 30.0, 6) for c in centres])


def _comb(lat: float, lon: float, teeth: int) -> shapely.Polygon:
    """Narrow teeth side by side: every point between them has several edges at nearly one distance."""
    outline = [(4.0 * i + 2.0 * k, 60.0 * k) for i in range(teeth) for k in (0, 1)]
    return shapely.Polygon(_at(lat, lon, [(-2.0, -40.0), (4.0 * teeth, -40.0), *reversed(outline)]))


def _spiral(lat: float, lon: float, turns: float) -> shapely.Polygon:
    angle = np.linspace(0.5, turns * 2 * math.pi, 28)
    arms = [[(r * math.cos(a), r * math.sin(a)) for a in angle for r in [6.0 * a + w]] for w in (0.0, 14.0)]
    return shapely.Polygon(_at(lat, lon, arms[0] + arms[1][::-1]))


def small_zones() -> list[DrawnZone]:
    """All of them, always the same."""
    rng = np.random.default_rng(42)
    cell = 2.0**-12
    lattice = shapely.Polygon(
        box(11.0, 48.0, 11.0 + 8 * cell, 48.0 + 6 * cell),
        [box(11.0 + 2 * cell, 48.0 + 2 * cell, 11.0 + 3 * cell, 48.0 + 4 * cell)],
    )
    touching = shapely.MultiPolygon(
        [
            shapely.Polygon(_at(35.6, 139.7, [(0, 0), (80, 10), (70, 90), (5, 70)])),
            shapely.Polygon(_at(35.6, 139.7, [(0, 0), (-90, -5), (-60, -70)])),
            shapely.Polygon(_at(35.6, 139.7, [(200, 0), (260, 0), (230, 50)])),
        ]
    )
    sliver = shapely.Polygon(_at(60.1, 24.9, [(0, 0), (300, 20), (300, 20.01)]))
    hole_in_corner = shapely.Polygon(
        _at(-1.0, 36.8, [(0, 0), (120, 0), (120, 120), (0, 120)]), [_at(-1.0, 36.8, [(0, 0), (60, 30), (30, 60)])]
    )
    decimetre = shapely.Polygon(
        [(10.0, 53.0), (10.0 + 1.4e-6, 53.0), (10.0 + 1.1e-6, 53.0 + 9e-7), (10.0 + 1e-7, 53.0 + 8e-7)]
    )
    return [
        DrawnZone.of("eight corners", shapely.Polygon(star(rng, 53.2, -2.4, 100.0, 8))),
        DrawnZone.of("three holes", _rounded(rng, -33.9, 151.2, 3)),
        DrawnZone.of("comb across the equator and Greenwich", _comb(-0.0001, -0.0002, 16)),
        DrawnZone.of("on the lattice, with a hole", lattice),
        DrawnZone.of("over the antimeridian, with a hole", _rounded(rng, -17.0, 180.0, 1)),
        DrawnZone.of("at 84 degrees", shapely.Polygon(star(rng, 84.0, 30.0, 60.0, 9))),
        DrawnZone.of("parts that touch in a corner", touching),
        DrawnZone.of("a sliver of a centimetre", sliver),
        DrawnZone.of("a hole that touches its shell", hole_in_corner),
        DrawnZone.of("a decimetre", decimetre),
        DrawnZone.of("a spiral", _spiral(-54.8, -68.3, 3.0)),
    ]


def scattered(rng: np.random.Generator, zone: DrawnZone, n: int, margin_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Fixes evenly over the zone's box and a margin round it; latitude, longitude (unrolled)."""
    west, south, east, north = zone.unrolled.bounds
    lat_margin, lon_margin = margin_m / M_PER_DEG, margin_m / (M_PER_DEG * math.cos(math.radians(south)))
    return (
        rng.uniform(south - lat_margin, north + lat_margin, n),
        rng.uniform(west - lon_margin, east + lon_margin, n),
    )
