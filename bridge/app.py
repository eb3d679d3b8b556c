"""A bridge put together and run: devices, pipeline, watchdog, heartbeat, publisher, embedded broker."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from bridge import life
from bridge.batcher import Batcher
from bridge.broker_access import embedded_broker_of, is_plain_off_loopback, mqtt_settings
from bridge.compose import Composer
from bridge.config.load import LoadedConfig
from bridge.drivers import Drivers
from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import BrokerStartError
from bridge.heartbeat import heartbeat_data
from bridge.identity import config_hash, make_identity
from bridge.mqtt.publisher import BrokerState, MqttPublisher
from bridge.mqtt.settings import MqttSettings, PathSettings
from bridge.outbox.memory import MemoryOutbox
from bridge.pipeline import Pipeline
from bridge.plan import Plan
from bridge.publisher import Message
from bridge.silence import DeadlineWheel, watch
from bridge.telling import tell_link, tell_published
from bridge.warning.lane import WarningLane
from bridge.warning.records import Ask, Delivered
from devices.clock import Clock
from devices.events import DeviceEvent
from protocols.mqtt.messages import CountedEvent

_log = logging.getLogger(__name__)

FIRST_WORD_S = 3.0
"""How long "ready" waits for the first word about the broker, so that it can say whether there is one."""

RESTART_FIRST_S = 0.5
RESTART_LAST_S = 30.0
"""Bounds of the wait between attempts to start an embedded broker again: what took its port often lets go at once; a
person who mends the cause should not wait for minutes."""


@unique
class Ending(Enum):
    """Why a bridge stopped."""

    ASKED = "asked to stop"
    DEVICES_ENDED = "all devices have ended"
    PUBLISHER_DIED = "the publisher's thread died"
    FAILED = "an internal error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. ``undelivered`` counts messages that no broker has."""

    ending: Ending
    undelivered: int


class BridgeApp:
    """One bridge.

    Parameters
    ----------
    loaded : LoadedConfig
    plan : Plan
    clock : Clock
    observe : callable
        Told of each event in the bridge's life, in the event loop's thread.
    exit_when_done : bool
        Stop once all devices are replays that have ended.
    flush_timeout_s : float
        How long stopping may take to deliver what waits.
    epoch : str or None
        Name of this start; None: made of the time and random bits. Given, ids are those of an earlier run.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        plan: Plan,
        *,
        clock: Clock,
        observe: life.LifeObserver,
        exit_when_done: bool = False,
        flush_timeout_s: float = 10.0,
        epoch: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._loaded = loaded
        self._plan = plan
        self._clock = clock
        self._observe = observe
        self._exit_when_done = exit_when_done
        self._flush_timeout_s = flush_timeout_s
        self._environment = environment
        self._stop = asyncio.Event()
        self._first_word = asyncio.Event()
        self._ending = Ending.ASKED
        self._started_mono_ns = clock.mono_ns()
        self._composer = Composer(
            make_identity(loaded, clock, epoch), {device.id: device.kind for device in plan.devices}
        )
        self._wheel = DeadlineWheel()
        self._failure: Exception | None = None
        self._batcher = Batcher(self._process, self._fail)
        self._pipeline = Pipeline(
            plan=plan,
            composer=self._composer,
            clock=clock,
            wheel=self._wheel,
            publish=self._submit,
            on_alert=self._note_published,
            ask=self._ask,
        )
        self._drivers: Drivers | None = None
        self._lane: WarningLane | None = None
        self._publisher: MqttPublisher | None = None
        self._settings: MqttSettings | None = None

    def request_stop(self) -> None:
        """Stop in order; safe to call from a signal handler of the loop."""
        self._stop.set()

    async def run(self) -> Outcome:
        """Run until asked to stop, or until all devices have ended.

        Raises
        ------
        ConfigError
            A transport or file named in the configuration cannot be used.
        BrokerStartError
            The embedded broker did not start.
        """
        drivers = Drivers(
            self._loaded,
            self._plan,
            clock=self._clock,
            take_event=self._take_event,
            version=self._composer.identity.version,
            config_hash=config_hash(self._loaded),
        )
        self._drivers = drivers
        embedded = embedded_broker_of(self._loaded)
        if embedded is not None:
            embedded.start()
        try:
            return await self._run_with_broker(drivers, embedded)
        finally:
            if embedded is not None:
                embedded.stop()

    async def _run_with_broker(self, drivers: Drivers, embedded: EmbeddedBroker | None) -> Outcome:
        broker = self._loaded.config.broker
        url = embedded.url if embedded is not None else broker.url
        assert url is not None
        newest = embedded.mqtt_version if embedded is not None else "5"
        self._settings = mqtt_settings(self._loaded, url, self._environment, newest=newest)
        if is_plain_off_loopback(self._settings):
            self._warn(f"{url} is not encrypted: positions are readable on the way. Next: use mqtts://")
        asyncio.get_running_loop().set_exception_handler(self._internal_error)
        self._publisher = self._make_publisher(self._settings)
        self._publisher.start()
        for caution in self._plan.cautions:
            self._warn(caution)
        async with AsyncExitStack() as stack:
            if drivers.radio is not None:
                await stack.enter_async_context(drivers.radio)
            self._lane = WarningLane(drivers.smart_tags, self._take_delivered, self._fail)
            return await self._run_devices(drivers, embedded, url)

    async def _run_devices(self, drivers: Drivers, embedded: EmbeddedBroker | None, url: str) -> Outcome:
        self._pipeline.start(self._clock.mono_ns(), self._clock.utc_ns())
        tasks = [asyncio.create_task(driver.run(), name=f"device {driver.device_id}") for driver in drivers.all]
        tasks.append(asyncio.create_task(watch(self._wheel, self._clock, self._pipeline.on_due), name="watchdog"))
        tasks.append(asyncio.create_task(self._beat(), name="heartbeat"))
        if embedded is not None:
            tasks.append(asyncio.create_task(self._guard(embedded), name="embedded broker"))
        stopper = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await self._say_ready(url, self._loaded.config.broker.embedded if embedded is not None else None)
            await self._wait_for_end(tasks, stopper)
        finally:
            # Before the drivers: what they give up at their end is no news about anybody.
            if self._lane is not None:
                await self._lane.close()
            for task in (*tasks, stopper):
                task.cancel()
            results = await asyncio.gather(*tasks, stopper, return_exceptions=True)
            undelivered = await self._finish()
        for result in results:
            if isinstance(result, Exception):
                raise result
        if self._failure is not None:
            raise self._failure
        return Outcome(ending=self._ending, undelivered=undelivered)

    async def _guard(self, embedded: EmbeddedBroker) -> None:
        """Start the embedded broker again, on its port and its store, whenever it ends by itself."""
        while True:
            await embedded.ended()
            self._warn("the embedded broker ended by itself; it is started again")
            await self._restart(embedded)

    async def _restart(self, embedded: EmbeddedBroker) -> None:
        """Try until it runs, off the loop: devices are read and judged meanwhile, and alerts are kept."""
        attempts = 0
        while True:
            try:
                await asyncio.to_thread(embedded.restart)
            except BrokerStartError as exc:
                attempts += 1
                delay_s = min(RESTART_LAST_S, RESTART_FIRST_S * 2.0 ** min(attempts - 1, 10))
                self._warn(
                    f"the embedded broker cannot be started again (attempt {attempts}): {exc}; "
                    f"alerts are kept, the next attempt is in {delay_s:g} s"
                )
                await self._clock.sleep_until(self._clock.mono_ns() + int(delay_s * 1e9))
            else:
                return

    async def _say_ready(self, url: str, engine: str | None) -> None:
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                await self._first_word.wait()
        except TimeoutError:
            _log.warning("no word from %s yet", url)
        assert self._publisher is not None
        identity = self._composer.identity
        self._observe(
            life.Ready(
                broker=url,
                broker_connected=self._publisher.stats().connected,
                embedded=engine,
                root=identity.root,
                epoch=identity.epoch,
                devices=tuple(device.id for device in self._plan.devices),
                zones=len(self._plan.zone_refs),
                pairs=len(self._plan.pairs),
                smart_tags=tuple(charge.smart_tag for charge in self._plan.charges),
                without_smart_tag=self._plan.unwarnable,
            )
        )

    async def _wait_for_end(self, tasks: list[asyncio.Task[None]], stopper: asyncio.Task[bool]) -> None:
        """Wait until asked to stop, until nothing more can come, or until a task fails."""
        running: set[asyncio.Task[None] | asyncio.Task[bool]] = {*tasks, stopper}
        while not stopper.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if any(task is not stopper and task.exception() is not None for task in done):
                self._ending = Ending.FAILED
                return
            if self._exit_when_done and all(view.has_ended for view in self._pipeline.views):
                self._ending = Ending.DEVICES_ENDED
                return

    async def _finish(self) -> int:
        """Judge what is pending, deliver what waits, report."""
        self._batcher.flush()
        self._pipeline.finish(self._clock.mono_ns())
        assert self._drivers is not None
        self._drivers.close_captures()
        assert self._publisher is not None
        before = self._publisher.stats()
        undelivered = await asyncio.to_thread(self._publisher.close, self._flush_timeout_s)
        stats = self._publisher.stats()
        if stats.is_dead:
            self._ending = Ending.PUBLISHER_DIED
        counts = [view.counts for view in self._pipeline.views]
        self._observe(
            life.Stopped(
                reason=self._ending.value,
                fixes=sum(each["fixes"] for each in counts),
                late=sum(each["late"] for each in counts),
                rejects=sum(n for each in counts for name, n in each.items() if name.startswith("reject_")),
                submitted=stats.submitted,
                delivered=stats.delivered,
                undelivered=undelivered,
                positions_dropped=stats.positions_dropped,
                resent=stats.resent,
            )
        )
        if undelivered:
            _log.error(
                "%d messages could not be delivered within %g s and are lost (%d alerts waited before the flush): %s",
                undelivered,
                self._flush_timeout_s,
                before.queued_alerts,
                stats.detail,
            )
        if stats.unheard_alerts:
            _log.error(
                "%d alerts acknowledged by the broker but nobody was subscribed; they count as not delivered",
                stats.unheard_alerts,
            )
        return undelivered

    async def _beat(self) -> None:
        """Publish a heartbeat every interval."""
        interval_ns = int(self._plan.config.policy.heartbeat_interval_s * 1e9)
        due_mono_ns = self._clock.mono_ns()
        while True:
            assert self._publisher is not None
            data = heartbeat_data(
                self._composer,
                self._pipeline.views,
                self._publisher.stats(),
                now_mono_ns=self._clock.mono_ns(),
                started_mono_ns=self._started_mono_ns,
            )
            self._submit(self._composer.heartbeat(data, self._clock.utc_ns()))
            # Never behind: a loop that catches up on missed beats would give no other task its turn.
            due_mono_ns = max(due_mono_ns + interval_ns, self._clock.mono_ns())
            await self._clock.sleep_until(due_mono_ns)

    def _make_publisher(self, settings: MqttSettings) -> MqttPublisher:
        loop = asyncio.get_running_loop()
        now_utc_ns = self._clock.utc_ns()

        def on_state(state: BrokerState) -> None:
            """Hop from the publisher's thread to the loop."""
            loop.call_soon_threadsafe(self._broker_changed, state)

        return MqttPublisher(
            paths=[PathSettings(endpoints=(settings,))],
            outbox=MemoryOutbox(max_positions=self._plan.config.policy.max_queued_positions),
            clock=self._clock,
            birth=self._composer.bridge_status("online", "started", now_utc_ns),
            will=self._composer.bridge_status("offline", "connection lost", now_utc_ns),
            farewell=self._composer.bridge_status("offline", "stopped", now_utc_ns),
            on_state=on_state,
        )

    def _submit(self, message: Message) -> None:
        assert self._publisher is not None
        self._publisher.submit(message)

    def _ask(self, ask: Ask) -> None:
        assert self._lane is not None
        self._lane.ask(ask)

    def _take_delivered(self, delivered: Delivered) -> None:
        self._pipeline.on_delivered(delivered, self._clock.mono_ns())

    def _process(self, batch: Sequence[DeviceEvent]) -> None:
        self._pipeline.process(batch)

    def _fail(self, error: Exception) -> None:
        """End loudly: alerts may be missing, and what starts the bridge again must learn of it."""
        _log.critical("a batch could not be judged as a whole; the bridge ends", exc_info=error)
        self._ending = Ending.FAILED
        self._failure = error
        self._stop.set()

    def _take_event(self, event: DeviceEvent) -> None:
        self._batcher.push(event)
        tell_link(event, self._observe)

    def _note_published(self, event: CountedEvent) -> None:
        tell_published(event, self._observe)

    def _broker_changed(self, state: BrokerState) -> None:
        assert self._settings is not None
        self._first_word.set()
        url = self._settings.url
        if state.connected:
            _log.info("connected to %s (%s)", url, state.detail)
        else:
            _log.warning(
                "broker %s: %s; messages wait in memory and are sent in order once it is back", url, state.detail
            )
        self._observe(life.BrokerChanged(broker=url, connected=state.connected, detail=state.detail))
        if state.is_over and not self._stop.is_set():
            _log.critical("the publisher's thread died")
            self._ending = Ending.PUBLISHER_DIED
            self._stop.set()

    def _internal_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # Any: asyncio's own
        """Tell of an error of ours in a callback: one batch is lost, the next must not be."""
        error = context.get("exception")
        detail = f"internal error, please report it: {context.get('message')}: {error!r}"
        _log.critical("%s", detail, exc_info=error if isinstance(error, BaseException) else None)
        self._observe(life.Warned(detail=detail))

    def _warn(self, detail: str) -> None:
        _log.warning("%s", detail)
        self._observe(life.Warned(detail=detail))
