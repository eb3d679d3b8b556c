"""What the person feels and hears of her tag, kept as a log: the only proof that a warning came through to her."""

from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from typing import Final

from protocols.ble.smart_tag import WarnLevel, WarnPattern, WarnText
from rig.emulator.clock import NS_PER_S

SOUND_NS: Final = 60 * NS_PER_S
"""How long a warning sounds at first, nanoseconds. A tag that never stops is put away into a drawer."""
REMIND_EVERY_NS: Final = 60 * NS_PER_S
REMIND_NS: Final = 5 * NS_PER_S
"""While nobody acknowledges, it comes back so often, for so long."""
SHORT_NS: Final = 2 * NS_PER_S
"""A message that asks for nothing: stand down, cover lost, cover back."""

_LOG_CAP: Final = 10_000
"""Entries kept; the oldest go."""


@unique
class BuzzCause(StrEnum):
    """Why the tag makes itself felt."""

    TOLD = "told"
    """A warning from the bridge."""
    OWN = "own"
    """It hears the wearer's beacon itself."""
    COVER = "cover"
    LINK_LOSS = "link_loss"
    """A Find Me tag at the end of its link."""
    FIND = "find"
    """Immediate Alert, which says no more than "make yourself felt"."""
    STAND_DOWN = "stand_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buzz:
    """One change of what can be felt: ``on`` with what, or off."""

    t_ns: int
    on: bool
    pattern: WarnPattern
    text: WarnText
    level: WarnLevel
    cause: BuzzCause


@dataclass(slots=True)
class Buzzer:
    """Motor and loudspeaker. One thing at a time: what is asked last is what runs."""

    log: list[Buzz] = field(default_factory=list)
    _now: Buzz | None = None
    _until_ns: int = 0
    _remind: Buzz | None = None
    _remind_ns: int = 0
    _later: Buzz | None = None

    @property
    def now(self) -> Buzz | None:
        """What runs, if anything does."""
        return self._now

    @property
    def asking(self) -> BuzzCause | None:
        """What asks for attention, in its pauses too."""
        return None if self._remind is None else self._remind.cause

    def next_due_ns(self) -> int | None:
        """When something changes by itself."""
        due = [self._until_ns] if self._now is not None else []
        if self._remind is not None:
            due.append(self._remind_ns)
        return min(due, default=None)

    def alarm(self, t_ns: int, *, pattern: WarnPattern, text: WarnText, level: WarnLevel, cause: BuzzCause) -> None:
        """Start, and come back until `silence`."""
        self._start(Buzz(t_ns=t_ns, on=True, pattern=pattern, text=text, level=level, cause=cause), SOUND_NS)
        self._remind, self._remind_ns = self._now, t_ns + SOUND_NS + REMIND_EVERY_NS

    def say(self, t_ns: int, *, pattern: WarnPattern, text: WarnText, cause: BuzzCause) -> None:
        """Make one short message, now or once nothing else asks for attention."""
        level = WarnLevel.STAND_DOWN if text is WarnText.STAND_DOWN else WarnLevel.NOTICE
        message = Buzz(t_ns=t_ns, on=True, pattern=pattern, text=text, level=level, cause=cause)
        if self._remind is None:
            self._start(message, SHORT_NS)
        else:
            self._later = message

    def silence(self, t_ns: int) -> None:
        """End what asks for attention; a message that had to wait comes now."""
        asked, self._remind = self._remind, None
        if asked is None:
            return
        self._stop(t_ns)
        if self._later is not None:
            later, self._later = self._later, None
            self._start(replace(later, t_ns=t_ns), SHORT_NS)

    def run(self, t_ns: int) -> None:
        """Let what is due happen."""
        if self._now is not None and self._until_ns <= t_ns:
            self._stop(self._until_ns)
        if self._remind is not None and self._remind_ns <= t_ns:
            self._start(replace(self._remind, t_ns=t_ns), REMIND_NS)
            self._remind_ns = t_ns + REMIND_EVERY_NS

    def _start(self, buzz: Buzz, for_ns: int) -> None:
        self._stop(buzz.t_ns)
        self._now, self._until_ns = buzz, buzz.t_ns + for_ns
        self._write(buzz)

    def _stop(self, t_ns: int) -> None:
        ran, self._now = self._now, None
        if ran is not None:
            self._write(replace(ran, t_ns=t_ns, on=False))

    def _write(self, buzz: Buzz) -> None:
        self.log.append(buzz)
        if len(self.log) > _LOG_CAP:
            del self.log[0]
