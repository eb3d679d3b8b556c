"""A run on virtual time: the product, a real broker and a real subscriber, emulated tags and radio, in one process."""

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from bridge import life
from bridge.app import Ending, Outcome
from bridge.config.load import load_config
from bridge.errors import BridgeError
from bridge.opening import open_bridge
from devices.errors import DevicesError
from protocols.mqtt.ids import epoch_id
from rig.emulator.clock import NS_PER_S
from rig.errors import BenchBrokenError
from rig.play.delivering import Delivering
from rig.play.keeping import environment, log_to
from rig.play.played_bridge import PlayedBridge
from rig.play.settings import PlaySettings
from rig.play.stage import BUS_VARIABLE, Progress, Stage
from rig.play.tag_line import memory_ends
from rig.runs.folder import LOG_FILE, RunFile
from rig.scenario import Scenario
from rig.virtual.clock import ShiftedClock, VirtualClock
from rig.virtual.loop import VirtualLoop, run_virtual

FLUSH_S: Final = 10.0
"""Virtual seconds that the bridge may take to deliver what waits when it is stopped."""

LAST_WORDS_S: Final = 0.001
"""Virtual seconds after the bridge's end in which its last words come to the subscriber."""


def play_virtual(scenario: Scenario, settings: PlaySettings, on_progress: Progress | None = None) -> RunFile:
    """Play a scenario, and leave its run folder without verdict and report.

    Raises
    ------
    BenchBrokenError
        The bench could not play: no broker, no link to a smart tag, the bridge ended by itself.
    RigError
        The scenario asks for what cannot be.
    """
    clock = VirtualClock(settings.start_utc_ns)
    run = VirtualRun(scenario, settings, clock, on_progress)
    with log_to(settings.folder / LOG_FILE):
        return run_virtual(run.play, clock)


class VirtualRun(Stage):
    """One run on virtual time."""

    def __init__(
        self, scenario: Scenario, settings: PlaySettings, clock: VirtualClock, on_progress: Progress | None
    ) -> None:
        super().__init__(scenario, settings, clock, pace="virtual", speed=1.0, on_progress=on_progress)
        self._virtual = clock
        self._bridge_clock = ShiftedClock(clock)
        self.clock = self._bridge_clock

    async def play(self, loop: VirtualLoop) -> RunFile:
        """Play it from the start to the end."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.broker.end)
            subscriber = self._subscribe(stack)
            delivering = Delivering(loop, self._virtual, self.broker, subscriber)
            self.broker.launch()
            stack.callback(subscriber.close)
            config = self._write_files(
                broker_url=self.broker.url,
                driver_of=lambda device: memory_ends(device)[0],
                silence_buffer_s=self._settings.silence_buffer_s,
            )
            bus = await self._switch_on_radio(stack)
            if bus is not None:
                stack.enter_context(environment({BUS_VARIABLE: bus}))
            await self._plug_in(lambda device: memory_ends(device)[1], stack)
            app = self._open_bridge(config, stack)
            delivering.watch(app)
            await self._run_beside(app, stack)
            await asyncio.sleep(LAST_WORDS_S)
        assert self._file is not None
        return self._file

    def _open_bridge(self, config: Path, stack: contextlib.AsyncExitStack) -> PlayedBridge:
        try:
            opened = open_bridge(load_config(config), self._bridge_clock)
        except BridgeError as exc:
            raise BenchBrokenError(f"the bridge does not take its configuration: {exc}") from exc
        stack.callback(opened.close)
        entropy = hashlib.sha256(f"{self._seed}/{self._scenario.title}".encode()).digest()[:10]
        return PlayedBridge(
            opened.loaded,
            opened.plan,
            clock=self._bridge_clock,
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
                self._note_ready()
            case life.LinkChanged(device=device, state=state):
                self._note_link(device, state)

    async def _run_beside(self, app: PlayedBridge, stack: contextlib.AsyncExitStack) -> None:
        """Run the bridge, and the story beside it."""
        running = asyncio.create_task(app.run(), name="bridge")
        try:
            await self._unless_over(running, self._is_up())
            start_mono_ns = -(-self._now.mono_ns() // NS_PER_S) * NS_PER_S
            await self._unless_over(running, self._story(start_mono_ns, stack))
        finally:
            app.request_stop()
            await asyncio.wait({running})
        _check(running)

    async def _unless_over(self, running: asyncio.Task[Outcome], doing: Coroutine[Any, Any, None]) -> None:
        """Do something while the bridge runs; its end is the end of this."""
        task = asyncio.create_task(doing)
        try:
            await asyncio.wait({running, task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                _check(running)
                raise BenchBrokenError("the bridge ended before the story did. Next: read bench.log in the run folder")
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _check(running: asyncio.Task[Outcome]) -> None:
    """Raise where the bridge did not end because it was asked to."""
    try:
        ending = running.result().ending
    except (BridgeError, DevicesError) as exc:
        raise BenchBrokenError(f"the bridge ended: {exc}") from exc
    if ending is not Ending.ASKED:
        raise BenchBrokenError(f"the bridge ended: {ending.value}. Next: read bench.log in the run folder")
