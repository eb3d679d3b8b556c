"""A small bench in real time that has every part a fault can act on: the real bridge, real drivers, a real broker."""

import asyncio
import contextlib
import itertools
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from bridge import life
from bridge.app import BridgeApp
from bridge.config.load import load_config
from bridge.plan import make_plan
from devices.clock import SystemClock
from devices.transports import Transport, open_transport
from protocols.mqtt.words import AlertKind
from protocols.nmea.tag import encode_status
from protocols.reports import Closure, Jamming
from rig.ble.bench import BleBench
from rig.brokers.mosquitto import Keeping, MosquittoBroker
from rig.faults.apply import End, begin
from rig.faults.catalogue import plan_fault
from rig.faults.entry import Pace, Value
from rig.faults.host import SmallDisk
from rig.faults.line import LineFaults
from rig.faults.mqtt_way import MqttWay
from rig.faults.port import FaultBridge
from rig.faults.transport import FaultyTransport
from tests.ble_support import until
from tests.bridge.support import START_UTC_NS, Heard, Subscriber, epoch_bytes, subscriber

HIS, HERS, HER_TAG = "his", "hers", "st"

INSIDE_M, OUTSIDE_M = 20.0, 500.0
"""Metres north of the middle of a zone of 100 m."""

STAY = 6
"""Epochs of one stay inside or outside: what damages some of them leaves one that tells."""

_names = itertools.count()


class OffsetClock(SystemClock):
    """The clock of a host whose UTC can be wrong."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._ppm = 0.0
        self._since_ns = 0

    def utc_ns(self) -> int:
        skew_ns = self._ppm * 1e-6 * (self.mono_ns() - self._since_ns) if self._ppm else 0.0
        return super().utc_ns() + self._offset_ns + round(skew_ns)

    def set_offset(self, offset_s: float) -> None:
        self._offset_ns = round(offset_s * 1e9)

    def set_skew(self, ppm: float) -> None:
        self._ppm, self._since_ns = ppm, self.mono_ns()


class BrokerControl:
    """The broker on the port, with a way in front of it."""

    def __init__(self, broker: MosquittoBroker, way: MqttWay | None) -> None:
        self._broker = broker
        self.way = way

    async def kill(self) -> None:
        await asyncio.to_thread(self._broker.kill)

    async def start(self) -> None:
        # in this thread: the kernel ends the child with the thread that started it
        self._broker.start()


class Provider:
    """What the provider of one agency has heard, of a subscriber that listens for all of them."""

    def __init__(self, found: Subscriber, agency: str) -> None:
        self._found = found
        self._prefix = f"em/v1/{agency}/"
        self._heard: list[Heard] = []
        self._seen = 0

    @property
    def heard(self) -> list[Heard]:
        news = self._found.heard[self._seen :]
        self._seen += len(news)
        self._heard += [each for each in news if each.topic.startswith(self._prefix)]
        return self._heard

    def on(self, suffix: str) -> list[Heard]:
        return [each for each in self.heard if each.topic.endswith(suffix)]


class Bench:
    """One bridge with a wearer's line; `rig.faults.port.FaultBench` for the faults of a test."""

    pace = Pace.REAL

    def __init__(self, provider: Provider, broker: BrokerControl, *, plays: bool = False) -> None:
        self.provider = provider
        self.broker = broker
        self.host_clock = OffsetClock()
        self.clock = self.host_clock
        self.air: BleBench | None = None
        self.bridge: FaultBridge | None = None
        self.disk: SmallDisk | None = None
        self.seen: list[life.LifeEvent] = []
        self.lines: dict[str, LineFaults] = {}
        self.ends: dict[str, Transport] = {}
        self.radios: dict[str, str] = {}
        self.owed: list[str] = []
        self._plays = plays
        self.second = 0

    # --- as a fault sees it -----------------------------------------------------------------------------------------

    def mono_ns(self) -> int:
        return self.host_clock.mono_ns()

    def plays_events(self, device: str) -> bool:
        return self._plays

    def find_line(self, device: str) -> LineFaults | None:
        return self.lines.get(device)

    def find_radio(self, device: str) -> str | None:
        return self.radios.get(device)

    # --- as a test sees it ------------------------------------------------------------------------------------------

    async def begin(self, fault_id: str, device: str | None = None, **parameters: Value) -> End | None:
        return await begin(self, plan_fault(fault_id, device=device, parameters=parameters, seed=7))

    @contextlib.asynccontextmanager
    async def fault(self, fault_id: str, device: str | None = None, **parameters: Value) -> AsyncIterator[None]:
        end = await self.begin(fault_id, device, **parameters)
        assert end is not None
        yield
        await end()

    async def stay(
        self, north_m: float, *, epochs: int = STAY, device: str = HIS, every_s: float = 0.0, status: bool = False
    ) -> None:
        """Be somewhere for some epochs; what the port does not take is gone, as on a UART."""
        for _ in range(epochs):
            with contextlib.suppress(OSError):
                await self.ends[device].send(
                    epoch_bytes(self.second, north_m) + (status_bytes(self.second) if status else b"")
                )
            self.second += 1
            await asyncio.sleep(every_s)  # the story's own time; 0 lets the reader have its turn

    async def walk(self, stays: int, *, every_s: float = 0.0, status: bool = False) -> None:
        """Go in and out in turns, beginning outside; notes what the provider is owed."""
        for _ in range(stays):
            inside = self.owed[-1:] == ["Alert"]
            # owed: a stay inside is an alert, the next one outside its end
            await self.stay(OUTSIDE_M if inside else INSIDE_M, every_s=every_s, status=status)
            self.owed.append("Cancel" if inside else "Alert")

    def zone_steps(self, *, late: bool = False) -> list[str]:
        """Alerts of the zone at the provider, each id once: those of now, or those that tell of the past."""
        first = {m.json["id"]: m.json["data"] for m in self.provider.on(f"/tag/{HIS}/alert")}
        return [data["msg_type"] for data in first.values() if data["zone"] and data["late"] is late]

    def steps(self, kind: AlertKind) -> list[str]:
        """Alerts of a kind at the provider, each id once, of both sides."""
        first = {m.json["id"]: m.json["data"] for m in self.provider.on("/alert")}
        return [data["msg_type"] for data in first.values() if data["kind"] == kind]

    def links(self, device: str = HIS) -> list[str]:
        return [e.state for e in self.seen if isinstance(e, life.LinkChanged) and e.device == device]

    def rejects(self) -> int:
        return next(e.rejects for e in self.seen if isinstance(e, life.Stopped))

    async def told(self, kind: AlertKind, *steps: str) -> None:
        """Wait until exactly these steps of a kind have come."""
        await until(lambda: self.steps(kind) == list(steps), f"{kind}: {steps}, not {self.steps(kind)}")

    async def owed_arrived(self) -> None:
        """Wait for the alerts of the walk so far, no more and no less."""
        await until(lambda: self.zone_steps() == self.owed, f"{self.owed}, not {self.zone_steps()}")

    async def reach(self, step: str, level: str, *, times: int = 1) -> None:
        """Wait for a step in the life of her warnings."""
        await until(lambda: self.steps_told(step, level) >= times, f"{step} of {level} for the {times}. time")

    def steps_told(self, step: str, level: str) -> int:
        """How often a step was told."""
        return sum(isinstance(e, life.WarningTold) and (e.step, e.level) == (step, level) for e in self.seen)

    async def linked(self, device: str, state: str = "up", *, times: int = 1) -> None:
        await until(lambda: self.links(device).count(state) >= times, f"{state} of {device} for the {times}. time")


def status_bytes(second: float) -> bytes:
    """What a tag with nothing wrong tells of itself."""
    return encode_status(
        sequence=int(second),
        stored=False,
        strap=Closure.CLOSED,
        case=Closure.CLOSED,
        shielded=False,
        jamming=Jamming.NONE,
        battery_pct=83,
        battery_mv=3980,
        charging=False,
        motion=True,
        temperature_c=31.0,
        firmware="t-1.0",
        t_status_utc_ns=START_UTC_NS + int(second * 1e9),
    )


def check_ledger(heard: list[Heard], *, published: int | None = None, repeats: bool = False) -> None:
    """Each stream that must not have gaps is whole, in order, and every repetition says the same."""
    numbers: dict[str, dict[int, str]] = defaultdict(dict)
    bodies: dict[str, tuple[str, int]] = {}
    order: dict[str, list[int]] = defaultdict(list)
    again = 0
    for message in heard:
        if message.topic.rpartition("/")[2] not in {"alert", "warning"}:
            continue
        event = message.json
        number = int(event["sequence"])
        if event["id"] in bodies:
            again += 1
            assert bodies[event["id"]] == (event["source"], number), "a repetition keeps its number"
            continue
        bodies[event["id"]] = (event["source"], number)
        assert numbers[event["source"]].setdefault(number, event["id"]) == event["id"], "a number is given once"
        order[event["source"]].append(number)
    for source, found in order.items():
        assert found == list(range(1, len(found) + 1)), f"{source}: {found}"
    assert repeats or not again, f"{again} repetitions"
    if published is not None:
        assert len(bodies) == published, f"{published} published, {len(bodies)} arrived"


CONFIG = """
[bridge]
agency = "{agency}"
[broker]
url = "{url}"
[zones]
file = "zones.geojson"
[outbox]
folder = "{outbox}"
ballast_mib = 0
[policy]
max_position_age_s = 60
heartbeat_interval_s = 0.2
{policy}
{devices}
"""


def line_table(device: str, name: str, *, role: str, interval_s: float, buffer_s: float) -> str:
    return (
        f'[[device]]\nid = "{device}"\nrole = "{role}"\ntransport = "memory:{name}"\n'
        f"interval_s = {interval_s}\nsilence_buffer_s = {buffer_s}\n"
    )


@contextlib.asynccontextmanager
async def plugged(bench: Bench, device: str, name: str) -> AsyncIterator[None]:
    """The device's end of a line, with faults on it."""
    faults = bench.lines[device] = LineFaults()
    inner = open_transport(f"memory:{name}?end=device", clock=bench.host_clock)
    end = bench.ends[device] = FaultyTransport(inner, faults, bench.host_clock, end="device")
    await end.open()
    try:
        yield
    finally:
        await end.close()


@contextlib.asynccontextmanager
async def bridge_at_work(
    folder: Path,
    bench: Bench,
    url: str,
    devices: str,
    *,
    agency: str,
    policy: str = "",
    outbox: Path | None = None,
    lines: int = 1,
    environment: Mapping[str, str] = {},
) -> AsyncIterator[None]:
    """The real bridge in this loop, until the block ends; then everything that it published is at the provider."""
    text = CONFIG.format(agency=agency, url=url, outbox=outbox or folder / "outbox", policy=policy, devices=devices)
    (folder / "bridge.toml").write_text(text)
    loaded = load_config(folder / "bridge.toml")
    app = BridgeApp(
        loaded, make_plan(loaded), clock=bench.host_clock, observe=bench.seen.append, environment=dict(environment)
    )
    task = asyncio.create_task(app.run())
    try:
        await until(lambda: task.done() or sum(e == "up" for e in _all_links(bench)) >= lines, "the lines")
        if task.done():
            task.result()
        await until(lambda: any(isinstance(e, life.BrokerChanged) and e.connected for e in bench.seen), "the broker")
        yield
    finally:
        app.request_stop()
        outcome = await task
    assert outcome.lost == 0
    await until(lambda: len(_distinct(bench)) >= _published(bench), f"{_published(bench)} at the provider")


def _all_links(bench: Bench) -> Iterator[str]:
    return (e.state for e in bench.seen if isinstance(e, life.LinkChanged))


def _published(bench: Bench) -> int:
    return sum(isinstance(e, life.AlertPublished | life.WarningTold) for e in bench.seen)


def _distinct(bench: Bench) -> set[str]:
    return {m.json["id"] for suffix in ("/alert", "/warning") for m in bench.provider.on(suffix)}


class SharedBroker(MosquittoBroker):
    """A broker for all tests of a module whose fault is not the broker's; each has topics of its own."""

    listener: Subscriber | None = None


@contextlib.contextmanager
def provider_at(broker: MosquittoBroker, agency: str) -> Iterator[Provider]:
    if isinstance(broker, SharedBroker) and broker.listener is not None:
        yield Provider(broker.listener, agency)
        return
    with subscriber(broker.host, broker.port, topic="em/v1/#", client_id=f"provider-{agency}") as found:
        yield Provider(found, agency)


def new_name() -> str:
    """A name of this process's own: for an agency, a line, a client."""
    return f"f{os.getpid()}-{next(_names)}"


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBroker]:
    with (
        SharedBroker(tmp_path_factory.mktemp("broker"), keeping=Keeping.NOTHING) as broker,
        subscriber(broker.host, broker.port, topic="em/v1/#", client_id="provider") as found,
    ):
        broker.listener = found
        yield broker


@contextlib.asynccontextmanager
async def line_bench(
    folder: Path,
    broker: MosquittoBroker,
    *,
    way: MqttWay | None = None,
    interval_s: float = 60.0,
    buffer_s: float = 10.0,
    plays: bool = False,
    repeats: bool = False,
    outbox: Path | None = None,
) -> AsyncIterator[Bench]:
    """A wearer with a zone, on a line with faults; at the end nothing may be lost."""
    agency = new_name()
    (folder / "zones.geojson").write_text(ZONE)
    with provider_at(broker, agency) as provider:
        bench = Bench(provider, BrokerControl(broker, way), plays=plays)
        devices = line_table(HIS, agency, role="wearer", interval_s=interval_s, buffer_s=buffer_s)
        url = way.url if way is not None else broker.url
        async with (
            plugged(bench, HIS, agency),
            bridge_at_work(folder, bench, url, devices, agency=agency, outbox=outbox),
        ):
            await bench.stay(OUTSIDE_M)
            yield bench
        check_ledger(provider.heard, published=_published(bench), repeats=repeats)


ZONE = msgspec.json.encode(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "z-ex",
                "properties": {"purpose": "exclusion", "radius_m": 100},
                "geometry": {"type": "Point", "coordinates": [-6.5, 51.0]},
            }
        ],
    }
).decode()
