"""The calls of the table agree with each other, bit for bit, and keep their word about NaN, boundaries and bounds."""

import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import shapely

import geofence_core as gc
from geofence_core import balls, boundary, gridpairs, index, nearest, sheetpairs, side
from tests.geofence_core.drawing import box, circle, collection, corridor, feature, mixed, polygon, scatter, table


@pytest.fixture(scope="module")
def town() -> gc.ZoneTable:
    return mixed(np.random.default_rng(7), 60)


@pytest.fixture(scope="module")
def fixes() -> tuple[np.ndarray, np.ndarray]:
    lat, lon = scatter(np.random.default_rng(8), 700)
    lat[[3, 50]] = np.nan
    lon[[4, 50]] = np.nan
    return lat, lon


def test_a_table_says_what_it_holds() -> None:
    z = table(
        feature({"type": "Polygon", "coordinates": [box(0, 0, 1, 1)]}, "a", name="School"),
        circle(0.5, 2.0, 100.0, "b"),
        corridor([[3, 0], [3, 1]], 30.0, "c"),
        feature(
            {"type": "MultiPolygon", "coordinates": [[box(4, 0, 5, 1)], [box(6, 0, 7, 1)]]}, "d", purpose="inclusion"
        ),
    )
    assert z.ids == ("a", "b", "c", "d")
    assert z.kinds == ("polygon", "circle", "corridor", "multipolygon")
    assert z.purposes == ("exclusion", "exclusion", "exclusion", "inclusion")
    assert z.names == ("School", None, None, None)
    assert len(z) == 4
    assert z.idx("c") == 2
    assert z.nbytes > 0
    assert "4 zones" in repr(z)


def test_integer_ids_are_read_as_text_and_altitudes_ignored() -> None:
    drawn = polygon([[*p, 12.0] for p in box(0, 0, 1, 1)])
    drawn["id"] = 17
    assert table(drawn).ids == ("17",)


def test_a_file_and_an_object_give_the_same_table(tmp_path: Path) -> None:

    path = tmp_path / "zones.geojson"
    drawn = collection(polygon(box(0, 0, 1, 1)))
    path.write_text(json.dumps(drawn))
    assert gc.ZoneTable.from_geojson(path).ids == gc.ZoneTable.from_geojson(str(path)).ids == ("z",)


def test_contains_is_signed_distance_up_to_zero(town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray]) -> None:
    inside = town.contains(*fixes)
    assert inside.any()
    for exact in (False, True):
        assert np.array_equal(inside, town.signed_distance_m(*fixes, exact=exact) <= 0.0)


def test_distance_is_exact_in_the_band_and_a_lower_bound_beyond(
    town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray]
) -> None:
    exact = town.signed_distance_m(*fixes, exact=True)
    quick = town.signed_distance_m(*fixes)
    seen = ~np.isnan(exact)
    near = seen & (np.abs(exact) <= town.band_m)
    assert near.any()
    assert np.array_equal(quick[near], exact[near])
    far = seen & ~near
    assert (np.abs(quick[far]) <= np.abs(exact[far])).all()
    assert (np.abs(quick[far]) > town.band_m).all()
    assert (np.sign(quick[far]) == np.sign(exact[far])).all()


@pytest.mark.parametrize("within_m", [0.0, 40.0, 250.0, 3_000.0])
def test_near_gives_just_what_dense_gives(
    town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray], within_m: float
) -> None:
    ptr, zone, signed = town.near(*fixes, within_m)
    exact = town.signed_distance_m(*fixes, exact=True)
    fix, wanted = np.nonzero(exact <= within_m)
    assert np.array_equal(np.repeat(np.arange(len(fixes[0])), np.diff(ptr)), fix)
    assert np.array_equal(zone, wanted)
    within = np.abs(exact[fix, wanted]) <= max(within_m, town.band_m)
    assert np.array_equal(signed[within], exact[fix, wanted][within])
    assert (signed <= within_m).all()


def test_own_zones_single_fixes_and_dense_agree_to_the_bit(
    town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray]
) -> None:
    rng = np.random.default_rng(1)
    own = gc.AssignedZones(town, rng.integers(0, 9, len(town)), wearers=10)
    wearer = rng.integers(0, 10, len(fixes[0]))
    ptr, zone, signed = own.signed_distance_m(wearer, *fixes)
    dense = town.signed_distance_m(*fixes)
    fix = np.repeat(np.arange(len(wearer)), np.diff(ptr))
    assert np.array_equal(signed, dense[fix, zone], equal_nan=True)
    for i in range(0, len(wearer), 37):
        rows = slice(ptr[i], ptr[i + 1])
        fence = own.single(int(wearer[i]))
        got = fence.check(float(fixes[0][i]), float(fixes[1][i]))
        assert [z for z, _ in got] == zone[rows].tolist() == np.flatnonzero(own.owner_idx == wearer[i]).tolist()
        assert np.array_equal([d for _, d in got], signed[rows], equal_nan=True)


def test_one_zone_may_belong_to_several_wearers(town: gc.ZoneTable) -> None:
    own = gc.AssignedZones(town, [1, 0, 1], [5, 5, 2])
    lat, lon = scatter(np.random.default_rng(3), 2)
    ptr, zone, _ = own.signed_distance_m([0, 1], lat, lon)
    assert ptr.tolist() == [0, 1, 3]
    assert zone.tolist() == [5, 2, 5]


@pytest.mark.parametrize(
    ("owner", "zone", "wearers", "error"),
    [
        ([0, -1], [0, 1], None, gc.AssignmentError),
        ([0, 3], [0, 1], 3, gc.AssignmentError),
        ([0, 1], [0, 60], None, gc.AssignmentError),
        ([0, 0], [4, 4], None, gc.ColumnError),
        ([0, 0], [4], None, gc.ColumnError),
        ([0, 1], None, None, gc.ColumnError),
        ([0.5, 1.0], [0, 1], None, gc.ColumnError),
    ],
)
def test_assignments_that_point_nowhere_are_refused(
    town: gc.ZoneTable, owner: list[int], zone: list[int] | None, wearers: int | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        gc.AssignedZones(town, owner, zone, wearers=wearers)


def test_a_wearer_outside_the_table_is_refused(town: gc.ZoneTable) -> None:
    own = gc.AssignedZones(town, [0], [0])
    with pytest.raises(gc.AssignmentError, match=r"wearer_idx\[1\] is 7, but there are 1 wearers"):
        own.signed_distance_m([0, 7], [1.0, 1.0], [1.0, 1.0])
    with pytest.raises(gc.AssignmentError):
        own.single(1)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(np.nan, 0.0), (0.0, np.nan), (90.1, 0.0), (-91.0, 0.0), (0.0, 361.0), (np.inf, 0.0), (0.0, -np.inf)],
)
def test_no_position_is_nowhere(town: gc.ZoneTable, lat: float, lon: float) -> None:
    assert not town.contains(lat, lon).any()
    for exact in (False, True):
        assert np.isnan(town.signed_distance_m(lat, lon, exact=exact)).all()
    assert town.near(lat, lon, 1e6).fix_ptr.tolist() == [0, 0]
    own = gc.AssignedZones(town, np.zeros(len(town), dtype=int))
    assert np.isnan([d for _, d in own.single(0).check(lat, lon)]).all()


def test_longitudes_up_to_360_mean_the_same_place() -> None:
    z = table(polygon(box(-3, 50, -2, 51)))
    at = z.signed_distance_m([50.5, 50.5], [-2.5, 357.5], exact=True)[:, 0]
    assert at[0] == pytest.approx(at[1], abs=1e-8)


def test_the_boundary_is_inside_and_at_distance_zero() -> None:
    drawn = polygon(box(10, 50, 12, 51), box(10.5, 50.25, 11, 50.75)[::-1])
    z = table(drawn)
    lon = np.array([10, 12, 11, 10, 10.5, 10.75, 11, 11])
    lat = np.array([50.5, 50.125, 50, 50, 50.5, 50.25, 50.75, 50.5])
    assert z.contains(lat, lon).all()
    assert (z.signed_distance_m(lat, lon) == 0.0).all()


def test_empty_inputs_and_empty_tables_give_empty_answers(town: gc.ZoneTable) -> None:
    none: list[float] = []
    assert town.contains(none, none).shape == (0, 60)
    assert town.signed_distance_m(none, none).shape == (0, 60)
    assert town.near(none, none, 10.0).fix_ptr.tolist() == [0]
    empty = gc.ZoneTable.from_geojson(collection())
    assert empty.contains([1.0], [1.0]).shape == (1, 0)
    assert empty.signed_distance_m([1.0], [1.0]).shape == (1, 0)
    assert empty.near([1.0], [1.0], 10.0).fix_ptr.tolist() == [0, 0]
    own = gc.AssignedZones(empty, none_idx := np.zeros(0, dtype=int))
    assert len(own) == own.n_wearers == none_idx.size
    two = gc.AssignedZones(town, none_idx, none_idx, wearers=2)
    assert two.signed_distance_m([0, 1], [1.0, 2.0], [1.0, 2.0]).fix_ptr.tolist() == [0, 0, 0]
    assert two.single(1).check(1.0, 2.0) == []


@pytest.mark.parametrize(("lat", "lon"), [([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])])
def test_columns_that_do_not_fit_are_refused(town: gc.ZoneTable, lat: list[float], lon: list[float]) -> None:
    with pytest.raises(gc.ColumnError):
        town.contains(lat, lon)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_distances_to_search_within_must_be_metres(town: gc.ZoneTable, value: float) -> None:
    with pytest.raises(gc.ColumnError):
        town.near([1.0], [1.0], value)
    with pytest.raises(gc.ColumnError):
        gc.ZoneTable.from_geojson(collection(), band_m=value)


def test_chunk_sizes_change_no_bit(
    town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixes = (fixes[0][:90], fixes[1][:90])

    def answers() -> list[np.ndarray]:
        own = gc.AssignedZones(town, np.arange(len(town)) % 3)
        wearer = np.arange(len(fixes[0])) % 3
        return [
            town.contains(*fixes),
            town.signed_distance_m(*fixes),
            town.signed_distance_m(*fixes, exact=True),
            *town.near(*fixes, 200.0),
            *own.signed_distance_m(wearer, *fixes),
        ]

    whole = answers()
    monkeypatch.setattr(index, "CHUNK_PAIRS", 97)
    monkeypatch.setattr(balls, "CHUNK_PAIRS", 97)
    monkeypatch.setattr("geofence_core.assigned.CHUNK_PAIRS", 31)
    monkeypatch.setattr(gridpairs, "POINTS", 13)
    monkeypatch.setattr(gridpairs, "LOOK_UP", 17)
    monkeypatch.setattr(nearest, "FEW_POINTS", 6)
    monkeypatch.setattr(nearest, "CANDIDATES", 8)
    monkeypatch.setattr(sheetpairs, "POINTS", 11)
    monkeypatch.setattr(sheetpairs, "POOL", 2)
    monkeypatch.setattr(side, "CHUNK_BLOCKS", 5)
    monkeypatch.setattr(boundary, "CHUNK_BALLS", 3)
    monkeypatch.setattr(boundary, "CHUNK_OPEN", 7)
    for a, b in zip(whole, answers(), strict=True):
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_threads_share_a_table(town: gc.ZoneTable, fixes: tuple[np.ndarray, np.ndarray]) -> None:
    want = town.signed_distance_m(*fixes)
    same: list[bool] = []

    def ask() -> None:
        same.append(np.array_equal(want, town.signed_distance_m(*fixes), equal_nan=True))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 4


def test_the_index_cannot_be_written_to(town: gc.ZoneTable) -> None:
    with pytest.raises(ValueError, match="read-only"):
        town.index.edges.length_m[0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        town.index.grids.start[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        town.index.sheets.sheets[0].entry[0] = 1


def test_errors_survive_a_process_boundary() -> None:
    error = gc.ZoneGeometryError("z", 1, 2, "why")
    again = pickle.loads(pickle.dumps(error))
    assert (again.zone_id, again.ring, again.vertex, again.reason) == ("z", 1, 2, "why")
    assert str(again) == "zone 'z', ring 1, vertex 2: why"


def test_zones_from_shapely_equal_zones_from_geojson() -> None:
    ring = box(10, 50, 10.01, 50.01)
    hole = box(10.004, 50.004, 10.006, 50.006)
    lat, lon = np.linspace(49.99, 50.02, 40), np.linspace(9.99, 10.02, 40)
    drawn = table(polygon(ring, hole[::-1]))
    given = gc.ZoneTable.from_shapely([shapely.Polygon(ring[::-1], [hole])], ["z"], purposes=["inclusion"])
    assert given.purposes == ("inclusion",)
    assert np.array_equal(drawn.signed_distance_m(lat, lon), given.signed_distance_m(lat, lon))
    with pytest.raises(gc.ZoneGeometryError, match="expected Polygon"):
        gc.ZoneTable.from_shapely([shapely.Point(1, 1)], ["z"])
    with pytest.raises(gc.ZoneGeometryError, match="empty"):
        gc.ZoneTable.from_shapely([shapely.Polygon()], ["z"])
    with pytest.raises(gc.ZoneGeometryError, match="stands twice"):
        gc.ZoneTable.from_shapely([shapely.box(0, 0, 1, 1)] * 2, ["z", "z"])
    with pytest.raises(gc.ZoneGeometryError, match="purpose"):
        gc.ZoneTable.from_shapely([shapely.box(0, 0, 1, 1)], ["z"], purposes=["buffer"])
    with pytest.raises(gc.ColumnError, match="as many ids"):
        gc.ZoneTable.from_shapely([shapely.box(0, 0, 1, 1)], ["z", "y"])


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "fixtures/zones").glob("*.geojson")), ids=lambda p: p.name
)
def test_the_zones_of_the_house_load_without_mending(path: Path) -> None:
    z = gc.ZoneTable.from_geojson(path)
    assert len(z) >= 2
    assert z.mends == ()


def test_the_example_of_every_kind_is_one() -> None:
    z = gc.ZoneTable.from_geojson(Path(__file__).parents[2] / "fixtures/zones/every_kind.geojson")
    assert z.kinds == ("polygon", "multipolygon", "circle", "corridor")
    assert set(z.purposes) == {"exclusion", "inclusion"}
