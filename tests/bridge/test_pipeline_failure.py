"""An error of ours in one device's events: the others are served, and the bridge ends loudly."""

import asyncio
from pathlib import Path

import pytest

from bridge.app import BridgeApp
from bridge.batcher import Batcher
from bridge.config.load import load_config
from bridge.plan import make_plan
from devices.clock import SystemClock
from devices.events import DeviceEvent
from tests.bridge.bench import Bench

BEYOND_INT64_S = 10**10
OTHER = """
[[device]]
id = "tag-2"
transport = "memory:tag2"
[[order]]
id = "o2"
wearer = "tag-2"
"""


def impossible(bench: Bench) -> list[DeviceEvent]:
    """One turn: a time that no column holds, then what others said."""
    return [
        bench.event("tag", bench.make_fix(0, t_s=BEYOND_INT64_S)),
        bench.event("tag-2", bench.make_fix(0)),
        bench.event("her", bench.make_status(battery_pct=5)),
    ]


def test_one_device_s_error_does_not_cost_the_others_their_alerts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, extra=OTHER)
    with pytest.raises(ExceptionGroup) as caught:
        bench.pipeline.process(impossible(bench))
    assert caught.group_contains(OverflowError)
    assert bench.told("tag/tag-2") == [("Alert", "exclusion_zone_entered")]
    assert ("Alert", "battery_critical") in bench.told("protected/her")
    assert bench.active("tag/tag-2") == ["exclusion_zone_entered"]


async def test_a_batch_that_fails_is_handed_on_and_the_next_is_judged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, extra=OTHER)
    failures: list[Exception] = []
    batcher = Batcher(bench.pipeline.process, failures.append)
    for event in impossible(bench):
        batcher.push(event)
    await asyncio.sleep(0)
    assert [type(each) for each in failures] == [ExceptionGroup]
    batcher.push(bench.event("tag-2", bench.make_fix(5000)))
    await asyncio.sleep(0)
    assert len(failures) == 1
    assert ("Cancel", "exclusion_zone_entered") in bench.told("tag/tag-2")


@pytest.mark.needs("mosquitto")
async def test_the_bridge_ends_with_the_error(tmp_path: Path, mosquitto: object) -> None:
    bench = Bench(tmp_path, extra=OTHER)
    broker = f'[broker]\nurl = "mqtt://{mosquitto.host}:{mosquitto.port}"\n'  # type: ignore[attr-defined]
    config = tmp_path / "bridge.toml"
    config.write_text(broker + config.read_text())
    loaded = load_config(config)
    app = BridgeApp(loaded, make_plan(loaded), clock=SystemClock(), observe=lambda _: None, flush_timeout_s=5)
    running = asyncio.create_task(app.run())
    await asyncio.sleep(0)
    for event in impossible(bench):
        app._take_event(event)
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup, match="internal error"):
            await running
