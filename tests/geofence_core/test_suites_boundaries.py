"""Real boundaries: output areas that tile a county, wards, places, countries and their islands.

Two rules for areas that share borders. Every fix is in just the areas in which GEOS sees it on the coordinates as
drawn; and, away from gaps and overlaps of the drawing itself, in just one of them, or in none outside the outer border.
By `contains`, `containing`, `near` and own zones alike.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely

import geofence_core as gc
from tests.geofence_core.hard_points import metres_per_degree

pytestmark = pytest.mark.corpus

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

HAIR_M = 2e-9
"""Fixes nearer than this to a border may be counted on it; metre. Rounding of degrees."""

FILES = {
    # Areas that tile: output areas of two of the county's four boroughs, all that is at hand of 3,422.
    "uk/cheshire_east_oa.geojson.gz": 1245,
    "uk/warrington_oa.geojson.gz": 660,
    "uk/cheshire_east_lsoa.geojson.gz": 234,
    "uk/warrington_lsoa.geojson.gz": 127,
    "uk/cheshire_east_wards.geojson.gz": 52,
    "uk/warrington_wards.geojson.gz": 22,
    "uk/cheshire_four_lads_union_of_oa.geojson.gz": 4,
    "uk/cheshire_four_lads_from_topojson.geojson.gz": 4,
    # Areas that do not.
    "osm/osm_places_liechtenstein.geojson.gz": 64,
    "misc/switzerland.geojson": 1,
    "world/countries50m_dev.geojson.gz": 10,
    "world/country10m_norway.geojson.gz": 1,
}
TILING = [name for name in FILES if name.startswith("uk/") and "topojson" not in name]


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """A file as the core holds it (mended), and the same rings as GEOS's polygons with a tree over them."""

    table: gc.ZoneTable
    drawn: npt.NDArray[np.object_]
    tree: shapely.STRtree

    @classmethod
    def read(cls, corpus: Path, *names: str) -> "Areas":
        geometries = []
        for name in names:
            data = (corpus / "zones" / name).read_bytes()
            document = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
            features = document["features"] if document["type"] == "FeatureCollection" else [document]
            geometries += [shapely.geometry.shape(f["geometry"]) for f in features]
        table = gc.ZoneTable.from_shapely(geometries, [str(i) for i in range(len(geometries))], mend=True)
        drawn = np.array(
            [shapely.MultiPolygon([shapely.Polygon(p[0], p[1:]) for p in s.polygons]) for s in table.shapes]
        )
        shapely.prepare(drawn)
        return cls(table, drawn, shapely.STRtree(drawn))

    def vertices(self) -> F64:
        return shapely.get_coordinates(self.drawn)

    def seen_by_geos(self, lat: F64, lon: F64) -> tuple[I64, I64]:
        """Every (fix, zone) that intersect, rising."""
        places = shapely.points(lon, lat)
        # Asked of the areas, which are prepared; a query with a predicate prepares the points instead, a fifth as fast.
        fix, zone = self.tree.query(places)
        met = shapely.intersects(self.drawn[zone], places[fix])
        fix, zone = fix[met], zone[met]
        order = np.lexsort((zone, fix))
        return fix[order], zone[order]


def fixes_of(areas: Areas, rng: np.random.Generator, n: int) -> tuple[F64, F64]:
    """Evenly over the box, at vertices, a millimetre and a centimetre off them, and on the middles of edges."""
    xy = areas.vertices()
    west, south, east, north = shapely.total_bounds(areas.drawn)
    at = xy[rng.integers(0, len(xy), (4, n // 4))]
    angle = rng.uniform(0, 2 * np.pi, (2, n // 4))
    off = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.array([1e-3, 1e-2])[:, None, None]
    at[1:3] += off / metres_per_degree((south + north) / 2)
    at[3] = (at[3] + xy[rng.integers(0, len(xy), n // 4)]) / 2
    lat = np.concatenate([rng.uniform(south, north, n), at[..., 1].ravel()])
    lon = np.concatenate([rng.uniform(west, east, n), at[..., 0].ravel()])
    return np.clip(lat, -90, 90), np.clip(lon, -180, 180)


def pairs(areas: Areas, lat: F64, lon: F64, call: str) -> tuple[I64, I64]:
    """Every (fix, zone) that the core says is inside, by one of its calls."""
    if call == "contains":
        fix, zone = np.nonzero(areas.table.contains(lat, lon))
        return fix, zone
    if call == "near":
        ptr, zone, signed = areas.table.near(lat, lon, 30.0)
        fix = np.repeat(np.arange(lat.size), np.diff(ptr))
        return fix[signed <= 0.0], zone[signed <= 0.0]
    # One wearer owns all zones.
    own = gc.AssignedZones(areas.table, np.zeros(len(areas.table), dtype=int), np.arange(len(areas.table)))
    ptr, zone, signed = own.signed_distance_m(np.zeros(lat.size, dtype=int), lat, lon)
    fix = np.repeat(np.arange(lat.size), np.diff(ptr))
    return fix[signed <= 0.0], zone[signed <= 0.0]


def differing(got: tuple[I64, I64], want: tuple[I64, I64], zones: int) -> I64:
    """Pairs, as fix * zones + zone, that stand on one side only."""
    return np.setxor1d(*(fix * zones + zone for fix, zone in (got, want)))


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_fixes_are_in_the_areas_in_which_geos_sees_them(corpus: Path, name: str) -> None:
    areas = Areas.read(corpus, name)
    zones = len(areas.table)
    assert zones == FILES[name]
    rng = np.random.default_rng(zones)
    for call, n in (("near", 40_000), ("contains", 2_000_000 // zones), ("own", 400_000 // zones)):
        lat, lon = fixes_of(areas, rng, min(n, 10_000 if name.startswith("world") else 40_000))
        want = areas.seen_by_geos(lat, lon)
        other = differing(pairs(areas, lat, lon, call), want, zones)
        fix, zone = other // zones, other % zones
        gap = shapely.distance(shapely.boundary(areas.drawn[zone]), shapely.points(lon[fix], lat[fix])) * 111_320.0
        # At the antimeridian a fix is on both edges of the map, for GEOS on one.
        seam = np.abs(lon[fix]) == 180.0
        assert (seam | (gap < HAIR_M)).all(), (call, lat[fix], lon[fix], gap)


@pytest.mark.long
@pytest.mark.parametrize("name", TILING)
def test_every_fix_is_in_one_area_or_outside_the_outer_border(corpus: Path, name: str) -> None:
    """A fix that is in none, or in two, lies in a gap or an overlap of the drawing, which GEOS sees as well."""
    areas = Areas.read(corpus, name)
    outer = shapely.union_all(areas.drawn)
    shapely.prepare(outer)
    lat, lon = fixes_of(areas, np.random.default_rng(len(areas.table)), 60_000)
    places = shapely.points(lon, lat)
    fix, _ = pairs(areas, lat, lon, "near")
    shares = np.bincount(fix, minlength=lat.size)
    touched, _ = shapely.STRtree(shapely.boundary(areas.drawn)).query(places, predicate="dwithin", distance=1e-13)
    on = np.zeros(lat.size, dtype=bool)
    on[touched] = True
    # Joining all areas moves the outer border by some last bits.
    rim = shapely.boundary(outer)
    shapely.prepare(rim)
    in_county, at_rim = shapely.intersects_xy(outer, lon, lat), shapely.dwithin(rim, places, 1e-11)
    assert (shares[~on & ~in_county & ~at_rim] == 0).all()
    at_vertices = slice(60_000, 75_000)
    assert (shares[at_vertices] >= 1).all()
    doubtful = np.flatnonzero(~on & in_county & ~at_rim & (shares != 1))
    seen, _ = areas.seen_by_geos(lat[doubtful], lon[doubtful])
    assert np.array_equal(np.bincount(seen, minlength=doubtful.size), shares[doubtful])
    # Neighbours' borders are drawn alike but for junctions that are a vertex on one side only.
    evenly = doubtful < 60_000
    assert evenly.sum() <= 2
    assert doubtful.size <= 0.002 * lat.size, doubtful.size
    assert (shares[~on & in_county] == 1).sum() > 50_000


def test_the_output_areas_of_two_boroughs_in_one_table(corpus: Path) -> None:
    """1,905 zones: the borders of the boroughs themselves, as drawn in another file, hold all of their areas."""
    areas = Areas.read(corpus, "uk/cheshire_east_oa.geojson.gz", "uk/warrington_oa.geojson.gz")
    boroughs = Areas.read(corpus, "uk/cheshire_four_lads_union_of_oa.geojson.gz")
    assert len(areas.table) == 1905
    rng = np.random.default_rng(4)
    lat, lon = fixes_of(areas, rng, 40_000)
    fix, zone = pairs(areas, lat, lon, "near")
    which = np.where(zone < 1245, 0, 1)
    within = boroughs.table.contains(lat, lon)
    distance = np.abs(boroughs.table.signed_distance_m(lat, lon)).min(axis=1)
    clear = distance[fix] > 0.01
    found = [np.unique(np.flatnonzero(row)).tolist() for row in within[fix[clear]]]
    homes = {0: set(), 1: set()}
    for w, f in zip(which[clear].tolist(), found, strict=True):
        homes[w].add(tuple(f))
    # Each borough's areas lie in one and the same outline.
    assert all(len(home) == 1 and len(next(iter(home))) == 1 for home in homes.values())
    assert homes[0] != homes[1]
