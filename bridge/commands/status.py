"""What a bridge tells of itself when it is asked."""

from collections.abc import Collection

from bridge.identity import Identity
from bridge.orders.book import OrderBook
from bridge.view import DeviceView
from protocols.mqtt.messages import OrderResult, StatusResult

MAX_TOLD_ORDERS = 40
"""Orders in one answer: of ordinary ids 4 KiB."""

MAX_TOLD_CHARS = 8_000
"""Characters of all ids in one answer, escaped as JSON may need: its body has 16 KiB."""


def status_result(
    identity: Identity,
    views: Collection[DeviceView],
    book: OrderBook,
    *,
    uptime_s: float,
    commands_done: int,
    commands_refused: int,
) -> StatusResult:
    """Sum up what is loaded."""
    told: list[OrderResult] = []
    room = MAX_TOLD_CHARS
    for each in book.orders.values():
        room -= 64 + 6 * sum(not char.isalnum() for char in each.order.id) + len(each.order.id.encode())
        if len(told) >= MAX_TOLD_ORDERS or room < 0:
            break
        told.append(OrderResult(order_id=each.order.id, version=each.order.version, loaded=True))
    return StatusResult(
        version=identity.version,
        epoch=identity.epoch,
        uptime_s=round(uptime_s, 3),
        devices=len(views),
        devices_heard=sum(view.comms == "up" for view in views),
        orders=tuple(told),
        left_out=len(book.orders) - len(told),
        commands_done=commands_done,
        commands_refused=commands_refused,
    )
