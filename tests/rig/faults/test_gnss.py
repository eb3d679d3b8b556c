"""Every fault of a receiver against the real bridge, brought about on what the receiver says; no alert is lost."""

from pathlib import Path

import pytest

from protocols.mqtt.words import AlertKind
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.entry import Value
from tests.bridge.support import START_UTC_NS
from tests.rig.faults.fault_bench import HIS, INSIDE_M, OUTSIDE_M, Bench, line_bench, shared_broker

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")

SOON = {"interval_s": 0.1, "buffer_s": 0.25}
PACE_S = 0.02

DAY_S = 86_400


async def right_again(bench: Bench) -> None:
    """After the fault: what was wrong is taken back, and the next stays are told as ever."""
    await bench.walk(2)
    await bench.owed_arrived()


async def test_no_fix_is_no_location_and_the_tag_is_still_heard(tmp_path: Path, shared_broker: MosquittoBroker) -> None:
    # a limit that no stall of a busy machine reaches: silence would be told as well
    async with line_bench(tmp_path, shared_broker, interval_s=0.1, buffer_s=0.8) as bench:
        await bench.walk(1, every_s=PACE_S)
        async with bench.fault("gnss.no_fix", HIS):
            for _ in range(200):
                await bench.stay(INSIDE_M, epochs=1, every_s=PACE_S)
                if bench.steps(AlertKind.LOCATION_LOST):
                    break
            await bench.told(AlertKind.LOCATION_LOST, "Alert")
            assert bench.steps(AlertKind.COMMS_LOST) == []
        await bench.walk(1, every_s=PACE_S)
        await bench.told(AlertKind.LOCATION_LOST, "Alert", "Cancel")
        await bench.owed_arrived()


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("gnss.jump", {"distance_m": 480.0, "bearing_deg": 180.0}),
        ("gnss.spoof", {"way": "jump", "distance_m": 480.0, "bearing_deg": 180.0}),
        ("gnss.drift", {"speed_mps": 30.0, "bearing_deg": 180.0}),
    ],
)
async def test_positions_led_into_the_zone_are_judged_as_told_and_taken_back(
    tmp_path: Path, shared_broker: MosquittoBroker, fault: str, parameters: dict[str, Value]
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        async with bench.fault(fault, HIS, **parameters):
            await bench.stay(OUTSIDE_M, epochs=20 if fault == "gnss.drift" else 6)
            bench.owed.append("Alert")
            await bench.owed_arrived()
        await bench.stay(OUTSIDE_M)
        bench.owed.append("Cancel")
        await bench.owed_arrived()
        await right_again(bench)


async def test_spoofing_pulls_off_smoothly_and_gives_all_satellites_one_level(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        async with bench.fault("gnss.spoof", HIS, way="pull_off", speed_mps=5.0, bearing_deg=180.0):
            await bench.stay(OUTSIDE_M, epochs=95)
            bench.owed.append("Alert")
            await bench.owed_arrived()
        await bench.stay(OUTSIDE_M)
        bench.owed.append("Cancel")
        await right_again(bench)


async def test_frozen_positions_hide_the_way_and_the_first_right_fix_tells_it(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        async with bench.fault("gnss.freeze", HIS):
            await bench.stay(OUTSIDE_M)
            await bench.stay(INSIDE_M)
        await bench.stay(INSIDE_M)
        bench.owed.append("Alert")
        await bench.owed_arrived()
        await bench.walk(2)
        await bench.owed_arrived()


@pytest.mark.parametrize("kind", ["inserted", "wrong_count"])
async def test_leap_second_refuses_no_fix_and_loses_no_alert(
    tmp_path: Path, shared_broker: MosquittoBroker, kind: str
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        # so that the first second of the fault is the first of a day
        bench.second = DAY_S - START_UTC_NS // 10**9 % DAY_S - 12
        await bench.walk(2)
        async with bench.fault("gnss.leap_second", HIS, kind=kind, seconds=3):
            await bench.walk(4)
            await bench.owed_arrived()
        await bench.walk(4)
        await bench.owed_arrived()
    assert bench.rejects() == 0
    # times that step back at the end of a wrong count are of the past: told as that, and closed
    assert bench.zone_steps(late=True) == (["Alert", "Cancel"] if kind == "wrong_count" else [])


async def test_rollover_of_the_week_number_is_put_right(tmp_path: Path, shared_broker: MosquittoBroker) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        # dates are told by the host's clock: it must be near the story's
        bench.host_clock.set_offset((START_UTC_NS - bench.host_clock.utc_ns()) / 1e9)
        await bench.walk(1)
        async with bench.fault("gnss.rollover", HIS):
            await bench.walk(4)
            await bench.owed_arrived()
        await bench.walk(3)
        await bench.owed_arrived()
    alerts = [m.json["data"] for m in bench.provider.on("/alert")]
    years = {data["occurred_at"][:4] for data in alerts}
    assert years == {"2026"}
    rules = {data["position"]["properties"]["date_rule"] for data in alerts if data["zone"]}
    assert "rollover" in rules


async def test_jamming_is_suspected_at_once_and_location_is_lost_with_the_fix(
    tmp_path: Path, shared_broker: MosquittoBroker
) -> None:
    async with line_bench(tmp_path, shared_broker, **SOON) as bench:
        await bench.walk(1, every_s=PACE_S, status=True)
        async with bench.fault("gnss.jam", HIS, strength=3):
            await bench.stay(INSIDE_M, epochs=30, every_s=PACE_S, status=True)
            await bench.told(AlertKind.JAMMING_SUSPECTED, "Alert")
            await bench.told(AlertKind.LOCATION_LOST, "Alert")
        await bench.walk(1, every_s=PACE_S, status=True)
        await bench.told(AlertKind.JAMMING_SUSPECTED, "Alert", "Cancel")
        await bench.told(AlertKind.LOCATION_LOST, "Alert", "Cancel")
        await bench.owed_arrived()
