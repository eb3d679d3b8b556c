"""A lithium-ion cell: charge, voltage under load, charger."""

import bisect
from dataclasses import dataclass
from typing import Final

_CURVE_PCT_MV: Final = (
    (0, 3300), (3, 3480), (5, 3580), (10, 3680), (20, 3740), (30, 3770), (40, 3795), (50, 3825),
    (60, 3870), (70, 3925), (80, 3985), (90, 4065), (100, 4180),
)  # fmt: skip
"""Open-circuit voltage of a lithium-cobalt cell at 25 degrees Celsius, percent to millivolts, as typical data sheets
draw it (a). Steep below 10 %: a driver that judges by millivolts alone sees little change before."""

_RESISTANCE_OHM: Final = 0.15
"""Inner resistance (a): the voltage sags by 12 mV at 80 mA and rises on the charger."""

_CHARGE_MA: Final = 600.0
"""Charger's current, mA: fills 1,200 mAh in about 2 h, the time a day that wearers are asked to charge."""


@dataclass(slots=True, kw_only=True)
class Battery:
    """State of charge of one cell.

    Attributes
    ----------
    capacity_mah : float
        1,200 mAh keeps a tag for 24 h at 50 mA (a).
    level_pct : float
    load_ma : float
        Current of the tag at work: GNSS on, one report a second.
    drain_factor : float
        Time passes so many times faster for the battery: a scenario's way to a dying tag.
    """

    capacity_mah: float = 1200.0
    level_pct: float = 83.0
    load_ma: float = 50.0
    drain_factor: float = 1.0
    charging: bool = False

    def advance(self, dt_s: float) -> None:
        """Use, or fill, for a while."""
        current_ma = _CHARGE_MA - self.load_ma if self.charging else -self.load_ma * self.drain_factor
        self.level_pct = min(100.0, max(0.0, self.level_pct + 100 * current_ma * dt_s / 3600 / self.capacity_mah))

    @property
    def empty(self) -> bool:
        """Nothing left: the tag goes dark."""
        return self.level_pct <= 0.0 and not self.charging

    @property
    def percent(self) -> int:
        """As the tag reports it, rounded down: 1 % is the last word before silence."""
        return int(self.level_pct)

    @property
    def millivolts(self) -> int:
        """Terminal voltage under the present load."""
        i = min(max(bisect.bisect_right(_CURVE_PCT_MV, (self.level_pct, 1 << 30)), 1), len(_CURVE_PCT_MV) - 1)
        (p0, v0), (p1, v1) = _CURVE_PCT_MV[i - 1], _CURVE_PCT_MV[i]
        open_mv = v0 + (v1 - v0) * (self.level_pct - p0) / (p1 - p0)
        current_ma = _CHARGE_MA - self.load_ma if self.charging else -self.load_ma
        return round(open_mv + _RESISTANCE_OHM * current_ma)
