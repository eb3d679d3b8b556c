"""An independent subscriber and small builders for the bridge's tests."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from protocols.nmea.encode import encode_gga, encode_rmc
from tests.support import wait_until


@dataclass
class Heard:
    """One message at the subscriber."""

    topic: str
    body: bytes
    retain: bool
    t_mono_ns: int

    @property
    def json(self) -> dict:  # type: ignore[type-arg]
        return msgspec.json.decode(self.body)


@dataclass
class Subscriber:
    """A plain paho client in its own thread, with a persistent session."""

    heard: list[Heard] = field(default_factory=list)
    latest: dict[str, Heard] = field(default_factory=dict)
    connects: int = 0
    client: paho.Client | None = None
    subscribed: threading.Event = field(default_factory=threading.Event)

    def on(self, suffix: str) -> list[Heard]:
        return [m for m in list(self.heard) if m.topic.endswith(suffix)]

    def alerts(self) -> list[dict]:  # type: ignore[type-arg]
        return [m.json for m in self.on("/alert")]

    def wait_for(self, condition: Callable[[], bool], *, within_s: float = 10, what: str) -> None:
        wait_until(condition, within_s=within_s, what=what)


@contextmanager
def subscriber(
    host: str, port: int, *, topic: str | tuple[str, ...] = "#", client_id: str = "provider"
) -> Iterator[Subscriber]:
    """Subscribe with QoS 1 and wait until the broker granted it."""
    found = Subscriber()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.reconnect_delay_set(0.05, 0.5)  # type: ignore[arg-type]

    def on_connect(c: paho.Client, *_: object) -> None:
        found.connects += 1
        c.subscribe([(each, 1) for each in ((topic,) if isinstance(topic, str) else topic)])

    def on_message(_c: paho.Client, _u: object, message: paho.MQTTMessage) -> None:
        now = time.monotonic_ns()
        heard = Heard(topic=message.topic, body=bytes(message.payload), retain=message.retain, t_mono_ns=now)
        found.heard.append(heard)
        found.latest[message.topic] = heard

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: found.subscribed.set()
    found.client = client
    client.connect_async(host, port, keepalive=20)
    client.loop_start()
    try:
        assert found.subscribed.wait(10), f"no subscription at {host}:{port}"
        yield found
    finally:
        end_client(client)


def end_client(client: paho.Client) -> None:
    """Disconnect and leave nothing open: paho keeps the pair that wakes its thread until somebody collects it."""
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()


class BridgeProcess:
    """``tagrig bridge`` as its users run it: a process of its own."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.events: list[dict] = []  # type: ignore[type-arg]
        self._log = folder / "bridge.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from rig.cli import main; main()", "bridge", "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        self._reader = threading.Thread(target=self._read, name="bridge-events")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(msgspec.json.decode(line))

    @property
    def log(self) -> str:
        return self._log.read_text()

    def named(self, event: str) -> list[dict]:  # type: ignore[type-arg]
        return [e for e in list(self.events) if e["event"] == event]

    def wait_for(self, condition: Callable[[], bool], *, what: str, within_s: float = 15) -> None:
        def met() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, f"the bridge ended ({self.process.returncode}): {self.log}"
            return False

        wait_until(met, within_s=within_s, what=what)

    def wait_ready(self) -> dict:  # type: ignore[type-arg]
        self.wait_for(lambda: bool(self.named("ready")), what="ready")
        return self.named("ready")[0]

    def wait_link(self, device: str, state: str, *, times: int = 1) -> None:
        self.wait_for(
            lambda: sum(e["device"] == device and e["state"] == state for e in self.named("link")) >= times,
            what=f"link {state} of {device}",
        )

    def stop(self, *, within_s: float = 20) -> int:
        """End it as a service manager does; give its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait_end(within_s=within_s)

    def wait_end(self, *, within_s: float = 60) -> int:
        code = self.process.wait(within_s)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait_end()


@pytest.fixture
def start_bridge(tmp_path: Path) -> Iterator[Callable[..., BridgeProcess]]:
    """Start bridges that end with the test."""
    started: list[BridgeProcess] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> BridgeProcess:
        started.append(BridgeProcess(tmp_path, *arguments, environment=environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None or not each.process.stdout.closed:  # type: ignore[union-attr]
            each.kill()


class Line:
    """The device's end of a pseudo-terminal."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.spec = f"pty:{os.ttyname(self._slave)}"

    def write_until(self, data: bytes, halt: threading.Event) -> None:
        """Write as fast as the reader takes it; give up when told to."""
        os.set_blocking(self._master, False)
        view = memoryview(data)
        while view and not halt.is_set():
            _, writable, _ = select.select([], [self._master], [], 0.2)
            if writable:
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._master, view) :]

    def write(self, data: bytes) -> None:
        """Write as fast as the reader takes it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._master, view) :]

    def unplug(self) -> None:
        """Close both ends: the reader's terminal hangs up."""
        if self._master >= 0:
            os.close(self._master)
            os.close(self._slave)
            self._master = -1


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


LAT, LON = 51.0, -6.5
"""Middle of the zones: open water."""

METRE_DEG = 1 / 111_200
START_UTC_NS = 1_780_000_000_000_000_000

ZONES_JSON = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "z-ex",
                "properties": {"purpose": "exclusion", "radius_m": 100},
                "geometry": {"type": "Point", "coordinates": [LON, LAT]},
            }
        ],
    }
)


def epoch_bytes(second: float, north_m: float) -> bytes:
    """One epoch of a receiver so many seconds after the start, so many metres north of the zone's middle."""
    t_utc_ns = START_UTC_NS + int(second * 1e9)
    lat_deg = LAT + north_m * METRE_DEG
    return encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=LON) + encode_gga(
        t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=LON, satellites_used=9, hdop=0.9
    )


def zigzag(first: int, count: int, *, every: int = 5) -> bytes:
    """Epochs that are outside and inside the zone in turns."""
    return b"".join(epoch_bytes(n, 500 if n // every % 2 == 0 else 20) for n in range(first, first + count))


def zigzag_events(count: int, *, every: int = 5) -> list[str]:
    """What a reader should be told of ``zigzag(0, count)``."""
    return ["Alert" if n // every % 2 else "Cancel" for n in range(every, count, every)]
