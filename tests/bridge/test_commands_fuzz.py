"""Whatever comes in: nothing raises, nothing changes by what is refused, each refusal has its reason."""

import asyncio
import itertools
import logging
import random
from collections import Counter
from pathlib import Path

import pytest

from bridge.commands import desk as desk_module
from bridge.mqtt.events import Received
from bridge.mqtt.inbound import InboundDesk, InboundTopics
from bridge.outbox.memory import MemoryOutbox
from protocols.mqtt.inbound import Receipt
from protocols.mqtt.refusal import RefusalReason
from tests.bridge.command_bench import CommandBench, running
from tests.bridge.inbound_fuzz import COMMAND, ROOT, Hostile, hostile

BATCH = 100
MS = 1_000_000


class _Counter(logging.Handler):
    """Counts what is logged, by reason; pytest's own handler would keep every line."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and {"refused", "failed"} & set(record.args):
            self.reasons[str(record.args[3])] += 1


class Fuzz:
    """Everything behind the inbound topics, and what of it may not change."""

    def __init__(self, bench: CommandBench) -> None:
        self.bench = bench
        self.outbox = MemoryOutbox(max_positions=10, clock=bench.clock)
        self.receipts = 0
        self.inbound = InboundDesk(
            topics=InboundTopics.beside(f"{ROOT}/bridge/b/status"),
            clock=bench.clock,
            take_receipt=self._take_receipt,
            take_canary=lambda _path, _canary: None,
            take_command=bench.room.desk.take,
            tell_listening=lambda _: None,
            tell_back=lambda _: None,
        )
        self.told, self.refused, self.commands, self.noted = len(bench.messages), 0, 0, 0
        self.before = (bench.fingerprint(), self.outbox.depths())

    def _take_receipt(self, receipt: Receipt) -> None:
        self.receipts += 1
        self.outbox.take_receipt(
            receipt.source, upto=receipt.upto, event_id=receipt.event_id, is_rejected=receipt.is_rejected
        )

    async def settle(self) -> None:
        """Wait until all that was put in is handled."""
        desk = self.bench.room.desk
        async with asyncio.timeout(60):
            while True:
                if not desk._waiting and not desk._under_way:
                    return
                await asyncio.sleep(0)

    async def run(self, count: int, seed: int) -> None:
        """What may be good goes in alone, so that it can be told what it did; the rest in batches."""
        rng = random.Random(seed)
        numbers = itertools.count()
        changes = waiting = 0
        for number in range(count):
            self.bench.clock._mono_ns += 20 * MS
            message = hostile(rng, self.bench.clock.utc_ns(), numbers)
            if message.may_be_good:
                await self._check(waiting, f"seed {seed}: one of the {waiting} before message {number}")
                waiting = 0
            self._put(message, rng)
            waiting += 1
            if message.may_be_good or waiting == BATCH:
                changes += await self._check(waiting, f"seed {seed}: message {number}")
                waiting = 0
        # Some of them were good after all: the fingerprint does see what is changed.
        assert changes

    def _put(self, message: Hostile, rng: random.Random) -> None:
        self.commands += message.topic == COMMAND
        self.inbound.take(0, Received(topic=message.topic, body=message.body, is_retained=rng.random() < 0.01))

    async def _check(self, count: int, what: str) -> bool:
        """Whether what was put in was taken; if not, nothing has changed, and each command has a reason."""
        if not count:
            return False
        await self.settle()
        bench, before = self.bench, self.before
        told = bench.messages[self.told :]
        taken = sum(b'"state":"done"' in m.body or b'"state":"accepted"' in m.body for m in told)
        refused = bench.room.desk.refused + self.inbound.refusals.total()
        after = (bench.fingerprint(), self.outbox.depths())
        assert refused - self.refused + taken >= self.commands, f"{what} has no answer"
        assert taken or self.receipts > self.noted or after == before, f"{what} changed something"
        self.told, self.refused, self.commands, self.noted = len(bench.messages), refused, 0, self.receipts
        self.before = after
        return bool(taken) and after != before


async def _fuzz(tmp_path: Path, count: int, seed: int) -> None:
    handler = _Counter()
    log = logging.getLogger(desk_module.__name__)
    log.addHandler(handler)
    log.propagate = False
    bench = CommandBench(tmp_path)
    # Within a ring: orders, zones and her tag have something to be judged by.
    bench.near(700)
    fuzz = Fuzz(bench)
    try:
        async with running(bench):
            await fuzz.run(count, seed)
            refusals = bench.room.desk.refusals
    finally:
        log.removeHandler(handler)
        log.propagate = True
    # Each refusal was logged with its reason.
    assert handler.reasons == {str(reason): n for reason, n in refusals.items()}
    expected = {
        RefusalReason.NOT_A_TOKEN,
        RefusalReason.BAD_SIGNATURE,
        RefusalReason.INVALID_FIELD,
        RefusalReason.UNKNOWN_COMMAND,
        RefusalReason.WRONG_ISSUER,
        RefusalReason.WRONG_AUDIENCE,
        RefusalReason.STALE,
        RefusalReason.INVALID_ZONES,
        RefusalReason.UNKNOWN_DEVICE,
    }
    assert expected <= set(refusals), f"seed {seed}: never met {sorted(expected - set(refusals))}"


async def test_hostile_messages_change_nothing(tmp_path: Path) -> None:
    await _fuzz(tmp_path, 20_000, seed=7)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_hostile_messages_change_nothing_for_long(tmp_path: Path, seed: int) -> None:
    await _fuzz(tmp_path, 100_000, seed)
