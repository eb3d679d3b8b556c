"""Writes a truth log line by line, so that it can be read while the run goes on."""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.truth.records import TruthRecord, encode_record


class TruthLog:
    """A file of truth records, or nothing where no file is wanted."""

    def __init__(self, path: Path | None) -> None:
        self._stack = contextlib.ExitStack()
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # unbuffered: a reader of the log sees an epoch at once
            self._file = self._stack.enter_context(path.open("wb", buffering=0))

    def write(self, record: TruthRecord) -> None:
        """Append one record."""
        if self._file is not None:
            self._file.write(encode_record(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
