"""What arrived is held against what was made again: to the byte, repetitions included."""

from pathlib import Path

import msgspec
import pytest

from bridge.publisher import Lane
from protocols.mqtt.messages import with_delivery
from rig.replay.wire import compare_wire
from rig.runs.received import Received
from tests.bridge.bench import Bench


def heard(topic: str, body: bytes) -> Received:
    return Received(topic=topic, t_sub_mono_ns=7, retain=False, payload=msgspec.Raw(body))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    for north_m in (500, 0, 500):
        bench.wait(1)
        bench.fix("tag", north_m)
    return bench


def test_all_that_arrived_is_the_same_and_what_did_not_arrive_is_counted_by_lane(bench: Bench) -> None:
    came = [heard(m.topic, m.body) for m in bench.messages if m.lane is not Lane.STATE]
    wire, again = compare_wire(bench.messages, came)
    assert wire.is_identical
    assert wire.received == wire.identical == len(came)
    assert wire.not_received == {"state": len(bench.messages) - len(came)}
    assert wire.alerts_not_received == ()
    assert again == came


def test_a_repetition_is_the_same_with_its_own_number_and_its_word_about_the_disk(bench: Bench) -> None:
    alert = next(m for m in bench.messages if m.alert_type is not None)
    assert alert.alert_type is not None
    third = with_delivery(alert.body, alert.alert_type, attempt=3, durable=False)
    wire, again = compare_wire(bench.messages, [heard(alert.topic, alert.body), heard(alert.topic, third)])
    assert (wire.identical, wire.repeated, wire.n_differing) == (2, 1, 0)
    assert bytes(again[1].payload) == third


def test_a_byte_that_differs_is_shown_with_both(bench: Bench) -> None:
    message = bench.messages[-1]
    changed = message.body.replace(b'"specversion":"1.0"', b'"specversion":"1.1"')
    wire, again = compare_wire(bench.messages, [heard(message.topic, changed)])
    assert wire.n_differing == 1
    assert "then" in wire.differing[0]
    assert not wire.is_identical
    assert bytes(again[0].payload) == message.body


def test_what_was_never_made_is_named_and_what_others_said_is_not_ours(bench: Bench) -> None:
    root = "em/v1/t"
    stranger = bench.alert_bodies()[0].replace(b'"id":"', b'"id":"X', 1)
    wire, again = compare_wire(
        bench.messages,
        [
            heard(f"{root}/tag/tag/alert", stranger),
            heard(f"{root}/bridge/b/canary", b'{"n":1}'),
            heard(f"{root}/provider/desk/status", b'{"online":true}'),
            heard(f"{root}/tag/tag/receipt", b"{}"),
        ],
    )
    assert (wire.n_unknown, wire.others) == (1, 3)
    assert wire.unknown[0].startswith(f"{root}/tag/tag/alert X")
    assert len(again) == 3
    assert len(wire.alerts_not_received) == len([m for m in bench.messages if m.lane is Lane.ALERT])
