"""Alerts that a broker took and the provider has not confirmed: when each is to be sent again."""

import heapq
from dataclasses import dataclass

from bridge.outbox.port import RECEIPT_BACKOFF_MAX_NS
from bridge.publisher import Message

TRACKED_MAX = 10_000
"""Alerts whose receipts are waited for at a time, 3 MB; later ones take their turn as these are confirmed. A provider
that is so far behind gets the oldest first."""


@dataclass(slots=True, kw_only=True)
class _Owed:
    source: str
    sequence: int
    event_id: str
    tries: int = 0
    acked_mono_ns: int = 0
    is_scheduled: bool = False


class OwedReceipts:
    """Deadlines of receipts, in memory; the rows on disk know which are owed.

    Attributes
    ----------
    is_complete : bool
        All that are owed are tracked.
    """

    def __init__(self) -> None:
        self._timeout_ns = 15_000_000_000
        self._owed: dict[int, _Owed] = {}
        self._of: dict[str, dict[int, _Owed]] = {}
        """The same by source: a receipt is about one, and there are thousands."""
        self._due: list[tuple[int, int]] = []
        # Those of earlier starts are loaded when receipts are first asked about.
        self.is_complete = False

    @property
    def room(self) -> int:
        """How many more may be tracked."""
        return TRACKED_MAX - len(self._owed)

    def note_acked(self, number: int, message: Message, now_mono_ns: int) -> None:
        """Wait for the receipt of an alert that was just taken by a broker."""
        owed = self._owed.get(number)
        if owed is None:
            if self.room <= 0:
                self.is_complete = False
                return
            owed = _Owed(source=message.source, sequence=message.sequence, event_id=message.event_id)
            self._owed[number] = owed
            self._of.setdefault(message.source, {})[number] = owed
        if owed.is_scheduled:
            return
        owed.is_scheduled = True
        owed.acked_mono_ns = now_mono_ns
        heapq.heappush(self._due, (self._due_mono_ns(owed), number))
        if len(self._due) > 2 * TRACKED_MAX:
            # Most of them are confirmed, and nobody asks what is due.
            self._schedule_anew()

    def _due_mono_ns(self, owed: _Owed) -> int:
        return owed.acked_mono_ns + min(self._timeout_ns << min(owed.tries, 20), RECEIPT_BACKOFF_MAX_NS)

    def set_timeout(self, timeout_ns: int) -> None:
        """Wait so long after the first sending, doubled with each."""
        if timeout_ns != self._timeout_ns:
            self._timeout_ns = timeout_ns
            self._schedule_anew()

    def _schedule_anew(self) -> None:
        waits = ((number, owed) for number, owed in self._owed.items() if owed.is_scheduled)
        self._due = [(self._due_mono_ns(owed), number) for number, owed in waits]
        heapq.heapify(self._due)

    def tracks(self, number: int) -> bool:
        """Whether a receipt is waited for."""
        return number in self._owed

    def take_due(self, now_mono_ns: int, most: int) -> list[int]:
        """Take the numbers of those that are to be sent again."""
        due: list[int] = []
        while self._due and self._due[0][0] <= now_mono_ns and len(due) < most:
            number = heapq.heappop(self._due)[1]
            owed = self._owed.get(number)
            if owed is not None:
                owed.tries += 1
                owed.is_scheduled = False
                due.append(number)
        return sorted(due)

    def forget(self, number: int) -> None:
        """Wait no longer for one."""
        owed = self._owed.pop(number, None)
        if owed is not None:
            of = self._of[owed.source]
            del of[number]
            if not of:
                del self._of[owed.source]

    def take_covered(self, source: str, upto: int | None, event_id: str | None) -> int:
        """Forget those that a receipt covers; returns how many."""
        covered = [
            number
            for number, owed in self._of.get(source, {}).items()
            if (upto is not None and owed.sequence <= upto) or (event_id is not None and owed.event_id == event_id)
        ]
        for number in covered:
            self.forget(number)
        return len(covered)
