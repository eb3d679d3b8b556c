"""Zones damaged in the ways that have one sensible reading: refused as they are, whole again when mended, and told."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import geofence_core as gc
from tests.geofence_core.drawing import collection
from tests.geofence_core.random_zones import RandomZone, fixes_round, random_place, random_zone, wrap

seeds = st.integers(0, 2**32 - 1)
sizes = st.floats(0.5, 5).map(lambda e: 10.0**e)


def rings_of(drawn: dict[str, Any]) -> list[list[list[float]]]:
    coordinates = drawn["geometry"]["coordinates"]
    groups = [coordinates] if drawn["geometry"]["type"] == "Polygon" else coordinates
    return [ring for group in groups for ring in group]


def plain(drawn: dict[str, Any]) -> dict[str, Any]:
    """Coordinates as lists, which can be damaged."""
    whole = copy.deepcopy(drawn)
    groups = whole["geometry"]["coordinates"]
    single = whole["geometry"]["type"] == "Polygon"
    lists = [[[list(p) for p in ring] for ring in group] for group in ([groups] if single else groups)]
    whole["geometry"]["coordinates"] = lists[0] if single else lists
    return whole


def unclose(ring: list[list[float]], rng: np.random.Generator) -> str:
    del ring[-1]
    return "closed the ring"


def repeat(ring: list[list[float]], rng: np.random.Generator) -> str:
    at = int(rng.integers(0, len(ring)))
    ring.insert(at, list(ring[at]))
    return "removed 1 repeated vertices"


def reverse(ring: list[list[float]], rng: np.random.Generator) -> str:
    ring.reverse()
    return "reversed the"


DAMAGES = (unclose, repeat, reverse)


def area(seed: int, kind: str, size_m: float) -> tuple[np.random.Generator, RandomZone]:
    rng = np.random.default_rng(seed)
    return rng, random_zone(rng, kind, *random_place(rng), size_m)


@settings(max_examples=40)
@given(seeds, st.sampled_from(["polygon", "holes", "multipolygon"]), sizes, st.lists(st.integers(0, 2), min_size=1))
def test_damaged_rings(seed: int, kind: str, size_m: float, which: list[int]) -> None:
    """Each damage is named with its ring; the mended zone reads to the bit like the undamaged one."""
    rng, zone = area(seed, kind, size_m)
    whole = plain(zone.feature())
    broken = plain(whole)
    rings = rings_of(broken)
    expected = {}
    for damage in which:
        at = int(rng.integers(0, len(rings)))
        if at not in expected:
            expected[at] = DAMAGES[damage](rings[at], rng)
    with pytest.raises(gc.ZoneGeometryError) as told:
        gc.ZoneTable.from_geojson(collection(broken))
    assert told.value.ring in expected
    good = gc.ZoneTable.from_geojson(collection(whole))
    mended = gc.ZoneTable.from_geojson(collection(broken), mend=True)
    assert good.mends == ()
    assert {m.ring: m.what for m in mended.mends if m.what.startswith(expected[m.ring or 0])}.keys() == expected.keys()
    assert len(mended.mends) == len(expected)
    lat, lon = fixes_round(rng, zone, 20, 500.0)
    lon = wrap(lon)
    want, got = good.signed_distance_m(lat, lon), mended.signed_distance_m(lat, lon)
    # Another first vertex or direction may move the last bit, never the meaning.
    assert np.array_equal(good.contains(lat, lon), mended.contains(lat, lon))
    assert np.abs(want - got)[np.abs(want) <= good.band_m].max(initial=0.0) < 1e-7


@settings(max_examples=12)
@given(seeds, sizes)
def test_an_undamaged_zone_is_not_mended(seed: int, size_m: float) -> None:
    """Loading with ``mend=True`` changes nothing that is valid: same bits, no report."""
    for kind in ("polygon", "holes", "multipolygon", "circle"):
        rng, zone = area(seed, kind, size_m)
        plainly, mending = (gc.ZoneTable.from_geojson(collection(zone.feature()), mend=m) for m in (False, True))
        assert mending.mends == ()
        lat, lon = fixes_round(rng, zone, 10, 500.0)
        lon = wrap(lon)
        assert plainly.signed_distance_m(lat, lon).tobytes() == mending.signed_distance_m(lat, lon).tobytes()


@settings(max_examples=40)
@given(seeds, st.floats(0.5, 5.5).map(lambda e: 10.0**e))
def test_a_zone_drawn_on_past_the_antimeridian(seed: int, size_m: float) -> None:
    """Refused as drawn; mended it reads like the zone that was cut by hand."""
    rng = np.random.default_rng(seed)
    zone = random_zone(rng, "holes", float(rng.uniform(-80, 80)), 180.0, size_m)
    assume(zone.bounds[2] > 180.0 > zone.bounds[0])
    drawn = zone.feature()
    beyond = {**drawn, "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in zone.lines]}}
    for ring in beyond["geometry"]["coordinates"]:
        flip = np.array(ring)
        turned = flip[:-1, 0] * flip[1:, 1] - flip[1:, 0] * flip[:-1, 1]
        if (turned.sum() > 0) != (ring is beyond["geometry"]["coordinates"][0]):
            ring.reverse()
    with pytest.raises(gc.ZoneGeometryError):
        gc.ZoneTable.from_geojson(collection(beyond))
    mended = gc.ZoneTable.from_geojson(collection(beyond), mend=True)
    assert "cut at the antimeridian" in [m.what for m in mended.mends]
    good = gc.ZoneTable.from_geojson(collection(drawn))
    lat, lon = fixes_round(rng, zone, 20, 500.0)
    lon = wrap(lon)
    want, got = good.signed_distance_m(lat, lon), mended.signed_distance_m(lat, lon)
    clear = np.abs(want) > 1e-6
    assert np.array_equal((want <= 0)[clear], (got <= 0)[clear])
    assert np.abs(want - got)[np.abs(want) < good.band_m - 1e-3].max(initial=0.0) < 1e-6
