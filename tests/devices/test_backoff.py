"""Waits before a port is tried again."""

import random

from devices.backoff import CAP_NS, FIRST_NS, Backoff


def test_waits_double_to_the_cap_and_each_keeps_at_least_half() -> None:
    backoff = Backoff(random.Random(1))
    full = FIRST_NS
    for _ in range(20):
        assert full / 2 <= backoff.next_ns() <= full
        full = min(2 * full, CAP_NS)
    assert full == CAP_NS == 5_000_000_000
    assert FIRST_NS == 50_000_000


def test_a_line_that_worked_begins_anew() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(10):
        backoff.next_ns()
    backoff.reset()
    assert backoff.next_ns() <= FIRST_NS


def test_the_same_seed_gives_the_same_waits_and_another_other_ones() -> None:
    def waits(seed: int) -> list[int]:
        backoff = Backoff(random.Random(seed))
        return [backoff.next_ns() for _ in range(8)]

    assert waits(1) == waits(1) != waits(2)
