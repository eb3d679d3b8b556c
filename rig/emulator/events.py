"""What happens to a device, when: ``strap_cut@45``, ``jam=3@60+20``. Times are tag time."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from rig.emulator.gnss_faults import OFF, read_drift, read_jump, read_spoof
from rig.emulator.profiles import PROFILES
from rig.errors import EventError


@unique
class EventKind(StrEnum):
    """Everything that can be done to an emulated ankle tag."""

    STRAP_CUT = "strap_cut"
    STRAP_CLOSE = "strap_close"
    CASE_OPEN = "case_open"
    CASE_CLOSE = "case_close"
    SHIELD_ON = "shield_on"
    """Wrapped in metal: no satellite is heard, and the shield sensor tells."""
    SHIELD_OFF = "shield_off"
    JAM = "jam"
    """A jammer of strength 1 to 3 is near; 0 ends it."""
    GNSS_LOST = "gnss_lost"
    """A cellar, a tunnel: no satellite is heard."""
    GNSS_BACK = "gnss_back"
    GNSS_JUMP = "gnss_jump"
    """Positions are off by so many metres; values: see `rig.emulator.gnss_faults`."""
    GNSS_DRIFT = "gnss_drift"
    """Positions walk off at so many metres per second."""
    GNSS_FREEZE = "gnss_freeze"
    """The last position is repeated with new times."""
    GNSS_UNFREEZE = "gnss_unfreeze"
    SPOOF = "spoof"
    """False signals take the receiver away: ``spoof=pull_off:2:90@60+30``."""
    PROFILE = "profile"
    """The surroundings change: ``profile=urban@60``."""
    OUTAGE = "outage"
    """The tag cannot send; it stores its epochs."""
    OUTAGE_END = "outage_end"
    BATTERY = "battery"
    """The battery stands at so many percent."""
    DRAIN = "drain"
    """The battery drains so many times faster."""
    CHARGE_ON = "charge_on"
    CHARGE_OFF = "charge_off"
    POWER_OFF = "power_off"
    """Silent and deaf, nothing stored."""
    POWER_ON = "power_on"


_UNDO: Final[dict[EventKind, tuple[EventKind, str]]] = {
    EventKind.STRAP_CUT: (EventKind.STRAP_CLOSE, ""),
    EventKind.CASE_OPEN: (EventKind.CASE_CLOSE, ""),
    EventKind.SHIELD_ON: (EventKind.SHIELD_OFF, ""),
    EventKind.JAM: (EventKind.JAM, "0"),
    EventKind.GNSS_LOST: (EventKind.GNSS_BACK, ""),
    EventKind.GNSS_JUMP: (EventKind.GNSS_JUMP, "0"),
    EventKind.GNSS_DRIFT: (EventKind.GNSS_DRIFT, "0"),
    EventKind.GNSS_FREEZE: (EventKind.GNSS_UNFREEZE, ""),
    EventKind.SPOOF: (EventKind.SPOOF, OFF),
    EventKind.OUTAGE: (EventKind.OUTAGE_END, ""),
    EventKind.DRAIN: (EventKind.DRAIN, "1"),
    EventKind.CHARGE_ON: (EventKind.CHARGE_OFF, ""),
    EventKind.POWER_OFF: (EventKind.POWER_ON, ""),
}
"""What a duration (``+20``) ends with."""

_NUMBER_RANGE: Final[dict[EventKind, tuple[float, float]]] = {
    EventKind.JAM: (0, 3),
    EventKind.BATTERY: (0, 100),
    EventKind.DRAIN: (0, 1e6),
}

_READ: Final[dict[EventKind, Callable[[str], object]]] = {
    EventKind.GNSS_JUMP: read_jump,
    EventKind.GNSS_DRIFT: read_drift,
    EventKind.SPOOF: read_spoof,
}
"""Events whose value has parts; the reader checks it."""

_PATTERN: Final = re.compile(r"(?P<name>\w+)(?:=(?P<value>[^@]+))?@(?P<at>[^+]+)(?:\+(?P<lasts>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAction:
    """One event at one time; ``value`` is empty where the kind takes none."""

    at_s: float
    kind: EventKind
    value: str = ""


def make_actions(name: str, value: str, at_s: float, lasts_s: float | None) -> list[DeviceAction]:
    """Check one event and give it as actions: itself, and what undoes it where it has a duration.

    Raises
    ------
    EventError
        Unknown event, a value out of range, or a duration on an event that nothing undoes.
    """
    try:
        kind = EventKind(name)
    except ValueError:
        known = ", ".join(kind.value for kind in EventKind)
        raise EventError(f"event {name!r} is not known. Expected one of: {known}") from None
    name = kind.value
    if not (math.isfinite(at_s) and at_s >= 0):
        raise EventError(f"event {name!r}: its time must be 0 s or later, got {at_s}")
    if kind in _NUMBER_RANGE:
        low, high = _NUMBER_RANGE[kind]
        number = _number(value, f"event {name!r}: its value")
        if not low <= number <= high:
            raise EventError(f"event {name!r}: its value must lie in {low:g} to {high:g}, got {value}")
    elif kind in _READ:
        _READ[kind](value)
    elif kind is EventKind.PROFILE:
        if value not in PROFILES:
            raise EventError(f"event {name!r}: profile {value!r} is not known. Expected one of: {', '.join(PROFILES)}")
    elif value:
        raise EventError(f"event {name!r} takes no value, got {value!r}")
    actions = [DeviceAction(at_s=at_s, kind=kind, value=value)]
    if lasts_s is not None:
        if kind not in _UNDO:
            raise EventError(f"event {name!r} takes no duration: nothing undoes it")
        if not (math.isfinite(lasts_s) and lasts_s > 0):
            raise EventError(f"event {name!r}: its duration must be above 0 s, got {lasts_s}")
        undo, undo_value = _UNDO[kind]
        actions.append(DeviceAction(at_s=at_s + lasts_s, kind=undo, value=undo_value))
    return actions


def parse_event(text: str) -> list[DeviceAction]:
    """Read ``name[=value]@seconds[+seconds]``."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise EventError(f"event {text!r} is not understood. Expected NAME[=VALUE]@SECONDS[+SECONDS], as strap_cut@45")
    lasts = match["lasts"]
    return make_actions(
        match["name"],
        match["value"] or "",
        _number(match["at"], f"event {text!r}: its time"),
        None if lasts is None else _number(lasts, f"event {text!r}: its duration"),
    )


def in_order(actions: Iterable[DeviceAction]) -> tuple[DeviceAction, ...]:
    """Actions by time; those of one moment stay in the order given."""
    return tuple(sorted(actions, key=lambda action: action.at_s))


def _number(text: str, what: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        raise EventError(f"{what} is not a number: {text!r}") from None
