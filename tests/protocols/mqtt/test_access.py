"""Access lists as text; what brokers do with them stands in the integration tests."""

import pytest

from protocols.mqtt.access import Party, Role, grant_of, render_mosquitto, render_nats
from protocols.mqtt.table import CHANNELS, Direction, find_channel
from protocols.mqtt.topics import Side, Stream

ROOT = "em/v1/demo"


def test_every_topic_of_the_contract_has_a_writer_and_a_reader() -> None:
    bridge, provider = Party(role=Role.BRIDGE, name="b"), Party(role=Role.PROVIDER, name="b")
    for channel in CHANNELS:
        topic = channel.topic(ROOT, "+")
        own = channel.topic(ROOT, "b")
        writer, reader = (bridge, provider) if channel.direction is Direction.OUT else (provider, bridge)
        if channel.direction is Direction.BOTH:
            writer = reader = bridge
        assert {topic, own} & set(grant_of(writer, ROOT).write), channel
        assert {topic, own} & set(grant_of(reader, ROOT).read), channel


def test_only_a_bridge_and_a_provider_write() -> None:
    for role in set(Role) - {Role.BRIDGE, Role.PROVIDER}:
        assert grant_of(Party(role=role, name="x"), ROOT).write == ()


def test_a_wearer_side_reader_never_meets_the_protected_side() -> None:
    for role in (Role.WEARER_READER, Role.POLICE):
        assert not any("/protected/" in each for each in grant_of(Party(role=role, name="x"), ROOT).read)


def test_each_bridge_and_each_consumer_speaks_for_itself_only() -> None:
    bridge = grant_of(Party(role=Role.BRIDGE, name="bridge-1-2of8"), ROOT)
    assert f"{ROOT}/bridge/bridge-1-2of8/cmd" in bridge.read
    assert not any("/bridge/+" in each for each in (*bridge.read, *bridge.write))
    of_others = [each for each in (*bridge.read, *bridge.write) if "/bridge/" in each and "2of8" not in each]
    assert of_others == [f"{ROOT}/bridge/bridge-1/receipt", f"{ROOT}/bridge/bridge-1/cmd"], "those of the whole"
    provider = grant_of(Party(role=Role.PROVIDER, name="desk-2"), ROOT)
    assert [each for each in provider.write if "/provider/" in each] == [f"{ROOT}/provider/desk-2/status"]


def test_mosquitto_list_names_each_user_once() -> None:
    text = render_mosquitto([Party(role=role, name=f"n-{role.value.replace('_', '-')}") for role in Role], ROOT)
    assert [line.removeprefix("user n-") for line in text.splitlines() if line.startswith("user ")] == [
        role.value.replace("_", "-") for role in Role
    ]
    assert f"topic readwrite {ROOT}/bridge/n-bridge/canary" in text
    assert "#" not in "".join(line for line in text.splitlines() if line.startswith("topic")), "nothing by wildcard"


def test_nats_list_forbids_writing_in_words_where_nothing_may_be_written() -> None:
    text = render_nats([Party(role=Role.POLICE, name="police")], ROOT)
    assert 'publish: { deny: ">" }' in text
    assert "allow: []" not in text, "an empty list would allow everything"
    assert '"em.v1.demo.control.>"' in text
    assert "password" not in text


def test_nats_passwords_come_from_the_environment() -> None:
    text = render_nats([Party(role=Role.WEARER_READER, name="wearer-reader")], ROOT, by_password=True)
    assert "password: $TAGRIG_PASSWORD_WEARER_READER\n" in text


@pytest.mark.parametrize(
    ("side", "stream"), [(Side.TAG, Stream.INCIDENT), (Side.PROVIDER, Stream.ALERT), (Side.TAG, Stream.WARNING)]
)
def test_streams_that_no_side_has(side: Side, stream: Stream) -> None:
    assert find_channel(side, stream) is None


def test_alerts_never_expire_and_snapshots_are_kept() -> None:
    alert, active = find_channel(Side.TAG, Stream.ALERT), find_channel(Side.TAG, Stream.ACTIVE)
    assert alert is not None and active is not None
    assert (alert.expiry_s, alert.retain, active.retain) == (None, False, True)
    assert not [each.name for each in CHANNELS if each.stream in {Stream.ALERT, Stream.WARNING} and each.expiry_s]
