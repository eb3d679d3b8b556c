"""Draws of the approach suite: seven families of five, fixed by the seed, each an approach indeed."""

import math
from pathlib import Path

import pytest

from rig.approach.draw import DEFAULT_SEED, PROTECTED, WEARER, ApproachRun, draw_runs
from rig.approach.families import FAMILIES
from rig.errors import RigError
from rig.scenario import load_scenario, resolve_text

ENTRY = {run.name: run for run in draw_runs(DEFAULT_SEED)}


def apart_m(run: ApproachRun, t_s: float) -> float:
    his, hers = (run.scenario.track(person).at(t_s) for person in run.scenario.person)
    return math.dist((his.east_m, his.north_m), (hers.east_m, hers.north_m))


def test_seven_families_of_five() -> None:
    runs = draw_runs(DEFAULT_SEED)
    assert len(runs) == 35
    assert [run.family for run in runs[::5]] == list(FAMILIES)
    assert {run.run for run in runs} == {1, 2, 3, 4, 5}
    assert len({run.name for run in runs}) == 35


def test_a_seed_fixes_the_draw_and_another_is_another() -> None:
    assert draw_runs(7) == draw_runs(7)
    ours, others = draw_runs(7), draw_runs(8)
    assert all(a.scenario != b.scenario for a, b in zip(ours, others, strict=True))


def test_a_family_by_itself_is_what_it_is_in_the_whole() -> None:
    assert draw_runs(7, "by_car") == [run for run in draw_runs(7) if run.family == "by_car"]


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(RigError, match=r"'by_plane' is not known.*by_car"):
        draw_runs(7, "by_plane")


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 1, 2, 3])
def test_each_run_begins_outside_of_all_rings_and_ends_near(seed: int) -> None:
    for run in draw_runs(seed):
        ring = run.scenario.order[0].protected[0]
        assert run.scenario.order[0].wearer == WEARER
        assert ring.device == PROTECTED
        assert apart_m(run, 0) > ring.pre_alert_m, run.name
        nearest_m = min(apart_m(run, t_s) for t_s in range(0, int(run.scenario.duration_s), 2))
        assert nearest_m < (210 if run.family == "by_car" else ring.contact_m), run.name
        assert 200 <= run.scenario.duration_s <= 1000, run.name


@pytest.mark.parametrize("name", [name for name in ENTRY if name.endswith("-1")])
def test_a_run_is_a_scenario_file_like_any_other(name: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(resolve_text(ENTRY[name].scenario))
    assert load_scenario(path) == ENTRY[name].scenario
