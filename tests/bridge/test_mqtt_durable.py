"""The publisher over an outbox on disk: what a restart finds, and what a body says of the disk and of its sendings."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bridge.embedded_broker import EmbeddedBroker
from bridge.mqtt.canary import CanarySettings
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.port import Outbox, Recovered
from bridge.publisher import Lane, Message, Saved
from devices.clock import SystemClock
from protocols.mqtt.messages import AlertEvent, decode
from protocols.mqtt.samples import samples
from tests.bridge.mqtt_bench import Bench, Maker, alert, bench, endpoint
from tests.bridge.scripted_broker import KNOWN, ScriptedBroker
from tests.bridge.support import subscriber
from tests.bridge.test_mqtt_faults import accept, broker
from tests.bridge.test_mqtt_publisher import numbers
from tests.support import free_port, wait_until

__all__ = ["bench", "broker"]


def open_outbox(folder: Path) -> tuple[Outbox, Recovered]:
    return DurableOutbox.open(folder / "outbox", paths=1, clock=SystemClock(), ballast_bytes=0)


def sample_alert(n: int) -> Message:
    event = next(each.event for each in samples() if isinstance(each.event, AlertEvent))
    event = msgspec.structs.replace(event, id=f"e{n}", sequence=f"{n + 1:020d}")
    return Message(
        topic="em/v1/t/tag/t1/alert",
        body=msgspec.json.encode(event),
        lane=Lane.ALERT,
        alert_type=AlertEvent,
        owner="t1",
        event_id=event.id,
        source=event.source,
        sequence=n + 1,
    )


def delivery(body: bytes) -> tuple[str, int, bool]:
    event = decode(body, AlertEvent)
    return event.id, event.data.delivery.attempt, event.data.delivery.durable


def test_what_no_broker_had_goes_out_after_a_restart(tmp_path: Path, broker: Maker) -> None:
    outbox, _ = open_outbox(tmp_path)
    made = Bench([endpoint(free_port())], outbox=outbox)
    made.publisher.start()
    saves = (Saved(owner="t1", key="ledger/a", value=b"v"),)
    first = [sample_alert(0), replace(sample_alert(1), saves=saves)]
    assert made.publisher.submit_durably(first, 20.0) is True
    assert made.publisher.submit_durably([], 0.0) is True
    assert made.publisher.stats().durable
    assert made.publisher.close(0.0) == 2
    outbox, recovered = open_outbox(tmp_path)
    assert recovered.waiting_alerts == 2
    assert recovered.kept == saves
    assert recovered.sequences[first[0].source] == 2
    fake: ScriptedBroker = broker(accept)
    again = Bench([endpoint(fake.port)], outbox=outbox)
    again.publisher.start()
    again.publisher.submit(sample_alert(2))
    assert again.publisher.close(20) == 0
    bodies = [body for topic, body in fake.accepted if topic.endswith("/alert")]
    assert [delivery(body)[0] for body in bodies] == ["e0", "e1", "e2"]
    assert all(durable for _, _, durable in map(delivery, bodies))


class Starts:
    """Starts of one bridge, one after the other, on one folder and one broker."""

    def __init__(self, folder: Path, fake: ScriptedBroker) -> None:
        self.folder, self.fake = folder, fake

    def begin(self, *, port: int | None = None, dies_of_trouble: bool = False) -> Bench:
        outbox, _ = open_outbox(self.folder)
        made = Bench([endpoint(port or self.fake.port)], outbox=outbox)
        if dies_of_trouble:
            made.publisher._on_trouble = lambda _: 1 / 0  # type: ignore[assignment,return-value]
        made.publisher.start()
        return made

    def deliver(self, made: Bench, *numbers_: int) -> None:
        for n in numbers_:
            made.publisher.submit(alert(n))
        wait_until(lambda: made.publisher.stats().delivered >= len(numbers_), within_s=20, what="PUBACKs")


def test_restart_at_a_broker_that_knows_us_sends_nothing_again(tmp_path: Path, broker: Maker) -> None:
    starts = Starts(tmp_path, broker(accept))
    first = starts.begin()
    starts.deliver(first, 0, 1)
    first.publisher.close(20)
    starts.fake.greeting = KNOWN
    away = starts.begin(port=free_port())
    wait_until(lambda: bool(away.states), within_s=20, what="a word about the broker")
    away.publisher.close(0.0)
    again = starts.begin()
    starts.deliver(again, 2)
    again.publisher.close(20)
    assert starts.fake.alerts() == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_death_between_the_brokers_word_that_it_forgot_and_the_sending_again_loses_nothing(
    tmp_path: Path, broker: Maker
) -> None:
    """The broker made a new session for the one who died, and calls it ours at the next start."""
    starts = Starts(tmp_path, broker(accept))
    first = starts.begin()
    starts.deliver(first, 0, 1)
    first.publisher.close(20)

    dies = starts.begin(dies_of_trouble=True)
    wait_until(lambda: dies.publisher.stats().is_dead, within_s=20, what="its death at the broker's word")
    dies.publisher.close(20)
    assert starts.fake.alerts() == [0, 1]

    starts.fake.greeting = KNOWN
    again = starts.begin()
    wait_until(lambda: starts.fake.alerts() == [0, 1, 0, 1], within_s=20, what="both again")
    again.publisher.close(20)
    last = starts.begin()
    starts.deliver(last, 2)
    last.publisher.close(20)
    assert starts.fake.alerts() == [0, 1, 0, 1, 2]


def test_connection_whose_answer_never_came_is_in_doubt(tmp_path: Path, broker: Maker) -> None:
    starts = Starts(tmp_path, broker(accept))
    first = starts.begin()
    starts.deliver(first, 0)
    first.publisher.close(20)
    starts.fake.greeting = b""
    before = starts.fake.connections
    unanswered = starts.begin()
    wait_until(lambda: starts.fake.connections > before, within_s=20, what="a connection")
    wait_until(lambda: unanswered.publisher._links[0]._trust._is_unanswered, within_s=20, what="its question")
    unanswered.publisher.close(0.0)
    starts.fake.greeting = KNOWN
    again = starts.begin()
    wait_until(lambda: starts.fake.alerts() == [0, 0], within_s=20, what="the alert again")
    again.publisher.close(20)


def test_body_counts_its_sendings_and_says_that_it_is_in_memory_only(bench: Maker, broker: Maker) -> None:
    answers = iter([None, None])
    fake: ScriptedBroker = broker(lambda topic, _: next(answers, 0) if topic.endswith("/alert") else 0, KNOWN)
    made = bench(fake.port)
    made.publisher.submit(sample_alert(0))
    for attempt in (1, 2):
        wait_until(
            lambda n=attempt: sum(topic.endswith("/alert") for topic, _ in fake.published) == n,  # type: ignore[misc]
            within_s=20,
            what=f"sending {attempt}",
        )
        fake.drop()
    wait_until(lambda: made.publisher.stats().delivered == 1, within_s=20, what="PUBACK")
    sent = [delivery(body) for topic, body in fake.published if topic.endswith("/alert")]
    assert sent == [("e0", 1, False), ("e0", 2, False), ("e0", 3, False)]


def test_body_that_cannot_be_read_any_more_goes_out_as_it_was_kept(
    bench: Maker, broker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """One of an older version, or damaged on disk."""
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    body = b'{"n":7}'
    made.publisher.submit(
        Message(topic="em/v1/t/tag/t1/alert", body=body, lane=Lane.ALERT, alert_type=AlertEvent, event_id="e7")
    )
    wait_until(lambda: fake.alerts() == [7], within_s=20, what="the alert")
    assert "event e7 for em/v1/t/tag/t1/alert is sent as it was kept" in caplog.text


def test_nats_keeps_our_session_routes_the_canary_and_hands_us_receipts(tmp_path: Path) -> None:
    """The engine of the embedded broker, with MQTT 3.1.1 only."""
    engine = EmbeddedBroker("nats")
    engine.start()
    try:
        outbox, _ = open_outbox(tmp_path)
        made = Bench([endpoint(engine.port)], outbox=outbox, canary=CanarySettings(interval_s=0.05, epoch="e"))
        made.publisher.start()
        with subscriber("127.0.0.1", engine.port) as found:
            for n in range(20):
                made.publisher.submit(alert(n))
            found.wait_for(lambda: len(numbers(found)) == 20, within_s=30, what="20 alerts")
            wait_until(lambda: made.publisher.stats().canary == "ok", within_s=30, what="the canary")
            wait_until(lambda: made.publisher.stats().unreceipted == 20, within_s=30, what="20 unconfirmed")
            assert found.client is not None
            found.client.publish("em/v1/t/bridge/b/receipt", b'{"source":"urn:t1","upto":20}', qos=1)
            wait_until(lambda: made.publisher.stats().receipts_seen == 1, within_s=30, what="the receipt")
            wait_until(lambda: made.publisher.stats().unreceipted == 0, within_s=30, what="all confirmed")
            link = made.publisher._links[0]
            session = link._session
            assert session is not None and session.find_socket is not None
            session.find_socket.shutdown(2)
            wait_until(lambda: made.publisher.stats().connects >= 2, within_s=30, what="reconnection")
            made.wait_connected()
        assert made.publisher.close(20) == 0
        assert not made.troubles
    finally:
        engine.stop()
