"""Device1: what has been heard, and links to it."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from dbus_fast import Message, Variant

from rig.ble.adverts import HeardAdvert
from rig.ble.central import CentralRadio
from rig.ble.errors import ConnectFailedError, LinkError, PairingRefusedError
from rig.ble.front.agents import Agents
from rig.ble.front.gatt import GattObjects
from rig.ble.front.objects import DEVICE, ObjectTree, Properties
from rig.ble.front.options import FrontOptions
from rig.ble.front.replies import BluezError, Reply, in_progress, not_ready
from rig.ble.gatt_link import CentralLink, FoundService

_SWEEPS = 6
"""Looks for forgotten devices within the time after which they are forgotten."""


@dataclass(slots=True)
class _Device:
    path: str
    address: str
    heard_s: float
    link: CentralLink | None = None
    pending: "asyncio.Task[None] | None" = None
    services: list[FoundService] = field(default_factory=list)
    resolves: bool = True


class Devices:
    """The devices of the adapter.

    Attributes
    ----------
    services_resolve : bool
        Off: services of new links are never found (fault).
    aborts : int
        New links that end at once, yet to come (fault).
    """

    def __init__(
        self, tree: ObjectTree, radio: CentralRadio, gatt: GattObjects, agents: Agents, options: FrontOptions
    ) -> None:
        self._tree = tree
        self._radio = radio
        self._gatt = gatt
        self._agents = agents
        self._options = options
        self._devices: dict[str, _Device] = {}
        self._by_address: dict[str, _Device] = {}
        self._pairing = asyncio.Lock()
        self._sweeper: asyncio.TimerHandle | None = None
        self.powered = True
        self.services_resolve = True
        self.aborts = 0

    # --- heard --------------------------------------------------------------------------------------------------

    def heard(self, advert: HeardAdvert, *, tell: bool) -> None:
        """Take an advert; it makes a device, or changes what is known of one."""
        loop = asyncio.get_running_loop()
        known = self._by_address.get(advert.address)
        if known is not None:
            known.heard_s = loop.time()
        if not tell:
            return
        properties = _from_advert(advert)
        if known is None:
            path = f"{self._options.adapter_path}/dev_{advert.address.replace(':', '_')}"
            made = _Device(path, advert.address, loop.time())
            self._devices[path] = self._by_address[advert.address] = made
            self._tree.add(path, {DEVICE: self._fresh(advert, properties)})
            self._arm_sweeper()
            return
        old = self._tree.objects[known.path][DEVICE]
        changed = {
            name: value for name, value in properties.items() if name not in old or old[name].value != value.value
        }
        if "UUIDs" in changed:
            merged = list(dict.fromkeys([*old["UUIDs"].value, *changed["UUIDs"].value]))
            if merged == list(old["UUIDs"].value):
                del changed["UUIDs"]
            else:
                changed["UUIDs"] = Variant("as", merged)
        rssi = old.get("RSSI")
        if "RSSI" in changed and rssi is not None and abs(rssi.value - advert.rssi_dbm) < self._options.rssi_delta_db:
            del changed["RSSI"]
        if changed:
            self._tree.change(known.path, DEVICE, changed)

    def _fresh(self, advert: HeardAdvert, properties: Properties) -> Properties:
        return {
            "Address": Variant("s", advert.address),
            "AddressType": Variant("s", "public" if advert.public else "random"),
            "Alias": Variant("s", advert.address.replace(":", "-")),
            "Paired": Variant("b", False),
            "Bonded": Variant("b", False),
            "Trusted": Variant("b", False),
            "Blocked": Variant("b", False),
            "LegacyPairing": Variant("b", False),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
            "Adapter": Variant("o", self._options.adapter_path),
            "UUIDs": Variant("as", []),
            **properties,
        }

    def discovery_ended(self) -> None:
        """Take back what only a running discovery vouches for."""
        for path in self._devices:
            self._tree.change(path, DEVICE, {}, ["RSSI", "TxPower"])

    def _arm_sweeper(self) -> None:
        if self._sweeper is None and self._options.temporary_s is not None and self._devices:
            self._sweeper = asyncio.get_running_loop().call_later(self._options.temporary_s / _SWEEPS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        assert self._options.temporary_s is not None
        oldest = asyncio.get_running_loop().time() - self._options.temporary_s
        for device in list(self._devices.values()):
            kept = device.link is not None or device.pending is not None or self._flag(device.path, "Paired")
            if not kept and device.heard_s < oldest:
                self._remove(device)
        self._arm_sweeper()

    def _remove(self, device: _Device) -> None:
        self._devices.pop(device.path, None)
        self._by_address = {address: each for address, each in self._by_address.items() if each is not device}
        self._tree.remove(device.path)

    def _flag(self, path: str, name: str) -> bool:
        return bool(self._tree.objects[path][DEVICE][name].value)

    # --- links --------------------------------------------------------------------------------------------------

    def _find(self, path: str | None) -> _Device:
        self._tree.properties(path, DEVICE)
        return self._devices[path or ""]

    @property
    def connected(self) -> list[str]:
        """Paths of the devices that are connected."""
        return [path for path, device in self._devices.items() if device.link is not None]

    @property
    def connecting(self) -> list[str]:
        """Paths of the devices that are being connected."""
        return [path for path, device in self._devices.items() if device.pending is not None]

    async def connect(self, call: Message) -> Reply:
        """Connect and find services; answers after that, as bluetoothd does."""
        device = self._find(call.path)
        if not self.powered:
            raise not_ready()
        if device.link is not None:
            return Reply()
        if device.pending is not None:
            raise in_progress()
        if self._options.connection_limit is not None and len(self._busy()) >= self._options.connection_limit:
            raise BluezError("Failed", "le-connection-concurrent-connection-limit")
        device.pending = asyncio.create_task(self._connect(device), name=f"connect {device.address}")
        try:
            await asyncio.wait({device.pending})
            if device.pending.cancelled():
                raise BluezError("Failed", "br-connection-canceled")
            device.pending.result()
        finally:
            if not device.pending.done():
                device.pending.cancel()
            device.pending = None
        await asyncio.sleep(self._options.connect_reply_s)
        return Reply()

    def _busy(self) -> list[_Device]:
        return [device for device in self._devices.values() if device.link is not None or device.pending is not None]

    async def _connect(self, device: _Device) -> None:
        try:
            link = await self._radio.connect(device.address, timeout_s=self._options.connect_s)
        except ConnectFailedError as exc:
            raise BluezError("Failed", "le-connection-abort-by-local") from exc
        device.link = link
        link.on_lost.append(lambda _reason: self._lost(device))
        self._tree.change(device.path, DEVICE, {"Connected": Variant("b", True)})
        if self.aborts > 0:
            self.aborts -= 1
            await link.disconnect()
            raise BluezError("Failed", "le-connection-abort-by-local")
        try:
            if await self._radio.is_bonded(device.address):
                await link.encrypt()
            await link.exchange_mtu()
            if not self.services_resolve:
                await asyncio.get_running_loop().create_future()
            if not (self._options.cached_gatt and device.services):
                device.services = await link.discover()
        except PairingRefusedError as exc:
            # The kernel ends a link that it cannot encrypt.
            await link.disconnect()
            raise BluezError("Failed", "le-connection-unknown") from exc
        except LinkError as exc:
            raise BluezError("Failed", "le-connection-abort-by-local") from exc
        except asyncio.CancelledError:
            await link.disconnect()
            raise
        self._gatt.publish(device.path, link, device.services)
        uuids = list(dict.fromkeys(service.uuid for service in device.services))
        self._tree.change(device.path, DEVICE, {"UUIDs": Variant("as", uuids), "ServicesResolved": Variant("b", True)})

    def _lost(self, device: _Device) -> None:
        device.link = None
        device.heard_s = asyncio.get_running_loop().time()
        self._gatt.withdraw(device.path)
        if self._tree.has(device.path, DEVICE):
            if self._flag(device.path, "ServicesResolved"):
                self._tree.change(device.path, DEVICE, {"ServicesResolved": Variant("b", False)})
            self._tree.change(device.path, DEVICE, {"Connected": Variant("b", False)})

    async def disconnect(self, call: Message) -> Reply:
        """End the link, or give up the attempt to make one."""
        device = self._find(call.path)
        if device.pending is not None:
            device.pending.cancel()
            await asyncio.wait({device.pending})
        elif device.link is not None:
            await device.link.disconnect()
        else:
            raise BluezError("NotConnected", "Not Connected")
        return Reply()

    async def pair(self, call: Message) -> Reply:
        """Pair and bond, after connecting where there is no link yet."""
        device = self._find(call.path)
        if self._flag(device.path, "Paired"):
            raise BluezError("AlreadyExists", "Already Exists")
        if device.link is None:
            await self.connect(call)
        link = device.link
        if link is None:
            raise BluezError("ConnectionAttemptFailed", "Page Timeout")
        async with self._pairing:
            self._radio.pairing_help = self._agents.help_for(call.sender or "", device.path)
            try:
                await link.pair()
            except PairingRefusedError as exc:
                raise BluezError("AuthenticationFailed", "Authentication Failed") from exc
        changed = {"Paired": Variant("b", True), "Bonded": Variant("b", True)}
        if link.address != device.address:
            # A tag under a resolvable private address has told who it is.
            device.address = link.address
            self._by_address[device.address] = device
            changed["Address"] = Variant("s", device.address)
        self._tree.change(device.path, DEVICE, changed)
        return Reply()

    async def cancel_pairing(self, call: Message) -> Reply:
        """End a pairing with its link."""
        device = self._find(call.path)
        if not self._pairing.locked() or device.link is None:
            raise BluezError("DoesNotExist", "Does Not Exist")
        await device.link.disconnect()
        return Reply()

    async def forget(self, path: str) -> None:
        """Remove a device with its link and its key."""
        device = self._devices.get(path)
        if device is None:
            raise BluezError("DoesNotExist", "Does Not Exist")
        await self._end_link(device)
        await self._radio.forget(device.address)
        self._remove(device)

    async def _end_link(self, device: _Device) -> None:
        if device.pending is not None:
            device.pending.cancel()
            await asyncio.wait({device.pending})
        if device.link is not None:
            await device.link.disconnect()

    async def drop_links(self, paths: Sequence[str] | None = None) -> None:
        """End links and attempts, as when the adapter goes off."""
        for device in list(self._devices.values()):
            if paths is None or device.path in paths:
                with contextlib.suppress(LinkError):
                    await self._end_link(device)

    def remove_all(self, *, bonded: bool = True) -> None:
        """Remove the objects of all devices, those with a bond only where asked for."""
        for device in list(self._devices.values()):
            if bonded or not self._flag(device.path, "Paired"):
                self._remove(device)

    def silently_forget(self) -> None:
        """Drop every object without telling anybody, as a process that dies does."""
        for device in list(self._devices.values()):
            for path in [*self._tree.under(device.path), device.path]:
                self._tree.objects.pop(path, None)
        self._devices.clear()
        self._by_address.clear()

    def vanish(self, address: str) -> None:
        """Take a device's object away at once, whatever its state."""
        if (device := self._by_address.get(address)) is not None:
            self._gatt.withdraw(device.path)
            self._remove(device)

    def close(self) -> None:
        """Stop what runs by itself."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None


def _from_advert(advert: HeardAdvert) -> Properties:
    properties = {"RSSI": Variant("n", advert.rssi_dbm)}
    if advert.name is not None:
        properties["Name"] = properties["Alias"] = Variant("s", advert.name)
    if advert.tx_power_dbm is not None:
        properties["TxPower"] = Variant("n", advert.tx_power_dbm)
    if advert.manufacturer_data:
        rows = {company: Variant("ay", value) for company, value in advert.manufacturer_data.items()}
        properties["ManufacturerData"] = Variant("a{qv}", rows)
    if advert.service_data:
        properties["ServiceData"] = Variant(
            "a{sv}", {uuid: Variant("ay", value) for uuid, value in advert.service_data.items()}
        )
    if advert.service_uuids:
        properties["UUIDs"] = Variant("as", list(advert.service_uuids))
    if advert.flags is not None:
        properties["AdvertisingFlags"] = Variant("ay", bytes([advert.flags]))
    return properties
