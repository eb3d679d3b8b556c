"""Faults of a device, played by an emulated tag as events of the scenario, against the bridge; no alert is lost."""

import contextlib
import math
from pathlib import Path

import pytest

from devices.clock import SystemClock
from protocols.mqtt.words import AlertKind
from rig.brokers.mosquitto import MosquittoBroker
from rig.emulator.clock import NS_PER_S
from rig.emulator.firmware import AnkleTagFirmware, TagConfig
from rig.emulator.track import Track, Waypoint
from rig.emulator.wire import encode_epoch
from rig.faults.entry import Value
from rig.local_frame import LocalFrame
from rig.scenario.fault_events import fault_actions
from rig.scenario.tables import FaultTable
from tests.ble_support import until
from tests.bridge.support import LAT, LON
from tests.rig.faults.fault_bench import HIS, Bench, line_bench, shared_broker

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")

SPEED = 40.0
"""Tag seconds per second: reports every 25 ms."""

WALK_S = 40.0
"""Length of the story, tag time; he is in the zone from 6 to 32 s."""


async def play(bench: Bench, fault: str, *, at_s: float, lasts_s: float | None, **parameters: Value) -> None:
    """Run a tag through its walk with one fault; what it says goes onto the bench's line in its time."""
    assert await bench.begin(fault, HIS, **parameters) is None, "an emulated tag plays it by itself"
    frame = LocalFrame(LAT, LON)
    track = Track(
        frame,
        [
            Waypoint(t_s=0, east_m=0, north_m=500),
            Waypoint(t_s=8, east_m=0, north_m=-10),
            Waypoint(t_s=30, east_m=0, north_m=-10),
            Waypoint(t_s=WALK_S, east_m=0, north_m=500),
        ],
    )
    clock = SystemClock()
    table = FaultTable(id=fault, at_s=at_s, lasts_s=lasts_s, device=HIS, options=parameters)
    actions = tuple(fault_actions(table))
    config = TagConfig(seed=3, start_utc_ns=clock.utc_ns() - int(WALK_S) * NS_PER_S)
    tag = AnkleTagFirmware(config, track, actions)
    start_ns = clock.mono_ns()
    while (due_ns := tag.next_due_ns()) < WALK_S * NS_PER_S:
        await clock.sleep_until(start_ns + math.ceil(due_ns / SPEED))
        for item in tag.run(due_ns):
            with contextlib.suppress(OSError):
                await bench.ends[HIS].send(b"".join(encode_epoch(item.epoch, stored=item.stored)))
    bench.owed = ["Alert", "Cancel"]
    await bench.owed_arrived()


@pytest.mark.parametrize(
    ("fault", "parameters", "lasts_s", "owed", "steps"),
    [
        ("device.strap", {}, 8.0, (AlertKind.STRAP_TAMPER,), ["Alert", "Cancel"]),
        ("device.low_battery", {"percent": 8}, None, (AlertKind.BATTERY_LOW, AlertKind.BATTERY_CRITICAL), ["Alert"]),
        pytest.param(
            "device.low_battery", {"percent": 15}, None, (AlertKind.BATTERY_LOW,), ["Alert"], marks=pytest.mark.soak
        ),
        ("device.charger", {}, 10.0, (), []),
        # dark for 16 s of its time, 0.4 s of ours: longer than the silence limit of 0.25 s
        ("device.reboot", {}, 16.0, (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST), ["Alert", "Cancel"]),
    ],
)
async def test_tag_plays_the_fault_and_the_bridge_tells_of_it(
    tmp_path: Path,
    shared_broker: MosquittoBroker,
    fault: str,
    parameters: dict[str, Value],
    lasts_s: float | None,
    owed: tuple[AlertKind, ...],
    steps: list[str],
) -> None:
    async with line_bench(tmp_path, shared_broker, interval_s=0.05, buffer_s=0.2, plays=True) as bench:
        await play(bench, fault, at_s=10.0, lasts_s=lasts_s, **parameters)
        for kind in owed:
            await until(lambda kind=kind: bench.steps(kind)[: len(steps)] == steps, f"{kind} {steps}")  # type: ignore[misc]
    told = {m.json["data"]["kind"] for m in bench.provider.on("/alert")}
    # the end of the story is silence too
    assert told - {AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST} == {
        AlertKind.EXCLUSION_ZONE_ENTERED,
        *(kind for kind in owed if kind not in {AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST}),
    }
