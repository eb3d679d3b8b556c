"""A publisher in a process of its own that may be killed: the real thread, the real outbox, numbered messages.

    python -m tests.delivery.worker '{"folder": "...", "endpoints": [["127.0.0.1:1883"]], ...}'

It writes each message down before it is submitted, and again once its commit was reported. Orders come as lines of JSON
on standard input, each answered with one line; it ends with its standard input.
"""

import faulthandler
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from bridge.mqtt.presence import Presence
from bridge.mqtt.settings import MqttSettings, PathSettings
from bridge.publisher import Lane, Message, PublisherStats
from devices.clock import SystemClock
from protocols.mqtt.ids import epoch_id
from protocols.mqtt.words import OnOff
from tests.delivery.assembly import Assembly
from tests.delivery.lines import LineWriter
from tests.delivery.traffic import BRIDGE_ID, ROOT, make_message, source_of

CLIENT_ID = "bridge-acceptance"

AHEAD_MAX = 2_000
"""Messages that a job without a rate has under way to the disk."""

SHORT_REST = {"bridge.outbox.path_queue:RETRY_UNHEARD_NS": 200_000_000}
"""What a quick form does not wait for: two seconds before an alert that nobody was subscribed to is tried again."""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages for the tags in turn; ``rate_hz`` 0: as fast as they are committed."""

    count: int
    rate_hz: float = 0.0
    lane: Literal["alert", "position"] = "alert"
    tags: int = 10
    first_tag: int = 0


STATUS = f"{ROOT}/bridge/{BRIDGE_ID}/status"


def _status(state: OnOff, reason: str) -> Message:
    return Message(
        topic=STATUS, body=msgspec.json.encode({"state": state, "reason": reason}), lane=Lane.STATE, retain=True
    )


class WorkerPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``endpoints``: one list per path. ``hostile``: callbacks that raise, once each. ``constants``: waits of the
    product that a test cannot wait for, such as ``{"bridge.mqtt.canary:PATIENCE_NS": 500_000_000}``."""

    folder: str
    endpoints: tuple[tuple[str, ...], ...]
    jobs: tuple[Job, ...] = ()
    version: Literal["5", "3.1.1"] = "5"
    client_id: str = CLIENT_ID
    username: str | None = None
    password: str | None = None
    outbox: str | None = None
    canary_s: float | None = None
    receipt_timeout_s: float | None = None
    spare_descriptors: int = 0
    hostile: tuple[str, ...] = ()
    constants: dict[str, int] = {}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``submit``: do a job besides; ``stats``; ``replay`` of a stream; ``close`` and end."""

    do: Literal["submit", "stats", "replay", "close"]
    job: Job | None = None
    source: str = ""
    first: int = 0
    last: int = 0
    timeout_s: float = 10.0


@dataclass(slots=True)
class _Running:
    messages: Iterator[Message]
    interval_ns: int
    due_ns: int


class Worker:
    def __init__(self, plan: WorkerPlan) -> None:
        self.plan = plan
        folder = Path(plan.folder)
        self.clock = SystemClock()
        self.epoch = epoch_id(t_utc_ns=self.clock.utc_ns(), entropy=os.urandom(10))
        self._submitted = LineWriter(folder / "submitted")
        self._given = self._committed = 0
        self._confirmed = LineWriter(folder / "confirmed")
        self.happened: deque[str] = deque(maxlen=10_000)
        self._held = [os.open("/dev/null", os.O_RDONLY) for _ in range(plan.spare_descriptors)]
        paths = tuple(
            PathSettings(
                name=name,
                endpoints=tuple(
                    MqttSettings(
                        host=host,
                        port=int(port),
                        client_id=plan.client_id,
                        version=plan.version,
                        username=plan.username,
                        password=plan.password,
                    )
                    for host, _, port in (each.rpartition(":") for each in endpoints)
                ),
            )
            for name, endpoints in zip(("main", "second"), plan.endpoints, strict=False)
        )
        self.assembly = Assembly(
            plan,
            paths,
            self.clock,
            epoch=self.epoch,
            presence=Presence(topic=STATUS, make=_status),
            on_committed=self._on_committed,
            say=self.happened.append,
        )
        self._last = dict(self.assembly.sequences)
        self._running = [self._begin(job) for job in plan.jobs]

    def _on_committed(self, messages: Any, durable: bool) -> None:
        self._committed += len(messages)
        self._confirmed.write(_line(each, durable=durable) for each in messages if each.source)

    def _begin(self, job: Job) -> _Running:
        interval_ns = int(1e9 / job.rate_hz) if job.rate_hz else 0
        return _Running(self._make(job), interval_ns, time.monotonic_ns())

    def _make(self, job: Job) -> Iterator[Message]:
        lane = Lane.ALERT if job.lane == "alert" else Lane.POSITION
        for n in range(job.count):
            tag = f"t{job.first_tag + n % job.tags}"
            source = source_of(tag, lane)
            sequence = self._last[source] = self._last.get(source, 0) + 1
            yield make_message(
                tag,
                sequence,
                lane=lane,
                epoch=self.epoch,
                t_utc_ns=self.clock.utc_ns(),
                t_mono_ns=time.monotonic_ns(),
            )

    def run(self) -> None:
        """Submit what is due, answer orders, until told to close."""
        pending = b""
        while True:
            wait_s = self._submit_due()
            readable, _, _ = select.select([0], [], [], wait_s)
            if not readable:
                continue
            read = os.read(0, 65_536)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                if not self._obey(msgspec.json.decode(line, type=Order)):
                    return

    def _submit_due(self) -> float | None:
        waits = [60.0]
        for job in list(self._running):
            burst = 200
            if not job.interval_ns and self._given - self._committed > AHEAD_MAX:
                waits.append(0.001)
                continue
            while job.due_ns <= time.monotonic_ns() and burst:
                burst -= 1
                message = next(job.messages, None)
                if message is None:
                    self._running.remove(job)
                    break
                self._submitted.write([_line(message, durable=True)])
                self._given += 1
                self.assembly.publisher.submit(message)
                job.due_ns += job.interval_ns
            else:
                waits.append(max(0.0, (job.due_ns - time.monotonic_ns()) / 1e9))
        return min(waits)

    def _obey(self, order: Order) -> bool:
        publisher = self.assembly.publisher
        if order.do == "submit":
            assert order.job is not None
            self._running.append(self._begin(order.job))
            _say({"jobs": len(self._running)})
        elif order.do == "replay":
            _say({"replayed": self.assembly.replay(order.source, order.first, order.last)})
        elif order.do == "stats":
            _say(self._stats(publisher.stats()))
        else:
            while self._running:
                self._submit_due()
            left = publisher.close(order.timeout_s)
            _say({"left": left, **self._stats(publisher.stats())})
            return False
        return True

    def _stats(self, stats: PublisherStats) -> dict[str, Any]:
        known = msgspec.to_builtins(stats)
        return {**known, "jobs": len(self._running), "happened": list(self.happened)}


def _line(message: Message, *, durable: bool) -> str:
    return f"{message.source}\t{message.sequence}\t{message.event_id}\t{int(durable)}"


def _say(what: dict[str, Any]) -> None:
    os.write(1, msgspec.json.encode(what) + b"\n")


def main(plan: bytes) -> None:
    """Be the publisher that a plan describes."""
    given = msgspec.json.decode(plan, type=WorkerPlan)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(name)s %(levelname)s %(message)s")
    for where, value in given.constants.items():
        module, _, name = where.partition(":")
        assert hasattr(sys.modules[module], name), where
        setattr(sys.modules[module], name, value)
    worker = Worker(given)
    worker.assembly.publisher.start()
    _say({"ready": True, "recovered": worker.assembly.recovered})
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1].encode())
