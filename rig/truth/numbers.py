"""Numbers of alerts: of one source they have no gap and no repeat, and come in order."""

from collections.abc import Iterator

from rig.runs.record import AlertSeen
from rig.truth.findings import Finding
from rig.truth.situation import Situation
from rig.truth.verdict import Verdict


def number_findings(situation: Situation) -> Iterator[Finding]:
    """Judge the numbers of each source up to the last one that came; copies with the same id say nothing new."""
    streams: dict[tuple[str, str], list[AlertSeen]] = {}
    for seen in situation.alerts:
        if seen.sequence is not None:
            streams.setdefault((seen.source, seen.epoch), []).append(seen)
    for (source, _), alerts in streams.items():
        wrong = list(_wrong(source, alerts, situation))
        yield from wrong
        if not wrong:
            last = max(seen.sequence or 0 for seen in alerts)
            yield _finding(alerts[-1], Verdict.PASS, f"{source}: all numbers up to {last} came, in order")


def _wrong(source: str, alerts: list[AlertSeen], situation: Situation) -> Iterator[Finding]:
    ids: dict[int, str] = {}
    highest: int | None = None
    for seen in alerts:
        number = seen.sequence or 0
        if number in ids:
            if ids[number] != seen.event_id:
                reason = f"{source}: number {number} came twice: expected the id {ids[number]}, got {seen.event_id}"
                yield _finding(seen, Verdict.FAIL, reason)
            continue
        ids[number] = seen.event_id
        # what waited for a broker or a bridge may come with what is newer
        if highest is not None and number < highest and not situation.deadlines.cut(seen.alert.t_s):
            reason = f"{source}: out of order: expected a number after {highest}, got {number}"
            yield _finding(seen, Verdict.FAIL, reason)
        highest = number if highest is None else max(highest, number)
    before = min(ids)
    for number in sorted(ids):
        if number > before + 1:
            gap = f"number {before + 1}" if number == before + 2 else f"numbers {before + 1} to {number - 1}"
            after = next(seen for seen in alerts if seen.sequence == number)
            yield _finding(after, Verdict.FAIL, f"{source}: {gap} never came: expected {before + 1}, got {number}")
        before = number


def _finding(seen: AlertSeen, verdict: Verdict, reason: str) -> Finding:
    return Finding(
        what="numbers of alerts",
        check="numbers",
        side=seen.alert.side,
        subject=seen.alert.subject,
        received_s=None if verdict is Verdict.PASS else seen.alert.t_s,
        verdict=verdict,
        reason=reason,
        index=None if verdict is Verdict.PASS else seen.index,
    )
