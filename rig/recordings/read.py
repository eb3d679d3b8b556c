"""One recording of one device as times and places, whatever file it is in."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from devices.capture import read_capture
from devices.errors import CaptureError
from protocols.nmea import NmeaDecoder
from protocols.rejects import Reject
from protocols.reports import Fix, FixState, NmeaReport
from rig.backtest.columns import UNIT_NS, ColumnRules, find_columns, guess_unit
from rig.backtest.errors import HistoryError
from rig.backtest.files import InputBytes
from rig.errors import TrackError
from rig.recordings.gpx import BadXml, GpxParser, find_utc_ns

KINDS: Final = ("gpx", "csv", "nmea", "capture")
"""What `read_recording` reads."""

_SUFFIXES: Final = {
    ".gpx": "gpx",
    ".csv": "csv",
    ".tsv": "csv",
    ".nmea": "nmea",
    ".log": "nmea",
    ".txt": "nmea",
    ".tagcap": "capture",
}

_READ_BYTES: Final = 1 << 16

_POINTS_MAX: Final = 500_000
"""Points of a recording: six days at one a second. It is kept in memory as a whole; a file taken for a track by mistake
must not fill it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPoint:
    """A place at a time; ``t_utc_ns`` is None where the recording has no times."""

    t_utc_ns: int | None
    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All positions of one device; times rise strictly, or there are none at all.

    Attributes
    ----------
    path : Path
    points : tuple of RecordedPoint
    left_out : int
        Records without a position, or without a time beside others that have one.
    not_later : int
        Records whose time is not after that of the one before: they are left out, too.
    """

    path: Path
    points: tuple[RecordedPoint, ...]
    left_out: int = 0
    not_later: int = 0

    @property
    def timed(self) -> bool:
        """Whether it has times."""
        return self.points[0].t_utc_ns is not None

    @property
    def start_utc_ns(self) -> int:
        """Time of the first point; 0 without times."""
        return self.points[0].t_utc_ns or 0


_Row = tuple[int | None, float | None, float | None]


def kind_of(path: Path) -> str:
    """Tell from a file's name what is in it.

    Raises
    ------
    TrackError
        The name does not say.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise TrackError(
            f"{path}: the name does not say what is in it. Expected one of: {known}, also with .gz"
        ) from None


def read_recording(
    path: Path, kind: str | None = None, *, device: str | None = None, with_times: bool = True
) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path : Path
    kind : str, optional
        One of `KINDS`; by the file's name where absent.
    device : str, optional
        Whose lines of a CSV file with a column of devices.
    with_times : bool
        False: places in their order, whatever times they have.

    Raises
    ------
    TrackError
        It cannot be read, holds no position, or several devices and none is named.
    """
    kind = kind_of(path) if kind is None else kind
    try:
        match kind:
            case "gpx":
                rows = list(_gpx(path))
            case "csv":
                rows = list(_csv(path, device))
            case "nmea":
                rows = list(_nmea(path))
            case "capture":
                rows = list(_capture(path))
            case _:
                raise TrackError(f"{path}: kind {kind!r} is not known. Expected one of: {', '.join(KINDS)}")
    except HistoryError as exc:
        raise TrackError(str(exc)) from exc
    return _recording(path, rows if with_times else [(None, lat, lon) for _, lat, lon in rows])


def _recording(path: Path, rows: Sequence[_Row]) -> Recording:
    timed = any(t_ns is not None for t_ns, lat, _ in rows if lat is not None)
    points: list[RecordedPoint] = []
    not_later, last_ns = 0, -math.inf
    for t_ns, lat, lon in rows:
        if lat is None or lon is None or not (abs(lat) <= 90 and abs(lon) <= 180):
            continue
        if timed:
            if t_ns is None:
                continue
            if t_ns <= last_ns:
                not_later += 1
                continue
            last_ns = t_ns
        points.append(RecordedPoint(t_utc_ns=t_ns, lat_deg=lat, lon_deg=lon))
    if not points:
        raise TrackError(f"{path}: not one position in it, of {len(rows)} records. Expected a recorded track")
    left_out = len(rows) - len(points) - not_later
    return Recording(path=path, points=tuple(points), left_out=left_out, not_later=not_later)


def _capped(rows: list[_Row], path: Path) -> None:
    if len(rows) > _POINTS_MAX:
        raise TrackError(f"{path}: more than {_POINTS_MAX:,} records. Next: cut out the part that the story needs")


def _gpx(path: Path) -> Iterator[_Row]:
    rows: list[_Row] = []

    def take(lat: float | None, lon: float | None, time: str | None) -> None:
        rows.append((None if time is None else find_utc_ns(time), lat, lon))

    parser = GpxParser(take)
    with InputBytes(path) as file:
        try:
            while piece := file.read(_READ_BYTES):
                parser.feed(piece)
                _capped(rows, path)
            if file.cut_short:
                raise TrackError(f"{path}: {file.cut_short}. Expected a whole file")
            parser.close()
        except BadXml as exc:
            raise TrackError(f"{path}: no XML: {exc}. Expected GPX") from exc
        except TrackError as exc:
            raise exc if str(path) in str(exc) else TrackError(f"{path}: {exc}") from exc
    return iter(rows)


def _lines(path: Path) -> Iterator[str]:
    rest = b""
    with InputBytes(path) as file:
        while piece := file.read(_READ_BYTES):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", errors="replace")
        if file.cut_short:
            raise TrackError(f"{path}: {file.cut_short}. Expected a whole file")
    if rest:
        yield rest.decode("utf-8", errors="replace")


def _csv(path: Path, device: str | None) -> Iterator[_Row]:
    lines = _lines(path)
    first = next(lines, "").lstrip("\ufeff")
    delimiter = max(",;\t|", key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    at = _columns(path, header)
    table = []
    for row in csv.reader(lines, delimiter=delimiter):
        if len(row) == len(header):
            table.append(row)
            if len(table) > _POINTS_MAX:
                raise TrackError(f"{path}: more than {_POINTS_MAX:,} records. Next: cut out what the story needs")
    if at["device"] is not None:
        table = _of_device(path, table, at["device"], device)
    times = _times(path, header, table, at["time"])
    lat, lon = at["lat"], at["lon"]
    assert lat is not None
    assert lon is not None
    return ((t_ns, _find_number(row[lat]), _find_number(row[lon])) for t_ns, row in zip(times, table, strict=True))


def _columns(path: Path, header: Sequence[str]) -> dict[str, int | None]:
    """Find the columns; one of times need not be there."""
    timed = True
    while True:
        try:
            found = find_columns(str(path), header, ColumnRules(names={}, time_unit=None, timed=timed))
        except HistoryError as exc:
            if timed and " time" in str(exc) and "could each be" not in str(exc):
                timed = False
                continue
            names = ", ".join(repr(name) for name in header[:20])
            raise TrackError(
                f"{path}: expected one column each for lat and lon, perhaps for time and device, under usual names, "
                f"got {names}"
            ) from exc
        return {"lat": found.lat, "lon": found.lon, "time": found.time, "device": found.device}


def _of_device(path: Path, table: list[list[str]], column: int, device: str | None) -> list[list[str]]:
    names = sorted({row[column] for row in table})
    if device is None and len(names) > 1:
        raise TrackError(f"{path}: several devices are in it. Expected device = one of: {', '.join(names[:20])}")
    if device is not None and device not in names:
        raise TrackError(f"{path}: device {device!r} is not in it. Expected one of: {', '.join(names[:20])}")
    return [row for row in table if device is None or row[column] == device]


def _times(path: Path, header: Sequence[str], table: list[list[str]], column: int | None) -> Iterable[int | None]:
    if column is None:
        return [None] * len(table)
    numbers = [_find_number(row[column]) for row in table]
    if not any(number is not None for number in numbers):
        return [find_utc_ns(row[column].strip()) for row in table]
    values = np.array([math.nan if number is None else number for number in numbers])
    unit = guess_unit(str(path), header[column], values)
    assert unit is not None
    return [None if n is None else round(n * UNIT_NS[unit]) for n in numbers]


def _find_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _nmea(path: Path) -> Iterator[_Row]:
    decoder = NmeaDecoder()
    rows: list[_Row] = []
    with InputBytes(path) as file:
        while piece := file.read(_READ_BYTES):
            rows += _fixes(decoder.feed(piece))
            _capped(rows, path)
    rows += _fixes(decoder.close())
    return iter(rows)


def _capture(path: Path) -> Iterator[_Row]:
    decoder = NmeaDecoder()
    rows: list[_Row] = []
    try:
        _, chunks = read_capture(path)
        for chunk in chunks:
            rows += _fixes(decoder.feed(chunk.data, t_rx_utc_ns=chunk.t_rx_utc_ns))
            _capped(rows, path)
    except CaptureError as exc:
        raise TrackError(str(exc)) from exc
    rows += _fixes(decoder.close())
    return iter(rows)


def _fixes(reports: Iterable[NmeaReport | Reject]) -> Iterator[_Row]:
    for report in reports:
        if isinstance(report, Fix):
            placed = report.state is FixState.POSITION
            yield report.t_fix_utc_ns, report.lat_deg if placed else None, report.lon_deg if placed else None
