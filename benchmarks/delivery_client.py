"""One publisher in its own process: ours with its durable outbox, or a peer without one.

Run by ``test_delivery.py``: ``KIND HOST PORT VERSION FOLDER`` as arguments. A line on stdin is a block, ``COUNT RATE``
(rate 0: all at once); when all its messages are acknowledged, a JSON list of ``[number, asked ns, acknowledged ns]`` is
printed. Asked is when the message was due, not when the publisher came round to it: one that falls behind must not look
fast.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.delivery_load import ALERT_BYTES, LEAD_NS, body_of, topic_of, wait_until_ns
from benchmarks.delivery_ours import Ours


class Contender(Protocol):
    """A publisher that can be driven at a rate."""

    def run(self, numbers: range, due_ns: Callable[[int], int]) -> list[tuple[int, int, int]]:
        """Publish each number when it is due; return when all are acknowledged."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class PlainPaho:
    """paho with its own thread, as its documentation shows it: in memory only."""

    def __init__(self, host: str, port: int, version: str) -> None:
        self._acked: dict[int, int] = {}
        self._all = threading.Event()
        self._wanted = -1
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="plain-paho",
            protocol=MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311,
        )
        self._client.max_inflight_messages_set(100)
        self._client.on_publish = self._on_publish
        up = threading.Event()
        self._client.on_connect = lambda *_: up.set()
        self._client.connect(host, port)
        self._client.loop_start()
        assert up.wait(20)

    def _on_publish(self, _client: object, _userdata: object, mid: int, *_: object) -> None:
        self._acked[mid] = time.monotonic_ns()
        if len(self._acked) == self._wanted:
            self._all.set()

    def run(self, numbers: range, due_ns: Callable[[int], int]) -> list[tuple[int, int, int]]:
        """See ``Contender``."""
        self._acked.clear()
        self._all.clear()
        self._wanted = len(numbers)
        mids = []
        for index, number in enumerate(numbers):
            wait_until_ns(due_ns(index))
            mids.append(self._client.publish(topic_of("paho", number), body_of(number, ALERT_BYTES), 1).mid)
        assert self._all.wait(120)
        return [(n, due_ns(i), self._acked[mid]) for i, (n, mid) in enumerate(zip(numbers, mids, strict=True))]

    def close(self) -> None:
        """See ``Contender``."""
        self._client.disconnect()
        self._client.loop_stop()


class Aiomqtt:
    """aiomqtt on a loop of its own: one task a message, in memory only."""

    def __init__(self, host: str, port: int, version: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._connect(host, port, version))

    async def _connect(self, host: str, port: int, version: str) -> aiomqtt.Client:
        client = aiomqtt.Client(
            host,
            port,
            identifier="aiomqtt",
            protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
            max_inflight_messages=100,
        )
        # Its warning about many waiting calls is about memory, which a block bounds.
        client.pending_calls_threshold = 1_000_000
        return await client.__aenter__()

    def run(self, numbers: range, due_ns: Callable[[int], int]) -> list[tuple[int, int, int]]:
        """See ``Contender``."""

        async def one(number: int, due: int) -> tuple[int, int, int]:
            await self._client.publish(topic_of("aiomqtt", number), body_of(number, ALERT_BYTES), 1, timeout=120)
            return number, due, time.monotonic_ns()

        async def every() -> list[tuple[int, int, int]]:
            tasks = []
            for index, number in enumerate(numbers):
                due = due_ns(index)
                await asyncio.sleep(max(0, due - time.monotonic_ns()) / 1e9)
                tasks.append(asyncio.create_task(one(number, due)))
            return await asyncio.gather(*tasks)

        return self._loop.run_until_complete(every())

    def close(self) -> None:
        """See ``Contender``."""
        self._loop.run_until_complete(self._client.__aexit__(None, None, None))
        self._loop.close()


def main() -> None:
    kind, host, port, version, folder = sys.argv[1:6]
    contender: Contender
    if kind == "ours":
        contender = Ours(host, int(port), version, Path(folder))
    else:
        contender = (PlainPaho if kind == "paho" else Aiomqtt)(host, int(port), version)
    print("ready", flush=True)  # noqa: T201
    first = 0
    for line in sys.stdin:
        count, rate = line.split()
        numbers = range(first, first + int(count))
        first += int(count)
        start_ns = time.monotonic_ns() + LEAD_NS
        gap_ns = 1e9 / float(rate) if float(rate) else 0.0
        found = contender.run(numbers, lambda index, start=start_ns, gap=gap_ns: start + int(index * gap))  # type: ignore[misc]
        print(json.dumps(found), flush=True)  # noqa: T201
    contender.close()


if __name__ == "__main__":
    main()
