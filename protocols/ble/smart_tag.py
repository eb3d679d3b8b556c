"""Values of the smart tag's own service, both ways. Little-endian; tables in ``protocols/README.md``.

Every value begins with one octet: layout version in the upper half, what it is about in the lower::

    state     1 mode      flags 1  battery pct 1  sequence 2  warn id 2                             7 octets
    warn      1 level     warn id 2  pattern 1  text 1                                              5
    event     1 kind      flags 1  sequence 2  warn id 2  age ms 4                                 10
    sighting  1 verdict   rolling id 8  rssi dBm 1  count 2  counter 4  age ms 4                   20
    keys      1 0         tag key 16  beacon key 16                                                33

All but the keys fit in a notification of the smallest ATT MTU (23).
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum, unique

from protocols.ble.layout import Field, Layout, ValueRefusedError, check_size, rejecting, u8, u16, u32
from protocols.errors import EncodeError
from protocols.rejects import Reject, RejectReason
from protocols.reports import (
    BeaconSighting,
    BeaconVerdict,
    TagEvent,
    TagEventKind,
    TagMode,
    TagState,
)

__all__ = [
    "KEY_OCTETS",
    "BeaconSighting",
    "BeaconVerdict",
    "TagEvent",
    "TagEventKind",
    "TagKeys",
    "TagMode",
    "TagState",
    "WarnCommand",
    "WarnLevel",
    "WarnPattern",
    "WarnText",
    "decode_sighting",
    "decode_tag_event",
    "decode_tag_keys",
    "decode_tag_state",
    "decode_warn",
    "encode_sighting",
    "encode_tag_event",
    "encode_tag_keys",
    "encode_tag_state",
    "encode_warn",
]

LAYOUT_VERSION = 1
"""Upper half of the first octet. Any other is refused, so that a tag of a later layout is not misread."""

KEY_OCTETS = 16
"""Length of a key on the wire: 128 bits are beyond any search."""

ROLLING_ID_OCTETS = 8

_SOS, _MOTION, _GNSS, _OWN_WARNING, _HAS_WARN_ID = 1, 2, 4, 8, 16
_MODE_SHIFT = 4

_STATE = Layout(
    "tag state",
    u8("header"),
    u8("flags", 31),
    u8("battery_pct", 100),
    u16("sequence"),
    u16("warn_id"),
)
_WARN = Layout("warn", u8("header"), u16("warn_id"), u8("pattern", 3), u8("text", 4))
_EVENT = Layout("tag event", u8("header"), u8("flags", 1), u16("sequence"), u16("warn_id"), u32("age_ms"))
_SIGHTING = Layout(
    "sighting",
    u8("header"),
    Field("rolling_id", ROLLING_ID_OCTETS, 0, 2 ** (8 * ROLLING_ID_OCTETS) - 1),
    Field("rssi_dbm", 1, -127, 20),
    u16("count", low=1),
    u32("counter"),
    u32("age_ms"),
)


@unique
class WarnLevel(IntEnum):
    """How near the wearer is to the person; a higher one goes before a lower one."""

    STAND_DOWN = 0
    """The warning is over."""
    NOTICE = 1
    """He comes nearer than the outer ring, or her cover is lost."""
    ALARM = 2
    CONTACT = 3


@unique
class WarnPattern(IntEnum):
    """How the tag makes itself felt. The person's own choice goes before loudness: a sound can give her away."""

    SILENT = 0
    VIBRATE = 1
    SOUND = 2
    BOTH = 3


@unique
class WarnText(IntEnum):
    """What a tag with a display or a voice says. A class, never a place and never a distance."""

    NONE = 0
    NEARBY = 1
    COVER_LOST = 2
    STAND_DOWN = 3
    TEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnCommand:
    """One warning to the person; ``warn_id`` (16 bits) comes back in what the tag says about it."""

    warn_id: int
    level: WarnLevel
    pattern: WarnPattern
    text: WarnText


@dataclass(frozen=True, slots=True, kw_only=True)
class TagKeys:
    """Keys that a tag is given once: its own (rolling ids) and the one of the wearer's beacon it shall know."""

    tag_key: bytes = field(repr=False)
    beacon_key: bytes | None = field(repr=False)


def encode_tag_state(state: TagState) -> bytes:
    """Return the value; ``EncodeError`` for one that has no place on the wire."""
    flags = (
        _SOS * state.sos
        | _MOTION * state.motion
        | _GNSS * state.gnss
        | _OWN_WARNING * state.own_warning
        | _HAS_WARN_ID * (state.warn_id is not None)
    )
    return _STATE.pack(_header(state.state), flags, state.battery_pct, state.sequence, state.warn_id or 0)


@rejecting
def decode_tag_state(data: bytes) -> TagState:
    """Value of ``TAG_STATE`` to its report."""
    header, flags, battery_pct, sequence, warn_id = _STATE.unpack(data)
    return TagState(
        state=TagMode(_subject(header, len(TagMode), "mode")),
        warn_id=_optional_warn_id(bool(flags & _HAS_WARN_ID), warn_id, at=5),
        sos=bool(flags & _SOS),
        motion=bool(flags & _MOTION),
        battery_pct=battery_pct,
        gnss=bool(flags & _GNSS),
        sequence=sequence,
        own_warning=bool(flags & _OWN_WARNING),
    )


def encode_warn(command: WarnCommand) -> bytes:
    """Return the value; ``EncodeError`` for one that has no place on the wire."""
    return _WARN.pack(_header(command.level), command.warn_id, command.pattern, command.text)


@rejecting
def decode_warn(data: bytes) -> WarnCommand:
    """Value of ``TAG_WARN`` to its command; what the tag's firmware does."""
    header, warn_id, pattern, text = _WARN.unpack(data)
    level = WarnLevel(_subject(header, len(WarnLevel), "level"))
    return WarnCommand(warn_id=warn_id, level=level, pattern=WarnPattern(pattern), text=WarnText(text))


def encode_tag_event(event: TagEvent) -> bytes:
    """Return the value; ``EncodeError`` for one that has no place on the wire."""
    has_warn_id = int(event.warn_id is not None)
    return _EVENT.pack(_header(event.kind), has_warn_id, event.sequence, event.warn_id or 0, event.age_ms)


@rejecting
def decode_tag_event(data: bytes) -> TagEvent:
    """Value of ``TAG_EVENT`` to its report."""
    header, has_warn_id, sequence, warn_id, age_ms = _EVENT.unpack(data)
    return TagEvent(
        sequence=sequence,
        kind=TagEventKind(_subject(header, len(TagEventKind), "kind")),
        warn_id=_optional_warn_id(bool(has_warn_id), warn_id, at=4),
        age_ms=age_ms,
    )


def encode_sighting(sighting: BeaconSighting) -> bytes:
    """Return the value; ``EncodeError`` for one that has no place on the wire."""
    _check_octets("rolling_id", sighting.rolling_id, ROLLING_ID_OCTETS)
    return _SIGHTING.pack(
        _header(sighting.verdict),
        int.from_bytes(sighting.rolling_id, "little"),
        sighting.rssi_dbm,
        sighting.count,
        sighting.counter,
        sighting.age_ms,
    )


@rejecting
def decode_sighting(data: bytes) -> BeaconSighting:
    """Value of ``TAG_SIGHTING`` to its report."""
    header, rolling_id, rssi_dbm, count, counter, age_ms = _SIGHTING.unpack(data)
    return BeaconSighting(
        rolling_id=rolling_id.to_bytes(ROLLING_ID_OCTETS, "little"),
        rssi_dbm=rssi_dbm,
        count=count,
        counter=counter,
        age_ms=age_ms,
        verdict=BeaconVerdict(_subject(header, len(BeaconVerdict), "verdict")),
    )


def encode_tag_keys(keys: TagKeys) -> bytes:
    """Return the value; no beacon key is sixteen octets of zero. ``EncodeError`` for a key of another length."""
    beacon_key = bytes(KEY_OCTETS) if keys.beacon_key is None else keys.beacon_key
    for name, key in (("tag_key", keys.tag_key), ("beacon_key", beacon_key)):
        _check_octets(name, key, KEY_OCTETS)
    if not any(keys.tag_key) or (keys.beacon_key is not None and not any(keys.beacon_key)):
        raise EncodeError("a key of zeros means none: make a random one")
    return bytes([_header(0)]) + keys.tag_key + beacon_key


def decode_tag_keys(data: bytes) -> TagKeys | Reject:
    """Value of ``TAG_KEYS`` to the keys; what the tag's firmware does. A reject keeps the first octet only."""
    keys = _read_keys(data)
    return replace(keys, raw=keys.raw[:1]) if isinstance(keys, Reject) else keys


@rejecting
def _read_keys(data: bytes) -> TagKeys:
    check_size("keys", data, 1 + 2 * KEY_OCTETS)
    _subject(data[0], 1, "keys")
    tag_key, beacon_key = data[1 : 1 + KEY_OCTETS], data[1 + KEY_OCTETS :]
    if not any(tag_key):
        raise ValueRefusedError(RejectReason.BAD_FIELD, 1, "tag_key: expected a key, got zeros")
    return TagKeys(tag_key=tag_key, beacon_key=beacon_key if any(beacon_key) else None)


def _header(subject: int) -> int:
    return LAYOUT_VERSION << _MODE_SHIFT | int(subject)


def _subject(header: int, n_known: int, name: str) -> int:
    version, subject = header >> _MODE_SHIFT, header & 0x0F
    if version != LAYOUT_VERSION:
        detail = f"layout version: expected {LAYOUT_VERSION}, got {version}"
        raise ValueRefusedError(RejectReason.UNKNOWN_VALUE, 0, detail)
    if subject >= n_known:
        detail = f"{name}: expected 0 to {n_known - 1}, got {subject}"
        raise ValueRefusedError(RejectReason.UNKNOWN_VALUE, 0, detail)
    return subject


def _optional_warn_id(there: bool, warn_id: int, *, at: int) -> int | None:
    if there:
        return warn_id
    if warn_id:
        raise ValueRefusedError(RejectReason.RESERVED, at, f"warn_id: expected 0 where none is meant, got {warn_id}")
    return None


def _check_octets(name: str, value: bytes, octets: int) -> None:
    if len(value) != octets:
        raise EncodeError(f"{name}: expected {octets} octets, got {len(value)}")
