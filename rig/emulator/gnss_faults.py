"""What makes a receiver say where it is not: jumps, drift, false signals. Values of events, and what they add.

==============  =================================  ==========================================================
event           value                              what the receiver says
==============  =================================  ==========================================================
``gnss_jump``   ``METRES[:BEARING]``, 0 ends it    so far off, at once; all fields healthy
``gnss_drift``  ``MPS[:BEARING]``, 0 ends it       farther off each second; its speed is that of its Doppler
``spoof``       ``pull_off:MPS[:BEARING[:TIME]]``  led away smoothly, speed and course with it
``spoof``       ``jump:METRES[:BEARING[:TIME]]``   so far off, at once
``spoof``       ``off``                            ends it; the receiver acquires anew
==============  =================================  ==========================================================

A bearing is degrees from true north; without one it is drawn from the seed. TIME is seconds that its clock is ahead.
"""

import math
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from rig.errors import EventError

SPOOFED_DBHZ: Final = 46.0
"""C/N0 in dB-Hz of every false signal: one transmitter sends them all, equally loud (a)."""

SPOOFED_SYSTEM: Final = "GP"
"""False signals are of one system (a): generators for several are rare."""

OFF: Final = "off"
"""Value that ends a spoof."""

_PULL_OFF_MPS: Final = (0.5, 5.0)
"""How fast a receiver can be led away without losing lock, metres per second (a)."""

_FARTHEST_M: Final = 500_000.0
"""Longest jump, metres (a)."""

_FASTEST_MPS: Final = 50.0
"""Fastest drift, metres per second: that of a train; faster is a jump."""

_LONGEST_S: Final = 1e9
"""Greatest time offset, seconds: some thirty years, beyond a rollover of 1024 weeks."""


@unique
class SpoofWay(StrEnum):
    """How false signals take over."""

    PULL_OFF = "pull_off"
    JUMP = "jump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """So far, or so fast, in a direction; ``bearing_deg`` is None where the seed draws it."""

    amount: float
    bearing_deg: float | None

    def vector(self, times: float = 1.0) -> tuple[float, float]:
        """East and north of so many times the amount."""
        angle = math.radians(self.bearing_deg or 0.0)
        return self.amount * times * math.sin(angle), self.amount * times * math.cos(angle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoof:
    """False signals: a shift in metres (jump) or metres per second (pull-off), and a clock."""

    way: SpoofWay
    shift: Shift
    time_offset_s: float


def read_jump(value: str) -> Shift | None:
    """Read the value of a jump; None ends it.

    Raises
    ------
    EventError
        It is not understood or out of range.
    """
    return _find_shift("gnss_jump", value.split(":"), (0.0, _FARTHEST_M), "METRES[:BEARING]")


def read_drift(value: str) -> Shift | None:
    """Read the value of a drift; None ends it. Raises as ``read_jump``."""
    return _find_shift("gnss_drift", value.split(":"), (0.0, _FASTEST_MPS), "MPS[:BEARING]")


def read_spoof(value: str) -> Spoof | None:
    """Read the value of false signals; None ends them. Raises as ``read_jump``."""
    if value == OFF:
        return None
    expected = "pull_off:MPS[:BEARING[:TIME]], jump:METRES[:BEARING[:TIME]] or off"
    name, *words = value.split(":")
    if name not in set(SpoofWay) or not 1 <= len(words) <= 3:
        raise EventError(f"event 'spoof': value {value!r} is not understood. Expected {expected}")
    way = SpoofWay(name)
    limits = _PULL_OFF_MPS if way is SpoofWay.PULL_OFF else (1.0, _FARTHEST_M)
    shift = _find_shift("spoof", words[:2], limits, expected)
    time_offset_s = _number("spoof", words[2], (-_LONGEST_S, _LONGEST_S), expected) if len(words) == 3 else 0.0
    assert shift is not None
    return Spoof(way=way, shift=shift, time_offset_s=time_offset_s)


def _find_shift(event: str, words: list[str], limits: tuple[float, float], expected: str) -> Shift | None:
    if len(words) > 2:
        raise EventError(f"event {event!r}: value {':'.join(words)!r} is not understood. Expected {expected}")
    amount = _number(event, words[0], limits, expected)
    bearing_deg = _number(event, words[1], (0.0, 360.0), expected) if len(words) == 2 else None
    return Shift(amount=amount, bearing_deg=bearing_deg) if amount > 0 else None


def _number(event: str, text: str, limits: tuple[float, float], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    low, high = limits
    if not low <= number <= high:
        raise EventError(f"event {event!r}: {text!r} must be a number in {low:g} to {high:g}. Expected {expected}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Falsehood:
    """What is added to a solution: metres east and north, metres per second, seconds."""

    east_m: float = 0.0
    north_m: float = 0.0
    east_mps: float = 0.0
    north_mps: float = 0.0
    time_s: float = 0.0


class FalsePosition:
    """All that leads a receiver astray at the moment."""

    def __init__(self) -> None:
        self._jump: Shift | None = None
        self._drift: Shift | None = None
        self._drift_since_s = 0.0
        self._spoof: Spoof | None = None
        self._spoof_since_s = 0.0

    @property
    def spoofed(self) -> bool:
        """Whether its signals are false ones."""
        return self._spoof is not None

    def set_jump(self, jump: Shift | None) -> None:
        """Let it be off at once, or end it."""
        self._jump = jump

    def set_drift(self, drift: Shift | None, t_s: float) -> None:
        """Let it walk off from now on, or end it."""
        self._drift, self._drift_since_s = drift, t_s

    def set_spoof(self, spoof: Spoof | None, t_s: float) -> None:
        """Let false signals take over from now on, or end them."""
        self._spoof, self._spoof_since_s = spoof, t_s

    def at(self, t_s: float) -> Falsehood:
        """Return what is added at a time."""
        if self._jump is None and self._drift is None and self._spoof is None:
            return _NOTHING
        east_m = north_m = east_mps = north_mps = time_s = 0.0
        if self._jump is not None:
            east_m, north_m = self._jump.vector()
        if self._drift is not None:
            east, north = self._drift.vector(max(0.0, t_s - self._drift_since_s))
            east_m, north_m = east_m + east, north_m + north
        if self._spoof is not None:
            pulled = self._spoof.way is SpoofWay.PULL_OFF
            east, north = self._spoof.shift.vector(max(0.0, t_s - self._spoof_since_s) if pulled else 1.0)
            east_m, north_m = east_m + east, north_m + north
            if pulled:
                east_mps, north_mps = self._spoof.shift.vector()
            time_s = self._spoof.time_offset_s
        return Falsehood(east_m=east_m, north_m=north_m, east_mps=east_mps, north_mps=north_mps, time_s=time_s)


_NOTHING: Final = Falsehood()
