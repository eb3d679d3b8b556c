"""Separation and bands: near, far, old, missing; and the ellipsoidal distance itself."""

import math

import numpy as np
import pytest
from pyproj import Geod

import geofence_core as gc
from geofence_core import Band, pairs
from geofence_core.pairs import separation_one_m
from rig.truth.geometry import separation_m as true_separation_m
from tests.geofence_core.drawing import metres

S = 1_000_000_000


def lengths_on_the_globe(length_m: float, n: int = 20_000) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(int(length_m))
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    lon, bearing = rng.uniform(-180, 180, n), rng.uniform(0, 360, n)
    to_lon, to_lat, _ = Geod(ellps="WGS84").fwd(lon, lat, bearing, np.full(n, length_m))
    return lat, lon, np.asarray(to_lat), np.asarray(to_lon)


@pytest.mark.parametrize(
    ("length_m", "error_m"),
    [
        (1.0, 1e-8),
        (100.0, 1e-8),
        (30_000.0, 1e-8),
        (300_000.0, 1.5e-4),
        (1e6, 0.06),
        (2.4e6, 5.0),
        (2.6e6, 6.0),
        (1e7, 40.0),
        (1.5e7, 80.0),
        (1.99e7, 1e5),
        (2.0003e7, 1e5),
    ],
)
def test_separation_against_geodesics_all_over_the_globe(length_m: float, error_m: float) -> None:
    got = gc.separation_m(*lengths_on_the_globe(length_m))
    assert np.abs(got - length_m).max() <= error_m


def test_separation_is_symmetric_to_the_bit_and_zero_at_home() -> None:
    lat, lon, to_lat, to_lon = lengths_on_the_globe(5_000.0, 500)
    assert np.array_equal(gc.separation_m(lat, lon, to_lat, to_lon), gc.separation_m(to_lat, to_lon, lat, lon))
    assert (gc.separation_m(lat, lon, lat, lon) == 0.0).all()


@pytest.mark.parametrize(
    "places", [(90, 0, 90, 120), (-90, 5, -89.9, 50), (0, 180, 0, -180), (10, 179.999, 10, -179.999), (0, 0, 0, 1e-9)]
)
def test_separation_at_odd_places_equals_geographiclib(places: tuple[float, float, float, float]) -> None:
    assert gc.separation_m(*places)[0] == pytest.approx(true_separation_m(*places), abs=2e-8)


def test_separation_of_nothing_is_nan() -> None:
    assert np.isnan(gc.separation_m([np.nan, 0, 91], [0, 0, 0], [0, 0, 0], [0, np.nan, 0])).all()


def pair(**rings: float) -> gc.PairTable:
    sizes = {"contact_m": 50.0, "alarm_m": 500.0, "pre_alert_m": 1_000.0, **rings}
    return gc.PairTable.of([0], [1], *([v] for v in sizes.values()))


def tracks(east_m: float, t_ns: tuple[int, int] = (0, 0)) -> gc.TrackColumns:
    lat, lon = zip((53.0, -2.0), metres(53.0, -2.0, east_m, 0.0), strict=True)
    return gc.TrackColumns(np.array(t_ns), np.array(lat), np.array(lon))


def run(steps: list[float], margin: float = 0.0) -> list[Band]:
    state, seen = pair().unknown(), []
    for east in steps:
        state, _ = gc.evaluate_pairs(pair(), state, tracks(east), 0, max_age_ns=S, exit_margin_m=margin)
        seen.append(Band(int(state[0])))
    return seen


@pytest.mark.parametrize(
    ("steps", "margin", "bands"),
    [
        ([2_000, 900, 400, 40, 400, 900, 2_000], 0.0, [0, 1, 2, 3, 2, 1, 0]),
        ([2_000, 40, 2_000], 0.0, [0, 3, 0]),
        ([400, 520, 545, 560, 520, 490], 50.0, [2, 2, 2, 1, 1, 2]),
        ([520], 50.0, [1]),
        ([40, 560], 50.0, [3, 1]),
        ([40, 540], 50.0, [3, 2]),
    ],
)
def test_bands_close_in_at_once_and_leave_with_a_margin(steps: list[float], margin: float, bands: list[int]) -> None:
    assert run(steps, margin) == bands


@pytest.mark.parametrize("t_ns", [(0, 10 * S), (10 * S, 0), (np.iinfo(np.int64).min, 10 * S)])
def test_an_old_position_is_unknown_never_clear(t_ns: tuple[int, int]) -> None:
    before = np.array([Band.ALARM], dtype=np.int8)
    after, found = gc.evaluate_pairs(pair(), before, tracks(5_000, t_ns), 12 * S, max_age_ns=5 * S)
    assert after.tolist() == [Band.UNKNOWN]
    assert (found.pair_idx.tolist(), found.band_before.tolist(), found.band_after.tolist()) == ([0], [2], [-1])
    assert np.isnan(found.separation_m).all()
    assert before.tolist() == [Band.ALARM]


def test_a_missing_position_is_unknown_and_what_stays_unknown_is_no_transition() -> None:
    gone = gc.TrackColumns(np.array([0, 0]), np.array([53.0, np.nan]), np.array([-2.0, -2.0]))
    after, found = gc.evaluate_pairs(pair(), pair().unknown(), gone, 0, max_age_ns=S)
    assert after.tolist() == [Band.UNKNOWN]
    assert len(found) == 0


def test_transitions_name_pair_bands_and_separation() -> None:
    pairs = gc.PairTable.of([0, 1, 0], [1, 2, 2], [50] * 3, [500] * 3, [1_000] * 3)
    lat, lon = zip((53.0, -2.0), metres(53.0, -2.0, 300, 0), metres(53.0, -2.0, 330, 0), strict=True)
    where = gc.TrackColumns(np.zeros(3, np.int64), np.array(lat), np.array(lon))
    _, found = gc.evaluate_pairs(pairs, np.array([0, 3, -1], np.int8), where, 0, max_age_ns=S)
    assert found.pair_idx.tolist() == [0, 2]
    assert found.band_before.tolist() == [0, -1]
    assert found.band_after.tolist() == [2, 2]
    assert found.separation_m == pytest.approx([300, 330], rel=0.01)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(gc.ColumnError, match="contact_m <= alarm_m"):
        pair(contact_m=600.0)
    with pytest.raises(gc.ColumnError, match="contact_m <= alarm_m"):
        pair(pre_alert_m=math.nan)
    with pytest.raises(gc.AssignmentError, match="protected_idx"):
        gc.evaluate_pairs(gc.PairTable.of([0], [2], [1], [2], [3]), pair().unknown(), tracks(5), 0, max_age_ns=S)
    with pytest.raises(gc.ColumnError, match="band_state"):
        gc.evaluate_pairs(pair(), np.zeros(2, np.int8), tracks(5), 0, max_age_ns=S)
    with pytest.raises(gc.ColumnError, match="max_age_ns"):
        gc.evaluate_pairs(pair(), pair().unknown(), tracks(5), 0, max_age_ns=-1)
    with pytest.raises(gc.ColumnError, match="lat_deg"):
        gc.TrackColumns(np.zeros(1, np.int64), np.zeros(2), np.zeros(1))


def test_one_separation_has_the_bits_of_many() -> None:
    for length in (0.5, 1e3, 1e5, 2.4e6, 2.6e6, 1.5e7):
        ways = lengths_on_the_globe(length, 300)
        many = gc.separation_m(*ways)
        assert [separation_one_m(*way) for way in zip(*(c.tolist() for c in ways), strict=True)] == many.tolist()
    odd = [
        (90, 0, 90, 120),
        (-90, 5, -89.9, 50),
        (0, 180, 0, -180),
        (10, 179.999, 10, -179.999),
        (7, 8, 7, 8),
        (0, 0, 0, 9),
    ]
    for place in odd:
        assert separation_one_m(*place) == gc.separation_m(*place)[0]
    assert math.isnan(separation_one_m(math.nan, 0.0, 0.0, 0.0))
    assert math.isnan(separation_one_m(91.0, 0.0, 0.0, 0.0))


def test_few_pairs_are_judged_as_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for margin in (0.0, 50.0):
        for n in (0, 1, 3, 8):
            lat, lon = np.asarray(metres(53.0, -2.0, rng.uniform(0, 1_500, 6), rng.uniform(0, 1_500, 6)))
            lat[rng.random(6) < 0.1] = np.nan
            where = gc.TrackColumns(rng.integers(0, 12, 6) * S, lat, lon)
            idx = rng.integers(0, 6, (2, n))
            table = gc.PairTable.of(*idx, [50.0] * n, rng.uniform(60, 500, n), rng.uniform(500, 1_500, n))
            before = rng.integers(-1, 4, n).astype(np.int8)
            got = []
            for few in (pairs.FEW, -1):
                monkeypatch.setattr(pairs, "FEW", few)
                after, found = gc.evaluate_pairs(table, before, where, 12 * S, max_age_ns=10 * S, exit_margin_m=margin)
                assert not after.flags.writeable
                got.append((after, found.pair_idx, found.band_before, found.band_after, found.separation_m))
            monkeypatch.undo()
            for few, many in zip(*got, strict=True):
                assert few.dtype == many.dtype
                assert np.array_equal(few, many, equal_nan=few.dtype == np.float64)


@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize("bad", [-1, 5])
def test_a_device_that_is_not_there_is_named(n: int, bad: int) -> None:
    table = gc.PairTable.of([0] * n, [1] * (n - 1) + [bad], [1.0] * n, [2.0] * n, [3.0] * n)
    with pytest.raises(gc.AssignmentError, match=rf"protected_idx\[{n - 1}\] is {bad}, but there are 2 devices"):
        gc.evaluate_pairs(table, table.unknown(), tracks(5), 0, max_age_ns=S)
