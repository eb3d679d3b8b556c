"""Silence of devices, exactly: from the reports that were sent, not from what the surroundings make likely."""

from collections.abc import Iterator
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.faults.entry import Fixes
from rig.truth.excuses import AFTER_S
from rig.truth.lines import Line, LineKey
from rig.truth.reports import ReportLog
from rig.truth.situation import Situation
from rig.truth.spans import Side
from rig.truth.stretches import Owing, find_silence, spans_of

SLACK_S: Final = 0.15
"""Tag seconds by which times may differ that two clocks read: a write and its reception, rounding on the wire."""

_JITTER_S: Final = 0.15
"""Seconds of a busy machine between a write and its reading, on its clock: speed makes tag seconds of it."""

_TAG_FOUND_S: Final = 60.0
"""Tag seconds in which a smart tag that is not there is told as missing: the driver listens for some rounds first."""

_WORDS: Final = {
    AlertKind.COMMS_LOST: "nothing was heard of it",
    AlertKind.LOCATION_LOST: "it told no position",
}


def slack_s(situation: Situation) -> float:
    """Return by how much the times of a silence may differ."""
    return SLACK_S + _JITTER_S * situation.policy.speed


def silence_lines(situation: Situation) -> Iterator[Line]:
    """Make a line of each device that left a log, and of each smart tag that is not there."""
    for person in situation.scenario.person:
        log = situation.logs.get(person.device)
        if log is not None:
            for kind in _WORDS:
                owing = silence_of(situation, person.device, log, positions=kind is AlertKind.LOCATION_LOST)
                yield _line(situation, kind, "tag" if person.role == "wearer" else "protected", person.device, owing)
        tag = person.smart_tag
        if tag is not None and tag.issued:
            yield _line(situation, AlertKind.COMMS_LOST, "protected", tag.id, tag_silence(situation, tag.id))


def silence_of(
    situation: Situation, device: str, log: ReportLog, *, positions: bool, limit_s: float | None = None
) -> Owing:
    """Find when a device was silent, or told no position, for longer than its limit."""
    time = situation.time
    reports = log.fixes if positions else log.all
    # a bridge that is gone raises nothing: only faults that owe it
    kind = AlertKind.LOCATION_LOST if positions else AlertKind.COMMS_LOST
    blocked = [
        (each.from_s, each.until_s)
        for each in situation.excuses.disturbances
        if each.concerns(device) and each.expect.fixes is Fixes.NONE and kind in each.expect.owed
    ]
    heard = []
    for report in reports:
        t_s = time.t_s(report.sent_mono_ns)
        # the first report may still be on the line when the fault begins
        if not any(from_s + AFTER_S / 10 < t_s < until_s for from_s, until_s in blocked):
            heard.append((t_s, report.sure))
    usual_s = situation.policy.silence_s[device]
    # a tag that is asked to report more often is silent sooner
    sooner_s = situation.truth[device].person.interval_s - situation.policy.near_interval_s
    return find_silence(
        heard,
        limit_s=usual_s if limit_s is None else limit_s,
        may_limit_s=usual_s - max(0.0, sooner_s) if limit_s is None else limit_s,
        slack_s=slack_s(situation),
        duration_s=situation.scenario.duration_s,
    )


def tag_silence(situation: Situation, smart_tag: str) -> Owing:
    """Find when a smart tag is, or may be, missing."""
    end_s = situation.scenario.duration_s
    if not situation.is_reachable(smart_tag):
        return Owing(must=((_TAG_FOUND_S, end_s),), may=((0.0, end_s),))
    may = [(from_s, until_s) for from_s, until_s in situation.excuses.silenced(smart_tag, situation.scenario)]
    return Owing(may=tuple(may))


def _line(situation: Situation, kind: AlertKind, side: str, subject: str, owing: Owing) -> Line:
    return Line(
        key=LineKey(kind=kind, side="tag" if side == "tag" else "protected", subject=subject),
        name=_WORDS[kind],
        on_side=Side.IN,
        spans=tuple(spans_of(owing, duration_s=situation.scenario.duration_s)),
    )
