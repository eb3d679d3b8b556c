import json
import math
from pathlib import Path

import pytest
from geographiclib.geodesic import Geodesic

from rig.demo.settings import STORY
from rig.emulator.track import Track, Waypoint, read_track
from rig.errors import ScenarioError, TrackError
from rig.local_frame import LocalFrame
from rig.scenario import load_scenario
from tests.rig.support import FRAME, ROOT

SCENARIOS = sorted((ROOT / "fixtures" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", [STORY, *SCENARIOS], ids=lambda p: p.name)
def test_every_scenario_we_ship_loads(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.person
    for person in scenario.person:
        assert scenario.track(person).at(scenario.duration_s).lat_deg


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('role = "wearer"', 'role = "offender"', "role"),
        ("duration_s = 600", "duration_s = 0", "duration_s"),
        ("radius_m = 40", "radius_m = 40\nrings_m = [[[0,0],[1,0],[1,1]]]", "exactly one shape"),
        ('do = "strap_cut"', 'do = "strap_cutt"', "strap_cut"),
        ('profile = "open_sky"', 'profile = "mars"', "open_sky"),
        ('zones = ["z-home", "z-school"]', 'zones = ["z-hom"]', "z-hom"),
        ("alarm_m = 65", "alarm_m = 650", "must grow"),
        ('device = "pp-17"\nrole', 'device = "tag-4711"\nrole', "2 times"),
        ("seed = 17", "sead = 17", "sead"),
        ("lat_deg = 51.0", "lat_deg = 510.0", "globe"),
    ],
)
def test_what_is_wrong_in_a_scenario_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = STORY.read_text()
    assert old in text
    path = tmp_path / "broken.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=words) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("frame", [FRAME, LocalFrame(0.0, 179.99), LocalFrame(-78.0, 10.0)])
@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (1500.0, -800.0), (-20.0, 1999.0), (3.0, 4.0)])
def test_the_local_frame_agrees_with_geodesics(frame: LocalFrame, east: float, north: float) -> None:
    lat, lon = frame.to_geodetic(east, north)
    there = Geodesic.WGS84.Inverse(frame.lat_deg, frame.lon_deg, lat, lon)
    assert there["s12"] == pytest.approx(math.hypot(east, north), abs=1e-3)
    if east or north:
        assert math.remainder(there["azi1"] - math.degrees(math.atan2(east, north)), 360) == pytest.approx(0, abs=0.01)
    assert frame.to_local(lat, lon) == (pytest.approx(east, abs=1e-3), pytest.approx(north, abs=1e-3))


def test_a_track_walks_its_legs_and_stands_at_its_ends() -> None:
    track = Track(FRAME, [Waypoint(t_s=10, east_m=0, north_m=0), Waypoint(t_s=20, east_m=0, north_m=-15)])
    assert track.at(0).speed_mps == 0
    assert track.at(0).course_deg is None
    middle = track.at(15)
    assert (middle.east_m, middle.north_m, middle.speed_mps, middle.course_deg) == (0, -7.5, 1.5, 180)
    assert track.at(99).north_m == -15


def geojson(
    tmp_path: Path, properties: object, points: object = ((-6.5, 51.0), (-6.5, 51.001), (-6.499, 51.001))
) -> Path:
    path = tmp_path / "track.geojson"
    geometry = {"type": "LineString", "coordinates": points}
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))
    return path


def test_a_geojson_track_by_times_and_by_speeds(tmp_path: Path) -> None:
    timed = read_track(geojson(tmp_path, {"times_s": [0, 50, 100]}))
    assert timed.at(50).lat_deg == pytest.approx(51.001, abs=1e-9)
    fast = read_track(geojson(tmp_path, {"speed_mps": [10, 2], "wait_s": [0, 30, 0]}))
    assert fast.at(5).speed_mps == pytest.approx(10)
    assert fast.at(20).speed_mps == 0
    assert fast.at(60).speed_mps == pytest.approx(2)
    assert fast.at(1e6).lon_deg == pytest.approx(-6.499, abs=1e-9)
    round_and_round = read_track(geojson(tmp_path, {"times_s": [0, 10, 20], "repeat": True}))
    assert round_and_round.at(25).lat_deg == pytest.approx(round_and_round.at(5).lat_deg)


@pytest.mark.parametrize(
    ("properties", "points", "words"),
    [
        ({"times_s": [0, 5]}, None, "times_s must be one number or 3"),
        ({"times_s": [0, 5, 5]}, None, "times must rise"),
        ({"speed_mps": 0}, None, "above 0"),
        ({}, [[-6.5, 51.0]], "two points"),
        ({}, [[51.0, -6.5], [91, 200]], "point 1 lies outside the globe"),
        ({}, [["a", 2], [3, 4]], "point 0"),
    ],
)
def test_what_is_wrong_in_a_track_is_named(tmp_path: Path, properties: object, points: object, words: str) -> None:
    path = geojson(tmp_path, properties, points) if points else geojson(tmp_path, properties)
    with pytest.raises(TrackError, match=words):
        read_track(path)
