"""A long backlog: memory stays bounded, alerts are not held up, any thread may ask how deep it is."""

import gc
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.outbox.alert_lane import Entry
from bridge.outbox.durable import DurableOutbox
from bridge.publisher import Lane
from tests.bridge.outbox_bench import OutboxBench, message
from tests.bridge.test_outbox_durable import crash

BODY = b"x" * 700
WINDOW = 100


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def drain(outbox: DurableOutbox, total: int, alert_every: int) -> tuple[list[int], list[int]]:
    """Send with a window; now and then an alert comes in. Returns sequences of positions, and turns alerts waited."""
    window: deque[Entry] = deque()
    positions: list[int] = []
    waited: list[int] = []
    written = 0
    while len(positions) < total:
        for _ in range(WINDOW - len(window)):
            entry = outbox.find_next(0, 0)
            if entry is None:
                break
            window.append(entry)
            if entry.message.lane is Lane.POSITION:
                positions.append(entry.message.sequence)
        for _ in range(min(20, len(window))):
            outbox.mark_delivered(0, window.popleft().number, 0)
        outbox.flush_acks(0, force=True)
        if len(positions) // alert_every > written:
            written += 1
            assert outbox.write([message(written, topic="t/alert", body=BODY)], 0)
            entry = outbox.find_next(0, 0)
            assert entry is not None
            window.append(entry)
            waited.append(int(entry.message.lane is not Lane.ALERT))
    for entry in window:
        outbox.mark_delivered(0, entry.number, 0)
    return positions, waited


def drained_backlog(folder: Path, rows: int) -> None:
    bench = OutboxBench(folder, max_positions=10 * rows)
    outbox, _ = bench.open()
    for n in range(0, rows, 1_000):
        assert outbox.write([message(n + m, Lane.POSITION, topic=f"t/{m % 50}", body=BODY) for m in range(1_000)], 0)
    crash(outbox)
    del outbox
    gc.collect()
    before_mib = resident_mib()
    outbox, recovered = bench.open()
    assert recovered.waiting_positions == rows
    stop = threading.Event()
    asked: list[int] = []

    def ask() -> None:
        while not stop.wait(0.001):
            asked.append(outbox.depths().positions)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        positions, waited = drain(outbox, rows, alert_every=500)
    finally:
        stop.set()
        asker.join()
    assert positions == list(range(rows))
    assert waited
    assert not any(waited), "an alert is the next to go, whatever waits"
    assert outbox.is_empty
    assert asked
    assert all(0 <= depth <= rows for depth in asked)
    # 2,000 positions ahead, SQLite's 8 MB of pages and its log.
    assert resident_mib() - before_mib < 60
    outbox.close()


def test_backlog_drains_in_order_and_lets_alerts_pass(tmp_path: Path) -> None:
    drained_backlog(tmp_path / "outbox", 3_000)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_backlog_of_a_million_drains_in_order_and_lets_alerts_pass(tmp_path: Path) -> None:
    drained_backlog(tmp_path / "outbox", 1_000_000)


def test_entry_from_disk_is_what_was_written(tmp_path: Path) -> None:
    bench = OutboxBench(tmp_path / "outbox")
    whole = replace(
        message(7, Lane.POSITION),
        retain=True,
        expiry_s=30,
        properties=(("a", "b"), ("c", 'ä"')),
        body=bytes(range(256)),
    )
    outbox, _ = bench.open()
    outbox.write([whole], 0)
    outbox.close()
    outbox, _ = bench.open()
    entry = outbox.find_next(0, 0)
    assert entry is not None
    assert entry.message == whole
    outbox.close()
