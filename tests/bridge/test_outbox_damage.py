"""A value of a sound file that is not what was written; a file that is gone, or empty: told, and the rest goes out."""

import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from bridge.config.load import load_config
from bridge.delivery import Delivery
from bridge.errors import OutboxCorruptError
from bridge.outbox import schema as sql
from bridge.outbox.ballast import BALLAST_NAME
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.lock import LOCK_NAME
from bridge.outbox.moving import OldStore, move_all
from bridge.outbox.port import OutboxTrouble, TroubleKind
from bridge.outbox.store import FILE_NAME, OutboxStore
from bridge.publisher import Lane, Message
from devices.clock import SystemClock
from tests.bridge.mqtt_bench import Bench, alert, endpoint
from tests.bridge.outbox_bench import SECOND_NS, OutboxBench, message, numbers, taken
from tests.bridge.support import Subscriber, subscriber
from tests.support import Mosquitto, wait_until

DAMAGES = {
    "properties cut short": "properties = '[[\"id\",'",
    "expiry below zero": "expiry_s = -5",
    "expiry too long": "expiry_s = 4294967296",
    "wildcard in the topic": "topic = 'a/#'",
    "NUL in the topic": "topic = 'a' || char(0) || 'b'",
    "no topic": "topic = ''",
    "topic that is no text": "topic = CAST(x'ff61' AS TEXT)",
    "topic of another type": "topic = x'74'",
    "body as text": "body = 'text'",
    "unknown lane": "lane = 7",
    "lane of what is never stored": "lane = 1",
    "source that is no text": "source = CAST(x'c3' AS TEXT)",
    "attempts as text": "attempts = 'abc'",
    "attempts without end": "attempts = 9223372036854775807",
    "sequence as text": "sequence = 'abc'",
    "time as text": "t_utc_ns = 'abc'",
    "receipt unknown": "receipt = 9",
}


@pytest.fixture
def bench(tmp_path: Path) -> OutboxBench:
    return OutboxBench(tmp_path / "outbox")


def damage(folder: Path, change: str, where: str) -> None:
    """Change values as a disk would: the file stays a sound database."""
    connection = apsw.Connection(str(folder / FILE_NAME))
    connection.execute(f"UPDATE {change} WHERE {where}")
    connection.close()


def left(bench: OutboxBench, messages: list[Message]) -> None:
    """An earlier start that sent nothing."""
    outbox, _ = bench.open()
    assert outbox.write(messages, 0)
    outbox.close()


def raw(folder: Path, column: str, number: int) -> object:
    connection = apsw.Connection(str(folder / FILE_NAME))
    found: object = connection.execute(f"SELECT {column} FROM row WHERE number = ?", (number,)).get
    connection.close()
    return found


def kinds(bench: OutboxBench) -> list[tuple[TroubleKind, bool]]:
    return [(trouble.kind, trouble.is_over) for trouble in bench.troubles]


@pytest.mark.parametrize("lane", [Lane.ALERT, Lane.POSITION])
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("what", list(DAMAGES))
def test_row_that_cannot_be_read_back_is_set_aside_and_the_rest_goes_out(
    bench: OutboxBench, what: str, paths: int, lane: Lane
) -> None:
    bench.paths = paths
    left(bench, [message(n, lane) for n in range(1, 6)])
    damage(bench.folder, f"row SET {DAMAGES[what]}", "number = 3")
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    for path in range(paths):
        assert numbers(taken(outbox, path, now)) == [1, 2, 4, 5]
    assert kinds(bench) == [(TroubleKind.SET_ASIDE, False)], "once, for all brokers"
    assert "message 3 of " in bench.troubles[0].detail
    assert "Next: check the disk" in bench.troubles[0].detail
    if "source" not in what:
        assert f"of urn:t/0:{lane.name}" in bench.troubles[0].detail
    depths = outbox.depths()
    assert (outbox.is_empty, depths.alerts, depths.positions) == (True, 0, 0)
    assert depths.is_durable
    assert depths.trouble == bench.troubles[0]
    assert outbox.write([message(6, lane)], now), "the disk stays in use"
    assert [numbers(taken(outbox, path, now)) for path in range(paths)] == [[6]] * paths
    assert outbox.close().lost == 0
    assert raw(bench.folder, "state_0", 3) == sql.DAMAGED, "kept as evidence"
    outbox, recovered = bench.open()
    assert (recovered.waiting_alerts, recovered.waiting_positions) == (0, 0)
    assert taken(outbox, now=now) == []
    bench.clock.advance(40 * 86_400)
    outbox.purge(bench.clock.mono_ns(), 100)
    outbox.purge(bench.clock.advance(86_401), 100)
    outbox.close()
    assert len(bench.troubles) == 1, "not again at the next start"
    assert raw(bench.folder, "number", 3) == 3


def test_many_damaged_rows_end_no_topic_early(bench: OutboxBench) -> None:
    left(bench, [message(n) for n in range(1, 401)])
    damage(bench.folder, "row SET body = 'text'", "number BETWEEN 10 AND 300")
    outbox, recovered = bench.open()
    assert recovered.waiting_alerts == 400
    assert numbers(taken(outbox, now=bench.clock.mono_ns())) == [*range(1, 10), *range(301, 401)]
    assert outbox.is_empty
    assert "and 281 more" in bench.troubles[0].detail
    outbox.close()


def test_every_topic_that_is_no_text_is_passed(bench: OutboxBench) -> None:
    left(bench, [message(1, topic=f"t/{n}") for n in range(10)])
    damage(bench.folder, "row SET topic = CAST(x'ff' || topic AS TEXT)", "number % 3 = 0")
    outbox, _ = bench.open()
    assert len(taken(outbox, now=bench.clock.mono_ns())) == 7
    assert outbox.is_empty
    outbox.close()


def test_damaged_row_that_was_delivered_is_not_sent_again_nor_waited_for(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    outbox.write([message(n) for n in range(1, 4)], now)
    assert len(taken(outbox, now=now)) == 3
    outbox.close()
    damage(bench.folder, "row SET properties = '['", "number = 2")
    outbox, _ = bench.open()
    now = bench.clock.advance(60)
    outbox.take_receipt("urn:another", upto=1)
    assert outbox.resend_unreceipted(now, SECOND_NS) == 0
    assert outbox.resend_unreceipted(bench.clock.advance(60), SECOND_NS) == 2
    assert outbox.replay("urn:t/0:ALERT", 1, 3, now).missing == 1
    assert kinds(bench) == [(TroubleKind.SET_ASIDE, False)]
    outbox.flush_acks(bench.clock.advance(1), force=True)
    assert outbox.depths().unreceipted == 2
    outbox.close()
    outbox, _ = bench.open()
    assert outbox.replay("urn:t/0:ALERT", 1, 3, now).missing == 1
    assert len(bench.troubles) == 1
    outbox.close()
    assert raw(bench.folder, "state_0", 2) == sql.ACKED, "that it was delivered stays"


@pytest.mark.parametrize("change", ["state_0 = 77", "state_0 = 'abc'", "t_utc_ns = 'abc'", "receipt = 'abc'"])
def test_evidence_that_is_damaged_is_told_before_anything_is_deleted(bench: OutboxBench, change: str) -> None:
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    outbox.write([message(n) for n in range(1, 4)], now)
    taken(outbox, now=now)
    outbox.close()
    damage(bench.folder, f"row SET {change}", "number = 2")
    bench.clock.advance(40 * 86_400)
    outbox, _ = bench.open()
    deleted = [outbox.purge(bench.clock.advance(86_401), 100) for _ in range(3)]
    assert kinds(bench) == [(TroubleKind.SET_ASIDE, False)]
    assert "message 2 of urn:t/0:ALERT" in bench.troubles[0].detail
    assert sum(deleted) >= 2
    outbox.close()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("sequence SET last = 'abc'", "1"),
        ("sequence SET last = -1", "1"),
        ("sequence SET last = 9223372036854775807", "1"),
        ("sequence SET lane = 7", "1"),
        ("sequence SET source = CAST(x'ff' AS TEXT)", "1"),
        ("kept SET value = 'text'", "1"),
        ("kept SET key = x'00'", "1"),
        ("meta SET value = x'00'", "name = 'clean'"),
        ("row SET number = 9223372036854775807", "number = 1"),
    ],
)
def test_damaged_fact_at_the_start_is_named(bench: OutboxBench, change: str, where: str) -> None:
    left(bench, [message(1)])
    connection = apsw.Connection(str(bench.folder / FILE_NAME))
    connection.execute("INSERT INTO kept(owner, key, value) VALUES('o', 'k', x'00')")
    connection.close()
    damage(bench.folder, change, where)
    with pytest.raises(OutboxCorruptError, match=r"outbox\.sqlite3: is damaged.*Next: move it"):
        bench.open()
    warnings: list[str] = []
    config = bench.folder.parent / "bridge.toml"
    config.write_text(
        '[bridge]\nid = "b"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n[[device]]\nid = "t"\ntransport = "memory:t"\n'
    )
    delivery = Delivery(
        load_config(config),
        bench.folder,
        clock=SystemClock(),
        warn=warnings.append,
        hop=lambda call, *arguments: call(*arguments),  # type: ignore[operator]
    )
    delivery.close()
    assert any("Messages wait in memory" in each for each in warnings)


def test_damaged_row_is_handed_over_as_it_is(bench: OutboxBench, tmp_path: Path) -> None:
    left(bench, [message(n) for n in range(1, 4)])
    damage(bench.folder, "row SET expiry_s = -5", "number = 2")
    new = tmp_path / "new"
    new.mkdir()
    moved = move_all([OldStore(number=1, folder=bench.folder)], {1: new}, lambda _: 1, has_same_numbers=True)
    assert moved.rows == 3
    bench.folder = new
    outbox, _ = bench.open()
    assert numbers(taken(outbox, now=bench.clock.mono_ns())) == [1, 3]
    assert kinds(bench) == [(TroubleKind.SET_ASIDE, False)]
    outbox.close()


def test_reader_from_outside_is_told_which_message(bench: OutboxBench) -> None:
    left(bench, [message(n) for n in range(1, 4)])
    damage(bench.folder, "row SET body = 'text'", "number = 2")
    store = OutboxStore.open(bench.folder / FILE_NAME, read_only=True)
    with pytest.raises(OutboxCorruptError, match="message 2 cannot be read back: body is str, expected bytes"):
        list(store.rows())
    store.close()


@pytest.mark.needs("mosquitto")
def test_publisher_delivers_the_rest_at_this_start_and_the_next(mosquitto: Mosquitto, tmp_path: Path) -> None:
    bench = OutboxBench(tmp_path / "outbox")
    left(bench, [alert(n, f"t{n % 2}") for n in range(20)])
    for number, change in enumerate(DAMAGES.values(), 2):
        damage(bench.folder, f"row SET {change}", f"number = {number}")
    troubles: list[OutboxTrouble] = []
    expected = {("t0", 0), ("t0", 18), ("t1", 19)}
    with subscriber(mosquitto.host, mosquitto.port) as found:
        for n in (100, 101):
            expected.add(("new", n))
            _start_and_end(mosquitto.port, bench.folder, alert(n, "new"), troubles)
        found.wait_for(lambda: len(_events(found)) >= len(expected), what="the rest")
        assert set(_events(found)) == expected
    told = " ".join(trouble.detail for trouble in troubles)
    assert all(f"message {number} " in told or "more" in told for number in range(2, 19))
    assert {trouble.kind for trouble in troubles} == {TroubleKind.SET_ASIDE}


def _start_and_end(port: int, folder: Path, new: Message, troubles: list[OutboxTrouble]) -> None:
    outbox, _ = DurableOutbox.open(folder, paths=1, clock=SystemClock(), ballast_bytes=0, on_trouble=troubles.append)
    made = Bench([endpoint(port)], outbox=outbox)
    made.publisher.start()
    made.publisher.submit(new)
    wait_until(lambda: made.publisher.stats().delivered >= 1, within_s=20, what="an alert")
    wait_until(lambda: outbox.is_empty, within_s=20, what="everything delivered")
    stats = made.publisher.stats()
    assert (stats.is_dead, stats.queued_alerts, stats.durable) == (False, 0, True)
    assert made.publisher.close(10) == 0


def _events(found: Subscriber) -> list[tuple[str, int]]:
    return [(heard.topic.split("/")[4], heard.json["n"]) for heard in found.on("/alert")]


@pytest.mark.needs("mosquitto")
def test_message_that_no_packet_can_hold_ends_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    troubles: list[OutboxTrouble] = []
    outbox, _ = DurableOutbox.open(
        tmp_path / "outbox", paths=1, clock=SystemClock(), ballast_bytes=0, on_trouble=troubles.append
    )
    bad = replace(alert(5), source="urn:bad", properties=(("id", "x" * 70_000),))
    state = Message(topic="em/v1/t/+/status", body=b"{}", lane=Lane.STATE, retain=True)
    with subscriber(mosquitto.host, mosquitto.port) as found:
        made = Bench([endpoint(mosquitto.port)], outbox=outbox)
        made.publisher.start()
        assert made.publisher.submit_durably([alert(0), bad, state, alert(1)], 20.0)
        found.wait_for(lambda: len(_events(found)) == 2, what="the others")
        wait_until(lambda: outbox.is_empty, within_s=20, what="nothing that waits")
        assert not made.publisher.stats().is_dead
        assert made.publisher.close(10) == 0
    assert [trouble.kind for trouble in troubles] == [TroubleKind.SET_ASIDE] * 2
    assert any("of urn:bad" in trouble.detail and "cannot be sent" in trouble.detail for trouble in troubles)
    assert raw(tmp_path / "outbox", "state_0", 2) == sql.DAMAGED


def test_folder_deleted_in_use_is_told_and_made_again_with_all_that_was_in_it(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    assert outbox.write([message(n) for n in range(1, 301)], now)
    shutil.rmtree(bench.folder)
    outbox.purge(now, 10)
    assert kinds(bench) == [(TroubleKind.IO_ERROR, False)]
    assert "was moved or deleted while in use. Next: " in bench.troubles[0].detail
    assert not outbox.depths().is_durable
    outbox.flush_acks(bench.clock.advance(2))
    assert kinds(bench)[1:] == [(TroubleKind.IO_ERROR, True)]
    assert outbox.depths().is_durable
    assert (bench.folder / LOCK_NAME).exists()
    assert outbox.write([message(301)], bench.clock.mono_ns())
    assert outbox.close().alerts == 301
    outbox, recovered = bench.open()
    assert recovered.sequences["urn:t/0:ALERT"] == 301
    assert numbers(taken(outbox, now=bench.clock.mono_ns())) == list(range(1, 302)), "not one is lost"
    outbox.close()


def test_next_message_notices_that_the_file_is_gone(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    assert outbox.write([message(1)], now)
    for path in bench.folder.glob(f"{FILE_NAME}*"):
        path.unlink()
    assert outbox.write([message(2)], now), "on disk again at once"
    assert kinds(bench) == [(TroubleKind.IO_ERROR, False), (TroubleKind.IO_ERROR, True)]
    outbox.close()
    outbox, _ = bench.open()
    assert numbers(taken(outbox, now=now)) == [1, 2]
    outbox.close()


def test_folder_that_cannot_be_made_again_leaves_everything_in_memory_and_told(bench: OutboxBench) -> None:
    outbox, _ = bench.open()
    now = bench.clock.mono_ns()
    assert outbox.write([message(n) for n in range(1, 301)], now)
    shutil.rmtree(bench.folder)
    bench.folder.write_text("in the way")
    assert not outbox.write([message(301)], now)
    assert numbers(taken(outbox, now=now, most=200)) == list(range(1, 201)), "read on from the file that is open"
    bench.folder.unlink()
    outbox.flush_acks(bench.clock.advance(2))
    assert kinds(bench) == [(TroubleKind.IO_ERROR, False), (TroubleKind.IO_ERROR, True)]
    assert numbers(taken(outbox, now=bench.clock.mono_ns())) == list(range(201, 302))
    assert outbox.close().lost == 0


@pytest.mark.parametrize("what", ["empty", "gone"])
def test_outbox_that_was_lost_is_no_first_start(bench: OutboxBench, what: str) -> None:
    bench.ballast_bytes = 4096
    left(bench, [message(1)])
    assert not bench.troubles, "nor is a first start taken for a loss"
    bench.open()[0].close()
    assert not bench.troubles
    path = bench.folder / FILE_NAME
    if what == "gone":
        path.unlink()
        assert (bench.folder / BALLAST_NAME).exists()
    else:
        path.write_bytes(b"")
    outbox, recovered = bench.open()
    assert kinds(bench) == [(TroubleKind.LOST, False)]
    assert f"an earlier outbox was here and is {what}" in bench.troubles[0].detail
    assert "numbers begin anew with 1. Next: " in bench.troubles[0].detail
    assert recovered.sequences == {}
    assert outbox.write([message(1)], 0)
    assert numbers(taken(outbox)) == [1]
    outbox.close()
    bench.open()[0].close()
    assert len(bench.troubles) == 1
