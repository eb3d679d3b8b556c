"""What is told while a connection stands: a broker that forgets, denies or routes nothing, and who listens."""

from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.mqtt import canary as canary_module
from bridge.mqtt import publisher as publisher_module
from bridge.mqtt.canary import CanarySettings
from bridge.mqtt.policy import ReceiptPolicy
from bridge.publisher import DeliveryTroubleKind
from tests.bridge.mqtt_bench import Maker, alert, bench, position
from tests.bridge.scripted_broker import KNOWN, ScriptedBroker
from tests.bridge.support import end_client, subscriber
from tests.bridge.test_mqtt_faults import accept, broker
from tests.bridge.test_mqtt_publisher import needs_mosquitto, numbers, special
from tests.support import Mosquitto, wait_until

__all__ = ["bench", "broker"]

CANARY = CanarySettings(interval_s=0.05, epoch="e1")
RECEIPT = "em/v1/t/bridge/b/receipt"


def receipt(n: int) -> bytes:
    return msgspec.json.encode({"source": "urn:t1", "upto": n + 1})


def test_receipts_end_the_sending_again(bench: Maker, broker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "RECEIPT_CHECK_NS", 20_000_000)
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port, receipts=ReceiptPolicy(mode="always", timeout_s=0.05))
    for n in range(3):
        made.publisher.submit(alert(n))
    wait_until(lambda: len(fake.alerts()) > 3, within_s=30, what="an alert again")
    assert made.publisher.stats().unreceipted > 0
    assert set(fake.alerts()) == {0, 1, 2}
    fake.says(RECEIPT, receipt(2))
    wait_until(lambda: made.publisher.stats().receipts_seen == 1, within_s=20, what="the receipt")

    def is_quiet() -> bool:
        stats = made.publisher.stats()
        return stats.unreceipted == stats.queued_alerts == stats.in_flight == 0

    wait_until(is_quiet, within_s=20, what="the end of what was on its way when the receipt came")
    sent = len(fake.alerts())
    made.publisher.submit(alert(3))
    wait_until(lambda: fake.alerts().count(3) >= 2, within_s=30, what="only the new alert again")
    assert set(fake.alerts()[sent:]) == {3}


def test_without_any_receipt_nothing_is_sent_again(
    bench: Maker, broker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "RECEIPT_CHECK_NS", 20_000_000)
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port, receipts=ReceiptPolicy(mode="auto", timeout_s=0.001))
    for n in range(3):
        made.publisher.submit(alert(n))
    wait_until(lambda: len(fake.alerts()) == 3, within_s=20, what="three alerts")
    for n in range(20):
        made.publisher.submit(position(n))
        wait_until(lambda n=n: made.publisher.stats().delivered == 4 + n, within_s=20, what="turns of the thread")  # type: ignore[misc]
    assert fake.alerts() == [0, 1, 2]
    fake.says(RECEIPT, receipt(0))
    wait_until(lambda: len(fake.alerts()) > 3, within_s=30, what="the unconfirmed ones, once receipts are in use")
    assert 0 not in fake.alerts()[3:]


def test_event_that_the_provider_rejects_is_told(bench: Maker, broker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.publisher.submit(alert(0))
    wait_until(lambda: made.publisher.stats().delivered == 1, within_s=20, what="PUBACK")
    fake.says(RECEIPT, b'{"source":"urn:t1","id":"t1-0","state":"rejected"}')
    wait_until(lambda: made.publisher.stats().receipts_seen == 1, within_s=20, what="the receipt")
    assert "the provider rejects event t1-0 of urn:t1" in caplog.text


def test_broker_that_forgot_gets_again_what_it_had_acknowledged(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept, KNOWN)
    made = bench(fake.port)
    for n in range(5):
        made.publisher.submit(alert(n))
    wait_until(lambda: made.publisher.stats().delivered == 5, within_s=20, what="five PUBACKs")
    fake.drop()
    wait_until(lambda: made.publisher.stats().connects == 2, within_s=20, what="a session that was kept")
    assert fake.alerts() == [0, 1, 2, 3, 4]
    assert not made.troubles
    fake.greeting = fake.greeting[:2] + b"\0" + fake.greeting[3:]
    fake.drop()
    trouble = made.wait_trouble(DeliveryTroubleKind.AMNESIA)
    assert "kept nothing of the session" in trouble.detail
    wait_until(lambda: len(fake.alerts()) == 10, within_s=20, what="all five again")
    assert fake.alerts()[5:] == [0, 1, 2, 3, 4]
    fake.says("em/v1/t/provider/desk/status", b'{"state":"online"}')
    wait_until(lambda: len(fake.alerts()) == 15, within_s=20, what="all five once more, for the reader who came back")
    fake.greeting = KNOWN
    fake.drop()
    made.wait_trouble(DeliveryTroubleKind.AMNESIA, is_over=True)


def test_first_connection_to_a_broker_is_no_amnesia(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.publisher.submit(alert(0))
    wait_until(lambda: fake.alerts() == [0], within_s=20, what="the alert")
    assert not made.troubles


@needs_mosquitto
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_denial_is_found_by_the_canary_and_nothing_is_lost_by_it(
    tmp_path: Path, bench: Maker, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MQTT 3.1.1 has no other sign: the broker acknowledges what it denies, and drops it."""
    monkeypatch.setattr(canary_module, "PATIENCE_NS", 300_000_000)
    acl = tmp_path / "acl"
    # Its status it may write: mosquitto 2.0 may end a connection of MQTT 5 by which a publish was denied.
    acl.write_text("topic read #\ntopic readwrite em/v1/t/bridge/b/status\n")
    acl.chmod(0o700)
    with special(tmp_path, f"acl_file {acl}") as real, subscriber(real.host, real.port) as found:
        made = bench(real.port, version, canary=CANARY)
        for n in range(3):
            made.publisher.submit(alert(n))
        trouble = made.wait_trouble(DeliveryTroubleKind.CANARY_LOST)
        assert "check what the broker's access list lets this bridge write" in trouble.detail
        assert made.publisher.stats().canary == "never"
        # it may end a connection meanwhile; what was under way then is sent again
        delivered = 3 if version == "3.1.1" else 0
        wait_until(
            lambda: made.publisher.stats().delivered == delivered, within_s=20, what="PUBACKs of what was denied"
        )
        acl.write_text("topic readwrite #\n")
        process = real._process
        assert process is not None
        process.send_signal(1)
        made.wait_trouble(DeliveryTroubleKind.CANARY_LOST, is_over=True)
        assert made.publisher.stats().canary == "ok"
        if version == "3.1.1":
            found.wait_for(lambda: numbers(found) == [0, 1, 2], within_s=20, what="the alerts that had been dropped")


def test_subscription_refused_by_code_is_told_and_its_grant_as_well(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    fake.grant = lambda topic: 0x87 if topic.endswith("/cmd") else 1
    made = bench(fake.port)
    trouble = made.wait_trouble(DeliveryTroubleKind.SUBSCRIPTION_REFUSED)
    assert "refuses us em/v1/t/bridge/b/cmd: nothing comes in" in trouble.detail
    fake.grant = lambda _: 1
    fake.drop()
    made.wait_trouble(DeliveryTroubleKind.SUBSCRIPTION_REFUSED, is_over=True)
    assert fake.subscribed[:3] == ["em/v1/t/bridge/b/receipt", "em/v1/t/provider/+/status", "em/v1/t/bridge/b/cmd"]


def test_broker_that_routes_nothing_is_found_by_the_canary(
    bench: Maker, broker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_module, "PATIENCE_NS", 100_000_000)
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port, canary=CANARY)
    wait_until(lambda: made.publisher.stats().canary == "ok", within_s=20, what="the canary's return")
    fake.echoes = False
    trouble = made.wait_trouble(DeliveryTroubleKind.CANARY_LOST)
    assert "does not come back" in trouble.detail
    assert made.publisher.stats().canary == "late"
    fake.echoes = True
    made.wait_trouble(DeliveryTroubleKind.CANARY_LOST, is_over=True)


def test_canary_that_is_refused_or_met_nobody_is_lost_at_once(bench: Maker, broker: Maker) -> None:
    for code in (0x87, 0x10):
        fake: ScriptedBroker = broker(lambda topic, _, code=code: code if topic.endswith("/canary") else 0)
        made = bench(fake.port, canary=CANARY)
        assert "is answered by" in made.wait_trouble(DeliveryTroubleKind.CANARY_LOST).detail


@needs_mosquitto
def test_two_bridges_with_one_id_say_so(mosquitto: Mosquitto, bench: Maker) -> None:
    one, other = bench(mosquitto.port), bench(mosquitto.port)
    for made in (one, other):
        trouble = made.wait_trouble(DeliveryTroubleKind.TAKEN_OVER)
        assert "another client uses our client id 'bridge-t'" in trouble.detail
    other.publisher.close(0.0)
    one.wait_trouble(DeliveryTroubleKind.TAKEN_OVER, is_over=True)


@needs_mosquitto
def test_provider_that_dies_leaves_nobody_listening(mosquitto: Mosquitto, bench: Maker) -> None:
    made = bench(mosquitto.port)
    made.wait_connected()
    assert made.publisher.stats().provider_online is None
    topic = "em/v1/t/provider/desk/status"
    desk = paho.Client(CallbackAPIVersion.VERSION2, client_id="desk")
    desk.will_set(topic, b'{"state":"offline"}', qos=1, retain=True)
    desk.connect(mosquitto.host, mosquitto.port)
    desk.loop_start()
    try:
        desk.publish(topic, b'{"state":"online"}', qos=1, retain=True).wait_for_publish(20)
        wait_until(lambda: made.publisher.stats().provider_online is True, within_s=20, what="the provider")
        sock = desk.socket()
        assert sock is not None
        sock.shutdown(2)  # type: ignore[union-attr]
        made.wait_trouble(DeliveryTroubleKind.NOBODY_LISTENS)
    finally:
        end_client(desk)


@needs_mosquitto
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_command_comes_in_with_what_its_sender_added(mosquitto: Mosquitto, bench: Maker, version: str) -> None:
    made = bench(mosquitto.port, version)
    made.wait_connected()
    sender = paho.Client(CallbackAPIVersion.VERSION2, client_id="p", protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "answers/here", b"\0\xff"
    sender.connect(mosquitto.host, mosquitto.port)
    sender.loop_start()
    try:
        body = b"x" * 100_000
        sender.publish("em/v1/t/bridge/b/cmd", body, qos=1, properties=properties).wait_for_publish(20)
        wait_until(lambda: bool(made.inbound), within_s=20, what="the command")
    finally:
        end_client(sender)
    (command,) = made.inbound
    assert command.body == body
    expected = ("answers/here", b"\0\xff") if version == "5" else (None, None)
    assert (command.response_topic, command.correlation) == expected


@needs_mosquitto
def test_refused_and_unknown_messages_are_counted(mosquitto: Mosquitto, bench: Maker) -> None:
    made = bench(mosquitto.port)
    made.wait_connected()
    sender = paho.Client(CallbackAPIVersion.VERSION2, client_id="p")
    sender.connect(mosquitto.host, mosquitto.port)
    sender.loop_start()
    try:
        for body in (b"", b"\xff\xfe", b"{}", b'{"source":"unknown","upto":3}'):
            sender.publish(RECEIPT, body, qos=1).wait_for_publish(20)
        wait_until(lambda: made.publisher.stats().receipts_seen == 1, within_s=20, what="the good one")
    finally:
        end_client(sender)
    assert made.publisher.stats().inbound_refused == 3


def test_message_that_is_no_mqtt_text_ends_the_connection_not_the_thread(bench: Maker, broker: Maker) -> None:
    fake: ScriptedBroker = broker(accept)
    made = bench(fake.port)
    made.wait_connected()
    live = fake._live[-1]
    live.sendall(b"\x30\x05\x00\x02\xff\xfe\x00")
    wait_until(lambda: made.publisher.stats().connects == 2, within_s=20, what="a new connection")
    assert any("what is not MQTT" in state.detail for state in made.states)
