"""Store-and-forward memory: what could not be sent waits, oldest first, in bounded space."""

from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DEFAULT_CAPACITY: Final = 14_400
"""Epochs kept: ten days at one a minute. Smaller loses the start of a long outage sooner."""

BACKFILL_PER_EPOCH: Final = 8
"""Stored epochs sent after each live one once the link is back (a): live positions are never held up by history."""


class StoreAndForward(Generic[T]):
    """A ring of epochs; when full, the oldest is lost and counted."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._ring: deque[T] = deque()
        self._capacity = capacity
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._ring)

    def put(self, item: T) -> None:
        """Keep one more."""
        if len(self._ring) >= self._capacity:
            self._ring.popleft()
            self.dropped += 1
        self._ring.append(item)

    def take(self, count: int) -> list[T]:
        """Take the oldest ones out, at most so many."""
        return [self._ring.popleft() for _ in range(min(count, len(self._ring)))]
