"""The radio path: what distance, body, movement and level do to one advertisement."""

import math
import statistics

import pytest

from rig.ble.path_loss import (
    RADIO_PROFILES,
    AdvertisingChannel,
    PathLoss,
    Reception,
    find_radio_profile,
    loss_probability,
    mean_dbm,
)
from rig.errors import RigError


def receptions(name: str, distance_m: float, n: int, *, seed: int = 1, moved_m: float = 0.0) -> list[Reception]:
    path = PathLoss(RADIO_PROFILES[name], seed=seed, pair="tag-1/rx")
    return [path.receive(t_s=0.1 * i, distance_m=distance_m, moved_m=moved_m) for i in range(n)]


def test_free_space_is_the_formula_and_nothing_else() -> None:
    got = receptions("free_space", 10.0, 50)
    assert {r.rssi_dbm for r in got} == {-80.0}
    assert all(r.heard and not r.blocked for r in got)


def test_ten_times_the_distance_costs_ten_times_the_exponent() -> None:
    for profile in RADIO_PROFILES.values():
        assert mean_dbm(profile, 3.0) - mean_dbm(profile, 30.0) == pytest.approx(10 * profile.exponent)
        assert mean_dbm(profile, 1.0) == profile.rssi_1m_dbm
        assert mean_dbm(profile, 0.0) == mean_dbm(profile, 0.1)


@pytest.mark.parametrize("name", list(RADIO_PROFILES))
def test_the_same_seed_gives_the_same_values_and_another_pair_other_ones(name: str) -> None:
    assert receptions(name, 5.0, 40) == receptions(name, 5.0, 40)
    if name != "free_space":
        other = PathLoss(RADIO_PROFILES[name], seed=1, pair="tag-1/other")
        assert [other.receive(t_s=0.1 * i, distance_m=5.0) for i in range(40)] != receptions(name, 5.0, 40)


def test_a_still_pair_keeps_one_level_per_channel_and_averaging_does_not_help() -> None:
    got = receptions("indoor", 7.0, 900)
    means = []
    for channel in AdvertisingChannel:
        levels = [r.rssi_dbm for r in got if r.channel is channel]
        assert statistics.stdev(levels) < 2.5
        means.append(statistics.mean(levels))
    assert max(means) - min(means) > 2.0


def test_movement_draws_the_level_anew() -> None:
    got = [r.rssi_dbm for r in receptions("indoor", 7.0, 2000, moved_m=0.15)]
    assert 4.0 < statistics.stdev(got) < 9.0
    # Rice fading falls deep and rises little
    mean = statistics.mean(got)
    assert mean - min(got) > max(got) - mean


def test_a_body_in_between_costs_what_the_profile_says() -> None:
    path = PathLoss(RADIO_PROFILES["ankle"], seed=3, pair="a")
    got = [path.receive(t_s=0.1 * i, distance_m=5.0, moved_m=0.1) for i in range(20_000)]
    blocked = [r.rssi_dbm for r in got if r.blocked]
    free = [r.rssi_dbm for r in got if not r.blocked]
    assert len(blocked) / len(got) == pytest.approx(0.6, abs=0.1)
    low, high = RADIO_PROFILES["ankle"].body_loss_db
    assert low < statistics.mean(free) - statistics.mean(blocked) < high


def test_loss_grows_as_the_level_falls() -> None:
    profile = RADIO_PROFILES["indoor"]
    levels = [-127, -105, -97, -90, -80, -60, -20]
    shares = [loss_probability(profile, level) for level in levels]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(profile.base_loss, abs=1e-6)
    assert shares[0] > 0.999
    got = receptions("indoor", 3.0, 5000, moved_m=0.2)
    lost = sum(not r.heard for r in got) / len(got)
    assert lost == pytest.approx(profile.base_loss, abs=0.03)


def test_levels_stay_within_what_a_report_can_carry() -> None:
    for distance_m in (0.0, 1e-9, 1e12):
        for name in RADIO_PROFILES:
            for reception in receptions(name, distance_m, 20):
                assert -127.0 <= reception.rssi_dbm <= 20.0
                assert math.isfinite(reception.rssi_dbm)


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RigError, match=r"'indor' is not known\. Expected one of: free_space, open_air, indoor"):
        find_radio_profile("indor")
