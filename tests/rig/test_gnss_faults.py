"""A receiver that is led astray, jammed, cut off: what it says, and that the truth beside it stays the truth."""

import itertools
import math
import statistics

import pytest

from protocols.nmea import NmeaDecoder
from protocols.reports import Fix, FixState
from rig.emulator.events import parse_event
from rig.emulator.firmware import Epoch
from rig.emulator.gnss import REACQUIRE_S, GnssReceiver
from rig.emulator.gnss_faults import SPOOFED_DBHZ, SpoofWay, read_drift, read_jump, read_spoof
from rig.emulator.profiles import PROFILES
from rig.emulator.track import Track, Waypoint
from rig.errors import EventError
from tests.rig.support import FRAME, make_tag, run_tag, standing, wire

EAST = 90.0


def walking(speed_mps: float = 1.4) -> Track:
    """North for ever."""
    return Track(FRAME, [Waypoint(t_s=0, east_m=0, north_m=0), Waypoint(t_s=1e4, east_m=0, north_m=1e4 * speed_mps)])


def epochs(*events: str, track: Track | None = None, until_s: float = 60.0, **settings: object) -> dict[int, Epoch]:
    tag = make_tag(*events, track=track or standing(), **settings)
    return {round(item.epoch.t_ns / 1e9): item.epoch for item in run_tag(tag, until_s)}


def error(epoch: Epoch) -> tuple[float, float]:
    position = epoch.observation.position
    assert position is not None
    return position.east_m - epoch.truth.east_m, position.north_m - epoch.truth.north_m


def test_a_jump_is_at_once_constant_and_over_at_once() -> None:
    plain, jumped = epochs(), epochs("gnss_jump=200:90@20+10")
    for t_s in (19, 20, 25, 29, 30, 40):
        expected = 200.0 if 20 <= t_s < 30 else 0.0
        east, north = error(jumped[t_s])
        assert (east - expected, north) == pytest.approx(error(plain[t_s]), abs=1e-9)
    position = jumped[25].observation.position
    assert position is not None
    assert position.sigma_major_m < 5, "all fields are healthy"
    assert position.speed_mps < 0.3


def test_a_drift_grows_and_its_speed_field_does_not_tell() -> None:
    plain, drifted = epochs(), epochs("gnss_drift=1.5:0@10+30")
    for t_s in (10, 20, 39, 40, 50):
        expected = 1.5 * (t_s - 10) if t_s < 40 else 0.0
        east, north = error(drifted[t_s])
        assert (east, north - expected) == pytest.approx(error(plain[t_s]), abs=1e-9)
    position = drifted[39].observation.position
    assert position is not None
    assert position.speed_mps < 0.3


def test_a_frozen_receiver_repeats_its_position_with_new_times() -> None:
    seen = epochs("gnss_freeze@20+15", track=walking())
    frozen = [seen[t].observation.position for t in range(20, 35)]
    assert len({(p.lat_deg, p.lon_deg) for p in frozen if p is not None}) == 1
    assert seen[34].t_utc_ns - seen[20].t_utc_ns == 14_000_000_000
    assert error(seen[34])[1] < -15
    assert abs(error(seen[36])[1]) < 10


def test_a_pull_off_is_smooth_and_consistent_and_its_signals_are_equal() -> None:
    seen = epochs("spoof=pull_off:2:90@20+40", track=walking(), until_s=80)
    for before, after in itertools.pairwise(range(20, 60)):
        step = error(seen[after])[0] - error(seen[before])[0]
        assert step == pytest.approx(2.0, abs=2.0)
    assert error(seen[59])[0] == pytest.approx(78.0, abs=8.0)
    observation = seen[50].observation
    assert {s.cn0_dbhz for s in observation.satellites} == {SPOOFED_DBHZ}
    assert {s.system for s in observation.satellites} == {"GP"}
    position = observation.position
    assert position is not None
    assert position.speed_mps == pytest.approx(math.hypot(1.4, 2.0), abs=0.3)
    assert position.course_deg == pytest.approx(math.degrees(math.atan2(2.0, 1.4)), abs=8)


def test_after_false_signals_the_true_ones_must_be_found_again() -> None:
    seen = epochs("spoof=jump:5000:180@20+10", until_s=60)
    assert error(seen[25])[1] == pytest.approx(-5000, abs=10)
    gap = [t for t in range(30, 60) if seen[t].observation.position is None]
    assert gap
    assert gap == list(range(30, gap[-1] + 1))
    assert gap[-1] - 30 < REACQUIRE_S[1]
    assert math.hypot(*error(seen[59])) < 15


def test_a_spoofed_clock_is_on_the_wire_and_the_truth_keeps_its_own() -> None:
    tag = make_tag("spoof=jump:1000:0:3600@10+10", track=standing())
    sent = run_tag(tag, 30)
    fixes = [r for r in NmeaDecoder().feed(wire(sent)) if isinstance(r, Fix) and r.state is FixState.POSITION]
    times = {f.t_fix_utc_ns for f in fixes if f.t_fix_utc_ns is not None}
    ahead = [item.epoch for item in sent if 10 <= item.epoch.t_ns / 1e9 < 20]
    start_ns = sent[0].epoch.t_utc_ns
    assert [e.t_utc_ns - start_ns - e.t_ns for e in ahead] == [3600 * 10**9] * len(ahead)
    assert {e.t_utc_ns for e in ahead} <= times


def test_a_bearing_that_is_not_given_is_drawn_from_the_seed() -> None:
    def bearing(seed: int) -> float:
        east, north = error(epochs("gnss_jump=1000@10", until_s=20, seed=seed)[15])
        assert math.hypot(east, north) == pytest.approx(1000, abs=20)
        return math.degrees(math.atan2(east, north))

    assert bearing(1) == pytest.approx(bearing(1))
    assert abs(bearing(1) - bearing(2)) > 1


@pytest.mark.parametrize("profile", ["tunnel", "car_park"])
def test_a_receiver_may_go_straight_on_for_some_seconds_and_says_so(profile: str) -> None:
    coasted = 0
    for seed in range(20):
        seen = epochs(f"profile={profile}@30", track=walking(10.0), until_s=60, seed=seed)
        lengths = [t for t in range(30, 60) if seen[t].observation.position is not None]
        if not lengths:
            continue
        coasted += 1
        assert lengths == list(range(30, lengths[-1] + 1))
        assert 5 <= len(lengths) <= 11
        assert all(seen[t].observation.coasting and not seen[t].observation.used for t in lengths)
        assert abs(error(seen[lengths[-1]])[1]) < 6, "he did go straight on"
    assert 4 <= coasted <= 16


def test_a_position_without_signals_is_told_as_estimated() -> None:
    tag = make_tag("profile=tunnel@30", track=walking(10.0), seed=_coasting_seed())
    states = [r.state for r in NmeaDecoder().feed(wire(run_tag(tag, 60))) if isinstance(r, Fix)]
    assert 5 <= states.count(FixState.DEAD_RECKONING) <= 11


def _coasting_seed() -> int:
    return next(
        seed
        for seed in range(20)
        if epochs("profile=tunnel@30", track=walking(10.0), until_s=31, seed=seed)[31].observation.coasting
    )


def test_the_first_fixes_after_a_tunnel_are_off_and_recover() -> None:
    first, later = [], []
    for seed in range(30):
        seen = epochs("profile=tunnel@20", "profile=open_sky@60", until_s=130, seed=seed)
        back = next(t for t in range(60, 90) if seen[t].observation.used)
        first.append(math.hypot(*error(seen[back])))
        later.append(math.hypot(*error(seen[back + 60])))
    assert statistics.fmean(first) > 3 * 2.4 or max(first) > 8
    assert statistics.fmean(later) < 6


def test_a_jammed_receiver_falls_within_seconds_lists_no_levels_and_returns_when_it_ends() -> None:
    seen = epochs("jam=3@20+20", until_s=60)
    before, in_it = seen[19].observation, seen[30].observation
    assert len(before.used) > 10
    assert in_it.position is None
    assert all(s.cn0_dbhz is None for s in in_it.satellites)
    levels = {t: statistics.fmean(s.cn0_dbhz or 0.0 for s in seen[t].observation.satellites) for t in (19, 21, 30, 45)}
    assert levels[19] > levels[21] > levels[30] == 0.0
    assert levels[45] > 35
    assert seen[48].observation.position is not None


def test_another_place_brings_other_houses_and_the_same_ionosphere() -> None:
    receiver = GnssReceiver(standing(), PROFILES["open_sky"], 3)
    receiver.observe(0.0)
    main, slow = [n.value for n in receiver._main], [n.value for n in receiver._slow]
    receiver.set_profile(PROFILES["poor_view"])
    assert [n.value for n in receiver._slow] == slow
    assert [n.value for n in receiver._main] != main


def test_multipath_in_a_street_throws_to_one_side_of_it() -> None:
    sides = set()
    for seed in range(6):
        receiver = GnssReceiver(standing(), PROFILES["urban"], seed)
        jumps = [receiver._draw_jump() for _ in range(50)]
        bearings = [math.degrees(math.atan2(east, north)) for east, north in jumps]
        offsets = [math.remainder(b - receiver._sky.street_deg, 360) for b in bearings]
        side = {round(math.copysign(1, o)) for o in offsets}
        assert len(side) == 1
        sides |= side
        assert all(60 < abs(o) < 120 for o in offsets)
        assert all(20 <= math.hypot(*j) <= 60 for j in jumps)
    assert sides == {-1, 1}


def test_indoors_few_satellites_stand_badly() -> None:
    hdops, counts, missed, n = [], [], 0, 0
    for seed in range(10):
        receiver = GnssReceiver(standing(), PROFILES["indoor"], seed)
        for i in range(300):
            observation = receiver.observe(4.0 * i)
            n += 1
            if observation.position is None:
                missed += 1
                continue
            hdops.append(observation.position.hdop)
            counts.append(len(observation.used))
    assert 0.3 < missed / n < 0.8
    assert 2 < statistics.median(hdops) < 10 < max(hdops)
    assert statistics.median(counts) <= 5


def test_values_are_read_with_their_parts() -> None:
    jump, spoof = read_jump("200:90"), read_spoof("pull_off:0.5:10:-60")
    assert jump is not None
    assert (jump.amount, jump.bearing_deg) == (200, 90)
    assert read_jump("0") is None
    assert read_drift("0") is None
    assert read_spoof("off") is None
    assert spoof is not None
    assert (spoof.way, spoof.shift.amount, spoof.time_offset_s) == (SpoofWay.PULL_OFF, 0.5, -60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gnss_jump=far@1", "'far' must be a number in 0 to 500000. Expected METRES"),
        ("gnss_jump=1:2:3@1", "not understood. Expected METRES"),
        ("gnss_jump=1:400@1", "'400' must be a number in 0 to 360"),
        ("gnss_drift=60@1", "must be a number in 0 to 50"),
        ("spoof=away@1", "Expected pull_off:MPS"),
        ("spoof=pull_off:9@1", "'9' must be a number in 0.5 to 5"),
        ("spoof=jump@1", "not understood"),
        ("spoof@1", "not understood"),
        ("gnss_freeze=3@1", "takes no value"),
    ],
)
def test_what_is_wrong_with_a_value_is_named(text: str, words: str) -> None:
    with pytest.raises(EventError, match=words):
        parse_event(text)
