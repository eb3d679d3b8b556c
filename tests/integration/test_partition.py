"""Several bridges share thousands of tags, and their number changes under way: nothing lost, nothing raised twice."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.bridge.support import Subscriber, subscriber
from tests.integration.partition_support import FleetProcess, Layout, assert_whole, is_told, write_config
from tests.support import Mosquitto

TOPICS = ("em/v1/demo/tag/+/alert", "em/v1/demo/control/+/incident", "em/v1/demo/bridge/+/heartbeat")
"""No positions: a million would fill the test's own memory."""


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
    provider.wait_for(lambda: is_told(provider.heard, inside), within_s=120, what="the provider knows all")
    return inside


@pytest.mark.long
@pytest.mark.needs("mosquitto")
def test_two_bridges_become_three_and_nothing_is_lost_or_raised_twice(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The tags never stop reporting; the first change is in order, the second finds bridges that were killed."""
    with (
        FleetProcess(30, period_s=0.5, cross_every=2) as fleet,
        subscriber(mosquitto.host, mosquitto.port, topic=TOPICS) as provider,
    ):
        config = write_config(tmp_path, mosquitto.url, fleet)
        with layout(tmp_path, config, 2) as two:
            fleet.wait_connected()
            fleet.wait_rounds(3, 0.5)
            two.kill()
        with layout(tmp_path, config, 3) as three:
            fleet.wait_connected()
            inside = settle(fleet, provider, 0.5)
            three.stop()
        events, duplicates = assert_whole(provider.heard, inside)
        names = {each.topic.split("/")[-2] for each in provider.on("/heartbeat")}
        assert names == two.names | three.names
    assert events > 30
    assert duplicates <= 200, "more than the windows of both bridges came twice"


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.needs("mosquitto")
def test_four_bridges_carry_ten_thousand_tags_and_become_five(tmp_path: Path, mosquitto: Mosquitto) -> None:
    tags = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < tags + 1_000:
        pytest.skip(f"a process gets {hard} descriptors here; the fleet needs {tags + 1_000}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            FleetProcess(tags, period_s=60, cross_every=2) as fleet,
            subscriber(mosquitto.host, mosquitto.port, topic=TOPICS) as provider,
        ):
            config = write_config(tmp_path, mosquitto.url, fleet)
            began = time.monotonic()
            with layout(tmp_path, config, 4) as four:
                tell("4 bridges ready", began)
                fleet.wait_connected()
                tell("all tags connected", began)
                measure(fleet, provider, four, 60, 180.0, "one fix a minute")
                fleet.set_period(5)
                measure(fleet, provider, four, 5, 60.0, "one fix in five seconds")
                fleet.set_period(60)
                four.stop()
            began = time.monotonic()
            with layout(tmp_path, config, 5) as five:
                tell("5 bridges ready, hand-over included", began)
                fleet.wait_connected()
                tell("all tags connected again", began)
                fleet.set_period(20)
                measure(fleet, provider, five, 20, 60.0, "one fix in twenty seconds")
                inside = settle(fleet, provider, 20)
                five.stop()
            events, duplicates = assert_whole(provider.heard, inside)
            tell(f"{events} alert events of {tags} tags, {duplicates} second sendings, 0 lost, 0 raised twice", began)
            assert events > tags
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
    latency_ms = sorted(
        (each.t_mono_ns - each.json["data"]["trace"]["rx_mono_ns"]) / 1e6
        for each in provider.heard[first:]
        if each.topic.endswith("/alert") and each.json["data"]["delivery"]["attempt"] == 1
    )
    cores = (sum(sum(process.cpu_times()[:2]) for process in processes) - busy) / seconds
    rss = [process.memory_info().rss / 1e6 for process in processes]
    p50, p99 = (latency_ms[len(latency_ms) * share // 100] for share in (50, 99))
    tell(
        f"{what}: {(int(str(told['sent'])) - sent) / seconds:.0f} fixes/s, {len(latency_ms)} alerts, read to provider "
        f"p50 {p50:.1f} ms p99 {p99:.1f} ms max {latency_ms[-1]:.1f} ms; {cores:.2f} cores in all, RSS "
        f"{', '.join(f'{each:.0f}' for each in rss)} MB; {told['lost']} reports that a line did not take",
        began,
    )


def tell(what: str, began: float) -> None:
    """Figures, shown with -s."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)  # noqa: T201
