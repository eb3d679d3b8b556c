"""What in an order contradicts the configuration or another order; asked before anything is built."""

from collections.abc import Iterable

import msgspec
import numpy as np

from bridge.config.check import cross_check
from bridge.config.schema import BridgeConfig, OrderSection
from bridge.config.sources import Sources
from bridge.errors import Problem
from bridge.orders.book import LoadedOrder
from bridge.orders.section import devices_of
from bridge.plan import Plan
from protocols.mqtt.refusal import Refusal, RefusalReason, clip_detail


class OrderChecker:
    """Knows the configuration and the loaded orders by their devices, so that a check costs what it concerns.

    Parameters
    ----------
    base : Plan
        Of the configuration alone.
    orders : iterable of LoadedOrder
        Loaded already.
    """

    def __init__(self, base: Plan, orders: Iterable[LoadedOrder] = ()) -> None:
        self._base = base
        self._row = {device.id: row for row, device in enumerate(base.devices)}
        self._configured: dict[str, list[OrderSection]] = {}
        for section in base.config.order:
            for name in devices_of(section):
                self._configured.setdefault(name, []).append(section)
        self._loaded: dict[str, dict[str, LoadedOrder]] = {}
        for each in orders:
            self.put(each)

    def put(self, loaded: LoadedOrder) -> None:
        """Note an order that is loaded."""
        for name in devices_of(loaded.section):
            self._loaded.setdefault(name, {})[loaded.order.id] = loaded

    def drop(self, loaded: LoadedOrder) -> None:
        """Forget an order."""
        for name in devices_of(loaded.section):
            self._loaded.get(name, {}).pop(loaded.order.id, None)

    def find_conflict(self, loaded: LoadedOrder) -> Refusal | None:
        """Say what in an order contradicts itself, the configuration, or an order that is in force with it."""
        own = loaded.section
        related = {
            key: each
            for name in devices_of(own)
            for key, each in self._loaded.get(name, {}).items()
            if key != own.id and each.overlaps(loaded)
        }
        configured = {each.id: each for name in devices_of(own) for each in self._configured.get(name, ())}
        sections = (*configured.values(), *(each.section for each in related.values()), own)
        problem = self._find_problem(sections)
        if problem is not None:
            return _refused(problem)
        return self._find_double_zone(loaded, related.values())

    def _find_problem(self, sections: tuple[OrderSection, ...]) -> str | None:
        """Check the last of some orders beside the others, as a configuration would be."""
        rows = sorted({self._row[name] for each in sections for name in devices_of(each) if name in self._row})
        devices = tuple(self._base.devices[row] for row in rows)
        # In a part of the devices a hint at a name that is nearly right would miss the one that was meant.
        for devices_known in (devices, self._base.devices):
            config = msgspec.structs.replace(self._base.config, device=devices_known, order=sections)
            problem = _find_own(config)
            if problem is None:
                return None
        assert problem is not None
        path = problem.path.removeprefix(f"order[{len(sections) - 1}]").removeprefix(".")
        return f"{path}: {problem.message}" if path else problem.message

    def _find_double_zone(self, loaded: LoadedOrder, related: Iterable[LoadedOrder]) -> Refusal | None:
        """Compare ids of zones: an alert is about one zone of one wearer, so no two of his may have the same."""
        wearer = loaded.order.wearer
        names = {ref.id for ref in loaded.zones.refs}
        for each in related:
            both = names & {ref.id for ref in each.zones.refs} if each.order.wearer == wearer else set()
            if both:
                return _refused(f"zone {min(both)!r} stands in order {each.order.id!r} of the same wearer too")
        assigned = self._base.assigned
        if assigned is None:
            return None
        for name in sorted(names):
            try:
                place = assigned.zones.idx(name)
            except KeyError:
                continue
            if np.isin(place, assigned.own_zones(self._row[wearer])):
                return _refused(f"zone {name!r} of the zones file is this wearer's already; expected another id")
        return None


def _find_own(config: BridgeConfig) -> Problem | None:
    """Find what is wrong with the last order; the others stand already."""
    last = f"order[{len(config.order) - 1}]"
    found = cross_check(config, Sources("", {}))
    return next((each for each in found if each.path.startswith(last) or not each.path.startswith("order[")), None)


def _refused(detail: str) -> Refusal:
    return Refusal(reason=RefusalReason.INVALID_ORDER, detail=clip_detail(detail))
