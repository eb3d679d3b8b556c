"""The book of loaded orders: a value; each change makes a new one, or a refusal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from bridge.config.schema import OrderSection
from bridge.orders.section import as_section
from bridge.orders.zones import OrderZones, read_many, read_zones
from bridge.publisher import Saved
from protocols.mqtt.commands import LoadOrder, Order, ReplaceOrder, WithdrawOrder
from protocols.mqtt.refusal import Refusal, RefusalReason

MAX_ORDERS = 20_000
"""Orders in one book: twice as many as devices that one bridge serves. More would let one key fill the memory."""

ROOM = "order/"
"""Start of the keys under which orders are kept."""

ISSUED = "issued/"
"""Start of the keys under which it is kept whose a smart tag was last: a tag stays hers after her order."""

OrderCommand = LoadOrder | ReplaceOrder | WithdrawOrder

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decoder = msgspec.json.Decoder(Order)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedOrder:
    """An order with its zones read, and when it is in force; None: without that end.

    ``section`` is the same in the words of a configuration, without its zones.
    """

    order: Order
    section: OrderSection
    zones: OrderZones
    from_utc_ns: int | None
    until_utc_ns: int | None

    def is_in_force(self, now_utc_ns: int) -> bool:
        """Whether it is judged by now."""
        return (self.from_utc_ns is None or self.from_utc_ns <= now_utc_ns) and (
            self.until_utc_ns is None or now_utc_ns < self.until_utc_ns
        )

    def overlaps(self, other: "LoadedOrder") -> bool:
        """Whether both are ever in force together."""
        starts = [each for each in (self.from_utc_ns, other.from_utc_ns) if each is not None]
        ends = [each for each in (self.until_utc_ns, other.until_utc_ns) if each is not None]
        return not starts or not ends or max(starts) < min(ends)


def read_order(order: Order) -> LoadedOrder | Refusal:
    """Read an order's zones and times. Costs as much as its zones: not in the loop."""
    return _with_zones(order, read_zones(order))


def read_orders(orders: Sequence[Order]) -> list[LoadedOrder | Refusal]:
    """Read orders that were read before, when they came."""
    return [_with_zones(order, zones) for order, zones in zip(orders, read_many(orders), strict=True)]


def _with_zones(order: Order, zones: OrderZones | Refusal) -> LoadedOrder | Refusal:
    start, end = _utc_ns(order.valid_from), _utc_ns(order.valid_until)
    if start is not None and end is not None and start >= end:
        detail = f"valid_from {order.valid_from} is not before valid_until {order.valid_until}"
        return Refusal(reason=RefusalReason.INVALID_ORDER, detail=detail)
    if isinstance(zones, Refusal):
        return zones
    if not zones.shapes and not order.protected:
        return Refusal(reason=RefusalReason.INVALID_ORDER, detail="it has neither zones nor protected persons")
    return LoadedOrder(order=order, section=as_section(order), zones=zones, from_utc_ns=start, until_utc_ns=end)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrderBook:
    """Loaded orders by id, in force or not."""

    orders: Mapping[str, LoadedOrder] = field(default_factory=dict)

    def in_force(self, now_utc_ns: int) -> tuple[LoadedOrder, ...]:
        """List what is judged by now."""
        return tuple(each for each in self.orders.values() if each.is_in_force(now_utc_ns))

    def find_next_change_utc_ns(self, now_utc_ns: int) -> int | None:
        """When an order comes into force or ends next."""
        ends = (end for each in self.orders.values() for end in (each.from_utc_ns, each.until_utc_ns))
        return min((end for end in ends if end is not None and end > now_utc_ns), default=None)

    def find_refusal(self, command: OrderCommand, configured: Iterable[str], now_utc_ns: int) -> Refusal | None:
        """Say why a command does not fit the book; ``configured`` are orders that stand in the configuration."""
        order_id = command.order_id if isinstance(command, WithdrawOrder) else command.order.id
        if order_id in configured:
            detail = (
                f"order {order_id!r} stands in the bridge's configuration. Next: use another id, or change it there"
            )
            return Refusal(reason=RefusalReason.ORDER_EXISTS, detail=detail)
        known = self.orders.get(order_id)
        if isinstance(command, LoadOrder):
            if known is not None:
                detail = f"order {order_id!r} is loaded as version {known.order.version}. Next: replace_order"
                return Refusal(reason=RefusalReason.ORDER_EXISTS, detail=detail)
            if len(self.orders) >= MAX_ORDERS:
                return Refusal(reason=RefusalReason.BUSY, detail=f"{MAX_ORDERS} orders are loaded already")
        elif known is None:
            return Refusal(reason=RefusalReason.UNKNOWN_ORDER, detail=f"order {order_id!r} is not loaded")
        elif command.if_version != known.order.version:
            detail = f"loaded is version {known.order.version}, expected {command.if_version}"
            return Refusal(reason=RefusalReason.VERSION_CONFLICT, detail=detail)
        if isinstance(command, ReplaceOrder) and known is not None and command.order.version <= known.order.version:
            detail = f"expected a version above {known.order.version}, got {command.order.version}"
            return Refusal(reason=RefusalReason.VERSION_CONFLICT, detail=detail)
        if not isinstance(command, WithdrawOrder):
            until_utc_ns = _utc_ns(command.order.valid_until)
            if until_utc_ns is not None and until_utc_ns <= now_utc_ns:
                ended = command.order.valid_until
                detail = f"it ended at {ended.isoformat() if ended is not None else None}, which is past"
                return Refusal(reason=RefusalReason.INVALID_ORDER, detail=detail)
        return None

    def with_order(self, loaded: LoadedOrder) -> "OrderBook":
        """Return a book with an order loaded or replaced."""
        return OrderBook(orders={**self.orders, loaded.order.id: loaded})

    def without(self, order_id: str) -> "OrderBook":
        """Return a book without an order."""
        return OrderBook(orders={key: each for key, each in self.orders.items() if key != order_id})


def saved_change(before: Order | None, after: Order | None) -> tuple[Saved, ...]:
    """Say what is kept when an order takes another's place. It goes with its wearer to another bridge."""
    saves = []
    if before is not None and (after is None or (after.id, after.wearer) != (before.id, before.wearer)):
        saves.append(Saved(owner=before.wearer, key=f"{ROOM}{before.id}", value=None))
    if after is not None:
        saves.append(Saved(owner=after.wearer, key=f"{ROOM}{after.id}", value=msgspec.json.encode(after)))
        saves += [
            Saved(owner=ring.smart_tag, key=f"{ISSUED}{ring.smart_tag}", value=ring.device.encode())
            for ring in after.protected
            if ring.smart_tag is not None
        ]
    return tuple(saves)


def read_saved(saved: Saved) -> Order | Refusal:
    """Read an order that was kept."""
    try:
        return _decoder.decode(saved.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return Refusal(reason=RefusalReason.INVALID_ORDER, detail=f"what was kept of it cannot be read: {exc}")


def find_issued(kept: Iterable[Saved]) -> dict[str, str]:
    """Whose each smart tag was last, by what was kept."""
    return {
        saved.key.removeprefix(ISSUED): saved.value.decode(errors="replace")
        for saved in kept
        if saved.key.startswith(ISSUED) and saved.value is not None
    }


def _utc_ns(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1) * 1000
