"""Everything that the judges of a run share: the truth of each device, its reports, the bench's own mishaps."""

from collections.abc import Mapping
from dataclasses import dataclass

from rig.runs.record import AlertSeen, RunRecord
from rig.scenario import Scenario
from rig.truth.astray import astray
from rig.truth.excuses import Excuses
from rig.truth.expectation import DeviceTruth, JudgePolicy, device_truth
from rig.truth.geometry import signed_distance_m
from rig.truth.lines import Line, Pair, find_pairs, zone_lines
from rig.truth.looks import Seen
from rig.truth.reports import ReportLog, TagTime, nominal_times_s
from rig.truth.spans import Deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A run, ready to be judged.

    Attributes
    ----------
    logs : mapping of str to ReportLog
        By device; absent where a device left no log of its own.
    seen : mapping of str to Seen
        By device.
    lines : tuple of Line
    pairs : tuple of Pair
    time : TagTime
    deadlines : Deadlines
    """

    scenario: Scenario
    policy: JudgePolicy
    record: RunRecord
    excuses: Excuses
    truth: Mapping[str, DeviceTruth]
    logs: Mapping[str, ReportLog]
    seen: Mapping[str, Seen]
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]
    time: TagTime
    deadlines: Deadlines

    @property
    def alerts(self) -> list[AlertSeen]:
        """What was received, in order."""
        return self.record.alerts

    def zone_distance_m(self, zone_id: str, device: str, t_s: float) -> float:
        """Return the true signed distance of a device to a zone, negative inside."""
        feature = next(each for each in self.scenario.zones_geojson()["features"] if each["id"] == zone_id)
        return signed_distance_m(feature, *self.truth[device].at(t_s))

    def is_reachable(self, smart_tag: str) -> bool:
        """Whether a smart tag can be warned at all: it is known to the bridge, and on the air."""
        person = self.scenario.find_bearer(smart_tag)
        tag = None if person is None else person.smart_tag
        return tag is not None and tag.issued and tag.present

    def is_unreachable(self, smart_tag: str, t_s: float) -> bool:
        """Whether something keeps a smart tag from being warned at a moment."""
        return any(from_s <= t_s <= until_s for from_s, until_s in self.excuses.silenced(smart_tag, self.scenario))

    def is_silent(self, device: str) -> bool:
        """Whether a device is meant to say nothing from the very start."""
        return any(gap.silent and gap.start_s <= 0 for gap in self.truth[device].gaps)


def make_situation(scenario: Scenario, policy: JudgePolicy, record: RunRecord, excuses: Excuses) -> Situation:
    """Put together what is so, and what could be known of it."""
    truth = {person.device: device_truth(scenario, person) for person in scenario.person}
    astray_s = {
        device: astray(each.person.profile, each.actions, duration_s=scenario.duration_s)
        for device, each in truth.items()
    }
    logs = {
        device: ReportLog.of(tail.epochs, doubtful=excuses.blind(device))
        for device, tail in record.truth.items()
        if device in truth and tail.epochs
    }
    seen = {
        device: Seen(
            truth=each,
            times_s=_fix_times(each, logs.get(device), scenario.duration_s),
            blind=[*excuses.blind(device), *astray_s[device]],
            misled=[*excuses.misled(device), *astray_s[device]],
        )
        for device, each in truth.items()
    }
    pairs = find_pairs(scenario, seen, policy)
    time = TagTime(start_mono_ns=record.start_mono_ns, speed=policy.speed)
    last_ns = (log.all[-1].sent_mono_ns for log in logs.values())
    end_s = max([scenario.duration_s, *(time.t_s(each) for each in last_ns)])
    return Situation(
        scenario=scenario,
        policy=policy,
        record=record,
        excuses=excuses,
        truth=truth,
        logs=logs,
        seen=seen,
        lines=(*zone_lines(scenario, seen, policy), *(line for pair in pairs for line in pair.lines())),
        pairs=tuple(pairs),
        time=time,
        deadlines=Deadlines(excuses.cuts, end_s=end_s),
    )


def _fix_times(truth: DeviceTruth, log: ReportLog | None, duration_s: float) -> tuple[float, ...]:
    """When a device told positions: by its log, else by its interval and its gaps."""
    if log is not None:
        return log.fix_times_s
    return tuple(t_s for t_s in nominal_times_s(truth.person.interval_s, duration_s) if truth.observed(t_s))
