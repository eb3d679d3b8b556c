"""Every fault of the broker, and of the way to it, against the real bridge; no alert is lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import life
from protocols.mqtt.words import AlertKind
from rig.brokers.mosquitto import MosquittoBroker
from rig.faults.mqtt_way import MqttWay
from tests.ble_support import until
from tests.rig.faults.fault_bench import Bench, check_ledger, line_bench, shared_broker

__all__ = ["shared_broker"]

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture
def way(shared_broker: MosquittoBroker) -> Iterator[MqttWay]:
    with MqttWay(shared_broker.port) as made:
        yield made


def gone(bench: Bench) -> int:
    return sum(isinstance(e, life.BrokerChanged) and not e.connected for e in bench.seen)


async def judged(bench: Bench, count: int) -> None:
    """Wait until the bridge has raised so many alerts, wherever they are."""

    def found() -> int:
        return sum(
            isinstance(e, life.AlertPublished) and e.kind == AlertKind.EXCLUSION_ZONE_ENTERED for e in bench.seen
        )

    await until(lambda: found() == count, f"{count} alerts judged")


async def test_broker_that_is_down_gets_everything_in_order_once_it_is_back(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "own") as broker:
        # an acknowledgement may die with the broker: what it belongs to comes again
        async with line_bench(tmp_path, broker, repeats=True) as bench:
            await bench.walk(2)
            await bench.owed_arrived()
            async with bench.fault("broker.down"):
                await until(lambda: gone(bench) > 0, "the loss of the broker")
                await bench.walk(6)
                await judged(bench, 8)
                assert bench.zone_steps() == bench.owed[:2]
            await bench.owed_arrived()


async def test_slow_way_delays_alerts_and_keeps_their_order(
    tmp_path: Path, shared_broker: MosquittoBroker, way: MqttWay
) -> None:
    async with line_bench(tmp_path, shared_broker, way=way) as bench:
        await bench.walk(2)
        await bench.owed_arrived()
        async with bench.fault("broker.slow", delay_ms=60.0):
            await bench.walk(6)
            await bench.owed_arrived()
        alerts = [m for m in bench.provider.on("/alert") if m.json["data"]["zone"]]
        took_ms = [(m.t_mono_ns - m.json["data"]["trace"]["submitted_mono_ns"]) / 1e6 for m in alerts]
        assert min(took_ms[2:]) >= 60, "each waited at least one way"
    assert gone(bench) == 0


async def test_refusing_broker_is_tried_again_and_gets_everything(
    tmp_path: Path, shared_broker: MosquittoBroker, way: MqttWay
) -> None:
    async with line_bench(tmp_path, shared_broker, way=way, repeats=True) as bench:
        await bench.walk(2)
        await bench.owed_arrived()
        async with bench.fault("broker.refuse"):
            await until(lambda: gone(bench) > 0, "the loss of the broker")
            await bench.walk(6)
            await judged(bench, 8)
            connections = way.connections
            await until(lambda: way.connections >= connections + 2, "further attempts")
            assert bench.zone_steps() == bench.owed[:2]
        await bench.owed_arrived()


async def test_lost_acknowledgements_bring_repetitions_with_the_same_ids_and_no_loss(
    tmp_path: Path, shared_broker: MosquittoBroker, way: MqttWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.mqtt.flight.ACK_TIMEOUT_NS", 200_000_000)  # three seconds in the field
    async with line_bench(tmp_path, shared_broker, way=way, repeats=True) as bench:
        await bench.walk(2)
        await bench.owed_arrived()
        async with bench.fault("broker.no_ack"):
            await bench.walk(6)
            await judged(bench, 8)
            await until(lambda: gone(bench) > 0, "the path to be given up")
            await until(lambda: way.acks_lost > 2, "lost acknowledgements")
        await bench.owed_arrived()
    ids = [m.json["id"] for m in bench.provider.on("/alert")]
    assert len(ids) > len(set(ids)), "what was not acknowledged was sent again"


async def test_acknowledgements_that_come_twice_are_ignored(
    tmp_path: Path, shared_broker: MosquittoBroker, way: MqttWay
) -> None:
    async with line_bench(tmp_path, shared_broker, way=way) as bench:
        async with bench.fault("broker.duplicate_ack"):
            await bench.walk(10)
            await bench.owed_arrived()
            assert way.acks_repeated >= 10
        await bench.walk(2)
        await bench.owed_arrived()
    assert gone(bench) == 0


async def test_way_passes_what_is_not_an_acknowledgement_untouched(shared_broker: MosquittoBroker) -> None:
    """Packets longer than a read, in both directions, and an end that is handed on."""
    body = bytes(range(256)) * 2000
    with MqttWay(shared_broker.port) as way:
        echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
        own = MqttWay(echo.sockets[0].getsockname()[1])
        with own:
            reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
            packet = b"\x30" + _length(len(body)) + body
            writer.write(packet + b"\x40\x02\x00\x01")
            assert await reader.readexactly(len(packet) + 4) == packet + b"\x40\x02\x00\x01"
            writer.close()
            await writer.wait_closed()
        echo.close()
        await echo.wait_closed()
        assert way.connections == 0
    check_ledger([])


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
