"""Zones through the whole pipeline, on a clock that stands still."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocols.reports import DateRule, Fix, FixState
from tests.bridge.bench import LAT, LON, T0_UTC_NS, Bench, S

ENTERED = "exclusion_zone_entered"
LEFT_HOME = "inclusion_zone_left"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def steps(bench: Bench, kind: str) -> list[str]:
    return [data["msg_type"] for data in bench.of_kind(kind)]


def test_enter_and_leave(bench: Bench) -> None:
    for north_m in (500, 50, 20, 500):
        bench.fix("tag", north_m)
        bench.wait(1)
    entered = bench.of_kind(ENTERED)
    assert [data["msg_type"] for data in entered] == ["Alert", "Cancel"]
    assert [data["state"] for data in entered] == ["raised", "cleared"]
    assert [data["reason"] for data in entered] == ["entered", "left"]
    assert entered[0]["zone"] == {"id": "z-ex", "type": "exclusion", "name": "School"}
    assert entered[1]["alert_id"] == entered[0]["alert_id"] == bench.alerts()[0]["id"]
    assert entered[1]["references"] == [bench.alerts()[0]["id"]]
    assert entered[0]["severity"] == "Extreme"


def test_first_known_state_inside_an_exclusion_zone_is_an_alert(bench: Bench) -> None:
    bench.fix("tag", 0)
    assert steps(bench, ENTERED) == ["Alert"]
    assert bench.of_kind(ENTERED)[0]["reason"] == "first known inside"


def test_first_known_state_outside_an_inclusion_zone_is_an_alert(bench: Bench) -> None:
    bench.fix("tag", 5000)
    assert bench.told() == [("Alert", LEFT_HOME)]
    bench.wait(1)
    bench.fix("tag", 500)
    assert bench.told() == [("Alert", LEFT_HOME), ("Cancel", LEFT_HOME)]


def test_first_known_state_that_is_right_says_nothing(bench: Bench) -> None:
    bench.fix("tag", 500)
    assert bench.told() == []
    assert bench.active() == []


@pytest.mark.parametrize(
    "state", [FixState.NO_FIX, FixState.DEAD_RECKONING, FixState.MANUAL, FixState.SIMULATOR], ids=str
)
def test_only_positions_are_judged(bench: Bench, state: FixState) -> None:
    bench.feed("tag", Fix(offset=0, state=state, talker="GP", lat_deg=LAT, lon_deg=LON, t_fix_utc_ns=T0_UTC_NS))
    assert bench.told() == []
    assert bench.on("tag/tag/position") == []
    assert bench.last_status()["fix_state"] == state


def test_protected_person_s_own_device_is_not_judged_against_zones(bench: Bench) -> None:
    bench.fix("her", 0)
    assert bench.told("protected/her") == []


def test_snapshot_lists_what_is_raised_up_to_a_sequence(bench: Bench) -> None:
    bench.fix("tag", 5000)
    bench.wait(1)
    bench.fix("tag", 0)
    snapshot = bench.on("tag/tag/active")[-1]["data"]
    assert [(each["kind"], each["zone_id"]) for each in snapshot["alerts"]] == [(ENTERED, "z-ex")]
    assert snapshot["alert_sequence"] == bench.alerts()[-1]["sequence"] == f"{3:020d}"
    bench.wait(1)
    bench.fix("tag", 500)
    assert bench.active() == []


def test_sequence_is_gapless_and_ids_are_unique(bench: Bench) -> None:
    for n in range(20):
        bench.fix("tag", 0 if n % 2 else 500)
        bench.wait(1)
    alerts = bench.alerts()
    assert [int(a["sequence"]) for a in alerts] == list(range(1, len(alerts) + 1))
    assert len({a["id"] for a in alerts}) == len(alerts) == 19
    assert {a["source"] for a in alerts} == {"urn:em:t:b:tag:tag"}


def test_several_fixes_of_one_batch_are_judged_in_the_order_of_their_time(bench: Bench) -> None:
    fixes = [bench.make_fix(north_m, t_s=t_s) for t_s, north_m in ((3, 500), (1, 500), (2, 0))]
    bench.feed("tag", *fixes)
    assert [(d["msg_type"], d["occurred_at"][17:19]) for d in bench.of_kind(ENTERED)] == [
        ("Alert", f"{(T0_UTC_NS // S + 2) % 60:02d}"),
        ("Cancel", f"{(T0_UTC_NS // S + 3) % 60:02d}"),
    ]


def test_two_positions_with_one_time_are_both_judged(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=1)
    bench.fix("tag", 0, t_s=1)
    bench.fix("tag", 500, t_s=1)
    assert steps(bench, ENTERED) == ["Alert", "Cancel"]
    assert not any(data["late"] for data in bench.of_kind(ENTERED))


def test_fix_without_a_date_is_judged_by_the_time_it_came(bench: Bench) -> None:
    for north_m in (500, 0):
        fix = bench.make_fix(north_m)
        bench.feed(
            "tag",
            Fix(offset=0, state=fix.state, talker="GP", lat_deg=fix.lat_deg, lon_deg=LON, date_rule=DateRule.NONE),
        )
        bench.wait(1)
    assert steps(bench, ENTERED) == ["Alert"]
    assert bench.of_kind(ENTERED)[0]["position"]["properties"]["time"] is None


def test_stored_fixes_in_order_are_judged_and_marked(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=0)
    bench.wait(100)
    for t_s, north_m in ((10, 0), (20, 500)):
        bench.fix("tag", north_m, t_s=t_s, stored=True)
    entered = bench.of_kind(ENTERED)
    assert [(d["msg_type"], d["stored"], d["late"]) for d in entered] == [
        ("Alert", True, False),
        ("Cancel", True, False),
    ]
    positions = bench.on("tag/tag/position")
    assert [p["data"]["position"]["properties"]["stored"] for p in positions] == [False, True, True]


def test_late_run_inside_a_zone_is_told_and_does_not_change_the_live_state(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=100)
    for t_s, north_m in ((10, 500), (20, 0), (30, 20), (40, 500)):
        bench.fix("tag", north_m, t_s=t_s, stored=True)
    entered = bench.of_kind(ENTERED)
    assert [(d["msg_type"], d["late"], d["occurred_at"]) for d in entered] == [
        ("Alert", True, bench.alerts()[0]["data"]["occurred_at"]),
        ("Cancel", True, bench.alerts()[1]["data"]["occurred_at"]),
    ]
    assert entered[0]["urgency"] == "Past"
    assert bench.active() == []
    assert [p["data"]["position"]["properties"]["late"] for p in bench.on("tag/tag/position")] == [False] + [True] * 4
    bench.fix("tag", 0, t_s=101)
    assert [d["late"] for d in bench.of_kind(ENTERED)] == [True, True, False]


def test_late_run_that_ends_inside_is_cancelled_when_no_more_comes(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=100)
    bench.fix("tag", 0, t_s=10, stored=True)
    bench.wait(12)
    entered = bench.of_kind(ENTERED)
    assert [(d["msg_type"], d["late"], d["reason"]) for d in entered] == [
        ("Alert", True, "first known inside"),
        ("Cancel", True, "end of the late reports"),
    ]


def test_late_run_ends_where_an_older_fix_begins_the_next_also_within_one_batch(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=100)
    fixes = [bench.make_fix(north_m, t_s=t_s, stored=True) for t_s, north_m in ((50, 0), (10, 0), (20, 500))]
    bench.feed("tag", *fixes)
    assert steps(bench, ENTERED) == ["Alert", "Cancel", "Alert", "Cancel"]
    bench.wait(30)
    assert steps(bench, ENTERED) == ["Alert", "Cancel", "Alert", "Cancel"]


def test_late_run_is_closed_when_the_bridge_stops(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=100)
    bench.fix("tag", 0, t_s=10, stored=True)
    bench.pipeline.finish(bench.clock.mono_ns())
    assert steps(bench, ENTERED) == ["Alert", "Cancel"]


def test_clock_that_was_set_back_does_not_freeze_the_live_state(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=86_400)
    for n in range(6):
        bench.wait(1)
        bench.fix("tag", 0, t_s=n)
    live = [d for d in bench.of_kind(ENTERED) if not d["late"]]
    assert [d["msg_type"] for d in live] == ["Alert"]


@pytest.mark.parametrize("rate_hz", [0.2, 1, 2, 10])
def test_clock_that_was_set_back_is_live_again_at_any_rate(bench: Bench, rate_hz: float) -> None:
    bench.fix("tag", 500, t_s=1000)
    for n in range(int(6 * rate_hz) + 2):
        bench.wait(1 / rate_hz)
        bench.fix("tag", 0, t_s=(n + 1) / rate_hz)
    live = [d for d in bench.of_kind(ENTERED) if not d["late"]]
    assert [d["msg_type"] for d in live] == ["Alert"]
    assert ("Alert", "location_lost") not in bench.told()


@pytest.mark.parametrize("interval_s", [0.1, 1, 60])
def test_one_date_far_ahead_does_not_freeze_the_live_state(bench: Bench, interval_s: float) -> None:
    for n in range(10):
        bench.wait(interval_s)
        now_s = (bench.clock.utc_ns() - T0_UTC_NS) / S
        bench.fix("tag", 500 if n < 6 else 0, t_s=now_s + (86_400 if n == 5 else 0))
    entered = bench.of_kind(ENTERED)
    assert [(d["msg_type"], d["late"]) for d in entered] == [("Alert", False)]
    assert bench.pipeline.views[0].counts == {"fixes": 10, "undated": 1}


def test_a_crossing_dated_far_ahead_occurred_when_it_came(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.wait(60)
    bench.fix("tag", 0, t_s=86_400)
    (entered,) = bench.of_kind(ENTERED)
    came_ns = T0_UTC_NS + 60 * S
    assert entered["occurred_at"][14:19] == f"{came_ns // S // 60 % 60:02d}:{came_ns // S % 60:02d}"


def test_a_clock_set_back_by_leap_seconds_is_no_second_alert(bench: Bench) -> None:
    for _ in range(10):
        bench.fix("tag", 10)
        bench.wait(1)
    for _ in range(30):
        bench.fix("tag", 10, t_s=(bench.clock.utc_ns() - T0_UTC_NS) / S - 3)
        bench.wait(1)
    assert bench.told() == [("Alert", ENTERED)]


def test_a_stored_fix_without_a_time_does_not_change_the_present(bench: Bench) -> None:
    bench.fix("tag", 0)
    bench.wait(1)
    bench.feed("tag", replace(bench.make_fix(5000, stored=True), t_fix_utc_ns=None))
    assert bench.active() == [ENTERED]
    assert [d["late"] for d in bench.of_kind(LEFT_HOME)] == [True]


def test_a_memory_of_an_earlier_stay_in_a_zone_is_news(bench: Bench) -> None:
    bench.fix("tag", 0, t_s=100)
    bench.fix("tag", 0, t_s=200)
    bench.fix("tag", 10, t_s=150, stored=True)
    assert steps(bench, ENTERED) == ["Alert"]
    bench.fix("tag", 10, t_s=50, stored=True)
    assert [d["late"] for d in bench.of_kind(ENTERED)] == [False, True]


def test_a_third_position_of_one_time_is_judged(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.wait(1)
    bench.feed("tag", bench.make_fix(400, t_s=1), bench.make_fix(300, t_s=1))
    bench.fix("tag", 10, t_s=1)
    assert steps(bench, ENTERED) == ["Alert"]


def test_a_step_back_within_one_batch_is_live_after_it(bench: Bench) -> None:
    """The loop was held up: what came before and after the step is judged in one turn."""
    bench.fix("tag", 500, t_s=1000)
    events = []
    for t_s, north_m in ((1001, 500), (10, 500), (14, 500)):
        bench.wait(4)
        events.append(bench.event("tag", bench.make_fix(north_m, t_s=t_s)))
    bench.pipeline.process(events)
    assert bench.pipeline.views[0].counts["clock_steps"] == 1
    bench.wait(1)
    bench.fix("tag", 0, t_s=15)
    assert [d["late"] for d in bench.of_kind(ENTERED)] == [False]


def test_the_snapshot_counts_the_end_of_a_late_run(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.wait(1)
    bench.fix("tag", 10, t_s=-50, stored=True)
    for _ in range(5):
        bench.wait(2)
        bench.fix("tag", 500)
    bench.wait(2)
    assert steps(bench, ENTERED) == ["Alert", "Cancel"]
    assert bench.on("tag/tag/active")[-1]["data"]["alert_sequence"] == bench.alerts()[-1]["sequence"]


def test_a_burst_of_late_fixes_is_no_clock_step(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=1000)
    for n in range(50):
        bench.fix("tag", 0, t_s=n)
    assert all(d["late"] for d in bench.of_kind(ENTERED))


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    def run() -> list[tuple[str, bytes]]:
        bench = Bench(tmp_path)
        for n in range(30):
            bench.fix("tag", (n * 37) % 300)
            bench.status(battery_pct=80 - 3 * n)
            bench.fix("her", 800 - 40 * n)
            bench.wait(1)
        bench.wait(300)
        return [(m.topic, m.body) for m in bench.messages]

    first = run()
    assert first == run()
    assert len(first) > 100


def test_another_epoch_gives_other_ids(tmp_path: Path) -> None:
    ids = []
    for epoch in ("A", "B"):
        bench = Bench(tmp_path, epoch=epoch)
        bench.fix("tag", 0)
        ids.append(bench.alerts()[0]["id"])
    assert ids[0] != ids[1]
    assert ids[0][:10] == ids[1][:10], "the time of detection leads"
