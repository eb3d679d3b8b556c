"""Every fault of the host's clock against the real bridge: nothing that is judged or delivered rests on it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from protocols.mqtt.words import AlertKind
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.entry import Value
from rig.faults.host import FakedClock, find_faketime
from tests.ble_support import until
from tests.rig.faults.fault_bench import HIS, line_bench, shared_broker
from tests.support import skip_or_fail

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("by_s", [pytest.param(864_000.0, marks=pytest.mark.soak), -864_000.0])
async def test_step_of_the_clock_is_no_silence_and_changes_no_order(
    tmp_path: Path, shared_broker: MosquittoBroker, by_s: float
) -> None:
    async with line_bench(tmp_path, shared_broker) as bench:
        await bench.walk(1)
        async with bench.fault("clock.step", by_s=by_s):
            await bench.walk(3)
            await bench.owed_arrived()
        await bench.walk(2)
        await bench.owed_arrived()
    assert bench.steps(AlertKind.COMMS_LOST) == bench.steps(AlertKind.LOCATION_LOST) == []
    assert bench.links(HIS) == ["up"]


@pytest.mark.parametrize(("fault", "parameters"), [("clock.step", {"by_s": 864_000.0}), ("clock.skew", {"ppm": 1e5})])
async def test_under_a_wrong_clock_silence_is_noticed_and_over_with_the_first_word(
    tmp_path: Path, shared_broker: MosquittoBroker, fault: str, parameters: dict[str, Value]
) -> None:
    async with line_bench(tmp_path, shared_broker, interval_s=0.1, buffer_s=0.1) as bench:
        async with bench.fault(fault, **parameters):
            await bench.walk(1)
            await bench.told(AlertKind.COMMS_LOST, "Alert")
            await bench.walk(1)
            await until(lambda: bench.steps(AlertKind.COMMS_LOST)[1:2] == ["Cancel"], "the end of the silence")
            await bench.owed_arrived()
        await bench.walk(2)
        await bench.owed_arrived()


def test_faked_clock_shows_a_process_another_utc_and_the_right_durations(tmp_path: Path) -> None:
    if find_faketime() is None:
        skip_or_fail("libfaketime is not installed. Next: apt install faketime")
    clock = FakedClock(tmp_path / "offset")
    code = "import time\nfor _ in range(3): input(); print(time.time(), time.monotonic(), flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clock.environment,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask() -> tuple[float, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        utc, mono = map(float, process.stdout.readline().split())
        return utc - time.time(), mono - time.monotonic()

    try:
        for offset_s in (0.0, 864_000.0, -3600.0):
            clock.set_offset(offset_s)
            utc_off_s, mono_off_s = ask()
            assert utc_off_s == pytest.approx(offset_s, abs=5)
            assert mono_off_s == pytest.approx(0, abs=5)
        assert process.wait(20) == 0
    finally:
        clock.close()
        process.kill()
        process.communicate()
