"""From a scenario file to a checked scenario."""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rig.errors import RigError, ScenarioError
from rig.scenario.check import check_scenario
from rig.scenario.includes import Data, Merged, read_merged
from rig.scenario.meeting import meeting_shift
from rig.scenario.model import Scenario
from rig.scenario.parameters import merge_parameters, substitute
from rig.scenario.tables import PersonTable, Scalar
from rig.scenario.walk import FAR_M, walk


def load_scenario(path: Path, parameters: Mapping[str, Scalar] | None = None, seed: int | None = None) -> Scenario:
    """Read and check a scenario file: includes merged, parameters in place, recorded tracks as waypoints.

    Parameters
    ----------
    path : Path
    parameters : mapping, optional
        Values in place of the defaults in ``[parameters]``; texts are read as the default's type.
    seed : int, optional
        In place of the file's.

    Raises
    ------
    ScenarioError
        A file cannot be read, has an unknown key, or describes something impossible; the message says where.
    """
    merged = read_merged(path)
    try:
        filled = _filled(merged, parameters or {})
        scenario = msgspec.convert(filled, Scenario)
        if seed is not None:
            scenario = msgspec.structs.replace(scenario, seed=seed)
        scenario = _with_recordings(scenario, path.resolve().parent)
        check_scenario(scenario)
    except msgspec.ValidationError as exc:
        raise ScenarioError(f"{path}: {exc}. Next: see the table of keys in rig/scenario/README.md") from exc
    except RigError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc
    return scenario


def read_parameters(path: Path, parameters: Mapping[str, Scalar] | None = None) -> dict[str, Scalar]:
    """Read the parameters of a scenario file: defaults, or what is set instead. Raises as ``load_scenario``."""
    merged = read_merged(path)
    try:
        return merge_parameters(merged.data.get("parameters", {}), parameters or {})
    except ScenarioError as exc:
        raise ScenarioError(f"{path}: {exc}") from exc


def _filled(merged: Merged, given: Mapping[str, Scalar]) -> Data:
    parameters = merge_parameters(merged.data.get("parameters", {}), given)
    filled, used = substitute({key: value for key, value in merged.data.items() if key != "parameters"}, parameters)
    for name in parameters:
        if name not in merged.mentioned:
            raise ScenarioError(f"parameter {name!r} is used nowhere. Expected ${{{name}}} in a value, or no such name")
    for name in given:
        # an included file refers to it where this one puts something else
        if name not in used:
            raise ScenarioError(f"parameter {name!r} has no effect here. Expected one of: {', '.join(sorted(used))}")
    assert isinstance(filled, dict)
    return filled


def _with_recordings(scenario: Scenario, folder: Path) -> Scenario:
    """Turn recorded tracks into waypoints; those that are to meet somebody last, when the others have theirs."""
    people = [_with_recording(person, scenario, folder) for person in scenario.person]
    scenario = msgspec.structs.replace(scenario, person=people)
    met = [_with_meeting(person, scenario) for person in people]
    return msgspec.structs.replace(scenario, person=met)


def _with_meeting(person: PersonTable, scenario: Scenario) -> PersonTable:
    if person.track is None or person.track.meet is None:
        return person
    meet, where = person.track.meet, f"person {person.device!r}: track.meet"
    other = scenario.find_person(meet.device)
    if other is None or other is person or (other.track is not None):
        known = ", ".join(p.device for p in scenario.person if p.track is None)
        raise ScenarioError(
            f"{where}: device {meet.device!r}: expected somebody who has no meeting of their own: {known}"
        )
    if not (0 < meet.closest_m <= FAR_M and 0 <= meet.at_s <= scenario.duration_s):
        raise ScenarioError(
            f"{where}: expected closest_m above 0 and up to {FAR_M:.0f}, and at_s in the scenario, got "
            f"{meet.closest_m:g} and {meet.at_s:g}"
        )
    if not math.isfinite(meet.bearing_deg):
        raise ScenarioError(f"{where}: bearing_deg: expected degrees, got {meet.bearing_deg}")
    try:
        his, hers = walk(person.waypoint), walk(other.waypoint)
    except ScenarioError as exc:
        raise ScenarioError(f"{where} with {meet.device!r}: {exc}") from exc
    east_m, north_m = meeting_shift(
        his,
        hers,
        at_s=meet.at_s,
        closest_m=meet.closest_m,
        bearing_deg=meet.bearing_deg,
        until_s=scenario.duration_s,
    )
    waypoints = [
        msgspec.structs.replace(w, at_m=(round(w.at_m[0] + east_m, 4), round(w.at_m[1] + north_m, 4)))
        for w in person.waypoint
    ]
    return msgspec.structs.replace(person, waypoint=waypoints, track=None)


def _with_recording(person: PersonTable, scenario: Scenario, folder: Path) -> PersonTable:
    if person.track is None:
        return person
    if person.waypoint:
        raise ScenarioError(
            f"person {person.device!r}: waypoint and track both say where to walk. Expected one of them"
        )
    from rig.scenario.recorded import describe, recorded_waypoints  # loads numpy, which few scenarios need

    try:
        waypoints = recorded_waypoints(person.track, scenario.frame, folder)
    except ScenarioError as exc:
        raise ScenarioError(f"person {person.device!r}: {exc}") from exc
    track = person.track if person.track.meet is not None else None
    return msgspec.structs.replace(person, waypoint=waypoints, track=track, recorded_from=describe(person.track))
