"""Zones for the tests, drawn in metres round a place, and the feature objects that carry them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import geofence_core as gc

M_PER_DEG = 111_320.0


def feature(geometry: dict[str, Any], zone_id: str = "z", **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": zone_id,
        "properties": {"purpose": "exclusion", **properties},
        "geometry": geometry,
    }


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def polygon(*rings: Sequence[Sequence[float]], zone_id: str = "z") -> dict[str, Any]:
    return feature({"type": "Polygon", "coordinates": [list(map(list, r)) for r in rings]}, zone_id)


def multipolygon(*polygons: Sequence[Sequence[Sequence[float]]], zone_id: str = "z") -> dict[str, Any]:
    return feature({"type": "MultiPolygon", "coordinates": list(polygons)}, zone_id)


def circle(lat: float, lon: float, radius_m: float, zone_id: str = "z") -> dict[str, Any]:
    return feature({"type": "Point", "coordinates": [lon, lat]}, zone_id, radius_m=radius_m)


def corridor(line: Sequence[Sequence[float]], half_width_m: float, zone_id: str = "z") -> dict[str, Any]:
    return feature({"type": "LineString", "coordinates": [list(p) for p in line]}, zone_id, half_width_m=half_width_m)


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    """Counter-clockwise, closed, longitude first."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def metres(lat: float, lon: float, east_m: float, north_m: float) -> tuple[float, float]:
    """Latitude and longitude about so far east and north of a place."""
    return lat + north_m / M_PER_DEG, lon + east_m / (M_PER_DEG * math.cos(math.radians(lat)))


def star(
    rng: np.random.Generator, lat: float, lon: float, radius_m: float, vertices: int, inner: float = 0.5
) -> list[list[float]]:
    """A ring that no ray from its centre meets twice; closed, counter-clockwise, longitude first."""
    angle = (np.arange(vertices) + rng.uniform(0.1, 0.9, vertices)) * 2 * math.pi / vertices
    reach = radius_m * rng.uniform(inner, 1.0, vertices)
    ring = [
        list(reversed(metres(lat, lon, r * math.cos(a), r * math.sin(a)))) for a, r in zip(angle, reach, strict=True)
    ]
    return [*ring, ring[0]]


def table(*features: dict[str, Any], **options: Any) -> gc.ZoneTable:
    return gc.ZoneTable.from_geojson(collection(*features), **options)


def mixed(
    rng: np.random.Generator, n: int, lat: float = 53.2, lon: float = -2.4, span_m: float = 20_000.0
) -> gc.ZoneTable:
    """n zones of all kinds round a place."""
    features = []
    for i in range(n):
        at = metres(lat, lon, *rng.uniform(-span_m, span_m, 2))
        radius = float(10 ** rng.uniform(1.5, 3.5))
        if i % 4 == 0:
            features.append(circle(*at, radius, zone_id=f"z{i}"))
        elif i % 4 == 1:
            line = star(rng, *at, radius, 5)[:-1]
            features.append(corridor(line, radius / 10, zone_id=f"z{i}"))
        elif i % 4 == 2:
            hole = [p[:] for p in star(rng, *at, radius * 0.4, 7)][::-1]
            features.append(polygon(star(rng, *at, radius, 24), hole, zone_id=f"z{i}"))
        else:
            other = metres(*at, 3 * radius, 0.0)
            features.append(multipolygon([star(rng, *at, radius, 9)], [star(rng, *other, radius, 40)], zone_id=f"z{i}"))
    return table(*features)


def scatter(
    rng: np.random.Generator, n: int, lat: float = 53.2, lon: float = -2.4, span_m: float = 22_000.0
) -> tuple[np.ndarray, np.ndarray]:
    lats, lons = metres(lat, lon, rng.uniform(-span_m, span_m, n), rng.uniform(-span_m, span_m, n))
    return np.asarray(lats), np.asarray(lons)
