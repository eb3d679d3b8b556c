"""One wheel of deadlines for all devices: a report only moves a number; nothing polls."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique

from devices.clock import Clock


@unique
class Due(IntEnum):
    """What a deadline stands for."""

    COMMS = 0
    """The device was not heard for interval + buffer."""
    LOCATION = 1
    """It gave no position for interval + buffer."""
    PAIR_AGE = 2
    """Its position is too old for a pair's band."""
    LATE_RUN = 3
    """No further late report came: the run is over."""
    WARNING = 4
    """Something about the warning of a protected person: an answer that is owed, a repeat, the end of a hold."""
    INCIDENT = 5
    """An incident was quiet long enough to be closed; one deadline for all, on device 0."""


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A deadline of one device."""

    due: Due
    device_idx: int


class DeadlineWheel:
    """Deadlines that mostly move later.

    ``touch`` is one dictionary write unless the deadline moves earlier; the heap holds at most one outdated entry per
    deadline, which is put right when it comes up. So a fleet at 10 Hz wakes nobody.
    """

    def __init__(self) -> None:
        self._due_mono_ns: dict[Deadline, int] = {}
        self._in_heap_mono_ns: dict[Deadline, int] = {}
        self._heap: list[tuple[int, Deadline]] = []
        self.on_earlier: Callable[[], None] | None = None

    def touch(self, deadline: Deadline, due_mono_ns: int) -> None:
        """Set or move a deadline."""
        self._due_mono_ns[deadline] = due_mono_ns
        planned = self._in_heap_mono_ns.get(deadline)
        if planned is None or due_mono_ns < planned:
            self._push(deadline, due_mono_ns)

    def cancel(self, deadline: Deadline) -> None:
        """Forget a deadline; harmless if there is none."""
        self._due_mono_ns.pop(deadline, None)

    def find_next_mono_ns(self) -> int | None:
        """When to look next; never later than the earliest deadline."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_mono_ns: int) -> list[Deadline]:
        """Remove and return the deadlines that have passed, earliest first."""
        passed = []
        while self._heap and self._heap[0][0] <= now_mono_ns:
            planned, deadline = heapq.heappop(self._heap)
            if self._in_heap_mono_ns.get(deadline) != planned:
                continue
            del self._in_heap_mono_ns[deadline]
            due = self._due_mono_ns.get(deadline)
            if due is None:
                continue
            if due > now_mono_ns:
                self._push(deadline, due)
            else:
                del self._due_mono_ns[deadline]
                passed.append(deadline)
        return passed

    def _push(self, deadline: Deadline, due_mono_ns: int) -> None:
        self._in_heap_mono_ns[deadline] = due_mono_ns
        heapq.heappush(self._heap, (due_mono_ns, deadline))
        if self._heap[0][1] == deadline and self.on_earlier is not None:
            self.on_earlier()


async def watch(wheel: DeadlineWheel, clock: Clock, on_due: Callable[[list[Deadline], int], None]) -> None:
    """Call ``on_due`` with the deadlines that passed and the time; runs until cancelled.

    One sleep at a time, to the earliest deadline; a deadline that moves before it ends the sleep.
    """
    earlier = asyncio.Event()
    wheel.on_earlier = earlier.set
    try:
        while True:
            earlier.clear()
            due_mono_ns = wheel.find_next_mono_ns()
            if due_mono_ns is None:
                await earlier.wait()
                continue
            sleep = asyncio.ensure_future(clock.sleep_until(due_mono_ns))
            moved = asyncio.ensure_future(earlier.wait())
            try:
                await asyncio.wait({sleep, moved}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                moved.cancel()
            now_mono_ns = clock.mono_ns()
            passed = wheel.take_due(now_mono_ns)
            if passed:
                on_due(passed, now_mono_ns)
    finally:
        wheel.on_earlier = None
