"""A small ESPHome Bluetooth proxy (native API, plain text) in front of an emulated radio: the double of an ESP32."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioesphomeapi import api_pb2 as pb
from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO

from rig.ble.adverts import HeardAdvert
from rig.ble.air import Air
from rig.ble.central import CentralRadio
from rig.ble.errors import AttRefusedError, LinkError
from rig.ble.gatt_link import CentralLink

BATCH_S = 0.1
"""s. How long the firmware collects advertisements before it sends them on."""
FEATURES = 0b111_1111
"""All features up to state and mode."""

_TYPES = {proto: number for number, proto in MESSAGE_TYPE_TO_PROTO.items()}
_PROPERTIES = {"read": 2, "write-without-response": 4, "write": 8, "notify": 16, "indicate": 32}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _words(text: str) -> list[int]:
    number = uuid.UUID(text).int
    return [number >> 64, number & (1 << 64) - 1]


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _text(mac: int) -> str:
    digits = f"{mac:012X}"
    return ":".join(digits[k : k + 2] for k in range(0, 12, 2))


class EsphomeProxy:
    """Serves one radio to one client after the other."""

    def __init__(self, radio: CentralRadio, *, features: int = FEATURES) -> None:
        self.port = 0
        self.links: dict[int, CentralLink] = {}
        self._features = features
        self._radio = radio
        self._batch: list[Any] = []
        self._writer: asyncio.StreamWriter | None = None
        self._subscribed = False
        self._tasks: set[asyncio.Task[None]] = set()
        radio.on_advert.append(self._heard)

    def hang_up(self) -> None:
        """Lose the client, as when the node restarts or its Wi-Fi breaks."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self._subscribed = writer, False
        try:
            while True:
                await reader.readexactly(1)
                length, number = await self._number(reader), await self._number(reader)
                kind = MESSAGE_TYPE_TO_PROTO[number]
                message = kind.FromString(await reader.readexactly(length))  # type: ignore[attr-defined]
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for link in list(self.links.values()):
                await link.disconnect()
            await self._radio.end_scan("proxy")
            writer.close()

    @staticmethod
    async def _number(reader: asyncio.StreamReader) -> int:
        value = shift = 0
        while True:
            (octet,) = await reader.readexactly(1)
            value |= (octet & 0x7F) << shift
            shift += 7
            if not octet & 0x80:
                return value

    def _send(self, message: Any) -> None:
        if self._writer is not None and not self._writer.is_closing():
            data = message.SerializeToString()
            self._writer.write(b"\0" + _varint(len(data)) + _varint(_TYPES[type(message)]) + data)

    def _heard(self, advert: HeardAdvert) -> None:
        if not self._subscribed:
            return
        self._batch.append(
            pb.BluetoothLERawAdvertisement(
                address=_mac(advert.address),
                rssi=advert.rssi_dbm,
                address_type=int(not advert.public),
                data=advert.data,
            )
        )
        if len(self._batch) == 1:
            asyncio.get_running_loop().call_later(BATCH_S, self._flush)

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._send(pb.BluetoothLERawAdvertisementsResponse(advertisements=batch))

    async def _answer(self, message: Any) -> None:
        handler = getattr(self, f"_on_{type(message).__name__}", None)
        if handler is None:
            return
        try:
            await handler(message)
        except AttRefusedError as exc:
            self._send(pb.BluetoothGATTErrorResponse(address=message.address, handle=message.handle, error=exc.code))
        except LinkError:
            self._connection(message.address, connected=False, error=8)

    def _connection(self, address: int, *, connected: bool, error: int = 0, mtu: int = 0) -> None:
        self._send(pb.BluetoothDeviceConnectionResponse(address=address, connected=connected, error=error, mtu=mtu))

    # Names below are those of the messages.

    async def _on_HelloRequest(self, _: Any) -> None:  # noqa: N802
        self._send(pb.HelloResponse(api_version_major=1, api_version_minor=10, server_info="double", name="attic"))

    async def _on_AuthenticationRequest(self, _: Any) -> None:  # noqa: N802
        self._send(pb.AuthenticationResponse())

    async def _on_PingRequest(self, _: Any) -> None:  # noqa: N802
        self._send(pb.PingResponse())

    async def _on_DisconnectRequest(self, _: Any) -> None:  # noqa: N802
        self._send(pb.DisconnectResponse())

    async def _on_DeviceInfoRequest(self, _: Any) -> None:  # noqa: N802
        self._send(
            pb.DeviceInfoResponse(
                name="attic", mac_address="A0:B0:C0:D0:E0:F0", bluetooth_proxy_feature_flags=self._features
            )
        )

    async def _on_SubscribeBluetoothLEAdvertisementsRequest(self, _: Any) -> None:  # noqa: N802
        self._subscribed = True
        await self._radio.scan("proxy")

    async def _on_UnsubscribeBluetoothLEAdvertisementsRequest(self, _: Any) -> None:  # noqa: N802
        self._subscribed = False
        await self._radio.end_scan("proxy")

    async def _on_BluetoothDeviceRequest(self, message: Any) -> None:  # noqa: N802
        address = message.address
        kind = pb.BluetoothDeviceRequestType.Name(message.request_type).removeprefix("BLUETOOTH_DEVICE_REQUEST_TYPE_")
        if kind.startswith("CONNECT"):
            link = await self._radio.connect(_text(address), timeout_s=1)
            await link.exchange_mtu()
            self.links[address] = link
            link.on_lost.append(lambda reason: self._lost(address, reason))
            self._connection(address, connected=True, mtu=link.mtu)
        elif kind == "DISCONNECT":
            if address in self.links:
                await self.links[address].disconnect()
            else:
                self._connection(address, connected=False)
        elif kind == "PAIR":
            await self.links[address].pair()
            self._send(pb.BluetoothDevicePairingResponse(address=address, paired=True))
        elif kind == "UNPAIR":
            await self._radio.forget(_text(address))
            self._send(pb.BluetoothDeviceUnpairingResponse(address=address, success=True))
        elif kind == "CLEAR_CACHE":
            self._send(pb.BluetoothDeviceClearCacheResponse(address=address, success=True))

    def _lost(self, address: int, reason: int) -> None:
        self.links.pop(address, None)
        self._connection(address, connected=False, error=reason)

    async def _on_BluetoothGATTGetServicesRequest(self, message: Any) -> None:  # noqa: N802
        for service in await self.links[message.address].discover():
            rows = [
                pb.BluetoothGATTCharacteristic(
                    uuid=_words(one.uuid),
                    handle=one.handle,
                    properties=sum(_PROPERTIES.get(flag, 0) for flag in one.flags),
                    descriptors=[
                        pb.BluetoothGATTDescriptor(uuid=_words(each.uuid), handle=each.handle)
                        for each in one.descriptors
                    ],
                )
                for one in service.characteristics
            ]
            found = pb.BluetoothGATTService(uuid=_words(service.uuid), handle=service.handle, characteristics=rows)
            self._send(pb.BluetoothGATTGetServicesResponse(address=message.address, services=[found]))
        self._send(pb.BluetoothGATTGetServicesDoneResponse(address=message.address))

    async def _on_BluetoothGATTReadRequest(self, message: Any) -> None:  # noqa: N802
        data = await self.links[message.address].read(message.handle)
        self._send(pb.BluetoothGATTReadResponse(address=message.address, handle=message.handle, data=data))

    async def _on_BluetoothGATTWriteRequest(self, message: Any) -> None:  # noqa: N802
        await self.links[message.address].write(message.handle, message.data, response=message.response)
        if message.response:
            self._send(pb.BluetoothGATTWriteResponse(address=message.address, handle=message.handle))

    async def _on_BluetoothGATTWriteDescriptorRequest(self, message: Any) -> None:  # noqa: N802
        await self.links[message.address].write(message.handle, message.data, response=True)
        self._send(pb.BluetoothGATTWriteResponse(address=message.address, handle=message.handle))

    async def _on_BluetoothGATTNotifyRequest(self, message: Any) -> None:  # noqa: N802
        address, handle = message.address, message.handle
        if not message.enable:
            return

        def notified(data: bytes) -> None:
            self._send(pb.BluetoothGATTNotifyDataResponse(address=address, handle=handle, data=data))

        await self.links[address].subscribe(handle, notified)
        self._send(pb.BluetoothGATTNotifyResponse(address=address, handle=handle))


@asynccontextmanager
async def proxy_on(air: Air, *, features: int = FEATURES) -> AsyncIterator[EsphomeProxy]:
    """Put a proxy on the air, in another room than the bench's adapter."""
    radio = CentralRadio(air, name="proxy", address="F0:F1:F2:F3:F4:F6")
    await radio.start()
    proxy = EsphomeProxy(radio, features=features)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.hang_up()
        await server.wait_closed()
        await radio.stop()
