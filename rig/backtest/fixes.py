"""Fixes as columns, the numbers that stand for devices, and the tally of what was refused."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from geofence_core.arrays import F64, I32, I64, Bool
from rig.backtest.errors import HistoryError

DEVICES_CAP = 1_000_000
"""Devices of one run: each is remembered with its last fix, some 300 bytes. A time taken for a device would fill the
memory without it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """Fixes with a position, as columns of one length.

    ``device`` int32, a number of `DeviceNames`; ``t_ns`` int64, UTC nanoseconds (the fix number where a history has no
    times); ``lat_deg lon_deg`` float64; ``number`` int64, counted from 1 over all records of all inputs.
    """

    device: I32
    t_ns: I64
    lat_deg: F64
    lon_deg: F64
    number: I64

    def __len__(self) -> int:
        """Return the number of fixes."""
        return int(self.number.size)

    def take(self, rows: I64 | Bool | slice) -> Self:
        """Return some of the rows."""
        return type(self)(self.device[rows], self.t_ns[rows], self.lat_deg[rows], self.lon_deg[rows], self.number[rows])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the parts one behind the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([p.device for p in parts]),
            np.concatenate([p.t_ns for p in parts]),
            np.concatenate([p.lat_deg for p in parts]),
            np.concatenate([p.lon_deg for p in parts]),
            np.concatenate([p.number for p in parts]),
        )

    @classmethod
    def none(cls) -> Self:
        """Return no fix."""
        return cls(
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.int64),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a source read in one go: ``n_records`` records, of which ``fixes`` are usable."""

    n_records: int
    fixes: Fixes


class Source(Protocol):
    """One input file.

    Attributes
    ----------
    name : str
        The path as it was given.
    size_bytes : int
    position_bytes : int
        How far it is read; for progress.
    """

    name: str
    size_bytes: int

    @property
    def position_bytes(self) -> int:
        """See above."""
        ...

    def batches(self, first_number: int) -> Iterator[Batch]:
        """Read the file; its first record gets ``first_number``."""
        ...

    def place(self, record_idx: int) -> str:
        """Say where a record stands, as ``walk.csv, line 17``."""
        ...


class DeviceNames:
    """Numbers for device names, in order of first appearance.

    Raises
    ------
    HistoryError
        There are more than `DEVICES_CAP`.
    """

    def __init__(self) -> None:
        self._code: dict[str, int] = {}
        self.names: list[str] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    def code(self, name: str) -> int:
        """Return the number of one name."""
        code = self._code.setdefault(name, len(self.names))
        if code == len(self.names):
            if code == DEVICES_CAP:
                raise HistoryError(
                    f"more than {DEVICES_CAP:,} devices; the newest is {name[:40]!r}. Next: see that the device column "
                    "holds devices (--columns device=NAME), or split the history"
                )
            self.names.append(name)
        return code


@dataclass(slots=True)
class Rejected:
    """Records refused for one reason."""

    count: int
    first_place: str


@dataclass(slots=True)
class Tally:
    """What was read and what became of it."""

    records: int = 0
    without_position: int = 0
    times_without_zone: int = 0
    rejected: dict[str, Rejected] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def reject(self, reason: str, count: int, place: str | Callable[[], str]) -> None:
        """Count refused records; a callable ``place`` is asked only for the first of a reason."""
        if not count:
            return
        known = self.rejected.get(reason)
        if known is None:
            self.rejected[reason] = Rejected(count, place if isinstance(place, str) else place())
        else:
            known.count += count
