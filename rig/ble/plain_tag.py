"""A plain tag with the standard services: enough to try a radio, a driver or a bench with.

It has a battery, says who it is, beeps by Immediate Alert, and counts its adverts. Firmware models with more to them
stand in `rig.ble.firmware`.
"""

import struct
from typing import Any, Final

from rig.ble.air import Air
from rig.ble.hci_port import HciPort
from rig.ble.pairing import Pairing
from rig.ble.peripheral import Peripheral
from rig.ble.services import Access, GattCharacteristic, GattDescriptor, GattService, Guard


def short(uuid: int) -> str:
    """Write a 16-bit UUID in full."""
    return f"{uuid:08x}-0000-1000-8000-00805f9b34fb"


BATTERY_LEVEL: Final = short(0x2A19)
FIRMWARE_REVISION: Final = short(0x2A26)
DESCRIPTION: Final = short(0x2901)
ALERT_LEVEL: Final = short(0x2A06)
IMMEDIATE_ALERT_SERVICE: Final = short(0x1802)
LINK_LOSS_SERVICE: Final = short(0x1803)

VENDOR_SERVICE: Final = "6b1d0000-52a7-4f0e-9c35-0b7e6a1c2d3f"
COMMAND: Final = "6b1d0001-52a7-4f0e-9c35-0b7e6a1c2d3f"
EVENT: Final = "6b1d0002-52a7-4f0e-9c35-0b7e6a1c2d3f"
SECRET: Final = "6b1d0003-52a7-4f0e-9c35-0b7e6a1c2d3f"
SEALED: Final = "6b1d0004-52a7-4f0e-9c35-0b7e6a1c2d3f"
CONFIRMED: Final = "6b1d0005-52a7-4f0e-9c35-0b7e6a1c2d3f"
"""A service of its own: commands, events, a value for encrypted links, one for those that a passkey protected, and
events that the peer confirms."""

COMPANY_ID: Final = 0xFFFF
"""Company identifier for tests (Bluetooth Assigned Numbers, section 7.1)."""


def _structure(kind: int, value: bytes) -> bytes:
    return bytes([len(value) + 1, kind]) + value


class PlainTag:
    """A tag on the air or on a real controller.

    Parameters
    ----------
    port : Air or HciPort
        Where it lives.
    name : str
        Its name, on the bench and in its scan response.
    address : str
        Its address.
    number : int
        Told in its adverts.
    services_before : int
        Services of no use that stand before the others: a firmware of another layout, with other handles.
    counting : bool
        Whether adverts carry a counter; a constant advert is what BlueZ falls silent on.

    Attributes
    ----------
    peripheral : Peripheral
        The tag's radio, for faults.
    battery_pct, alert_level, link_loss_level : int
        Its state.
    commands : list of bytes
        What was written to it.
    adverts : int
        Advertising events so far.
    """

    def __init__(
        self,
        port: Air | HciPort,
        *,
        name: str = "plain-1",
        address: str = "C0:DE:00:00:00:01",
        number: int = 1,
        interval_s: float = 0.02,
        counting: bool = True,
        pairing: Pairing | str = Pairing.JUST_WORKS,
        passkey: int | None = None,
        firmware: str = "1.4.2",
        services_before: int = 0,
        **more: Any,
    ) -> None:
        self.name = name
        self.number = number
        self.battery_pct = 87
        self.alert_level = 0
        self.link_loss_level = 0
        self.commands: list[bytes] = []
        self.adverts = 0
        self._counting = counting
        self.battery = GattCharacteristic(
            uuid=BATTERY_LEVEL, access=Access.READ | Access.NOTIFY, read=lambda: bytes([self.battery_pct])
        )
        self.event = GattCharacteristic(uuid=EVENT, access=Access.NOTIFY)
        self.confirmed = GattCharacteristic(uuid=CONFIRMED, access=Access.INDICATE)
        padding = GattService(uuid=short(0x1811), characteristics=())
        self.services = (padding,) * services_before + self._services(firmware)
        self.peripheral = Peripheral(
            port,
            name=name,
            address=address,
            services=self.services,
            advert=self._advert,
            interval_s=interval_s,
            pairing=Pairing(pairing),
            passkey=passkey,
            **more,
        )

    async def start(self) -> None:
        """Switch it on."""
        await self.peripheral.start()

    async def stop(self) -> None:
        """Switch it off."""
        await self.peripheral.stop()

    async def tell(self, value: bytes) -> None:
        """Notify subscribers of `EVENT`."""
        await self.peripheral.notify(self.event, value)

    def _advert(self) -> tuple[bytes, bytes]:
        self.adverts += 1
        counter = self.adverts & 0xFFFF if self._counting else 0
        told = struct.pack("<HHHB", COMPANY_ID, self.number, counter, self.battery_pct)
        data = (
            _structure(0x01, b"\x06")
            + _structure(0x03, struct.pack("<H", 0x1802))
            + _structure(0x0A, b"\xfc")
            + _structure(0xFF, told)
        )
        return data, _structure(0x09, self.name.encode())

    def _services(self, firmware: str) -> tuple[GattService, ...]:
        def beep(value: bytes) -> None:
            self.alert_level = value[0] if value else 0

        def on_loss(value: bytes) -> None:
            self.link_loss_level = value[0] if value else 0

        def text(uuid: int, value: str) -> GattCharacteristic:
            return GattCharacteristic(uuid=short(uuid), access=Access.READ, value=value.encode())

        alert = GattCharacteristic(uuid=ALERT_LEVEL, access=Access.WRITE_WITHOUT_RESPONSE, write=beep)
        loss = GattCharacteristic(
            uuid=ALERT_LEVEL,
            access=Access.READ | Access.WRITE,
            read=lambda: bytes([self.link_loss_level]),
            write=on_loss,
        )
        command = GattCharacteristic(
            uuid=COMMAND,
            access=Access.READ | Access.WRITE | Access.WRITE_WITHOUT_RESPONSE,
            read=lambda: b"".join(self.commands[-1:]),
            write=self.commands.append,
            descriptors=(GattDescriptor(uuid=DESCRIPTION, value=b"command"),),
        )
        secret = GattCharacteristic(uuid=SECRET, access=Access.READ, value=b"secret", read_guard=Guard.ENCRYPTED)
        sealed = GattCharacteristic(
            uuid=SEALED,
            access=Access.READ | Access.WRITE,
            value=b"sealed",
            read_guard=Guard.AUTHENTICATED,
            write_guard=Guard.AUTHENTICATED,
        )
        return (
            GattService(uuid=short(0x180F), characteristics=(self.battery,)),
            GattService(
                uuid=short(0x180A),
                characteristics=(text(0x2A29, "Bench"), text(0x2A24, "PT-1"), text(0x2A26, firmware)),
            ),
            GattService(uuid=IMMEDIATE_ALERT_SERVICE, characteristics=(alert,)),
            GattService(uuid=LINK_LOSS_SERVICE, characteristics=(loss,)),
            GattService(uuid=short(0x1804), characteristics=(text(0x2A07, "\x00"),)),
            GattService(uuid=VENDOR_SERVICE, characteristics=(command, self.event, secret, sealed, self.confirmed)),
        )
