"""Recordings in the place of devices: made into a run, played, and judged by their own truth.

A run of recordings is a run folder like any other, with ``recordings.json`` and the recordings themselves beside it,
so that it can be judged and replayed from the folder alone.
"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from rig.bench.load import bench_toml
from rig.bench.roles import person_roles
from rig.bench.schema import BenchFile, BenchTable, DeviceTable
from rig.errors import RigError
from rig.local_frame import LocalFrame
from rig.replay.cast import STANDING, Asked, Role, cast, orders_of, pairs_of, stem, title_of
from rig.replay.errors import ReplayError
from rig.replay.proximity import PairJudgement, Rings, Told, judge_pair, measurements
from rig.replay.recorded import Line, read_line, standing_line, write_capture
from rig.runs.folder import BENCH_FILE, VERDICT_FILE, new_folder
from rig.runs.load import LoadedRun, load_run
from rig.scenario import (
    OriginTable,
    PersonTable,
    Scenario,
    WaypointTable,
    check_scenario,
)
from rig.truth.findings import RunVerdict, conclude, write_verdict

RECORDINGS_FILE: Final = "recordings.json"
RECORDINGS_FOLDER: Final = "recordings"
SUITE: Final = "recordings"
FORMAT: Final = 1

TRUTH_STEP_S: Final = 2.0
"""Seconds between the points of a track on the page, at least: a bicycle moves 15 m. Judged is by all of them."""

UNASKED_S: Final = 3600.0
"""Policy ``near_interval_s``, seconds: a recording reports as often as it did, whatever it is asked."""

MAX_AGE_S: Final = 120.0
"""``policy.max_position_age_s``, as bridges have it by default."""


class RecordedDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device of a run of recordings.

    Attributes
    ----------
    device, role : str
    recording : str
        The capture in the run folder that stands for it.
    source : str
        The file that it was made of.
    truth : str
        The capture that tells where it truly was.
    truth_source : str
    interval_s : float
        Its usual one.
    """

    device: str
    role: Role
    recording: str
    source: str
    truth: str
    truth_source: str
    interval_s: float


class RecordingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``recordings.json``."""

    format: int = FORMAT
    zero_utc_ns: int
    devices: tuple[RecordedDevice, ...]
    max_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run of recordings, ready to be played; ``chunks`` by device: seconds of the run, and bytes that come then."""

    scenario: Scenario
    file: RecordingsFile
    chunks: Mapping[str, Sequence[tuple[float, bytes]]]


def prepare(asked: Asked, folder: Path) -> Prepared:
    """Read all recordings, write them into a run folder, make the scenario.

    Raises
    ------
    ReplayError
        A recording cannot be used, or they share no time.
    """
    files = cast(asked)
    pairs = pairs_of(asked, files)
    files = [each for each in files if each[0] in {name for pair in pairs for name in pair}]
    lines = _read_all({path for _, _, path in files} | ({asked.truth} if asked.truth is not None else set()), asked)
    delay_ns = round(asked.delay_s * 1e9)
    told = {(device, path): _as_played(lines[path], role, delay_ns) for device, role, path in files}
    zero_ns, end_ns = _shared_time([*told.values()], asked)
    recordings = folder / RECORDINGS_FOLDER
    devices: list[RecordedDevice] = []
    chunks: dict[str, Sequence[tuple[float, bytes]]] = {}
    people: list[PersonTable] = []
    truths: dict[str, tuple[Line, Path]] = {}
    frame: LocalFrame | None = None
    for device, role, path in files:
        line = told[device, path].cut(zero_ns, end_ns)
        truth_path = path if asked.truth is None or path == STANDING else asked.truth
        chunks[device] = [((burst.t_utc_ns - zero_ns) / 1e9, burst.data) for burst in line.bursts]
        kept = write_capture(line, recordings, device, zero_utc_ns=zero_ns, version=version("tagrig"))
        name = f"truth-{stem(truth_path)}{'-later' if delay_ns and role == 'protected' else ''}"
        if name not in truths:
            where = _as_played(lines[truth_path], role, delay_ns).cut(zero_ns, end_ns)
            truths[name] = where, write_capture(where, recordings, name, zero_utc_ns=zero_ns, version=version("tagrig"))
        truth, kept_truth = truths[name]
        frame = frame or LocalFrame(truth.places[0].lat_deg, truth.places[0].lon_deg)
        devices.append(
            RecordedDevice(
                device=device,
                role=role,
                recording=str(kept.relative_to(folder)),
                source=path.name,
                truth=str(kept_truth.relative_to(folder)),
                truth_source=truth_path.name,
                interval_s=_usual_interval_s(line),
            )
        )
        people.append(
            PersonTable(
                device=device,
                role=role,
                name=path.name,
                interval_s=devices[-1].interval_s,
                waypoint=_waypoints(truth, frame, zero_ns),
            )
        )
    assert frame is not None
    scenario = Scenario(
        title=title_of(asked),
        about="Recordings in the place of devices; nothing of their positions is simulated.",
        duration_s=round((end_ns - zero_ns) / 1e9, 3),
        origin=OriginTable(lat_deg=frame.lat_deg, lon_deg=frame.lon_deg),
        person=people,
        order=orders_of(asked, pairs),
    )
    try:
        check_scenario(scenario)
    except RigError as exc:
        raise ReplayError(f"these recordings make no run: {exc}") from exc
    file = RecordingsFile(zero_utc_ns=zero_ns, devices=tuple(devices), max_age_s=MAX_AGE_S)
    (folder / RECORDINGS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
    return Prepared(
        scenario=scenario,
        file=file,
        chunks=chunks,
    )


def play_recordings(asked: Asked, out: Path) -> tuple[Path, RunVerdict, tuple[PairJudgement, ...]]:
    """Play recordings through a bridge on virtual time, and judge what it told; returns the run folder too.

    Raises
    ------
    RigError
        They cannot be replayed, or the bench broke.
    """
    # the bench brings radios and brokers along: only where something is played
    from rig.play.run import play
    from rig.play.settings import PlaySettings, Source

    folder = new_folder(out, SUITE)
    prepared = prepare(asked, folder)
    settings = PlaySettings(
        folder=folder,
        suite=SUITE,
        sources={device: Source(kind="replay", chunks=chunks) for device, chunks in prepared.chunks.items()},
        policy={"near_interval_s": UNASKED_S, "max_position_age_s": MAX_AGE_S},
        lean=True,
        start_utc_ns=prepared.file.zero_utc_ns,
    )
    play(prepared.scenario, settings)
    (folder / BENCH_FILE).write_text(_bench_text(prepared), encoding="utf-8")
    verdict, judged = judge_recordings(folder)
    write_verdict(folder / VERDICT_FILE, verdict)
    return folder, verdict, judged


def _bench_text(prepared: Prepared) -> str:
    """Write the bench of the run: each role a recording in this folder."""
    recording = {each.device: each.recording for each in prepared.file.devices}
    devices = {
        role: DeviceTable(type="gnss_receiver", transport=f"replay:{recording[person.device]}")
        for role, person in person_roles(prepared.scenario).items()
    }
    file = BenchFile(bench=BenchTable(name=SUITE), devices=devices)
    return bench_toml(file, about=("The bench of this run: recordings. Paths begin at this folder.",))


def judge_recordings(folder: Path) -> tuple[RunVerdict, tuple[PairJudgement, ...]]:
    """Judge a run of recordings from its folder.

    Raises
    ------
    RigError
        The folder is damaged.
    """
    run = load_run(folder)
    file = read_recordings_file(folder)
    places = {name: read_line(folder / name).places for each in file.devices for name in (each.recording, each.truth)}
    told = {each.device: Told(places[each.recording], places[each.truth], file.zero_utc_ns) for each in file.devices}
    judged = tuple(
        judge_pair(
            order.wearer,
            ring.device,
            his=told[order.wearer],
            hers=told[ring.device],
            rings=Rings(
                contact_m=ring.contact_m,
                alarm_m=ring.alarm_m,
                pre_alert_m=ring.pre_alert_m,
                exit_margin_m=run.policy.exit_margin_m,
            ),
            max_age_s=file.max_age_s,
            alerts=[seen.alert for seen in run.record.alerts],
        )
        for order in run.scenario.order
        for ring in order.protected
    )
    return conclude((f for each in judged for f in each.findings), measurements(judged), errors=_errors(run)), judged


def read_recordings_file(folder: Path) -> RecordingsFile:
    """Read ``recordings.json``.

    Raises
    ------
    ReplayError
        It cannot be read.
    """
    path = folder / RECORDINGS_FILE
    try:
        file = msgspec.json.decode(path.read_bytes(), type=RecordingsFile)
    except (OSError, msgspec.DecodeError) as exc:
        raise ReplayError(f"{path}: {exc}") from exc
    if file.format != FORMAT:
        raise ReplayError(f"{path}: format {file.format}; this version reads {FORMAT}")
    return file


def _errors(run: LoadedRun) -> list[str]:
    return [] if run.record.messages else ["no message arrived at all. Next: read bench.log in the run folder"]


def _read_all(paths: set[Path], asked: Asked) -> dict[Path, Line]:
    """Read recordings, those that tell no date last, beside one that does; who stands still does so all the time."""
    found: dict[Path, Line] = {}
    undated: list[Path] = []
    for path in sorted(paths - {STANDING}):
        try:
            found[path] = read_line(path)
        except ReplayError as exc:
            if "no date" not in str(exc):
                raise
            undated.append(path)
    for path in undated:
        near = next((line.start_utc_ns for line in found.values()), None)
        found[path] = read_line(path, near_utc_ns=near)
    if asked.protected_at is not None:
        start = min(line.start_utc_ns for line in found.values())
        end = max(line.end_utc_ns for line in found.values())
        found[STANDING] = standing_line(STANDING, asked.protected_at, start, end)
    return found


def _as_played(line: Line, role: Role, delay_ns: int) -> Line:
    return line.later(delay_ns) if role == "protected" and delay_ns else line


def _shared_time(lines: Sequence[Line], asked: Asked) -> tuple[int, int]:
    start = max(line.start_utc_ns for line in lines)
    end = min(line.end_utc_ns for line in lines)
    from_ns = start + round(asked.from_s * 1e9)
    until_ns = end if asked.until_s is None else min(end, start + round(asked.until_s * 1e9))
    # whole seconds: a page that begins at 0.000
    from_ns -= from_ns % 1_000_000_000
    if until_ns - from_ns < 1_000_000_000:
        raise ReplayError("these recordings share less than a second. Next: recordings of the same time")
    return from_ns, until_ns


def _usual_interval_s(line: Line) -> float:
    steps = [(b.t_utc_ns - a.t_utc_ns) / 1e9 for a, b in itertools.pairwise(line.places) if b.t_utc_ns > a.t_utc_ns]
    return max(0.05, round(statistics.median(steps), 3)) if steps else 1.0


def _waypoints(truth: Line, frame: LocalFrame, zero_ns: int) -> list[WaypointTable]:
    out: list[WaypointTable] = []
    last_s = -TRUTH_STEP_S
    for place in truth.places:
        t_s = round((place.t_utc_ns - zero_ns) / 1e9, 3)
        if t_s - last_s >= TRUTH_STEP_S or (place is truth.places[-1] and t_s > last_s):
            east, north = frame.to_local(place.lat_deg, place.lon_deg)
            out.append(WaypointTable(at_m=(round(east, 3), round(north, 3)), t_s=max(0.0, t_s)))
            last_s = t_s
    return out
