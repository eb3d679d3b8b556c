from bridge.ordering import FixOrder, Placement

S = 1_000_000_000


def place(order: FixOrder, t_s: float, rx_s: float, *, stored: bool = False) -> Placement:
    placement, _ = order.place(int(t_s * S), int(rx_s * S), stored=stored)
    order.end_batch()
    return placement


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
    assert [order.place(t * S, 0, stored=False)[0] for t in (3, 1, 2)] == [Placement.LIVE] * 3
    order.end_batch()
    assert order.place(2 * S, 0, stored=False)[0] is Placement.LATE


def test_repeated_times_stay_live_and_rise_by_a_nanosecond() -> None:
    order = FixOrder()
    judged = []
    for _ in range(5):
        placement, t_ns = order.place(7 * S, 0, stored=False)
        order.end_batch()
        assert placement is Placement.LIVE
        judged.append(t_ns)
    assert judged == [7 * S + n for n in range(5)]


def test_a_stored_repetition_is_late() -> None:
    order = FixOrder()
    place(order, 7, 0)
    assert place(order, 7, 1, stored=True) is Placement.LATE


def test_a_clock_set_back_is_believed_after_five_that_agree() -> None:
    order = FixOrder()
    place(order, 1_000_000, 0)
    placements = [place(order, 100 + n, 10 + n) for n in range(6)]
    assert placements == [Placement.LATE] * 4 + [Placement.STEPPED, Placement.LIVE]


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
    assert [place(order, 100 + 60 * n, 10 + 60 * n) for n in range(5)][-1] is Placement.STEPPED
