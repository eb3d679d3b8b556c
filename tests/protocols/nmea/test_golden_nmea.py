import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocols.rejects import RejectReason
from protocols.reports import FixState
from rig.cli.nmea import command
from tests.protocols.nmea.support import decode, fixes

ROOT = Path(__file__).parents[3]
CAPTURES = sorted((ROOT / "fixtures" / "captures" / "nmea").glob("*.nmea"))
GOLDENS = ROOT / "tests" / "golden" / "nmea"


def test_every_capture_has_a_golden_and_the_other_way_round() -> None:
    assert {path.stem for path in CAPTURES} == {path.stem for path in GOLDENS.glob("*.jsonl")}


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    result = CliRunner().invoke(command, ["--json", str(path)])
    assert result.exit_code == 0
    expected = (GOLDENS / f"{path.stem}.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in result.stdout.splitlines()] == [json.loads(row) for row in expected]


def test_every_reject_reason_is_produced_by_a_golden() -> None:
    rows = [json.loads(row) for path in GOLDENS.glob("*.jsonl") for row in path.read_text().splitlines()]
    reasons = {row["reason"] for row in rows if row["type"] == "reject"}
    of_ble = {"cut_short", "reserved", "unknown_value"}
    assert reasons | of_ble == {reason.value for reason in RejectReason}, "those of BLE: test_golden_ble.py"
    assert not reasons & of_ble


def test_every_state_is_produced_by_a_capture() -> None:
    assert {fix.state for path in CAPTURES for fix in fixes(decode(path.read_bytes()))} == set(FixState)
