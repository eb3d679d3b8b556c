"""What a running pipeline publishes, against the table of topics and the published schemas."""

import json
from pathlib import Path

import jsonschema
import pytest

from bridge.mqtt import canary
from bridge.publisher import Lane, Message
from protocols.mqtt import messages as m
from protocols.mqtt.samples import samples
from protocols.mqtt.schema import json_schemas
from protocols.mqtt.table import CANARY_EXPIRY_S, Channel, Direction, find_channel
from protocols.mqtt.topics import find_topic
from protocols.reports import Closure, Jamming
from tests.bridge.bench import Bench

VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in json_schemas().items()}


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    """A wearer who enters a zone, comes near her, opens his strap, falls silent, and comes back."""
    bench = Bench(tmp_path, zones='zones = ["z-ex", "z-in"]')
    for north_m in (1500, 900, 450, 40, 20, 3000):
        bench.fix("her", 0)
        bench.fix("tag", north_m)
        bench.wait(1)
    bench.status(strap=Closure.OPEN, battery_pct=4, jamming=Jamming.CRITICAL)
    bench.wait(400)
    bench.status()
    bench.fix("tag", 5000)
    composer, utc_ns = bench.composer, bench.clock.utc_ns()
    beat = next(each.event for each in samples() if isinstance(each.event, m.HeartbeatEvent))
    about_itself = [composer.bridge_status("online", "started", utc_ns), composer.heartbeat(beat.data, utc_ns)]
    return [*bench.messages, *about_itself]


def channel_of(message: Message) -> Channel:
    topic = find_topic(message.topic)
    assert topic is not None, message.topic
    channel = find_channel(topic.side, topic.stream)
    assert channel is not None, f"{message.topic} is not in the table"
    return channel


def test_every_message_follows_its_schema(messages: list[Message]) -> None:
    seen = set()
    for message in messages:
        channel = channel_of(message)
        VALIDATORS[channel.name].validate(json.loads(message.body))
        seen.add(channel.name)
    assert seen >= {
        "tag_alert",
        "tag_active",
        "tag_position",
        "tag_status",
        "protected_alert",
        "protected_status",
        "bridge_heartbeat",
    }


def test_every_message_is_sent_as_the_table_says(messages: list[Message]) -> None:
    for message in messages:
        channel = channel_of(message)
        assert channel.direction is not Direction.IN
        assert (message.retain, message.expiry_s) == (channel.retain, channel.expiry_s), message.topic
        counted = message.lane is Lane.ALERT
        assert counted is (message.alert_type is not None)
        if counted:
            assert message.alert_type is channel.body


def test_canary_expires_as_the_table_says() -> None:
    assert canary.EXPIRY_S == CANARY_EXPIRY_S
