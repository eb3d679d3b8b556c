"""A tag's GATT server: declared services on a bumble device, with guards and faults."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from bumble import gatt
from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Connection, Device

from rig.ble.errors import AttRefusedError
from rig.ble.services import Access, GattCharacteristic, GattDescriptor, GattService, Guard

_T = TypeVar("_T")

TAG_MTU: Final = 247
"""Largest ATT packet a tag takes, bytes: what fits one link-layer packet with data length extension (251 - 4)."""

ATT_INSUFFICIENT_AUTHENTICATION: Final = 0x05
ATT_INSUFFICIENT_ENCRYPTION: Final = 0x0F
"""ATT error codes (Core 5.4, volume 3, part F, table 3.4)."""

_ASSIGNED: Final = re.compile("0000([0-9a-f]{4})-0000-1000-8000-00805f9b34fb")

_ACCESS: Final = {
    Access.READ: gatt.Characteristic.Properties.READ,
    Access.WRITE: gatt.Characteristic.Properties.WRITE,
    Access.WRITE_WITHOUT_RESPONSE: gatt.Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
    Access.NOTIFY: gatt.Characteristic.Properties.NOTIFY,
    Access.INDICATE: gatt.Characteristic.Properties.INDICATE,
}


class GattServer:
    """The services of a tag.

    Attributes
    ----------
    reads, writes : int
        Reads and writes that peers have asked for since the start.
    read_delay_s, write_delay_s : float
        How late they are answered (fault).
    read_refusals, write_refusals : dict of UUID to int
        ATT error codes that answer in place of a value (fault).
    extra_guards : dict of UUID to Guard
        What a link must be beyond what was declared (fault).
    notification_length : int, optional
        Bytes that notifications are cut to (fault).
    notifications_to_drop : int
        Notifications yet to be lost (fault).
    value_length : int, optional
        Bytes that all values are cut to, read or notified (fault).
    writes_to_break : int
        Writes during which the link is yet to break (fault), by ``break_link``; they act if ``broken_writes_act``.
    """

    def __init__(self, device: Device, services: Sequence[GattService]) -> None:
        self._device = device
        self.reads = 0
        self.writes = 0
        self.read_delay_s = 0.0
        self.write_delay_s = 0.0
        self.read_refusals: dict[str, int] = {}
        self.write_refusals: dict[str, int] = {}
        self.extra_guards: dict[str, Guard] = {}
        self.notification_length: int | None = None
        self.notifications_to_drop = 0
        self.value_length: int | None = None
        self.writes_to_break = 0
        self.broken_writes_act = False
        self.break_link: Callable[[], None] = lambda: None
        self._attributes: dict[GattCharacteristic, gatt.Characteristic[bytes]] = {}
        device.gatt_server.max_mtu = TAG_MTU
        device.add_services([self._service(service) for service in services])

    async def notify(self, characteristic: GattCharacteristic, value: bytes) -> None:
        """Notify every subscriber."""
        if self.notifications_to_drop > 0:
            self.notifications_to_drop -= 1
            return
        if self.notification_length is not None:
            value = value[: self.notification_length]
        value = value[: self.value_length]
        await self._device.notify_subscribers(self._attributes[characteristic], value)

    async def indicate(self, characteristic: GattCharacteristic, value: bytes) -> None:
        """Indicate to every subscriber and wait until they have confirmed."""
        await self._device.indicate_subscribers(self._attributes[characteristic], value)

    def _service(self, service: GattService) -> gatt.Service:
        return gatt.Service(_uuid(service.uuid), [self._characteristic(each) for each in service.characteristics])

    def _characteristic(self, declared: GattCharacteristic) -> gatt.Characteristic[bytes]:
        properties = gatt.Characteristic.Properties(0)
        for access, bits in _ACCESS.items():
            if access in declared.access:
                properties |= bits

        def read(connection: Connection) -> Awaitable[bytes]:
            return _until_gone(connection, self._read(connection, declared))

        def write(connection: Connection, value: bytes) -> Awaitable[None]:
            return _until_gone(connection, self._write(connection, declared, value))

        permissions = gatt.Characteristic.Permissions.READABLE | gatt.Characteristic.Permissions.WRITEABLE
        made: gatt.Characteristic[bytes] = gatt.Characteristic(
            _uuid(declared.uuid), properties, permissions, gatt.CharacteristicValue(read=read, write=write)
        )
        descriptors = [_descriptor(each) for each in declared.descriptors]
        if declared.read_guard and declared.access & (Access.NOTIFY | Access.INDICATE):
            descriptors.append(
                gatt.Descriptor(
                    gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
                    permissions | gatt.Characteristic.Permissions.WRITE_REQUIRES_ENCRYPTION,
                    self._device.gatt_server.make_descriptor_value(made),
                )
            )
        made.descriptors = descriptors
        self._attributes[declared] = made
        return made

    async def _admit(self, connection: Connection | None, guard: Guard) -> None:
        if guard is Guard.OPEN or connection is None:
            return
        keys = await self._device.keystore.get(str(connection.peer_address)) if self._device.keystore else None
        if not connection.is_encrypted:
            raise ATT_Error(ATT_INSUFFICIENT_ENCRYPTION if keys else ATT_INSUFFICIENT_AUTHENTICATION)
        protected = keys is not None and keys.ltk is not None and keys.ltk.authenticated
        if guard is Guard.AUTHENTICATED and not protected:
            raise ATT_Error(ATT_INSUFFICIENT_AUTHENTICATION)

    async def _read(self, connection: Connection | None, declared: GattCharacteristic) -> bytes:
        self.reads += 1
        await self._admit(connection, max(declared.read_guard, self.extra_guards.get(declared.uuid, Guard.OPEN)))
        if self.read_delay_s:
            await asyncio.sleep(self.read_delay_s)
        if (code := self.read_refusals.get(declared.uuid)) is not None:
            raise ATT_Error(code)
        try:
            value = declared.read() if declared.read is not None else declared.value
            whole = await value if inspect.isawaitable(value) else value
            return whole[: self.value_length]
        except AttRefusedError as refusal:
            raise ATT_Error(refusal.code) from refusal

    async def _write(self, connection: Connection | None, declared: GattCharacteristic, value: bytes) -> None:
        self.writes += 1
        await self._admit(connection, max(declared.write_guard, self.extra_guards.get(declared.uuid, Guard.OPEN)))
        if self.write_delay_s:
            await asyncio.sleep(self.write_delay_s)
        if (code := self.write_refusals.get(declared.uuid)) is not None:
            raise ATT_Error(code)
        if declared.write is None:
            return
        if breaks := self.writes_to_break > 0:
            self.writes_to_break -= 1
        if breaks and not self.broken_writes_act:
            self.break_link()
            return
        try:
            done = declared.write(bytes(value))
            if inspect.isawaitable(done):
                await done
        except AttRefusedError as refusal:
            raise ATT_Error(refusal.code) from refusal
        if breaks:
            self.break_link()


def _uuid(text: str) -> UUID:
    # Assigned UUIDs take two bytes in attributes and answers, as on real tags.
    short = _ASSIGNED.fullmatch(text)
    return UUID(text) if short is None else UUID.from_16_bits(int(short[1], 16))


def _descriptor(declared: GattDescriptor) -> gatt.Descriptor:
    held = bytearray(declared.value)

    def write(_connection: Connection | None, value: bytes) -> None:
        held[:] = value

    return gatt.Descriptor(
        _uuid(declared.uuid),
        gatt.Characteristic.Permissions.READABLE | gatt.Characteristic.Permissions.WRITEABLE,
        gatt.CharacteristicValue(read=lambda _connection: bytes(held), write=write),
    )


def _until_gone(connection: Connection | None, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
    # A handler that outlives its link would answer on the next one: handles are used again.
    return work if connection is None else connection.cancel_on_disconnection(work)
