"""Adapter1 and AdvertisementMonitorManager1: discovery, power, removing devices."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from dbus_fast import Message, MessageType, Variant

from rig.ble.adverts import HeardAdvert, structures
from rig.ble.central import CentralRadio
from rig.ble.front.devices import Devices
from rig.ble.front.objects import ADAPTER, MONITOR_MANAGER, PROPERTIES, Bus, Interfaces, ObjectTree, Properties
from rig.ble.front.options import FrontOptions
from rig.ble.front.replies import BluezError, Reply, in_progress, not_ready

MONITOR: Final = "org.bluez.AdvertisementMonitor1"

MONITOR_WAIT_S: Final = 0.01
MONITOR_TRIES: Final = 100
"""Pause and number of questions to a monitor, seconds: clients export it only after they were answered."""


@dataclass(slots=True)
class _Filter:
    """What a client asked for with ``SetDiscoveryFilter``."""

    uuids: tuple[str, ...] = ()
    rssi_dbm: int | None = None
    pattern: str | None = None

    def passes(self, advert: HeardAdvert) -> bool:
        if self.uuids and not set(self.uuids) & set(advert.service_uuids):
            return False
        if self.rssi_dbm is not None and advert.rssi_dbm < self.rssi_dbm:
            return False
        return (
            self.pattern is None
            or (advert.name or "").startswith(self.pattern)
            or advert.address.startswith(self.pattern)
        )


@dataclass(slots=True)
class _Monitor:
    """A passive scan of a client, with the patterns that it wants to hear."""

    owner: str
    path: str
    patterns: list[tuple[int, int, bytes]] = field(default_factory=list)

    def passes(self, advert: HeardAdvert) -> bool:
        return any(
            kind == wanted and value[start : start + len(content)] == content
            for start, wanted, content in self.patterns
            for kind, value in structures(advert.data)
        )


class Adapter:
    """The adapter object.

    Attributes
    ----------
    present : bool
        Whether it is plugged in.
    """

    def __init__(
        self, bus: Bus, tree: ObjectTree, radio: CentralRadio, devices: Devices, options: FrontOptions
    ) -> None:
        self._bus = bus
        self._tree = tree
        self._radio = radio
        self._devices = devices
        self._options = options
        self._sessions: set[str] = set()
        self._filters: dict[str, _Filter] = {}
        self._monitors: dict[tuple[str, str], _Monitor] = {}
        self.present = True

    @property
    def path(self) -> str:
        """D-Bus path."""
        return self._options.adapter_path

    def interfaces(self) -> Interfaces:
        """Give the adapter's interfaces as they are when it has just been plugged in."""
        return {
            ADAPTER: {
                "Address": Variant("s", self._options.address),
                "AddressType": Variant("s", "public"),
                "Name": Variant("s", "bench"),
                "Alias": Variant("s", "bench"),
                "Class": Variant("u", 0),
                "Powered": Variant("b", True),
                "Discoverable": Variant("b", False),
                "DiscoverableTimeout": Variant("u", 0),
                "Pairable": Variant("b", True),
                "PairableTimeout": Variant("u", 0),
                "Discovering": Variant("b", False),
                "UUIDs": Variant("as", []),
                "Modalias": Variant("s", "usb:v1D6Bp0246d0542"),
                "Roles": Variant("as", ["central", "peripheral"]),
            },
            MONITOR_MANAGER: {
                "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
                "SupportedFeatures": Variant("as", []),
            },
        }

    def publish(self) -> None:
        """Make the adapter's object."""
        self._tree.add(self.path, self.interfaces())

    # --- adverts ------------------------------------------------------------------------------------------------

    def heard(self, advert: HeardAdvert) -> None:
        """Take an advert: it is told where a client looks for it."""
        wanted = any(self._filters.get(client, _Filter()).passes(advert) for client in self._sessions)
        tell = wanted or any(monitor.passes(advert) for monitor in self._monitors.values())
        self._devices.heard(advert, tell=tell)

    async def set_discovery_filter(self, call: Message) -> Reply:
        """Note what a client wants to hear of."""
        asked = {name: value.value for name, value in call.body[0].items()}
        if str(asked.get("Transport", "auto")) not in {"auto", "le", "bredr"}:
            raise BluezError("InvalidArguments", "Invalid arguments in method call")
        self._filters[call.sender or ""] = _Filter(
            uuids=tuple(str(uuid).lower() for uuid in asked.get("UUIDs", [])),
            rssi_dbm=asked.get("RSSI"),
            pattern=asked.get("Pattern"),
        )
        return Reply()

    async def get_discovery_filters(self, _call: Message) -> Reply:
        """Name the filters there are."""
        return Reply("as", [["UUIDs", "RSSI", "Pathloss", "Transport", "DuplicateData", "Discoverable", "Pattern"]])

    async def start_discovery(self, call: Message) -> Reply:
        """Scan actively for a client."""
        if not self._devices.powered:
            raise not_ready()
        client = call.sender or ""
        if client in self._sessions:
            raise in_progress()
        self._sessions.add(client)
        await self._radio.scan("discovery", active=True, filter_duplicates=self._options.duplicate_filter)
        self._tell_discovering()
        return Reply()

    async def stop_discovery(self, call: Message) -> Reply:
        """End a client's scan."""
        if not self._devices.powered:
            raise not_ready()
        if call.sender not in self._sessions:
            raise BluezError("Failed", "No discovery started")
        await self._end_session(call.sender or "")
        return Reply()

    async def _end_session(self, client: str) -> None:
        self._sessions.discard(client)
        if not self._sessions:
            await self._radio.end_scan("discovery")
            self._tell_discovering()
            self._devices.discovery_ended()

    def _tell_discovering(self) -> None:
        properties = self._tree.objects.get(self.path, {}).get(ADAPTER)
        now = bool(self._sessions)
        if properties is not None and properties["Discovering"].value != now:
            self._tree.change(self.path, ADAPTER, {"Discovering": Variant("b", now)})

    # --- monitors -----------------------------------------------------------------------------------------------

    async def register_monitor(self, call: Message) -> Reply:
        """Scan passively for a client, by the patterns that its object names."""
        if not self._devices.powered:
            raise not_ready()
        key = (call.sender or "", str(call.body[0]))
        if key in self._monitors:
            raise BluezError("AlreadyExists", "Already Exists")
        self._monitors[key] = _Monitor(*key)
        return Reply()

    async def read_monitor(self, call: Message) -> None:
        """Ask a client's monitor what it looks for, and listen for that."""
        key = (call.sender or "", str(call.body[0]))
        monitor = self._monitors.get(key)
        if monitor is None:
            return
        found = await self._ask_monitor(monitor)
        if str(getattr(found.get("Type"), "value", "")) != "or_patterns" or key not in self._monitors:
            self._monitors.pop(key, None)
            await self._tell_monitor(monitor, "Release")
            return
        monitor.patterns = [(row[0], row[1], bytes(row[2])) for row in found["Patterns"].value]
        await self._radio.scan("monitors", active=False, filter_duplicates=self._options.duplicate_filter)
        await self._tell_monitor(monitor, "Activate")

    async def _ask_monitor(self, monitor: _Monitor) -> Properties:
        for _ in range(MONITOR_TRIES):
            answer = await self._bus.call(
                Message(
                    destination=monitor.owner,
                    path=monitor.path,
                    interface=PROPERTIES,
                    member="GetAll",
                    signature="s",
                    body=[MONITOR],
                )
            )
            if answer is None:
                break
            if answer.message_type is MessageType.METHOD_RETURN:
                told: Properties = answer.body[0]
                return told
            await asyncio.sleep(MONITOR_WAIT_S)
        return {}

    async def _tell_monitor(self, monitor: _Monitor, member: str) -> None:
        await self._bus.call(Message(destination=monitor.owner, path=monitor.path, interface=MONITOR, member=member))

    async def unregister_monitor(self, call: Message) -> Reply:
        """End a client's passive scan."""
        key = (call.sender or "", str(call.body[0]))
        if self._monitors.pop(key, None) is None:
            raise BluezError("DoesNotExist", "Does Not Exist")
        await self._end_monitors()
        return Reply()

    async def _end_monitors(self) -> None:
        if not self._monitors:
            await self._radio.end_scan("monitors")

    async def peer_gone(self, name: str) -> None:
        """End what a client had going that left the bus."""
        self._filters.pop(name, None)
        self._monitors = {key: monitor for key, monitor in self._monitors.items() if key[0] != name}
        await self._end_monitors()
        if name in self._sessions:
            await self._end_session(name)

    # --- power --------------------------------------------------------------------------------------------------

    async def remove_device(self, call: Message) -> Reply:
        """Forget a device, with its link and its key."""
        await self._devices.forget(str(call.body[0]))
        return Reply()

    async def set_powered(self, on: bool) -> None:
        """Switch the adapter on or off; off ends scans and links."""
        if self._devices.powered == on:
            return
        self._devices.powered = on
        if not on:
            await self._still()
        self._tree.change(self.path, ADAPTER, {"Powered": Variant("b", on)})

    async def _still(self) -> None:
        self._sessions.clear()
        await self._radio.end_scan("discovery")
        await self._radio.end_scan("monitors")
        self._monitors.clear()
        self._tell_discovering()
        await self._devices.drop_links()

    async def unplug(self) -> None:
        """Pull the adapter: its links end, its objects go."""
        if self.present:
            self.present = False
            await self._still()
            self._devices.remove_all()
            self._tree.remove(self.path)

    def start_anew(self) -> None:
        """Begin as a bluetoothd that has just been started: without sessions."""
        self._sessions.clear()
        self._filters.clear()
        self._monitors.clear()
        self._devices.powered = True
        self.publish()

    def plug(self) -> None:
        """Put the adapter back in."""
        if not self.present:
            self.present = True
            self._devices.powered = True
            self.publish()
