"""A bridge put together and run: devices, pipeline, watchdog, heartbeat, publisher, embedded broker."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path
from typing import Any

from bridge import life
from bridge.batcher import Batcher
from bridge.broker_access import embedded_broker_of
from bridge.clock_state import read_clock_state
from bridge.commands.room import CommandRoom, make_command_room
from bridge.config.load import LoadedConfig
from bridge.delivery import Delivery
from bridge.drivers import Drivers
from bridge.embedded_broker import EmbeddedBroker
from bridge.embedded_guard import guard
from bridge.heartbeat import heartbeat_data
from bridge.identity import config_hash, make_identity
from bridge.incident_data import find_cap
from bridge.journal import Journal, open_journal, start_line
from bridge.journaled import make_composer, make_pipeline
from bridge.mqtt.policy import BrokerState
from bridge.orders.batch import Orders, restore_orders
from bridge.outbox.port import Recovered
from bridge.plan import Plan
from bridge.publisher import Inbound, Lane, Message
from bridge.sampling import Steer
from bridge.silence import DeadlineWheel, watch
from bridge.steering import SteeringLane
from bridge.supervisor import beat_in_loop
from bridge.telling import tell_link, tell_published
from bridge.warning.lane import WarningLane
from bridge.warning.records import Ask, Delivered
from devices.clock import Clock
from devices.events import DeviceEvent
from protocols.mqtt.messages import CountedEvent

_log = logging.getLogger(__name__)

FIRST_WORD_S = 3.0
"""How long "ready" waits for the first word about the broker, so that it can say whether there is one."""


@unique
class Ending(Enum):
    """Why a bridge stopped."""

    ASKED = "asked to stop"
    DEVICES_ENDED = "all devices have ended"
    PUBLISHER_DIED = "the publisher's thread died"
    FAILED = "an internal error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. ``lost`` counts messages that no broker has and no disk either."""

    ending: Ending
    lost: int


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
    outbox_folder : Path or None
        Where its outbox is; None: as configured. The caller knows better where several bridges share it out.
    disk_trouble : str or None
        Why it is not to be opened.
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
        outbox_folder: Path | None = None,
        disk_trouble: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._loaded = loaded
        self._plan = plan
        self._clock = clock
        self._observe = observe
        self._exit_when_done = exit_when_done
        self._flush_timeout_s = flush_timeout_s
        self._epoch = epoch
        self._outbox_folder = outbox_folder
        self._disk_trouble = disk_trouble
        self._environment = environment
        self._stop = asyncio.Event()
        self._first_word = asyncio.Event()
        self._ending = Ending.ASKED
        self._started_mono_ns = clock.mono_ns()
        self._wheel = DeadlineWheel()
        self._failure: Exception | None = None
        self._batcher = Batcher(self._process, self._fail)
        self._delivery: Delivery | None = None
        self._drivers: Drivers | None = None
        self._lane: WarningLane | None = None
        self._steering: SteeringLane | None = None
        self._room: CommandRoom | None = None
        self._journal: Journal | None = None

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
        self._loop = loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._internal_error)
        folder = self._outbox_folder or self._loaded.path_of(self._loaded.config.outbox.folder)
        with ExitStack() as stack:
            self._delivery = Delivery(
                self._loaded,
                folder,
                clock=self._clock,
                warn=self._warn,
                hop=loop.call_soon_threadsafe,
                disk_trouble=self._disk_trouble,
            )
            stack.callback(self._delivery.close)
            self._journal = open_journal(self._loaded, self._clock)
            if self._journal is not None:
                stack.callback(self._journal.close)
            orders = self._make_pipeline(self._delivery.recovered)
            self._drivers = Drivers(
                self._loaded,
                self._plan,
                clock=self._clock,
                take_event=self._take_event,
                version=self._composer.identity.version,
                config_hash=config_hash(self._loaded),
            )
            embedded = embedded_broker_of(self._loaded)
            if embedded is not None:
                # Before it starts: one that failed halfway has a process to end, too.
                stack.callback(embedded.stop)
                embedded.start()
            return await self._run_with_broker(self._drivers, embedded, orders)

    def _make_pipeline(self, recovered: Recovered) -> Orders:
        """Go on from where an earlier start ended: numbers, raised alerts, the provider's orders."""
        identity = make_identity(self._loaded, self._clock, self._epoch)
        kinds: dict[str, str] = {device.id: device.kind for device in self._plan.devices}
        now_utc_ns = self._clock.utc_ns()
        if self._journal is not None:
            now = {"now_mono_ns": self._clock.mono_ns(), "now_utc_ns": now_utc_ns}
            self._journal.start(start_line(self._loaded, identity, kinds, recovered, **now))
        self._composer = make_composer(self._journal, identity, kinds, dict(recovered.sequences))
        orders, unusable = restore_orders(self._plan, recovered.kept, now_utc_ns)
        self._unusable = unusable
        self._pipeline = make_pipeline(
            self._journal,
            plan=orders.plan,
            composer=self._composer,
            clock=self._clock,
            wheel=self._wheel,
            publish=self._submit,
            on_alert=self._note_published,
            ask=self._ask,
            steer=self._steer,
        )
        self._pipeline.restore(recovered.kept)
        return orders

    async def _run_with_broker(self, drivers: Drivers, embedded: EmbeddedBroker | None, orders: Orders) -> Outcome:
        assert self._delivery is not None
        url = embedded.url if embedded is not None else self._loaded.config.broker.url
        assert url is not None
        self._publisher = self._delivery.make_publisher(
            self._composer,
            environment=self._environment,
            embedded_url=embedded.url if embedded is not None else None,
            on_state=self._hop_state,
            on_committed=self._hop_committed,
            on_inbound=self._hop_inbound,
        )
        self._room = make_command_room(
            self._loaded,
            orders=orders,
            kept=self._delivery.recovered.kept,
            composer=self._composer,
            clock=self._clock,
            pipeline=self._pipeline,
            tags=drivers.ankle_tags,
            submit=self._submit,
            replay=self._publisher.replay,
            find_cap=lambda id_: find_cap(self._pipeline.incidents, id_, self._composer.identity),
        )
        self._publisher.start()
        for caution in (*orders.plan.cautions, *self._unusable):
            self._warn(caution)
        async with AsyncExitStack() as stack:
            if drivers.radio is not None:
                await stack.enter_async_context(drivers.radio)
            self._lane = WarningLane(drivers.smart_tags, self._take_delivered, self._fail)
            self._steering = SteeringLane(drivers.ankle_tags, self._take_steered, self._fail)
            return await self._run_devices(drivers, embedded, url, orders.plan)

    async def _run_devices(self, drivers: Drivers, embedded: EmbeddedBroker | None, url: str, plan: Plan) -> Outcome:
        assert self._delivery is not None
        assert self._room is not None
        self._pipeline.start(self._clock.mono_ns(), self._clock.utc_ns())
        tasks = [asyncio.create_task(driver.run(), name=f"device {driver.device_id}") for driver in drivers.all]
        tasks.append(asyncio.create_task(watch(self._wheel, self._clock, self._pipeline.on_due), name="watchdog"))
        tasks.append(asyncio.create_task(self._beat(), name="heartbeat"))
        tasks.append(asyncio.create_task(self._room.desk.run(), name="commands"))
        tasks.append(asyncio.create_task(beat_in_loop(self._delivery.watch_loop()), name="pulse"))
        if embedded is not None:
            tasks.append(asyncio.create_task(guard(embedded, self._clock, self._warn), name="embedded broker"))
        stopper = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await self._say_ready(url, self._loaded.config.broker.embedded if embedded is not None else None, plan)
            await self._wait_for_end(tasks, stopper)
        finally:
            # Before the drivers: what they give up at their end is no news about anybody.
            for lane in (self._lane, self._steering):
                if lane is not None:
                    await lane.close()
            for task in (*tasks, stopper):
                task.cancel()
            results = await asyncio.gather(*tasks, stopper, return_exceptions=True)
            self._delivery.stop_watching()
            lost = await self._finish()
        for result in results:
            if isinstance(result, Exception):
                raise result
        if self._failure is not None:
            raise self._failure
        return Outcome(ending=self._ending, lost=lost)

    async def _say_ready(self, url: str, engine: str | None, plan: Plan) -> None:
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                await self._first_word.wait()
        except TimeoutError:
            _log.warning("no word from %s yet", url)
        identity = self._composer.identity
        self._observe(
            life.Ready(
                broker=url,
                broker_connected=self._publisher.stats().connected,
                embedded=engine,
                root=identity.root,
                epoch=identity.epoch,
                devices=tuple(device.id for device in self._plan.devices),
                zones=plan.zones_count,
                pairs=len(plan.pairs),
                smart_tags=tuple(charge.smart_tag for charge in plan.charges),
                without_smart_tag=plan.unwarnable,
                durable=self._publisher.stats().durable,
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
        """Judge what is pending, deliver what waits, report; give how many messages are lost."""
        self._batcher.flush()
        self._pipeline.finish(self._clock.mono_ns())
        assert self._drivers is not None
        self._drivers.close_captures()
        undelivered = await asyncio.to_thread(self._publisher.close, self._flush_timeout_s)
        stats = self._publisher.stats()
        if stats.is_dead:
            self._ending = Ending.PUBLISHER_DIED
        counts = [view.counts for view in self._pipeline.views]
        lost = 0 if stats.durable and not stats.is_dead else undelivered
        self._observe(
            life.Stopped(
                reason=self._ending.value,
                fixes=sum(each["fixes"] for each in counts),
                late=sum(each["late"] for each in counts),
                rejects=sum(n for each in counts for name, n in each.items() if name.startswith("reject_")),
                submitted=stats.submitted,
                delivered=stats.delivered,
                undelivered=undelivered,
                lost=lost,
                positions_dropped=stats.positions_dropped,
                resent=stats.resent,
            )
        )
        if undelivered:
            fate = "are lost" if lost else "wait on disk for the next start"
            _log.error(
                "%d messages could not be delivered within %g s and %s: %s",
                undelivered,
                self._flush_timeout_s,
                fate,
                stats.detail,
            )
        if stats.unheard_alerts:
            _log.error(
                "%d alerts acknowledged by the broker but nobody was subscribed; they count as not delivered",
                stats.unheard_alerts,
            )
        return lost

    async def _beat(self) -> None:
        """Publish a heartbeat every interval."""
        interval_ns = int(self._plan.config.policy.heartbeat_interval_s * 1e9)
        due_mono_ns = self._clock.mono_ns()
        while True:
            assert self._room is not None
            self._composer.clock = read_clock_state()
            data = heartbeat_data(
                self._composer,
                self._pipeline.views,
                self._publisher.stats(),
                now_mono_ns=self._clock.mono_ns(),
                started_mono_ns=self._started_mono_ns,
                commands_refused=self._room.desk.refused,
            )
            self._submit(self._composer.heartbeat(data, self._clock.utc_ns()))
            # Never behind: a loop that catches up on missed beats would give no other task its turn.
            due_mono_ns = max(due_mono_ns + interval_ns, self._clock.mono_ns())
            await self._clock.sleep_until(due_mono_ns)

    def _submit(self, message: Message) -> None:
        self._publisher.submit(message)

    # Told in the publisher's thread; each hops to the loop.

    def _hop_state(self, state: BrokerState) -> None:
        self._loop.call_soon_threadsafe(self._broker_changed, state)

    def _hop_inbound(self, inbound: Inbound) -> None:
        assert self._room is not None
        self._loop.call_soon_threadsafe(self._room.desk.take, inbound)

    def _hop_committed(self, messages: Sequence[Message], durable: bool) -> None:
        assert self._room is not None
        if self._room.is_waited_for(messages):
            self._loop.call_soon_threadsafe(self._room.commits.take, messages, durable)
        alerts = [message for message in messages if message.lane is Lane.ALERT]
        if alerts:
            self._loop.call_soon_threadsafe(self._tell_kept, alerts, durable)

    def _tell_kept(self, alerts: Sequence[Message], durable: bool) -> None:
        for each in alerts:
            self._observe(life.AlertKept(source=each.source, sequence=each.sequence, id=each.event_id, durable=durable))

    def _ask(self, ask: Ask) -> None:
        assert self._lane is not None
        self._lane.ask(ask)

    def _steer(self, steer: Steer) -> None:
        assert self._steering is not None
        self._steering.steer(steer)

    def _take_steered(self, steer: Steer, followed: bool) -> None:
        self._pipeline.on_steered(steer, followed, self._clock.mono_ns())

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
        self._first_word.set()
        where = state.url or state.path
        if state.connected:
            _log.info("connected to %s (%s)", where, state.detail)
        else:
            kept = "on disk" if self._publisher.stats().durable else "in memory"
            _log.warning(
                "broker %s: %s; messages wait %s and are sent in order once it is back", where, state.detail, kept
            )
        self._observe(life.BrokerChanged(broker=where, connected=state.connected, detail=state.detail, path=state.path))
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
