"""How near two people came between fixes: against the separation of many points of their ways."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Point

from geofence_core.passing import Placed, closest_m, place
from rig.local_frame import LocalFrame

S = 1_000_000_000
FRAME = LocalFrame(51.0, -6.5)


def at(t_s: float, east_m: float, north_m: float) -> Placed:
    return place(int(t_s * S), *FRAME.to_geodetic(east_m, north_m))


def test_a_way_past_someone_is_nearer_than_its_ends() -> None:
    assert closest_m(at(0, -900, 80), at(60, 900, 80), [at(0, 0, 0)]) == pytest.approx(80, abs=0.1)


def test_both_move_and_miss_each_other() -> None:
    """Their ways cross at the origin, half a minute apart."""
    his = (at(0, -600, 0), at(60, 600, 0))
    assert closest_m(*his, [at(0, 0, -1200), at(60, 0, 0)]) == pytest.approx(600 / math.sqrt(2), rel=0.001)
    assert closest_m(*his, [at(0, 0, 0), at(60, 0, 0)]) == pytest.approx(0, abs=0.1)


def test_who_is_not_heard_any_more_stands() -> None:
    his = (at(0, 0, 0), at(60, 600, 0))
    assert closest_m(*his, [at(-10, 300, 900), at(20, 300, 50)]) == pytest.approx(50, abs=0.1)


def test_what_is_not_known_yet_is_not_judged() -> None:
    his = (at(0, 0, 0), at(60, 600, 0))
    # She is first known when he is past the place.
    assert closest_m(*his, [at(50, 0, 0)]) == pytest.approx(500, abs=0.5)
    assert math.isinf(closest_m(*his, []))
    assert math.isinf(closest_m(*his, [at(61, 0, 0)]))


def test_two_fixes_of_one_time_are_a_way_too() -> None:
    assert closest_m(at(5, -100, 0), at(5, 100, 0), [at(0, 0, 30)]) == pytest.approx(30, abs=0.01)


coordinate = st.floats(-3000, 3000)
times_s = st.integers(-300, 1200).map(lambda tenths: tenths / 10)
# Two places at one moment are a jump, and a jump is in no sample.
ways = st.lists(st.tuples(times_s, coordinate, coordinate), min_size=1, max_size=6, unique_by=lambda at: at[0]).map(
    lambda points: sorted(points, key=lambda point: point[0])
)


def where(way: list[tuple[float, float, float]], t_s: float) -> tuple[float, float] | None:
    if t_s < way[0][0]:
        return None
    for (t0, e0, n0), (t1, e1, n1) in itertools.pairwise(way):
        if t0 <= t_s < t1:
            share = (t_s - t0) / (t1 - t0)
            return e0 + share * (e1 - e0), n0 + share * (n1 - n0)
    return way[-1][1:]


@given(his=st.tuples(coordinate, coordinate, coordinate, coordinate), hers=ways)
@settings(max_examples=50, deadline=None)
def test_agrees_with_many_points_of_both_ways(
    his: tuple[float, float, float, float], hers: list[tuple[float, float, float]]
) -> None:
    before, after = at(0, *his[:2]), at(60, *his[2:])
    found = closest_m(before, after, [at(*point) for point in hers])
    sampled = math.inf
    for k in range(241):
        t_s = k / 4
        her = where(hers, t_s)
        if her is None:
            continue
        share = t_s / 60
        me = his[0] + share * (his[2] - his[0]), his[1] + share * (his[3] - his[1])
        sampled = min(sampled, math.dist(me, her))
    if math.isinf(sampled):
        assert found > 0
        return
    # Between two samples both go at most so far; a jump of hers within no time is left out of the samples.
    assert found <= sampled + 0.2


@given(his=st.tuples(coordinate, coordinate, coordinate, coordinate), her=st.tuples(coordinate, coordinate))
@settings(max_examples=40, deadline=None)
def test_someone_who_stands_is_passed_at_the_distance_of_the_line(
    his: tuple[float, float, float, float], her: tuple[float, float]
) -> None:
    before, after = at(0, *his[:2]), at(60, *his[2:])
    found = closest_m(before, after, [at(0, *her)])
    line = LineString([his[:2], his[2:]]) if his[:2] != his[2:] else Point(his[:2])
    assert found == pytest.approx(line.distance(Point(her)), abs=0.2)
