"""The disclosure log: chained over files, days, restarts and torn writes; a disk that refuses stops nothing."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.disclosure import MAX_PENDING, RETRY_NS, SYNC_NS, DisclosureLog
from bridge.errors import DisclosureError
from bridge.publisher import Lane, Message
from rig.audit.verify import Chain, verify_folder
from tests.devices.manual_clock import ManualClock

DAY_NS = 86_400 * 10**9
NOON_UTC_NS = 1_780_056_000 * 10**9
"""2026-05-29T12:00:00Z."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc_ns=NOON_UTC_NS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "disclosures"


def open_log(folder: Path, clock: ManualClock, *, told: list[str] | None = None, bridge_id: str = "b") -> DisclosureLog:
    return DisclosureLog(
        folder,
        bridge_id=bridge_id,
        client_id="tagrig-b",
        version="0",
        epoch="E",
        purpose="supervision of a court order",
        clock=clock,
        on_trouble=told.append if told is not None else None,
    )


def message(n: int) -> Message:
    return Message(
        topic="em/v1/t/tag/tag/alert",
        body=b'{"n":%d}' % n,
        lane=Lane.ALERT,
        properties=(("id", f"id-{n}"), ("type", "org.example.em.alert.v1")),
        event_id=f"id-{n}",
    )


def note(log: DisclosureLog, *numbers: int, attempt: int = 1) -> None:
    for n in numbers:
        log.note(message(n), message(n).body, "mqtts://provider:8883", attempt)
    log.flush()


def lines(folder: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def verified(folder: Path) -> Chain:
    (chain,) = verify_folder(folder)
    assert chain.broken is None, str(chain.broken)
    return chain


def test_a_line_says_who_what_when_why_and_of_which_body(folder: Path, clock: ManualClock) -> None:
    log = open_log(folder, clock)
    note(log, 7, attempt=2)
    log.close()
    opened, sent = lines(folder)
    assert (opened["kind"], opened["bridge"], opened["epoch"]) == ("opened", "b", "E")
    assert {key: value for key, value in sent.items() if key not in {"prev", "hash"}} == {
        "kind": "sent",
        "n": 2,
        "t": "2026-05-29T12:00:00.000Z",
        "to": "mqtts://provider:8883",
        "client_id": "tagrig-b",
        "topic": "em/v1/t/tag/tag/alert",
        "id": "id-7",
        "type": "org.example.em.alert.v1",
        "sha256": hashlib.sha256(b'{"n":7}').hexdigest(),
        "length": 7,
        "attempt": 2,
        "purpose": "supervision of a court order",
    }
    assert sent["prev"] == opened["hash"]
    (path,) = folder.glob("*.jsonl")
    assert path.name == "b_000000000001_2026-05-29.jsonl"
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_chain_goes_on_over_days_and_restarts(folder: Path, clock: ManualClock) -> None:
    for day in range(3):
        log = open_log(folder, clock)
        note(log, 3 * day)
        clock._offset_ns += DAY_NS
        note(log, 3 * day + 1, 3 * day + 2)
        log.close()
    chain = verified(folder)
    assert (chain.files, chain.lines, chain.starts, chain.disclosures) == (4, 12, 3, 9)
    assert [line["n"] for line in lines(folder)] == list(range(1, 13))


def test_a_clock_that_is_set_back_or_ahead_does_not_break_it(folder: Path, clock: ManualClock) -> None:
    log = open_log(folder, clock)
    for step_days in (0, 10, -20, 10):
        clock._offset_ns += step_days * DAY_NS
        note(log, step_days)
    log.close()
    log = open_log(folder, clock)
    note(log, 99)
    log.close()
    assert verified(folder).disclosures == 5


@pytest.mark.parametrize("cut", [1, 2, 30, 200, 400])
def test_a_torn_line_is_recognised_told_and_chained_over(folder: Path, clock: ManualClock, cut: int) -> None:
    log = open_log(folder, clock)
    note(log, 1, 2)
    log.close()
    (path,) = folder.glob("*.jsonl")
    os.truncate(path, path.stat().st_size - cut)
    log = open_log(folder, clock)
    note(log, 3)
    log.close()
    chain = verified(folder)
    # Without its line end alone, a line is whole.
    assert chain.torn == (0 if cut == 1 else 1)
    assert chain.disclosures == (3 if cut == 1 else 2)
    assert len([each for each in chain.notes if "torn" in each]) == chain.torn


@pytest.mark.parametrize("junk", [b"\0" * 512, b"\n", b"{}\n", b"a\nb\nc", b'{"kind":"sent"}\n\n\n'])
def test_whatever_a_power_cut_leaves_behind_the_last_line(folder: Path, clock: ManualClock, junk: bytes) -> None:
    log = open_log(folder, clock)
    note(log, 1)
    log.close()
    (path,) = folder.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(junk)
    for n in (2, 3):
        log = open_log(folder, clock)
        note(log, n)
        log.close()
    chain = verified(folder)
    assert (chain.torn, chain.disclosures) == (1, 3)


@pytest.mark.parametrize("size", [0, 20, 190])
def test_a_crash_while_the_day_turns(folder: Path, clock: ManualClock, size: int) -> None:
    log = open_log(folder, clock)
    note(log, 1)
    clock._offset_ns += DAY_NS
    note(log, 2)
    log.close()
    newest = max(folder.glob("*.jsonl"))
    os.truncate(newest, size)
    log = open_log(folder, clock)
    note(log, 3)
    log.close()
    chain = verified(folder)
    assert (chain.files, chain.disclosures, chain.torn) == (2, 2, int(size > 0))


def test_a_crash_before_the_first_line(folder: Path, clock: ManualClock) -> None:
    log = open_log(folder, clock)
    log.close()
    (path,) = folder.glob("*.jsonl")
    os.truncate(path, 10)
    open_log(folder, clock).close()
    assert (verified(folder).torn, verified(folder).starts) == (1, 1)


def test_a_log_that_was_damaged_in_the_middle_is_not_continued(folder: Path, clock: ManualClock) -> None:
    for _ in range(2):
        log = open_log(folder, clock)
        note(log, 1)
        log.close()
        clock._offset_ns += DAY_NS
    first, second = sorted(folder.glob("*.jsonl"))
    second.write_bytes(b"")
    first.write_bytes(b"gone\n")
    with pytest.raises(DisclosureError, match=r"cannot be continued.*tagrig audit verify"):
        open_log(folder, clock)
    second.rename(second.with_suffix(".aside"))
    first.rename(first.with_suffix(".aside"))
    open_log(folder, clock).close()


def test_two_bridges_do_not_write_one_log(folder: Path, clock: ManualClock) -> None:
    log = open_log(folder, clock)
    with pytest.raises(DisclosureError, match=f"process {os.getpid()} writes"):
        open_log(folder, clock)
    other = open_log(folder, clock, bridge_id="b-2")
    note(other, 1)
    note(log, 1)
    other.close()
    log.close()
    log.close()
    open_log(folder, clock).close()
    assert [chain.bridge for chain in verify_folder(folder)] == ["b", "b-2"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DisclosureError, match=r"file/sub: .* cannot be written"):
        open_log(tmp_path / "file" / "sub", clock)


def test_lines_reach_the_disk_within_a_second(
    folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(folder, clock)
    synced: list[int] = []
    real = os.fdatasync

    def counted(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    for n in range(20):
        note(log, n)
        clock._mono_ns += SYNC_NS // 10
    assert len(synced) == 1
    log.flush()
    clock._mono_ns += SYNC_NS
    log.flush()
    assert len(synced) == 2
    log.flush()
    assert len(synced) == 2
    log.close()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 2,000 bytes: a disk that is full, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_what_was_given_up_is_counted(
    folder: Path, clock: ManualClock, small_files: None
) -> None:
    told: list[str] = []
    log = open_log(folder, clock, told=told)
    note(log, 1)
    for n in range(MAX_PENDING + 10):
        log.note(message(n), b"x", "mqtts://provider:8883", 1)
    log.flush()
    assert len(told) == 1
    assert "cannot be written" in told[0]
    stats = log.stats()
    assert (stats.waiting, stats.given_up, stats.written) == (MAX_PENDING, 10, 1)
    assert "File too large" in stats.trouble
    # Not tried again at once; nothing of a refused write stays.
    log.flush()
    assert verified(folder).disclosures == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    clock._mono_ns += RETRY_NS
    log.flush()
    assert told[1:] == [""]
    log.close()
    chain = verified(folder)
    assert (chain.disclosures, chain.given_up) == (MAX_PENDING + 1, 10)
    assert chain.head == log.stats().head


WRITER = """
import sys
from pathlib import Path
from bridge.disclosure import DisclosureLog
from bridge.publisher import Lane, Message
from devices.clock import SystemClock
names = dict(bridge_id="b", client_id="c", version="0", epoch="E", purpose="p")
log = DisclosureLog(Path(sys.argv[1]), clock=SystemClock(), **names)
body = b"x" * 900
n = 0
while True:
    for _ in range(7):
        n += 1
        log.note(Message(topic="t/alert", body=body, lane=Lane.ALERT, event_id=str(n)), body, "mqtts://h", 1)
    log.flush()
    print(n, flush=True)
"""


def test_a_killed_process_leaves_a_chain_with_all_it_had_flushed(folder: Path) -> None:
    confirmed = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            said = [int(process.stdout.readline()) for _ in range(20)]
        finally:
            process.kill()
            rest = process.stdout.read().splitlines()
            process.stdout.close()
            process.wait()
        confirmed += int(rest[-1]) if rest else said[-1]
    log = DisclosureLog(
        folder, bridge_id="b", client_id="c", version="0", epoch="E", purpose="p", clock=ManualClock(utc_ns=NOON_UTC_NS)
    )
    log.close()
    chain = verified(folder)
    assert chain.starts == 6
    assert confirmed <= chain.disclosures <= confirmed + 5 * 7
