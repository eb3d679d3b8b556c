"""The provider's own checks: counting must find what is missing, double or out of order."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.messages import Trace
from rig.provider.hops import HopStats, find_hops
from rig.provider.streams import MAX_MISSING, Arrival, StreamCheck


def feed(numbers: list[int]) -> tuple[StreamCheck, list[Arrival]]:
    check = StreamCheck()
    return check, [check.take("s", "e", n) for n in numbers]


def test_gap_late_duplicate() -> None:
    check, arrivals = feed([5, 6, 9, 7, 7, 9, 10])
    assert arrivals == [
        Arrival.IN_ORDER,
        Arrival.IN_ORDER,
        Arrival.GAP,
        Arrival.LATE,
        Arrival.DUPLICATE,
        Arrival.DUPLICATE,
        Arrival.IN_ORDER,
    ]
    assert (check.missing, check.duplicates, check.out_of_order) == (1, 2, 1)
    assert check.missing_by_source() == {"s": [8]}


@given(st.permutations(range(1, 30)))
def test_any_order_of_all_numbers_misses_only_those_before_the_first(numbers: list[int]) -> None:
    check, _ = feed(numbers)
    # The count begins with the first number seen: what is below it belongs to the time before.
    assert check.missing == 0
    assert check.duplicates == sum(n < numbers[0] for n in numbers)


def test_a_new_epoch_begins_anew() -> None:
    check = StreamCheck()
    for epoch in ("a", "b"):
        for n in (1, 2):
            assert check.take("s", epoch, n) is Arrival.IN_ORDER


def test_a_wild_jump_does_not_grow_memory() -> None:
    check, _ = feed([1, 10**12])
    assert check.missing == 10**12 - 2
    assert sum(len(stream.missing) for stream in check._streams.values()) == MAX_MISSING


def test_hops_only_on_the_machine_that_stamped() -> None:
    trace = Trace(
        boot_id="b",
        device_id="t",
        rx_mono_ns=0,
        decoded_mono_ns=1_000_000,
        judged_mono_ns=3_000_000,
        submitted_mono_ns=6_000_000,
    )
    assert find_hops(trace, 10_000_000, "other") is None
    hops = find_hops(trace, 10_000_000, "b")
    assert hops is not None
    assert hops.values_ms == (1.0, 2.0, 3.0, 4.0, 10.0)
    stats = HopStats()
    for _ in range(100):
        stats.add(hops)
    assert list(stats.rows())[-1] == ("whole way", 100, 10.0, 10.0, 10.0)
