"""Tables in: CSV and Parquet, by columns."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from geofence_core.arrays import I32, Bool, indices
from rig.backtest.arrow_values import Times, counted_times, is_text, iso_times, looks_like_iso, numbers, stamps
from rig.backtest.columns import ColumnRules, Found, find_columns, guess_unit
from rig.backtest.errors import HistoryError
from rig.backtest.files import InputBytes, InputText
from rig.backtest.fixes import Batch, DeviceNames, Fixes, Tally

_BLOCK_BYTES = 1 << 20
"""Text that is parsed at once, bytes: some 20,000 records. Arrow reads some blocks ahead; four times as much would take
100 MB more and save a tenth of the time."""

_HEADER_CAP_BYTES = 1 << 16
"""Longest header line; a file without a line end must not be read whole to find its first line."""

_NO_DEVICE, _STRAY_QUOTE = -1, -2

_PARQUET_ROWS = 1 << 16
"""Rows decoded at once."""

_DELIMITERS = ",;\t|"


class _Table:
    """What CSV and Parquet share: columns of a block to fixes, the rest to the tally."""

    def __init__(self, path: Path, rules: ColumnRules, devices: DeviceNames, tally: Tally) -> None:
        self.path = path
        self.name = str(path)
        self.size_bytes = path.stat().st_size if path.exists() else 0
        self._rules = rules
        self._devices = devices
        self._tally = tally
        self._unit: str | None = None
        self._is_iso: bool | None = {None: None, "iso": True}.get(rules.time_unit, False)
        self._has_quotes = True
        self._codes_seen: dict[object, int] = {}
        self._n_records = 0

    def place(self, record_idx: int) -> str:
        """Say where a record stands."""
        return f"{self.name}, row {record_idx + 1}"

    def _batch(self, columns: dict[str, Any], first_number: int, blank: Bool | None, time_name: str) -> Batch:
        """Check a block; ``columns`` are Arrow arrays by role."""
        n = len(columns["lat"])
        start = self._n_records
        self._n_records += n
        lat, lat_bad = numbers(columns["lat"])
        lon, lon_bad = numbers(columns["lon"])
        usable = np.ones(n, dtype=bool) if blank is None else ~blank
        self._tally.records += int(usable.sum())

        def refuse(reason: str, bad: Bool) -> None:
            bad = bad & usable
            if bad.any():
                usable[bad] = False
                row = start + int(indices(bad)[0])
                self._tally.reject(reason, int(bad.sum()), lambda: self.place(row))

        refuse("bad_number", lat_bad | lon_bad)
        with np.errstate(invalid="ignore"):
            refuse("out_of_range", (np.abs(lat) > 90.0) | (np.abs(lon) > 180.0))
        number = np.arange(first_number + start, first_number + start + n, dtype=np.int64)
        t_ns = number
        if "time" in columns:
            times = self._times(columns["time"], time_name)
            refuse("bad_time", times.bad)
            refuse("no_time", ~times.known)
            self._tally.times_without_zone += times.n_without_zone
            t_ns = times.t_ns
        if "device" in columns:
            code = self._codes(columns["device"])
            refuse("no_device", code == _NO_DEVICE)
            refuse("stray_quote", code == _STRAY_QUOTE)
        else:
            code = np.full(n, self._devices.code(_stem(self.path)), dtype=np.int32)
        placed = usable & ~np.isnan(lat) & ~np.isnan(lon)
        self._tally.without_position += int(usable.sum() - placed.sum())
        rows = indices(placed)
        return Batch(n, Fixes(code[rows], t_ns[rows], lat[rows], lon[rows], number[rows]))

    def _codes(self, column: Any) -> I32:
        encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
        values = encoded.dictionary.to_pylist()
        codes = np.array([*map(self._code, values), _NO_DEVICE], dtype=np.int32)
        rows: I32 = codes[np.asarray(encoded.indices.fill_null(len(values)))]
        return rows

    def _code(self, value: object) -> int:
        code = self._codes_seen.get(value)
        if code is None:
            word = _word(value)
            if not self._has_quotes and '"' in word:
                code = _STRAY_QUOTE
            else:
                code = self._devices.code(word) if word else _NO_DEVICE
            self._codes_seen[value] = code
        return code

    def _times(self, column: Any, name: str) -> Times:
        kind = column.type
        if pa.types.is_timestamp(kind):
            return stamps(column)
        if is_text(kind) and self._is_iso is None:
            self._is_iso = looks_like_iso(column)
        if self._is_iso:
            return iso_times(column)
        values, bad = numbers(column)
        if self._unit is None:
            self._unit = guess_unit(self.name, name, values)
        return counted_times(column, values, bad, self._unit, is_sure=self._rules.time_unit is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What the beginning of a CSV file tells.

    Only a file that uses quotes there is read with quotes: in one that does not, a single damaged byte that happens to
    be a quote would swallow the lines up to the next.
    """

    columns: list[str]
    delimiter: str
    has_rows: bool
    has_quotes: bool


class CsvSource(_Table):
    """A CSV file with a header line; commas, semicolons, tabs or bars between its columns; plain or gzip."""

    def __init__(self, path: Path, rules: ColumnRules, devices: DeviceNames, tally: Tally) -> None:
        super().__init__(path, rules, devices, tally)
        self._bytes: InputBytes | None = None
        self._skipped: list[int] = []
        with InputBytes(path) as file:
            self._head = _read_head(self.name, file)
        self._header = self._head.columns
        self._has_quotes = self._head.has_quotes
        self._found = find_columns(self.name, self._header, rules)
        self._unit = self._found.unit

    @property
    def position_bytes(self) -> int:
        """How far it is read."""
        return 0 if self._bytes is None else self._bytes.position_bytes

    def place(self, record_idx: int) -> str:
        """Say on which line a record stands."""
        line = record_idx + 2
        for skipped in self._skipped:
            if skipped > line:
                break
            line += 1
        return f"{self.name}, line {line}"

    def batches(self, first_number: int) -> Iterator[Batch]:
        """Read the file."""
        if not self._head.has_rows:
            return
        roles = _roles(self._found)
        wanted = [f"c{i}" for i in dict.fromkeys(roles.values())]
        with InputBytes(self.path) as self._bytes:
            try:
                reader = pa_csv.open_csv(
                    pa.PythonFile(InputText(self._bytes), mode="r"),
                    # one thread: only then lines have numbers, and the judges need the cores
                    read_options=pa_csv.ReadOptions(
                        use_threads=False,
                        block_size=_BLOCK_BYTES,
                        skip_rows=1,
                        column_names=[f"c{i}" for i in range(len(self._header))],
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=self._head.delimiter,
                        quote_char='"' if self._has_quotes else False,
                        ignore_empty_lines=False,
                        invalid_row_handler=self._skip,
                    ),
                    convert_options=pa_csv.ConvertOptions(
                        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())
                    ),
                )
                for block in reader:
                    columns = {role: block.column(f"c{i}") for role, i in roles.items()}
                    blank = np.ones(len(block), dtype=bool)
                    for column in block.columns:
                        blank &= np.asarray(pc.equal(pc.binary_length(column), 0))
                    time_name = "" if self._found.time is None else self._header[self._found.time]
                    yield self._batch(columns, first_number, blank, time_name)
            except pa.ArrowInvalid as exc:
                if "Empty CSV" not in str(exc):
                    raise HistoryError(
                        f"{self.name}: cannot be read as CSV: {exc}. Next: look for a quote that is never closed"
                    ) from exc
            if self._bytes.cut_short:
                why = self._bytes.cut_short
                self._tally.reject("file_cut_short", 1, lambda: f"{self.name}: {why}")

    def _skip(self, row: Any) -> str:
        line = int(row.number)
        self._skipped.append(line)
        self._tally.records += 1
        self._tally.reject("wrong_number_of_columns", 1, lambda: f"{self.name}, line {line}")
        return "skip"


class ParquetSource(_Table):
    """A Parquet file; columns are found by name as in CSV."""

    def __init__(self, path: Path, rules: ColumnRules, devices: DeviceNames, tally: Tally) -> None:
        super().__init__(path, rules, devices, tally)
        self._n_rows = 0
        try:
            with pq.ParquetFile(path) as file:
                self._header = list(file.schema_arrow.names)
                self._n_rows = file.metadata.num_rows
                self._found = find_columns(self.name, self._header, rules)
                self._check(file.schema_arrow)
        except (pa.ArrowException, OSError) as exc:
            raise HistoryError(f"{self.name}: cannot be read as Parquet: {exc}. Next: check the file") from exc
        self._unit = self._found.unit

    @property
    def position_bytes(self) -> int:
        """How far it is read, by its rows."""
        return self.size_bytes * self._n_records // max(self._n_rows, 1)

    def batches(self, first_number: int) -> Iterator[Batch]:
        """Read the file."""
        roles = _roles(self._found)
        names = {role: self._header[i] for role, i in roles.items()}
        try:
            with pq.ParquetFile(self.path, memory_map=False, pre_buffer=False) as file:
                for block in file.iter_batches(batch_size=_PARQUET_ROWS, columns=[*dict.fromkeys(names.values())]):
                    columns = {role: block.column(name) for role, name in names.items()}
                    yield self._batch(columns, first_number, None, names.get("time", ""))
        except (pa.ArrowException, OSError) as exc:
            raise HistoryError(
                f"{self.name}: cannot be read to its end: {exc}. Next: get the file again; Parquet that is damaged in "
                "one place says nothing certain about the rest"
            ) from exc

    def _check(self, schema: Any) -> None:
        for role, i in _roles(self._found).items():
            kind = schema.field(i).type
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            is_number = any(f(value) for f in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))
            fits = is_text(value) or (pa.types.is_integer(value) if role == "device" else is_number)
            if role == "time":
                fits = fits or pa.types.is_timestamp(value)
            if not fits:
                raise HistoryError(
                    f"{self.name}: column {self._header[i]!r} of type {kind} cannot be the {role}. "
                    f"Next: --columns {role}=NAME"
                )


def _roles(found: Found) -> dict[str, int]:
    at = {"lat": found.lat, "lon": found.lon, "time": found.time, "device": found.device}
    return {role: i for role, i in at.items() if i is not None}


def _read_head(name: str, file: InputBytes) -> _Head:
    head = b""
    while b"\n" not in head and len(head) < _HEADER_CAP_BYTES:
        piece = file.read(_HEADER_CAP_BYTES)
        if not piece:
            break
        head += piece
    line = head.partition(b"\n")[0][:_HEADER_CAP_BYTES].removeprefix(b"\xef\xbb\xbf").rstrip(b"\r")
    if not line.strip():
        raise HistoryError(f"{name}: expected a header line with column names, got none. Next: check the file")
    text = line.decode("utf-8", "backslashreplace")
    delimiter = max(_DELIMITERS, key=text.count)
    return _Head(
        columns=[column.strip() for column in next(csv.reader([text], delimiter=delimiter))],
        delimiter=delimiter,
        has_rows=b"\n" in head,
        has_quotes=b'"' in head,
    )


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq"):
        name = name.removesuffix(suffix)
    return name or path.name


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    return "" if value is None else str(value).strip()
