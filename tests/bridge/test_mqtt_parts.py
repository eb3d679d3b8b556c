"""The parts under the publisher's thread: what wakes it, what it takes, where it connects next."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import PublisherClosedError
from bridge.mqtt import connector as connector_module
from bridge.mqtt import session as session_module
from bridge.mqtt.connector import Connector, Failed
from bridge.mqtt.endpoints import BACKOFF_FIRST_S, BACKOFF_LAST_S, Endpoints
from bridge.mqtt.intake import MAX_BATCH, Commit, Intake
from bridge.mqtt.session import MqttSession
from bridge.mqtt.settings import MqttSettings, PathSettings, TlsSettings, is_loopback
from bridge.mqtt.waiter import READ, WRITE, Interest, Waiter
from bridge.publisher import Lane, Message, Saved
from devices.clock import SystemClock
from tests.support import LOOPBACK, free_port, wait_until

WILL = Message(topic="w", body=b"", lane=Lane.STATE)


def message(n: int, lane: Lane = Lane.ALERT, saves: tuple[Saved, ...] = ()) -> Message:
    return Message(topic="t", body=b"%d" % n, lane=lane, saves=saves)


def endpoint(port: int = 1, host: str = LOOPBACK, **rest: object) -> MqttSettings:
    return MqttSettings(host=host, port=port, client_id="c", **rest)  # type: ignore[arg-type]


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    made = Waiter(SystemClock())
    yield made
    made.close()


def test_waking_before_or_during_a_wait_ends_it_once(waiter: Waiter) -> None:
    for _ in range(100_000):
        waiter.wake()
    assert waiter.wait({}, 60.0) == {}
    waker = threading.Thread(target=waiter.wake)
    waker.start()
    assert waiter.wait({}, 60.0) == {}
    waker.join()
    began = time.monotonic()
    waiter.wait({}, 0.02)
    assert time.monotonic() - began >= 0.02


def test_sockets_tell_what_they_are_ready_for(waiter: Waiter) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert waiter.wait({1: Interest(sock=ours, mask=READ | WRITE)}, 10) == {1: WRITE}
        theirs.send(b"x")
        assert waiter.wait({1: Interest(sock=ours, mask=READ)}, 10) == {1: READ}
        assert waiter.wait({}, 0) == {}, "nobody waits for it any more"


def test_socket_with_the_number_of_one_that_was_closed_is_another(waiter: Waiter) -> None:
    """The MQTT client closes a socket by itself, and the next one gets its number."""
    old, old_peer = socket.socketpair()
    number = old.fileno()
    waiter.wait({0: Interest(sock=old, mask=READ)}, 0)
    old.close()
    new, new_peer = socket.socketpair()
    with old_peer, new, new_peer:
        assert number in {new.fileno(), new_peer.fileno()}
        mine, far = (new, new_peer) if new.fileno() == number else (new_peer, new)
        far.send(b"x")
        assert waiter.wait({1: Interest(sock=mine, mask=READ)}, 10) == {1: READ}
        waiter.wait({}, 0)


def test_waking_what_is_closed_is_harmless() -> None:
    made = Waiter(SystemClock())
    made.close()
    made.wake()


def test_intake_keeps_the_order_and_takes_in_batches() -> None:
    intake = Intake(max_positions=10)
    commit = Commit()
    for n in range(MAX_BATCH + 5):
        intake.put([message(n)])
    intake.put([message(-1), message(-2)], commit)
    intake.put([message(1, Lane.POSITION)])
    first, waiting = intake.take()
    assert ([m.body for m in first], waiting) == ([b"%d" % n for n in range(MAX_BATCH)], [])
    assert intake.counts()[Lane.ALERT] == MAX_BATCH + 7, "until they are kept they wait here"
    intake.note_kept(first)
    assert intake.counts() == {Lane.ALERT: 7, Lane.STATE: 0, Lane.POSITION: 1}
    second, waiting = intake.take()
    assert [m.body for m in second] == [b"1000", b"1001", b"1002", b"1003", b"1004", b"-1", b"-2", b"1"]
    assert waiting == [commit]
    assert (intake.is_empty, intake.submitted) == (True, MAX_BATCH + 8)


def test_intake_drops_the_oldest_position_but_none_that_saves_something() -> None:
    intake = Intake(max_positions=3)
    saves = (Saved(owner="t", key="k", value=b"v"),)
    for n in range(10):
        intake.put([message(n, Lane.POSITION)])
    for n in range(100, 110):
        intake.put([message(n, Lane.POSITION, saves)])
    for n in range(10, 20):
        intake.put([message(n, Lane.POSITION)])
    taken, _ = intake.take()
    assert intake.counts() == {Lane.ALERT: 0, Lane.STATE: 0, Lane.POSITION: 16}
    intake.note_kept(taken)
    assert [int(m.body) for m in taken] == [7, 8, 9, *range(100, 110), 17, 18, 19]
    assert (intake.dropped, sum(intake.counts().values())) == (14, 0)


def test_closed_intake_refuses_and_still_gives() -> None:
    intake = Intake(max_positions=3)
    intake.put([message(1)])
    intake.close()
    with pytest.raises(PublisherClosedError, match="a message for t"):
        intake.put([message(2)])
    with pytest.raises(PublisherClosedError, match="a replay of s"):
        intake.check_open("a replay of s")
    assert len(intake.take()[0]) == 1


def test_endpoints_are_tried_in_turn_and_the_wait_grows_by_the_round() -> None:
    endpoints = Endpoints(PathSettings(endpoints=tuple(endpoint(port) for port in (1, 2, 3))))
    ports, waits = [], []
    for _ in range(30):
        ports.append(endpoints.current.settings.port)
        waits.append(endpoints.fail(was_stable=False) / 1e9)
    assert ports == [1, 2, 3] * 10
    assert all(BACKOFF_FIRST_S / 2 <= each <= BACKOFF_FIRST_S for each in waits[:3])
    assert all(BACKOFF_LAST_S / 2 <= each <= BACKOFF_LAST_S for each in waits[-3:])
    assert endpoints.fail(was_stable=True) <= BACKOFF_FIRST_S * 1e9


def test_older_version_is_remembered_for_the_one_that_speaks_no_other() -> None:
    endpoints = Endpoints(PathSettings(endpoints=(endpoint(1), endpoint(2))))
    endpoints.fall_back()
    versions = []
    for _ in range(3):
        versions.append(endpoints.current.settings.version)
        endpoints.fail(was_stable=False)
    assert versions == ["3.1.1", "5", "3.1.1"]


def test_authorities_are_loaded_once_for_all_nodes_of_a_cluster() -> None:
    tls = TlsSettings()
    endpoints = Endpoints(PathSettings(endpoints=(endpoint(1, tls=tls), endpoint(2, tls=TlsSettings()), endpoint(3))))
    contexts = []
    for _ in range(3):
        contexts.append(endpoints.current.tls)
        endpoints.fail(was_stable=False)
    assert contexts[0] is not None
    assert contexts[0] is contexts[1]
    assert contexts[2] is None


@pytest.mark.parametrize("host", ["broker.example", "192.0.2.1", "::2", "localhost.example"])
def test_verification_cannot_be_turned_off_off_loopback(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="must be verified off loopback"):
        endpoint(host=host, tls=TlsSettings(verify=False))
    assert is_loopback("127.0.0.9") and is_loopback("::1") and is_loopback("localhost")
    assert endpoint(tls=TlsSettings(verify=False)).url == f"mqtts://{LOOPBACK}:1"


def test_path_needs_an_endpoint() -> None:
    with pytest.raises(ValueError, match="path 'second' has no endpoint"):
        PathSettings(endpoints=(), name="second")


class Connecting:
    def __init__(self) -> None:
        self.woken = threading.Event()
        self.connector = Connector(clock=SystemClock(), wake=self.woken.set)

    def outcome(self) -> MqttSession | Failed:
        found: list[MqttSession | Failed] = []

        def is_there() -> bool:
            outcome = self.connector.find_outcome()
            if outcome is not None:
                found.append(outcome)
            return bool(found)

        wait_until(is_there, within_s=20, what="an outcome")
        return found[0]


def test_connection_is_handed_over_and_its_failure_told(tmp_path: Path) -> None:
    made = Connecting()
    with socket.create_server((LOOPBACK, 0)) as server:
        assert made.connector.begin(endpoint(server.getsockname()[1]), WILL, None) is None
        assert not made.connector.is_free
        session = made.outcome()
        assert isinstance(session, MqttSession)
        assert made.connector.is_free
        session.abort()
    assert made.woken.wait(20)
    assert made.connector.begin(endpoint(free_port()), WILL, None) is None
    assert made.outcome() == Failed(detail="cannot connect: Connection refused")


def test_slow_name_server_costs_one_attempt_not_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that hang are given up on, a bounded number of them, and never take the place of a newer connection."""
    monkeypatch.setattr(connector_module, "PATIENCE_NS", 10_000_000)
    answered = threading.Event()
    lookup = socket.getaddrinfo

    def slow(host: str, *rest: object, **named: object) -> object:
        if host == "slow.example":
            answered.wait(60)
            host = LOOPBACK
        return lookup(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(session_module.socket, "getaddrinfo", slow)
    made = Connecting()
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        for _ in range(connector_module.MAX_STRAY):
            assert made.connector.is_free
            assert made.connector.begin(endpoint(port, "slow.example"), WILL, None) is None
            assert made.outcome() == Failed(detail="cannot connect: no connection within 0.01 s")
        assert not made.connector.is_free
        answered.set()
        wait_until(lambda: made.connector.is_free and not made.connector._stray, within_s=20, what="the strays' end")
        for _ in range(connector_module.MAX_STRAY):
            late, _address = server.accept()
            with late:
                late.settimeout(20)
                assert late.recv(100) == b"", "a connection that came too late says nothing"


def test_connection_that_came_and_is_not_wanted_any_more_is_closed() -> None:
    made = Connecting()
    with socket.create_server((LOOPBACK, 0)) as server:
        assert made.connector.begin(endpoint(server.getsockname()[1]), WILL, None) is None
        peer, _ = server.accept()
        assert made.woken.wait(20)
        made.connector.close()
        with peer:
            peer.settimeout(20)
            while peer.recv(1000):
                pass
    assert made.connector.find_outcome() is None


def test_attempt_for_which_there_is_no_thread_fails_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made = Connecting()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    failed = made.connector.begin(endpoint(), WILL, None)
    assert failed == Failed(detail="cannot connect: no thread to be had (can't start new thread)")
    assert made.connector.is_free
