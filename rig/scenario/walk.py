"""From waypoints to times and places."""

import math
from collections.abc import Iterable

from rig.emulator.track import WALKING_SPEED_MPS, Waypoint
from rig.errors import ScenarioError
from rig.scenario.tables import WaypointTable


def walk(places: Iterable[WaypointTable]) -> list[Waypoint]:
    """Give every waypoint its time; a place that is where the one before was is no waypoint of its own.

    Raises
    ------
    ScenarioError
        A speed is not above 0.
    """
    out: list[Waypoint] = []
    for i, place in enumerate(places):
        east, north = place.at_m
        if place.t_s is not None:
            t_s = place.t_s
        elif not out:
            t_s = 0.0
        else:
            speed = WALKING_SPEED_MPS if place.speed_mps is None else place.speed_mps
            if not speed > 0:
                raise ScenarioError(f"waypoint {i}: speed_mps must be above 0, got {speed}")
            t_s = out[-1].t_s + math.hypot(east - out[-1].east_m, north - out[-1].north_m) / speed
        if not out or t_s > out[-1].t_s or place.t_s is not None:
            out.append(Waypoint(t_s=t_s, east_m=east, north_m=north))
        if place.wait_s > 0:
            out.append(Waypoint(t_s=t_s + place.wait_s, east_m=east, north_m=north))
    return out
