import itertools

import pytest

from bridge.ordering import AHEAD_RUN, FixOrder, LateRun, Placement

S = 1_000_000_000
HOST_S = 1_000_000
"""The host's UTC when its monotonic clock was 0."""


def place(order: FixOrder, t_s: float | None, rx_s: float, *, stored: bool = False) -> Placement:
    placement, _ = place_in_batch(order, t_s, rx_s, stored=stored)
    order.end_batch()
    return placement


def place_in_batch(
    order: FixOrder, t_s: float | None, rx_s: float = 0, *, stored: bool = False
) -> tuple[Placement, int]:
    return order.place(
        None if t_s is None else round(t_s * S), round(rx_s * S), t_rx_utc_ns=round((HOST_S + rx_s) * S), stored=stored
    )


def test_newer_is_live_older_is_late() -> None:
    order = FixOrder()
    assert [place(order, t, 0) for t in (10, 11, 9, 12)] == [
        Placement.LIVE,
        Placement.LIVE,
        Placement.LATE,
        Placement.LIVE,
    ]


def test_within_one_batch_the_order_of_arrival_does_not_matter() -> None:
    order = FixOrder()
    assert [place_in_batch(order, t)[0] for t in (3, 1, 2)] == [Placement.LIVE] * 3
    order.end_batch()
    assert place_in_batch(order, 2)[0] is Placement.LATE


def test_repeated_times_stay_live_and_rise_by_a_nanosecond() -> None:
    order = FixOrder()
    judged = []
    for _ in range(5):
        placement, t_ns = place_in_batch(order, 7)
        order.end_batch()
        assert placement is Placement.LIVE
        judged.append(t_ns)
    assert judged == [7 * S + n for n in range(5)]


def test_a_clock_that_stands_still_stays_live_for_as_long_as_it_stands() -> None:
    order = FixOrder()
    assert {place(order, 7, 0.1 * n) for n in range(5000)} == {Placement.LIVE}


def test_times_to_judge_by_are_unique_within_a_batch_and_across_batches() -> None:
    order = FixOrder()
    judged = []
    for batch in ((7, 7, 6), (7, 7, None), (None, 7, 8, 7)):
        judged.append([place_in_batch(order, t)[1] for t in batch])
        order.end_batch()
    flat = [t for batch in judged for t in batch]
    assert len(set(flat)) == len(flat)
    assert all(max(before) < min(after) for before, after in itertools.pairwise(judged))


def test_a_stored_repetition_is_late() -> None:
    order = FixOrder()
    place(order, 7, 0)
    assert place(order, 7, 1, stored=True) is Placement.LATE


@pytest.mark.parametrize("rate_hz", [1 / 60, 0.2, 0.5, 1, 1.2, 1.5, 2, 5, 10, 25])
@pytest.mark.parametrize("back_s", [3600, 900_000])
def test_a_clock_set_back_is_live_again_after_three_seconds_at_any_rate(rate_hz: float, back_s: float) -> None:
    order = FixOrder()
    place(order, HOST_S, 0)
    count = int(6 * rate_hz) + 3
    placements = [place(order, HOST_S - back_s + n / rate_hz, n / rate_hz) for n in range(1, 1 + count)]
    stepped = placements.index(Placement.STEPPED)
    assert 3 <= stepped / rate_hz <= max(3 + 1 / rate_hz, 5)
    assert set(placements[:stepped]) == {Placement.LATE}
    assert set(placements[stepped + 1 :]) <= {Placement.LIVE}


def test_a_clock_in_whole_seconds_set_back_is_believed_too() -> None:
    order = FixOrder()
    place(order, HOST_S, 0)
    placements = [place(order, 100 + (n + 9) // 10, 10 + n / 10) for n in range(60)]
    assert Placement.STEPPED in placements[:46]


def test_a_clock_set_back_is_believed_after_a_burst() -> None:
    order = FixOrder()
    place(order, HOST_S, 0)
    assert {place(order, 100 + n, 10) for n in range(50)} == {Placement.LATE}
    assert Placement.STEPPED in [place(order, 150 + n, 11 + n) for n in range(6)]


def test_a_memory_read_out_fast_is_never_a_step() -> None:
    order = FixOrder()
    place(order, 1_000_000, 0)
    assert {place(order, 100 + n, 10 + 0.1 * n) for n in range(200)} == {Placement.LATE}


def test_stored_fixes_are_never_a_step() -> None:
    order = FixOrder()
    place(order, 1_000_000, 0)
    assert {place(order, 100 + n, 10 + n, stored=True) for n in range(50)} == {Placement.LATE}


def test_slow_intervals_step_too() -> None:
    order = FixOrder()
    place(order, 1_000_000, 0)
    assert [place(order, 100 + 60 * n, 10 + 60 * n) for n in range(2)] == [Placement.LATE, Placement.STEPPED]


DAY_S = 86_400


@pytest.mark.parametrize("interval_s", [0.1, 1, 60])
def test_one_date_far_ahead_changes_nothing_after_it(interval_s: float) -> None:
    order = FixOrder()
    placements = []
    for n in range(20):
        t_s = n * interval_s
        placements.append(place(order, HOST_S + t_s + (DAY_S if n in {7, 12, 13} else 0), t_s))
    assert [n for n, placement in enumerate(placements) if placement is not Placement.LIVE] == [7, 12, 13]
    assert placements[7] is Placement.UNDATED


def test_a_clock_that_stays_far_ahead_is_believed() -> None:
    order = FixOrder()
    place(order, HOST_S, 0)
    placements = [place(order, HOST_S + DAY_S + n, n) for n in range(1, 6)]
    assert placements == [Placement.UNDATED] * (AHEAD_RUN - 1) + [Placement.LIVE] * (6 - AHEAD_RUN)


def test_a_memory_that_tells_of_tomorrow_is_late() -> None:
    order = FixOrder()
    place(order, HOST_S, 0)
    assert place(order, HOST_S + DAY_S, 1, stored=True) is Placement.LATE
    assert place(order, HOST_S + 2, 2) is Placement.LIVE


@pytest.mark.parametrize("step_s", [1, 60, 1200])
def test_an_emulator_far_faster_than_time_stays_live(step_s: float) -> None:
    order = FixOrder()
    assert {place(order, HOST_S + step_s * n, 0.001 * n) for n in range(500)} == {Placement.LIVE}


def test_a_recording_with_gaps_stays_live() -> None:
    order = FixOrder()
    assert {place(order, 50_000 * n, 0.1 * n) for n in range(20)} == {Placement.LIVE}


def test_a_host_that_is_behind_does_not_doubt_a_tag_that_was_silent() -> None:
    order = FixOrder()
    assert place(order, HOST_S + DAY_S, 0) is Placement.LIVE
    assert place(order, HOST_S + DAY_S + 20_000, 20_000) is Placement.LIVE


def test_fixes_without_a_time_do_not_make_those_with_one_late() -> None:
    order = FixOrder()
    # The host is five seconds ahead.
    placements = [place(order, None if n % 2 == 0 else HOST_S - 5 + n, n) for n in range(20)]
    assert set(placements[::2]) == {Placement.UNDATED}
    assert set(placements[1::2]) == {Placement.LIVE}


def test_a_memory_without_a_time_is_late() -> None:
    assert place(FixOrder(), None, 0, stored=True) is Placement.LATE


def test_a_late_run_ends_at_an_older_fix_not_at_a_repeated_time() -> None:
    run = LateRun()
    assert not run.is_ended_by(5)
    assert [run.take(5), run.take(5), run.take(7)] == [5, 6, 7]
    assert not run.is_ended_by(7)
    assert run.is_ended_by(6)
    run.close()
    assert not run.is_ended_by(1)
    assert run.take(1) == 1
