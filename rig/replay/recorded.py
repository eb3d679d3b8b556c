"""Recordings as lines of a receiver: each burst of bytes at the time that the receiver itself tells.

NMEA logs stay as they are, to the byte. Tracks (GPX, CSV) become RMC and GGA with the track's own times and places.
Captures keep the moments at which they were taken.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from devices.capture import CaptureHeader, CaptureWriter, RecordKind, capture_path, read_capture
from devices.errors import CaptureError
from devices.transports.raw_log import find_time_of_day_ns, read_raw_log
from protocols.nmea import NmeaDecoder
from protocols.nmea.encode import encode_gga, encode_rmc
from protocols.reports import Fix, FixState
from rig.errors import TrackError
from rig.recordings import kind_of, read_recording
from rig.replay.errors import ReplayError

DAY_NS = 86_400_000_000_000

MINUTE_DECIMALS = 6
"""Decimals of a minute in sentences made of a track: 2 mm, finer than any track is written."""

_NMEA_SUFFIXES = (".gga", ".ubx")
"""Of NMEA logs too, beside those that `rig.recordings` knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Bytes that came in at a moment."""

    t_utc_ns: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a receiver said it was, and when that came in."""

    t_utc_ns: int
    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """One recording as a line: its bursts, in the order in which they came."""

    path: Path
    bursts: tuple[Burst, ...]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The positions that stand in them."""
        return tuple(_places(self.bursts))

    @property
    def start_utc_ns(self) -> int:
        """When its first bytes came."""
        return self.bursts[0].t_utc_ns

    @property
    def end_utc_ns(self) -> int:
        """When its last bytes came."""
        return self.bursts[-1].t_utc_ns

    def later(self, by_ns: int) -> "Line":
        """Move all of it in time; sentences are made anew, with the new times in them."""
        later = (replace(place, t_utc_ns=place.t_utc_ns + by_ns) for place in self.places)
        return Line(path=self.path, bursts=tuple(_spoken(place) for place in later))

    def cut(self, from_utc_ns: int, until_utc_ns: int) -> "Line":
        """Keep what came within a time.

        Raises
        ------
        ReplayError
            Nothing did.
        """
        within = (each for each in self.bursts if from_utc_ns <= each.t_utc_ns <= until_utc_ns)
        line = Line(path=self.path, bursts=tuple(within))
        if not line.places:
            raise ReplayError(f"{self.path}: it tells no position within the time that all recordings share")
        return line


def read_line(path: Path, *, near_utc_ns: int | None = None) -> Line:
    """Read a recording.

    Parameters
    ----------
    path : Path
    near_utc_ns : int, optional
        A moment of the same day, for a receiver that told no date.

    Raises
    ------
    ReplayError
        It cannot be read, or tells no time.
    """
    try:
        bursts = tuple(_bursts(path, near_utc_ns))
    except (TrackError, CaptureError) as exc:
        raise ReplayError(str(exc)) from exc
    except OSError as exc:
        raise ReplayError(f"{path}: cannot be read: {exc.args[-1]}") from exc
    if not bursts:
        raise ReplayError(f"{path}: there is nothing in it that tells a time")
    return Line(path=path, bursts=bursts)


def standing_line(path: Path, at: tuple[float, float], start_utc_ns: int, end_utc_ns: int) -> Line:
    """Make the line of a receiver that stands still, is right, and tells so each second."""
    times = range(start_utc_ns, end_utc_ns + 1, 1_000_000_000)
    places = (Place(t_utc_ns=t_utc_ns, lat_deg=at[0], lon_deg=at[1]) for t_utc_ns in times)
    return Line(path=path, bursts=tuple(_spoken(place) for place in places))


def _bursts(path: Path, near_utc_ns: int | None) -> Iterator[Burst]:
    name = path.name.removesuffix(".gz").lower()
    kind = "nmea" if name.endswith(_NMEA_SUFFIXES) else kind_of(path)
    if kind == "capture":
        _, chunks = read_capture(path)
        yield from (Burst(t_utc_ns=chunk.t_rx_utc_ns, data=chunk.data) for chunk in chunks)
    elif kind == "nmea":
        yield from _log(path, near_utc_ns)
    else:
        yield from _track(path, kind)


def _track(path: Path, kind: str) -> Iterator[Burst]:
    recording = read_recording(path, kind)
    if not recording.timed:
        raise ReplayError(f"{path}: its points have no times, so nobody knows when they were told. Next: another one")
    for point in recording.points:
        assert point.t_utc_ns is not None
        yield _spoken(Place(t_utc_ns=point.t_utc_ns, lat_deg=point.lat_deg, lon_deg=point.lon_deg))


def _spoken(place: Place) -> Burst:
    """Say a place as a receiver does."""
    t_utc_ns, lat, lon = place.t_utc_ns, place.lat_deg, place.lon_deg
    rmc = encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=lon, minute_decimals=MINUTE_DECIMALS)
    gga = encode_gga(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=lon, minute_decimals=MINUTE_DECIMALS)
    return Burst(t_utc_ns=t_utc_ns, data=rmc + gga)


def _log(path: Path, near_utc_ns: int | None) -> Iterator[Burst]:
    """Put the times of day of a log on the calendar; a gap lasts as long as it lasted."""
    groups = [timed.data for timed in read_raw_log(path, bytes_per_s=None)]
    t_utc_ns = _find_first_utc_ns(path, groups, near_utc_ns)
    before_ns: int | None = None
    for data in groups:
        found_ns = _find_time_of_day_ns(data)
        if found_ns is not None:
            if before_ns is not None:
                # The nearest moment with this time of day: midnight goes on, and a receiver that steps back a little
                # is heard in the order in which it spoke.
                step_ns = (found_ns - before_ns + DAY_NS // 2) % DAY_NS - DAY_NS // 2
                t_utc_ns += max(0, step_ns)
            before_ns = found_ns
        yield Burst(t_utc_ns=t_utc_ns, data=data)


def _find_time_of_day_ns(data: bytes) -> int | None:
    return next((found for line in data.splitlines() if (found := find_time_of_day_ns(line)) is not None), None)


def _find_first_utc_ns(path: Path, groups: Sequence[bytes], near_utc_ns: int | None) -> int:
    """Find the moment of a log's first time of day."""
    decoder = NmeaDecoder()
    first_ns = next((found for data in groups if (found := _find_time_of_day_ns(data)) is not None), None)
    if first_ns is None:
        raise ReplayError(f"{path}: no sentence in it tells a time of day")
    elapsed_ns, before_ns = 0, first_ns
    for data in groups:
        found_ns = _find_time_of_day_ns(data)
        if found_ns is not None:
            elapsed_ns += max(0, (found_ns - before_ns + DAY_NS // 2) % DAY_NS - DAY_NS // 2)
            before_ns = found_ns
        for report in decoder.feed(data):
            if isinstance(report, Fix) and report.t_fix_utc_ns is not None and report.time_of_day_ns is not None:
                back_ns = (report.time_of_day_ns - first_ns) % DAY_NS
                # Whole days that passed since the first line.
                days = max(0, elapsed_ns - back_ns + DAY_NS // 2) // DAY_NS
                return report.t_fix_utc_ns - back_ns - days * DAY_NS
    if near_utc_ns is None:
        raise ReplayError(
            f"{path}: it tells times of day and no date. Next: replay it beside a recording of the same day that does, "
            "or say --date"
        )
    midnight_ns = near_utc_ns // DAY_NS * DAY_NS
    return min((midnight_ns + first_ns + day * DAY_NS for day in (-1, 0, 1)), key=lambda t: abs(t - near_utc_ns))


def _places(bursts: Iterable[Burst]) -> Iterator[Place]:
    decoder = NmeaDecoder()
    for burst in bursts:
        reports = [*decoder.feed(burst.data, t_rx_utc_ns=burst.t_utc_ns), *decoder.close_epoch()]
        for report in reports:
            if (
                isinstance(report, Fix)
                and report.state is FixState.POSITION
                and report.lat_deg is not None
                and report.lon_deg is not None
            ):
                yield Place(t_utc_ns=burst.t_utc_ns, lat_deg=report.lat_deg, lon_deg=report.lon_deg)


def write_capture(line: Line, folder: Path, device: str, *, zero_utc_ns: int, version: str) -> Path:
    """Write a line as a capture whose monotonic clock counts from the zero of the run.

    Raises
    ------
    ReplayError
        It cannot be written.
    """
    path = capture_path(folder, device, zero_utc_ns)
    header = CaptureHeader(
        device_id=device,
        transport=f"recording:{line.path.name}",
        tagrig_version=version,
        t_start_mono_ns=0,
        t_start_utc_ns=zero_utc_ns,
    )
    try:
        writer = CaptureWriter(path, header)
    except CaptureError as exc:
        raise ReplayError(str(exc)) from exc
    try:
        for burst in line.bursts:
            writer.write(
                RecordKind.RECEIVED, burst.data, t_mono_ns=burst.t_utc_ns - zero_utc_ns, t_utc_ns=burst.t_utc_ns
            )
    finally:
        writer.close()
    if writer.n_dropped:
        raise ReplayError(f"{path}: the disk did not take all of it")
    return path
