"""The clauses of NIJ 1004.00, measured on the bench; and that a bridge that is too slow does not meet them."""

import json
from pathlib import Path

import pytest

from rig.nij.clauses import Clause, on_demand_clause, outdoor_clauses
from rig.nij.on_demand import REQUESTS, measure_on_demand
from rig.nij.suite import run as run_suite
from rig.play.run import judge, play
from rig.play.settings import Planted, PlaySettings
from rig.scenario import load_scenario
from rig.suites import SUITES, SuiteOptions
from rig.truth.verdict import Verdict

OUTDOOR = Path("rig/nij/outdoor.toml")


def clauses(folder: Path, planted: Planted) -> dict[str, Clause]:
    scenario = load_scenario(OUTDOOR)
    play(scenario, PlaySettings(folder=folder, lean=True, planted=planted))
    return {each.measurement.name: each for each in outdoor_clauses(judge(folder).run)}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clause]:
    return clauses(tmp_path_factory.mktemp("nij"), Planted())


def test_every_clause_of_the_run_outdoors_is_met(measured: dict[str, Clause]) -> None:
    assert {name: each.measurement.verdict for name, each in measured.items()} == dict.fromkeys(
        (
            "first_fix",
            "outdoor_error_p90",
            "zone_alert",
            "stored_zone_alert",
            "strap_event",
            "strap_report",
            "locations_exported",
            "shielding_suspected_alert",
            "jamming_suspected_alert",
        ),
        Verdict.PASS,
    )


def test_figures_are_those_of_the_scenario(measured: dict[str, Clause]) -> None:
    zone = measured["zone_alert"].measurement
    assert zone.worst is not None
    # A report every 5 s, and an error of some metres at 1.4 m/s.
    assert -5 < zone.worst < 10
    assert (zone.limit, zone.unit) == ("<= 240", "s")
    assert len(measured["first_fix"].measurement.series) == 2
    assert "stored" in measured["locations_exported"].note
    assert all(each.mark == "F2" for each in measured.values())


@pytest.mark.soak
def test_alerts_that_come_five_minutes_later_miss_their_clauses(tmp_path: Path) -> None:
    late = clauses(tmp_path, Planted(delay_alerts_s=300.0))
    assert late["zone_alert"].measurement.verdict is Verdict.FAIL
    assert late["strap_report"].measurement.verdict is Verdict.FAIL
    assert late["strap_event"].measurement.verdict is Verdict.PASS
    assert late["outdoor_error_p90"].measurement.verdict is Verdict.PASS


def test_every_request_for_a_position_is_answered() -> None:
    waits = measure_on_demand(load_scenario(OUTDOOR), seed=3)
    assert len(waits) == REQUESTS
    assert max(waits) < 1
    clause = on_demand_clause([*waits, 181.0])
    assert clause.measurement.verdict is Verdict.FAIL


@pytest.mark.soak
def test_the_suite_prints_clauses_with_margins(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert SUITES["nij"] == "rig.nij.suite"
    assert run_suite(SuiteOptions(out=tmp_path, as_json=True, with_report=False)) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert told["verdict"] == "PASS"
    assert len(told["clauses"]) == 12
    assert all(each["measured"] is not None and each["margin"] is not None for each in told["clauses"])
