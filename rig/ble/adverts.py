"""AD structures as a host's Bluetooth daemon takes them: leniently, later ones over earlier ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_FLAGS: Final = 0x01
_UUID_LISTS: Final = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_NAMES: Final = (0x08, 0x09)
_TX_POWER: Final = 0x0A
_SERVICE_DATA: Final = {0x16: 2, 0x20: 4, 0x21: 16}
_MANUFACTURER: Final = 0xFF
"""AD types (Bluetooth Assigned Numbers, section 2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardAdvert:
    """One advert as an adapter heard it, its scan response merged in."""

    address: str
    public: bool
    connectable: bool
    rssi_dbm: int
    data: bytes
    flags: int | None = None
    name: str | None = None
    tx_power_dbm: int | None = None
    service_uuids: tuple[str, ...] = ()
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_data: Mapping[str, bytes] = field(default_factory=dict)


def full_uuid(little_endian: bytes) -> str:
    """Write a UUID of 2, 4 or 16 bytes in full, lower case."""
    if len(little_endian) < 16:
        return f"{int.from_bytes(little_endian, 'little'):08x}-0000-1000-8000-00805f9b34fb"
    text = little_endian[::-1].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def structures(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give AD structures; what comes after one that is cut short is not looked at."""
    at = 0
    while at < len(data):
        length = data[at]
        if length == 0 or at + 1 + length > len(data):
            return
        yield data[at + 1], data[at + 2 : at + 1 + length]
        at += 1 + length


def merge_advert(address: str, data: bytes, *, rssi_dbm: int, public: bool, connectable: bool) -> HeardAdvert:
    """Read advertising data and scan response, joined, as one advert."""
    flags = name = tx_power_dbm = None
    uuids: list[str] = []
    manufacturer: dict[int, bytes] = {}
    service: dict[str, bytes] = {}
    for kind, value in structures(data):
        if kind == _FLAGS and value:
            flags = value[0]
        elif kind in _UUID_LISTS:
            width = _UUID_LISTS[kind]
            uuids += [full_uuid(value[i : i + width]) for i in range(0, len(value) - width + 1, width)]
        elif kind in _NAMES:
            name = value.decode("utf-8", "replace")
        elif kind == _TX_POWER and len(value) == 1:
            tx_power_dbm = int.from_bytes(value, "little", signed=True)
        elif kind in _SERVICE_DATA and len(value) >= _SERVICE_DATA[kind]:
            width = _SERVICE_DATA[kind]
            service[full_uuid(value[:width])] = value[width:]
        elif kind == _MANUFACTURER and len(value) >= 2:
            manufacturer[int.from_bytes(value[:2], "little")] = value[2:]
    return HeardAdvert(
        address=address,
        public=public,
        connectable=connectable,
        rssi_dbm=rssi_dbm,
        data=data,
        flags=flags,
        name=name,
        tx_power_dbm=tx_power_dbm,
        service_uuids=tuple(dict.fromkeys(uuids)),
        manufacturer_data=manufacturer,
        service_data=service,
    )
