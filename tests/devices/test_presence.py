"""Presence by what proves that a packet was sent."""

from devices.presence import PRESENCE_LIMIT_NS, AdvertMark, PresenceWatch

S = 1_000_000_000
ID = b"abcdefgh"


def mark(counter: int | None, rssi_dbm: int = -60, identity: bytes = ID) -> AdvertMark:
    return AdvertMark(identity, counter, rssi_dbm)


def test_a_counter_that_moves_keeps_a_tag_present_and_silence_ends_it() -> None:
    watch = PresenceWatch()
    is_new, event = watch.hear_advert(mark(1), 5 * S)
    assert is_new and event is not None and event.present and event.rssi_dbm == -60
    assert watch.hear_advert(mark(2), 9 * S) == (True, None)
    assert watch.check(9 * S + PRESENCE_LIMIT_NS - 1) is None
    gone = watch.check(9 * S + PRESENCE_LIMIT_NS)
    assert gone is not None and not gone.present and gone.last_heard_mono_ns == 9 * S
    assert watch.check(10**12) is None, "absence is told once"


def test_callbacks_without_a_new_counter_prove_nothing() -> None:
    watch = PresenceWatch()
    watch.hear_advert(mark(7), 0)
    for second in range(1, 20):
        # BlueZ tells of a changed name, a changed RSSI or a lost connection in the same way.
        assert watch.hear_advert(mark(7, rssi_dbm=-60 - second), second * S) == (False, None)
    assert watch.last_heard_mono_ns == 0
    event = watch.check(20 * S)
    assert event is not None and not event.present


def test_a_new_rolling_id_is_a_new_packet_even_with_the_same_counter() -> None:
    watch = PresenceWatch()
    watch.hear_advert(mark(7), 0)
    assert watch.hear_advert(mark(7, identity=b"ijklmnop"), S) == (True, None)
    assert watch.last_heard_mono_ns == S


def test_without_a_counter_only_another_strength_proves_a_packet() -> None:
    watch = PresenceWatch()
    watch.hear_advert(mark(None, -60), 0)
    assert watch.hear_advert(mark(None, -60), S) == (False, None)
    assert watch.hear_advert(mark(None, -61), 2 * S) == (True, None)
    assert watch.last_heard_mono_ns == 2 * S


def test_a_tag_that_never_comes_is_absent_after_the_limit() -> None:
    watch = PresenceWatch(limit_ns=3 * S)
    assert watch.due_mono_ns is None
    watch.start(10 * S)
    assert watch.due_mono_ns == 13 * S and watch.present is None
    event = watch.check(13 * S)
    assert event is not None and not event.present
    assert event.last_heard_mono_ns is None and "never heard for 3 s" in event.detail


def test_a_live_connection_is_presence_without_advertisements() -> None:
    watch = PresenceWatch()
    watch.start(0)
    event = watch.hear_link(2 * S)
    assert event is not None and event.present
    assert watch.check(PRESENCE_LIMIT_NS) is None
    assert watch.hear_link(9 * S) is None
    assert watch.due_mono_ns == 9 * S + PRESENCE_LIMIT_NS


def test_coming_back_is_told() -> None:
    watch = PresenceWatch(limit_ns=S)
    watch.hear_advert(mark(1), 0)
    assert watch.check(S) is not None
    _, event = watch.hear_advert(mark(2), 2 * S)
    assert event is not None and event.present
