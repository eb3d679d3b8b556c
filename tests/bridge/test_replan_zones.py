"""Zones of orders that come, change and go while a pipeline runs."""

from pathlib import Path

import pytest

from protocols.mqtt.commands import LoadOrder
from tests.bridge.bench import Bench
from tests.bridge.order_bench import OrderDriver, an_order, circle, life_of, square, zone_life

ENTERED, LEFT = "exclusion_zone_entered", "inclusion_zone_left"

LONE = """
[bridge]
agency = "t"
[[device]]
id = "tag"
transport = "memory:tag"
interval_s = 1
silence_buffer_s = 1000
[[device]]
id = "tag-2"
transport = "memory:tag2"
interval_s = 1
silence_buffer_s = 1000
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, config=LONE)


@pytest.fixture
def driver(bench: Bench) -> OrderDriver:
    return OrderDriver(bench)


def test_a_loaded_zone_is_judged_from_the_next_fix(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    assert bench.alerts() == []
    bench.fix("tag", 0)
    assert zone_life(bench, "z") == ["Alert"]
    bench.wait(1)
    bench.fix("tag", 500)
    assert zone_life(bench, "z") == ["Alert", "Cancel"]


def test_who_is_inside_already_is_an_alert_at_once(bench: Bench, driver: OrderDriver) -> None:
    bench.fix("tag", 0)
    bench.wait(1)
    driver.load(
        an_order(features=[circle("z"), circle("far", north_m=5000), square("home", north_m=3000, purpose="inclusion")])
    )
    assert zone_life(bench, "z") == ["Alert"]
    assert zone_life(bench, "far") == []
    assert zone_life(bench, "home") == ["Alert"]
    assert bench.active() == [ENTERED, LEFT]


def test_an_old_position_proves_nothing_about_a_new_zone(bench: Bench, driver: OrderDriver) -> None:
    bench.fix("tag", 0)
    bench.wait(121)
    driver.load(an_order(features=[circle("z")]))
    assert bench.alerts() == []


def test_withdrawn_zones_cancel_their_alerts_and_say_why(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 0)
    raised = bench.alerts()[-1]
    driver.withdraw()
    cancel = bench.alerts()[-1]
    assert life_of(bench, ENTERED) == [("Alert", "first known inside"), ("Cancel", "order withdrawn")]
    assert cancel["data"]["references"] == [raised["id"]]
    assert cancel["data"]["position"] is None
    assert bench.active() == []
    bench.wait(1)
    bench.fix("tag", 1)
    assert len(bench.alerts()) == 2


def test_an_unchanged_zone_goes_on_in_a_new_version(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z"), circle("other", north_m=5000)]))
    bench.fix("tag", 0)
    # Another order of the features, another name, one more zone: z itself is drawn as before.
    again = circle("z")
    again["properties"]["name"] = "Renamed"  # type: ignore[index]
    driver.replace(an_order(version=2, features=[circle("more", north_m=-5000), again]), 1)
    bench.wait(1)
    bench.fix("tag", 1)
    assert zone_life(bench, "z") == ["Alert"]
    bench.wait(1)
    bench.fix("tag", 500)
    assert life_of(bench, ENTERED) == [("Alert", "first known inside"), ("Cancel", "left")]


def test_what_is_known_goes_on_without_a_new_first_time(bench: Bench, driver: OrderDriver) -> None:
    """Within the exit margin an unknown state would be neither inside nor outside; a carried one stays."""
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 500)
    driver.replace(an_order(version=2, features=[circle("z"), circle("y", north_m=9000)]), 1)
    bench.wait(1)
    bench.fix("tag", 0)
    assert life_of(bench, ENTERED) == [("Alert", "entered")]


def test_a_changed_zone_is_judged_anew(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 80)
    driver.replace(an_order(version=2, features=[circle("z", radius_m=50)]), 1)
    assert life_of(bench, ENTERED) == [("Alert", "first known inside"), ("Cancel", "first known outside")]
    driver.replace(an_order(version=3, features=[circle("z", radius_m=90)]), 2)
    assert zone_life(bench, "z") == ["Alert", "Cancel", "Alert"]
    # Still inside of what it is changed to: the alert that is raised stays.
    driver.replace(an_order(version=4, features=[circle("z", radius_m=200)]), 3)
    assert zone_life(bench, "z") == ["Alert", "Cancel", "Alert"]


def test_a_changed_zone_keeps_its_alert_until_somebody_knows(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 80)
    bench.wait(121)
    driver.replace(an_order(version=2, features=[circle("z", radius_m=50)]), 1)
    assert zone_life(bench, "z") == ["Alert"]
    bench.fix("tag", 80)
    assert zone_life(bench, "z") == ["Alert", "Cancel"]


def test_a_zone_with_another_purpose_is_another_alert(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 0)
    driver.replace(an_order(version=2, features=[circle("z", purpose="inclusion")]), 1)
    assert life_of(bench, ENTERED) == [("Alert", "first known inside"), ("Cancel", "order withdrawn")]
    assert life_of(bench, LEFT) == []
    bench.wait(1)
    bench.fix("tag", 500)
    assert life_of(bench, LEFT) == [("Alert", "left")]


def test_an_order_of_another_wearer_changes_nothing_for_this_one(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 0)
    bench.fix("tag-2", 300)
    driver.load(an_order("p2", wearer="tag-2", features=[circle("z", north_m=300)]))
    driver.withdraw("p2")
    assert zone_life(bench, "z") == ["Alert"]
    assert life_of(bench, ENTERED, "tag/tag-2") == [("Alert", "first known inside"), ("Cancel", "order withdrawn")]


def test_an_order_may_move_to_another_wearer(bench: Bench, driver: OrderDriver) -> None:
    bench.fix("tag", 0)
    bench.fix("tag-2", 0)
    driver.load(an_order(features=[circle("z")]))
    driver.replace(an_order(version=2, wearer="tag-2", features=[circle("z")]), 1)
    assert life_of(bench, ENTERED) == [("Alert", "first known inside"), ("Cancel", "order withdrawn")]
    assert life_of(bench, ENTERED, "tag/tag-2") == [("Alert", "first known inside")]
    assert list(driver.kept) == [("tag-2", "order/p1")]


def test_late_reports_go_on_over_a_change(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(features=[circle("z")]))
    bench.fix("tag", 500, t_s=100)
    bench.fix("tag", 0, t_s=10, stored=True)
    driver.load(an_order("p2", features=[circle("y", north_m=300)]))
    bench.fix("tag", 1, t_s=11, stored=True)
    bench.fix("tag", 300, t_s=12, stored=True)
    late = [(a["data"]["msg_type"], a["data"]["zone"]["id"]) for a in bench.alerts() if a["data"]["late"]]
    assert late == [("Alert", "z"), ("Cancel", "z"), ("Alert", "y")]
    driver.withdraw("p2")
    assert life_of(bench, ENTERED)[-1] == ("Cancel", "order withdrawn")


def test_zones_of_the_file_stay_as_they_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    driver = OrderDriver(bench)
    bench.fix("tag", 50)
    before = bench.pipeline._live._states[0]
    driver.load(an_order(features=[circle("z", north_m=50)]))
    assert bench.pipeline._live._states[0].inside.tolist() == before.inside.tolist()
    assert bench.told().count(("Alert", ENTERED)) == 2
    driver.withdraw()
    assert life_of(bench, ENTERED)[-1] == ("Cancel", "order withdrawn")
    bench.wait(1)
    bench.fix("tag", 5000)
    assert zone_life(bench, "z-ex") == ["Alert", "Cancel"]
    assert zone_life(bench, "z-in") == ["Alert"]


def test_transitions_of_file_and_orders_come_in_order_of_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    driver = OrderDriver(bench)
    driver.load(an_order(features=[circle("z", north_m=300)]))
    bench.fix("tag", 700, t_s=0)
    bench.feed("tag", bench.make_fix(300, t_s=1), bench.make_fix(0, t_s=2), bench.make_fix(300, t_s=3))
    zones = [(a["data"]["msg_type"], a["data"]["zone"]["id"]) for a in bench.alerts() if a["data"]["zone"]]
    assert zones == [("Alert", "z"), ("Alert", "z-ex"), ("Cancel", "z"), ("Cancel", "z-ex"), ("Alert", "z")]


def test_many_orders_share_two_indexes(bench: Bench, driver: OrderDriver) -> None:
    """What stands already is indexed once; a new order costs its own zones."""
    bench.fix("tag", 0)
    many = [
        LoadOrder(order=an_order(f"m{n}", features=[circle(f"z{n}-{k}", north_m=20_000 + 10 * k) for k in range(30)]))
        for n in range(20)
    ]
    assert not any(hasattr(answer, "reason") for answer in driver.do(*many))
    bulk = driver.orders.plan.order_layers[0]
    assert len(bulk.refs) == 600
    driver.load(an_order("new", features=[circle("here")]))
    first, fresh = driver.orders.plan.order_layers
    assert first is bulk
    assert len(fresh.refs) == 1
    assert zone_life(bench, "here") == ["Alert"]
    driver.withdraw("m3")
    kept, fresh_kept = driver.orders.plan.order_layers
    assert kept.assigned.zones is bulk.assigned.zones
    assert len(kept.assigned) == 570
    assert fresh_kept is fresh
    assert driver.orders.plan.zones_count == 571
    driver.do(
        *(
            LoadOrder(order=an_order(f"n{n}", features=[circle(f"y{n}-{k}", north_m=30_000) for k in range(60)]))
            for n in range(9)
        )
    )
    (whole,) = driver.orders.plan.order_layers
    assert len(whole.refs) == 571 + 540
    bench.wait(1)
    bench.fix("tag", 0)
    assert zone_life(bench, "here") == ["Alert"]
    for name in [*(f"m{n}" for n in range(20) if n != 3), *(f"n{n}" for n in range(9))]:
        driver.withdraw(name)
    (left,) = driver.orders.plan.order_layers
    assert len(left.refs) == 1
    driver.withdraw("new")
    assert driver.orders.plan.order_layers == ()
    assert zone_life(bench, "here") == ["Alert", "Cancel"]
