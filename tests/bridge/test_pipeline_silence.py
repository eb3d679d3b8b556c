"""Silence is an alert; so is a tag that speaks but does not know where it is."""

from pathlib import Path

import pytest

from devices.events import LinkState
from protocols.mqtt.times import utc_text
from protocols.rejects import Reject, RejectReason
from protocols.reports import Fix, FixState
from tests.bridge.bench import T0_UTC_NS, Bench, S


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_never_heard_is_silence(bench: Bench) -> None:
    bench.wait(10.9)
    assert bench.told() == []
    bench.wait(0.2)
    assert bench.told() == [("Alert", "comms_lost"), ("Alert", "location_lost")]
    assert bench.told("protected/her") == [("Alert", "comms_lost"), ("Alert", "location_lost")]
    assert bench.active() == ["comms_lost", "location_lost"]


def test_unplugged_and_back(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.link("tag", LinkState.LOST, "the port vanished")
    bench.wait(11.1)
    lost = bench.of_kind("comms_lost")
    assert [d["msg_type"] for d in lost] == ["Alert"]
    assert "the port vanished" in lost[0]["reason"]
    # It occurred when the tag was last heard; it was detected later.
    assert lost[0]["occurred_at"] < lost[0]["detected_at"]
    assert bench.last_status()["comms"] == "lost"
    bench.link("tag", LinkState.UP)
    assert [d["msg_type"] for d in bench.of_kind("comms_lost")] == ["Alert"], "an open port is not a word from the tag"
    bench.fix("tag", 500)
    assert bench.told() == [
        ("Alert", "comms_lost"),
        ("Alert", "location_lost"),
        ("Cancel", "comms_lost"),
        ("Cancel", "location_lost"),
    ]
    assert bench.active() == []
    assert bench.last_status()["comms"] == "up"


def test_reports_without_position_are_location_lost_only(bench: Bench) -> None:
    bench.fix("tag", 500)
    for _ in range(15):
        bench.wait(1)
        bench.feed("tag", Fix(offset=0, state=FixState.NO_FIX, talker="GP"))
        bench.status()
    assert bench.told() == [("Alert", "location_lost")]
    assert bench.last_status()["location"] == "lost"
    bench.fix("tag", 500)
    assert bench.told()[-1] == ("Cancel", "location_lost")


def test_a_stored_position_is_no_sign_of_where_the_tag_is(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.wait(20)
    bench.fix("tag", 500, t_s=5, stored=True)
    assert [d["msg_type"] for d in bench.of_kind("comms_lost")] == ["Alert", "Cancel"]
    assert [d["msg_type"] for d in bench.of_kind("location_lost")] == ["Alert"]


def test_a_position_by_a_clock_that_is_behind_is_a_position(bench: Bench) -> None:
    bench.fix("tag", 500, t_s=1000)
    for n in range(20):
        bench.wait(1)
        # Ten times slower than time: never believed, always late.
        bench.fix("tag", 500, t_s=0.1 * n)
    assert bench.pipeline.views[0].counts["late"] == 20
    assert bench.told() == []
    bench.wait(12)
    (lost,) = bench.of_kind("location_lost")
    assert lost["occurred_at"] == utc_text(T0_UTC_NS + 20 * S)
    bench.fix("tag", 500, t_s=3)
    assert bench.told()[-1] == ("Cancel", "location_lost")


def test_garbage_is_not_being_heard(bench: Bench) -> None:
    bench.fix("tag", 500)
    for _ in range(12):
        bench.wait(1)
        bench.feed("tag", Reject(offset=0, reason=RejectReason.GARBAGE, raw=b"\xff"))
    assert ("Alert", "comms_lost") in bench.told()


def test_a_replay_that_is_over_is_not_silent(bench: Bench) -> None:
    bench.fix("tag", 500)
    bench.link("tag", LinkState.ENDED)
    bench.wait(1000)
    assert bench.told() == []


def test_silence_is_said_once(bench: Bench) -> None:
    bench.wait(3600)
    assert bench.told() == [("Alert", "comms_lost"), ("Alert", "location_lost")]


def test_silence_is_found_at_the_deadline_not_at_the_next_poll(bench: Bench) -> None:
    bench.wait(3.25)
    bench.fix("tag", 500)
    bench.wait(100)
    detected = bench.alerts()[0]["time"]
    expected_ns = T0_UTC_NS + int(3.25 * S) + 11 * S
    assert detected.endswith(f"{expected_ns % S // 1_000_000:03d}Z")
