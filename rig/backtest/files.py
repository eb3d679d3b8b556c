"""Bytes of an input file, unzipped where it is gzip, in pieces; a file that stops in the middle is read up to there."""

import codecs
import zlib
from pathlib import Path
from typing import BinaryIO, Self

from rig.backtest.errors import HistoryError

_PIECE_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31
"""zlib's number for a gzip header and its largest window."""


class InputBytes:
    """A file to read from front to back.

    Attributes
    ----------
    position_bytes : int
        How much of the file itself is read.
    cut_short : str or None
        Why a gzip file could not be read to its end. What follows the last whole line before that is not handed out: it
        may be half a number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position_bytes = 0
        self.cut_short: str | None = None
        try:
            self.size_bytes = path.stat().st_size
            # closed in __exit__ or by its reader
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as exc:
            raise HistoryError(f"{path}: {exc.strerror}. Next: check the path and its permissions") from exc
        self._ahead = self._read_file()
        self._gzip = zlib.decompressobj(wbits=_GZIP_WBITS) if self._ahead.startswith(_GZIP_MAGIC) else None
        self._line_start = b""
        self._out = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file.closed

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def readable(self) -> bool:
        """Whether it can be read; asked by file-like users."""
        return True

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, at least one before the end."""
        if not self._out:
            self._out = self._next()
        if len(self._out) <= size:
            piece, self._out = self._out, b""
        else:
            piece, self._out = self._out[:size], self._out[size:]
        return piece

    def _read_file(self) -> bytes:
        try:
            piece = self._file.read(_PIECE_BYTES)
        except OSError as exc:
            raise HistoryError(f"{self._path}: cannot be read: {exc.strerror}. Next: check the disk") from exc
        self.position_bytes += len(piece)
        return piece

    def _next(self) -> bytes:
        if self._gzip is None:
            piece, self._ahead = self._ahead, b""
            return piece or self._read_file()
        while True:
            piece = self._unzip()
            if not piece:
                rest, self._line_start = self._line_start, b""
                return b"" if self.cut_short else rest
            text = self._line_start + piece
            end = text.rfind(b"\n") + 1
            if end == 0 and len(text) > _PIECE_BYTES:
                end = len(text)
            self._line_start = text[end:]
            if end:
                return text[:end]

    def _unzip(self) -> bytes:
        """Return some content, in pieces that a small bomb cannot make large; nothing at the end."""
        while self._gzip is not None and not self.cut_short:
            if not self._ahead:
                self._ahead = self._read_file()
                if not self._ahead:
                    self.cut_short = None if self._gzip.eof else "the gzip data stop in the middle"
                    break
            try:
                if self._gzip.eof:
                    self._gzip = zlib.decompressobj(wbits=_GZIP_WBITS)
                piece = self._gzip.decompress(self._ahead, _PIECE_BYTES)
            except zlib.error as exc:
                self.cut_short = f"the gzip data are damaged: {exc}"
                break
            self._ahead = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
            if piece:
                return piece
        return b""


class InputText:
    """The bytes of an `InputBytes` as UTF-8: a byte that belongs to none becomes the four characters of its escape.

    So bytes that differ stay different, and nobody behind has to fear them.
    """

    def __init__(self, source: InputBytes) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._is_between = True
        """No character is half read."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._source.closed

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def read(self, size: int) -> bytes:
        """Return about ``size`` bytes, none only at the end."""
        parts: list[bytes] = []
        n = 0
        # whole blocks: what is behind is paid per block
        while n < size:
            piece = self._source.read(size - n)
            if self._is_between and piece.isascii():
                parts.append(piece)
            else:
                text = self._decoder.decode(piece, final=not piece)
                self._is_between = not self._decoder.getstate()[0]
                parts.append(text.encode())
            n += len(parts[-1])
            if not piece:
                break
        return b"".join(parts)
