"""What every clock promises."""

import asyncio
import time
from collections.abc import Callable

import pytest

from devices.clock import Clock, SystemClock
from tests.devices.manual_clock import ManualClock

MAKERS: list[Callable[[], Clock]] = [SystemClock, ManualClock]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


async def let_pass(clock: Clock, ns: int) -> None:
    if isinstance(clock, ManualClock):
        await clock.advance(ns)


async def test_time_never_steps_back(clock: Clock) -> None:
    seen = []
    for _ in range(1000):
        seen.append(clock.mono_ns())
        await let_pass(clock, 1)
    assert seen == sorted(seen)


async def test_both_clocks_are_whole_nanoseconds(clock: Clock) -> None:
    assert type(clock.mono_ns()) is int
    assert type(clock.utc_ns()) is int
    assert clock.utc_ns() > 1_600_000_000_000_000_000


async def test_both_clocks_run_at_the_same_speed(clock: Clock) -> None:
    mono_ns, utc_ns = clock.mono_ns(), clock.utc_ns()
    sleeper = asyncio.create_task(clock.sleep_until(mono_ns + 20_000_000))
    await let_pass(clock, 20_000_000)
    await sleeper
    assert abs((clock.utc_ns() - utc_ns) - (clock.mono_ns() - mono_ns)) < 10_000_000


async def test_a_sleep_ends_at_its_deadline_and_not_before(clock: Clock) -> None:
    deadline = clock.mono_ns() + 5_000_000
    sleeper = asyncio.create_task(clock.sleep_until(deadline))
    await let_pass(clock, 4_000_000)
    assert not sleeper.done() or clock.mono_ns() >= deadline
    await let_pass(clock, 1_000_000)
    await sleeper
    assert clock.mono_ns() >= deadline


async def test_a_deadline_that_has_passed_returns_at_once(clock: Clock) -> None:
    await asyncio.wait_for(clock.sleep_until(clock.mono_ns() - 1), 5)
    await asyncio.wait_for(clock.sleep_until(clock.mono_ns()), 5)


async def test_sleepers_wake_in_the_order_of_their_deadlines(clock: Clock) -> None:
    start = clock.mono_ns()
    order: list[int] = []

    async def sleep(n: int) -> None:
        await clock.sleep_until(start + n * 3_000_000)
        order.append(n)

    tasks = [asyncio.create_task(sleep(n)) for n in (3, 1, 2)]
    await let_pass(clock, 10_000_000)
    await asyncio.gather(*tasks)
    assert order == [1, 2, 3]


async def test_a_sleep_can_be_cancelled(clock: Clock) -> None:
    sleeper = asyncio.create_task(clock.sleep_until(clock.mono_ns() + 3_600_000_000_000))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper


def test_the_system_clock_is_shared_by_all_processes_of_the_machine() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert before <= SystemClock().mono_ns() <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)
