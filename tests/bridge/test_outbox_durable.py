"""What the outbox on disk keeps over a restart, whom it lets in, what it deletes."""

import fcntl
import os
import random
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.errors import OutboxCorruptError, OutboxError, OutboxLockedError, OutboxVersionError
from bridge.outbox import schema as sql
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.lock import OutboxLock
from bridge.outbox.opening import STATE_SKIP
from bridge.outbox.port import RESEND_WINDOW_NS
from bridge.outbox.retention import CLOCK_SET_NS, DISTRUST_NS, PURGE_REST_NS
from bridge.outbox.store import FILE_NAME, Change, OutboxStore, StoredRow, row_values
from bridge.publisher import Lane, Saved
from tests.bridge.outbox_bench import SECOND_NS, OutboxBench, message, numbers, taken
from tests.bridge.outbox_writer import made

DAY_S = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> OutboxBench:
    return OutboxBench(tmp_path / "outbox")


def crash(outbox: DurableOutbox) -> None:
    """End as a killed process does: nothing is written any more."""
    store = outbox._disk._store
    assert store is not None
    store.roll_back()
    store.close()
    assert outbox._lock is not None
    outbox._lock.release()


def test_what_waits_is_there_after_a_restart_in_order_with_numbers_and_keepsakes(bench: OutboxBench) -> None:
    outbox, recovered = bench.open()
    assert (recovered.sequences, recovered.kept, recovered.waiting_alerts) == ({}, (), 0)
    saved = Saved(owner="0", key="ledger/a", value=b"raised")
    gone = Saved(owner="", key="nonce/b", value=b"1")
    assert outbox.write([replace(message(1), saves=(saved, gone)), message(2), message(1, Lane.POSITION)], 0)
    assert outbox.write([replace(message(3), saves=(replace(gone, value=None),))], 0)
    assert numbers(taken(outbox, most=1)) == [1]
    left = outbox.close()
    assert (left.alerts, left.positions, left.lost) == (2, 1, 0)
    outbox, recovered = bench.open()
    assert recovered.sequences == {"urn:t/0:ALERT": 3, "urn:t/0:POSITION": 1}
    assert recovered.kept == (saved,)
    assert (recovered.waiting_alerts, recovered.waiting_positions) == (2, 1)
    again = [outbox.find_next(0, 0)]
    outbox.mark_delivered(0, again[0].number, 0)  # type: ignore[union-attr]
    assert again[0] is not None
    assert (again[0].message, again[0].attempts) == (message(2), 1)
    assert numbers(taken(outbox)) == [3, 1]
    outbox.close()


def test_after_a_crash_what_may_have_been_sent_is_no_first_attempt(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    outbox.write([message(1), message(2)], 0)
    outbox.find_next(0, 0)
    crash(outbox)
    outbox, _ = bench.open()
    outbox.write([message(3)], 0)
    attempts = []
    while (entry := outbox.find_next(0, 0)) is not None:
        attempts.append((entry.message.sequence, entry.attempts))
        outbox.mark_delivered(0, entry.number, 0)
    assert attempts == [(1, 2), (2, 2), (3, 1)]
    outbox.close()


def test_numbers_of_states_that_were_not_saved_are_not_given_twice(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    outbox.write([message(5, Lane.STATE)], 0)
    outbox.flush_acks(0, force=True)
    crash(outbox)
    outbox, recovered = bench.open()
    assert recovered.sequences == {"urn:t/0:STATE": 5 + STATE_SKIP}
    outbox.close()
    outbox, recovered = bench.open()
    assert recovered.sequences == {"urn:t/0:STATE": 5}, "an orderly end left no doubt"
    outbox.close()


def test_receipts_are_owed_over_a_restart(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    clock = bench.clock
    outbox.write([message(n) for n in range(1, 4)], 0)
    taken(outbox, now=clock.mono_ns())
    outbox.take_receipt("urn:t/0:ALERT", upto=1)
    outbox.close()
    outbox, _ = bench.open()
    assert outbox.receipts_seen
    outbox.flush_acks(clock.mono_ns())
    assert (outbox.depths().unreceipted, outbox.depths().alerts) == (2, 0)
    assert outbox.resend_unreceipted(clock.mono_ns(), SECOND_NS) == 0
    assert outbox.resend_unreceipted(clock.advance(1), SECOND_NS) == 2
    assert numbers(taken(outbox, now=clock.mono_ns())) == [2, 3]
    outbox.close()


def test_forgotten_session_brings_back_what_an_earlier_start_sent(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    outbox.write([message(1)], 0)
    taken(outbox)
    bench.clock.advance(RESEND_WINDOW_NS / SECOND_NS)
    outbox.write([message(2)], 0)
    taken(outbox, now=bench.clock.mono_ns())
    outbox.flush_acks(bench.clock.mono_ns(), force=True)
    crash(outbox)
    bench.clock.advance(5)
    outbox, _ = bench.open()
    assert outbox.forget_session(0, bench.clock.mono_ns()) == 1
    assert numbers(taken(outbox)) == [2]
    outbox.close()


def test_second_broker_has_its_own_states_on_disk(tmp_path: Path) -> None:
    bench = OutboxBench(tmp_path / "outbox", paths=2)
    outbox, _ = bench.open()
    outbox.write([message(n) for n in range(1, 4)], 0)
    taken(outbox, path=0)
    taken(outbox, path=1, most=1)
    outbox.close()
    outbox, recovered = bench.open()
    assert recovered.waiting_alerts == 2
    assert taken(outbox, path=0) == []
    assert numbers(taken(outbox, path=1)) == [2, 3]
    outbox.close()
    bench.paths = 1
    outbox, recovered = bench.open()
    assert recovered.waiting_alerts == 0
    outbox.close()


def test_second_bridge_is_locked_out_and_told_who_has_it(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    other = subprocess.run(
        [sys.executable, "-m", "tests.bridge.outbox_writer", str(bench.folder), "1", "1", "0", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert f"is in use by process {os.getpid()}" in other.stderr
    assert "OutboxLockedError" in other.stderr
    outbox.close()
    OutboxLock(bench.folder).release()


def test_lock_of_a_dead_process_holds_nobody_up(bench: OutboxBench) -> None:
    bench.folder.mkdir()
    (bench.folder / "lock").write_text("1\n")
    outbox, _ = bench.open()
    with pytest.raises(OutboxLockedError):
        OutboxLock(bench.folder)
    outbox.close()


def test_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match=r"file.*set outbox\.folder"):
        OutboxBench(tmp_path / "file").open()


def test_folder_is_for_its_owner_only(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    assert bench.folder.stat().st_mode & 0o777 == 0o700
    outbox.close()


def test_failed_open_leaves_the_folder_free(bench: OutboxBench) -> None:
    bench.folder.mkdir()
    (bench.folder / FILE_NAME).write_bytes(b"not a database at all, but long enough to have a header" * 20)
    with pytest.raises(OutboxCorruptError, match="move it and its -wal file away"):
        bench.open()
    with (bench.folder / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_files_of_other_programs_and_of_newer_ones_are_refused(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    outbox.close()
    path = bench.folder / FILE_NAME
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={sql.SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(OutboxVersionError, match="update tagrig"):
        bench.open()
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cats(name)")
    db.close()
    with pytest.raises(OutboxVersionError, match="another program"):
        bench.open()


def test_damage_is_looked_for_after_the_machine_went_down(bench: OutboxBench, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox, _ = bench.open()
    outbox.write([message(n, body=b"x" * 3_000) for n in range(1, 50)], 0)
    outbox._disk._store.checkpoint(whole=True)  # type: ignore[union-attr]
    crash(outbox)
    path = bench.folder / FILE_NAME
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(pages // 2, pages - 2):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    boot_id = bench.folder / "boot_id"
    boot_id.write_text("another boot")
    monkeypatch.setattr("bridge.outbox.opening.BOOT_ID_FILE", boot_id)
    with pytest.raises(OutboxCorruptError, match="is damaged"):
        bench.open()


def test_old_rows_are_deleted_but_for_what_was_never_delivered(bench: OutboxBench) -> None:
    bench.keep_ns = 10 * DAY_S * SECOND_NS
    outbox, _ = bench.open()
    clock = bench.clock
    outbox.write([message(n) for n in range(1, 5)] + [message(n, Lane.POSITION) for n in range(1, 50)], 0)
    taken(outbox, most=3)
    refused = outbox.find_next(0, 0)
    assert refused is not None
    outbox.mark_rejected(0, refused.number, 0)
    taken(outbox)
    assert outbox.purge(clock.mono_ns(), 10) == 0
    clock.advance(11 * DAY_S)
    outbox.write([message(9, topic="t/9")], clock.mono_ns())
    taken(outbox, now=refused.submitted_mono_ns)
    deleted = []
    while deleted[-1:] != [0]:
        deleted.append(outbox.purge(clock.advance(PURGE_REST_NS / SECOND_NS), 20))
    assert deleted == [19, 20, 13, 0]
    outbox.close()
    outbox, recovered = bench.open()
    assert recovered.waiting_alerts == 1
    assert recovered.sequences["urn:t/0:ALERT"] == 4, "numbers outlive their rows"
    assert numbers(taken(outbox)) == [4]
    outbox.close()


def test_clock_that_was_set_deletes_nothing_for_a_day(bench: OutboxBench) -> None:
    bench.keep_ns = 10 * DAY_S * SECOND_NS
    outbox, _ = bench.open()
    outbox.write([message(1)], 0)
    taken(outbox)
    bench.clock.utc += 20 * DAY_S * SECOND_NS + CLOCK_SET_NS
    assert outbox.purge(bench.clock.advance(1), 10) == 0
    assert outbox.purge(bench.clock.advance(DISTRUST_NS / SECOND_NS), 10) == 1
    outbox.close()


def test_start_with_a_clock_by_which_everything_is_old_deletes_nothing_for_a_day(bench: OutboxBench) -> None:
    bench.keep_ns = 10 * DAY_S * SECOND_NS
    outbox, _ = bench.open()
    outbox.write([message(1)], 0)
    taken(outbox)
    outbox.close()
    bench.clock.advance(40 * DAY_S)
    outbox, _ = bench.open()
    assert outbox.purge(bench.clock.advance(1), 10) == 0
    assert outbox.purge(bench.clock.advance(DISTRUST_NS / SECOND_NS), 10) == 1
    outbox.close()


def _statements() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in vars(sql).items():
        if name.isupper() and name not in {"CREATE", "COLUMNS", "ROW_PLACES"} and not name.startswith("_"):
            variants = (value,) if isinstance(value, str) else value
            if isinstance(variants, tuple):
                found |= {f"{name}-{n}": text.format(values="(?,?,?),(?,?,?)") for n, text in enumerate(variants)}
    return found


@pytest.mark.parametrize("name", sorted(_statements()))
def test_no_statement_goes_through_the_whole_table_or_sorts_it(name: str) -> None:
    statement = _statements()[name]
    store = OutboxStore.open(None)
    plan = store._db.execute(f"EXPLAIN QUERY PLAN {statement}", (0,) * statement.count("?")).fetchall()
    store.close()
    told = " / ".join(row[3] for row in plan)
    assert not re.search(r"SCAN (?!\(subquery|2-ROW VALUES)|TEMP B-TREE", told), told


def test_statements_about_many_rows_do_what_those_about_one_do() -> None:
    """In the order in which they were given: a PUBACK, a broker that forgot it, another PUBACK of the same row."""
    stored = [StoredRow(number=n, message=message(n), states=(0, 0), attempts=0, t_utc_ns=n) for n in range(1, 101)]
    changes: list[Change] = [(sql.ACK[n % 2], (n % 5, 1_000 + n, n)) for n in range(1, 101)]
    changes += [(sql.ACK[0], (1, 2_000 + n, n)) for n in range(1, 101)]
    changes += [(sql.ACK[0], (7, 3_000, 60)), (sql.ACK[0], (9, 3_001, 60)), (sql.SET_STATE[0], (0, 9, 60))]
    changes += [(sql.ACK[1], (2, 4_000 + n, n)) for n in range(50, 101)]
    changes += [(sql.SET_STATE[1], (sql.DROPPED, n % 3, n)) for n in range(20, 90)]
    changes += [(sql.SET_SEQUENCE, (f"urn:{n % 50}", f"owner-{n}", 100 - n, 0)) for n in range(100)]
    found = []
    for steps in ([[change] for change in changes], [changes]):
        store = OutboxStore.open(None)
        for batch in (stored[:1], stored[1:9], stored[9:]) if len(steps) == 1 else ([row] for row in stored):
            store.insert(row_values(row) for row in batch)
        store.insert([row_values(replace(row, attempts=99)) for row in stored[:40]])
        for step in steps:
            store.change(step)
        found.append((list(store.rows()), store.sequences()))
        store.close()
    assert found[0] == found[1]
    rows, sequences = found[0]
    assert (len(rows), len(sequences)) == (100, 50)
    assert (rows[59].states, rows[59].attempts) == ((0, sql.DROPPED), 9)


def test_store_can_be_copied_while_it_is_in_use(bench: OutboxBench, tmp_path: Path) -> None:
    outbox, _ = bench.open()
    outbox.write([message(1), message(2, topic="t/1")], 0)
    reader = OutboxStore.open(bench.folder / FILE_NAME, read_only=True)
    reader.copy_to(tmp_path / "copy")
    reader.close()
    outbox.write([message(3)], 0)
    outbox.close()
    copy = OutboxStore.open(tmp_path / "copy", read_only=True)
    assert [row.message for row in copy.rows()] == [message(1), message(2, topic="t/1")]
    assert [row.message for row in copy.rows(owner="1")] == [message(2, topic="t/1")]
    assert copy.owners() == {"0", "1"}
    copy.close()


def killed_writers(folder: Path, rounds: int, seed: int) -> None:
    """Kill a writing process at random moments; what it confirmed must be there, in order, without gaps."""
    rng = random.Random(seed)
    confirmed: set[int] = set()
    sent: set[int] = set()
    for round_number in range(rounds):
        writer = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.bridge.outbox_writer",
                str(folder),
                "0",
                str(rng.choice([1, 3, 20])),
                "0",
                "1",
            ],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert writer.stdout is not None
        try:
            lines = [writer.stdout.readline() for _ in range(rng.randrange(2, 60))]
        finally:
            writer.kill()
            lines += writer.stdout.read().splitlines(keepends=True)
            writer.stdout.close()
            writer.wait()
        for line in lines:
            words = line.decode().split()
            if not line.endswith(b"\n") or words[0] in {"open", "trouble"}:
                assert words[:1] != ["trouble"], line
                continue
            if words[0] == "sent":
                sent.add(int(words[1]))
                assert words[2] == "1"
            else:
                assert words[2] == "1"
                confirmed.update(range(int(words[0]), int(words[1]) + 1))
        store = OutboxStore.open(folder / FILE_NAME)
        rows = {row.message.sequence: row for row in store.rows()}
        last = {each.source: each.last for each in store.sequences()}
        kept = {saved.owner: int(saved.value or b"0") for saved in store.kept()}
        damage = store.find_damage()
        store.close()
        where = f"seed {seed}, round {round_number}"
        assert damage is None, where
        assert confirmed <= rows.keys(), f"{where}: confirmed and gone: {sorted(confirmed - rows.keys())[:5]}"
        assert sorted(rows) == list(range(1, len(rows) + 1)), f"{where}: a number twice or left out"
        assert all(row.message == made_without_saves(n) for n, row in rows.items()), where
        assert {n for n, row in rows.items() if row.states[0] == sql.ACKED} <= sent, where
        for topic in range(5):
            newest = max((n for n in rows if n % 5 == topic), default=0)
            assert (last.get(f"urn:t/{topic}", 0), kept.get(f"t/{topic}", 0)) == (newest, newest), where
    assert confirmed


def made_without_saves(n: int) -> object:
    return replace(made(n), saves=())


def test_killed_at_any_moment_it_has_all_that_was_confirmed(tmp_path: Path) -> None:
    killed_writers(tmp_path / "outbox", rounds=6, seed=20261123)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_two_hundred_times_it_has_all_that_was_confirmed(tmp_path: Path) -> None:
    for seed in range(4):
        killed_writers(tmp_path / f"outbox-{seed}", rounds=50, seed=seed)
