"""The adapter's radio: hears adverts, makes links, is a GATT client, pairs.

It stands behind the emulated org.bluez and knows nothing of D-Bus. On an `HciPort` it drives a real dongle.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bumble import hci
from bumble.core import BaseBumbleError
from bumble.device import Connection, ConnectionParametersPreferences, Device, DeviceConfiguration
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig

from rig.ble.adverts import HeardAdvert, merge_advert
from rig.ble.air import SUPERVISION_S, Air
from rig.ble.controllers import AirController
from rig.ble.errors import ConnectFailedError
from rig.ble.gatt_link import CentralLink
from rig.ble.hci_port import HciPort
from rig.ble.pairing import PairingHelp, host_pairing
from rig.ble.snoop import SnoopFile
from rig.ble.unbroken import unbroken

_T = TypeVar("_T")

ESTABLISH_S: Final = 2.0
"""Time for a tag that was just heard to be heard again and connected, seconds; ten adverts of a slow tag are more, and
then the tag is waited for anew."""

RESCAN_S: Final = 10.24
"""Time after which Linux restarts a scan, and with it the controller's duplicate filter, seconds
(``DISCOV_LE_TIMEOUT``)."""


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
        await unbroken(self._apply_scan())

    async def end_scan(self, user: str) -> None:
        """End the scan of a user; the last one ends it for all."""
        if self._scanners.pop(user, None) is not None:
            await unbroken(self._apply_scan())

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
            await unbroken(self._scan_anew(active))

    async def _scan_anew(self, active: bool) -> None:
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
        return host_pairing(self.pairing_help)

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
        link = CentralLink(connection)
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
