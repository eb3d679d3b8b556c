"""Whose advertisement it is: one look-up per advertisement, however many tags are awaited."""

from typing import Generic, TypeVar

from devices.ble_link import Advert
from protocols.ble.ad import AdvertisementData
from protocols.ble.adverts import COMPANY_ID, TagAdvert, decode_tag_advert, slot_of, tag_ids

_T = TypeVar("_T")


def find_tag_advert(data: AdvertisementData) -> TagAdvert | None:
    """Return what a protected person's tag says in its advertisement, or None for any other."""
    content = data.manufacturer_data.get(COMPANY_ID)
    if content is None:
        return None
    advert = decode_tag_advert(content)
    return advert if isinstance(advert, TagAdvert) else None


class TagFinder(Generic[_T]):
    """Owners by address or by the rolling ids that their keys give about now."""

    def __init__(self) -> None:
        self._by_address: dict[str, _T] = {}
        self._keys: list[tuple[bytes, _T]] = []
        self._by_id: dict[bytes, _T] = {}
        self._slot: int | None = None

    def add(self, owner: _T, *, address: str | None, key: bytes | None) -> None:
        """Await a tag by its fixed address, its key, or both."""
        if address is not None:
            self._by_address[address] = owner
        if key is not None:
            self._keys.append((key, owner))
            self._slot = None

    def remove(self, owner: _T) -> None:
        """Await it no longer."""
        self._by_address = {address: other for address, other in self._by_address.items() if other is not owner}
        self._keys = [(key, other) for key, other in self._keys if other is not owner]
        self._slot = None

    def find(self, advert: Advert) -> _T | None:
        """Return whose advertisement it is, or None."""
        owner = self._by_address.get(advert.address)
        if owner is not None or not self._keys:
            return owner
        tag = find_tag_advert(advert.data)
        return None if tag is None else self._find_by_id(tag.rolling_id, advert.t_rx_utc_ns)

    def _find_by_id(self, pseudonym: bytes, t_utc_ns: int) -> _T | None:
        slot = slot_of(t_utc_ns)
        if slot != self._slot:
            self._slot = slot
            self._by_id = {known: owner for key, owner in self._keys for known in tag_ids(key, t_utc_ns)}
        return self._by_id.get(pseudonym)
