"""``tagrig faults`` and ``tagrig disturb``."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from rig.cli import disturb, faults
from rig.cli.exit_codes import ExitCode
from rig.errors import FaultError
from rig.faults.catalogue import CATALOGUE
from tests.bridge.support import Line, epoch_bytes, line

__all__ = ["line"]


def test_catalogue_is_listed_for_people_and_programs() -> None:
    for_people = CliRunner().invoke(faults.command, ["gnss", "serial.drop"])
    assert for_people.exit_code == 0
    assert "gnss.jam: " in for_people.output and "serial.drop: " in for_people.output
    assert "broker.down" not in for_people.output
    assert "run_bytes = 4 (1 to 4096 bytes)" in for_people.output
    listed = [json.loads(each) for each in CliRunner().invoke(faults.command, ["--json"]).output.splitlines()]
    assert [each["id"] for each in listed] == list(CATALOGUE)
    wrong = CliRunner().invoke(faults.command, ["serial.dorp"])
    assert wrong.exit_code == ExitCode.USAGE
    assert "did you mean 'serial.drop'" in wrong.output


def test_fault_on_the_command_line_is_read_with_its_times_and_parameters() -> None:
    fault = disturb.parse_fault("serial.stall@10+20s,then=deliver,buffer_bytes=100")
    assert (fault.id, fault.at_s, fault.lasts_s) == ("serial.stall", 10, 20)
    assert fault.parameters == {"then": "deliver", "buffer_bytes": 100, "direction": "up"}
    assert disturb.parse_fault("gnss.no_fix@0").lasts_s is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serial.stall", "not understood"),
        ("serial.stall@soon", "'soon' is no number"),
        ("broker.down@1", "expected one of serial or gnss"),
        ("serial.stall@1,then=wait", "one of: lose, deliver"),
        ("serial.stal@1", "did you mean 'serial.stall'"),
    ],
)
def test_fault_that_is_not_possible_is_refused(text: str, said: str) -> None:
    with pytest.raises(FaultError) as error:
        disturb.parse_fault(text)
    assert said in str(error.value)


def test_port_is_passed_on_disturbed_and_given_back(tmp_path: Path, line: Line) -> None:
    link = tmp_path / "port"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from rig.cli.disturb import command; command()", line.spec),
            *("--link", str(link), "--fault", "gnss.jump@0,distance_m=5000,bearing_deg=0"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert str(link) in process.stdout.readline()
        assert "gnss.jump begins" in process.stdout.readline()
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)
        line.write(epoch_bytes(1, 0))
        got = _read_until(port, b"\n", count=2)
        os.close(port)
        assert b"5102.69" in got, "5,000 m north of 51 degrees"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "bytes came" in process.stdout.read()
    finally:
        process.kill()
        process.communicate()
    assert not link.is_symlink()


def _read_until(fd: int, mark: bytes, *, count: int) -> bytes:
    got, deadline = b"", time.monotonic() + 20
    while got.count(mark) < count:
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, got
        got += os.read(fd, 4096)
    return got


def test_port_that_is_not_there_is_told_with_the_next_step(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        disturb.command, [f"pty:{tmp_path}/none", "--link", str(tmp_path / "l"), "--fault", "serial.drop@0"]
    )
    assert run.exit_code == ExitCode.BENCH_BROKEN
    assert "Next:" in run.output
