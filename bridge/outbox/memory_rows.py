"""Messages that should be on disk and are not, because the disk does not work now."""

from collections.abc import Callable

from bridge.outbox.store import StoredRow
from bridge.publisher import Lane

MAX_SETTLED = 10_000
"""Delivered messages that are kept in memory to be written as evidence once the disk works. More would let a long
trouble fill the memory; beyond it the oldest are not written."""


class MemoryRows:
    """Rows by number, with the brokers that each still waits for. In the order of submission."""

    def __init__(self) -> None:
        self._rows: dict[int, StoredRow] = {}
        self._waiting: dict[int, set[int]] = {}
        self._settled: dict[int, None] = {}
        self._positions: dict[int, None] = {}

    def __len__(self) -> int:
        """How many, delivered ones too."""
        return len(self._rows)

    def __contains__(self, number: object) -> bool:
        """Whether a message is only here."""
        return number in self._rows

    def add(self, row: StoredRow, paths: range) -> None:
        """Take a row in that all the given brokers are to get."""
        self._rows[row.number] = row
        self._waiting[row.number] = set(paths)
        if row.message.lane is Lane.POSITION:
            self._positions[row.number] = None

    def settle(self, path: int, number: int) -> None:
        """Note that a broker has it, or does not get it any more."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return
        waiting.discard(path)
        if not waiting:
            self._settled[number] = None
            if len(self._settled) > MAX_SETTLED:
                self.discard(next(iter(self._settled)))

    def waits(self, path: int, number: int) -> bool:
        """Whether a broker does not have it yet."""
        return path in self._waiting.get(number, ())

    def discard(self, number: int) -> None:
        """Forget a row."""
        for table in (self._rows, self._waiting, self._settled, self._positions):
            table.pop(number, None)

    def clear(self) -> list[StoredRow]:
        """Give back all rows: they are on disk now."""
        rows = list(self._rows.values())
        for table in (self._rows, self._waiting, self._settled, self._positions):
            table.clear()
        return rows

    def rows(self) -> list[StoredRow]:
        """All rows, oldest first."""
        return list(self._rows.values())

    def find(self, number: int) -> StoredRow | None:
        """Give a row by its number."""
        return self._rows.get(number)

    def oldest_position(self) -> int | None:
        """Give the number of the oldest position that is only here."""
        return next(iter(self._positions), None)

    @property
    def positions(self) -> int:
        """How many positions are only here."""
        return len(self._positions)

    def select(self, path: int, start: int, limit: int, condition: Callable[[StoredRow], bool]) -> list[StoredRow]:
        """Give rows that a broker waits for, from a number on."""
        found: list[StoredRow] = []
        for number, row in self._rows.items():
            if len(found) == limit:
                break
            if number >= start and path in self._waiting[number] and condition(row):
                found.append(row)
        return found

    def count_waiting(self) -> int:
        """How many some broker does not have."""
        return len(self._rows) - len(self._settled)
