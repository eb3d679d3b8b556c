"""The tree of D-Bus objects, and the signals that tell of its changes."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from dbus_fast import Message, MessageType, Variant

from rig.ble.front.replies import BluezError, unknown_object

OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
SERVICE: Final = "org.bluez.GattService1"
CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
DESCRIPTOR: Final = "org.bluez.GattDescriptor1"
AGENT_MANAGER: Final = "org.bluez.AgentManager1"
MONITOR_MANAGER: Final = "org.bluez.AdvertisementMonitorManager1"

Properties = dict[str, Variant]
Interfaces = dict[str, Properties]


class Bus(Protocol):
    """What the front needs of a bus."""

    def send(self, message: Message) -> None:
        """Send a signal or a reply."""

    async def call(self, message: Message) -> Message | None:
        """Call a client; None where it is gone."""


class ObjectTree:
    """Objects with their interfaces and properties."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.objects: dict[str, Interfaces] = {}

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[object]) -> None:
        self._bus.send(
            Message(
                message_type=MessageType.SIGNAL,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
        )

    def has(self, path: str | None, interface: str) -> bool:
        """Tell whether an object has an interface."""
        return path is not None and interface in self.objects.get(path, {})

    def properties(self, path: str | None, interface: str) -> Properties:
        """Give an object's properties.

        Raises
        ------
        BluezError
            There is no such object or interface.
        """
        if path is None or path not in self.objects:
            raise unknown_object(path)
        if interface not in self.objects[path]:
            raise BluezError("org.freedesktop.DBus.Error.UnknownInterface", f"{path} has no {interface}")
        return self.objects[path][interface]

    def add(self, path: str, interfaces: Interfaces) -> None:
        """Add an object and tell it."""
        self.objects[path] = interfaces
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def remove(self, path: str) -> None:
        """Remove an object and tell it."""
        interfaces = self.objects.pop(path, None)
        if interfaces is not None:
            self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def under(self, path: str) -> list[str]:
        """Give the paths below one, deepest last added first."""
        return [each for each in reversed(self.objects) if each.startswith(path + "/")]

    def change(
        self, path: str, interface: str, changed: Mapping[str, Variant], invalidated: Sequence[str] = ()
    ) -> None:
        """Change properties and tell it, also where the values are equal: notifications are told this way."""
        properties = self.objects.get(path, {}).get(interface)
        if properties is None:
            return
        properties.update(changed)
        gone = [name for name in invalidated if properties.pop(name, None) is not None]
        if changed or gone:
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, dict(changed), gone])
