"""A cheap Find Me tag on the air: one address for life, a beeper and a button."""

from typing import Final

from devices.clock import Clock
from protocols.ble import uuids
from protocols.ble.ad import FLAGS_GENERAL_DISCOVERABLE, FLAGS_NO_BR_EDR, AdvertisementData, encode_ad
from rig.ble.air import Air
from rig.ble.firmware.find_me import BUTTON, BUTTON_SERVICE, FindMeFirmware
from rig.ble.hci_port import HciPort
from rig.ble.peripheral import Peripheral
from rig.ble.services import Access, GattCharacteristic, GattService
from rig.ble.tag_services import (
    alert_service,
    battery_characteristic,
    information_service,
    link_loss_service,
    tx_power_service,
)
from rig.ble.tag_shell import TagShell

INTERVAL_S: Final = 1.0
"""Advertising interval, seconds (a): what a coin cell lasts a year with."""


class FindMeTag(TagShell):
    """A tag of the shops, as the protected person may have one.

    Parameters
    ----------
    port : Air or HciPort
    name : str
        Its name on the bench.
    address : str
    firmware : FindMeFirmware
    clock : Clock
    interval_s : float
    """

    def __init__(
        self,
        port: Air | HciPort,
        *,
        name: str,
        address: str,
        firmware: FindMeFirmware,
        clock: Clock,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__(clock)
        self.firmware = firmware
        self._button = GattCharacteristic(uuid=BUTTON, access=Access.NOTIFY)
        services = [
            GattService(
                uuid=uuids.BATTERY_SERVICE, characteristics=(battery_characteristic(lambda: firmware.battery_pct),)
            ),
            information_service("Find Me tag (emulated)", lambda: "1.0"),
            alert_service(self.writer(firmware.write_alert)),
            link_loss_service(lambda: firmware.link_loss_level, self.writer(firmware.write_link_loss)),
            tx_power_service(),
            GattService(uuid=BUTTON_SERVICE, characteristics=(self._button,)),
        ]
        advert = encode_ad(
            AdvertisementData(
                flags=FLAGS_GENERAL_DISCOVERABLE | FLAGS_NO_BR_EDR,
                service_uuids=(uuids.IMMEDIATE_ALERT_SERVICE, uuids.LINK_LOSS_SERVICE),
                local_name="FindMe",
            )
        )
        self._peripheral = Peripheral(
            port, name=name, address=address, services=services, advert=advert, interval_s=interval_s
        )

    @property
    def peripheral(self) -> Peripheral:
        """The tag on its radio."""
        return self._peripheral

    def press(self) -> None:
        """Press the button."""
        self.firmware.press(self.now_ns())
        self.wake()

    async def _turn(self, t_ns: int) -> int:
        self.firmware.run(t_ns)
        for _ in range(self.firmware.take_presses()):
            await self._peripheral.notify(self._button, b"\x01")
        return self.firmware.next_due_ns()

    def _link_up(self) -> None:
        self.firmware.link_up(self.now_ns())

    def _link_down(self, lost: bool) -> None:
        self.firmware.link_down(self.now_ns(), lost=lost)
