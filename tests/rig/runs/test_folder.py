"""A run's folder: written, read again, and refused where it is not one."""

from pathlib import Path

import msgspec
import pytest

from protocols.mqtt.messages import AlertKind
from rig.demo.tag_words import TagWord
from rig.errors import BenchBrokenError, RigError, RunFolderError
from rig.runs.folder import (
    BenchEvent,
    RoleEntry,
    RunFile,
    new_folder,
    read_run_file,
    speed_of,
    write_run_file,
)
from rig.runs.load import read_lines
from rig.runs.policy import read_policy
from rig.runs.received import Received
from rig.runs.record import RunRecord
from rig.runs.recorder import take_message

FILE = RunFile(
    title="A run",
    seed=7,
    parameters={"speed_mps": 1.4, "smart": True},
    pace="x10",
    speed=10.0,
    roles=(RoleEntry(role="offender", device="tag-1", kind="emulated", firmware="emu-1.0"),),
    start_mono_ns=1_000,
    start_utc_ns=2_000,
    allowance_s=0.3,
    faults=("serial.garbage",),
)


def test_the_first_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_run_file(tmp_path, FILE)
    assert read_run_file(tmp_path) == FILE
    assert FILE.t_s(1_000 + 2_000_000_000) == 20.0


def test_a_folder_that_is_none_of_a_run_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"run.json: No such file.*Expected the folder of a run"):
        read_run_file(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="missing required field"):
        read_run_file(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_run_file(tmp_path, msgspec.structs.replace(FILE, format=2))
    with pytest.raises(RunFolderError, match="format 2; this version reads 1"):
        read_run_file(tmp_path)


def test_folders_are_numbered(tmp_path: Path) -> None:
    assert [new_folder(tmp_path, "walk").name for _ in range(3)] == ["walk-1", "walk-2", "walk-3"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="Next: choose another with --out"):
        new_folder(tmp_path / "file", "walk")


@pytest.mark.parametrize(("pace", "speed"), [("virtual", None), ("real", 1.0), ("x10", 10.0), ("x0.5", 0.5)])
def test_paces(pace: str, speed: float | None) -> None:
    assert speed_of(pace) == speed


@pytest.mark.parametrize("pace", ["fast", "x", "x0", "10", "x1000", "xnan", ""])
def test_what_is_no_pace(pace: str) -> None:
    with pytest.raises(RigError, match=r"expected virtual, real, or x0\.1 to x100"):
        speed_of(pace)


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "felt.jsonl"
    word = TagWord(tag="st-1", t_mono_ns=5, level=2, mode="warning", connected=True, felt="notice")
    line = msgspec.json.encode(word) + b"\n"
    path.write_bytes(line + line[:-20])
    assert list(read_lines(path, TagWord)) == [word]
    assert list(read_lines(tmp_path / "absent.jsonl", TagWord)) == []
    path.write_bytes(line + b"garbage\n")
    with pytest.raises(RunFolderError, match="line 2"):
        list(read_lines(path, TagWord))


def test_what_the_bench_did_is_kept_as_it_was() -> None:
    event = BenchEvent(
        t_s=1.5, t_mono_ns=9, what="fault_applied", fault="serial.garbage", device="tag-1", parameters={"share": 0.5}
    )
    assert msgspec.json.decode(msgspec.json.encode(event), type=BenchEvent) == event


def test_the_policy_is_read_from_the_bridges_own_file_in_the_scenarios_seconds(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text(
        "[policy]\nexit_margin_m = 12.5\nbattery_low_pct = 30\n"
        '[[device]]\nid = "tag-1"\ntransport = "memory:a"\ninterval_s = 0.5\nsilence_buffer_s = 1.5\n'
        '[[device]]\nid = "tag-2"\ntransport = "memory:b"\n'
        '[[device]]\nid = "st-1"\nkind = "smart_tag"\ntransport = "ble:x"\n'
    )
    policy = read_policy(tmp_path, FILE)
    assert policy.silence_s == {"tag-1": 20.0, "tag-2": 110.0}
    assert policy.exit_margin_m == 12.5
    assert policy.battery_low_pct == 30


def test_without_the_bridges_file_there_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"bridge.toml"):
        read_policy(tmp_path, FILE)


def test_a_message_that_breaks_the_contract_breaks_the_run() -> None:
    record = RunRecord(start_mono_ns=0)
    with pytest.raises(BenchBrokenError, match="does not keep to the contract"):
        take_message(
            Received(
                topic="em/v1/demo/tag/tag-1/alert", t_sub_mono_ns=1, retain=False, payload=msgspec.Raw(b'{"data": 1}')
            ),
            record,
            FILE.t_s,
        )
    other = Received(topic="rig/else", t_sub_mono_ns=1, retain=False, payload=msgspec.Raw(b"null"))
    assert take_message(other, record, FILE.t_s) is None
    assert AlertKind.STRAP_TAMPER not in {seen.alert.kind for seen in record.alerts}
