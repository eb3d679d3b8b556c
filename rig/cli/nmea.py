"""``tagrig nmea``: decode a file of NMEA sentences and print what it says, for people or for another program."""

import itertools
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from devices.clock import SystemClock
from protocols.nmea import NmeaDecoder
from protocols.rejects import Reject
from protocols.reports import CommandAck, Fix, FixState, NmeaReport, TagStatus
from rig.cli.exit_codes import ExitCode

_CHUNK_BYTES = 1 << 16
"""Bytes decoded between two looks at the clock: some 30 ms of work."""

_PROGRESS_AFTER_NS = 2_000_000_000
"""A run shorter than this shows no progress; a longer one says how far it is this often."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31
"""zlib's number for a gzip header and its largest window."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_S = 1_000_000_000
_HEAD = (
    f"{'time (UTC)':<24} {'state':<14} {'latitude':>12} {'longitude':>13} {'alt m':>8} {'m/s':>7} {'course':>6} "
    f"{'q':>1} {'sat':>3} {'hdop':>5} {'sigma m':>7} rule"
)


@click.command(name="nmea")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: fixes and rejects, in stream order.")
@click.option(
    "--now",
    metavar="RFC3339",
    help="Take this as the host's UTC: corrects dates that are whole 1024-week rollovers behind it, and gives a date "
    "to receivers that send none. Without it only what was sent counts.",
)
@click.option("--no-checksum", is_flag=True, help="Decode sentences without *hh too; a wrong *hh is still refused.")
def command(file: str, as_json: bool, now: str | None, no_checksum: bool) -> None:
    """Decode FILE of NMEA 0183 sentences (`-` for standard input, gzip accepted), one line per fix.

    \b
    With --json, one object a line, absent = null:
      {"type": "fix", "offset", "t_fix_utc", "lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg",
       "mode", "quality", "satellites_used", "hdop", "horizontal_sigma_m", "sigma_rule", "talker"}
      {"type": "reject", "offset", "reason", "raw"}        raw: each byte one character (Latin-1)
    and for an ankle tag's own sentences {"type": "tag_status", ...} and {"type": "command_ack", ...}.
    """  # noqa: D301 - click takes the backspace for "do not wrap"
    now_utc_ns = None if now is None else _parse_now(now)
    decoder = NmeaDecoder(require_checksum=not no_checksum)
    printer: _Printer = _JsonPrinter() if as_json else _TablePrinter()
    with _Source(file) as source, _ProgressLine(source.size) as progress:
        for data in source.chunks():
            printer.put(decoder.feed(data, t_rx_utc_ns=now_utc_ns))
            progress.advance(source.position)
        printer.put(decoder.close())
    printer.finish(decoder)
    if decoder.counters.bytes_in and not decoder.counters.framed:
        hint = "not one sentence with a right checksum; is it NMEA 0183?"
        click.echo(f"tagrig nmea: {file}: {hint}{'' if no_checksum else ' Next: try --no-checksum'}", err=True)


def _parse_now(text: str) -> int:
    try:
        since = datetime.fromisoformat(text) - _UNIX
    except (ValueError, TypeError) as exc:
        raise click.BadParameter(
            f"expected RFC 3339 with a zone, as 2026-03-01T12:00:00Z, got {text!r}", param_hint="'--now'"
        ) from exc
    return since // timedelta(microseconds=1) * 1_000


def _rfc3339(utc_ns: int) -> str:
    """UTC with milliseconds, or with all nine digits where there is more than that."""
    seconds, sub_ns = divmod(utc_ns, _NS_PER_S)
    whole = (_UNIX + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{sub_ns:09d}"
    return f"{whole}.{digits if sub_ns % 1_000_000 else digits[:3]}Z"


class _UnreadableError(click.ClickException):
    """The input cannot be read; exits as a wrong command line does."""

    exit_code = int(ExitCode.USAGE)


class _Source:
    """The input file, unzipped if it is gzip, in pieces as they come."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.position = 0
        try:
            self.size = None if file == "-" else Path(file).stat().st_size
            # Standard input is not ours to close; a file is closed in __exit__.
            self._raw: BinaryIO = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115
        except OSError as exc:
            raise _UnreadableError(f"{file}: {exc.strerror}. Next: check the path and its permissions") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size is not None:
            self._raw.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield bytes as soon as there are any."""
        pieces = self._pieces()
        try:
            first = next(pieces, b"")
            pieces = itertools.chain([first], pieces)
            yield from _unzip(pieces) if first.startswith(_GZIP_MAGIC) else pieces
        except (OSError, EOFError, zlib.error) as exc:
            raise _UnreadableError(
                f"{self._file}: cannot be read to its end: {exc}. Next: check the file; what came before is printed"
            ) from exc

    def _pieces(self) -> Iterator[bytes]:
        # read1 returns what is there; read would wait on a pipe until a whole piece is.
        read = getattr(self._raw, "read1", self._raw.read)
        while data := read(_CHUNK_BYTES):
            self.position += len(data)
            yield data


def _unzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of gzip members, in pieces that a small bomb cannot make large."""
    member = zlib.decompressobj(wbits=_GZIP_WBITS)
    for piece in pieces:
        rest = piece
        while rest:
            if member.eof:
                member = zlib.decompressobj(wbits=_GZIP_WBITS)
            yield member.decompress(rest, _CHUNK_BYTES)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise EOFError("the gzip data stop in the middle")


class _ProgressLine:
    """Says how far a long run is: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._clock = SystemClock()
        self._due_mono_ns = self._clock.mono_ns() + _PROGRESS_AFTER_NS
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, position: int) -> None:
        """Take note that the file is read up to ``position``."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=position)
        elif self._clock.mono_ns() >= self._due_mono_ns:
            self._due_mono_ns += _PROGRESS_AFTER_NS
            if sys.stderr.isatty() and self._size:
                self._bar = Progress(console=Console(stderr=True), transient=True)
                self._bar.add_task("decoding", total=self._size, completed=position)
                self._bar.start()
            else:
                done = f" {100 * position // self._size} %" if self._size else ""
                click.echo(f"tagrig nmea: decoding{done}", err=True)


class _Printer(Protocol):
    """Writes reports to standard output."""

    def put(self, reports: list[NmeaReport | Reject]) -> None: ...

    def finish(self, decoder: NmeaDecoder) -> None: ...


class _JsonPrinter:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def put(self, reports: list[NmeaReport | Reject]) -> None:
        if reports:
            click.echo(b"".join(self._encoder.encode(_as_object(report)) + b"\n" for report in reports), nl=False)

    def finish(self, decoder: NmeaDecoder) -> None:
        """Print nothing: the lines are all there is."""


def _as_object(report: NmeaReport | Reject) -> dict[str, object]:
    match report:
        case Fix():
            return {
                "type": "fix",
                "offset": report.offset,
                "t_fix_utc": None if report.t_fix_utc_ns is None else _rfc3339(report.t_fix_utc_ns),
                "lat_deg": report.lat_deg,
                "lon_deg": report.lon_deg,
                "alt_m": report.alt_m,
                "speed_mps": report.speed_mps,
                "course_deg": report.course_deg,
                "mode": report.mode,
                "quality": report.quality,
                "satellites_used": report.satellites_used,
                "hdop": report.hdop,
                "horizontal_sigma_m": report.horizontal_sigma_m,
                "sigma_rule": report.sigma_rule,
                "talker": report.talker,
            }
        case Reject():
            return {
                "type": "reject",
                "offset": report.offset,
                "reason": report.reason,
                "raw": report.raw.decode("latin-1"),
            }
        case TagStatus():
            status = msgspec.to_builtins(report)
            utc_ns = status.pop("t_status_utc_ns")
            return {"type": "tag_status", **status, "t_status_utc": None if utc_ns is None else _rfc3339(utc_ns)}
        case CommandAck():
            return {"type": "command_ack", **msgspec.to_builtins(report)}


class _TablePrinter:
    """A line per report under one heading, and a summary."""

    def __init__(self) -> None:
        self._states: Counter[FixState] = Counter()
        click.echo(_HEAD)

    def put(self, reports: list[NmeaReport | Reject]) -> None:
        lines = []
        for report in reports:
            if isinstance(report, Fix):
                self._states[report.state] += 1
            lines.append(_as_line(report))
        if lines:
            click.echo("\n".join(lines))

    def finish(self, decoder: NmeaDecoder) -> None:
        counters = decoder.counters
        rejects = ", ".join(f"{reason.value} {count}" for reason, count in sorted(counters.rejects_by_reason.items()))
        fixes = ", ".join(f"{state.value} {count}" for state, count in sorted(self._states.items()))
        click.echo(
            f"\n{counters.bytes_in} bytes, {counters.framed} sentences ({counters.sentences} decoded, "
            f"{counters.ignored} of other types)\nfixes: {fixes or 'none'}\nrejects: {rejects or 'none'}"
        )


def _as_line(report: NmeaReport | Reject) -> str:
    match report:
        case Fix():
            moment = "-" if report.t_fix_utc_ns is None else _rfc3339(report.t_fix_utc_ns)
            return (
                f"{moment:<24} {report.state.value:<14} {_cell(report.lat_deg, 12, 7)} {_cell(report.lon_deg, 13, 7)} "
                f"{_cell(report.alt_m, 8, 1)} {_cell(report.speed_mps, 7, 2)} {_cell(report.course_deg, 6, 1)} "
                f"{_cell(report.quality, 1, 0)} {_cell(report.satellites_used, 3, 0)} {_cell(report.hdop, 5, 2)} "
                f"{_cell(report.horizontal_sigma_m, 7, 1)} {report.sigma_rule or '-'}"
            )
        case Reject():
            raw = ascii(report.raw[:60].decode("latin-1"))
            return f"{'':<24} reject at {report.offset}: {report.reason.value} {raw} {report.detail}".rstrip()
        case TagStatus():
            return (
                f"{'':<24} tag {report.sequence}{' stored' if report.stored else ''}: strap {report.strap.value}, "
                f"case {report.case.value}, battery {report.battery_pct} % {report.battery_mv} mV, "
                f"firmware {report.firmware}"
            )
        case CommandAck():
            return f"{'':<24} answer to command {report.command_id}: {report.outcome.value} {report.value}".rstrip()


def _cell(value: float | None, width: int, decimals: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{decimals}f}"
