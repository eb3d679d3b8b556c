"""What a Bluetooth radio gives a driver, whichever library stands behind it: advertisements and connections."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from protocols.ble.ad import AdvertisementData


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """One report of an advertisement. Two reports may be of one packet, and of a constant one there may be only one.

    Attributes
    ----------
    address : str
        Upper case, colons between the bytes.
    data : AdvertisementData
    rssi_dbm : int or None
        None where the receiver did not say.
    t_rx_mono_ns, t_rx_utc_ns : int
        When it was handed to us.
    receiver : str
        The adapter that heard it.
    t_receiver_mono_ns : int or None
        When a remote receiver's message came in; what lies between is the way through its library. None for an adapter
        of this machine.
    handle : object
        What the library needs to connect to the sender.
    """

    address: str
    data: AdvertisementData
    rssi_dbm: int | None
    t_rx_mono_ns: int
    t_rx_utc_ns: int
    receiver: str
    t_receiver_mono_ns: int | None = None
    handle: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """One characteristic of a connected tag; ``handle`` tells two of one UUID apart.

    ``max_write_octets``: what one write without response takes; 20 is what every link does.
    """

    service_uuid: str
    service_handle: int
    uuid: str
    handle: int
    properties: frozenset[str]
    max_write_octets: int = 20


class Link(Protocol):
    """A connection. Each call has a deadline and raises ``devices.errors.RadioError`` and nothing else.

    Attributes
    ----------
    characteristics : tuple of Characteristic
    lost : asyncio.Event
        Set once when the connection is over, for whatever reason.
    """

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        """All characteristics, in the order of their handles."""
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set once the connection is over, for whatever reason."""
        ...

    async def read(self, handle: int, *, within_s: float) -> bytes:
        """Read a value."""
        ...

    async def write(self, handle: int, data: bytes, *, response: bool, within_s: float) -> None:
        """Write a value; with a response, return once the tag has taken it."""
        ...

    async def subscribe(self, handle: int, on_value: Callable[[bytes], None], *, within_s: float) -> None:
        """Have each notified value handed on, in the event loop."""
        ...

    async def pair(self, *, passkey: int | None, within_s: float) -> None:
        """Encrypt the link, making a bond where there is none.

        With a passkey, a new bond that was made without asking for it is a ``BondUnprotectedError``: ``forget`` it.
        """
        ...

    async def forget(self, *, within_s: float) -> None:
        """Remove bond and cached services; ends the connection."""
        ...

    async def disconnect(self) -> None:
        """End the connection. Never raises and never hangs; idempotent."""
        ...


class Scan(Protocol):
    """A scan that runs."""

    async def stop(self) -> None:
        """End it. Never raises and never hangs."""
        ...


class RadioDoor(Protocol):
    """A library that drives an adapter. Implementations pass ``tests/conformance/test_radio_door.py``."""

    async def start_scan(self, on_advert: Callable[[Advert], None]) -> Scan:
        """Listen for advertisements.

        Raises
        ------
        RadioAbsentError
            No adapter, switched off, no Bluetooth service.
        """
        ...

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        """Connect to the sender of an advertisement and find its services.

        Raises
        ------
        RadioAbsentError, LinkFailedError
        LinkAuthError
            There is a bond, and the sender refuses it.
        """
        ...

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        """Remove the bond with the sender and what is cached of it."""
        ...

    async def close(self) -> None:
        """Give the adapter back."""
        ...
