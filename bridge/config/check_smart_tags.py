"""Checks of smart tags across a configuration: who is warned through what, and by whose beacon."""

import difflib
from collections.abc import Iterator, Mapping

from bridge.config.schema import BridgeConfig, DeviceSection
from bridge.config.sources import Key
from devices.ble_target import SCHEME


def smart_tag_problems(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    """Find what contradicts itself about smart tags."""
    for index, device in enumerate(config.device):
        yield from ((("device", index, name), message) for name, message in _device(device))
    smart = [device.id for device in config.device if device.kind == "smart_tag"]
    kinds = {device.id: device.kind for device in config.device}
    tag_of: dict[str, str | None] = {}
    person_of: dict[str, str] = {}
    beacon_of: dict[str, tuple[str, str]] = {}
    for position, order in enumerate(config.order):
        for place, ring in enumerate(order.protected):
            key: Key = ("order", position, "protected", place, "smart_tag")
            if ring.smart_tag is not None and ring.smart_tag not in smart:
                yield key, _no_smart_tag(ring.smart_tag, kinds, smart)
                continue
            tag = ring.smart_tag or (ring.device if ring.device in smart else None)
            if tag_of.setdefault(ring.device, tag) != tag:
                yield key, f"{ring.device!r} is warned through {tag_of[ring.device]!r} in another order; one is enough"
            if tag is None:
                if ring.beacon_calibration_file is not None:
                    yield (*key[:-1], "beacon_calibration_file"), "is of a smart tag; this person has none"
                continue
            if person_of.setdefault(tag, ring.device) != ring.device:
                yield key, f"smart tag {tag!r} warns {person_of[tag]!r} already; a tag is one person's"
            beacon = order.beacon_key_file
            if beacon is not None and beacon_of.setdefault(tag, (order.wearer, beacon)) != (order.wearer, beacon):
                yield (
                    ("order", position, "beacon_key_file"),
                    f"smart tag {tag!r} listens for the beacon of {beacon_of[tag][0]!r} already; it holds one key",
                )
    for index, device in enumerate(config.device):
        person = person_of.get(device.id, device.id)
        if person != device.id and device.id in tag_of:
            message = f"{device.id!r} is a person's device in one order and the smart tag of {person!r} in another"
            yield ("device", index, "id"), message


def _device(device: DeviceSection) -> Iterator[tuple[str, str]]:
    radio = device.transport.startswith(f"{SCHEME}:")
    if device.kind != "smart_tag":
        if radio:
            yield "transport", f'{device.transport!r} is a Bluetooth tag. Next: add kind = "smart_tag"'
        return
    if device.role != "protected":
        yield "role", 'a smart tag is the protected person\'s. Next: add role = "protected"'
    if not radio:
        example = f"{SCHEME}:rolling?key_file=PATH or {SCHEME}:C0:DE:00:00:00:01"
        yield "transport", f"a smart tag is reached by Bluetooth: expected {example}, got {device.transport!r}"


def _no_smart_tag(name: str, kinds: Mapping[str, str], smart: list[str]) -> str:
    if name in kinds:
        return f"device {name!r} has kind {kinds[name]!r}. Next: set its kind to smart_tag, or name another device"
    close = difflib.get_close_matches(name, smart, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" Smart tags: {', '.join(smart) or 'none'}."
    return f"there is no device {name!r}.{hint}"
