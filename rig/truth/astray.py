"""When a receiver is led astray, so that what it reports says nothing about where it is."""

from collections.abc import Iterator, Sequence
from typing import Final

from rig.emulator.events import DeviceAction, EventKind
from rig.emulator.gnss_faults import OFF
from rig.emulator.profiles import PROFILES

SETTLE_S: Final = 8.0
"""Tag seconds after which the true signals are surely followed again: up to 4 to find them, and the reports between."""

_ENDS: Final = {
    EventKind.GNSS_JUMP: frozenset({"0"}),
    EventKind.GNSS_DRIFT: frozenset({"0"}),
    EventKind.SPOOF: frozenset({OFF}),
}
_FREEZE: Final = (EventKind.GNSS_FREEZE, EventKind.GNSS_UNFREEZE)


def astray(profile: str, actions: Sequence[DeviceAction], *, duration_s: float) -> list[tuple[float, float]]:
    """Find when a device's positions are wrong by more than its surroundings explain, as (from, until).

    Parameters
    ----------
    profile : str
        Surroundings at the start.
    actions : sequence of DeviceAction
        By time.
    duration_s : float
    """
    return [*_led(actions, duration_s), *_coasting(profile, actions)]


def _led(actions: Sequence[DeviceAction], duration_s: float) -> Iterator[tuple[float, float]]:
    for i, action in enumerate(actions):
        rest = actions[i + 1 :]
        if action.kind in _ENDS and action.value not in _ENDS[action.kind]:
            ends = (a.at_s for a in rest if a.kind is action.kind and a.value in _ENDS[action.kind])
        elif action.kind is _FREEZE[0]:
            ends = (a.at_s for a in rest if a.kind is _FREEZE[1])
        else:
            continue
        yield action.at_s, next(ends, duration_s) + SETTLE_S


def _coasting(profile: str, actions: Sequence[DeviceAction]) -> Iterator[tuple[float, float]]:
    """Where the signals go, a receiver may go straight on for a while."""
    name = profile
    blocked = {EventKind.GNSS_LOST, EventKind.SHIELD_ON, EventKind.JAM, EventKind.PROFILE}
    for action in actions:
        if action.kind is EventKind.PROFILE:
            name = action.value
        longest_s = PROFILES[name].coast_s
        if action.kind in blocked and longest_s > 0:
            yield action.at_s, action.at_s + longest_s + 1.0
    if PROFILES[profile].coast_s > 0:
        yield 0.0, PROFILES[profile].coast_s + 1.0
