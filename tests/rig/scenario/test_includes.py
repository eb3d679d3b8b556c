"""Files that include others: what is merged, what is added, what takes the place of what."""

from pathlib import Path

import pytest

from rig.errors import ScenarioError
from rig.scenario import Scenario, load_scenario

BASE = """
title = "base"
duration_s = 100
origin = { lat_deg = 51.0, lon_deg = -6.5 }
[parameters]
speed_mps = 1.4
[[zone]]
id = "z-1"
purpose = "exclusion"
centre_m = [0, 0]
radius_m = 10
[[person]]
device = "tag-1"
role = "wearer"
interval_s = 5
waypoint = [{ at_m = [0, 0] }, { at_m = [100, 0], speed_mps = "${speed_mps}" }]
[[order]]
id = "order-1"
wearer = "tag-1"
[[fault]]
id = "broker.down"
at_s = 5
lasts_s = 5
"""


def load(tmp_path: Path, text: str, **files: str) -> Scenario:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.toml").write_text(BASE)
    for name, content in files.items():
        (tmp_path / f"{name}.toml").write_text(content)
    (tmp_path / "main.toml").write_text(text)
    return load_scenario(tmp_path / "main.toml")


def test_an_included_file_is_laid_under(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        """
        include = ["parts/base.toml"]
        title = "main"
        origin = { lat_deg = 50.0 }
        [[person]]
        device = "tag-1"
        battery_pct = 40
        [[person]]
        device = "pp-1"
        role = "protected"
        waypoint = [{ at_m = [9, 9] }]
        [[zone]]
        id = "z-1"
        radius_m = 25
        [[fault]]
        id = "broker.down"
        at_s = 50
        lasts_s = 5
        """,
    )
    assert (scenario.title, scenario.duration_s, scenario.origin.lat_deg, scenario.origin.lon_deg) == (
        "main",
        100,
        50.0,
        -6.5,
    )
    assert [(p.device, p.interval_s, p.battery_pct) for p in scenario.person] == [("tag-1", 5, 40), ("pp-1", 1, 83)]
    assert len(scenario.person[0].waypoint) == 2
    assert [(z.id, z.radius_m) for z in scenario.zone] == [("z-1", 25)]
    assert [f.at_s for f in scenario.fault] == [5, 50]


def test_lists_that_are_no_entries_take_the_place_of_the_included_ones(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        'include = ["middle.toml"]\n[parameters]\nspeed_mps = 2\n',
        middle='include = ["parts/base.toml"]\n[[person]]\ndevice = "tag-1"\n'
        'waypoint = [{ at_m = [1, 1] }, { at_m = [1, 21], speed_mps = "${speed_mps}" }]\n',
    )
    assert scenario.track(scenario.person[0]).duration_s == 10


def test_a_parameter_of_an_included_file_may_be_out_of_use_but_then_cannot_be_set(tmp_path: Path) -> None:
    text = 'include = ["parts/base.toml"]\n[[person]]\ndevice = "tag-1"\nwaypoint = [{ at_m = [1, 1] }]\n'
    scenario = load(tmp_path, text)
    assert len(scenario.person[0].waypoint) == 1
    with pytest.raises(ScenarioError, match="'speed_mps' has no effect here"):
        load_scenario(tmp_path / "main.toml", {"speed_mps": 3})


@pytest.mark.parametrize(
    ("text", "files", "words"),
    [
        ('include = ["main.toml"]', {}, "includes itself in the end: .*main.toml -> .*main.toml"),
        ('include = ["a.toml"]', {"a": 'include = ["main.toml"]'}, "includes itself in the end"),
        ('include = ["absent.toml"]', {}, "absent.toml: the scenario cannot be read"),
        ('include = ["a.toml"]', {"a": "title ="}, "a.toml: not TOML"),
        ('include = "parts/base.toml"', {}, "include: expected a list of file names"),
        ('include = ["parts/base.toml"]\nsead = 3', {}, "sead"),
    ],
)
def test_what_is_wrong_with_an_include_is_named(tmp_path: Path, text: str, files: dict[str, str], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        load(tmp_path, text, **files)
