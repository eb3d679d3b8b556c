"""Parameters: their places, their types, what is wrong with one, by name."""

from pathlib import Path

import pytest

from rig.errors import ScenarioError
from rig.scenario import Scalar, Scenario, load_scenario, read_parameters

HEAD = """
title = "${who} walks"
seed = "${draw}"
duration_s = "${(far_m - 10) / speed_mps + 60}"
origin = { lat_deg = 51.0, lon_deg = -6.5 }
[parameters]
who = "he"
draw = 3
far_m = 110.0
speed_mps = 2
present = true
[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{ at_m = [0, 0] }, { at_m = ["${-far_m * 2}", 0], speed_mps = "${speed_mps}" }]
[[person]]
device = "pp-1"
role = "protected"
waypoint = [{ at_m = [0, 0] }]
smart_tag = { id = "st-1", present = "${present}" }
"""


def load(tmp_path: Path, text: str = HEAD, **parameters: Scalar) -> Scenario:
    path = tmp_path / "story.toml"
    path.write_text(text)
    return load_scenario(path, parameters)


def test_defaults_stand_in_their_places_with_their_types(tmp_path: Path) -> None:
    scenario = load(tmp_path)
    assert (scenario.title, scenario.seed, scenario.duration_s) == ("he walks", 3, 110.0)
    wearer, hers = scenario.person
    assert wearer.waypoint[1].at_m == (-220.0, 0.0)
    assert hers.smart_tag is not None
    assert hers.smart_tag.present is True
    assert read_parameters(tmp_path / "story.toml") == {
        "who": "he",
        "draw": 3,
        "far_m": 110.0,
        "speed_mps": 2,
        "present": True,
    }


def test_what_a_command_line_sets_is_read_as_the_defaults_type(tmp_path: Path) -> None:
    scenario = load(tmp_path, who="she", draw="12", far_m="60", speed_mps="2.5", present="false")
    assert (scenario.title, scenario.seed, scenario.duration_s) == ("she walks", 12, 80.0)
    assert scenario.person[1].smart_tag is not None
    assert scenario.person[1].smart_tag.present is False
    path = tmp_path / "story.toml"
    assert load_scenario(path, seed=99).seed == 99


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sped_mps": 1}, "'sped_mps' is not known. Expected one of: who, draw, far_m, speed_mps, present"),
        ({"speed_mps": "fast"}, "'speed_mps': expected a number .* got 'fast'"),
        ({"speed_mps": "nan"}, "expected a number"),
        ({"speed_mps": True}, "expected a number"),
        ({"who": 3}, "'who': expected a text"),
        ({"present": "no"}, "'present': expected true or false"),
        ({"speed_mps": 0}, r"duration_s: \$\{\(far_m - 10\) / speed_mps \+ 60\}: .*zero"),
        ({"draw": 2.5}, "seed"),
    ],
)
def test_what_is_wrong_with_a_value_is_named(tmp_path: Path, given: dict[str, Scalar], words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        load(tmp_path, **given)
    assert "story.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("${who} walks", "${whom} walks", r"title: \$\{whom\}: parameter 'whom' is not known"),
        ("${who} walks", "walks", "'who' is used nowhere"),
        ("${draw}", "${__import__('os')}", "names, numbers, . - . / and parentheses only"),
        ("${draw}", "${who + 1}", "who is 'he'. Expected a number in arithmetic"),
        ("${draw}", "${1 +}", "expected a parameter's name, or arithmetic"),
        ("${draw}", "${draw ** 9}", "names, numbers"),
        ("${draw}", "${" + "1+" * 150 + "1}", "at most 200 characters"),
        ("${draw}", "${1e308 * 1e10}", "finite"),
        ("${draw}", "${4 / (draw - 3)}", r"division by zero, with draw = 3$"),
        ("${who} walks", "${who walks", "expected } after"),
        ("draw = 3", "draw = [3]", "parameters.draw: expected a number, a text"),
        ("draw = 3", '"a-b" = 3', "expected a name of letters"),
        ("[parameters]", "parameters = 3\n[other]", "expected a table of names and values"),
    ],
)
def test_what_is_wrong_with_a_reference_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in HEAD
    with pytest.raises(ScenarioError, match=words):
        load(tmp_path, HEAD.replace(old, new, 1))


def test_a_count_that_is_worked_out_stays_a_count(tmp_path: Path) -> None:
    assert load(tmp_path, HEAD.replace("${draw}", "${draw * 1000 + 7}")).seed == 3007
    assert load(tmp_path, HEAD.replace("${who} walks", "${who} at ${speed_mps / 4} m/s")).title == "he at 0.5 m/s"
