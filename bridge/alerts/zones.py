"""Exclusion zones entered and left, inclusion zones left and returned to, from the core's transitions."""

from dataclasses import dataclass
from enum import Enum, unique

from bridge.alerts.change import AlertKey, Change
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, ZoneRef
from protocols.reports import Fix


@unique
class Crossing(Enum):
    """What a fix showed about one zone."""

    ENTERED = "entered"
    LEFT = "left"
    FIRST_INSIDE = "first known inside"
    FIRST_OUTSIDE = "first known outside"

    @property
    def is_inside(self) -> bool:
        """Side after the crossing."""
        return self in {Crossing.ENTERED, Crossing.FIRST_INSIDE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneTransition:
    """A transition of the core, with the fix that showed it."""

    device_id: str
    zone: ZoneRef
    crossing: Crossing
    fix: Fix
    t_fix_utc_ns: int
    stamps: Stamps
    late: bool


def zone_change(transition: ZoneTransition) -> Change:
    """Judge a transition by the zone's purpose.

    The first known state counts like a crossing: who is first seen inside an exclusion zone, or outside an inclusion
    zone, is an alert.
    """
    zone = transition.zone
    inside = transition.crossing.is_inside
    exclusion = zone.type == "exclusion"
    kind = AlertKind.EXCLUSION_ZONE_ENTERED if exclusion else AlertKind.INCLUSION_ZONE_LEFT
    return Change(
        key=AlertKey(device_id=transition.device_id, kind=kind, about=zone.id, late=transition.late),
        raised=inside if exclusion else not inside,
        occurred_utc_ns=transition.t_fix_utc_ns,
        stamps=transition.stamps,
        shown_by=transition.device_id,
        reason=transition.crossing.value,
        zone=zone,
        fix=transition.fix,
        stored=transition.fix.stored,
    )


def end_of_late_run(raised: Change, stamps: Stamps) -> Change:
    """Close what a run of late reports left raised: its last report is all that is known of the past."""
    return Change(
        key=raised.key,
        raised=False,
        occurred_utc_ns=raised.occurred_utc_ns,
        stamps=stamps,
        shown_by=raised.shown_by,
        reason="end of the late reports",
        zone=raised.zone,
        fix=raised.fix,
        stored=raised.stored,
    )
