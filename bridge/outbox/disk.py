"""What is between the outbox and its file: lazy changes, group commit, and what to do when the disk fails.

::

    works --error--> ballast released, or file reopened, and tried once more --error--> memory
      ^                                                                            |
      +---- everything that memory holds is written, in one transaction <--retry---+
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from bridge.errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFullError,
    OutboxIoError,
    OutboxReadOnlyError,
    OutboxRowError,
)
from bridge.outbox import schema as sql
from bridge.outbox.ballast import Ballast
from bridge.outbox.damage import Damage
from bridge.outbox.memory_rows import MemoryRows
from bridge.outbox.port import FLUSH_AFTER_NS, FLUSH_COUNT, OutboxTrouble, TroubleKind, TroubleListener
from bridge.outbox.rows import DamagedRow, Loaded
from bridge.outbox.store import Change, OutboxStore, StoredRow, StoredSequence, Value, row_values
from bridge.publisher import Saved

_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)

RETRY_DISK_NS = 1_000_000_000
"""How long a disk that failed is left alone. Shorter, and each alert waits for another failure; longer, and alerts go
out unsecured for longer than needed."""

RETRY_CORRUPT_NS = 60_000_000_000
"""How long a damaged file is left alone: it is read whole before it is trusted again."""

MAX_CHANGES = 100_000
"""PUBACKs that wait for a disk that works. Reason: 30 MB. Beyond it the oldest are forgotten: what they confirmed is
sent once more after a restart, with its id."""

_TROUBLES: dict[type[OutboxError], TroubleKind] = {
    OutboxFullError: TroubleKind.FULL,
    OutboxIoError: TroubleKind.IO_ERROR,
    OutboxReadOnlyError: TroubleKind.READ_ONLY,
    OutboxCorruptError: TroubleKind.CORRUPT,
}


class Disk:
    """Writes to the store, and to memory while that fails.

    Parameters
    ----------
    store : OutboxStore
    reopen : callable
        Opens the file anew after an error: a failed sync must not be repeated on the old one. Takes ``read_only``.
    ballast : Ballast
    on_trouble : callable
    """

    def __init__(
        self,
        store: OutboxStore,
        *,
        reopen: Callable[[bool], OutboxStore],
        ballast: Ballast,
        on_trouble: TroubleListener,
    ) -> None:
        self.memory = MemoryRows()
        self.ballast = ballast
        self.damage = Damage(on_trouble)
        self.trouble: OutboxTrouble | None = None
        self._store: OutboxStore | None = store
        self._reopen = reopen
        self._on_trouble = on_trouble
        self._changes: list[Change] = []
        self._applied: list[Change] = []
        self._sequences: dict[str, StoredSequence] = {}
        self._saves: dict[tuple[str, str], Saved] = {}
        self._settled: set[tuple[int, int]] = set()
        self._dirty_since_mono_ns: int | None = None
        self._retry_mono_ns = 0
        self._last_mono_ns = 0
        self._copy_again_mono_ns = 0

    @property
    def works(self) -> bool:
        """Whether what is written is on disk."""
        return self.trouble is None

    def write(
        self,
        rows: Sequence[StoredRow],
        sequences: Iterable[StoredSequence],
        saves: Sequence[Saved],
        now_mono_ns: int,
        paths: range,
    ) -> bool:
        """Commit rows with all that waited; False: they are in memory."""
        for sequence in sequences:
            self._sequences[sequence.source] = sequence
        for saved in saves:
            self._saves[saved.owner, saved.key] = saved
        if not rows and not saves:
            self._soil(now_mono_ns)
            return self.works
        if self._commit_somehow(rows, now_mono_ns):
            return True
        for row in rows:
            self.memory.add(row, paths)
        return False

    def note(self, change: Change, now_mono_ns: int) -> None:
        """Write a change with the next commit."""
        self._changes.append(change)
        if self.trouble is not None and len(self._changes) > MAX_CHANGES:
            del self._changes[: MAX_CHANGES // 10]
        self._soil(now_mono_ns)

    def settle(self, path: int, number: int, change: Change, now_mono_ns: int) -> None:
        """Note that a broker has a message, or does not get it; the change says so on disk with the next commit."""
        if number not in self.memory:
            # Else memory knows; here it would grow for as long as the trouble lasts.
            self._settled.add((path, number))
        self.memory.settle(path, number)
        self.note(change, now_mono_ns)

    def is_settled(self, path: int, number: int) -> bool:
        """Whether a broker has a message, or does not get it, although its row may not say so yet."""
        if number in self.memory:
            return not self.memory.waits(path, number)
        return (path, number) in self._settled

    def _soil(self, now_mono_ns: int) -> None:
        self._last_mono_ns = now_mono_ns
        if self._dirty_since_mono_ns is None:
            self._dirty_since_mono_ns = now_mono_ns

    def find_flush_mono_ns(self) -> int | None:
        """When ``flush`` has something to do."""
        if self.trouble is not None:
            return self._retry_mono_ns
        if self._dirty_since_mono_ns is None:
            return None
        early = len(self._changes) + len(self._applied) >= FLUSH_COUNT
        return self._dirty_since_mono_ns + (0 if early else FLUSH_AFTER_NS)

    def flush(self, now_mono_ns: int, *, force: bool = False) -> None:
        """Commit what waited long enough; while the disk does not work, try it again when that is due."""
        due = self.find_flush_mono_ns()
        if due is None or (now_mono_ns < due and not (force and self.trouble is None)):
            return
        self._commit_somehow((), now_mono_ns)

    def apply(self, now_mono_ns: int) -> OutboxStore | None:
        """Run the changes that wait, without a commit, so that queries see them. None: the disk cannot be asked."""
        store = self._store
        if store is None or self.trouble is not None:
            return None
        try:
            self._apply(store)
        except OutboxFullError:
            # The next commit finds room for it, or tells.
            self._forget_transaction()
            return None
        except OutboxError as exc:
            self._fail(exc, now_mono_ns)
            return None
        return store

    def _apply(self, store: OutboxStore) -> None:
        if self._changes:
            store.begin()
            moved, self._changes = self._changes, []
            # First: if it fails they must be run again, and running them twice does no harm.
            self._applied += moved
            store.change(moved)

    def run(self, statement: str, values: Sequence[Value], now_mono_ns: int) -> list[int]:
        """Run a change at once that gives back numbers of rows; it is committed with the others."""
        store = self.apply(now_mono_ns)
        if store is not None:
            try:
                store.begin()
                self._applied.append((statement, values))
                self._soil(now_mono_ns)
                return store.change_numbers(statement, values)
            except OutboxFullError:
                self._forget_transaction()
                return []
            except OutboxError as exc:
                self._fail(exc, now_mono_ns)
                return []
        self.note((statement, values), now_mono_ns)
        return []

    @property
    def can_read(self) -> bool:
        """Whether rows can be asked for; what is written does not have to work for that."""
        return self._store is not None

    def load(self, statement: str, values: Sequence[Value], limit: int) -> Loaded | None:
        """Read rows, with all changes; None: the disk cannot be read. What it does not give back right is set aside."""
        loaded = self._read(lambda store: store.load(statement, values, limit))
        if loaded is not None:
            self._set_aside(loaded.damaged)
        return loaded

    def _set_aside(self, rows: Sequence[DamagedRow]) -> None:
        for row in self.damage.tell(rows):
            self.note((sql.SET_ASIDE, (row.number,)), self._last_mono_ns)

    def set_aside_on(self, path: int, number: int) -> None:
        """Offer a row to a broker no more, on disk with the next commit."""
        self.settle(path, number, (sql.SET_STATE[path], (sql.DAMAGED, 0, number)), self._last_mono_ns)

    def set_aside_number(self, path: int, number: int) -> bool:
        """Set a row aside if it cannot be read back; whether that is news."""
        if self.is_settled(path, number):
            return False
        loaded = self.load(sql.LOAD_NUMBER, (number,), 1)
        if loaded is None or not loaded.damaged:
            return False
        self.set_aside_on(path, number)
        return True

    def ask(self, statement: str, values: Sequence[Value] = ()) -> list[tuple[int, ...]] | None:
        """Read numbers; None: the disk cannot be read."""
        return self._read(lambda store: store.ask(statement, values))

    def count(self, statement: str, values: Sequence[Value]) -> int:
        """Read one number; 0 if the disk cannot be read."""
        found = self.ask(statement, values)
        return found[0][0] if found else 0

    def find_text(self, statement: str, values: Sequence[Value]) -> str | None:
        """Read a text; None also if the disk cannot be read."""
        return self._read(lambda store: store.find_text(statement, values))

    def _read(self, question: Callable[[OutboxStore], _Answer]) -> _Answer | None:
        now = self._last_mono_ns
        store = self.apply(now) or self._store
        if store is None:
            return None
        try:
            return question(store)
        except OutboxRowError:
            raise
        except OutboxError as exc:
            self._fail(exc, now)
            # It is opened anew when its next trial is due; until then nobody asks again.
            self._close_store()
            return None

    def _commit_somehow(self, rows: Sequence[StoredRow], now_mono_ns: int) -> bool:
        """Commit; on an error do what may help, and try once more."""
        self._last_mono_ns = now_mono_ns
        if self.trouble is not None and (now_mono_ns < self._retry_mono_ns or not self._open_again(now_mono_ns)):
            return False
        try:
            self._commit(rows)
        except OutboxFullError as exc:
            if not self._commit_on_full_disk(rows, exc, now_mono_ns):
                return False
        except OutboxError as exc:
            self._fail(exc, now_mono_ns)
            if not isinstance(exc, OutboxIoError) or not self._open_again(now_mono_ns):
                return False
            try:
                self._commit(rows)
            except OutboxError as again:
                self._fail(again, now_mono_ns)
                return False
        self._end_trouble()
        return True

    def _commit_on_full_disk(self, rows: Sequence[StoredRow], exc: OutboxError, now_mono_ns: int) -> bool:
        """Commit with the room that the log takes, else with that of the ballast."""
        for make_room in (self._copy_log, self.ballast.release):
            self._forget_transaction()
            if not make_room():
                continue
            try:
                self._commit(rows)
            except OutboxFullError as again:
                exc = again
            except OutboxError as other:
                self._fail(other, now_mono_ns)
                return False
            else:
                return True
        self._fail(exc, now_mono_ns)
        return False

    def _copy_log(self) -> bool:
        """Copy the log, so that it is written from its beginning again instead of growing."""
        if self._store is None:
            return False
        try:
            self._store.checkpoint()
        except OutboxError as exc:
            self._copy_again_mono_ns = self._last_mono_ns + RETRY_DISK_NS
            _log.warning("the log of the outbox cannot be copied: %s", exc)
            return False
        return True

    def _commit(self, rows: Sequence[StoredRow]) -> None:
        store = self._store
        assert store is not None
        store.check_place()
        store.begin()
        if self.memory:
            store.insert(row_values(row) for row in self.memory.rows())
        store.insert([row_values(row) for row in rows])
        self._apply(store)
        store.change(
            (sql.SET_SEQUENCE, (each.source, each.owner, each.last, int(each.lane)))
            for each in self._sequences.values()
        )
        store.change(
            (sql.SET_KEPT, (each.owner, each.key, each.value))
            if each.value is not None
            else (sql.DELETE_KEPT, (each.owner, each.key))
            for each in self._saves.values()
        )
        store.commit()
        self.memory.clear()
        self._sequences.clear()
        self._saves.clear()
        self._applied.clear()
        self._settled.clear()
        self._dirty_since_mono_ns = None
        if store.needs_checkpoint and self._last_mono_ns >= self._copy_again_mono_ns:
            # What was committed is safe, whatever becomes of this; the next commit tells a disk that fails.
            self._copy_log()

    def _forget_transaction(self) -> None:
        self._changes[:0] = self._applied
        self._applied.clear()
        if self._store is not None:
            try:
                self._store.roll_back()
            except OutboxError as exc:
                _log.warning("the outbox did not roll back: %s", exc)

    def _fail(self, exc: OutboxError, now_mono_ns: int) -> None:
        """Go on in memory."""
        self._forget_transaction()
        # A statement that fails for another reason finds tables that are not as they were made.
        kind = _TROUBLES.get(type(exc), TroubleKind.CORRUPT)
        is_corrupt = kind is TroubleKind.CORRUPT
        self._retry_mono_ns = now_mono_ns + (RETRY_CORRUPT_NS if is_corrupt else RETRY_DISK_NS)
        if self.trouble is None or self.trouble.kind is not kind:
            self.trouble = OutboxTrouble(kind=kind, detail=str(exc))
            _log.error("messages are kept in memory only: %s", exc)
            self._on_trouble(self.trouble)

    def _open_again(self, now_mono_ns: int) -> bool:
        """Open the file anew and sync all of it; a full disk needs neither."""
        assert self.trouble is not None
        if self.trouble.kind is TroubleKind.FULL and self._store is not None:
            self._copy_log()
            return True
        try:
            if self._store is not None:
                self._store.rescue()
            self._close_store()
            self._store = self._reopen(False)
            if self.trouble.kind is TroubleKind.CORRUPT and (damage := self._store.find_damage()) is not None:
                raise OutboxCorruptError(f"the outbox is still damaged: {damage}")
            # After a failed sync the log may be in the kernel's memory and not on the disk: this writes it anew.
            self._store.checkpoint(whole=True)
        except OutboxError as exc:
            self._fail(exc, now_mono_ns)
            self._open_for_reading()
            return False
        return True

    def _open_for_reading(self) -> None:
        """Go on reading what waits where nothing can be written, as after the kernel's own remount."""
        if self._store is None and self.trouble is not None and self.trouble.kind is not TroubleKind.CORRUPT:
            with contextlib.suppress(OutboxError):
                self._store = self._reopen(True)

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except OutboxError as exc:
                _log.warning("the outbox did not close in order: %s", exc)

    def _end_trouble(self) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble is None:
            return
        detail = "the disk works again; what was in memory is written"
        _log.warning("%s", detail)
        self._on_trouble(OutboxTrouble(kind=trouble.kind, detail=detail, is_over=True))

    def tidy(self, now_mono_ns: int) -> None:
        """Use a quiet moment: copy the log, take the ballast again."""
        store = self._store
        if store is None or self.trouble is not None:
            return
        try:
            store.check_place()
            if store.wants_checkpoint and not self._applied:
                store.checkpoint()
        except OutboxError as exc:
            self._fail(exc, now_mono_ns)
            return
        self.ballast.take()

    def close(self, now_mono_ns: int) -> int:
        """Close the file; returns how many messages no disk has and some broker does not either."""
        self._retry_mono_ns = now_mono_ns
        self._commit_somehow((), now_mono_ns)
        lost = self.memory.count_waiting()
        store = self._store
        if store is not None and self.trouble is None:
            try:
                store.begin()
                store.change([(sql.SET_META, ("clean", "1"))])
                store.commit()
                store.checkpoint(whole=True)
            except OutboxError as exc:
                _log.warning("the outbox did not end in order: %s", exc)
        self._close_store()
        return lost
