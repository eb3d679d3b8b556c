"""Several bridges share thousands of tags, and their number changes under way: nothing lost, nothing raised twice."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from devices.clock import SystemClock
from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.provider.check.client import BrokerDoor
from rig.provider.check.findings import Finding, Verdict
from rig.provider.check.listen import Listening, ListenOptions
from tests.bridge.support import Subscriber, subscriber
from tests.integration.partition_support import FleetProcess, Layout, assert_whole, describe, not_told, write_config

TOPICS = ("em/v1/demo/tag/+/alert", "em/v1/demo/control/+/incident", "em/v1/demo/bridge/+/heartbeat")
"""No positions: a million would fill the test's own memory."""

SETTLE_S = 60.0
"""Bounds a hang. What ten thousand tags leave to be sent takes seconds."""


@contextmanager
def layout(folder: Path, config: Path, of: int) -> Iterator[Layout]:
    """Bridges that end with the block."""
    made = Layout(folder, config, of)
    try:
        made.wait_ready()
        yield made
    finally:
        made.kill()


def settle(fleet: FleetProcess, provider: Subscriber, period_s: float) -> dict[str, bool]:
    """Stand still: let every tag report once more, and wait until the provider knows where each is."""
    fleet.wait_rounds(1.2, period_s)
    fleet.set_period(86_400)
    inside = fleet.inside()
    deadline = time.monotonic() + SETTLE_S
    while (left := not_told(provider.heard, inside)) and time.monotonic() < deadline:
        time.sleep(0.05)  # looked at again, against a deadline: to know them all is the work of milliseconds
    assert not left, f"{len(left)} tags are not where the provider was told: {describe(provider.heard, left[:5])}"
    return inside


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.needs("mosquitto")
def test_two_bridges_become_three_and_nothing_is_lost_or_raised_twice(tmp_path: Path) -> None:
    """The tags never stop reporting; the first change is in order, the second finds bridges that were killed."""
    with (
        MosquittoBroker(tmp_path / "broker", keeping=Keeping.NOTHING) as mosquitto,
        FleetProcess(30, period_s=0.4, cross_every=2) as fleet,
        subscriber(mosquitto.host, mosquitto.port, topic=TOPICS) as provider,
    ):
        config = write_config(tmp_path, mosquitto.url, fleet)
        with layout(tmp_path, config, 2) as two:
            fleet.wait_connected()
            fleet.wait_rounds(3, 0.4)
            two.kill()
        with layout(tmp_path, config, 3) as three:
            fleet.wait_connected()
            assert_right(check(mosquitto.url))
            inside = settle(fleet, provider, 0.4)
            three.stop()
        events, duplicates = assert_whole(provider.heard, inside)
        names = {each.topic.split("/")[-2] for each in provider.on("/heartbeat")}
        assert names == two.names | three.names
    assert events > 30
    assert duplicates <= 200, "more than the windows of both bridges came twice"


def check(url: str) -> list[Finding]:
    """Look at the bridges as a provider's own check does, receipts included."""
    options = ListenOptions(
        root="em/v1/demo", for_s=1.0, away_s=0.2, heartbeat_s=1, max_latency_s=30, sends_receipts=True
    )
    return list(Listening(BrokerDoor(url=url), options, clock=SystemClock(), is_stopped=lambda: False).run())


def assert_right(findings: list[Finding]) -> None:
    """Nothing is wrong, but what a busy machine and bridges killed on purpose bring about."""
    wrong = [each for each in findings if each.verdict in {Verdict.FAIL, Verdict.ERROR} and each.check != "heartbeat"]
    assert not wrong, wrong
    shown = {each.check for each in findings if each.verdict is Verdict.PASS}
    assert {"subscriptions", "session", "schema", "envelope", "gaps", "retained", "receipts", "latency"} <= shown


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.needs("mosquitto")
def test_four_bridges_carry_ten_thousand_tags_and_become_five(tmp_path: Path) -> None:
    """mosquitto writes its store in good time here, not at every change: twenty thousand retained states are too many.

    With ``autosave_on_changes`` it wrote all of them at each publish and took 40 alerts a second.
    """
    tags = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < tags + 1_000:
        pytest.skip(f"a process gets {hard} descriptors here; the fleet needs {tags + 1_000}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            MosquittoBroker(
                tmp_path / "broker", keeping=Keeping.NOTHING, lines=["max_inflight_messages 100"]
            ) as broker,
            FleetProcess(tags, period_s=60, cross_every=3) as fleet,
            subscriber(broker.host, broker.port, topic=TOPICS) as provider,
            confirming_desk(broker, tmp_path / "desk.sqlite"),
        ):
            config = write_config(tmp_path, broker.url, fleet)
            began = time.monotonic()
            with layout(tmp_path, config, 4) as four:
                tell("4 bridges ready", began)
                fleet.wait_connected()
                tell("all tags connected", began)
                measure(fleet, provider, four, 60, 120.0, "one fix a minute")
                fleet.set_period(15)
                measure(fleet, provider, four, 15, 45.0, "one fix in fifteen seconds")
                fleet.set_period(60)
                four.stop()
            began = time.monotonic()
            with layout(tmp_path, config, 5) as five:
                tell("5 bridges ready, hand-over included", began)
                fleet.wait_connected()
                tell("all tags connected again", began)
                fleet.set_period(20)
                measure(fleet, provider, five, 20, 40.0, "one fix in twenty seconds")
                inside = settle(fleet, provider, 20)
                five.stop()
            events, duplicates = assert_whole(provider.heard, inside)
            tell(f"{events} alert events of {tags} tags, {duplicates} second sendings, 0 lost, 0 raised twice", began)
            assert events > tags
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def confirming_desk(broker: MosquittoBroker, file: Path) -> Iterator[None]:
    """Confirm every alert, as a provider does: what is not confirmed is sent again under a bridge's new name."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "rig.provider.minimal_subscriber"),
            *(broker.host, str(broker.port), "em/v1/demo", "desk", str(file)),
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        child.kill()
        child.wait(10)


def measure(
    fleet: FleetProcess, provider: Subscriber, bridges: Layout, period_s: float, for_s: float, what: str
) -> None:
    """Watch for a while; print load, memory and latency."""
    processes = [psutil.Process(bridge.process.pid) for bridge in bridges.bridges]
    busy = sum(sum(process.cpu_times()[:2]) for process in processes)
    first = len(provider.heard)
    sent = int(str(fleet.tell()["sent"]))
    began = time.monotonic()
    fleet.wait_rounds(for_s / period_s, period_s)
    seconds = time.monotonic() - began
    told = fleet.tell()
    traces = [
        (each.t_mono_ns, each.json["data"]["trace"])
        for each in provider.heard[first:]
        if each.topic.endswith("/alert") and each.json["data"]["delivery"]["attempt"] == 1
    ]
    latency_ms = sorted((heard - trace["rx_mono_ns"]) / 1e6 for heard, trace in traces)
    judged_ms = sorted((trace["submitted_mono_ns"] - trace["rx_mono_ns"]) / 1e6 for _, trace in traces)
    cores = (sum(sum(process.cpu_times()[:2]) for process in processes) - busy) / seconds
    rss = [process.memory_info().rss / 1e6 for process in processes]
    p50, p99 = (latency_ms[len(latency_ms) * share // 100] for share in (50, 99))
    own50, own99 = (judged_ms[len(judged_ms) * share // 100] for share in (50, 99))
    tell(
        f"{what}: {(int(str(told['sent'])) - sent) / seconds:.0f} fixes/s, {len(latency_ms)} alerts, read to provider "
        f"p50 {p50:.1f} ms p99 {p99:.1f} ms max {latency_ms[-1]:.1f} ms, of which before the outbox p50 {own50:.1f} ms "
        f"p99 {own99:.1f} ms; {cores:.2f} cores in all, RSS "
        f"{', '.join(f'{each:.0f}' for each in rss)} MB; {told['lost']} reports that a line did not take",
        began,
    )


def tell(what: str, began: float) -> None:
    """Figures, shown with -s."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)  # noqa: T201
