"""One connection to a broker: the bridge's only door to paho.

paho remembers messages over a reconnect and sends them all at once, newer ones first. Here a connection is an object:
a new one has a new client, so that nothing of paho's can outlive it, and order stays with the outbox. Callbacks append
to a plain list and do nothing else: an exception in one, or a lock taken in one, would stop paho without a sign.
"""

import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.errors import OutboxUnsendableError
from bridge.mqtt.events import Acknowledged, Closed, Connected, Received, Refused, SessionEvent, Subscribed
from bridge.mqtt.settings import MqttSettings as MqttSettings
from bridge.mqtt.settings import TlsSettings as TlsSettings
from bridge.publisher import Message
from protocols.mqtt.messages import CONTENT_TYPE

CONNECT_TIMEOUT_S = 2.0
"""For TCP and TLS each. A broker that takes longer is down for our purpose; more delays the next attempt."""

SESSION_EXPIRY_S = 604_800
"""Seven days: the broker keeps our session over a weekend's outage, so that its own view of order survives."""

WILL_DELAY_S = 5
"""A reconnect within this time shows no "offline" to the provider; more delays a true one."""

USER_TIMEOUT_MS = 5_000
"""Unacknowledged TCP data older than this closes the socket (Linux). Without it a black hole is noticed after minutes;
it is above the PUBACK watchdog, which names the cause better."""

DEFAULT_RECEIVE_MAXIMUM = 65_535

MAX_INBOUND_BYTES = 1_114_112
"""Largest packet that we take (MQTT 5 tells the broker): a signed order of 1 MiB and its envelope. A longer one would
be held in memory as a whole before anybody can refuse it."""

INBOUND_WINDOW = 100
"""Messages that the broker may send us without our PUBACK (MQTT 5): what waits in between stays with the broker."""

MAX_READS = 200
"""Packets read in one turn from what is here already; more would let a flood keep alerts from going out."""

READ_AHEAD_BYTES = 4_096
"""Read at once, so that the PUBACKs of a whole window cost one call. More only lets a flood in; less costs calls."""

_NOT_MQTT = (ValueError, TypeError, LookupError, AssertionError, struct.error, MQTTException)
"""What paho's parser raises on bytes of another protocol; none of it may end the thread that reads them."""


class _Client(paho.Client):
    """paho with few calls to the kernel: by itself it makes three per packet that comes, and one per packet that goes.

    Each gives up the interpreter's lock, which an event loop that is busy gives back milliseconds later.
    """

    _ahead = b""
    _at = 0
    _is_gathering = False

    @property
    def has_ahead(self) -> bool:
        """Whether something was read that paho has not seen yet."""
        return self._at < len(self._ahead)

    @functools.cached_property
    def unsent(self) -> bytearray:
        """What was gathered, or what the socket did not take of it; paho takes it for sent."""
        return bytearray()

    def gather(self) -> None:
        """Begin to keep what is to be sent, until ``send_gathered``."""
        self._is_gathering = True

    def send_gathered(self) -> None:
        """Send what was kept, as far as the socket takes it.

        Raises
        ------
        OSError
            The connection is gone.
        """
        self._is_gathering = False
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: super()._sock_send(self.unsent)]

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.has_ahead:
            if bufsize >= READ_AHEAD_BYTES:
                return super()._sock_recv(bufsize)
            self._ahead, self._at = super()._sock_recv(READ_AHEAD_BYTES), 0
        part = self._ahead[self._at : self._at + bufsize]
        self._at += len(part)
        return part

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if not self._is_gathering and not self.unsent:
            return super()._sock_send(buf)
        self.unsent.extend(buf)
        return len(buf)


class MqttSession:
    """A connection, driven by the caller's own loop in the caller's own thread.

    Parameters
    ----------
    settings : MqttSettings
    will : Message
        Published by the broker if this connection ends without ``close``.
    tls : ssl.SSLContext or None
        Built once by the owner: loading authorities takes milliseconds.
    is_wanted : callable
        Asked once the connection stands and before the broker learns our client id: it would end an earlier one.

    Raises
    ------
    OSError
        The broker cannot be reached. ``ssl.SSLError`` is one.
    ValueError
        The settings cannot be used; ``UnicodeError``: the host is not a name that can be looked up.
    """

    def __init__(
        self,
        settings: MqttSettings,
        will: Message,
        tls: ssl.SSLContext | None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._is_v5 = settings.version == "5"
        self._is_wanted = is_wanted
        self._events: list[SessionEvent] = []
        self._client = client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if self._is_v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if tls is not None:
            client.tls_set_context(tls)
            client.tls_insecure_set(not tls.check_hostname)
        client.will_set(will.topic, will.body, qos=1, retain=will.retain, properties=self._will_properties(will))
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.MaximumPacketSize = MAX_INBOUND_BYTES
            properties.ReceiveMaximum = INBOUND_WINDOW
            client.connect(settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=properties)
        else:
            client.connect(settings.host, settings.port, settings.keepalive_s)

    @property
    def find_socket(self) -> socket.socket | None:
        """The socket to wait on; None once the connection is gone."""
        sock = self._client.socket()
        return sock if isinstance(sock, socket.socket) else None

    @property
    def wants_write(self) -> bool:
        """Whether packets wait for the socket to take them."""
        return self._client.want_write() or bool(self._client.unsent)

    def read(self) -> None:
        """Read what has come; call when the socket is readable."""
        try:
            self._client.loop_read()
            reads = 1
            while reads < MAX_READS and self.has_unread:
                self._client.loop_read()
                reads += 1
        except _NOT_MQTT as exc:
            self._events.append(Closed(reason=f"the broker sent what is not MQTT ({type(exc).__name__}: {exc})"))

    @property
    def has_unread(self) -> bool:
        """Whether something is here that nobody has read, of which the socket will not tell."""
        sock = self.find_socket
        if sock is None:
            return False
        return self._client.has_ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)

    def write(self) -> None:
        """Write what waits; call when the socket is writable."""
        self._send_gathered()
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Send a ping when it is due, notice a missing answer; call at least once a second."""
        self._client.loop_misc()

    def publish(self, message: Message, body: bytes) -> int | None:
        """Send with QoS 1. Returns the packet id, or None if the connection is gone.

        Raises
        ------
        OutboxUnsendableError
            No packet can hold it.
        """
        with _packing():
            properties = _PublishProperties(message) if self._is_v5 else None
            info = self._client.publish(message.topic, body, qos=1, retain=message.retain, properties=properties)
        return info.mid if info.rc == paho.MQTT_ERR_SUCCESS else None

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Let what is sent inside leave together, in one call."""
        self._client.gather()
        try:
            yield
        finally:
            self._send_gathered()

    def _send_gathered(self) -> None:
        try:
            self._client.send_gathered()
        except OSError as exc:
            self._events.append(Closed(reason=f"nothing can be sent: {exc.strerror or exc}"))

    def subscribe(self, filters: Sequence[str]) -> int | None:
        """Ask for topics with QoS 1. Returns the packet id, or None if the connection is gone."""
        if self._is_v5:
            result, packet_id = self._client.subscribe([(each, SubscribeOptions(qos=1)) for each in filters])
        else:
            result, packet_id = self._client.subscribe([(each, 1) for each in filters])
        return packet_id if result == paho.MQTT_ERR_SUCCESS else None

    def packet_bytes(self, message: Message, body: bytes) -> int:
        """Length of the whole packet that ``publish`` would send; raises as it does."""
        with _packing():
            properties = len(_PublishProperties(message).pack()) if self._is_v5 else 0
            rest = 2 + len(message.topic.encode()) + 2 + properties + len(body)
            return 1 + len(_variable_length(rest)) + rest

    def take_events(self) -> list[SessionEvent]:
        """Hand over what the callbacks noted, in order."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Disconnect in order: the broker keeps the will to itself."""
        self._client.disconnect()
        self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """Drop the connection as it is; the broker publishes the will."""
        sock = self.find_socket
        if sock is not None:
            sock.close()

    def _on_connect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason_code.is_failure:
            self._events.append(Refused(code=reason_code.value, reason=str(reason_code)))
            return
        maximum = getattr(properties, "ReceiveMaximum", None)
        longest = getattr(properties, "MaximumPacketSize", None)
        self._events.append(
            Connected(
                session_present=flags.session_present,
                receive_maximum=maximum if isinstance(maximum, int) else DEFAULT_RECEIVE_MAXIMUM,
                maximum_packet_bytes=longest if isinstance(longest, int) else None,
            )
        )

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._events.append(Closed(reason=str(reason_code), code=reason_code.value))

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._events.append(Acknowledged(packet_id=mid, code=reason_code.value, reason=str(reason_code)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason_codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._events.append(Subscribed(packet_id=mid, codes=tuple(code.value for code in reason_codes)))

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        response_topic = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)
        self._events.append(
            Received(
                topic=message.topic,
                body=bytes(message.payload),
                is_retained=message.retain,
                response_topic=response_topic if isinstance(response_topic, str) else None,
                correlation=correlation if isinstance(correlation, bytes) else None,
            )
        )

    def _on_socket_open(self, _client: paho.Client, _userdata: object, sock: object) -> None:
        """Tune the socket; without TCP_NODELAY three alerts at once cost a round trip each."""
        if not isinstance(sock, socket.socket):
            return
        if not self._is_wanted():
            sock.close()
            raise ConnectionAbortedError("the connection came too late")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

    def _will_properties(self, will: Message) -> Properties | None:
        if not self._is_v5:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.PayloadFormatIndicator = 1
        properties.ContentType = CONTENT_TYPE
        properties.WillDelayInterval = WILL_DELAY_S
        properties.UserProperty = list(will.properties)
        return properties


@contextlib.contextmanager
def _packing() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OverflowError, struct.error, MQTTException) as exc:
        raise OutboxUnsendableError(f"no packet can hold it: {exc}") from exc


class _PublishProperties(Properties):
    """Properties of a publish, encoded here.

    paho builds four tables per object and searches them for every field, which took more time than all the rest of a
    publish together. Layout (MQTT 5, 2.2.2): length as a variable byte integer, then per property its identifier and
    value.
    """

    _packed: bytes

    def __init__(self, message: Message) -> None:
        # Not the base class's: that builds the tables.
        parts = [_FIXED_PROPERTIES]
        if message.expiry_s is not None:
            parts.append(b"\x02" + message.expiry_s.to_bytes(4))
        for name, value in message.properties:
            parts += (_user_property(name), _text(value))
        fields = b"".join(parts)
        object.__setattr__(self, "_packed", _variable_length(len(fields)) + fields)

    def pack(self) -> bytes:
        """Return what goes on the wire."""
        return self._packed


@functools.lru_cache(maxsize=256)
def _user_property(name: str) -> bytes:
    """Encode the identifier and the name; there are few names and many messages."""
    return b"\x26" + _text(name)


def _text(value: str) -> bytes:
    """Encode text with its length in two bytes."""
    encoded = value.encode()
    return len(encoded).to_bytes(2) + encoded


def _variable_length(number: int) -> bytes:
    """Encode seven bits per byte, lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


_FIXED_PROPERTIES = b"\x01\x01" + b"\x03" + _text(CONTENT_TYPE)
"""Payload format 1 (UTF-8) and content type: the CloudEvents binding asks for them in structured mode."""
