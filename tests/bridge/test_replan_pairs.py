"""Protected persons who come into orders and leave them while a pipeline runs: pairs, her tag, cover, her call."""

from pathlib import Path

import pytest

from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.commands import OrderedProtection
from protocols.reports import BeaconVerdict, TagEventKind
from tests.bridge.bench import Bench
from tests.bridge.order_bench import HER, OrderDriver, an_order, life_of
from tests.bridge.warning_bench import WarningBench

BREACH = "proximity_breach"

PAIRLESS = """
[bridge]
agency = "t"
[[device]]
id = "tag"
transport = "memory:tag"
interval_s = 1
silence_buffer_s = 1000
[[device]]
id = "her"
role = "protected"
transport = "memory:her"
interval_s = 1
silence_buffer_s = 1000
"""

TAGS = """
[bridge]
agency = "t"
[policy]
exit_margin_m = 10
[warning]
cover_settle_s = 30
start_grace_s = 120
[[device]]
id = "tag"
transport = "memory:tag"
interval_s = 1
silence_buffer_s = 500
[[device]]
id = "tag-2"
transport = "memory:tag2"
interval_s = 1
silence_buffer_s = 500
[[device]]
id = "her"
kind = "smart_tag"
role = "protected"
transport = "ble:C0:DE:00:00:00:01"
interval_s = 1
silence_buffer_s = 500
[[device]]
id = "phone"
role = "protected"
transport = "memory:phone"
interval_s = 1
silence_buffer_s = 500
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, config=PAIRLESS)


@pytest.fixture
def driver(bench: Bench) -> OrderDriver:
    return OrderDriver(bench)


@pytest.fixture
def tags(tmp_path: Path) -> WarningBench:
    return WarningBench(tmp_path, config=TAGS)


@pytest.fixture
def tag_driver(tags: WarningBench) -> OrderDriver:
    return OrderDriver(tags)


def bands(bench: Bench, side: str = "tag/tag") -> list[tuple[str, str]]:
    field = "protected_party" if side.startswith("tag") else "proximity"
    return [(data["msg_type"], data[field]["band"]) for data in bench.of_kind(BREACH, side)]


def both(bench: Bench, distance_m: float, *, her: str = "her") -> None:
    bench.wait(1)
    bench.fix(her, 0)
    bench.fix("tag", distance_m)


def test_who_is_near_already_is_an_alert_at_once(bench: Bench, driver: OrderDriver) -> None:
    both(bench, 300)
    assert bench.last_status()["pairs"] == []
    driver.load(an_order(protected=[HER]))
    assert bands(bench) == bands(bench, "protected/her") == [("Alert", "alarm")]
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "alarm"}]
    assert bench.of_kind(BREACH, "protected/her")[0]["proximity"]["distance_m"] == pytest.approx(300, rel=0.005)


def test_a_new_pair_is_unknown_until_both_are_located(bench: Bench, driver: OrderDriver) -> None:
    bench.fix("tag", 300)
    driver.load(an_order(protected=[HER]))
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "unknown"}]
    bench.fix("her", 0)
    assert bands(bench) == [("Alert", "alarm")]


def test_a_new_pair_grows_old_like_any_other(bench: Bench, driver: OrderDriver) -> None:
    both(bench, 300)
    bench.wait(60)
    driver.load(an_order(protected=[HER]))
    bench.wait(59)
    assert bands(bench) == [("Alert", "alarm")]
    bench.wait(2)
    assert bands(bench) == [("Alert", "alarm"), ("Update", "unknown")]


def test_a_withdrawn_pair_is_cancelled_on_both_sides(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(protected=[HER]))
    both(bench, 300)
    driver.withdraw()
    for side in ("tag/tag", "protected/her"):
        assert life_of(bench, BREACH, side) == [("Alert", "band alarm"), ("Cancel", "order withdrawn")]
        assert bench.last_status(side)["pairs"] == []
        assert bench.active(side) == []
        assert bench.of_kind(BREACH, side)[-1]["position"] is None
    assert bench.of_kind(BREACH, "protected/her")[-1]["proximity"]["distance_m"] is None
    both(bench, 20)
    assert len(bench.alerts()) == 2


def test_a_pair_goes_on_in_a_new_version(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(protected=[HER]))
    both(bench, 300)
    driver.replace(an_order(version=2, protected=[HER]), 1)
    both(bench, 310)
    assert bands(bench) == [("Alert", "alarm")]


def test_other_rings_are_judged_at_once(bench: Bench, driver: OrderDriver) -> None:
    driver.load(an_order(protected=[HER]))
    both(bench, 300)
    wider = OrderedProtection(device="her", contact_m=400.0, alarm_m=500.0, pre_alert_m=1000.0)
    driver.replace(an_order(version=2, protected=[wider]), 1)
    assert bands(bench) == [("Alert", "alarm"), ("Update", "contact")]
    narrow = OrderedProtection(device="her", contact_m=10.0, alarm_m=20.0, pre_alert_m=30.0)
    driver.replace(an_order(version=3, protected=[narrow]), 2)
    assert bands(bench)[-1] == ("Cancel", "clear")


def test_one_of_two_pairs_goes_and_the_other_stays(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tag_driver.load(an_order("p2", wearer="tag-2", protected=[HER]))
    tags.fix("her", 0)
    tags.fix("tag", 300)
    tags.fix("tag-2", 700)
    tag_driver.withdraw("p1")
    assert life_of(tags, BREACH, "tag/tag")[-1] == ("Cancel", "order withdrawn")
    assert bands(tags, "tag/tag-2") == [("Alert", "pre_alert")]
    # What stands is what is still so.
    assert tags.commands[-1] == (WarnLevel.NOTICE, WarnText.NEARBY)
    tags.wait(1)
    tags.fix("tag-2", 300)
    assert tags.commands[-1] == (WarnLevel.ALARM, WarnText.NEARBY)


# Her tag


def test_her_tag_warns_as_soon_as_an_order_protects_her(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tags.presence(True)
    both(tags, 300)
    assert tags.asked == []
    tag_driver.load(an_order(protected=[HER]))
    assert tags.commands == [(WarnLevel.ALARM, WarnText.NEARBY)]
    assert tags.last_status("protected/her")["smart_tag"] == "present"
    tags.arrive()
    assert tags.steps() == ["asked", "written", "started"]


def test_her_tag_is_stood_down_with_her_order(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.near(300)
    tags.arrive()
    tag_driver.withdraw()
    assert tags.commands == [(WarnLevel.ALARM, WarnText.NEARBY), (WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)]
    tags.arrive()
    assert tags.steps()[-1] == "stood_down"
    assert tags.active("protected/her") == []
    tags.stay(40, 20)
    assert len(tags.commands) == 2


def test_the_write_comes_before_the_word_to_the_provider(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.near(300)
    told: list[int] = []
    ask = tags.pipeline._warning._ask
    tags.pipeline._warning._ask = lambda each: (told.append(len(tags.messages)), ask(each))[1]
    before = len(tags.messages)
    tag_driver.withdraw()
    assert told == [before]
    assert len(tags.messages) > before


def test_not_warned_is_over_with_its_order(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.near(300)
    tags.wait(6)
    assert [each[0] for each in tags.life_of("protected_person_not_warned")] == ["Alert"]
    tag_driver.withdraw()
    assert [each[0] for each in tags.life_of("protected_person_not_warned")] == ["Alert", "Cancel"]


def test_lost_cover_is_over_with_her_order(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.near(3000)
    for _ in range(130):
        tags.wait(1)
        tags.fix("her", 0)
    assert [each[0] for each in tags.life_of("cover_lost")] == ["Alert"]
    tag_driver.withdraw()
    assert life_of(tags, "cover_lost", "protected/her")[-1] == ("Cancel", "order withdrawn")
    assert tags.commands[-1][0] is WarnLevel.STAND_DOWN


def test_a_new_order_gets_the_grace_of_a_start(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tags.wait(300)
    tag_driver.load(an_order(protected=[HER]))
    tags.wait(119)
    assert tags.life_of("cover_lost") == []
    tags.wait(2)
    assert [each[:2] for each in tags.life_of("cover_lost")] == [("Alert", "cannot_judge")]


def test_what_is_missing_already_is_lost_cover_at_once(tags: WarningBench, tag_driver: OrderDriver) -> None:
    phone = OrderedProtection(device="phone", smart_tag="her")
    tags.presence(False)
    tag_driver.load(an_order(protected=[phone]))
    assert [each[:2] for each in tags.life_of("cover_lost", "phone")] == [("Alert", "tag_silent")]
    assert tags.last_status("protected/phone")["smart_tag"] == "absent"


def test_a_wearer_who_is_lost_already_is_lost_cover_at_once(tmp_path: Path) -> None:
    tags = WarningBench(tmp_path, config=TAGS.replace("silence_buffer_s = 500", "silence_buffer_s = 30"))
    driver = OrderDriver(tags)
    tags.presence(True)
    both(tags, 3000)
    for _ in range(40):
        tags.wait(1)
        tags.fix("her", 0)
    driver.load(an_order(protected=[HER]))
    assert [each[:2] for each in tags.life_of("cover_lost")] == [("Alert", "wearer_lost")]
    for _ in range(31):
        tags.wait(1)
        both(tags, 3000)
    assert [each[0] for each in tags.life_of("cover_lost")] == ["Alert", "Cancel"]


def test_a_tag_stays_hers_after_her_order(tags: WarningBench, tag_driver: OrderDriver) -> None:
    """Nobody is kept from her any more; she can still call."""
    phone = OrderedProtection(device="phone", smart_tag="her")
    tag_driver.load(an_order(protected=[phone]))
    tag_driver.withdraw()
    tags.tag_event(TagEventKind.SOS_PRESSED)
    assert life_of(tags, "sos", "protected/phone") == [("Alert", "she has called for help")]
    tag_driver.load(an_order(protected=[phone]))
    tag_driver.withdraw(if_version=1)
    assert [kind for kind, _ in life_of(tags, "sos", "protected/phone")] == ["Alert"]
    tags.tag_event(TagEventKind.SOS_CANCELLED)
    assert [kind for kind, _ in life_of(tags, "sos", "protected/phone")] == ["Alert", "Cancel"]


def test_a_call_goes_on_under_whoever_has_the_tag(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tags.tag_event(TagEventKind.SOS_PRESSED)
    assert [kind for kind, _ in life_of(tags, "sos", "protected/her")] == ["Alert"]
    tag_driver.load(an_order(protected=[OrderedProtection(device="phone", smart_tag="her")]))
    assert [kind for kind, _ in life_of(tags, "sos", "protected/her")] == ["Alert", "Cancel"]
    assert [kind for kind, _ in life_of(tags, "sos", "protected/phone")] == ["Alert"]
    assert tags.last_status("protected/phone")["sos"] is True
    tags.tag_event(TagEventKind.SOS_CANCELLED)
    assert [kind for kind, _ in life_of(tags, "sos", "protected/phone")] == ["Alert", "Cancel"]


def test_her_device_moves_to_another_tag(tmp_path: Path) -> None:
    second = """
[[device]]
id = "her-2"
kind = "smart_tag"
role = "protected"
transport = "ble:C0:DE:00:00:00:02"
interval_s = 1
silence_buffer_s = 500
"""
    bench = WarningBench(tmp_path, config=TAGS + second)
    driver = OrderDriver(bench)
    driver.load(an_order(protected=[OrderedProtection(device="phone", smart_tag="her")]))
    both(bench, 300, her="phone")
    assert [(ask.smart_tag, ask.command.level) for ask in bench.asked] == [("her", WarnLevel.ALARM)]
    driver.replace(an_order(version=2, protected=[OrderedProtection(device="phone", smart_tag="her-2")]), 1)
    assert [(ask.smart_tag, ask.command.level) for ask in bench.asked[1:]] == [
        ("her", WarnLevel.STAND_DOWN),
        ("her-2", WarnLevel.ALARM),
    ]
    assert bench.last_status("protected/phone")["smart_tag_id"] == "her-2"
    # The old tag's receipt comes after all: it is hers no more.
    bench.arrive(bench.asked[1])
    bench.arrive(bench.asked[2])
    assert bench.steps("phone")[-1] == "started"


def test_a_heard_beacon_is_over_with_its_order(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.sighting()
    tags.sighting(BeaconVerdict.FORGED)
    assert [each[0] for each in tags.life_of("beacon_heard")] == ["Alert"]
    tag_driver.withdraw()
    assert life_of(tags, "beacon_heard", "protected/her")[-1] == ("Cancel", "order withdrawn")
    assert life_of(tags, "beacon_forged", "protected/her")[-1] == ("Cancel", "order withdrawn")
    tags.wait(700)
    assert len(tags.life_of("beacon_heard")) == len(tags.life_of("beacon_forged")) == 2


def test_a_person_without_a_tag_is_told_as_such(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[OrderedProtection(device="phone")]))
    assert tags.last_status("protected/phone")["smart_tag"] == "none_issued"
    tag_driver.withdraw()
    assert tags.last_status("protected/phone")["smart_tag"] is None


def test_a_late_receipt_of_a_withdrawn_person_is_no_error(tags: WarningBench, tag_driver: OrderDriver) -> None:
    tag_driver.load(an_order(protected=[HER]))
    tags.near(300)
    ask = tags.asked[-1]
    # The tag is issued to somebody else meanwhile.
    tag_driver.replace(an_order(version=2, protected=[OrderedProtection(device="phone", smart_tag="her")]), 1)
    assert (tags.asked[1].person, tags.asked[1].command.level) == ("her", WarnLevel.STAND_DOWN)
    tags.arrive(ask)
    tags.arrive(tags.asked[1])
    assert tags.last_status("protected/her")["smart_tag"] is None
