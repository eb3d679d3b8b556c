import sys
from dataclasses import replace

import pytest

from protocols.ble.beacon import (
    COPY_NS,
    PAST_SLOTS,
    SLOT_NS,
    BeaconVerdict,
    BeaconWatch,
    Heard,
    decode_beacon,
    encode_beacon,
)
from protocols.errors import EncodeError
from tests.protocols.ble.support import read

KEY = bytes(range(16))
OTHER_KEY = bytes(range(1, 17))
SLOT = 1_980_000
START_UTC_NS = SLOT * SLOT_NS
SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
GENUINE, STRANGER, FORGED = BeaconVerdict.GENUINE, BeaconVerdict.STRANGER, BeaconVerdict.FORGED
REPLAYED, CLONED = BeaconVerdict.REPLAYED, BeaconVerdict.CLONED


class Ear:
    """A watch, and what is said to it at times counted from the beginning of ``SLOT``."""

    def __init__(self, **options: object) -> None:
        self.watch = BeaconWatch(KEY, **options)  # type: ignore[arg-type]

    def hear(
        self, counter: int, t_ns: int, *, slot: int | None = None, key: bytes = KEY, receiver: str | None = None
    ) -> Heard:
        utc_ns = START_UTC_NS + t_ns
        data = encode_beacon(
            key, slot=utc_ns // SLOT_NS if slot is None else slot, counter=counter, strap_open=False, battery_pct=80
        )
        return self.watch.hear(
            read(decode_beacon, data), t_rx_utc_ns=utc_ns, t_rx_mono_ns=t_ns, rssi_dbm=-60, receiver=receiver
        )

    def verdict(self, counter: int, t_ns: int, **options: object) -> BeaconVerdict:
        return self.hear(counter, t_ns, **options).verdict  # type: ignore[arg-type]


def test_a_tag_that_is_heard_all_the_time() -> None:
    ear = Ear()
    first = ear.hear(1000, 0)
    assert first == Heard(verdict=GENUINE, counter_step=None, slot=SLOT, rssi_dbm=-60)
    assert first.is_alive
    for n in range(1, 50):
        heard = ear.hear(1000 + n, n * SECOND_NS // 10)
        assert (heard.verdict, heard.counter_step, heard.is_alive) == (GENUINE, 1, True)
    assert ear.watch.counts == {GENUINE: 50}


def test_lost_advertisements_are_a_longer_step() -> None:
    ear = Ear()
    ear.hear(0, 0)
    assert ear.hear(300, 30 * SECOND_NS).counter_step == 300
    assert ear.hear(5000, 500 * SECOND_NS).counter_step == 4700


def test_the_counter_goes_on_over_its_end() -> None:
    ear = Ear()
    ear.hear(2**32 - 2, 0)
    assert [ear.hear(n % 2**32, SECOND_NS).counter_step for n in range(2**32 - 1, 2**32 + 3)] == [1] * 4


def test_copies_of_other_receivers_say_nothing_about_now() -> None:
    ear = Ear()
    for n in range(20):
        ear.hear(n, n * SECOND_NS)
    for counter in (19, 19, 15, 3, 19):
        heard = ear.hear(counter, 20 * SECOND_NS)
        assert (heard.verdict, heard.counter_step, heard.is_alive) == (GENUINE, counter - 19, False)
    assert ear.hear(20, 21 * SECOND_NS).counter_step == 1


def test_a_receiver_that_lags_is_no_attack_in_either_order() -> None:
    """One receiver 29 s behind another one: what it says is old, and its own clock says so out of order."""
    ear = Ear()
    ear.hear(0, 0)
    for n in range(1, 600):
        assert ear.verdict(10 * n, n * SECOND_NS) is GENUINE
        if n > 29:
            late = ear.hear(10 * (n - 29) + 3, n * SECOND_NS - 5 * SECOND_NS)
            assert (late.verdict, late.is_alive) == (GENUINE, False)


@pytest.mark.parametrize("counter", [1000, 1005, 1009])
def test_a_counter_that_was_passed_long_ago_is_replayed(counter: int) -> None:
    ear = Ear()
    for n in range(10):
        ear.hear(1000 + n, n * SECOND_NS)
    late_ns = COPY_NS + 9 * SECOND_NS
    assert ear.verdict(counter, late_ns - SECOND_NS) is (GENUINE if counter == 1009 else REPLAYED)
    assert ear.verdict(counter, late_ns + 2 * SECOND_NS) is REPLAYED
    assert ear.verdict(1500, late_ns + 3 * SECOND_NS) is GENUINE, "the tag itself goes on"


def test_what_was_recorded_before_it_was_ever_heard_is_replayed_too() -> None:
    ear = Ear()
    ear.hear(20_000, 400 * SECOND_NS)
    assert ear.verdict(18_000, 401 * SECOND_NS) is REPLAYED, "2,000 events do not fit in half a minute"
    assert ear.verdict(19_000, 401 * SECOND_NS) is GENUINE, "a receiver may lag by 1,000"
    assert ear.verdict(19_000, 440 * SECOND_NS) is REPLAYED


def test_a_repeat_of_the_newest_is_a_copy_as_long_as_bluez_keeps_it() -> None:
    ear = Ear()
    ear.hear(7, 0)
    for second in range(1, 31):
        heard = ear.hear(7, second * SECOND_NS)
        assert (heard.verdict, heard.counter_step) == (GENUINE, 0)
    assert ear.verdict(7, 31 * SECOND_NS) is REPLAYED


def test_an_id_of_a_past_slot_is_replayed() -> None:
    ear = Ear()
    for ago in (2, 3, 100, PAST_SLOTS):
        assert ear.verdict(5, 0, slot=SLOT - ago) is REPLAYED
    assert ear.verdict(5, 0, slot=SLOT - PAST_SLOTS - 1) is STRANGER
    assert ear.verdict(5, 0, slot=SLOT + 2) is STRANGER


@pytest.mark.parametrize("clock_slots", [-1, 0, 1])
def test_a_tag_whose_clock_is_a_slot_off_is_genuine(clock_slots: int) -> None:
    ear = Ear()
    for n in range(300):
        t_ns = n * 10 * SECOND_NS
        slot = SLOT + t_ns // SLOT_NS + clock_slots
        assert ear.verdict(slot * 1_000_003 % 2**32 + n * 100, t_ns, slot=slot) is GENUINE


def test_a_slot_that_the_tag_has_left_is_replayed_once_no_copy_can_be_that_late() -> None:
    ear = Ear()
    ear.hear(100, 890 * SECOND_NS)
    assert ear.hear(77_000_000, 900 * SECOND_NS).counter_step is None
    late = ear.hear(110, 905 * SECOND_NS, slot=SLOT)
    assert (late.verdict, late.slot) == (GENUINE, SLOT)
    assert ear.verdict(111, 930 * SECOND_NS, slot=SLOT) is GENUINE
    assert ear.verdict(112, 931 * SECOND_NS, slot=SLOT) is REPLAYED
    assert ear.verdict(77_000_310, 931 * SECOND_NS) is GENUINE


def test_a_tag_that_restarts_again_and_again_is_genuine() -> None:
    ear = Ear()
    for restart in range(40):
        start = (restart * 2_654_435_761 + 12_345) % 2**32
        for n in range(20):
            heard = ear.hear((start + n) % 2**32, restart * 20 * SECOND_NS + n * SECOND_NS)
            assert heard.verdict is GENUINE
            assert heard.is_alive
    assert ear.watch.counts == {GENUINE: 800}


def test_copies_from_before_a_restart_are_genuine() -> None:
    ear = Ear()
    for n in range(100):
        ear.hear(n, n * SECOND_NS // 10)
    ear.hear(3_000_000_000, 12 * SECOND_NS)
    assert ear.verdict(99, 13 * SECOND_NS) is GENUINE
    assert ear.verdict(105, 41 * SECOND_NS) is GENUINE, "one that only the lagging receiver heard"


def test_two_senders_at_once_are_a_clone_and_both_of_them() -> None:
    ear = Ear()
    verdicts = []
    for n in range(900):
        t_ns = n * SECOND_NS // 10
        verdicts += [ear.verdict(1_000 + n, t_ns), ear.verdict(3_000_000_000 + n, t_ns)]
    first = verdicts.index(CLONED)
    assert set(verdicts[:first]) == {GENUINE}
    assert set(verdicts[first:]) == {CLONED}
    assert first <= 2 * 302, "told half a minute after the second one was heard"


def test_a_clone_that_is_heard_now_and_then() -> None:
    ear = Ear()
    for n in range(200):
        ear.hear(n, n * SECOND_NS)
        if n in (50, 150):
            ear.hear(2_000_000_000 + n * 10, n * SECOND_NS)
    assert ear.watch.counts[CLONED] >= 100


def test_the_next_slot_begins_without_suspicion() -> None:
    ear = Ear()
    for n in range(100):
        ear.hear(n, n * SECOND_NS)
        ear.hear(3_000_000_000 + n, n * SECOND_NS)
    assert ear.verdict(200, 110 * SECOND_NS) is CLONED
    assert ear.verdict(5_000, 900 * SECOND_NS) is GENUINE


def test_a_recording_from_before_a_restart_is_named_when_the_tag_goes_on() -> None:
    """Nobody heard 5,000 to 5,100 when they were sent: alone they look like a restart."""
    ear = Ear()
    for n in range(60):
        ear.hear(900_000_000 + n, n * SECOND_NS)
    assert ear.verdict(5_000, 60 * SECOND_NS) is GENUINE
    assert ear.verdict(900_000_095, 95 * SECOND_NS) is CLONED


def test_one_advertisement_at_two_places_is_a_clone() -> None:
    ear = Ear(site_by_receiver={"hall": "court", "door": "court", "kitchen": "home"})
    assert ear.verdict(1, 0, receiver="hall") is GENUINE
    assert ear.verdict(1, 0, receiver="door") is GENUINE
    assert ear.verdict(1, 0, receiver="phone") is GENUINE, "a receiver that is carried is in no place"
    assert ear.verdict(1, SECOND_NS, receiver="kitchen") is CLONED
    assert ear.verdict(2, SECOND_NS, receiver="kitchen") is GENUINE, "he may have gone there by the next one"


def test_a_stranger_and_a_forgery() -> None:
    ear = Ear()
    stranger = ear.hear(1, 0, key=OTHER_KEY)
    assert stranger == Heard(verdict=STRANGER, counter_step=None, slot=None, rssi_dbm=-60)
    data = encode_beacon(KEY, slot=SLOT, counter=1, strap_open=True, battery_pct=80)
    beacon = read(decode_beacon, data)
    for forged in (
        replace(beacon, strap_open=False),
        replace(beacon, battery_pct=81),
        replace(beacon, counter=2),
        replace(beacon, mac=bytes(4)),
    ):
        heard = ear.watch.hear(forged, t_rx_utc_ns=START_UTC_NS, t_rx_mono_ns=0)
        assert (heard.verdict, heard.slot, heard.is_alive) == (FORGED, SLOT, False)
    assert ear.watch.counts == {STRANGER: 1, FORGED: 4}
    moved = replace(beacon, rolling_id=read(decode_beacon, encode_beacon(
        KEY, slot=SLOT + 1, counter=1, strap_open=True, battery_pct=80)).rolling_id)  # fmt: skip
    assert ear.watch.hear(moved, t_rx_utc_ns=START_UTC_NS, t_rx_mono_ns=0).verdict is FORGED, "a mac is of its slot"


def test_a_forgery_moves_nothing() -> None:
    ear = Ear()
    ear.hear(10, 0)
    forged = replace(read(decode_beacon, encode_beacon(
        KEY, slot=SLOT, counter=10, strap_open=False, battery_pct=80)), counter=5_000)  # fmt: skip
    ear.watch.hear(forged, t_rx_utc_ns=START_UTC_NS, t_rx_mono_ns=SECOND_NS)
    assert ear.hear(11, SECOND_NS).counter_step == 1


def test_the_hosts_clock_may_be_set_within_a_slot() -> None:
    ear = Ear()
    ear.hear(1, 0)
    data = encode_beacon(KEY, slot=SLOT, counter=2, strap_open=False, battery_pct=80)
    for shift_ns in (-SLOT_NS, -1, 0, SLOT_NS - 1, SLOT_NS):
        heard = ear.watch.hear(read(decode_beacon, data), t_rx_utc_ns=START_UTC_NS + shift_ns, t_rx_mono_ns=SECOND_NS)
        assert heard.verdict is GENUINE


def test_a_key_that_is_too_short_is_told_at_once() -> None:
    with pytest.raises(EncodeError, match="key: expected at least 16 octets"):
        BeaconWatch(b"short")


def weight(value: object, seen: set[int]) -> int:
    """Octets of everything that a watch holds."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    total = sys.getsizeof(value)
    if isinstance(value, dict):
        total += sum(weight(key, seen) + weight(row, seen) for key, row in value.items())
    elif isinstance(value, str | bytes | int):
        pass
    elif hasattr(value, "__slots__"):
        total += sum(weight(getattr(value, name), seen) for name in value.__slots__)
    elif hasattr(value, "__iter__"):
        total += sum(weight(row, seen) for row in value)
    return total


def test_what_it_holds_does_not_grow() -> None:
    """Every advertisement a new start of the tag, at two places, over three slots."""
    ear = Ear(site_by_receiver={"hall": "court", "kitchen": "home"})
    ear.hear(0, 0)
    at_first = weight(ear.watch, set())
    for n in range(9_000):
        counter = n * 2_654_435_761 % 2**32 if n < 4_500 else n
        ear.hear(counter, n * SECOND_NS * 3 // 10, receiver=("hall", "kitchen")[n % 2])
    assert weight(ear.watch, set()) < at_first + 400_000
    assert at_first < 200_000
