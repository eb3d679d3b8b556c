"""Whether anybody watches over the person through the tag, and when she is told that nobody does."""

from typing import Final

from rig.emulator.clock import NS_PER_S

COVER_LOST_NS: Final = 120 * NS_PER_S
"""Without a word from the bridge for so long, the person is told that cover is lost. Shorter tells it at every walk to
the letter box."""
BATTERY_CRITICAL_PCT: Final = 5
"""Percent: about five hours are left."""


class Cover:
    """Cover by the bridge's words and the battery, time as data. A mere link is no cover: anybody can make one."""

    def __init__(self) -> None:
        self._linked = False
        self._covered = False
        self._unheard_since_ns = 0
        self._silence_told = False
        self._battery_told = False

    @property
    def lost(self) -> bool:
        """Whether the person was told so."""
        return self._silence_told or self._battery_told

    @property
    def linked(self) -> bool:
        """Whether there is a link at all."""
        return self._linked

    def unheard_ns(self, t_ns: int) -> int:
        """For how long the bridge has said nothing; 0 while its link is up."""
        return 0 if self._covered else t_ns - self._unheard_since_ns

    def restart(self, t_ns: int) -> None:
        """Begin to wait for the bridge anew: the tag has started again."""
        self._linked = self._covered = False
        self._unheard_since_ns = t_ns

    def link_up(self) -> None:
        """Take a link. That it is the bridge's shows in what is asked over it."""
        self._linked = True

    def hear_bridge(self, t_ns: int) -> None:
        """Take a word of the bridge."""
        self._unheard_since_ns = t_ns
        self._covered = self._linked
        if self._covered:
            self._silence_told = False

    def link_down(self, t_ns: int, *, at_once: bool) -> bool:
        """Lose the link; returns whether cover is to be told as lost, at once where Link Loss was set to say so."""
        self._linked = False
        if not self._covered:
            return False
        self._covered = False
        self._unheard_since_ns = t_ns
        if not at_once or self._silence_told:
            return False
        self._silence_told = True
        return True

    def check(self, t_ns: int, *, battery_pct: int, in_use: bool) -> bool:
        """Return whether cover is to be told as lost now; each cause is told once."""
        if not self._battery_told and battery_pct <= BATTERY_CRITICAL_PCT:
            self._battery_told = True
            return True
        if self._battery_told and battery_pct > 2 * BATTERY_CRITICAL_PCT:
            self._battery_told = False
        if in_use and not self._silence_told and self.unheard_ns(t_ns) >= COVER_LOST_NS:
            self._silence_told = True
            return True
        return False
