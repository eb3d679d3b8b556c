"""Both outboxes behind one set of calls, a clock that tests move, and messages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge.outbox.alert_lane import Entry
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.port import OutboxTrouble, Recovered
from bridge.publisher import Lane, Message

SECOND_NS = 1_000_000_000


@dataclass
class HandClock:
    """Both clocks stand until a test moves them."""

    mono: int = 1_000 * SECOND_NS
    utc: int = 1_780_000_000 * SECOND_NS

    def mono_ns(self) -> int:
        return self.mono

    def utc_ns(self) -> int:
        return self.utc

    async def sleep_until(self, mono_ns: int) -> None:
        raise NotImplementedError

    def advance(self, seconds: float) -> int:
        self.mono += int(seconds * SECOND_NS)
        self.utc += int(seconds * SECOND_NS)
        return self.mono


@dataclass
class OutboxBench:
    """An outbox under test; ``reopen`` starts it anew where it has a file."""

    folder: Path
    paths: int = 1
    max_positions: int = 10_000
    ballast_bytes: int = 0
    keep_ns: int = 30 * 86_400 * SECOND_NS
    clock: HandClock = field(default_factory=HandClock)
    troubles: list[OutboxTrouble] = field(default_factory=list)

    def open(self) -> tuple[DurableOutbox, Recovered]:
        return DurableOutbox.open(
            self.folder,
            paths=self.paths,
            clock=self.clock,
            max_positions=self.max_positions,
            keep_ns=self.keep_ns,
            ballast_bytes=self.ballast_bytes,
            on_trouble=self.troubles.append,
        )


def message(
    n: int, lane: Lane = Lane.ALERT, *, topic: str = "t/0", retain: bool = False, body: bytes | None = None
) -> Message:
    """The ``n``-th message of a stream that is named after its topic."""
    return Message(
        topic=topic,
        body=b"%d" % n if body is None else body,
        lane=lane,
        retain=retain,
        owner=topic.partition("/")[2],
        event_id=f"id-{topic}-{lane.name}-{n}",
        source=f"urn:{topic}:{lane.name}",
        sequence=n,
        properties=(("id", f"id-{n}"), ("source", f"urn:{topic}")),
    )


def taken(outbox: DurableOutbox, path: int = 0, now: int = 0, *, most: int = 1_000_000) -> list[bytes]:
    """Deliver all that can be sent; returns the bodies in the order of sending."""
    return [entry.message.body for entry in deliver(outbox, path, now, most=most)]


def deliver(outbox: DurableOutbox, path: int = 0, now: int = 0, *, most: int = 1_000_000) -> Iterator[Entry]:
    for _ in range(most):
        entry = outbox.find_next(path, now)
        if entry is None:
            return
        outbox.mark_delivered(path, entry.number, now)
        yield entry


def numbers(bodies: Sequence[bytes]) -> list[int]:
    return [int(body) for body in bodies]
