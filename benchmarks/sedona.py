"""sedonadb, in process: zones in a table of their own, fixes joined to them in SQL, on all cores.

Only the side is asked in degrees, as drawn; distances in the peers' plane.
"""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from benchmarks.peers import Pairs, Shapely
from benchmarks.plane import project
from benchmarks.workloads import BAND_M, F64, I64, Fixes


class Sedona:
    """One connection with the zones of one peer in it, in degrees (``zones``) and in the plane (``flat``)."""

    def __init__(self, peer: Shapely) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for GDAL, which only files need
            import sedonadb

            self._db: Any = sedonadb.connect()
            for name, polygons in (("zones", peer.degrees), ("flat", peer.flat)):
                raw = pa.table(
                    {"zone": np.arange(len(polygons)), "wkb": pa.array(shapely.to_wkb(polygons), pa.binary())}
                )
                self._db.create_data_frame(raw).to_view("raw", overwrite=True)
                self._keep("SELECT zone, ST_GeomFromWKB(wkb) AS geom FROM raw", name)

    def _keep(self, sql: str, name: str) -> None:
        self._db.sql(sql).to_memtable().to_view(name, overwrite=True)

    def _table(self, sql: str) -> pa.Table:
        return pa.table(self._db.sql(sql))

    def load(self, x: F64, y: F64, name: str) -> None:
        """Make a table of fixes; timed where fixes come fresh each epoch, beforehand where a history is replayed."""
        self._db.create_data_frame(pa.table({"fix": np.arange(x.size), "x": x, "y": y})).to_view("raw", overwrite=True)
        self._keep("SELECT fix, ST_Point(x, y) AS geom FROM raw", name)

    def inside(self, fixes: str) -> tuple[I64, I64]:
        """Pairs of a fix and a zone that it is in."""
        found = self._table(f"SELECT f.fix, z.zone FROM {fixes} f JOIN zones z ON ST_Intersects(z.geom, f.geom)")
        return found["fix"].to_numpy(), found["zone"].to_numpy()

    def inside_of(self, fixes: Fixes) -> tuple[I64, I64]:
        """The same with the table of fixes made first."""
        self.load(fixes.lon_deg, fixes.lat_deg, "epoch")
        return self.inside("epoch")

    def load_flat(self, fixes: Fixes, name: str) -> None:
        """Make a table of fixes in the plane."""
        self.load(*project(fixes.lat_deg, fixes.lon_deg), name)

    def signed(self, fixes: str) -> Pairs:
        """Pairs within the band, with side and distance to the boundary."""
        found = self._table(
            f"""SELECT f.fix, z.zone, ST_Intersects(z.geom, f.geom) AS inside,
                       ST_Distance(ST_Boundary(z.geom), f.geom) AS d
                FROM {fixes} f JOIN flat z ON ST_DWithin(z.geom, f.geom, {BAND_M})"""
        )
        d = found["d"].to_numpy()
        return found["fix"].to_numpy(), found["zone"].to_numpy(), np.where(found["inside"].to_numpy(), -d, d)
