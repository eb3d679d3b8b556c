"""Files of the disclosure log: which there are, and where the chain goes on after a restart or a crash."""

import re
from dataclasses import dataclass
from pathlib import Path

from bridge.disclosure_line import GENESIS, find_hash, read_line
from bridge.errors import DisclosureError

TAIL_BYTES = 4 << 20
"""Bytes from the end of the newest file that are searched for its last whole line. One write is at most the lines of
one turn, far below this; a longer run of damage is no torn line but a damaged file."""

_NAME = re.compile(r"(?P<bridge>[A-Za-z0-9_-]+)_(?P<first>[0-9]{12})_(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file of the log by its name."""

    path: Path
    bridge: str
    first: int
    day: str


def find_files(folder: Path, bridge: str | None = None) -> list[LogFile]:
    """List the files of a folder's logs in the order of their chain, bridge by bridge; ``bridge`` given: its own."""
    found = []
    for path in folder.iterdir():
        name = _NAME.fullmatch(path.name)
        if name is not None and bridge in {None, name["bridge"]}:
            found.append(LogFile(path=path, bridge=name["bridge"], first=int(name["first"]), day=name["day"]))
    return sorted(found, key=lambda file: (file.bridge, file.first))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEnd:
    """Where a chain goes on.

    Attributes
    ----------
    file : LogFile
        The newest.
    number, head : int, str
        Of its last whole line.
    offset, torn : int, bytes
        What a crash left behind that line, and where in the file; empty: nothing.
    lacks_line_end : bool
        The last line is whole but for its line end.
    """

    file: LogFile
    number: int
    head: str
    offset: int
    torn: bytes
    lacks_line_end: bool


def find_end(files: list[LogFile]) -> ChainEnd | None:
    """Find where the chain of one bridge's files goes on; None: there are no files.

    Where the newest file has no whole line, it was being begun when the process ended, and the one before it has the
    head of the chain.

    Raises
    ------
    DisclosureError
        The newest files are damaged beyond what a crash leaves.
    OSError
        They cannot be read.
    """
    if not files:
        return None
    newest, number, head, offset = files[-1], 0, GENESIS, 0
    for file in reversed(files[-2:]):
        size = file.path.stat().st_size
        with file.path.open("rb") as opened:
            opened.seek(max(0, size - TAIL_BYTES))
            tail = opened.read()
        found = _end_of_last_line(tail)
        if found is not None:
            number, head = _read_head(file.path, tail[:found].rsplit(b"\n", 1)[-1])
            offset = size - len(tail) + found if file is newest else 0
            break
        if size > TAIL_BYTES:
            raise _broken(file.path, f"no whole line in its last {TAIL_BYTES} bytes")
    if (number < newest.first) if offset else (number != newest.first - 1):
        raise _broken(
            newest.path, f"it should begin with line {newest.first}, but the chain before it ends at {number}"
        )
    with newest.path.open("rb") as opened:
        opened.seek(offset)
        rest = opened.read()
    lacks_line_end = offset > 0 and not rest
    if offset and rest.startswith(b"\n"):
        offset, rest = offset + 1, rest[1:]
    return ChainEnd(file=newest, number=number, head=head, offset=offset, torn=rest, lacks_line_end=lacks_line_end)


def _end_of_last_line(tail: bytes) -> int | None:
    """Where the last line whose hash is right ends, without its line end; None: there is none."""
    end = len(tail)
    while end > 0:
        start = tail.rfind(b"\n", 0, end) + 1
        if find_hash(tail[start:end]) is not None:
            return end
        end = start - 1
    return None


def _read_head(path: Path, raw: bytes) -> tuple[int, str]:
    """Read number and hash of a line whose hash is right."""
    digest = find_hash(raw)
    assert digest is not None
    try:
        return read_line(raw).n, digest
    except ValueError as exc:
        raise _broken(path, str(exc)) from exc


def _broken(path: Path, what: str) -> DisclosureError:
    return DisclosureError(
        f"{path}: the disclosure log cannot be continued: {what}. Next: tagrig audit verify {path.parent}; then move "
        "this file aside, or name another folder as disclosure.folder"
    )
