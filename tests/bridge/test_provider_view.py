"""The provider's own checks: counting must find what is missing, double or out of order."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import WarnLoss
from protocols.mqtt.messages import Trace
from rig.cli.watch import _View
from rig.provider.hops import HopStats, find_hops
from rig.provider.streams import MAX_MISSING, Arrival, StreamCheck
from rig.provider.subscriber import Heard
from tests.bridge.warning_bench import WarningBench


def feed(numbers: list[int]) -> tuple[StreamCheck, list[Arrival]]:
    check = StreamCheck()
    return check, [check.take("s", "e", n) for n in numbers]


def test_gap_late_duplicate() -> None:
    check, arrivals = feed([5, 6, 9, 7, 7, 9, 10])
    assert arrivals == [
        Arrival.IN_ORDER,
        Arrival.IN_ORDER,
        Arrival.GAP,
        Arrival.LATE,
        Arrival.DUPLICATE,
        Arrival.DUPLICATE,
        Arrival.IN_ORDER,
    ]
    assert (check.missing, check.duplicates, check.out_of_order) == (1, 2, 1)
    assert check.missing_by_source() == {"s": [8]}


@given(st.permutations(range(1, 30)))
def test_any_order_of_all_numbers_misses_only_those_before_the_first(numbers: list[int]) -> None:
    check, _ = feed(numbers)
    # The count begins with the first number seen: what is below it belongs to the time before.
    assert check.missing == 0
    assert check.duplicates == sum(n < numbers[0] for n in numbers)


def test_a_new_epoch_begins_anew() -> None:
    check = StreamCheck()
    for epoch in ("a", "b"):
        for n in (1, 2):
            assert check.take("s", epoch, n) is Arrival.IN_ORDER


def test_a_wild_jump_does_not_grow_memory() -> None:
    check, _ = feed([1, 10**12])
    assert check.missing == 10**12 - 2
    assert sum(len(stream.missing) for stream in check._streams.values()) == MAX_MISSING


def test_hops_only_on_the_machine_that_stamped() -> None:
    trace = Trace(
        boot_id="b",
        device_id="t",
        rx_mono_ns=0,
        decoded_mono_ns=1_000_000,
        judged_mono_ns=3_000_000,
        submitted_mono_ns=6_000_000,
    )
    assert find_hops(trace, 10_000_000, "other") is None
    hops = find_hops(trace, 10_000_000, "b")
    assert hops is not None
    assert hops.values_ms == (1.0, 2.0, 3.0, 4.0, 10.0)
    stats = HopStats()
    for _ in range(100):
        stats.add(hops)
    assert list(stats.rows())[-1] == ("whole way", 100, 10.0, 10.0, 10.0)


def watched(folder: Path, view: _View) -> None:
    """What ``tagrig watch`` is subscribed to, of an approach with an answer and a warning that was lost."""
    bench = WarningBench(folder)
    bench.near(3000, 400)
    bench.arrive()
    bench.wait(3)
    bench.acknowledge()
    bench.near(30)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    for message in bench.messages:
        if message.topic.endswith(("/alert", "/warning")):
            view.take(Heard(topic=message.topic, body=message.body, retain=False, t_mono_ns=bench.clock.mono_ns()))
    view.sum_up(with_stats=True)


def test_steps_of_a_warning_are_shown_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = _View(as_json=False)
    watched(tmp_path, view)
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = [re.sub(r"\s+", " ", line) for line in out.splitlines()]
    steps = [line for line in lines if re.search(r" her \S+ her #", line)]
    assert [line.split()[2] for line in steps] == ["asked", "written", "started", "acknowledged", "asked", "lost"]
    assert steps[2].endswith("alarm nearby proximity tag (20.00 ms after the fix)")
    assert steps[3].endswith("(3.0 s after it began)")
    assert "out_of_range" in steps[5]
    assert any("protected_person_not_warned tag contact contact [Extreme]" in line for line in lines)
    assert "6 steps of warnings to protected persons" in lines
    assert any(line.startswith("5 alerts, 0 missing, 0 duplicates") for line in lines)
    assert view.alerts == 5


def test_steps_of_a_warning_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched(tmp_path, _View(as_json=True))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [each["event"]["data"]["step"] for each in told if each["type"] == "warning"]
    assert steps == ["asked", "written", "started", "acknowledged", "asked", "lost"]
    assert told[-1]["warnings"] == 6
