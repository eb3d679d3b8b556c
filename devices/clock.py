"""Time as an argument. Only a clock may ask the machine what time it is.

Two clocks, two names: ``mono_ns`` for every duration and latency, ``utc_ns`` for what a person reads.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

Select = Callable[[float], list[tuple[selectors.SelectorKey, int]]]
"""Waits for so many seconds at most; gives what is ready."""


class Clock(Protocol):
    """Where time comes from. Implementations pass ``tests/conformance/test_clock.py``."""

    def mono_ns(self) -> int:
        """Nanoseconds on a clock that never steps back."""
        ...

    def utc_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
        ...

    async def sleep_until(self, mono_ns: int) -> None:
        """Return once ``mono_ns()`` has reached the given value."""
        ...


@runtime_checkable
class ThreadClock(Clock, Protocol):
    """A clock whose time passes otherwise than the machine's: it waits for a thread that waits by it."""

    def select(self, selector: selectors.BaseSelector, timeout_s: float) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as ``selector.select`` does; the timeout is this clock's."""
        ...


def selecting_by(clock: Clock, selector: selectors.BaseSelector) -> Select:
    """Return what a thread waits by for sockets, or until so much of a clock's time has passed."""
    return partial(clock.select, selector) if isinstance(clock, ThreadClock) else selector.select


class SystemClock:
    """The machine's own clocks."""

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC, shared by all processes of a machine."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns()

    async def sleep_until(self, mono_ns: int) -> None:
        """Sleep to an absolute deadline, so that errors do not add up."""
        while (left_ns := mono_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - waits for time, not for an event
            await asyncio.sleep(left_ns / 1e9)
