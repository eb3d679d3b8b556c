"""Ten tags at ten hertz: memory must be flat. The long form is an hour of emulated tags as fast as they run."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from protocols.nmea.tag import encode_status
from protocols.reports import Closure, Jamming
from tests.bridge.support import (
    START_UTC_NS,
    ZONES_JSON,
    BridgeProcess,
    Line,
    Subscriber,
    epoch_bytes,
    start_bridge,
    subscriber,
)
from tests.support import Mosquitto, wait_until

__all__ = ["start_bridge"]

TAGS = 10
RATE_HZ = 10

MAX_GROWTH_BYTES_PER_FIX = 4.0
"""Slope of resident memory over the fixes heard. An hour of ten tags at 10 Hz is 360,000 of them: 1.4 MB, below what
the allocator itself moves by. A leak of one small object per fix (about 50 bytes) is ten times that."""

TOPICS = ("em/v1/demo/tag/+/alert", "em/v1/demo/bridge/+/heartbeat")
"""No positions: hundreds of thousands would fill the test's own memory."""

WARM_UP = 0.35
"""Share of the hour that is not counted: imports, numpy's and the allocator's arenas, the queue of positions."""

WARM_FIXES = 10_000
"""The same in the short run. SQLite keeps 8 MiB of pages (``CACHE_KIB``); rows and indices of the first 8,000 fixes
fill them, at whatever rate they come: 13 MB of growth that ends there."""

COUNTED_FIXES = 6_000
"""Fixes over which the short run then looks for growth."""

MAX_SHORT_GROWTH_BYTES_PER_FIX = 200.0
"""The allocator's arenas still move by half a megabyte then: 90 bytes each. A fix or its message that stayed would be
700 and more; whatever is smaller is found by the hour. A minute (65,000 fixes) had 7 after its first third."""


def config(folder: Path, url: str, specs: list[str]) -> Path:
    (folder / "zones.geojson").write_text(ZONES_JSON)
    devices = "".join(
        f'[[device]]\nid = "t{n}"\ntransport = "{spec}"\ninterval_s = 600\n' for n, spec in enumerate(specs)
    )
    path = folder / "bridge.toml"
    path.write_text(
        f'[broker]\nurl = "{url}"\n[zones]\nfile = "zones.geojson"\n'
        f"[policy]\nmax_queued_positions = 1000\nheartbeat_interval_s = 1\n{devices}"
    )
    return path


class Memory:
    """Resident size of the bridge over the fixes that it heard, one sample a heartbeat."""

    def __init__(self, bridge: BridgeProcess, provider: Subscriber, *, warm_fixes: int | None = None) -> None:
        self._warm_fixes = warm_fixes
        self._process = psutil.Process(bridge.process.pid)
        self._provider = provider
        self._beats = 0
        self.samples: list[tuple[int, int]] = []

    def sample(self) -> int:
        """Wait for the next heartbeat; give the fixes it tells."""
        self._provider.wait_for(lambda: len(self._provider.on("/heartbeat")) > self._beats, what="a heartbeat")
        beats = self._provider.on("/heartbeat")
        self._beats = len(beats)
        fixes = beats[-1].json["data"]["fixes"]
        self.samples.append((fixes, self._process.memory_info().rss))
        return int(fixes)

    @property
    def settled(self) -> list[tuple[int, int]]:
        if self._warm_fixes is not None:
            return [sample for sample in self.samples if sample[0] >= self._warm_fixes]
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def growth_bytes_per_fix(self) -> float:
        fixes, rss = np.array(self.settled, dtype=np.float64).T
        return float(np.polyfit(fixes, rss, 1)[0])

    def report(self, seconds: float) -> str:
        fixes = self.samples[-1][0]
        return (
            f"{fixes} fixes of {TAGS} tags in {seconds:.0f} s ({fixes / seconds:.0f}/s); RSS "
            f"{self.settled[0][1] / 1e6:.1f} -> {self.settled[-1][1] / 1e6:.1f} MB, "
            f"{self.growth_bytes_per_fix():+.2f} bytes per fix"
        )


def assert_gapless(provider: Subscriber) -> int:
    total = 0
    for tag in sorted({m.topic for m in provider.on("/alert")}):
        numbers = list(dict.fromkeys(int(m.json["sequence"]) for m in provider.on(tag)))
        assert numbers == list(range(1, len(numbers) + 1)), tag
        total += len(numbers)
    return total


def tag_bytes(second: float, north_m: float, number: int) -> bytes:
    return epoch_bytes(second, north_m) + encode_status(
        sequence=number % 65_536,
        stored=False,
        strap=Closure.OPEN if number % 5_000 > 4_990 else Closure.CLOSED,
        case=Closure.CLOSED,
        shielded=False,
        jamming=Jamming.NONE,
        battery_pct=90 - number // 500 % 60,
        battery_mv=3900,
        charging=False,
        motion=True,
        temperature_c=21.5,
        firmware="1.0",
        t_status_utc_ns=START_UTC_NS + int(second * 1e9),
    )


@pytest.mark.long
@pytest.mark.needs("mosquitto")
def test_memory_is_flat_over_minutes_of_ten_tags(
    tmp_path: Path, mosquitto: Mosquitto, start_bridge: Callable[..., BridgeProcess]
) -> None:
    """The hour below, cut to a few seconds of wall time and fed by threads instead of emulators."""
    lines = [Line() for _ in range(TAGS)]
    halt = threading.Event()

    def feed(index: int) -> None:
        """Write as fast as the bridge reads; every tag crosses the zone once a minute of its own time."""
        n = 0
        while not halt.is_set():
            block = b"".join(tag_bytes(k / RATE_HZ, 500.0 - abs(k % 600 - 300) * 2, k) for k in range(n, n + 10))
            lines[index].write_until(block, halt)
            n += 10

    feeders = [threading.Thread(target=feed, args=(index,), name=f"tag {index}") for index in range(TAGS)]
    try:
        with subscriber(mosquitto.host, mosquitto.port, topic=TOPICS) as provider:
            specs = [each.spec for each in lines]
            bridge = start_bridge("-q", "--config", str(config(tmp_path, mosquitto.url, specs)))
            for index in range(TAGS):
                bridge.wait_link(f"t{index}", "up")
            memory = Memory(bridge, provider, warm_fixes=WARM_FIXES)
            started = time.monotonic()
            for feeder in feeders:
                feeder.start()
            while memory.sample() < WARM_FIXES + COUNTED_FIXES or len(memory.settled) < 4:
                assert time.monotonic() - started < 90, memory.samples
            seconds = time.monotonic() - started
            halt.set()
            for feeder in feeders:
                feeder.join()
            assert bridge.stop() == 0
            judged = len(bridge.named("alert"))
            provider.wait_for(lambda: count_alerts(provider) >= judged, what="all alerts at the provider")
            assert assert_gapless(provider) == judged
    finally:
        halt.set()
        for each in lines:
            each.unplug()
    print(memory.report(seconds))  # noqa: T201 - shown with -s
    assert memory.growth_bytes_per_fix() < MAX_SHORT_GROWTH_BYTES_PER_FIX, memory.report(seconds)


@pytest.mark.soak
@pytest.mark.timeout(5400)
@pytest.mark.needs("mosquitto")
def test_memory_is_flat_over_an_hour_of_ten_emulated_tags(
    tmp_path: Path, mosquitto: Mosquitto, start_bridge: Callable[..., BridgeProcess]
) -> None:
    links = [tmp_path / f"tty{n}" for n in range(TAGS)]
    tags = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", "from rig.cli import main; main()", "emulate", "ankle", "--link", str(link)),
                *("--speed", "max", "--rate-hz", str(RATE_HZ), "--duration-s", "3600", "--seed", str(n)),
                "--wait-for-open",
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        for n, link in enumerate(links)
    ]
    try:
        wait_until(lambda: all(link.exists() for link in links), within_s=60, what="ten ports")
        with subscriber(mosquitto.host, mosquitto.port, topic=TOPICS) as provider:
            specs = [f"pty:{link}" for link in links]
            bridge = start_bridge("-q", "--config", str(config(tmp_path, mosquitto.url, specs)))
            bridge.wait_ready()
            memory = Memory(bridge, provider)
            started = time.monotonic()
            # Only while all run: the first that ends is a lost line, which is another matter.
            while all(tag.poll() is None for tag in tags):
                memory.sample()
                if len(memory.samples) % 60 == 0:
                    print(memory.report(time.monotonic() - started), flush=True)  # noqa: T201 - progress, with -s
            seconds = time.monotonic() - started
            assert [tag.wait(120) for tag in tags] == [0] * TAGS
            assert bridge.stop() == 0
            judged = len(bridge.named("alert"))
            provider.wait_for(lambda: count_alerts(provider) >= judged, what="all alerts at the provider")
            assert assert_gapless(provider) == judged
    finally:
        for tag in tags:
            if tag.poll() is None:
                tag.kill()
            tag.wait()
    print(memory.report(seconds))  # noqa: T201 - shown with -s
    assert bridge.named("stopped")[0]["fixes"] > 0.99 * 3600 * RATE_HZ * TAGS
    assert memory.growth_bytes_per_fix() < MAX_GROWTH_BYTES_PER_FIX, memory.report(seconds)


def count_alerts(provider: Subscriber) -> int:
    return len({(m.topic, m.json["sequence"]) for m in provider.on("/alert")})
