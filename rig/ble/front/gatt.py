"""GattService1, GattCharacteristic1, GattDescriptor1: a tag's services as D-Bus objects while it is connected."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from dbus_fast import Message, Variant

from rig.ble.errors import AttRefusedError, LinkGoneError
from rig.ble.front.objects import CHARACTERISTIC, DESCRIPTOR, SERVICE, ObjectTree
from rig.ble.front.replies import BluezError, Reply, att_error, in_progress, not_connected
from rig.ble.gatt_link import CentralLink, FoundCharacteristic, FoundService

_HIDDEN = ("00001800", "00001801")
"""GAP and GATT services, which bluetoothd keeps for itself."""

_SWITCH = "00002902"
"""What switches notifications (CCCD): bluetoothd writes it, clients may not."""

_ATT_HEADER = 3
"""Bytes of an ATT write or notification beside its value."""


@dataclass(slots=True)
class _Attribute:
    """A characteristic or descriptor object: its link, its handle, what is going on with it."""

    link: CentralLink
    handle: int
    flags: tuple[str, ...] = ()
    is_switch: bool = False
    reading: bool = False
    writing: bool = False
    subscribers: set[str] = field(default_factory=set)
    notify_socket: socket.socket | None = None
    write_socket: socket.socket | None = None


class GattObjects:
    """Makes, serves and removes the GATT objects of connected devices."""

    def __init__(self, tree: ObjectTree) -> None:
        self._tree = tree
        self._attributes: dict[str, _Attribute] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.notifications_dropped = 0

    # --- objects ------------------------------------------------------------------------------------------------

    def publish(self, device_path: str, link: CentralLink, services: Sequence[FoundService]) -> None:
        """Make the objects of a device's services."""
        for service in services:
            if service.uuid.startswith(_HIDDEN):
                continue
            path = f"{device_path}/service{service.handle:04x}"
            self._tree.add(
                path,
                {
                    SERVICE: {
                        "UUID": Variant("s", service.uuid),
                        "Primary": Variant("b", True),
                        "Device": Variant("o", device_path),
                        "Includes": Variant("ao", []),
                    }
                },
            )
            for characteristic in service.characteristics:
                self._publish_characteristic(path, link, characteristic)

    def _publish_characteristic(self, service_path: str, link: CentralLink, found: FoundCharacteristic) -> None:
        # BlueZ names a characteristic by the handle of its declaration, one before its value.
        path = f"{service_path}/char{found.handle - 1:04x}"
        properties = {
            "UUID": Variant("s", found.uuid),
            "Service": Variant("o", service_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", list(found.flags)),
            "MTU": Variant("q", link.mtu),
        }
        if {"notify", "indicate"} & set(found.flags):
            properties["Notifying"] = Variant("b", False)
        if "notify" in found.flags:
            properties["NotifyAcquired"] = Variant("b", False)
        if "write-without-response" in found.flags:
            properties["WriteAcquired"] = Variant("b", False)
        self._attributes[path] = _Attribute(link, found.handle, found.flags)
        self._tree.add(path, {CHARACTERISTIC: properties})
        for descriptor in found.descriptors:
            below = f"{path}/desc{descriptor.handle:04x}"
            switch = descriptor.uuid.startswith(_SWITCH)
            self._attributes[below] = _Attribute(link, descriptor.handle, is_switch=switch)
            self._tree.add(
                below,
                {
                    DESCRIPTOR: {
                        "UUID": Variant("s", descriptor.uuid),
                        "Characteristic": Variant("o", path),
                        "Value": Variant("ay", b""),
                        "Flags": Variant("as", []),
                    }
                },
            )

    def withdraw(self, device_path: str) -> None:
        """Remove the objects of a device; sockets that clients hold come to their end."""
        for path in self._tree.under(device_path):
            if (attribute := self._attributes.pop(path, None)) is not None:
                self._release(attribute.notify_socket)
                self._release(attribute.write_socket)
            self._tree.remove(path)

    async def peer_gone(self, name: str) -> None:
        """Stop notifications that only a client wanted that left the bus."""
        for path, attribute in list(self._attributes.items()):
            if name in attribute.subscribers:
                with contextlib.suppress(BluezError):
                    await self._unsubscribe(path, attribute, name)

    async def close(self) -> None:
        """Give back sockets and tasks."""
        for attribute in self._attributes.values():
            self._release(attribute.notify_socket)
            self._release(attribute.write_socket)
        self._attributes.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    def _release(sock: socket.socket | None) -> None:
        if sock is not None and sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _find(self, call: Message) -> _Attribute:
        attribute = self._attributes.get(call.path or "")
        if attribute is None or attribute.link.lost:
            raise not_connected()
        return attribute

    # --- values -------------------------------------------------------------------------------------------------

    async def read_value(self, call: Message) -> Reply:
        """Read, from an offset where one is asked for."""
        attribute = self._find(call)
        if attribute.flags and "read" not in attribute.flags:
            raise att_error(0x02)
        if attribute.reading:
            raise in_progress()
        offset = int(_option(call.body[0], "offset", 0))
        attribute.reading = True
        try:
            value = await attribute.link.read(attribute.handle)
        except AttRefusedError as exc:
            raise att_error(exc.code) from exc
        except LinkGoneError as exc:
            raise not_connected() from exc
        finally:
            attribute.reading = False
        if offset > len(value):
            raise att_error(0x07)
        interface = CHARACTERISTIC if attribute.flags else DESCRIPTOR
        # bluetoothd tells what was read to everybody; bleak counts that as no notification of its own.
        self._tree.objects.get(call.path or "", {}).get(interface, {})["Value"] = Variant("ay", value)
        return Reply("ay", [value[offset:]])

    async def write_value(self, call: Message) -> Reply:
        """Write, as a request or a command."""
        attribute = self._find(call)
        value = bytes(call.body[0])
        if attribute.is_switch:
            raise att_error(0x03)
        response = self._wants_response(attribute, str(_option(call.body[1], "type", "")))
        if not response and len(value) > attribute.link.mtu - _ATT_HEADER:
            raise BluezError("Failed", "Failed to initiate write")
        if attribute.writing and response:
            raise in_progress()
        attribute.writing = True
        try:
            await attribute.link.write(attribute.handle, value, response=response)
        except AttRefusedError as exc:
            raise att_error(exc.code) from exc
        except LinkGoneError as exc:
            raise not_connected() from exc
        finally:
            attribute.writing = False
        return Reply()

    @staticmethod
    def _wants_response(attribute: _Attribute, kind: str) -> bool:
        if not attribute.flags:
            return True
        can_request = "write" in attribute.flags
        can_command = "write-without-response" in attribute.flags
        if kind in {"", "request"} and can_request:
            return True
        if kind in {"", "command"} and can_command:
            return False
        raise att_error(0x03 if not (can_request or can_command) else 0x06)

    # --- notifications ------------------------------------------------------------------------------------------

    async def start_notify(self, call: Message) -> Reply:
        """Tell every notification as a change of ``Value``."""
        path, attribute = call.path or "", self._find(call)
        self._must_notify(attribute)
        if attribute.notify_socket is not None:
            raise BluezError("NotPermitted", "Notify acquired")
        if call.sender in attribute.subscribers:
            raise in_progress()
        first = not attribute.subscribers
        attribute.subscribers.add(call.sender or "")
        if first:
            try:
                await self._subscribe(path, attribute)
            except BaseException:
                attribute.subscribers.discard(call.sender or "")
                raise
            self._tree.change(path, CHARACTERISTIC, {"Notifying": Variant("b", True)})
        return Reply()

    async def stop_notify(self, call: Message) -> Reply:
        """Stop what `start_notify` began for this client."""
        attribute = self._find(call)
        if call.sender not in attribute.subscribers:
            raise BluezError("Failed", "No notify session started")
        await self._unsubscribe(call.path or "", attribute, call.sender or "")
        return Reply()

    @staticmethod
    def _must_notify(attribute: _Attribute) -> None:
        if not {"notify", "indicate"} & set(attribute.flags):
            raise BluezError("NotSupported", "Operation is not supported")

    async def _subscribe(self, path: str, attribute: _Attribute) -> None:
        def told(value: bytes) -> None:
            sock = attribute.notify_socket
            if sock is None:
                self._tree.change(path, CHARACTERISTIC, {"Value": Variant("ay", bytes(value))})
                return
            try:
                sock.send(bytes(value))
            except OSError:
                self.notifications_dropped += 1

        try:
            await attribute.link.subscribe(attribute.handle, told)
        except AttRefusedError as exc:
            raise att_error(exc.code) from exc
        except LinkGoneError as exc:
            raise not_connected() from exc

    async def _unsubscribe(self, path: str, attribute: _Attribute, client: str) -> None:
        attribute.subscribers.discard(client)
        if attribute.subscribers:
            return
        try:
            await attribute.link.unsubscribe(attribute.handle)
        except AttRefusedError as exc:
            raise att_error(exc.code) from exc
        except LinkGoneError as exc:
            raise not_connected() from exc
        self._tree.change(path, CHARACTERISTIC, {"Notifying": Variant("b", False)})

    # --- sockets ------------------------------------------------------------------------------------------------

    async def acquire_notify(self, call: Message) -> Reply:
        """Hand out a socket on which notifications arrive, one packet each."""
        path, attribute = call.path or "", self._find(call)
        self._must_notify(attribute)
        if attribute.notify_socket is not None or attribute.subscribers:
            raise BluezError("NotPermitted", "Notify acquired")
        ours, theirs = _socket_pair()
        attribute.notify_socket = ours
        try:
            await self._subscribe(path, attribute)
        except BaseException:
            attribute.notify_socket = None
            ours.close()
            theirs.close()
            raise
        self._tree.change(path, CHARACTERISTIC, {"NotifyAcquired": Variant("b", True)})
        asyncio.get_running_loop().add_reader(ours, self._notify_released, path, attribute, ours)
        return Reply("hq", [0, attribute.link.mtu], [theirs.detach()])

    def _notify_released(self, path: str, attribute: _Attribute, ours: socket.socket) -> None:
        self._release(ours)
        attribute.notify_socket = None
        self._tree.change(path, CHARACTERISTIC, {"NotifyAcquired": Variant("b", False)})

        async def stop() -> None:
            with contextlib.suppress(AttRefusedError, LinkGoneError):
                await attribute.link.unsubscribe(attribute.handle)

        self._spawn(stop())

    async def acquire_write(self, call: Message) -> Reply:
        """Hand out a socket on which each packet is a write without response."""
        path, attribute = call.path or "", self._find(call)
        if "write-without-response" not in attribute.flags:
            raise BluezError("NotSupported", "Operation is not supported")
        if attribute.write_socket is not None:
            raise BluezError("NotPermitted", "Write acquired")
        ours, theirs = _socket_pair()
        attribute.write_socket = ours
        self._tree.change(path, CHARACTERISTIC, {"WriteAcquired": Variant("b", True)})
        asyncio.get_running_loop().add_reader(ours, self._written, path, attribute, ours)
        return Reply("hq", [0, attribute.link.mtu], [theirs.detach()])

    def _written(self, path: str, attribute: _Attribute, ours: socket.socket) -> None:
        try:
            value = os.read(ours.fileno(), attribute.link.mtu)
        except BlockingIOError:
            return
        except OSError:
            value = b""
        if not value:
            self._release(ours)
            attribute.write_socket = None
            self._tree.change(path, CHARACTERISTIC, {"WriteAcquired": Variant("b", False)})
            return

        async def write() -> None:
            with contextlib.suppress(AttRefusedError, LinkGoneError):
                await attribute.link.write(attribute.handle, value, response=False)

        self._spawn(write())

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def _option(options: dict[str, Variant], name: str, default: object) -> "int | str":
    found = options.get(name)
    value = default if found is None else found.value
    assert isinstance(value, int | str)
    return value
