"""The folder of a run: names of its files, and the first of them, ``run.json``."""

import math
from pathlib import Path
from typing import Final, Literal

import msgspec

from rig.errors import RigError, RunFolderError

FORMAT: Final = 1
"""Layout of a run folder. A reader refuses another one: half understood, it would judge wrongly."""

RUN_FILE: Final = "run.json"
SCENARIO_FILE: Final = "scenario.toml"
BENCH_FILE: Final = "bench.toml"
BRIDGE_FILE: Final = "bridge.toml"
ZONES_FILE: Final = "zones.geojson"
KEYS_FOLDER: Final = "keys"
CAPTURES_FOLDER: Final = "captures"
RADIO_FOLDER: Final = "radio"
OUTBOX_FOLDER: Final = "outbox"
BROKER_FOLDER: Final = "broker"
JOURNAL_FILE: Final = "journal.jsonl"
MESSAGES_FILE: Final = "messages.jsonl"
FELT_FILE: Final = "felt.jsonl"
EVENTS_FILE: Final = "events.jsonl"
VERDICT_FILE: Final = "verdict.json"
REPORT_FILE: Final = "report.html"
JUNIT_FILE: Final = "junit.xml"
SUMMARY_FILE: Final = "summary.json"
TRACE_FILE: Final = "trace.json"
LOG_FILE: Final = "bench.log"

Scalar = str | float | int | bool


class RoleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who played a role: a device of the scenario, and what stood for it."""

    role: str
    device: str
    kind: Literal["real", "emulated", "replay"]
    firmware: str = ""


class RunFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``run.json``: what was run, by what, and how its clocks map to the scenario's time.

    Attributes
    ----------
    suite, family, run : str
        Where it belongs in a suite; empty: a run by itself.
    seed : int
        Fixed every draw.
    parameters : mapping
        Of the scenario, as they were used.
    pace : str
        ``virtual``, ``real`` or ``x`` and a number.
    speed : float
        Seconds of the scenario per second of the clock that stamps were read from: 1 at the virtual pace.
    start_mono_ns, start_utc_ns : int
        That clock's and the tags' readings at the scenario's zero.
    allowance_s : float
        Seconds of the scenario that the way from a tag to the subscriber may take beyond a window.
    faults : tuple of str
        Ids of the faults that were applied.
    planted : mapping
        What was wrong with the bridge on purpose, to see the judge find it; empty but for tests of the bench.
    broker : str
        Which one ran.
    """

    format: int = FORMAT
    title: str
    suite: str = ""
    family: str = ""
    run: str = ""
    seed: int
    parameters: dict[str, Scalar] = {}
    pace: str
    speed: float = 1.0
    roles: tuple[RoleEntry, ...] = ()
    versions: dict[str, str] = {}
    start_mono_ns: int
    start_utc_ns: int
    allowance_s: float
    faults: tuple[str, ...] = ()
    planted: dict[str, str] = {}
    broker: str = ""

    def t_s(self, mono_ns: int) -> float:
        """Seconds since the scenario's zero at a reading of the run's clock."""
        return (mono_ns - self.start_mono_ns) * self.speed / 1e9


class BenchEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the bench did, at ``t_s`` of the scenario.

    ``fault`` is an id of the catalogue; ``device`` whom it concerned, None: all or none.
    """

    t_s: float
    t_mono_ns: int
    what: Literal[
        "fault_applied", "fault_ended", "fault_skipped", "broker_down", "broker_up", "bridge_down", "bridge_up", "note"
    ]
    fault: str = ""
    device: str | None = None
    parameters: dict[str, Scalar] = {}
    detail: str = ""


def truth_path(folder: Path, device: str) -> Path:
    """Where the truth of a device is logged."""
    return folder / f"truth-{device}.jsonl"


def key_path(folder: Path, name: str) -> Path:
    """Where the made-up key of a smart tag, or of a wearer's beacon, lies."""
    return folder / KEYS_FOLDER / f"{name}.key"


def new_folder(parent: Path, stem: str) -> Path:
    """Make ``<stem>-<n>`` with the first free number.

    Raises
    ------
    RunFolderError
        It cannot be made.
    """
    number = 1
    while True:
        folder = parent / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        except OSError as exc:
            raise RunFolderError(
                f"{folder}: the run folder cannot be made: {exc.strerror}. Next: choose another with --out"
            ) from exc
        return folder


def write_run_file(folder: Path, file: RunFile) -> None:
    """Write ``run.json``."""
    (folder / RUN_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")


def read_run_file(folder: Path) -> RunFile:
    """Read ``run.json``.

    Raises
    ------
    RunFolderError
        There is none, it is damaged, or of another format.
    """
    path = folder / RUN_FILE
    try:
        file = msgspec.json.decode(path.read_bytes(), type=RunFile)
    except OSError as exc:
        raise RunFolderError(
            f"{path}: {exc.strerror}. Expected the folder of a run, such as tagrig run leaves"
        ) from exc
    except msgspec.DecodeError as exc:
        raise RunFolderError(f"{path}: {exc}") from exc
    if file.format != FORMAT:
        raise RunFolderError(f"{path}: format {file.format}; this version reads {FORMAT}")
    return file


def speed_of(pace: str) -> float | None:
    """Return how many seconds of the scenario pass in one; None: the pace is virtual.

    Raises
    ------
    RigError
        The text is no pace.
    """
    if pace == "virtual":
        return None
    if pace == "real":
        return 1.0
    try:
        speed = float(pace.removeprefix("x"))
    except ValueError:
        speed = math.nan
    if not (pace.startswith("x") and 0.1 <= speed <= 100.0):
        raise RigError(f"pace {pace!r}: expected virtual, real, or x0.1 to x100 such as x10")
    return speed
