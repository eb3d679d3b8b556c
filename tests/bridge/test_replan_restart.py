"""Orders of the provider over a restart: what they raised stays raised, and ends when it is over."""

from pathlib import Path

from protocols.mqtt.commands import OrderedProtection
from protocols.reports import TagEventKind
from tests.bridge.bench import Bench
from tests.bridge.order_bench import HER, OrderDriver, an_order, circle, life_of, zone_life
from tests.bridge.test_replan_pairs import PAIRLESS, TAGS, bands, both
from tests.bridge.test_replan_zones import LONE
from tests.bridge.warning_bench import WarningBench


def test_an_alert_of_an_ordered_zone_outlives_the_bridge(tmp_path: Path) -> None:
    before = Bench(tmp_path, config=LONE)
    OrderDriver(before).load(an_order(features=[circle("z")]))
    before.fix("tag", 0)
    (raised,) = before.of_kind("exclusion_zone_entered")
    after = Bench(tmp_path, config=LONE, epoch="SECOND", after=before, down_s=30)
    after.fix("tag", 0)
    assert after.told() == []
    assert after.active() == ["exclusion_zone_entered"]
    OrderDriver(after).withdraw()
    (cancel,) = after.of_kind("exclusion_zone_entered")
    assert (cancel["alert_id"], cancel["reason"]) == (raised["alert_id"], "order withdrawn")


def test_an_alert_whose_order_ended_meanwhile_is_over_at_the_start(tmp_path: Path) -> None:
    before = Bench(tmp_path, config=LONE)
    driver = OrderDriver(before)
    driver.load(an_order(features=[circle("z")]))
    driver.load(an_order("p2", features=[circle("y")]))
    before.fix("tag", 0)
    assert zone_life(before, "z") == zone_life(before, "y") == ["Alert"]
    # The process ended between the word that the withdrawal is accepted and the cancelling.
    del before.kept["tag", "order/p1"]
    after = Bench(tmp_path, config=LONE, epoch="SECOND", after=before)
    assert zone_life(after, "z") == ["Cancel"]
    assert zone_life(after, "y") == []


def test_an_ordered_pair_outlives_the_bridge(tmp_path: Path) -> None:
    before = Bench(tmp_path, config=PAIRLESS)
    OrderDriver(before).load(an_order(protected=[HER]))
    both(before, 300)
    after = Bench(tmp_path, config=PAIRLESS, epoch="SECOND", after=before)
    assert after.active() == ["proximity_breach"]
    both(after, 300)
    both(after, 3000)
    assert [kind for kind, _ in bands(after)] == ["Update", "Cancel"] or [kind for kind, _ in bands(after)] == [
        "Cancel"
    ]


def test_her_call_under_a_tag_without_an_order_outlives_the_bridge(tmp_path: Path) -> None:
    """The tag was issued with an order that is withdrawn; only her own hand ends her call."""
    before = WarningBench(tmp_path, config=TAGS)
    driver = OrderDriver(before)
    driver.load(an_order(protected=[OrderedProtection(device="phone", smart_tag="her")]))
    before.tag_event(TagEventKind.SOS_PRESSED)
    driver.withdraw()
    assert life_of(before, "sos", "protected/phone") == [("Alert", "she has called for help")]
    after = WarningBench(tmp_path, config=TAGS, epoch="SECOND", after=before)
    assert after.active("protected/phone") == ["sos"]
    after.tag_event(TagEventKind.SOS_CANCELLED)
    assert [kind for kind, _ in life_of(after, "sos", "protected/phone")] == ["Cancel"]
