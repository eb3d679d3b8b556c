"""What a report shows, free of where it came from. Times are seconds of the story, places metres east and north."""

import math
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
class FixMark:
    """A reported position, with one standard deviation along both axes of its error ellipse.

    ``angle_rad`` turns the major axis from east, counter-clockwise. NaN where the device told no accuracy.
    """

    t_s: float
    east_m: float
    north_m: float
    major_m: float = math.nan
    minor_m: float = math.nan
    angle_rad: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPath:
    """Where a person truly was as (t_s, east_m, north_m), and what their device reported.

    ``one_of`` says that only one of so many fixes is drawn.
    """

    name: str
    device: str
    wearer: bool
    truth: list[tuple[float, float, float]]
    fixes: list[FixMark]
    one_of: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Who must stay away from whom: devices, and the rings round the protected person as (name, radius_m)."""

    wearer: str
    protected: str
    rings: tuple[tuple[str, float], ...]


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
    """When something was owed: a stretch in a lane; ``missing`` where it did not come."""

    lane: str
    text: str
    earliest_s: float
    latest_s: float
    missing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was so, for how long: a bar in a lane. ``grade`` 1 to 3 shades it; 0 is something that the bench did.

    ``label`` is what stands on the bar where ``text`` is too long for it.
    """

    lane: str
    text: str
    from_s: float
    to_s: float
    grade: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something done to the bench or to a device, from ``from_s`` to ``to_s`` (the same where it was a moment)."""

    text: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """One thing that was owed or came, and its verdict. NaN where a time does not apply.

    ``at_s`` is the moment to look at; ``number`` that of the alert, empty where none came; ``is_silence``: that nothing
    came was owed.
    """

    number: str
    what: str
    subject: str
    reason: str
    verdict: Verdict
    at_s: float
    is_silence: bool = False
    earliest_s: float = math.nan
    latest_s: float = math.nan
    received_s: float = math.nan
    margin_s: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRow:
    """A quantity with its limit; ``outcome`` is a verdict or MARGINAL."""

    name: str
    value: float
    unit: str
    limit: str
    outcome: str
    margin: float = math.nan
    series: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """A fault of the catalogue and how often this run applied it."""

    fault_id: str
    layer: str
    n_applied: int
    expected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopRow:
    """All latencies of one hop, milliseconds, rising."""

    name: str
    values_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, and when to look at."""

    text: str
    at_s: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, ready to be drawn."""

    title: str
    about: str
    verdict: Verdict
    verdict_text: str
    problems: list[Problem]
    facts: list[tuple[str, str]]
    duration_s: float
    start_utc_ns: int = 0
    is_virtual: bool = False
    tiles: list[tuple[str, str, str]] = field(default_factory=list)
    """Figures of the head: name, value, remark."""
    zones: list[ZoneShape] = field(default_factory=list)
    people: list[PersonPath] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    alerts: list[AlertMark] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    hop_names: tuple[str, ...] = ()
    hops: list[HopRow] = field(default_factory=list)
    findings: list[FindingRow] = field(default_factory=list)
    measurements: list[MeasurementRow] = field(default_factory=list)
    coverage: list[CoverageRow] = field(default_factory=list)
    warning_heads: tuple[str, ...] = ()
    warnings: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the reader must know of the page itself: what was thinned out, what is missing."""
