"""One zone drawn anew: the same bits as a table made afresh, and nothing else is touched or grows."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import geofence_core as gc
from geofence_core.edges import EdgeTable
from geofence_core.grids import ZoneGrids
from geofence_core.saved import PARTS
from geofence_core.sheets import Sheets
from geofence_core.splice import CELL_FIELDS, VERTEX_FIELDS
from tests.geofence_core.drawing import (
    box,
    circle,
    collection,
    corridor,
    feature,
    metres,
    multipolygon,
    polygon,
    scatter,
    star,
    table,
)

LAT, LON = 53.2, -2.4
KINDS = ("polygon", "multipolygon", "circle", "corridor")
SOMEWHERE_ELSE = {
    "far": (-33.0, 151.0),
    "pole": (89.5, 20.0),
    "antimeridian": (LAT, 179.9),
}
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
Feature = dict[str, Any]


def drawn(
    rng: np.random.Generator, kind: str, zone_id: str, at: tuple[float, float] | None = None, size_m: float = 800.0
) -> Feature:
    lat, lon = metres(LAT, LON, *rng.uniform(-6_000, 6_000, 2)) if at is None else at
    if kind == "circle":
        return circle(lat, lon, size_m, zone_id=zone_id)
    if kind == "corridor":
        return corridor(star(rng, lat, lon, size_m, 7)[:-2], size_m / 9, zone_id=zone_id)
    if kind == "polygon":
        hole = star(rng, lat, lon, size_m * 0.4, 9)[::-1]
        return polygon(star(rng, lat, lon, size_m, int(rng.integers(12, 90))), hole, zone_id=zone_id)
    other = metres(lat, lon, 3 * size_m, 0.0)
    return multipolygon([star(rng, lat, lon, size_m, 9)], [star(rng, *other, size_m, 30)], zone_id=zone_id)


def town(seed: int, n: int = 12) -> list[Feature]:
    rng = np.random.default_rng(seed)
    return [drawn(rng, KINDS[i % 4], f"z{i}", size_m=float(10 ** rng.uniform(1.5, 3.2))) for i in range(n)]


def fixes(seed: int, n: int = 250) -> tuple[np.ndarray, np.ndarray]:
    lat, lon = scatter(np.random.default_rng(seed), n, LAT, LON, 9_000.0)
    lat[7], lon[11] = np.nan, np.nan
    for k, at in enumerate(SOMEWHERE_ELSE.values()):
        lat[20 + 3 * k : 23 + 3 * k], lon[20 + 3 * k : 23 + 3 * k] = at
    return lat, lon


def answers(z: gc.ZoneTable, lat: np.ndarray, lon: np.ndarray) -> dict[str, bytes]:
    """Every call, as bytes; it makes every part of the index."""
    own = gc.AssignedZones(z, np.arange(len(z)) % 3, wearers=3)
    fence = own.single(min(2, len(z) - 1))
    found: dict[str, Any] = {
        "contains": z.contains(lat, lon),
        "contains, many": z.contains(np.tile(lat[12:], 10), np.tile(lon[12:], 10)),
        "dense": z.signed_distance_m(lat, lon),
        "exact": z.signed_distance_m(lat, lon, exact=True),
        "zones": z.containing(lat, lon).zone_idx,
        "near": z.near(lat, lon, 100.0).signed_distance_m,
        "near zones": z.near(lat, lon, 250.0).zone_idx,
        "near beyond": z.near(lat, lon, 3_000.0).signed_distance_m,
        "own": own.signed_distance_m(np.arange(lat.size) % 3, lat, lon).signed_distance_m,
        "single": np.array([fence.check(float(a), float(b)) for a, b in zip(lat[:60], lon[:60], strict=True)]),
    }
    found |= z.crossed(lat[:-1], lon[:-1], lat[1:], lon[1:])._asdict()
    return {name: np.asarray(column).tobytes() for name, column in found.items()}


def assert_same(z: gc.ZoneTable, features: list[Feature], lat: np.ndarray, lon: np.ndarray) -> None:
    fresh = table(*features)
    assert (z.ids, z.kinds, z.purposes, z.names) == (fresh.ids, fresh.kinds, fresh.purposes, fresh.names)
    got, want = answers(z, lat, lon), answers(fresh, lat, lon)
    assert [name for name in want if got[name] != want[name]] == []


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zone", range(4))
def test_any_kind_takes_the_place_of_any_kind(kind: str, zone: int) -> None:
    features, at = town(1), fixes(2)
    z = table(*features)
    before = answers(z, *at)
    assert set(z.index.made) >= set(PARTS) - {"inside_grid"}
    features[zone] = drawn(np.random.default_rng(3), kind, f"z{zone}")
    changed = z.replace(f"z{zone}", features[zone])
    assert set(changed.index.made) == set(z.index.made)
    assert_same(changed, features, *at)
    assert answers(z, *at) == before


@pytest.mark.parametrize("opened", [False, True])
def test_many_in_a_row(tmp_path: Path, opened: bool) -> None:
    rng = np.random.default_rng(4)
    features, at = town(5), fixes(6)
    z = table(*features)
    answers(z, *at)
    if opened:
        z.save(tmp_path / "z")
        z = gc.ZoneTable.open(tmp_path / "z")
    for step in range(12):
        zone = int(rng.integers(len(features)))
        features[zone] = drawn(rng, str(rng.choice(KINDS)), f"z{zone}", size_m=float(10 ** rng.uniform(1, 3.5)))
        z = z.replace(f"z{zone}", features[zone])
        if step % 3 == 2:
            assert_same(z, features, *at)
    z.save(tmp_path / "again")
    assert_same(gc.ZoneTable.open(tmp_path / "again"), features, *at)


@pytest.mark.parametrize("place", SOMEWHERE_ELSE)
@pytest.mark.parametrize("kind", ["polygon", "circle"])
def test_a_zone_goes_round_the_world_and_back(place: str, kind: str) -> None:
    """Out of the rectangle of the sheets, to where no plane serves, and home."""
    features, at = town(7, 5), fixes(8)
    z = table(*features)
    answers(z, *at)
    home = features[1]
    away = drawn(np.random.default_rng(9), kind, "z1", SOMEWHERE_ELSE[place], 2_000.0)
    for new in (away, home):
        features[1] = new
        z = z.replace("z1", new)
        assert_same(z, features, *at)


def test_sheets_of_blocks_are_spliced_block_by_block() -> None:
    rng = np.random.default_rng(10)
    places = [(LAT, LON), (-33.0, 151.0), (40.0, -100.0), (LAT, 179.98), (65.0, 25.0)]
    features = [drawn(rng, "polygon", f"z{i}", at) for i, at in enumerate(places)]
    at = fixes(11)
    for k, (lat, lon) in enumerate(places):
        at[0][40 + 30 * k : 70 + 30 * k], at[1][40 + 30 * k : 70 + 30 * k] = scatter(rng, 30, lat, lon, 1_200.0)
    at[1][at[1] >= 180.0] -= 360.0
    z = table(*features)
    answers(z, *at)
    assert z.index.sheets.block.size
    for zone, where in ((0, 1), (1, 0), (2, 3), (3, 4), (4, 2), (4, 4)):
        new = drawn(rng, "polygon", f"z{zone}", places[where])
        features[zone] = new
        z = z.replace(f"z{zone}", new)
        assert_same(z, features, *at)


def test_the_only_zone_of_a_table() -> None:
    at = fixes(12)
    rng = np.random.default_rng(13)
    z = table(drawn(rng, "polygon", "z0"))
    answers(z, *at)
    assert "inside_grid" in z.index.made
    for kind in (*KINDS, "polygon"):
        new = drawn(rng, kind, "z0")
        z = z.replace("z0", new)
        assert_same(z, [new], *at)


def test_zones_that_no_plane_serves_change_places() -> None:
    large = [polygon(box(-40, -60, 40, 60), zone_id="a"), polygon(box(-180, 85, 180, 90), zone_id="b")]
    features = [*large, *town(14, 3)]
    at = fixes(15)
    z = table(*features)
    answers(z, *at)
    for zone, new in (
        (1, polygon(box(-180, 80, 180, 90), zone_id="b")),
        (0, drawn(np.random.default_rng(16), "polygon", "a")),
        (1, drawn(np.random.default_rng(17), "circle", "b")),
        (0, large[0]),
    ):
        features[zone] = new
        z = z.replace(str(new["id"]), new)
        assert_same(z, features, *at)
    assert z.index.other.tolist() == [0]


# ---------------------------------------------------------------- what is shared, made and kept


def test_only_what_was_made_is_spliced() -> None:
    features = town(18)
    z = table(*features)
    new = drawn(np.random.default_rng(19), "polygon", "z3")
    assert set(z.replace("z3", new).index.made) == set()
    z.near([LAT], [LON], 10.0)
    assert set(z.replace("z3", new).index.made) == {"sheets"}


def test_arrays_stay_read_only() -> None:
    features, at = town(20), fixes(21)
    z = table(*features)
    answers(z, *at)
    changed = z.replace("z0", drawn(np.random.default_rng(22), "polygon", "z0"))

    def arrays(record: Any) -> list[np.ndarray]:
        values = [getattr(record, f.name) for f in fields(record)]
        found = [v for v in values if isinstance(v, np.ndarray)]
        for value in values:
            for item in value if isinstance(value, tuple) else (value,):
                if hasattr(item, "__dataclass_fields__"):
                    found += arrays(item)
        return found

    index = changed.index
    records = [index.edges, index.others, index.shapes.arrays, *index.made.values()]
    every = [a for record in records for a in arrays(record)]
    assert len(every) > 60
    assert [a for a in every if a.flags.writeable] == []


def test_what_is_left_behind_is_cleared_away() -> None:
    features, at = town(23, 6), fixes(24)
    z = table(*features)
    answers(z, *at)
    rng = np.random.default_rng(25)
    largest = 0
    for _ in range(40):
        features[2] = drawn(rng, "polygon", "z2", size_m=2_500.0)
        z = z.replace("z2", features[2])
        largest = max(largest, z.nbytes)
    fresh = table(*features)
    answers(fresh, *at)
    assert_same(z, features, *at)
    assert largest < 3 * fresh.nbytes
    for name, part in z.index.made.items():
        if isinstance(part, Sheets):
            assert part.sheets[0].first.size < 2 * getattr(fresh.index, name).sheets[0].first.size
    assert z.index.edges.at.size <= 2 * int(z.index.edges.number.sum())
    assert z.index.grids.start.size <= 2 * int((z.index.grids.size.astype(np.int64) ** 2).sum())


def test_every_field_of_the_records_has_its_place() -> None:
    """A field that splicing does not know of would be spliced per zone: it must be per zone, then."""
    features = town(26, 11)
    index = table(*features).index
    per_zone = [f.name for f in fields(EdgeTable) if f.name not in VERTEX_FIELDS]
    assert {getattr(index.edges, name).shape for name in per_zone} == {(11,)}
    assert {getattr(index.edges, name).shape for name in VERTEX_FIELDS} == {index.edges.at.shape}
    others = {"band_m", "candidate", *CELL_FIELDS}
    assert {getattr(index.grids, f.name).shape for f in fields(ZoneGrids) if f.name not in others} == {(11,)}
    assert {getattr(index.grids, name).shape for name in CELL_FIELDS} == {index.grids.start.shape}


def test_assignments_go_over_to_the_new_table() -> None:
    features, at = town(27), fixes(28)
    rng = np.random.default_rng(29)
    z = table(*features)
    own = gc.AssignedZones(z, np.arange(12) % 4, wearers=5)
    changed = z.replace("z5", drawn(rng, "polygon", "z5"))
    over, made = own.over(changed), gc.AssignedZones(changed, own.owner_idx, own.zone_idx, wearers=5)
    assert over.zones is changed
    assert own.zones is z
    assert np.shares_memory(over.zone_idx, own.zone_idx)
    wearer = np.arange(at[0].size) % 5
    for a, b in zip(over.signed_distance_m(wearer, *at), made.signed_distance_m(wearer, *at), strict=True):
        assert a.tobytes() == b.tobytes()
    assert over.single(1).check(LAT, LON) == made.single(1).check(LAT, LON)
    fix = gc.FixColumns.of(wearer, np.arange(wearer.size), *at)
    known, first = gc.evaluate(own, gc.FenceState.unknown(own), fix)
    assert len(first)
    later = gc.FixColumns.of(wearer, fix.t_ns + wearer.size, *at)
    for assigned in (over, made):
        _, found = gc.evaluate(assigned, known, later)
        assert found.zone_idx.tobytes() == gc.evaluate(made, known, later)[1].zone_idx.tobytes()
    with pytest.raises(gc.AssignmentError, match="expected a table of 12 zones, got 1"):
        own.over(table(features[0]))


# ---------------------------------------------------------------- how a zone is given


def test_purpose_name_and_size_stay_unless_the_feature_says_otherwise() -> None:
    disc = circle(LAT, LON, 250.0, zone_id="c")
    disc["properties"] |= {"purpose": "inclusion", "name": "Home"}
    line = corridor([[LON, LAT], [LON + 0.01, LAT]], 30.0, zone_id="l")
    z = table(disc, line)
    moved = z.replace("c", {"type": "Point", "coordinates": [LON, LAT + 0.1]})
    assert moved.shapes[0].centre == (LON, LAT + 0.1)
    assert (moved.shapes[0].radius_m, moved.purposes[0], moved.names[0]) == (250.0, "inclusion", "Home")
    drawn_anew = z.replace(
        "l", {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [0, 1]]}}
    )
    assert drawn_anew.shapes[1].half_width_m == 30.0
    told = z.replace(
        "c", feature({"type": "Point", "coordinates": [1, 2]}, "c", purpose="exclusion", name=None, radius_m=9)
    )
    assert (told.shapes[0].radius_m, told.purposes, told.names) == (9.0, ("exclusion", "exclusion"), (None, None))
    area = z.replace("c", shapely.box(0, 0, 1, 1))
    assert (area.kinds, area.purposes, area.names) == (
        ("polygon", "corridor"),
        ("inclusion", "exclusion"),
        ("Home", None),
    )
    assert area.shapes[0].radius_m is None
    assert (z.kinds, z.names) == (("circle", "corridor"), ("Home", None))


def test_shapely_and_geojson_give_the_same_zone() -> None:
    z = table(*town(30, 3))
    parts = shapely.MultiPolygon(
        [shapely.box(LON, LAT, LON + 0.01, LAT + 0.01), shapely.box(LON + 0.02, LAT, LON + 0.03, LAT + 0.01)]
    )
    at = fixes(31)
    given = z.replace("z1", parts)
    wound = shapely.MultiPolygon([shapely.orient_polygons(p) for p in parts.geoms])
    read = z.replace("z1", shapely.geometry.mapping(wound))
    assert answers(given, *at) == answers(read, *at)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (BOWTIE, "self-intersection"),
        (polygon(box(0, 0, 1, 1)[::-1], zone_id="z1"), "wrong winding"),
        ({"type": "Point", "coordinates": [0, 0]}, "radius_m"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        ({"type": "Topology"}, "is no zone"),
        (feature({"type": "Point", "coordinates": [0, 0]}, "z1", purpose="buffer", radius_m=1), "purpose"),
        ({"type": "Feature", "properties": [], "geometry": None}, "no properties"),
        ({"type": "Feature", "properties": {}, "geometry": None}, "no geometry"),
        (polygon(box(0, 0, 1, 1), zone_id="z2"), "the Feature's id is 'z2'; next: leave the id out"),
        (shapely.Polygon(), "empty"),
        (shapely.Point(0, 0), "expected Polygon or MultiPolygon"),
        ([[0, 0]], "expected a GeoJSON Feature or geometry"),
        (circle(LON, LAT, 50.0, zone_id="z1"), "lies .* km from the other"),
    ],
)  # fmt: skip
def test_what_is_no_zone_is_refused_with_its_id(geometry: Any, message: str) -> None:
    z = table(*town(32, 4)[:1], *[drawn(np.random.default_rng(33), "polygon", f"z{i}") for i in (1, 2, 3)])
    with pytest.raises(gc.ZoneGeometryError, match=message) as caught:
        z.replace("z1", geometry)
    assert caught.value.zone_id == "z1"


def test_a_zone_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="nobody"):
        table(*town(34, 3)).replace("nobody", BOWTIE)


def test_mends_follow_the_zone() -> None:
    z = gc.ZoneTable.from_geojson(
        collection(polygon(box(0, 0, 1, 1)[::-1], zone_id="a"), polygon(box(2, 0, 3, 1)[::-1], zone_id="b")), mend=True
    )
    assert [m.zone_id for m in z.mends] == ["a", "b"]
    good = z.replace("a", polygon(box(0, 0, 1, 1), zone_id="a"))
    assert [m.zone_id for m in good.mends] == ["b"]
    again = good.replace("a", polygon(box(0, 0, 1, 1)[::-1], zone_id="a"), mend=True)
    assert [(m.zone_id, m.what) for m in again.mends] == [
        ("b", "reversed the shell to run counter-clockwise"),
        ("a", "reversed the shell to run counter-clockwise"),
    ]


def test_latitude_and_longitude_exchanged_is_mended_against_the_neighbours() -> None:
    features = town(35, 5)
    z = table(*features)
    lat, lon = metres(LAT, LON, 500.0, 500.0)
    changed = z.replace("z2", feature({"type": "Point", "coordinates": [lat, lon]}, "z2", radius_m=100), mend=True)
    assert changed.shapes[2].centre == (lon, lat)
    assert changed.mends[-1].what == "exchanged latitude and longitude"
