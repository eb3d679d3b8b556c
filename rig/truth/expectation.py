"""What an expectation is, and what the truth knows of a device."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from protocols.mqtt.messages import AlertKind, BandName
from rig.emulator.events import DeviceAction, EventKind
from rig.emulator.gnss import MAX_SCALE
from rig.emulator.profiles import PROFILES
from rig.scenario import PersonTable, Scenario
from rig.truth.gaps import Gap, find_gaps

ERROR_SIGMAS: Final = 4.0
"""Standard deviations that a report may be off by. At 4, one crossing in some ten thousand falls out of its window by
chance; more widens every window and hides late alerts."""

_FROZEN_MEANS: Final = 4.0
"""A spell of a frozen position is longer than this many mean spells twice in a hundred times."""

OPEN_SCALE: Final = 1.1
"""Growth of the error by satellite geometry under an open sky: its HDOP stays within 10 % of nominal."""

Side = Literal["tag", "protected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAlert:
    """One alert, or its clear, with its window in tag seconds.

    Attributes
    ----------
    kind, cleared, side, subject
        What, raised or cleared, under ``tag`` or ``protected``, of which device.
    zone_id, band : str or None
        Which zone; which band for proximity.
    earliest_s, latest_s : float
        Window, before any allowance for the way to the subscriber.
    t_true_s : float
        When the cause came true.
    required : bool
        False: it may come or not.
    reason : str
        For people.
    """

    kind: AlertKind
    cleared: bool
    side: Side
    subject: str
    zone_id: str | None = None
    band: BandName | None = None
    earliest_s: float
    latest_s: float
    t_true_s: float
    required: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePolicy:
    """What the bridge was told, in tag time.

    Attributes
    ----------
    exit_margin_m : float
    silence_s : Mapping of str to float
        By device: no fix for so long is an alert.
    battery_low_pct, battery_critical_pct, battery_hysteresis_pct : int
    reconnect_s : float
        How long bridge and subscriber may take to find a broker that is back.
    speed : float
        Tag seconds per second of the clock that stamps were read from.
    allowance_s : float
        Tag seconds that the way to the subscriber may take beyond a window.
    latency_limit_ms, tag_limit_s : float
        Promptness, on the clock: from the report that shows it to the subscriber, and to her tag.
    near_interval_s : float
        How often a tag is asked to report while the other one of its pair may be near.
    max_position_age_s : float
        An older position says nothing about who is near.
    cover_settle_s, start_grace_s, confirm_limit_s : float
        How long cover must hold before it is told as back; how long both sides may take to be located at the start;
        how long her tag may take to say that it warns.
    beacon_within_m, beacon_hold_s : float
        Within which a heard beacon is proximity, and how long it stays so unheard.
    """

    exit_margin_m: float
    silence_s: Mapping[str, float]
    battery_low_pct: int = 20
    battery_critical_pct: int = 10
    battery_hysteresis_pct: int = 5
    reconnect_s: float = 0.0
    speed: float = 1.0
    allowance_s: float = 1.5
    latency_limit_ms: float = 250.0
    tag_limit_s: float = 2.0
    near_interval_s: float = 5.0
    max_position_age_s: float = 120.0
    cover_settle_s: float = 30.0
    start_grace_s: float = 120.0
    confirm_limit_s: float = 5.0
    beacon_within_m: float = 30.0
    beacon_hold_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTruth:
    """One person's device with all that the truth knows of it.

    ``at`` and ``place`` tell where the person is: latitude and longitude, metres east and north of the origin.
    """

    person: PersonTable
    side: Side
    actions: tuple[DeviceAction, ...]
    gaps: list[Gap]
    at: Callable[[float], tuple[float, float]]
    place: Callable[[float], tuple[float, float]]
    speed_mps: float

    def observed(self, t_s: float) -> bool:
        """Whether it surely reports positions."""
        return not any(gap.start_s <= t_s <= gap.end_s for gap in self.gaps)

    def error_m(self, t_s: float) -> float:
        """Return what a report may be off by, along any direction."""
        name = self.person.profile
        for action in self.actions:
            if action.kind is EventKind.PROFILE and action.at_s <= t_s:
                name = action.value
        profile = PROFILES[name]
        # a fix may be back before a gap is surely over
        ended = (max(0.0, t_s - gap.end_s) for gap in self.gaps if not gap.first and gap.sure_until_s <= t_s)
        after_s = 0.0 if 0 < profile.no_fix_share < 1 else min(ended, default=math.inf)
        first_m = profile.reacquire_sd_m * math.exp(-after_s / profile.reacquire_tau_s)
        frozen_m = _FROZEN_MEANS * profile.freeze_mean_s * self.speed_mps if profile.freeze_rate_hz > 0 else 0.0
        scale = MAX_SCALE if profile.wall_deg or profile.cn0_offset_db < 0 else OPEN_SCALE
        return ERROR_SIGMAS * math.hypot(profile.sd_m * scale, first_m) + profile.jump_max_m + frozen_m


def device_truth(scenario: Scenario, person: PersonTable) -> DeviceTruth:
    """Put together what the truth knows of a person's device."""
    track = scenario.track(person)
    actions = scenario.actions(person)

    def at(t_s: float) -> tuple[float, float]:
        point = track.at(t_s)
        return point.lat_deg, point.lon_deg

    def place(t_s: float) -> tuple[float, float]:
        point = track.at(t_s)
        return point.east_m, point.north_m

    return DeviceTruth(
        person=person,
        side="tag" if person.role == "wearer" else "protected",
        actions=actions,
        gaps=find_gaps(person.profile, actions, interval_s=person.interval_s, duration_s=scenario.duration_s),
        at=at,
        place=place,
        speed_mps=max((track.at(w.t_s + 1e-3).speed_mps for w in track.waypoints), default=0.0),
    )
