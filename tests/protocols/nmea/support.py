"""One way to run a parser case: whole, byte by byte, and with trailing data; all three must say the same."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from protocols.nmea import NmeaDecoder
from protocols.rejects import Reject, RejectReason
from protocols.reports import Fix, Report


def line(body: str) -> bytes:
    """``body`` with start, checksum and line end; the checksum is computed here, not by the code under test."""
    value = 0
    for byte in body.encode("ascii"):
        value ^= byte
    return f"${body}*{value:02X}\r\n".encode("ascii")


TRAILER = line("GPTXT,01,01,02,END")
"""A whole sentence of a type that is not decoded: it may follow anything without a report of its own."""


def lines(*bodies: str) -> bytes:
    return b"".join(line(body) for body in bodies)


def run(chunks: Iterable[bytes], *, require_checksum: bool = True, host: int | None = None) -> list[Report | Reject]:
    decoder = NmeaDecoder(require_checksum=require_checksum)
    out: list[Report | Reject] = []
    for chunk in chunks:
        out += decoder.feed(chunk, t_rx_utc_ns=host)
    out += decoder.close()
    counters = decoder.counters
    rejects = [item for item in out if isinstance(item, Reject)]
    assert sum(counters.rejects_by_reason.values()) == len(rejects)
    assert counters.fixes == sum(isinstance(item, Fix) for item in out)
    return out


def decode(data: bytes, *, require_checksum: bool = True, host: int | None = None) -> list[Report | Reject]:
    """Decode ``data`` three ways and return the one answer."""
    whole = run([data], require_checksum=require_checksum, host=host)
    bytewise = run((data[i : i + 1] for i in range(len(data))), require_checksum=require_checksum, host=host)
    trailing = run([data + TRAILER], require_checksum=require_checksum, host=host)
    assert bytewise == whole
    assert trailing == whole
    return whole


def fixes(reports: Iterable[Report | Reject]) -> list[Fix]:
    return [item for item in reports if isinstance(item, Fix)]


def reasons(reports: Iterable[Report | Reject]) -> list[RejectReason]:
    return [item.reason for item in reports if isinstance(item, Reject)]


def one_fix(data: bytes, *, host: int | None = None) -> Fix:
    (fix,) = decode(data, host=host)
    assert isinstance(fix, Fix)
    return fix


def read_log(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
