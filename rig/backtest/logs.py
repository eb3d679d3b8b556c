"""Histories that are streams of one device: NMEA logs, our captures, GPX tracks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from devices.capture import read_capture
from devices.errors import CaptureError
from protocols.nmea import NmeaDecoder
from protocols.rejects import Reject
from protocols.reports import Fix, FixState, NmeaReport
from rig.backtest.errors import HistoryError
from rig.backtest.files import InputBytes
from rig.backtest.fixes import Batch, DeviceNames, Fixes, Tally
from rig.errors import TrackError
from rig.recordings.gpx import BadXml, GpxParser, find_utc_ns

_BATCH_FIXES = 1 << 14
"""Fixes handed on at once."""

_READ_BYTES = 1 << 16


class _Log:
    """Collects the records of one device into batches."""

    def __init__(self, path: Path, device: str, devices: DeviceNames, tally: Tally, *, timed: bool) -> None:
        self.path = path
        self.name = str(path)
        self.size_bytes = path.stat().st_size if path.exists() else 0
        self.position_bytes = 0
        self._tally = tally
        self._timed = timed
        self._device = device
        self._devices = devices
        self._n_records = 0
        self._rows: list[tuple[int, int, float, float]] = []

    def _place(self, record_idx: int) -> str:
        return f"{self.name}, fix {record_idx + 1}"

    def place(self, record_idx: int) -> str:
        """Say where a record stands."""
        return self._place(record_idx)

    def _add(self, t_ns: int | None, lat_deg: float | None, lon_deg: float | None) -> None:
        """Take the next record."""
        row = self._n_records
        self._n_records += 1
        self._tally.records += 1
        if self._timed and t_ns is None:
            self._tally.reject("no_time", 1, lambda: self.place(row))
        elif lat_deg is None or lon_deg is None:
            self._tally.without_position += 1
        elif not (abs(lat_deg) <= 90.0 and abs(lon_deg) <= 180.0):
            self._tally.reject("out_of_range", 1, lambda: self.place(row))
        else:
            self._rows.append((row, t_ns or 0, lat_deg, lon_deg))

    def _batches(self, steps: Iterator[None], first_number: int) -> Iterator[Batch]:
        """Yield what the steps collected, a batch at a time."""
        done = 0
        code = self._devices.code(self._device)
        for _ in steps:
            if self._n_records - done >= _BATCH_FIXES:
                yield self._batch(done, code, first_number)
                done = self._n_records
        yield self._batch(done, code, first_number)

    def _batch(self, done: int, code: int, first_number: int) -> Batch:
        rows, self._rows = self._rows, []
        row, t_ns, lat, lon = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
        number = np.array(row, dtype=np.int64) + first_number
        fixes = Fixes(
            np.full(len(rows), code, dtype=np.int32),
            np.array(t_ns, dtype=np.int64) if self._timed else number,
            np.array(lat, dtype=np.float64),
            np.array(lon, dtype=np.float64),
            number,
        )
        return Batch(self._n_records - done, fixes)

    def _note_cut(self, file: InputBytes) -> None:
        if file.cut_short:
            why = file.cut_short
            self._tally.reject("file_cut_short", 1, lambda: f"{self.name}: {why}")


class NmeaSource(_Log):
    """A log of NMEA sentences, plain or gzip; one device, named after the file."""

    def __init__(self, path: Path, devices: DeviceNames, tally: Tally, *, timed: bool) -> None:
        super().__init__(path, _stem(path, ".nmea", ".log", ".txt"), devices, tally, timed=timed)

    def batches(self, first_number: int) -> Iterator[Batch]:
        """Read the file."""
        return self._batches(self._steps(), first_number)

    def _steps(self) -> Iterator[None]:
        decoder = NmeaDecoder()
        with InputBytes(self.path) as file:
            while piece := file.read(_READ_BYTES):
                self.position_bytes = file.position_bytes
                self._reports(decoder.feed(piece))
                yield
            self._reports(decoder.close())
            self._note_cut(file)
        if decoder.counters.bytes_in and not decoder.counters.framed:
            self._tally.notes.append(f"{self.name}: not one sentence with a right checksum; is it NMEA 0183?")

    def _reports(self, reports: list[NmeaReport | Reject]) -> None:
        for report in reports:
            if isinstance(report, Fix):
                placed = report.state is FixState.POSITION
                self._add(report.t_fix_utc_ns, report.lat_deg if placed else None, report.lon_deg if placed else None)
            elif isinstance(report, Reject):
                where = f"{self.name}, byte {report.offset}"
                self._tally.reject(f"nmea_{report.reason.value}", 1, where)


class CaptureSource(NmeaSource):
    """One of our captures; the device is the one that its header names."""

    def __init__(self, path: Path, devices: DeviceNames, tally: Tally, *, timed: bool) -> None:
        super().__init__(path, devices, tally, timed=timed)
        try:
            header, self._chunks = read_capture(path)
        except CaptureError as exc:
            raise HistoryError(str(exc)) from exc
        self._device = header.device_id

    def _steps(self) -> Iterator[None]:
        decoder = NmeaDecoder()
        for chunk in self._chunks:
            self.position_bytes = min(self.position_bytes + len(chunk.data), self.size_bytes)
            self._reports(decoder.feed(chunk.data, t_rx_utc_ns=chunk.t_rx_utc_ns))
            yield
        self._reports(decoder.close())


class GpxSource(_Log):
    """Track points of a GPX file (1.0 or 1.1), plain or gzip; one device, named after the file."""

    def __init__(self, path: Path, devices: DeviceNames, tally: Tally, *, timed: bool) -> None:
        super().__init__(path, _stem(path, ".gpx"), devices, tally, timed=timed)
        self._parser = GpxParser(self._point)

    def place(self, record_idx: int) -> str:
        """Say where a record stands."""
        return f"{self.name}, track point {record_idx + 1}"

    def batches(self, first_number: int) -> Iterator[Batch]:
        """Read the file."""
        return self._batches(self._steps(), first_number)

    def _steps(self) -> Iterator[None]:
        parser = self._parser
        with InputBytes(self.path) as file:
            try:
                while piece := file.read(_READ_BYTES):
                    self.position_bytes = file.position_bytes
                    parser.feed(piece)
                    yield
                if not file.cut_short:
                    parser.close()
            except BadXml as exc:
                why = str(exc)
                self._tally.reject("bad_xml", 1, lambda: f"{self.name}: {why}")
            except TrackError as exc:
                raise HistoryError(f"{self.name}: {exc}") from exc
            self._note_cut(file)
        if not self._n_records and parser.n_planned:
            self._tally.notes.append(
                f"{self.name}: no track points; {parser.n_planned} waypoints and route points are a plan, not fixes"
            )

    def _point(self, lat_deg: float | None, lon_deg: float | None, time: str | None) -> None:
        row = self._n_records
        if self._timed and time is not None and (t_ns := find_utc_ns(time)) is None:
            self._n_records += 1
            self._tally.records += 1
            self._tally.reject("bad_time", 1, lambda: self.place(row))
            return
        self._add(t_ns if self._timed and time is not None else None, lat_deg, lon_deg)


def _stem(path: Path, *suffixes: str) -> str:
    name = path.name.removesuffix(".gz")
    for suffix in suffixes:
        name = name.removesuffix(suffix)
    return name or path.name
