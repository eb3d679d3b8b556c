"""Endpoints of one path, and two paths at once: what fails on one is not felt on the other."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.mqtt import flight
from bridge.mqtt import session as session_module
from bridge.publisher import Lane, Message
from tests.bridge.mqtt_bench import Bench, Maker, alert, bench, endpoint, position, status
from tests.bridge.scripted_broker import ScriptedBroker
from tests.bridge.support import subscriber
from tests.bridge.test_mqtt_faults import accept, broker
from tests.bridge.test_mqtt_publisher import in_order_of_first_arrival, numbers
from tests.support import LOOPBACK, Mosquitto, free_port, wait_until

__all__ = ["bench", "broker"]


@pytest.fixture
def two_brokers(tmp_path: Path) -> Iterator[tuple[Mosquitto, Mosquitto]]:
    pair = (Mosquitto(tmp_path / "a"), Mosquitto(tmp_path / "b"))
    try:
        for each in pair:
            each.start()
        yield pair
    finally:
        for each in pair:
            each.kill()


@pytest.fixture
def start() -> Iterator[list[Bench]]:
    """Append a bench to start; it ends with the test."""
    made: list[Bench] = []
    yield made
    for each in made:
        each.publisher.close(0.0)


def started(start: list[Bench], *paths: list, **rest: object) -> Bench:  # type: ignore[type-arg]
    start.append(Bench(*paths, **rest))  # type: ignore[arg-type]
    start[-1].publisher.start()
    return start[-1]


def test_next_endpoint_is_tried_when_one_is_dead(start: list[Bench], broker: Maker) -> None:
    live = broker(accept)
    made = started(start, [endpoint(free_port()), endpoint(free_port()), endpoint(live.port)])
    for n in range(3):
        made.publisher.submit(alert(n))
    wait_until(lambda: live.alerts() == [0, 1, 2], within_s=20, what="three alerts at the third")
    assert [state.connected for state in made.states] == [False, False, True]
    assert len({state.url for state in made.states}) == 3
    assert made.publisher.stats().paths[0].url.endswith(f":{live.port}")


@pytest.mark.needs("mosquitto")
def test_killed_broker_is_left_for_the_next_and_come_back_to(
    start: list[Bench], two_brokers: tuple[Mosquitto, Mosquitto]
) -> None:
    first, second = two_brokers
    with (
        subscriber(first.host, first.port, client_id="pa") as at_first,
        subscriber(second.host, second.port, client_id="pb") as at_second,
    ):
        made = started(start, [endpoint(first.port), endpoint(second.port)])
        made.wait_connected()
        for n in range(100):
            made.publisher.submit(alert(n))
        wait_until(lambda: len(numbers(at_first)) == 100, within_s=20, what="100 alerts at the first")
        first.kill()
        for n in range(100, 200):
            made.publisher.submit(alert(n))
        wait_until(lambda: 199 in numbers(at_second), within_s=20, what="the last alert at the second")
        second.kill()
        first.start()
        made.publisher.submit(alert(200))
        wait_until(lambda: 200 in numbers(at_first), within_s=20, what="an alert at the first again")
        # The second broker did not know our session: what the first had acknowledged is sent again, in its order.
        assert in_order_of_first_arrival(numbers(at_second)) == list(range(200))
        got = numbers(at_first)[100:]
        assert in_order_of_first_arrival(got) == sorted(set(got))


@pytest.mark.needs("mosquitto")
def test_everything_goes_to_both_paths_whatever_happens_to_one(
    start: list[Bench], two_brokers: tuple[Mosquitto, Mosquitto]
) -> None:
    first, second = two_brokers
    with (
        subscriber(first.host, first.port, client_id="pa") as at_first,
        subscriber(second.host, second.port, client_id="pb") as at_second,
    ):
        made = started(start, [endpoint(first.port)], [endpoint(second.port)])
        made.wait_connected(paths=2)
        process = first._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            for n in range(100):
                made.publisher.submit(alert(n))
                made.publisher.submit(position(n))
            wait_until(lambda: len(numbers(at_second)) == 100, within_s=20, what="100 alerts at the second")
            wait_until(
                lambda: len(numbers(at_second, "/position")) == 100, within_s=20, what="100 positions at the second"
            )
            assert numbers(at_second) == list(range(100))
            assert len(numbers(at_first)) == 0
        finally:
            process.send_signal(signal.SIGCONT)
        wait_until(lambda: 99 in numbers(at_first), within_s=30, what="the last alert at the first")
        assert made.publisher.close(20) == 0
        assert in_order_of_first_arrival(numbers(at_first)) == list(range(100))
        assert [path.name for path in made.publisher.stats().paths] == ["main", "second"]
        for found in (at_first, at_second):
            wait_until(lambda f=found: f.on("/status")[-1].json == {"state": "offline"}, within_s=20, what="farewell")  # type: ignore[misc]


def test_path_that_cannot_look_up_its_name_delays_neither_commits_nor_the_other(
    start: list[Bench], broker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    lookup = socket.getaddrinfo

    def slow(host: str, *rest: object, **named: object) -> object:
        if host == "slow.example":
            answered.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution")
        return lookup(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(session_module.socket, "getaddrinfo", slow)
    live: ScriptedBroker = broker(accept)
    made = started(start, [endpoint(1, host="slow.example")], [endpoint(live.port)])
    try:
        for n in range(20):
            made.publisher.submit(alert(n))
            wait_until(lambda n=n: live.alerts()[-1:] == [n], within_s=20, what=f"alert {n}")  # type: ignore[misc]
        assert not made.publisher.stats().paths[0].connected
        assert sum(len(messages) for messages, _ in made.commits) == 20
    finally:
        answered.set()
    wait_until(lambda: any("temporary failure" in s.detail for s in made.states), within_s=20, what="the reason")


def test_broker_that_is_silent_after_the_handshake_is_left_for_the_next(
    start: list[Bench], broker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "ACK_TIMEOUT_NS", 200_000_000)
    mute, live = broker(lambda *_: None), broker(accept)
    made = started(start, [endpoint(mute.port), endpoint(live.port)])
    made.publisher.submit(alert(0))
    wait_until(lambda: live.alerts() == [0], within_s=20, what="the alert at the second")
    assert any("no PUBACK for" in state.detail and state.url.endswith(str(mute.port)) for state in made.states)


def test_version_that_one_endpoint_refuses_is_still_spoken_to_the_other(start: list[Bench], broker: Maker) -> None:
    old, new = broker(accept, b"\x20\x03\x00\x84\x00"), broker(accept)
    made = started(start, [endpoint(old.port), endpoint(new.port)])
    made.wait_connected()
    assert made.states[-1].detail == "MQTT 3.1.1"
    old.answer = lambda *_: None
    old.drop()
    wait_until(lambda: made.states[-1].detail == "MQTT 5", within_s=20, what="the second endpoint")


def test_birth_comes_first_and_retained_states_come_again_on_every_path(start: list[Bench], broker: Maker) -> None:
    brokers = [broker(accept), broker(accept)]
    made = started(start, *[[endpoint(each.port)] for each in brokers])
    made.publisher.submit(Message(topic="em/v1/t/tag/t1/active", body=b"{}", lane=Lane.STATE, retain=True))
    for each in brokers:
        wait_until(lambda e=each: len(e.accepted) == 2, within_s=20, what="birth and state")  # type: ignore[misc]
        each.drop()
        wait_until(lambda e=each: len(e.accepted) == 4, within_s=20, what="both again")  # type: ignore[misc]
        expected = [status("online").topic, "em/v1/t/tag/t1/active"] * 2
        assert [topic for topic, _ in each.accepted] == expected
        assert LOOPBACK in made.publisher.stats().paths[0].url
