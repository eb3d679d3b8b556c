import pytest

from protocols.errors import EncodeError
from protocols.nmea.command_link import ACK_TIMEOUT_NS, MAX_ATTEMPTS, MAX_PENDING, CommandLink
from protocols.nmea.tag import MAX_COMMAND_ID, Command, encode_command
from protocols.reports import CommandAck, CommandOutcome, CommandVerb


def ack(command_id: int) -> CommandAck:
    return CommandAck(offset=0, command_id=command_id, outcome=CommandOutcome.DONE)


def test_answered_at_once() -> None:
    link = CommandLink()
    command = link.new_command(CommandVerb.VIBRATE, "3")
    assert link.submit(command, 0) == encode_command(1, CommandVerb.VIBRATE, "3")
    assert link.next_deadline_ns == ACK_TIMEOUT_NS
    assert link.on_ack(ack(1)) == command
    assert link.next_deadline_ns is None
    assert link.due(10**12) == []
    assert link.expired(10**12) == []


def test_sent_again_until_the_attempts_are_used_up() -> None:
    link = CommandLink()
    command = link.new_command(CommandVerb.LOCATE_NOW)
    sentence = link.submit(command, 0)
    sent = 1
    now = 0
    while (deadline := link.next_deadline_ns) is not None:
        assert link.due(deadline - 1) == []
        assert link.expired(deadline - 1) == []
        now = deadline
        again = link.due(now)
        assert again in ([sentence], [])
        sent += len(again)
    assert (sent, now) == (MAX_ATTEMPTS, MAX_ATTEMPTS * ACK_TIMEOUT_NS)
    assert link.expired(now) == [command]
    assert link.expired(now) == []


def test_an_answer_to_a_repeated_command_is_taken_once() -> None:
    link = CommandLink()
    command = link.new_command(CommandVerb.FIRMWARE_QUERY)
    link.submit(command, 0)
    assert link.due(ACK_TIMEOUT_NS)
    assert link.on_ack(ack(1)) == command
    assert link.on_ack(ack(1)) is None


def test_expired_alone_also_takes_note_of_the_last_timeout() -> None:
    link = CommandLink(max_attempts=1)
    command = link.new_command(CommandVerb.LOCATE_NOW)
    link.submit(command, 0)
    assert link.expired(ACK_TIMEOUT_NS - 1) == []
    assert link.expired(ACK_TIMEOUT_NS) == [command]


def test_ids_go_round_and_skip_what_is_under_way() -> None:
    link = CommandLink()
    first = link.new_command(CommandVerb.LOCATE_NOW)
    link.submit(first, 0)
    link._next_id = MAX_COMMAND_ID
    assert link.new_command(CommandVerb.LOCATE_NOW).command_id == MAX_COMMAND_ID
    assert link.new_command(CommandVerb.LOCATE_NOW).command_id == 2


def test_misuse_raises() -> None:
    link = CommandLink()
    command = link.new_command(CommandVerb.LOCATE_NOW)
    link.submit(command, 0)
    with pytest.raises(EncodeError, match="under way"):
        link.submit(command, 0)
    with pytest.raises(EncodeError, match="verb"):
        link.submit(Command(command_id=9, verb=None, verb_text="SING"), 0)
    for _ in range(MAX_PENDING - 1):
        link.submit(link.new_command(CommandVerb.LOCATE_NOW), 0)
    with pytest.raises(EncodeError, match="wait"):
        link.submit(link.new_command(CommandVerb.LOCATE_NOW), 0)
