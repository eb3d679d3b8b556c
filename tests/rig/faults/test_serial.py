"""Every fault of a byte line against the real bridge: its expected outcome, and no alert lost."""

from pathlib import Path

import pytest

from protocols.mqtt.words import AlertKind
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.entry import Value
from tests.rig.faults.fault_bench import HIS, line_bench, shared_broker

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")

SOON = {"interval_s": 0.1, "buffer_s": 0.25}
"""Silence is noticed within 0.35 s."""

PACE_S = 0.02
"""Between two epochs of a walk that must not look like silence."""


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("serial.bit_flip", {"flips_per_kb": 3.0}),
        ("serial.drop", {"losses_per_kb": 2.0}),
        ("serial.garbage", {"bursts_per_kb": 2.0}),
    ],
)
async def test_damage_is_refused_and_counted_and_what_is_whole_is_judged(
    tmp_path: Path, shared_broker: MosquittoBroker, fault: str, parameters: dict[str, Value]
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        await bench.walk(2)
        async with bench.fault(fault, HIS, **parameters):
            await bench.walk(20)
        await bench.walk(2)
        await bench.owed_arrived()
    assert bench.rejects() > 0
    assert bench.links() == ["up"]


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("serial.split", {"piece_bytes": 20, "pause_ms": 0.5}),
        ("serial.merge", {"hold_ms": 100.0}),
    ],
)
async def test_other_pieces_change_nothing(
    tmp_path: Path, shared_broker: MosquittoBroker, fault: str, parameters: dict[str, Value]
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        async with bench.fault(fault, HIS, **parameters):
            await bench.walk(8)
            await bench.owed_arrived()
        await bench.walk(2)
        await bench.owed_arrived()
    assert bench.rejects() == 0
    assert bench.links() == ["up"]


@pytest.mark.parametrize("then", [pytest.param("lose", marks=pytest.mark.soak), "deliver"])
async def test_stall_is_silence_and_its_end_is_told(tmp_path: Path, shared_broker: MosquittoBroker, then: str) -> None:
    async with line_bench(tmp_path, shared_broker, **SOON) as bench:
        await bench.walk(1)
        async with bench.fault("serial.stall", HIS, then=then, buffer_bytes=262_144):
            await bench.stay(20, epochs=30, every_s=PACE_S)
            await bench.told(AlertKind.COMMS_LOST, "Alert")
            await bench.told(AlertKind.LOCATION_LOST, "Alert")
        await bench.walk(1, every_s=PACE_S)
        await bench.owed_arrived()
        await bench.told(AlertKind.COMMS_LOST, "Alert", "Cancel")
        await bench.told(AlertKind.LOCATION_LOST, "Alert", "Cancel")
    assert bench.links() == ["up"]


async def test_disconnect_is_a_lost_link_and_silence_until_the_port_is_back(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    async with line_bench(tmp_path, shared_broker, **SOON) as bench:
        await bench.walk(1)
        async with bench.fault("serial.disconnect", HIS):
            await bench.linked(HIS, "lost")
            await bench.told(AlertKind.COMMS_LOST, "Alert")
            await bench.told(AlertKind.LOCATION_LOST, "Alert")
        await bench.linked(HIS, "up", times=2)
        await bench.walk(1, every_s=PACE_S)
        await bench.owed_arrived()
        await bench.told(AlertKind.COMMS_LOST, "Alert", "Cancel")
    assert bench.links()[0] == "up" and bench.links()[-1] == "up"


async def test_wrong_baud_is_named_and_is_not_being_heard(
    tmp_path: Path, shared_broker: MosquittoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.baud_watch.UNFRAMED_AFTER_NS", 400_000_000)  # three seconds in the field
    async with line_bench(tmp_path, shared_broker, **SOON) as bench:
        await bench.walk(1)
        async with bench.fault("serial.wrong_baud", HIS, sent_baud=9600, read_baud=4800):
            await bench.stay(20, epochs=30, every_s=PACE_S)
            await bench.linked(HIS, "wrong_baud")
            await bench.told(AlertKind.COMMS_LOST, "Alert")
            await bench.told(AlertKind.LOCATION_LOST, "Alert")
        await bench.walk(1, every_s=PACE_S)
        await bench.owed_arrived()
        await bench.told(AlertKind.COMMS_LOST, "Alert", "Cancel")
    assert bench.links() == ["up", "wrong_baud", "up"]
    assert bench.rejects() > 0
