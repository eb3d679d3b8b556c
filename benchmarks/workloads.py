"""Zones and fixes that every mode is measured on: fixed seeds, made once per session.

Around Cheshire, 80 x 67 km. Zones are warped stars with noise at every scale, 8 to 5,000 vertices, 100 m to 30 km, some
with a hole. Fixes are uniform over the region, or 1 Hz tracks of people who walk and drive.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import shapely

import geofence_core as gc

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LAT, LON = 53.2, -2.4
HALF_EAST_M, HALF_NORTH_M = 40_000.0, 33_500.0
M_PER_DEG = 111_320.0
BAND_M = 250.0
OWN = 8
"""Zones of one wearer."""


@dataclass(frozen=True, eq=False)
class ZoneSet:
    """Polygons in degrees (x is longitude), and what is made of them once."""

    polygons: npt.NDArray[np.object_]

    @cached_property
    def table(self) -> gc.ZoneTable:
        """Ours."""
        return gc.ZoneTable.from_shapely(self.polygons, map(str, range(len(self.polygons))), band_m=BAND_M)

    @property
    def edges(self) -> I64:
        """Edges per zone."""
        rings = shapely.get_num_interior_rings(self.polygons) + 1
        return np.asarray(shapely.get_num_coordinates(self.polygons) - rings, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.polygons)


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """Latitude and longitude, degree."""

    lat_deg: F64
    lon_deg: F64

    def __len__(self) -> int:
        return self.lat_deg.size

    def __getitem__(self, part: slice) -> "Fixes":
        return Fixes(self.lat_deg[part], self.lon_deg[part])


def degrees(z_m: npt.NDArray[np.complex128], lat: float = LAT, lon: float = LON) -> tuple[F64, F64]:
    """Latitude and longitude of offsets in metres from a place; about, which is enough for drawing things."""
    return lat + z_m.imag / M_PER_DEG, lon + z_m.real / (M_PER_DEG * math.cos(math.radians(lat)))


def ring(rng: np.random.Generator, radius_m: float, vertices: int) -> npt.NDArray[np.complex128]:
    """A star with noise at every scale, counter-clockwise, metres from its middle."""
    angle = (np.arange(vertices) + rng.uniform(0, 0.4, vertices)) * 2 * np.pi / vertices
    k = np.arange(1, max(2, min(vertices // 3, 300)))
    size, phase = rng.normal(0, 0.25, k.size) / k, rng.uniform(0, 7, k.size)
    reach = 1 + size @ np.cos(k[:, None] * angle + phase[:, None])
    return radius_m * np.clip(reach, 0.4, 1.8) * np.exp(1j * angle)


def polygon(rng: np.random.Generator, lat: float, lon: float, radius_m: float, vertices: int) -> shapely.Polygon:
    """A valid polygon with this many vertices, a sixth of them in a hole now and then."""
    while True:
        in_hole = max(6, vertices // 6) if vertices >= 24 and rng.random() < 0.3 else 0
        rings = [ring(rng, radius_m, vertices - in_hole)]
        if in_hole:
            rings.append(ring(rng, radius_m * 0.15, in_hole)[::-1])
        phase = rng.uniform(0, 7, 2)
        drawn = []
        for z in rings:
            w = z / radius_m
            warped = z + 0.12 * radius_m * (np.sin(2.1 * w.imag + phase[0]) + 1j * np.sin(2.3 * w.real + phase[1]))
            drawn.append(np.column_stack(degrees(warped, lat, lon)[::-1]))
        made = shapely.Polygon(drawn[0], drawn[1:])
        if made.is_valid:
            return made


def log_uniform(rng: np.random.Generator, low: float, high: float, size: int) -> F64:
    """Sizes as they come in nature: as many between 100 and 200 as between 1,000 and 2,000."""
    return np.exp(rng.uniform(math.log(low), math.log(high), size))


def _zone_set(rng: np.random.Generator, at_m: npt.NDArray[np.complex128], radius_m: F64, vertices: I64) -> ZoneSet:
    lat, lon = degrees(at_m)
    rows = zip(lat.tolist(), lon.tolist(), radius_m.tolist(), vertices.tolist(), strict=True)
    return ZoneSet(np.array([polygon(rng, *row) for row in rows], dtype=object))


def _places(rng: np.random.Generator, n: int) -> npt.NDArray[np.complex128]:
    return rng.uniform(-HALF_EAST_M, HALF_EAST_M, n) + 1j * rng.uniform(-HALF_NORTH_M, HALF_NORTH_M, n)


@cache
def one_zone(vertices: int) -> ZoneSet:
    """One zone of 8, 64, 512 or 5,000 vertices: 0.5, 2, 8 or 25 km."""
    rng = np.random.default_rng(vertices)
    radius_m = {8: 500.0, 64: 2_000.0, 512: 8_000.0, 5_000: 25_000.0}[vertices]
    return _zone_set(rng, np.zeros(1, complex), np.array([radius_m]), np.array([vertices]))


@cache
def own_zones(homes: int) -> tuple[ZoneSet, Fixes]:
    """Eight zones of 33 edges on average round each home; and the homes."""
    rng = np.random.default_rng(homes)
    home = _places(rng, homes)
    at = np.repeat(home, OWN) + rng.normal(0, 1_000, homes * OWN) + 1j * rng.normal(0, 1_000, homes * OWN)
    made = _zone_set(rng, at, log_uniform(rng, 100, 2_000, at.size), rng.integers(8, 59, at.size))
    return made, Fixes(*degrees(home))


@cache
def wearer_zones(kind: str) -> ZoneSet:
    """Zones of one wearer: "8", "8 with a county", "50" or "200"; 650, 3,600, 1,900 and 7,000 edges."""
    rng = np.random.default_rng(sum(kind.encode()))
    n = int(kind.split()[0])
    at = rng.normal(0, 6_000, n) + 1j * rng.normal(0, 6_000, n)
    radius_m = log_uniform(rng, 150, 2_000, n)
    vertices = rng.integers(60, 104, n) if n == 8 else rng.integers(12, 60, n)
    if "county" in kind:
        at[0], radius_m[0], vertices[0] = 0, 25_000.0, 3_000
    return _zone_set(rng, at, radius_m, vertices)


@cache
def shared_zones(n: int) -> ZoneSet:
    """An agency's zones; from 1,000 up one in 200 is a county of 1,500 to 5,000 vertices, up to 30 km."""
    rng = np.random.default_rng(n)
    few = n <= 10
    radius_m = log_uniform(rng, 1_000, 6_000, n) if few else log_uniform(rng, 100, 2_000, n)
    vertices = log_uniform(rng, 16, 2_000, n).astype(np.int64) if few else rng.integers(8, 64, n)
    if not few:
        big = np.arange(0, n, 200)
        radius_m[big] = rng.uniform(10_000, 30_000, big.size)
        vertices[big] = rng.integers(1_500, 5_001, big.size)
    return _zone_set(rng, _places(rng, n), radius_m, vertices)


@cache
def uniform(n: int, seed: int = 1) -> Fixes:
    """Fixes anywhere in the region."""
    return Fixes(*degrees(_places(np.random.default_rng(seed), n)))


@cache
def tracks(n: int, seed: int = 2, per_track: int = 2_000) -> Fixes:
    """1 Hz tracks one after the other, each of one person who walks, cycles or drives."""
    rng = np.random.default_rng(seed)
    people = -(-n // per_track)
    speed_mps = rng.choice([1.4, 5.0, 13.0], people)[:, None] * rng.uniform(0.5, 1.2, (people, per_track))
    heading = rng.uniform(0, 7, people)[:, None] + np.cumsum(rng.normal(0, 0.08, (people, per_track)), axis=1)
    z = (_places(rng, people)[:, None] + np.cumsum(speed_mps * np.exp(1j * heading), axis=1)).ravel()[:n]
    return Fixes(*degrees(_folded(z.real, HALF_EAST_M) + 1j * _folded(z.imag, HALF_NORTH_M)))


def _folded(x: F64, half: float) -> F64:
    """Turn back at the region's border."""
    return half - np.abs((x + half) % (4 * half) - 2 * half)


@cache
def over(vertices: int, n: int) -> Fixes:
    """Fixes over one zone's surroundings: its box, a tenth larger."""
    west, south, east, north = one_zone(vertices).polygons[0].bounds
    rng = np.random.default_rng(vertices + n)
    dx, dy = 0.05 * (east - west), 0.05 * (north - south)
    return Fixes(rng.uniform(south - dy, north + dy, n), rng.uniform(west - dx, east + dx, n))


def epoch(homes: Fixes, tags: int, seed: int = 3) -> tuple[I64, Fixes]:
    """One fix per tag, about a km from its home, so that a quarter of its zones matter; and which home."""
    rng = np.random.default_rng(seed)
    home = np.arange(tags) % len(homes)
    dlat, dlon = degrees(rng.normal(0, 900, tags) + 1j * rng.normal(0, 900, tags))
    return home, Fixes(homes.lat_deg[home] + dlat - LAT, homes.lon_deg[home] + dlon - LON)


@cache
def stream(kind: str, places: int, per_place: int) -> tuple[Sequence[tuple[float, float]], ...]:
    """What one wearer's tag says: blocks of fixes at walking pace, each at a new place.

    Half the places are within 60 m of a boundary, the others anywhere within 12 km: harsher than life.
    """
    rng = np.random.default_rng(places)
    zones = wearer_zones(kind).polygons
    corner = shapely.get_coordinates(shapely.boundary(zones[rng.integers(0, len(zones), places)]), return_index=True)
    first = np.searchsorted(corner[1], np.arange(places))
    last = np.searchsorted(corner[1], np.arange(places), side="right") - 1
    lon, lat = corner[0][rng.integers(first, last + 1)].T
    off = rng.uniform(-60, 60, places) + 1j * rng.uniform(-60, 60, places)
    near_lat, near_lon = degrees(off)
    far_lat, far_lon = degrees(rng.uniform(-12_000, 12_000, places) + 1j * rng.uniform(-12_000, 12_000, places))
    near = np.arange(places) % 2 == 0
    at_lat = np.where(near, lat + near_lat - LAT, far_lat)
    at_lon = np.where(near, lon + near_lon - LON, far_lon)
    step = np.cumsum(rng.normal(0, 1, (places, per_place)) + 1j * rng.normal(0, 1, (places, per_place)), axis=1)
    step_lat, step_lon = degrees(step)
    return tuple(
        list(zip((a + da - LAT).tolist(), (o + do - LON).tolist(), strict=True))
        for a, o, da, do in zip(at_lat, at_lon, step_lat, step_lon, strict=True)
    )
