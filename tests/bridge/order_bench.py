"""A pipeline whose orders change while it runs, on a clock that tests move."""

from collections.abc import Mapping, Sequence

from bridge.orders.batch import Orders, Prepared, prepare
from bridge.orders.book import OrderCommand
from bridge.publisher import Saved
from protocols.mqtt.commands import LoadOrder, Order, OrderedProtection, ReplaceOrder, WithdrawOrder
from protocols.mqtt.messages import OrderResult
from protocols.mqtt.refusal import Refusal
from tests.bridge.bench import LAT, LON, METRE_DEG, Bench


def circle(zone_id: str, *, north_m: float = 0, radius_m: float = 100, purpose: str = "exclusion") -> dict[str, object]:
    return {
        "type": "Feature",
        "id": zone_id,
        "properties": {"purpose": purpose, "name": f"Zone {zone_id}", "radius_m": radius_m},
        "geometry": {"type": "Point", "coordinates": [LON, LAT + north_m * METRE_DEG]},
    }


def square(zone_id: str, *, north_m: float = 0, half_m: float = 100, purpose: str = "exclusion") -> dict[str, object]:
    half, middle = half_m * METRE_DEG, LAT + north_m * METRE_DEG
    ring = [
        (LON - half, middle - half),
        (LON + half, middle - half),
        (LON + half, middle + half),
        (LON - half, middle + half),
    ]
    return {
        "type": "Feature",
        "id": zone_id,
        "properties": {"purpose": purpose},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }


def zones(*features: dict[str, object]) -> dict[str, object]:
    return {"type": "FeatureCollection", "features": list(features)}


def an_order(
    order_id: str = "p1",
    version: int = 1,
    *,
    wearer: str = "tag",
    features: Sequence[dict[str, object]] = (),
    protected: Sequence[OrderedProtection] = (),
    **times: object,
) -> Order:
    return Order(
        id=order_id,
        version=version,
        wearer=wearer,
        zones=zones(*features) if features else None,
        protected=tuple(protected),
        **times,  # type: ignore[arg-type]
    )


HER = OrderedProtection(device="her", contact_m=50.0, alarm_m=500.0, pre_alert_m=1000.0)


class OrderDriver:
    """Puts commands about orders to a bench's pipeline, as the desk does."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.orders: Orders = bench.orders

    @property
    def kept(self) -> dict[tuple[str, str], bytes]:
        """What is on disk of orders."""
        return {key: value for key, value in self.bench.kept.items() if key[1].startswith("order/")}

    def do(self, *commands: OrderCommand) -> tuple[OrderResult | Refusal, ...]:
        prepared: Prepared = prepare(self.orders, commands, self.bench.clock.utc_ns())
        if prepared.handover is not None:
            self.bench.pipeline.replan(prepared.handover, self.bench.clock.mono_ns())
        self.orders = prepared.orders
        answers: list[OrderResult | Refusal] = []
        for answer in prepared.answers:
            if isinstance(answer, Refusal):
                answers.append(answer)
                continue
            answers.append(answer.result)
            for saved in answer.saves:
                self._keep(saved)
        return tuple(answers)

    def load(self, order: Order) -> OrderResult:
        (answer,) = self.do(LoadOrder(order=order))
        assert isinstance(answer, OrderResult), answer
        return answer

    def replace(self, order: Order, if_version: int) -> OrderResult:
        (answer,) = self.do(ReplaceOrder(order=order, if_version=if_version))
        assert isinstance(answer, OrderResult), answer
        return answer

    def withdraw(self, order_id: str = "p1", if_version: int = 1) -> OrderResult:
        (answer,) = self.do(WithdrawOrder(order_id=order_id, if_version=if_version))
        assert isinstance(answer, OrderResult), answer
        return answer

    def refuse(self, command: OrderCommand) -> Refusal:
        before = self.orders
        (answer,) = self.do(command)
        assert isinstance(answer, Refusal), answer
        assert (self.orders.plan, self.orders.in_force) == (before.plan, before.in_force)
        assert self.orders.book.orders == before.book.orders
        return answer

    def _keep(self, saved: Saved) -> None:
        if saved.value is None:
            del self.bench.kept[saved.owner, saved.key]
        else:
            self.bench.kept[saved.owner, saved.key] = saved.value

    def saved(self) -> tuple[Saved, ...]:
        return tuple(Saved(owner=owner, key=key, value=value) for (owner, key), value in self.kept.items())


def life_of(bench: Bench, kind: str, side: str = "tag/tag") -> list[tuple[str, str]]:
    """Message type and reason of each alert of a kind."""
    return [(data["msg_type"], data["reason"]) for data in bench.of_kind(kind, side)]


def zone_life(bench: Bench, zone_id: str) -> list[str]:
    """Message types of alerts about one zone."""
    alerts: list[Mapping] = [a["data"] for a in bench.alerts()]  # type: ignore[type-arg]
    return [data["msg_type"] for data in alerts if data["zone"] is not None and data["zone"]["id"] == zone_id]
