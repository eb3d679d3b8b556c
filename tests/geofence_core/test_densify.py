"""Edges are cut where the exact bend says so, though most are judged by an estimate."""

import numpy as np
import pytest

from geofence_core import densify


@pytest.mark.parametrize("limit_m", [1e-3, densify.BEND_LIMIT_M])
@pytest.mark.parametrize("spread_deg", [90.0, 1.0])
def test_the_estimate_says_what_the_closer_look_says(limit_m: float, spread_deg: float) -> None:
    """From a hundredth of a millimetre to 50 km, in all directions, at all latitudes and about the equator."""
    rng = np.random.default_rng(int(spread_deg))
    n = 50_000
    lat, lon = rng.uniform(-spread_deg, spread_deg, n), rng.uniform(-180.0, 180.0, n)
    size, way = np.exp(rng.uniform(np.log(1e-10), np.log(0.5), n)), rng.uniform(0.0, 7.0, n)
    lats = np.clip(np.stack([lat, lat + size * np.sin(way)], axis=1), -90.0, 90.0)
    wide = size * np.cos(way) / np.where(rng.random(n) < 0.5, 1.0, np.maximum(np.cos(np.radians(lat)), 1e-3))
    lons = np.stack([lon, lon + wide], axis=1)
    found = densify._is_cut(lons, lats, limit_m)
    assert np.array_equal(found, densify._too_long_or_bent(lons, lats, limit_m))
    assert 0.1 < found.mean() < 0.9


def test_pieces_stand_in_order_of_their_edges_and_end_where_the_next_begins() -> None:
    lon = np.array([[0.0, 0.001], [0.001, 0.3], [0.3, 0.3], [0.3, 0.0]])
    lat = np.array([[50.0, 50.001], [50.001, 50.001], [50.001, 50.0], [50.0, 50.0]])
    edge, lons, lats = densify.densify(lon, lat, ("z",), np.zeros(4, dtype=np.int64))
    assert (np.diff(edge) >= 0).all()
    assert np.bincount(edge).tolist()[::2] == [1, 1]
    assert np.bincount(edge)[1] > 20
    assert np.array_equal(lons[1:, 0], lons[:-1, 1])
    assert np.array_equal(lats[1:, 0], lats[:-1, 1])
    assert not densify._too_long_or_bent(lons, lats, densify.BEND_LIMIT_M).any()
