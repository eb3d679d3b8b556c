"""The outbox's file: rows, sequence numbers and what is kept, in SQLite. The one file that knows apsw.

One connection, used by one thread at a time: two that write and checkpoint have lost data in SQLite before 3.51.3.
Write-ahead log with ``synchronous=FULL``: each commit is one sync of the log; ``NORMAL`` loses commits when the power
goes.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import msgspec

from bridge.errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFullError,
    OutboxIoError,
    OutboxReadOnlyError,
    OutboxVersionError,
)
from bridge.outbox import schema as sql
from bridge.outbox.joined import Change as Change
from bridge.outbox.joined import Value as Value
from bridge.outbox.joined import join_changes, join_rows
from bridge.publisher import Lane, Message, Saved
from protocols.mqtt.messages import DELIVERED

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
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[tuple[str, str], ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A message on disk with its fate. ``states``: delivery to each broker; ``receipt``: 1 received, 2 rejected."""

    number: int
    message: Message
    states: tuple[int, int]
    attempts: int
    t_utc_ns: int
    acked_utc_ns: int | None = None
    receipt: int = 0
    receipt_utc_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSequence:
    """The last number given in a stream, and the lane its messages go in."""

    source: str
    owner: str
    last: int
    lane: Lane


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
                raise OutboxCorruptError(
                    f"{where}: is damaged ({exc}). Next: move it and its -wal file away, keep them as evidence, check "
                    "the disk, start again; what waited in it is not sent, and streams begin anew with 1"
                ) from exc
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

    def load(self, statement: str, values: Sequence[Value]) -> list[StoredRow]:
        """Read whole rows."""
        with self._seam:
            return [_stored(values) for values in self._db.execute(statement, values)]

    def ask(self, statement: str, values: Sequence[Value] = ()) -> list[tuple[int, ...]]:
        """Read numbers; NULL as -1."""
        with self._seam:
            return [
                tuple(-1 if value is None else int(value) for value in row)
                for row in self._db.execute(statement, values)
            ]

    def find_text(self, statement: str, values: Sequence[Value]) -> str | None:
        """Read one text."""
        with self._seam:
            found = self._db.execute(statement, values).get
        return None if found is None else str(found)

    def sequences(self) -> tuple[StoredSequence, ...]:
        """Last number of every stream."""
        with self._seam:
            return tuple(
                StoredSequence(source=source, owner=owner, last=last, lane=Lane(lane))
                for source, owner, last, lane in self._db.execute("SELECT source, owner, last, lane FROM sequence")
            )

    def kept(self) -> tuple[Saved, ...]:
        """All that is kept, by owner and key."""
        with self._seam:
            return tuple(
                Saved(owner=owner, key=key, value=value)
                for owner, key, value in self._db.execute("SELECT owner, key, value FROM kept ORDER BY owner, key")
            )

    def meta(self) -> dict[str, str]:
        """Facts about the file."""
        with self._seam:
            return dict(self._db.execute("SELECT name, value FROM meta"))

    def last_number(self) -> int:
        """Highest number of a row; 0: there is none."""
        with self._seam:
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM row").get)

    def rows(self, *, owner: str | None = None) -> Iterator[StoredRow]:
        """Go through all rows, or those of an owner, in order. Nothing may be changed before the end."""
        condition, values = ("", ()) if owner is None else (" WHERE owner = ?", (owner,))
        with self._seam:
            cursor = self._db.execute(f"SELECT {sql.COLUMNS} FROM row{condition} ORDER BY number", values)
            for row in cursor:
                yield _stored(row)

    def owners(self) -> frozenset[str]:
        """Everybody who has rows, streams or something kept."""
        with self._seam:
            return frozenset(
                owner
                for (owner,) in self._db.execute(
                    "SELECT owner FROM row UNION SELECT owner FROM sequence UNION SELECT owner FROM kept"
                )
            )

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


def row_values(row: StoredRow) -> tuple[Value, ...]:
    """Give the values of a row in the order of ``COLUMNS``."""
    message = row.message
    return (
        row.number,
        int(message.lane),
        message.owner,
        message.topic,
        message.source,
        message.sequence,
        message.event_id,
        message.body,
        int(message.retain),
        message.expiry_s,
        _encoder.encode(message.properties).decode(),
        message.alert_type.__name__ if message.alert_type is not None else None,
        *row.states,
        row.attempts,
        row.t_utc_ns,
        row.acked_utc_ns,
        row.receipt,
        row.receipt_utc_ns,
    )


def _stored(values: tuple[Any, ...]) -> StoredRow:  # what SQLite gives back has no types
    (number, lane, owner, topic, source, sequence, event_id, body) = values[:8]
    (retain, expiry_s, properties, alert_type, state_0, state_1) = values[8:14]
    (attempts, t_utc_ns, acked_utc_ns, receipt, receipt_utc_ns) = values[14:]
    return StoredRow(
        number=number,
        message=Message(
            topic=topic,
            body=body,
            lane=Lane(lane),
            retain=bool(retain),
            expiry_s=expiry_s,
            properties=_decoder.decode(properties),
            alert_type=DELIVERED.get(alert_type),
            owner=owner,
            event_id=event_id,
            source=source,
            sequence=sequence,
        ),
        states=(state_0, state_1),
        attempts=attempts,
        t_utc_ns=t_utc_ns,
        acked_utc_ns=acked_utc_ns,
        receipt=receipt,
        receipt_utc_ns=receipt_utc_ns,
    )
