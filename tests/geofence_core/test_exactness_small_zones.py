"""Side and distance of millions of fixes round small zones equal GEOS on the rings as drawn and PROJ's plane.

What was found is logged: ``pytest --log-cli-level=info`` shows the figures.
"""

import logging

import numpy as np
import pytest

import geofence_core as gc
from tests.geofence_core.hard_points import hard_points
from tests.geofence_core.projected_truth import DrawnZone, Tally
from tests.geofence_core.random_zones import wrap
from tests.geofence_core.small_zones import scattered, small_zones

ZONES = small_zones()
RANDOM_FIXES = 10_000_000
HARD_FIXES = 1_000_000
CHUNK = 250_000
LOG = logging.getLogger(__name__)


def compare(zone: DrawnZone, lat: np.ndarray, lon: np.ndarray, z: gc.ZoneTable, tally: Tally) -> None:
    got = z.signed_distance_m(lat, wrap(lon))[:, 0]
    assert np.array_equal(z.contains(lat, wrap(lon))[:, 0], got <= 0.0)
    tally.add(zone, lat, lon, got, z.band_m)


@pytest.mark.long
@pytest.mark.parametrize("zone", ZONES, ids=lambda z: z.name)
def test_random_fixes(zone: DrawnZone) -> None:
    """Ten million in all: nine tenths within 300 m, most of the rest beyond the band, the last as far as 30 km."""
    rng = np.random.default_rng(len(zone.name))
    z = gc.ZoneTable.from_shapely([zone.drawn], ["z"])
    tally = Tally()
    left = -(-RANDOM_FIXES // len(ZONES))
    while left > 0:
        n = min(CHUNK, left)
        for some, margin_m in ((n - n // 10, 280.0), (n // 10 - n // 100, 900.0), (n // 100, 30_000.0)):
            compare(zone, *scattered(rng, zone, some, margin_m), z, tally)
        left -= n
    assert tally.in_band > 0.5 * tally.points
    LOG.info("%s: %s", zone.name, tally)


@pytest.mark.long
@pytest.mark.parametrize("zone", ZONES, ids=lambda z: z.name)
def test_hard_fixes(zone: DrawnZone) -> None:
    """A million in all."""
    rng = np.random.default_rng(1_000 + len(zone.name))
    z = gc.ZoneTable.from_shapely([zone.drawn], ["z"])
    tally = Tally()
    made = hard_points(rng, zone.rings, -(-HARD_FIXES // len(ZONES)), zone.scale_m, zone.holes)
    for kind, xy in made.items():
        compare(zone, xy[:, 1], xy[:, 0], z, tally)
        if kind == "vertices":
            assert (z.signed_distance_m(xy[:, 1], wrap(xy[:, 0])) == 0.0).all()
    LOG.info("%s: %s", zone.name, tally)
