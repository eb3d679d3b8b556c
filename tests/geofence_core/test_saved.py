"""Saved tables: the same answers from a mapped file, and a named error for every file that is not one."""

import copy
import json
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geofence_core as gc
from geofence_core import saved, shapes
from tests.geofence_core.drawing import box, circle, collection, corridor, mixed, polygon, scatter, table

PRELUDE = 64
FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def town() -> gc.ZoneTable:
    return mixed(np.random.default_rng(5), 24)


@pytest.fixture(scope="module")
def fixes() -> tuple[np.ndarray, np.ndarray]:
    lat, lon = scatter(np.random.default_rng(6), 300)
    lat[::50] = np.nan
    return lat, lon


@pytest.fixture(scope="module")
def whole(town: gc.ZoneTable, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "town.zones"
    town.save(path)
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "town.zones"
    path.write_bytes(whole)
    return path


def answers(z: gc.ZoneTable, lat: np.ndarray, lon: np.ndarray) -> list[bytes]:
    """Every call, as bytes."""
    own = gc.AssignedZones(z, np.arange(len(z)) % 3, wearers=3)
    columns = [
        z.contains(lat, lon),
        z.signed_distance_m(lat, lon),
        z.signed_distance_m(lat[:40], lon[:40], exact=True),
        *z.containing(lat, lon),
        *z.near(lat, lon, 100.0),
        *z.near(lat[:40], lon[:40], 2_000.0),
        *own.signed_distance_m(np.arange(lat.size) % 3, lat, lon),
        np.array([own.single(0).check(float(a), float(b)) for a, b in zip(lat[:20], lon[:20], strict=True)]),
        *z.crossed(lat[:-1], lon[:-1], lat[1:], lon[1:]),
    ]
    return [column.tobytes() for column in columns]


# ---------------------------------------------------------------- what comes back


def test_an_opened_table_answers_to_the_bit(
    town: gc.ZoneTable, path: Path, fixes: tuple[np.ndarray, np.ndarray]
) -> None:
    for opened in (gc.ZoneTable.open(path), gc.ZoneTable.open(str(path), verify=True)):
        assert answers(opened, *fixes) == answers(town, *fixes)


def test_what_was_drawn_comes_back(tmp_path: Path) -> None:
    hole = box(0.2, 0.2, 0.4, 0.4)[::-1]
    features = [
        polygon(box(0, 0, 1, 1), hole, zone_id="ä 🚧"),
        circle(1.5, 2.5, 60.5, zone_id="c"),
        corridor([[0, 0], [0.1, 0.1], [0.2, 0.0]], 12.5, zone_id="l"),
    ]
    features[1]["properties"] |= {"purpose": "inclusion", "name": "Home \n «ß»"}
    z = gc.ZoneTable.from_geojson(collection(*features), band_m=77.5)
    z.save(tmp_path / "z")
    opened = gc.ZoneTable.open(tmp_path / "z")
    assert opened.ids == z.ids == ("ä 🚧", "c", "l")
    assert opened.kinds == ("polygon", "circle", "corridor")
    assert opened.purposes == ("exclusion", "inclusion", "exclusion")
    assert opened.names == (None, "Home \n «ß»", None)
    assert (opened.band_m, len(opened), opened.idx("l")) == (77.5, 3, 2)
    area, disc, line = opened.shapes
    assert [ring.tolist() for ring in area.polygons[0]] == [
        [list(map(float, p)) for p in ring] for ring in (box(0, 0, 1, 1), hole)
    ]
    assert (disc.centre, disc.radius_m, disc.polygons, disc.line, disc.half_width_m) == (
        (2.5, 1.5),
        60.5,
        (),
        None,
        None,
    )
    assert line.line is not None
    assert line.line.tolist() == [[0, 0], [0.1, 0.1], [0.2, 0.0]]
    assert (line.half_width_m, line.centre, line.radius_m, line.polygons) == (12.5, None, None, ())
    assert opened.shapes[-1].zone_id == "l"
    assert [s.zone_id for s in opened.shapes[1:]] == ["c", "l"]
    with pytest.raises(IndexError):
        opened.shapes[3]


def test_mends_come_back(tmp_path: Path) -> None:
    z = gc.ZoneTable.from_geojson(collection(polygon(box(0, 0, 1, 1)[::-1])), mend=True)
    assert z.mends
    z.save(tmp_path / "z")
    assert gc.ZoneTable.open(tmp_path / "z").mends == z.mends


def test_zones_that_no_plane_serves_and_zones_all_over_the_globe_come_back(tmp_path: Path) -> None:
    places = [(0, 31), (40, -100), (-33, 150), (65, 25), (10, 179.99), (-50, -179.99)]
    discs = [circle(lat, lon, 5_000.0, zone_id=f"{lat},{lon}") for lat, lon in places]
    z = table(*discs, polygon(box(-180, 85, 180, 90), zone_id="cap"), polygon(box(-40, -60, 40, 60), zone_id="large"))
    assert z.index.other.size == 2
    z.save(tmp_path / "z")
    opened = gc.ZoneTable.open(tmp_path / "z")
    assert len(opened.index.sheets.sheets) > 2
    lat = np.array([88.0, 10.0, 10.0, 0.03, -33.0, np.nan, 62.0])
    lon = np.array([5.0, 179.999, -179.999, 31.0, 150.04, 0.0, 0.0])
    assert answers(opened, lat, lon) == answers(z, lat, lon)


def test_a_table_without_zones_comes_back(tmp_path: Path) -> None:
    z = gc.ZoneTable([])
    z.save(tmp_path / "z")
    opened = gc.ZoneTable.open(tmp_path / "z")
    assert (len(opened), opened.ids, list(opened.shapes)) == (0, (), [])
    assert opened.contains([1.0], [2.0]).shape == (1, 0)


# ---------------------------------------------------------------- how it is held


def test_the_arrays_are_the_file(path: Path) -> None:
    opened = gc.ZoneTable.open(path)
    arrays = [
        opened.index.edges.at,
        opened.index.grids.candidate,
        opened.index.sheets.sheets[0].first,
        opened.index.sweep.rounds.ends_m,
        opened.index.shapes.arrays.lonlat_deg,
        opened.shapes[2].polygons[0][0],
    ]
    for array in arrays:
        assert type(array) is np.ndarray
        assert not array.flags.writeable
        holder: Any = array
        while isinstance(holder, np.ndarray):
            holder = holder.base
        assert type(holder).__name__ == "mmap"
    assert opened.index.edges.at.ctypes.data % saved.ALIGN == 0


def test_opening_makes_no_zones(
    path: Path, fixes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("a ZoneShape was made")

    monkeypatch.setattr(shapes, "ZoneShape", refuse)
    opened = gc.ZoneTable.open(path)
    assert (len(opened.kinds), len(opened.purposes), len(opened.names)) == (24, 24, 24)
    assert opened.near(*fixes, 200.0).zone_idx.size
    with pytest.raises(AssertionError, match="was made"):
        _ = opened.shapes[0]


def test_parts_that_are_left_out_are_made_when_needed(
    town: gc.ZoneTable, tmp_path: Path, fixes: tuple[np.ndarray, np.ndarray], whole: bytes
) -> None:
    town.save(tmp_path / "own", parts=["grids"])
    assert (tmp_path / "own").stat().st_size < 0.6 * len(whole)
    opened = gc.ZoneTable.open(tmp_path / "own")
    assert set(opened.index.made) == {"grids"}
    assert answers(opened, *fixes) == answers(town, *fixes)
    assert {"grids", "sheets", "inside_sheets", "sweep"} <= set(opened.index.made)
    with pytest.raises(gc.ColumnError, match="expected some of grids, sheets"):
        town.save(tmp_path / "own", parts=["gird"])


def test_what_was_made_is_saved_with_the_usual_parts(path: Path, tmp_path: Path) -> None:
    opened = gc.ZoneTable.open(path)
    opened.signed_distance_m([53.2], [-2.4], exact=True)
    made = set(opened.index.made)
    assert "exact_grids" in made
    opened.save(tmp_path / "more")
    assert set(gc.ZoneTable.open(tmp_path / "more").index.made) == made


def test_saving_the_same_table_again_gives_the_same_bytes(path: Path, whole: bytes, tmp_path: Path) -> None:
    gc.ZoneTable.open(path).save(tmp_path / "again", parts=saved.USUAL)
    gc.ZoneTable.open(tmp_path / "again").save(tmp_path / "third", parts=saved.USUAL)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "third").read_bytes()
    assert gc.ZoneTable.open(path).ids == gc.ZoneTable.open(tmp_path / "again").ids
    assert len(whole) >= (tmp_path / "again").stat().st_size


def test_saving_over_a_mapped_file_leaves_its_readers_alone(
    town: gc.ZoneTable, path: Path, fixes: tuple[np.ndarray, np.ndarray]
) -> None:
    first = gc.ZoneTable.open(path)
    table(polygon(box(0, 0, 1, 1))).save(path)
    assert answers(first, *fixes) == answers(town, *fixes)
    assert gc.ZoneTable.open(path).ids == ("z",)
    path.unlink()
    assert answers(first, *fixes) == answers(town, *fixes)
    assert list(path.parent.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_file(path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(gc.ZoneFileError, match=r"town\.zones: the zones cannot be saved \(No space left"):
        table(polygon(box(0, 0, 1, 1))).save(path)
    assert [p.name for p in path.parent.iterdir()] == ["town.zones"]
    assert path.read_bytes() == whole


def test_a_folder_that_is_not_there_is_named(town: gc.ZoneTable, tmp_path: Path) -> None:
    with pytest.raises(gc.ZoneFileError, match="no/such: the zones cannot be saved"):
        town.save(tmp_path / "no" / "such")


# ---------------------------------------------------------------- pickles

OTHER_PROCESS = """
import pickle, sys
table, own, fence, lat, lon = pickle.load(sys.stdin.buffer)
found = [table.signed_distance_m(lat, lon).tobytes(), own.signed_distance_m([0, 1], lat[:2], lon[:2])[2].tobytes(),
         fence.check(float(lat[1]), float(lon[1])), table.index.place, own.owner_idx.flags.writeable]
sys.stdout.buffer.write(pickle.dumps(found))
"""


@pytest.mark.parametrize("kept", ["file", "arrays"])
def test_another_process_gets_table_assignment_and_fence(
    town: gc.ZoneTable, path: Path, fixes: tuple[np.ndarray, np.ndarray], kept: str
) -> None:
    z = gc.ZoneTable.open(path)
    if kept == "arrays":
        path.unlink()
    lat, lon = fixes[0][:9], fixes[1][:9]
    own = gc.AssignedZones(z, np.arange(len(z)) % 2)
    sent = pickle.dumps((z, own, own.single(1), lat, lon))
    assert (len(sent) < 3_000) == (kept == "file")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OTHER_PROCESS], input=sent, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    dense, pairs, one, place, writeable = pickle.loads(done.stdout)
    assert dense == town.signed_distance_m(lat, lon).tobytes()
    assert pairs == own.signed_distance_m([0, 1], lat[:2], lon[:2])[2].tobytes()
    assert one == own.single(1).check(float(lat[1]), float(lon[1]))
    assert (place is not None) == (kept == "file")
    assert not writeable


def test_a_table_in_memory_is_pickled_with_what_was_made(fixes: tuple[np.ndarray, np.ndarray]) -> None:
    z = mixed(np.random.default_rng(8), 8)
    z.near(*fixes, 100.0)
    for again in (pickle.loads(pickle.dumps(z)), copy.deepcopy(z)):
        assert set(again.index.made) == {"sheets"}
        assert not again.index.edges.at.flags.writeable
        assert (again.ids, again.mends, again.band_m) == (z.ids, z.mends, z.band_m)
        assert answers(again, *fixes) == answers(z, *fixes)


def test_a_pickle_whose_file_changed_says_so(path: Path) -> None:
    sent = pickle.dumps(gc.ZoneTable.open(path))
    table(polygon(box(0, 0, 1, 1))).save(path)
    with pytest.raises(gc.ZoneFileError, match="another table was saved here"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(gc.ZoneFileError, match="cannot be read"):
        pickle.loads(sent)


def test_a_file_that_was_moved_is_carried_in_the_pickle(
    town: gc.ZoneTable, path: Path, fixes: tuple[np.ndarray, np.ndarray]
) -> None:
    z = gc.ZoneTable.open(path)
    path.rename(path.with_name("moved"))
    assert answers(pickle.loads(pickle.dumps(z)), *fixes) == answers(town, *fixes)
    path.write_bytes(b"something else")
    assert answers(pickle.loads(pickle.dumps(z)), *fixes) == answers(town, *fixes)


def test_a_relative_path_is_found_from_another_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    sent = pickle.dumps(gc.ZoneTable.open(path.name))
    monkeypatch.chdir("/")
    assert len(pickle.loads(sent)) == 24


# ---------------------------------------------------------------- what is no such file


def with_header(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with another list of arrays, lengths and checksums made to fit."""
    (length,) = struct.unpack_from("<Q", data, 16)
    header = json.loads(data[PRELUDE : PRELUDE + length])
    change(header)
    text = json.dumps(header).encode("ascii")
    text += b" " * (-len(text) % saved.ALIGN)
    arrays = data[PRELUDE + length :]
    return with_prelude(data, text + arrays, length=len(text), check=zlib.crc32(text))


def with_prelude(
    data: bytes,
    rest: bytes,
    *,
    version: int = 2,
    order: int = 0x01020304,
    length: int | None = None,
    check: int | None = None,
) -> bytes:
    magic, _, _, old_length, _, old_check, arrays_check = struct.unpack_from("<8sIIQQII", data)
    length = old_length if length is None else length
    check = old_check if check is None else check
    first = struct.pack("<8sIIQQII20x", magic, version, order, length, PRELUDE + len(rest), check, arrays_check)
    return first + struct.pack("<I", zlib.crc32(first)) + rest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file"),
        (b"", "expected a file of saved zones"),
        (b'{"type": "FeatureCollection"}', "GeoJSON is read by ZoneTable.from_geojson"),
        (b"\x89zones\n" + bytes(200), "expected a file of saved zones"),
        (b"\x89zo", "cut short"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "z").write_bytes(content)
    with pytest.raises(gc.ZoneFileError, match=message) as caught:
        gc.ZoneTable.open(tmp_path / "z")
    assert str(tmp_path / "z") in str(caught.value)
    assert "next: " in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(gc.ZoneFileError, match="cannot be read"):
        gc.ZoneTable.open(tmp_path)


def test_versions_and_byte_orders_are_told_apart(whole: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(with_prelude(whole, whole[PRELUDE:], version=1))
    with pytest.raises(gc.ZoneFileError, match="expected version 2, got 1; next: save the zones again"):
        gc.ZoneTable.open(path)
    path.write_bytes(with_prelude(whole, whole[PRELUDE:], order=0x04030201))
    with pytest.raises(gc.ZoneFileError, match="got mark 0x04030201 on a little-endian one"):
        gc.ZoneTable.open(path)
    path.write_bytes(with_prelude(whole, whole[PRELUDE:]))
    assert len(gc.ZoneTable.open(path)) == 24
    monkeypatch.setattr(sys, "byteorder", "big")
    with pytest.raises(gc.ZoneFileError, match="big-endian"):
        gc.ZoneTable.open(path)


def test_lengths_are_compared(whole: bytes, path: Path) -> None:
    path.write_bytes(whole[:-1])
    with pytest.raises(gc.ZoneFileError, match=f"cut short, expected {len(whole)} bytes, got {len(whole) - 1}"):
        gc.ZoneTable.open(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(gc.ZoneFileError, match="something was added"):
        gc.ZoneTable.open(path)


@FUZZ
@given(st.data())
def test_a_file_cut_anywhere_is_refused(whole: bytes, path: Path, data: st.DataObject) -> None:
    length = struct.unpack_from("<Q", whole, 16)[0] + PRELUDE
    cut = data.draw(st.one_of(st.integers(0, 80), st.integers(0, length), st.integers(0, len(whole) - 1)))
    path.write_bytes(whole[:cut])
    with pytest.raises(gc.ZoneFileError):
        gc.ZoneTable.open(path)


@FUZZ
@given(st.data())
def test_damage_before_the_arrays_is_refused(whole: bytes, path: Path, data: st.DataObject) -> None:
    length = struct.unpack_from("<Q", whole, 16)[0] + PRELUDE
    at = data.draw(st.one_of(st.integers(0, PRELUDE - 1), st.integers(0, length - 1)))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    with pytest.raises(gc.ZoneFileError):
        gc.ZoneTable.open(path)


@FUZZ
@given(st.data())
def test_damage_to_the_arrays_is_found_when_asked_for(whole: bytes, path: Path, data: st.DataObject) -> None:
    start = struct.unpack_from("<Q", whole, 16)[0] + PRELUDE
    at = data.draw(st.integers(start, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    with pytest.raises(gc.ZoneFileError, match="the arrays, are damaged"):
        gc.ZoneTable.open(path, verify=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@FUZZ
@given(st.data())
def test_a_list_of_arrays_that_says_something_else_is_refused_or_read(
    whole: bytes, path: Path, data: st.DataObject
) -> None:
    def change(header: dict[str, Any]) -> None:
        where: Any = header
        key = data.draw(st.sampled_from(sorted(header)))
        while isinstance(where[key], dict | list) and where[key] and data.draw(st.integers(0, 4)):
            where = where[key]
            key = data.draw(
                st.sampled_from(sorted(where)) if isinstance(where, dict) else st.integers(0, len(where) - 1)
            )
        where[key] = data.draw(JSON)

    path.write_bytes(with_header(whole, change))
    refused = ""
    try:
        assert len(gc.ZoneTable.open(path)) == 24
    except gc.ZoneFileError as exc:
        refused = str(exc)
    assert "does not describe a table of version 2" in refused or not refused


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("edges.at", ["<c16", [10**12], 0], "expected to end by byte"),
        ("edges.at", ["<c16", [-1], 0], "aligned to 64"),
        ("edges.at", ["<c16", [1], 8], "aligned to 64"),
        ("edges.at", ["<c16", [1], -64], "aligned to 64"),
        ("edges.at", ["<c16", [True], 0], "aligned to 64"),
        ("edges.at", ["<f8", [1], 0], "expected numbers of kind 'c'"),
        ("edges.at", [">c16", [1], 0], "expected numbers of kind 'c'"),
        ("edges.at", ["|O", [1], 0], "expected numbers of kind 'c'"),
        ("edges.at", ["<c16", [1], 0], "unit: expected 1 values"),
        ("grids.size", ["<i4", [3], 0], "grids: expected 24 values, got 3"),
        ("drawn.zone_ptr", ["<i8", [0], 0], "IndexError"),
    ],
)
def test_arrays_that_do_not_fit_are_named(whole: bytes, path: Path, name: str, entry: list[Any], message: str) -> None:
    path.write_bytes(with_header(whole, lambda header: header["arrays"].update({name: entry})))
    with pytest.raises(gc.ZoneFileError, match=message):
        gc.ZoneTable.open(path)


@pytest.mark.parametrize("band_m", [-1.0, float("nan"), float("inf")])
def test_a_band_that_is_none_is_refused(whole: bytes, path: Path, band_m: float) -> None:
    path.write_bytes(with_header(whole, lambda header: header.update(band_m=band_m)))
    with pytest.raises(gc.ZoneFileError, match=r"band_m: expected metres, 0 or more, got"):
        gc.ZoneTable.open(path)


def test_arrays_of_an_older_program_are_missed(whole: bytes, path: Path) -> None:
    path.write_bytes(with_header(whole, lambda header: header["arrays"].pop("edges.bulge_per_m")))
    with pytest.raises(gc.ZoneFileError, match=r"edges\.bulge_per_m"):
        gc.ZoneTable.open(path)


def test_zones_from_shapely_come_back(tmp_path: Path) -> None:
    area = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)])
    gc.ZoneTable.from_shapely([area], ["two"]).save(tmp_path / "z")
    opened = gc.ZoneTable.open(tmp_path / "z")
    assert opened.kinds == ("multipolygon",)
    assert len(opened.shapes[0].polygons) == 2
    assert opened.contains([0.5, 0.5, 0.5], [0.5, 1.5, 2.5])[:, 0].tolist() == [True, False, True]
