"""How long delivered messages are kept, and deleting them a few at a time."""

import sys

from bridge.outbox import schema as sql
from bridge.outbox.disk import Disk
from devices.clock import Clock

PURGE_REST_NS = 60_000_000_000
"""How long nothing is looked for once everything old is deleted: a day's rows do not get old at once."""

CLOCK_SET_NS = 3_600_000_000_000
"""A clock that was set by more than this since the start, in either direction, is not believed for a while."""

DISTRUST_NS = 86_400_000_000_000
"""So long: a day to put a wrong clock right before evidence is deleted by it."""


class Retention:
    """Deletes what is old, in the order of its number; what was never delivered stays.

    Parameters
    ----------
    clock : Clock
    keep_ns : int
    paths : int
    newest_utc_ns : int or None
        Newest row at the start. If all of them look old, either the bridge was off for long or its clock is wrong.
    """

    def __init__(self, *, clock: Clock, keep_ns: int, paths: int, newest_utc_ns: int | None) -> None:
        self._clock = clock
        self._keep_ns = keep_ns
        self._paths = paths
        self._cursor = 0
        self._rests_until_mono_ns = 0
        self._offset_ns = clock.utc_ns() - clock.mono_ns()
        if newest_utc_ns is not None and newest_utc_ns < clock.utc_ns() - keep_ns:
            self._rests_until_mono_ns = clock.mono_ns() + DISTRUST_NS

    def purge(self, disk: Disk, now_mono_ns: int, max_rows: int) -> int:
        """Delete up to ``max_rows``; returns how many."""
        now_utc_ns = self._clock.utc_ns()
        offset_ns = now_utc_ns - self._clock.mono_ns()
        if abs(offset_ns - self._offset_ns) > CLOCK_SET_NS:
            self._offset_ns = offset_ns
            self._rests_until_mono_ns = now_mono_ns + DISTRUST_NS
        if now_mono_ns < self._rests_until_mono_ns or not disk.works:
            return 0
        deleted, is_over = self._delete(disk, now_mono_ns, max_rows, sys.maxsize, now_utc_ns - self._keep_ns)
        if is_over:
            self._rests_until_mono_ns = now_mono_ns + PURGE_REST_NS
        return deleted

    def purge_below(self, disk: Disk, now_mono_ns: int, max_rows: int, number: int) -> int:
        """Delete up to ``max_rows`` with lower numbers, whatever their age; returns how many."""
        return self._delete(disk, now_mono_ns, max_rows, number, sys.maxsize)[0]

    def _delete(self, disk: Disk, now_mono_ns: int, max_rows: int, number: int, before_utc_ns: int) -> tuple[int, bool]:
        rows = disk.ask(sql.OLDEST, (self._cursor, max_rows)) or []
        old = [row for row in rows if row[3] < before_utc_ns and row[0] < number]
        deleted = 0
        for each, state_0, state_1, t_utc_ns, receipt in old:
            if {sql.NEW, sql.REJECTED, sql.DAMAGED} & {state_0, *((state_1,) if self._paths > 1 else ())}:
                continue
            if t_utc_ns < 0 or receipt < 0 or not {state_0, state_1} <= sql.STATES:
                # Evidence does not go before it was told that it is damaged.
                if receipt != sql.SET_ASIDE_RECEIPT:
                    disk.load(sql.LOAD_NUMBER, (each,), 1)
                continue
            deleted += 1
            disk.note((sql.DELETE_ROW, (each,)), now_mono_ns)
        is_over = len(old) < max_rows
        # From the beginning again once all was seen: what waited may have been delivered since.
        self._cursor = 0 if is_over else old[-1][0] + 1
        return deleted, is_over
