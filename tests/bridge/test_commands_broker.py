"""Commands over a real broker, kept by a real outbox: signed, carried out, answered, known after a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.commands.room import CommandRoom, make_command_room
from bridge.compose import Composer
from bridge.config.load import load_config
from bridge.identity import make_identity
from bridge.mqtt.presence import Presence
from bridge.mqtt.publisher import MqttPublisher
from bridge.mqtt.settings import PathSettings
from bridge.orders.batch import restore_orders
from bridge.outbox.durable import DurableOutbox
from bridge.pipeline import Pipeline
from bridge.plan import make_plan
from bridge.publisher import Inbound, Message
from bridge.silence import DeadlineWheel
from devices.clock import SystemClock
from protocols.mqtt.commands import LoadOrder, Ping, WithdrawOrder
from tests.bridge.bench import ZONES
from tests.bridge.command_bench import CONFIG, key_pair
from tests.bridge.mqtt_bench import endpoint
from tests.bridge.order_bench import an_order, circle
from tests.bridge.provider import Provider
from tests.bridge.support import subscriber
from tests.support import Mosquitto

CLOCK = SystemClock()


class Running:
    """A bridge's rooms for commands, put together as the bridge does."""

    def __init__(self, folder: Path, port: int) -> None:
        loaded = load_config(folder / "bridge.toml")
        outbox, recovered = DurableOutbox.open(folder / "outbox", paths=1, clock=CLOCK, ballast_bytes=0)
        self.orders, self.unusable = restore_orders(make_plan(loaded), recovered.kept, CLOCK.utc_ns())
        composer = Composer(make_identity(loaded, CLOCK, None), sequences=recovered.sequences)
        self._loop = asyncio.get_running_loop()
        self.room: CommandRoom | None = None
        self.publisher = MqttPublisher(
            paths=[PathSettings(endpoints=(endpoint(port, client_id="tagrig-b"),), name="main")],
            outbox=outbox,
            clock=CLOCK,
            presence=Presence(
                topic=composer.bridge_status_topic,
                make=lambda state, reason: composer.bridge_status(state, reason, CLOCK.utc_ns()),
            ),
            on_state=lambda _: None,
            on_committed=self._committed,
            on_inbound=self._inbound,
        )
        wheel = DeadlineWheel()
        pipeline = Pipeline(
            plan=self.orders.plan,
            composer=composer,
            clock=CLOCK,
            wheel=wheel,
            publish=self.publisher.submit,
            on_alert=lambda _: None,
            ask=lambda _: None,
        )
        self.room = make_command_room(
            loaded,
            orders=self.orders,
            kept=recovered.kept,
            composer=composer,
            clock=CLOCK,
            pipeline=pipeline,
            tags={},
            submit=self.publisher.submit,
            replay=self.publisher.replay,
            find_cap=lambda _: None,
        )
        pipeline.start(CLOCK.mono_ns(), CLOCK.utc_ns())

    def _committed(self, messages: Sequence[Message], durable: bool) -> None:
        assert self.room is not None
        if self.room.is_waited_for(messages):
            self._loop.call_soon_threadsafe(self.room.commits.take, messages, durable)

    def _inbound(self, inbound: Inbound) -> None:
        assert self.room is not None
        self._loop.call_soon_threadsafe(self.room.desk.take, inbound)


@asynccontextmanager
async def running(folder: Path, port: int) -> AsyncIterator[Running]:
    bridge = Running(folder, port)
    bridge.publisher.start()
    assert bridge.room is not None
    task = asyncio.create_task(bridge.room.desk.run())
    try:
        yield bridge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(bridge.publisher.close, 5.0)


@pytest.mark.needs("mosquitto")
async def test_orders_by_command_over_a_broker_and_a_restart(mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text(CONFIG)
    (tmp_path / "zones.geojson").write_text(json.dumps(ZONES))
    (tmp_path / "provider.pem").write_bytes(key_pair()[1])
    with subscriber(mosquitto.host, mosquitto.port) as found:
        provider = Provider(found)
        async with running(tmp_path, mosquitto.port) as bridge:
            while not bridge.publisher.stats().connected:  # noqa: ASYNC110 - a condition; the test has a time-out
                await asyncio.sleep(0.002)
            found.wait_for(lambda: bool(found.on("/bridge/b/status")), what="birth")
            assert (await asyncio.to_thread(provider.ask, Ping()))["state"] == "done"
            done = await asyncio.to_thread(provider.ask, LoadOrder(order=an_order(features=[circle("z")])))
            assert (done["state"], done["delivery"]["durable"]) == ("done", True)
            refused = await asyncio.to_thread(
                provider.ask, LoadOrder(order=an_order("p2", wearer="nobody", features=[circle("z")]))
            )
            assert (refused["state"], refused["reason"]) == ("refused", "unknown_device")
        sequences = [int(message.json["sequence"]) for message in found.on("/reply")]
        async with running(tmp_path, mosquitto.port) as bridge:
            assert list(bridge.orders.book.orders) == ["p1"]
            assert bridge.orders.plan.zones_count == 3
            # What was taken before is not taken again, whoever sends it.
            again = await asyncio.to_thread(provider.ask, Ping(), nonce="asked-000001")
            assert (again["state"], again["reason"]) == ("refused", "replayed")
            assert (await asyncio.to_thread(provider.ask, WithdrawOrder(order_id="p1", if_version=1)))[
                "state"
            ] == "done"
        async with running(tmp_path, mosquitto.port) as bridge:
            assert list(bridge.orders.book.orders) == []
        numbers = [int(message.json["sequence"]) for message in found.on("/reply")]
        assert numbers == sorted(numbers)
        assert dict.fromkeys(numbers) == dict.fromkeys(range(1, len(set(numbers)) + 1))
        assert len(numbers) > len(sequences)
