"""Layouts of characteristic values: fields in their order, little-endian (Core 6.0, Vol 3, Part G, 2.4), both ways.

A layout says what each field may hold. Bytes that do not fit are refused with reason and offset; a value of ours that
does not fit is an ``EncodeError``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

from protocols.errors import EncodeError
from protocols.rejects import Reject, RejectReason

MAX_VALUE_OCTETS = 512
"""Longest attribute value (Core 6.0, Vol 3, Part F, 3.2.9). A reject keeps no more of what was sent."""

_T = TypeVar("_T")


class ValueRefusedError(Exception):
    """What a peer sent is not a value of the layout. Never leaves ``protocols.ble``: it becomes a ``Reject``."""

    def __init__(self, reason: RejectReason, offset: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.offset = offset
        self.detail = detail


def to_reject(exc: ValueRefusedError, data: bytes) -> Reject:
    """Return the reject of a value, with its beginning."""
    return Reject(offset=exc.offset, reason=exc.reason, raw=data[:MAX_VALUE_OCTETS], detail=exc.detail)


def rejecting(decode: Callable[[bytes], _T]) -> Callable[[bytes], _T | Reject]:
    """Make a decoder answer with a ``Reject`` where it refuses."""

    @wraps(decode)
    def decode_or_reject(data: bytes) -> _T | Reject:
        try:
            return decode(bytes(data))
        except ValueRefusedError as exc:
            return to_reject(exc, bytes(data))

    return decode_or_reject


def check_size(title: str, data: bytes, octets: int) -> None:
    """Refuse a value that is not exactly so long."""
    if len(data) < octets:
        detail = f"{title}: expected {octets} octets, got {len(data)}"
        raise ValueRefusedError(RejectReason.CUT_SHORT, len(data), detail)
    if len(data) > octets:
        detail = f"{title}: expected {octets} octets, got {len(data)}"
        raise ValueRefusedError(RejectReason.OVERLONG, octets, detail)


@dataclass(frozen=True, slots=True)
class Field:
    """One whole number on the wire.

    Attributes
    ----------
    name : str
    octets : int
    low, high : int
        What it may hold. ``low`` below 0 makes it two's complement.
    outside : RejectReason
        What any other number is: out of range, or kept for the future.
    """

    name: str
    octets: int
    low: int
    high: int
    outside: RejectReason = RejectReason.RESERVED

    def read(self, data: bytes, at: int) -> int:
        """Return the number at ``at``, or refuse it."""
        number = int.from_bytes(data[at : at + self.octets], "little", signed=self.low < 0)
        if not self.low <= number <= self.high:
            detail = f"{self.name}: expected {self.low} to {self.high}, got {number}"
            raise ValueRefusedError(self.outside, at, detail)
        return number

    def write(self, number: int) -> bytes:
        """Return the octets of a number; ``EncodeError`` for one that it may not hold."""
        if not self.low <= number <= self.high:
            raise EncodeError(f"{self.name}: expected {self.low} to {self.high}, got {number!r}")
        return int(number).to_bytes(self.octets, "little", signed=self.low < 0)


def u8(name: str, high: int = 0xFF, *, low: int = 0, outside: RejectReason = RejectReason.RESERVED) -> Field:
    """One octet, 0 or ``low`` to ``high``."""
    return Field(name, 1, low, high, outside)


def u16(name: str, high: int = 0xFFFF, *, low: int = 0, outside: RejectReason = RejectReason.RESERVED) -> Field:
    """Two octets."""
    return Field(name, 2, low, high, outside)


def u32(name: str, high: int = 0xFFFF_FFFF, *, outside: RejectReason = RejectReason.RESERVED) -> Field:
    """Four octets."""
    return Field(name, 4, 0, high, outside)


class Layout:
    """A value whose fields are always all there."""

    __slots__ = ("fields", "octets", "title")

    def __init__(self, title: str, *fields: Field) -> None:
        self.title = title
        self.fields = fields
        self.octets = sum(field.octets for field in fields)

    def unpack(self, data: bytes) -> tuple[int, ...]:
        """Return the numbers in the order of the fields."""
        check_size(self.title, data, self.octets)
        return tuple(self._numbers(data))

    def _numbers(self, data: bytes) -> Iterator[int]:
        at = 0
        for field in self.fields:
            yield field.read(data, at)
            at += field.octets

    def pack(self, *numbers: int) -> bytes:
        """Return the octets of the numbers in the order of the fields."""
        return b"".join(field.write(number) for field, number in zip(self.fields, numbers, strict=True))


class FlaggedLayout:
    """A value that begins with two octets of flags, of which bit n says whether part n is there.

    ``parts[n]`` holds the fields that bit n switches; ``known_bits`` are all bits that have a meaning.
    """

    __slots__ = ("known_bits", "parts", "title")

    def __init__(self, title: str, known_bits: int, *parts: tuple[Field, ...]) -> None:
        self.title = title
        self.known_bits = known_bits
        self.parts = parts

    def unpack(self, data: bytes) -> tuple[int, tuple[tuple[int, ...] | None, ...]]:
        """Return the flags and, for each part, its numbers or None."""
        if len(data) < 2:
            detail = f"{self.title}: expected 2 octets of flags, got {len(data)}"
            raise ValueRefusedError(RejectReason.CUT_SHORT, len(data), detail)
        flags = int.from_bytes(data[:2], "little")
        present = [bool(flags >> bit & 1) for bit in range(len(self.parts))]
        octets = sum(field.octets for there, part in zip(present, self.parts, strict=True) if there for field in part)
        check_size(self.title, data, 2 + octets)
        if flags & ~self.known_bits:
            detail = f"{self.title}: flags {flags:#06x} have bits outside {self.known_bits:#06x}"
            raise ValueRefusedError(RejectReason.RESERVED, 0, detail)
        at = 2
        found: list[tuple[int, ...] | None] = []
        for there, part in zip(present, self.parts, strict=True):
            if not there:
                found.append(None)
                continue
            numbers = []
            for field in part:
                numbers.append(field.read(data, at))
                at += field.octets
            found.append(tuple(numbers))
        return flags, tuple(found)

    def pack(self, flags: int, parts: tuple[tuple[int, ...] | None, ...]) -> bytes:
        """Return the octets: ``flags`` without the bits of the parts, and the numbers of each part or None."""
        body = b""
        for bit, (fields, numbers) in enumerate(zip(self.parts, parts, strict=True)):
            if numbers is None:
                continue
            flags |= 1 << bit
            body += b"".join(field.write(number) for field, number in zip(fields, numbers, strict=True))
        return flags.to_bytes(2, "little") + body
