"""Orders while the bridge runs: worked out beside the loop, kept on disk, then put in place in one turn of it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bridge.orders.batch import Orders, Prepared, Taken, prepare
from bridge.orders.book import OrderCommand
from bridge.orders.handover import Handover
from bridge.publisher import Message, Saved
from devices.clock import Clock
from protocols.mqtt.messages import OrderResult
from protocols.mqtt.refusal import Refusal, RefusalReason

_log = logging.getLogger(__name__)

MAX_WAITING = 256
"""Commands about orders that wait. An order may hold a megabyte; more would be memory at a peer's word."""

MAX_BATCH = 64
"""Commands worked out together: the plan is built once for all of them. More would delay the answer to the first."""

KEEP_TIMEOUT_S = 10.0
"""How long a batch may take to be on disk. A disk that takes longer is one that does not work."""

LOOK_S = 60.0
"""How long at most until the wall clock is looked at again: it may be set while an order waits for its day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a command. ``saves``: to be kept with the answer, because it was not carried out after all."""

    answer: OrderResult | Refusal
    saves: tuple[Saved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    command: OrderCommand
    accept: Callable[[tuple[Saved, ...]], Message]
    done: asyncio.Future[Done]


class OrderDesk:
    """Carries out commands about orders, and lets orders begin and end at their times.

    Parameters
    ----------
    orders : Orders
        What is judged by at the start.
    clock : Clock
    replan : callable
        Puts a plan in place; called in the loop.
    keep : callable
        Submits messages and waits for their commit.
    must_be_kept : bool
        False: there is no disk to keep anything on, and an order is forgotten at the end.
    """

    def __init__(
        self,
        orders: Orders,
        *,
        clock: Clock,
        replan: Callable[[Handover], None],
        keep: Callable[[Sequence[Message], float], Awaitable[bool]],
        must_be_kept: bool,
    ) -> None:
        self.orders = orders
        self._clock = clock
        self._replan = replan
        self._keep = keep
        self._must_be_kept = must_be_kept
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()

    async def do(self, command: OrderCommand, accept: Callable[[tuple[Saved, ...]], Message]) -> Done:
        """Carry out a command; ``accept`` makes the message that keeps it."""
        if len(self._waiting) >= MAX_WAITING:
            detail = f"{MAX_WAITING} commands about orders wait already"
            return Done(answer=Refusal(reason=RefusalReason.BUSY, detail=detail))
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(command=command, accept=accept, done=done))
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wait()
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            await self._carry_out(batch)

    async def _wait(self) -> None:
        """Wait for a command, or for an order's time."""
        while not self._waiting:
            self._wake.clear()
            now_utc_ns = self._clock.utc_ns()
            if {id(each) for each in self.orders.book.in_force(now_utc_ns)} != {id(o) for o in self.orders.in_force}:
                return
            due_utc_ns = self.orders.book.find_next_change_utc_ns(now_utc_ns)
            wait_ns = int(LOOK_S * 1e9) if due_utc_ns is None else min(int(LOOK_S * 1e9), due_utc_ns - now_utc_ns)
            sleep = asyncio.ensure_future(self._clock.sleep_until(self._clock.mono_ns() + wait_ns))
            woken = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait({sleep, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                woken.cancel()

    async def _carry_out(self, batch: list[_Waiting]) -> None:
        prepared = await self._prepare([each.command for each in batch])
        if prepared is None:
            await self._carry_out_singly(batch)
            return
        taken = [
            (each, answer) for each, answer in zip(batch, prepared.answers, strict=True) if isinstance(answer, Taken)
        ]
        kept = not taken or await self._is_kept([each.accept(answer.saves) for each, answer in taken])
        if kept:
            self._put_in_place(prepared)
        for each, answer in zip(batch, prepared.answers, strict=True):
            if not each.done.done():
                each.done.set_result(self._done(answer, kept))

    async def _carry_out_singly(self, batch: list[_Waiting]) -> None:
        """Find which of some commands cannot be worked out; the others are carried out."""
        if len(batch) > 1:
            for each in batch:
                await self._carry_out([each])
            return
        detail = "it could not be worked out; the bridge's log has more"
        for each in batch:
            if not each.done.done():
                each.done.set_result(Done(answer=Refusal(reason=RefusalReason.INTERNAL, detail=detail)))

    async def _prepare(self, commands: list[OrderCommand]) -> Prepared | None:
        """Work commands out in a thread; None: an error of ours, which touched nothing that is in use."""
        try:
            return await asyncio.to_thread(prepare, self.orders, commands, self._clock.utc_ns())
        except Exception:  # noqa: BLE001 - logged and answered; a bridge that ends would judge nobody
            _log.exception("orders could not be worked out; nothing was changed")
            if not commands:
                # Not an order's doing but its time: tried again when the clock is looked at next.
                await self._clock.sleep_until(self._clock.mono_ns() + int(LOOK_S * 1e9))
            return None

    async def _is_kept(self, messages: Sequence[Message]) -> bool:
        return await self._keep(messages, KEEP_TIMEOUT_S) or not self._must_be_kept

    def _put_in_place(self, prepared: Prepared) -> None:
        if prepared.handover is not None:
            self._replan(prepared.handover)
        self.orders = prepared.orders

    @staticmethod
    def _done(answer: Taken | Refusal, kept: bool) -> Done:
        if isinstance(answer, Refusal):
            return Done(answer=answer)
        if kept:
            return Done(answer=answer.result)
        detail = f"it was not on disk within {KEEP_TIMEOUT_S:g} s, so nothing was changed"
        return Done(answer=Refusal(reason=RefusalReason.NOT_KEPT, detail=detail), saves=answer.undo)
