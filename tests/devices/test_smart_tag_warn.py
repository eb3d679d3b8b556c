"""The warning that stands: the newest wins, nobody waits for ever, nothing is lost without saying so."""

import asyncio

import pytest

from devices.ble_slots import Urgency
from devices.errors import WarnLoss, WarnLostError
from devices.smart_tag_warn import WarnLane, WarnReceipt
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from protocols.reports import TagEvent, TagEventKind, TagMode, TagState

S = 1_000_000_000
PATIENCE_S, ACK_S, CHECK_S = 10.0, 2.0, 3.0


def command(warn_id: int, level: WarnLevel = WarnLevel.ALARM) -> WarnCommand:
    return WarnCommand(warn_id=warn_id, level=level, pattern=WarnPattern.BOTH, text=WarnText.NEARBY)


def started(warn_id: int) -> TagEvent:
    return TagEvent(sequence=0, kind=TagEventKind.WARN_STARTED, warn_id=warn_id, age_ms=0)


def state(warn_id: int | None, mode: TagMode = TagMode.WARNING, *, own_warning: bool = False) -> TagState:
    return TagState(
        state=mode,
        warn_id=warn_id,
        sos=False,
        motion=False,
        battery_pct=80,
        gnss=True,
        sequence=0,
        own_warning=own_warning,
    )


@pytest.fixture
async def lane() -> WarnLane:
    return WarnLane("tag-1", patience_s=PATIENCE_S, ack_s=ACK_S, check_s=CHECK_S)


def write(lane: WarnLane, at_s: float, *, will_answer: bool = True) -> WarnCommand:
    taken = lane.take()
    assert taken is not None
    lane.written(taken, round(at_s * S), will_answer=will_answer)
    return taken


def lost_as(answer: "asyncio.Future[WarnReceipt]") -> WarnLoss:
    error = answer.exception()
    assert isinstance(error, WarnLostError)
    return error.reason


async def test_written_and_started_is_a_confirmed_receipt(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 1 * S)
    assert lane.to_write.is_set()
    write(lane, 2)
    assert not answer.done()
    lane.hear_event(started(7), 3 * S)
    assert answer.result() == WarnReceipt(
        warn_id=7, t_asked_mono_ns=S, t_written_mono_ns=2 * S, t_started_mono_ns=3 * S, confirmed=True
    )
    assert lane.next_due_mono_ns is None and lane.take() is None
    assert (lane.counts.asked, lane.counts.written, lane.counts.confirmed) == (1, 1, 1)


async def test_the_word_of_the_tag_may_come_before_the_answer_to_the_write(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    taken = lane.take()
    assert taken is not None
    lane.hear_event(started(7), 2 * S)
    lane.written(taken, 3 * S, will_answer=True)
    assert answer.result().confirmed
    assert lane.next_due_mono_ns is None


async def test_a_plain_tag_is_told_but_not_confirmed(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    write(lane, 1, will_answer=False)
    receipt = answer.result()
    assert not receipt.confirmed and receipt.t_started_mono_ns is None
    lane.link_is_down()
    assert lane.link_is_up(), "a tag that never says so may have forgotten it with its link"
    assert write(lane, 9, will_answer=False) == command(7)


async def test_the_newest_wins_and_answers_for_the_overtaken(lane: WarnLane) -> None:
    first = lane.ask(command(1, WarnLevel.NOTICE), 0)
    second = lane.ask(command(2, WarnLevel.CONTACT), 1 * S)
    lane.link_is_up()
    assert write(lane, 2) == command(2, WarnLevel.CONTACT)
    lane.hear_event(started(2), 3 * S)
    assert [first.result().warn_id, second.result().warn_id] == [2, 2]
    assert first.result().t_asked_mono_ns == 0


async def test_one_asked_for_while_another_is_written_follows_at_once(lane: WarnLane) -> None:
    lane.link_is_up()
    first = lane.ask(command(1), 0)
    under_way = lane.take()
    assert under_way is not None
    second = lane.ask(command(2), 1)
    assert lane.take() is None, "one writer at a time"
    lane.written(under_way, 2, will_answer=True)
    assert lane.to_write.is_set()
    assert write(lane, 1) == command(2)
    lane.hear_event(started(1), 2 * S)
    assert first.result().warn_id == 1 and not second.done()
    lane.hear_event(started(2), 3 * S)
    assert second.result().warn_id == 2


async def test_word_of_an_overtaken_one_may_come_before_the_answer_to_its_write(lane: WarnLane) -> None:
    lane.link_is_up()
    first = lane.ask(command(1), 0)
    assert lane.take() == command(1)
    second = lane.ask(command(2), S)
    lane.hear_event(started(1), 2 * S)
    assert (first.result().warn_id, first.result().t_started_mono_ns) == (1, 2 * S)
    lane.written(command(1), 3 * S, will_answer=True)
    write(lane, 4)
    lane.hear_event(started(2), 5 * S)
    assert second.result().warn_id == 2


async def test_without_a_word_the_state_is_read_and_settles_it(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    write(lane, 1)
    assert lane.next_due_mono_ns == 3 * S
    lane.expire(3 * S)
    assert lane.to_check.is_set() and not answer.done()
    lane.hear_state(state(7), 4 * S)
    assert answer.result().t_started_mono_ns == 4 * S
    assert not lane.to_check.is_set()


async def test_a_tag_that_never_says_so_is_a_lost_warning_and_is_told_again_after_a_reconnect(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    write(lane, 1)
    lane.expire(3 * S)
    lane.hear_state(state(6), 4 * S)
    assert not answer.done()
    lane.expire(6 * S)
    assert lost_as(answer) is WarnLoss.NO_ACK
    lane.link_is_down()
    assert lane.link_is_up()
    write(lane, 9)
    lane.hear_event(started(7), 10 * S)
    assert (lane.counts.rewritten, lane.counts.confirmed, lane.counts.lost) == (1, 1, 1)


async def test_away_for_longer_than_the_patience_is_out_of_range_and_still_delivered_later(lane: WarnLane) -> None:
    answer = lane.ask(command(7), 0)
    later = lane.ask(command(8), 4 * S)
    lane.expire(round(PATIENCE_S * S) - 1)
    assert not answer.done()
    lane.expire(round(PATIENCE_S * S))
    assert lost_as(answer) is WarnLoss.OUT_OF_RANGE and not later.done()
    lane.expire(14 * S)
    assert lost_as(later) is WarnLoss.OUT_OF_RANGE
    assert lane.urgency is Urgency.ALARM
    assert lane.link_is_up()
    assert write(lane, 60) == command(8)


async def test_a_link_that_breaks_in_the_write_is_written_anew(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    assert lane.take() is not None
    lane.link_is_down()
    assert lane.take() is None
    assert lane.link_is_up()
    write(lane, 5)
    lane.hear_event(started(7), 6 * S)
    assert answer.result().t_written_mono_ns == 5 * S


async def test_a_link_that_breaks_before_the_word_of_the_tag_is_written_anew_within_the_patience(
    lane: WarnLane,
) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    write(lane, 1)
    lane.link_is_down()
    assert lane.next_due_mono_ns == round(PATIENCE_S * S)
    lane.expire(round(PATIENCE_S * S))
    assert lost_as(answer) is WarnLoss.OUT_OF_RANGE


async def test_refused_is_lost_at_once_and_tried_again_on_the_next_link(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(7), 0)
    taken = lane.take()
    assert taken is not None
    lane.refused(taken, "ATT error 0x80")
    assert lost_as(answer) is WarnLoss.REFUSED
    assert lane.take() is None
    lane.link_is_down()
    assert lane.link_is_up()


async def test_a_refusal_of_an_overtaken_warning_is_not_the_newer_ones(lane: WarnLane) -> None:
    lane.link_is_up()
    lane.ask(command(1), 0)
    taken = lane.take()
    assert taken is not None
    second = lane.ask(command(2), 1)
    lane.refused(taken, "ATT error 0x80")
    assert write(lane, 1) == command(2)
    assert not second.done()


async def test_what_the_tag_shows_already_is_not_written_again_after_a_reconnect(lane: WarnLane) -> None:
    lane.link_is_up()
    lane.ask(command(7), 0)
    write(lane, 1)
    lane.hear_event(started(7), 2 * S)
    lane.link_is_down()
    assert not lane.link_is_up()
    lane.hear_state(state(7, TagMode.ACKNOWLEDGED), 3 * S)
    assert lane.take() is None, "the person's acknowledgement must not be undone"


async def test_what_the_tag_forgot_is_written_again_once_per_link(lane: WarnLane) -> None:
    lane.link_is_up()
    lane.ask(command(7), 0)
    write(lane, 1)
    lane.hear_event(started(7), 2 * S)
    lane.hear_state(state(None, TagMode.IDLE), 3 * S)
    write(lane, 4)
    lane.hear_event(started(7), 5 * S)
    lane.hear_state(state(None, TagMode.IDLE), 6 * S)
    assert lane.take() is None, "a tag that never keeps it would be written to without end"
    lane.hear_event(TagEvent(sequence=9, kind=TagEventKind.REBOOTED, warn_id=None, age_ms=0), 7 * S)
    assert write(lane, 8) == command(7)


async def test_standing_down_is_shown_by_a_quiet_tag(lane: WarnLane) -> None:
    lane.link_is_up()
    answer = lane.ask(command(8, WarnLevel.STAND_DOWN), 0)
    before = lane.urgency
    write(lane, 1)
    lane.hear_state(state(7, TagMode.WARNING), 2 * S)
    assert not answer.done()
    lane.hear_state(state(7, TagMode.WARNING, own_warning=True), 3 * S)
    assert answer.result().confirmed
    assert (before, lane.urgency) == (Urgency.NOTICE, Urgency.ROUTINE)


async def test_the_end_of_the_driver_ends_all_waiting(lane: WarnLane) -> None:
    answers = [lane.ask(command(k), 0) for k in range(3)]
    lane.end()
    assert {lost_as(answer) for answer in answers} == {WarnLoss.NOT_RUNNING}
    assert lane.next_due_mono_ns is None


async def test_one_who_no_longer_waits_takes_nothing_from_the_warning(lane: WarnLane) -> None:
    answer = lane.ask(command(7), 0)
    answer.cancel()
    lane.drop(answer)
    assert lane.next_due_mono_ns is None
    assert lane.link_is_up()
    assert write(lane, 1) == command(7)


async def test_a_notice_that_was_shown_needs_no_place_and_an_alarm_keeps_its_own(lane: WarnLane) -> None:
    lane.link_is_up()
    for warn_id, level, waits, shown in (
        (1, WarnLevel.NOTICE, Urgency.NOTICE, Urgency.ROUTINE),
        (2, WarnLevel.ALARM, Urgency.ALARM, Urgency.ALARM),
    ):
        lane.ask(command(warn_id, level), 0)
        assert lane.urgency is waits
        write(lane, 1)
        lane.hear_event(started(warn_id), 2 * S)
        assert lane.urgency is shown


async def test_whoever_waits_for_a_deadline_learns_that_it_moved(lane: WarnLane) -> None:
    lane.link_is_up()
    lane.ask(command(7), 0)
    assert lane.next_due_mono_ns == round(PATIENCE_S * S)
    lane.changed.clear()
    write(lane, 1)
    assert lane.changed.is_set() and lane.next_due_mono_ns == round((1 + ACK_S) * S)
    lane.changed.clear()
    lane.link_is_down()
    assert lane.changed.is_set() and lane.next_due_mono_ns == round(PATIENCE_S * S)


async def test_a_tag_that_ended_a_standing_warning_by_itself_is_told_again(lane: WarnLane) -> None:
    lane.link_is_up()
    lane.ask(command(7), 0)
    write(lane, 1)
    lane.hear_event(started(7), 2 * S)
    lane.link_is_down()
    assert not lane.link_is_up(), "it was shown"
    lane.hear_state(state(7, TagMode.IDLE), 1_000 * S)
    assert write(lane, 1_001) == command(7)
    lane.hear_state(state(7, TagMode.IDLE), 1_002 * S)
    assert lane.counts.confirmed == 1, "not the word of a tag that warns"
