"""The table of zones: read-only after it is made, so any number of threads may ask it at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geofence_core import geojson, replace, saved
from geofence_core.arrays import F64, I64, Bool, float_column
from geofence_core.clean import clean, middles
from geofence_core.crossed import CrossedZones, crossed
from geofence_core.errors import ColumnError, ZoneGeometryError
from geofence_core.given import from_shapelys
from geofence_core.index import ZoneIndex
from geofence_core.listed import places_of
from geofence_core.shapes import DrawnShapes, Mend, ZoneShape
from geofence_core.validate import check, check_order

BAND_M = 250.0
"""Default of ``band_m``; metre. Wider than six standard deviations of a poor fix (40 m), so every decision that weighs
uncertainty sees an exact distance; wider bands open more runs per fix."""


class FixZones(NamedTuple):
    """Distances of some zones per fix (CSR): fix i has ``zone_idx[fix_ptr[i]:fix_ptr[i + 1]]``, in rising order.

    ``fix_ptr`` int64 (N + 1,), ``zone_idx`` int64 (M,), ``signed_distance_m`` float64 (M,), negative inside.
    """

    fix_ptr: I64
    zone_idx: I64
    signed_distance_m: F64


class FixZoneIds(NamedTuple):
    """Zones each fix is in (CSR): fix i has ``zone_idx[fix_ptr[i]:fix_ptr[i + 1]]``, in rising order; int64."""

    fix_ptr: I64
    zone_idx: I64


class ZoneTable:
    """Zones of any geometry in one table; make it with `from_geojson` or `from_shapely`.

    Positions are latitude, longitude in degrees everywhere. A fix on a boundary is inside. NaN positions, and
    impossible ones (latitude beyond 90), are not inside anything and get NaN distances.
    """

    def __init__(
        self,
        shapes: Sequence[ZoneShape],
        *,
        mends: Sequence[Mend] = (),
        band_m: float = BAND_M,
        index: ZoneIndex | None = None,
    ) -> None:
        if not 0.0 <= band_m < np.inf:
            raise ColumnError(f"band_m: expected metres, 0 or more, got {band_m}")
        self._zone_index = ZoneIndex(DrawnShapes.of(shapes), float(band_m)) if index is None else index
        self._mends = tuple(mends)

    @classmethod
    def of_index(cls, index: ZoneIndex, mends: Sequence[Mend] = ()) -> "ZoneTable":
        """Return the table of an index, for the modules of this package."""
        return cls(index.shapes, mends=mends, band_m=index.band_m, index=index)

    def __reduce__(self) -> tuple[Callable[..., "ZoneTable"], tuple[ZoneIndex, tuple[Mend, ...]]]:
        """Pickle as its index; that of an opened table is found again by its path."""
        return type(self).of_index, (self._zone_index, self._mends)

    @classmethod
    def open(cls, path: str | PathLike[str], *, verify: bool = False) -> "ZoneTable":
        """Map a table that `save` wrote; layout: `geofence_core.saved`.

        Parameters
        ----------
        path
            The file.
        verify
            Also compare the checksum of all arrays, which reads the whole file.

        Returns
        -------
        ZoneTable
            The same answers to the bit. Processes that open one file share its memory; pickling the table carries the
            path while the file is there, otherwise its arrays.

        Raises
        ------
        ZoneFileError
            The file is absent, not such a file, of another version or byte order, cut short, or damaged.

        Notes
        -----
        Cost: 1 ms, 0.4 us a zone; zones that no plane serves (`ZoneIndex.others`) are indexed anew. The arrays are read
        from the disk as they are used. A file that is cut short while it is mapped ends the process (SIGBUS): `save`
        never does that, it puts a new file in the place of the old one, and who has the old one open keeps it.
        """
        found = saved.read(path, verify=verify)
        return cls.of_index(ZoneIndex.of_saved(found), found.mends)

    def save(self, path: str | PathLike[str], *, parts: Iterable[str] | None = None) -> None:
        """Write the table with its indexes into one file for `open`.

        Parameters
        ----------
        path
            The file; one of this name is replaced in one step.
        parts
            Indexes to save beside the zones and their edges; what has not been made yet is made. Of ``grids`` (own
            zones, distances of given pairs), ``sheets`` (`near`), ``inside_sheets`` (`contains`), ``sweep``
            (`crossed`), ``inside_grid`` (`contains` of one zone), ``exact_grids`` and ``exact`` (distances with
            ``exact=True``). Absent: the first four, and what has been made. A table that lacks one makes it when it is
            first needed.

        Raises
        ------
        ZoneFileError
            The file cannot be written.
        ColumnError
            No such part.
        """
        wanted = {*saved.USUAL, *self._zone_index.made} if parts is None else parts
        saved.write(path, self._zone_index.as_saved(wanted, self._mends))

    @classmethod
    def from_geojson(
        cls, source: Mapping[str, Any] | str | PathLike[str], *, mend: bool = False, band_m: float = BAND_M
    ) -> "ZoneTable":
        """Read and check a zone file (layout: `geofence_core.geojson`).

        Parameters
        ----------
        source
            A FeatureCollection as Python objects, or the path of a file.
        mend
            Mend what has one sensible reading instead of refusing it; `mends` then says what was changed.
        band_m
            Distances up to here are exact without being asked for; metre.

        Raises
        ------
        ZoneFileError
            The file is absent, no JSON, or no FeatureCollection.
        ZoneGeometryError
            A zone is refused, with its id, ring, vertex and what to do.
        """
        return cls._checked(geojson.read(source), mend=mend, band_m=band_m)

    @classmethod
    def from_shapely(
        cls,
        geometries: Iterable[shapely.Geometry],
        ids: Iterable[str],
        *,
        purposes: Iterable[str] | None = None,
        mend: bool = False,
        band_m: float = BAND_M,
    ) -> "ZoneTable":
        """Take Polygons and MultiPolygons whose x is longitude and y latitude, in degrees.

        Parameters
        ----------
        geometries, ids
            One id per geometry.
        purposes
            One of "exclusion" or "inclusion" per geometry; all "exclusion" when absent.
        mend, band_m
            As in `from_geojson`. Winding is not checked here: shapely's polygons say which ring is the shell.

        Raises
        ------
        ZoneGeometryError
            A geometry is refused.
        """
        geometry_list = list(geometries)
        id_list = list(ids)
        purpose_list = ["exclusion"] * len(id_list) if purposes is None else list(purposes)
        if not len(geometry_list) == len(id_list) == len(purpose_list):
            raise ColumnError(
                f"expected as many ids and purposes as geometries, got {len(geometry_list)} geometries, "
                f"{len(id_list)} ids, {len(purpose_list)} purposes"
            )
        shapes = from_shapelys(geometry_list, id_list, purpose_list)
        seen: set[str] = set()
        for zone_id in id_list:
            if zone_id in seen:
                raise ZoneGeometryError(zone_id, None, None, "the id stands twice; next: give each zone its own id")
            seen.add(zone_id)
        return cls._checked(shapes, mend=mend, band_m=band_m)

    @classmethod
    def _checked(cls, shapes: Sequence[ZoneShape], *, mend: bool, band_m: float) -> "ZoneTable":
        mends: list[Mend] = []
        drawn = DrawnShapes.of(shapes)
        if in_doubt := np.flatnonzero(~clean(drawn.arrays)).tolist():
            good = list(shapes)
            for z in in_doubt:
                good[z], changed = check(good[z], mend=mend)
                mends += changed
            drawn = DrawnShapes.of(good)
        ordered, changed = check_order(drawn, middles(drawn.arrays), mend=mend)
        return cls(ordered, mends=[*mends, *changed], band_m=band_m)

    def replace(
        self, zone_id: str, geometry: Mapping[str, Any] | shapely.Geometry, *, mend: bool = False
    ) -> "ZoneTable":
        """Return a table in which one zone is drawn anew; this one stays as it is.

        Parameters
        ----------
        zone_id
            The zone; it keeps its ``zone_idx``.
        geometry
            A GeoJSON Feature or geometry, or a shapely Polygon or MultiPolygon. Purpose, name, a circle's ``radius_m``
            and a corridor's ``half_width_m`` stay unless a Feature says otherwise.
        mend
            As in `from_geojson`; `mends` of the new table holds what was changed.

        Returns
        -------
        ZoneTable
            The same answers to the bit as a table made of all its zones. Indexes that were made are carried over,
            those that were not are made when they are first needed. `AssignedZones.over` takes assignments along.

        Raises
        ------
        KeyError
            No such zone.
        ZoneGeometryError
            The zone is refused.
        """
        zone = self.idx(zone_id)
        shape, changed = replace.checked(self._zone_index, zone, geometry, mend=mend)
        mends = [*(m for m in self._mends if m.zone_id != zone_id), *changed]
        table = self.of_index(replace.replaced(self._zone_index, zone, shape), mends)
        vars(table).update(_place=self._place)
        return table

    def __len__(self) -> int:
        """Return the number of zones."""
        return len(self._zone_index.shapes)

    def __repr__(self) -> str:
        return f"ZoneTable({len(self)} zones, {self.nbytes} bytes, band_m={self.band_m:g})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Zone ids; a zone's place here is its ``zone_idx``."""
        return self._zone_index.shapes.ids

    @property
    def kinds(self) -> tuple[str, ...]:
        """Geometry of each zone: "polygon", "multipolygon", "circle" or "corridor"."""
        return self._zone_index.shapes.kinds

    @property
    def purposes(self) -> tuple[str, ...]:
        """Purpose of each zone: "exclusion" or "inclusion"."""
        return self._zone_index.shapes.purposes

    @property
    def names(self) -> tuple[str | None, ...]:
        """Name of each zone, None where the file gives none."""
        return self._zone_index.shapes.names

    @property
    def shapes(self) -> Sequence[ZoneShape]:
        """The zones as drawn (and mended), each made when it is asked for."""
        return self._zone_index.shapes

    @property
    def mends(self) -> tuple[Mend, ...]:
        """What ``mend=True`` changed."""
        return self._mends

    @property
    def band_m(self) -> float:
        """Distances up to here are exact; metre."""
        return self._zone_index.band_m

    @property
    def index(self) -> ZoneIndex:
        """The index itself, for the modules of this package."""
        return self._zone_index

    @property
    def nbytes(self) -> int:
        """Memory in bytes of what has been indexed so far; each kind of call makes its part when it is first used."""
        return self._zone_index.nbytes

    def idx(self, zone_id: str) -> int:
        """Return the ``zone_idx`` of an id; KeyError with the id where there is none."""
        return self._place[zone_id]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {zone_id: i for i, zone_id in enumerate(self.ids)}

    def contains(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> Bool:
        """Which fixes are in which zones.

        Parameters
        ----------
        lat_deg, lon_deg
            float64 (N,), degree.

        Returns
        -------
        bool (N, Z); True on the boundary; False for NaN. Equals ``signed_distance_m(...) <= 0``.
        """
        lat = float_column(lat_deg, "lat_deg")
        return self._zone_index.dense_inside(lat, float_column(lon_deg, "lon_deg", lat.size))

    def containing(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> FixZoneIds:
        """Return only the zones each fix is in, without distances; never an (N, Z) array.

        Parameters
        ----------
        lat_deg, lon_deg
            float64 (N,), degree.

        Returns
        -------
        FixZoneIds
            The pairs for which `contains` is True.
        """
        lat, lon = _columns(lat_deg, lon_deg)
        fix, zone = self._zone_index.containing(lat, lon)
        return FixZoneIds(_fix_ptr(fix, lat.size), zone)

    def signed_distance_m(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, exact: bool = False) -> F64:
        """Signed distance of every fix to every zone.

        Parameters
        ----------
        lat_deg, lon_deg
            float64 (N,), degree.
        exact
            False: exact up to `band_m`, beyond it the right sign and a lower bound of the distance (which is above
            `band_m`). True: exact everywhere.

        Returns
        -------
        float64 (N, Z), metre, negative inside, 0 on the boundary, NaN for NaN. For corridors the value inside is the
        distance to the line minus the half width. Error bounds: `boundary.boundary_m`, `ellipsoid.arc_m`.
        """
        return self._zone_index.dense_m(places_of(*_columns(lat_deg, lon_deg)), exact)

    def near(self, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, within_m: float) -> FixZones:
        """Return only the zones that matter: those a fix is in, or no further than ``within_m`` from.

        Parameters
        ----------
        lat_deg, lon_deg
            float64 (N,), degree.
        within_m
            Metre, 0 or more.

        Returns
        -------
        FixZones
            Every pair with a signed distance up to ``within_m``, exact where its size is up to the larger of
            ``within_m`` and `band_m`. Never an (N, Z) array.
        """
        if not 0.0 <= within_m < np.inf:
            raise ColumnError(f"within_m: expected metres, 0 or more, got {within_m}")
        lat, lon = _columns(lat_deg, lon_deg)
        fix, zone, signed = self._zone_index.near(lat, lon, within_m)
        return FixZones(_fix_ptr(fix, lat.size), zone, signed)

    def crossed(
        self, lat0_deg: npt.ArrayLike, lon0_deg: npt.ArrayLike, lat1_deg: npt.ArrayLike, lon1_deg: npt.ArrayLike
    ) -> CrossedZones:
        """Zones swept by segments between two fixes, with entry and exit; see `crossed.crossed`.

        Parameters
        ----------
        lat0_deg, lon0_deg, lat1_deg, lon1_deg
            float64 (N,), degree: where the segments start and end. They are straight in longitude and latitude.

        Returns
        -------
        CrossedZones
            One row for each zone that shares at least a point with the segment.
        """
        return crossed(self._zone_index.sweep, self.containing, lat0_deg, lon0_deg, lat1_deg, lon1_deg)


def _columns(lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike) -> tuple[F64, F64]:
    lat = float_column(lat_deg, "lat_deg")
    return lat, float_column(lon_deg, "lon_deg", lat.size)


def _fix_ptr(fix: I64, n: int) -> I64:
    """First row of each fix among rows in their order, and the number of rows; int64 (N + 1,)."""
    if fix.size < n >> 2:
        # As often as fixes lie between two rows: several times as fast as a running sum while rows are few.
        gaps = np.empty(fix.size + 1, dtype=np.int64)
        gaps[:-1] = fix
        gaps[-1] = n
        gaps[1:] -= fix
        gaps[0] += 1
        return np.arange(gaps.size).repeat(gaps)
    ptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(fix, minlength=n), out=ptr[1:])
    return ptr
