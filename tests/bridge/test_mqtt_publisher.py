"""The publisher against real brokers: order, resending, drop policies, will."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import PublisherClosedError
from bridge.mqtt.settings import TlsSettings
from bridge.publisher import Lane, Message
from tests.bridge.mqtt_bench import Bench, Maker, alert, bench, endpoint, position
from tests.bridge.support import Subscriber, subscriber
from tests.support import LOOPBACK, Mosquitto, free_port, wait_until

__all__ = ["bench"]

needs_mosquitto = pytest.mark.needs("mosquitto")


def numbers(found: Subscriber, suffix: str = "/alert") -> list[int]:
    return [m.json["n"] for m in found.on(suffix)]


def in_order_of_first_arrival(values: list[int]) -> list[int]:
    return list(dict.fromkeys(values))


@needs_mosquitto
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_messages_arrive_in_order(mosquitto: Mosquitto, bench: Maker, version: str) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as found:
        publisher = bench(mosquitto.port, version).publisher
        for n in range(300):
            publisher.submit(alert(n))
        assert publisher.close(10) == 0
        found.wait_for(lambda: len(found.on("/alert")) == 300, what="300 alerts")
        assert numbers(found) == list(range(300))
        found.wait_for(lambda: len(found.on("/status")) == 2, what="birth and farewell")
        assert [m.json["state"] for m in found.on("/status")] == ["online", "offline"]


def test_embedded_nats_gets_messages_in_order(bench: Maker) -> None:
    broker = EmbeddedBroker("nats")
    broker.start()
    try:
        with subscriber(LOOPBACK, broker.port) as found:
            # Configured for MQTT 5, which this engine refuses: the publisher falls back by itself.
            publisher = bench(broker.port, "5").publisher
            for n in range(300):
                publisher.submit(alert(n))
            assert publisher.close(10) == 0
            found.wait_for(lambda: len(found.on("/alert")) == 300, what="300 alerts")
            assert numbers(found) == list(range(300))
    finally:
        broker.stop()


@needs_mosquitto
def test_broker_down_at_start_comes_up_later(mosquitto: Mosquitto, bench: Maker) -> None:
    mosquitto.stop()
    made = bench(mosquitto.port)
    for n in range(100):
        made.publisher.submit(alert(n))
    wait_until(lambda: bool(made.states), within_s=20, what="a word about the broker")
    assert not made.states[0].connected
    assert "refused" in made.states[0].detail.lower()
    mosquitto.start()
    with subscriber(mosquitto.host, mosquitto.port) as found:
        for n in range(100, 200):
            made.publisher.submit(alert(n))
        assert made.publisher.close(10) == 0
        # The subscriber may have come after the first ones; a later one must not come before an earlier one.
        found.wait_for(lambda: 199 in numbers(found), what="the last alert")
        got = numbers(found)
        assert got == sorted(got)
    assert any(state.connected for state in made.states)


@needs_mosquitto
def test_broker_killed_in_mid_run_loses_and_reorders_nothing(mosquitto: Mosquitto, bench: Maker) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as found:
        made = bench(mosquitto.port)
        made.wait_connected()
        for n in range(150):
            made.publisher.submit(alert(n))
        wait_until(lambda: made.publisher.stats().delivered >= 50, within_s=20, what="50 PUBACKs")
        mosquitto.kill()
        for n in range(150, 300):
            made.publisher.submit(alert(n))
        wait_until(lambda: not made.publisher.stats().connected, within_s=20, what="loss of the connection")
        mosquitto.start()
        wait_until(lambda: found.connects >= 2, within_s=20, what="the subscriber's return")
        for n in range(300, 450):
            made.publisher.submit(alert(n))
        assert made.publisher.close(20) == 0
        found.wait_for(lambda: 449 in numbers(found), what="the last alert")
    # What the killed broker had acknowledged and not yet handed on is the broker's loss (PUBACK is not delivery), so
    # the start of the outage is compared by what the publisher still held: everything after it must be there, in order.
    got = in_order_of_first_arrival(numbers(found))
    assert got == sorted(got)
    assert set(range(150, 450)) <= set(got)


@needs_mosquitto
def test_flood_of_positions_without_broker_is_bounded_and_alerts_stay(mosquitto: Mosquitto, bench: Maker) -> None:
    with subscriber(mosquitto.host, mosquitto.port) as found:
        # The subscriber's session is known to the broker; then the broker is down.
        mosquitto.stop()
        made = bench(mosquitto.port, max_positions=100)
        for n in range(20_000):
            made.publisher.submit(position(n))
            if n % 100 == 0:
                made.publisher.submit(alert(n // 100))
        wait_until(lambda: made.publisher.stats().positions_dropped == 19_900, within_s=20, what="the drops")
        stats = made.publisher.stats()
        assert (stats.queued_positions, stats.queued_alerts) == (100, 200)
        mosquitto.start()
        assert made.publisher.close(10) == 0
        found.wait_for(lambda: numbers(found, "/position")[-1:] == [19_999], what="the newest position")
        order = [m.topic.rsplit("/", 1)[1] for m in found.heard if not m.topic.endswith("/status")]
        assert order == sorted(order), "alerts overtake positions"


@needs_mosquitto
def test_will_is_said_when_the_bridge_dies_and_states_are_said_again(mosquitto: Mosquitto, bench: Maker) -> None:
    made = bench(mosquitto.port, "3.1.1")
    made.publisher.submit(Message(topic="em/v1/t/tag/t1/active", body=b'{"n":1}', lane=Lane.STATE, retain=True))
    wait_until(lambda: made.publisher.stats().delivered == 1, within_s=20, what="PUBACK")
    mosquitto.kill()
    # A broker that lost all it retained.
    for file in Path(mosquitto._folder).glob("mosquitto.db*"):
        file.unlink()
    mosquitto.start()
    wait_until(lambda: made.publisher.stats().connects == 2, within_s=20, what="reconnection")
    with subscriber(mosquitto.host, mosquitto.port) as found:
        found.wait_for(lambda: len(found.on("/active")) == 1, what="the retained state again")
        found.wait_for(lambda: len(found.on("/status")) == 1, what="the birth")
        assert found.on("/status")[0].json == {"state": "online"}


def test_states_keep_only_the_newest_of_a_topic(bench: Maker) -> None:
    publisher = bench(free_port()).publisher
    for n in range(10):
        publisher.submit(Message(topic="a/active", body=b"%d" % n, lane=Lane.STATE, retain=True))
    wait_until(lambda: publisher.stats().states_superseded == 9, within_s=20, what="nine of them superseded")
    assert publisher.stats().queued_states == 1
    assert publisher.close(0.0) == 1


def test_submit_after_close_is_refused(bench: Maker) -> None:
    publisher = bench(free_port()).publisher
    publisher.close(0.0)
    with pytest.raises(PublisherClosedError):
        publisher.submit(alert(1))


@needs_mosquitto
def test_broker_that_stops_answering_is_noticed_and_nothing_is_lost(mosquitto: Mosquitto, bench: Maker) -> None:
    """A paused broker keeps its sockets open: only the missing PUBACK tells."""
    with subscriber(mosquitto.host, mosquitto.port) as found:
        made = bench(mosquitto.port)
        made.wait_connected()
        for n in range(50):
            made.publisher.submit(alert(n))
        wait_until(lambda: made.publisher.stats().delivered >= 50, within_s=20, what="50 PUBACKs")
        process = mosquitto._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            for n in range(50, 150):
                made.publisher.submit(alert(n))
            wait_until(lambda: not made.publisher.stats().connected, within_s=20, what="the watchdog")
            assert "no PUBACK for 3 s" in made.publisher.stats().detail
        finally:
            process.send_signal(signal.SIGCONT)
        assert made.publisher.close(20) == 0
        found.wait_for(lambda: 149 in numbers(found), what="the last alert")
        assert in_order_of_first_arrival(numbers(found)) == list(range(150))
        # mosquitto takes twenty at a time (Receive Maximum): no more than those can be in doubt.
        assert 1 <= made.publisher.stats().resent <= 20


class SpecialMosquitto(Mosquitto):
    """With lines of its own in its configuration."""

    def __init__(self, folder: Path, *lines: str) -> None:
        super().__init__(folder)
        config = folder / "mosquitto.conf"
        config.write_text(config.read_text() + "\n".join(lines) + "\n")


@contextmanager
def special(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    broker = SpecialMosquitto(folder / "special", *lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@needs_mosquitto
def test_refused_alert_is_kept_and_said_refused_position_is_dropped(
    tmp_path: Path, bench: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite em/v1/t/bridge/#\n")
    acl.chmod(0o700)
    with special(tmp_path, f"acl_file {acl}") as broker:
        made = bench(broker.port)
        made.publisher.submit(alert(1))
        made.publisher.submit(position(1))
        wait_until(lambda: made.publisher.stats().rejected == 2, within_s=20, what="two refusals")
        stats = made.publisher.stats()
        assert (stats.queued_alerts, stats.queued_positions, stats.in_flight) == (1, 0, 0)
        assert made.publisher.close(0.2) == 1
    assert "Not authorized; it is kept and tried again" in caplog.text
    assert "Not authorized; it is dropped" in caplog.text


@needs_mosquitto
@pytest.mark.needs("mosquitto_passwd")
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_password_opens_and_a_wrong_one_is_told(tmp_path: Path, version: str) -> None:
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), "bridge", "secret"], check=True, capture_output=True)
    users.chmod(0o700)
    with special(tmp_path, f"password_file {users}", "allow_anonymous false") as broker:
        for password, connected in (("secret", True), ("wrong", False)):
            made = Bench([endpoint(broker.port, version, username="bridge", password=password)])
            made.publisher.start()
            wait_until(lambda states=made.states: bool(states), within_s=20, what="a word")  # type: ignore[misc]
            made.publisher.close(0.0)
            assert made.states[0].connected is connected
            assert connected or "authori" in made.states[0].detail.lower()
            assert "wrong" not in repr(made.states)


@needs_mosquitto
@pytest.mark.needs("openssl")
def test_tls_verifies_the_broker_always(tmp_path: Path) -> None:
    authority, other = certificates(tmp_path / "a"), certificates(tmp_path / "b")
    lines = [f"certfile {authority / 'server.pem'}", f"keyfile {authority / 'server.key'}"]
    with special(tmp_path, *lines) as broker:
        for ca_file, connected in ((authority / "ca.pem", True), (other / "ca.pem", False), (None, False)):
            made = Bench([endpoint(broker.port, tls=TlsSettings(ca_file=ca_file))])
            publisher, states = made.publisher, made.states
            publisher.start()
            wait_until(lambda states=states: bool(states), within_s=20, what="a word")  # type: ignore[misc]
            publisher.submit(position(1))
            left = publisher.close(5.0 if connected else 0.0)
            assert states[0].connected is connected, states
            assert connected or "certificate verify failed" in states[0].detail.lower()
            assert left == (0 if connected else 1)


def certificates(folder: Path) -> Path:
    """An authority and a certificate for loopback."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2"
    )
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=broker")
    (folder / "names").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-days", "2", "-extfile", "names"),
    )
    return folder
