"""The rows of the timeline: what was so by the true tracks, what devices went through, what the bench did."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

import shapely

from protocols.ble.smart_tag import WarnLevel
from rig.report.model import FixMark, Happened, Pair, PersonPath, State, ZoneShape
from rig.report.words import clock_text, lane_of
from rig.runs.folder import BenchEvent
from rig.runs.record import Felt
from rig.scenario import Scenario

_ENDS: Final = {
    "strap_cut": "strap_close",
    "case_open": "case_close",
    "shield_on": "shield_off",
    "gnss_lost": "gnss_back",
    "gnss_freeze": "gnss_unfreeze",
    "outage": "outage_end",
    "charge_on": "charge_off",
    "power_off": "power_on",
}
"""Device events that last, and what ends them."""

_ENDED_BY_VALUE: Final = {"jam": "0", "gnss_jump": "0", "gnss_drift": "0", "spoof": "off", "drain": "1"}
"""Device events that last until the same event comes with this value."""

_GAP_INTERVALS: Final = 3.0
"""A device without a fix for more than so many of its intervals has a gap on the page."""

_SHORTEST_GAP_S: Final = 5.0


def zone_lane(zone: ZoneShape) -> str:
    """Name the lane of a zone's alerts."""
    return f"{'in' if zone.exclusion else 'out of'} {zone.name}"


def zone_states(
    scenario: Scenario, zones: Sequence[ZoneShape], people: Sequence[PersonPath], *, with_subject: bool = False
) -> Iterator[State]:
    """Find when a wearer truly was in an exclusion zone, or out of an inclusion zone, of his orders."""
    for order in scenario.order:
        wearer = next((p for p in people if p.device == order.wearer), None)
        if wearer is None:
            continue
        for zone in zones:
            if order.zones is not None and zone.zone_id not in order.zones:
                continue
            area = shapely.union_all([shapely.Polygon(outer, holes) for outer, holes in zone.polygons])
            shapely.prepare(area)
            inside = shapely.contains_xy(area, [p[1] for p in wearer.truth], [p[2] for p in wearer.truth])
            is_so = [bool(value) is zone.exclusion for value in inside]
            text = f"{wearer.name} is {'in' if zone.exclusion else 'out of'} {zone.name}"
            for from_s, to_s in _stretches([p[0] for p in wearer.truth], is_so):
                lane = lane_of(zone_lane(zone), "tag", wearer.device, with_subject=with_subject)
                yield State(lane=lane, text=text, from_s=from_s, to_s=to_s, grade=2)


def pair_states(pairs: Sequence[Pair], people: Sequence[PersonPath], *, with_subject: bool = False) -> Iterator[State]:
    """Find when a pair truly was within its rings."""
    by_device = {p.device: p for p in people}
    for pair in pairs:
        if pair.wearer not in by_device or pair.protected not in by_device:
            continue
        his, hers = by_device[pair.wearer], by_device[pair.protected]
        grades = [
            sum(math.hypot(a[1] - b[1], a[2] - b[2]) <= radius_m for _, radius_m in pair.rings)
            for a, b in zip(his.truth, hers.truth, strict=True)
        ]
        for grade, (name, radius_m) in enumerate(pair.rings, start=1):
            for from_s, to_s in _stretches([p[0] for p in his.truth], [g == grade for g in grades]):
                text = f"{his.name} is within {radius_m:g} m of {hers.name} ({name})"
                lane = lane_of("proximity", "tag", pair.wearer, with_subject=with_subject)
                yield State(lane=lane, text=text, from_s=from_s, to_s=to_s, grade=grade)


def _stretches(times_s: Sequence[float], is_so: Sequence[bool]) -> Iterator[tuple[float, float]]:
    since_s: float | None = None
    for t_s, so in zip(times_s, is_so, strict=True):
        if so and since_s is None:
            since_s = t_s
        elif not so and since_s is not None:
            yield since_s, t_s
            since_s = None
    if since_s is not None:
        yield since_s, times_s[-1]


def device_states(scenario: Scenario, fixes: dict[str, list[FixMark]]) -> Iterator[State]:
    """Say what each device went through: its events, its surroundings, and stretches without a fix."""
    for person in scenario.person:
        lane = f"device {person.device}"
        actions = [(a.at_s, a.kind.value, str(a.value)) for a in scenario.actions(person)]
        for i, (at_s, kind, value) in enumerate(actions):
            rest = actions[i + 1 :]
            if kind in _ENDS:
                ends = [t for t, k, _ in rest if k == _ENDS[kind]]
            elif kind == "profile" or (kind in _ENDED_BY_VALUE and value != _ENDED_BY_VALUE[kind]):
                ends = [t for t, k, _ in rest if k == kind]
            else:
                continue
            text = f"{kind.replace('_', ' ')} {value}".strip()
            to_s = min([*ends, scenario.duration_s])
            if kind == "profile":
                yield State(lane=_surroundings(person.device), text=value, from_s=at_s, to_s=to_s, grade=1)
            else:
                yield State(lane=lane, text=text, from_s=at_s, to_s=to_s, grade=2)
        limit_s = max(_SHORTEST_GAP_S, _GAP_INTERVALS * person.interval_s)
        mine = fixes.get(person.device, [])
        for before, after in itertools.pairwise([0.0, *(f.t_s for f in mine), scenario.duration_s] if mine else []):
            if after - before > limit_s and before < scenario.duration_s:
                to_s = min(after, scenario.duration_s)
                yield State(lane=lane, text=f"no fix for {to_s - before:.0f} s", from_s=before, to_s=to_s, grade=3)


def _surroundings(device: str) -> str:
    return f"surroundings {device}"


def felt_states(log: Sequence[Felt], duration_s: float) -> Iterator[State]:
    """Say what a protected person felt, by her tag's own log."""
    for tag in dict.fromkeys(felt.tag for felt in log):
        moments = [felt for felt in log if felt.tag == tag]
        ends_s = [felt.t_s for felt in moments[1:]] + [duration_s]
        for felt, next_s in zip(moments, ends_s, strict=True):
            # a run goes on for a while behind the end of its story
            end_s = min(next_s, duration_s)
            if felt.level and end_s > felt.t_s:
                text = f"{WarnLevel(felt.level).name.lower()}, {felt.mode}"
                yield State(
                    lane=f"{tag} warns her",
                    text=text,
                    from_s=felt.t_s,
                    to_s=end_s,
                    grade=min(3, felt.level),
                )


_BENCH_LANES: Final = {
    "broker_down": ("no broker", "broker_up", "the broker is gone"),
    "bridge_down": ("no bridge", "bridge_up", "the bridge is gone"),
}


def bench_states(events: Sequence[BenchEvent], duration_s: float) -> Iterator[tuple[State, Happened]]:
    """Say what the bench did to itself and to the devices."""
    for i, event in enumerate(events):
        rest = events[i + 1 :]
        if event.what in _BENCH_LANES:
            lane, end, text = _BENCH_LANES[event.what]
            label = ""
            to_s = next((e.t_s for e in rest if e.what == end), duration_s)
        elif event.what == "fault_applied":
            lane = f"fault {event.fault}"
            values = ", ".join(f"{k} {v}" for k, v in event.parameters.items())
            text = " ".join(part for part in (event.fault, event.device or "", values) if part)
            label = event.device or event.fault
            same = [e.t_s for e in rest if (e.what, e.fault, e.device) == ("fault_ended", event.fault, event.device)]
            to_s = same[0] if same else event.t_s
        else:
            continue
        # a fault of a moment is drawn a little wide, or nobody sees it
        drawn_s = max(to_s, event.t_s + duration_s / 200)
        yield (
            State(lane=lane, text=text, from_s=event.t_s, to_s=drawn_s, grade=0, label=label),
            Happened(text=f"{text} ({clock_text(event.t_s)})", from_s=event.t_s, to_s=to_s),
        )


def in_order(alert_lanes: Sequence[str], states: Sequence[State]) -> list[str]:
    """Put the rows of the timeline in order: causes of alerts, warnings, devices, the bench."""
    others = [state.lane for state in states if state.lane not in alert_lanes]

    def rank(lane: str) -> int:
        groups = ("surroundings ", "device ", "fault ", "no br")
        return next((i for i, start in enumerate(groups, start=1) if lane.startswith(start)), 0)

    return list(dict.fromkeys([*alert_lanes, *sorted(others, key=rank)]))
