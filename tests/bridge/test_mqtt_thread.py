"""The publisher's thread: commits, callbacks that fail, the end."""

import threading
from concurrent.futures import CancelledError

import pytest

from bridge.errors import PublisherClosedError
from bridge.mqtt.publisher import MqttPublisher
from bridge.mqtt.session import MqttSession
from bridge.publisher import Lane, Message, PublisherStats
from tests.bridge.mqtt_bench import Bench, Maker, alert, bench, endpoint, position
from tests.bridge.scripted_broker import ScriptedBroker
from tests.bridge.test_mqtt_faults import accept, broker
from tests.support import free_port, wait_until

__all__ = ["bench", "broker"]

dies = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def test_commits_are_told_in_order_before_anything_is_sent(bench: Maker, broker: Maker) -> None:
    committed: list[bytes] = []
    early: list[bytes] = []

    def answer(topic: str, body: bytes) -> int:
        if topic.endswith("/alert") and body not in committed:
            early.append(body)
        return 0

    fake: ScriptedBroker = broker(answer)
    made = bench(
        fake.port, on_committed=lambda messages, _durable: committed.extend(message.body for message in messages)
    )
    for n in range(200):
        made.publisher.submit(alert(n))
    wait_until(lambda: len(fake.alerts()) == 200, within_s=20, what="200 alerts")
    assert committed == [alert(n).body for n in range(200)]
    assert not early


def test_submit_durably_says_whether_it_is_on_disk_and_gives_up_in_time(bench: Maker) -> None:
    made = bench(free_port())
    # This outbox is in memory: committed, and not on disk.
    assert made.publisher.submit_durably([alert(0), alert(1)], 20.0) is False
    assert [len(messages) for messages, _ in made.commits] == [2]
    assert made.publisher.stats().queued_alerts == 2
    idle = Bench([endpoint(free_port())])
    assert idle.publisher.submit_durably([alert(0)], 0.0) is False, "its thread does not run"
    assert idle.publisher.close(0.0) == 1
    with pytest.raises(PublisherClosedError):
        idle.publisher.submit_durably([alert(0)], 1.0)


def test_many_threads_submit_and_nothing_is_lost_or_mixed_up(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    publisher = bench(fake.port).publisher

    def submit(tag: str) -> None:
        for n in range(100):
            publisher.submit(alert(n, tag))

    threads = [threading.Thread(target=submit, args=(f"t{each}",)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.close(20) == 0
    for each in range(8):
        got = [body for topic, body in fake.accepted if topic.endswith(f"/t{each}/alert")]
        assert got == [alert(n).body for n in range(100)]


def test_beat_comes_at_every_turn(bench: Maker) -> None:
    beats: list[int] = []
    made = bench(free_port(), beat=lambda: beats.append(1))
    wait_until(lambda: len(beats) > 3, within_s=20, what="beats without anything to do")
    assert made.publisher.stats().running


@dies
@pytest.mark.parametrize("name", ["on_state", "on_committed", "on_inbound", "on_trouble", "beat"])
def test_callback_that_fails_ends_the_thread_loudly_and_what_waits_is_counted(broker: Maker, name: str) -> None:
    fake: ScriptedBroker = broker(lambda topic, _: 0 if topic.endswith("/status") else None)
    made = Bench([endpoint(fake.port)])
    publisher, broken = made.publisher, threading.Event()

    def fail(*_: object) -> None:
        if broken.is_set():
            raise ZeroDivisionError(name)

    attribute = {"on_inbound": "_take_command"}.get(name, f"_{name}")
    setattr(publisher._desk if name == "on_inbound" else publisher, attribute, fail)
    publisher.start()
    wait_until(lambda: publisher.stats().connected, within_s=20, what="connection")
    broken.set()
    for n in range(3):
        publisher.submit(alert(n))
    fake.says("em/v1/t/bridge/b/cmd", b"x")
    fake.says("em/v1/t/provider/desk/status", b'{"state":"offline"}')
    if name == "on_state":
        fake.drop()
    wait_until(lambda: publisher.stats().is_dead, within_s=20, what="the end of the thread")
    stats: PublisherStats = publisher.stats()
    assert not stats.running and not stats.connected
    assert f"ZeroDivisionError('{name}')" in stats.detail
    publisher.submit(alert(3))
    assert publisher.close(20.0) == 4
    if name != "on_state":
        wait_until(lambda: made.states[-1:] != [] and made.states[-1].is_over, within_s=20, what="word of it")


@dies
@pytest.mark.parametrize("method", ["read", "write", "keep_alive", "publish", "take_events"])
def test_error_in_the_session_ends_the_thread_loudly(
    bench: Maker, broker: Maker, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.wait_connected()

    def fail(*_: object) -> None:
        raise ZeroDivisionError(method)

    monkeypatch.setattr(MqttSession, method, fail)
    if method == "write":
        monkeypatch.setattr(MqttSession, "wants_write", True)
    made.publisher.submit(alert(0))
    wait_until(lambda: made.publisher.stats().is_dead, within_s=20, what="the end of the thread")
    assert made.states[-1].is_over


def test_close_waits_for_what_was_submitted_last(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.wait_connected()
    for n in range(3000):
        made.publisher.submit(position(n))
    made.publisher.submit(alert(0))
    assert made.publisher.close(20) == 0
    assert len(fake.accepted) == 3000 + 1 + 2
    assert made.publisher.close(20) == 0, "twice is once"
    assert made.publisher.stats().delivered == 3001


def test_close_without_a_broker_ends_in_time_with_all_counted(bench: Maker) -> None:
    made = bench(free_port())
    for n in range(50):
        made.publisher.submit(alert(n))
    made.publisher.submit(Message(topic="em/v1/t/tag/t1/active", body=b"{}", lane=Lane.STATE, retain=True))
    assert made.publisher.close(0.05) == 51


def test_replay_queues_again_and_ends_with_the_publisher(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    for n in range(5):
        made.publisher.submit(alert(n))
    wait_until(lambda: made.publisher.stats().delivered == 5, within_s=20, what="five PUBACKs")
    done = made.publisher.replay("urn:t1", 2, 4).result(20)
    assert (done.queued, done.missing) == (3, 0)
    wait_until(lambda: fake.alerts()[5:] == [1, 2, 3], within_s=20, what="the three again")
    idle = Bench([endpoint(free_port())])
    wish = idle.publisher.replay("urn:t1", 1, 2)
    idle.publisher.close(0.0)
    with pytest.raises(CancelledError):
        wish.result(20)
    with pytest.raises(PublisherClosedError, match="a replay of urn:t1"):
        idle.publisher.replay("urn:t1", 1, 2)


class Log:
    """Takes down what is sent, and whether it was written before that."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, int]] = []
        self.written: list[bytes] = []
        self.is_closed = False
        self._bodies: list[bytes] = []

    def note(self, message: Message, body: bytes, endpoint: str, attempt: int) -> None:
        self.noted.append((message.topic, endpoint, attempt))
        self._bodies.append(body)

    def flush(self) -> None:
        self.written += self._bodies
        self._bodies.clear()

    def close(self) -> None:
        self.flush()
        self.is_closed = True


def test_disclosures_are_written_before_they_are_made(bench: Maker, broker: Maker) -> None:
    log = Log()
    unwritten: list[str] = []

    def answer(topic: str, body: bytes) -> int:
        if body not in log.written:
            unwritten.append(topic)
        return 0

    fake: ScriptedBroker = broker(answer)
    made = bench(fake.port, disclosures=log)
    for n in range(100):
        made.publisher.submit(alert(n))
        made.publisher.submit(position(n))
    assert made.publisher.close(20) == 0
    assert not unwritten
    assert [topic for topic, _, _ in log.noted] == [topic for topic, _ in fake.published]
    assert {(url, attempt) for _, url, attempt in log.noted} == {(f"mqtt://127.0.0.1:{fake.port}", 1)}
    assert log.is_closed


def test_thread_is_the_publishers_only_one(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.wait_connected()
    names = {thread.name for thread in threading.enumerate()}
    assert MqttPublisher.__name__ not in names
    assert not [name for name in names if name.startswith("paho")]
