"""Commands about orders, worked out off the loop: book, plan and what is kept of them, before anything changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.orders.book import (
    ROOM,
    LoadedOrder,
    OrderBook,
    OrderCommand,
    find_issued,
    read_order,
    read_orders,
    read_saved,
    saved_change,
)
from bridge.orders.checker import OrderChecker
from bridge.orders.handover import Handover, hand_over
from bridge.orders.planner import plan_with
from bridge.plan import Plan
from bridge.publisher import Saved
from protocols.mqtt.commands import LoadOrder, Order, ReplaceOrder, WithdrawOrder
from protocols.mqtt.messages import OrderResult
from protocols.mqtt.refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Orders:
    """What is loaded and what is judged by: a value, changed as a whole."""

    base: Plan
    book: OrderBook
    plan: Plan
    in_force: tuple[LoadedOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A command that can be carried out: what it leads to, what is kept of it, and what takes that back."""

    result: OrderResult
    saves: tuple[Saved, ...]
    undo: tuple[Saved, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """What a batch of commands leads to; ``handover`` is None where the same is judged by as before."""

    orders: Orders
    handover: Handover | None
    answers: tuple[Taken | Refusal, ...]


def prepare(orders: Orders, commands: Sequence[OrderCommand], now_utc_ns: int) -> Prepared:
    """Work commands out, one after the other; a refused one changes nothing. Touches nothing that is in use."""
    configured = {order.id for order in orders.base.config.order}
    checker = OrderChecker(orders.base, orders.book.orders.values())
    book = orders.book
    answers: list[Taken | Refusal] = []
    for command in commands:
        refusal = book.find_refusal(command, configured, now_utc_ns)
        if refusal is not None:
            answers.append(refusal)
            continue
        match command:
            case WithdrawOrder():
                known = book.orders[command.order_id]
                checker.drop(known)
                book = book.without(command.order_id)
                answers.append(_taken(known, None))
            case LoadOrder() | ReplaceOrder():
                loaded = _read(command.order, checker)
                if isinstance(loaded, Refusal):
                    answers.append(loaded)
                    continue
                before = book.orders.get(command.order.id)
                if before is not None:
                    checker.drop(before)
                checker.put(loaded)
                book = book.with_order(loaded)
                answers.append(_taken(before, loaded))
    after = _in_force(orders, book, now_utc_ns)
    same = after.plan is orders.plan
    handover = None if same else hand_over(orders.plan, after.plan, (each.order for each in after.in_force))
    return Prepared(orders=after, handover=handover, answers=tuple(answers))


def _in_force(was: Orders, book: OrderBook, now_utc_ns: int) -> Orders:
    """Make the plan of a book's orders that are in force; the same as before if they are the same."""
    in_force = book.in_force(now_utc_ns)
    same = {id(each) for each in in_force} == {id(each) for each in was.in_force}
    plan = was.plan if same else plan_with(was.base, in_force, was.plan)
    return Orders(base=was.base, book=book, plan=plan, in_force=in_force)


def restore_orders(base: Plan, kept: Iterable[Saved], now_utc_ns: int) -> tuple[Orders, tuple[str, ...]]:
    """Load what was kept of an earlier start; returns too what of it cannot be used any more, for a person."""
    checker = OrderChecker(base)
    configured = {order.id for order in base.config.order}
    loaded: dict[str, LoadedOrder] = {}
    problems: list[str] = []
    kept = tuple(kept)
    found = {
        saved.key.removeprefix(ROOM): read_saved(saved)
        for saved in kept
        if saved.key.startswith(ROOM) and saved.value is not None
    }
    orders = [order for order in found.values() if not isinstance(order, Refusal)]
    read = iter(read_orders(orders))
    for name, order in found.items():
        each = order if isinstance(order, Refusal) else next(read)
        refusal = each if isinstance(each, Refusal) else checker.find_conflict(each)
        if isinstance(each, Refusal) or refusal is not None or name in configured:
            why = refusal.detail if refusal is not None else "the configuration has an order of this id now"
            problems.append(f"order {name!r} of the provider is not judged by any more: {why}")
            continue
        checker.put(each)
        loaded[name] = each
    book = OrderBook(orders=loaded)
    in_force = book.in_force(now_utc_ns)
    plan = plan_with(base, in_force, base, find_issued(kept))
    return Orders(base=base, book=book, plan=plan, in_force=in_force), tuple(problems)


def _read(order: Order, checker: OrderChecker) -> LoadedOrder | Refusal:
    loaded = read_order(order)
    return loaded if isinstance(loaded, Refusal) else checker.find_conflict(loaded) or loaded


def _taken(before: LoadedOrder | None, after: LoadedOrder | None) -> Taken:
    old = before.order if before is not None else None
    new = after.order if after is not None else None
    told = new or old
    assert told is not None
    return Taken(
        result=OrderResult(order_id=told.id, version=told.version, loaded=new is not None),
        saves=saved_change(old, new),
        undo=saved_change(new, old),
    )
