"""The verdict of a run: what the truth owes, when, and what was received of it.

Two layers. *Windows* follow from the true tracks, the error model and the times of the reports alone. *Promptness*
takes the reports as they were sent: from the one that shows it to the subscriber.
"""

from collections.abc import Iterator, Sequence

from rig.runs.folder import BenchEvent
from rig.runs.record import RunRecord
from rig.scenario import Scenario
from rig.truth.cover import cover_lines, cover_told
from rig.truth.excuses import Excuses
from rig.truth.expectation import JudgePolicy
from rig.truth.findings import Finding, RunVerdict, conclude
from rig.truth.heard import heard_findings
from rig.truth.line_findings import line_findings
from rig.truth.numbers import number_findings
from rig.truth.other_findings import device_findings, unexplained
from rig.truth.prompt import judge_promptness
from rig.truth.silence import silence_lines
from rig.truth.situation import Situation, make_situation
from rig.truth.tag_findings import not_warned_lines, tag_findings
from rig.truth.verdict import Verdict


def judge_run(
    scenario: Scenario, policy: JudgePolicy, record: RunRecord, events: Sequence[BenchEvent] = ()
) -> RunVerdict:
    """Judge a run.

    Parameters
    ----------
    scenario : Scenario
        As it was played: the truth.
    policy : JudgePolicy
        What the bridge was told.
    record : RunRecord
        What was received, felt, and reported.
    events : sequence of BenchEvent
        What happened to the bench itself.
    """
    excuses = Excuses(scenario, events, policy)
    situation = make_situation(scenario, policy, record, excuses)
    errors = tuple(_why_not(situation))
    if errors:
        return conclude((), errors=errors)
    promptness = judge_promptness(situation)
    found = [*_findings(situation), *promptness.findings, *_skipped(events)]
    return conclude(found, promptness.measurements(situation))


def _skipped(events: Sequence[BenchEvent]) -> Iterator[Finding]:
    """Name the faults of the scenario that this bench could not bring about: what they ask was not tried."""
    for event in events:
        if event.what == "fault_skipped":
            yield Finding(
                what=f"fault {event.fault}",
                check="bench",
                side="bench",
                subject=event.device or "bench",
                received_s=event.t_s,
                verdict=Verdict.SKIPPED,
                reason=event.detail,
            )


def _why_not(situation: Situation) -> Iterator[str]:
    """Say what keeps the bench from judging: without the log of a tag nobody knows what it reported."""
    if not situation.record.messages and not situation.record.alerts:
        yield "the subscriber got no message at all. Next: read the broker's and the bridge's logs in the run folder"
    for person in situation.scenario.person:
        tail = situation.record.truth.get(person.device)
        if tail is not None and tail.header is not None and not tail.epochs and not situation.is_silent(person.device):
            yield f"{person.device}: its truth log has no epoch. Next: look why the tag did not run"


def _findings(situation: Situation) -> Iterator[Finding]:
    explained: set[int] = set()
    states = (*silence_lines(situation), *cover_lines(situation), *not_warned_lines(situation))
    for part in (
        line_findings(situation, situation.lines),
        line_findings(situation, states),
        device_findings(situation),
        heard_findings(situation),
        tag_findings(situation),
        cover_told(situation),
    ):
        for finding, indices in part:
            explained.update(indices)
            yield finding
    yield from unexplained(situation, explained)
    yield from number_findings(situation)
