"""A clock that gives the readings that were written down."""

from collections.abc import Sequence


class RecordedClock:
    """Gives each turn the readings that it took then.

    Where a turn asks more often than it did, because the code under it has changed, it gets the last reading again and
    ``extra`` says so.
    """

    def __init__(self) -> None:
        self._mono: list[int] = []
        self._utc: list[int] = []
        self._last_mono_ns = 0
        self._last_utc_ns = 0
        self.extra = 0

    @property
    def left(self) -> int:
        """Readings of this turn that nobody asked for."""
        return len(self._mono) + len(self._utc)

    def begin(
        self, mono: Sequence[int], utc: Sequence[int], *, now_mono_ns: int | None, now_utc_ns: int | None
    ) -> None:
        """Begin a turn; ``now_...`` is when it was, for readings of which nothing is known."""
        self._mono = list(reversed(mono))
        self._utc = list(reversed(utc))
        self._last_mono_ns = self._last_mono_ns if now_mono_ns is None else now_mono_ns
        self._last_utc_ns = self._last_utc_ns if now_utc_ns is None else now_utc_ns
        self.extra = 0

    def mono_ns(self) -> int:
        """Give the next reading of the monotonic clock."""
        if self._mono:
            self._last_mono_ns = self._mono.pop()
        else:
            self.extra += 1
        return self._last_mono_ns

    def utc_ns(self) -> int:
        """Give the next reading of UTC."""
        if self._utc:
            self._last_utc_ns = self._utc.pop()
        else:
            self.extra += 1
        return self._last_utc_ns

    async def sleep_until(self, mono_ns: int) -> None:
        """Not wait: what happened next is written down."""
