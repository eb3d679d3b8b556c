"""What speaks on a line: listens for a stated time, at each of the likely baud rates until sentences frame."""

import asyncio
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

from devices.baud_watch import COMMON_BAUDS, UNFRAMED_MIN_BYTES, likely_bauds
from devices.clock import Clock
from devices.errors import TransportError, TransportOpenError
from devices.transports import SCHEMES, open_transport
from devices.transports.spec import parse_spec
from protocols.nmea import NmeaDecoder
from protocols.reports import Fix, TagStatus

SAMPLE_CAP_BYTES = 4096
"""Bytes kept of what did not frame, to tell what it may be."""
GIVE_UP_BYTES = 2 * UNFRAMED_MIN_BYTES
"""Bytes without one framed sentence after which a baud rate is given up early: six sentences' worth."""
_PTS_MAJORS = range(136, 144)
"""Device numbers of Unix98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt)."""
_BINARY_SYNCS = {b"\xb5\x62": "u-blox UBX", b"\xa0\xa2": "SiRF binary", b"\xd0\xdd": "Trimble"}


@unique
class Speaks(StrEnum):
    """What was heard on a line."""

    TAG = "tag"
    """An ankle tag: its status sentence came."""
    NMEA = "nmea"
    """Sentences, but no tag's."""
    BINARY = "binary"
    """Bytes that never frame at any rate tried."""
    SILENT = "silent"
    UNAVAILABLE = "unavailable"
    """It could not be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One line after it was listened to.

    Attributes
    ----------
    spec : str
        The specification it was heard with, baud rate included.
    baud : int or None
        None where the line has none, or where none fitted.
    talkers : tuple of str
    detail : str
        For a person.
    """

    spec: str
    speaks: Speaks
    baud: int | None = None
    firmware: str | None = None
    talkers: tuple[str, ...] = ()
    n_sentences: int = 0
    n_bytes: int = 0
    detail: str = ""


def is_pseudo_terminal(path: str) -> bool:
    """Whether a path leads to a pseudo-terminal, which has no baud rate."""
    try:
        status = Path(path).stat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) in _PTS_MAJORS


def spec_of(path_or_spec: str) -> str:
    """Return the specification for what a person named: a path, or a specification already."""
    if path_or_spec.partition(":")[0] in SCHEMES and not path_or_spec.startswith("/"):
        return path_or_spec
    return f"pty:{path_or_spec}" if is_pseudo_terminal(path_or_spec) else f"serial:{path_or_spec}"


def has_open_baud(spec: str) -> bool:
    """Whether a specification leaves the baud rate to be found."""
    parsed = parse_spec(spec, SCHEMES)
    return parsed.scheme in ("serial", "rfc2217") and "baud" not in parsed.options


async def probe(spec: str, *, clock: Clock, listen_ns: int, bauds: Sequence[int] = COMMON_BAUDS) -> ProbeResult:
    """Listen on one line and say what speaks on it.

    Parameters
    ----------
    spec : str
        Where it names no baud rate and its scheme has one, ``bauds`` are tried.
    clock : Clock
    listen_ns : int
        Time to listen at each rate. A line that is silent at the first rate is not tried at the others: at a wrong rate
        bytes come too, only wrong ones.
    bauds : sequence of int

    Raises
    ------
    TransportSpecError
        The specification names no transport.
    """
    if not has_open_baud(spec):
        heard = await _listen(spec, clock, listen_ns)
        return heard.result(None)
    left = list(bauds)
    tried: list[int] = []
    binary = ""
    most = None
    while left:
        baud = left.pop(0)
        heard = await _listen(f"{spec}{'&' if '?' in spec else '?'}baud={baud}", clock, listen_ns)
        if heard.error or heard.n_framed or not heard.sample:
            return heard.result(baud)
        tried.append(baud)
        binary = binary or heard.binary_name(baud)
        most = most or heard
        order = likely_bauds(heard.sample, baud)
        left.sort(key=lambda rate: order.index(rate) if rate in order else len(order))
    assert most is not None, "bauds must not be empty"
    rates = ", ".join(str(rate) for rate in tried)
    return ProbeResult(
        spec=spec,
        speaks=Speaks.BINARY,
        n_bytes=len(most.sample),
        detail=f"bytes, but no NMEA at {rates} Bd{binary}",
    )


@dataclass(slots=True, kw_only=True)
class _Heard:
    spec: str
    error: str = ""
    sample: bytes = b""
    n_bytes: int = 0
    n_framed: int = 0
    firmware: str | None = None
    talkers: frozenset[str] = frozenset()

    def binary_name(self, baud: int | None) -> str:
        where = f" at {baud} Bd" if baud else ""
        for sync, name in _BINARY_SYNCS.items():
            if self.sample.count(sync) >= 2:
                return f"; looks like {name}{where}"
        if self.sample.count(b"$G") >= 2:
            return f"; looks like NMEA{where} whose checksums are wrong or missing"
        return ""

    def result(self, baud: int | None) -> ProbeResult:
        if self.error:
            return ProbeResult(spec=self.spec, speaks=Speaks.UNAVAILABLE, detail=self.error)
        if self.firmware is not None:
            speaks, detail = Speaks.TAG, f"ankle tag, firmware {self.firmware or 'not said'}"
        elif self.n_framed:
            speaks, detail = Speaks.NMEA, "GNSS receiver" if self.talkers else "NMEA without positions"
        elif self.sample:
            speaks, detail = Speaks.BINARY, f"bytes, but no NMEA{self.binary_name(baud)}"
        else:
            speaks, detail = Speaks.SILENT, "nothing heard; is the device on, and its TX wired to our RX?"
        return ProbeResult(
            spec=self.spec,
            speaks=speaks,
            baud=baud if self.n_framed else None,
            firmware=self.firmware,
            talkers=tuple(sorted(self.talkers)),
            n_sentences=self.n_framed,
            n_bytes=self.n_bytes,
            detail=detail,
        )


async def _listen(spec: str, clock: Clock, listen_ns: int) -> _Heard:
    heard = _Heard(spec=spec)
    transport = open_transport(spec, clock=clock)
    try:
        await transport.open()
    except TransportOpenError as exc:
        heard.error = str(exc)
        return heard
    decoder = NmeaDecoder()

    async def collect() -> None:
        while True:
            chunk = await transport.receive()
            heard.n_bytes += len(chunk.data)
            heard.sample = (heard.sample + chunk.data)[-SAMPLE_CAP_BYTES:]
            _note(heard, decoder, decoder.feed(chunk.data, t_rx_utc_ns=chunk.t_rx_utc_ns))
            if heard.firmware is not None or (heard.n_framed == 0 and heard.n_bytes >= GIVE_UP_BYTES):
                return

    tasks = [asyncio.create_task(collect()), asyncio.create_task(clock.sleep_until(clock.mono_ns() + listen_ns))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await transport.close()
    _note(heard, decoder, decoder.close())
    if isinstance(outcomes[0], TransportError):
        # It went away, or a recording ended: what was heard until then counts.
        if not heard.n_bytes:
            heard.error = str(outcomes[0])
    elif isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return heard


def _note(heard: _Heard, decoder: NmeaDecoder, reports: Sequence[object]) -> None:
    for report in reports:
        if isinstance(report, TagStatus):
            heard.firmware = report.firmware
        elif isinstance(report, Fix):
            heard.talkers |= {report.talker}
    heard.n_framed = decoder.framed
