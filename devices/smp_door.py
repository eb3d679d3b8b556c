"""The only import of smp and smpclient: a tag's management server, on a serial line or over Bluetooth.

What they raise becomes an error of ours here. Their logs quote whole requests of two kilobytes: they are off.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import cbor2
from smp import header as smphdr
from smp.error import ErrorV1, ErrorV2
from smp.exceptions import SMPException
from smp.image_management import IMG_MGMT_ERR, ImageState
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException, SMPUploadError
from smpclient.generics import SMPRequest, TEr1, TEr2, TRep, error
from smpclient.requests.image_management import ImageErase, ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import ResetWrite
from smpclient.transport import SMPTransport, SMPTransportDisconnected
from smpclient.transport.serial import SMPSerialTransport

from devices.ble_link import Characteristic, Link
from devices.ble_radio import Radio
from devices.ble_seat import Seat
from devices.ble_target import BleTarget, Pairing
from devices.clock import Clock
from devices.errors import FirmwareLinkError, FirmwareRefusedError, RadioError
from devices.firmware_update import SlotImage, SmpDoor

REPLY_S = 2.5
"""s. How long a tag may take for an answer: a chunk is in flash within 100 ms, a link may be silent for two seconds."""
ERASE_S = 40.0
"""s. How long the first chunk may take: a slot of 512 KiB is erased before it is answered."""
CONNECT_S = 15.0
"""s. A tag that advertises once a second is found and connected to within this, some advertisements lost."""
SMP_SERVICE = "8d53dc1d-1db7-4cd3-868b-8a527460aa84"
SMP_CHARACTERISTIC = "da2e7828-fbce-4e01-ae9e-261174997c48"
ATT_MTU_LEAST = 23
"""Octets of ATT packets that every link takes; three of them are not the value."""
ANSWER_MAX = 65_535 + smphdr.Header.SIZE
"""Octets of an answer: its header has 16 bits for the length."""

_FAILURES = (
    SMPException,
    SMPClientException,
    SMPTransportDisconnected,
    RadioError,
    FirmwareLinkError,
    OSError,
    EOFError,
    ValueError,
    AssertionError,
    KeyError,
    cbor2.CBORError,
)
"""What comes out of the library where a tag does not answer, answers garbage, or a port goes away."""

for _name in ("smp", "smpclient"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class _Opener(Protocol):
    """Makes a transport and names where it leads."""

    def __call__(self) -> "contextlib.AbstractAsyncContextManager[tuple[SMPTransport, str]]":
        """Open."""
        ...


class SmpClientDoor(SmpDoor):
    """A tag's management server behind smpclient; make it with `serial_door` or `radio_door`.

    Parameters
    ----------
    name : str
        Names the tag in messages.
    opener : callable
    reply_s, erase_s, connect_s : float
    """

    def __init__(
        self,
        name: str,
        opener: _Opener,
        *,
        reply_s: float = REPLY_S,
        erase_s: float = ERASE_S,
        connect_s: float = CONNECT_S,
    ) -> None:
        self._name = name
        self._opener = opener
        self._reply_s = reply_s
        self._erase_s = erase_s
        self._connect_s = connect_s
        self._stack = contextlib.AsyncExitStack()
        self._client: SMPClient | None = None

    async def open(self) -> None:
        """Connect and ask for the size of the tag's buffers."""
        await self.close()
        try:
            transport, address = await self._stack.enter_async_context(self._opener())
            client = SMPClient(transport, address, timeout_s=self._reply_s)
            await client.connect(self._connect_s)
        except _FAILURES as exc:
            await self.close()
            raise FirmwareLinkError(
                f"{self._name}: cannot be reached: {_detail(exc)}. Next: check that it is on and near, that nothing "
                "else uses it, and that its firmware has a management server"
            ) from exc
        self._client = client

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*_FAILURES):
                await client.disconnect()
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        with contextlib.suppress(*_FAILURES):
            await stack.aclose()

    async def states(self) -> list[SlotImage]:
        """Read what is in the slots."""
        answer = await self._ask("read its images", ImageStatesRead())
        return [_slot_image(state) for state in answer.images]

    async def mark(self, sha256: bytes, *, confirm: bool) -> list[SlotImage]:
        """Set an image for test, or confirm it."""
        what = "confirm the image" if confirm else "set the image for test"
        answer = await self._ask(what, ImageStatesWrite(hash=sha256, confirm=confirm))
        return [_slot_image(state) for state in answer.images]

    async def erase(self) -> None:
        """Empty the second slot."""
        await self._ask("erase the slot", ImageErase(), within_s=self._erase_s)

    async def reset(self) -> None:
        """Have the tag start again; it may be gone before it has answered."""
        with contextlib.suppress(FirmwareLinkError):
            await self._ask("reset", ResetWrite())

    async def upload(self, data: bytes, on_offset: Callable[[int], None]) -> None:
        """Send a file to the second slot, from where the tag wants it to begin."""
        client = self._connected()
        offsets: AsyncIterator[int] = client.upload(
            data, first_timeout_s=self._erase_s, subsequent_timeout_s=self._reply_s
        )
        try:
            async for offset in offsets:
                on_offset(offset)
        except SMPUploadError as exc:
            answer = exc.args[0] if exc.args else None
            if isinstance(answer, ErrorV1 | ErrorV2):
                raise FirmwareRefusedError(_refusal(self._name, "take the image", answer)) from exc
            # what was written is not what was sent: seen again, and told, when the slot is read
        except _FAILURES as exc:
            raise FirmwareLinkError(f"{self._name}: the upload broke off: {_detail(exc)}") from exc

    def _connected(self) -> SMPClient:
        if self._client is None:
            raise FirmwareLinkError(f"{self._name}: not connected")
        return self._client

    async def _ask(self, what: str, request: SMPRequest[TRep, TEr1, TEr2], *, within_s: float | None = None) -> TRep:
        client = self._connected()
        try:
            answer = await client.request(request, timeout_s=within_s)
        except _FAILURES as exc:
            raise FirmwareLinkError(f"{self._name}: no answer when asked to {what}: {_detail(exc)}") from exc
        if error(answer):
            raise FirmwareRefusedError(_refusal(self._name, what, answer))
        return answer


def serial_door(
    name: str, device: str, *, baud: int, reply_s: float = REPLY_S, erase_s: float = ERASE_S, connect_s: float = 5.0
) -> SmpClientDoor:
    """Return the door to a management server on a serial console."""

    @contextlib.asynccontextmanager
    async def opener() -> AsyncIterator[tuple[SMPTransport, str]]:
        yield SMPSerialTransport(baudrate=baud, write_timeout=reply_s), device

    return SmpClientDoor(name, opener, reply_s=reply_s, erase_s=erase_s, connect_s=connect_s)


def radio_door(
    target: BleTarget,
    radio: Radio,
    clock: Clock,
    *,
    reply_s: float = REPLY_S,
    erase_s: float = ERASE_S,
    connect_s: float = CONNECT_S,
) -> SmpClientDoor:
    """Return the door to a management server over Bluetooth; ``radio`` stays open around its use."""

    @contextlib.asynccontextmanager
    async def opener() -> AsyncIterator[tuple[SMPTransport, str]]:
        details: list[str] = []
        seat = radio.seat(
            target.text,
            target,
            on_advert=lambda _: None,
            on_adapter=lambda up, detail: None if up else details.append(detail),
        )
        try:
            if seat.adapter_detail is not None:
                raise FirmwareLinkError(seat.adapter_detail)
            yield _LinkTransport(target, seat, clock, details), target.text
        finally:
            seat.leave()

    return SmpClientDoor(target.text, opener, reply_s=reply_s, erase_s=erase_s, connect_s=connect_s)


class _LinkTransport(SMPTransport):
    """smpclient over a connection of ours, so that there is one door to Bluetooth."""

    def __init__(self, target: BleTarget, seat: Seat, clock: Clock, adapter_details: list[str]) -> None:
        self._target = target
        self._seat = seat
        self._clock = clock
        self._adapter_details = adapter_details
        self._link: Link | None = None
        self._characteristic: Characteristic | None = None
        self._inbox = bytearray()
        self._arrived = asyncio.Event()

    async def connect(self, address: str, timeout_s: float) -> None:
        """Wait for an advertisement, connect, and find the service."""
        self._seat.want(not_before_mono_ns=self._clock.mono_ns())
        try:
            async with asyncio.timeout(timeout_s):
                await self._seat.may_connect.wait()
        except TimeoutError:
            why = self._adapter_details[-1] if self._adapter_details else f"not heard within {timeout_s:g} s"
            raise FirmwareLinkError(f"{address}: {why}") from None
        self._link = link = await self._seat.connect(within_s=timeout_s)
        if self._target.pair is not Pairing.NONE:
            await link.pair(passkey=self._target.passkey, within_s=timeout_s)
        found = [c for c in link.characteristics if (c.service_uuid, c.uuid) == (SMP_SERVICE, SMP_CHARACTERISTIC)]
        if not found:
            raise FirmwareLinkError(f"{address}: it has no management service")
        self._characteristic = found[0]
        await link.subscribe(found[0].handle, self._take, within_s=timeout_s)

    def _take(self, value: bytes) -> None:
        if len(self._inbox) + len(value) <= ANSWER_MAX:
            self._inbox += value
        self._arrived.set()

    async def disconnect(self) -> None:
        """End the connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.disconnect()
            self._seat.left()

    async def send(self, data: bytes) -> None:
        """Write a frame in pieces that the link takes."""
        link, characteristic = self._link, self._characteristic
        if link is None or characteristic is None:
            raise FirmwareLinkError("not connected")
        self._inbox.clear()
        for at in range(0, len(data), self.mtu):
            await link.write(characteristic.handle, data[at : at + self.mtu], response=False, within_s=REPLY_S)

    async def receive(self) -> bytes:
        """Return the next whole frame."""
        while True:
            length = smphdr.Header.SIZE
            if len(self._inbox) >= length:
                length += int.from_bytes(self._inbox[2:4], "big")
                if len(self._inbox) >= length:
                    frame = bytes(self._inbox[:length])
                    del self._inbox[:length]
                    return frame
            self._arrived.clear()
            await self._wait()

    async def _wait(self) -> None:
        assert self._link is not None
        waits = [asyncio.create_task(self._arrived.wait()), asyncio.create_task(self._link.lost.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._link.lost.is_set() and not self._arrived.is_set():
            raise FirmwareLinkError("the connection broke")

    async def send_and_receive(self, data: bytes) -> bytes:
        """Ask and wait for the answer."""
        await self.send(data)
        return await self.receive()

    @property
    def mtu(self) -> int:
        """Octets of one write."""
        return ATT_MTU_LEAST - 3 if self._characteristic is None else self._characteristic.max_write_octets


def _slot_image(state: ImageState) -> SlotImage:
    return SlotImage(
        slot=state.slot,
        version=state.version,
        sha256=None if state.hash is None else bytes(state.hash),
        active=bool(state.active),
        confirmed=bool(state.confirmed),
        pending=bool(state.pending),
    )


_NEXT = {
    IMG_MGMT_ERR.NO_FREE_SLOT: "an update is on trial: confirm or revert it first (--confirm-running, --revert)",
    IMG_MGMT_ERR.INVALID_IMAGE_TOO_LARGE: "build a smaller image, or enlarge the slots",
    IMG_MGMT_ERR.INVALID_IMAGE_HEADER_MAGIC: "take the signed .bin of the build",
    IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER: "the tag runs the same version or a newer one",
    IMG_MGMT_ERR.HASH_NOT_FOUND: "the tag does not hold this image: upload it again",
    IMG_MGMT_ERR.FLASH_WRITE_FAILED: "its flash is bad",
}


def _refusal(name: str, what: str, answer: object) -> str:
    if isinstance(answer, ErrorV2):
        code = answer.err.rc
        text = getattr(code, "name", str(code)).lower()
        hint = _NEXT.get(code, "look the code up in the tag's firmware")
    else:
        code = getattr(answer, "rc", None)
        text, hint = f"code {code}", "look the code up in the tag's firmware"
    return f"{name}: refused to {what}: {text}. Next: {hint}"


def _detail(exc: BaseException) -> str:
    """Say in one line what went wrong; a request is never quoted."""
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    text = str(exc).strip().splitlines()
    return text[0][:200] if text else type(exc).__name__
