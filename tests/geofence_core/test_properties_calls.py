"""However a (fix, zone) is asked for, the answer has the same bits: any call, order, cut, column or thread."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import geofence_core as gc
from tests.geofence_core.random_zones import Scene, scene

seeds = st.integers(0, 2**32 - 1)
scenes = st.builds(scene, seeds, st.integers(1, 9), st.integers(1, 80))
small_bands = st.builds(
    lambda seed, band_m: scene(seed, 5, 60, band_m=band_m), seeds, st.sampled_from([0.0, 1.0, 40.0, 250.0, 3_000.0])
)


def rows_of(ptr: np.ndarray) -> np.ndarray:
    """Fix of each CSR entry."""
    return np.repeat(np.arange(ptr.size - 1), np.diff(ptr))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, the sign of zero included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=40)
@given(small_bands)
def test_exact_bound_side_and_nan(given_scene: Scene) -> None:
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    quick, exact = z.signed_distance_m(lat, lon), z.signed_distance_m(lat, lon, exact=True)
    inside = z.contains(lat, lon)
    none = np.isnan(lat) | np.isnan(lon)
    assert quick.shape == exact.shape == inside.shape == (lat.size, len(z))
    assert np.isnan(quick[none]).all() and np.isnan(exact[none]).all() and not inside[none].any()
    quick, exact, inside = quick[~none], exact[~none], inside[~none]
    assert not np.isnan(quick).any() and not np.isnan(exact).any()
    assert np.array_equal(inside, quick <= 0.0)
    assert np.array_equal(inside, exact <= 0.0)
    assert not np.signbit(quick[quick == 0.0]).any()
    near = np.abs(exact) <= z.band_m
    assert same(quick[near], exact[near])
    assert (np.abs(quick[~near]) >= z.band_m).all()
    assert (np.abs(quick[~near]) <= np.abs(exact[~near])).all()


@settings(max_examples=40)
@given(small_bands, st.floats(0, 1))
def test_near_is_dense_filtered(given_scene: Scene, share: float) -> None:
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    exact = z.signed_distance_m(lat, lon, exact=True)
    dense = z.signed_distance_m(lat, lon)
    for within_m in (0.0, share * z.band_m, z.band_m, z.band_m + share * 5_000.0):
        ptr, zone, signed = z.near(lat, lon, within_m)
        fix, wanted = np.nonzero(exact <= within_m)
        assert ptr.dtype == zone.dtype == np.int64 and ptr[0] == 0 and ptr.size == lat.size + 1
        assert np.array_equal(rows_of(ptr), fix)
        assert np.array_equal(zone, wanted)
        true = exact[fix, wanted]
        within = np.abs(true) <= max(within_m, z.band_m)
        assert same(signed[within], true[within])
        assert (signed[~within] < 0).all()
        assert (np.abs(signed[~within]) >= z.band_m).all()
        assert (np.abs(signed[~within]) <= np.abs(true[~within])).all()
        if within_m <= z.band_m:
            assert same(signed, dense[fix, wanted])


@settings(max_examples=40)
@given(scenes, st.integers(1, 6))
def test_own_zones_and_single_fixes_read_like_dense(given_scene: Scene, wearers: int) -> None:
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    rng = np.random.default_rng(len(z) * 100 + wearers)
    owned = np.argwhere(rng.uniform(size=(wearers, len(z))) < 0.6)
    own = gc.AssignedZones(z, owned[:, 0], owned[:, 1], wearers=wearers)
    wearer = rng.integers(0, wearers, lat.size)
    dense = z.signed_distance_m(lat, lon)
    ptr, zone, signed = own.signed_distance_m(wearer, lat, lon)
    fix = rows_of(ptr)
    assert same(signed, dense[fix, zone])
    mine = np.zeros((wearers, len(z)), dtype=bool)
    mine[owned[:, 0], owned[:, 1]] = True
    assert np.array_equal(np.column_stack([fix, zone]), np.argwhere(mine[wearer]))
    fences = [own.single(w) for w in range(wearers)]
    for i in range(lat.size):
        found = fences[wearer[i]].check(float(lat[i]), float(lon[i]))
        row = slice(ptr[i], ptr[i + 1])
        assert [at for at, _ in found] == zone[row].tolist()
        assert same(np.array([d for _, d in found], dtype=np.float64), signed[row])


def answers(z: gc.ZoneTable, lat: np.ndarray, lon: np.ndarray) -> list[np.ndarray]:
    """One row per fix and call: dense, exact, contains, near spread out."""
    ptr, zone, signed = z.near(lat, lon, z.band_m)
    spread = np.full((lat.size, len(z)), np.inf)
    spread[rows_of(ptr), zone] = signed
    return [z.signed_distance_m(lat, lon), z.signed_distance_m(lat, lon, exact=True), z.contains(lat, lon), spread]


@settings(max_examples=30)
@given(scenes, seeds, st.lists(st.integers(0, 80), max_size=5))
def test_order_and_cuts_change_no_bit(given_scene: Scene, seed: int, cuts: list[int]) -> None:
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    whole = answers(z, lat, lon)
    order = np.random.default_rng(seed).permutation(lat.size)
    for a, b in zip(whole, answers(z, lat[order], lon[order]), strict=True):
        assert same(a[order], b)
    edges = sorted({0, lat.size, *(c for c in cuts if c < lat.size)})
    parts = [answers(z, lat[a:b], lon[a:b]) for a, b in pairwise(edges)]
    for i, a in enumerate(whole):
        assert same(a, np.concatenate([p[i] for p in parts]))
    twice = answers(z, np.tile(lat, 2), np.tile(lon, 2))
    for a, b in zip(whole, twice, strict=True):
        assert same(np.concatenate([a, a]), b)


@settings(max_examples=20)
@given(scenes)
def test_the_layout_of_a_column_changes_no_bit(given_scene: Scene) -> None:
    """Lists, strided and read-only columns; scalars."""
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    want = z.signed_distance_m(lat, lon)
    both = np.column_stack([lat, lon])
    both.flags.writeable = False
    assert same(want, z.signed_distance_m(both[:, 0], both[:, 1]))
    assert same(want, z.signed_distance_m(lat.tolist(), lon.tolist()))
    assert same(want[::-1], z.signed_distance_m(lat[::-1], lon[::-1]))
    assert same(want[:1], z.signed_distance_m(float(lat[0]), float(lon[0])))
    turn = np.where(lon < 0, lon + 360.0, lon)
    exactly = turn - 360.0 == np.where(lon < 0, lon, np.nan)
    assert same(want[exactly], z.signed_distance_m(lat[exactly], turn[exactly]))


@settings(max_examples=10)
@given(st.builds(scene, seeds, st.integers(4, 9), st.just(400)))
def test_threads_change_no_bit(given_scene: Scene) -> None:
    """Eight at a time over one table, in pieces of odd sizes, dense, sparse and own zones at once."""
    z, lat, lon = given_scene.table, given_scene.lat, given_scene.lon
    own = gc.AssignedZones(z, np.arange(len(z)) % 3)
    wearer = np.arange(lat.size) % 3
    want, want_own = answers(z, lat, lon), own.signed_distance_m(wearer, lat, lon)
    cuts = [0, 1, 18, 77, 200, 201, 333, 400]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda a, b: answers(z, lat[a:b], lon[a:b]), cuts, cuts[1:]))
        owns = list(pool.map(lambda _: own.signed_distance_m(wearer, lat, lon), range(8)))
    for i, a in enumerate(want):
        assert same(a, np.concatenate([p[i] for p in parts]))
    for found in owns:
        assert all(same(a, b) for a, b in zip(want_own, found, strict=True))
