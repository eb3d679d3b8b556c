"""Checks across the sections of a configuration: what each value alone cannot show."""

import difflib
import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from bridge.config.check_smart_tags import smart_tag_problems
from bridge.config.schema import BridgeConfig, OrderSection
from bridge.config.sources import Key, Sources, key_text
from bridge.errors import Problem
from protocols.mqtt.topics import TOPIC_ID_RULE, default_root, is_topic_id, is_topic_root

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
"""Schemes of a broker's URL, each with the port that IANA registered for it."""

MAX_PAIRS_PER_DEVICE = 64
"""Pairs that one device may stand in. All of them stand in its status, whose body has a size limit: about 150 bytes a
pair, 16 KiB in all."""

_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def cross_check(config: BridgeConfig, sources: Sources) -> list[Problem]:
    """All contradictions within a configuration whose single values are fine."""
    found = [
        *_names(config),
        *_broker(config),
        *_zones(config),
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
    root = config.bridge.topic_root or default_root(config.bridge.agency)
    if not is_topic_root(root):
        yield ("bridge", "topic_root"), f"{root!r} is not a topic root; expected levels of letters, digits, '-', '_'"


def _broker(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    broker = config.broker
    if broker.url is not None:
        yield from ((("broker", "url"), message) for message in url_problems(broker.url))
        if broker.store_folder is not None:
            yield ("broker", "store_folder"), "only the embedded broker stores anything; remove it, or remove url"
    if broker.url is None or not broker.url.startswith("mqtts:"):
        for name in ("ca_file", "cert_file", "key_file"):
            if getattr(broker, name) is not None:
                yield ("broker", name), "is for TLS only; expected url = mqtts://..., or no such file"
    if (broker.cert_file is None) != (broker.key_file is None):
        yield ("broker", "cert_file"), "a client certificate needs both cert_file and key_file"
    if broker.password_file is not None and broker.username is None:
        yield ("broker", "password_file"), "a password needs broker.username"


def url_problems(url: str) -> list[str]:
    """Find what is wrong with a broker's URL; empty: nothing."""
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        return [f"cannot be read: {exc}; expected mqtt://host:port, got {url!r}"]
    if parts.scheme not in DEFAULT_PORTS:
        close = difflib.get_close_matches(parts.scheme, DEFAULT_PORTS, n=1)
        hint = f" Did you mean {close[0]}://?" if close else ""
        return [f"expected mqtt://host:port, or mqtts://host:port for TLS, got {url!r}.{hint}"]
    problems = []
    if parts.username is not None or parts.password is not None:
        problems.append("holds a user or password; use broker.username and broker.password_file, or the environment")
    if not parts.hostname:
        problems.append(f"names no host: {url!r}")
    elif not _is_host(parts.hostname):
        problems.append(f"{parts.hostname!r} is not a host; expected labels of 1 to 63 letters, digits or '-'")
    try:
        _ = parts.port
    except ValueError:
        problems.append(f"the port is not a number below 65536: {url!r}")
    if parts.path not in {"", "/"} or parts.query:
        problems.append(f"has a path; expected nothing after host and port, got {url!r}")
    return problems


def _is_host(host: str) -> bool:
    """Whether a name can be looked up at all, or is an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            labels = host.removesuffix(".").encode("idna").decode("ascii").split(".")
        except UnicodeError:
            return False
        return all(_HOST_LABEL.fullmatch(label) for label in labels) and len(host) <= 253
    return True


def _zones(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    zones = config.zones
    if zones.index is not None and zones.file is None:
        yield ("zones", "index"), "is the index of a zones file. Next: add file, or remove index"
    if zones.index is not None and zones.index == zones.file:
        yield ("zones", "index"), f"{zones.index!r} is the zones file itself; the index is a file of its own"


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
