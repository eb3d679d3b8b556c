"""Learns which sentence ends a receiver's cycle, so that an epoch can close without waiting for the next one.

A key names a sentence within an epoch: talker, type and how many of that kind came before it. GSV has no key: its
number changes with the sky, it may come once in many epochs, and nothing that judges a position waits for it.
"""

from protocols.nmea.fields import DAY_NS, NS_PER_S

Name = tuple[str, str]
"""Talker and sentence type."""

Key = tuple[str, str, int]
"""A name and its ordinal within the epoch (a receiver of four constellations sends four GSA)."""

MIN_EPOCHS = 3
"""Equal epochs in a row before the end counts as learned. Fewer would learn from a start-up transient."""

MIN_SPAN_NS = 2 * NS_PER_S
"""Receiver time these epochs must cover. Fast receivers send some sentences once a second only; with less, the nine
short epochs of a 10 Hz receiver would be taken for all there is."""

MAX_SPAN_NS = 64 * NS_PER_S
"""Upper end of the doubling after contradictions: a receiver that keeps changing is hardly ever trusted again."""


class LearnedCycle:
    """The last key of a receiver's epochs, once it has been the same long enough, and the names they began with."""

    __slots__ = ("_candidate", "_epochs", "_firsts", "_span_ns", "_start_ns", "last")

    def __init__(self) -> None:
        self.last: Key | None = None
        self._candidate: Key | None = None
        self._firsts: set[Name] = set()
        self._epochs = 0
        self._start_ns = 0
        self._span_ns = MIN_SPAN_NS

    def observe(self, first: Key, last: Key, time_of_day_ns: int | None) -> None:
        """Take note of a closed epoch; one without a time teaches nothing."""
        if time_of_day_ns is None:
            return
        if last != self._candidate:
            self.last = None
            self._candidate = last
            self._firsts = {first[:2]}
            self._epochs = 1
            self._start_ns = time_of_day_ns
            return
        self._epochs += 1
        self._firsts.add(first[:2])
        if self._epochs >= MIN_EPOCHS and (time_of_day_ns - self._start_ns) % DAY_NS >= self._span_ns:
            self.last = self._candidate

    def begins_with(self, name: Name) -> bool:
        """Return whether an epoch of the learned cycle began with this sentence."""
        return name in self._firsts

    def forget(self) -> None:
        """Learn anew, over twice the span: a sentence came after the learned end."""
        if self.last is not None:
            self._span_ns = min(self._span_ns * 2, MAX_SPAN_NS)
        self.last = None
        self._candidate = None
        self._epochs = 0
