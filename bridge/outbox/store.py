"""The outbox's file: rows, sequence numbers and what is kept, in SQLite. The one file that knows apsw.

One connection, used by one thread at a time: two that write and checkpoint have lost data in SQLite before 3.51.3.
Write-ahead log with ``synchronous=FULL``: each commit is one sync of the log; ``NORMAL`` loses commits when the power
goes.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from bridge.errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFullError,
    OutboxIoError,
    OutboxReadOnlyError,
    OutboxRowError,
    OutboxVersionError,
)
from bridge.outbox import schema as sql
from bridge.outbox.joined import Change as Change
from bridge.outbox.joined import Value as Value
from bridge.outbox.joined import join_changes, join_rows
from bridge.outbox.rows import RECEIPT_AT, DamagedRow, Loaded, read_row
from bridge.outbox.rows import StoredRow as StoredRow
from bridge.outbox.rows import row_values as row_values
from bridge.publisher import Lane, Saved

FILE_NAME = "outbox.sqlite3"

CHECKPOINT_PAGES = 1_000
"""A log of so many pages (4 MB) is worth copying into the database when nothing else is to be done."""

CHECKPOINT_MUST_PAGES = 4_000
"""A log of so many pages (16 MB) is copied after the next commit, whatever waits: it would fill the disk. A copy takes
5 to 25 ms and delays the alert behind it, so it is left to quiet moments before. On a small disk it is an eighth of
what was free at the start: a log that has taken all the room cannot be copied any more."""

INDEX_BYTES = 32_768
"""The log's index grows by so much."""

CACHE_KIB = 8_192
"""Pages that SQLite keeps in memory; more does not make a queue faster."""

BUSY_MS = 1_000
"""How long another reader of the file may keep us waiting at the end or at a repair; commits never wait for one."""

_MISUSE = (apsw.SQLError, apsw.ConstraintError, apsw.MismatchError, apsw.MisuseError, apsw.BindingsError)
_LANES = frozenset(int(lane) for lane in Lane)

LAST_MAX = sql.LARGEST // 2
"""No stream and no row gets so far; a larger number was never written, and could not be counted on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSequence:
    """The last number given in a stream, and the lane its messages go in."""

    source: str
    owner: str
    last: int
    lane: Lane


def corrupt_error(where: Path | str, what: str) -> OutboxCorruptError:
    """Say what is wrong with a whole file, and what to do."""
    return OutboxCorruptError(
        f"{where}: is damaged: {what}. Next: move it and its -wal file away, keep them as evidence, check the disk, "
        "start again; what waited in it is not sent, and streams begin anew with 1"
    )


class _Seam:
    """Turns what SQLite raises into our errors, with the file's name."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(exc, apsw.Error):
            return
        where = self._where
        match exc:
            case _ if isinstance(exc, apsw.FullError) or self._lacks_room_for_index(exc):
                raise OutboxFullError(f"{where}: the disk is full. Next: make room on its file system") from exc
            case apsw.CorruptError() | apsw.NotADBError():
                raise corrupt_error(where, str(exc)) from exc
            case apsw.ReadOnlyError() | apsw.PermissionsError():
                raise OutboxReadOnlyError(
                    f"{where}: cannot be written to ({exc}). Next: check mount and rights"
                ) from exc
            case _ if isinstance(exc, _MISUSE):
                raise OutboxError(f"{where}: a statement failed: {exc}") from exc
            case _:
                raise OutboxIoError(f"{where}: the disk failed: {exc}. Next: look for its errors in dmesg") from exc

    def _lacks_room_for_index(self, exc: apsw.Error) -> bool:
        """Whether a full disk is told as a failing one: so it is when the log's index is made."""
        if getattr(exc, "extendedresult", None) != apsw.SQLITE_IOERR_SHMSIZE:
            return False
        try:
            return shutil.disk_usage(Path(self._where).parent).free < INDEX_BYTES
        except OSError:
            return False


class OutboxStore:
    """One database file, or one in memory. All calls from one thread at a time.

    Use ``open``. Changes go into a transaction that ``begin`` opens and ``commit`` ends; a failed statement ends it
    without effect.
    """

    def __init__(self, connection: apsw.Connection, where: str) -> None:
        self._db = connection
        self._where = where
        self._place = None if where == ":memory:" else _find_place(where)
        self._seam: AbstractContextManager[None] = _Seam(where)
        self._log_pages = 0
        self._most_log_pages = CHECKPOINT_MUST_PAGES

    @classmethod
    def open(cls, path: Path | None, *, read_only: bool = False) -> "OutboxStore":
        """Open a file, made with all tables if it is not there. ``None``: in memory.

        Raises
        ------
        OutboxError
            The file is no outbox, is damaged or newer, or the disk does not do it.
        """
        where = ":memory:" if path is None else str(path)
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        with _Seam(where):
            connection = apsw.Connection(where, flags=flags)
        store = cls(connection, where)
        try:
            with store._seam:
                store._prepare(where, read_only=read_only)
        except OutboxError:
            connection.close(True)
            raise
        return store

    def _prepare(self, where: str, *, read_only: bool) -> None:
        db = self._db
        db.set_busy_timeout(BUSY_MS)
        version = int(self._pragma("user_version"))
        application = int(self._pragma("application_id"))
        if application not in {0, sql.APPLICATION_ID} or (application == 0 and not self._is_new()):
            raise OutboxVersionError(f"{where}: is a database of another program. Next: give the outbox its own folder")
        if version > sql.SCHEMA_VERSION:
            raise OutboxVersionError(
                f"{where}: has version {version}, this tagrig reads up to {sql.SCHEMA_VERSION}. Next: update tagrig"
            )
        if read_only:
            return
        mode = self._pragma("journal_mode=WAL")
        if mode not in {"wal", "memory"}:
            raise OutboxIoError(f"{where}: its file system keeps no write-ahead log. Next: use a local disk")
        for pragma in (
            "synchronous=FULL",
            f"cache_size=-{CACHE_KIB}",
            f"journal_size_limit={CHECKPOINT_MUST_PAGES * 4096}",
            "trusted_schema=OFF",
            "temp_store=MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.set_wal_hook(self._note_log)
        if mode == "wal":
            room_pages = shutil.disk_usage(Path(where).parent).free // 8 // 4096
            self._most_log_pages = max(100, min(CHECKPOINT_MUST_PAGES, room_pages))
        if version == 0:
            db.execute(
                f"BEGIN IMMEDIATE; {sql.CREATE} PRAGMA user_version={sql.SCHEMA_VERSION}; "
                f"PRAGMA application_id={sql.APPLICATION_ID}; COMMIT"
            )

    def _note_log(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _pragma(self, text: str) -> str:
        return str(self._db.execute(f"PRAGMA {text}").get)

    def _is_new(self) -> bool:
        return int(self._db.execute("SELECT count(*) FROM sqlite_schema").get) == 0

    def begin(self) -> None:
        """Open a transaction, if none is open."""
        if not self._db.in_transaction:
            with self._seam:
                self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable: returns after the sync."""
        if self._db.in_transaction:
            with self._seam:
                self._db.execute("COMMIT")

    def roll_back(self) -> None:
        """Forget the transaction; SQLite may have done so already."""
        if self._db.in_transaction:
            with self._seam:
                self._db.execute("ROLLBACK")

    def insert(self, rows: Iterable[tuple[Value, ...]]) -> None:
        """Add rows made by ``row_values``; those whose number is there already stay as they are."""
        with self._seam:
            self._run(join_rows(rows))

    def change(self, changes: Iterable[Change]) -> None:
        """Run statements that give nothing back."""
        with self._seam:
            self._run(join_changes(changes))

    def _run(self, changes: Iterable[Change]) -> None:
        execute = self._db.execute
        for statement, values in changes:
            execute(statement, values)

    def change_numbers(self, statement: str, values: Sequence[Value]) -> list[int]:
        """Run a statement that gives back the numbers of the rows that it changed."""
        with self._seam:
            return [int(number) for (number,) in self._db.execute(statement, values)]

    def load(self, statement: str, values: Sequence[Value], limit: int) -> Loaded:
        """Read whole rows, up to ``limit`` sound ones; those that cannot be read back are given beside them."""
        loaded = Loaded(rows=[], damaged=[])
        with self._seam:
            try:
                self._load_into(loaded, self._db.execute(statement, values), limit)
            except UnicodeDecodeError:
                # A text that is no text: which row's, only its number can tell.
                loaded = Loaded(rows=[], damaged=[])
                numbers = [row[0] for row in self._db.execute(statement.replace(sql.COLUMNS, "number", 1), values)]
                for number in numbers:
                    if len(loaded.rows) == limit:
                        break
                    self._load_one(loaded, number)
        return loaded

    def _load_into(self, loaded: Loaded, found: Iterable[Sequence[Any]], limit: int) -> None:
        for values in found:
            try:
                loaded.rows.append(read_row(values))
            except OutboxRowError as exc:
                loaded.damaged.append(
                    self._damaged(values[0], str(exc), is_told=values[RECEIPT_AT] == sql.SET_ASIDE_RECEIPT)
                )
            if len(loaded.rows) == limit:
                return

    def _load_one(self, loaded: Loaded, number: int) -> None:
        try:
            self._load_into(loaded, self._db.execute(sql.LOAD_NUMBER, (number,)), len(loaded.rows) + 1)
        except UnicodeDecodeError:
            receipt = self._db.execute(sql.RECEIPT_OF, (number,)).get
            is_told = receipt == sql.SET_ASIDE_RECEIPT
            loaded.damaged.append(self._damaged(number, "a text in it is no text", is_told=is_told))

    def _damaged(self, number: int, detail: str, *, is_told: bool) -> DamagedRow:
        source = self._db.execute(sql.SOURCE_OF, (number,)).get
        text = source.decode("utf-8", "replace") if isinstance(source, bytes) else ""
        return DamagedRow(number=number, source=text, detail=detail, is_told=is_told)

    def ask(self, statement: str, values: Sequence[Value] = ()) -> list[tuple[int, ...]]:
        """Read numbers; NULL, and what is no number, as -1."""
        with self._seam:
            return [
                tuple(value if isinstance(value, int) else -1 for value in row)
                for row in self._db.execute(statement, values)
            ]

    def find_text(self, statement: str, values: Sequence[Value]) -> str | None:
        """Read one text.

        Raises
        ------
        OutboxRowError
            It is none.
        """
        with self._seam:
            try:
                found = self._db.execute(statement, values).get
            except UnicodeDecodeError as exc:
                raise OutboxRowError(f"{self._where}: a text in it is no text") from exc
        if found is not None and not isinstance(found, str):
            raise OutboxRowError(f"{self._where}: a {type(found).__name__} stands for a text")
        return found

    def sequences(self) -> tuple[StoredSequence, ...]:
        """Last number of every stream."""
        found: list[StoredSequence] = []
        for source, owner, last, lane in self._facts("SELECT source, owner, last, lane FROM sequence"):
            are_kinds = isinstance(source, str) and isinstance(owner, str) and isinstance(last, int)
            if not are_kinds or not 0 <= last <= LAST_MAX or lane not in _LANES:
                raise corrupt_error(
                    self._where, f"the number of stream {source!r:.80} is {last!r:.40}, its lane {lane!r:.40}"
                )
            found.append(StoredSequence(source=source, owner=owner, last=last, lane=Lane(lane)))
        return tuple(found)

    def kept(self) -> tuple[Saved, ...]:
        """All that is kept, by owner and key."""
        found: list[Saved] = []
        for owner, key, value in self._facts("SELECT owner, key, value FROM kept ORDER BY owner, key"):
            if not (isinstance(owner, str) and isinstance(key, str) and isinstance(value, bytes)):
                raise corrupt_error(
                    self._where, f"what is kept for {owner!r:.80} as {key!r:.80} has another type than was written"
                )
            found.append(Saved(owner=owner, key=key, value=value))
        return tuple(found)

    def meta(self) -> dict[str, str]:
        """Facts about the file."""
        found = self._facts("SELECT name, value FROM meta")
        if not all(isinstance(text, str) for fact in found for text in fact):
            raise corrupt_error(self._where, "a fact about the file has another type than was written")
        return dict(found)

    def _facts(self, statement: str) -> list[tuple[Any, ...]]:
        with self._seam:
            try:
                return self._db.execute(statement).fetchall()
            except UnicodeDecodeError as exc:
                raise corrupt_error(self._where, "a text in it is no text") from exc

    def last_number(self) -> int:
        """Highest number of a row; 0: there is none."""
        with self._seam:
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM row").get)

    def rows(self, *, owner: str | None = None) -> Iterator[StoredRow]:
        """Go through all rows, or those of an owner, in order. Nothing may be changed before the end.

        Raises
        ------
        OutboxRowError
            One cannot be read back.
        """
        condition, values = ("", ()) if owner is None else (" WHERE owner = ?", (owner,))
        for row in self._raw(f"SELECT {sql.COLUMNS} FROM row{condition} ORDER BY number", values):
            try:
                yield read_row(row)
            except OutboxRowError as exc:
                raise OutboxRowError(
                    f"{self._where}: message {row[0]} cannot be read back: {exc}. Next: keep the file as evidence, "
                    "check the disk; the bridge itself sets such a message aside and goes on"
                ) from exc

    def raw_rows(self) -> Iterator[tuple[Any, ...]]:
        """Go through the values of all rows as they are, readable or not, in order."""
        return self._raw(f"SELECT {sql.COLUMNS} FROM row ORDER BY number", ())

    def _raw(self, statement: str, values: Sequence[Value]) -> Iterator[tuple[Any, ...]]:
        with self._seam:
            try:
                yield from self._db.execute(statement, values)
            except UnicodeDecodeError as exc:
                raise OutboxRowError(f"{self._where}: a text in it is no text. Next: check the disk") from exc

    def owners(self) -> frozenset[str]:
        """Everybody who has rows, streams or something kept."""
        found = self._facts("SELECT owner FROM row UNION SELECT owner FROM sequence UNION SELECT owner FROM kept")
        return frozenset(owner for (owner,) in found if isinstance(owner, str))

    def find_damage(self) -> str | None:
        """Read the whole file for damage: 0.25 s for a million rows."""
        with self._seam:
            found = str(self._db.execute("PRAGMA quick_check(1)").get)
        return None if found == "ok" else found

    @property
    def wants_checkpoint(self) -> bool:
        """Whether a quiet moment should be used to copy the log."""
        return self._log_pages >= CHECKPOINT_PAGES

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the log must be copied now."""
        return self._log_pages >= self._most_log_pages

    def checkpoint(self, *, whole: bool = False) -> None:
        """Copy the log into the database; ``whole``: all of it, and sync, and begin a new log."""
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if whole else apsw.SQLITE_CHECKPOINT_PASSIVE
        with self._seam:
            self._db.wal_checkpoint(mode=mode)
        self._log_pages = 0

    def check_place(self) -> None:
        """Make sure that the file is where it was opened: SQLite goes on writing to one that was deleted.

        Raises
        ------
        OutboxIoError
            Its path names no file any more, or another one.
        """
        if self._place is not None and _find_place(self._where) != self._place:
            raise OutboxIoError(
                f"{self._where}: was moved or deleted while in use. Next: find out by whom; leave the outbox's folder "
                "alone while the bridge runs"
            )

    def rescue(self) -> None:
        """Copy what is open to where it should be, if nothing is there: the only way to it is this connection."""
        path = Path(self._where)
        if self._place is None or _find_place(self._where) is not None:
            return
        draft = path.with_name(f"{path.name}.rescued")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            for each in path.parent.glob(f"{draft.name}*"):
                each.unlink()
            self.copy_to(draft)
            draft.replace(path)
            fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise OutboxIoError(f"{path}: cannot be made again ({exc}). Next: check the folder and its rights") from exc

    def copy_to(self, path: Path) -> None:
        """Write what is committed now to another file, while the bridge that owns this one goes on."""
        with _Seam(str(path)):
            target = apsw.Connection(str(path))
            try:
                with target.backup("main", self._db, "main") as backup:
                    while not backup.done:
                        backup.step(-1)
            finally:
                target.close(True)

    def close(self) -> None:
        """Close the file; the log stays if it could not be copied."""
        with self._seam:
            self._db.close(True)


def _find_place(where: str) -> tuple[int, int] | None:
    try:
        found = Path(where).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
