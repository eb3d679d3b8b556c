"""A whole scenario as text: it reads back equal, wherever it lies."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.demo.settings import STORY
from rig.scenario import (
    FaultTable,
    OriginTable,
    PersonTable,
    Scenario,
    WaypointTable,
    load_scenario,
    resolve_text,
)
from tests.rig.support import ROOT

LIBRARY = sorted((ROOT / "fixtures" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", [STORY, *LIBRARY], ids=lambda p: p.name)
def test_every_scenario_we_ship_reads_back_equal(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    whole = tmp_path / "scenario.toml"
    whole.write_text(resolve_text(scenario), encoding="utf-8")
    assert load_scenario(whole) == scenario
    assert "include" not in tomllib.loads(whole.read_text(encoding="utf-8"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


@given(
    title=TEXTS,
    at_m=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12),
    options=st.dictionaries(TEXTS, NUMBERS | st.booleans() | TEXTS, max_size=4),
)
def test_any_text_number_and_switch_reads_back_equal(
    title: str, at_m: list[tuple[float, float]], options: dict[str, float | bool | str]
) -> None:
    scenario = Scenario(
        title=title,
        duration_s=1.5,
        origin=OriginTable(lat_deg=51.0, lon_deg=-6.5),
        person=[
            PersonTable(
                device="tag-1", role="wearer", name=title, waypoint=[WaypointTable(at_m=place) for place in at_m]
            )
        ],
        fault=[FaultTable(id="broker.down", at_s=0.1, options=dict(options))],
    )
    data = tomllib.loads(resolve_text(scenario))
    assert data["title"] == title
    assert data["person"][0].get("name", "") == title
    assert [tuple(waypoint["at_m"]) for waypoint in data["person"][0]["waypoint"]] == at_m
    assert data["fault"][0].get("with", {}) == options
