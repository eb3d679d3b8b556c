"""Messages kept on disk until the brokers have them, and after that as long as they are evidence."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bridge.outbox import schema as sql
from bridge.outbox.alert_lane import Entry
from bridge.outbox.backlog import Backlog
from bridge.outbox.ballast import Ballast
from bridge.outbox.disk import Disk
from bridge.outbox.doubts import Doubts
from bridge.outbox.lock import OutboxLock
from bridge.outbox.opening import Found, open_store, tell_if_lost
from bridge.outbox.path_queue import PathQueue
from bridge.outbox.port import (
    Leftover,
    OutboxDepths,
    OutboxTrouble,
    Recovered,
    Replayed,
    TroubleKind,
    TroubleListener,
)
from bridge.outbox.resending import Resender
from bridge.outbox.retention import Retention
from bridge.outbox.rows import DamagedRow
from bridge.outbox.store import FILE_NAME, OutboxStore, StoredRow, StoredSequence
from bridge.publisher import Lane, Message, Saved
from devices.clock import Clock

POSITIONS_MAX = 2_000_000
"""Positions that wait on disk: 3 GB, or 23 days of one tag at 1 Hz. Beyond it the oldest are not sent."""

KEEP_NS = 30 * 86_400_000_000_000
"""Delivered messages stay 30 days, for replays and as evidence; longer keeps personal data without a purpose."""

BALLAST_BYTES = 64 * 1_048_576
"""Room for about 7,000 alerts, each with a commit of its own, once the disk is full."""

LOADS_PER_MESSAGE = 4
"""Loads in search of the next message, 20 ms at most; each may bring only what was delivered meanwhile."""

MEMORY_POSITIONS_MAX = 10_000
"""Positions that are only in memory while the disk does not work: 15 MB."""

NOTHING_FOUND = Found()


class DurableOutbox:
    """An ``Outbox`` over a file; see there for each call. Use ``open``.

    Parameters
    ----------
    disk : Disk
    clock : Clock
    paths : int
        1 or 2 brokers.
    max_positions : int
        Positions that may wait for a broker; beyond it the oldest are given up and counted.
    keep_ns : int
        How long what was delivered is kept.
    on_trouble : callable
    found : Found
        What the file told.
    is_durable : bool
        False: there is no file, and nothing is durable.
    lock : OutboxLock or None
        Released at the end.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        clock: Clock,
        paths: int,
        max_positions: int,
        keep_ns: int,
        on_trouble: TroubleListener,
        found: Found = NOTHING_FOUND,
        is_durable: bool = True,
        lock: OutboxLock | None = None,
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._paths = range(paths)
        self._states = (sql.NEW, sql.NEW if paths > 1 else sql.NOT_WANTED)
        self._max_positions = max_positions
        self._is_durable = is_durable
        self._lock = lock
        self._on_trouble = on_trouble
        self._dropped = 0
        self._is_dropping = False
        self._next_number = found.last_number + 1
        self._queues = tuple(PathQueue() for _ in self._paths)
        self._backlogs = tuple(
            Backlog(path, queue, disk, clock, may_be_sent=not found.was_clean)
            for path, queue in enumerate(self._queues)
        )
        for path, queue in enumerate(self._queues):
            for (number,) in disk.ask(sql.FIND_ASTRAY[path]) or ():
                disk.set_aside_number(path, number)
            queue.alerts_waiting, queue.positions_waiting = (
                disk.count(sql.COUNT_LANE[path], (int(lane),)) for lane in (Lane.ALERT, Lane.POSITION)
            )
            self._backlogs[path].begin(self._next_number)
        self._retention = Retention(clock=clock, keep_ns=keep_ns, paths=paths, newest_utc_ns=found.newest_utc_ns)
        self._doubts = Doubts(disk, self._paths)
        self._resender = Resender(disk, clock, self._queues, receipts_seen=found.receipts_seen)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        paths: int,
        clock: Clock,
        max_positions: int = POSITIONS_MAX,
        keep_ns: int = KEEP_NS,
        ballast_bytes: int = BALLAST_BYTES,
        on_trouble: TroubleListener = lambda _: None,
    ) -> tuple[Self, Recovered]:
        """Lock the folder, open or make the file, and tell what an earlier start left.

        Raises
        ------
        OutboxError
            The folder is in use, or its file cannot be used; says what to do.
        """
        lock = OutboxLock(folder)
        with contextlib.ExitStack() as on_error:
            on_error.callback(lock.release)
            path = folder / FILE_NAME
            ballast = Ballast(folder, ballast_bytes, on_trouble)
            tell_if_lost(path, on_trouble)
            store, found = open_store(path, ballast)
            on_error.callback(store.close)

            def reopen(read_only: bool) -> OutboxStore:
                lock.take_again()
                return OutboxStore.open(path, read_only=read_only)

            disk = Disk(
                store,
                reopen=reopen,
                ballast=ballast,
                on_trouble=on_trouble,
            )
            outbox = cls(
                disk,
                clock=clock,
                paths=paths,
                max_positions=max_positions,
                keep_ns=keep_ns,
                on_trouble=on_trouble,
                found=found,
                lock=lock,
            )
            on_error.pop_all()
        ballast.take()
        depths = outbox.depths()
        recovered = Recovered(
            sequences=found.sequences,
            kept=found.kept,
            waiting_alerts=depths.alerts,
            waiting_positions=depths.positions,
        )
        return outbox, recovered

    def note_number(self, message: Message, now_mono_ns: int) -> None:
        """See ``Outbox.note_number``."""
        if message.source:
            self._disk.write([], [_sequence_of(message)], [], now_mono_ns, self._paths)

    def write(self, messages: Sequence[Message], now_mono_ns: int) -> bool:
        """See ``Outbox.write``."""
        entries: list[tuple[int, Message]] = []
        rows: list[StoredRow] = []
        sequences: dict[str, StoredSequence] = {}
        saves: list[Saved] = []
        t_utc_ns = self._clock.utc_ns()
        for number, message in enumerate(messages, self._next_number):
            entries.append((number, message))
            saves += message.saves
            if message.source:
                sequences[message.source] = _sequence_of(message)
            if message.lane is not Lane.STATE:
                rows.append(
                    StoredRow(number=number, message=message, states=self._states, attempts=0, t_utc_ns=t_utc_ns)
                )
        self._next_number += len(entries)
        is_written = self._disk.write(rows, sequences.values(), saves, now_mono_ns, self._paths)
        for number, message in entries:
            for queue, backlog in zip(self._queues, self._backlogs, strict=True):
                entry = Entry(number=number, message=message, submitted_mono_ns=now_mono_ns)
                match message.lane:
                    case Lane.ALERT:
                        queue.alerts_waiting += 1
                        backlog.offer_alert(entry)
                    case Lane.STATE:
                        queue.add_state(entry)
                    case Lane.POSITION:
                        queue.positions_waiting += 1
                        backlog.offer_position(entry)
        self._limit_positions(now_mono_ns)
        return is_written and self._is_durable

    def _limit_positions(self, now_mono_ns: int) -> None:
        for path, queue in enumerate(self._queues):
            while queue.waiting_positions > self._max_positions:
                self._backlogs[path].refill_positions()
                if not self._drop_position(path, None, now_mono_ns):
                    break
        memory = self._disk.memory
        while memory.positions > MEMORY_POSITIONS_MAX and (oldest := memory.oldest_position()) is not None:
            for path in self._paths:
                self._drop_position(path, oldest, now_mono_ns)
            memory.discard(oldest)

    def _drop_position(self, path: int, number: int | None, now_mono_ns: int) -> bool:
        entry = self._queues[path].drop_position(number)
        if entry is None:
            return False
        self._dropped += 1
        if not entry.is_again:
            self._give_up(path, entry, now_mono_ns)
        if not self._is_dropping:
            self._is_dropping = True
            detail = f"more than {self._max_positions} positions wait for a broker; the oldest are not sent"
            self._on_trouble(OutboxTrouble(kind=TroubleKind.POSITIONS_DROPPED, detail=detail))
        return True

    def _give_up(self, path: int, entry: Entry, now_mono_ns: int) -> None:
        change = (sql.SET_STATE[path], (sql.DROPPED, entry.attempts, entry.number))
        self._disk.settle(path, entry.number, change, now_mono_ns)

    def find_next(self, path: int, now_mono_ns: int) -> Entry | None:
        """See ``Outbox.find_next``."""
        queue, backlog = self._queues[path], self._backlogs[path]
        for _ in range(LOADS_PER_MESSAGE):
            backlog.refill(now_mono_ns)
            entry = queue.find_next(now_mono_ns)
            if entry is not None or not backlog.is_behind:
                break
        if entry is not None:
            entry.is_durable = self._is_durable and entry.number not in self._disk.memory
        return entry

    def mark_delivered(self, path: int, number: int, now_mono_ns: int) -> None:
        """See ``Outbox.mark_delivered``."""
        entry = self._queues[path].settle(number)
        if entry is None or entry.message.lane is Lane.STATE:
            return
        change = (sql.ACK[path], (entry.attempts, self._clock.utc_ns(), number))
        self._disk.settle(path, number, change, now_mono_ns)
        if entry.message.lane is Lane.ALERT:
            self._backlogs[path].settled(entry.message.topic)
            self._resender.note_acked(path, entry, now_mono_ns)
        elif self._is_dropping and not any(queue.positions_waiting for queue in self._queues):
            self._is_dropping = False
            detail = "all positions that waited are sent"
            self._on_trouble(OutboxTrouble(kind=TroubleKind.POSITIONS_DROPPED, detail=detail, is_over=True))

    def mark_rejected(self, path: int, number: int, now_mono_ns: int) -> bool:
        """See ``Outbox.mark_rejected``."""
        entry = self._queues[path].reject(number, now_mono_ns)
        if entry is None or entry.message.lane is Lane.STATE:
            return False
        if entry.message.lane is Lane.POSITION:
            if not entry.is_again:
                self._give_up(path, entry, now_mono_ns)
            return False
        if not entry.is_again:
            self._disk.note((sql.SET_STATE[path], (sql.REJECTED, entry.attempts, number)), now_mono_ns)
        self._rests(path, entry)
        return True

    def mark_unheard(self, path: int, number: int, now_mono_ns: int) -> bool:
        """See ``Outbox.mark_unheard``."""
        entry, first = self._queues[path].mark_unheard(number, now_mono_ns)
        if entry is not None:
            self._rests(path, entry)
        return first

    def _rests(self, path: int, entry: Entry) -> None:
        self._backlogs[path].rests(entry.message.topic)
        self._resender.note_resting(entry.number)

    def mark_too_long(self, path: int, number: int) -> bool:
        """See ``Outbox.mark_too_long``."""
        entry, first = self._queues[path].mark_too_long(number)
        if entry is not None:
            match entry.message.lane:
                case Lane.ALERT:
                    self._backlogs[path].settled(entry.message.topic)
                    self._resender.note_resting(entry.number)
                case Lane.POSITION if not entry.is_again:
                    self._give_up(path, entry, self._clock.mono_ns())
        return first

    def mark_unsendable(self, path: int, number: int, why: str) -> None:
        """See ``Outbox.mark_unsendable``."""
        entry = self._queues[path].settle(number)
        if entry is None:
            return
        message = entry.message
        if message.lane is Lane.STATE:
            self._queues[path].forget_state(message)
        elif not entry.is_again:
            self._disk.set_aside_on(path, number)
        if message.lane is Lane.ALERT:
            self._backlogs[path].settled(message.topic)
            self._resender.note_resting(number)
        self._disk.damage.tell_unsendable(DamagedRow(number=number, source=message.source, detail=why))

    def rewind(self, path: int) -> int:
        """See ``Outbox.rewind``."""
        back = self._queues[path].rewind()
        self._limit_positions(self._clock.mono_ns())
        return back

    def restate(self, path: int, now_mono_ns: int) -> None:
        """See ``Outbox.restate``."""
        self._next_number += self._queues[path].restate(self._next_number, now_mono_ns)

    def forget_session(self, path: int, now_mono_ns: int) -> int:
        """See ``Outbox.forget_session``."""
        return self._resender.forget_session(path, now_mono_ns)

    def set_doubt(self, path: int, is_in_doubt: bool, now_mono_ns: int) -> None:
        """See ``Outbox.set_doubt``."""
        self._doubts.set(path, is_in_doubt, now_mono_ns)

    def is_in_doubt(self, path: int) -> bool:
        """See ``Outbox.is_in_doubt``."""
        return path in self._doubts

    def begin_last_try(self) -> None:
        """See ``Outbox.begin_last_try``."""
        for queue in self._queues:
            queue.rouse_all()

    @property
    def is_stuck(self) -> bool:
        """See ``Outbox.is_stuck``."""
        return not any(
            queue.has_pressing or queue.positions or backlog.has_positions or backlog.has_work
            for queue, backlog in zip(self._queues, self._backlogs, strict=True)
        )

    @property
    def is_empty(self) -> bool:
        """See ``Outbox.is_empty``."""
        return not any(queue.alerts_waiting or queue.positions_waiting or queue.has_states for queue in self._queues)

    def find_due_mono_ns(self, path: int) -> int | None:
        """See ``Outbox.find_due_mono_ns``."""
        return 0 if self._backlogs[path].is_behind else self._queues[path].alerts.find_rest_mono_ns

    def find_flush_mono_ns(self) -> int | None:
        """See ``Outbox.find_flush_mono_ns``."""
        return self._disk.find_flush_mono_ns()

    def flush_acks(self, now_mono_ns: int, *, force: bool = False) -> None:
        """See ``Outbox.flush_acks``."""
        self._disk.flush(now_mono_ns, force=force)
        self._resender.count(now_mono_ns, force=force)

    def take_receipt(
        self, source: str, *, upto: int | None = None, event_id: str | None = None, is_rejected: bool = False
    ) -> int:
        """See ``Outbox.take_receipt``."""
        return self._resender.take_receipt(source, upto=upto, event_id=event_id, is_rejected=is_rejected)

    @property
    def receipts_seen(self) -> bool:
        """See ``Outbox.receipts_seen``."""
        return self._resender.receipts_seen

    def resend_unreceipted(self, now_mono_ns: int, timeout_ns: int) -> int:
        """See ``Outbox.resend_unreceipted``."""
        return self._resender.resend_unreceipted(now_mono_ns, timeout_ns)

    def replay(self, source: str, first: int, last: int, now_mono_ns: int) -> Replayed:
        """See ``Outbox.replay``."""
        return self._resender.replay(source, first, last, now_mono_ns)

    def purge(self, now_mono_ns: int, max_rows: int) -> int:
        """See ``Outbox.purge``."""
        self._disk.tidy(now_mono_ns)
        return self._retention.purge(self._disk, now_mono_ns, max_rows)

    def depths(self) -> OutboxDepths:
        """See ``Outbox.depths``."""
        return OutboxDepths(
            paths=tuple(queue.depths() for queue in self._queues),
            positions_dropped=self._dropped,
            states_superseded=max(queue.superseded for queue in self._queues),
            unreceipted=self._resender.unreceipted,
            oldest_unreceipted_mono_ns=self._resender.oldest_unreceipted_mono_ns,
            receipts_seen=self._resender.receipts_seen,
            is_durable=self._is_durable and self._disk.works,
            only_in_memory=len(self._disk.memory),
            trouble=self._disk.trouble or self._disk.damage.trouble,
        )

    def close(self) -> Leftover:
        """See ``Outbox.close``."""
        depths = self.depths()
        lost = self._disk.close(self._clock.mono_ns())
        if self._lock is not None:
            self._lock.release()
        return Leftover(
            alerts=max(queue.alerts_waiting for queue in self._queues),
            states=depths.states,
            positions=max(queue.positions_waiting for queue in self._queues),
            lost=lost,
        )


def _sequence_of(message: Message) -> StoredSequence:
    return StoredSequence(source=message.source, owner=message.owner, last=message.sequence, lane=message.lane)
