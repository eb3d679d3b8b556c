"""Faults of a receiver, brought about on what it says: for real devices and recordings, which play no events.

Positions and times move by the sentences' own times, so the same bytes give the same result at any pace.
"""

import math
from typing import Final

from rig.faults.sentences import DAY_S, Sentence, SentenceFault, moved

JAM_DB: Final = {1: 10.0, 2: 20.0, 3: 30.0}
"""Fall of C/N0 by strength, dB; real jamming takes 10 to 30 dB (a)."""

JAM_RAMP_S: Final = 3.0
"""A jammer comes near in so many seconds; 1 to 5 s (a)."""

LEAST_DBHZ: Final = 12.0
"""C/N0 below which a satellite is not tracked, dB-Hz; receivers lose code lock at 10 to 15."""

SPOOFED_DBHZ: Final = 44
"""C/N0 of all satellites under spoofing, dB-Hz: one transmitter, one level (a)."""

ROLLOVER_DAYS: Final = 1024 * 7
"""One period of the ten-bit week number (IS-GPS-200, 20.3.3.3.1.1)."""


class _Timed(SentenceFault):
    """Knows how long it lasts, by the sentences' times."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: float | None = None
        self.elapsed_s = 0.0

    def note_time(self, sentence: Sentence) -> None:
        """Take the time that a sentence tells."""
        time_s = sentence.find_time_s()
        if time_s is None:
            return
        if self._last_s is not None:
            # over midnight too; steps back count as none
            step = (time_s - self._last_s + DAY_S / 2) % DAY_S - DAY_S / 2
            self.elapsed_s += max(0.0, step)
        self._last_s = time_s


class NoFix(SentenceFault):
    """The receiver has no position."""

    def change(self, sentence: Sentence) -> None:
        """Take the position out."""
        sentence.clear_position()


class Displace(_Timed):
    """Positions are off by a constant way, or by one that grows.

    Parameters
    ----------
    distance_m, speed_mps : float
        The error when it begins, and its growth.
    """

    def __init__(self, *, bearing_deg: float, distance_m: float = 0.0, speed_mps: float = 0.0) -> None:
        super().__init__()
        self._bearing_deg = bearing_deg
        self._distance_m = distance_m
        self._speed_mps = speed_mps

    def change(self, sentence: Sentence) -> None:
        """Move the position."""
        self.note_time(sentence)
        place = sentence.find_position()
        if place is not None:
            off_m = self._distance_m + self._speed_mps * self.elapsed_s
            sentence.set_position(*moved(*place, off_m, self._bearing_deg))


class Freeze(SentenceFault):
    """The first position that it sees is repeated, with new times."""

    def __init__(self) -> None:
        super().__init__()
        self._place: tuple[float, float] | None = None

    def change(self, sentence: Sentence) -> None:
        """Repeat the position; a receiver that is frozen tells no speed."""
        place = sentence.find_position()
        if place is None:
            return
        self._place = self._place or place
        sentence.set_position(*self._place)
        if sentence.kind == "RMC":
            sentence.fields[7:9] = ["0.000", ""]


class Jam(_Timed):
    """C/N0 of all satellites falls; from strength 2 on the fix goes."""

    def __init__(self, *, strength: int) -> None:
        super().__init__()
        self._strength = strength

    def change(self, sentence: Sentence) -> None:
        """Weaken, tell of it, take the position."""
        self.note_time(sentence)
        share = min(1.0, self.elapsed_s / JAM_RAMP_S)
        sentence.weaken(JAM_DB[self._strength] * share, least_dbhz=LEAST_DBHZ)
        sentence.set_jamming(self._strength)
        if self._strength > 1 and share >= 1.0:
            sentence.clear_position()


class Clockwork(SentenceFault):
    """Times are off: by seconds, by whole days, and by a second that is inserted.

    Parameters
    ----------
    ahead_s : float
    days : int
    inserted : bool
        The first second is shown as the sixtieth of the minute before it where it begins a minute, else twice; from
        then on times are a second behind.
    """

    def __init__(self, *, ahead_s: float = 0.0, days: int = 0, inserted: bool = False) -> None:
        super().__init__()
        self._ahead_s = ahead_s - 1.0 if inserted else ahead_s
        self._days = days
        self._inserts = inserted
        self._first_s: int | None = None

    def change(self, sentence: Sentence) -> None:
        """Move time and date."""
        time_s = sentence.find_time_s()
        if time_s is None:
            return
        if self._first_s is None:
            self._first_s = math.floor(time_s)
        if self._inserts and math.floor(time_s) == self._first_s and self._first_s % 60 == 0:
            is_midnight = self._first_s == 0
            shown_s = time_s + DAY_S if is_midnight else time_s
            sentence.set_time(self._days - is_midnight, shown_s, inserted=True)
            return
        days, shown_s = divmod(time_s + self._ahead_s, DAY_S)
        sentence.set_time(self._days + int(days), shown_s)


class Spoof(SentenceFault):
    """False signals: led away smoothly or at once, times off, all satellites equally loud."""

    def __init__(
        self, *, way: str, speed_mps: float, distance_m: float, bearing_deg: float, time_offset_s: float
    ) -> None:
        super().__init__()
        off = {"distance_m": distance_m} if way == "jump" else {"speed_mps": speed_mps}
        self._place = Displace(bearing_deg=bearing_deg, **off)
        self._time = Clockwork(ahead_s=time_offset_s) if time_offset_s else None

    def change(self, sentence: Sentence) -> None:
        """Move position and time, level C/N0."""
        self._place.change(sentence)
        sentence.level(SPOOFED_DBHZ)
        if self._time is not None:
            self._time.change(sentence)
