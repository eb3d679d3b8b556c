"""Sending again what a broker had already: without receipt, after a forgotten session, on request."""

from collections import deque
from collections.abc import Sequence

from bridge.outbox import schema as sql
from bridge.outbox.alert_lane import Entry
from bridge.outbox.disk import Disk
from bridge.outbox.path_queue import PathQueue
from bridge.outbox.port import REPLAY_LIMIT, RESEND_WINDOW_NS, Replayed
from bridge.outbox.receipts import OwedReceipts
from bridge.outbox.rows import StoredRow
from bridge.publisher import Lane
from devices.clock import Clock

RECENT_MAX = 10_000
"""Alerts that a forgotten session brings back, the newest: 20 MB while they wait. Ten minutes of 16 alerts a second."""

RESEND_AT_ONCE = 100
"""Unreceipted alerts that are queued at a time, and none while so many of them wait: what is new goes before them only
in other topics."""

LOAD_OWED_AT_ONCE = 1_000
"""Alerts of earlier starts whose receipts begin to be waited for at a time, 1 ms."""

COUNT_EVERY_NS = 1_000_000_000
"""How often unreceipted alerts are counted."""

COUNT_MAX = 100_000
"""How far they are counted: 3 ms."""

REJECTED_RECEIPT = 2
RECEIVED_RECEIPT = 1


class Resender:
    """Queues alerts and positions again, with the ids they had.

    Parameters
    ----------
    disk : Disk
    clock : Clock
    queues : sequence of PathQueue
        One per broker.

    Attributes
    ----------
    receipts_seen : bool
    unreceipted : int
    oldest_unreceipted_mono_ns : int or None
    """

    def __init__(self, disk: Disk, clock: Clock, queues: Sequence[PathQueue], *, receipts_seen: bool) -> None:
        self.receipts_seen = receipts_seen
        self.unreceipted = 0
        self.oldest_unreceipted_mono_ns: int | None = None
        self._disk = disk
        self._clock = clock
        self._queues = queues
        self._owed = OwedReceipts()
        self._owed_from = (0, 0)
        self._again: set[int] = set()
        self._counted_mono_ns: int | None = None
        now_ns = clock.mono_ns()
        recent = disk.ask(sql.RECENTLY_ACKED, (clock.utc_ns() - RESEND_WINDOW_NS, RECENT_MAX)) or []
        self._recent = [deque(((now_ns, row[0]) for row in reversed(recent)), maxlen=RECENT_MAX) for _ in queues]

    def note_acked(self, path: int, entry: Entry, now_mono_ns: int) -> None:
        """Note that a broker took an alert."""
        self._recent[path].append((now_mono_ns, entry.number))
        self._again.discard(entry.number)
        self._owed.note_acked(entry.number, entry.message, now_mono_ns)

    def note_resting(self, number: int) -> None:
        """Note that an alert has to wait at a broker: it takes no room from others that are to be sent again."""
        self._again.discard(number)

    def take_receipt(self, source: str, *, upto: int | None, event_id: str | None, is_rejected: bool) -> int:
        """See ``Outbox.take_receipt``."""
        now_ns = self._clock.mono_ns()
        if not self.receipts_seen:
            self.receipts_seen = True
            self._disk.note((sql.SET_META, ("receipts_seen", "1")), now_ns)
        fate = (REJECTED_RECEIPT if is_rejected else RECEIVED_RECEIPT, self._clock.utc_ns())
        numbers: set[int] = set()
        if upto is not None:
            upto = min(upto, sql.LARGEST)
            numbers.update(self._disk.run(sql.RECEIPT_UPTO, (*fate, source, upto), now_ns))
        if event_id is not None:
            numbers.update(self._disk.run(sql.RECEIPT_OF_ID, (*fate, source, event_id), now_ns))
        for queue in self._queues:
            for entry in queue.out_alerts():
                message = entry.message
                by_sequence = upto is not None and message.sequence <= upto
                if message.source == source and (by_sequence or message.event_id == event_id):
                    # Its receipt was faster than its PUBACK.
                    numbers.update(self._disk.run(sql.RECEIPT_OF_NUMBER, (*fate, entry.number), now_ns))
        covered = self._owed.take_covered(source, upto, event_id)
        self._counted_mono_ns = None
        return len(numbers) if self._disk.works else covered

    def resend_unreceipted(self, now_mono_ns: int, timeout_ns: int) -> int:
        """See ``Outbox.resend_unreceipted``."""
        self._owed.set_timeout(timeout_ns)
        self._track_more(now_mono_ns)
        most = RESEND_AT_ONCE - len(self._again)
        if most <= 0:
            return 0
        sent = 0
        for number in self._owed.take_due(now_mono_ns, most):
            row = self._find_row(number)
            if row is None or row.receipt:
                self._owed.forget(number)
                continue
            if self._queue_everywhere(row, now_mono_ns):
                self._again.add(number)
                sent += 1
            elif not any(queue.holds(number) for queue in self._queues):
                self._owed.note_acked(number, row.message, now_mono_ns)
        return sent

    def _track_more(self, now_mono_ns: int) -> None:
        """Wait for the receipts of earlier alerts, too, as far as there is room."""
        if self._owed.is_complete or self._owed.room < LOAD_OWED_AT_ONCE:
            return
        found = self._disk.ask(sql.LOAD_OWED, (*self._owed_from, LOAD_OWED_AT_ONCE))
        if found is None:
            return
        for acked_utc_ns, number in found:
            # A time that is no time comes as -1.
            self._owed_from = max(self._owed_from, (acked_utc_ns, number))
            if not self._owed.tracks(number) and (row := self._find_row(number)) is not None:
                self._owed.note_acked(number, row.message, now_mono_ns)
        if len(found) < LOAD_OWED_AT_ONCE:
            self._owed.is_complete = True

    def forget_session(self, path: int, now_mono_ns: int) -> int:
        """See ``Outbox.forget_session``."""
        recent = [number for t_ns, number in self._recent[path] if t_ns >= now_mono_ns - RESEND_WINDOW_NS]
        self._recent[path].clear()
        count = forgotten = 0
        for number in sorted(set(recent)):
            row = self._find_row(number)
            if row is None or row.receipt:
                continue
            count += self._queue_again(path, row, now_mono_ns)
            if row.states[path] == sql.ACKED:
                # Also if it waits already, for its receipt. The broker tells this once: to the next start of ours it
                # will say that it knows us.
                forgotten += 1
                self._disk.note((sql.SET_STATE[path], (sql.NEW, row.attempts, number)), now_mono_ns)
        if forgotten:
            self._disk.flush(now_mono_ns, force=True)
        return count

    def replay(self, source: str, first: int, last: int, now_mono_ns: int) -> Replayed:
        """See ``Outbox.replay``."""
        first, last = (max(0, min(number, sql.LARGEST)) for number in (first, last))
        rows = {
            row.number: row
            for row in self._disk.memory.rows()
            if row.message.source == source and first <= row.message.sequence <= last
        }
        loaded = self._disk.load(sql.LOAD_SEQUENCES, (source, first, last), REPLAY_LIMIT + 1)
        for row in loaded.rows if loaded is not None else ():
            if not {*row.states} <= {sql.DAMAGED, sql.NOT_WANTED}:
                rows[row.number] = row
        found = sorted(rows.values(), key=lambda row: (row.message.sequence, row.number))
        taken = found[:REPLAY_LIMIT]
        queued = sum(self._queue_everywhere(row, now_mono_ns) for row in taken)
        end = last if len(found) <= REPLAY_LIMIT else taken[-1].message.sequence
        known = len({row.message.sequence for row in taken})
        return Replayed(
            queued=queued,
            waiting=len(taken) - queued,
            missing=max(0, end - first + 1) - known,
            next_sequence=end + 1 if end < last else None,
        )

    def _find_row(self, number: int) -> StoredRow | None:
        row = self._disk.memory.find(number)
        if row is not None:
            return row
        loaded = self._disk.load(sql.LOAD_NUMBER, (number,), 1)
        return loaded.rows[0] if loaded is not None and loaded.rows else None

    def _queue_everywhere(self, row: StoredRow, now_mono_ns: int) -> bool:
        queued = [self._queue_again(path, row, now_mono_ns) for path in range(len(self._queues))]
        return any(queued)

    def _queue_again(self, path: int, row: StoredRow, now_mono_ns: int) -> bool:
        """Queue a message for a broker that had it; False: it waits there anyway, or the broker is not to get it."""
        queue = self._queues[path]
        if row.number in self._disk.memory:
            had_it = not self._disk.memory.waits(path, row.number)
        else:
            had_it = row.states[path] in {sql.ACKED, sql.RECEIPTED, sql.DROPPED}
        is_alert = row.message.lane is Lane.ALERT
        if not had_it or (queue.holds(row.number) if is_alert else queue.holds_position(row.number)):
            return False
        entry = Entry(
            number=row.number,
            message=row.message,
            submitted_mono_ns=now_mono_ns,
            attempts=max(1, row.attempts),
            is_again=True,
        )
        if is_alert:
            queue.alerts_waiting += 1
            queue.add_alert(entry)
        else:
            queue.positions_waiting += 1
            queue.add_position(entry)
        return True

    def count(self, now_mono_ns: int, *, force: bool = False) -> None:
        """Count what is unreceipted, if that was not done lately."""
        last = self._counted_mono_ns
        if not force and last is not None and now_mono_ns - last < COUNT_EVERY_NS:
            return
        self._counted_mono_ns = now_mono_ns
        found = self._disk.ask(sql.COUNT_OWED, (COUNT_MAX,))
        if not found:
            return
        count, oldest_utc_ns = found[0]
        age_ns = max(0, self._clock.utc_ns() - oldest_utc_ns)
        self.unreceipted = count
        self.oldest_unreceipted_mono_ns = self._clock.mono_ns() - age_ns if count else None
