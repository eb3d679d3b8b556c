"""What an emulated air says, and how it reads what it is told: one JSON word a line out, one command a line in."""

from dataclasses import fields
from pathlib import Path
from typing import Final

import msgspec

from rig.ble.firmware.smp import SmpFaults
from rig.ble.victim import TagChange
from rig.errors import RigError


class CommandError(RigError, ValueError):
    """A line is no command, for example ``tag-1 prses``."""


class TagInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One tag as a driver is told of it: ``target`` goes into the configuration."""

    name: str
    kind: str
    address: str
    target: str


class AirReady(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ready"):
    """The air is up; ``bus`` is what DBUS_SYSTEM_BUS_ADDRESS must be, None on a real controller."""

    bus: str | None
    tags: list[TagInfo]
    beacon_key_file: str | None = None


class TagWord(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="change"):
    """Something about a tag has changed; ``felt`` is what began or ended to be felt, with its pattern."""

    tag: str
    t_s: float
    t_mono_ns: int
    level: str
    mode: str
    battery_pct: int
    connected: bool
    felt: str | None = None
    pattern: str | None = None
    cause: str | None = None


class CommandDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """A line was carried out."""

    line: str
    detail: str = ""


class CommandRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="refused"):
    """A line was not carried out, and why."""

    line: str
    detail: str


AirWord = AirReady | TagWord | CommandDone | CommandRefused


HELP: Final = (
    "Commands, after the name of a tag or without it for the first: press, hold SECONDS, sos, "
    "move METRES (the wearer), away METRES (the adapter), battery PCT, motion on|off, link_loss, reboot, state, "
    "smp FIELD=VALUE, fault NAME [OPTION=NUMBER], clear NAME; strap open|closed; quit"
)


def target_of(key_file: Path, passkey: int | None) -> str:
    """Return what a driver's configuration calls a smart tag; the passkey stands in a file beside its key."""
    target = f"ble:rolling?key_file={key_file}"
    return target if passkey is None else f"{target}&pair=mitm&passkey_file={key_file.with_suffix('.passkey')}"


def word_of(change: TagChange) -> TagWord:
    """Put a change into a word."""
    buzz = change.buzz
    return TagWord(
        tag=change.tag,
        t_s=change.t_ns / 1e9,
        t_mono_ns=change.t_mono_ns,
        level=change.level.name.lower(),
        mode=change.mode.name.lower(),
        battery_pct=change.battery_pct,
        connected=change.connected,
        felt=None if buzz is None else (buzz.text.name.lower() if buzz.on else "ended"),
        pattern=None if buzz is None or not buzz.on else buzz.pattern.name.lower(),
        cause=None if buzz is None else buzz.cause.value,
    )


def expect_nothing(rest: list[str]) -> None:
    """Refuse words after a command that takes none."""
    if rest:
        raise CommandError(f"expected nothing after the command, got {' '.join(rest)!r}")


def one_number(rest: list[str], low: float, high: float) -> float:
    """Read the one number after a command."""
    try:
        (text,) = rest
        value = float(text)
    except ValueError:
        raise CommandError(f"expected one number of {low:g} to {high:g}, got {' '.join(rest)!r}") from None
    if not low <= value <= high:
        raise CommandError(f"expected a number of {low:g} to {high:g}, got {text}")
    return value


def one_of(rest: list[str], *known: str) -> str:
    """Read the one word after a command."""
    if len(rest) != 1 or rest[0] not in known:
        raise CommandError(f"expected {' or '.join(known)}, got {' '.join(rest)!r}")
    return rest[0]


def pairs_of(rest: list[str]) -> list[tuple[str, str]]:
    """Read ``name=value`` words."""
    pairs = [part.partition("=") for part in rest]
    if any(not key or not equals for key, equals, _ in pairs):
        raise CommandError(f"expected OPTION=VALUE, got {' '.join(rest)!r}")
    return [(key, value) for key, _, value in pairs]


def set_smp_fault(faults: SmpFaults, rest: list[str]) -> None:
    """Switch faults of firmware management: ``drop_replies=2``."""
    known = [each.name for each in fields(SmpFaults)]
    pairs = pairs_of(rest)
    if not pairs or any(key not in known for key, _ in pairs):
        raise CommandError(f"smp: expected FIELD=VALUE with one of {', '.join(known)}, got {' '.join(rest)!r}")
    for key, text in pairs:
        value = one_number([text], 0, 1e9)
        setattr(faults, key, value if key == "erase_s" else int(value))
