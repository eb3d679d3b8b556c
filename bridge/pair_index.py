"""Pairs by the devices that are in them."""

from typing import NamedTuple

import numpy as np

from geofence_core.arrays import I64
from geofence_core.pairs import PairTable


class PairRow(NamedTuple):
    """A pair of a device in plain Python: who, the other of the two, and the rings from the inside out, metres."""

    name: tuple[int, int]
    other_idx: int
    rings_m: tuple[float, float, float]


class PairIndex:
    """The pairs of a plan, and for each device in any of them the rows of its own.

    Parameters
    ----------
    table : PairTable
    """

    def __init__(self, table: PairTable) -> None:
        self.table = table
        self.names = tuple(zip(table.wearer_idx.tolist(), table.protected_idx.tolist(), strict=True))
        self.of_device: dict[int, list[int]] = {}
        for row, pair in enumerate(self.names):
            for device_idx in dict.fromkeys(pair):
                self.of_device.setdefault(device_idx, []).append(row)
        self._parts: dict[int, tuple[I64, PairTable]] = {}
        self._rows: dict[int, tuple[PairRow, ...]] = {}

    def part(self, device_idx: int) -> tuple[I64, PairTable]:
        """Rows of a device's pairs, and a table of these alone; made when it first moves."""
        part = self._parts.get(device_idx)
        if part is None:
            idx = np.array(self.of_device[device_idx], dtype=np.int64)
            table = self.table
            part = self._parts[device_idx] = (
                idx,
                PairTable.of(
                    table.wearer_idx[idx],
                    table.protected_idx[idx],
                    table.contact_m[idx],
                    table.alarm_m[idx],
                    table.pre_alert_m[idx],
                ),
            )
        return part

    def rows(self, device_idx: int) -> tuple[PairRow, ...]:
        """Return a device's pairs in the order of its part; made when it first moves."""
        rows = self._rows.get(device_idx)
        if rows is None:
            _, table = self.part(device_idx)
            names = zip(table.wearer_idx.tolist(), table.protected_idx.tolist(), strict=True)
            rings = zip(table.contact_m.tolist(), table.alarm_m.tolist(), table.pre_alert_m.tolist(), strict=True)
            rows = self._rows[device_idx] = tuple(
                PairRow(name, name[1] if name[0] == device_idx else name[0], ring)
                for name, ring in zip(names, rings, strict=True)
            )
        return rows
