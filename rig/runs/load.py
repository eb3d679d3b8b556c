"""Reads a run folder: all that judges and reports need, and nothing that only the run itself knew."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from rig.demo.latency import TruthTail
from rig.demo.tag_words import TagWord
from rig.errors import RunFolderError
from rig.runs import recorder
from rig.runs.folder import (
    EVENTS_FILE,
    FELT_FILE,
    MESSAGES_FILE,
    SCENARIO_FILE,
    BenchEvent,
    RunFile,
    read_run_file,
    truth_path,
)
from rig.runs.policy import read_policy
from rig.runs.received import Received
from rig.runs.record import Felt, RunRecord
from rig.scenario import Scenario, load_scenario
from rig.truth.expectation import JudgePolicy

LineT = TypeVar("LineT")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRun:
    """A run as its folder tells it.

    ``events`` is what the bench did, in order; ``policy`` what the bridge was told, in the scenario's seconds.
    """

    folder: Path
    file: RunFile
    scenario: Scenario
    record: RunRecord
    policy: JudgePolicy
    events: tuple[BenchEvent, ...]


def load_run(folder: Path) -> LoadedRun:
    """Read a run.

    Raises
    ------
    RunFolderError
        It is not the folder of a run, or one of its files is damaged.
    BenchBrokenError
        A message does not keep to the contract.
    ScenarioError
        Its scenario cannot be read.
    """
    file = read_run_file(folder)
    scenario = load_scenario(folder / SCENARIO_FILE)
    return LoadedRun(
        folder=folder,
        file=file,
        scenario=scenario,
        record=load_record(folder, file, scenario),
        policy=read_policy(folder, file),
        events=tuple(read_lines(folder / EVENTS_FILE, BenchEvent)),
    )


def load_record(folder: Path, file: RunFile, scenario: Scenario) -> RunRecord:
    """Read what subscriber, tags and bench wrote down. Raises as ``load_run``."""
    record = RunRecord(start_mono_ns=file.start_mono_ns, start_utc_ns=file.start_utc_ns)
    record.truth = {p.device: TruthTail(truth_path(folder, p.device)) for p in scenario.person}
    for message in read_lines(folder / MESSAGES_FILE, Received):
        recorder.take_message(message, record, file.t_s)
    record.felt = [
        Felt(t_s=file.t_s(word.t_mono_ns), tag=word.tag, level=word.level, mode=word.mode, text=word.felt)
        for word in read_lines(folder / FELT_FILE, TagWord)
    ]
    recorder.finish(record)
    return record


def read_lines(path: Path, kind: type[LineT]) -> Iterator[LineT]:
    """Read a file of JSON lines; none where there is no such file. A torn last line is left out.

    Raises
    ------
    RunFolderError
        A line is not what it should be.
    """
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as exc:
                raise RunFolderError(f"{path}, line {number}: {exc}") from exc
