"""Leases: two jobs never share hardware, and no lease outlives its owner."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from devices.clock import SystemClock
from rig.bench.errors import LeaseBusyError, LeaseLostError
from rig.bench.lease import Lease, LeaseFile, is_held, list_leases
from tests.devices.manual_clock import ManualClock

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from devices.clock import SystemClock
from rig.bench.lease import Lease
folder, lease_s = Path(sys.argv[1]), float(sys.argv[2])
lease = Lease(["/dev/x"], owner="another job", clock=SystemClock(), folder=folder, lease_s=lease_s)
lease.acquire()
print("held", flush=True)
sys.stdin.readline()
try:
    lease.beat()
    lease.check()
    print("ours", flush=True)
except Exception as exc:
    print(type(exc).__name__, flush=True)
sys.stdin.read()
lease.release()
"""


def lease_of(folder: Path, *resources: str, lease_s: float = 30.0) -> Lease:
    return Lease(resources, owner="this test", clock=SystemClock(), folder=folder, lease_s=lease_s)


@contextmanager
def holder(folder: Path, lease_s: float = 30.0) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", HOLDER, str(folder), str(lease_s)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_two_jobs_never_share_a_port(tmp_path: Path) -> None:
    with lease_of(tmp_path, "/dev/a", "/dev/b"):
        with pytest.raises(LeaseBusyError, match=r"/dev/b: in use by this test, process \d+ on .* Next: wait for it"):
            lease_of(tmp_path, "/dev/b", "/dev/c").acquire()
        with lease_of(tmp_path, "/dev/c"):  # what is busy in part is not taken at all
            assert [lease.resource for lease in list_leases(tmp_path)] == ["/dev/a", "/dev/b", "/dev/c"]
    assert list_leases(tmp_path) == []
    with lease_of(tmp_path):  # an emulated bench
        assert list_leases(tmp_path) == []


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(LeaseBusyError, match="another job"):
            lease_of(tmp_path, "/dev/x").acquire(wait_s=0.1)
        process.kill()
        process.wait()
        with lease_of(tmp_path, "/dev/x"):
            assert [lease.pid for lease in list_leases(tmp_path)] == [os.getpid()]


def test_an_owner_that_stands_still_loses_its_lease_and_notices(tmp_path: Path) -> None:
    with holder(tmp_path, lease_s=1.0) as process:
        process.send_signal(signal.SIGSTOP)
        try:
            taken = lease_of(tmp_path, "/dev/x")
            taken.acquire(wait_s=20)
        finally:
            process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "LeaseLostError\n"
        taken.check()
        process.stdin.close()
        process.wait(timeout=20)  # its release leaves ours alone
        assert [lease.owner for lease in list_leases(tmp_path)] == ["this test"]
        taken.release()


def test_an_owner_that_works_for_longer_than_its_lease_keeps_it(tmp_path: Path) -> None:
    with holder(tmp_path, lease_s=1.0), pytest.raises(LeaseBusyError):
        lease_of(tmp_path, "/dev/x").acquire(wait_s=1.5)


def test_who_holds_what_by_machine_process_and_time() -> None:
    clock = ManualClock()
    mine = Lease(["/dev/x"], owner="x", clock=clock, folder=Path(), lease_s=10)._entry("/dev/x")
    away = msgspec.structs.replace(mine, host="another-machine", boot="another-boot", pid=1)
    rebooted = msgspec.structs.replace(mine, boot="before")
    reused = msgspec.structs.replace(mine, pid_started="0")
    other_container = msgspec.structs.replace(mine, pids="pid:[1]", pid_started="0")

    def held() -> list[bool]:
        return [is_held(lease, clock) for lease in (mine, away, rebooted, reused, other_container)]

    assert held() == [True, True, False, False, True]
    clock._mono_ns += 10_000_000_000
    assert held() == [False, False, False, False, False]


def test_a_lease_that_somebody_removed_is_missed(tmp_path: Path) -> None:
    lease = lease_of(tmp_path, "/dev/x")
    with lease:
        lease.check()
        next(tmp_path.glob("*.lease")).unlink()
        lease.beat()
        with pytest.raises(LeaseLostError, match="held by nobody"):
            lease.check()


def test_a_torn_file_is_no_lease(tmp_path: Path) -> None:
    with lease_of(tmp_path, "/dev/x"):
        path = next(tmp_path.glob("*.lease"))
        text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2])
    with lease_of(tmp_path, "/dev/x"):
        assert isinstance(list_leases(tmp_path)[0], LeaseFile)
