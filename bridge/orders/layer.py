"""Zones that are judged together, and what of their state goes on when a plan takes another's place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from geofence_core.arrays import I64
from geofence_core.assigned import AssignedZones
from protocols.mqtt.messages import ZoneRef

if TYPE_CHECKING:
    from bridge.orders.book import LoadedOrder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneLayer:
    """Zones judged in one call.

    Attributes
    ----------
    assigned : AssignedZones
        Over the rows of the plan's devices.
    refs : tuple of ZoneRef
        By ``zone_idx``.
    prints : tuple of bytes
        By ``zone_idx``: equal where purpose and geometry are. Empty for the zones of the file, which do not change.
    members : mapping
        Orders whose zones these are, by id, with their places in the table.
    """

    assigned: AssignedZones
    refs: tuple[ZoneRef, ...]
    prints: tuple[bytes, ...] = ()
    members: "Mapping[str, tuple[LoadedOrder, range]]" = field(default_factory=dict)

    def has(self, device_idx: int, zone: ZoneRef) -> bool:
        """Whether a zone of this id and type is judged for a device."""
        if not self.prints:
            try:
                place = self.assigned.zones.idx(zone.id)
            except KeyError:
                return False
            own = self.assigned.own_zones(device_idx)
            at = int(np.searchsorted(own, place))
            return at < own.size and int(own[at]) == place and self.refs[place].type == zone.type
        return any(
            (self.refs[place].id, self.refs[place].type) == (zone.id, zone.type)
            for place in self.assigned.own_zones(device_idx).tolist()
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carry:
    """Which pairs (wearer, zone) of a layer go on from which of an earlier plan's layer.

    ``source`` is the place of that layer; ``here_idx``, ``there_idx`` int64 (K,) are places among the pairs.
    """

    source: int
    here_idx: I64
    there_idx: I64


def carried(before: Sequence[ZoneLayer], layer: ZoneLayer) -> tuple[Carry, ...]:
    """Find what goes on in a layer: the same layer as a whole, else pairs with the same zone, drawn the same."""
    for source, old in enumerate(before):
        if old.assigned is layer.assigned:
            every = np.arange(len(layer.assigned), dtype=np.int64)
            return (Carry(source=source, here_idx=every, there_idx=every),)
    if not layer.prints:
        return ()
    here = {key: place for place, key in enumerate(_keys(layer))}
    found = []
    for source, old in enumerate(before):
        if old.prints:
            both = [(here[key], place) for place, key in enumerate(_keys(old)) if key in here]
            pairs = np.array(both, dtype=np.int64).reshape(len(both), 2)
            found.append(Carry(source=source, here_idx=pairs[:, 0], there_idx=pairs[:, 1]))
    return tuple(found)


def _keys(layer: ZoneLayer) -> list[tuple[int, str, bytes]]:
    assigned = layer.assigned
    return [
        (owner, layer.refs[zone].id, layer.prints[zone])
        for owner, zone in zip(assigned.owner_idx.tolist(), assigned.zone_idx.tolist(), strict=True)
    ]
