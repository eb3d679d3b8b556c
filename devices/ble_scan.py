"""Which Bluetooth tags are in range, how loud, and what they are by their advertisements (``tagrig scan``)."""

import asyncio
import statistics
from dataclasses import dataclass, field
from enum import StrEnum, unique

from devices.ble_finder import find_tag_advert
from devices.ble_link import Advert
from devices.ble_radio import Radio
from protocols.ble import uuids
from protocols.ble.ad import AdvertisementData
from protocols.ble.adverts import COMPANY_ID, Beacon, decode_beacon


@unique
class TagKind(StrEnum):
    """What a device is by what it advertises."""

    SMART_TAG = "smart_tag"
    """A protected person's tag under a rolling id, or one that names our service."""
    BEACON = "beacon"
    """A wearer's beacon."""
    PROXIMITY = "proximity"
    """Immediate Alert and Link Loss: sounds, and notices a lost link."""
    FIND_ME = "find_me"
    """Immediate Alert: sounds."""
    LOCATION = "location"
    """Location and Navigation: a receiver that tells its position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardTag:
    """One tag in range.

    Attributes
    ----------
    address : str
    kind : TagKind
    name : str or None
    rssi_dbm : float or None
        Median of what was heard.
    rssi_low_dbm, rssi_high_dbm : int or None
    n_reports : int
        Reports of its advertisements; not their number.
    spec : str or None
        What goes into the configuration; None for what is not connected to.
    """

    address: str
    kind: TagKind
    name: str | None
    rssi_dbm: float | None
    rssi_low_dbm: int | None
    rssi_high_dbm: int | None
    n_reports: int
    spec: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BleScanResult:
    """What one adapter heard.

    Attributes
    ----------
    tags : tuple of HeardTag
        The loudest first.
    n_other : int
        Devices in range that are no tags.
    problem : str or None
        Why nothing could be heard.
    """

    tags: tuple[HeardTag, ...] = ()
    n_other: int = 0
    problem: str | None = None


def find_kind(data: AdvertisementData) -> TagKind | None:
    """Return what a device is by its advertisement, or None for what is no tag."""
    content = data.manufacturer_data.get(COMPANY_ID)
    if find_tag_advert(data) is not None or uuids.SMART_TAG_SERVICE in data.service_uuids:
        return TagKind.SMART_TAG
    if content is not None and isinstance(decode_beacon(content), Beacon):
        return TagKind.BEACON
    if uuids.IMMEDIATE_ALERT_SERVICE in data.service_uuids:
        return TagKind.PROXIMITY if uuids.LINK_LOSS_SERVICE in data.service_uuids else TagKind.FIND_ME
    return TagKind.LOCATION if uuids.LOCATION_AND_NAVIGATION_SERVICE in data.service_uuids else None


async def scan_tags(radio: Radio, *, adapter: str | None, listen_s: float) -> BleScanResult:
    """Listen on one adapter; return at once where it cannot be used.

    Parameters
    ----------
    radio : Radio
    adapter : str or None
        None: the first one that is switched on.
    listen_s : float
        From the moment the adapter listens.
    """
    heard: dict[str, _Heard] = {}
    problem: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    known = asyncio.Event()

    def on_advert(advert: Advert) -> None:
        heard.setdefault(advert.address, _Heard()).take(advert)

    def on_adapter(is_up: bool, detail: str) -> None:
        known.set()
        if not is_up and not problem.done():
            problem.set_result(detail)

    stop = radio.listen(adapter, on_advert, on_adapter)
    try:
        await known.wait()
        await asyncio.wait({problem}, timeout=listen_s)
    finally:
        stop()
    found = [tag for address, device in heard.items() if (tag := device.find_tag(address, adapter)) is not None]
    found.sort(key=lambda tag: (-(tag.rssi_dbm if tag.rssi_dbm is not None else -999.0), tag.address))
    return BleScanResult(
        tags=tuple(found),
        n_other=len(heard) - len(found),
        problem=problem.result() if problem.done() else None,
    )


@dataclass(slots=True)
class _Heard:
    kind: TagKind | None = None
    is_rolling: bool = False
    name: str | None = None
    n_reports: int = 0
    rssi_dbm: list[int] = field(default_factory=list)

    def take(self, advert: Advert) -> None:
        self.n_reports += 1
        self.kind = find_kind(advert.data) or self.kind
        self.is_rolling = self.is_rolling or find_tag_advert(advert.data) is not None
        self.name = advert.data.local_name or self.name
        if advert.rssi_dbm is not None:
            self.rssi_dbm.append(advert.rssi_dbm)

    def find_tag(self, address: str, adapter: str | None) -> HeardTag | None:
        if self.kind is None:
            return None
        return HeardTag(
            address=address,
            kind=self.kind,
            name=self.name,
            rssi_dbm=statistics.median(self.rssi_dbm) if self.rssi_dbm else None,
            rssi_low_dbm=min(self.rssi_dbm, default=None),
            rssi_high_dbm=max(self.rssi_dbm, default=None),
            n_reports=self.n_reports,
            spec=self._find_spec(address, adapter),
        )

    def _find_spec(self, address: str, adapter: str | None) -> str | None:
        if self.is_rolling:
            spec = "ble:rolling?key_file=KEY_FILE"
        elif self.kind in _CONNECTABLE:
            spec = f"ble:{address}"
        else:
            return None
        return spec if adapter is None else f"{spec}{'&' if '?' in spec else '?'}adapter={adapter}"


_CONNECTABLE = frozenset({TagKind.SMART_TAG, TagKind.PROXIMITY, TagKind.FIND_ME})
