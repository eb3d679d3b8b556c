"""An MQTT subscriber that hands messages over a queue and reconnects for ever."""

import queue
import sys
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from devices.clock import Clock
from rig.provider.address import advise, advise_refused, make_tls_context, read_address

QUEUE_SIZE = 100_000
"""Messages between the network thread and the printer. A full queue stops the reading, so the broker's flow control
holds the rest back (BLOCK); nothing is dropped."""

RECONNECT_LAST_S = 5
"""Longest wait between attempts; a person looks at this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message as it came."""

    topic: str
    body: bytes
    retain: bool
    t_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWord:
    """Something about the connection, for a person."""

    text: str
    is_error: bool


class Subscriber:
    """Subscribes with QoS 1 to some topics of a broker.

    Parameters
    ----------
    url : str
        ``mqtt://`` or ``mqtts://``.
    filters : tuple of str
    clock : Clock
        Stamps arrival.
    client_id : str or None
        Given: the broker keeps the session and what comes while we are away. None: a passing visitor.
    username, password : str or None
    ca_file, cert_file, key_file : Path or None
        The authority that signed the broker's certificate, and a certificate of ours with its key.

    Raises
    ------
    BrokerAddressError
        The URL is not that of a broker, or a certificate file cannot be used.
    """

    def __init__(
        self,
        url: str,
        filters: tuple[str, ...],
        *,
        clock: Clock,
        client_id: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        self._host, self._port, tls = read_address(url)
        self._filters = filters
        self._was_let_in = False
        self._clock = clock
        self.queue: queue.Queue[Heard | LinkWord] = queue.Queue(QUEUE_SIZE)
        # 3.1.1 is spoken by every broker there is; nothing here needs more.
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or "",
            clean_session=client_id is None,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.reconnect_delay_set(1, RECONNECT_LAST_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        if username is not None:
            client.username_pw_set(username, password)
        if tls:
            client.tls_set_context(make_tls_context(ca_file, cert_file, key_file))

    def start(self) -> None:
        """Connect in the background, now and whenever the connection is lost."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        client = self._client
        client.disconnect()
        client.loop_stop()
        # Paho closes the pair that wakes its thread when it is freed: at once, once nothing in it leads back to here.
        client.on_connect = client.on_connect_fail = client.on_disconnect = None
        client.on_subscribe = client.on_message = None

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self.queue.put(LinkWord(text=text, is_error=is_error))

    def _on_connect(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._say(f"the broker refused: {reason}. {advise_refused(str(reason))}", is_error=True)
            return
        self._was_let_in = True
        client.subscribe([(each, 1) for each in self._filters])

    def _on_connect_fail(self, _client: paho.Client, _userdata: object) -> None:
        exc = sys.exc_info()[1]  # paho calls this where it handles the error, and does not pass it on
        why = f" ({exc})" if exc is not None else ""
        self._say(f"no broker at {self._host}:{self._port}{why}; trying again. {advise(exc)}", is_error=True)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            step = "" if self._was_let_in else f". {advise_refused(str(reason))}"
            self._say(f"connection lost: {reason}; trying again{step}", is_error=True)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [each for each, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        if refused:
            nothing = len(refused) == len(self._filters)
            self._say(f"the broker refused to subscribe us to {', '.join(refused)}", is_error=nothing)
        else:
            self._say(f"subscribed at {self._host}:{self._port}")

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self.queue.put(
            Heard(
                topic=message.topic, body=bytes(message.payload), retain=message.retain, t_mono_ns=self._clock.mono_ns()
            )
        )
