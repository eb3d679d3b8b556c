"""The error model against its own profile: size, correlation in time, honesty of the tag's estimate."""

import itertools
import math
import random
import statistics

import pytest

from rig.emulator.battery import Battery
from rig.emulator.gnss import GnssReceiver
from rig.emulator.noise import OrnsteinUhlenbeck, Spells
from rig.emulator.profiles import PROFILES
from rig.emulator.sky import Satellite, find_geometry
from tests.rig.support import standing


@pytest.mark.parametrize("dt_s", [1.0, 7.0])
def test_the_noise_has_its_deviation_and_its_time_constant(dt_s: float) -> None:
    tau_s = 80.0
    noise = OrnsteinUhlenbeck(random.Random(5), tau_s)
    values = [noise.advance(dt_s) for _ in range(round(400_000 / dt_s))]
    assert statistics.pstdev(values) == pytest.approx(1.0, abs=0.04)
    for lag_s in (28.0, 84.0, 161.0):
        lag = round(lag_s / dt_s)
        got = statistics.fmean(a * b for a, b in zip(values, values[lag:], strict=False))
        assert got == pytest.approx(math.exp(-lag * dt_s / tau_s), abs=0.06)


def test_the_noise_does_not_depend_on_how_time_is_cut() -> None:
    """Standard deviation of the change over 10 s, in one step and in a hundred."""
    whole = OrnsteinUhlenbeck(random.Random(1), 80.0)
    cut = OrnsteinUhlenbeck(random.Random(2), 80.0)
    changes: dict[str, list[float]] = {"whole": [], "cut": []}
    for _ in range(4000):
        before = whole.value
        changes["whole"].append(whole.advance(10.0) - before)
        before = cut.value
        for _ in range(100):
            cut.advance(0.1)
        changes["cut"].append(cut.value - before)
    expected = math.sqrt(2 * (1 - math.exp(-10 / 80)))
    assert statistics.pstdev(changes["whole"]) == pytest.approx(expected, rel=0.05)
    assert statistics.pstdev(changes["cut"]) == pytest.approx(expected, rel=0.05)


def test_spells_last_as_long_as_they_should() -> None:
    spells = Spells(random.Random(3), mean_off_s=60, mean_on_s=20)
    on = [spells.advance(1.0) for _ in range(200_000)]
    assert sum(on) / len(on) == pytest.approx(0.25, abs=0.02)


def observe(profile: str, seeds: int, step_s: float, steps: int) -> tuple[list[float], list[float], float]:
    """Errors east in metres, errors over what the tag believes, and the share of epochs without a fix."""
    errors, ratios, missed = [], [], 0
    for seed in range(seeds):
        receiver = GnssReceiver(standing(), PROFILES[profile], seed)
        for i in range(steps):
            position = receiver.observe(i * step_s).position
            if position is None:
                missed += 1
                continue
            errors.append(position.east_m)
            ratios.append(position.east_m / position.sigma_lon_m)
    return errors, ratios, missed / (seeds * steps)


def test_open_sky_errs_by_one_to_three_metres_and_says_so() -> None:
    errors, ratios, missed = observe("open_sky", 60, 30.0, 60)
    assert 1.0 < statistics.pstdev(errors) < 3.0
    assert statistics.pstdev(ratios) == pytest.approx(1.0, abs=0.1)
    assert missed < 0.03


def test_errors_of_neighbouring_fixes_are_nearly_the_same() -> None:
    receiver = GnssReceiver(standing(), PROFILES["open_sky"], 4)
    east = [p.east_m for i in range(600) if (p := receiver.observe(float(i)).position) is not None]
    steps = [b - a for a, b in itertools.pairwise(east)]
    assert statistics.pstdev(steps) < 0.6 < 1.0 < max(abs(e) for e in east)


def test_town_jumps_to_one_side_and_indoors_loses_and_freezes_the_fix() -> None:
    errors, _, _ = observe("urban", 30, 5.0, 240)
    assert 8 < statistics.pstdev(errors) < 25
    assert max(abs(e) for e in errors) > 30
    receiver = GnssReceiver(standing(), PROFILES["indoor"], 2)
    seen = [receiver.observe(float(i)).position for i in range(3000)]
    missed = sum(p is None for p in seen) / len(seen)
    assert 0.3 < missed < 0.8
    frozen = sum(a is not None and a is b for a, b in itertools.pairwise(seen))
    assert frozen > 50
    assert all(
        p is None
        for p in (GnssReceiver(standing(), PROFILES["tunnel"], 1).observe(float(i)).position for i in range(60))
    )


def test_dilution_of_precision_of_a_known_sky() -> None:
    """One satellite at the zenith and three on the horizon: worked by hand, HDOP^2 = 4/3, VDOP^2 = 4/3."""

    def at(elevation: float, azimuth: float) -> Satellite:
        return Satellite(system="GP", number=1, elevation_deg=elevation, azimuth_deg=azimuth, cn0_dbhz=45)

    geometry = find_geometry([at(90, 0), at(0, 0), at(0, 120), at(0, 240)])
    assert geometry is not None
    assert geometry.hdop == pytest.approx(math.sqrt(4 / 3))
    assert geometry.vdop == pytest.approx(math.sqrt(4 / 3))
    assert geometry.major == pytest.approx(geometry.minor)
    assert find_geometry([at(90, 0), at(0, 0), at(0, 120)]) is None
    # all to the north and south: east is the worse axis
    uneven = find_geometry([at(30, 0), at(40, 180), at(80, 0), at(35, 10), at(30, 190)])
    assert uneven is not None
    assert uneven.orientation_deg == pytest.approx(90, abs=15)


def test_the_battery_follows_its_curve_and_its_load() -> None:
    levels = [Battery(level_pct=p).millivolts for p in range(0, 101, 5)]
    assert levels == sorted(levels)
    assert 3250 < levels[0] < 3310
    assert 4150 < levels[-1] < 4190
    battery = Battery(level_pct=100)
    for _ in range(24):
        battery.advance(3600)
    assert battery.percent == pytest.approx(0, abs=1)
    charging = Battery(level_pct=10, charging=True)
    assert charging.millivolts > Battery(level_pct=10).millivolts
    charging.advance(2 * 3600)
    assert charging.percent > 95
    battery.advance(3600)
    assert battery.empty
    assert battery.level_pct == 0.0
