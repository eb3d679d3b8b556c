"""What a connected tag offers, by handle: our smart tag, or a plain Find Me or Proximity tag."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from devices.ble_link import Characteristic
from protocols.ble import uuids
from protocols.ble.gatt import (
    decode_battery_level,
    decode_location_and_speed,
    decode_pnp_id,
    decode_system_id,
    decode_text,
)
from protocols.ble.smart_tag import decode_sighting, decode_tag_event, decode_tag_state
from protocols.rejects import Reject
from protocols.reports import BleReport, DeviceInformation, TagEvent, TagEventKind

Decoder = Callable[[bytes], BleReport | Reject]

BUTTON_SERVICE = uuids.expand_uuid(0xFFE0)
BUTTON = uuids.expand_uuid(0xFFE1)
"""Where the common key finders notify a press of their button. No standard says so; their makers all copied it."""

_TEXTS = {
    "manufacturer": uuids.MANUFACTURER_NAME,
    "model": uuids.MODEL_NUMBER,
    "serial": uuids.SERIAL_NUMBER,
    "hardware": uuids.HARDWARE_REVISION,
    "firmware": uuids.FIRMWARE_REVISION,
    "software": uuids.SOFTWARE_REVISION,
}
"""Field of ``DeviceInformation`` and the characteristic it comes from."""

_REPORTS: Mapping[tuple[str, str], Decoder] = {
    (uuids.SMART_TAG_SERVICE, uuids.TAG_EVENT): decode_tag_event,
    (uuids.SMART_TAG_SERVICE, uuids.TAG_STATE): decode_tag_state,
    (uuids.SMART_TAG_SERVICE, uuids.TAG_SIGHTING): decode_sighting,
    (uuids.BATTERY_SERVICE, uuids.BATTERY_LEVEL): decode_battery_level,
    (uuids.LOCATION_AND_NAVIGATION_SERVICE, uuids.LOCATION_AND_SPEED): decode_location_and_speed,
}
"""What is notified and read as a report, events first: they are subscribed to in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A characteristic that gives reports."""

    characteristic: Characteristic
    decode: Decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class TagProfile:
    """Where in a tag's services things are.

    Attributes
    ----------
    warn, keys, clock : Characteristic or None
        Of our smart tag.
    state : Source or None
    immediate_alert, link_loss_alert : Characteristic or None
        Both are Alert Level (0x2A06), in two services.
    sources : tuple of Source
        What gives reports, in the order of subscription.
    information : Mapping[str, Characteristic]
        Fields of ``DeviceInformation``.
    pulse : Characteristic or None
        What is read to see whether the tag still answers.
    """

    warn: Characteristic | None = None
    keys: Characteristic | None = None
    clock: Characteristic | None = None
    state: Source | None = None
    immediate_alert: Characteristic | None = None
    link_loss_alert: Characteristic | None = None
    sources: tuple[Source, ...] = ()
    information: Mapping[str, Characteristic] = field(default_factory=dict)
    pulse: Characteristic | None = None

    @property
    def is_smart(self) -> bool:
        """Whether it is our smart tag, which says when it warns."""
        return self.warn is not None and self.state is not None

    @property
    def can_warn(self) -> bool:
        """Whether the person can be reached through it at all."""
        return self.is_smart or self.immediate_alert is not None

    def describe(self) -> str:
        """Name the profile in a few words."""
        if self.is_smart:
            return "smart tag"
        if self.immediate_alert is not None:
            return "Proximity tag" if self.link_loss_alert is not None else "Find Me tag"
        return "no tag that can warn"


def read_profile(characteristics: tuple[Characteristic, ...]) -> TagProfile:
    """Find a tag's characteristics, each within its service; of two alike the first counts."""
    found: dict[tuple[str, str], Characteristic] = {}
    for characteristic in characteristics:
        found.setdefault((characteristic.service_uuid, characteristic.uuid), characteristic)
    sources = tuple(
        Source(characteristic=found[place], decode=decode) for place, decode in _REPORTS.items() if place in found
    )
    if (BUTTON_SERVICE, BUTTON) in found:
        sources += (Source(characteristic=found[BUTTON_SERVICE, BUTTON], decode=_ButtonPresses()),)
    information = {
        name: found[uuids.DEVICE_INFORMATION_SERVICE, uuid]
        for name, uuid in (*_TEXTS.items(), ("system_id", uuids.SYSTEM_ID), ("pnp", uuids.PNP_ID))
        if (uuids.DEVICE_INFORMATION_SERVICE, uuid) in found
    }
    state = next((source for source in sources if source.characteristic.uuid == uuids.TAG_STATE), None)
    battery = found.get((uuids.BATTERY_SERVICE, uuids.BATTERY_LEVEL))
    readable = (c for c in characteristics if "read" in c.properties)
    return TagProfile(
        warn=found.get((uuids.SMART_TAG_SERVICE, uuids.TAG_WARN)),
        keys=found.get((uuids.SMART_TAG_SERVICE, uuids.TAG_KEYS)),
        clock=found.get((uuids.CURRENT_TIME_SERVICE, uuids.CURRENT_TIME)),
        state=state,
        immediate_alert=found.get((uuids.IMMEDIATE_ALERT_SERVICE, uuids.ALERT_LEVEL)),
        link_loss_alert=found.get((uuids.LINK_LOSS_SERVICE, uuids.ALERT_LEVEL)),
        sources=sources,
        information=information,
        pulse=state.characteristic if state is not None else battery or next(readable, None),
    )


class _ButtonPresses:
    """Notifications of a key finder's button to events, numbered as they come: it numbers none itself."""

    def __init__(self) -> None:
        self._n_presses = 0

    def __call__(self, data: bytes) -> TagEvent:
        self._n_presses += 1
        sequence = self._n_presses & 0xFFFF
        return TagEvent(sequence=sequence, kind=TagEventKind.BUTTON, warn_id=None, age_ms=0)


def decode_information(values: Mapping[str, bytes]) -> tuple[DeviceInformation, list[Reject]]:
    """Put the values of the Device Information service together; a refused one is left out and returned."""
    texts: dict[str, str] = {}
    rejects: list[Reject] = []
    for name in _TEXTS:
        if name in values:
            text = decode_text(values[name])
            if isinstance(text, Reject):
                rejects.append(text)
            else:
                texts[name] = text
    system_id = decode_system_id(values["system_id"]) if "system_id" in values else None
    if isinstance(system_id, Reject):
        rejects.append(system_id)
        system_id = None
    pnp = decode_pnp_id(values["pnp"]) if "pnp" in values else None
    if isinstance(pnp, Reject):
        rejects.append(pnp)
        pnp = None
    information = DeviceInformation(
        manufacturer=texts.get("manufacturer"),
        model=texts.get("model"),
        serial=texts.get("serial"),
        hardware=texts.get("hardware"),
        firmware=texts.get("firmware"),
        software=texts.get("software"),
        system_id=system_id,
        pnp=pnp,
    )
    return information, rejects
