"""The adapter's radio: hears adverts, makes links, is a GATT client, pairs.

It stands behind the emulated org.bluez and knows nothing of D-Bus. On an `HciPort` it drives a real dongle.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from bumble import hci
from bumble.att import ATT_Error
from bumble.core import BaseBumbleError
from bumble.device import Connection, ConnectionParametersPreferences, Device, DeviceConfiguration, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig, PairingDelegate

from rig.ble.adverts import HeardAdvert, full_uuid, merge_advert
from rig.ble.air import SUPERVISION_S, Air
from rig.ble.controllers import AirController
from rig.ble.errors import AttRefusedError, ConnectFailedError, LinkGoneError, PairingRefusedError
from rig.ble.hci_port import HciPort
from rig.ble.snoop import SnoopFile

_T = TypeVar("_T")

ADAPTER_MTU: Final = 517
"""ATT MTU that is asked for, bytes. Source: BlueZ's default ``ExchangeMTU``."""

ESTABLISH_S: Final = 2.0
"""Time for a tag that was just heard to be heard again and connected, seconds; ten adverts of a slow tag are more, and
then the tag is waited for anew."""

RESCAN_S: Final = 10.24
"""Time after which Linux restarts a scan, and with it the controller's duplicate filter, seconds
(``DISCOV_LE_TIMEOUT``)."""

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


@dataclass(slots=True, kw_only=True)
class PairingHelp:
    """What the host's user can do in a pairing: None where nobody is there to ask.

    Attributes
    ----------
    can_enter, can_show : bool
        Whether there is a keyboard, whether there is a display.
    enter_passkey : callable, optional
        Asked for the six digits that the tag shows; None refuses.
    show_passkey : callable, optional
        Shows six digits that are to be entered at the tag.
    confirm : callable, optional
        Asked whether both sides show these digits.
    """

    can_enter: bool = False
    can_show: bool = False
    enter_passkey: Callable[[], Coroutine[Any, Any, int | None]] | None = None
    show_passkey: Callable[[int], Coroutine[Any, Any, None]] | None = None
    confirm: Callable[[int], Coroutine[Any, Any, bool]] | None = None


class _Delegate(PairingDelegate):
    def __init__(self, help_: PairingHelp) -> None:
        if help_.can_enter:
            both = PairingDelegate.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT
            capability = both if help_.can_show else PairingDelegate.KEYBOARD_INPUT_ONLY
        elif help_.can_show:
            capability = PairingDelegate.DISPLAY_OUTPUT_ONLY
        else:
            capability = PairingDelegate.NO_OUTPUT_NO_INPUT
        super().__init__(capability)
        self._help = help_

    async def get_number(self) -> int | None:
        return await self._help.enter_passkey() if self._help.enter_passkey is not None else None

    async def display_number(self, number: int, digits: int) -> None:
        if self._help.show_passkey is not None:
            await self._help.show_passkey(number)

    async def compare_numbers(self, number: int, digits: int) -> bool:
        return self._help.confirm is None or await self._help.confirm(number)


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

    def __init__(self, radio: "CentralRadio", connection: Connection) -> None:
        self._radio = radio
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
            raise PairingRefusedError(f"{self.address}: pairing failed: {_text(exc)}") from exc

    async def encrypt(self) -> None:
        """Encrypt with the key of an earlier pairing.

        Raises
        ------
        PairingRefusedError
            There is no key, or the tag has lost its own.
        """
        try:
            await self._connection.encrypt()
        except (BaseBumbleError, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_ours():
                raise
            raise PairingRefusedError(f"{self.address}: encryption failed: {_text(exc)}") from exc

    async def disconnect(self, reason: int = hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR) -> None:
        """End the link from our side."""
        if not self.lost:
            with contextlib.suppress(BaseBumbleError):
                await self._connection.disconnect(reason)


@dataclass(slots=True)
class _Wait:
    address: str
    heard: asyncio.Future[hci.Address] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class CentralRadio:
    """The radio of one adapter.

    Parameters
    ----------
    port : Air or HciPort
        Where it lives.
    name : str
        Its name on the air.
    address : str
        Its address.

    Attributes
    ----------
    on_advert : list of callables
        Called with each `HeardAdvert` while scanning, scan response merged in.
    pairing_help : PairingHelp
        What the user can do in the next pairing.
    """

    def __init__(self, port: Air | HciPort, *, name: str = "hci0", address: str = "F0:F1:F2:F3:F4:F5") -> None:
        self.name = name
        self.address = address
        self.on_advert: list[Callable[[HeardAdvert], None]] = []
        self.pairing_help = PairingHelp()
        self.links: list[CentralLink] = []
        self._port = port
        self._controller: AirController | None = None
        config = DeviceConfiguration(
            name=name, address=hci.Address(address), identity_address_type=hci.Address.RANDOM_DEVICE_ADDRESS
        )
        if isinstance(port, HciPort):
            self.device = Device.from_config_with_hci(config, port.source, port.sink)
        else:
            self._controller = AirController(name, port, is_adapter=True)
            self.device = Device(config=config, host=Host())
            self.device.host.controller = self._controller
        self.device.keystore = MemoryKeyStore()
        self.device.pairing_config_factory = self._pairing_config
        # Reports are taken from the host: bumble's device gives an advert out only after its scan response.
        self.device.host.on("advertising_report", self._on_report)
        self._snoop: SnoopFile | None = None
        self._pending: dict[hci.Address, tuple[int, bytes, int]] = {}
        self._scanners: dict[str, bool] = {}
        self._filter_duplicates = False
        self._scan_lock = asyncio.Lock()
        self._connect_lock = asyncio.Lock()
        self._waits: list[_Wait] = []
        self._rescan: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Switch the radio on."""
        await self.device.power_on()

    async def stop(self) -> None:
        """End links and scans; nothing is left running."""
        self._scanners.clear()
        await self._apply_scan()
        for link in list(self.links):
            await link.disconnect()
        with contextlib.suppress(BaseBumbleError):
            await self.device.power_off()
        if isinstance(self._port, Air) and self._controller is not None:
            self._port.remove_controller(self._controller)
        if self._snoop is not None:
            self._snoop.close()

    def capture(self, snoop: SnoopFile) -> None:
        """Write every HCI packet of this adapter to a capture, which ends with the radio."""
        self._snoop = snoop
        self.device.host.snooper = snoop

    # --- scanning -----------------------------------------------------------------------------------------------

    async def scan(self, user: str, *, active: bool = True, filter_duplicates: bool = False) -> None:
        """Listen for adverts on behalf of a user; the scan is active as soon as one of its users wants it so."""
        self._scanners[user] = active
        self._filter_duplicates = filter_duplicates
        await self._apply_scan()

    async def end_scan(self, user: str) -> None:
        """End the scan of a user; the last one ends it for all."""
        if self._scanners.pop(user, None) is not None:
            await self._apply_scan()

    async def _apply_scan(self) -> None:
        async with self._scan_lock:
            wanted, active = bool(self._scanners), any(self._scanners.values())
            if wanted and self.device.is_scanning and active == (not self.device.scanning_is_passive):
                return
            if self.device.is_scanning:
                await self.device.stop_scanning(legacy=True)
            if wanted:
                await self.device.start_scanning(legacy=True, active=active, filter_duplicates=self._filter_duplicates)
            if self._rescan is not None:
                self._rescan.cancel()
                await asyncio.gather(self._rescan, return_exceptions=True)
                self._rescan = None
            if wanted and self._filter_duplicates:
                self._rescan = asyncio.create_task(self._restart_scans(active), name=f"rescan of {self.name}")

    async def _restart_scans(self, active: bool) -> None:
        while True:
            await asyncio.sleep(RESCAN_S)
            await self.device.stop_scanning(legacy=True)
            await self.device.start_scanning(legacy=True, active=active, filter_duplicates=True)

    def _on_report(self, report: hci.HCI_LE_Advertising_Report_Event.Report) -> None:
        kinds = hci.HCI_LE_Advertising_Report_Event.EventType
        address, data = report.address, bytes(report.data)
        self._end_waits(address)
        if report.event_type == kinds.SCAN_RSP:
            first = self._pending.pop(address, None)
            if first is not None:
                self._tell(address, first[0], first[1] + data, first[2])
            return
        if (held := self._pending.pop(address, None)) is not None:
            self._tell(address, *held)
        scannable = report.event_type in {kinds.ADV_IND, kinds.ADV_SCAN_IND}
        if scannable and not self.device.scanning_is_passive:
            # As the kernel does: the advert waits for its scan response, or for the next advert where none came.
            self._pending[address] = (report.event_type, data, report.rssi)
        else:
            self._tell(address, report.event_type, data, report.rssi)

    def _tell(self, address: hci.Address, event_type: int, data: bytes, rssi_dbm: int) -> None:
        known = self._identity(address)
        advert = merge_advert(
            str((known or address).to_string(False)),
            data,
            rssi_dbm=rssi_dbm,
            public=address.is_public,
            connectable=event_type == hci.HCI_LE_Advertising_Report_Event.EventType.ADV_IND,
        )
        for call in self.on_advert:
            call(advert)

    def _identity(self, address: hci.Address) -> hci.Address | None:
        resolver = self.device.address_resolver
        return resolver.resolve(address) if resolver is not None and address.is_resolvable else None

    def _end_waits(self, address: hci.Address) -> None:
        if not self._waits:
            return
        names = {str(address.to_string(False))}
        if (known := self._identity(address)) is not None:
            names.add(str(known.to_string(False)))
        for wait in self._waits:
            if wait.address in names and not wait.heard.done():
                wait.heard.set_result(address)

    # --- links --------------------------------------------------------------------------------------------------

    def _pairing_config(self, _connection: Connection) -> PairingConfig:
        help_ = self.pairing_help
        return PairingConfig(sc=True, mitm=help_.can_enter or help_.can_show, bonding=True, delegate=_Delegate(help_))

    async def connect(self, address: str, *, timeout_s: float) -> CentralLink:
        """Connect to a tag as Linux does: listen until it is heard, then ask it. Cancelling gives the attempt up.

        While one tag is waited for, others can be connected; only the asking itself is one at a time.

        Raises
        ------
        ConnectFailedError
            It was not heard, or not again, in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            heard = await self._await_advert(address, deadline)
            async with self._connect_lock:
                connection = await self._ask_to_connect(heard, min(ESTABLISH_S, max(0.0, deadline - loop.time())))
            if connection is not None:
                break
            if loop.time() >= deadline:
                raise ConnectFailedError(f"{address} was heard but did not connect within {timeout_s:g} s")
        link = CentralLink(self, connection)
        self.links.append(link)
        link.on_lost.append(lambda _reason: self.links.remove(link))
        return link

    async def _await_advert(self, address: str, deadline: float) -> hci.Address:
        wait = _Wait(address)
        self._waits.append(wait)
        user = f"connect {id(wait)}"
        try:
            await self.scan(user, active=False, filter_duplicates=self._filter_duplicates)
            async with asyncio.timeout_at(deadline):
                return await wait.heard
        except TimeoutError as exc:
            raise ConnectFailedError(f"{address} was not heard in time") from exc
        finally:
            self._waits.remove(wait)
            await self.end_scan(user)

    async def _ask_to_connect(self, address: hci.Address, within_s: float) -> Connection | None:
        preferences = ConnectionParametersPreferences()
        preferences.supervision_timeout = int(SUPERVISION_S * 1000)
        asked = asyncio.ensure_future(self.device.connect_le(address, {hci.Phy.LE_1M: preferences}, timeout=within_s))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            # Cancelling bumble's connect would leave the controller connecting: the command that ends it is sent, and
            # what comes of it is waited for.
            with contextlib.suppress(BaseBumbleError):
                await self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            (made,) = await asyncio.gather(asked, return_exceptions=True)
            if isinstance(made, Connection):
                await made.disconnect()
            raise
        except (BaseBumbleError, TimeoutError):
            return None

    # --- bonds --------------------------------------------------------------------------------------------------

    async def is_bonded(self, address: str) -> bool:
        """Tell whether there is a key for a tag."""
        store = self.device.keystore
        return store is not None and await store.get(_key_name(address)) is not None

    async def forget(self, address: str) -> None:
        """Delete the key of a tag."""
        store = self.device.keystore
        if store is not None and await self.is_bonded(address):
            await store.delete(_key_name(address))
            await self.device.refresh_resolving_list()


def _key_name(address: str) -> str:
    return str(hci.Address(address))
