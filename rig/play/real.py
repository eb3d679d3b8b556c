"""A run in real time: the bridge is a process of its own, on ports and a bus as it has them in the field.

Emulated tags sit on pseudo-terminals and on an emulated radio in this process; real ones on their own ports, with a
relay in between where a fault of their line is played.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from devices.clock import SystemClock
from rig.emulator.clock import NS_PER_S
from rig.errors import BenchBrokenError
from rig.faults.host import FakedClock, SmallDisk
from rig.faults.line import LineFaults
from rig.faults.mqtt_way import MqttWay
from rig.faults.port import needs_of
from rig.faults.proxy import FaultProxy
from rig.play.bridge_process import BridgeProcess
from rig.play.keeping import log_to
from rig.play.script import plan_faults
from rig.play.settings import PlaySettings
from rig.play.stage import BUS_VARIABLE, Progress, Stage
from rig.provider.loop_subscriber import LoopSubscriber
from rig.runs.folder import LOG_FILE, OUTBOX_FOLDER, RunFile
from rig.scenario import Scenario

SILENCE_BUFFER_S: Final = 1.5
"""Real seconds without a position, at least, before it is an alert. Less would take a stall of a busy machine for a
lost tag."""

ALLOWANCE_S: Final = 1.5
"""Real seconds that an alert may take from the tag to the subscriber beyond its window, on a machine that is busy."""

LEAD_S: Final = 0.2
"""From ready to the scenario's zero, real seconds."""

SUBSCRIBE_S: Final = 15.0
"""Real seconds in which the subscriber gets its subscription."""

PORTS_FOLDER: Final = "ports"

_LOOK_S: Final = 0.02


def play_real(
    scenario: Scenario, settings: PlaySettings, *, pace: str, speed: float, on_progress: Progress | None = None
) -> RunFile:
    """Play a scenario, and leave its run folder without verdict and report.

    Raises
    ------
    BenchBrokenError
        The bench could not play.
    """
    settings = replace(settings, allowance_s=max(settings.allowance_s, ALLOWANCE_S * speed))
    with log_to(settings.folder / LOG_FILE):
        return asyncio.run(_play(scenario, settings, pace, speed, on_progress))


async def _play(
    scenario: Scenario, settings: PlaySettings, pace: str, speed: float, on_progress: Progress | None
) -> RunFile:
    return await RealRun(scenario, settings, pace=pace, speed=speed, on_progress=on_progress).play()


class RealRun(Stage):
    """One run in real time; see ``Stage``."""

    def __init__(
        self, scenario: Scenario, settings: PlaySettings, *, pace: str, speed: float, on_progress: Progress | None
    ) -> None:
        super().__init__(scenario, settings, SystemClock(), pace=pace, speed=speed, on_progress=on_progress)
        self._proxies: dict[str, LineFaults] = {}

    def find_line(self, device: str) -> LineFaults | None:
        """See ``FaultBench``."""
        return self._proxies.get(device) or super().find_line(device)

    async def play(self) -> RunFile:
        """Play it from the start to the end."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.broker.end)
            subscriber = self._subscribe(stack)
            self.broker.on_up.append(subscriber.connect)
            self.broker.launch()
            stack.callback(subscriber.close)
            await _wait_for(subscriber)
            environment, config = await self._prepare(stack)
            bus = await self._switch_on_radio(stack)
            if bus is not None:
                environment[BUS_VARIABLE] = bus
            await self._plug_in(lambda device: f"pty:?link={self._port(device)}", stack)
            bridge = BridgeProcess(config, environment, on_ready=self._note_ready, on_link=self._note_link)
            self.bridge = bridge
            stack.push_async_callback(bridge.kill)
            await bridge.start()
            watching = asyncio.create_task(bridge.ended(), name="is the bridge there")
            try:
                await _unless(watching, self._is_up())
                await _unless(watching, self._story(self._next_second_mono_ns(), stack))
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bridge.stop()
        assert self._file is not None
        return self._file

    def _next_second_mono_ns(self) -> int:
        """Return when the host's UTC comes to the next whole second that leaves time to begin."""
        mono_ns, utc_ns = self._now.mono_ns(), self._now.utc_ns()
        return mono_ns + -(-(utc_ns + round(LEAD_S * NS_PER_S)) // NS_PER_S) * NS_PER_S - utc_ns

    async def _prepare(self, stack: contextlib.AsyncExitStack) -> tuple[dict[str, str], Path]:
        """Put in place what the faults of the scenario need, and write the bridge's files."""
        folder = self._settings.folder.resolve()
        played = frozenset(person.device for person in self._scenario.person if self.plays_events(person.device))
        needs = needs_of(plan_faults(self._scenario, self._seed), played=played)
        environment: dict[str, str] = {}
        if needs.way:
            self.broker.way = stack.enter_context(MqttWay(self.broker.port))
        if needs.clock:
            clock = FakedClock(folder / "faketime")
            stack.callback(clock.close)
            self.clock = clock
            environment |= clock.environment
        if needs.disk:
            self.disk = stack.enter_context(SmallDisk(folder / OUTBOX_FOLDER))
        (folder / PORTS_FOLDER).mkdir()
        drivers = await self._relay(needs.lines, stack)
        config = self._write_files(
            broker_url=self.broker.url if self.broker.way is None else self.broker.way.url,
            driver_of=lambda device: f"pty:{self._port(device)}?flush=yes",
            relayed=drivers,
            silence_buffer_s=max(self._settings.silence_buffer_s / self._speed, SILENCE_BUFFER_S),
        )
        return environment, config

    async def _relay(self, lines: frozenset[str], stack: contextlib.AsyncExitStack) -> dict[str, str]:
        """Put relays before the ports of real devices whose lines are disturbed; returns what the bridge opens."""
        drivers: dict[str, str] = {}
        for device in lines:
            source = self._settings.source_of(device)
            if not source.transport:
                continue
            faults = self._proxies[device] = LineFaults()
            proxy = FaultProxy(source.transport, link=self._port(device), faults=faults, clock=self._now)
            await stack.enter_async_context(proxy)
            drivers[device] = proxy.spec
        return drivers

    def _port(self, device: str) -> Path:
        return self._settings.folder.resolve() / PORTS_FOLDER / device


async def _wait_for(subscriber: LoopSubscriber) -> None:
    try:
        async with asyncio.timeout(SUBSCRIBE_S):
            while not subscriber.is_subscribed:  # noqa: ASYNC110 - paho tells by a callback that others share
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise BenchBrokenError(
            f"the subscriber has no subscription within {SUBSCRIBE_S:g} s: {subscriber.detail}"
        ) from None


async def _unless(watching: asyncio.Task[None], doing: Coroutine[Any, Any, None]) -> None:
    """Do something while the bridge runs; its end raises."""
    task = asyncio.create_task(doing)
    try:
        await asyncio.wait({watching, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await watching
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
