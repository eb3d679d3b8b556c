"""The command desk: what came in on ``cmd`` is judged, carried out once, and answered.

::

    Inbound -> who signed it, for whom, when (signed) -> nonce -> Actions, OrderDesk -> done | failed
                     |                                    |            '-- accepted first where it takes time
                     '-- refused, with a reason: counted, logged, answered; nothing has changed
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import assert_never

from bridge.commands.actions import Acted, Actions
from bridge.commands.nonces import Nonces
from bridge.commands.replies import Replies
from bridge.commands.status import status_result
from bridge.compose import Composer
from bridge.orders.desk import OrderDesk
from bridge.publisher import Inbound, Saved
from devices.clock import Clock
from protocols.mqtt.commands import (
    AcknowledgeAlert,
    IncidentCap,
    LoadOrder,
    LocateNow,
    Ping,
    ReplaceOrder,
    Replay,
    ResendActive,
    SetInterval,
    StandDown,
    Status,
    Vibrate,
    Warn,
    WithdrawOrder,
)
from protocols.mqtt.messages import PongResult, StatusResult
from protocols.mqtt.refusal import Refusal, RefusalReason
from protocols.mqtt.signed import SignedCommand, read_command
from protocols.mqtt.times import utc_text
from protocols.mqtt.topics import find_topic

_log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 16 * 1_048_576
"""Bytes of commands that are not read yet: sixteen of the longest. More would be memory at a stranger's word."""

MAX_UNDER_WAY = 256
"""Commands that wait for a device, for the disk or for a plan. More are refused: the provider asks again."""

READ_HERE_BYTES = 32_768
"""Longer commands are read in a thread: a megabyte takes 30 ms, and the loop judges fixes meanwhile."""

ANSWER_STRANGERS_NS = 10_000_000_000
"""Refusals of what nobody known has signed are answered so often at most, for each reason: they are written to disk
and kept like alerts, and a stranger must not fill it. All are counted and logged."""

ANSWERS_AT_ONCE = 100
ANSWERS_PER_S = 1.0
"""Likewise, as a burst and a steady rate, of what is well signed and not taken: whoever overheard a command can send it
as often as he likes."""

_NOT_OURS = frozenset(
    {
        RefusalReason.UNKNOWN_DEVICE,
        RefusalReason.UNKNOWN_ORDER,
        RefusalReason.UNKNOWN_ALERT,
        RefusalReason.UNKNOWN_INCIDENT,
        RefusalReason.OUT_OF_RANGE,
    }
)
"""Where bridges share a configuration, a command to all of them is answered by those that it concerns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Whose commands are obeyed. ``key_pem`` None: nobody's. ``names`` are the bridge's own and the shared one."""

    key_pem: bytes | None
    issuer: str
    window_s: float
    names: frozenset[str]


class CommandDesk:
    """Judges and carries out commands, in the loop.

    Parameters
    ----------
    authority : Authority
    actions : Actions
    orders : OrderDesk
    replies : Replies
    nonces : Nonces
        Restored from an earlier start.
    composer : Composer
    clock : Clock
    """

    def __init__(
        self,
        *,
        authority: Authority,
        actions: Actions,
        orders: OrderDesk,
        replies: Replies,
        nonces: Nonces,
        composer: Composer,
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._actions = actions
        self._orders = orders
        self._replies = replies
        self._nonces = nonces
        self._composer = composer
        self._clock = clock
        self._started_mono_ns = clock.mono_ns()
        self._waiting: deque[Inbound] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._answered_mono_ns: dict[RefusalReason, int] = {}
        self._answers_left = float(ANSWERS_AT_ONCE)
        self._answers_mono_ns = self._started_mono_ns
        self.refusals: Counter[RefusalReason] = Counter()
        self.done = 0

    @property
    def refused(self) -> int:
        """Commands that were not taken."""
        return self.refusals.total()

    def take(self, inbound: Inbound) -> None:
        """Take what came in on ``cmd``; in the loop's thread."""
        if self._waiting_bytes + len(inbound.body) > MAX_WAITING_BYTES:
            self._turn_away(Refusal(reason=RefusalReason.BUSY, detail="too many commands wait to be read"))
            return
        self._waiting.append(inbound)
        self._waiting_bytes += len(inbound.body)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; commands under way are given up then, their senders get no answer."""
        orders = asyncio.create_task(self._orders.run(), name="orders")
        reader = asyncio.create_task(self._read(), name="commands")
        try:
            done, _ = await asyncio.wait({orders, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks = (orders, reader, *self._under_way)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            inbound = self._waiting.popleft()
            self._waiting_bytes -= len(inbound.body)
            await self._handle(inbound)
            # The loop judges fixes between any two commands.
            await asyncio.sleep(0)

    async def _handle(self, inbound: Inbound) -> None:
        signed = await self._find_signed(inbound)
        if isinstance(signed, Refusal):
            self._turn_away(signed)
            return
        shared = self._audience(inbound) != self._composer.identity.bridge_id
        refusal = self._find_doubt(signed)
        if refusal is not None:
            self._turn_away(refusal)
            return
        now_utc_ns = self._clock.utc_ns()
        self._act(signed, self._nonces.take(signed.nonce, signed.issued_utc_ns, now_utc_ns), shared)

    async def _find_signed(self, inbound: Inbound) -> SignedCommand | Refusal:
        authority = self._authority
        audience = self._audience(inbound)
        if authority.key_pem is None:
            detail = "this bridge was given no provider_key_file under [commands]: it obeys nobody"
            return Refusal(reason=RefusalReason.NO_PROVIDER_KEY, detail=detail)
        key_pem = authority.key_pem

        def read() -> SignedCommand | Refusal:
            """Judge the signature."""
            return read_command(
                inbound.body,
                key_pem=key_pem,
                issuer=authority.issuer,
                audience=audience,
                now_utc_ns=inbound.t_rx_utc_ns,
                window_s=authority.window_s,
            )

        return read() if len(inbound.body) <= READ_HERE_BYTES else await asyncio.to_thread(read)

    def _audience(self, inbound: Inbound) -> str:
        """For whom a command must be signed: the bridge on whose topic it came."""
        topic = find_topic(inbound.topic)
        own = self._composer.identity.bridge_id
        return topic.subject if topic is not None and topic.subject in self._authority.names else own

    def _find_doubt(self, signed: SignedCommand) -> Refusal | None:
        """Say why a good command is not taken."""
        reason: RefusalReason | None = None
        detail = ""
        if self._nonces.is_known(signed.nonce):
            reason, detail = RefusalReason.REPLAYED, "a command with this nonce was taken before"
        elif self._nonces.is_forgotten(signed.issued_utc_ns):
            reason, detail = RefusalReason.STALE, "later commands are forgotten already"
        elif self._nonces.is_full or len(self._under_way) >= MAX_UNDER_WAY:
            reason, detail = RefusalReason.BUSY, "too many commands are under way"
        if reason is None:
            return None
        return Refusal(reason=reason, detail=detail, nonce=signed.nonce, command=signed.name)

    # What is done

    def _act(self, signed: SignedCommand, saves: tuple[Saved, ...], shared: bool) -> None:
        """Carry out a command, at once or as a task; ``saves`` keeps its nonce."""
        command = signed.command
        match command:
            case LocateNow() | SetInterval() | Vibrate():
                refusal = self._actions.find_tag_refusal(command.tag)
                if refusal is not None:
                    self._settle(signed, refusal, saves, shared, at_once=True)
                    return
                self._replies.send_accepted(signed, saves)
                self._begin(signed, self._ask_tag(signed, command))
            case LoadOrder() | ReplaceOrder() if not self._actions.knows(command.order.wearer):
                detail = f"this bridge has no device {command.order.wearer!r}"
                refusal = Refusal(reason=RefusalReason.UNKNOWN_DEVICE, detail=detail)
                self._settle(signed, refusal, saves, shared, at_once=True)
            case LoadOrder() | ReplaceOrder() | WithdrawOrder():
                self._begin(signed, self._change_orders(signed, command, saves, shared))
            case Replay():
                self._begin(signed, self._replay(signed, command, saves, shared))
            case Warn() | StandDown():
                self._settle(signed, self._actions.warn(command), saves, shared, at_once=True)
            case AcknowledgeAlert():
                self._settle(signed, self._actions.acknowledge(command), saves, shared, at_once=True)
            case ResendActive():
                self._begin(signed, self._resend_active(signed, saves, shared))
            case IncidentCap():
                self._settle(signed, self._actions.render_cap(command), saves, shared, at_once=True)
            case Ping():
                self._settle(signed, Acted(result=self._pong()), saves, shared, at_once=True)
            case Status():
                self._settle(signed, Acted(result=self._status()), saves, shared, at_once=True)
            case _:
                assert_never(command)

    def _settle(
        self,
        signed: SignedCommand,
        outcome: Acted | Refusal,
        saves: tuple[Saved, ...],
        shared: bool,
        *,
        at_once: bool,
    ) -> None:
        """Answer a command. One that was refused at once has changed nothing; one under way has failed."""
        if isinstance(outcome, Acted):
            self.done += 1
            _log.info("command %s %s: done", signed.name, signed.nonce)
            self._replies.done(signed, outcome.result, (*saves, *outcome.saves))
            return
        refusal = Refusal(reason=outcome.reason, detail=outcome.detail, nonce=signed.nonce, command=signed.name)
        if at_once:
            self._note(refusal)
            if not (shared and refusal.reason in _NOT_OURS):
                self._replies.refused(refusal, saves)
        else:
            self._note(refusal, "failed")
            self._replies.failed(signed, refusal, saves)

    def _begin(self, signed: SignedCommand, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=f"command {signed.name}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            task.get_loop().call_exception_handler(
                {"message": "a command ended by an error", "exception": task.exception(), "task": task}
            )

    async def _ask_tag(self, signed: SignedCommand, command: LocateNow | SetInterval | Vibrate) -> None:
        self._settle(signed, await self._actions.ask_tag(command), (), False, at_once=False)

    async def _replay(self, signed: SignedCommand, command: Replay, saves: tuple[Saved, ...], shared: bool) -> None:
        self._settle(signed, await self._actions.replay(command), saves, shared, at_once=True)

    async def _resend_active(self, signed: SignedCommand, saves: tuple[Saved, ...], shared: bool) -> None:
        self._settle(signed, await self._actions.resend_active(), saves, shared, at_once=True)

    async def _change_orders(
        self,
        signed: SignedCommand,
        command: LoadOrder | ReplaceOrder | WithdrawOrder,
        saves: tuple[Saved, ...],
        shared: bool,
    ) -> None:
        """Change orders. The word that a command is accepted carries its order to the disk, before it is judged by."""
        done = await self._orders.do(command, lambda order: self._replies.accepted(signed, (*saves, *order)))
        answer = done.answer
        if isinstance(answer, Refusal):
            at_once = answer.reason is not RefusalReason.NOT_KEPT
            self._settle(signed, answer, (*(saves if at_once else ()), *done.saves), shared, at_once=at_once)
        else:
            self._settle(signed, Acted(result=answer), (), shared, at_once=False)

    def _pong(self) -> PongResult:
        identity = self._composer.identity
        return PongResult(bridge_time=utc_text(self._clock.utc_ns()), version=identity.version, epoch=identity.epoch)

    # What is refused

    def _turn_away(self, refusal: Refusal) -> None:
        """Refuse what nobody need have meant: a stranger's words, or a command that somebody sends again."""
        self._note(refusal)
        now_mono_ns = self._clock.mono_ns()
        if refusal.nonce is None:
            last = self._answered_mono_ns.get(refusal.reason)
            if last is not None and now_mono_ns - last < ANSWER_STRANGERS_NS:
                return
            self._answered_mono_ns[refusal.reason] = now_mono_ns
        else:
            gained = (now_mono_ns - self._answers_mono_ns) / 1e9 * ANSWERS_PER_S
            self._answers_left = min(float(ANSWERS_AT_ONCE), self._answers_left + gained)
            self._answers_mono_ns = now_mono_ns
            if self._answers_left < 1.0:
                return
            self._answers_left -= 1.0
        self._replies.refused(refusal)

    def _note(self, refusal: Refusal, became: str = "refused") -> None:
        self.refusals[refusal.reason] += 1
        name, nonce = refusal.command or "of nobody known", refusal.nonce or "-"
        _log.warning("command %s %s: %s: %s: %s", name, nonce, became, refusal.reason, refusal.detail or "-")

    def _status(self) -> StatusResult:
        return status_result(
            self._composer.identity,
            self._actions.views.values(),
            self._orders.orders.book,
            uptime_s=(self._clock.mono_ns() - self._started_mono_ns) / 1e9,
            commands_done=self.done,
            commands_refused=self.refused,
        )
