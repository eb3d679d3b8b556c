"""Lanes, drop policies and order of the outbox; what the publisher's thread rests on."""

import random
from dataclasses import replace

from bridge.outbox.memory import RETRY_REJECTED_NS, RETRY_UNHEARD_NS, MemoryOutbox
from bridge.publisher import Lane, Message


def message(n: int, lane: Lane, *, retain: bool = False, topic: int = 0) -> Message:
    return Message(topic=f"t/{n if lane is Lane.STATE else topic}", body=b"%d" % n, lane=lane, retain=retain)


def take_all(outbox: MemoryOutbox, now: int = 0) -> list[bytes]:
    taken = []
    while (entry := outbox.find_next(now)) is not None:
        taken.append(entry.message.body)
        outbox.mark_delivered(entry.number)
    return taken


def test_alerts_before_states_before_positions_each_in_order() -> None:
    outbox = MemoryOutbox(max_positions=10)
    for n, lane in enumerate([Lane.POSITION, Lane.STATE, Lane.ALERT] * 3):
        outbox.append(message(n, lane), 0)
    assert take_all(outbox) == [b"2", b"5", b"8", b"1", b"4", b"7", b"0", b"3", b"6"]
    assert outbox.is_empty


def test_what_was_not_delivered_comes_again_in_the_old_order() -> None:
    outbox = MemoryOutbox(max_positions=10)
    for n in range(6):
        outbox.append(message(n, Lane.ALERT, topic=n), 0)
    out = [outbox.find_next(0) for _ in range(4)]
    outbox.mark_delivered(out[1].number)  # type: ignore[union-attr]
    outbox.append(message(6, Lane.ALERT), 0)
    assert outbox.rewind() == 3
    assert take_all(outbox) == [b"0", b"2", b"3", b"4", b"5", b"6"]


def test_attempts_are_counted() -> None:
    outbox = MemoryOutbox(max_positions=10)
    outbox.append(message(0, Lane.ALERT), 0)
    for attempt in (1, 2, 3):
        entry = outbox.find_next(0)
        assert entry is not None
        assert entry.attempts == attempt
        outbox.rewind()


def test_oldest_position_is_dropped_and_counted_also_after_a_rewind() -> None:
    outbox = MemoryOutbox(max_positions=3)
    for n in range(3):
        outbox.append(message(n, Lane.POSITION), 0)
    outbox.find_next(0)
    outbox.append(message(3, Lane.POSITION), 0)
    outbox.rewind()
    assert outbox.depths().positions_dropped == 1
    assert take_all(outbox) == [b"1", b"2", b"3"]


def test_newest_state_wins_over_one_that_comes_back() -> None:
    outbox = MemoryOutbox(max_positions=3)
    outbox.append(replace(message(3, Lane.STATE, retain=True), body=b"0"), 0)
    outbox.find_next(0)
    outbox.append(message(3, Lane.STATE, retain=True), 0)
    outbox.rewind()
    assert take_all(outbox) == [b"3"]


def test_retained_states_are_said_again_heartbeats_are_not() -> None:
    outbox = MemoryOutbox(max_positions=3)
    outbox.append(message(0, Lane.STATE, retain=True), 0)
    outbox.append(message(1, Lane.STATE, retain=False), 0)
    take_all(outbox)
    outbox.restate(0)
    assert take_all(outbox) == [b"0"]


def test_refused_alert_is_kept_and_tried_again_refused_position_is_not() -> None:
    outbox = MemoryOutbox(max_positions=3)
    outbox.append(message(0, Lane.ALERT), 0)
    outbox.append(message(1, Lane.POSITION), 0)
    alert, position = outbox.find_next(0), outbox.find_next(0)
    assert outbox.mark_rejected(alert.number, 0)  # type: ignore[union-attr]
    assert not outbox.mark_rejected(position.number, 0)  # type: ignore[union-attr]
    assert outbox.find_next(RETRY_REJECTED_NS - 1) is None
    assert not outbox.is_empty
    assert outbox.depths().oldest_alert_mono_ns == 0
    assert take_all(outbox, RETRY_REJECTED_NS) == [b"0"]


def test_alert_that_rests_holds_back_its_own_topic_only() -> None:
    outbox = MemoryOutbox(max_positions=3)
    for n in range(3):
        outbox.append(message(n, Lane.ALERT, topic=0), 0)
    outbox.append(message(3, Lane.ALERT, topic=1), 0)
    first = outbox.find_next(0)
    assert first is not None
    assert outbox.find_next(0).message.body == b"3"  # type: ignore[union-attr]
    assert outbox.find_next(0) is None, "one of a topic at a time"
    assert outbox.mark_unheard(first.number, 0)
    assert outbox.find_next(RETRY_UNHEARD_NS - 1) is None
    assert (outbox.depths().unheard, outbox.find_retry_mono_ns()) == (1, RETRY_UNHEARD_NS)
    again = outbox.find_next(RETRY_UNHEARD_NS)
    assert again is first
    assert not outbox.mark_unheard(again.number, RETRY_UNHEARD_NS), "counted once"
    assert take_all(outbox, 2 * RETRY_UNHEARD_NS) == [b"0", b"1", b"2"]
    assert outbox.depths().unheard == 0


def test_snapshot_waits_for_the_alerts_before_it_a_heartbeat_does_not() -> None:
    outbox = MemoryOutbox(max_positions=3)
    for n in range(2):
        outbox.append(message(n, Lane.ALERT), 0)
    outbox.append(message(2, Lane.STATE, retain=True), 0)
    outbox.append(message(3, Lane.STATE), 0)
    outbox.append(message(4, Lane.POSITION), 0)
    first = outbox.find_next(0)
    assert first is not None
    assert outbox.find_next(0).message.body == b"3"  # type: ignore[union-attr]
    assert outbox.find_next(0) is None
    outbox.mark_delivered(first.number)
    assert take_all(outbox) == [b"1", b"2", b"4"]


def test_alert_too_long_for_this_broker_steps_aside_and_comes_back_in_its_place() -> None:
    outbox = MemoryOutbox(max_positions=3)
    for n in range(3):
        outbox.append(message(n, Lane.ALERT), 0)
    first = outbox.find_next(0)
    assert first is not None
    assert outbox.mark_too_long(first.number)
    assert outbox.find_next(0).message.body == b"1"  # type: ignore[union-attr]
    assert (outbox.depths().alerts, outbox.depths().rejected, outbox.depths().oldest_alert_mono_ns) == (2, 1, 0)
    outbox.rewind()
    again = outbox.find_next(0)
    assert again is first
    assert not outbox.mark_too_long(again.number), "counted once"
    outbox.rewind()
    assert take_all(outbox) == [b"0", b"1", b"2"]


def test_state_too_long_for_this_broker_is_not_said_again() -> None:
    outbox = MemoryOutbox(max_positions=3)
    outbox.append(message(0, Lane.STATE, retain=True), 0)
    assert outbox.mark_too_long(outbox.find_next(0).number)  # type: ignore[union-attr]
    outbox.restate(0)
    assert outbox.is_empty


def test_no_alert_is_ever_lost_or_overtaken_by_losses_of_the_connection_and_refusals() -> None:
    rng = random.Random(5)
    outbox = MemoryOutbox(max_positions=5)
    delivered: list[list[int]] = [[], [], []]
    out: list[tuple[int, int]] = []
    n = now = 0
    for _ in range(5000):
        now += 1_000_000_000
        match rng.randrange(8):
            case 0 | 1:
                outbox.append(message(n, Lane.ALERT, topic=n % 3), 0)
                n += 1
            case 2 | 3 | 4:
                entry = outbox.find_next(now)
                if entry is not None:
                    out.append((entry.number, int(entry.message.body)))
            case 5 if out:
                number, body = out.pop(rng.randrange(len(out)))
                outbox.mark_delivered(number)
                delivered[body % 3].append(body)
            case 6 if out:
                rng.choice([outbox.mark_rejected, outbox.mark_unheard])(out.pop()[0], now)
            case 7 if rng.random() < 0.1:
                outbox.rewind()
                out.clear()
    outbox.rewind()
    outbox.begin_last_try()
    for rest in map(int, take_all(outbox)):
        delivered[rest % 3].append(rest)
    assert delivered == [list(range(topic, n, 3)) for topic in range(3)]
    assert outbox.is_empty
    assert outbox.depths().unheard == 0
