"""Pairs by the devices that are in them."""

from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import I64
from geofence_core.pairs import PairTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairIndex:
    """The pairs of a plan, and for each device in any of them the rows of its own and a table of these alone."""

    table: PairTable
    names: tuple[tuple[int, int], ...]
    of_device: dict[int, tuple[I64, PairTable]]

    @classmethod
    def of(cls, table: PairTable) -> "PairIndex":
        """Index a table."""
        names = tuple(zip(table.wearer_idx.tolist(), table.protected_idx.tolist(), strict=True))
        rows: dict[int, list[int]] = {}
        for row, pair in enumerate(names):
            for device_idx in dict.fromkeys(pair):
                rows.setdefault(device_idx, []).append(row)
        return cls(table=table, names=names, of_device={idx: _part(table, own) for idx, own in rows.items()})


def _part(table: PairTable, rows: list[int]) -> tuple[I64, PairTable]:
    idx = np.array(rows, dtype=np.int64)
    return idx, PairTable.of(
        table.wearer_idx[idx],
        table.protected_idx[idx],
        table.contact_m[idx],
        table.alarm_m[idx],
        table.pre_alert_m[idx],
    )
