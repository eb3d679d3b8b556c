"""The quick distances against the geodesic ones, and the reach of a beacon."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from rig.local_frame import LocalFrame
from rig.truth.geometry import separation_m, signed_distance_m
from rig.truth.planar import QuickSeparation, QuickZone
from rig.truth.radio import BeaconReach
from tests.rig.truth.scene import make, pair_text

FRAME = LocalFrame(51.0, -6.5)


def lon_lat(east_m: float, north_m: float) -> list[float]:
    lat, lon = FRAME.to_geodetic(east_m, north_m)
    return [lon, lat]


def feature(kind: str, size_m: float) -> dict[str, Any]:
    corners = [(-size_m, -size_m), (size_m, -0.7 * size_m), (1.2 * size_m, size_m), (-0.4 * size_m, 0.8 * size_m)]
    ring = [lon_lat(*corner) for corner in (*corners, corners[0])]
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [ring]}
    properties: dict[str, Any] = {}
    if kind == "circle":
        geometry = {"type": "Point", "coordinates": lon_lat(0, 0)}
        properties["radius_m"] = size_m
    elif kind == "corridor":
        geometry = {"type": "LineString", "coordinates": ring[:3]}
        properties["half_width_m"] = size_m / 5
    return {"type": "Feature", "id": "z", "geometry": geometry, "properties": properties}


@pytest.mark.parametrize("kind", ["polygon", "circle", "corridor"])
@pytest.mark.parametrize("size_m", [50.0, 2000.0, 9000.0])
def test_quick_zones_agree_with_the_geodesic_oracle(kind: str, size_m: float) -> None:
    """Within 10 cm anywhere near, and exactly within half a metre of the lines that matter."""
    zone, rng = feature(kind, size_m), random.Random(1)
    quick = QuickZone(zone, (0.0, 10.0))
    for _ in range(25):
        lat, lon = FRAME.to_geodetic(rng.uniform(-1.5, 1.5) * size_m, rng.uniform(-1.5, 1.5) * size_m)
        exact = signed_distance_m(zone, lat, lon)
        assert quick.signed_distance_m(lat, lon) == pytest.approx(exact, abs=0.1)
        if min(abs(exact), abs(exact - 10)) < 0.3:
            assert quick.signed_distance_m(lat, lon) == exact


def test_a_zone_that_no_plane_touches_is_exact() -> None:
    zone = feature("polygon", 60_000.0)
    quick = QuickZone(zone, ())
    lat, lon = FRAME.to_geodetic(59_000.0, 1_000.0)
    assert quick.signed_distance_m(lat, lon) == signed_distance_m(zone, lat, lon)


def test_quick_separation_is_exact_where_it_matters() -> None:
    apart, rng = QuickSeparation((200.0, 210.0)), random.Random(2)
    for _ in range(200):
        a = FRAME.to_geodetic(rng.uniform(-3000, 3000), rng.uniform(-3000, 3000))
        angle, d = rng.uniform(0, math.tau), rng.choice([rng.uniform(199.6, 200.4), rng.uniform(0, 5000)])
        b = LocalFrame(*a).to_geodetic(d * math.sin(angle), d * math.cos(angle))
        exact = separation_m(*a, *b)
        assert apart(*a, *b) == pytest.approx(exact, abs=0.01)
        if abs(exact - 200) < 0.3:
            assert apart(*a, *b) == exact
    assert apart(51.0, -6.5, 52.0, -6.5) == separation_m(51.0, -6.5, 52.0, -6.5)


def test_a_beacon_reaches_as_far_as_its_surroundings_let_it(tmp_path: Path) -> None:
    text = pair_text(events='{at_s=50, do="shield_on", lasts_s=20}, {at_s=100, do="power_off", lasts_s=20}')
    text = text.replace('role = "wearer"', 'role = "wearer"\nbeacon = {}', 1)
    scenario = make(tmp_path, text)
    his, hers = scenario.person
    reach = BeaconReach(scenario, his, hers)
    open_air, shielded, off = reach.at(10), reach.at(60), reach.at(110)
    assert 3 < open_air.sure_m < 20 < 100 < open_air.never_m < 1000
    assert shielded.sure_m < 0.2 < shielded.never_m < open_air.never_m / 10
    assert (off.sure_m, off.never_m) == (0.0, 0.0)
    assert reach.at(75) == reach.at(75)
    assert reach.at(130).sure_m == open_air.sure_m
