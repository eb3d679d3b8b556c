"""Recorded tracks as a person's way: cut, turned, moved in space and time, with their shape kept."""

import itertools
import math
import os
from pathlib import Path

import pytest

from rig.errors import ScenarioError
from rig.scenario import Scenario, load_scenario, resolve_text
from rig.scenario.meeting import closest_approach
from tests.rig.support import FRAME, ROOT

GPX = ROOT / "fixtures" / "tracks" / "walk.gpx"


def load(tmp_path: Path, track: str) -> Scenario:
    path = tmp_path / "story.toml"
    path.write_text(
        'title = "t"\nduration_s = 400\norigin = { lat_deg = 51.0, lon_deg = -6.5 }\n'
        f'[[person]]\ndevice = "tag-1"\nrole = "wearer"\ntrack = {{ {track} }}\n'
    )
    return load_scenario(path)


def way(scenario: Scenario) -> list[tuple[float, float, float]]:
    return [(w.t_s, w.east_m, w.north_m) for w in scenario.track(scenario.person[0]).waypoints]


def test_a_recording_stays_where_and_when_it_was_unless_it_is_moved(tmp_path: Path) -> None:
    scenario = load(tmp_path, f'gpx = "{GPX}"')
    points = way(scenario)
    assert points[0] == (0.0, pytest.approx(0.0, abs=0.02), pytest.approx(0.0, abs=0.02))
    assert len(points) == 58
    assert points[-1][0] == 285.0
    assert scenario.person[0].recorded_from == "walk.gpx, 0 s to its end"


def test_a_section_is_turned_moved_delayed_and_hurried_and_keeps_its_shape(tmp_path: Path) -> None:
    plain = way(load(tmp_path, f'gpx = "{GPX}", from_s = 50, to_s = 200'))
    moved = way(
        load(
            tmp_path,
            f'gpx = "{GPX}", from_s = 50, to_s = 200, at_s = 30, speed = 2.0, move_to_m = [500, -80], rotate_deg = 90',
        )
    )
    assert len(plain) == len(moved) == 31
    assert moved[0] == (30.0, 500.0, -80.0)
    assert moved[-1][0] == 30.0 + 75.0
    e0, n0 = plain[0][1:]
    for (t_s, east, north), (plain_t_s, plain_e, plain_n) in zip(moved, plain, strict=True):
        assert t_s == 30.0 + plain_t_s / 2
        # clockwise: north becomes east
        assert east - 500 == pytest.approx(plain_n - n0, abs=0.01)
        assert north + 80 == pytest.approx(-(plain_e - e0), abs=0.01)


def test_a_recording_without_times_goes_at_a_speed(tmp_path: Path) -> None:
    lat, lon = FRAME.to_geodetic(0, 100)
    (tmp_path / "plan.csv").write_text(f"lat,lon\n51.0,-6.5\n51.0,-6.5\n{lat},{lon}\n")
    points = way(load(tmp_path, 'csv = "plan.csv", speed_mps = 2.0'))
    assert [round(t, 3) for t, _, _ in points] == [0.0, 50.0]
    with pytest.raises(ScenarioError, match=r"has no times\. Next: say how fast"):
        load(tmp_path, 'csv = "plan.csv"')


def test_times_that_stand_still_are_named_and_a_speed_takes_their_place(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-01T09:00:00Z,51.0,{-6.5 + i / 1e4}\n" for i in range(9))
    (tmp_path / "still.csv").write_text("time,lat,lon\n" + rows)
    with pytest.raises(ScenarioError, match=r"8 of its times are not after the one before\. Next: .*speed_mps"):
        load(tmp_path, 'csv = "still.csv"')
    assert len(way(load(tmp_path, 'csv = "still.csv", speed_mps = 1.4'))) == 9


def test_the_file_lies_beside_the_scenario_that_names_it_and_the_whole_text_needs_it_no_more(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "walk.gpx").write_bytes(GPX.read_bytes())
    (tmp_path / "deep" / "base.toml").write_text(
        'title = "t"\nduration_s = 10\norigin = { lat_deg = 51.0, lon_deg = -6.5 }\n'
        '[[person]]\ndevice = "tag-1"\nrole = "wearer"\ntrack = { gpx = "walk.gpx" }\n'
    )
    (tmp_path / "main.toml").write_text('include = ["deep/base.toml"]\n')
    scenario = load_scenario(tmp_path / "main.toml")
    whole = tmp_path / "whole.toml"
    whole.write_text(resolve_text(scenario))
    (tmp_path / "deep" / "walk.gpx").unlink()
    assert load_scenario(whole) == scenario


@pytest.mark.parametrize(
    ("track", "words"),
    [
        ("", "exactly one of gpx, csv, nmea, got 0"),
        (f'gpx = "{GPX}", csv = "x.csv"', "exactly one of gpx, csv, nmea, got 2"),
        ('gpx = "absent.gpx"', "absent.gpx"),
        (f'gpx = "{GPX}", from_s = 900', "lies from 900 s to inf s of 285 s"),
        (f'gpx = "{GPX}", speed = 0', "speed must be above 0"),
        (f'gpx = "{GPX}", speed_mps = -1', "speed_mps must be above 0"),
        (f'gpx = "{GPX}", at_s = -1', "at_s and from_s of 0 or later"),
        (f'gpx = "{GPX}", move_to_m = [0, 300000]', "300 km from the origin"),
        (f'gpx = "{GPX}", move_to_m = [nan, 0]', "track: move_to_m, east: expected a finite number, got nan"),
        (f'gpx = "{GPX}", at_s = nan', "track: at_s: expected a finite number"),
        (f'gpx = "{GPX}", speed = inf', "track: speed: expected a finite number"),
    ],
)
def test_what_is_wrong_with_a_recorded_track_is_named(tmp_path: Path, track: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        load(tmp_path, track)
    assert "tag-1" in str(caught.value)


PAIR = """
title = "t"
duration_s = 400
origin = {{ lat_deg = 51.0, lon_deg = -6.5 }}
[[person]]
device = "pp-1"
role = "protected"
waypoint = [{{ at_m = [700, 100], wait_s = 60 }}, {{ at_m = [700, 400], speed_mps = 1.2 }}]
[[person]]
device = "tag-1"
role = "wearer"
track = {{ gpx = "{gpx}", rotate_deg = {rotate_deg}, meet = {{ device = "pp-1", closest_m = {m}, at_s = 150 }} }}
"""


@pytest.mark.parametrize("rotate_deg", [0, 75, 180])
@pytest.mark.parametrize("m", [0.5, 12.0, 150.0])
def test_a_recorded_walk_is_moved_to_come_as_near_as_the_story_wants(tmp_path: Path, rotate_deg: int, m: float) -> None:
    path = tmp_path / "story.toml"
    path.write_text(PAIR.format(gpx=GPX, rotate_deg=rotate_deg, m=m))
    scenario = load_scenario(path)
    hers, his = (scenario.track(person) for person in scenario.person)
    separations = [
        math.dist((a.east_m, a.north_m), (b.east_m, b.north_m))
        for a, b in ((hers.at(i / 20), his.at(i / 20)) for i in range(20 * 400))
    ]
    assert min(separations) == pytest.approx(m, abs=0.02)
    closest_m, at_s = closest_approach(hers.waypoints, his.waypoints, 400)
    assert closest_m == pytest.approx(m, abs=0.002)
    assert separations[round(at_s * 20)] == pytest.approx(closest_m, abs=0.05)


def test_a_meeting_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    text = PAIR.format(gpx=GPX, rotate_deg=0, m=5)
    for old, new, words in (
        (
            'device = "pp-1", closest',
            'device = "tag-1", closest',
            "expected somebody who has no meeting of their own: pp-1",
        ),
        ("at_s = 150", "at_s = 500", "at_s in the scenario"),
        ("closest_m = 5", "closest_m = inf", "closest_m above 0 and up to 200000"),
        ("at_s = 150", "at_s = 150, bearing_deg = nan", "bearing_deg: expected degrees, got nan"),
        ("wait_s = 60", "wait_s = nan", "with 'pp-1': waypoint 0: wait_s"),
        ("rotate_deg", "move_to_m = [0, 0], rotate_deg", "move_to_m and meet both say"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(ScenarioError, match=words):
            load_scenario(path)


@pytest.mark.corpus
def test_two_receivers_of_one_ride_become_two_people_apart_by_a_delay(tmp_path: Path) -> None:
    """Distance is speed times delay where the same way is ridden twice."""
    folder = Path(os.environ["TAGRIG_CORPUS"]).resolve() / "tracks" / "whitchurch-routeA"
    text = 'title = "ride"\nduration_s = 600\norigin = { lat_deg = 51.0, lon_deg = -6.5 }\n'
    file = folder / "Garmin-Edge-605.gpx.gz"
    for device, at_s in (("tag-1", 0), ("tag-2", 30)):
        text += (
            f'[[person]]\ndevice = "{device}"\nrole = "wearer"\n'
            f'track = {{ gpx = "{file}", move_to_m = [0, 0], at_s = {at_s}, to_s = 500 }}\n'
        )
    path = tmp_path / "ride.toml"
    path.write_text(text)
    scenario = load_scenario(path)
    first, second = (scenario.track(person) for person in scenario.person)
    length_m = sum(
        math.dist((a.east_m, a.north_m), (b.east_m, b.north_m)) for a, b in itertools.pairwise(first.waypoints)
    )
    assert 500 < length_m < 6000
    for t_s in (100.0, 200.0, 300.0):
        there, then = second.at(t_s), first.at(t_s - 30)
        assert (there.east_m, there.north_m) == pytest.approx((then.east_m, then.north_m), abs=1e-6)
