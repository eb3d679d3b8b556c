"""An independent subscriber in a process of its own: a plain paho client that writes each message down, then takes it.

    python -m tests.delivery.reader '{"endpoints": ["127.0.0.1:1883"], ...}'

It says ``subscribed`` for each subscription that a broker granted, and ends on SIGTERM or with its standard input.
"""

import hashlib
import os
import re
import select
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Literal

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.delivery.lines import LineFile, LineWriter

WATCH_S = 5.0
"""A broker that answers no ping for this long is left for the next endpoint."""


_DELIVERY = re.compile(rb'"delivery":\{[^{}]*\}')
_ONLINE = b'{"state":"online"}'
_OFFLINE = b'{"state":"offline"}'


class ReaderPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``receipts_to``: topic for cumulative receipts after each message; ``status_to``: where it says that it is there,
    and the broker that it is gone; None: neither is sent."""

    endpoints: tuple[str, ...]
    ledger: str
    topics: tuple[str, ...]
    client_id: str = "provider"
    version: Literal["5", "3.1.1"] = "5"
    receipts_to: str | None = None
    status_to: str | None = None
    username: str | None = None
    password: str | None = None


class _Head(msgspec.Struct):
    class Data(msgspec.Struct):
        delivery: dict[str, object] = msgspec.field(default_factory=dict)
        trace: dict[str, object] = msgspec.field(default_factory=dict)

    id: str = "-"
    source: str = "-"
    sequence: str = "0"
    data: Data = msgspec.field(default_factory=Data)


_head_decoder = msgspec.json.Decoder(_Head)


def line_of(topic: str, body: bytes, t_mono_ns: int) -> str:
    """One line of the ledger; the digest leaves out what a repeated sending may change."""
    head = _head_decoder.decode(body)
    digest = hashlib.blake2b(_DELIVERY.sub(b"", body), digest_size=8).hexdigest()
    delivery = head.data.delivery
    return "\t".join(
        str(part)
        for part in (
            t_mono_ns,
            topic,
            head.source,
            int(head.sequence),
            head.id,
            delivery.get("attempt", 1),
            int(bool(delivery.get("durable", True))),
            head.data.trace.get("submitted_mono_ns", 0),
            digest,
        )
    )


class Reader:
    def __init__(self, plan: ReaderPlan) -> None:
        self._plan = plan
        self._numbers: dict[str, set[int]] = defaultdict(set)
        self._complete: dict[str, int] = defaultdict(int)
        for _, _, source, sequence, *_ in LineFile(Path(plan.ledger)).read_new():
            self._take(source, int(sequence))
        self._ledger = LineWriter(Path(plan.ledger))
        self._next = 0
        self._is_v5 = plan.version == "5"
        self.client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=plan.client_id,
            clean_session=None if self._is_v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = 1.0
        if plan.username is not None:
            client.username_pw_set(plan.username, plan.password)
        if plan.status_to is not None:
            client.will_set(plan.status_to, _OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def run(self) -> None:
        """Read for ever; each lost connection is followed by the next endpoint."""
        while not _is_over():
            host, port = self._plan.endpoints[self._next % len(self._plan.endpoints)].rsplit(":", 1)
            self._next += 1
            properties = None
            if self._is_v5:
                properties = Properties(PacketTypes.CONNECT)
                properties.SessionExpiryInterval = 3600
            try:
                if self._is_v5:
                    self.client.connect(host, int(port), keepalive=4, clean_start=False, properties=properties)
                else:
                    self.client.connect(host, int(port), keepalive=4)
            except OSError:
                time.sleep(0.05)  # the pause of a client between two attempts
                continue
            began = time.monotonic()
            while self.client.loop(0.5) == paho.MQTT_ERR_SUCCESS and not _is_over():
                if not self.client.is_connected() and time.monotonic() - began > WATCH_S:
                    break
            if (sock := self.client.socket()) is not None:
                sock.close()
        self._ledger.close()

    def _on_connect(self, client: paho.Client, _u: object, _f: object, code: object, _p: object) -> None:
        if not code.is_failure:  # type: ignore[attr-defined]
            client.subscribe([(topic, 1) for topic in self._plan.topics])

    def _on_subscribe(self, _c: object, _u: object, _m: object, codes: list[object], _p: object) -> None:
        refused = [str(code) for code in codes if code.is_failure]  # type: ignore[attr-defined]
        if self._plan.status_to is not None:
            self.client.publish(self._plan.status_to, _ONLINE, qos=1, retain=True)
        _say("subscribed" if not refused else f"refused {refused}")

    def _on_message(self, client: paho.Client, _u: object, message: paho.MQTTMessage) -> None:
        line = line_of(message.topic, message.payload, time.monotonic_ns())
        self._ledger.write([line])
        if self._plan.receipts_to is not None and message.topic.endswith("/alert"):
            _, _, source, sequence, *_ = line.split("\t")
            receipt = {"source": source, "upto": f"{self._take(source, int(sequence)):020}"}
            client.publish(self._plan.receipts_to, msgspec.json.encode(receipt), qos=1)

    def _take(self, source: str, sequence: int) -> int:
        """Number up to which this stream is complete: a cumulative receipt says no more than that."""
        numbers = self._numbers[source]
        numbers.add(sequence)
        while self._complete[source] + 1 in numbers:
            self._complete[source] += 1
            numbers.discard(self._complete[source])
        return self._complete[source]


def _is_over() -> bool:
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and not os.read(0, 1)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main(plan: bytes) -> None:
    """Be the subscriber that a plan describes."""
    Reader(msgspec.json.decode(plan, type=ReaderPlan)).run()


if __name__ == "__main__":
    main(sys.argv[1].encode())
