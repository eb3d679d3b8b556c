"""A run that has no journal, played once more from the bytes of its captures: what can be told again is compared.

The bytes, the scenario and the bridge's configuration are those of the run; smart tags, radio and broker play anew, and
so do the clocks. So messages are not the same to the byte; the alerts must be the same, in their order, at about their
times.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.capture import SUFFIX, read_capture
from devices.errors import CaptureError
from rig.replay.errors import ReplayError
from rig.replay.missing import missing_messages
from rig.runs.folder import BRIDGE_FILE, CAPTURES_FOLDER, VERDICT_FILE, RunFile, Scalar, new_folder
from rig.runs.load import LoadedRun, load_run
from rig.truth.findings import RunVerdict, write_verdict
from rig.truth.verdict import ReceivedAlert, Verdict

APART_S: Final = 2.0
"""Seconds that an alert may come earlier or later than then: a broker finds its clients anew within it, and at a pace
of tens of times the real one a tenth of a second is as much."""

MAX_NAMED: Final = 20

UNJUDGED: Final = RunVerdict(
    verdict=Verdict.UNSET,
    problems=("Played again from captures, without a journal: the alerts were compared, the run was not judged anew.",),
)
"""Of a run whose tags' own logs belong to another clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedAgain:
    """What came of it.

    Attributes
    ----------
    run, folder : Path
        What was replayed, and the new run.
    devices : tuple of str
        Those whose captures were heard.
    emulated_anew : tuple of str
        Devices of which no bytes are kept.
    alerts, same : int
        In the run, and of them those that came again.
    problems : tuple of str
        Alerts that did not come again, or came too.
    cautions : tuple of str
        What makes the comparison incomplete.
    """

    run: Path
    folder: Path
    devices: tuple[str, ...]
    emulated_anew: tuple[str, ...]
    alerts: int
    same: int
    problems: tuple[str, ...]
    cautions: tuple[str, ...]


def replay_captures(run_folder: Path, *, out: Path | None) -> PlayedAgain:
    """Play a run again from its captures.

    Raises
    ------
    RigError
        It cannot be: no captures, or the bench broke.
    """
    # the bench brings radios and brokers along: only where something is played
    from rig.play.run import play
    from rig.play.settings import PlaySettings, Source

    run = load_run(run_folder)
    chunks = _chunks(run_folder, run.file)
    if not chunks:
        raise ReplayError(
            f"{run_folder}: it has neither a journal nor captures. Next: run it with folder and journal under [capture]"
        )
    config = tomllib.loads((run_folder / BRIDGE_FILE).read_text(encoding="utf-8"))
    folder = new_folder(out or run_folder.resolve().parent, f"{run_folder.resolve().name}-replay")
    settings = PlaySettings(
        folder=folder,
        seed=run.file.seed,
        suite=run.file.suite,
        family=run.file.family,
        run=run.file.run,
        parameters=run.file.parameters,
        sources={device: Source(kind="replay", chunks=said) for device, said in chunks.items()},
        policy=_section(config, "policy"),
        warning=_section(config, "warning"),
        silence_buffer_s=_silence_buffer_s(config) * run.file.speed,
        allowance_s=run.file.allowance_s,
        start_utc_ns=run.file.start_utc_ns,
        lean=True,
    )
    play(run.scenario, settings)
    write_verdict(folder / VERDICT_FILE, UNJUDGED)
    again = load_run(folder)
    problems = compare_alerts(_alerts(run), _alerts(again))
    return PlayedAgain(
        run=run_folder,
        folder=folder,
        devices=tuple(chunks),
        emulated_anew=tuple(
            name
            for person in run.scenario.person
            for name in (person.device, person.smart_tag.id if person.smart_tag is not None else "")
            if name and name not in chunks
        ),
        alerts=len(_alerts(run)),
        same=len(_alerts(run)) - sum(problem.startswith("did not come") for problem in problems),
        problems=tuple(problems[:MAX_NAMED]),
        cautions=tuple(missing_messages(run_folder)),
    )


def compare_alerts(then: Sequence[ReceivedAlert], now: Sequence[ReceivedAlert]) -> list[str]:
    """Name the alerts that are in one run alone, or at quite another time."""
    left: dict[tuple[object, ...], list[ReceivedAlert]] = {}
    for each in now:
        left.setdefault(_key(each), []).append(each)
    problems = []
    for each in then:
        candidates = left.get(_key(each), [])
        found = min(candidates, key=lambda other: abs(other.t_s - each.t_s), default=None)
        if found is None or abs(found.t_s - each.t_s) > APART_S:
            problems.append(f"did not come again: {_words(each)}")
        else:
            candidates.remove(found)
    problems += [f"came too: {_words(each)}" for others in left.values() for each in others]
    return problems


def _key(alert: ReceivedAlert) -> tuple[object, ...]:
    return alert.kind, alert.cleared, alert.side, alert.subject, alert.zone_id, alert.band, alert.about


def _words(alert: ReceivedAlert) -> str:
    about = " ".join(str(each) for each in (alert.zone_id, alert.band, alert.about) if each)
    return f"{alert.kind.value}{' over' if alert.cleared else ''} {about} of {alert.subject} at {alert.t_s:.1f} s"


def _alerts(run: LoadedRun) -> list[ReceivedAlert]:
    """Give each alert once: a broker that forgot may have brought one twice."""
    seen: Counter[tuple[object, ...]] = Counter()
    found = []
    for each in run.record.alerts:
        key = (*_key(each.alert), each.trace.judged_mono_ns)
        seen[key] += 1
        if seen[key] == 1:
            found.append(each.alert)
    return found


def _chunks(folder: Path, file: RunFile) -> dict[str, list[tuple[float, bytes]]]:
    """Read what each line said, in seconds of the scenario."""
    found: dict[str, list[tuple[float, bytes]]] = {}
    for path in sorted((folder / CAPTURES_FOLDER).glob(f"*{SUFFIX}")):
        try:
            header, chunks = read_capture(path)
            said = [(file.t_s(chunk.t_rx_mono_ns), chunk.data) for chunk in chunks]
        except CaptureError as exc:
            raise ReplayError(str(exc)) from exc
        found.setdefault(header.device_id, []).extend(said)
    return found


def _section(config: Mapping[str, object], name: str) -> dict[str, Scalar]:
    section = config.get(name, {})
    return dict(section) if isinstance(section, dict) else {}


def _silence_buffer_s(config: Mapping[str, object]) -> float:
    devices = config.get("device")
    for device in devices if isinstance(devices, list) else []:
        if "silence_buffer_s" in device:
            return float(device["silence_buffer_s"])
    return 10.0
