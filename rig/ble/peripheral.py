"""A Bluetooth tag: a thin wrapper of a bumble device that firmware models drive.

::

    battery = GattCharacteristic(uuid=BATTERY_LEVEL, access=Access.READ | Access.NOTIFY, read=lambda: bytes([87]))
    tag = Peripheral(air, name="tag-1", address="C0:DE:00:00:00:01",
                     services=[GattService(uuid=BATTERY_SERVICE, characteristics=(battery,))],
                     advert=lambda: (advert_bytes(), b""), interval_s=0.02)
    await tag.start()
    await tag.notify(battery, bytes([86]))
    await tag.set_address("C0:DE:00:00:00:02")     # from the next advert on; links keep the old one
    tag.radio.rssi_dbm = -80                       # tag.radio.out_of_range, .loss, .acl_delay_s likewise
    await tag.stop()

In place of the `Air` it takes an `HciPort` (``await open_hci_port("serial:/dev/ttyACM0,1000000")``) and is then a tag
on a real radio, with the same services and adverts; there is no `radio` then.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from bumble import hci
from bumble.core import BaseBumbleError
from bumble.device import AdvertisingType, Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig

from rig.ble.air import Air, Radio
from rig.ble.controllers import AdvertSource, AirController
from rig.ble.errors import AirMisuseError
from rig.ble.gatt_server import GattServer
from rig.ble.hci_port import HciPort
from rig.ble.pairing import PASSKEY_MAX, Pairing, end_failed_pairing, tag_pairing
from rig.ble.services import GattCharacteristic, GattService
from rig.ble.snoop import SnoopFile
from rig.ble.unbroken import unbroken

__all__ = ["AdvertHeard", "Pairing", "Peripheral"]

AdvertHeard = Callable[[str, bytes, int], None]
"""Takes address, advertising data and RSSI in dBm of an advert that the tag heard."""


class Peripheral:
    """A tag with a GATT server that advertises, on the emulated air or on a real controller.

    Parameters
    ----------
    port : Air or HciPort
        Where it lives.
    name : str
        Its name on the bench; unique on the air. Not advertised by itself.
    address : str
        Static random address it starts with.
    services : sequence of GattService
        Its GATT server, beside GAP and GATT.
    advert : bytes or callable
        Advertising data (31 bytes at most), or what gives data and scan response for each advertising event. On the air
        it is asked before every single event; on a real controller, once per interval.
    scan_response : bytes
        Scan response where `advert` is bytes.
    interval_s : float
        Advertising interval, 0.02 to 10.24 s; the standard's random delay of 0 to 10 ms comes on top.
    connectable : bool
        Whether it takes connections; a beacon does not.
    pairing : Pairing
        What it does when asked to pair.
    passkey : int, optional
        The digits on its label, for `Pairing.PASSKEY`.
    irk : bytes, optional
        Identity resolving key for `private_address`, 16 bytes; drawn where not given.

    Attributes
    ----------
    on_connected, on_disconnected : list of callables
        Called without arguments after a link came up or ended.
    gatt : GattServer
        Its services: what was asked of them, and their faults.
    """

    def __init__(
        self,
        port: Air | HciPort,
        *,
        name: str,
        address: str,
        services: Sequence[GattService] = (),
        advert: bytes | AdvertSource = b"",
        scan_response: bytes = b"",
        interval_s: float = 0.1,
        connectable: bool = True,
        pairing: Pairing = Pairing.JUST_WORKS,
        passkey: int | None = None,
        irk: bytes | None = None,
    ) -> None:
        if pairing is Pairing.PASSKEY and (passkey is None or not 0 <= passkey <= PASSKEY_MAX):
            raise AirMisuseError(f"{name}: expected a passkey of 0 to {PASSKEY_MAX}, got {passkey}")
        self.name = name
        self.on_connected: list[Callable[[], None]] = []
        self.on_disconnected: list[Callable[[], None]] = []
        self.pairing = pairing
        self.interval_s = interval_s
        self._port = port
        self._passkey = passkey or 0
        self._advert = advert if callable(advert) else None
        self._connectable = connectable
        self._refresh: asyncio.Task[None] | None = None
        self._links: list[Connection] = []
        self._snoop: SnoopFile | None = None
        self._running = False
        self._irk = irk if irk is not None else secrets.token_bytes(16)
        config = DeviceConfiguration(
            name=name,
            address=hci.Address(address),
            advertising_interval_min=interval_s * 1000,
            advertising_interval_max=interval_s * 1000,
            irk=self._irk,
            identity_address_type=hci.Address.RANDOM_DEVICE_ADDRESS,
        )
        self._controller: AirController | None = None
        if isinstance(port, HciPort):
            self.device = Device.from_config_with_hci(config, port.source, port.sink)
        else:
            self._controller = AirController(name, port)
            self._controller.advert_source = self._advert
            self.device = Device(config=config, host=Host())
            self.device.host.controller = self._controller
        self.device.keystore = MemoryKeyStore()
        self.device.pairing_config_factory = self._pairing_config
        self.device.advertising_data, self.device.scan_response_data = (
            self._advert() if self._advert is not None else (bytes(advert), scan_response)  # type: ignore[arg-type]
        )
        self.gatt = GattServer(self.device, services)
        self.device.on(self.device.EVENT_CONNECTION, self._connected)

    # --- running ------------------------------------------------------------------------------------------------

    @property
    def radio(self) -> Radio:
        """How the tag's signal fares on the emulated air."""
        if self._controller is None:
            raise AirMisuseError(f"{self.name} is on a real controller: there the world decides what gets lost")
        return self._controller.radio

    @property
    def address(self) -> str:
        """The address that the tag advertises under."""
        return str(self.device.random_address.to_string(False))

    @property
    def last_advert(self) -> tuple[bytes, bytes]:
        """Advertising data and scan response of the last advertising event on the air."""
        if self._controller is None:
            raise AirMisuseError(f"{self.name} is on a real controller: what it sent last is not told")
        advertiser = self._controller.le_legacy_advertiser
        return bytes(advertiser.advertising_data), bytes(advertiser.scan_response_data)

    @property
    def connected(self) -> bool:
        """Whether a peer is connected."""
        return bool(self._links)

    @property
    def encrypted(self) -> bool:
        """Whether a link is encrypted."""
        return any(link.is_encrypted for link in self._links)

    async def start(self) -> None:
        """Switch the tag on."""
        await self.device.power_on()
        self._running = True
        await self._start_advertising()
        if self._controller is None and self._advert is not None:
            self._refresh = asyncio.create_task(self._refresh_adverts(), name=f"adverts of {self.name}")

    async def stop(self) -> None:
        """Switch the tag off: links end as when a battery is taken out, and nothing is left running."""
        self._running = False
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
            self._refresh = None
        if isinstance(self._port, Air):
            self._port.cut(self.name)
        else:
            await self.disconnect()
        await _turns()
        with contextlib.suppress(BaseBumbleError):
            await self.device.stop_advertising()
            await self.device.power_off()
        if isinstance(self._port, Air) and self._controller is not None:
            self._port.remove_controller(self._controller)
        if self._snoop is not None:
            self._snoop.close()

    def capture(self, snoop: SnoopFile) -> None:
        """Write every HCI packet of this tag to a capture, which the tag closes at its end."""
        self._snoop = snoop
        self.device.host.snooper = snoop

    # --- adverts ------------------------------------------------------------------------------------------------

    async def _start_advertising(self) -> None:
        kind = AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
        if not self._connectable:
            scannable = bool(self.device.scan_response_data)
            kind = AdvertisingType.UNDIRECTED_SCANNABLE if scannable else AdvertisingType.UNDIRECTED
        await unbroken(self.device.start_advertising(advertising_type=kind, auto_restart=True))

    async def set_advert(self, data: bytes, scan_response: bytes = b"") -> None:
        """Advertise other data from the next event on; replaces a callable."""
        self._advert = None
        if self._controller is not None:
            self._controller.advert_source = None
        await self._put_advert(data, scan_response)

    async def _put_advert(self, data: bytes, scan_response: bytes) -> None:
        # What bumble's properties hold reaches the controller only when advertising starts, so it is told as well.
        self.device.advertising_data = data
        self.device.scan_response_data = scan_response
        await self._command(hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=data))
        await self._command(hci.HCI_LE_Set_Scan_Response_Data_Command(scan_response_data=scan_response))

    async def _command(self, command: hci.HCI_SyncCommand[Any]) -> None:
        await unbroken(self.device.send_sync_command(command))

    async def _refresh_adverts(self) -> None:
        while self._advert is not None:
            await asyncio.sleep(self.interval_s)
            await self._put_advert(*self._advert())

    async def set_interval(self, interval_s: float) -> None:
        """Advertise at another interval."""
        self.interval_s = interval_s
        self.device.advertising_interval_min = self.device.advertising_interval_max = interval_s * 1000
        if not self._links:
            await self._start_advertising()

    async def set_address(self, address: str) -> None:
        """Advertise under another random address. A link that is up keeps the one it was made with."""
        silent = bool(self._links)
        if not silent:
            await unbroken(self.device.stop_advertising())
        self.device.random_address = hci.Address(address)
        await self._command(hci.HCI_LE_Set_Random_Address_Command(random_address=self.device.random_address))
        if not silent:
            await self._start_advertising()

    def private_address(self) -> str:
        """Draw a resolvable private address: bonded peers know the tag by it, nobody else does."""
        return str(hci.Address.generate_private_address(self._irk).to_string(False))

    async def pause_advertising(self) -> None:
        """Fall silent without switching off."""
        await unbroken(self.device.stop_advertising())

    async def resume_advertising(self) -> None:
        """Advertise again after `pause_advertising`."""
        await self._start_advertising()

    # --- links --------------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        self._links.append(connection)
        connection.on(connection.EVENT_DISCONNECTION, lambda _reason: self._disconnected(connection))
        connection.on(connection.EVENT_PAIRING_FAILURE, lambda _reason: end_failed_pairing(self.device, connection))
        for call in self.on_connected:
            call()

    def _disconnected(self, connection: Connection) -> None:
        self._links.remove(connection)
        for call in self.on_disconnected:
            call()

    async def disconnect(self) -> None:
        """End the links from the tag's side."""
        for link in list(self._links):
            with contextlib.suppress(BaseBumbleError):
                await unbroken(link.disconnect())

    def drop_link(self) -> None:
        """End the links at both sides at once, as after a supervision timeout (HCI error 0x08)."""
        if not isinstance(self._port, Air):
            raise AirMisuseError(f"{self.name} is on a real controller: take it out of range yourself")
        self._port.cut(self.name)

    async def forget_bonds(self) -> None:
        """Lose all keys, as after a factory reset: bonded peers cannot encrypt any more."""
        if self.device.keystore is not None:
            await self.device.keystore.delete_all()
        await self.device.refresh_resolving_list()

    def _pairing_config(self, _connection: Connection) -> PairingConfig:
        return tag_pairing(self.pairing, self._passkey)

    async def listen(self, heard: AdvertHeard) -> None:
        """Have every advert told that the tag's own radio hears, until `stop_listening`."""

        def on_report(report: hci.HCI_LE_Advertising_Report_Event.Report) -> None:
            heard(str(report.address.to_string(False)), bytes(report.data), int(report.rssi))

        self.device.host.remove_all_listeners("advertising_report")
        self.device.host.on("advertising_report", on_report)
        await unbroken(self.device.start_scanning(legacy=True, active=False))

    async def stop_listening(self) -> None:
        """Stop hearing adverts."""
        await unbroken(self.device.stop_scanning(legacy=True))
        self.device.host.remove_all_listeners("advertising_report")

    # --- GATT ---------------------------------------------------------------------------------------------------

    async def notify(self, characteristic: GattCharacteristic, value: bytes) -> None:
        """Notify every subscriber. Values longer than a packet takes are cut by the stack, silently."""
        await self.gatt.notify(characteristic, value)

    async def indicate(self, characteristic: GattCharacteristic, value: bytes) -> None:
        """Indicate to every subscriber and wait until they have confirmed."""
        await self.gatt.indicate(characteristic, value)


async def _turns(count: int = 5) -> None:
    """Let what was scheduled happen: an HCI event takes a few turns of the loop from controller to device."""
    for _ in range(count):
        await asyncio.sleep(0)
