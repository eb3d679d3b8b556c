"""When the lines of a raw NMEA log came in, which the log does not say: a rule that gives each line a time.

The rule. A line that carries a time of day (RMC, GGA, GNS, GST, ZDA, GBS: first field; GLL: fifth) starts a new group
when that time differs from the group's; other lines belong to the group before them. A group is due when its time of
day says, counted from the first group's. A step back, or one of more than ``STEP_MAX_NS``, is a break of the recording
and counts as ``STEP_BREAK_NS``; a step back by most of a day is midnight. A log in whose first 64 KiB no time of day
stands, and any log with ``rate=``, is handed on line by line at so many bytes a second.

Read crudely on purpose: a damaged line only moves its own arrival, and this package stays free of sentence parsing.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

BYTES_PER_S_DEFAULT = 960
"""Bytes a second of a log without times: what 9600 Bd with start and stop bit carries."""
STEP_MAX_NS = 120_000_000_000
"""ns. Tags report every 60 s at most while they move; a greater step is a recording that was stopped and started."""
STEP_BREAK_NS = 1_000_000_000
"""ns. A break is passed over as one second, the usual interval."""
LINE_CAP_BYTES = 4096
"""Bytes of a line at most; binary parts of a log have no line ends and are cut here."""
_HEAD_BYTES = 65536
_DAY_NS = 86_400_000_000_000

_TIMED = re.compile(
    rb"[$!][A-Z]{2}(?:(?:RMC|GGA|GNS|GST|ZDA|GBS),|GLL,[^,]*,[^,]*,[^,]*,[^,]*,)"
    rb"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{1,9}))?[,*]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBytes:
    """Bytes and when they are due, counted from the start of the recording at its own speed."""

    data: bytes
    due_ns: int


def read_raw_log(path: Path, *, bytes_per_s: float | None) -> Iterator[TimedBytes]:
    """Read a log, plain or gzip, as timed bytes.

    Parameters
    ----------
    path : Path
    bytes_per_s : float or None
        Paces by bytes instead of by the times in the log.

    Raises
    ------
    OSError
        The file cannot be read, or is damaged gzip.
    """
    if bytes_per_s is None:
        with _open(path) as file:
            if _TIMED.search(_read(file, _HEAD_BYTES)) is None:
                bytes_per_s = BYTES_PER_S_DEFAULT
    if bytes_per_s is not None:
        n_before = 0
        for line in _lines(path):
            n_before += len(line)
            yield TimedBytes(data=line, due_ns=round(n_before / bytes_per_s * 1e9))
        return
    yield from _groups(path)


def _groups(path: Path) -> Iterator[TimedBytes]:
    group = bytearray()
    time_of_day_ns: int | None = None
    due_ns = 0
    for line in _lines(path):
        found = find_time_of_day_ns(line)
        if found is not None and found != time_of_day_ns:
            if time_of_day_ns is not None:
                if group:
                    yield TimedBytes(data=bytes(group), due_ns=due_ns)
                    group.clear()
                due_ns += _step_ns(time_of_day_ns, found)
            time_of_day_ns = found
        group += line
        if len(group) >= _HEAD_BYTES:
            yield TimedBytes(data=bytes(group), due_ns=due_ns)
            group.clear()
    if group:
        yield TimedBytes(data=bytes(group), due_ns=due_ns)


def _step_ns(before_ns: int, after_ns: int) -> int:
    step_ns = after_ns - before_ns
    if step_ns < -_DAY_NS // 2:
        step_ns += _DAY_NS
    return step_ns if 0 < step_ns <= STEP_MAX_NS else STEP_BREAK_NS


def find_time_of_day_ns(line: bytes) -> int | None:
    """Return the time of day in a line, in ns since midnight, where it carries one."""
    found = _TIMED.search(line)
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    whole_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s * 1_000_000_000 + (int(fraction.ljust(9, b"0")) if fraction else 0)


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error) as exc:
        raise OSError(0, f"damaged gzip: {exc}") from exc


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the file in lines of ``LINE_CAP_BYTES`` at most, every byte of it once."""
    with _open(path) as file:
        rest = b""
        while block := _read(file, _HEAD_BYTES):
            for line in (rest + block).splitlines(keepends=True):
                rest = b""
                if not line.endswith((b"\n", b"\r")) and len(line) < LINE_CAP_BYTES:
                    rest = line
                    break
                for start in range(0, len(line), LINE_CAP_BYTES):
                    yield line[start : start + LINE_CAP_BYTES]
        if rest:
            yield rest
