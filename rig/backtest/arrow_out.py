"""Tables out: rows are written as they come, and the file appears under its name only when it is whole."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from geofence_core.arrays import Bool, indices
from rig.backtest.errors import HistoryError

_GROUP_ROWS = 1 << 16
"""Rows of a Parquet row group; rows are cut by count, so the bytes do not depend on how they came."""

TEXT, TIME, INTEGER, FLOAT = "text", "time", "integer", "float"
_TYPES = {
    TEXT: pa.string(),
    TIME: pa.timestamp("us", "UTC"),
    INTEGER: pa.int64(),
    FLOAT: pa.float64(),
}

Column = tuple[npt.NDArray[Any], Bool | None]
"""Values, and a mask of those that are absent (None: NaN is absent)."""


class TableWriter:
    """A CSV or Parquet file, by its extension.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.parquet``. What stands there is replaced when the new file is whole.
    columns : mapping
        Name to one of TEXT, TIME, INTEGER, FLOAT. Text comes as indices into ``words``, time as nanoseconds, of which
        microseconds are written.

    Raises
    ------
    HistoryError
        The extension says neither, or the file cannot be made.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._kinds = dict(columns)
        self._is_csv = is_csv(path)
        # CSV tells times as text: Arrow's own form has a blank where RFC 3339 readers may want a T
        kinds = {name: TEXT if self._is_csv and kind == TIME else kind for name, kind in columns.items()}
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in kinds.items()])
        self._waiting: list[Any] = []
        self._n_waiting = 0
        try:
            self._file: Any = self._partial.open("wb")
        except OSError as exc:
            raise HistoryError(f"{path}: cannot be written: {exc.strerror}. Next: check the folder") from exc
        self._writer: Any = (
            pa_csv.CSVWriter(self._file, self._schema)
            if self._is_csv
            else pq.ParquetWriter(self._file, self._schema, compression="zstd")
        )

    def write(self, values: Mapping[str, Column], words: Mapping[str, Sequence[str]]) -> None:
        """Append rows."""
        arrays = [self._array(name, *values[name], words.get(name, ())) for name in self._kinds]
        self._waiting.append(pa.record_batch(arrays, schema=self._schema))
        self._n_waiting += len(arrays[0])
        if self._n_waiting >= _GROUP_ROWS:
            self._flush(whole_groups=True)

    def commit(self) -> None:
        """Write the rest and give the file its name."""
        try:
            self._flush(whole_groups=False)
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._path)
        except OSError as exc:
            raise HistoryError(f"{self._path}: cannot be written: {exc}. Next: check the disk") from exc

    def abort(self) -> None:
        """Leave nothing behind; does nothing behind a `commit`."""
        with contextlib.suppress(OSError, ValueError):
            self._writer.close()
        if not self._is_csv:
            # it would try again, and complain on standard error, when it is forgotten
            self._writer.is_open = False
        with contextlib.suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def _flush(self, *, whole_groups: bool) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        end = table.num_rows // _GROUP_ROWS * _GROUP_ROWS if whole_groups else table.num_rows
        try:
            for start in range(0, end, _GROUP_ROWS):
                self._writer.write_table(table.slice(start, min(_GROUP_ROWS, end - start)).combine_chunks())
        except OSError as exc:
            raise HistoryError(f"{self._path}: cannot be written: {exc}. Next: check the disk") from exc
        rest = table.slice(end).combine_chunks()
        self._waiting = rest.to_batches()
        self._n_waiting = rest.num_rows

    def _array(self, name: str, values: npt.NDArray[Any], absent: Bool | None, words: Sequence[str]) -> Any:
        kind = self._kinds[name]
        if kind == TEXT:
            used, at = np.unique(values, return_inverse=True)
            table = pa.array([words[i] for i in used.tolist()], pa.string())
            return table.take(pa.array(at))
        if kind == FLOAT:
            return pa.array(values, pa.float64(), mask=np.isnan(values) if absent is None else absent)
        if kind == INTEGER:
            return pa.array(values, pa.int64(), mask=absent)
        if not self._is_csv:
            return pa.array(values // 1_000, pa.int64(), mask=absent).cast(_TYPES[TIME])
        text = np.full(values.size, None, dtype=object)
        known = slice(None) if absent is None else indices(~absent)
        text[known] = np.datetime_as_string(values[known].astype("datetime64[ns]"), unit="us", timezone="UTC")
        return pa.array(text, pa.string())


def is_csv(path: Path) -> bool:
    """Whether a name says CSV; Parquet else.

    Raises
    ------
    HistoryError
        It says neither.
    """
    if path.suffix.lower() in {".csv", ".parquet"}:
        return path.suffix.lower() == ".csv"
    raise HistoryError(f"{path}: expected a name that ends in .csv or .parquet. Next: name it so")
