"""The radio between people of a scenario: who hears whom, in which surroundings, through which walls."""

from pathlib import Path
from typing import Any

import pytest

from rig.ble.ankle_beacon import Way
from rig.ble.pair_path import SHIELD_DB, Change, PairPath, beacon_paths, pair_path
from rig.ble.path_loss import mean_dbm
from rig.ble.surroundings import SURROUNDINGS, radio_between
from rig.emulator.profiles import PROFILES
from rig.errors import RigError, ScenarioError
from rig.scenario import load_scenario
from tests.rig.support import ROOT

LIBRARY = ROOT / "fixtures" / "scenarios"


def test_every_place_has_satellites_and_bluetooth() -> None:
    assert set(SURROUNDINGS) == set(PROFILES)


def test_walls_cost_once_each_and_power_helps() -> None:
    inside = radio_between("indoor", "indoor")
    assert mean_dbm(inside, 10.0) - mean_dbm(inside, 1.0) == pytest.approx(-16)
    through = radio_between("open_sky", "indoor")
    assert mean_dbm(inside, 5.0) - mean_dbm(through, 5.0) == SURROUNDINGS["indoor"].shell_db
    assert radio_between("indoor", "open_sky").rssi_1m_dbm == through.rssi_1m_dbm
    both = radio_between("indoor", "car_park", tx_dbm=4.0)
    assert both.rssi_1m_dbm == radio_between("car_park", "car_park").rssi_1m_dbm - 30.0 + 4.0
    with pytest.raises(RigError, match="'attic' are not known"):
        radio_between("indoor", "attic")


def test_the_path_follows_the_places_of_both_and_the_metal_round_the_tag() -> None:
    scenario = load_scenario(LIBRARY / "indoors_ble_only.toml")
    wearer, hers = scenario.person
    assert (wearer.device, hers.device) == ("tag-1", "pp-1")
    path = pair_path(scenario, wearer, hers, seed=1)
    names = [path.at(t).profile.name for t in (0.0, 50.0, 101.0)]
    assert [name.split(" ")[1:] for name in names] == [["(open_sky,", "open_sky)"], ["(open_sky,", "car_park)"],
                                                       ["(car_park,", "car_park)"]]  # fmt: skip
    shielded = load_scenario(LIBRARY / "shielded_on_the_way.toml")
    path = pair_path(shielded, shielded.person[0], shielded.person[1], seed=1)
    levels = [path.at(t).profile.rssi_1m_dbm for t in (0.0, 100.0, 200.0)]
    assert levels == [levels[0], levels[0] - SHIELD_DB, levels[0]]


def test_same_seed_same_receptions_and_places_do_not_disturb_one_another() -> None:
    def draw(*changes: tuple[float, str]) -> list[Any]:
        path = PairPath(
            [Change(at_s=at, place=place, other=place, tx_dbm=0.0) for at, place in changes], seed=4, pair="a/b"
        )
        return [path.receive(t_s=t, distance_m=6.0, moved_m=0.1) for t in range(40)]

    outside, moved = draw((0.0, "open_sky")), draw((0.0, "open_sky"), (20.0, "indoor"))
    assert outside[:20] == moved[:20] == draw((0.0, "open_sky"))[:20]
    assert outside[20:] != moved[20:]


def test_who_hears_whom_is_who_is_there(tmp_path: Path) -> None:
    scenario = load_scenario(LIBRARY / "indoors_ble_only.toml")
    now_s = 0.0
    (path,) = beacon_paths(scenario, lambda: now_s)
    assert (path.wearer, path.smart_tag) == ("tag-1", "st-1")
    assert path.where() == Way(distance_m=290.0, moved_m=0.0)
    now_s = 350.0
    assert path.where().distance_m == pytest.approx(3.0)
    gone = tmp_path / "gone.toml"
    lines = (
        f'include = ["{LIBRARY / "indoors_ble_only.toml"}"]\nperson = [{{ device = "pp-1", smart_tag = {{ KEY }} }}]\n'
    )
    for key in ("present = false", "issued = false"):
        gone.write_text(lines.replace("KEY", key))
        assert beacon_paths(load_scenario(gone), lambda: 0.0) == []
    assert beacon_paths(load_scenario(LIBRARY / "approach_on_foot.toml"), lambda: 0.0) == []


def test_a_smart_tag_holds_one_beacon_key(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    beacons = "".join(f'[[person]]\ndevice = "{d}"\nbeacon = {{ KEY }}\n' for d in ("tag-1", "tag-2"))
    path.write_text(f'include = ["{LIBRARY / "two_wearers.toml"}"]\n' + beacons.replace("KEY", ""))
    with pytest.raises(ScenarioError, match="holds the beacon key 'tag-1' already"):
        load_scenario(path)
    path.write_text(f'include = ["{LIBRARY / "two_wearers.toml"}"]\n' + beacons.replace("KEY", 'key = "shared"'))
    scenario = load_scenario(path)
    hers = scenario.find_person("pp-1")
    assert hers is not None
    assert scenario.find_beacon_key(hers) == "shared"
