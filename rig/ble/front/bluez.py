"""The service ``org.bluez`` itself: takes method calls from the bus and gives them to who knows."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from dbus_fast import Message, MessageFlag, Variant

from rig.ble.central import CentralRadio
from rig.ble.front.adapter import Adapter
from rig.ble.front.agents import Agents
from rig.ble.front.devices import Devices
from rig.ble.front.gatt import GattObjects
from rig.ble.front.hooks import Hooks
from rig.ble.front.objects import (
    ADAPTER,
    AGENT_MANAGER,
    CHARACTERISTIC,
    DESCRIPTOR,
    DEVICE,
    MONITOR_MANAGER,
    OBJECT_MANAGER,
    PROPERTIES,
    Bus,
    ObjectTree,
)
from rig.ble.front.options import FrontOptions
from rig.ble.front.replies import BluezError, Reply, unknown_object

_log: Final = logging.getLogger(__name__)

BLUEZ_PATH: Final = "/org/bluez"

Method = Callable[[Message], Awaitable[Reply]]


class BluezFront:
    """The emulated bluetoothd.

    Parameters
    ----------
    bus : Bus
        Where clients are.
    radio : CentralRadio
        The adapter's radio.
    options : FrontOptions
        How it behaves where real ones differ.

    Attributes
    ----------
    hooks : Hooks
        Faults of single methods.
    running : bool
        Off: bluetoothd has died, the bus goes on.
    """

    def __init__(self, bus: Bus, radio: CentralRadio, options: FrontOptions) -> None:
        self._bus = bus
        self.options = options
        self.radio = radio
        self.system_passkey = options.system_passkey
        self.tree = ObjectTree(bus)
        self.hooks = Hooks()
        self.agents = Agents(bus, lambda: self.system_passkey)
        self.gatt = GattObjects(self.tree)
        self.devices = Devices(self.tree, radio, self.gatt, self.agents, options)
        self.adapter = Adapter(bus, self.tree, radio, self.devices, options)
        self.running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods: dict[tuple[str, str], Method] = {
            (OBJECT_MANAGER, "GetManagedObjects"): self._get_managed_objects,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "GetAll"): self._get_all,
            (PROPERTIES, "Set"): self._set,
            (ADAPTER, "SetDiscoveryFilter"): self.adapter.set_discovery_filter,
            (ADAPTER, "GetDiscoveryFilters"): self.adapter.get_discovery_filters,
            (ADAPTER, "StartDiscovery"): self.adapter.start_discovery,
            (ADAPTER, "StopDiscovery"): self.adapter.stop_discovery,
            (ADAPTER, "RemoveDevice"): self.adapter.remove_device,
            (MONITOR_MANAGER, "RegisterMonitor"): self.adapter.register_monitor,
            (MONITOR_MANAGER, "UnregisterMonitor"): self.adapter.unregister_monitor,
            (AGENT_MANAGER, "RegisterAgent"): self.agents.register,
            (AGENT_MANAGER, "UnregisterAgent"): self.agents.unregister,
            (AGENT_MANAGER, "RequestDefaultAgent"): self.agents.request_default,
            (DEVICE, "Connect"): self.devices.connect,
            (DEVICE, "Disconnect"): self.devices.disconnect,
            (DEVICE, "Pair"): self.devices.pair,
            (DEVICE, "CancelPairing"): self.devices.cancel_pairing,
            (CHARACTERISTIC, "ReadValue"): self.gatt.read_value,
            (CHARACTERISTIC, "WriteValue"): self.gatt.write_value,
            (CHARACTERISTIC, "StartNotify"): self.gatt.start_notify,
            (CHARACTERISTIC, "StopNotify"): self.gatt.stop_notify,
            (CHARACTERISTIC, "AcquireNotify"): self.gatt.acquire_notify,
            (CHARACTERISTIC, "AcquireWrite"): self.gatt.acquire_write,
            (DESCRIPTOR, "ReadValue"): self.gatt.read_value,
            (DESCRIPTOR, "WriteValue"): self.gatt.write_value,
        }

    @property
    def methods(self) -> frozenset[tuple[str, str]]:
        """Interface and name of every method that is answered."""
        return frozenset(self._methods)

    async def start(self) -> None:
        """Switch the radio on and make the first objects."""
        await self.radio.start()
        self.radio.on_advert.append(self.adapter.heard)
        self.tree.objects[BLUEZ_PATH] = {AGENT_MANAGER: {}}
        self.adapter.publish()
        self.running = True

    async def stop(self) -> None:
        """End calls, links and scans; nothing is left running."""
        self.running = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.devices.close()
        await self.devices.drop_links()
        await self.gatt.close()
        await self.radio.stop()

    async def die(self) -> None:
        """Die as a process does: no call is answered, objects are gone, nobody is told. The kernel ends the links."""
        self.running = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.devices.silently_forget()
        await self.gatt.close()
        for link in list(self.radio.links):
            await link.disconnect()
        self.tree.objects.clear()

    def revive(self) -> None:
        """Start anew: no client is known, no device but what is heard again."""
        self.running = True
        self.tree.objects[BLUEZ_PATH] = {AGENT_MANAGER: {}}
        self.adapter.start_anew()

    # --- calls --------------------------------------------------------------------------------------------------

    def on_call(self, call: Message) -> None:
        """Take a method call from the bus."""
        self._spawn(self._serve(call))

    def on_peer_gone(self, name: str) -> None:
        """Clean up after a client that left the bus."""
        self.agents.peer_gone(name)
        if self.running:
            self._spawn(self.adapter.peer_gone(name))
            self._spawn(self.gatt.peer_gone(name))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            _log.error("the emulated org.bluez failed", exc_info=exc)

    async def _serve(self, call: Message) -> None:
        descriptors: list[int] = []
        try:
            done = await self._run(call)
            descriptors = done.descriptors
            reply = Message.new_method_return(call, done.signature, done.body, descriptors)
        except BluezError as exc:
            reply = Message.new_error(call, exc.name, exc.text)
        if MessageFlag.NO_REPLY_EXPECTED not in call.flags:
            self._bus.send(reply)
        for descriptor in descriptors:
            os.close(descriptor)
        if call.member == "RegisterMonitor" and not isinstance(reply.error_name, str):
            await self.adapter.read_monitor(call)

    async def _run(self, call: Message) -> Reply:
        if not self.running:
            raise BluezError("org.freedesktop.DBus.Error.ServiceUnknown", "The name org.bluez has no owner")
        hook = self.hooks.take(call.member, call.path)
        if hook is not None and not hook.after:
            await self.hooks.suffer(hook)
        method = self._methods.get((call.interface or "", call.member or ""))
        if call.path != "/" and call.path not in self.tree.objects:
            raise unknown_object(call.path)
        if method is None:
            raise BluezError(
                "org.freedesktop.DBus.Error.UnknownMethod", f"{call.interface} has no method {call.member}"
            )
        if call.interface not in {OBJECT_MANAGER, PROPERTIES}:
            self.tree.properties(call.path, call.interface or "")
        done = await method(call)
        if hook is not None and hook.after:
            await self.hooks.suffer(hook)
        return done

    async def _get_managed_objects(self, _call: Message) -> Reply:
        return Reply("a{oa{sa{sv}}}", [dict(self.tree.objects)])

    async def _get(self, call: Message) -> Reply:
        interface, name = call.body
        properties = self.tree.properties(call.path, interface)
        if name not in properties:
            raise BluezError("org.freedesktop.DBus.Error.InvalidArgs", f"No such property '{name}'")
        return Reply("v", [properties[name]])

    async def _get_all(self, call: Message) -> Reply:
        return Reply("a{sv}", [dict(self.tree.properties(call.path, call.body[0]))])

    async def _set(self, call: Message) -> Reply:
        interface, name, value = call.body
        properties = self.tree.properties(call.path, interface)
        writable = {ADAPTER: {"Powered", "Alias", "Discoverable", "Pairable"}, DEVICE: {"Trusted", "Blocked", "Alias"}}
        if name not in writable.get(interface, set()):
            raise BluezError("org.freedesktop.DBus.Error.PropertyReadOnly", f"Property '{name}' is not writable")
        if name == "Powered":
            await self.adapter.set_powered(bool(value.value))
        elif properties[name].value != value.value:
            self.tree.change(call.path or "", interface, {name: Variant(value.signature, value.value)})
        return Reply()
