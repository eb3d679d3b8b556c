"""Orders of a provider: what is taken, what is refused and why, what is kept and found again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.orders.batch import prepare, restore_orders
from bridge.orders.book import MAX_ORDERS, LoadedOrder, OrderBook
from bridge.publisher import Saved
from protocols.mqtt.commands import LoadOrder, Order, OrderedProtection, ReplaceOrder, WithdrawOrder
from protocols.mqtt.refusal import RefusalReason
from tests.bridge.bench import T0_UTC_NS, Bench
from tests.bridge.order_bench import HER, OrderDriver, an_order, circle, square, zone_life, zones
from tests.bridge.warning_bench import CONFIG as WARNING_CONFIG
from tests.bridge.warning_bench import WarningBench

T0 = datetime.fromtimestamp(T0_UTC_NS / 1e9, UTC)
DAY = timedelta(days=1)


@pytest.fixture
def driver(tmp_path: Path) -> OrderDriver:
    extra = '[[device]]\nid = "pp"\nrole = "protected"\ntransport = "memory:pp"\n'
    return OrderDriver(Bench(tmp_path, extra=extra))


def feature(**changed: object) -> dict[str, object]:
    return {**square("z"), **changed}


CROSSED = {
    "type": "Polygon",
    "coordinates": [[[-6.5, 51.0], [-6.4, 51.1], [-6.4, 51.0], [-6.5, 51.1], [-6.5, 51.0]]],
}


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([feature(geometry=CROSSED)], ("zone 'z'", "ring", "vertex")),
        ([feature(properties={})], ("zone 'z'", "purpose")),
        ([feature(geometry=None)], ("zone 'z'", "geometry")),
        ([feature(geometry={"type": "Point", "coordinates": [-6.5, 51.0]})], ("zone 'z'", "radius_m")),
        ([feature(geometry={"type": "Point", "coordinates": [-6.5, 251.0]})], ("zone 'z'",)),
        ([feature(), feature()], ("zone 'z'", "twice")),
        ([feature(id="n" * 300)], ("longer than 256",)),
        (
            [
                circle("a"),
                circle("b"),
                feature(
                    geometry={"type": "Point", "coordinates": [51.0, -6.5]},
                    properties={"purpose": "exclusion", "radius_m": 5},
                ),
            ],
            ("zone 'z'", "exchanged"),
        ),
    ],
)
def test_a_zone_that_cannot_be_judged_is_refused_with_its_place(
    driver: OrderDriver, features: list[dict[str, object]], words: tuple[str, ...]
) -> None:
    refusal = driver.refuse(LoadOrder(order=an_order(features=features)))
    assert refusal.reason is RefusalReason.INVALID_ZONES
    assert "mend" not in refusal.detail, "a command cannot mend"
    for word in words:
        assert word in refusal.detail


def test_a_mistyped_coordinate_does_not_make_everybody_wait(driver: OrderDriver) -> None:
    """0 for 51: a valid zone down to the equator, which would take minutes and gigabytes to index."""
    ring = [[-6.5, 0], [-6.4, 51.0], [-6.4, 51.1], [-6.5, 51.1], [-6.5, 0]]
    for shape in (
        feature(geometry={"type": "Polygon", "coordinates": [ring]}),
        circle("z", radius_m=2_000_000),
        {
            **feature(geometry={"type": "LineString", "coordinates": ring}),
            "properties": {"purpose": "inclusion", "half_width_m": 9},
        },
    ):
        refusal = driver.refuse(LoadOrder(order=an_order(features=[circle("small"), shape])))
        assert refusal.reason is RefusalReason.INVALID_ZONES
        assert "zone 'z'" in refusal.detail and "km long" in refusal.detail


def test_zones_that_are_no_collection_are_refused(driver: OrderDriver) -> None:
    for broken in (
        {},
        {"type": "Polygon"},
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": {}},
    ):
        refusal = driver.refuse(LoadOrder(order=Order(id="o1", version=1, wearer="tag", zones=broken)))
        assert refusal.reason is RefusalReason.INVALID_ZONES


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (an_order(), ("neither zones nor protected",)),
        (Order(id="e", version=1, wearer="tag", zones=zones()), ("neither zones nor protected",)),
        (an_order(wearer="tga", features=[circle("z")]), ("wearer", "no device 'tga'", "Did you mean 'tag'?")),
        (an_order(wearer="her", features=[circle("z")]), ("does not have role 'wearer'",)),
        (an_order(protected=[OrderedProtection(device="tag")]), ("protected[0].device", "role 'protected'")),
        (an_order(protected=[OrderedProtection(device="her")]), ("stands in two places",)),
        (an_order(protected=[OrderedProtection(device="pp", smart_tag="tag")]), ("kind 'ankle_tag'",)),
        (an_order(protected=[OrderedProtection(device="pp", alarm_m=40.0)]), ("rings must grow",)),
        (an_order(features=[circle("z-ex")]), ("zone 'z-ex' of the zones file",)),
        (an_order(features=[circle("z")], valid_from=T0 + DAY, valid_until=T0 + DAY), ("is not before",)),
        (an_order(features=[circle("z")], valid_until=T0 - DAY), ("past",)),
    ],
)
def test_an_order_that_contradicts_something_is_refused(
    driver: OrderDriver, order: Order, words: tuple[str, ...]
) -> None:
    refusal = driver.refuse(LoadOrder(order=order))
    assert refusal.reason is RefusalReason.INVALID_ORDER
    for word in words:
        assert word in refusal.detail


def test_an_order_of_the_configuration_is_not_touched(driver: OrderDriver) -> None:
    for command in (
        LoadOrder(order=an_order("o", features=[circle("z")])),
        ReplaceOrder(order=an_order("o", 2, features=[circle("z")]), if_version=1),
        WithdrawOrder(order_id="o", if_version=1),
    ):
        assert driver.refuse(command).reason is RefusalReason.ORDER_EXISTS


def test_versions_guard_against_two_writers(driver: OrderDriver) -> None:
    first, second = an_order(features=[circle("z")]), an_order(version=2, features=[circle("z")])
    assert driver.refuse(ReplaceOrder(order=second, if_version=1)).reason is RefusalReason.UNKNOWN_ORDER
    assert driver.refuse(WithdrawOrder(order_id="p1", if_version=1)).reason is RefusalReason.UNKNOWN_ORDER
    assert driver.load(first).version == 1
    assert driver.refuse(LoadOrder(order=second)).reason is RefusalReason.ORDER_EXISTS
    assert driver.refuse(ReplaceOrder(order=second, if_version=2)).reason is RefusalReason.VERSION_CONFLICT
    assert driver.refuse(ReplaceOrder(order=first, if_version=1)).reason is RefusalReason.VERSION_CONFLICT
    assert driver.replace(second, 1).version == 2
    assert driver.refuse(WithdrawOrder(order_id="p1", if_version=1)).reason is RefusalReason.VERSION_CONFLICT
    answer = driver.withdraw(if_version=2)
    assert (answer.order_id, answer.version, answer.loaded) == ("p1", 2, False)
    assert driver.kept == {}


def test_two_orders_of_one_wearer_have_zones_of_their_own(driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    refusal = driver.refuse(LoadOrder(order=an_order("p2", features=[circle("z")])))
    assert "zone 'z' stands in order 'p1'" in refusal.detail
    driver.load(an_order("p2", features=[circle("y")]))


def test_a_refused_replacement_leaves_the_old_one_in_force(driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    driver.refuse(ReplaceOrder(order=an_order(version=2, features=[feature(geometry=CROSSED)]), if_version=1))
    driver.bench.fix("tag", 0)
    assert zone_life(driver.bench, "z") == ["Alert"]


def test_in_a_batch_each_command_stands_for_itself(driver: OrderDriver) -> None:
    answers = driver.do(
        LoadOrder(order=an_order("a", features=[circle("a")])),
        LoadOrder(order=an_order("b", features=[circle("a")])),
        LoadOrder(order=an_order("c", features=[circle("c")])),
        WithdrawOrder(order_id="a", if_version=1),
        LoadOrder(order=an_order("b", features=[circle("a")])),
    )
    assert [getattr(answer, "reason", None) for answer in answers] == [
        None,
        RefusalReason.INVALID_ORDER,
        None,
        None,
        None,
    ]
    assert sorted(driver.orders.book.orders) == ["b", "c"]


def test_no_book_grows_without_end(driver: OrderDriver) -> None:
    each = LoadedOrder(order=an_order(), section=None, zones=None, from_utc_ns=None, until_utc_ns=None)  # type: ignore[arg-type]
    book = OrderBook(orders=dict.fromkeys(map(str, range(MAX_ORDERS)), each))
    refusal = book.find_refusal(LoadOrder(order=an_order()), (), 0)
    assert refusal is not None and refusal.reason is RefusalReason.BUSY


# Times


def test_an_order_begins_and_ends_at_its_times(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    driver = OrderDriver(bench)
    bench.fix("tag", 0)
    order = an_order(
        features=[circle("z")], valid_from=T0 + timedelta(seconds=50), valid_until=T0 + timedelta(seconds=100)
    )
    driver.load(order)
    now = bench.clock.utc_ns()
    assert driver.orders.book.find_next_change_utc_ns(now) == T0_UTC_NS + 50_000_000_000
    assert zone_life(bench, "z") == []
    bench.wait(51)
    driver.do()
    assert zone_life(bench, "z") == ["Alert"]
    assert driver.orders.book.find_next_change_utc_ns(bench.clock.utc_ns()) == T0_UTC_NS + 100_000_000_000
    bench.wait(50)
    driver.do()
    assert zone_life(bench, "z") == ["Alert", "Cancel"]
    assert driver.orders.book.find_next_change_utc_ns(bench.clock.utc_ns()) is None


def test_orders_that_are_never_in_force_together_do_not_contradict(driver: OrderDriver) -> None:
    later = T0 + timedelta(days=1)
    driver.load(an_order("a", features=[circle("z")], valid_until=later))
    driver.load(an_order("b", features=[circle("z")], valid_from=later))
    refusal = driver.refuse(LoadOrder(order=an_order("c", features=[circle("z")], valid_from=T0)))
    assert "zone 'z'" in refusal.detail


def test_nothing_is_built_when_nothing_begins_or_ends(driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    prepared = prepare(driver.orders, (), driver.bench.clock.utc_ns())
    assert prepared.handover is None
    assert prepared.orders.plan is driver.orders.plan


# Kept


def test_orders_are_found_again_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    driver = OrderDriver(Bench(tmp_path / "a"))
    driver.load(an_order(features=[circle("z"), square("y", north_m=900)]))
    driver.load(an_order("p2", features=[circle("x", north_m=-900)], valid_until=T0 + timedelta(days=9)))
    driver.replace(an_order("p2", 7, features=[circle("x", north_m=-900)]), 1)
    driver.load(an_order("p3", features=[circle("w")]))
    driver.withdraw("p3")
    assert sorted(driver.kept) == [("tag", "order/p1"), ("tag", "order/p2")]
    base = Bench(tmp_path / "b").pipeline._plan
    orders, problems = restore_orders(base, driver.saved(), T0_UTC_NS)
    assert problems == ()
    told = {key: (each.order.version, each.zones.refs, each.zones.prints) for key, each in orders.book.orders.items()}
    before = driver.orders.book.orders
    assert told == {key: (each.order.version, each.zones.refs, each.zones.prints) for key, each in before.items()}
    assert orders.plan.zones_count == driver.orders.plan.zones_count == 5


def test_a_kept_order_that_fits_no_more_is_told_and_left_out(tmp_path: Path) -> None:
    base = Bench(tmp_path).pipeline._plan
    zone = b'{"type":"Feature","id":"q","properties":{"purpose":"exclusion","radius_m":9},"geometry":'
    zone += b'{"type":"Point","coordinates":[-6.5,51]}}'
    body = b'{"id":"good","version":1,"wearer":"tag","zones":{"type":"FeatureCollection","features":[' + zone + b"]}}"
    good = Saved(owner="tag", key="order/good", value=body)
    kept = (
        Saved(
            owner="gone", key="order/a", value=b'{"id":"a","version":1,"wearer":"gone","protected":[{"device":"her"}]}'
        ),
        Saved(owner="tag", key="order/b", value=b"{"),
        Saved(owner="tag", key="order/o", value=good.value),
        Saved(owner="tag", key="ledger/x", value=b"other"),
        good,
    )
    orders, problems = restore_orders(base, kept, T0_UTC_NS)
    assert list(orders.book.orders) == ["good"]
    assert [problem.split("'")[1] for problem in problems] == ["a", "b", "o"]
    assert "no device 'gone'" in problems[0]


def test_smart_tags_are_checked_across_orders(tmp_path: Path) -> None:
    extra = '[[device]]\nid = "phone"\nrole = "protected"\ntransport = "memory:p"\n'
    driver = OrderDriver(WarningBench(tmp_path, config=WARNING_CONFIG, extra=extra))
    refusal = driver.refuse(LoadOrder(order=an_order(protected=[OrderedProtection(device="phone", smart_tag="her")])))
    assert "smart tag 'her'" in refusal.detail or "'her' is a person's device" in refusal.detail
    assert HER.device == "her"
