"""The publisher against brokers that refuse, limit, delay or speak something else."""

import time
from collections.abc import Callable, Iterator

import pytest

from bridge.mqtt import flight, link
from bridge.outbox import path_queue as outbox
from bridge.publisher import Lane, Message
from tests.bridge.mqtt_bench import Bench, Maker, alert, bench, endpoint, position, status
from tests.bridge.scripted_broker import CONNACK, ScriptedBroker, connack
from tests.bridge.support import subscriber
from tests.bridge.test_mqtt_publisher import numbers
from tests.support import Mosquitto, free_port, wait_until

__all__ = ["bench"]


@pytest.fixture
def broker() -> Iterator[Callable[..., ScriptedBroker]]:
    made: list[ScriptedBroker] = []

    def make(answer: Callable[[str, bytes], int | None], greeting: bytes = CONNACK) -> ScriptedBroker:
        made.append(ScriptedBroker(answer, greeting))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def accept(_topic: str, _body: bytes) -> int:
    return 0


def test_refused_alert_is_not_overtaken_by_those_behind_it(
    bench: Maker, broker: Callable[..., ScriptedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RETRY_REJECTED_NS", 50_000_000)
    refusals = iter([0x97])
    fake = broker(lambda topic, _: next(refusals, 0) if topic.endswith("/t1/alert") else 0)
    publisher = bench(fake.port).publisher
    for n in range(4):
        publisher.submit(alert(n))
    publisher.submit(alert(9, tag="t2"))
    wait_until(lambda: publisher.stats().delivered == 5, within_s=20, what="five alerts")
    assert fake.alerts() == [9, 0, 1, 2, 3]
    assert publisher.stats().rejected == 1


@pytest.mark.needs("mosquitto")
def test_alert_without_subscriber_is_kept_until_one_comes(
    mosquitto: Mosquitto, bench: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "RETRY_UNHEARD_NS", 20_000_000)
    made = bench(mosquitto.port)
    publisher = made.publisher
    for n in range(3):
        publisher.submit(alert(n))
    publisher.submit(position(1))
    wait_until(lambda: publisher.stats().resent >= 3, within_s=20, what="three retries")
    stats = publisher.stats()
    assert (stats.delivered, stats.without_subscriber, stats.unheard_alerts, stats.positions_unheard) == (0, 1, 1, 1)
    assert stats.queued_alerts + stats.in_flight == 3
    with subscriber(mosquitto.host, mosquitto.port) as found:
        wait_until(lambda: publisher.stats().delivered == 3, within_s=20, what="three alerts")
        found.wait_for(lambda: len(numbers(found)) == 3, what="three alerts at the subscriber")
        assert numbers(found) == [0, 1, 2]
        assert publisher.close(5) == 0
    assert caplog.text.count("nobody subscribes to em/v1/t/tag/t1/alert") == 1
    assert caplog.text.count("all alerts have subscribers again") == 1


@pytest.mark.needs("mosquitto")
def test_closing_with_nobody_subscribed_does_not_wait_and_counts_honestly(mosquitto: Mosquitto, bench: Maker) -> None:
    made = bench(mosquitto.port)
    made.publisher.submit(alert(0))
    made.publisher.submit(alert(1))
    wait_until(lambda: made.publisher.stats().unheard_alerts == 1, within_s=20, what="PUBACK 0x10")
    began = time.monotonic()
    assert made.publisher.close(60) == 2
    assert time.monotonic() - began < 30
    assert made.publisher.stats().unheard_alerts == 1


def test_broker_that_acknowledges_late_is_given_more_time(
    bench: Maker, broker: Callable[..., ScriptedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "ACK_TIMEOUT_NS", 100_000_000)

    def late(_topic: str, _body: bytes) -> int:
        time.sleep(0.15)  # the broker's own delay, not a wait of the test
        return 0

    fake = broker(late)
    publisher = bench(fake.port).publisher
    publisher.submit(alert(0))
    publisher.submit(alert(1))
    wait_until(lambda: publisher.stats().delivered == 2, within_s=20, what="two alerts")
    assert publisher.stats().connects > 1
    assert publisher._links[0].flights._timeout_ns > 150_000_000


def test_message_longer_than_the_brokers_largest_packet_blocks_nothing(
    bench: Maker, broker: Callable[..., ScriptedBroker], caplog: pytest.LogCaptureFixture
) -> None:
    fake = broker(accept, connack(b"\x27" + (2000).to_bytes(4) + b"\x21" + (1).to_bytes(2)))
    publisher = bench(fake.port).publisher
    big = b'{"n":' + b"1" * 3000 + b"}"
    publisher.submit(alert(0))
    publisher.submit(Message(topic="em/v1/t/tag/t1/alert", body=big, lane=Lane.ALERT))
    publisher.submit(Message(topic="em/v1/t/tag/t1/active", body=big, lane=Lane.STATE, retain=True))
    publisher.submit(alert(2))
    wait_until(lambda: publisher.stats().delivered == 2, within_s=20, what="the short ones")
    assert publisher.close(10) == 1
    stats = publisher.stats()
    assert fake.alerts() == [0, 2]
    assert (stats.rejected, stats.connects, stats.queued_alerts, stats.queued_states) == (2, 1, 1, 0)
    assert "bytes, this broker takes 2000 at most; it is kept" in caplog.text
    assert "bytes, this broker takes 2000 at most; it is dropped" in caplog.text
    assert fake.published[-1][1] == status("offline").body, "the farewell waits for room"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_length_of_a_packet_is_what_goes_on_the_wire(
    bench: Maker, broker: Callable[..., ScriptedBroker], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake = broker(accept)
    made = bench(fake.port, version)
    made.wait_connected()
    session = made.publisher._links[0]._session
    assert session is not None
    message = Message(topic="é/alert", body=b"x" * 500, lane=Lane.ALERT, properties=(("id", "é" * 20),))
    client = session._client
    sizes: list[int] = []
    queue = client._packet_queue
    monkeypatch.setattr(
        client, "_packet_queue", lambda c, p, *rest, **kw: sizes.append(len(p)) or queue(c, p, *rest, **kw)
    )
    length = session.packet_bytes(message, message.body)
    session.publish(message, message.body)
    assert sizes == [length]


def test_rest_that_is_over_does_not_keep_the_thread_awake_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_REJECTED_NS", 1)
    made = Bench([endpoint(free_port())])
    store, path = made.publisher._outbox, made.publisher._links[0]
    store.write([alert(0)], 0)
    entry = store.find_next(0, 0)
    assert entry is not None
    store.mark_rejected(0, entry.number, 0)
    # The rest was over long ago; the next thing to do is to connect again, or with a full window to wait for a PUBACK.
    now = 10_000_000_000
    path._next_attempt_mono_ns = now + 60_000_000_000
    assert path.find_due_mono_ns(now) - now > 500_000_000
    assert path._find_work_mono_ns() == [1]
    path.flights._window = 0
    assert path._find_work_mono_ns() == []
    assert made.publisher.close(0.0) == 1


@pytest.mark.parametrize(
    "greeting",
    [
        b"\x20\x03\x00\x00\x05",
        b"\x20\x00",
        b"\x20\x03\x00\xfe\x00",
        b"\x20\x05\x00\x00\x02\x7f\x01",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\xf0\x00",
    ],
)
def test_what_is_not_mqtt_ends_the_connection_not_the_thread(
    bench: Maker, broker: Callable[..., ScriptedBroker], greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNACK_TIMEOUT_NS", 200_000_000)
    fake = broker(accept, greeting)
    made = bench(fake.port)
    wait_until(lambda: bool(made.states) or fake.connections > 1, within_s=20, what="a word about the broker")
    assert not any(state.connected or state.is_over for state in made.states)
    assert made.publisher.stats().running


@pytest.mark.parametrize("host", ["broker..example", "a" * 70 + ".example", ".example"])
def test_host_that_is_no_name_does_not_end_the_thread(host: str) -> None:
    made = Bench([endpoint(1, host=host)])
    made.publisher.start()
    wait_until(lambda: bool(made.states), within_s=20, what="a word about the broker")
    assert "is not a host name" in made.states[0].detail
    assert made.publisher.close(0.0) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_dies_says_so_and_messages_can_still_be_counted(
    bench: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(free_port())
    wait_until(lambda: bool(made.states), within_s=20, what="a word about the broker")
    monkeypatch.setattr(made.publisher, "_patience_s", lambda: 1 / 0)
    for n in range(3):
        made.publisher.submit(alert(n))
    wait_until(lambda: made.publisher.stats().is_dead, within_s=20, what="the end of the thread")
    wait_until(lambda: made.states[-1].is_over, within_s=20, what="word of it")
    assert "ZeroDivisionError" in made.publisher.stats().detail
    made.publisher.submit(alert(3))
    assert made.publisher.close(0.0) == 4
