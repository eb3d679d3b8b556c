"""Checks across the sections of a configuration: what each value alone cannot show."""

import difflib
from collections import Counter
from collections.abc import Collection, Iterator

from bridge.config.check_broker import broker_problems
from bridge.config.check_smart_tags import smart_tag_problems
from bridge.config.schema import BridgeConfig, OrderSection
from bridge.config.sources import Key, Sources, key_text
from bridge.errors import Problem
from protocols.mqtt.ids import instance_id
from protocols.mqtt.topics import TOPIC_ID_RULE, default_root, is_topic_id, is_topic_root

MAX_PAIRS_PER_DEVICE = 64
"""Pairs that one device may stand in. All of them stand in its status, whose body has a size limit: about 150 bytes a
pair, 16 KiB in all."""


def cross_check(config: BridgeConfig, sources: Sources) -> list[Problem]:
    """All contradictions within a configuration whose single values are fine."""
    found = [
        *_names(config),
        *broker_problems(config),
        *_zones(config),
        *_capture(config),
        *_policy(config),
        *_devices(config),
        *_orders(config),
        *smart_tag_problems(config),
    ]
    return [Problem(path=key_text(key), where=sources.nearest(key), message=message) for key, message in found]


def _names(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    if not is_topic_id(config.bridge.id):
        yield ("bridge", "id"), f"{config.bridge.id!r} stands in topics; expected {TOPIC_ID_RULE}"
    if not is_topic_id(config.bridge.agency):
        yield ("bridge", "agency"), f"{config.bridge.agency!r} stands in topics; expected {TOPIC_ID_RULE}"
    if config.bridge.partition is not None:
        yield from _partition(config.bridge.id, config.bridge.partition)
    root = config.bridge.topic_root or default_root(config.bridge.agency)
    if not is_topic_root(root):
        yield ("bridge", "topic_root"), f"{root!r} is not a topic root; expected levels of letters, digits, '-', '_'"


def _partition(bridge_id: str, partition: str) -> Iterator[tuple[Key, str]]:
    part, _, parts = partition.partition("/")
    if int(part) > int(parts):
        yield ("bridge", "partition"), f"expected a part of how many, such as 2/8, got {partition!r}"
    if not is_topic_id(instance_id(bridge_id, partition)):
        yield ("bridge", "id"), f"with its part it is {instance_id(bridge_id, partition)!r}; expected {TOPIC_ID_RULE}"


def _zones(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    zones = config.zones
    if zones.index is not None and zones.file is None:
        yield ("zones", "index"), "is the index of a zones file. Next: add file, or remove index"
    if zones.index is not None and zones.index == zones.file:
        yield ("zones", "index"), f"{zones.index!r} is the zones file itself; the index is a file of its own"


def _capture(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    if config.capture.journal and config.capture.folder is None:
        yield ("capture", "journal"), "is kept beside the folder of captures. Next: add folder, or remove journal"


def _policy(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    policy = config.policy
    if policy.battery_critical_pct >= policy.battery_low_pct:
        yield (
            ("policy", "battery_critical_pct"),
            f"{policy.battery_critical_pct} is not below battery_low_pct ({policy.battery_low_pct})",
        )


def _devices(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    if not config.device:
        yield ("device",), "there is no device. Next: add a [[device]] with id and transport, or use --device"
    seen: dict[str, int] = {}
    transports: dict[str, str] = {}
    for index, device in enumerate(config.device):
        if not is_topic_id(device.id):
            yield ("device", index, "id"), f"{device.id!r} stands in topics; expected {TOPIC_ID_RULE}"
        if device.id in seen:
            yield ("device", index, "id"), f"{device.id!r} is the id of device[{seen[device.id]}] too; ids are unique"
        seen.setdefault(device.id, index)
        if device.transport in transports and not device.transport.startswith("replay:"):
            other = transports[device.transport]
            yield ("device", index, "transport"), f"{device.transport!r} is read by {other!r} already"
        transports.setdefault(device.transport, device.id)


def _orders(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    wearers = [d.id for d in config.device if d.role == "wearer"]
    protected = [d.id for d in config.device if d.role == "protected"]
    seen: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for index, order in enumerate(config.order):
        if order.id in seen:
            yield ("order", index, "id"), f"{order.id!r} is used twice; ids are unique"
        seen.add(order.id)
        if order.wearer not in wearers:
            yield ("order", index, "wearer"), _no_device(order.wearer, wearers, protected, "wearer")
        if order.zones and config.zones.file is None:
            yield ("order", index, "zones"), "zones are named but there is no [zones] file"
        yield from _rings(order, index, wearers, protected, pairs)
    for device, count in Counter(name for pair in pairs for name in pair).items():
        if count > MAX_PAIRS_PER_DEVICE:
            yield (
                ("order",),
                f"device {device!r} stands in {count} pairs; expected at most {MAX_PAIRS_PER_DEVICE}",
            )


def _rings(
    order: OrderSection, index: int, wearers: list[str], protected: list[str], pairs: set[tuple[str, str]]
) -> Iterator[tuple[Key, str]]:
    for position, ring in enumerate(order.protected):
        key: Key = ("order", index, "protected", position)
        if ring.device not in protected:
            yield (*key, "device"), _no_device(ring.device, protected, wearers, "protected")
        if (order.wearer, ring.device) in pairs:
            yield (*key, "device"), f"the pair {order.wearer!r} and {ring.device!r} stands in two places; one is enough"
        pairs.add((order.wearer, ring.device))
        if not ring.contact_m <= ring.alarm_m <= ring.pre_alert_m:
            got = f"{ring.contact_m:g}, {ring.alarm_m:g}, {ring.pre_alert_m:g}"
            yield (*key, "alarm_m"), f"rings must grow: contact_m <= alarm_m <= pre_alert_m, got {got}"


def _no_device(name: str, right: Collection[str], wrong_role: Collection[str], role: str) -> str:
    if name in wrong_role:
        return f"device {name!r} does not have role {role!r}. Next: set its role, or name another device"
    close = difflib.get_close_matches(name, right, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" Devices with role {role!r}: {', '.join(right) or 'none'}."
    return f"there is no device {name!r}.{hint}"
