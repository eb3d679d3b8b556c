"""The three files a run may write: crossings, dwell, totals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from geofence_core import ZoneTable
from geofence_core.arrays import F64, I64
from rig.backtest.arrow_out import FLOAT, INTEGER, TEXT, TIME, Column, TableWriter
from rig.backtest.errors import HistoryError
from rig.backtest.fixes import DeviceNames
from rig.backtest.judge import Began, Crossing, Crossings, Ended
from rig.backtest.stitch import Periods, ZoneTotals

CROSSING_COLUMNS: Mapping[str, str] = {
    "device": TEXT,
    "zone": TEXT,
    "crossing": TEXT,
    "utc": TIME,
    "lat_deg": FLOAT,
    "lon_deg": FLOAT,
    "fraction": FLOAT,
    "until_utc": TIME,
    "until_fraction": FLOAT,
    "before_fix": INTEGER,
    "before_utc": TIME,
    "before_m": FLOAT,
    "after_fix": INTEGER,
    "after_utc": TIME,
    "after_m": FLOAT,
}
"""Columns of the crossings file; their meaning stands in rig/README.md."""

DWELL_COLUMNS: Mapping[str, str] = {
    "device": TEXT,
    "zone": TEXT,
    "began": TEXT,
    "ended": TEXT,
    "from_utc": TIME,
    "to_utc": TIME,
    "duration_s": FLOAT,
    "fixes": INTEGER,
    "first_fix_utc": TIME,
    "last_fix_utc": TIME,
    "observed_s": FLOAT,
}

TOTALS_COLUMNS: Mapping[str, str] = {
    "zone": TEXT,
    "name": TEXT,
    "purpose": TEXT,
    "devices": INTEGER,
    "periods": INTEGER,
    "passes": INTEGER,
    "fixes": INTEGER,
    "dwell_s": FLOAT,
}

_DEG_DECIMALS = 9
"""Decimals of interpolated positions: 0.1 mm."""
_FRACTION_DECIMALS = 9
_METRE_DECIMALS = 4
"""Decimals of distances: 0.1 mm, above the core's error."""
_SECOND_DECIMALS = 6


class Outputs:
    """Writes the files that are wanted; leaving the context without `commit` leaves none behind."""

    def __init__(
        self,
        crossings: Path | None,
        dwell: Path | None,
        totals: Path | None,
        zones: ZoneTable,
        devices: DeviceNames,
        *,
        timed: bool,
    ) -> None:
        paths = [path.resolve() for path in (crossings, dwell, totals) if path is not None]
        if len(set(paths)) < len(paths):
            raise HistoryError("two outputs have the same name. Next: give each its own")
        self._zones = zones
        self._devices = devices
        self._timed = timed
        self._writers: dict[str, TableWriter] = {}
        wanted = (
            ("crossings", crossings, CROSSING_COLUMNS),
            ("dwell", dwell, DWELL_COLUMNS),
            ("totals", totals, TOTALS_COLUMNS),
        )
        try:
            for name, path, columns in wanted:
                if path is not None:
                    self._writers[name] = TableWriter(path, columns)
        except HistoryError:
            self._abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._abort()

    def write(self, crossings: Crossings | None, periods: Periods | None) -> None:
        """Append rows that are final."""
        words = {"device": self._devices.names, "zone": self._zones.ids}
        if crossings is not None and len(crossings) and "crossings" in self._writers:
            kinds = {"crossing": [kind.name.lower() for kind in Crossing]}
            self._writers["crossings"].write(self._crossing_rows(crossings), {**words, **kinds})
        if periods is not None and len(periods) and "dwell" in self._writers:
            ways = {
                "began": [began.name.lower() for began in Began],
                "ended": [ended.name.lower() for ended in Ended],
            }
            self._writers["dwell"].write(self._period_rows(periods), {**words, **ways})

    def commit(self, totals: ZoneTotals) -> None:
        """Complete the files and give them their names."""
        if "totals" in self._writers:
            n = np.arange(len(self._zones))
            names = [name or "" for name in self._zones.names]
            self._writers["totals"].write(
                {
                    "zone": (n, None),
                    "name": (n, None),
                    "purpose": (n, None),
                    "devices": (totals.devices[: n.size], None),
                    "periods": (totals.periods[: n.size], None),
                    "passes": (totals.passes[: n.size], None),
                    "fixes": (totals.fixes[: n.size], None),
                    "dwell_s": (self._seconds(totals.dwell_ns[: n.size]), None),
                },
                {"zone": self._zones.ids, "name": names, "purpose": self._zones.purposes},
            )
        for writer in self._writers.values():
            writer.commit()

    def _abort(self) -> None:
        for writer in self._writers.values():
            writer.abort()

    def _crossing_rows(self, rows: Crossings) -> dict[str, Column]:
        is_first = rows.kind == Crossing.FIRST_INSIDE
        return {
            "device": (rows.device, None),
            "zone": (rows.zone, None),
            "crossing": (rows.kind, None),
            "utc": self._times(rows.t_ns),
            "lat_deg": (np.round(rows.lat_deg, _DEG_DECIMALS), None),
            "lon_deg": (np.round(rows.lon_deg, _DEG_DECIMALS), None),
            "fraction": (np.round(rows.fraction, _FRACTION_DECIMALS), None),
            "until_utc": self._times(rows.until_ns, rows.kind != Crossing.PASS),
            "until_fraction": (np.round(rows.until_fraction, _FRACTION_DECIMALS), None),
            "before_fix": (rows.before, is_first),
            "before_utc": self._times(rows.before_ns, is_first),
            "before_m": (np.round(rows.before_m, _METRE_DECIMALS), None),
            "after_fix": (rows.after, None),
            "after_utc": self._times(rows.after_ns),
            "after_m": (np.round(rows.after_m, _METRE_DECIMALS), None),
        }

    def _period_rows(self, rows: Periods) -> dict[str, Column]:
        return {
            "device": (rows.device, None),
            "zone": (rows.zone, None),
            "began": (rows.began, None),
            "ended": (rows.ended, None),
            "from_utc": self._times(rows.from_ns),
            "to_utc": self._times(rows.to_ns),
            "duration_s": (self._seconds(rows.to_ns - rows.from_ns), None),
            "fixes": (rows.n_fixes, None),
            "first_fix_utc": self._times(rows.first_ns, rows.n_fixes == 0),
            "last_fix_utc": self._times(rows.last_ns, rows.n_fixes == 0),
            "observed_s": (np.where(rows.n_fixes == 0, 0.0, self._seconds(rows.last_ns - rows.first_ns)), None),
        }

    def _times(self, t_ns: I64, absent: np.ndarray | None = None) -> Column:
        if not self._timed:
            return t_ns, np.ones(t_ns.size, dtype=bool)
        return t_ns, absent

    def _seconds(self, ns: I64) -> F64:
        if not self._timed:
            return np.full(ns.size, np.nan)
        return np.round(ns / 1e9, _SECOND_DECIMALS)
