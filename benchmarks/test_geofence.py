"""The geofence core against shapely in its best form: an epoch of own zones, an epoch of shared zones, one fix.

Both sides start from latitude and longitude and end with zone and signed distance (exact within 250 m). The peer gets a
transverse Mercator plane from PROJ and prepared geometries, made beforehand; its projection of the fixes is timed, as
ours is. Contenders take turns, round by round, and the median of the rounds' ratios is held to the budget.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

import geofence_core as gc

LAT, LON = 53.2, -2.4
SPAN_M = 35_000.0
BAND_M = 250.0
ROUNDS = 15
PLANE = Transformer.from_crs("EPSG:4326", f"+proj=tmerc +lat_0={LAT} +lon_0={LON} +k=1 +datum=WGS84", always_xy=True)


def places(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes, uniform over the region."""
    north, east = rng.uniform(-SPAN_M, SPAN_M, (2, n))
    return LAT + north / 111_320.0, LON + east / (111_320.0 * math.cos(math.radians(LAT)))


def blob(rng: np.random.Generator, lat: float, lon: float, radius_m: float, vertices: int) -> np.ndarray:
    """A warped outline, counter-clockwise, longitude first."""
    angle = np.arange(vertices) * 2 * np.pi / vertices
    reach = np.ones(vertices)
    for k in range(1, min(vertices // 2, 200)):
        reach += rng.normal(0, 0.25) / k * np.cos(k * angle + rng.uniform(0, 7))
    reach = radius_m * np.clip(reach, 0.3, 2.0) / 111_320.0
    return np.column_stack([lon + reach * np.cos(angle) / math.cos(math.radians(lat)), lat + reach * np.sin(angle)])


def outlines(rng: np.random.Generator, lat: np.ndarray, lon: np.ndarray, big_every: int = 0) -> list[shapely.Polygon]:
    """One zone per place: 100 m to 2 km and 8 to 60 vertices; now and then 15 km and 2,000 vertices."""
    sizes = [
        (15_000.0, 2_000) if big_every and i % big_every == 0 else (10 ** rng.uniform(2, 3.3), int(rng.integers(8, 60)))
        for i in range(lat.size)
    ]
    return [shapely.Polygon(blob(rng, a, o, *s)) for a, o, s in zip(lat, lon, sizes, strict=True)]


def in_plane(zones: list[shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Return the prepared polygons of the peer, and their boundaries."""
    flat = np.array([shapely.transform(z, lambda xy: np.column_stack(PLANE.transform(*xy.T))) for z in zones])
    shapely.prepare(flat)
    return flat, shapely.boundary(flat)


def ratio(ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[float, float, float]:
    """Median of ours / peer over interleaved rounds, and both medians in seconds."""
    rows = []
    ours(), peer()
    for _ in range(ROUNDS):
        t0 = time.perf_counter()
        ours()
        t1 = time.perf_counter()
        peer()
        rows.append((t1 - t0, time.perf_counter() - t1))
    return statistics.median(a / b for a, b in rows), *(statistics.median(c) for c in zip(*rows, strict=True))


def test_epoch_of_own_zones(budget: Callable[[str], Any], benchmark: Any) -> None:
    rng = np.random.default_rng(1)
    tags, own = 1_000, 8
    home_lat, home_lon = places(rng, tags)
    spread = rng.normal(0, 0.03, (2, tags * own))
    zones = outlines(rng, np.repeat(home_lat, own) + spread[0], np.repeat(home_lon, own) + spread[1])
    table = gc.ZoneTable.from_shapely(zones, map(str, range(len(zones))), band_m=BAND_M)
    assigned = gc.AssignedZones(table, np.repeat(np.arange(tags), own))
    lat, lon = home_lat + rng.normal(0, 0.02, tags), home_lon + rng.normal(0, 0.03, tags)
    wearer = np.arange(tags)
    flat, edges = in_plane(zones)

    def peer() -> np.ndarray:
        x, y = (np.repeat(c, own) for c in PLANE.transform(lon, lat))
        side = np.where(shapely.contains_xy(flat, x, y), -1.0, 1.0)
        return side * shapely.distance(edges, shapely.points(x, y))

    def ours() -> np.ndarray:
        return assigned.signed_distance_m(wearer, lat, lon).signed_distance_m

    got, want = ours(), peer()
    near = np.abs(want) < BAND_M
    assert np.allclose(got[near], want[near], atol=0.1)
    figure, ours_s, peer_s = ratio(ours, peer)
    benchmark.extra_info.update(ours_us=ours_s * 1e6, peer_us=peer_s * 1e6)
    benchmark.pedantic(ours, rounds=3)
    budget("geofence_own_epoch_ratio").check(figure)


def test_epoch_of_shared_zones(budget: Callable[[str], Any], benchmark: Any) -> None:
    rng = np.random.default_rng(2)
    zones = outlines(rng, *places(rng, 1_000), big_every=200)
    table = gc.ZoneTable.from_shapely(zones, map(str, range(len(zones))), band_m=BAND_M)
    lat, lon = places(rng, 20_000)
    flat, edges = in_plane(zones)
    tree = shapely.STRtree(flat)

    def peer() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y = PLANE.transform(lon, lat)
        at = shapely.points(x, y)
        i, j = tree.query(shapely.box(x - BAND_M, y - BAND_M, x + BAND_M, y + BAND_M))
        inside = shapely.contains_xy(flat[j], x[i], y[i])
        keep = np.flatnonzero(inside | shapely.dwithin(flat[j], at[i], BAND_M))
        d = shapely.distance(edges[j[keep]], at[i[keep]])
        return i[keep], j[keep], np.where(inside[keep], -d, d)

    def ours() -> gc.FixZones:
        return table.near(lat, lon, BAND_M)

    assert abs(len(ours().zone_idx) - len(peer()[0])) <= 20
    figure, ours_s, peer_s = ratio(ours, peer)
    benchmark.extra_info.update(ours_us=ours_s * 1e6, peer_us=peer_s * 1e6)
    benchmark.pedantic(ours, rounds=3)
    budget("geofence_shared_epoch_ratio").check(figure)


def test_one_fix_far_from_its_zones(budget: Callable[[str], Any], benchmark: Any) -> None:
    """Most fixes of most wearers: every own zone is ruled out by its ball."""
    rng = np.random.default_rng(3)
    lat, lon = places(rng, 8)
    zones = outlines(rng, lat, lon)
    table = gc.ZoneTable.from_shapely(zones, map(str, range(8)), band_m=BAND_M)
    fence = gc.AssignedZones(table, np.zeros(8, dtype=int)).single(0)
    flat, edges = in_plane(zones)
    at = LAT + 0.9, LON

    def peer() -> None:
        for _ in range(200):
            x, y = PLANE.transform(at[1], at[0])
            np.where(shapely.contains_xy(flat, x, y), -1.0, 1.0) * shapely.distance(edges, shapely.Point(x, y))

    def ours() -> None:
        for _ in range(200):
            fence.check(*at)

    figure, ours_s, peer_s = ratio(ours, peer)
    benchmark.extra_info.update(ours_us=ours_s / 200 * 1e6, peer_us=peer_s / 200 * 1e6)
    benchmark.pedantic(ours, rounds=3)
    budget("geofence_one_far_fix_ratio").check(figure)
