"""Strap, case, shield, jamming, battery: each with its clear."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocols.reports import Closure, Jamming
from tests.bridge.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("strap_tamper", {"strap": Closure.OPEN}),
        ("case_tamper", {"case": Closure.OPEN}),
        ("shielding_suspected", {"shielded": True}),
        ("jamming_suspected", {"jamming": Jamming.WARNING}),
        ("battery_low", {"battery_pct": 20}),
    ],
)
def test_raised_once_and_cleared(bench: Bench, kind: str, bad: dict[str, object]) -> None:
    for changed in ({}, bad, bad, {}, {}):
        bench.status(**changed)
        bench.wait(1)
    assert bench.told() == [("Alert", kind), ("Cancel", kind)]


def test_first_word_of_an_open_strap_is_an_alert(bench: Bench) -> None:
    bench.status(strap=Closure.OPEN)
    assert bench.told() == [("Alert", "strap_tamper")]
    assert bench.alerts()[0]["data"]["device"] == {"battery_pct": 80, "strap": "open", "case": "closed"}
    assert bench.last_status()["strap"] == "open"


def test_jamming_level_updates_the_alert(bench: Bench) -> None:
    for jamming in (Jamming.SUSPECTED, Jamming.SUSPECTED, Jamming.CRITICAL, Jamming.NONE):
        bench.status(jamming=jamming)
    told = bench.of_kind("jamming_suspected")
    assert [(d["msg_type"], d["level"]) for d in told] == [
        ("Alert", "suspected"),
        ("Update", "critical"),
        ("Cancel", None),
    ]
    first, second = bench.alerts()[0]["id"], bench.alerts()[1]["id"]
    assert told[1]["references"] == [first]
    assert told[2]["references"] == [first, second]


def test_battery_clears_above_its_hysteresis_only(bench: Bench) -> None:
    for percent in (21, 20, 21, 19, 24, 25, 21):
        bench.status(battery_pct=percent)
    assert bench.told() == [("Alert", "battery_low"), ("Cancel", "battery_low")]


def test_battery_critical_stands_beside_low(bench: Bench) -> None:
    for percent in (20, 10, 9, 15, 26):
        bench.status(battery_pct=percent)
    assert bench.told() == [
        ("Alert", "battery_low"),
        ("Alert", "battery_critical"),
        ("Cancel", "battery_critical"),
        ("Cancel", "battery_low"),
    ]


def test_hysteresis_holds_within_one_batch(bench: Bench) -> None:
    bench.feed("tag", bench.make_status(battery_pct=20), bench.make_status(battery_pct=22))
    assert bench.told() == [("Alert", "battery_low")]


def test_stored_status_from_the_past_is_told_as_late_and_changes_nothing(bench: Bench) -> None:
    bench.status(t_s=100)
    bench.status(t_s=50, stored=True, strap=Closure.OPEN)
    bench.status(t_s=60, stored=True)
    assert [(d["msg_type"], d["late"], d["stored"]) for d in bench.of_kind("strap_tamper")] == [
        ("Alert", True, True),
        ("Cancel", True, True),
    ]
    assert bench.active() == []
    assert bench.last_status()["strap"] == "closed"


def test_late_tampering_without_an_end_is_cancelled_with_its_run(bench: Bench) -> None:
    bench.status(t_s=100)
    bench.status(t_s=50, stored=True, strap=Closure.OPEN)
    bench.wait(12)
    assert [d["reason"] for d in bench.of_kind("strap_tamper")] == ["strap open", "end of the late reports"]


def test_a_stored_status_without_a_time_does_not_change_the_present(bench: Bench) -> None:
    bench.status(strap=Closure.OPEN)
    bench.feed("tag", replace(bench.make_status(stored=True, jamming=Jamming.WARNING), t_status_utc_ns=None))
    assert bench.active() == ["strap_tamper"]
    assert bench.last_status()["strap"] == "open"
    assert [d["late"] for d in bench.of_kind("jamming_suspected")] == [True]


def test_a_late_status_of_what_is_raised_anyway_is_no_second_alert(bench: Bench) -> None:
    bench.status(t_s=50, strap=Closure.OPEN)
    bench.status(t_s=100, strap=Closure.OPEN)
    bench.status(t_s=70, stored=True, strap=Closure.OPEN)
    assert bench.told() == [("Alert", "strap_tamper")]
    # Before the one that is raised: news.
    bench.status(t_s=40, stored=True, strap=Closure.OPEN)
    assert [d["late"] for d in bench.of_kind("strap_tamper")] == [False, True]


def test_stored_status_in_order_is_live(bench: Bench) -> None:
    bench.status(t_s=10)
    bench.status(t_s=50, stored=True, strap=Closure.OPEN)
    assert [(d["late"], d["stored"]) for d in bench.of_kind("strap_tamper")] == [(False, True)]
    assert bench.active() == ["strap_tamper"]


def test_protected_person_s_device_speaks_on_her_side_only(bench: Bench) -> None:
    bench.status("her", battery_pct=5)
    assert bench.told("protected/her") == [("Alert", "battery_low"), ("Alert", "battery_critical")]
    assert not [m for m in bench.messages if m.topic.startswith("em/v1/t/tag/")]


def test_state_is_published_on_change_and_now_and_then(bench: Bench) -> None:
    for _ in range(130):
        bench.status()
        bench.wait(1)
    # First word, the loss of location after 11 s, then once a minute.
    assert 3 <= len(bench.on("tag/tag/status")) <= 5
