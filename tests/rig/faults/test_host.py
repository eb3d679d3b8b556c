"""Every fault of the bridge's host against the real bridge; no alert that was kept is lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge import life
from devices.clock import SystemClock
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.apply import find_obstacle
from rig.faults.catalogue import plan_fault
from rig.faults.host import SmallDisk, pause_process, resume_process
from rig.faults.line import LineFaults
from rig.faults.mqtt_way import MqttWay
from rig.faults.proxy import FaultProxy
from tests.ble_support import until
from tests.bridge.support import BridgeProcess, start_bridge
from tests.rig.faults.fault_bench import (
    CONFIG,
    HIS,
    OUTSIDE_M,
    ZONE,
    Bench,
    BrokerControl,
    check_ledger,
    line_bench,
    new_name,
    plugged,
    provider_at,
    shared_broker,
)
from tests.support import skip_or_fail

__all__ = ["shared_broker", "start_bridge"]

pytestmark = pytest.mark.needs("mosquitto")

Starter = Callable[..., BridgeProcess]


async def test_full_disk_stops_no_alert_and_is_used_again_once_there_is_room(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    if os.geteuid() != 0:
        skip_or_fail("a small file system can be mounted by root only")
    with SmallDisk(tmp_path / "small") as disk:
        async with line_bench(tmp_path, shared_broker, outbox=disk.folder / "outbox") as bench:
            bench.disk = disk
            await bench.walk(2)
            await bench.owed_arrived()
            async with bench.fault("host.disk_full"):
                await bench.walk(6)
                await bench.owed_arrived()
                await until(lambda: "full" in disks(bench), f"word of the full disk, not {disks(bench)}")
            await until(lambda: disks(bench)[-1:] == ["ok"], f"the disk again, not {disks(bench)}")
            await bench.walk(4)
            await bench.owed_arrived()
        durable = [m.json["data"]["delivery"]["durable"] for m in bench.provider.on(f"/tag/{HIS}/alert")]
        assert (durable[0], False in durable, durable[-1]) == (True, True, True)


def disks(bench: Bench) -> list[str]:
    return [m.json["data"]["disk"] for m in bench.provider.on("/heartbeat")]


class ProcessBridge:
    """The bridge as a process that can be killed and stopped."""

    def __init__(self, start: Starter, config: Path) -> None:
        self._start = start
        self._config = config
        self.lives: list[BridgeProcess] = []

    @property
    def now(self) -> BridgeProcess:
        return self.lives[-1]

    def kept(self) -> int:
        """Alerts about him that are on disk; incidents for the control centre are kept as well."""
        return sum(each["source"].endswith(f":tag:{HIS}") for each in self.now.named("kept"))

    async def start(self) -> None:
        self.lives.append(self._start("--config", str(self._config)))
        await asyncio.to_thread(self.now.wait_ready)

    async def kill(self) -> None:
        await asyncio.to_thread(self.now.kill)

    async def pause(self) -> None:
        pause_process(self.now.process.pid)

    async def resume(self) -> None:
        resume_process(self.now.process.pid)


@asynccontextmanager
async def process_bench(
    folder: Path, broker: MosquittoBroker, start: Starter, way: MqttWay
) -> AsyncIterator[tuple[Bench, ProcessBridge]]:
    """The bridge as a process; its line is a real pseudo-terminal behind a proxy."""
    agency = new_name()
    (folder / "zones.geojson").write_text(ZONE)
    with provider_at(broker, agency) as provider:
        bench = Bench(provider, BrokerControl(broker, way))
        bridge = ProcessBridge(start, folder / "bridge.toml")
        bench.bridge = bridge
        link = folder / "port"
        async with (
            plugged(bench, HIS, agency),
            FaultProxy(f"memory:{agency}", link=link, faults=LineFaults(), clock=SystemClock()) as proxy,
        ):
            device = f'[[device]]\nid = "{HIS}"\ntransport = "{proxy.spec}"\ninterval_s = 60\n'
            text = CONFIG.format(agency=agency, url=way.url, outbox=folder / "outbox", policy="", devices=device)
            (folder / "bridge.toml").write_text(text)
            await bridge.start()
            await asyncio.to_thread(bridge.now.wait_link, HIS, "up")
            await bench.stay(OUTSIDE_M)
            yield bench, bridge
            assert await asyncio.to_thread(bridge.now.stop) == 0
        check_ledger(provider.heard, repeats=True)


async def test_killed_bridge_loses_nothing_that_was_kept_and_goes_on_counting(
    tmp_path: Path, shared_broker: MosquittoBroker, start_bridge: Starter
) -> None:
    with MqttWay(shared_broker.port) as way:
        async with process_bench(tmp_path, shared_broker, start_bridge, way) as (bench, bridge):
            await bench.walk(2)
            await bench.owed_arrived()
            way.set_refusing(True)
            await bench.walk(3)
            await until(lambda: bridge.kept() >= 5, "alerts on disk that no broker has")
            async with bench.fault("host.process_killed"):
                way.set_refusing(False)
                assert bench.zone_steps() == bench.owed[:2]
            await asyncio.to_thread(bridge.now.wait_link, HIS, "up")
            await bench.owed_arrived()
            # he was inside when it died, and is: no second alert; his leaving ends the first
            await bench.walk(2)
            await bench.owed_arrived()


async def test_stopped_bridge_judges_afterwards_what_came_meanwhile(
    tmp_path: Path, shared_broker: MosquittoBroker, start_bridge: Starter
) -> None:
    with MqttWay(shared_broker.port) as way:
        async with process_bench(tmp_path, shared_broker, start_bridge, way) as (bench, _):
            await bench.walk(2)
            await bench.owed_arrived()
            async with bench.fault("host.process_stopped"):
                await bench.walk(4)
                assert bench.zone_steps() == bench.owed[:2]
            await bench.owed_arrived()
            await bench.walk(2)
            await bench.owed_arrived()


async def test_faults_that_this_bench_cannot_bring_about_are_named(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        for fault, device, reason in (
            ("host.process_killed", None, "the bridge as a process"),
            ("host.disk_full", None, "a small file system"),
            ("ble.loss", "st", "an emulated radio"),
            ("broker.no_ack", None, "a way to the broker"),
            ("serial.drop", "nobody", "a byte line of nobody"),
            ("device.strap", HIS, "an emulated device"),
        ):
            told = find_obstacle(bench, plan_fault(fault, device=device))
            assert told is not None
            assert reason in told
    assert any(isinstance(e, life.Stopped) for e in bench.seen)
