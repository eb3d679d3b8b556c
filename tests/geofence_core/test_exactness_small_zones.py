"""Side and distance of millions of fixes round small zones equal GEOS, and PROJ's geodesy.

Three comparisons: the side with the rings as drawn; the distance on the same plane coordinates, to a nanometre; and the
distance with PROJ's plane, which shares nothing with the core, to some micrometres. What was found is logged:
``pytest --log-cli-level=info`` shows the figures.
"""

import logging

import numpy as np
import pytest

import geofence_core as gc
from tests.geofence_core.hard_points import hard_points
from tests.geofence_core.plane_spy import PlaneSpy
from tests.geofence_core.projected_truth import DrawnZone, Tally
from tests.geofence_core.random_zones import wrap
from tests.geofence_core.small_zones import scattered, small_zones
from tests.support import FULL

ZONES = small_zones()
RANDOM_FIXES = 10_000_000 if FULL else 3_000_000
HARD_FIXES = 1_000_000 if FULL else 300_000
CHUNK = 250_000
GEODETIC_SHARE = 5
"""One chunk of so many is compared with PROJ as well."""
LOG = logging.getLogger(__name__)


def compare(zone: DrawnZone, at: tuple[np.ndarray, np.ndarray], z: gc.ZoneTable, tally: Tally, geodetic: bool) -> None:
    lat, lon = at
    got = z.signed_distance_m(lat, wrap(lon))[:, 0]
    assert np.array_equal(z.contains(lat, wrap(lon))[:, 0], got <= 0.0)
    tally.add_sides(zone, lat, lon, got)
    if geodetic:
        tally.add_distances(zone, lat, lon, got, z.band_m)


@pytest.mark.long
@pytest.mark.parametrize("zone", ZONES, ids=lambda z: z.name)
def test_random_fixes(zone: DrawnZone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million in all, three in CI: nine tenths within 280 m, most of the rest beyond the band, a few to 30 km."""
    rng = np.random.default_rng(len(zone.name))
    z = gc.ZoneTable.from_shapely([zone.drawn], ["z"])
    spy, tally = PlaneSpy.on(monkeypatch), Tally()
    chunk, left = 0, -(-RANDOM_FIXES // len(ZONES))
    while left > 0:
        n = min(CHUNK, left)
        for some, margin_m in ((n - n // 10, 280.0), (n // 10 - n // 100, 900.0), (n // 100, 30_000.0)):
            compare(zone, scattered(rng, zone, some, margin_m), z, tally, chunk % GEODETIC_SHARE == 0)
            spy.compare()
        left -= n
        chunk += 1
    LOG.info("%s: %s, %s", zone.name, tally, spy)
    assert tally.in_band > 0.4 * tally.measured
    assert tally.tied <= 1e-4 * tally.in_band


@pytest.mark.long
@pytest.mark.parametrize("zone", ZONES, ids=lambda z: z.name)
def test_hard_fixes(zone: DrawnZone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million in all, 300,000 in CI, dense and as own zones of a wearer, which look cells up in another index."""
    rng = np.random.default_rng(1_000 + len(zone.name))
    z = gc.ZoneTable.from_shapely([zone.drawn], ["z"])
    own = gc.AssignedZones(z, [0])
    spy, tally = PlaneSpy.on(monkeypatch), Tally()
    for kind, xy in hard_points(rng, zone.rings, -(-HARD_FIXES // len(ZONES)), zone.scale_m, zone.holes).items():
        lat, lon = xy[:, 1], xy[:, 0]
        compare(zone, (lat, lon), z, tally, geodetic=True)
        dense = z.signed_distance_m(lat, wrap(lon))[:, 0]
        assert np.array_equal(own.signed_distance_m(np.zeros(lat.size, dtype=int), lat, wrap(lon))[2], dense)
        if kind == "vertices":
            assert (dense == 0.0).all()
        spy.compare()
    LOG.info("%s: %s, %s", zone.name, tally, spy)
