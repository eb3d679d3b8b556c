"""What runs on a cheap Find Me tag of the shops: it beeps when told to, or when its link breaks, and has a button.

It has no keys, no clock and no sightings, keeps one address for life, and cannot say whether it was heard. Its button
is the notification of service 0xFFE0, as the common key finders have it.
"""

from typing import Final

from protocols.ble.smart_tag import WarnLevel, WarnPattern, WarnText
from protocols.ble.uuids import expand_uuid
from rig.ble.firmware.att import refuse_alert_level
from rig.ble.firmware.buzzer import BuzzCause, Buzzer
from rig.emulator.battery import Battery
from rig.emulator.clock import NS_PER_S

BUTTON_SERVICE: Final = expand_uuid(0xFFE0)
BUTTON: Final = expand_uuid(0xFFE1)
"""Service and characteristic by which the common key finders tell a press; one octet, 1."""

_CAPACITY_MAH: Final = 210.0
_LOAD_MA: Final = 0.03
"""A coin cell that lasts most of a year (a)."""


class FindMeFirmware:
    """The tag, driven by its own time in nanoseconds since power-on."""

    def __init__(self, *, battery_pct: float = 83.0) -> None:
        self.buzzer = Buzzer()
        self._battery = Battery(capacity_mah=_CAPACITY_MAH, load_ma=_LOAD_MA, level_pct=battery_pct)
        self._alert = 0
        self._link_loss = 0
        self._linked = False
        self._presses = 0
        self._t_ns = 0

    @property
    def on_air(self) -> bool:
        """Whether the battery still feeds the radio."""
        return not self._battery.empty

    @property
    def battery_pct(self) -> int:
        """Charge as the tag tells it."""
        return self._battery.percent

    @property
    def level(self) -> WarnLevel:
        """How loud it is told to be."""
        return (WarnLevel.STAND_DOWN, WarnLevel.NOTICE, WarnLevel.ALARM)[self._alert]

    @property
    def link_loss_level(self) -> int:
        """What Link Loss was set to."""
        return self._link_loss

    def next_due_ns(self) -> int:
        """When something happens by itself."""
        due_ns = self.buzzer.next_due_ns()
        return self._t_ns + NS_PER_S if due_ns is None else max(self._t_ns, min(due_ns, self._t_ns + NS_PER_S))

    def run(self, t_ns: int) -> None:
        """Let everything that is due happen."""
        if t_ns < self._t_ns:
            return
        self._battery.advance((t_ns - self._t_ns) / NS_PER_S)
        self._t_ns = t_ns
        self.buzzer.run(t_ns)

    def write_alert(self, data: bytes, t_ns: int) -> int | None:
        """Take an Immediate Alert level."""
        self.run(t_ns)
        refused = refuse_alert_level(data)
        if refused is None:
            self._alert = data[0]
            self._sound(data[0], BuzzCause.FIND)
        return refused

    def write_link_loss(self, data: bytes, t_ns: int) -> int | None:
        """Set what a lost link does."""
        self.run(t_ns)
        refused = refuse_alert_level(data)
        if refused is None:
            self._link_loss = data[0]
        return refused

    def press(self, t_ns: int) -> None:
        """Press the button: it silences the tag, and is told."""
        self.run(t_ns)
        self._alert = 0
        self.buzzer.silence(t_ns)
        self._presses += self._linked

    def link_up(self, t_ns: int) -> None:
        """Take a link; what a lost one set off ends."""
        self.run(t_ns)
        self._linked = True
        if self.buzzer.asking is BuzzCause.LINK_LOSS:
            self.buzzer.silence(t_ns)

    def link_down(self, t_ns: int, *, lost: bool = True) -> None:
        """Lose the link."""
        self.run(t_ns)
        self._linked, self._alert = False, 0
        if lost and self._link_loss:
            self._sound(self._link_loss, BuzzCause.LINK_LOSS)

    def set_battery(self, level_pct: float) -> None:
        """Put the charge somewhere."""
        self._battery.level_pct = level_pct

    def take_presses(self) -> int:
        """Give the presses since the last call; those without a link were lost."""
        presses, self._presses = self._presses, 0
        return presses

    def _sound(self, level: int, cause: BuzzCause) -> None:
        if level == 0:
            self.buzzer.silence(self._t_ns)
            return
        self.buzzer.alarm(
            self._t_ns,
            pattern=WarnPattern.VIBRATE if level == 1 else WarnPattern.BOTH,
            text=WarnText.NONE,
            level=WarnLevel.NOTICE if level == 1 else WarnLevel.ALARM,
            cause=cause,
        )
