"""Real faults of a real disk: full, failing, read-only, damaged; a process that writes goes through each."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.errors import OutboxError, OutboxIoError, OutboxReadOnlyError
from bridge.outbox import disk, memory_rows
from bridge.outbox.ballast import BALLAST_NAME
from bridge.outbox.store import FILE_NAME, OutboxStore
from bridge.publisher import Lane
from tests.bridge.outbox_bench import OutboxBench, message, numbers, taken
from tests.support import find_part, skip_or_fail

WITHIN_S = 30.0


def _needs_root() -> None:
    if os.geteuid() != 0:
        skip_or_fail("only root may mount a file system. Next: run as root")


def _needs(part: str, package: str) -> None:
    if find_part(part) is None:
        skip_or_fail(f"{part} is not installed. Next: apt install {package}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, so small that it can be filled."""
    _needs_root()
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        skip_or_fail(f"no tmpfs can be mounted: {made.stderr.strip()}. Next: allow it to this user")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all the room that a file system has."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(2**14):
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(path.parent).free == 0


class Writer:
    """A process that commits one message per step, and the words it said about each."""

    def __init__(self, folder: Path, count: int, *, ballast: int = 0, command: tuple[str, ...] = ()) -> None:
        self.confirmed: dict[int, bool] = {}
        self.troubles: list[tuple[str, bool]] = []
        self.sent: list[tuple[int, bool]] = []
        self.is_closed = False
        self._process = subprocess.Popen(
            [
                *command,
                sys.executable,
                "-m",
                "tests.bridge.outbox_writer",
                str(folder),
                str(count),
                "1",
                str(ballast),
                "0",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._read_one()

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def _read_one(self) -> bool:
        """Read what it says up to the result of one commit; returns whether that was durable."""
        while words := self._line():
            match words:
                case ["open", _]:
                    continue
                case ["trouble", kind, is_over]:
                    self.troubles.append((kind, is_over == "1"))
                case ["sent", number, is_durable]:
                    self.sent.append((int(number), is_durable == "1"))
                case ["closed"]:
                    self.is_closed = True
                case [first, _, is_durable]:
                    self.confirmed[int(first)] = is_durable == "1"
                    return is_durable == "1"
        return False

    def step(self) -> bool:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read_one()

    def end(self) -> int:
        """Let it go on to its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        while self._line_or_end():
            pass
        code = self._process.wait(WITHIN_S)
        self.stop()
        return code

    def _line_or_end(self) -> bool:
        self._read_one()
        return not self.is_closed and self._process.poll() is None

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def on_disk(folder: Path) -> list[int]:
    store = OutboxStore.open(folder / FILE_NAME, read_only=True)
    found = [row.message.sequence for row in store.rows()]
    assert store.find_damage() is None
    store.close()
    return found


def test_full_disk_is_told_sent_from_memory_and_written_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        writer = Writer(disk / "outbox", 400)
        try:
            assert all(writer.step() for _ in range(20))
            filler = disk / "filler"
            fill(filler)
            while writer.step():
                assert len(writer.confirmed) < 400
            in_memory_from = max(writer.confirmed)
            assert writer.troubles == [("full", False)]
            assert not any(writer.step() for _ in range(20))
            assert (in_memory_from, False) in writer.sent, "it went out without the disk, marked as such"
            filler.unlink()
            assert writer.step()
            assert writer.troubles == [("full", False), ("full", True)]
            assert writer.end() == 0
        finally:
            writer.stop()
        assert on_disk(disk / "outbox") == list(range(1, 401)), "also what went through memory, in its order"


def test_ballast_is_given_up_for_alerts_and_taken_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as disk:
        bench = OutboxBench(disk / "outbox", ballast_bytes=4 * 2**20)
        outbox, _ = bench.open()
        ballast = disk / "outbox" / BALLAST_NAME
        assert ballast.stat().st_size == 4 * 2**20
        filler = disk / "filler"
        fill(filler)
        n = 0
        while ballast.exists():
            n += 1
            assert outbox.write([message(n, body=b"x" * 700)], 0), "the disk stays in use"
        assert [(trouble.kind, trouble.is_over) for trouble in bench.troubles] == [("ballast_released", False)]
        for _ in range(100):
            n += 1
            assert outbox.write([message(n, body=b"x" * 700)], 0)
        filler.unlink()
        outbox.purge(0, 10)
        assert ballast.stat().st_size == 4 * 2**20
        assert [(trouble.kind, trouble.is_over) for trouble in bench.troubles][1:] == [("ballast_released", True)]
        outbox.close()
        assert on_disk(disk / "outbox") == list(range(1, n + 1))


def test_start_on_a_full_disk_uses_the_ballast(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        bench = OutboxBench(disk / "outbox", ballast_bytes=2 * 2**20)
        outbox, _ = bench.open()
        outbox.write([message(1)], 0)
        outbox.close()
        fill(disk / "filler")
        outbox, recovered = bench.open()
        assert recovered.waiting_alerts == 1
        assert outbox.write([message(2)], 0)
        assert numbers(taken(outbox)) == [1, 2]
        outbox.close()


def _fail_with(pid: int, control: Path, faults: str, errno: int | None) -> None:
    told = f"disable name={faults}" if errno is None else f"enable name={faults},failinfo={errno}"
    subprocess.run(["fiu-ctrl", "-f", str(control), "-c", told, str(pid)], check=True, timeout=WITHIN_S)


@pytest.mark.parametrize(
    ("faults", "errno", "kind"),
    [
        ("posix/io/sync/*", 5, "io_error"),
        ("posix/io/rw/pwrite", 5, "io_error"),
        ("posix/io/rw/pwrite", 28, "full"),
    ],
)
def test_disk_that_fails_is_told_and_used_again(faults: str, errno: int, kind: str) -> None:
    _needs("fiu-run", "fiu-utils")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "outbox"
        writer = Writer(folder, 30, command=("fiu-run", "-x", "-f", name))
        try:
            assert all(writer.step() for _ in range(5))
            _fail_with(writer.pid, Path(name), faults, errno)
            assert not any(writer.step() for _ in range(5))
            assert writer.troubles == [(kind, False)]
            _fail_with(writer.pid, Path(name), faults, None)
            assert writer.step()
            assert writer.troubles == [(kind, False), (kind, True)]
            assert writer.end() == 0
        finally:
            writer.stop()
        assert on_disk(folder) == list(range(1, 31))
        assert [number for number, is_durable in writer.sent if not is_durable]


def test_read_only_file_system_is_named_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        bench = OutboxBench(disk / "outbox")
        bench.open()[0].close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OutboxError, match=r"Read-only file system.*make it writable"):
            bench.open()


def test_damage_that_is_met_while_running_stops_no_new_alert(tmp_path: Path) -> None:
    bench = OutboxBench(tmp_path / "outbox")
    outbox, _ = bench.open()
    outbox.write([message(n, topic=f"t/{n % 3}", body=b"x" * 900) for n in range(1, 3_001)], 0)
    outbox.close()
    outbox, _ = bench.open()
    path = bench.folder / FILE_NAME
    with path.open("r+b") as file:
        for page in range(3, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    now = bench.clock.mono_ns()
    deliver_some = taken(outbox, now=now)
    assert [(trouble.kind, trouble.is_over) for trouble in bench.troubles] == [("corrupt", False)]
    assert "move it and its -wal file away" in bench.troubles[0].detail
    assert len(deliver_some) < 3_000
    assert not outbox.write([message(1, topic="t/new")], now)
    entry = outbox.find_next(0, now)
    assert entry is not None
    assert (entry.message.topic, entry.is_durable) == ("t/new", False)
    outbox.flush_acks(bench.clock.advance(120))
    assert outbox.depths().trouble is not None, "it is not trusted again while it is damaged"
    assert outbox.close().lost == 1


def test_what_waits_is_read_on_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = OutboxBench(tmp_path / "outbox")
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    assert outbox.write([message(n) for n in range(1, 201)], now)
    assert len(taken(outbox, now=now, most=10)) == 10
    really_open = OutboxStore.open

    def only_to_read(path: Path | None, *, read_only: bool = False) -> OutboxStore:
        if not read_only:
            raise OutboxReadOnlyError("the kernel mounted it read-only")
        return really_open(path, read_only=True)

    def refused(store: OutboxStore) -> None:
        raise OutboxIoError("the disk failed")

    with monkeypatch.context() as broken:
        broken.setattr(OutboxStore, "open", only_to_read)
        broken.setattr(OutboxStore, "commit", refused)
        assert not outbox.write([message(201)], now)
        assert numbers(taken(outbox, now=now)) == list(range(11, 202))
    outbox.flush_acks(bench.clock.advance(2))
    assert [(trouble.kind, trouble.is_over) for trouble in bench.troubles] == [
        ("io_error", False),
        ("read_only", False),
        ("read_only", True),
    ]
    assert outbox.close().lost == 0
    assert on_disk(bench.folder) == list(range(1, 202))


def test_long_trouble_of_the_disk_takes_no_more_memory_with_each_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MAX_CHANGES", 1_000)
    monkeypatch.setattr(memory_rows, "MAX_SETTLED", 500)
    bench = OutboxBench(tmp_path / "outbox")
    outbox, _ = bench.open()

    def refused(store: OutboxStore) -> None:
        raise OutboxIoError("the disk failed")

    with monkeypatch.context() as broken:
        broken.setattr(OutboxStore, "commit", refused)

        def go_on(first: int, count: int) -> int:
            for n in range(first, first + count):
                assert not outbox.write([message(n, Lane.POSITION)], bench.clock.mono_ns())
                assert len(taken(outbox, now=bench.clock.mono_ns())) == 1
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = go_on(0, 2_000)
            grown = go_on(2_000, 6_000) - before
        finally:
            tracemalloc.stop()
    assert grown < 200_000, f"{grown} bytes for 6000 messages"
    outbox.flush_acks(bench.clock.advance(2))
    assert outbox.close().lost == 0


def test_one_sync_per_commit(tmp_path: Path) -> None:
    _needs("strace", "strace")
    log = tmp_path / "syncs"
    writer = Writer(
        tmp_path / "outbox", 20, command=("strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(log), "--")
    )
    try:
        assert all(writer.step() for _ in range(5))
        before = log.read_text().count("sync(")
        assert all(writer.step() for _ in range(10))
        after = log.read_text().count("sync(")
        assert writer.end() == 0
    finally:
        writer.stop()
    # Between them a PUBACK may have waited long enough for a commit of its own.
    assert 10 <= after - before <= 20
