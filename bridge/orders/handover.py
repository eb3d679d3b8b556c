"""From one plan to the next: what goes on, worked out beforehand so that the change itself takes no time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bridge.orders.layer import Carry, carried
from bridge.pair_index import PairIndex
from bridge.plan import Plan
from geofence_core.arrays import I64
from protocols.mqtt.commands import Order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handover:
    """A plan that takes another's place; made off the loop by `hand_over`.

    Attributes
    ----------
    before, plan : Plan
        Of the same devices.
    zones : tuple
        What goes on in each of the plan's layers.
    pairs : PairIndex
    pairs_here_idx, pairs_there_idx : int64 (P,)
        Pairs that go on, by their rows in the plan and in the one before.
    new_pairs_idx : int64 (Q,)
        Pairs that are new or have other rings.
    unwarnable_before, unwarnable : frozenset of str
        Protected persons for whom no smart tag was issued.
    orders : tuple of Order
        Loaded orders of the plan, in its order: what it can be made of again.
    """

    before: Plan
    plan: Plan
    zones: tuple[tuple[Carry, ...], ...]
    pairs: PairIndex
    pairs_here_idx: I64
    pairs_there_idx: I64
    new_pairs_idx: I64
    unwarnable_before: frozenset[str]
    unwarnable: frozenset[str]
    orders: tuple[Order, ...] = ()


def hand_over(before: Plan, plan: Plan, orders: Iterable[Order] = ()) -> Handover:
    """Compare a plan with the one that it takes the place of. Touches neither; any thread may call it."""
    layers, old_layers = plan.layers, before.layers
    for layer in layers:
        # The place of each id is worked out when it is first asked for: not in the loop.
        layer.assigned.zones.ids and layer.assigned.zones.idx(layer.assigned.zones.ids[0])
    index = PairIndex(plan.pairs)
    old = PairIndex(before.pairs)
    there = {name: row for row, name in enumerate(old.names)}
    both = [(row, there[name]) for row, name in enumerate(index.names) if name in there]
    same = {row for row, other in both if _rings(index, row) == _rings(old, other)}
    rows = np.array(both, dtype=np.int64).reshape(len(both), 2)
    return Handover(
        before=before,
        plan=plan,
        zones=tuple(carried(old_layers, layer) for layer in layers),
        pairs=index,
        pairs_here_idx=rows[:, 0],
        pairs_there_idx=rows[:, 1],
        new_pairs_idx=np.array([row for row in range(len(index.names)) if row not in same], dtype=np.int64),
        unwarnable_before=frozenset(before.unwarnable),
        unwarnable=frozenset(plan.unwarnable),
        orders=tuple(orders),
    )


def _rings(index: PairIndex, row: int) -> tuple[float, float, float]:
    table = index.table
    return float(table.contact_m[row]), float(table.alarm_m[row]), float(table.pre_alert_m[row])
