"""Which of several bridges serves which devices: those of one order network stay together, the rest is hashing.

All bridges read the same configuration, and each of them finds its own part of it without asking the others. When
their number changes from N to N + 1, one network in N + 1 moves, and only to the new bridge.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from bridge.config.load import LoadedConfig
from bridge.config.schema import BridgeConfig, OrderSection
from bridge.errors import ConfigError, Problem
from protocols.mqtt.ids import instance_id
from protocols.mqtt.topics import MAX_ID_LENGTH

MAX_PARTS = 256
"""Bridges that may share a configuration. Each network is hashed once per bridge: 10,000 of them over 256 take a few
seconds at a start; ten times as many would be felt."""

NO_ORDER = "partition-without-orders"
"""Id of the order that stands in a part whose devices have none. Without any order all wearers would have all zones."""

_TEXT = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of ``of`` bridges, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_part(text: str) -> Part:
    """Read ``2/8``.

    Raises
    ------
    ValueError
        It is not a part of a whole.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a part of a whole such as 2/8, got {text!r}")
    part = Part(number=int(match[1]), of=int(match[2]))
    if part.number > part.of:
        raise ValueError(f"{text!r}: there is no bridge {part.number} among {part.of}; expected 1/{part.of} and up")
    if part.of > MAX_PARTS:
        raise ValueError(f"{text!r}: at most {MAX_PARTS} bridges share a configuration")
    return part


def find_part(loaded: LoadedConfig) -> Part | None:
    """Which part a configuration asks for; None: all of it.

    Raises
    ------
    ConfigError
        ``bridge.partition`` is not a part of a whole.
    """
    text = loaded.config.bridge.partition
    if text is None:
        return None
    try:
        return parse_part(text)
    except ValueError as exc:
        raise _refused(loaded, str(exc)) from exc


def instance_name(bridge_id: str, part: Part | None) -> str:
    """Name of a bridge in its own topics and its client id; its tags' streams keep the bare id."""
    return instance_id(bridge_id, str(part) if part is not None else None)


def choose(key: str, of: int) -> int:
    """Find the number of the bridge, from 1, that a network belongs to: rendezvous hashing.

    The bridge whose hash with the key is the highest has it (Thaler and Ravishankar, 1998). A bridge that is added at
    the end takes over those keys for which it is the highest, and moves no other.
    """
    return max(range(1, of + 1), key=lambda number: blake2b(f"{key}\n{number}".encode(), digest_size=8).digest())


class Networks:
    """Which devices belong together: wearer, protected persons and their smart tags, joined over all orders.

    Parameters
    ----------
    config : BridgeConfig
        The whole one, not a part.
    ties : iterable of collections of str
        Devices that belong together for another reason: orders that the provider loaded.
    """

    def __init__(self, config: BridgeConfig, ties: Iterable[Iterable[str]] = ()) -> None:
        self._parent: dict[str, str] = {device.id: device.id for device in config.device}
        for order in config.order:
            self._join(_members(order))
        for tie in ties:
            self._join(tie)
        keys: dict[str, str] = {}
        for device in self._parent:
            top = self._top(device)
            keys[top] = min(device, keys.get(top, device))
        self._key = {device: keys[self._top(device)] for device in self._parent}

    def key_of(self, device: str) -> str:
        """Name of a device's network: the first of its ids. A device that is not configured is one of its own."""
        return self._key.get(device, device)

    def number_of(self, device: str, of: int) -> int:
        """Which of so many bridges serves a device."""
        return choose(self.key_of(device), of)

    def numbers(self, of: int) -> Mapping[str, int]:
        """Which of so many bridges serves each known device; each network is hashed once."""
        chosen = {key: choose(key, of) for key in set(self._key.values())}
        return {device: chosen[key] for device, key in self._key.items()}

    def _join(self, members: Iterable[str]) -> None:
        first: str | None = None
        for member in members:
            self._parent.setdefault(member, member)
            if first is None:
                first = self._top(member)
            else:
                self._parent[self._top(member)] = first

    def _top(self, device: str) -> str:
        while (parent := self._parent[device]) != device:
            self._parent[device] = self._parent[parent]
            device = parent
        return device


def restrict(loaded: LoadedConfig, part: Part | None, *, ties: Iterable[Iterable[str]] = ()) -> LoadedConfig:
    """Keep of a configuration what one bridge serves; errors keep naming the line of the file.

    Parameters
    ----------
    loaded : LoadedConfig
    part : Part or None
        None: all of it, as it is.
    ties : iterable of collections of str
        See ``Networks``; the same for all bridges of a layout.

    Raises
    ------
    ConfigError
        This configuration cannot be shared out.
    """
    if part is None:
        return loaded
    config = loaded.config
    problems = list(_unshareable(config, part))
    if problems:
        raise ConfigError([Problem(path=path, where=_where(loaded, path), message=text) for path, text in problems])
    numbers = Networks(config, ties).numbers(part.of)
    devices = [n for n, device in enumerate(config.device) if numbers[device.id] == part.number]
    orders = [n for n, order in enumerate(config.order) if numbers[order.wearer] == part.number]
    kept_orders = tuple(config.order[n] for n in orders)
    if config.order and not kept_orders:
        wearer = next((config.device[n].id for n in devices if config.device[n].role == "wearer"), None)
        if wearer is not None:
            kept_orders = (OrderSection(id=NO_ORDER, wearer=wearer, zones=()),)
    return LoadedConfig(
        config=msgspec.structs.replace(
            config,
            bridge=msgspec.structs.replace(config.bridge, partition=str(part)),
            device=tuple(config.device[n] for n in devices),
            order=kept_orders,
        ),
        folder=loaded.folder,
        sources=loaded.sources.picked({"device": devices, "order": orders}),
    )


def _members(order: OrderSection) -> Iterator[str]:
    yield order.wearer
    for ring in order.protected:
        yield ring.device
        if ring.smart_tag is not None:
            yield ring.smart_tag


def _unshareable(config: BridgeConfig, part: Part) -> Iterator[tuple[str, str]]:
    if config.broker.url is None:
        yield (
            "broker.url",
            f"partition {part} without a broker: each bridge would start one of its own. Next: name the broker that "
            "all of them share",
        )
    name = instance_name(config.bridge.id, part)
    if len(name) > MAX_ID_LENGTH:
        yield "bridge.id", f"{name!r} stands in topics and has {len(name)} characters; at most {MAX_ID_LENGTH} fit"


def _where(loaded: LoadedConfig, path: str) -> str:
    return loaded.sources.nearest(tuple(path.split(".")))


def _refused(loaded: LoadedConfig, message: str) -> ConfigError:
    path = "bridge.partition"
    return ConfigError([Problem(path=path, where=_where(loaded, path), message=message)])
