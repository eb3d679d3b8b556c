"""Virtual time: it jumps when nobody works, and stands still while anybody does."""

import asyncio
import selectors
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from bridge.mqtt.waiter import Waiter
from devices.clock import Clock, SystemClock, selecting_by
from rig.errors import BenchBrokenError
from rig.virtual import loop as loop_module
from rig.virtual.clock import START_MONO_NS, ShiftedClock, VirtualClock
from rig.virtual.loop import VirtualLoop, run_virtual
from tests.conformance import test_clock as conformance

S = 1_000_000_000


def play(main: Callable[[VirtualLoop, VirtualClock], Awaitable[None]]) -> None:
    clock = VirtualClock()

    async def run(loop: VirtualLoop) -> None:
        await main(loop, clock)

    run_virtual(run, clock)


async def long(_loop: VirtualLoop, clock: VirtualClock) -> None:
    before = clock.utc_ns()
    await asyncio.sleep(30 * 86_400)
    await clock.sleep_until(clock.mono_ns() + S)
    assert clock.utc_ns() - before == (30 * 86_400 + 1) * S


def test_a_month_passes_in_a_moment_and_to_the_nanosecond() -> None:
    play(long)


CLOCK_PROMISES = [
    conformance.test_time_never_steps_back,
    conformance.test_both_clocks_are_whole_nanoseconds,
    conformance.test_both_clocks_run_at_the_same_speed,
    conformance.test_a_sleep_ends_at_its_deadline_and_not_before,
    conformance.test_a_deadline_that_has_passed_returns_at_once,
    conformance.test_sleepers_wake_in_the_order_of_their_deadlines,
    conformance.test_a_sleep_can_be_cancelled,
]


@pytest.mark.parametrize("promise", CLOCK_PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("shifted", [False, True])
def test_the_clocks_keep_what_every_clock_promises(promise: Callable[[Clock], Awaitable[None]], shifted: bool) -> None:
    async def main(_loop: VirtualLoop, clock: VirtualClock) -> None:
        await promise(ShiftedClock(clock) if shifted else clock)

    play(main)


def test_timers_fire_in_order_each_at_its_time() -> None:
    seen: list[int] = []

    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        for ms in (300, 7, 150, 7.5):
            loop.call_later(ms / 1000, lambda: seen.append(clock.mono_ns() - START_MONO_NS))
        await asyncio.sleep(1)

    play(main)
    assert seen == [7_000_000, 7_500_000, 150_000_000, 300_000_000]


def test_timeouts_are_virtual() -> None:
    async def main(_loop: VirtualLoop, clock: VirtualClock) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        assert clock.mono_ns() - START_MONO_NS == 3600 * S

    play(main)


def test_what_a_socket_holds_comes_before_time_passes() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        one, other = socket.socketpair()
        with one, other:
            for each in (one, other):
                each.setblocking(False)
            reading = asyncio.create_task(loop.sock_recv(other, 10))
            loop.call_later(5, one.send, b"x")
            asyncio.get_running_loop().call_later(5.000001, reading.cancel)
            assert await reading == b"x"
            assert clock.mono_ns() - START_MONO_NS == 5 * S

    play(main)


class Walker:
    """A thread that waits by a clock, as the publisher's does."""

    def __init__(self, clock: Clock, sleepers: VirtualClock) -> None:
        self._clock = clock
        self._sleepers = sleepers
        self._waiter = Waiter(clock)
        self.at_ns: list[int] = []
        self.patience_s = 0.7
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, loop: VirtualLoop) -> None:
        self._loop = loop
        loop.add_gate("the walker's first wait", lambda: not self._sleepers.sleepers)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            self.at_ns.append(self._clock.mono_ns())
            self._waiter.wait({}, self.patience_s)
        self._waiter.close()

    def wake(self) -> None:
        self._waiter.wake()

    async def end(self) -> None:
        self._loop.remove_gate("the walker's first wait")
        self._is_over = True
        self.wake()
        await asyncio.to_thread(self._thread.join)


def test_a_thread_that_waits_by_the_clock_wakes_exactly_in_time() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        walker = Walker(clock, clock)
        walker.start(loop)
        await asyncio.sleep(100)
        assert walker.at_ns[:4] == [START_MONO_NS + k * 700_000_000 for k in range(4)]
        assert len(walker.at_ns) == 143
        await walker.end()

    play(main)


def test_a_woken_thread_holds_time_still_until_it_waits_again() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        walker = Walker(ShiftedClock(clock), clock)
        walker.patience_s = 1000.0
        walker.start(loop)
        for k in range(1, 50):
            await asyncio.sleep(1)
            walker.wake()
            await asyncio.sleep(0.001)
            assert len(walker.at_ns) == k + 1
            assert walker.at_ns[-1] == clock.mono_ns() - 1_000_000
        await walker.end()

    play(main)


def test_a_call_in_the_pool_holds_time_still() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        ready = threading.Event()
        loop.call_later(60, ready.set)
        before = clock.mono_ns()
        await asyncio.to_thread(lambda: ready.wait(0.05))
        assert clock.mono_ns() == before

    play(main)


def test_a_call_in_the_pool_that_waits_for_time_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "EXECUTOR_GRACE_S", 0.02)

    async def main(loop: VirtualLoop, _clock: VirtualClock) -> None:
        ready = threading.Event()
        loop.call_later(60, ready.set)
        assert await asyncio.to_thread(lambda: ready.wait(10))

    play(main)


def test_a_gate_holds_time_still_and_lets_it_go() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        opened = threading.Event()
        loop.add_gate("the door", lambda: not opened.is_set())

        def open_it() -> None:
            opened.set()
            loop.poke()

        timer = threading.Timer(0.03, open_it)
        timer.start()
        before = clock.mono_ns()
        await asyncio.sleep(10)
        assert opened.is_set()
        assert clock.mono_ns() - before == 10 * S
        timer.join()
        loop.remove_gate("the door")
        loop.remove_gate("the door")

    play(main)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loop_module, "PATIENCE_S", 0.05)
    return


@pytest.mark.usefixtures("impatient")
def test_a_gate_that_stays_busy_breaks_the_run_by_name_and_everything_still_ends() -> None:
    ended: list[str] = []

    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        walker = Walker(clock, clock)
        walker.start(loop)
        await asyncio.sleep(1)
        loop.add_gate("a broker that never answers", lambda: True)
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.sleep(3)
            await walker.end()
            ended.append("all")

    with pytest.raises(BenchBrokenError, match=r"waited 0\.05 s for a broker that never answers"):
        play(main)
    assert ended == ["all"]


@pytest.mark.usefixtures("impatient")
def test_a_run_in_which_nothing_is_due_is_broken_and_does_not_hang() -> None:
    async def main(_loop: VirtualLoop, _clock: VirtualClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(BenchBrokenError, match="nothing is, and nobody works"):
        play(main)


def test_what_main_raises_is_raised() -> None:
    async def main(_loop: VirtualLoop, _clock: VirtualClock) -> None:
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        play(main)


def test_a_clock_that_is_wrong_is_wrong_in_utc_only() -> None:
    async def main(_loop: VirtualLoop, clock: VirtualClock) -> None:
        shifted = ShiftedClock(clock)
        shifted.set_offset(2.5)
        assert shifted.utc_ns() - clock.utc_ns() == 2.5 * S
        shifted.set_offset(0)
        shifted.set_skew(200)
        await asyncio.sleep(1000)
        assert shifted.utc_ns() - clock.utc_ns() == 0.2 * S
        assert shifted.mono_ns() == clock.mono_ns()
        shifted.set_skew(0)
        assert shifted.utc_ns() == clock.utc_ns()

    play(main)


def test_a_thread_on_the_machines_clock_waits_as_ever() -> None:
    with selectors.DefaultSelector() as selector:
        assert selecting_by(SystemClock(), selector)(0.0) == []


def test_a_thread_that_has_ended_is_nobodys_business() -> None:
    async def main(loop: VirtualLoop, clock: VirtualClock) -> None:
        walker = Walker(clock, clock)
        walker.start(loop)
        await asyncio.sleep(1)
        await walker.end()
        assert not clock.sleepers
        await asyncio.sleep(10)

    play(main)
