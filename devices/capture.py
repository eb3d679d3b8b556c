"""Captures: every chunk of a transport with its stamps, in a file that is readable after a crash at any byte.

Layout, integers little-endian. The file is a magic and then records, of which the first is the header::

    magic     8 bytes   b"TAGRIGC1"
    record    4  u32    n, length of the body
              1  u8     kind: 0 header, 1 received, 2 sent, 3 opened, 4 lost
              8  i64    t_mono_ns   monotonic clock of the machine
              8  i64    t_utc_ns    the host's UTC at the same moment
              n         body: JSON (kind 0), bytes of the line (1, 2), UTF-8 text (3, 4)
              4  u32    CRC-32 (zlib) of everything above

A reader skips kinds it does not know and stops at the first record that is cut short or whose CRC fails.
"""

import logging
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, unique
from pathlib import Path

import msgspec

from devices.clock import Clock
from devices.errors import CaptureError, TransportLostError
from devices.transports.base import Chunk, Transport

MAGIC = b"TAGRIGC1"
FORMAT_VERSION = 1
"""Version of the layout above; a reader refuses a higher one."""
BODY_CAP_BYTES = 1 << 20
"""Bytes of one record. Transports hand on 64 KiB at most; a greater length is damage and must not be allocated."""
SUFFIX = ".tagcap"

_HEAD = struct.Struct("<IBqq")
_CRC = struct.Struct("<I")
_log = logging.getLogger(__name__)


class CaptureHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a capture is of; the first record of the file.

    Attributes
    ----------
    device_id : str
    transport : str
        The specification string it was taken from.
    tagrig_version : str
    t_start_mono_ns, t_start_utc_ns : int
        When the capture began.
    firmware : str or None
        The device's firmware where it was known when the capture began.
    config_hash : str or None
        Hash of the configuration it ran under.
    format_version : int
    """

    device_id: str
    transport: str
    tagrig_version: str
    t_start_mono_ns: int
    t_start_utc_ns: int
    firmware: str | None = None
    config_hash: str | None = None
    format_version: int = FORMAT_VERSION


@unique
class RecordKind(IntEnum):
    """What a record holds."""

    HEADER = 0
    RECEIVED = 1
    SENT = 2
    OPENED = 3
    LOST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRecord:
    """One record behind the header."""

    kind: RecordKind
    data: bytes
    t_mono_ns: int
    t_utc_ns: int


def capture_path(folder: Path, device_id: str, t_utc_ns: int) -> Path:
    """Return a file name that sorts by start time: ``tag-4711_20250131T101500.123456Z.tagcap``."""
    started = datetime.fromtimestamp(t_utc_ns // 1_000_000_000, UTC)
    micros = t_utc_ns % 1_000_000_000 // 1000
    name = re.sub(r"[^A-Za-z0-9.-]", "-", device_id)
    return folder / f"{name}_{started:%Y%m%dT%H%M%S}.{micros:06d}Z{SUFFIX}"


class CaptureWriter:
    """Appends records to a new file, one write a record, so that only a power cut can lose more than the last one.

    A capture must never stop the line it listens to: when the disk refuses, the writer cuts the file after its last
    whole record, logs it once, counts what it could not keep (``n_dropped``), and stays off.

    Parameters
    ----------
    path : Path
        Must not exist yet. Readable by its owner alone: it holds a person's positions.
    header : CaptureHeader

    Raises
    ------
    CaptureError
        The file exists or cannot be made.
    """

    def __init__(self, path: Path, header: CaptureHeader) -> None:
        self.path = path
        self.n_dropped = 0
        self._good_size = 0
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd: int | None = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        except FileExistsError as exc:
            raise CaptureError(f"{path}: exists already; a capture is never overwritten. Next: another name") from exc
        except OSError as exc:
            raise CaptureError(f"{path}: cannot make the capture: {exc.strerror}. Next: check the folder") from exc
        self._append(
            MAGIC + _pack(RecordKind.HEADER, msgspec.json.encode(header), header.t_start_mono_ns, header.t_start_utc_ns)
        )

    def write(self, kind: RecordKind, data: bytes, *, t_mono_ns: int, t_utc_ns: int) -> None:
        """Append one record (several where the data is above the cap of one)."""
        for start in range(0, max(len(data), 1), BODY_CAP_BYTES):
            self._append(_pack(kind, data[start : start + BODY_CAP_BYTES], t_mono_ns, t_utc_ns))

    def _append(self, record: bytes) -> None:
        if self._fd is None or self._failed:
            self.n_dropped += 1
            return
        try:
            n_written = os.write(self._fd, record)
            if n_written != len(record):
                raise OSError(0, "the disk took only a part")
        except OSError as exc:
            self._failed = True
            self.n_dropped += 1
            _log.error("%s: capture stopped: %s; the line itself goes on", self.path, exc.strerror)
            try:
                os.ftruncate(self._fd, self._good_size)
            except OSError as cut:
                _log.error("%s: its last record stays cut short: %s", self.path, cut.strerror)
        else:
            self._good_size += len(record)

    def close(self) -> None:
        """Bring everything to the disk and close; safe to call twice."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            os.fsync(fd)
        except OSError as exc:
            _log.error("%s: the capture may not be on the disk: %s", self.path, exc.strerror)
        finally:
            os.close(fd)


def _pack(kind: RecordKind, body: bytes, t_mono_ns: int, t_utc_ns: int) -> bytes:
    record = _HEAD.pack(len(body), kind, t_mono_ns, t_utc_ns) + body
    return record + _CRC.pack(zlib.crc32(record))


class CapturingTransport:
    """Any transport, with all that passes through it written down.

    The file is made at the first opening and goes on over reopenings, whose gaps are records too.

    Parameters
    ----------
    inner : Transport
    path : Path
        A file that does not exist yet.
    header : CaptureHeader
    clock : Clock
        Stamps what is sent; what is received carries its stamps already.
    """

    def __init__(self, inner: Transport, path: Path, header: CaptureHeader, *, clock: Clock) -> None:
        self._inner = inner
        self._path = path
        self._header = header
        self._clock = clock
        self._writer: CaptureWriter | None = None

    @property
    def spec(self) -> str:
        """The specification string of the transport inside."""
        return self._inner.spec

    @property
    def inner(self) -> Transport:
        """The transport inside."""
        return self._inner

    async def open(self) -> None:
        """Open the transport inside; raise ``CaptureError`` where the file cannot be made."""
        if self._writer is None:
            self._writer = CaptureWriter(self._path, self._header)
        await self._inner.open()
        self._note(RecordKind.OPENED, self.spec.encode())

    async def receive(self) -> Chunk:
        """Return the next chunk, after it was written down."""
        try:
            chunk = await self._inner.receive()
        except TransportLostError as exc:
            self._note(RecordKind.LOST, str(exc).encode())
            raise
        if self._writer is not None:
            self._writer.write(
                RecordKind.RECEIVED, chunk.data, t_mono_ns=chunk.t_rx_mono_ns, t_utc_ns=chunk.t_rx_utc_ns
            )
        return chunk

    async def send(self, data: bytes) -> None:
        """Send, and write down what was handed to the operating system."""
        await self._inner.send(data)
        if data:
            self._note(RecordKind.SENT, data)

    async def close(self) -> None:
        """Close the transport inside. The file stays open for a reopening; ``close_capture`` ends it."""
        await self._inner.close()

    def close_capture(self) -> None:
        """End the file. Safe to call twice."""
        if self._writer is not None:
            self._writer.close()

    def _note(self, kind: RecordKind, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(kind, data, t_mono_ns=self._clock.mono_ns(), t_utc_ns=self._clock.utc_ns())


def is_capture(path: Path) -> bool:
    """Whether a file begins as a capture does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_records(path: Path) -> tuple[CaptureHeader, Iterator[CaptureRecord]]:
    """Open a capture.

    Parameters
    ----------
    path : Path

    Returns
    -------
    CaptureHeader
    iterator of CaptureRecord
        In the order of writing; ends at the end of the file or at the first damaged record.

    Raises
    ------
    CaptureError
        The file is not a capture, its header is damaged, or it is of a newer format.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                raise CaptureError(f"{path}: not a capture: expected it to begin with {MAGIC!r}, got {magic!r}")
            first = _read_one(file.read)
            offset = file.tell()
    except OSError as exc:
        raise CaptureError(f"{path}: cannot read the capture: {exc.strerror}") from exc
    if first is None or first[0] != RecordKind.HEADER:
        raise CaptureError(f"{path}: the header record is cut short or damaged; nothing behind it can be trusted")
    version = _header_version(path, first[1])
    if version != FORMAT_VERSION:
        raise CaptureError(f"{path}: capture format {version}, this tagrig reads {FORMAT_VERSION}. Next: update tagrig")
    try:
        header = msgspec.json.decode(first[1], type=CaptureHeader)
    except msgspec.MsgspecError as exc:
        raise CaptureError(f"{path}: header: {exc}") from exc
    return header, _iterate(path, offset)


class _Version(msgspec.Struct):
    format_version: int


def _header_version(path: Path, body: bytes) -> int:
    try:
        return msgspec.json.decode(body, type=_Version).format_version
    except msgspec.MsgspecError as exc:
        raise CaptureError(f"{path}: header: {exc}") from exc


def _iterate(path: Path, offset: int) -> Iterator[CaptureRecord]:
    known = {int(kind): kind for kind in RecordKind}
    with path.open("rb") as file:
        file.seek(offset)
        while (found := _read_one(file.read)) is not None:
            kind, body, t_mono_ns, t_utc_ns = found
            if kind in known:
                yield CaptureRecord(kind=known[kind], data=body, t_mono_ns=t_mono_ns, t_utc_ns=t_utc_ns)


def _read_one(read: Callable[[int], bytes]) -> tuple[int, bytes, int, int] | None:
    head = read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, kind, t_mono_ns, t_utc_ns = _HEAD.unpack(head)
    if length > BODY_CAP_BYTES:
        return None
    body = read(length)
    crc = read(_CRC.size)
    if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != zlib.crc32(head + body):
        return None
    return kind, body, t_mono_ns, t_utc_ns


def read_capture(path: Path) -> tuple[CaptureHeader, Iterator[Chunk]]:
    """Open a capture for what was received alone: its header and the chunks as they came in.

    Raises
    ------
    CaptureError
        As for ``read_records``.
    """
    header, records = read_records(path)
    return header, (
        Chunk(data=record.data, t_rx_mono_ns=record.t_mono_ns, t_rx_utc_ns=record.t_utc_ns)
        for record in records
        if record.kind is RecordKind.RECEIVED and record.data
    )
