"""What befalls the bytes of a line: pure, seeded, one direction each. Bytes and a time in, pieces out.

A piece is what comes in at once at the other end. A fault that holds bytes back says when it wants to be asked again.
"""

import random
from collections import deque
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000

_KB: Final = 1000
"""Bytes that a rate refers to."""

_FRAME_BITS: Final = 10
"""Start bit, eight data bits, stop bit (8N1)."""


class ByteFault(Protocol):
    """One fault on one direction of a line."""

    @property
    def due_ns(self) -> int | None:
        """When ``take`` wants to be called again though nothing has come; None: not."""
        ...

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Take what came in (perhaps nothing) and give what goes on now, in pieces."""
        ...

    def end(self) -> list[bytes]:
        """End the fault and give what it held back."""
        ...


class _Immediate:
    """A fault that holds nothing back."""

    due_ns: int | None = None

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Change the bytes."""
        changed = self._change(data) if data else b""
        return [changed] if changed else []

    def end(self) -> list[bytes]:
        """Give nothing: nothing was held."""
        return []

    def _change(self, data: bytes) -> bytes:
        raise NotImplementedError


class _Places:
    """Draws places in a stream at a mean rate: the same ones whatever the pieces it comes in."""

    def __init__(self, rng: random.Random, per_kb: float) -> None:
        # of its own: draws in between would depend on the pieces
        self._rng = random.Random(rng.getrandbits(64))
        self._mean = _KB / per_kb
        self._left = self._draw()

    def _draw(self) -> int:
        return round(self._rng.expovariate(1 / self._mean))

    def within(self, length: int) -> list[int]:
        """Offsets into the next so many bytes, rising; one byte has one place at most."""
        found: list[int] = []
        at = self._left
        while at < length:
            found.append(at)
            at += 1 + self._draw()
        self._left = at - length
        return found


class BitFlip(_Immediate):
    """Inverts single bits."""

    def __init__(self, rng: random.Random, *, flips_per_kb: float) -> None:
        self._rng = rng
        self._places = _Places(rng, flips_per_kb)

    def _change(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for at in self._places.within(len(data)):
            changed[at] ^= 1 << self._rng.randrange(8)
        return bytes(changed)


class Drop(_Immediate):
    """Loses runs of bytes."""

    def __init__(self, rng: random.Random, *, losses_per_kb: float, run_bytes: int) -> None:
        self._places = _Places(rng, losses_per_kb)
        self._run = run_bytes
        self._losing = 0

    def _change(self, data: bytes) -> bytes:
        kept = bytearray()
        starts = set(self._places.within(len(data)))
        for at, byte in enumerate(data):
            if at in starts:
                self._losing = self._run
            if self._losing:
                self._losing -= 1
            else:
                kept.append(byte)
        return bytes(kept)


class Garbage(_Immediate):
    """Puts bytes in between that nobody sent."""

    def __init__(self, rng: random.Random, *, bursts_per_kb: float, burst_bytes: int) -> None:
        self._rng = rng
        self._places = _Places(rng, bursts_per_kb)
        self._length = burst_bytes

    def _change(self, data: bytes) -> bytes:
        out, before = bytearray(), 0
        for at in self._places.within(len(data)):
            out += data[before:at] + self._rng.randbytes(self._length)
            before = at
        return bytes(out + data[before:])


class Split:
    """Hands bytes on in small pieces with pauses."""

    def __init__(self, *, piece_bytes: int, pause_ms: float) -> None:
        self._piece = piece_bytes
        self._pause_ns = round(pause_ms * NS_PER_MS)
        self._held: deque[bytes] = deque()
        self._next_ns = 0

    @property
    def due_ns(self) -> int | None:
        """When the next piece goes on."""
        return self._next_ns if self._held else None

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Cut, and give the pieces whose time has come."""
        self._held += [data[at : at + self._piece] for at in range(0, len(data), self._piece)]
        out: list[bytes] = []
        while self._held and self._next_ns <= t_ns:
            out.append(self._held.popleft())
            # from now, not from when it was due: a pause is what the reader sees
            self._next_ns = t_ns + self._pause_ns
        return out

    def end(self) -> list[bytes]:
        """Give what is left, at once."""
        left, self._held = list(self._held), deque()
        return left


class Merge:
    """Collects bytes for a while and hands them on in one piece."""

    def __init__(self, *, hold_ms: float) -> None:
        self._hold_ns = round(hold_ms * NS_PER_MS)
        self._held = bytearray()
        self._until_ns = 0

    @property
    def due_ns(self) -> int | None:
        """When what was collected goes on."""
        return self._until_ns if self._held else None

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Collect, and give all once its time has come."""
        if data and not self._held:
            self._until_ns = t_ns + self._hold_ns
        self._held += data
        return self.end() if self._held and self._until_ns <= t_ns else []

    def end(self) -> list[bytes]:
        """Give what was collected."""
        held, self._held = bytes(self._held), bytearray()
        return [held] if held else []


class Stall:
    """Lets nothing through; at its end comes what a buffer held, oldest first, or nothing."""

    due_ns: int | None = None

    def __init__(self, *, then: str, buffer_bytes: int) -> None:
        self._room = buffer_bytes if then == "deliver" else 0
        self._held = bytearray()

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Hold or lose."""
        self._held += data[: self._room - len(self._held)]
        return []

    def end(self) -> list[bytes]:
        """Give what was held."""
        held, self._held = bytes(self._held), bytearray()
        return [held] if held else []


class WrongBaud(_Immediate):
    """Reads an 8N1 line at another rate than it is sent at, bit by bit; a chunk is a burst on an idle line.

    A frame whose stop bit is missing reads as a zero byte, as on Linux (termios(3): neither IGNPAR nor PARMRK).
    """

    def __init__(self, *, sent_baud: int, read_baud: int) -> None:
        self._bit = read_baud / sent_baud
        """Length of a sent bit in bits of the reader."""

    def _change(self, data: bytes) -> bytes:
        bits = [bit for byte in data for bit in (0, *((byte >> n) & 1 for n in range(8)), 1)]
        read = bytearray()
        at = 0.0
        while (start := self._fall(bits, at)) is not None:
            levels = [self._level(bits, start + n + 0.5) for n in range(_FRAME_BITS)]
            at = start + _FRAME_BITS - 0.5
            if levels[0]:
                at = start + 0.5  # a glitch, no start bit
                continue
            read.append(sum(level << n for n, level in enumerate(levels[1:9])) if levels[9] else 0)
        return bytes(read)

    def _level(self, bits: list[int], at: float) -> int:
        index = int(at / self._bit)
        return bits[index] if index < len(bits) else 1

    def _fall(self, bits: list[int], at: float) -> float | None:
        """Next fall of the line at or after a time; a line that is low there must rise first."""
        index = int(at / self._bit)
        if index == 0 and at == 0.0:
            return 0.0 if bits else None
        previous = bits[index] if index < len(bits) else 1
        for n in range(index + 1, len(bits)):
            if previous and not bits[n]:
                return n * self._bit
            previous = bits[n]
        return None
