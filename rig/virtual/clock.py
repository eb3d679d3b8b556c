"""A clock that stands still while anybody works, and jumps when nobody has anything to do."""

import asyncio
import math
import os
import select
import selectors
import threading
from collections.abc import Callable
from typing import Any, Final

from rig.emulator.clock import NS_PER_S, SEEDED_START_UTC_NS

START_MONO_NS: Final = 1_000 * NS_PER_S
"""First reading of the monotonic clock, nanoseconds: event loops count in floating point, and near zero their steps are
far below a nanosecond."""

_LOOK_S: Final = 1.0
"""A thread that waits for virtual time looks at the clock at least so often, real seconds; it is woken anyway."""


class Sleeper:
    """A foreign thread that waits for sockets or for virtual time, whichever comes first."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        selector.register(self._alarm, selectors.EVENT_READ)
        self.due_mono_ns: int | None = None
        self.turns = 0

    @property
    def is_over(self) -> bool:
        """Whether the thread has closed its selector."""
        return self._find_fileno() is None

    @property
    def is_busy(self) -> bool:
        """Whether it works, or is about to: what wakes it lies there until it has said that it is awake."""
        if self.due_mono_ns is None:
            return not self.is_over
        number = self._find_fileno()
        if number is None:
            return False
        # an epoll descriptor is readable itself while anything that it watches is
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

    def wait(self, timeout_s: float, mono_ns: Callable[[], int], poke: Callable[[], None]) -> list[Any]:
        """Wait; called by the thread itself. Any: pairs of a selector key and a mask."""
        ready = self._take(0)
        if ready or timeout_s <= 0:
            self.turns += 1
            return ready
        due = self.due_mono_ns = mono_ns() + math.ceil(timeout_s * NS_PER_S)
        poke()
        try:
            while True:
                ready = self._take(_LOOK_S)
                if ready or mono_ns() >= due:
                    return ready
        finally:
            self.turns += 1
            self.due_mono_ns = None

    def wake(self) -> None:
        """Have it look at the clock."""
        if not self.is_over:
            os.eventfd_write(self._alarm, 1)

    def close(self) -> None:
        """Release what is ours; the selector is the thread's."""
        os.close(self._alarm)

    def _take(self, timeout_s: float) -> list[Any]:
        ready = self._selector.select(timeout_s)
        if any(key.fd == self._alarm for key, _ in ready):
            os.eventfd_read(self._alarm)
            ready = [(key, mask) for key, mask in ready if key.fd != self._alarm]
        return ready

    def _find_fileno(self) -> int | None:
        try:
            return self._selector.fileno()  # type: ignore[attr-defined,no-any-return]  # epoll, kqueue have one
        except ValueError:
            return None


class VirtualClock:
    """Both clocks of a virtual run; ``advance`` is the loop's alone.

    Parameters
    ----------
    start_utc_ns : int
        UTC at the start; fixed, so that a seed alone fixes every byte.
    """

    def __init__(self, start_utc_ns: int = SEEDED_START_UTC_NS) -> None:
        self._now_ns = START_MONO_NS
        self._utc_offset_ns = start_utc_ns - START_MONO_NS
        self._lock = threading.Lock()
        self._sleepers: dict[int, Sleeper] = {}
        self._poke: Callable[[], None] = _nobody

    def mono_ns(self) -> int:
        """Nanoseconds since an arbitrary moment."""
        return self._now_ns

    def utc_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
        return self._now_ns + self._utc_offset_ns

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once ``mono_ns()`` has reached the given value."""
        loop = asyncio.get_running_loop()
        while mono_ns > self._now_ns:
            woken: asyncio.Future[None] = loop.create_future()
            handle = loop.call_at(mono_ns / NS_PER_S, _wake, woken)
            try:
                await woken
            finally:
                handle.cancel()

    def select(self, selector: selectors.BaseSelector, timeout_s: float) -> list[Any]:
        """Wait as ``selector.select`` does, with the timeout in virtual time; for threads beside the loop."""
        sleeper = self._sleepers.get(id(selector))
        if sleeper is None:
            sleeper = Sleeper(selector)
            with self._lock:
                self._sleepers[id(selector)] = sleeper
        return sleeper.wait(timeout_s, self.mono_ns, self._poke)

    # The loop's side.

    def on_poke(self, poke: Callable[[], None]) -> None:
        """Have the loop told when a thread begins to wait."""
        self._poke = poke

    @property
    def sleepers(self) -> tuple[Sleeper, ...]:
        """Threads that wait by this clock; those that have ended are let go."""
        with self._lock:
            for key in [key for key, sleeper in self._sleepers.items() if sleeper.is_over]:
                self._sleepers.pop(key).close()
            return tuple(self._sleepers.values())

    @property
    def turns(self) -> int:
        """How often the threads have woken, all together; counted before they do anything."""
        return sum(sleeper.turns for sleeper in self.sleepers)

    def is_any_busy(self) -> bool:
        """Whether a thread works, or is about to."""
        return any(sleeper.is_busy for sleeper in self.sleepers)

    @property
    def find_due_mono_ns(self) -> int | None:
        """When the first of the waiting threads wants to be woken."""
        due = [sleeper.due_mono_ns for sleeper in self.sleepers]
        return min((each for each in due if each is not None), default=None)

    def advance(self, mono_ns: int) -> None:
        """Jump, and wake whose time has come."""
        self._now_ns = max(self._now_ns, mono_ns)
        for sleeper in self.sleepers:
            due = sleeper.due_mono_ns
            if due is not None and due <= self._now_ns:
                sleeper.wake()

    def close(self) -> None:
        """Let go of the threads."""
        self._poke = _nobody
        with self._lock:
            for sleeper in self._sleepers.values():
                sleeper.close()
            self._sleepers.clear()


class ShiftedClock:
    """The clock of one program: it may be wrong in UTC, by a step or by a rate, and is right in its durations.

    Parameters
    ----------
    clock : VirtualClock

    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._offset_ns = 0
        self._ppm = 0.0
        self._since_mono_ns = clock.mono_ns()

    def mono_ns(self) -> int:
        """See ``Clock``."""
        return self._clock.mono_ns()

    def utc_ns(self) -> int:
        """See ``Clock``."""
        drift_ns = round((self._clock.mono_ns() - self._since_mono_ns) * self._ppm / 1e6) if self._ppm else 0
        return self._clock.utc_ns() + self._offset_ns + drift_ns

    async def sleep_until(self, mono_ns: int) -> None:
        """See ``Clock``."""
        await self._clock.sleep_until(mono_ns)

    def select(self, selector: selectors.BaseSelector, timeout_s: float) -> list[Any]:
        """See ``ThreadClock``."""
        return self._clock.select(selector, timeout_s)

    def set_offset(self, offset_s: float) -> None:
        """Have it show so many seconds more than the right time, from now on."""
        self._offset_ns = round(offset_s * NS_PER_S)

    def set_skew(self, ppm: float) -> None:
        """Have it run fast by so much from now on; 0 ends it and the offset that it brought."""
        self._since_mono_ns, self._ppm = self._clock.mono_ns(), ppm


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _nobody() -> None:
    return
