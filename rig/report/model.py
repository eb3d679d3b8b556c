"""What a report shows, free of where it came from."""

from dataclasses import dataclass, field

from rig.truth.verdict import Verdict

Ring = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneShape:
    """A zone in metres: its polygons as (outer ring, holes), and the line at which leaving it counts."""

    zone_id: str
    name: str
    exclusion: bool
    polygons: list[tuple[Ring, list[Ring]]]
    margin: list[Ring]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPath:
    """Where a person truly was, and what their device reported: (t_s, east_m, north_m) and the same with sigma_m."""

    name: str
    device: str
    wearer: bool
    truth: list[tuple[float, float, float]]
    fixes: list[tuple[float, float, float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RingShape:
    """A proximity ring round a protected person, drawn where they were at the closest approach."""

    name: str
    east_m: float
    north_m: float
    radius_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMark:
    """One received alert. ``number`` is its place in the order of arrival; ``lane`` is its row in the timeline.

    ``kept``: it waited for a broker that was gone, so its latency says nothing of the bridge.
    """

    number: int
    lane: str
    name: str
    phase: str
    reason: str
    severity: str
    t_s: float
    east_m: float
    north_m: float
    on_map: bool
    hops_ms: tuple[float, ...]
    total_ms: float
    verdict: Verdict
    note: str
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When an alert was owed: a stretch in a lane; ``missing`` where it did not come."""

    lane: str
    text: str
    earliest_s: float
    latest_s: float
    t_true_s: float
    missing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was so, for how long: a bar in a lane. ``grade`` 1 to 3 shades it."""

    lane: str
    text: str
    from_s: float
    to_s: float
    grade: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, ready to be drawn."""

    title: str
    about: str
    verdict: Verdict
    verdict_text: str
    problems: list[str]
    facts: list[tuple[str, str]]
    duration_s: float
    zones: list[ZoneShape]
    people: list[PersonPath]
    rings: list[RingShape]
    alerts: list[AlertMark]
    windows: list[Window]
    states: list[State]
    lanes: list[str]
    hop_names: tuple[str, ...]
    hops: list[tuple[str, int, float, float]]
    rows: list[tuple[str, ...]]
    warning_heads: tuple[str, ...] = ()
    warnings: list[tuple[str, ...]] = field(default_factory=list)
