"""An independent subscriber and small builders for the bridge's tests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support import wait_until


@dataclass
class Heard:
    """One message at the subscriber."""

    topic: str
    body: bytes
    retain: bool
    t_mono_ns: int

    @property
    def json(self) -> dict:  # type: ignore[type-arg]
        return msgspec.json.decode(self.body)


@dataclass
class Subscriber:
    """A plain paho client in its own thread, with a persistent session."""

    heard: list[Heard] = field(default_factory=list)
    connects: int = 0
    client: paho.Client | None = None
    subscribed: threading.Event = field(default_factory=threading.Event)

    def on(self, suffix: str) -> list[Heard]:
        return [m for m in list(self.heard) if m.topic.endswith(suffix)]

    def alerts(self) -> list[dict]:  # type: ignore[type-arg]
        return [m.json for m in self.on("/alert")]

    def wait_for(self, condition: Callable[[], bool], *, within_s: float = 10, what: str) -> None:
        wait_until(condition, within_s=within_s, what=what)


@contextmanager
def subscriber(host: str, port: int, *, topic: str = "#", client_id: str = "provider") -> Iterator[Subscriber]:
    """Subscribe with QoS 1 and wait until the broker granted it."""
    found = Subscriber()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.reconnect_delay_set(0.05, 0.5)  # type: ignore[arg-type]

    def on_connect(c: paho.Client, *_: object) -> None:
        found.connects += 1
        c.subscribe(topic, qos=1)

    def on_message(_c: paho.Client, _u: object, message: paho.MQTTMessage) -> None:
        found.heard.append(
            Heard(topic=message.topic, body=message.payload, retain=message.retain, t_mono_ns=time.monotonic_ns())
        )

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: found.subscribed.set()
    found.client = client
    client.connect_async(host, port, keepalive=20)
    client.loop_start()
    try:
        assert found.subscribed.wait(10), f"no subscription at {host}:{port}"
        yield found
    finally:
        client.disconnect()
        client.loop_stop()
