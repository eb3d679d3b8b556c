"""The only import of aioesphomeapi: an ESP32 in another room as radio (ESPHome Bluetooth proxy, native API).

The proxy is driven directly, not through ``bleak-esphome``: that replaces ``BleakClient`` for the whole process and
chooses among radios itself, which is what ``ble_radio`` does here. Handles are those of the tag, as the proxy gives
them. Its API must be open: a proxy with an encryption key is refused by name.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aioesphomeapi.api_pb2 import BluetoothLERawAdvertisementsResponse  # type: ignore[attr-defined] # generated
from aioesphomeapi.client import APIClient
from aioesphomeapi.core import APIConnectionError, BluetoothGATTAPIError
from aioesphomeapi.model import BluetoothProxyFeature

from devices.ble_link import Advert, Characteristic, Link, Scan
from devices.ble_target import ESPHOME_SCHEME
from devices.clock import Clock
from devices.errors import (
    AttRefusedError,
    LinkAuthError,
    LinkFailedError,
    LinkLostError,
    RadioAbsentError,
    RadioError,
)
from devices.transports.spec import parse_spec
from protocols.ble.ad import AdvertisementData, parse_ad

CALL_S = 10.0
"""s. Deadline for reaching the proxy and for calls that no tag takes part in: a node on weak Wi-Fi takes seconds."""
CCCD = "00002902-0000-1000-8000-00805f9b34fb"
"""Client Characteristic Configuration (Core, volume 3, part G, 3.3.3.3): the proxy leaves writing it to us."""

_NEEDED = BluetoothProxyFeature.ACTIVE_CONNECTIONS | BluetoothProxyFeature.REMOTE_CACHING
_NEEDED |= BluetoothProxyFeature.RAW_ADVERTISEMENTS
_PROPERTIES = {2: "read", 4: "write-without-response", 8: "write", 16: "notify", 32: "indicate"}
_AUTH_CODES = frozenset({0x05, 0x08, 0x0C, 0x0F})
_ATT_CODE_MAX = 0xFF
_FAILURES = (APIConnectionError, OSError, ValueError)
"""What the library raises; ValueError where a node's firmware is too old for a call."""

_T = TypeVar("_T")


class EsphomeDoor:
    """One proxy.

    Parameters
    ----------
    adapter : str
        ``esphome://host:port``.
    clock : Clock
    """

    def __init__(self, adapter: str, clock: Clock) -> None:
        self._adapter = adapter
        self._host, self._port = parse_spec(adapter, [ESPHOME_SCHEME]).host_port()
        self._clock = clock
        self._client: APIClient | None = None
        self._features = 0
        self._opening = asyncio.Lock()
        self._links: list[_EsphomeLink] = []

    async def start_scan(self, on_advert: Callable[[Advert], None]) -> Scan:
        """Listen through the proxy. See ``RadioDoor``."""
        client = await self._open()

        def heard(message: BluetoothLERawAdvertisementsResponse) -> None:
            t_receiver_mono_ns = self._clock.mono_ns()
            for raw in message.advertisements:
                data = parse_ad(bytes(raw.data))
                if isinstance(data, AdvertisementData):
                    on_advert(
                        Advert(
                            address=_text_address(raw.address),
                            data=data,
                            rssi_dbm=raw.rssi,
                            t_rx_mono_ns=self._clock.mono_ns(),
                            t_rx_utc_ns=self._clock.utc_ns(),
                            receiver=self._adapter,
                            t_receiver_mono_ns=t_receiver_mono_ns,
                            handle=raw.address_type,
                        )
                    )

        try:
            return _EsphomeScan(client.subscribe_bluetooth_le_raw_advertisements(heard))
        except _FAILURES as exc:
            raise RadioAbsentError(f"{self._adapter}: {exc}") from exc

    async def connect(self, advert: Advert, *, within_s: float) -> Link:
        """Connect through the proxy. See ``RadioDoor``."""
        client = await self._open()
        address = int(advert.address.replace(":", ""), 16)
        link = _EsphomeLink(client, address, advert.address, self._links)

        try:
            # The library itself takes a failed or cancelled attempt back.
            await client.bluetooth_device_connect(
                address,
                link.changed,
                timeout=within_s,
                disconnect_timeout=within_s,
                feature_flags=self._features,
                address_type=advert.handle if isinstance(advert.handle, int) else 0,
            )
        except _FAILURES as exc:
            raise LinkFailedError(f"{advert.address} by {self._adapter}: {exc}") from exc
        try:
            async with asyncio.timeout(within_s):
                await link.discover()
        except (*_FAILURES, TimeoutError) as exc:
            await link.disconnect()
            raise LinkFailedError(f"{advert.address} by {self._adapter}: {str(exc) or 'no services'}") from exc
        except asyncio.CancelledError:
            await link.disconnect()
            raise
        self._links.append(link)
        return link

    async def forget(self, advert: Advert, *, within_s: float) -> None:
        """Remove the bond at the proxy. See ``RadioDoor``."""
        client = await self._open()
        address = int(advert.address.replace(":", ""), 16)
        try:
            await client.bluetooth_device_unpair(address, timeout=within_s)
            await client.bluetooth_device_clear_cache(address, timeout=within_s)
        except _FAILURES as exc:
            raise LinkFailedError(f"{advert.address} by {self._adapter}: the bond was not removed: {exc}") from exc

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*_FAILURES):
                async with asyncio.timeout(CALL_S):
                    await client.disconnect()

    async def _open(self) -> APIClient:
        async with self._opening:
            if self._client is not None:
                return self._client
            client = APIClient(self._host, self._port, client_info="tagrig")
            try:
                async with asyncio.timeout(CALL_S):
                    await client.connect(on_stop=self._hung_up, login=True, log_errors=False)
                    info = await client.device_info()
            except (*_FAILURES, TimeoutError) as exc:
                client.force_disconnect()
                raise RadioAbsentError(f"{self._adapter}: {str(exc) or 'no answer'}") from exc
            version = client.api_version
            assert version is not None
            self._features = info.bluetooth_proxy_feature_flags_compat(version)
            if self._features & _NEEDED != _NEEDED:
                client.force_disconnect()
                raise RadioAbsentError(
                    f"{self._adapter}: {info.name} is no Bluetooth proxy with connections. "
                    "Next: `bluetooth_proxy: active: true` in its configuration, ESPHome 2023.6 or later"
                )
            self._client = client
            return client

    async def _hung_up(self, _expected: bool) -> None:
        self._client = None
        for link in list(self._links):
            link.end()


class _EsphomeScan:
    def __init__(self, unsubscribe: Callable[[], None]) -> None:
        self._unsubscribe = unsubscribe

    async def stop(self) -> None:
        with contextlib.suppress(*_FAILURES):
            self._unsubscribe()


class _EsphomeLink:
    def __init__(self, client: APIClient, address: int, name: str, among: "list[_EsphomeLink]") -> None:
        self._client = client
        self._address = address
        self._name = name
        self._among = among
        self._lost = asyncio.Event()
        self._characteristics: tuple[Characteristic, ...] = ()
        self._cccd: dict[int, int] = {}

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        return self._characteristics

    @property
    def lost(self) -> asyncio.Event:
        return self._lost

    def changed(self, is_connected: bool, _mtu: int, _error: int) -> None:
        if not is_connected:
            self.end()

    def end(self) -> None:
        self._lost.set()
        if self in self._among:
            self._among.remove(self)

    async def discover(self) -> None:
        found: list[Characteristic] = []
        services = await self._client.bluetooth_gatt_get_services(self._address)
        for service in services.services:
            for one in service.characteristics:
                found.append(
                    Characteristic(
                        service_uuid=service.uuid,
                        service_handle=service.handle,
                        uuid=one.uuid,
                        handle=one.handle,
                        properties=frozenset(text for bit, text in _PROPERTIES.items() if one.properties & bit),
                    )
                )
                for descriptor in one.descriptors:
                    if descriptor.uuid == CCCD:
                        self._cccd[one.handle] = descriptor.handle
        self._characteristics = tuple(sorted(found, key=lambda characteristic: characteristic.handle))

    def _check(self, verb: str) -> None:
        if self._lost.is_set():
            raise LinkLostError(f"{self._name}: {verb} failed: the connection is over")

    async def read(self, handle: int, *, within_s: float) -> bytes:
        self._check("read")
        call = self._client.bluetooth_gatt_read(self._address, handle, timeout=within_s)
        return bytes(await self._call("read", call, within_s))

    async def write(self, handle: int, data: bytes, *, response: bool, within_s: float) -> None:
        self._check("write")
        call = self._client.bluetooth_gatt_write(self._address, handle, data, response, timeout=within_s)
        await self._call("write", call, within_s)

    async def subscribe(self, handle: int, on_value: Callable[[bytes], None], *, within_s: float) -> None:
        def notified(_: int, data: bytearray) -> None:
            on_value(bytes(data))

        self._check("subscribe")
        start = self._client.bluetooth_gatt_start_notify(self._address, handle, notified, timeout=within_s)
        await self._call("subscribe", start, within_s)
        if handle in self._cccd:
            properties = next(one.properties for one in self._characteristics if one.handle == handle)
            value = b"\x01\x00" if "notify" in properties else b"\x02\x00"
            enable = self._client.bluetooth_gatt_write_descriptor(
                self._address, self._cccd[handle], value, timeout=within_s
            )
            await self._call("subscribe", enable, within_s)

    async def pair(self, *, passkey: int | None, within_s: float) -> None:
        if passkey is not None:
            # A proxy pairs without input: whoever answers in the tag's place would be taken for it.
            raise LinkAuthError(f"{self._name}: a proxy cannot be given a passkey. Next: pair=bond, or a local adapter")
        result = await self._call("pair", self._client.bluetooth_device_pair(self._address, timeout=within_s), within_s)
        if not result.paired:
            raise LinkAuthError(f"{self._name}: pairing refused (error {result.error})")

    async def forget(self, *, within_s: float) -> None:
        try:
            await self._call("unpair", self._client.bluetooth_device_unpair(self._address, timeout=within_s), within_s)
        finally:
            await self.disconnect()

    async def disconnect(self) -> None:
        if not self._lost.is_set():
            with contextlib.suppress(*_FAILURES, TimeoutError):
                async with asyncio.timeout(CALL_S):
                    await self._client.bluetooth_device_disconnect(self._address, timeout=CALL_S)
        self.end()

    async def _call(self, verb: str, call: Awaitable[_T], within_s: float) -> _T:
        try:
            async with asyncio.timeout(within_s):
                return await call
        except BluetoothGATTAPIError as exc:
            raise self._refusal(verb, exc) from exc
        except (*_FAILURES, TimeoutError) as exc:
            raise LinkLostError(
                f"{self._name}: {verb} failed within {within_s:g} s: {str(exc) or 'no answer'}"
            ) from exc

    def _refusal(self, verb: str, exc: BluetoothGATTAPIError) -> RadioError:
        code = exc.error.error
        if not 0 < code <= _ATT_CODE_MAX:
            return LinkLostError(f"{self._name}: {verb} failed: {exc}")
        text = f"{self._name}: {verb} refused with ATT error 0x{code:02x}"
        return LinkAuthError(text) if code in _AUTH_CODES else AttRefusedError(text, code)


def _text_address(address: int) -> str:
    digits = f"{address:012X}"
    return ":".join(digits[k : k + 2] for k in range(0, 12, 2))
