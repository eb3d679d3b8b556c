"""When a device gives no position, or is not heard at all, as the truth knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rig.emulator.events import DeviceAction, EventKind
from rig.emulator.gnss import FIRST_FIX_S, REACQUIRE_S
from rig.emulator.profiles import PROFILES

_JAM_ONSET_S: Final = 5.0
"""A jammer takes at most so long to silence the receiver, seconds (the emulator's longest ramp)."""

_JAM_SURE: Final = 3
"""Jammer strength that surely ends a fix under an open sky."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch without positions.

    Attributes
    ----------
    cause : str
        For people: the event's name.
    start_s, sure_from_s : float
        It may begin, and has surely begun.
    sure_until_s, end_s : float
        It surely lasts until, and is surely over.
    silent : bool
        Nothing at all is heard, not only no position.
    sure : bool
        False where it may also not come.
    first : bool
        The wait for the first fix after power-on.
    """

    cause: str
    start_s: float
    sure_from_s: float
    sure_until_s: float
    end_s: float
    silent: bool = False
    sure: bool = True
    first: bool = False


_BLOCKING: Final = {
    EventKind.GNSS_LOST: EventKind.GNSS_BACK,
    EventKind.SHIELD_ON: EventKind.SHIELD_OFF,
    EventKind.OUTAGE: EventKind.OUTAGE_END,
    EventKind.POWER_OFF: EventKind.POWER_ON,
}
_SILENT: Final = frozenset({EventKind.OUTAGE, EventKind.POWER_OFF})


def find_gaps(profile: str, actions: Sequence[DeviceAction], *, interval_s: float, duration_s: float) -> list[Gap]:
    """All gaps of a device, by time; they may overlap.

    Parameters
    ----------
    profile : str
        Surroundings at the start.
    actions : sequence of DeviceAction
        By time.
    interval_s, duration_s : float
        Between reports; of the run.
    """
    gaps = [
        Gap(cause="first fix", start_s=0.0, sure_from_s=0.0, sure_until_s=0.0, end_s=FIRST_FIX_S[1], first=True),
    ]
    for i, action in enumerate(actions):
        rest = actions[i + 1 :]
        if action.kind in _BLOCKING:
            end_s = next((a.at_s for a in rest if a.kind is _BLOCKING[action.kind]), duration_s)
            silent = action.kind in _SILENT
            back = (0.0, interval_s) if action.kind is EventKind.OUTAGE else _back(action.kind, interval_s)
            gaps.append(
                Gap(
                    cause=action.kind.value,
                    start_s=action.at_s,
                    sure_from_s=action.at_s,
                    sure_until_s=end_s + back[0],
                    end_s=end_s + back[1],
                    silent=silent,
                )
            )
        elif action.kind is EventKind.JAM and (strength := float(action.value)) > 1:
            end_s = next((a.at_s for a in rest if a.kind is EventKind.JAM), duration_s)
            back = _back(action.kind, interval_s)
            gaps.append(
                Gap(
                    cause=action.kind.value,
                    start_s=action.at_s,
                    sure_from_s=action.at_s + _JAM_ONSET_S,
                    sure_until_s=end_s + back[0],
                    end_s=end_s + back[1],
                    sure=strength >= _JAM_SURE,
                )
            )
    return sorted([*gaps, *_by_profile(profile, actions, interval_s, duration_s)], key=lambda gap: gap.start_s)


def _back(kind: EventKind, interval_s: float) -> tuple[float, float]:
    """Shortest and longest wait for a fix once the cause is gone."""
    low, high = FIRST_FIX_S if kind is EventKind.POWER_ON else REACQUIRE_S
    return low, high + 2 * interval_s


def _by_profile(profile: str, actions: Sequence[DeviceAction], interval_s: float, duration_s: float) -> list[Gap]:
    """Surroundings that take the fix away always, or now and then."""
    changes = [(0.0, profile)] + [(a.at_s, a.value) for a in actions if a.kind is EventKind.PROFILE]
    gaps = []
    for (at_s, name), (until_s, _) in zip(changes, [*changes[1:], (duration_s, "")], strict=True):
        share = PROFILES[name].no_fix_share
        if share > 0:
            back = _back(EventKind.GNSS_BACK, interval_s)
            gaps.append(
                Gap(
                    cause=f"profile {name}",
                    start_s=at_s,
                    sure_from_s=at_s,
                    sure_until_s=until_s + back[0],
                    end_s=until_s + back[1],
                    sure=share >= 1,
                )
            )
    return gaps
