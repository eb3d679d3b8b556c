"""What every run has in common: devices on their lines, radio, broker, subscriber, and what is written down.

It is also the bench that faults act on.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from devices.clock import Clock
from devices.events import LinkState
from rig.ble.bench import BleBench
from rig.emulator.clock import NS_PER_S
from rig.emulator.events import DeviceAction, EventKind
from rig.emulator.firmware import FIRMWARE_VERSION, AnkleTagFirmware, Outgoing, TagConfig
from rig.errors import BenchBrokenError
from rig.faults.entry import Pace
from rig.faults.line import LineFaults
from rig.faults.port import FaultBridge, FaultClock, FaultDisk
from rig.play.bridge_files import BridgeSetup, write_bridge_files
from rig.play.broker import RunBroker
from rig.play.keeping import write_message, write_word
from rig.play.radio import RunRadio
from rig.play.script import EventLog, Script
from rig.play.settings import TOPIC_FILTER, PlaySettings
from rig.play.tag_line import TagLine
from rig.provider.loop_subscriber import LoopSubscriber
from rig.runs.folder import (
    FELT_FILE,
    MESSAGES_FILE,
    RADIO_FOLDER,
    RoleEntry,
    RunFile,
    truth_path,
    write_run_file,
)
from rig.scenario import PersonTable, Scenario
from rig.truth.log import TruthLog
from rig.truth.records import TruthHeader

BUS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
"""All that tells a bridge with an emulated radio from one with a real one."""

LINK_S: Final = 30.0
"""Seconds until the bridge is ready and has a link to every smart tag; without one a run proves nothing."""

SEEDS_APART: Final = 1000
"""Devices of one run must not share their errors: each draws from the run's seed times this, plus its number."""

TAIL_S: Final = 5.0
"""The run goes on so much longer than the longest silence that is told, seconds of the scenario."""

PROGRESS_S: Final = 5.0
"""How often the run tells how far it is, seconds of the scenario."""

Progress = Callable[[float, float], None]
"""Told how far a run is, and how long it takes, seconds of the scenario."""


class Stage:
    """One run, at any pace.

    Parameters
    ----------
    scenario : Scenario
    settings : PlaySettings
    clock : Clock
        The bench's.
    pace : str
        For the run's record.
    speed : float
        Seconds of the scenario per second of the clock.
    on_progress : callable
    """

    def __init__(
        self,
        scenario: Scenario,
        settings: PlaySettings,
        clock: Clock,
        *,
        pace: str,
        speed: float,
        on_progress: Progress | None = None,
    ) -> None:
        self._scenario = scenario
        self._settings = settings
        self._now = clock
        self._pace_text = pace
        self._speed = speed
        self._on_progress = on_progress
        self._seed = scenario.seed if settings.seed is None else settings.seed
        self._lines: dict[str, TagLine] = {}
        self._radio: RunRadio | None = None
        self._links: set[str] = set()
        self._is_ready = False
        self._changed = asyncio.Event()
        self._start_mono_ns = clock.mono_ns()
        self._file: RunFile | None = None
        self.clock: FaultClock | None = None
        self.bridge: FaultBridge | None = None
        self.disk: FaultDisk | None = None
        self.broker = RunBroker(settings, keeps=self._will_kill_broker())

    # What faults ask of a bench.

    @property
    def pace(self) -> Pace:
        """See ``FaultBench``."""
        return Pace.VIRTUAL if self._pace_text == "virtual" else Pace.REAL

    def mono_ns(self) -> int:
        """See ``FaultBench``: a clock on which the scenario's seconds are seconds."""
        return self._start_mono_ns + round((self._now.mono_ns() - self._start_mono_ns) * self._speed)

    def plays_events(self, device: str) -> bool:
        """See ``FaultBench``."""
        person = self._scenario.find_person(device)
        source = self._settings.source_of(device)
        return person is not None and source.kind == "emulated"

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

    # Parts of a run, in the order they are needed.

    def _subscribe(self, stack: contextlib.AsyncExitStack) -> LoopSubscriber:
        """Make the subscriber, which writes down all that comes; not connected."""
        messages = stack.enter_context((self._settings.folder / MESSAGES_FILE).open("wb", buffering=0))
        return LoopSubscriber(
            self.broker.url,
            (TOPIC_FILTER,),
            clock=self._now,
            client_id="bench-subscriber",
            version=self.broker.version,
            take=lambda came: write_message(messages, came),
        )

    async def _switch_on_radio(self, stack: contextlib.AsyncExitStack) -> str | None:
        """Put the smart tags on the air; returns where the bridge finds the bus, None: nothing goes by Bluetooth."""
        settings, folder = self._settings, self._settings.folder
        felt = stack.enter_context((folder / FELT_FILE).open("wb", buffering=0))
        if not any(self._is_on_air(person) for person in self._scenario.person):
            return None
        captures = None if settings.lean else folder / RADIO_FOLDER
        bench = BleBench(captures, seed=self._seed, utc_ns=self._now.utc_ns)
        await stack.enter_async_context(bench)
        self._radio = RunRadio(
            bench,
            self._scenario,
            seed=self._seed,
            folder=folder,
            clock=self._now,
            speed=self._speed,
            say=lambda word: write_word(felt, word),
        )
        await self._radio.switch_on_tags([person for person in self._scenario.person if self._is_on_air(person)])
        return bench.bus_address

    def _is_on_air(self, person: PersonTable) -> bool:
        """Whether a person carries an emulated smart tag that can be heard."""
        tag = person.smart_tag
        return tag is not None and tag.issued and tag.present and self._settings.source_of(tag.id).kind == "emulated"

    async def _plug_in(self, end_of: Callable[[str], str], stack: contextlib.AsyncExitStack) -> None:
        """Plug in the tags that the bench speaks for; ``end_of`` gives a device's end of its line."""
        for person in self._scenario.person:
            if self._settings.source_of(person.device).transport:
                continue
            log = stack.enter_context(TruthLog(truth_path(self._settings.folder, person.device)))
            line = TagLine(
                person.device,
                end_of(person.device),
                clock=self._now,
                log=log,
                speed=self._speed,
                fault_ns=self.mono_ns,
            )
            line.is_deaf = person.device == self._settings.planted.deaf_device
            stack.push_async_callback(line.close)
            await line.open()
            self._lines[person.device] = line

    def _write_files(
        self,
        *,
        broker_url: str,
        driver_of: Callable[[str], str],
        silence_buffer_s: float,
        relayed: Mapping[str, str] | None = None,
    ) -> Path:
        transports = {
            person.device: self._settings.source_of(person.device).transport or driver_of(person.device)
            for person in self._scenario.person
        } | dict(relayed or {})
        for person in self._scenario.person:
            if person.smart_tag is not None:
                transports[person.smart_tag.id] = self._settings.source_of(person.smart_tag.id).transport
        setup = BridgeSetup(
            broker_url=broker_url,
            mqtt_version=self.broker.version,
            transports=transports,
            speed=self._speed,
            silence_buffer_s=silence_buffer_s,
        )
        return write_bridge_files(self._scenario, self._settings, setup)

    def _note_ready(self) -> None:
        self._is_ready = True
        self._changed.set()

    def _note_link(self, device: str, state: str) -> None:
        (self._links.add if state == LinkState.UP else self._links.discard)(device)
        self._changed.set()

    async def _is_up(self) -> None:
        """Wait until the bridge is ready and has a link to every smart tag."""
        tags = {person.smart_tag.id for person in self._scenario.person if person.smart_tag and self._is_on_air(person)}
        try:
            async with asyncio.timeout(LINK_S):
                while not (self._is_ready and tags <= self._links):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            missing = f"link to {', '.join(sorted(tags - self._links))}" if self._is_ready else "word that it is ready"
            raise BenchBrokenError(
                f"the bridge is not up within {LINK_S:g} s: no {missing}. Next: read the logs in "
                f"{self._settings.folder}"
            ) from None

    async def _story(self, start_mono_ns: int, stack: contextlib.AsyncExitStack) -> None:
        """Play the scenario from its zero, at a reading of the clock, to its end and a while beyond."""
        scenario, folder, clock = self._scenario, self._settings.folder, self._now
        self._start_mono_ns = start_mono_ns
        await clock.sleep_until(start_mono_ns)
        # receivers align their epochs to whole seconds
        start_utc_ns = round((clock.utc_ns() - self._past_ns()) / NS_PER_S) * NS_PER_S
        self._file = file = self._run_file(start_mono_ns, start_utc_ns)
        write_run_file(folder, file)
        if self._radio is not None:
            await self._radio.switch_on_beacons()
        for number, person in enumerate(scenario.person):
            if person.device in self._lines:
                self._start_tag(person, number, start_mono_ns, start_utc_ns)
        events = EventLog(folder, file.t_s, clock)
        stack.callback(events.close)
        end_s = scenario.duration_s + self._tail_s()
        following = asyncio.create_task(self._follow(end_s), name="progress")
        try:
            await Script(scenario, self, events, self._seed).play(self._sleep_until_s, end_s)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        for line in self._lines.values():
            line.check()
        self._file = msgspec.structs.replace(file, faults=tuple(dict.fromkeys(events.applied)))
        write_run_file(folder, self._file)

    def _past_ns(self) -> int:
        """How far the tags' clocks start in the past: sped up, they must not report from the future."""
        lasts_s = self._scenario.duration_s + self._tail_s()
        return round(lasts_s * (1 - 1 / self._speed)) * NS_PER_S if self._speed > 1 else 0

    async def _sleep_until_s(self, t_s: float) -> None:
        await self._now.sleep_until(self._start_mono_ns + round(t_s / self._speed * NS_PER_S))

    async def _follow(self, end_s: float) -> None:
        t_s = 0.0
        while self._on_progress is not None:
            self._on_progress(t_s, end_s)
            t_s += PROGRESS_S
            await self._sleep_until_s(t_s)

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
                speed=self._speed,
                interval_s=config.interval_s,
                origin_lat_deg=track.frame.lat_deg,
                origin_lon_deg=track.frame.lon_deg,
            )
        )
        radio, device = self._radio, person.device
        if radio is not None:

            def sent(item: Outgoing) -> None:
                radio.follow(device, item)

            def came_true(action: DeviceAction) -> None:
                if action.kind in (EventKind.POWER_ON, EventKind.POWER_OFF):
                    radio.follow_power(device, action.kind is EventKind.POWER_ON)

            line.on_sent, line.on_action = sent, came_true
        line.start(AnkleTagFirmware(config, track, self._scenario.actions(person)), start_mono_ns)

    def _tail_s(self) -> float:
        if self._settings.tail_s is not None:
            return self._settings.tail_s
        return max(person.interval_s for person in self._scenario.person) + self._settings.silence_buffer_s + TAIL_S

    def _will_kill_broker(self) -> bool:
        return bool(self._scenario.broker_outage) or any(f.id == "broker.down" for f in self._scenario.fault)

    def _run_file(self, start_mono_ns: int, start_utc_ns: int) -> RunFile:
        settings = self._settings
        return RunFile(
            title=self._scenario.title,
            suite=settings.suite,
            family=settings.family,
            run=settings.run,
            seed=self._seed,
            parameters=dict(settings.parameters),
            pace=self._pace_text,
            speed=self._speed,
            roles=tuple(self._roles()),
            versions={"tagrig": version("tagrig")},
            start_mono_ns=start_mono_ns,
            start_utc_ns=start_utc_ns,
            allowance_s=settings.allowance_s,
            planted=settings.planted.words,
            broker=self.broker.kind,
        )

    def _roles(self) -> Iterator[RoleEntry]:
        for person in self._scenario.person:
            source = self._settings.source_of(person.device)
            yield RoleEntry(
                role=source.role or ("offender" if person.role == "wearer" else "victim"),
                device=person.device,
                kind=source.kind,
                firmware=source.firmware or (FIRMWARE_VERSION if source.kind == "emulated" else ""),
            )
            if person.smart_tag is not None and person.smart_tag.issued:
                tag = self._settings.source_of(person.smart_tag.id)
                yield RoleEntry(
                    role=tag.role or "smart_tag", device=person.smart_tag.id, kind=tag.kind, firmware=tag.firmware
                )
