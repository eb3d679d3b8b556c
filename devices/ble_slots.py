"""Which tags hold an adapter's few connections, and which one is connected next. Pure: time is data.

An adapter keeps a handful of connections and makes one at a time. A tag without a connection is still heard: its
advertisements say that it is there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, unique

SLOTS_DEFAULT = 7
"""Connections that one adapter keeps. Adapters hold 3 to 15; most USB ones refuse the eighth."""
MIN_HOLD_NS = 30_000_000_000
"""ns. A connected tag keeps its place so long against others of its own urgency: setting up a link and reading the tag
takes about a second, a shorter turn would mostly be spent on that."""


@unique
class Urgency(IntEnum):
    """Who goes first; the lower value."""

    ALARM = 0
    """An alarm waits or stands."""
    SOS = 1
    """The person has pressed the button."""
    NOTICE = 2
    """A lesser warning, or the end of one, has not reached the tag. Once shown it needs no place: cover may be lost for
    many people at once, who must not hold all places against one alarm."""
    ROUTINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one tag brings forward.

    Attributes
    ----------
    device_id : str
    urgency : Urgency
    last_linked_mono_ns : int
        When the tag was last connected; when it was first seen, for one that never was.
    linked_since_mono_ns : int or None
        None while not connected.
    is_connecting : bool
    is_ready : bool
        In range and not waiting out a failed attempt.
    """

    device_id: str
    urgency: Urgency
    last_linked_mono_ns: int
    linked_since_mono_ns: int | None = None
    is_connecting: bool = False
    is_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """What to do now.

    Attributes
    ----------
    connect : str or None
        The tag whose turn it is to connect.
    abandon : str or None
        The tag whose attempt gives way to a more urgent one.
    release : str or None
        The tag whose connection gives way.
    """

    connect: str | None = None
    abandon: str | None = None
    release: str | None = None


def plan_slots(claims: Iterable[Claim], *, n_slots: int, now_mono_ns: int, min_hold_ns: int = MIN_HOLD_NS) -> SlotPlan:
    """Decide who connects, and who gives way.

    By urgency, then the tag that has been without a connection longest. A connection gives way only where all places
    are taken: to a more urgent tag at once, to one of its own urgency after ``min_hold_ns``, never to a less
    urgent one. An attempt under way gives way to a more urgent tag at once.
    """
    claims = list(claims)
    ready = sorted(
        (c for c in claims if c.is_ready and not c.is_connecting and c.linked_since_mono_ns is None),
        key=lambda c: (c.urgency, c.last_linked_mono_ns, c.device_id),
    )
    if not ready:
        return SlotPlan()
    first = ready[0]
    trying = next((c for c in claims if c.is_connecting), None)
    if trying is not None:
        return SlotPlan(abandon=trying.device_id if first.urgency < trying.urgency else None)
    linked = [c for c in claims if c.linked_since_mono_ns is not None]
    if len(linked) < n_slots:
        return SlotPlan(connect=first.device_id)
    # The least urgent, and among those the one that has held its place longest.
    weakest = max(linked, key=lambda c: (c.urgency, -(c.linked_since_mono_ns or 0), c.device_id))
    held_ns = now_mono_ns - (weakest.linked_since_mono_ns or 0)
    if first.urgency < weakest.urgency or (first.urgency == weakest.urgency and held_ns >= min_hold_ns):
        return SlotPlan(release=weakest.device_id)
    return SlotPlan()
