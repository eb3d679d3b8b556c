"""Bytes to whole sentences: finds ``$...*hh`` and ``!...*hh`` in any stream and gives a name to everything else.

Rules, each with one outcome:

1. A start is ``$`` or ``!`` followed by a capital letter and one more capital or digit; any other is garbage.
2. A sentence is whole as soon as ``*hh`` is there and right; its line end is not waited for and may be missing.
3. Else it ends at a line end: no ``*`` is ``MISSING_CHECKSUM``, anything else after ``*`` is ``BAD_CHECKSUM``.
4. A new start inside it makes it ``TRUNCATED`` (``BAD_CHECKSUM`` if ``*hh`` was there and wrong).
5. A byte that is not printable ASCII makes it garbage: it is binary, not a sentence.
6. No end within ``MAX_SENTENCE_BYTES`` is ``OVERLONG``; the rest of the line is swallowed with it.
7. Bytes between sentences are one ``GARBAGE`` reject per run, unless they are blanks and line ends.

Cost is linear in the bytes fed plus ``MAX_SENTENCE_BYTES`` a call; memory is bounded by two such lengths.
"""

import re
from dataclasses import dataclass

from protocols.nmea.checksum import checksum
from protocols.rejects import Reject, RejectReason

MAX_SENTENCE_BYTES = 1024
"""Longest sentence accepted, in bytes. The standard allows 82; real receivers send proprietary sentences of a few
hundred. Smaller loses those as OVERLONG; larger delays resynchronisation after a lost line end."""

_START = re.compile(rb"[$!]")
_ADDRESS = re.compile(rb"[A-Z][A-Z0-9]")
_STOP = re.compile(rb"[^\x20-\x7e]|[$!]")
_LINE_END = re.compile(rb"[\r\n$!]")
_BLANKS = b" \t\r\n"
_LINE_ENDS = frozenset(b"\r\n")
_ENDS = _LINE_ENDS | frozenset(b"$!")
_NEW_START = ord("$")
_HEX = frozenset(b"0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A whole sentence with a right checksum (or none, where that is allowed).

    ``body`` is what stands between the start character and ``*``; ``raw`` runs from the start character to the last
    hex digit.
    """

    offset: int
    body: bytes
    raw: bytes


class Framer:
    """Splits a byte stream, fed in any pieces, into frames and rejects.

    Parameters
    ----------
    require_checksum : bool
        When false, a sentence that ends its line without ``*`` is a frame too.
    """

    __slots__ = ("_buffer", "_buffer_offset", "_require_checksum", "_run", "_run_offset", "_swallowing")

    def __init__(self, *, require_checksum: bool = True) -> None:
        self._require_checksum = require_checksum
        self._buffer = b""
        self._buffer_offset = 0
        self._swallowing = False
        self._run = bytearray()
        self._run_offset = 0

    def feed(self, data: bytes) -> list[Frame | Reject]:
        """Take the next bytes and return what they completed, in stream order."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        out: list[Frame | Reject] = []
        used = self._split(buffer, out)
        self._buffer = buffer[used:]
        self._buffer_offset += used
        return out

    def close(self) -> list[Frame | Reject]:
        """End of stream: name what is left, as if a new sentence began there."""
        out: list[Frame | Reject] = []
        rest = self._buffer
        if rest:
            self._name_unframed(rest, 0, len(rest), _NEW_START, out)
        self._flush_run(out)
        self._buffer = b""
        return out

    def _split(self, buffer: bytes, out: list[Frame | Reject]) -> int:
        """Append what is complete in ``buffer`` to ``out``; return how many bytes are done with."""
        base = self._buffer_offset
        size = len(buffer)
        at = 0
        while at < size:
            if self._swallowing:
                end = _LINE_END.search(buffer, at)
                if end is None:
                    return size
                at = end.start()
                self._swallowing = False
            found = _START.search(buffer, at)
            if found is None:
                self._extend_run(buffer[at:], base + at)
                return size
            start = found.start()
            if start > at:
                self._extend_run(buffer[at:start], base + at)
            limit = start + MAX_SENTENCE_BYTES
            stop = _STOP.search(buffer, start + 1, limit)
            stop_at = stop.start() if stop else min(size, limit)
            star = buffer.find(b"*", start + 1, stop_at)
            if 0 < star <= stop_at - 3:
                body = buffer[start + 1 : star]
                if _is_right(body, buffer[star + 1 : star + 3]) and _ADDRESS.match(body):
                    self._flush_run(out)
                    at = star + 3
                    out.append(Frame(offset=base + start, body=body, raw=buffer[start:at]))
                    continue
            if stop is None and size < limit:
                return start
            at = self._name_unframed(buffer, start, stop_at, buffer[stop_at] if stop else None, out)
        return size

    def _name_unframed(
        self, buffer: bytes, start: int, stop_at: int, stop: int | None, out: list[Frame | Reject]
    ) -> int:
        """Name the bytes from ``start`` to ``stop_at``, which are no whole sentence; return where to go on.

        ``stop`` is the byte that ended them, None where the cap did.
        """
        raw = buffer[start:stop_at]
        offset = self._buffer_offset + start
        if not _ADDRESS.match(raw, 1) or (stop is not None and stop not in _ENDS):
            self._extend_run(raw, offset)
            return stop_at
        self._flush_run(out)
        star = raw.find(b"*")
        detail = ""
        if stop is None:
            self._swallowing = True
            reason = RejectReason.OVERLONG
            detail = f"no end within {MAX_SENTENCE_BYTES} bytes"
        elif star >= 0 and (stop in _LINE_ENDS or _has_digits(raw, star)):
            reason = RejectReason.BAD_CHECKSUM
            got = raw[star : star + 3].decode("ascii")
            detail = f"expected *{checksum(raw[1:star]):02X}, got {got}"
        elif stop not in _LINE_ENDS:
            reason = RejectReason.TRUNCATED
        elif self._require_checksum:
            reason = RejectReason.MISSING_CHECKSUM
        else:
            out.append(Frame(offset=offset, body=raw[1:].rstrip(), raw=raw))
            return stop_at
        out.append(Reject(offset=offset, reason=reason, raw=raw, detail=detail))
        return stop_at

    def _extend_run(self, data: bytes, offset: int) -> None:
        if not self._run:
            stripped = data.lstrip(_BLANKS)
            if not stripped:
                return
            self._run_offset = offset + len(data) - len(stripped)
            data = stripped
        room = MAX_SENTENCE_BYTES - len(self._run)
        if room > 0:
            self._run += data[:room]

    def _flush_run(self, out: list[Frame | Reject]) -> None:
        if self._run:
            raw = bytes(self._run).rstrip(_BLANKS)
            out.append(Reject(offset=self._run_offset, reason=RejectReason.GARBAGE, raw=raw))
            self._run.clear()


def _is_right(body: bytes, digits: bytes) -> bool:
    return digits[0] in _HEX and digits[1] in _HEX and int(digits, 16) == checksum(body)


def _has_digits(raw: bytes, star: int) -> bool:
    return len(raw) >= star + 3 and raw[star + 1] in _HEX and raw[star + 2] in _HEX
