"""A section of a recording as waypoints of a scenario: turned, moved, and begun at a time."""

import itertools
import math
from pathlib import Path
from typing import Final

import msgspec

from rig.errors import ScenarioError, TrackError
from rig.local_frame import LocalFrame
from rig.recordings import Recording, read_recording
from rig.scenario.tables import RecordedTrackTable, WaypointTable
from rig.scenario.walk import FAR_M

_NS_PER_S: Final = 1e9


def recorded_waypoints(track: RecordedTrackTable, frame: LocalFrame, folder: Path) -> list[WaypointTable]:
    """Read a recording and lay it into the plane of a scenario.

    Parameters
    ----------
    track : RecordedTrackTable
    frame : LocalFrame
    folder : Path
        Where a relative path begins.

    Raises
    ------
    ScenarioError
        There are not exactly one file and, where the recording has no times, a speed; a number is none; the section is
        empty; it lies too far from the origin.
    """
    _check_numbers(track)
    if track.meet is not None:
        if track.move_to_m is not None:
            raise ScenarioError("track: move_to_m and meet both say where it lies. Expected one of them")
        track = msgspec.structs.replace(track, move_to_m=(0.0, 0.0))
    recording = _read(track, folder)
    if not track.speed > 0:
        raise ScenarioError(f"track: speed must be above 0, got {track.speed}")
    if track.at_s < 0 or track.from_s < 0:
        raise ScenarioError(f"track: expected at_s and from_s of 0 or later, got {track.at_s:g} and {track.from_s:g}")
    places = _places(recording, track, frame)
    times = _times(recording, track, places)
    end_s = math.inf if track.to_s is None else track.to_s
    section = [(t, place) for t, place in zip(times, places, strict=True) if track.from_s <= t <= end_s]
    if not section:
        raise ScenarioError(
            f"track: nothing of {recording.path} lies from {track.from_s:g} s to {end_s:g} s of {times[-1]:.0f} s"
        )
    first_s, first = section[0]
    out: list[WaypointTable] = []
    last_s = -math.inf
    for t_s, (east, north) in section:
        moved = _turned(east - first[0], north - first[1], track.rotate_deg)
        base = first if track.move_to_m is None else track.move_to_m
        at_m = (round(base[0] + moved[0], 4), round(base[1] + moved[1], 4))
        if math.hypot(*at_m) > FAR_M:
            raise ScenarioError(
                f"track: {recording.path} comes {math.hypot(*at_m) / 1000:.0f} km from the origin. Expected at most "
                f"{FAR_M / 1000:.0f} km. Next: move_to_m = [0, 0], or an origin where it was recorded"
            )
        when_s = round(track.at_s + (t_s - first_s) / track.speed, 6)
        if when_s > last_s:
            out.append(WaypointTable(at_m=at_m, t_s=when_s))
            last_s = when_s
    return out


def describe(track: RecordedTrackTable) -> str:
    """Say in few words which recording it was, for the record."""
    name = next((Path(each).name for each in (track.gpx, track.csv, track.nmea) if each), "")
    until = "its end" if track.to_s is None else f"{track.to_s:g} s"
    return f"{name}{f' ({track.device})' if track.device else ''}, {track.from_s:g} s to {until}"


def _check_numbers(track: RecordedTrackTable) -> None:
    east_m, north_m = track.move_to_m or (0.0, 0.0)
    numbers = {
        "from_s": track.from_s,
        "to_s": track.to_s or 0.0,
        "at_s": track.at_s,
        "speed": track.speed,
        "speed_mps": track.speed_mps or 0.0,
        "rotate_deg": track.rotate_deg,
        "move_to_m, east": east_m,
        "move_to_m, north": north_m,
    }
    for key, number in numbers.items():
        if not math.isfinite(number):
            raise ScenarioError(f"track: {key}: expected a finite number, got {number}")


def _read(track: RecordedTrackTable, folder: Path) -> Recording:
    files = [(kind, name) for kind in ("gpx", "csv", "nmea") if (name := getattr(track, kind)) is not None]
    if len(files) != 1:
        raise ScenarioError(f"track: expected exactly one of gpx, csv, nmea, got {len(files)}")
    kind, name = files[0]
    try:
        recording = read_recording(folder / name, kind, device=track.device, with_times=track.speed_mps is None)
    except TrackError as exc:
        raise ScenarioError(f"track: {exc}") from exc
    if recording.not_later > len(recording.points):
        raise ScenarioError(
            f"track: {recording.path}: {recording.not_later} of its times are not after the one before. Next: say how "
            "fast it is, speed_mps = 1.4"
        )
    return recording


def _places(recording: Recording, track: RecordedTrackTable, frame: LocalFrame) -> list[tuple[float, float]]:
    """Metres in the scenario's plane, or, for a track that is moved, round its own first point: shape is kept there."""
    if track.move_to_m is not None:
        frame = LocalFrame(recording.points[0].lat_deg, recording.points[0].lon_deg)
    return [frame.to_local(p.lat_deg, p.lon_deg) for p in recording.points]


def _times(recording: Recording, track: RecordedTrackTable, places: list[tuple[float, float]]) -> list[float]:
    if track.speed_mps is None:
        if not recording.timed:
            raise ScenarioError(f"track: {recording.path} has no times. Next: say how fast it is, speed_mps = 1.4")
        start_ns = recording.start_utc_ns
        return [((p.t_utc_ns or 0) - start_ns) / _NS_PER_S for p in recording.points]
    if not track.speed_mps > 0:
        raise ScenarioError(f"track: speed_mps must be above 0, got {track.speed_mps}")
    times = [0.0]
    for before, after in itertools.pairwise(places):
        times.append(times[-1] + math.dist(before, after) / track.speed_mps)
    return times


def _turned(east: float, north: float, clockwise_deg: float) -> tuple[float, float]:
    angle = math.radians(clockwise_deg)
    return (
        east * math.cos(angle) + north * math.sin(angle),
        north * math.cos(angle) - east * math.sin(angle),
    )
