"""What befalls people in a scenario: faults that their tag carries out, surroundings, and what cannot be."""

from pathlib import Path

import pytest

from rig.emulator.events import EventKind
from rig.errors import ScenarioError
from rig.faults.catalogue import CATALOGUE
from rig.faults.entry import FaultEntry, Target
from rig.scenario import (
    FaultTable,
    OriginTable,
    PersonTable,
    Scenario,
    SmartTagTable,
    WaypointTable,
    check_scenario,
    load_scenario,
)
from tests.rig.support import ROOT

LIBRARY = ROOT / "fixtures" / "scenarios"
HERE = [WaypointTable(at_m=(0.0, 0.0))]
HE = PersonTable(device="tag-1", role="wearer", waypoint=HERE)
SHE = PersonTable(device="pp-1", role="protected", waypoint=HERE, smart_tag=SmartTagTable(id="st-1"))


def scenario_of(*people: PersonTable, fault: list[FaultTable] | None = None) -> Scenario:
    return Scenario(
        title="t",
        duration_s=100,
        origin=OriginTable(lat_deg=51.0, lon_deg=-6.5),
        person=list(people),
        fault=fault or [],
    )


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.id)
def test_every_fault_can_stand_in_a_scenario_and_those_with_an_event_befall_the_tag(entry: FaultEntry) -> None:
    device = {Target.NOTHING: None, Target.SMART_TAG: "st-1"}.get(entry.target, "tag-1")
    fault = FaultTable(id=entry.id, at_s=20, lasts_s=10 if entry.lasting else None, device=device)
    scenario = scenario_of(HE, SHE, fault=[fault])
    check_scenario(scenario)
    actions = scenario.actions(HE)
    if not entry.event:
        assert actions == ()
    else:
        assert actions[0].kind == entry.event
        assert [a.at_s for a in actions] == ([20, 30] if entry.lasting else [20])
    assert scenario.actions(SHE) == ()


def test_parameters_of_a_fault_become_the_value_of_its_event() -> None:
    def value(fault_id: str, **options: float | str) -> str:
        fault = FaultTable(id=fault_id, at_s=1, device="tag-1", options=dict(options))
        return scenario_of(HE, fault=[fault]).actions(HE)[0].value

    assert value("gnss.jump", distance_m=300, bearing_deg=180) == "300:180"
    assert value("gnss.jam", strength=2) == "2"
    assert value("gnss.spoof", way="jump", distance_m=50_000) == "jump:50000:90:0"
    assert value("gnss.spoof", speed_mps=0.5, time_offset_s=-30) == "pull_off:0.5:90:-30"
    assert value("device.low_battery") == "8"


def test_surroundings_are_changes_of_one_name_in_time() -> None:
    scenario = load_scenario(LIBRARY / "through_a_tunnel.toml")
    wearer = scenario.person[0]
    assert [(a.at_s, a.value) for a in scenario.actions(wearer) if a.kind is EventKind.PROFILE] == [
        (0, "in_car"),
        (60, "tunnel"),
        (130, "in_car"),
    ]
    assert [scenario.profile_at(wearer, t) for t in (0, 59.9, 60, 129, 500)] == [
        "in_car", "in_car", "tunnel", "tunnel", "in_car",
    ]  # fmt: skip


def test_two_wearers_and_two_protected_persons() -> None:
    scenario = load_scenario(LIBRARY / "two_wearers.toml")
    assert [(order.wearer, [ring.device for ring in order.protected]) for order in scenario.order] == [
        ("tag-1", ["pp-1", "pp-2"]),
        ("tag-2", ["pp-1"]),
    ]
    assert scenario.find_bearer("st-2") == scenario.find_person("pp-2")
    assert scenario.find_bearer("st-3") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('fault = [{ id = "gnss.jamm", at_s = 1 }]', "did you mean 'gnss.jam'"),
        ('fault = [{ id = "gnss.jam", at_s = 1 }]', "expected device"),
        (
            'fault = [{ id = "gnss.jam", at_s = 1, device = "tag-9" }]',
            "'tag-9' is not in the scenario. Expected one of",
        ),
        ('fault = [{ id = "gnss.jam", at_s = 1, device = "tag-1", with = { strength = 9 } }]', "from 1 to 3"),
        ('fault = [{ id = "gnss.jam", at_s = 1, device = "tag-1", for_s = 9 }]', "for_s"),
        ('person = [{ device = "tag-1", surroundings = [{ at_s = 0, profile = "attic" }] }]', "'attic' is not known"),
        ('person = [{ device = "pp-1", beacon = {} }]', "a beacon is the wearer's"),
        ('person = [{ device = "tag-1", beacon = { interval_s = 30 } }]', "beacon.interval_s: expected 0.02 to 10.24"),
        ('person = [{ device = "tag-1", beacon = { tx_dbm = 99 } }]', "beacon.tx_dbm"),
        ('person = [{ device = "tag-1", smart_tag = { id = "x" } }]', "a smart tag is the protected person's"),
        ('person = [{ device = "st-1", role = "wearer", waypoint = [{ at_m = [0, 0] }] }]', "'st-1' stands 2 times"),
        ('person = [{ device = "x", role = "wearer" }]', "expected waypoint or track"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "story.toml"
    path.write_text(f'include = ["{LIBRARY / "approach_on_foot.toml"}"]\n{line}\n')
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
