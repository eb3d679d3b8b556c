"""A ledger: a file of lines, appended to before the next step is taken: complete whenever its writer is killed."""

import os
from collections.abc import Iterable
from pathlib import Path


class LineFile:
    """Reads the lines that another process appends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""

    def read_new(self) -> list[list[str]]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode().split("\t") for line in lines]


class LineWriter:
    """Appends lines; each call is one write, so that a killed writer leaves whole lines behind."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, lines: Iterable[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        if data:
            os.write(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)
