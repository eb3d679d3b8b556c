"""The bridge's warning on the tag: which command counts, and whether the person has acknowledged it."""

from dataclasses import dataclass
from enum import Enum, auto

from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from rig.ble.firmware.buzzer import BuzzCause


@dataclass(slots=True, kw_only=True)
class Told:
    """A warning that stands; ``warn_id`` is None for Immediate Alert, which has no number."""

    warn_id: int | None
    level: WarnLevel
    pattern: WarnPattern
    text: WarnText
    cause: BuzzCause
    acked: bool = False


class Taken(Enum):
    """What became of a command."""

    PASSED_OVER = auto()
    """A newer one stands, at least as high."""
    REPEATED = auto()
    """It stands already: it acts once, and is answered again."""
    STOOD_DOWN = auto()
    WARNS = auto()


class ToldWarning:
    """The newest command counts, or the highest: one with an older number acts only where it raises the level.

    Numbers are compared within a link, so that a bridge that has started anew is not taken for an echo of the old one.

    Attributes
    ----------
    now : Told or None
        What stands.
    last_warn_id : int or None
        The newest number that was obeyed since the tag started.
    """

    def __init__(self) -> None:
        self.now: Told | None = None
        self.last_warn_id: int | None = None
        self._last: WarnCommand | None = None
        self._link_warn_id: int | None = None

    @property
    def level(self) -> WarnLevel:
        """Its level, acknowledged or not."""
        return WarnLevel.STAND_DOWN if self.now is None else self.now.level

    @property
    def open_level(self) -> WarnLevel:
        """Its level while the person has not acknowledged it."""
        return WarnLevel.STAND_DOWN if self.now is None or self.now.acked else self.now.level

    def link_up(self) -> None:
        """Begin to compare numbers anew."""
        self._link_warn_id = None

    def take(self, command: WarnCommand) -> Taken:
        """Take a command."""
        if command == self._last and command.level == self.level:
            return Taken.REPEATED
        behind = 0 if self._link_warn_id is None else (self._link_warn_id - command.warn_id) & 0xFFFF
        if 0 < behind < 0x8000 and command.level <= self.level:
            return Taken.PASSED_OVER
        self._link_warn_id = self.last_warn_id = command.warn_id
        self._last = command
        if command.level is WarnLevel.STAND_DOWN:
            self.now = None
            return Taken.STOOD_DOWN
        self.now = Told(
            warn_id=command.warn_id,
            level=command.level,
            pattern=command.pattern,
            text=command.text,
            cause=BuzzCause.TOLD,
        )
        return Taken.WARNS

    def take_alert(self, alert_level: int) -> Taken:
        """Take an Immediate Alert level of 0 to 2; it ends what another one began, and nothing else."""
        if alert_level == 0:
            if self.now is None or self.now.warn_id is not None:
                return Taken.PASSED_OVER
            self.now = None
            return Taken.STOOD_DOWN
        level = WarnLevel.NOTICE if alert_level == 1 else WarnLevel.ALARM
        if self.level > level:
            return Taken.PASSED_OVER
        pattern = WarnPattern.VIBRATE if alert_level == 1 else WarnPattern.BOTH
        self.now = Told(warn_id=None, level=level, pattern=pattern, text=WarnText.NONE, cause=BuzzCause.FIND)
        return Taken.WARNS
