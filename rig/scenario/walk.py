"""From waypoints to times and places."""

import math
from collections.abc import Iterable
from typing import Final

from rig.emulator.track import WALKING_SPEED_MPS, Waypoint
from rig.errors import ScenarioError
from rig.local_frame import WGS84_A_M
from rig.scenario.tables import Metres, WaypointTable

FAR_M: Final = 200_000.0
"""Farthest from the origin, metres: beyond it the plane of the scenario's metres bends away by tens of metres."""

WAY_M: Final = WGS84_A_M
"""Farthest waypoint from the origin, metres: seen from a plane that touches it, no place of the globe lies farther."""


def walk(places: Iterable[WaypointTable]) -> list[Waypoint]:
    """Give every waypoint its time; a place that is where the one before was is no waypoint of its own.

    Raises
    ------
    ScenarioError
        A place is none or too far away, it is reached both at a time and at a speed, a speed is not above 0, or a wait
        is below 0.
    """
    out: list[Waypoint] = []
    for i, place in enumerate(places):
        _check(place, f"waypoint {i}")
        east, north = place.at_m
        if place.t_s is not None:
            t_s = place.t_s
        elif not out:
            t_s = 0.0
        else:
            speed = WALKING_SPEED_MPS if place.speed_mps is None else place.speed_mps
            t_s = out[-1].t_s + math.hypot(east - out[-1].east_m, north - out[-1].north_m) / speed
            if not math.isfinite(t_s):
                raise ScenarioError(f"waypoint {i}: speed_mps {speed:g}: it is never reached. Expected a higher speed")
        if not out or t_s > out[-1].t_s or place.t_s is not None:
            out.append(Waypoint(t_s=t_s, east_m=east, north_m=north))
        if place.wait_s > 0:
            out.append(Waypoint(t_s=t_s + place.wait_s, east_m=east, north_m=north))
    return out


def check_metres(point: Metres, where: str, farthest_m: float = FAR_M) -> None:
    """Check that a place lies in the plane of a scenario.

    Raises
    ------
    ScenarioError
        A coordinate is no number, or it lies too far away.
    """
    if not (all(map(math.isfinite, point)) and math.hypot(*point) <= farthest_m):
        raise ScenarioError(
            f"{where}: expected metres east and north, at most {farthest_m:.0f} from the origin, got {list(point)}"
        )


def _check(place: WaypointTable, where: str) -> None:
    check_metres(place.at_m, f"{where}: at_m", WAY_M)
    if place.t_s is not None:
        if not math.isfinite(place.t_s):
            raise ScenarioError(f"{where}: t_s: expected seconds of the scenario, got {place.t_s}")
        if place.speed_mps is not None:
            raise ScenarioError(
                f"{where}: t_s {place.t_s:g} and speed_mps {place.speed_mps:g} both say when it is reached. Expected "
                "one of them"
            )
    if place.speed_mps is not None and not 0 < place.speed_mps < math.inf:
        raise ScenarioError(f"{where}: speed_mps must be above 0, got {place.speed_mps}")
    if not 0 <= place.wait_s < math.inf:
        raise ScenarioError(f"{where}: wait_s: expected seconds, 0 or more, got {place.wait_s}")
