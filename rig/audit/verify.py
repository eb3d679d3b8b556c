"""Is a disclosure log whole: every line has the hash it states, names the one before, and none is missing.

The verifier knows only the format of a line (``bridge.disclosure_line``) and the names of the files; it shares no code
with the writer's handling of files, and reads them byte by byte as they lie there.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bridge.disclosure_files import LogFile, find_files
from bridge.disclosure_line import GENESIS, Gap, Line, Opened, Sent, Torn, find_hash, read_line
from rig.audit.errors import AuditError

TORN_SEARCH_LINES = 100_000
"""Lines behind a damaged one that are searched for the record that says it was torn by a crash. One write holds at most
20,000 lines; the search must end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first place where a chain is broken. ``line`` counts from 1 in its file."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(slots=True, kw_only=True)
class Chain:
    """What was found in the log of one bridge."""

    bridge: str
    files: int = 0
    lines: int = 0
    first: int = 0
    last: int = 0
    head: str = GENESIS
    starts: int = 0
    disclosures: int = 0
    torn: int = 0
    given_up: int = 0
    has_noted_head: bool = False
    notes: list[str] = field(default_factory=list)
    broken: Break | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no line is wrong and none is missing between the first and the last."""
        return self.broken is None


@dataclass(frozen=True, slots=True)
class Place:
    """A line with where it stands."""

    path: Path
    number: int
    raw: bytes
    line: Line
    digest: str


class _BrokenChainError(Exception):
    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(what)
        self.at = Break(path=path, line=line, what=what)


def verify_folder(folder: Path, *, noted_head: str | None = None) -> list[Chain]:
    """Verify the logs of all bridges in a folder and below it; ``noted_head``: a hash that must stand in one of them.

    Raises
    ------
    AuditError
        There is no log, or it cannot be read.
    """
    chains = []
    for bridge, files in find_logs(folder):
        chain = Chain(bridge=bridge)
        for _ in read_chain(files, chain, noted_head=noted_head):
            pass
        chains.append(chain)
    if not chains:
        example = "bridge-1_000000000001_2026-11-23.jsonl"
        raise AuditError(f"{folder}: holds no disclosure log; expected files such as {example}")
    return chains


def find_logs(folder: Path) -> list[tuple[str, list[LogFile]]]:
    """List the logs in a folder and below it: bridges that share a configuration have a folder each.

    Raises
    ------
    AuditError
        A folder cannot be read.
    """
    logs = []
    try:
        for each in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
            files = find_files(each)
            for bridge in dict.fromkeys(file.bridge for file in files):
                logs.append((bridge, [file for file in files if file.bridge == bridge]))  # noqa: PERF401 - two loops
    except OSError as exc:
        raise AuditError(f"{folder}: cannot be read: {exc.strerror}") from exc
    return logs


def read_chain(files: list[LogFile], chain: Chain, *, noted_head: str | None = None) -> Iterator[Place]:
    """Go through one bridge's log, verifying it; ends at the first break, which then stands in ``chain``."""
    try:
        for position, file in enumerate(files):
            chain.files += 1
            for place in _lines(file, is_last=position == len(files) - 1, chain=chain):
                _link(place, file, chain)
                if place.digest == noted_head:
                    chain.has_noted_head = True
                yield place
    except _BrokenChainError as exc:
        chain.broken = exc.at
    except OSError as exc:
        raise AuditError(f"{files[0].path.parent}: cannot be read: {exc.strerror}") from exc


def _link(place: Place, file: LogFile, chain: Chain) -> None:
    """Check a line against the one before, and count it."""
    line = place.line
    if chain.lines == 0:
        chain.first = line.n
        if line.n != file.first:
            raise _BrokenChainError(place.path, place.number, f"has number {line.n}, the file's name says {file.first}")
        if line.n == 1 and line.prev != GENESIS:
            raise _BrokenChainError(place.path, place.number, "is the first line and names a line before it")
        if line.n > 1:
            chain.notes.append(f"begins with line {line.n}: earlier files are not here")
    elif line.n != chain.last + 1:
        raise _BrokenChainError(
            place.path, place.number, f"has number {line.n}, expected {chain.last + 1}: lines are missing or moved"
        )
    elif line.prev != chain.head:
        raise _BrokenChainError(
            place.path,
            place.number,
            f"names {line.prev[:16]}... as the line before, which is {chain.head[:16]}...: "
            "one was taken out, put in or made anew",
        )
    chain.lines += 1
    chain.last, chain.head = line.n, place.digest
    match line:
        case Opened():
            chain.starts += 1
        case Sent():
            chain.disclosures += 1
        case Torn():
            chain.torn += 1
            chain.notes.append(f"{place.path.name}:{place.number}: a crash left {line.length} bytes of torn lines")
        case Gap():
            chain.given_up += line.lines
            chain.notes.append(
                f"{place.path.name}:{place.number}: {line.lines} lines between {line.first} and {line.last} "
                f"could not be written: {line.reason}"
            )


def _lines(file: LogFile, *, is_last: bool, chain: Chain) -> Iterator[Place]:
    """Read the lines of a file; over what a crash tore, if a later line owns up to exactly those bytes."""
    with file.path.open("rb") as opened:
        number = 0
        while True:
            offset = opened.tell()
            raw = opened.readline()
            if not raw:
                if not number:
                    chain.notes.append(
                        f"{file.path.name}: is empty: lines were taken away, or a crash came before them"
                    )
                return
            number += 1
            body = raw.removesuffix(b"\n")
            digest = find_hash(body)
            if digest is None:
                skipped = _torn_lines(opened, offset)
                if skipped is not None:
                    number += skipped - 1
                    continue
                opened.seek(0, 2)
                if is_last and opened.tell() == offset + len(raw) and body == raw:
                    chain.notes.append(
                        f"{file.path.name}:{number}: the last {len(raw)} bytes are no whole line: it is being written, "
                        "or a crash tore it and the bridge was not started since"
                    )
                    return
                raise _BrokenChainError(file.path, number, "does not have the hash that it states: it was changed")
            try:
                line = read_line(body)
            except ValueError as exc:
                raise _BrokenChainError(file.path, number, str(exc)) from exc
            yield Place(file.path, number, body, line, digest)


def _torn_lines(opened: BinaryIO, offset: int) -> int | None:
    """Find the record of a torn end that begins at ``offset``; returns how many lines it spans. None: there is none.

    Leaves the file at that record, or where it was.
    """
    here = opened.tell()
    opened.seek(offset)
    torn: list[bytes] = []
    for _ in range(TORN_SEARCH_LINES):
        raw = opened.readline()
        if not raw:
            break
        body = raw.removesuffix(b"\n")
        if torn and find_hash(body) is not None:
            content = b"".join(torn).removesuffix(b"\n")
            if _owns_up(body, offset, content):
                opened.seek(-len(raw), 1)
                return len(torn)
            break
        torn.append(raw)
    opened.seek(here)
    return None


def _owns_up(body: bytes, offset: int, content: bytes) -> bool:
    try:
        line = read_line(body)
    except ValueError:
        return False
    return (
        isinstance(line, Torn)
        and (line.offset, line.length) == (offset, len(content))
        and line.sha256 == hashlib.sha256(content).hexdigest()
    )
