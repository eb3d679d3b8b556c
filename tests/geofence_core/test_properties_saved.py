"""Processes that share one table, tables saved and opened again, and tables with one zone replaced: the same bits."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geofence_core as gc
from tests.geofence_core.drawing import collection
from tests.geofence_core.random_zones import RandomZone, Scene, random_zone, scene, table_of

seeds = st.integers(0, 2**32 - 1)
scenes = st.builds(scene, seeds, st.integers(1, 8), st.just(60))
CUTS = [0, 1, 130, 131, 300, 400]

replaces = pytest.mark.skipif(not hasattr(gc.ZoneTable, "replace"), reason="zones cannot be replaced yet")


def answers(z: gc.ZoneTable, lat: np.ndarray, lon: np.ndarray) -> list[bytes]:
    """Every call of the table, as bytes."""
    own = gc.AssignedZones(z, np.arange(len(z)) % 2, wearers=2)
    fence = own.single(0)
    found = [
        z.signed_distance_m(lat, lon),
        z.signed_distance_m(lat, lon, exact=True),
        z.contains(lat, lon),
        *z.near(lat, lon, z.band_m / 2),
        *own.signed_distance_m(np.arange(lat.size) % 2, lat, lon),
        np.array([fence.check(float(a), float(o)) for a, o in zip(lat[:9], lon[:9], strict=True)]),
        *z.crossed(lat[:-1], lon[:-1], lat[1:], lon[1:]),
    ]
    return [column.tobytes() for column in found]


@pytest.fixture(scope="module", autouse=True)
def _tracker_runs() -> None:
    """Spawning starts Python's resource tracker, which keeps a pipe for as long as the process lives."""
    resource_tracker.ensure_running()


shared: dict[str, gc.ZoneTable] = {}
"""The table that forked processes find in their memory."""


def ask_forked(lat: np.ndarray, lon: np.ndarray) -> bytes:
    return shared["table"].signed_distance_m(lat, lon).tobytes()


def ask_opened(path: str, lat: np.ndarray, lon: np.ndarray) -> bytes:
    return gc.ZoneTable.open(path).signed_distance_m(lat, lon).tobytes()


def test_forked_processes_share_a_table() -> None:
    given_scene = scene(11, 8, 400)
    shared["table"] = given_scene.table
    want = given_scene.table.signed_distance_m(given_scene.lat, given_scene.lon).tobytes()
    parts = [(given_scene.lat[a:b], given_scene.lon[a:b]) for a, b in pairwise(CUTS)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert b"".join(pool.map(ask_forked, *zip(*parts, strict=True))) == want
    shared.clear()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_open_one_saved_table(tmp_path: Path, method: str) -> None:
    given_scene = scene(12, 9, 400)
    path = tmp_path / "zones.index"
    given_scene.table.save(path)
    want = given_scene.table.signed_distance_m(given_scene.lat, given_scene.lon).tobytes()
    parts = [(str(path), given_scene.lat[a:b], given_scene.lon[a:b]) for a, b in pairwise(CUTS)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert b"".join(pool.map(ask_opened, *zip(*parts, strict=True))) == want


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenes)
def test_an_opened_table_reads_like_the_one_that_was_saved(tmp_path: Path, given_scene: Scene) -> None:
    z = given_scene.table
    path = tmp_path / "zones.index"
    z.save(path)
    again = gc.ZoneTable.open(path)
    assert (again.ids, again.kinds, again.purposes, again.names, again.band_m, len(again)) == (
        z.ids,
        z.kinds,
        z.purposes,
        z.names,
        z.band_m,
        len(z),
    )
    assert answers(again, given_scene.lat, given_scene.lon) == answers(z, given_scene.lat, given_scene.lon)


@replaces
@settings(max_examples=30)
@given(scenes, seeds, st.integers(0, 7))
def test_a_replaced_zone_reads_like_a_fresh_table(given_scene: Scene, seed: int, which: int) -> None:
    """The new table equals one built from all shapes; the old one has not changed."""
    rng = np.random.default_rng(seed)
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    k = which % len(z)
    before = answers(z, lat, lon)
    west, south, _, _ = given_scene.zones[k].bounds
    place = float(np.clip(south, -85, 85)), float((west + 180.0) % 360.0 - 180.0)
    new: RandomZone = random_zone(rng, str(rng.choice(["polygon", "holes"])), *place, 10.0 ** rng.uniform(0, 4))
    geometry = new.feature()["geometry"]
    changed = z.replace(z.ids[k], geometry)
    assert answers(z, lat, lon) == before
    fresh = table_of([new if i == k else zone for i, zone in enumerate(given_scene.zones)])
    assert changed.ids == fresh.ids
    assert answers(changed, lat, lon) == answers(fresh, lat, lon)
    with pytest.raises(KeyError):
        z.replace("nobody", geometry)


@replaces
def test_a_replacement_is_checked_like_any_zone() -> None:
    z = gc.ZoneTable.from_geojson(
        collection(random_zone(np.random.default_rng(1), "polygon", 53.0, -2.0, 500.0).feature("a"))
    )
    bowtie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    with pytest.raises(gc.ZoneGeometryError):
        z.replace("a", bowtie)
