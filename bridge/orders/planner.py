"""From a plan and loaded orders to the next plan: everything is checked and built before anything changes."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from bridge.config.schema import BridgeConfig
from bridge.orders.book import LoadedOrder
from bridge.orders.layer import ZoneLayer
from bridge.plan import Plan, find_charges, make_pairs
from geofence_core.assigned import AssignedZones
from geofence_core.zones import ZoneTable

FRESH_ZONES = 512
"""Zones that are kept apart from the many that stand already: indexing as many takes 40 ms, all of 50,000 take 4 s.
With more of them, or more than a sixteenth of all, the two are made one."""


def plan_with(base: Plan, orders: Sequence[LoadedOrder], before: Plan, issued: Mapping[str, str] | None = None) -> Plan:
    """Add orders to a configuration's plan.

    Parameters
    ----------
    base : Plan
        Of the configuration alone.
    orders : sequence of LoadedOrder
        Each without a conflict with any other (`OrderChecker`).
    before : Plan
        The plan whose place the new one takes: what is indexed in it is used again.
    issued : mapping of str to str, optional
        Whose each smart tag was last; absent: as the plan before has it.
    """
    config = _with_orders(base.config, orders)
    issued = {charge.smart_tag: charge.person for charge in before.charges} if issued is None else issued
    row = {device.id: index for index, device in enumerate(base.devices)}
    return dataclasses.replace(
        base,
        config=config,
        pairs=make_pairs(config),
        charges=find_charges(config, base.calibrations, issued),
        order_layers=make_layers(orders, before.order_layers, row),
    )


def _with_orders(config: BridgeConfig, orders: Sequence[LoadedOrder]) -> BridgeConfig:
    return msgspec.structs.replace(config, order=(*config.order, *(each.section for each in orders)))


def make_layers(
    orders: Iterable[LoadedOrder], before: Sequence[ZoneLayer], row: Mapping[str, int]
) -> tuple[ZoneLayer, ...]:
    """Index the zones of orders: the many that stand already as they are, what is new beside them."""
    wanted = {each.order.id: each for each in orders if each.zones.shapes}
    bulk = _kept(before[0], wanted, row) if before else None
    rest = [each for key, each in wanted.items() if bulk is None or key not in bulk.members]
    count = sum(len(each.zones.shapes) for each in rest)
    if bulk is None or count > max(FRESH_ZONES, len(bulk.assigned) // 16):
        return (_layer(wanted.values(), row),) if wanted else ()
    if not rest:
        return (bulk,)
    fresh = _kept(before[1], {each.order.id: each for each in rest}, row) if len(before) > 1 else None
    if fresh is None or len(fresh.members) < len(rest):
        fresh = _layer(rest, row)
    return bulk, fresh


def _layer(orders: Iterable[LoadedOrder], row: Mapping[str, int]) -> ZoneLayer:
    members: dict[str, tuple[LoadedOrder, range]] = {}
    first = 0
    for each in orders:
        members[each.order.id] = each, range(first, first + len(each.zones.shapes))
        first += len(each.zones.shapes)
    shapes = [shape for each, _ in members.values() for shape in each.zones.shapes]
    # Ids are unique within one order only; the table's own are never shown.
    table = ZoneTable([dataclasses.replace(shape, zone_id=str(place)) for place, shape in enumerate(shapes)])
    return ZoneLayer(
        assigned=_assign(table, members, row),
        refs=tuple(ref for each, _ in members.values() for ref in each.zones.refs),
        prints=tuple(each_print for each, _ in members.values() for each_print in each.zones.prints),
        members=members,
    )


def _kept(layer: ZoneLayer, wanted: Mapping[str, LoadedOrder], row: Mapping[str, int]) -> ZoneLayer | None:
    """Keep what is still wanted of a layer over its index; None: too little to be worth it."""
    members = {key: (each, places) for key, (each, places) in layer.members.items() if wanted.get(key) is each}
    if len(members) == len(layer.members):
        return layer
    if 2 * sum(len(places) for _, places in members.values()) < len(layer.refs):
        return None
    assigned = _assign(layer.assigned.zones, members, row)
    return dataclasses.replace(layer, assigned=assigned, members=members)


def _assign(
    table: ZoneTable, members: Mapping[str, tuple[LoadedOrder, range]], row: Mapping[str, int]
) -> AssignedZones:
    owners = [row[each.order.wearer] for each, _ in members.values()]
    sizes = [len(places) for _, places in members.values()]
    zones = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(p.start, p.stop) for _, p in members.values())])
    return AssignedZones(table, np.repeat(owners, sizes), zones, wearers=len(row))
