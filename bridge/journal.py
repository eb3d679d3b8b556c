"""The journal: everything that decides what a bridge says, in order, so that the same can be said again.

A line of JSON before each turn with what was given, and one behind it with each reading of the clock and a print of
each message that was made. A crash keeps all turns but the one it fell into, and of that one what was given::

    {"start": {"format": 1, "identity": {...}, "sequences": {...}, "kept": [...], ...}}
    {"n": 1, "do": "start", "given": {"now_mono_ns": 5, "now_utc_ns": 7}}
    {"n": 1, "mono": [6], "utc": [8], "made": ["9d1f5b0c24a7e613"]}

A file holds the starts of one bridge, one after the other. It holds positions, and is readable by its owner alone.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

import bridge
import devices
import geofence_core
import protocols
from bridge.config.load import LoadedConfig
from bridge.errors import ConfigError, Problem
from bridge.identity import Identity, config_hash
from bridge.outbox.port import Recovered
from bridge.partition import find_part
from bridge.publisher import Message, Saved
from devices.clock import Clock

FORMAT = 1
"""Of the lines above; a reader refuses a higher one."""

PRINT_BYTES = 8
"""Bytes of a message's print: two different bodies in one place of one turn agree by chance once in 10^19."""

_log = logging.getLogger(__name__)


class StartLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a start went on from.

    Attributes
    ----------
    identity : Identity
    kinds : dict of str to str
        What each device is.
    sequences : dict of str to int
        Last number of each source.
    kept : tuple of Saved
        What earlier starts had on disk.
    config_hash : str
    code : str
        Print of the code that judged: another one may judge otherwise.
    t_mono_ns, t_utc_ns : int
        When orders that were kept were looked at.
    """

    format: int = FORMAT
    identity: Identity
    kinds: dict[str, str]
    sequences: dict[str, int]
    kept: tuple[Saved, ...]
    config_hash: str
    code: str
    t_mono_ns: int
    t_utc_ns: int


class GivenLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A turn begins: ``do`` names what is done, ``given`` is what it is done with."""

    n: int
    do: str
    given: msgspec.Raw


class MadeLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A turn ended: readings of both clocks in order, prints of the messages in order, and the error it ended by."""

    n: int
    mono: tuple[int, ...] = ()
    utc: tuple[int, ...] = ()
    made: tuple[str, ...] = ()
    failed: str | None = None


@dataclass(slots=True)
class _Turn:
    n: int
    mono: list[int] = field(default_factory=list)
    utc: list[int] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


def message_print(topic: str, body: bytes) -> str:
    """Make the print of a message, by which a replay knows it again."""
    return hashlib.blake2b(topic.encode() + b"\0" + body, digest_size=PRINT_BYTES).hexdigest()


@lru_cache
def code_print() -> str:
    """Make a print of the code between bytes and messages, as it lies on the disk; 15 ms."""
    found = hashlib.blake2b(digest_size=PRINT_BYTES)
    for package in (bridge, devices, geofence_core, protocols):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            found.update(str(path.relative_to(root.parent)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


class Journal:
    """Writes the journal of one start, in the loop's thread.

    A journal never stops the bridge: where the disk refuses, or something has no place in JSON, it ends after its last
    whole line, that is logged once, and nothing more is written.

    Parameters
    ----------
    path : Path
        Appended to.
    clock : Clock
        The bridge's.

    Attributes
    ----------
    clock : JournalClock
        For whatever is to be replayed: its readings are written down.

    Raises
    ------
    OSError
        The file cannot be made.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = JournalClock(clock, self)
        self._turn: _Turn | None = None
        self._turns = 0
        self._encoder = msgspec.json.Encoder()
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd: int | None = os.open(path, flags, 0o600)
        self._good_size = os.fstat(self._fd).st_size
        if self._good_size and os.pread(self._fd, 1, self._good_size - 1) != b"\n":
            # The line that a crash cut short stays, apart from what follows.
            self._append(b"")

    def start(self, line: StartLine) -> None:
        """Write down what this start goes on from."""
        self._write({"start": line})

    @contextmanager
    def turn(self, do: str, given: Mapping[str, Any]) -> Iterator[None]:  # Any: whatever the thing done is done with
        """Write down one turn; one within another is the other's own doing and belongs to it."""
        if self._turn is not None:
            yield
            return
        self._turns += 1
        turn = self._turn = _Turn(self._turns)
        self._write({"n": turn.n, "do": do, "given": given})
        failed: str | None = None
        try:
            yield
        except BaseException as exc:
            failed = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            self._turn = None
            made = MadeLine(n=turn.n, mono=tuple(turn.mono), utc=tuple(turn.utc), made=tuple(turn.made), failed=failed)
            self._write(made)

    def note_message(self, message: Message) -> None:
        """Note a message of the turn."""
        if self._turn is not None:
            self._turn.made.append(message_print(message.topic, message.body))

    def note_mono(self, mono_ns: int) -> None:
        """Note a reading of the monotonic clock."""
        if self._turn is not None:
            self._turn.mono.append(mono_ns)

    def note_utc(self, utc_ns: int) -> None:
        """Note a reading of UTC."""
        if self._turn is not None:
            self._turn.utc.append(utc_ns)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _write(self, line: object) -> None:
        if self._fd is None:
            return
        try:
            text = self._encoder.encode(line)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as exc:
            _log.error("%s: the journal ends here: no line can be made: %s; the bridge itself goes on", self.path, exc)
            self.close()
        else:
            self._append(text)

    def _append(self, line: bytes) -> None:
        assert self._fd is not None
        try:
            written = os.write(self._fd, line + b"\n")
            if written != len(line) + 1:
                raise OSError(0, "the disk took only a part")
        except OSError as exc:
            _log.error("%s: the journal ends here: %s; the bridge itself goes on", self.path, exc.strerror)
            try:
                os.ftruncate(self._fd, self._good_size)
            except OSError as cut:
                _log.error("%s: its last line stays cut short: %s", self.path, cut.strerror)
            self.close()
        else:
            self._good_size += written


class JournalClock:
    """A clock whose readings are noted."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal

    def mono_ns(self) -> int:
        """Read the monotonic clock."""
        now = self._clock.mono_ns()
        self._journal.note_mono(now)
        return now

    def utc_ns(self) -> int:
        """Read UTC."""
        now = self._clock.utc_ns()
        self._journal.note_utc(now)
        return now

    async def sleep_until(self, mono_ns: int) -> None:
        """Sleep; when it ends is known by what is done then."""
        await self._clock.sleep_until(mono_ns)


def journal_path(loaded: LoadedConfig) -> Path | None:
    """Where a configuration's journal is: beside the folder of captures. None: it has none."""
    capture = loaded.config.capture
    if not capture.journal or capture.folder is None:
        return None
    part = find_part(loaded)
    name = "journal.jsonl" if part is None else f"journal-{part.number}-of-{part.of}.jsonl"
    return loaded.path_of(capture.folder).parent / name


def open_journal(loaded: LoadedConfig, clock: Clock) -> Journal | None:
    """Open the journal of a start; None: it is not asked for.

    Raises
    ------
    ConfigError
        Its file cannot be made.
    """
    path = journal_path(loaded)
    if path is None:
        return None
    try:
        return Journal(path, clock)
    except OSError as exc:
        where = loaded.sources.nearest(("capture", "journal"))
        message = f"{path}: {exc.strerror}. Next: check the folder, or set journal = false"
        raise ConfigError([Problem(path="capture.journal", where=where, message=message)]) from exc


def start_line(
    loaded: LoadedConfig,
    identity: Identity,
    kinds: Mapping[str, str],
    recovered: Recovered,
    *,
    now_mono_ns: int,
    now_utc_ns: int,
) -> StartLine:
    """Sum up what a start goes on from."""
    return StartLine(
        identity=identity,
        kinds=dict(kinds),
        sequences=dict(recovered.sequences),
        kept=recovered.kept,
        config_hash=config_hash(loaded),
        code=code_print(),
        t_mono_ns=now_mono_ns,
        t_utc_ns=now_utc_ns,
    )
