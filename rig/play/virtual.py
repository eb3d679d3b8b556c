"""A run on virtual time: the product, a real broker and a real subscriber, emulated tags and radio, in one process."""

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from bridge import life
from bridge.app import Ending
from bridge.config.load import load_config
from bridge.errors import BridgeError
from bridge.opening import open_bridge
from devices.errors import DevicesError
from devices.events import LinkState
from protocols.mqtt.ids import epoch_id
from rig.ble.bench import BleBench
from rig.demo.tag_words import TagWord
from rig.emulator.clock import NS_PER_S
from rig.emulator.events import EventKind
from rig.emulator.firmware import FIRMWARE_VERSION, AnkleTagFirmware, TagConfig
from rig.errors import BenchBrokenError
from rig.faults.entry import Pace
from rig.faults.line import LineFaults
from rig.play.bridge_files import BridgeSetup, write_bridge_files
from rig.play.broker import RunBroker
from rig.play.delivering import Delivering
from rig.play.played_bridge import PlayedBridge
from rig.play.radio import RunRadio, is_on_air, needs_radio
from rig.play.script import EventLog, Script
from rig.play.settings import TOPIC_FILTER, PlaySettings
from rig.play.tag_line import TagLine, driver_spec
from rig.provider.loop_subscriber import Came, LoopSubscriber
from rig.runs.folder import (
    FELT_FILE,
    LOG_FILE,
    MESSAGES_FILE,
    RADIO_FOLDER,
    RoleEntry,
    RunFile,
    truth_path,
    write_run_file,
)
from rig.runs.received import Received
from rig.scenario import PersonTable, Scenario
from rig.truth.log import TruthLog
from rig.truth.records import TruthHeader
from rig.virtual.clock import ShiftedClock, VirtualClock
from rig.virtual.loop import VirtualLoop, run_virtual

BUS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
"""All that tells a bridge with an emulated radio from one with a real one."""

LINK_S: Final = 30.0
"""Virtual seconds until the bridge is ready and has a link to every smart tag; without one a run proves nothing."""

FLUSH_S: Final = 10.0
"""Virtual seconds that the bridge may take to deliver what waits when it is stopped."""

SEEDS_APART: Final = 1000
"""Devices of one run must not share their errors: each draws from the run's seed times this, plus its number."""

TAIL_S: Final = 5.0
"""The run goes on so much longer than the longest silence that is told, virtual seconds."""


def play_virtual(scenario: Scenario, settings: PlaySettings) -> RunFile:
    """Play a scenario, and leave its run folder without verdict and report.

    Raises
    ------
    BenchBrokenError
        The bench could not play: no broker, no link to a smart tag, the bridge ended by itself.
    RigError
        The scenario asks for what cannot be.
    """
    clock = VirtualClock(settings.start_utc_ns)
    run = VirtualRun(scenario, settings, clock)
    with _log_to(settings.folder / LOG_FILE):
        return run_virtual(run.play, clock)


class VirtualRun:
    """One run; also the bench that faults act on.

    Parameters
    ----------
    scenario : Scenario
    settings : PlaySettings
    clock : VirtualClock
    """

    def __init__(self, scenario: Scenario, settings: PlaySettings, clock: VirtualClock) -> None:
        self._scenario = scenario
        self._settings = settings
        self._now = clock
        self._seed = scenario.seed if settings.seed is None else settings.seed
        self._lines: dict[str, TagLine] = {}
        self._links: set[str] = set()
        self._changed = asyncio.Event()
        self._is_ready = False
        self._radio: RunRadio | None = None
        self._start_mono_ns = clock.mono_ns()
        self.clock = ShiftedClock(clock)
        self.broker = RunBroker(settings, keeps=self._will_kill_broker())
        self.pace = Pace.VIRTUAL
        self.bridge = None
        self.disk = None

    # What faults ask of a bench.

    def mono_ns(self) -> int:
        """See ``FaultBench``."""
        return self._now.mono_ns()

    def plays_events(self, device: str) -> bool:
        """See ``FaultBench``."""
        person = self._scenario.find_person(device)
        return person is not None and self._settings.source_of(device).kind == "emulated"

    def find_line(self, device: str) -> LineFaults | None:
        """See ``FaultBench``."""
        line = self._lines.get(device)
        return None if line is None else line.faults

    def find_radio(self, device: str) -> str | None:
        """See ``FaultBench``."""
        return None if self._radio is None else self._radio.find_name(device)

    @property
    def air(self) -> BleBench | None:
        """See ``FaultBench``."""
        return None if self._radio is None else self._radio.bench

    # The run.

    async def play(self, loop: VirtualLoop) -> RunFile:
        """Play it from the start to the end."""
        settings, folder = self._settings, self._settings.folder
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.broker.end)
            messages = stack.enter_context((folder / MESSAGES_FILE).open("wb", buffering=0))
            felt = stack.enter_context((folder / FELT_FILE).open("wb", buffering=0))
            subscriber = LoopSubscriber(
                self.broker.url,
                (TOPIC_FILTER,),
                clock=self._now,
                client_id="bench-subscriber",
                version=self.broker.version,
                take=lambda came: _write_message(messages, came),
            )
            delivering = Delivering(loop, self._now, self.broker, subscriber)
            self.broker.launch()
            stack.callback(subscriber.close)
            config = self._write_files()
            if needs_radio(self._scenario):
                bench = BleBench(None if settings.lean else folder / RADIO_FOLDER, seed=self._seed)
                await stack.enter_async_context(bench)
                self._radio = RunRadio(
                    bench,
                    self._scenario,
                    seed=self._seed,
                    folder=folder,
                    clock=self._now,
                    say=lambda word: _write_word(felt, word),
                )
                stack.enter_context(_environment(BUS_VARIABLE, bench.bus_address))
                await self._radio.switch_on_tags()
            await self._plug_in(stack)
            app = self._open_bridge(config, stack)
            delivering.watch(app)
            running = asyncio.create_task(app.run(), name="bridge")
            try:
                await self._unless_over(running, self._is_up())
                await self._unless_over(running, self._story(stack))
            finally:
                app.request_stop()
                with contextlib.suppress(asyncio.CancelledError):
                    outcome = await running
            if outcome.ending is not Ending.ASKED:
                raise BenchBrokenError(f"the bridge ended: {outcome.ending.value}. Next: read bench.log in {folder}")
            # the bridge's last words
            await asyncio.sleep(0.001)
        return self._file

    def _write_files(self) -> Path:
        settings = self._settings
        transports = {
            person.device: settings.source_of(person.device).transport or driver_spec(person.device)
            for person in self._scenario.person
        }
        setup = BridgeSetup(
            broker_url=self.broker.url,
            mqtt_version=self.broker.version,
            transports=transports,
            silence_buffer_s=settings.silence_buffer_s,
        )
        return write_bridge_files(self._scenario, settings, setup)

    async def _plug_in(self, stack: contextlib.AsyncExitStack) -> None:
        for person in self._scenario.person:
            source = self._settings.source_of(person.device)
            if source.transport:
                continue
            log = stack.enter_context(TruthLog(truth_path(self._settings.folder, person.device)))
            line = TagLine(person.device, clock=self._now, log=log)
            line.is_deaf = person.device == self._settings.planted.deaf_device
            stack.push_async_callback(line.close)
            await line.open()
            self._lines[person.device] = line

    def _open_bridge(self, config: Path, stack: contextlib.AsyncExitStack) -> PlayedBridge:
        try:
            opened = open_bridge(load_config(config), self.clock)
        except BridgeError as exc:
            raise BenchBrokenError(f"the bridge does not take its configuration: {exc}") from exc
        stack.callback(opened.close)
        entropy = hashlib.sha256(f"{self._seed}/{self._scenario.title}".encode()).digest()[:10]
        return PlayedBridge(
            opened.loaded,
            opened.plan,
            clock=self.clock,
            observe=self._observe,
            flush_timeout_s=FLUSH_S,
            epoch=epoch_id(t_utc_ns=self._now.utc_ns(), entropy=entropy),
            outbox_folder=opened.outbox_folder,
            disk_trouble=opened.disk_trouble,
            planted=self._settings.planted,
        )

    def _observe(self, event: life.LifeEvent) -> None:
        match event:
            case life.Ready():
                self._is_ready = True
            case life.LinkChanged(device=device, state=state):
                (self._links.add if state == LinkState.UP else self._links.discard)(device)
        self._changed.set()

    async def _unless_over(
        self, running: asyncio.Task[Any], doing: Any
    ) -> None:  # Any: a coroutine, its outcome unused
        """Do something while the bridge runs; its end is the end of this."""
        task = asyncio.ensure_future(doing)
        try:
            await asyncio.wait({running, task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            elif running.done():
                try:
                    outcome = running.result()
                except (BridgeError, DevicesError) as exc:
                    raise BenchBrokenError(f"the bridge ended: {exc}") from exc
                raise BenchBrokenError(f"the bridge ended by itself: {outcome.ending.value}")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _is_up(self) -> None:
        wanted = {person.smart_tag.id for person in self._scenario.person if is_on_air(person) and person.smart_tag}
        try:
            async with asyncio.timeout(LINK_S):
                while not (self._is_ready and wanted <= self._links):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            missing = ", ".join(sorted(wanted - self._links)) or "ready"
            raise BenchBrokenError(
                f"the bridge is not up within {LINK_S:g} s: no {missing}. Next: read bench.log in "
                f"{self._settings.folder}"
            ) from None

    async def _story(self, stack: contextlib.AsyncExitStack) -> None:
        scenario, folder, clock = self._scenario, self._settings.folder, self._now
        start_mono_ns = self._start_mono_ns = -(-clock.mono_ns() // NS_PER_S) * NS_PER_S
        await clock.sleep_until(start_mono_ns)
        start_utc_ns = clock.utc_ns()
        self._file = self._run_file(start_mono_ns, start_utc_ns)
        write_run_file(folder, self._file)
        if self._radio is not None:
            await self._radio.switch_on_beacons()
        for number, person in enumerate(scenario.person):
            if person.device in self._lines:
                self._start_tag(person, number, start_mono_ns, start_utc_ns)
        events = EventLog(folder, self._file.t_s, clock)
        stack.callback(events.close)
        script = Script(scenario, self, events, self._seed)
        await script.play(clock, start_mono_ns, scenario.duration_s + self._tail_s())
        for line in self._lines.values():
            line.check()
        self._file = msgspec.structs.replace(self._file, faults=tuple(dict.fromkeys(events.applied)))
        write_run_file(folder, self._file)

    def _start_tag(self, person: PersonTable, number: int, start_mono_ns: int, start_utc_ns: int) -> None:
        line, source = self._lines[person.device], self._settings.source_of(person.device)
        if source.chunks:
            line.feed(source.chunks, start_mono_ns)
            return
        config = TagConfig(
            seed=self._seed * SEEDS_APART + number,
            interval_s=person.interval_s,
            profile=person.profile,
            battery_pct=person.battery_pct,
            start_utc_ns=start_utc_ns,
        )
        track = self._scenario.track(person)
        line.log.write(
            TruthHeader(
                version=1,
                device_id=person.device,
                seed=config.seed,
                profile=config.profile,
                start_utc_ns=start_utc_ns,
                start_mono_ns=start_mono_ns,
                speed=1.0,
                interval_s=config.interval_s,
                origin_lat_deg=track.frame.lat_deg,
                origin_lon_deg=track.frame.lon_deg,
            )
        )
        firmware = AnkleTagFirmware(config, track, self._scenario.actions(person))
        radio = self._radio
        if radio is not None:
            line.on_sent = lambda item: radio.follow(person.device, item)
            line.on_action = lambda action: (
                radio.follow_power(person.device, action.kind is EventKind.POWER_ON)
                if action.kind in (EventKind.POWER_ON, EventKind.POWER_OFF)
                else None
            )
        line.start(firmware, start_mono_ns)

    def _tail_s(self) -> float:
        if self._settings.tail_s is not None:
            return self._settings.tail_s
        return max(person.interval_s for person in self._scenario.person) + self._settings.silence_buffer_s + TAIL_S

    def _will_kill_broker(self) -> bool:
        return bool(self._scenario.broker_outage) or any(f.id == "broker.down" for f in self._scenario.fault)

    def _run_file(self, start_mono_ns: int, start_utc_ns: int) -> RunFile:
        settings = self._settings
        roles: list[RoleEntry] = []
        for person in self._scenario.person:
            source = settings.source_of(person.device)
            firmware = FIRMWARE_VERSION if source.kind == "emulated" else source.expect_firmware
            role = "offender" if person.role == "wearer" else "victim"
            roles.append(RoleEntry(role=role, device=person.device, kind=source.kind, firmware=firmware))
            if is_on_air(person) and person.smart_tag is not None:
                roles.append(RoleEntry(role="smart_tag", device=person.smart_tag.id, kind="emulated"))
        return RunFile(
            title=self._scenario.title,
            suite=settings.suite,
            family=settings.family,
            run=settings.run,
            seed=self._seed,
            parameters=dict(settings.parameters),
            pace="virtual",
            roles=tuple(roles),
            versions={"tagrig": version("tagrig")},
            start_mono_ns=start_mono_ns,
            start_utc_ns=start_utc_ns,
            allowance_s=settings.allowance_s,
            planted=settings.planted.words,
            broker=self.broker.kind,
        )


def _write_message(file: Any, came: Came) -> None:  # Any: a binary file
    received = Received(
        topic=came.topic,
        t_sub_mono_ns=came.t_mono_ns,
        retain=came.retain,
        payload=msgspec.Raw(came.body or b"null"),
        qos=came.qos,
        properties=came.properties,
    )
    file.write(msgspec.json.encode(received) + b"\n")


def _write_word(file: Any, word: TagWord) -> None:  # Any: a binary file
    file.write(msgspec.json.encode(word) + b"\n")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Have what the product and the bench log written to a file, and not to the person's terminal."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)-7s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("bridge", "devices", "rig", "asyncio", "bleak")]
    before = [(each.propagate, each.level) for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.propagate = False
        each.setLevel(logging.INFO)
    try:
        yield
    finally:
        for each, (propagate, level) in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.propagate = propagate
            each.setLevel(level)
        handler.close()
