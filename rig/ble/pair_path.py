"""From a scenario's true tracks and surroundings to the radio between a wearer's beacon and her smart tag."""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rig.ble.ankle_beacon import Way
from rig.ble.path_loss import PathLoss, Reception
from rig.ble.surroundings import radio_between
from rig.ble.ways import way_between
from rig.emulator.events import EventKind
from rig.scenario import PersonTable, Scenario

SHIELD_DB: Final = 40.0
"""What metal wrapped round a tag takes from its beacon, dB (a): foil with gaps takes 20 to 60."""

_SHIELDING: Final = frozenset({EventKind.SHIELD_ON, EventKind.SHIELD_OFF})
_CHANGING: Final = _SHIELDING | {EventKind.PROFILE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From ``at_s`` on one end is in ``place`` and the other in ``other``; so much comes out of the transmitter."""

    at_s: float
    place: str
    other: str
    tx_dbm: float


class PairPath:
    """The path between two people whose surroundings change.

    Each pair of places has random streams of its own: coming back to a place continues what was drawn there.

    Parameters
    ----------
    changes : sequence of Change
        By time; the first counts from the start.
    seed, pair
        As for `PathLoss`.
    now_s : callable, optional
        The scenario's moment, which says where the two are; absent: the time of the advertisement.
    """

    def __init__(
        self, changes: Sequence[Change], *, seed: int, pair: str, now_s: Callable[[], float] | None = None
    ) -> None:
        self._now_s = now_s
        self._changes = list(changes)
        self._times = [change.at_s for change in changes]
        self._paths = {
            (c.place, c.other, c.tx_dbm): PathLoss(
                radio_between(c.place, c.other, c.tx_dbm), seed=seed, pair=f"{pair}/{c.place}/{c.other}"
            )
            for c in changes
        }

    def at(self, t_s: float) -> PathLoss:
        """Return the path in force at a time."""
        change = self._changes[max(bisect.bisect_right(self._times, t_s) - 1, 0)]
        return self._paths[change.place, change.other, change.tx_dbm]

    def receive(self, *, t_s: float, distance_m: float, moved_m: float | None = None) -> Reception:
        """Send one advertisement; as `PathLoss.receive`."""
        path = self.at(t_s if self._now_s is None else self._now_s())
        return path.receive(t_s=t_s, distance_m=distance_m, moved_m=moved_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconPath:
    """What `AnkleBeacon.reach` of a wearer's beacon takes for one smart tag."""

    wearer: str
    smart_tag: str
    loss: PairPath
    where: Callable[[], Way]


def pair_path(
    scenario: Scenario,
    wearer: PersonTable,
    bearer: PersonTable,
    seed: int,
    now_s: Callable[[], float] | None = None,
) -> PairPath:
    """Return the path from a wearer's beacon to the smart tag that another person carries."""
    assert bearer.smart_tag is not None
    times = sorted(
        {0.0}
        | {action.at_s for action in scenario.actions(wearer) if action.kind in _CHANGING}
        | {action.at_s for action in scenario.actions(bearer) if action.kind is EventKind.PROFILE}
    )
    full_dbm = 0.0 if wearer.beacon is None else wearer.beacon.tx_dbm
    changes = [
        Change(
            at_s=t,
            place=scenario.profile_at(wearer, t),
            other=scenario.profile_at(bearer, t),
            tx_dbm=full_dbm - (SHIELD_DB if _shielded(scenario, wearer, t) else 0.0),
        )
        for t in times
    ]
    return PairPath(changes, seed=seed, pair=f"{wearer.device}/{bearer.smart_tag.id}", now_s=now_s)


def _shielded(scenario: Scenario, person: PersonTable, t_s: float) -> bool:
    kinds = [a.kind for a in scenario.actions(person) if a.kind in _SHIELDING and a.at_s <= t_s]
    return bool(kinds) and kinds[-1] is EventKind.SHIELD_ON


def beacon_paths(scenario: Scenario, now_s: Callable[[], float], seed: int | None = None) -> list[BeaconPath]:
    """Return the path of every wearer's beacon to every smart tag that is on the air.

    Parameters
    ----------
    scenario : Scenario
    now_s : callable
        Gives the scenario's present moment, seconds.
    seed : int, optional
        Another one than the scenario's.
    """
    wearers = [person for person in scenario.person if person.beacon is not None]
    bearers = [p for p in scenario.person if p.smart_tag is not None and p.smart_tag.on_air]
    return [
        BeaconPath(
            wearer=wearer.device,
            smart_tag=bearer.smart_tag.id,
            loss=pair_path(scenario, wearer, bearer, scenario.seed if seed is None else seed, now_s),
            where=way_between(scenario.track(wearer), scenario.track(bearer), now_s),
        )
        for wearer in wearers
        for bearer in bearers
        if bearer.smart_tag is not None
    ]
