"""The only import of bleak: adapters of this machine, scanned and connected through their Bluetooth service.

Every call that waits for the Bluetooth service has a deadline, and what bleak raises becomes an error of ours here.
"""

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData as BleakAdvertisementData
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from devices.ble_link import Advert, Characteristic, Link, RadioDoor, Scan
from devices.ble_radio import SILENCE_S, Radio
from devices.ble_slots import SLOTS_DEFAULT
from devices.ble_target import ESPHOME_SCHEME
from devices.clock import Clock
from devices.errors import (
    AttRefusedError,
    BondUnprotectedError,
    LinkAuthError,
    LinkFailedError,
    LinkLostError,
    NoSlotError,
    RadioAbsentError,
    RadioError,
)
from protocols.ble import uuids
from protocols.ble.ad import AdvertisementData

_log = logging.getLogger(__name__)

CALL_S = 5.0
"""s. Deadline of a call to the Bluetooth service that no tag takes part in: it answers in milliseconds; one that hangs
for seconds is restarted by systemd, which is seen as a lost bus."""
GRACE_S = 1.0
"""s. What a call gets to undo itself once its deadline has passed: bleak cancels a connection attempt by a call of its
own. Afterwards it is left behind."""
NO_RSSI_DBM = (-127, 127)
"""dBm. What bleak and HCI put where there is no measurement (Core, volume 4, part E, 7.7.65.2)."""

_AUTH_CODES = frozenset({0x05, 0x08, 0x0C, 0x0F})
"""ATT errors that ask for a link with more security: authentication, authorization, key size, encryption."""
_AUTH_DBUS = ("Authentication", "NotAuthorized", "NotPermitted")
"""What BlueZ calls a failed pairing, or an attribute that wants one."""
_BOND_REFUSED = ("le-connection-unknown", "key-missing", "AuthenticationFailed")
"""What BlueZ answers to Connect when a bonded tag does not accept the key (the kernel ends the link)."""
_NO_SLOT = "connection-limit"
"""In what BlueZ answers to Connect when the controller holds no more connections."""
_BLEAK_FAILURES = (
    BleakError,
    OSError,
    EOFError,
    ValueError,
    AssertionError,
    AttributeError,
    LookupError,
)
"""What comes out of bleak: its own errors, what dbus-fast raises when the bus goes (its errors have these bases), and
what bleak's own code runs into when the bus or an object vanishes between two of its steps."""

_T = TypeVar("_T")


class BleRadio(Radio):
    """The radios of this machine, and remote ones; ``async with`` it and hand it to the drivers.

    Parameters
    ----------
    clock : Clock
    n_slots : int
        Connections that one adapter keeps.
    silence_s : float
        See ``ble_radio.SILENCE_S``.
    rng : random.Random, optional
        Jitter of the backoff.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        n_slots: int = SLOTS_DEFAULT,
        silence_s: float = SILENCE_S,
        rng: random.Random | None = None,
    ) -> None:
        self._pairing = asyncio.Lock()
        super().__init__(clock, self._open_bleak, n_slots=n_slots, silence_s=silence_s, rng=rng)

    def _open_bleak(self, adapter: str | None, clock: Clock) -> RadioDoor:
        if adapter is not None and adapter.startswith(f"{ESPHOME_SCHEME}:"):
            try:
                from devices.esphome_door import EsphomeDoor
            except ImportError as exc:
                text = f"{adapter}: remote radios need {exc.name}. Next: pip install 'tagrig[esphome]'"
                raise RadioAbsentError(text) from exc
            return EsphomeDoor(adapter, clock)
        return BleakDoor(adapter, clock, self._pairing)


class BleakDoor:
    """One adapter behind bleak.

    Parameters
    ----------
    adapter : str or None
        ``hci0`` and the like; None: the first one that is switched on.
    clock : Clock
    pairing : asyncio.Lock
        Held during a pairing with a passkey: BlueZ has one default agent for all adapters.
    """

    def __init__(self, adapter: str | None, clock: Clock, pairing: asyncio.Lock) -> None:
        self._pairing = pairing
        self._adapter = adapter
        self._clock = clock
        self._is_new = True

    async def start_scan(self, on_advert: Callable[[Advert], None]) -> Scan:
        """Listen for advertisements. See ``RadioDoor``."""
        receiver = self._adapter or "default adapter"

        def heard(device: BLEDevice, data: BleakAdvertisementData) -> None:
            on_advert(
                Advert(
                    address=device.address.upper(),
                    data=AdvertisementData(
                        flags=None,
                        service_uuids=tuple(data.service_uuids),
                        service_data=dict(data.service_data),
                        manufacturer_data=dict(data.manufacturer_data),
                        local_name=data.local_name,
                        tx_power_dbm=data.tx_power,
                    ),
                    rssi_dbm=None if data.rssi in NO_RSSI_DBM else data.rssi,
                    t_rx_mono_ns=self._clock.mono_ns(),
                    t_rx_utc_ns=self._clock.utc_ns(),
                    receiver=receiver,
                    handle=device,
                )
            )

        # Without DuplicateData, BlueZ is silent while a tag's payload and strength stay the same.
        options: Any = {"filters": {"DuplicateData": True}}  # a TypedDict of bleak that its types do not export
        if self._adapter is not None:
            options["adapter"] = self._adapter
        scanner = BleakScanner(heard, bluez=options)
        try:
            await _bounded(scanner.start(), CALL_S)
        except _BLEAK_FAILURES as exc:
            raise RadioAbsentError(f"{receiver}: {_radio_detail(exc)}") from exc
        if self._is_new:
            self._is_new = False
            with contextlib.suppress(*_BLEAK_FAILURES):
                await _bounded(self._free_links(), CALL_S)
        return _BleakScan(scanner)

    async def _free_links(self) -> None:
        """End links to smart tags that a process before us left: BlueZ keeps them, and such a tag does not advertise.

        Once, before there is any link of ours; a tag of another bridge on this adapter is connected again by it.
        """
        options: Any = {} if self._adapter is None else {"adapter": self._adapter}  # as above
        adapter = await BleakAdapter.get(bluez=options)
        for device in await adapter.get_connected_devices([uuids.SMART_TAG_SERVICE]):
            _log.info("%s: is connected since before our start; its link is ended, so that it is heard", device.address)
            client = BleakClient(device)
            await client.connect()
            await client.disconnect()

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        """Connect and find the services. See ``RadioDoor``."""
        lost = asyncio.Event()
        device = advert.handle if isinstance(advert.handle, BLEDevice) else advert.address
        client = BleakClient(device, disconnected_callback=lambda _: lost.set(), timeout=within_s)
        try:
            await _bounded(client.connect(), within_s + GRACE_S)
        except asyncio.CancelledError:
            # It may have come about in the moment it was given up. An end without a link would wait for one.
            if client.is_connected:
                await _BleakLink.end(client)
            raise
        except BleakBluetoothNotAvailableError as exc:
            raise RadioAbsentError(f"{advert.receiver}: {_radio_detail(exc)}") from exc
        except BleakDeviceNotFoundError as exc:
            raise LinkFailedError(f"{advert.address}: no longer known to the Bluetooth service: it went quiet") from exc
        except TimeoutError as exc:
            raise LinkFailedError(f"{advert.address}: no connection within {within_s:g} s") from exc
        except _BLEAK_FAILURES as exc:
            if _has_bond(device) and any(word in str(exc) for word in _BOND_REFUSED):
                raise LinkAuthError(f"{advert.address}: refuses our bond: {_radio_detail(exc)}") from exc
            kind = NoSlotError if _NO_SLOT in str(exc) else LinkFailedError
            raise kind(f"{advert.address}: {_radio_detail(exc)}") from exc
        return _BleakLink(advert.address, client, lost, self._pairing, has_bond=_has_bond(device))

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        """Remove the bond. See ``RadioDoor``."""
        device = advert.handle if isinstance(advert.handle, BLEDevice) else advert.address
        try:
            await _bounded(BleakClient(device).unpair(), within_s)
        except _BLEAK_FAILURES as exc:
            raise LinkFailedError(f"{advert.address}: the bond could not be removed: {_radio_detail(exc)}") from exc

    async def close(self) -> None:
        """Nothing is held between scans and connections."""


class _BleakScan:
    def __init__(self, scanner: BleakScanner) -> None:
        self._scanner = scanner

    async def stop(self) -> None:
        # A scan whose adapter or bus is gone cannot be stopped in order; it is over all the same.
        with contextlib.suppress(*_BLEAK_FAILURES):
            await _bounded(self._scanner.stop(), CALL_S)


class _BleakLink:
    def __init__(
        self, address: str, client: BleakClient, lost: asyncio.Event, pairing: asyncio.Lock, *, has_bond: bool
    ) -> None:
        self._address = address
        self._pairing = pairing
        self._has_bond = has_bond
        self._client = client
        self._lost = lost
        found = (
            Characteristic(
                service_uuid=service.uuid,
                service_handle=service.handle,
                uuid=characteristic.uuid,
                handle=characteristic.handle,
                properties=frozenset(characteristic.properties),
                max_write_octets=characteristic.max_write_without_response_size,
            )
            for service in client.services
            for characteristic in service.characteristics
        )
        self._characteristics = tuple(sorted(found, key=lambda characteristic: characteristic.handle))

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        return self._characteristics

    @property
    def lost(self) -> asyncio.Event:
        return self._lost

    async def read(self, handle: int, *, within_s: float) -> bytes:
        return bytes(await self._call("read", self._client.read_gatt_char(handle), within_s))

    async def write(self, handle: int, data: bytes, *, response: bool, within_s: float) -> None:
        await self._call("write", self._client.write_gatt_char(handle, data, response=response), within_s)

    async def subscribe(self, handle: int, on_value: Callable[[bytes], None], *, within_s: float) -> None:
        def notified(_: object, data: bytearray) -> None:
            on_value(bytes(data))

        await self._call("subscribe", self._client.start_notify(handle, notified), within_s)

    async def pair(self, *, passkey: int | None, within_s: float) -> None:
        if passkey is None or self._has_bond:
            await self._pair(within_s)
            return
        # bleak's D-Bus library exists on Linux only, where BlueZ is.
        from devices.bluez_agent import PasskeyAgent

        async with self._pairing, PasskeyAgent(self._address, passkey) as agent:
            await self._pair(within_s)
        if not agent.was_asked:
            raise BondUnprotectedError(f"{self._address}: paired without asking for the passkey")

    async def _pair(self, within_s: float) -> None:
        try:
            await self._call("pair", self._client.pair(), within_s)
        except LinkLostError as exc:
            # BlueZ reports a refused pairing in several ways, a link that the tag then ends among them.
            raise LinkAuthError(f"{exc}; pairing did not succeed") from exc
        self._has_bond = True

    async def forget(self, *, within_s: float) -> None:
        try:
            await self._call("unpair", self._client.unpair(), within_s)
        finally:
            await self.disconnect()

    async def disconnect(self) -> None:
        await self.end(self._client)
        self._lost.set()

    @staticmethod
    async def end(client: BleakClient) -> None:
        with contextlib.suppress(*_BLEAK_FAILURES):
            await _bounded(client.disconnect(), CALL_S)

    async def _call(self, verb: str, call: Coroutine[Any, Any, _T], within_s: float) -> _T:
        try:
            async with asyncio.timeout(within_s):
                return await call
        except TimeoutError as exc:
            raise LinkLostError(f"{self._address}: no answer to a {verb} within {within_s:g} s") from exc
        except _BLEAK_FAILURES as exc:
            raise self._translate(verb, exc) from exc

    def _translate(self, verb: str, exc: Exception) -> RadioError:
        if isinstance(exc, BleakGATTProtocolError):
            text = f"{self._address}: {verb} refused with ATT error 0x{exc.code:02x}"
            return LinkAuthError(text) if exc.code in _AUTH_CODES else AttRefusedError(text, int(exc.code))
        detail = _radio_detail(exc)
        if isinstance(exc, BleakDBusError) and any(word in exc.dbus_error for word in _AUTH_DBUS):
            return LinkAuthError(f"{self._address}: {verb} refused: {detail}")
        return LinkLostError(f"{self._address}: {verb} failed: {detail}")


def _has_bond(device: BLEDevice | str) -> bool:
    """Whether BlueZ has a bond with a device; the properties are those of its last advertisement."""
    details: Any = device.details if isinstance(device, BLEDevice) else None  # what a backend puts there, untyped
    return isinstance(details, dict) and bool(details.get("props", {}).get("Paired", False))


def _radio_detail(exc: Exception) -> str:
    """Say in one line what bleak met."""
    if isinstance(exc, BleakBluetoothNotAvailableError):
        return f"{exc.args[0]} ({exc.reason.name.lower()})"
    if isinstance(exc, FileNotFoundError | ConnectionError):
        where = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "/run/dbus/system_bus_socket")
        return f"the Bluetooth service cannot be reached: D-Bus at {where}: {exc.strerror or exc}"
    if isinstance(exc, TimeoutError):
        return f"the Bluetooth service does not answer: {exc}"
    return str(exc) if isinstance(exc, BleakError) else f"the Bluetooth service went away: {exc!r}"


async def _bounded(call: Awaitable[_T], within_s: float) -> _T:
    """Await a call that may need calls of its own to undo itself when cancelled, and leave it behind if those hang."""
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_S)
            task.add_done_callback(_let_go)
    if not task.done() or task.cancelled():
        raise TimeoutError(f"no answer within {within_s:g} s")
    return task.result()


def _let_go(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
