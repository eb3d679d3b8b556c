"""Which fixes are news about now, and which about the past: order by the receiver's own time."""

from dataclasses import dataclass
from enum import Enum, unique

STEP_RUN = 5
"""Fixes in a row that must agree before a receiver's clock is believed to have stepped back. Fewer would take a burst
of out-of-order fixes for a step and judge the past as the present; more leave the live state frozen for longer."""

STEP_SPAN_NS = 3_000_000_000
"""They must cover this long in both clocks: a burst from a buffer arrives at once."""

STEP_RATE_TOLERANCE = 0.25
"""Share by which the receiver's and our time may differ over the run: a memory that is read out runs many times
faster than the clock that filled it."""

SAME_TIME_NS = 1_000
"""Fixes this close are of one time: each repetition is moved by a nanosecond, and no NMEA time is finer than this."""


@unique
class Placement(Enum):
    """Where a fix stands in its device's order."""

    LIVE = "live"
    LATE = "late"
    STEPPED = "stepped"
    """Older than the newest, but the clock was set back: this is the new now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    t_fix_utc_ns: int
    t_rx_mono_ns: int


class FixOrder:
    """The order of one device's fixes.

    The window in which fixes are put in order is one batch (all that arrived in one turn of the loop): a fix is late
    if it is not newer than the newest of the batches before.
    """

    def __init__(self) -> None:
        self._newest_utc_ns: int | None = None
        self._batch_newest_utc_ns: int | None = None
        self._suspects: list[_Seen] = []

    def place(self, t_fix_utc_ns: int, t_rx_mono_ns: int, *, stored: bool) -> tuple[Placement, int]:
        """Place the next fix of the batch.

        Returns
        -------
        placement, t_judge_ns
            The time to judge it by is the fix's own. Only a live fix with the very time of the newest one (a receiver
            with whole seconds that reports twice in one) counts as a nanosecond newer.
        """
        newest = self._newest_utc_ns
        if newest is not None and not stored and newest - t_fix_utc_ns in range(SAME_TIME_NS):
            t_fix_utc_ns = newest + 1
        if newest is None or t_fix_utc_ns > newest:
            self._suspects.clear()
            if self._batch_newest_utc_ns is None or t_fix_utc_ns > self._batch_newest_utc_ns:
                self._batch_newest_utc_ns = t_fix_utc_ns
            return Placement.LIVE, t_fix_utc_ns
        if stored:
            return Placement.LATE, t_fix_utc_ns
        if self._suspects and t_fix_utc_ns <= self._suspects[-1].t_fix_utc_ns:
            self._suspects.clear()
        self._suspects.append(_Seen(t_fix_utc_ns=t_fix_utc_ns, t_rx_mono_ns=t_rx_mono_ns))
        if not self._has_stepped():
            return Placement.LATE, t_fix_utc_ns
        self._suspects.clear()
        self._newest_utc_ns = self._batch_newest_utc_ns = t_fix_utc_ns
        return Placement.STEPPED, t_fix_utc_ns

    def end_batch(self) -> None:
        """Judging is done: what comes from here on and is older is late."""
        if self._batch_newest_utc_ns is not None:
            self._newest_utc_ns = self._batch_newest_utc_ns

    def _has_stepped(self) -> bool:
        if len(self._suspects) < STEP_RUN:
            return False
        del self._suspects[:-STEP_RUN]
        first, last = self._suspects[0], self._suspects[-1]
        theirs = last.t_fix_utc_ns - first.t_fix_utc_ns
        ours = last.t_rx_mono_ns - first.t_rx_mono_ns
        return min(theirs, ours) >= STEP_SPAN_NS and abs(theirs - ours) <= STEP_RATE_TOLERANCE * ours
