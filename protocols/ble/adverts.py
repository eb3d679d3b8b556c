"""The two advertisements of ours: the wearer's beacon and the protected person's tag. Both ways.

Both are manufacturer data of company 0xFFFF, little-endian, one octet of kind first::

    beacon  kind 0xB1  rolling id 8  counter 4  status 1 (bit 7 strap open, bits 0-6 battery pct)  mac 4    18 octets
    tag     kind 0xA1  rolling id 8  counter 4                                                              13

The rolling id is ``HMAC-SHA256(key, "id" 0 purpose 0 slot)``, cut to 8 octets, the mac ``HMAC-SHA256(key, "mac" 0 slot
message)``, cut to 4; slot is eight octets, big-endian. ``counter`` rises by one per advertising event, modulo 2**32,
and starts at a random place in every slot and after every start of the tag. A tag never goes back to an earlier slot:
where its clock is set back over a boundary it stays in the later slot until the clock has caught up, and it keeps the
number of its slot over a restart.

The tag's advertisement holds nothing else: no battery, no name, nothing that is the same in two slots.
"""

import hmac
import struct
from dataclasses import dataclass

from protocols.ble.layout import ValueRefusedError, check_size, rejecting
from protocols.errors import EncodeError
from protocols.rejects import RejectReason

COMPANY_ID = 0xFFFF
"""Kept by the Bluetooth SIG for use without an assigned number (Assigned Numbers, 7.1)."""

BEACON_KIND = 0xB1
TAG_KIND = 0xA1
"""First octet; the lower half is the layout's version. Other products use 0xFFFF too: another kind is not ours."""

SLOT_S = 900
"""Life of a rolling id: 15 minutes, as for the resolvable private address beside it (Core 6.0, Vol 3, Part C, Appendix
A, TGAP(private_addr_int)). Shorter costs the tag more; longer lets a bystander follow it further."""

SLOT_NS = SLOT_S * 1_000_000_000

ROLLING_ID_OCTETS = 8
"""Two of a million tags share an id in a year of slots with a chance of 1e-3; a stranger's fits one key's three slots
with a chance of 2e-19."""

MAC_OCTETS = 4
"""A guess is right once in 4e9, and each wrong one is told."""

MIN_KEY_OCTETS = 16

COUNTER_SPAN = 2**32
"""The counter is 32 bits wide and starts anywhere at random, so a slot's counters of two starts do not meet."""

BEACON_PURPOSE = b"beacon"
TAG_PURPOSE = b"tag"

_BEACON = struct.Struct("<B8sIB4s")
_TAG = struct.Struct("<B8sI")
_STRAP_OPEN = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    """One advertisement of a wearer's beacon as it was sent; ``BeaconWatch`` says whether it is genuine."""

    rolling_id: bytes
    counter: int
    strap_open: bool
    battery_pct: int
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TagAdvert:
    """One advertisement of a protected person's tag; ``is_tag`` says whose."""

    rolling_id: bytes
    counter: int


def slot_of(t_utc_ns: int) -> int:
    """Return the slot that a moment lies in."""
    return t_utc_ns // SLOT_NS


def rolling_id(key: bytes, slot: int, purpose: bytes) -> bytes:
    """Return the pseudonym of a key in a slot; ``EncodeError`` for a key of fewer than 16 octets."""
    return _digest(key, b"id\x00" + purpose + b"\x00" + _slot_octets(slot))[:ROLLING_ID_OCTETS]


def encode_beacon(key: bytes, *, slot: int, counter: int, strap_open: bool, battery_pct: int) -> bytes:
    """Return the manufacturer data; ``EncodeError`` for what has no place on the wire."""
    if not 0 <= battery_pct <= 100:
        raise EncodeError(f"battery_pct: expected 0 to 100, got {battery_pct!r}")
    status = battery_pct | _STRAP_OPEN * strap_open
    pseudonym = rolling_id(key, slot, BEACON_PURPOSE)
    bare = _BEACON.pack(BEACON_KIND, pseudonym, _counter(counter), status, bytes(MAC_OCTETS))[:-MAC_OCTETS]
    return bare + _mac(key, slot, bare)


@rejecting
def decode_beacon(data: bytes) -> Beacon:
    """Manufacturer data to the beacon; no key is needed to read it."""
    _check("beacon", data, BEACON_KIND, _BEACON.size)
    _, pseudonym, counter, status, mac = _BEACON.unpack(data)
    battery_pct = status & ~_STRAP_OPEN
    if battery_pct > 100:
        raise ValueRefusedError(RejectReason.RESERVED, 13, f"battery_pct: expected 0 to 100, got {battery_pct}")
    return Beacon(
        rolling_id=pseudonym,
        counter=counter,
        strap_open=bool(status & _STRAP_OPEN),
        battery_pct=battery_pct,
        mac=mac,
    )


def verify_beacon(key: bytes, slot: int, beacon: Beacon) -> bool:
    """Whether the key made this beacon for this slot."""
    status = beacon.battery_pct | _STRAP_OPEN * beacon.strap_open
    whole = _BEACON.pack(BEACON_KIND, beacon.rolling_id, beacon.counter, status, beacon.mac)
    return hmac.compare_digest(_mac(key, slot, whole[:-MAC_OCTETS]), beacon.mac)


def encode_tag_advert(key: bytes, *, slot: int, counter: int) -> bytes:
    """Return the manufacturer data; ``EncodeError`` for what has no place on the wire."""
    return _TAG.pack(TAG_KIND, rolling_id(key, slot, TAG_PURPOSE), _counter(counter))


@rejecting
def decode_tag_advert(data: bytes) -> TagAdvert:
    """Manufacturer data to the tag's advertisement."""
    _check("tag", data, TAG_KIND, _TAG.size)
    _, pseudonym, counter = _TAG.unpack(data)
    return TagAdvert(rolling_id=pseudonym, counter=counter)


def tag_ids(key: bytes, t_utc_ns: int) -> tuple[bytes, ...]:
    """Return the ids under which a key's tag may be heard now: of this slot and the ones beside it.

    They change with the slot only: who knows many tags asks once a slot and keeps a table.
    """
    slot = slot_of(t_utc_ns)
    return tuple(rolling_id(key, near, TAG_PURPOSE) for near in (slot - 1, slot, slot + 1) if near >= 0)


def is_tag(key: bytes, advert: TagAdvert, t_utc_ns: int) -> bool:
    """Whether this is the key's tag, with clocks that differ by at most one slot."""
    matches = [hmac.compare_digest(known, advert.rolling_id) for known in tag_ids(key, t_utc_ns)]
    return any(matches)


def _check(title: str, data: bytes, kind: int, octets: int) -> None:
    if data and data[0] != kind:
        raise ValueRefusedError(RejectReason.UNKNOWN_VALUE, 0, f"kind: expected {kind:#04x}, got {data[0]:#04x}")
    check_size(title, data, octets)


def _mac(key: bytes, slot: int, message: bytes) -> bytes:
    return _digest(key, b"mac\x00" + _slot_octets(slot) + message)[:MAC_OCTETS]


def _digest(key: bytes, message: bytes) -> bytes:
    if len(key) < MIN_KEY_OCTETS:
        raise EncodeError(f"key: expected at least {MIN_KEY_OCTETS} octets, got {len(key)}")
    return hmac.digest(key, message, "sha256")


def _slot_octets(slot: int) -> bytes:
    if not 0 <= slot < 2**63:
        raise EncodeError(f"slot: expected 0 to 2**63 - 1, got {slot!r}")
    return slot.to_bytes(8, "big")


def _counter(counter: int) -> int:
    if not 0 <= counter < COUNTER_SPAN:
        raise EncodeError(f"counter: expected 0 to {COUNTER_SPAN - 1}, got {counter!r}")
    return counter
