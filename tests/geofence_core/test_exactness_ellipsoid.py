"""Distances of zones of any size, anywhere, equal geodesics to the drawn edge; with no projection between."""

import logging

import numpy as np
import pytest
import shapely

import geofence_core as gc
from rig.truth.geometry import TrueZone
from tests.geofence_core.geodesic_truth import line_m, separation_m
from tests.geofence_core.random_zones import KINDS, RandomZone, fixes_round, random_place, random_zone, table_of, wrap

ZONES = 50
FIXES = 60
LOG = logging.getLogger(__name__)


def truth(zone: RandomZone, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the boundary, and whether inside; of corridors the distance to the line minus the half width."""
    if zone.area is not None:
        return line_m(zone.lines, lat, lon), shapely.intersects_xy(zone.area, lon, lat)
    if zone.kind == "circle":
        to = np.broadcast_to(zone.lines[0], (lat.size, 2))
        gap = separation_m(lat, lon, to[:, 1], to[:, 0]) - zone.reach_m
    else:
        gap = line_m(zone.lines, lat, lon) - zone.reach_m
    return np.abs(gap), gap <= 0.0


def reach_error_m(zone: RandomZone) -> float:
    """What the stated bounds allow for the way to a circle's centre or a corridor's line, which is not short."""
    return {"circle": 1e-7, "corridor": 1e-6}.get(zone.kind, 0.0) * zone.reach_m


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_in_band(kind: str) -> None:
    """Thousands of fixes from 25 micrometres to 250 m off, round zones from a metre to a thousand kilometres."""
    rng = np.random.default_rng(KINDS.index(kind))
    worst = other_within = 0.0
    for _ in range(ZONES):
        size = 10.0 ** rng.uniform(0, 6)
        zone = random_zone(rng, kind, *random_place(rng), size)
        z = table_of([zone])
        lat, lon = fixes_round(rng, zone, FIXES, 250.0)
        want, inside = truth(zone, lat, lon)
        got = z.signed_distance_m(lat, wrap(lon))[:, 0]
        exact = z.signed_distance_m(lat, wrap(lon), exact=True)[:, 0]
        allowed = 1e-5 + 1e-7 * want + reach_error_m(zone)
        near = want <= z.band_m - allowed
        error = np.abs(np.abs(got) - want)
        at = int(np.argmax(np.where(near, error - allowed, -1.0)))
        assert (error <= allowed)[near].all(), (zone.feature(), lat[at], lon[at], got[at], want[at])
        assert np.array_equal(got[near], exact[near])
        assert (np.abs(got) >= z.band_m)[want > z.band_m + allowed].all()
        other = (got <= 0.0) != inside
        assert not (other & (want > 1e-6 + reach_error_m(zone))).any()
        worst = max(worst, float(error[near].max(initial=0.0)))
        other_within = max(other_within, float(want[other].max(initial=0.0)))
    LOG.info("%s: worst %.2e m, other sides within %.2e m", kind, worst, other_within)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_band(kind: str) -> None:
    """As far as 300 km: exact when asked for, else the right side and a lower bound above the band."""
    rng = np.random.default_rng(50 + KINDS.index(kind))
    worst = 0.0
    for _ in range(ZONES):
        zone = random_zone(rng, kind, *random_place(rng), 10.0 ** rng.uniform(0, 5.5))
        z = table_of([zone])
        lat, lon = fixes_round(rng, zone, FIXES // 3, 10.0 ** rng.uniform(3, 5.4))
        want, inside = truth(zone, lat, lon)
        got = z.signed_distance_m(lat, wrap(lon))[:, 0]
        exact = z.signed_distance_m(lat, wrap(lon), exact=True)[:, 0]
        error = np.abs(np.abs(exact) - want)
        allowed = 1e-5 + 1e-5 * want + reach_error_m(zone)
        at = int(np.argmax(error - allowed))
        assert error[at] <= allowed[at], (zone.feature(), lat[at], lon[at], exact[at], want[at])
        clear = want > 1e-6 + reach_error_m(zone)
        assert np.array_equal((got <= 0)[clear], inside[clear])
        assert np.array_equal(got <= 0, exact <= 0)
        assert (np.abs(got) <= want + allowed).all()
        far = want > z.band_m + allowed
        assert (np.abs(got)[far] >= z.band_m).all()
        worst = max(worst, float((error / (want + 1.0)).max()))
    LOG.info("%s: worst %.2e of the distance", kind, worst)


def test_two_truths_agree() -> None:
    """The vectorised geodesics here, and the oracle of the bench, which shares nothing with them but PROJ."""
    rng = np.random.default_rng(99)
    for kind in ("holes", "multipolygon"):
        zone = random_zone(rng, kind, 53.0, -2.0, 3_000.0)
        lat, lon = fixes_round(rng, zone, 12, 2_000.0)
        oracle = TrueZone(zone.feature())
        want = np.array([oracle.signed_distance_m(a, o) for a, o in zip(lat.tolist(), lon.tolist(), strict=True)])
        distance, inside = truth(zone, lat, lon)
        assert np.abs(np.where(inside, -distance, distance) - want).max() < 1e-6


def test_a_circle_reads_like_separation() -> None:
    rng = np.random.default_rng(3)
    zone = random_zone(rng, "circle", 53.0, -2.0, 500.0)
    lat, lon = fixes_round(rng, zone, 50, 200.0)
    gap = gc.separation_m(lat, lon, zone.lines[0][0, 1], zone.lines[0][0, 0]) - zone.reach_m
    assert table_of([zone]).signed_distance_m(lat, lon, exact=True)[:, 0] == pytest.approx(gap, abs=1e-7)
