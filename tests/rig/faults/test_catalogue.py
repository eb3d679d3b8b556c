"""The catalogue itself: whole, checked, told apart, and met by tests."""

import math
from pathlib import Path

import pytest

from rig.errors import FaultError
from rig.faults.apply import make_byte_fault
from rig.faults.catalogue import CATALOGUE, find_entry, of_layer, plan_fault
from rig.faults.coverage import coverage
from rig.faults.entry import BOTH_PACES, FaultEntry, Layer, Pace, Target, Value
from rig.faults.port import Needs, needs_of
from rig.runs.folder import BenchEvent
from tests.bridge.support import epoch_bytes

ENTRIES = list(CATALOGUE.values())


def planned(fault_id: str, **parameters: Value):  # type: ignore[no-untyped-def]
    entry = find_entry(fault_id)
    device = None if entry.target is Target.NOTHING else "t"
    return plan_fault(fault_id, device=device, parameters=parameters)


def test_every_entry_is_met_by_a_test_of_its_layer() -> None:
    folder = Path(__file__).parent
    unmet = [
        entry.id for entry in ENTRIES if f'"{entry.id}"' not in (folder / f"test_{entry.layer}.py").read_text("utf-8")
    ]
    assert not unmet


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_entry_says_what_happens_and_what_is_owed_and_has_possible_defaults(entry: FaultEntry) -> None:
    assert entry.id == f"{entry.layer}.{entry.id.partition('.')[2]}"
    assert entry.what and entry.outcome and entry.paces
    assert entry.resolve({}) == {each.name: each.default for each in entry.parameters}
    for each in entry.parameters:
        assert each.about
        is_number = isinstance(each.default, int | float) and not isinstance(each.default, bool)
        assert is_number == (each.low is not None and each.high is not None)
        assert isinstance(each.default, str) == bool(each.choices)
    assert not set(entry.expect.owed) & set(entry.expect.allowed)
    assert entry.expect.owed_after in {"at once", "silence", "cover"}


def test_all_layers_are_there_and_only_faults_of_processes_disk_and_way_need_real_time() -> None:
    assert {entry.layer for entry in ENTRIES} == set(Layer)
    assert sum(len(of_layer(layer)) for layer in Layer) == len(ENTRIES)
    real_only = {entry.id for entry in ENTRIES if entry.paces == {Pace.REAL}}
    assert real_only == {
        "broker.slow",
        "broker.refuse",
        "broker.no_ack",
        "broker.duplicate_ack",
        "host.disk_full",
        "host.process_killed",
        "host.process_stopped",
    }
    assert all(entry.paces == BOTH_PACES for entry in ENTRIES if entry.id not in real_only)


@pytest.mark.parametrize(
    ("fault", "given", "said"),
    [
        ("serial.bitflip", {}, "did you mean 'serial.bit_flip'"),
        ("serial.bit_flip", {"device": None}, "expected device, the tag or receiver that it befalls"),
        ("broker.down", {"device": "t"}, "no fault of one device"),
        ("device.low_battery", {"lasts_s": 3.0}, "it happens once"),
        ("serial.drop", {"lasts_s": 0.0}, "lasts_s above 0"),
        ("serial.drop", {"at_s": -1.0}, "at_s of 0 or later"),
        ("serial.drop", {"parameters": {"flips": 1}}, "unknown parameter 'flips'"),
        ("serial.drop", {"parameters": {"losses_per_kb": 1e9}}, "from 0.01 to 1000 1/kB"),
        ("serial.drop", {"parameters": {"losses_per_kb": math.nan}}, "expected a number"),
        ("serial.drop", {"parameters": {"run_bytes": 1.5}}, "whole number from 1 to 4096 bytes"),
        ("serial.drop", {"parameters": {"run_bytes": True}}, "expected a number"),
        ("serial.stall", {"parameters": {"then": "wait"}}, "one of: lose, deliver"),
        ("ble.disconnect_during_write", {"parameters": {"acts": 1}}, "true or false"),
        ("gnss.jam", {"parameters": {"strength": "3"}}, "expected a number"),
    ],
)
def test_what_is_not_possible_is_refused_with_what_was_expected(
    fault: str,
    given: dict[str, object],
    said: str,
) -> None:
    with pytest.raises(FaultError) as error:
        plan_fault(fault, **{"device": "t", **given} if fault != "broker.down" else given)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert fault in str(error.value)


OF_BYTES = [
    entry
    for entry in of_layer(Layer.SERIAL) + of_layer(Layer.GNSS)
    # the port, and bursts, which are the pieces
    if entry.id not in {"serial.disconnect", "serial.wrong_baud"}
]


@pytest.mark.parametrize("entry", OF_BYTES, ids=lambda entry: entry.id)
def test_same_seed_gives_the_same_damage_whatever_the_pieces_and_another_seed_another(entry: FaultEntry) -> None:
    data = b"".join(epoch_bytes(n, 30 * n) for n in range(60))

    def run(size: int, seed: int = 5) -> bytes:
        fault = make_byte_fault(plan_fault(entry.id, device="t", seed=seed), "up")
        out = [piece for at in range(0, len(data), size) for piece in fault.take(data[at : at + size], at * 1_000_000)]
        return b"".join(out + fault.end())

    assert run(len(data)) == run(131) == run(1)
    if entry.id in {"serial.bit_flip", "serial.drop", "serial.garbage"}:
        assert run(131, seed=6) != run(131) != data


def test_needs_are_told_before_a_run() -> None:
    faults = [planned("serial.drop"), planned("gnss.jam"), planned("broker.no_ack"), planned("clock.step")]
    assert needs_of(faults) == Needs(lines=frozenset({"t"}), way=True, clock=True)
    assert needs_of([planned("gnss.jam"), planned("host.disk_full")], played=frozenset({"t"})) == Needs(disk=True)
    assert needs_of([planned("gnss.rollover")], played=frozenset({"t"})).lines == {"t"}, "no tag plays a rollover"


def test_coverage_has_a_row_for_every_entry_with_what_was_done() -> None:
    def event(t_s: float, what: str, fault: str, device: str | None = None) -> BenchEvent:
        return BenchEvent(t_s=t_s, t_mono_ns=0, what=what, fault=fault, device=device)  # type: ignore[arg-type]

    rows = coverage(
        [
            event(10, "fault_applied", "serial.drop", "his"),
            event(12, "fault_applied", "serial.drop", "hers"),
            event(15, "fault_ended", "serial.drop", "his"),
            event(16, "fault_ended", "serial.drop", "hers"),
            event(20, "fault_applied", "broker.down"),
            event(21, "note", ""),
        ]
    )
    assert [row.fault for row in rows] == list(CATALOGUE)
    by_id = {row.fault: row for row in rows}
    drop = by_id["serial.drop"]
    assert (drop.applied, drop.devices, drop.first_s, drop.lasted_s) == (2, ("his", "hers"), 10, 9)
    assert by_id["broker.down"].is_covered and by_id["broker.down"].lasted_s == 0
    assert sum(row.is_covered for row in rows) == 2
