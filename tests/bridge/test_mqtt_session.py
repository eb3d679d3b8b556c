"""What goes on the wire, compared with paho's own encoder; and in how many calls."""

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.mqtt.session import READ_AHEAD_BYTES, _Client, _PublishProperties
from bridge.publisher import Lane, Message
from protocols.mqtt.messages import CONTENT_TYPE


@pytest.mark.parametrize("expiry_s", [None, 30])
@pytest.mark.parametrize("pairs", [(), (("id", "01M8"), ("source", "urn:em:é")), (("long", "x" * 200),) * 90])
def test_properties_are_those_that_paho_would_pack(expiry_s: int | None, pairs: tuple[tuple[str, str], ...]) -> None:
    message = Message(topic="t", body=b"", lane=Lane.ALERT, expiry_s=expiry_s, properties=pairs)
    theirs = Properties(PacketTypes.PUBLISH)
    theirs.PayloadFormatIndicator = 1
    theirs.ContentType = CONTENT_TYPE
    if expiry_s is not None:
        theirs.MessageExpiryInterval = expiry_s
    if pairs:
        theirs.UserProperty = list(pairs)
    again = Properties(PacketTypes.PUBLISH)
    packed = _PublishProperties(message).pack()
    again.unpack(packed)
    assert again.json() == theirs.json()
    assert len(packed) == len(theirs.pack())


@pytest.fixture
def wire() -> Iterator[tuple[_Client, socket.socket]]:
    """A client and the other end of its connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        client = _Client(CallbackAPIVersion.VERSION2, client_id="c")
        client._sock = ours
        yield client, theirs


def test_packets_that_are_gathered_leave_together(wire: tuple[_Client, socket.socket]) -> None:
    client, theirs = wire
    client.gather()
    assert [client._sock_send(part) for part in (b"one", b"two")] == [3, 3]
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    client.send_gathered()
    assert theirs.recv(100) == b"onetwo"
    assert client._sock_send(b"three") == 5
    assert theirs.recv(100) == b"three"


def test_what_the_socket_does_not_take_goes_before_what_comes_later(wire: tuple[_Client, socket.socket]) -> None:
    client, theirs = wire
    parts = [bytes([n]) * 100_000 for n in range(50)]
    client.gather()
    for part in parts:
        client._sock_send(part)
    client.send_gathered()
    assert client.unsent, "no socket buffers five megabytes"
    client._sock_send(b"last")
    got = bytearray()
    while client.unsent:
        got += theirs.recv(1_000_000)
        client.send_gathered()
    while len(got) < 5_000_004:
        got += theirs.recv(1_000_000)
    assert got == b"".join(parts) + b"last"


def test_connection_that_is_gone_is_told_when_gathered_packets_leave(wire: tuple[_Client, socket.socket]) -> None:
    client, theirs = wire
    client.gather()
    client._sock_send(b"one")
    theirs.close()
    with pytest.raises(OSError, match="pipe"):
        client.send_gathered()


def test_packets_that_came_together_are_read_in_one_call(wire: tuple[_Client, socket.socket]) -> None:
    client, theirs = wire
    theirs.send(b"@\x02\x00\x01" * 100)
    assert client._sock_recv(1) == b"@"
    assert client.has_ahead
    assert client._sock_recv(399) == (b"@\x02\x00\x01" * 100)[1:]
    assert not client.has_ahead
    with pytest.raises(BlockingIOError):
        client._sock_recv(1)
    theirs.send(b"x" * 2 * READ_AHEAD_BYTES)
    assert client._sock_recv(2 * READ_AHEAD_BYTES) == b"x" * 2 * READ_AHEAD_BYTES
    theirs.close()
    assert client._sock_recv(1) == b""
