"""The tag's own warning: it hears the wearer's beacon and needs nobody to tell it what that means."""

import statistics
from collections import deque
from typing import Final

from protocols.ble.smart_tag import WarnLevel, WarnPattern
from rig.emulator.clock import NS_PER_S

WINDOW_NS: Final = 5 * NS_PER_S
"""Advertisements of the last five seconds are weighed together."""
MIN_HEARD: Final = 3
"""So many must have come within the window: one alone may be a reflection from far away, and the beacon sends several a
second."""
ALARM_DBM: Final = -78.0
"""Median above which the warning is an alarm: what 5 m give at the ankle with no body in between. A body in between
takes 10 to 25 dB, so a notice may mean that he is just as near: a notice is a warning too."""
DOWN_DB: Final = 6.0
"""An alarm falls back to a notice only so far below."""
QUIET_NS: Final = 30 * NS_PER_S
"""Unheard for so long, the warning ends: bodies in between hide a beacon for some ten seconds."""
WINDOW_CAP: Final = 256
"""Advertisements kept; ten a second for five seconds are 50."""


class OwnWarning:
    """Level by what is heard of the beacon, with hysteresis; time as data."""

    def __init__(self) -> None:
        self._heard: deque[tuple[int, int]] = deque(maxlen=WINDOW_CAP)
        self._level = WarnLevel.STAND_DOWN
        self._last_ns = 0
        self.acked = False

    @property
    def active(self) -> bool:
        """Whether it warns."""
        return self._level is not WarnLevel.STAND_DOWN

    @property
    def level(self) -> WarnLevel:
        """How loud; `WarnLevel.STAND_DOWN` for not at all."""
        return self._level

    @property
    def pattern(self) -> WarnPattern:
        """A notice vibrates only: a sound can give her away."""
        return WarnPattern.BOTH if self._level >= WarnLevel.ALARM else WarnPattern.VIBRATE

    def next_due_ns(self) -> int | None:
        """When it ends unless something is heard."""
        return self._last_ns + QUIET_NS if self.active else None

    def hear(self, rssi_dbm: int, t_ns: int) -> None:
        """Take one advertisement of the beacon."""
        self._heard.append((t_ns, rssi_dbm))
        while self._heard[0][0] < t_ns - WINDOW_NS:
            self._heard.popleft()
        self._last_ns = t_ns
        if len(self._heard) < MIN_HEARD:
            return
        median_dbm = statistics.median(rssi for _, rssi in self._heard)
        limit_dbm = ALARM_DBM - DOWN_DB if self._level >= WarnLevel.ALARM else ALARM_DBM
        level = WarnLevel.ALARM if median_dbm >= limit_dbm else WarnLevel.NOTICE
        if level > self._level:
            self.acked = False
        self._level = level

    def run(self, t_ns: int) -> bool:
        """Let time pass; returns whether the warning has ended."""
        if not self.active or t_ns < self._last_ns + QUIET_NS:
            return False
        self._level = WarnLevel.STAND_DOWN
        self.acked = False
        self._heard.clear()
        return True
