"""A clock that stands still until a test moves it, so that a test of a five second limit takes no time."""

import asyncio
import heapq

SETTLE_ROUNDS = 20
"""Turns of the event loop after each wake-up: enough for the task that woke to do its work and sleep again."""


class ManualClock:
    def __init__(self, *, mono_ns: int = 1_000_000_000, utc_ns: int = 1_700_000_000_000_000_000) -> None:
        self._mono_ns = mono_ns
        self._offset_ns = utc_ns - mono_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._n_sleeps = 0

    def mono_ns(self) -> int:
        return self._mono_ns

    def utc_ns(self) -> int:
        return self._mono_ns + self._offset_ns

    async def sleep_until(self, mono_ns: int) -> None:
        while self._mono_ns < mono_ns:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._n_sleeps += 1
            heapq.heappush(self._sleepers, (mono_ns, self._n_sleeps, waiter))
            await waiter

    @property
    def next_deadline_ns(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, ns: int) -> None:
        """Move on by so much, stopping at each deadline in between."""
        until = self._mono_ns + ns
        await self.settle()
        while (deadline := self.next_deadline_ns) is not None and deadline <= until:
            self._mono_ns = max(self._mono_ns, deadline)
            heapq.heappop(self._sleepers)[2].set_result(None)
            await self.settle()
        self._mono_ns = until
        await self.settle()

    async def settle(self) -> None:
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)
