"""GATT services of the emulated tags: what is there, who may touch it, and which method of the firmware it ends in."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from protocols.ble import uuids
from protocols.ble.gatt import encode_current_time, encode_ln_feature, encode_text, encode_tx_power
from rig.ble.firmware.location import LN_FEATURES
from rig.ble.firmware.outbox import TagChannel
from rig.ble.services import Access, GattCharacteristic, GattService, Guard, Writer

if TYPE_CHECKING:
    from rig.ble.smp_server import SmpGatt
    from rig.ble.victim import VictimTag

TX_POWER_DBM: Final = 0
"""What the Tx Power service tells, dBm."""


class SmartTagServices:
    """The standard services, so that a Find Me locator can use the tag too, and the smart tag service.

    Attributes
    ----------
    all : list of GattService
    notified : dict of TagChannel to GattCharacteristic
    located : GattCharacteristic or None
        Location and Speed.
    """

    def __init__(
        self, tag: "VictimTag", *, guard: Guard, read_location: Callable[[], bytes] | None, smp: "SmpGatt | None"
    ) -> None:
        firmware = tag.firmware
        battery = battery_characteristic(lambda: firmware.battery_pct)
        state = GattCharacteristic(
            uuid=uuids.TAG_STATE,
            access=Access.READ | Access.NOTIFY,
            read=lambda: firmware.read_state(tag.now_ns()),
            read_guard=guard,
        )
        event = GattCharacteristic(uuid=uuids.TAG_EVENT, access=Access.NOTIFY, read_guard=guard)
        sighting = GattCharacteristic(uuid=uuids.TAG_SIGHTING, access=Access.NOTIFY, read_guard=guard)
        self.notified = {
            TagChannel.BATTERY: battery,
            TagChannel.STATE: state,
            TagChannel.EVENT: event,
            TagChannel.SIGHTING: sighting,
        }
        clock = GattCharacteristic(
            uuid=uuids.CURRENT_TIME,
            access=Access.READ | Access.WRITE,
            read=lambda: encode_current_time(firmware.utc_ns(tag.now_ns())),
            write=tag.writer(firmware.write_clock),
            write_guard=guard,
        )
        warn = GattCharacteristic(
            uuid=uuids.TAG_WARN, access=Access.WRITE, write=tag.writer(firmware.write_warn), write_guard=guard
        )
        keys = GattCharacteristic(
            uuid=uuids.TAG_KEYS,
            access=Access.WRITE,
            write=tag.writer(firmware.write_keys),
            write_guard=Guard.AUTHENTICATED,
        )
        self.all = [
            GattService(uuid=uuids.BATTERY_SERVICE, characteristics=(battery,)),
            information_service("smart tag (emulated)", lambda: "0.0.0" if tag.smp is None else tag.smp.version),
            alert_service(tag.writer(firmware.write_alert)),
            link_loss_service(lambda: firmware.link_loss_level, tag.writer(firmware.write_link_loss)),
            tx_power_service(),
            GattService(uuid=uuids.CURRENT_TIME_SERVICE, characteristics=(clock,)),
            GattService(uuid=uuids.SMART_TAG_SERVICE, characteristics=(state, warn, event, sighting, keys)),
        ]
        self.located: GattCharacteristic | None = None
        if read_location is not None:
            self.located = GattCharacteristic(
                uuid=uuids.LOCATION_AND_SPEED, access=Access.NOTIFY, read=read_location, read_guard=guard
            )
            feature = GattCharacteristic(
                uuid=uuids.LN_FEATURE, access=Access.READ, value=encode_ln_feature(LN_FEATURES)
            )
            self.all.append(
                GattService(uuid=uuids.LOCATION_AND_NAVIGATION_SERVICE, characteristics=(feature, self.located))
            )
        if smp is not None:
            self.all.append(smp.service)


def battery_characteristic(read_pct: Callable[[], int]) -> GattCharacteristic:
    """Battery Level."""
    return GattCharacteristic(
        uuid=uuids.BATTERY_LEVEL, access=Access.READ | Access.NOTIFY, read=lambda: bytes([read_pct()])
    )


def information_service(model: str, read_version: Callable[[], str]) -> GattService:
    """Device Information, without a serial number: it would be the same in every slot."""
    return GattService(
        uuid=uuids.DEVICE_INFORMATION_SERVICE,
        characteristics=(
            GattCharacteristic(uuid=uuids.MANUFACTURER_NAME, access=Access.READ, value=encode_text("tagrig")),
            GattCharacteristic(uuid=uuids.MODEL_NUMBER, access=Access.READ, value=encode_text(model)),
            GattCharacteristic(
                uuid=uuids.FIRMWARE_REVISION, access=Access.READ, read=lambda: encode_text(read_version())
            ),
        ),
    )


def alert_service(write: Writer) -> GattService:
    """Immediate Alert."""
    level = GattCharacteristic(uuid=uuids.ALERT_LEVEL, access=Access.WRITE_WITHOUT_RESPONSE, write=write)
    return GattService(uuid=uuids.IMMEDIATE_ALERT_SERVICE, characteristics=(level,))


def link_loss_service(read_level: Callable[[], int], write: Writer) -> GattService:
    """Link Loss."""
    level = GattCharacteristic(
        uuid=uuids.ALERT_LEVEL, access=Access.READ | Access.WRITE, read=lambda: bytes([read_level()]), write=write
    )
    return GattService(uuid=uuids.LINK_LOSS_SERVICE, characteristics=(level,))


def tx_power_service() -> GattService:
    """Tx Power."""
    power = GattCharacteristic(uuid=uuids.TX_POWER_LEVEL, access=Access.READ, value=encode_tx_power(TX_POWER_DBM))
    return GattService(uuid=uuids.TX_POWER_SERVICE, characteristics=(power,))
