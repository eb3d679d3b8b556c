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
from tests.rig.faults.fault_bench import HIS, line_bench, shared_broker
from tests.support import skip_or_fail

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("clock.step", {"by_s": 864_000.0}),
        ("clock.step", {"by_s": -864_000.0}),
        ("clock.skew", {"ppm": 100_000.0}),
    ],
)
async def test_wrong_clock_changes_neither_silence_nor_order(
    tmp_path: Path, shared_broker: MosquittoBroker, fault: str, parameters: dict[str, Value]
) -> None:
    async with line_bench(tmp_path, shared_broker, interval_s=0.1, buffer_s=0.25) as bench:
        await bench.walk(1, every_s=0.02)
        async with bench.fault(fault, **parameters):
            await bench.walk(2, every_s=0.02)
            await bench.owed_arrived()
            assert bench.steps(AlertKind.COMMS_LOST) == [], "a step of the clock is no silence"
            # silence is still noticed, and is over with the first word
            await bench.told(AlertKind.COMMS_LOST, "Alert")
            await bench.walk(1, every_s=0.02)
            await bench.told(AlertKind.COMMS_LOST, "Alert", "Cancel")
        await bench.walk(2, every_s=0.02)
        await bench.owed_arrived()
    assert bench.links(HIS) == ["up"]


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
