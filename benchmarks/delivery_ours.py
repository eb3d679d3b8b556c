"""Our publisher with its outbox on disk, driven as the peers are."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchmarks.delivery_load import ALERT_BYTES, body_of, number_of, topic_of, wait_until_ns
from bridge.mqtt.presence import Presence
from bridge.mqtt.publisher import BrokerState, MqttPublisher
from bridge.mqtt.settings import MqttSettings, PathSettings
from bridge.outbox.durable import DurableOutbox
from bridge.publisher import Lane, Message
from devices.clock import SystemClock
from protocols.mqtt.words import OnOff

STATUS_TOPIC = "em/v1/ours/bridge/bench/status"


def message_of(number: int, size: int, lane: Lane, stream: str) -> Message:
    """One message of the load, numbered in its tag's stream."""
    topic = topic_of("ours", number, stream)
    return Message(
        topic=topic,
        body=body_of(number, size),
        lane=lane,
        owner=topic.split("/")[4],
        event_id=f"{stream}-{number}",
        source=topic,
        sequence=number + 1,
    )


def _state(state: OnOff, reason: str) -> Message:
    body = body_of(0, 200) + f"{state}, {reason}".encode()
    return Message(topic=STATUS_TOPIC, body=body, lane=Lane.STATE, retain=True)


class CountingOutbox(DurableOutbox):
    """The product's outbox; notes when each alert was acknowledged."""

    acked_ns: dict[int, int]
    wanted: int
    all_acked: threading.Event
    _bodies: dict[int, bytes]

    def watch(self) -> None:
        """Begin to note."""
        self.acked_ns, self.wanted, self.all_acked, self._bodies = {}, -1, threading.Event(), {}

    def find_next(self, path: int, now_mono_ns: int):  # type: ignore[no-untyped-def]
        """Remember what is sent."""
        entry = super().find_next(path, now_mono_ns)
        if entry is not None and entry.message.topic.endswith("/alert"):
            self._bodies[entry.number] = entry.message.body
        return entry

    def mark_delivered(self, path: int, number: int, now_mono_ns: int) -> None:
        """Note the moment."""
        super().mark_delivered(path, number, now_mono_ns)
        body = self._bodies.pop(number, None)
        if body is not None:
            self.acked_ns[number_of(body)] = time.monotonic_ns()
            if len(self.acked_ns) == self.wanted:
                self.all_acked.set()


def make_publisher(outbox: DurableOutbox, host: str, port: int, version: str) -> tuple[MqttPublisher, threading.Event]:
    """Make a publisher on an outbox; not started. The event is set once it is connected."""
    up = threading.Event()

    def on_state(state: BrokerState) -> None:
        if state.connected:
            up.set()

    mqtt: Literal["5", "3.1.1"] = "5" if version == "5" else "3.1.1"
    endpoint = MqttSettings(host=host, port=port, client_id="ours", version=mqtt)
    publisher = MqttPublisher(
        paths=[PathSettings(endpoints=(endpoint,))],
        outbox=outbox,
        clock=SystemClock(),
        presence=Presence(topic=STATUS_TOPIC, make=_state),
        on_state=on_state,
    )
    return publisher, up


class Ours:
    """The product's publisher: on disk before it is sent."""

    def __init__(self, host: str, port: int, version: str, folder: Path) -> None:
        self._outbox, _ = CountingOutbox.open(folder, paths=1, clock=SystemClock())
        self._outbox.watch()
        self._publisher, up = make_publisher(self._outbox, host, port, version)
        self._publisher.start()
        assert up.wait(20)

    def run(self, numbers: range, due_ns: Callable[[int], int]) -> list[tuple[int, int, int]]:
        """See ``Contender``."""
        self._outbox.acked_ns.clear()
        self._outbox.all_acked.clear()
        self._outbox.wanted = len(numbers)
        for index, number in enumerate(numbers):
            wait_until_ns(due_ns(index))
            self._publisher.submit(message_of(number, ALERT_BYTES, Lane.ALERT, "alert"))
        assert self._outbox.all_acked.wait(120)
        return [(n, due_ns(i), self._outbox.acked_ns[n]) for i, n in enumerate(numbers)]

    def close(self) -> None:
        """See ``Contender``."""
        self._publisher.close(5)
