"""Where runs take place, and who is in them: open water, distances and rings drawn anew."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from rig.approach.draw import PROTECTED, SMART_TAG, WEARER
from rig.scenario import Scenario
from rig.scenario.check import check_scenario
from rig.scenario.tables import (
    BeaconTable,
    Metres,
    OrderTable,
    OriginTable,
    PersonTable,
    ProtectedTable,
    SmartTagTable,
    WaypointTable,
)

ORIGIN: Final = OriginTable(lat_deg=51.0, lon_deg=-6.5)
"""Made up, on open water: nobody's address."""

START_S: Final = 20.0
"""Everybody stands for so long first, seconds: receivers find their satellites, and both positions are known before
anything happens."""

STAY_S: Final = 45.0
"""Who has come near stays for so long, seconds: longer than the slowest alert of a judge that works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Rings round the protected person, metres; the outermost is twice the alarm ring, as in the practice."""

    contact_m: float
    alarm_m: float

    @property
    def pre_alert_m(self) -> float:
        """The outermost."""
        return 2 * self.alarm_m


class Ground:
    """A plane, turned by a drawn angle about the place where they meet.

    Parameters
    ----------
    rng : random.Random
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._turn = rng.uniform(0.0, math.tau)

    def at(self, along_m: float, across_m: float = 0.0) -> Metres:
        """Return a place so far along the way of the approach, and to the left of it."""
        sin, cos = math.sin(self._turn), math.cos(self._turn)
        return round(along_m * cos - across_m * sin, 2), round(along_m * sin + across_m * cos, 2)

    def stand(self, along_m: float, across_m: float = 0.0) -> list[WaypointTable]:
        """Stay at a place."""
        return [WaypointTable(at_m=self.at(along_m, across_m))]

    def walk(self, points: Sequence[tuple[float, float]], speed_mps: float, *, stay_s: float) -> list[WaypointTable]:
        """Stand, go from point to point, and stay at the last one."""
        first, *rest = points
        way = [WaypointTable(at_m=self.at(*first), wait_s=START_S)]
        way += [WaypointTable(at_m=self.at(*point), speed_mps=round(speed_mps, 3)) for point in rest[:-1]]
        way.append(WaypointTable(at_m=self.at(*rest[-1]), speed_mps=round(speed_mps, 3), wait_s=stay_s))
        return way


def way_s(points: Sequence[tuple[float, float]], speed_mps: float) -> float:
    """Return how long ``Ground.walk`` goes until the last point."""
    return START_S + sum(math.dist(a, b) for a, b in pairwise(points)) / speed_mps


def wearer(way: list[WaypointTable], *, interval_s: float, beacon: bool = False, **more: Any) -> PersonTable:
    """Make him; ``more`` are fields of the table."""
    return PersonTable(
        device=WEARER,
        role="wearer",
        name="the wearer",
        interval_s=interval_s,
        waypoint=way,
        beacon=BeaconTable() if beacon else None,
        **more,
    )


def protected(way: list[WaypointTable], *, interval_s: float, has_tag: bool = True, **more: Any) -> PersonTable:
    """Make her, with her smart tag; ``has_tag`` False: it is not on the air."""
    return PersonTable(
        device=PROTECTED,
        role="protected",
        name="the protected person",
        interval_s=interval_s,
        waypoint=way,
        smart_tag=SmartTagTable(id=SMART_TAG, present=has_tag),
        **more,
    )


def scenario(
    ground: Ground, title: str, him: PersonTable, her: PersonTable, rings: Rings, *, duration_s: float, **more: Any
) -> Scenario:
    """Put a run together.

    Raises
    ------
    ScenarioError
        A family drew something impossible: an error of ours.
    """
    made = Scenario(
        title=title,
        seed=ground.rng.randrange(1, 1_000_000),
        duration_s=float(math.ceil(duration_s)),
        origin=ORIGIN,
        person=[him, her],
        order=[
            OrderTable(
                id="order-1",
                wearer=WEARER,
                zones=[],
                protected=[
                    ProtectedTable(
                        device=PROTECTED,
                        contact_m=rings.contact_m,
                        alarm_m=rings.alarm_m,
                        pre_alert_m=rings.pre_alert_m,
                    )
                ],
            )
        ],
        **more,
    )
    check_scenario(made)
    return made
