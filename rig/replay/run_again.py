"""A run again, from its folder alone: the same messages to the byte, the same verdict, a new report."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bridge.config.load import LoadedConfig, load_config
from bridge.errors import ConfigError
from bridge.publisher import Message
from devices.clock import Clock
from rig.errors import RigError
from rig.replay.errors import ReplayError
from rig.replay.journal_file import JournaledStart, read_journal
from rig.replay.judged import Judged, JudgedAgain
from rig.replay.judging import judge_folder
from rig.replay.missing import missing_parts
from rig.replay.pace import do_steps, replay_speed
from rig.replay.redecode import Redecoded, redecode
from rig.replay.wire import WireComparison, compare_wire
from rig.runs.folder import (
    BRIDGE_FILE,
    BROKER_FOLDER,
    CAPTURES_FOLDER,
    JOURNAL_FILE,
    JUNIT_FILE,
    LOG_FILE,
    MESSAGES_FILE,
    OUTBOX_FOLDER,
    REPORT_FILE,
    SCENARIO_FILE,
    SUMMARY_FILE,
    TRACE_FILE,
    VERDICT_FILE,
    new_folder,
    read_run_file,
)
from rig.runs.load import read_lines
from rig.runs.received import Received
from rig.scenario import load_scenario
from rig.truth.findings import RunVerdict, read_verdict, write_verdict

REPLAY_FILE: Final = "replay.json"
"""What a replay compared, in the folder that it leaves."""

_NOT_TAKEN: Final = frozenset(
    {
        BROKER_FOLDER,
        JUNIT_FILE,
        LOG_FILE,
        MESSAGES_FILE,
        OUTBOX_FOLDER,
        REPLAY_FILE,
        REPORT_FILE,
        SUMMARY_FILE,
        TRACE_FILE,
        VERDICT_FILE,
        "disclosures",
        "ports",
    }
)
"""What a replay makes anew, or has no use for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedRun:
    """What came of a replay.

    Attributes
    ----------
    run, folder : Path
        What was replayed, and what the replay left.
    judged : Judged
    wire : WireComparison
    lines : tuple of Redecoded
    verdict, verdict_then : RunVerdict
        Now, and as the run has it; None: the run was not judged, or its verdict is damaged.
    problems : tuple of str
        All that is not as it was; empty: everything is.
    """

    run: Path
    folder: Path
    judged: Judged
    wire: WireComparison
    lines: tuple[Redecoded, ...]
    verdict: RunVerdict
    verdict_then: RunVerdict | None
    problems: tuple[str, ...]


class _Summary(msgspec.Struct, frozen=True, kw_only=True):
    run: str
    same: bool
    verdict: str
    verdict_then: str | None
    starts: int
    turns: int
    messages: int
    proven: int
    received: int
    identical: int
    repeated: int
    not_received: dict[str, int]
    reports: int
    reports_identical: int
    problems: tuple[str, ...]
    cautions: tuple[str, ...]


def replay_run(
    run: Path,
    *,
    out: Path | None,
    pace: str,
    clock: Clock,
    tell: Callable[[int, int, list[Message]], None] = lambda _done, _of, _made: None,
) -> ReplayedRun:
    """Replay a run that has a journal.

    Parameters
    ----------
    run : Path
        Its folder.
    out : Path or None
        Where the replay's folder is made; None: beside the run's.
    pace : str
        ``max``, ``recorded`` or ``xN``.
    clock : Clock
        Waits where the pace says so.
    tell : callable
        Takes the turns done, their number in all, and the messages of the last.

    Raises
    ------
    RigError
        The folder is not a run's, or it cannot be replayed by this version.
    """
    read_run_file(run)
    # the verdict needs it in the end; by then there would be a folder
    scenario = load_scenario(run / SCENARIO_FILE)
    speed = replay_speed(pace)
    starts = read_journal(run / JOURNAL_FILE)
    again = JudgedAgain(_load(run), starts)
    steps = again.steps()
    try:
        asyncio.run(
            do_steps(
                steps,
                again.moments(),
                speed=speed,
                clock=clock,
                tell=lambda number, made: tell(number + 1, len(steps), made),
            )
        )
    except ConfigError as exc:
        raise ReplayError(f"{run / BRIDGE_FILE}: {exc}") from exc
    wire, received = compare_wire(again.result.messages, read_lines(run / MESSAGES_FILE, Received))
    lines = tuple(redecode(run / CAPTURES_FOLDER, starts))
    folder = new_folder(out or run.resolve().parent, f"{run.resolve().name}-replay")
    _take_along(run, folder)
    _write_messages(folder, received)
    verdict = judge_folder(folder)
    write_verdict(folder / VERDICT_FILE, verdict)
    verdict_then, unread = _find_verdict_then(run)
    again.result.cautions += [*unread, *missing_parts(run, scenario, starts, lines)]
    replayed = ReplayedRun(
        run=run,
        folder=folder,
        judged=again.result,
        wire=wire,
        lines=lines,
        verdict=verdict,
        verdict_then=verdict_then,
        problems=(*_differences(again.result, wire, lines), *_find_other_verdict(run, verdict, verdict_then)),
    )
    _write_summary(replayed, starts)
    return replayed


def _load(run: Path) -> LoadedConfig:
    try:
        return load_config(run / BRIDGE_FILE)
    except ConfigError as exc:
        raise ReplayError(f"{run / BRIDGE_FILE}: {exc}") from exc


def _find_verdict_then(run: Path) -> tuple[RunVerdict | None, list[str]]:
    """Return the verdict that the run has, and what to say where there is one and it cannot be read."""
    path = run / VERDICT_FILE
    if not path.exists():
        return None, []
    try:
        return read_verdict(path), []
    except RigError:
        return None, [f"{path} is damaged: the verdict of then is not known, and was not compared"]


def _take_along(run: Path, folder: Path) -> None:
    for each in sorted(run.iterdir()):
        if each.name in _NOT_TAKEN or each.is_socket() or each.is_fifo():
            continue
        if each.is_dir():
            shutil.copytree(each, folder / each.name, symlinks=True)
        else:
            shutil.copy2(each, folder / each.name)


def _write_messages(folder: Path, received: list[Received]) -> None:
    encoder = msgspec.json.Encoder()
    (folder / MESSAGES_FILE).write_bytes(b"".join(encoder.encode(each) + b"\n" for each in received))


def _differences(judged: Judged, wire: WireComparison, lines: tuple[Redecoded, ...]) -> Iterator[str]:
    yield from (str(each) for each in judged.differences)
    if judged.n_differences > len(judged.differences):
        yield f"... and {judged.n_differences - len(judged.differences)} more turns that differ"
    yield from (f"arrived and is not the same: {each}" for each in wire.differing)
    yield from (f"arrived and was never made: {each}" for each in wire.unknown)
    for line in lines:
        yield from (f"{line.device}: {each}" for each in line.differing)


def _find_other_verdict(run: Path, verdict: RunVerdict, then: RunVerdict | None) -> Iterator[str]:
    """Say so where the verdict is another one, and whether the judge is why."""
    if then is None or verdict == then:
        return
    differs = f"the verdict was {then.verdict.value} and is {verdict.verdict.value}"
    if verdict.verdict is then.verdict:
        differs += ", with other findings or figures"
    if judge_folder(run) == verdict:
        differs += "; so it is of the run itself, judged anew: the judge has changed since, or the file was touched"
    yield differs


def _write_summary(replayed: ReplayedRun, starts: list[JournaledStart]) -> None:
    then = replayed.verdict_then
    summary = _Summary(
        run=str(replayed.run),
        same=not replayed.problems,
        verdict=replayed.verdict.verdict.value,
        verdict_then=then.verdict.value if then is not None else None,
        starts=len(starts),
        turns=replayed.judged.turns,
        messages=len(replayed.judged.messages),
        proven=replayed.judged.proven,
        received=replayed.wire.received,
        identical=replayed.wire.identical,
        repeated=replayed.wire.repeated,
        not_received=replayed.wire.not_received,
        reports=sum(line.reports for line in replayed.lines),
        reports_identical=sum(line.identical for line in replayed.lines),
        problems=replayed.problems,
        cautions=tuple(replayed.judged.cautions),
    )
    (replayed.folder / REPLAY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
