"""One link of the adapter to a tag: a GATT client, and pairing."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bumble import hci
from bumble.att import ATT_Error
from bumble.core import BaseBumbleError
from bumble.device import Connection, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy

from rig.ble.adverts import full_uuid
from rig.ble.errors import AttRefusedError, LinkGoneError, PairingRefusedError
from rig.ble.pairing import end_failed_pairing
from rig.ble.unbroken import unbroken

_T = TypeVar("_T")

ADAPTER_MTU: Final = 517
"""ATT MTU that is asked for, bytes. Source: BlueZ's default ``ExchangeMTU``."""

_FLAGS: Final = {
    Characteristic.Properties.BROADCAST: "broadcast",
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.NOTIFY: "notify",
    Characteristic.Properties.INDICATE: "indicate",
    Characteristic.Properties.AUTHENTICATED_SIGNED_WRITES: "authenticated-signed-writes",
    Characteristic.Properties.EXTENDED_PROPERTIES: "extended-properties",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDescriptor:
    """A descriptor as discovered."""

    handle: int
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCharacteristic:
    """A characteristic as discovered; `handle` is that of its value, the declaration stands one before it."""

    handle: int
    uuid: str
    flags: tuple[str, ...]
    descriptors: tuple[FoundDescriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundService:
    """A primary service as discovered."""

    handle: int
    uuid: str
    characteristics: tuple[FoundCharacteristic, ...]


def _is_ours() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _text(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__


class CentralLink:
    """One link of the adapter to a tag.

    Attributes
    ----------
    address : str
        Identity address of the tag where it is known, else the one it was connected under.
    lost : bool
        Whether the link has ended.
    on_lost : list of callables
        Called once with the HCI reason when it ends.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._peer = Peer(connection)
        self._proxies: dict[int, CharacteristicProxy[bytes]] = {}
        self._takers: dict[int, Callable[[bytes], None]] = {}
        # One request at a time, as ATT has it; a waiting one learns here of the link's end, not from a request that is
        # sent on a link that has gone.
        self._turn = asyncio.Lock()
        self.lost = False
        self.on_lost: list[Callable[[int], None]] = []
        connection.on(connection.EVENT_DISCONNECTION, self._ended)

    @property
    def address(self) -> str:
        """Address of the tag, its identity address once paired."""
        return str(self._connection.peer_address.to_string(False))

    @property
    def mtu(self) -> int:
        """ATT MTU, bytes."""
        return int(self._peer.gatt_client.mtu)

    @property
    def encrypted(self) -> bool:
        """Whether the link is encrypted."""
        return bool(self._connection.is_encrypted)

    def _ended(self, reason: int) -> None:
        self.lost = True
        for call in self.on_lost:
            call(reason)

    async def _ask(self, request: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        async with self._turn:
            return await self._guarded(request)

    async def _guarded(self, request: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if self.lost:
            raise LinkGoneError(f"{self.address}: the link has ended")
        try:
            return await request()
        except ATT_Error as exc:
            raise AttRefusedError(exc.error_code) from exc
        except asyncio.CancelledError:
            # bumble cancels the pending request when the link ends; only our own cancelling is meant for the caller.
            if _is_ours():
                raise
            raise LinkGoneError(f"{self.address}: the link ended during a request") from None
        except (BaseBumbleError, TimeoutError) as exc:
            raise LinkGoneError(f"{self.address}: {_text(exc)}") from exc

    async def exchange_mtu(self) -> None:
        """Agree on the longest packet."""
        await self._ask(lambda: self._peer.request_mtu(ADAPTER_MTU))

    async def discover(self) -> list[FoundService]:
        """Ask for all services, characteristics and descriptors."""
        return await self._ask(self._discover)

    async def _discover(self) -> list[FoundService]:
        found = []
        for service in await self._peer.discover_services():
            rows = []
            for proxy in await service.discover_characteristics():
                self._proxies[proxy.handle] = proxy
                rows.append(
                    FoundCharacteristic(
                        handle=proxy.handle,
                        uuid=full_uuid(proxy.uuid.uuid_bytes),
                        flags=tuple(text for bit, text in _FLAGS.items() if bit in proxy.properties),
                        descriptors=tuple(
                            FoundDescriptor(handle=each.handle, uuid=full_uuid(each.type.uuid_bytes))
                            for each in await proxy.discover_descriptors()
                        ),
                    )
                )
            found.append(
                FoundService(
                    handle=service.handle, uuid=full_uuid(service.uuid.uuid_bytes), characteristics=tuple(rows)
                )
            )
        return found

    async def read(self, handle: int) -> bytes:
        """Read an attribute."""
        return bytes(await self._ask(lambda: self._peer.gatt_client.read_value(handle)))

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        """Write an attribute; longer values than a packet takes go as a long write where a response is asked for."""

        def request() -> Coroutine[Any, Any, None]:
            return self._peer.gatt_client.write_value(handle, value, with_response=response)

        # A command needs no answer and so no turn: it is not held up by a slow read.
        await (self._ask(request) if response else self._guarded(request))

    async def subscribe(self, handle: int, taker: Callable[[bytes], None]) -> None:
        """Have every notification or indication of a characteristic told to `taker`."""
        proxy = self._proxies.get(handle)
        if proxy is None:
            raise AttRefusedError(0x0A)
        await self._ask(lambda: self._peer.gatt_client.subscribe(proxy, taker))
        self._takers[handle] = taker

    async def unsubscribe(self, handle: int) -> None:
        """Stop what `subscribe` began."""
        taker = self._takers.pop(handle, None)
        if taker is not None:
            await self._ask(lambda: self._peer.gatt_client.unsubscribe(self._proxies[handle], taker))

    async def pair(self) -> None:
        """Pair and bond.

        Raises
        ------
        PairingRefusedError
            The tag refused, a passkey was wrong, or the link ended meanwhile.
        """
        try:
            await self._connection.pair()
        except (BaseBumbleError, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_ours():
                raise
            end_failed_pairing(self._connection.device, self._connection)
            raise PairingRefusedError(f"{self.address}: pairing failed: {_text(exc)}") from exc

    async def encrypt(self) -> None:
        """Encrypt with the key of an earlier pairing.

        Raises
        ------
        PairingRefusedError
            There is no key, or the tag has lost its own.
        """
        try:
            await unbroken(self._connection.encrypt())
        except (BaseBumbleError, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_ours():
                raise
            raise PairingRefusedError(f"{self.address}: encryption failed: {_text(exc)}") from exc

    async def disconnect(self, reason: int = hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR) -> None:
        """End the link from our side."""
        if not self.lost:
            with contextlib.suppress(BaseBumbleError):
                await unbroken(self._connection.disconnect(reason))
