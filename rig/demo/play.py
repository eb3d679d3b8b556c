"""Plays a scenario on the bench and keeps what the subscriber got; what it means is for ``rig.truth`` to say."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from devices.clock import Clock
from rig.demo.bench import Bench
from rig.demo.latency import HopTimes, TruthTail
from rig.demo.settings import DemoSettings, truth_file
from rig.demo.tag_words import TagWord
from rig.emulator.clock import NS_PER_S
from rig.runs import recorder
from rig.runs.received import Received
from rig.runs.record import AlertSeen, Felt, RunRecord, StepSeen
from rig.scenario import Scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.verdict import judge

_TURN_S: Final = 0.05
"""Longest wait for a message before the display is brought up to date, real seconds."""

_AFTER_S: Final = 0.3
"""The bench listens on for so long after the story and after the last alert or step of a warning, real seconds: one too
many must be seen, and what waited for a broker comes in a row."""


class Audience(Protocol):
    """Whoever watches a run."""

    def truth(self, expected: ExpectedAlert) -> None:
        """Note that something came true."""
        ...

    def alert(self, seen: AlertSeen, times: HopTimes) -> None:
        """Note that an alert arrived."""
        ...

    def step(self, seen: StepSeen) -> None:
        """Note that a step of a warning was told."""
        ...

    def felt(self, felt: Felt) -> None:
        """Note that a smart tag did something."""
        ...

    def happened(self, t_s: float, what: str) -> None:
        """Note what the bench did to itself."""
        ...

    def progress(self, t_s: float) -> None:
        """Note how far the story is, in tag seconds."""
        ...


def play(
    bench: Bench,
    scenario: Scenario,
    settings: DemoSettings,
    expected: Sequence[ExpectedAlert],
    audience: Audience,
    clock: Clock,
) -> RunRecord:
    """Run the story to its end.

    Raises
    ------
    BenchBrokenError
        A process died, or a message of the bridge's does not keep to the contract.
    """
    bench.go()
    record = RunRecord(start_mono_ns=bench.start_mono_ns)
    record.truth = {p.device: TruthTail(truth_file(settings.folder, p.device)) for p in scenario.person}
    beats = sorted((e for e in expected if e.required), key=lambda e: e.t_true_s)
    beats = [e for e in beats if not (e.side == "protected" and e.band is not None)]
    allowance_s = settings.allowance_s * settings.speed
    end_s = max([scenario.duration_s, *(e.latest_s for e in expected if e.required)]) + allowance_s
    newest_mono_ns = clock.mono_ns()
    with (settings.folder / "messages.jsonl").open("wb", buffering=0) as log:
        while True:
            t_s = bench.tag_time_s(clock.mono_ns())
            while beats and beats[0].t_true_s <= t_s:
                audience.truth(beats.pop(0))
            audience.progress(min(t_s, scenario.duration_s))
            done = bench.follow(t_s)
            if done is not None:
                audience.happened(t_s, done)
            if t_s > scenario.duration_s + _AFTER_S * settings.speed and (
                t_s > end_s
                or (
                    clock.mono_ns() - newest_mono_ns > _AFTER_S * NS_PER_S
                    and _nothing_owed(expected, record, allowance_s)
                )
            ):
                break
            told = len(record.alerts) + len(record.steps)
            for message in bench.messages(_TURN_S):
                log.write(msgspec.json.encode(message) + b"\n")
                _take(message, bench, record, audience)
            for word in bench.tag_words():
                _take_word(word, bench, record, audience)
            if len(record.alerts) + len(record.steps) > told:
                newest_mono_ns = clock.mono_ns()
    recorder.finish(record)
    return record


def _nothing_owed(expected: Sequence[ExpectedAlert], record: RunRecord, allowance_s: float) -> bool:
    return not judge(expected, [seen.alert for seen in record.alerts], allowance_s=allowance_s).missing


def _take(message: Received, bench: Bench, record: RunRecord, audience: Audience) -> None:
    seen = recorder.take_message(message, record, bench.tag_time_s)
    if isinstance(seen, AlertSeen):
        for tail in record.truth.values():
            tail.read_on()
        audience.alert(seen, recorder.times_of(seen, record))
    elif isinstance(seen, StepSeen):
        audience.step(seen)


def _take_word(word: TagWord, bench: Bench, record: RunRecord, audience: Audience) -> None:
    felt = Felt(t_s=bench.tag_time_s(word.t_mono_ns), tag=word.tag, level=word.level, mode=word.mode, text=word.felt)
    record.felt.append(felt)
    audience.felt(felt)
