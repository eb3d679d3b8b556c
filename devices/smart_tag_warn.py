"""The warning that stands at one tag: what is to be written, who waits for it, when it counts as lost. Time is data.

The newest warning wins. One that is overtaken before the tag has shown it shares the fate of the one that took its
place: its receipt carries the newer ``warn_id``. A warning stands until a newer one is asked for, whatever became of
it: after a reconnect, and after a tag forgot it, it is written again.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from devices.ble_slots import Urgency
from devices.errors import WarnLoss, WarnLostError
from protocols.ble.smart_tag import WarnCommand, WarnLevel
from protocols.reports import TagEvent, TagEventKind, TagMode, TagState

WARN_PATIENCE_S = 10.0
"""s. How long a warning waits for a connection before it counts as lost. A tag in range is connected within two seconds
or three attempts; longer, and the provider learns too late that somebody else must reach her."""
ACK_S = 2.0
"""s. How long after the write the tag may take to say that it warns: two of the slowest connection intervals (a link
with latency) and a notification each way. Then its state is read, as the notification may be what was lost."""
CHECK_S = 3.0
"""s. How long after that the reading of the state may settle it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnReceipt:
    """What became of a warning that was not lost.

    Attributes
    ----------
    warn_id : int
        The warning that was written: the one asked for, or a newer one that took its place.
    t_asked_mono_ns, t_written_mono_ns : int
        ``warn`` was called; the tag had taken the write.
    t_started_mono_ns : int or None
        The tag's word that it warns came in; None where a tag has no such word.
    confirmed : bool
        False for a plain Find Me tag: it was told, whether it sounds is not known.
    """

    warn_id: int
    t_asked_mono_ns: int
    t_written_mono_ns: int
    t_started_mono_ns: int | None
    confirmed: bool


@dataclass(slots=True)
class WarnCounts:
    """Life of the warnings of one tag."""

    asked: int = 0
    written: int = 0
    rewritten: int = 0
    confirmed: int = 0
    unconfirmed: int = 0
    lost: int = 0


class _Phase(Enum):
    UNSENT = auto()
    WRITING = auto()
    WRITTEN = auto()
    CHECKING = auto()
    SHOWN = auto()
    REFUSED = auto()


@dataclass(slots=True, eq=False)
class _Waiter:
    command: WarnCommand
    t_asked_mono_ns: int
    answer: asyncio.Future[WarnReceipt]


class WarnLane:
    """What one tag is to be told.

    Parameters
    ----------
    name : str
        Names the tag in messages.
    patience_s, ack_s : float

    Attributes
    ----------
    to_write, to_check : asyncio.Event
        A warning waits to be written; the state is to be read.
    changed : asyncio.Event
        ``next_due_mono_ns`` and ``urgency`` may have changed.
    """

    def __init__(
        self, name: str, *, patience_s: float = WARN_PATIENCE_S, ack_s: float = ACK_S, check_s: float = CHECK_S
    ) -> None:
        self.counts = WarnCounts()
        self.to_write = asyncio.Event()
        self.to_check = asyncio.Event()
        self.changed = asyncio.Event()
        self._name = name
        self._patience_ns = round(patience_s * 1e9)
        self._ack_ns = round(ack_s * 1e9)
        self._check_ns = round(check_s * 1e9)
        self._standing: WarnCommand | None = None
        self._phase = _Phase.UNSENT
        self._was_written = False
        self._is_confirmed = False
        self._was_rewritten_on_link = False
        self._is_linked = False
        self._t_written_mono_ns: dict[int, int] = {}
        self._waiters: list[_Waiter] = []

    @property
    def standing(self) -> WarnCommand | None:
        """The newest warning asked for."""
        return self._standing

    @property
    def urgency(self) -> Urgency:
        """How much depends on a connection for what stands."""
        if self._standing is None:
            return Urgency.ROUTINE
        if self._standing.level >= WarnLevel.ALARM:
            return Urgency.ALARM
        return Urgency.ROUTINE if self._phase is _Phase.SHOWN else Urgency.NOTICE

    @property
    def next_due_mono_ns(self) -> int | None:
        """When ``expire`` has something to do."""
        if not self._waiters:
            return None
        if self._phase in (_Phase.WRITTEN, _Phase.CHECKING) and self._standing is not None:
            limit_ns = self._ack_ns + (self._check_ns if self._phase is _Phase.CHECKING else 0)
            return self._t_written_mono_ns[self._standing.warn_id] + limit_ns
        return min(waiter.t_asked_mono_ns for waiter in self._waiters) + self._patience_ns

    def ask(self, command: WarnCommand, now_mono_ns: int) -> asyncio.Future[WarnReceipt]:
        """Let a warning stand in place of what stood."""
        self.counts.asked += 1
        answer: asyncio.Future[WarnReceipt] = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(command, now_mono_ns, answer))
        self._standing = command
        self._was_written = False
        self._is_confirmed = False
        self._was_rewritten_on_link = False
        self._t_written_mono_ns = {
            waiter.command.warn_id: self._t_written_mono_ns[waiter.command.warn_id]
            for waiter in self._waiters
            if waiter.command.warn_id in self._t_written_mono_ns
        }
        self._t_written_mono_ns.pop(command.warn_id, None)
        if self._phase is not _Phase.WRITING:
            self._phase = _Phase.UNSENT
        self.to_check.clear()
        self.to_write.set()
        self.changed.set()
        return answer

    # The connection

    def link_is_up(self) -> bool:
        """Take note of a new connection; return whether something is to be written to it at once.

        That is what the tag has not shown, and what a tag that never says so may have forgotten.
        """
        self._is_linked = True
        self._was_rewritten_on_link = False
        if self._standing is None:
            return False
        if self._phase is _Phase.SHOWN and (self._is_confirmed or self._standing.level is WarnLevel.STAND_DOWN):
            return False
        self._phase = _Phase.UNSENT
        self.to_write.set()
        return True

    def link_is_down(self) -> None:
        """Take note of its end."""
        self.changed.set()
        self._is_linked = False
        self.to_write.clear()
        self.to_check.clear()
        if self._phase is not _Phase.SHOWN:
            self._phase = _Phase.UNSENT

    # Writing

    def take(self) -> WarnCommand | None:
        """Return what to write now, or None."""
        self.to_write.clear()
        if self._phase is not _Phase.UNSENT or not self._is_linked or self._standing is None:
            return None
        self._phase = _Phase.WRITING
        return self._standing

    def written(self, command: WarnCommand, now_mono_ns: int, *, will_answer: bool) -> None:
        """Take note that the tag has taken a write; ``will_answer``: it is a tag that says when it warns."""
        self.changed.set()
        self.counts.written += 1
        self._t_written_mono_ns[command.warn_id] = now_mono_ns
        if command is not self._standing:
            self._phase = _Phase.UNSENT
            self.to_write.set()
            return
        if self._was_written:
            self.counts.rewritten += 1
        self._was_written = True
        if not will_answer:
            self.counts.unconfirmed += 1
            self._phase = _Phase.SHOWN
            self._settle_all(None, confirmed=False)
        elif self._phase is _Phase.WRITING:
            self._phase = _Phase.WRITTEN

    def refused(self, command: WarnCommand, detail: str) -> None:
        """Take note that the tag refused a write."""
        self.changed.set()
        if command is not self._standing:
            self._phase = _Phase.UNSENT
            self.to_write.set()
            return
        self._phase = _Phase.REFUSED
        self._lose(self._waiters, WarnLoss.REFUSED, detail)

    # What the tag says

    def hear_event(self, event: TagEvent, t_rx_mono_ns: int) -> None:
        """Take an event of the tag."""
        self.changed.set()
        if event.kind is TagEventKind.REBOOTED:
            self._was_rewritten_on_link = False
            self._write_again()
        elif event.kind is TagEventKind.BUTTON and self._phase is _Phase.SHOWN:
            # A plain tag's button silences it: a reconnect must not undo that.
            self._is_confirmed = True
        elif event.kind is TagEventKind.WARN_STARTED and event.warn_id is not None:
            self._shown(event.warn_id, t_rx_mono_ns)

    def hear_state(self, state: TagState, t_rx_mono_ns: int) -> None:
        """Take the tag's state: it confirms what an event did not, and shows what the tag forgot."""
        standing = self._standing
        if standing is None:
            return
        self.changed.set()
        stands_down = standing.level is WarnLevel.STAND_DOWN
        is_quiet = state.own_warning or state.state not in (TagMode.WARNING, TagMode.ACKNOWLEDGED)
        # An idle tag has ended the warning by itself, after a long time without a link: the number is its last one.
        shows = state.warn_id == standing.warn_id and state.state is not TagMode.IDLE
        agrees = is_quiet if stands_down else shows
        if agrees and self._phase in (_Phase.WRITTEN, _Phase.CHECKING):
            self._shown(standing.warn_id, t_rx_mono_ns)
        elif not agrees and self._phase is _Phase.SHOWN and not self._was_rewritten_on_link:
            self._was_rewritten_on_link = True
            self._write_again()

    def _write_again(self) -> None:
        if self._standing is not None and self._phase is not _Phase.WRITING:
            self._phase = _Phase.UNSENT
            self.to_write.set()

    def _shown(self, warn_id: int, t_started_mono_ns: int) -> None:
        if self._standing is not None and warn_id == self._standing.warn_id:
            if self._phase is not _Phase.SHOWN:
                self.counts.confirmed += 1
            self._phase = _Phase.SHOWN
            self._is_confirmed = True
            self._t_written_mono_ns.setdefault(warn_id, t_started_mono_ns)
            self.to_check.clear()
            self._settle_all(t_started_mono_ns, confirmed=True)
            return
        for waiter in [waiter for waiter in self._waiters if waiter.command.warn_id == warn_id]:
            # The tag's word may come before the answer to the write, while a newer warning stands already.
            self._t_written_mono_ns.setdefault(warn_id, t_started_mono_ns)
            self._settle(waiter, warn_id, t_started_mono_ns, confirmed=True)

    # Time

    def expire(self, now_mono_ns: int) -> None:
        """Give up what has waited too long; ask for the state where the tag has not said that it warns."""
        due_mono_ns = self.next_due_mono_ns
        if due_mono_ns is None or now_mono_ns < due_mono_ns:
            return
        if self._phase is _Phase.WRITTEN:
            self._phase = _Phase.CHECKING
            self.to_check.set()
        elif self._phase is _Phase.CHECKING:
            self._phase = _Phase.REFUSED
            self.to_check.clear()
            self._lose(self._waiters, WarnLoss.NO_ACK, f"written, but the tag does not say that it warns ({ACK_S:g} s)")
        else:
            late = [w for w in self._waiters if now_mono_ns >= w.t_asked_mono_ns + self._patience_ns]
            detail = f"no connection within {self._patience_ns / 1e9:g} s; it is written as soon as there is one"
            self._lose(late, WarnLoss.OUT_OF_RANGE, detail)

    def end(self) -> None:
        """Take note that the driver ends: nobody will write what waits."""
        self._is_linked = False
        self._lose(self._waiters, WarnLoss.NOT_RUNNING, "the driver ended")

    def drop(self, answer: "asyncio.Future[WarnReceipt]") -> None:
        """Forget who waits for an answer; the warning stands."""
        self._waiters = [waiter for waiter in self._waiters if waiter.answer is not answer]

    def _settle_all(self, t_started_mono_ns: int | None, *, confirmed: bool) -> None:
        assert self._standing is not None
        for waiter in list(self._waiters):
            self._settle(waiter, self._standing.warn_id, t_started_mono_ns, confirmed=confirmed)

    def _settle(self, waiter: _Waiter, warn_id: int, t_started_mono_ns: int | None, *, confirmed: bool) -> None:
        self._waiters.remove(waiter)
        if not waiter.answer.done():
            waiter.answer.set_result(
                WarnReceipt(
                    warn_id=warn_id,
                    t_asked_mono_ns=waiter.t_asked_mono_ns,
                    t_written_mono_ns=self._t_written_mono_ns[warn_id],
                    t_started_mono_ns=t_started_mono_ns,
                    confirmed=confirmed,
                )
            )

    def _lose(self, waiters: list[_Waiter], reason: WarnLoss, detail: str) -> None:
        for waiter in list(waiters):
            self._waiters.remove(waiter)
            self.counts.lost += 1
            if not waiter.answer.done():
                text = f"{self._name}: warning {waiter.command.warn_id} lost ({reason}): {detail}"
                waiter.answer.set_exception(WarnLostError(text, reason))
