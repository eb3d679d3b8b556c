"""What every outbox does, on disk or in memory: lanes, order, two brokers, receipts, replays."""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from bridge.outbox import backlog, receipts
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.path_queue import RETRY_REJECTED_NS, RETRY_UNHEARD_NS
from bridge.outbox.port import REPLAY_LIMIT, RESEND_WINDOW_NS, Outbox, Replayed
from bridge.outbox.resending import RESEND_AT_ONCE
from bridge.publisher import Lane
from tests.bridge.outbox_bench import SECOND_NS, HandClock, OutboxBench, message, numbers, taken


class Make(Protocol):
    clock: HandClock

    def __call__(self, *, max_positions: int = 100, paths: int = 1) -> DurableOutbox: ...


@pytest.fixture(params=["memory", "durable"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    clock = HandClock()
    made: list[DurableOutbox] = []

    def make_one(*, max_positions: int = 100, paths: int = 1) -> DurableOutbox:
        if request.param == "memory":
            outbox: DurableOutbox = MemoryOutbox(max_positions=max_positions, paths=paths, clock=clock)
        else:
            bench = OutboxBench(tmp_path / "outbox", paths=paths, max_positions=max_positions, clock=clock)
            outbox = bench.open()[0]
        port: Outbox = outbox
        assert port is outbox
        made.append(outbox)
        return outbox

    make_one.clock = clock  # type: ignore[attr-defined]
    yield make_one  # type: ignore[misc]
    for outbox in made:
        outbox.close()


def test_alerts_before_states_before_positions_each_in_order(make: Make) -> None:
    outbox = make()
    mixed = [
        message(n, lane, topic=f"t/{n}" if lane is Lane.STATE else "t/0")
        for n, lane in enumerate([Lane.POSITION, Lane.STATE, Lane.ALERT] * 3)
    ]
    outbox.write(mixed, 0)
    assert numbers(taken(outbox)) == [2, 5, 8, 1, 4, 7, 0, 3, 6]
    assert outbox.is_empty


def test_what_was_not_delivered_comes_again_in_the_old_order(make: Make) -> None:
    outbox = make()
    outbox.write([message(n, topic=f"t/{n}") for n in range(6)], 0)
    out = [outbox.find_next(0, 0) for _ in range(4)]
    outbox.mark_delivered(0, out[1].number, 0)  # type: ignore[union-attr]
    outbox.write([message(6)], 0)
    assert outbox.rewind(0) == 3
    assert numbers(taken(outbox)) == [0, 2, 3, 4, 5, 6]


def test_attempts_are_counted(make: Make) -> None:
    outbox = make()
    outbox.write([message(0)], 0)
    for attempt in (1, 2, 3):
        entry = outbox.find_next(0, 0)
        assert entry is not None
        assert entry.attempts == attempt
        outbox.rewind(0)


def test_oldest_position_is_dropped_and_counted_also_after_a_rewind(make: Make) -> None:
    outbox = make(max_positions=3)
    outbox.write([message(n, Lane.POSITION) for n in range(3)], 0)
    outbox.find_next(0, 0)
    outbox.write([message(3, Lane.POSITION)], 0)
    assert outbox.depths().positions_dropped == 0
    outbox.rewind(0)
    assert (outbox.depths().positions_dropped, outbox.depths().positions) == (1, 3)
    assert numbers(taken(outbox)) == [1, 2, 3]


def test_newest_state_wins_over_one_that_comes_back(make: Make) -> None:
    outbox = make()
    outbox.write([message(0, Lane.STATE, retain=True)], 0)
    outbox.find_next(0, 0)
    outbox.write([message(3, Lane.STATE, retain=True)], 0)
    outbox.rewind(0)
    assert numbers(taken(outbox)) == [3]


def test_retained_states_are_said_again_heartbeats_are_not(make: Make) -> None:
    outbox = make()
    outbox.write([message(0, Lane.STATE, retain=True), message(1, Lane.STATE, topic="t/1")], 0)
    taken(outbox)
    outbox.restate(0, 0)
    assert numbers(taken(outbox)) == [0]


def test_refused_alert_is_kept_and_tried_again_refused_position_is_not(make: Make) -> None:
    outbox = make()
    outbox.write([message(0), message(1, Lane.POSITION)], 0)
    alert, position = outbox.find_next(0, 0), outbox.find_next(0, 0)
    assert alert is not None
    assert position is not None
    assert outbox.mark_rejected(0, alert.number, 0)
    assert not outbox.mark_rejected(0, position.number, 0)
    assert outbox.find_next(0, RETRY_REJECTED_NS - 1) is None
    assert not outbox.is_empty
    assert outbox.is_stuck
    assert (outbox.depths().oldest_alert_mono_ns, outbox.depths().rejected) == (0, 2)
    assert numbers(taken(outbox, now=RETRY_REJECTED_NS)) == [0]
    assert outbox.is_empty


def test_alert_that_rests_holds_back_its_own_topic_only(make: Make) -> None:
    outbox = make()
    outbox.write([message(n) for n in range(3)] + [message(3, topic="t/1")], 0)
    first = outbox.find_next(0, 0)
    assert first is not None
    assert outbox.find_next(0, 0).message.body == b"3"  # type: ignore[union-attr]
    assert outbox.find_next(0, 0) is None, "one of a topic at a time"
    assert outbox.mark_unheard(0, first.number, 0)
    assert outbox.find_next(0, RETRY_UNHEARD_NS - 1) is None
    assert (outbox.depths().unheard, outbox.find_due_mono_ns(0)) == (1, RETRY_UNHEARD_NS)
    again = outbox.find_next(0, RETRY_UNHEARD_NS)
    assert again is first
    assert not outbox.mark_unheard(0, again.number, RETRY_UNHEARD_NS), "counted once"
    assert numbers(taken(outbox, now=2 * RETRY_UNHEARD_NS)) == [0, 1, 2]
    assert outbox.depths().unheard == 0


def test_many_that_nobody_hears_are_tried_less_often(make: Make) -> None:
    outbox = make()
    outbox.write([message(n, topic=f"t/{n}") for n in range(200)], 0)
    entries = [outbox.find_next(0, 0) for _ in range(200)]
    for entry in entries:
        assert entry is not None
        outbox.mark_unheard(0, entry.number, 0)
    assert outbox.find_next(0, RETRY_UNHEARD_NS - 1) is None
    tried = 0
    while outbox.find_next(0, 4_000_000_000 - 1) is not None:
        tried += 1
    assert 100 <= tried < 200
    assert outbox.find_next(0, 4_000_000_000) is not None


def test_last_try_ends_every_rest(make: Make) -> None:
    outbox = make()
    outbox.write([message(0)], 0)
    outbox.mark_rejected(0, outbox.find_next(0, 0).number, 0)  # type: ignore[union-attr]
    assert outbox.is_stuck
    outbox.begin_last_try()
    assert not outbox.is_stuck
    assert numbers(taken(outbox)) == [0]


def test_snapshot_waits_for_the_alerts_before_it_a_heartbeat_does_not(make: Make) -> None:
    outbox = make()
    outbox.write([message(n) for n in range(2)], 0)
    outbox.write([message(2, Lane.STATE, retain=True), message(3, Lane.STATE, topic="t/3")], 0)
    outbox.write([message(4, Lane.POSITION)], 0)
    first = outbox.find_next(0, 0)
    assert first is not None
    assert outbox.find_next(0, 0).message.body == b"3"  # type: ignore[union-attr]
    assert outbox.find_next(0, 0) is None
    outbox.mark_delivered(0, first.number, 0)
    assert numbers(taken(outbox)) == [1, 2, 4]


def test_alert_too_long_for_this_broker_steps_aside_and_comes_back_in_its_place(make: Make) -> None:
    outbox = make()
    outbox.write([message(n) for n in range(3)], 0)
    first = outbox.find_next(0, 0)
    assert first is not None
    assert outbox.mark_too_long(0, first.number)
    assert outbox.find_next(0, 0).message.body == b"1"  # type: ignore[union-attr]
    assert (outbox.depths().alerts, outbox.depths().rejected, outbox.depths().oldest_alert_mono_ns) == (2, 1, 0)
    outbox.rewind(0)
    again = outbox.find_next(0, 0)
    assert again is first
    assert not outbox.mark_too_long(0, again.number), "counted once"
    outbox.rewind(0)
    assert numbers(taken(outbox)) == [0, 1, 2]


def test_state_too_long_for_this_broker_is_not_said_again(make: Make) -> None:
    outbox = make()
    outbox.write([message(0, Lane.STATE, retain=True)], 0)
    assert outbox.mark_too_long(0, outbox.find_next(0, 0).number)  # type: ignore[union-attr]
    outbox.restate(0, 0)
    assert outbox.is_empty


def test_what_is_not_with_the_broker_is_ignored(make: Make) -> None:
    outbox = make()
    outbox.write([message(0)], 0)
    outbox.mark_delivered(0, 77, 0)
    assert not outbox.mark_unheard(0, 77, 0)
    assert not outbox.mark_too_long(0, 77)
    assert numbers(taken(outbox)) == [0]


def test_each_of_two_brokers_gets_everything_in_its_own_time(make: Make) -> None:
    outbox = make(paths=2)
    sent = [message(0), message(1), message(2, Lane.STATE, retain=True), message(3, Lane.POSITION)]
    outbox.write(sent, 0)
    assert numbers(taken(outbox, path=0)) == [0, 1, 2, 3]
    assert not outbox.is_empty
    assert [path.alerts for path in outbox.depths().paths] == [0, 2]
    refused = outbox.find_next(1, 0)
    assert refused is not None
    assert outbox.mark_rejected(1, refused.number, 0)
    outbox.write([message(4)], 0)
    assert numbers(taken(outbox, path=0)) == [4], "a refusal of the one does not hold up the other"
    assert numbers(taken(outbox, path=1, now=RETRY_REJECTED_NS)) == [0, 1, 4, 2, 3]
    assert outbox.is_empty


def test_receipt_ends_the_sending_again_of_what_it_covers(make: Make) -> None:
    outbox = make()
    clock = make.clock
    outbox.write([message(n) for n in range(1, 6)], clock.mono_ns())
    taken(outbox, now=clock.mono_ns(), most=4)
    outbox.flush_acks(clock.mono_ns(), force=True)
    assert (outbox.depths().unreceipted, outbox.receipts_seen) == (4, False)
    assert outbox.take_receipt("urn:t/0:ALERT", upto=2) == 2
    assert outbox.take_receipt("urn:t/0:ALERT", upto=2) == 0, "no news"
    assert outbox.take_receipt("urn:t/0:ALERT", event_id="id-t/0-ALERT-4") == 1
    assert outbox.take_receipt("urn:t/1:ALERT", upto=9) == 0, "another source"
    assert outbox.receipts_seen
    assert outbox.resend_unreceipted(clock.mono_ns(), 15 * SECOND_NS) == 0
    assert outbox.resend_unreceipted(clock.advance(15), 15 * SECOND_NS) == 1
    assert numbers(taken(outbox, now=clock.mono_ns())) == [3, 5]


def test_of_one_topic_what_is_sent_again_goes_before_what_is_new(make: Make) -> None:
    outbox = make()
    clock = make.clock
    outbox.write([message(1), message(2)], 0)
    taken(outbox, now=clock.mono_ns())
    outbox.resend_unreceipted(clock.mono_ns(), SECOND_NS)
    outbox.write([message(3)], 0)
    assert outbox.resend_unreceipted(clock.advance(1), SECOND_NS) == 2
    assert numbers(taken(outbox, now=clock.mono_ns())) == [1, 2, 3]


def test_receipt_for_what_was_never_sent_is_not_believed(make: Make) -> None:
    outbox = make()
    outbox.write([message(n) for n in range(1, 4)], 0)
    taken(outbox, most=1)
    assert outbox.take_receipt("urn:t/0:ALERT", upto=10**20) == 1
    assert numbers(taken(outbox)) == [2, 3]
    assert outbox.take_receipt("urn:t/0:ALERT", upto=10**12) == 2


def test_receipt_may_be_faster_than_the_puback(make: Make) -> None:
    outbox = make()
    clock = make.clock
    outbox.write([message(1)], 0)
    entry = outbox.find_next(0, clock.mono_ns())
    assert entry is not None
    assert outbox.take_receipt("urn:t/0:ALERT", upto=1) == 1
    outbox.mark_delivered(0, entry.number, clock.mono_ns())
    assert outbox.resend_unreceipted(clock.advance(10_000), SECOND_NS) == 0
    outbox.flush_acks(clock.mono_ns(), force=True)
    assert outbox.depths().unreceipted == 0


def test_receipt_of_rejection_ends_the_sending_too(make: Make) -> None:
    outbox = make()
    clock = make.clock
    outbox.write([message(1)], 0)
    taken(outbox, now=clock.mono_ns())
    assert outbox.take_receipt("urn:t/0:ALERT", event_id="id-t/0-ALERT-1", is_rejected=True) == 1
    assert outbox.resend_unreceipted(clock.advance(10_000), SECOND_NS) == 0


def test_wait_for_a_receipt_doubles(make: Make) -> None:
    outbox = make()
    clock = make.clock
    outbox.write([message(1)], 0)
    taken(outbox, now=clock.mono_ns())
    outbox.resend_unreceipted(clock.mono_ns(), 15 * SECOND_NS)
    began = clock.mono_ns()
    sent_after_s = []
    for _ in range(3_600):
        if outbox.resend_unreceipted(clock.advance(1), 15 * SECOND_NS):
            sent_after_s.append((clock.mono_ns() - began) // SECOND_NS)
            assert numbers(taken(outbox, now=clock.mono_ns())) == [1]
    assert sent_after_s == [15, 45, 105, 225, 465, 945, 1845, 2745]
    outbox.rewind(0)


def test_what_nobody_hears_does_not_keep_others_from_being_sent_again(make: Make) -> None:
    """A reader that leaves one stream out confirms none of it, and must get the others again all the same."""
    outbox = make()
    clock = make.clock
    unread = [message(n, topic=f"unread/{n}") for n in range(RESEND_AT_ONCE)]
    outbox.write(unread, clock.mono_ns())
    taken(outbox, now=clock.mono_ns())
    outbox.resend_unreceipted(clock.mono_ns(), SECOND_NS)
    assert outbox.resend_unreceipted(clock.advance(1), SECOND_NS) == RESEND_AT_ONCE
    while (entry := outbox.find_next(0, clock.mono_ns())) is not None:
        outbox.mark_unheard(0, entry.number, clock.mono_ns())
    outbox.write([message(1, topic="read/1")], clock.mono_ns())
    assert numbers(taken(outbox, now=clock.mono_ns())) == [1]
    assert outbox.resend_unreceipted(clock.advance(1), SECOND_NS) == 1
    assert numbers(taken(outbox, now=clock.mono_ns())) == [1]


def test_both_brokers_get_what_is_sent_again(make: Make) -> None:
    outbox = make(paths=2)
    clock = make.clock
    outbox.write([message(1)], 0)
    for path in (0, 1):
        taken(outbox, path=path, now=clock.mono_ns())
    outbox.resend_unreceipted(clock.mono_ns(), SECOND_NS)
    assert outbox.resend_unreceipted(clock.advance(1), SECOND_NS) == 1
    again = [outbox.find_next(path, clock.mono_ns()) for path in (0, 1)]
    assert [(entry.message.event_id, entry.attempts, entry.is_again) for entry in again if entry] == [
        ("id-t/0-ALERT-1", 2, True)
    ] * 2


def test_broker_that_forgot_its_session_gets_the_latest_alerts_again(make: Make) -> None:
    outbox = make(paths=2)
    clock = make.clock
    outbox.write([message(1)], 0)
    taken(outbox, now=clock.mono_ns())
    clock.advance(RESEND_WINDOW_NS / SECOND_NS + 1)
    outbox.write([message(n) for n in range(2, 6)], 0)
    taken(outbox, now=clock.mono_ns(), most=3)
    outbox.take_receipt("urn:t/0:ALERT", upto=2)
    outbox.rewind(0)
    assert outbox.forget_session(0, clock.mono_ns()) == 2
    assert numbers(taken(outbox, now=clock.mono_ns())) == [3, 4, 5], "the first is too old, the second has its receipt"
    assert numbers(taken(outbox, path=1)) == [1, 2, 3, 4, 5], "the other broker's session is another matter"


def test_replay_queues_what_was_sent_with_its_ids(make: Make) -> None:
    outbox = make(max_positions=5_000)
    outbox.write([message(n) for n in range(1, 6)] + [message(n, Lane.POSITION) for n in range(1, 2_001)], 0)
    taken(outbox, most=4)
    assert outbox.replay("urn:t/0:ALERT", 2, 9, 0) == Replayed(queued=3, waiting=1, missing=4, next_sequence=None)
    assert numbers(taken(outbox))[:4] == [2, 3, 4, 5]
    more = outbox.replay("urn:t/0:POSITION", 1, 2_000, 0)
    assert more == Replayed(queued=REPLAY_LIMIT, waiting=0, missing=0, next_sequence=REPLAY_LIMIT + 1)
    assert outbox.replay("urn:t/0:POSITION", 1, 10, 0).queued == 0, "they wait already"
    assert numbers(taken(outbox)) == list(range(1, REPLAY_LIMIT + 1))
    assert outbox.replay("urn:t/0:ALERT", 10**20, 10**21, 0).queued == 0
    assert outbox.replay("urn:nobody", 1, 3, 0) == Replayed(queued=0, waiting=0, missing=3, next_sequence=None)
    assert outbox.is_empty


def test_long_backlogs_are_sent_in_order_and_hold_up_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LINE_MAX", 8)
    monkeypatch.setattr(backlog, "ALERTS_MAX", 20)
    monkeypatch.setattr(backlog, "POSITIONS_MAX", 50)
    outbox = make(max_positions=5_000)
    outbox.write([message(n, topic=f"t/{n % 7}") for n in range(700)], 0)
    outbox.write([message(n, Lane.POSITION) for n in range(700)], 0)
    outbox.write([message(700, topic="t/new")], 0)
    assert (outbox.depths().alerts, outbox.depths().positions) == (701, 700)
    sent = [(entry.message.topic, int(entry.message.body)) for entry in _deliver_all(outbox)]
    alerts, positions = sent[:701], sent[701:]
    for topic in range(7):
        assert [n for where, n in alerts if where == f"t/{topic}"] == list(range(topic, 700, 7))
    assert [n for _, n in positions] == list(range(700))
    assert outbox.is_empty
    assert outbox.is_stuck


def _deliver_all(outbox: DurableOutbox) -> list[object]:
    sent: list[object] = []
    while (entry := outbox.find_next(0, 0)) is not None:
        outbox.mark_delivered(0, entry.number, 0)
        sent.append(entry)
    return sent


def test_topic_that_nobody_reads_takes_no_room_from_others(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "ALERTS_MAX", 20)
    outbox = make()
    for n in range(100):
        outbox.write([message(n, topic="t/dead")], 0)
        if n == 10:
            entry = outbox.find_next(0, 0)
            assert entry is not None
            outbox.mark_unheard(0, entry.number, 0)
    outbox.write([message(n, topic=f"t/{n}") for n in range(50)], 0)
    assert numbers(taken(outbox)) == list(range(50))
    assert outbox.is_stuck
    assert numbers(taken(outbox, now=RETRY_UNHEARD_NS)) == list(range(100))


@pytest.mark.parametrize("seed", range(2))
def test_no_alert_is_ever_lost_or_overtaken(make: Make, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LINE_MAX", 4)
    monkeypatch.setattr(backlog, "ALERTS_MAX", 7)
    rng = random.Random(seed)
    outbox = make(max_positions=5, paths=2)
    delivered: list[list[list[int]]] = [[[] for _ in range(3)] for _ in range(2)]
    out: list[list[tuple[int, int]]] = [[], []]
    n = now = 0
    for _ in range(1_200):
        now += SECOND_NS
        path = rng.randrange(2)
        match rng.randrange(9):
            case 0 | 1:
                count = rng.randrange(1, 4)
                outbox.write([message(n + more, topic=f"t/{(n + more) % 3}") for more in range(count)], now)
                n += count
            case 2 | 3 | 4:
                entry = outbox.find_next(path, now)
                if entry is not None:
                    out[path].append((entry.number, int(entry.message.body)))
            case 5 if out[path]:
                number, body = out[path].pop(rng.randrange(len(out[path])))
                outbox.mark_delivered(path, number, now)
                delivered[path][body % 3].append(body)
            case 6 if out[path]:
                refuse: Callable[[int, int, int], bool] = rng.choice([outbox.mark_rejected, outbox.mark_unheard])
                refuse(path, out[path].pop()[0], now)
            case 7 if rng.random() < 0.1:
                outbox.rewind(path)
                out[path].clear()
            case 8:
                outbox.flush_acks(now)
    outbox.begin_last_try()
    for path in (0, 1):
        outbox.rewind(path)
        for rest in numbers(taken(outbox, path=path, now=now + RETRY_REJECTED_NS)):
            delivered[path][rest % 3].append(rest)
        assert delivered[path] == [list(range(topic, n, 3)) for topic in range(3)]
    assert outbox.is_empty
    assert outbox.depths().unheard == 0


def test_deadlines_of_receipts_that_came_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``receipts = "never"`` nobody asks what is due, and receipts come all the same."""
    monkeypatch.setattr(receipts, "TRACKED_MAX", 100)
    owed = receipts.OwedReceipts()
    for n in range(10_000):
        owed.note_acked(n, message(n), n)
        assert owed.take_covered("urn:t/0:ALERT", n, None) == 1
    owed.note_acked(10_000, message(10_000), 10_000)
    assert sys.getsizeof(owed._due) < 4_000
    assert owed.take_due(10**18, 1_000) == [10_000]
