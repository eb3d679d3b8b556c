"""An MQTT client that tells what the broker answered: SUBACK and PUBACK codes, the session, the properties."""

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices.clock import Clock
from rig.errors import RigError
from rig.provider.address import advise, advise_refused, make_tls_context, read_address

QUEUE_SIZE = 100_000
"""Messages between the network thread and the check. A full queue stops the reading (BLOCK); nothing is dropped."""

SESSION_EXPIRY_S = 3_600
"""How long a broker keeps our session. A check takes minutes; one that is broken off must not fill a broker's disk."""

FIRST_FAILURE = 0x80
"""Lowest reason code by which a broker says no (MQTT 5, 2.4)."""

KEEPALIVE_S = 15
_LOOK_S = 0.2
"""How often a full queue looks whether anybody still empties it."""


class CheckClientError(RigError, ConnectionError):
    """The broker cannot be reached or refuses us, for example with a wrong password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerDoor:
    """How to reach a broker.

    ``url``: ``mqtt://host:port`` or ``mqtts://host:port``.
    """

    url: str
    version: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def address(self) -> tuple[str, int, bool]:
        """Host, port, and whether with TLS.

        Raises
        ------
        BrokerAddressError
            The URL is not that of a broker.
        """
        return read_address(self.url)

    def context(self) -> ssl.SSLContext | None:
        """Make what TLS needs; None without it.

        Raises
        ------
        BrokerAddressError
            The URL is not that of a broker, or a certificate file cannot be used.
        """
        if not self.address()[2]:
            return None
        return make_tls_context(self.ca_file, self.cert_file, self.key_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """One message as it came. ``properties`` are the MQTT 5 user properties; None on 3.1.1."""

    topic: str
    body: bytes
    retain: bool
    is_duplicate: bool
    properties: Mapping[str, str] | None
    content_type: str | None
    t_mono_ns: int
    t_utc_ns: int


class CheckClient:
    """One client id at a broker; connects when told, and never by itself.

    Parameters
    ----------
    door : BrokerDoor
    client_id : str
        Fixed, so that the broker keeps the session between two connections.
    clock : Clock
    will : tuple of (str, bytes), optional
        Topic and body that the broker says, retained, if we vanish.
    """

    def __init__(
        self, door: BrokerDoor, client_id: str, *, clock: Clock, will: tuple[str, bytes] | None = None
    ) -> None:
        self.queue: queue.Queue[Came] = queue.Queue(QUEUE_SIZE)
        self.drops = 0
        self._door = door
        self._client_id = client_id
        self._clock = clock
        self._will = will
        self._changed = threading.Condition()
        self._connack: tuple[ReasonCode, bool] | None = None
        self._answers: dict[int, list[ReasonCode]] = {}
        self._lost: str | None = None
        self._client: paho.Client | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return self._client is not None and self._lost is None

    @property
    def lost_reason(self) -> str | None:
        """Why the connection ended by itself."""
        return self._lost

    def connect(self, *, timeout_s: float, fresh: bool = False) -> bool:
        """Connect; True: the broker had kept our session. ``fresh``: have it forget what it kept.

        Raises
        ------
        CheckClientError
            Nobody answers, or the broker refuses.
        """
        host, port, _ = self._door.address()
        context = self._door.context()
        is_v5 = self._door.version == "5"
        self._connack = self._lost = None
        self._answers.clear()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_v5 else fresh,
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = timeout_s
        client.on_socket_open = _without_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        if self._door.username is not None:
            client.username_pw_set(self._door.username, self._door.password)
        if self._will is not None:
            client.will_set(self._will[0], self._will[1], qos=1, retain=True)
        try:
            if context is not None:
                client.tls_set_context(context)
            if is_v5:
                expiry = _properties(PacketTypes.CONNECT)
                expiry.SessionExpiryInterval = 0 if fresh else SESSION_EXPIRY_S
                client.connect(host, port, keepalive=KEEPALIVE_S, clean_start=fresh, properties=expiry)
            else:
                client.connect(host, port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as exc:
            raise CheckClientError(f"{self._door.url}: cannot connect: {exc}. {advise(exc)}") from exc
        self._client = client
        client.loop_start()
        connack, lost = self._await_connack(timeout_s)
        if connack is None or connack[0].is_failure:
            why = str(connack[0]) if connack is not None else lost or f"no answer for {timeout_s:g} s"
            self.drop()
            refused = f"the broker does not let {self._client_id!r} in: {why}"
            raise CheckClientError(f"{self._door.url}: {refused}. {advise_refused(why)}")
        return connack[1]

    def subscribe(self, filters: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Subscribe with QoS 1; gives those that were refused, or granted less, with the broker's word."""
        client = self._open_client()
        refused: dict[str, str] = {}
        # All are on their way before the first is waited for: a busy broker takes a second for each.
        asked = [(each, client.subscribe(each, qos=1)[1]) for each in filters]
        end_mono_ns = self._clock.mono_ns() + int(timeout_s * 1e9)
        for each, mid in asked:
            answer = self._await_answer(mid, max(0.0, (end_mono_ns - self._clock.mono_ns()) / 1e9))
            if answer is None:
                refused[each] = f"no answer for {timeout_s:g} s"
            elif answer[0].is_failure:
                refused[each] = str(answer[0])
            elif answer[0].value != 1:
                refused[each] = f"granted QoS {answer[0].value}, asked for 1"
        return refused

    def publish(
        self,
        topic: str,
        body: bytes,
        *,
        retain: bool = False,
        user_properties: Sequence[tuple[str, str]] = (),
        timeout_s: float,
    ) -> int | None:
        """Publish with QoS 1 and wait; gives the PUBACK's reason code, None without one."""
        told = self._send(topic, body, retain=retain, user_properties=user_properties)
        answer = self._await_answer(told, timeout_s)
        return None if answer is None else answer[0].value

    def publish_all(self, messages: Sequence[tuple[str, bytes]], *, timeout_s: float) -> int:
        """Publish with QoS 1, then wait for all; gives how many were acknowledged."""
        end_mono_ns = self._clock.mono_ns() + int(timeout_s * 1e9)
        told = [self._send(topic, body) for topic, body in messages]
        return sum(
            self._await_answer(mid, max(0.0, (end_mono_ns - self._clock.mono_ns()) / 1e9)) is not None for mid in told
        )

    def _send(
        self, topic: str, body: bytes, *, retain: bool = False, user_properties: Sequence[tuple[str, str]] = ()
    ) -> int:
        client = self._open_client()
        properties = None
        if self._door.version == "5":
            properties = _properties(PacketTypes.PUBLISH)
            properties.PayloadFormatIndicator = 1
            if user_properties:
                properties.UserProperty = list(user_properties)
        return client.publish(topic, body, qos=1, retain=retain, properties=properties).mid

    def find_next(self, timeout_s: float) -> Came | None:
        """Take the next message; None: none came."""
        try:
            return self.queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def disconnect(self) -> None:
        """Leave in order: the will stays unsaid."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def drop(self) -> None:
        """Vanish, as a crash does: no DISCONNECT, and the broker says the will."""
        client, self._client = self._client, None
        if client is None:
            return
        sock = client.socket()
        if isinstance(sock, socket.socket):
            # Shut down, not closed: the network thread owns the descriptor and must find its end in its own time.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        client.loop_stop()

    def _open_client(self) -> paho.Client:
        if self._client is None:
            raise CheckClientError(f"{self._door.url}: not connected: {self._lost or 'connect was not called'}")
        return self._client

    def _await_connack(self, timeout_s: float) -> tuple[tuple[ReasonCode, bool] | None, str | None]:
        with self._changed:
            self._changed.wait_for(lambda: self._connack is not None or self._lost is not None, timeout_s)
            return self._connack, self._lost

    def _await_answer(self, mid: int | None, timeout_s: float) -> list[ReasonCode] | None:
        if mid is None:
            return None
        with self._changed:
            self._changed.wait_for(lambda: mid in self._answers or self._lost is not None, timeout_s)
            return self._answers.pop(mid, None)

    def _answered(self, mid: int, reasons: list[ReasonCode]) -> None:
        with self._changed:
            self._answers[mid] = reasons
            self._changed.notify_all()

    def _on_connect(
        self, _client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            self._connack = (reason, flags.session_present)
            self._changed.notify_all()

    def _on_disconnect(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            if client is self._client:
                self.drops += 1
                self._lost = str(reason)
            elif self._connack is None:
                self._lost = str(reason)
            self._changed.notify_all()

    def _on_subscribe(
        self, _client: paho.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._answered(mid, reasons)

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._answered(mid, [reason])

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        came = Came(
            topic=message.topic,
            body=bytes(message.payload),
            retain=message.retain,
            is_duplicate=message.dup,
            properties=dict(getattr(properties, "UserProperty", ())) if properties is not None else None,
            content_type=getattr(properties, "ContentType", None),
            t_mono_ns=self._clock.mono_ns(),
            t_utc_ns=self._clock.utc_ns(),
        )
        while client is self._client:
            with contextlib.suppress(queue.Full):
                self.queue.put(came, timeout=_LOOK_S)
                return


def _without_delay(_client: paho.Client, _data: object, sock: object) -> None:
    """Send small packets at once: with Nagle's algorithm each answer to an answer takes 40 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho's own
