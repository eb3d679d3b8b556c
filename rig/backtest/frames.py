"""Chunks and what they say, on the pipe between a run and its worker processes.

A frame is its length (8 bytes, little-endian) and a pickle. Both ends are ours, of one version, and nobody else can
write to the pipe.
"""

import pickle
import struct
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def pack(value: object) -> bytes:
    """Return a value as bytes."""
    return pickle.dumps(value, protocol=5)


def unpack(data: bytes) -> Any:
    """Return the value of `pack`."""
    return pickle.loads(data)


def send(pipe: IO[bytes], data: bytes) -> None:
    """Write one frame."""
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """Read one frame; None where the other end is gone."""
    head = _read(pipe, _LENGTH.size)
    return None if head is None else _read(pipe, _LENGTH.unpack(head)[0])


def _read(pipe: IO[bytes], size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = pipe.read(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
