"""Where her unit surely hears his beacon, and where it surely does not, by the path-loss model of the bench.

A still pair keeps its fading, a body comes and goes in spells of seconds. So "surely heard" needs some time within a
distance at which no body in between, and all else against it, still lets most advertisements through.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rig.ble.path_loss import RadioProfile, loss_probability, mean_dbm
from rig.ble.surroundings import radio_between
from rig.emulator.events import DeviceAction, EventKind
from rig.scenario import PersonTable, Scenario

_SURE_SIGMAS: Final = 2.0
"""Of shadowing and antennas, against it: one pair of places in fifty is worse."""

_NEVER_SIGMAS: Final = 3.0
"""In favour of it: less would call a lucky reflection a false alert."""

_FADE_AGAINST_DB: Final = 3.0
"""Of three channels with Rayleigh fading the best one is this far below its mean or better in 94 % of places, and one
advertisement in three goes out on it."""

_FADE_FOR_DB: Final = 6.0
"""What reflections add at best: two paths in phase."""

_SURE_SHARE: Final = 0.6
"""Of advertisements that get through: of twenty in five seconds three do, also where one channel in three is heard."""

_NEVER_SHARE: Final = 0.02
"""Below this share three of twenty in five seconds come together less than once in a thousand such spells."""

_SPELLS: Final = 7.5
"""Mean spells of a body in between until one without was there: at a share of 0.6 all but one in a thousand."""

_SHIELD_DB: Final = 40.0
"""What metal round a tag takes from its beacon, dB, as the bench has it; foil with gaps takes 20 to 60 (a)."""

_MAX_M: Final = 20_000.0
_STEPS: Final = 60
"""Halvings of the search for a distance: a millimetre of twenty kilometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Reach from ``from_s`` on; zero metres: the beacon is off.

    Within ``sure_m`` it is heard after ``settle_s`` at the latest, beyond ``never_m`` it is not.
    """

    from_s: float
    sure_m: float
    never_m: float
    settle_s: float


class BeaconReach:
    """Reach of one wearer's beacon at one bearer's smart tag over a run."""

    def __init__(self, scenario: Scenario, wearer: PersonTable, bearer: PersonTable) -> None:
        his, hers = scenario.actions(wearer), scenario.actions(bearer)
        times = sorted({0.0} | {action.at_s for action in (*his, *hers) if action.kind in _CHANGING})
        beacon = wearer.beacon
        self.stretches = tuple(
            Reach(from_s=t_s, sure_m=0.0, never_m=0.0, settle_s=0.0)
            if beacon is None or _state(his, t_s, EventKind.POWER_OFF, EventKind.POWER_ON)
            else _reach(
                radio_between(scenario.profile_at(wearer, t_s), scenario.profile_at(bearer, t_s), beacon.tx_dbm),
                _SHIELD_DB if _state(his, t_s, EventKind.SHIELD_ON, EventKind.SHIELD_OFF) else 0.0,
                t_s,
            )
            for t_s in times
        )
        self._times = [each.from_s for each in self.stretches]

    def at(self, t_s: float) -> Reach:
        """Return what holds at a moment."""
        return self.stretches[max(0, bisect.bisect_right(self._times, t_s) - 1)]


_CHANGING: Final = frozenset(
    {EventKind.PROFILE, EventKind.SHIELD_ON, EventKind.SHIELD_OFF, EventKind.POWER_OFF, EventKind.POWER_ON}
)


def _state(actions: Sequence[DeviceAction], t_s: float, on: EventKind, off: EventKind) -> bool:
    kinds = [action.kind for action in actions if action.kind in {on, off} and action.at_s <= t_s]
    return bool(kinds) and kinds[-1] is on


def _reach(profile: RadioProfile, shield_db: float, from_s: float) -> Reach:
    spread_db = math.hypot(profile.shadow_sigma_db, profile.channel_sigma_db)
    against_db = _SURE_SIGMAS * spread_db + _FADE_AGAINST_DB + profile.gait_loss_db / 2 + shield_db
    favour_db = _NEVER_SIGMAS * math.hypot(spread_db, profile.noise_sigma_db) + _FADE_FOR_DB - shield_db
    return Reach(
        from_s=from_s,
        sure_m=_farthest_m(profile, -against_db, _SURE_SHARE),
        never_m=_farthest_m(profile, favour_db, _NEVER_SHARE),
        settle_s=_SPELLS * profile.body_mean_s if profile.body_share > 0 else 5.0,
    )


def _farthest_m(profile: RadioProfile, offset_db: float, share: float) -> float:
    """Return the farthest distance at which at least a share of advertisements gets through."""

    def enough(distance_m: float) -> bool:
        return 1 - loss_probability(profile, mean_dbm(profile, distance_m) + offset_db) >= share

    low, high = 0.0, _MAX_M
    if not enough(0.1):
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low
