"""Everything a table can ask: cells for zones that lie in a plane, balls for the others, one answer per (fix, zone).

::

                     | zones in a plane (nearly all)         | the others: poles, seams, continents
      own zones      | grids: one per zone                   | balls, then the fix's own plane
      shared zones   | sheets: one directory for all         |
      beyond band    | side, and a lower bound               |
      exact beyond   | exact grids; further out balls        |

Grids and sheets point into the same edges, so a pair gets the same bits whichever was asked. Each is made when it is
first asked for; two threads that ask at once make it twice, and either serves.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import shapely

from geofence_core import judge, saved
from geofence_core.arrays import F64, I64, Bool, indices
from geofence_core.balls import CHUNK_PAIRS, near_by_balls
from geofence_core.build import ZoneArrays, build
from geofence_core.column import column_exact_m, column_inside, column_m
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable, build_edges
from geofence_core.ellipsoid import frames
from geofence_core.errors import ColumnError
from geofence_core.gridpairs import Boxes, boxes_of, exact_pairs_m, far_cell, far_m, pairs_m
from geofence_core.grids import ZoneGrids, build_exact_grids, build_grids
from geofence_core.listed import Places, places_of
from geofence_core.nearest import Work, borrow, give_back
from geofence_core.saved import PARTS, Part, Saved
from geofence_core.shapes import DrawnShapes, Mend
from geofence_core.sheetpairs import query
from geofence_core.sheets import Sheets, build_sheets
from geofence_core.sweep import SweepIndex, sweep_index

Pairs = tuple[I64, I64, F64]

FEW_PAIRS = 1 << 11
"""Up to so many pairs the side alone is asked of GEOS on the zones as drawn, which says the same: array calls cost more
than the answer."""

WIDER = 1e-5
"""Share by which two methods may differ about a distance: 2 mm per 100 m is half of it."""


class ZoneIndex:
    """Indexes of one table of Z zones; what they hold never changes.

    Parameters
    ----------
    shapes, band_m
        The zones.
    edges, parts, others
        Indexes that are there already; the others are made when they are first asked for.
    place
        The file they are mapped from (`Saved.place`).
    """

    def __init__(
        self,
        shapes: DrawnShapes,
        band_m: float,
        edges: EdgeTable | None = None,
        parts: Mapping[str, Part] | None = None,
        place: tuple[str, int] | None = None,
        others: ZoneArrays | None = None,
    ) -> None:
        self.shapes = shapes
        self.band_m = band_m
        self.place = place
        self.edges = build_edges(shapes) if edges is None else edges
        self.drawn = DrawnZones(shapes)
        self.other = indices(~self.edges.is_indexed)
        self._row_of_other = np.full(len(shapes), -1, dtype=np.int64)
        self._row_of_other[self.other] = np.arange(self.other.size)
        self.others = build([shapes[z] for z in self.other.tolist()]) if others is None else others
        # As if they had been made here: `cached_property` keeps its values under its name.
        vars(self).update(parts or {})

    @classmethod
    def of_saved(cls, found: Saved) -> "ZoneIndex":
        """Return the index of a saved table."""
        return cls(found.shapes, found.band_m, found.edges, found.parts, found.place)

    @property
    def made(self) -> dict[str, Part]:
        """The parts that have been made."""
        return {name: vars(self)[name] for name in PARTS if name in vars(self)}

    def as_saved(self, parts: Iterable[str], mends: tuple[Mend, ...] = ()) -> Saved:
        """Return what a file of this table holds; makes the parts that are asked for."""
        wanted = set(parts)
        if unknown := wanted - set(PARTS):
            raise ColumnError(f"parts: expected some of {', '.join(PARTS)}, got {sorted(unknown)}")
        found: dict[str, Part] = {name: getattr(self, name) for name in PARTS if name in wanted}
        return Saved(shapes=self.shapes, mends=mends, band_m=self.band_m, edges=self.edges, parts=found)

    def __reduce__(self) -> tuple[Callable[..., "ZoneIndex"], tuple[Any, ...]]:
        """Pickle as the file it is mapped from, while that is there; otherwise with all arrays made so far."""
        if self.place is not None and saved.is_there(self.place):
            return _reopened, self.place
        return _unpacked, (saved.pack(self.as_saved(self.made)),)

    @cached_property
    def grids(self) -> ZoneGrids:
        """A grid per zone."""
        return build_grids(self.edges, self.band_m)

    @cached_property
    def _boxes(self) -> Boxes:
        """Boxes of the grids."""
        return boxes_of(self.grids)

    @cached_property
    def sheets(self) -> Sheets:
        """The directory of shared zones."""
        return build_sheets(self.edges, self.band_m)

    @cached_property
    def inside_sheets(self) -> Sheets:
        """The directory for the side alone: lists only where a boundary runs through the cell."""
        return build_sheets(self.edges, 0.0)

    @cached_property
    def inside_grid(self) -> ZoneGrids:
        """The grid of a table's only zone for the side alone."""
        return build_grids(self.edges, 0.0)

    @cached_property
    def exact_grids(self) -> ZoneGrids:
        """A grid per zone whose cells all have a list."""
        return build_exact_grids(self.edges, self.band_m)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether all zones are areas clear of the antimeridian, so that their drawings alone tell the side."""
        e = self.edges
        clear = bool((e.west_deg > -179.0).all() and (e.east_deg < 179.0).all())
        return clear and not self.other.size and not e.reach_m.any()

    @cached_property
    def exact(self) -> ZoneArrays:
        """All zones by balls, for distances beyond the band."""
        return build(tuple(self.shapes)) if self.other.size < len(self.shapes) else self.others

    @cached_property
    def sweep(self) -> SweepIndex:
        """Boundaries as drawn, for segments."""
        return sweep_index(tuple(self.shapes))

    @property
    def nbytes(self) -> int:
        """Memory in bytes of the zones as drawn and of what has been made."""
        whole = self.shapes.arrays.nbytes + self.edges.nbytes + self.others.nbytes
        return whole + sum(int(part.nbytes) for part in self.made.values())

    def pairs_m(self, places: Places, fix: I64, zone: I64, band_m: float) -> F64:
        """Signed distance of P pairs ``fix zone``; exact up to the larger of ``band_m`` and the table's band.

        Beyond the table's band the size of a value stays above that band.
        """
        work = borrow()
        if self.other.size:
            out = np.empty(zone.size)
            mine = self.edges.is_indexed.take(zone)
            rows = indices(mine)
            out[rows] = self._indexed_m(places, fix.take(rows), zone.take(rows), band_m, work)
            rows = indices(~mine)
            at = Places(places.lat_deg.take(fix), places.lon_deg.take(fix))
            out[rows] = self._by_balls(self.others, at, rows, self._row_of_other.take(zone.take(rows)), band_m)
        else:
            out = self._indexed_m(places, fix, zone, band_m, work)
        give_back(work)
        return out

    def _indexed_m(self, places: Places, fix: I64, zone: I64, band_m: float, work: Work) -> F64:
        if band_m <= self.band_m:
            return pairs_m(self.edges, self.grids, self._boxes, self.drawn, places, fix, zone, work)
        at = Places(places.lat_deg.take(fix), places.lon_deg.take(fix))
        out, rest = exact_pairs_m(self.edges, self.exact_grids, self.drawn, at, zone, work)
        if rest.size:
            self._judge_rest(at, rest, zone.take(rest), band_m, out)
        return out

    def _judge_rest(self, at: Places, rest: I64, zone: I64, band_m: float, out: F64) -> None:
        """Judge the pairs that lie outside the exact grids."""
        d = self._by_balls(self.exact, at, rest, zone, band_m)
        out[rest] = np.copysign(np.maximum(np.abs(d), self.grids.limit_m), d)

    @staticmethod
    def _by_balls(arrays: ZoneArrays, at: Places, rows: I64, zone: I64, band_m: float) -> F64:
        out = np.empty(rows.size)
        for a in range(0, rows.size, CHUNK_PAIRS):
            part = rows[a : a + CHUNK_PAIRS]
            placed = frames(at.lat_deg.take(part), at.lon_deg.take(part))
            here = np.arange(part.size)
            z = zone[a : a + CHUNK_PAIRS]
            gap = judge.ball_gap_m(arrays, placed, here, z)
            out[a : a + CHUNK_PAIRS] = judge.signed_m(arrays, placed, here, z, gap, band_m)
        return out

    def near(self, lat_deg: F64, lon_deg: F64, within_m: float) -> Pairs:
        """Every pair with a signed distance up to ``within_m``: fix and zone int64 (M,), rising; float64 (M,).

        Positions as they were given, here and below.
        """
        if within_m > self.band_m:
            return self._near_beyond(places_of(lat_deg, lon_deg), within_m)
        work = borrow()
        found = query(self.edges, self.sheets, self.drawn, lat_deg, lon_deg, work)
        give_back(work)
        if within_m < self.band_m:
            keep = indices(found[2] <= within_m)
            found = found[0].take(keep), found[1].take(keep), found[2].take(keep)
        return self._with_others(found, places_of(lat_deg, lon_deg), within_m) if self.other.size else found

    def containing(self, lat_deg: F64, lon_deg: F64) -> tuple[I64, I64]:
        """Every pair of a fix and a zone it is in: int64 (M,), rising."""
        work = borrow()
        found = query(self.edges, self.inside_sheets, self.drawn, lat_deg, lon_deg, work)
        give_back(work)
        if self.other.size:
            found = self._with_others(found, places_of(lat_deg, lon_deg), 0.0)
        return found[0], found[1]

    def _with_others(self, found: Pairs, places: Places, within_m: float) -> Pairs:
        placed = frames(places.lat_deg, places.lon_deg)
        more = near_by_balls(self.others, placed, within_m, max(within_m, self.band_m))
        if not more[0].size:
            return found
        fix, zone, signed = (
            np.concatenate(c) for c in zip(found, (more[0], self.other[more[1]], more[2]), strict=True)
        )
        order = np.lexsort((zone, fix))
        return fix[order], zone[order], signed[order]

    def _near_beyond(self, places: Places, within_m: float) -> Pairs:
        # Which pairs, by balls; a little more than asked for, because the values come from the planes.
        wide_m = within_m * (1.0 + WIDER) + 1.0
        fix, zone, _ = near_by_balls(self.exact, frames(places.lat_deg, places.lon_deg), wide_m, 0.0)
        signed = self.pairs_m(places, fix, zone, within_m)
        keep = indices(signed <= within_m)
        return fix.take(keep), zone.take(keep), signed.take(keep)

    def dense_m(self, places: Places, exact: bool) -> F64:
        """Signed distance of every fix to every zone; float64 (N, Z)."""
        n, zones = places.lat_deg.size, len(self.shapes)
        if zones == 1 and not self.other.size:
            return self._column_m(places, exact)[:, None]
        if exact or self.other.size:
            fix = np.repeat(np.arange(n), zones)
            zone = np.tile(np.arange(zones), n)
            return self.pairs_m(places, fix, zone, np.inf if exact else self.band_m).reshape(n, zones)
        out = self._far(places)
        fix, zone, signed = self.near(places.lat_deg, places.lon_deg, self.band_m)
        fix *= zones
        fix += zone
        out.ravel()[fix] = signed
        return out

    def _column_m(self, places: Places, exact: bool) -> F64:
        work = borrow()
        if exact:
            out, rest = column_exact_m(self.edges, self.exact_grids, self.drawn, places, 0, work)
            if rest.size:
                self._judge_rest(places, rest, np.zeros(rest.size, dtype=np.int64), np.inf, out)
        else:
            out = column_m(self.edges, self.grids, self.drawn, places, 0, work)
        give_back(work)
        return out

    def dense_inside(self, lat_deg: F64, lon_deg: F64) -> Bool:
        """Whether each zone holds each fix, positions as they were given; bool (N, Z)."""
        n, zones = lat_deg.size, len(self.shapes)
        # Plain zones reach neither the antimeridian nor beyond a pole: only longitudes may need to be wrapped.
        few = 0 < n * zones <= FEW_PAIRS and self._is_plain
        if few and np.fmax.reduce(lon_deg) < 180.0 and np.fmin.reduce(lon_deg) >= -180.0:
            found: Bool = shapely.intersects_xy(self.drawn.all_prepared, lon_deg[:, None], lat_deg[:, None])
            return found
        if zones == 1 and not self.other.size:
            work, places = borrow(), places_of(lat_deg, lon_deg)
            column = column_inside(self.edges, self.inside_grid, self.drawn, places, 0, work)
            give_back(work)
            return column[:, None]
        out = np.zeros((n, zones), dtype=bool)
        fix, zone = self.containing(lat_deg, lon_deg)
        fix *= zones
        fix += zone
        out.ravel()[fix] = True
        return out

    def _far(self, places: Places) -> F64:
        """Lower bound of every pair; float64 (N, Z)."""
        grids = self.grids
        out = np.empty((places.lat_deg.size, grids.size.size))
        step = max(1, CHUNK_PAIRS // max(grids.size.size, 1))
        for a in range(0, places.lat_deg.size, step):
            u = np.abs(far_cell(places.lon_deg[a : a + step])[:, None] - grids.lon_deg)
            np.minimum(u, np.abs(360.0 - u), out=u)
            v = np.abs(far_cell(places.lat_deg[a : a + step])[:, None] - grids.lat_deg)
            far_m(grids.half_lon_deg, grids.half_lat_deg, grids.lon_m, grids.limit_m, u, v, out[a : a + step])
        return out


def _reopened(path: str, check: int) -> ZoneIndex:
    return ZoneIndex.of_saved(saved.reread(path, check))


def _unpacked(data: bytes) -> ZoneIndex:
    return ZoneIndex.of_saved(saved.unpack(data))
