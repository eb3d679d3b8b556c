"""Reads a journal back: the starts of a bridge, and the turns of each."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bridge.journal import FORMAT, StartLine
from rig.replay.errors import ReplayError


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """Any line of a journal."""

    start: StartLine | None = None
    n: int = 0
    do: str | None = None
    given: msgspec.Raw = msgspec.Raw(b"")
    mono: tuple[int, ...] = ()
    utc: tuple[int, ...] = ()
    made: tuple[str, ...] = ()
    failed: str | None = None


class _Format(msgspec.Struct):
    format: int = 1


class _StartFormat(msgspec.Struct):
    start: _Format | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn. ``is_cut``: the bridge died in it, and of what it read and said nothing is known."""

    n: int
    do: str
    given: msgspec.Raw
    mono: tuple[int, ...] = ()
    utc: tuple[int, ...] = ()
    made: tuple[str, ...] = ()
    failed: str | None = None
    is_cut: bool = False


@dataclass(slots=True, kw_only=True)
class JournaledStart:
    """One start of a bridge."""

    line: StartLine
    turns: list[Turn] = field(default_factory=list)


def read_journal(path: Path) -> list[JournaledStart]:
    """Read all starts. A line that a crash cut short ends its start; what comes after it is the next one.

    Raises
    ------
    ReplayError
        There is no journal, it is damaged elsewhere than at a crash, or of a newer format.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as exc:
        raise ReplayError(f"{path}: the journal cannot be read: {exc.strerror}") from exc
    starts: list[JournaledStart] = []
    begun: _Line | None = None
    for number, text in enumerate(lines, start=1):
        if not text:
            continue
        try:
            line = _decode(path, number, text)
        except msgspec.DecodeError as exc:
            if _ends_a_start(lines, number):
                continue
            raise ReplayError(f"{path}, line {number}: {exc}") from exc
        if line.start is not None:
            _cut(starts, begun)
            begun = None
            starts.append(JournaledStart(line=line.start))
        elif not starts:
            raise ReplayError(f"{path}, line {number}: expected a start first, got a turn; the file lost its beginning")
        elif line.do is not None:
            _cut(starts, begun)
            begun = line
        elif begun is None or begun.n != line.n:
            raise ReplayError(f"{path}, line {number}: turn {line.n} ends and never began")
        else:
            assert begun.do is not None
            turn = Turn(
                n=line.n,
                do=begun.do,
                given=begun.given,
                mono=line.mono,
                utc=line.utc,
                made=line.made,
                failed=line.failed,
            )
            starts[-1].turns.append(turn)
            begun = None
    _cut(starts, begun)
    if not starts:
        raise ReplayError(f"{path}: the journal is empty")
    return starts


def _cut(starts: list[JournaledStart], begun: _Line | None) -> None:
    if begun is not None and begun.do is not None:
        starts[-1].turns.append(Turn(n=begun.n, do=begun.do, given=begun.given, is_cut=True))


def _ends_a_start(lines: list[bytes], number: int) -> bool:
    """Whether a line is the last of a start: nothing, or another start, comes after it."""
    after = next((text for text in lines[number:] if text), b"")
    return not after or after.startswith(b'{"start":')


def _decode(path: Path, number: int, text: bytes) -> _Line:
    if text.startswith(b'{"start":'):
        found = msgspec.json.decode(text, type=_StartFormat)
        if found.start is not None and found.start.format > FORMAT:
            raise ReplayError(
                f"{path}, line {number}: journal format {found.start.format}, this tagrig reads {FORMAT}. "
                "Next: update tagrig"
            )
    return msgspec.json.decode(text, type=_Line)
