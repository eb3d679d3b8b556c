"""An MQTT subscriber that lives in its caller's event loop: no thread, so that its caller decides when time passes."""

import asyncio
import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices.clock import Clock
from rig.errors import BenchBrokenError
from rig.provider.address import read_address

SESSION_EXPIRY_S: Final = 86_400
"""The broker keeps what comes while this subscriber is away, seconds: longer than any outage that is played."""

MARK_TOPIC: Final = "rig/mark"
"""Where the subscriber writes to itself: what the broker took before a mark has come once the mark has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """One message as it came; ``properties`` are MQTT 5 user properties."""

    topic: str
    body: bytes
    retain: bool
    qos: int
    properties: dict[str, str]
    t_mono_ns: int


class LoopSubscriber:
    """Subscribes with QoS 1; the broker keeps its session.

    Parameters
    ----------
    url : str
    filters : tuple of str
    clock : Clock
        Stamps arrival.
    client_id : str
    version : {"5", "3.1.1"}
    take : callable
        Given each message, in order.
    """

    def __init__(
        self,
        url: str,
        filters: tuple[str, ...],
        *,
        clock: Clock,
        client_id: str,
        version: Literal["5", "3.1.1"],
        take: Callable[[Came], None],
    ) -> None:
        self._host, self._port, _ = read_address(url)
        self._loop = asyncio.get_running_loop()
        self._mark_topic = f"{MARK_TOPIC}/{client_id}"
        self._filters = (*filters, self._mark_topic)
        self._clock = clock
        self._take = take
        self._is_v5 = version == "5"
        self._marks = itertools.count(1)
        self._last_mark = 0
        self._seen_mark = 0
        self.is_subscribed = False
        self.detail = "not yet connected"
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._is_v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    def connect(self) -> None:
        """Connect to a broker that listens; it is subscribed once ``is_subscribed``.

        Raises
        ------
        BenchBrokenError
            Nobody listens.
        """
        try:
            if self._is_v5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = SESSION_EXPIRY_S
                # no keepalive: on virtual time hours pass in which nothing is said
                self._client.connect(self._host, self._port, 0, clean_start=False, properties=properties)
            else:
                self._client.connect(self._host, self._port, 0)
        except OSError as exc:
            raise BenchBrokenError(
                f"the subscriber cannot reach the broker at {self._host}:{self._port}: {exc.strerror or exc}"
            ) from exc

    @property
    def is_waiting(self) -> bool:
        """Whether a mark is on its way."""
        return self.is_subscribed and self._seen_mark < self._last_mark

    def mark(self) -> None:
        """Write a mark: ``is_waiting`` until all that the broker took before has come."""
        self._last_mark = next(self._marks)
        self._client.publish(self._mark_topic, str(self._last_mark).encode(), qos=1)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()

    # Called by paho in the loop's thread.

    def _on_socket_open(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(sock, self._client.loop_read)

    def _on_socket_close(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _on_register_write(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        self._loop.add_writer(sock, self._client.loop_write)

    def _on_unregister_write(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _on_connect(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.detail = str(reason)
        if not reason.is_failure:
            client.subscribe([(each, 1) for each in self._filters])

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.is_subscribed = False
        self._seen_mark = self._last_mark
        self.detail = str(reason)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [each for each, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        self.is_subscribed = not refused
        self.detail = "subscribed" if not refused else f"the broker refused {', '.join(refused)}"

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        if message.topic == self._mark_topic:
            self._seen_mark = max(self._seen_mark, int(message.payload))
            return
        self._take(
            Came(
                topic=message.topic,
                body=bytes(message.payload),
                retain=message.retain,
                qos=message.qos,
                properties=dict(getattr(message.properties, "UserProperty", ())),
                t_mono_ns=self._clock.mono_ns(),
            )
        )
