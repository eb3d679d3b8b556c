"""Advertising data: a row of AD structures, length, type, content (Core 6.0, Vol 3, Part C, 11; CSS, Part A, 1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

from protocols.ble.layout import ValueRefusedError, to_reject
from protocols.ble.uuids import expand_uuid, find_short_uuid
from protocols.errors import EncodeError
from protocols.rejects import Reject, RejectReason

MAX_LEGACY_OCTETS = 31
"""What a legacy advertisement or scan response carries (Core 6.0, Vol 6, Part B, 2.3.1)."""

MAX_EXTENDED_OCTETS = 1_650
"""Longest extended advertising data (Core 6.0, Vol 4, Part E, 7.8.57)."""

FLAGS_GENERAL_DISCOVERABLE = 0x02
FLAGS_NO_BR_EDR = 0x04
"""CSS, Part A, 1.3."""

_FLAGS = 0x01
_UUID_LISTS = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
"""Incomplete and complete lists of service UUIDs, and octets of each UUID (CSS, Part A, 1.1)."""
_COMPLETE_LIST = {2: 0x03, 4: 0x05, 16: 0x07}
_SHORT_NAME, _COMPLETE_NAME = 0x08, 0x09
_TX_POWER = 0x0A
_SERVICE_DATA = {0x16: 2, 0x20: 4, 0x21: 16}
_SERVICE_DATA_TYPE = {octets: ad_type for ad_type, octets in _SERVICE_DATA.items()}
_MANUFACTURER = 0xFF


def _nothing() -> Mapping[str, bytes]:
    return MappingProxyType({})


def _nobody() -> Mapping[int, bytes]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertisementData:
    """What an advertisement says. UUIDs are full and lower-case.

    ``other`` holds the structures of other types as they came, (type, content). Where one is sent twice, the later one
    counts; the later part of a service list is added.
    """

    flags: int | None = None
    service_uuids: tuple[str, ...] = ()
    service_data: Mapping[str, bytes] = field(default_factory=_nothing)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=_nobody)
    local_name: str | None = None
    tx_power_dbm: int | None = None
    other: tuple[tuple[int, bytes], ...] = ()


def parse_ad(data: bytes) -> AdvertisementData | Reject:
    """Advertising data or scan response data to what it says, where all of it can be read."""
    said, rejects = read_ad(data)
    return rejects[0] if rejects else said


def read_ad(data: bytes) -> tuple[AdvertisementData, tuple[Reject, ...]]:
    """Advertising data to what can be read of it, and what was refused, by offset.

    There are devices that cut their last structure or pad in the middle. A structure that is refused says nothing; one
    that runs over the end is the last.
    """
    data = bytes(data)
    structures, refusals = _split(data)
    draft = _Draft()
    for at, ad_type, content in structures:
        try:
            draft.take(at, ad_type, content)
        except ValueRefusedError as exc:
            refusals.append(exc)
    refusals.sort(key=lambda exc: exc.offset)
    return draft.done(), tuple(to_reject(exc, data) for exc in refusals)


class _Draft:
    """What has been read so far."""

    def __init__(self) -> None:
        self._flags: int | None = None
        self._uuids: dict[str, None] = {}
        self._service_data: dict[str, bytes] = {}
        self._manufacturer_data: dict[int, bytes] = {}
        self._short_name: str | None = None
        self._name: str | None = None
        self._tx_power_dbm: int | None = None
        self._other: list[tuple[int, bytes]] = []

    def take(self, at: int, ad_type: int, content: bytes) -> None:
        """Read the structure whose content is at ``at``."""
        if ad_type == _FLAGS:
            _need(content, 1, at, "flags")
            self._flags = int.from_bytes(content, "little")
        elif ad_type in _UUID_LISTS:
            octets = _UUID_LISTS[ad_type]
            if len(content) % octets:
                detail = f"service list: expected UUIDs of {octets} octets, got {len(content)} octets"
                raise ValueRefusedError(RejectReason.CUT_SHORT, at + len(content), detail)
            self._uuids |= {_read_uuid(content[i : i + octets]): None for i in range(0, len(content), octets)}
        elif ad_type in _SERVICE_DATA:
            octets = _SERVICE_DATA[ad_type]
            _need(content, octets, at, "service data")
            self._service_data[_read_uuid(content[:octets])] = content[octets:]
        elif ad_type == _MANUFACTURER:
            _need(content, 2, at, "manufacturer data")
            self._manufacturer_data[int.from_bytes(content[:2], "little")] = content[2:]
        elif ad_type == _SHORT_NAME:
            self._short_name = _read_name(content)
        elif ad_type == _COMPLETE_NAME:
            self._name = _read_name(content)
        elif ad_type == _TX_POWER:
            _need(content, 1, at, "TX power")
            if len(content) > 1:
                detail = f"TX power: expected 1 octet, got {len(content)}"
                raise ValueRefusedError(RejectReason.OVERLONG, at + 1, detail)
            self._tx_power_dbm = int.from_bytes(content, "little", signed=True)
        else:
            self._other.append((ad_type, content))

    def done(self) -> AdvertisementData:
        return AdvertisementData(
            flags=self._flags,
            service_uuids=tuple(self._uuids),
            service_data=MappingProxyType(self._service_data),
            manufacturer_data=MappingProxyType(self._manufacturer_data),
            local_name=self._short_name if self._name is None else self._name,
            tx_power_dbm=self._tx_power_dbm,
            other=tuple(self._other),
        )


def encode_ad(data: AdvertisementData, *, max_octets: int = MAX_LEGACY_OCTETS) -> bytes:
    """Return the structures in one row: lists and name complete, each UUID in its shortest form.

    Raises
    ------
    EncodeError
        A value has no place on the wire, or all together are longer than ``max_octets``.
    """
    out = b""
    if data.flags is not None:
        out += _structure(_FLAGS, bytes([_ranged("flags", data.flags, 0, 0xFF)]))
    for octets, ad_type in _COMPLETE_LIST.items():
        listed = b"".join(row for row in map(_write_uuid, data.service_uuids) if len(row) == octets)
        if listed:
            out += _structure(ad_type, listed)
    for company_id, content in data.manufacturer_data.items():
        out += _structure(_MANUFACTURER, _ranged("company id", company_id, 0, 0xFFFF).to_bytes(2, "little") + content)
    for uuid, content in data.service_data.items():
        row = _write_uuid(uuid)
        out += _structure(_SERVICE_DATA_TYPE[len(row)], row + content)
    if data.tx_power_dbm is not None:
        level = _ranged("tx_power_dbm", data.tx_power_dbm, -127, 127)
        out += _structure(_TX_POWER, level.to_bytes(1, "little", signed=True))
    if data.local_name is not None:
        out += _structure(_COMPLETE_NAME, data.local_name.encode("utf-8"))
    for ad_type, content in data.other:
        out += _structure(_ranged("AD type", ad_type, 0, 0xFF), content)
    if len(out) > max_octets:
        raise EncodeError(f"advertising data: expected at most {max_octets} octets, got {len(out)}; leave some out")
    return out


def _split(data: bytes) -> tuple[list[tuple[int, int, bytes]], list[ValueRefusedError]]:
    """Return position of the content, type and content of each structure, and what is none.

    A length of 0 ends the significant part: only zeros may follow. Where something else does, it is read too.
    """
    if len(data) > MAX_EXTENDED_OCTETS:
        detail = f"advertising data: expected at most {MAX_EXTENDED_OCTETS} octets, got {len(data)}"
        return [], [ValueRefusedError(RejectReason.OVERLONG, MAX_EXTENDED_OCTETS, detail)]
    found: list[tuple[int, int, bytes]] = []
    refusals = []
    at = 0
    while at < len(data):
        if not data[at]:
            padding = len(data) - at - len(data[at:].lstrip(b"\x00"))
            if at + padding < len(data):
                detail = "after a structure of length 0: expected zeros to the end"
                refusals.append(ValueRefusedError(RejectReason.RESERVED, at + padding, detail))
            at += padding
            continue
        end = at + 1 + data[at]
        if end > len(data):
            detail = f"AD structure: expected {data[at]} octets, got {len(data) - at - 1}"
            refusals.append(ValueRefusedError(RejectReason.CUT_SHORT, len(data), detail))
            break
        found.append((at + 2, data[at + 1], data[at + 2 : end]))
        at = end
    return found, refusals


def _structure(ad_type: int, content: bytes) -> bytes:
    if len(content) > 254:
        raise EncodeError(f"AD structure of type {ad_type:#04x}: expected at most 254 octets, got {len(content)}")
    return bytes([1 + len(content), ad_type]) + content


def _need(content: bytes, octets: int, at: int, name: str) -> None:
    if len(content) < octets:
        detail = f"{name}: expected {octets} octets, got {len(content)}"
        raise ValueRefusedError(RejectReason.CUT_SHORT, at + len(content), detail)


def _read_uuid(row: bytes) -> str:
    return str(UUID(bytes=row[::-1])) if len(row) == 16 else expand_uuid(int.from_bytes(row, "little"))


def _write_uuid(uuid: str) -> bytes:
    short = find_short_uuid(uuid)
    if short is None:
        return UUID(uuid).bytes[::-1]
    return short.to_bytes(2 if short <= 0xFFFF else 4, "little")


def _read_name(content: bytes) -> str:
    """Return a name as far as it can be read: a cut one may end within a character. Zeros behind it are padding."""
    return content.rstrip(b"\x00").decode("utf-8", errors="replace")


def _ranged(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise EncodeError(f"{name}: expected {low} to {high}, got {value!r}")
    return value
