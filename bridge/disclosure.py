"""The disclosure log: one hash-chained line for every message that is handed to an outside broker.

``{folder}/{bridge}_{number of its first line}_{day}.jsonl``, a file a day (UTC), readable by its owner alone. The chain
goes on over files and restarts. A line is written before its message is handed to the connection, so that a crash can
leave a line without its message but no message without its line; it reaches the disk itself within ``SYNC_NS``.

Trouble with the disk never stops an alert: lines wait in memory, the trouble is told, and what had to be given up is
counted in a line of its own once the disk takes lines again.
"""

import fcntl
import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge.disclosure_files import find_end, find_files
from bridge.disclosure_line import GENESIS, Gap, Line, Opened, Sent, Torn, seal
from bridge.errors import DisclosureError
from bridge.publisher import Message
from devices.clock import Clock
from protocols.mqtt.times import utc_text

_log = logging.getLogger(__name__)

SYNC_NS = 1_000_000_000
"""ns. How long a written line may be in the operating system's memory only. It outlives the process at once; a power
cut may take the last second. Less costs an fsync beside each of the outbox's."""

RETRY_NS = 1_000_000_000
"""ns. How often a disk that refused is tried again. More often would load the publisher's thread while it struggles."""

MAX_PENDING = 20_000
"""Lines that wait for a disk that refuses, about 10 MB; ten seconds at 2,000 messages a second. Beyond it the oldest
are given up and counted: memory is for alerts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureStats:
    """How the log is. ``trouble`` is empty while lines can be written; ``head`` is the hash of the newest line."""

    written: int
    waiting: int
    given_up: int
    trouble: str
    head: str


@dataclass(frozen=True, slots=True)
class _Noted:
    """A message that is about to be sent; numbered and chained only when it is written."""

    t_utc_ns: int
    to: str
    topic: str
    event_id: str
    event_type: str
    sha256: str
    length: int
    attempt: int


class DisclosureLog:
    """Writes the log. All calls but ``stats`` come from one thread, the publisher's.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    bridge_id, client_id, version, epoch, purpose : str
        Who discloses, under which name, and what for.
    clock : Clock
    on_trouble : callable, optional
        Told what is wrong when the disk begins to refuse, and an empty text when it takes lines again.

    Raises
    ------
    DisclosureError
        The folder cannot be used, or another process writes this log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bridge_id: str,
        client_id: str,
        version: str,
        epoch: str,
        purpose: str,
        clock: Clock,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._bridge_id = bridge_id
        self._client_id = client_id
        self._purpose = purpose
        self._clock = clock
        self._on_trouble = on_trouble
        self._fd: int | None = None
        self._path: Path | None = None
        self._day = ""
        self._size = 0
        self._number = 0
        self._head = GENESIS
        self._pending: deque[_Noted] = deque()
        self._given_up: tuple[int, int, int] | None = None
        self._given_up_all = 0
        self._written = 0
        self._trouble = ""
        self._retry_mono_ns = 0
        self._unsynced_mono_ns: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_fd = _lock(folder / f"{bridge_id}.lock")
        except OSError as exc:
            raise DisclosureError(
                f"{folder}: the disclosure log cannot be written: {exc.strerror}. "
                "Next: mend the folder, or name another one as disclosure.folder"
            ) from exc
        try:
            self._resume(version, epoch)
        except BaseException:
            os.close(self._lock_fd)
            raise

    def note(self, message: Message, body: bytes, endpoint: str, attempt: int) -> None:
        """Take down a message that is about to be sent; ``body`` as it is sent. Never raises, writes nothing yet."""
        self._pending.append(
            _Noted(
                self._clock.utc_ns(),
                endpoint,
                message.topic,
                message.event_id,
                _type_of(message),
                hashlib.sha256(body).hexdigest(),
                len(body),
                attempt,
            )
        )
        if len(self._pending) > MAX_PENDING:
            self._give_up(self._pending.popleft())

    def flush(self) -> None:
        """Write what was noted, in one write; bring it to the disk where ``SYNC_NS`` have passed. Never raises.

        Call it before the noted messages are handed to the connection, and about once a second when idle.
        """
        now_mono_ns = self._clock.mono_ns()
        if self._pending and not (self._trouble and now_mono_ns < self._retry_mono_ns):
            try:
                self._write_pending()
            except OSError as exc:
                self._fail(exc, now_mono_ns)
            else:
                self._recover()
                if self._unsynced_mono_ns is None:
                    self._unsynced_mono_ns = now_mono_ns
        if self._unsynced_mono_ns is not None and now_mono_ns - self._unsynced_mono_ns >= SYNC_NS:
            self._sync(now_mono_ns)

    def stats(self) -> DisclosureStats:
        """Read how the log is; from any thread."""
        return DisclosureStats(
            written=self._written,
            waiting=len(self._pending),
            given_up=self._given_up_all,
            trouble=self._trouble,
            head=self._head,
        )

    def close(self) -> None:
        """Write and sync what is left; safe to call twice. Never raises."""
        if self._lock_fd < 0:
            return
        self._retry_mono_ns = 0
        self.flush()
        if self._unsynced_mono_ns is not None:
            self._sync(self._clock.mono_ns())
        if self._pending:
            _log.error("%s: %d lines of the disclosure log could not be written", self._folder, len(self._pending))
        self._close_file()
        os.close(self._lock_fd)
        self._lock_fd = -1

    # Writing

    def _write_pending(self) -> None:
        now_utc_ns = self._clock.utc_ns()
        self._roll(utc_text(now_utc_ns)[:10])
        number, head = self._number, self._head
        parts: list[bytes] = []

        def add(line: Line) -> None:
            nonlocal number, head
            raw, head = seal(line)
            number += 1
            parts.append(raw)

        if self._given_up is not None:
            count, first_ns, last_ns = self._given_up
            reason = self._trouble or "the disk took no lines"
            first, last = utc_text(first_ns), utc_text(last_ns)
            add(
                Gap(
                    n=number + 1,
                    t=utc_text(now_utc_ns),
                    lines=count,
                    first=first,
                    last=last,
                    reason=reason,
                    prev=head,
                )
            )
        for noted in self._pending:
            add(
                Sent(
                    n=number + 1,
                    t=utc_text(noted.t_utc_ns),
                    to=noted.to,
                    client_id=self._client_id,
                    topic=noted.topic,
                    id=noted.event_id,
                    type=noted.event_type,
                    sha256=noted.sha256,
                    length=noted.length,
                    attempt=noted.attempt,
                    purpose=self._purpose,
                    prev=head,
                )
            )
        self._write(b"".join(parts))
        self._number, self._head = number, head
        self._written += len(self._pending)
        self._pending.clear()
        self._given_up = None

    def _write(self, data: bytes) -> None:
        """Append whole lines or nothing.

        Raises
        ------
        OSError
            The disk refused; the file was cut back to its last whole line, or is left for the next start to mend.
        """
        assert self._fd is not None
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            if written:
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _roll(self, day: str) -> None:
        """Begin a new file with each day; a clock that is set back begins one too."""
        if self._fd is not None and self._day == day:
            return
        path = self._folder / f"{self._bridge_id}_{self._number + 1:012d}_{day}.jsonl"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._fd is not None:
            os.fdatasync(self._fd)
            os.close(self._fd)
        self._fd, self._path, self._day, self._size = fd, path, day, os.fstat(fd).st_size
        _sync_folder(self._folder)

    def _sync(self, now_mono_ns: int) -> None:
        self._unsynced_mono_ns = None
        if self._fd is None:
            return
        try:
            os.fdatasync(self._fd)
        except OSError as exc:
            self._fail(exc, now_mono_ns)

    def _fail(self, exc: OSError, now_mono_ns: int) -> None:
        self._retry_mono_ns = now_mono_ns + RETRY_NS
        if self._trouble:
            return
        where = self._path or self._folder
        self._trouble = f"{where}: the disclosure log cannot be written: {exc.strerror}"
        _log.error("%s; messages are sent all the same", self._trouble)
        if self._on_trouble is not None:
            self._on_trouble(self._trouble)

    def _recover(self) -> None:
        if not self._trouble:
            return
        self._trouble = ""
        _log.warning("%s: the disclosure log is written again", self._folder)
        if self._on_trouble is not None:
            self._on_trouble("")

    def _give_up(self, noted: _Noted) -> None:
        count, first_ns, _ = self._given_up or (0, noted.t_utc_ns, 0)
        self._given_up = (count + 1, first_ns, noted.t_utc_ns)
        self._given_up_all += 1

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    # Going on from an earlier run

    def _resume(self, version: str, epoch: str) -> None:
        """Find the newest whole line, tell of what lies behind it, and write that this bridge was started."""
        try:
            files = find_files(self._folder, self._bridge_id)
            end = find_end(files)
            if end is not None:
                self._number, self._head = end.number, end.head
                self._fd = os.open(end.file.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                self._path, self._day, self._size = end.file.path, end.file.day, end.file.path.stat().st_size
                if end.lacks_line_end:
                    self._write(b"\n")
            now = utc_text(self._clock.utc_ns())
            if end is not None and end.torn:
                offset, rest = end.offset, end.torn
                _log.warning("%s: %d bytes of a torn line were left by a crash", self._path, len(rest))
                digest = hashlib.sha256(rest).hexdigest()
                self._append(
                    Torn(n=self._number + 1, t=now, offset=offset, length=len(rest), sha256=digest, prev=self._head),
                    before=b"\n",
                )
            self._roll(now[:10])
            self._append(
                Opened(
                    n=self._number + 1,
                    t=now,
                    bridge=self._bridge_id,
                    version=version,
                    epoch=epoch,
                    prev=self._head,
                )
            )
            assert self._fd is not None
            os.fdatasync(self._fd)
        except OSError as exc:
            self._close_file()
            raise DisclosureError(
                f"{self._path or self._folder}: the disclosure log cannot be continued: {exc.strerror}. "
                "Next: mend the disk, or name another folder as disclosure.folder"
            ) from exc
        except DisclosureError:
            self._close_file()
            raise

    def _append(self, line: Line, *, before: bytes = b"") -> None:
        raw, head = seal(line)
        self._write(before + raw)
        self._number, self._head = line.n, head


def _type_of(message: Message) -> str:
    for name, value in message.properties:
        if name == "type":
            return value
    return ""


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise DisclosureError(
            f"{path}: process {holder} writes this disclosure log. Next: stop it, or give this bridge another bridge.id"
        ) from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
