"""Random zones of every kind, anywhere between 85 degrees south and north, from a metre to a thousand kilometres.

Longitudes of ``unrolled`` rings and lines run on beyond 180 degrees where a zone lies over the antimeridian; what is
handed to the core is cut there, as RFC 7946 asks (corridors, which have no cut form, are mended).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

import geofence_core as gc
from tests.geofence_core.drawing import M_PER_DEG, circle, corridor, feature, metres, star, table
from tests.geofence_core.projected_truth import within_180

F64 = npt.NDArray[np.float64]
KINDS = ("polygon", "holes", "multipolygon", "circle", "corridor")

WIDEST_M = 20_000.0
"""Half width of the widest corridor; metre. Its true edge is as far off as its width errs, 1 part in a million."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomZone:
    """``lines``: unrolled rings, or a corridor's line, or a circle's centre; each float64 (V, 2), longitude first."""

    kind: str
    lines: list[F64]
    reach_m: float
    area: shapely.Geometry | None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the lines; degree, unrolled."""
        xy = np.concatenate(self.lines)
        return (*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist())  # type: ignore[return-value]

    def feature(self, zone_id: str = "z") -> dict[str, Any]:
        """The zone as GeoJSON."""
        if self.kind == "circle":
            lon, lat = self.lines[0][0].tolist()
            return circle(lat, lon - 360.0 if lon > 180.0 else lon, self.reach_m, zone_id)
        if self.area is None:
            return corridor(self.lines[0].tolist(), self.reach_m, zone_id)
        drawn = shapely.orient_polygons(within_180(self.area), exterior_cw=False)
        return feature(shapely.geometry.mapping(drawn), zone_id)


def fitting_size_m(lat: float, size_m: float) -> float:
    """The size, or what keeps the zone off the poles and under half of the globe's longitudes."""
    to_pole = (89.4 - abs(lat)) * M_PER_DEG / 1.5
    to_lon = 55.0 * M_PER_DEG * math.cos(math.radians(lat))
    return min(size_m, to_pole, to_lon)


def random_zone(rng: np.random.Generator, kind: str, lat: float, lon: float, size_m: float) -> RandomZone:
    """A valid zone of about so many metres from its middle to its rim."""
    size = fitting_size_m(lat, size_m)
    lon = lon + 360.0 if lon < -180.0 + 1.5 * size / (M_PER_DEG * math.cos(math.radians(lat))) else lon
    if kind == "circle":
        return RandomZone(kind, [np.array([[lon, lat]])], size, None)
    if kind == "corridor":
        line = np.array(star(rng, lat, lon, size, int(rng.integers(4, 12))))[: -int(rng.integers(1, 3))]
        return RandomZone(kind, [line], min(size * rng.uniform(0.01, 0.3), WIDEST_M), None)
    vertices = int(rng.integers(5, 40))
    if kind == "multipolygon":
        apart = [metres(lat, lon, 0.5 * size * math.cos(a), 0.5 * size * math.sin(a)) for a in (0.3, 2.4, 4.5)]
        area: shapely.Geometry = shapely.MultiPolygon(
            [shapely.Polygon(star(rng, *at, 0.4 * size, vertices)) for at in apart]
        )
    else:
        # A hole of the inmost third lies within every shell, whose rays are at least half as long as the longest.
        holes = [star(rng, lat, lon, 0.33 * size, 7)] if kind == "holes" else []
        area = shapely.Polygon(star(rng, lat, lon, size, vertices, inner=0.6 if holes else 0.3), holes)
    rings = [shapely.get_coordinates(r) for p in shapely.get_parts(area) for r in (p.exterior, *p.interiors)]
    return RandomZone(kind, rings, 0.0, area)


def random_place(rng: np.random.Generator) -> tuple[float, float]:
    """Latitude and longitude; a third of the places have the antimeridian or Greenwich in reach."""
    lon = rng.choice([rng.uniform(-180, 180), rng.uniform(-180, 180), 180.0, 0.0, 179.9999]) + rng.normal(0, 1e-3)
    return float(rng.uniform(-85, 85)), float((lon + 180.0) % 360.0 - 180.0)


def wrap(lon: F64) -> F64:
    """Longitudes within +-180 degrees of ones that run on beyond; without rounding, so that a vertex stays one."""
    return np.where(lon > 180.0, lon - 360.0, np.where(lon < -180.0, lon + 360.0, lon))


def fixes_round(rng: np.random.Generator, zone: RandomZone, n: int, reach_m: float) -> tuple[F64, F64]:
    """Fixes up to about ``reach_m`` beside the lines, at all scales below it; latitude, longitude (unrolled)."""
    start = np.concatenate([line[:-1] if len(line) > 1 else line for line in zone.lines])
    end = np.concatenate([line[1:] if len(line) > 1 else line for line in zone.lines])
    edge = rng.integers(0, len(start), n)
    at = start[edge] + rng.choice([0.0, 1.0, rng.uniform(), rng.uniform()], n)[:, None] * (end - start)[edge]
    off_m, bearing = reach_m * 10.0 ** rng.uniform(-7, 0, n), rng.uniform(0, 2 * np.pi, n)
    if zone.kind in {"circle", "corridor"}:
        off_m = np.abs(zone.reach_m + off_m * rng.choice([-1.0, 1.0], n))
    off_m[rng.uniform(size=n) < 0.1] = 0.0
    lat = at[:, 1] + off_m * np.cos(bearing) / M_PER_DEG
    lon = at[:, 0] + off_m * np.sin(bearing) / (M_PER_DEG * np.cos(np.radians(at[:, 1])))
    return np.clip(lat, -89.9, 89.9), lon


def table_of(zones: list[RandomZone], **options: Any) -> gc.ZoneTable:
    """All zones in one table, with ids z0, z1 and so on; no repair but the reading of corridors over the seam."""
    made = table(*(z.feature(f"z{i}") for i, z in enumerate(zones)), mend=True, **options)
    assert all(zones[int(m.zone_id[1:])].kind == "corridor" for m in made.mends), made.mends
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Some zones, their table, and N fixes on, beside and far from them, some without a position."""

    zones: list[RandomZone]
    table: gc.ZoneTable
    lat: F64
    lon: F64


def scene(seed: int, n_zones: int, n_fixes: int, *, spread_m: float = 5_000.0, **options: Any) -> Scene:
    """Zones of every kind round one place; sizes from a metre to a thousand kilometres, a few sizes in each scene."""
    rng = np.random.default_rng(seed)
    lat, lon = random_place(rng)
    largest = rng.choice([1.5, 3.0, 4.0, 6.0])
    zones = []
    for i in range(n_zones):
        at = metres(lat, lon, *rng.uniform(-spread_m, spread_m, 2))
        kind = KINDS[(i + seed) % len(KINDS)]
        at_lon = (at[1] + 180.0) % 360.0 - 180.0
        zones.append(random_zone(rng, kind, float(np.clip(at[0], -85, 85)), at_lon, 10.0 ** rng.uniform(0, largest)))
    each = -(-n_fixes // n_zones)
    places = [fixes_round(rng, zone, each, float(10.0 ** rng.uniform(1.0, 4.5))) for zone in zones]
    fix_lat, fix_lon = (np.concatenate(column)[:n_fixes] for column in zip(*places, strict=True))
    order = rng.permutation(n_fixes)
    fix_lat, fix_lon = fix_lat[order], wrap(fix_lon[order])
    fix_lat[rng.uniform(size=n_fixes) < 0.04] = np.nan
    fix_lon[rng.uniform(size=n_fixes) < 0.04] = np.nan
    return Scene(zones, table_of(zones, **options), fix_lat, fix_lon)
