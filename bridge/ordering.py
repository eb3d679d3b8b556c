"""Which fixes are news about now, and which about the past: order by the receiver's own time."""

from dataclasses import dataclass
from enum import Enum, unique

STEP_SPAN_NS = 3_000_000_000
"""A receiver whose clock stepped back is believed once its fixes have kept pace with our clock for this long, with
nothing newer between them. A burst from a buffer arrives at once, so less would take the past for the present; more
leaves the live state frozen for longer. At intervals above it, two fixes are enough."""

STEP_RATE_TOLERANCE = 0.25
"""Share by which the receiver's and our time may differ over the run: a memory that is read out runs many times
faster than the clock that filled it."""

STEP_SLACK_NS = 2_000_000_000
"""A run whose two times differ by more than this, and by more than the tolerance, begins anew. Receivers with whole
seconds and a stalled host differ by up to about this much; much more would make what follows a burst wait until the
burst weighs less than the tolerance."""

AHEAD_NS = 1_800 * 1_000_000_000
"""A time this far ahead of the host's clock that is also a jump of this length, beyond the time that went by, is not
believed at first. Wrong dates are wrong by an hour or more (time zones, days, 1024 weeks). The jump is asked for too
because an emulator or an undated replay that runs faster than time is ahead of the host by any length, but gets there
in steps of its interval; logs of the past are behind the host and never meet the rule. Less would doubt such runs at
gaps in them; more would let a wrong date freeze the live state."""

AHEAD_RUN = 3
"""Fixes in a row that agree on a time far ahead before it is believed. A wrong date mostly stands alone; where it does
not, the step back from it is found as any other."""


@unique
class Placement(Enum):
    """Where a fix stands in its device's order."""

    LIVE = "live"
    LATE = "late"
    STEPPED = "stepped"
    """Older than the newest, but the clock was set back: this is the new now."""
    UNDATED = "undated"
    """Live, but without a time, or with one far ahead: it was so when it came, and the newest time stays."""


@dataclass(slots=True)
class _Run:
    """Fixes in a row that may show a step of the clock; all that is kept of them, however many."""

    first_utc_ns: int
    first_rx_mono_ns: int
    last_utc_ns: int
    last_rx_mono_ns: int
    count: int = 1


class FixOrder:
    """The order of one device's fixes.

    The window in which fixes are put in order is one batch (all that arrived in one turn of the loop): a fix is late
    if it is older than the newest of the batches before.
    """

    def __init__(self) -> None:
        self._newest_utc_ns: int | None = None
        self._batch_newest_utc_ns: int | None = None
        self._batch_newest_rx_mono_ns = 0
        self._judged_ns = 0
        self._batch_judged_ns: dict[int, int] = {}
        self._back: _Run | None = None
        self._ahead: _Run | None = None
        self._known_until_utc_ns: int | None = None

    @property
    def newest_utc_ns(self) -> int | None:
        """Time of the newest live fix so far."""
        return self._batch_newest_utc_ns

    def restore(self, known_until_utc_ns: int) -> None:
        """Take up how far an earlier start had come: memory of before is late. What is live is believed as ever."""
        self._known_until_utc_ns = known_until_utc_ns

    def place(
        self, t_fix_utc_ns: int | None, t_rx_mono_ns: int, *, t_rx_utc_ns: int, stored: bool
    ) -> tuple[Placement, int]:
        """Place the next fix of the batch.

        Returns
        -------
        placement, t_judge_ns
            The time to judge it by: its own, moved by nanoseconds so that no two live fixes have the same and none is
            at or before those of earlier batches (a receiver with whole seconds reports twice in one; the later heard
            is the later). An undated fix counts as one more of the newest time. A late fix has its own.
        """
        if t_fix_utc_ns is None:
            return self._undated(t_rx_utc_ns, stored=stored)
        if self._is_far_ahead(t_fix_utc_ns, t_rx_mono_ns, t_rx_utc_ns) and (
            stored or not self._is_believed(t_fix_utc_ns, t_rx_mono_ns)
        ):
            return self._undated(t_fix_utc_ns, stored=stored)
        if stored and self._known_until_utc_ns is not None and t_fix_utc_ns <= self._known_until_utc_ns:
            return Placement.LATE, t_fix_utc_ns
        newest = self._newest_utc_ns
        if newest is None or t_fix_utc_ns > newest or (t_fix_utc_ns == newest and not stored):
            self._back = self._ahead = None
            if self._batch_newest_utc_ns is None or t_fix_utc_ns > self._batch_newest_utc_ns:
                self._batch_newest_utc_ns = t_fix_utc_ns
                self._batch_newest_rx_mono_ns = t_rx_mono_ns
            return Placement.LIVE, self._unique(t_fix_utc_ns)
        if stored or not self._has_stepped(t_fix_utc_ns, t_rx_mono_ns):
            return Placement.LATE, t_fix_utc_ns
        self._back = self._ahead = None
        self._newest_utc_ns = self._batch_newest_utc_ns = t_fix_utc_ns
        self._batch_newest_rx_mono_ns = t_rx_mono_ns
        self._batch_judged_ns.clear()
        self._judged_ns = 0
        return Placement.STEPPED, self._unique(t_fix_utc_ns)

    def end_batch(self) -> None:
        """Judging is done: what comes from here on and is older is late."""
        self._newest_utc_ns = self._batch_newest_utc_ns
        self._judged_ns = max(self._batch_judged_ns.values(), default=self._judged_ns)
        self._batch_judged_ns.clear()

    def _undated(self, t_utc_ns: int, *, stored: bool) -> tuple[Placement, int]:
        """Memory without a time it can be placed by says nothing of the present."""
        if stored:
            return Placement.LATE, t_utc_ns
        return Placement.UNDATED, self._unique(self._batch_newest_utc_ns or 0)

    def _unique(self, t_utc_ns: int) -> int:
        least_ns = max(t_utc_ns, self._judged_ns + 1)
        t_judge_ns = self._batch_judged_ns.get(least_ns, least_ns - 1) + 1
        self._batch_judged_ns[least_ns] = t_judge_ns
        return t_judge_ns

    def _is_far_ahead(self, t_fix_utc_ns: int, t_rx_mono_ns: int, t_rx_utc_ns: int) -> bool:
        newest = self._batch_newest_utc_ns
        if newest is None or t_fix_utc_ns - t_rx_utc_ns <= AHEAD_NS:
            return False
        return t_fix_utc_ns - newest - (t_rx_mono_ns - self._batch_newest_rx_mono_ns) > AHEAD_NS

    def _is_believed(self, t_fix_utc_ns: int, t_rx_mono_ns: int) -> bool:
        """Whether a time far ahead goes on from those before it."""
        run = self._ahead
        if run is None or not (0 < t_fix_utc_ns - run.last_utc_ns <= AHEAD_NS + t_rx_mono_ns - run.last_rx_mono_ns):
            self._ahead = _Run(t_fix_utc_ns, t_rx_mono_ns, t_fix_utc_ns, t_rx_mono_ns)
            return False
        run.last_utc_ns, run.last_rx_mono_ns = t_fix_utc_ns, t_rx_mono_ns
        run.count += 1
        return run.count >= AHEAD_RUN

    def _has_stepped(self, t_fix_utc_ns: int, t_rx_mono_ns: int) -> bool:
        """Whether fixes older than the newest keep pace with our clock."""
        self._ahead = None
        run = self._back
        if run is not None:
            theirs_ns = t_fix_utc_ns - run.first_utc_ns
            ours_ns = t_rx_mono_ns - run.first_rx_mono_ns
            apart_ns = abs(theirs_ns - ours_ns)
            if t_fix_utc_ns >= run.last_utc_ns and apart_ns <= max(STEP_SLACK_NS, STEP_RATE_TOLERANCE * ours_ns):
                run.last_utc_ns, run.last_rx_mono_ns = t_fix_utc_ns, t_rx_mono_ns
                return min(theirs_ns, ours_ns) >= STEP_SPAN_NS and apart_ns <= STEP_RATE_TOLERANCE * ours_ns
        self._back = _Run(t_fix_utc_ns, t_rx_mono_ns, t_fix_utc_ns, t_rx_mono_ns)
        return False


class LateRun:
    """Late reports of one device that are told in one go.

    A tag's memory is read out from its oldest, so an older fix begins the next run.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._newest_utc_ns: int | None = None
        self._judged_ns = 0

    def is_ended_by(self, t_utc_ns: int) -> bool:
        """Whether a fix of this time belongs to the next run."""
        return self._newest_utc_ns is not None and t_utc_ns < self._newest_utc_ns

    def take(self, t_utc_ns: int) -> int:
        """Add a fix; return the time to judge it by, later than all others of the run."""
        self.is_open = True
        self._newest_utc_ns = t_utc_ns
        self._judged_ns = max(t_utc_ns, self._judged_ns + 1)
        return self._judged_ns

    def close(self) -> None:
        """End the run."""
        self.is_open = False
        self._newest_utc_ns = None
        self._judged_ns = 0
