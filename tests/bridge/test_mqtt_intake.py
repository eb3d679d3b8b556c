"""What waits between ``submit`` and the publisher's thread keeps the order of each stream."""

from bridge.mqtt.intake import Intake
from bridge.publisher import Lane, Message, Saved


def message(number: int, lane: Lane = Lane.POSITION, *, saves: bool = False) -> Message:
    saved = (Saved(owner="t", key="ledger/t", value=b"1"),) if saves else ()
    return Message(topic="t", body=b"{}", lane=lane, sequence=number, saves=saved)


def test_position_that_saves_something_does_not_overtake_those_before_it() -> None:
    intake = Intake(max_positions=10)
    given = [message(1), message(2), message(3, saves=True), message(4), message(5, saves=True), message(6)]
    for each in given:
        intake.put((each,))
    assert intake.counts()[Lane.POSITION] == 6
    taken, _ = intake.take()
    assert [each.sequence for each in taken] == [1, 2, 3, 4, 5, 6]
    intake.note_kept(taken)
    assert intake.counts()[Lane.POSITION] == 0
    assert intake.is_empty


def test_alerts_come_before_positions_and_only_positions_are_dropped() -> None:
    intake = Intake(max_positions=2)
    for number in range(5):
        intake.put((message(number),))
    intake.put((message(9, Lane.ALERT),))
    taken, _ = intake.take()
    assert [each.sequence for each in taken] == [9, 3, 4]
    assert intake.dropped == 3
