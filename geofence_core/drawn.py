"""Zones as drawn, asked for the side of the few fixes that are too near to a boundary for any plane."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

from geofence_core.arrays import F64, I32, I64, Bool, indices
from geofence_core.shapes import ZoneShape


class DrawnZones:
    """Polygons in longitude and latitude, made and prepared one by one when they are first asked.

    The side is exact on the coordinates as drawn (GEOS: orientation in extended precision), so a fix left of a border
    that two zones share is in exactly one of them.
    """

    def __init__(self, shapes: Sequence[ZoneShape], prepared: Mapping[int, shapely.MultiPolygon] | None = None) -> None:
        self._shapes = shapes
        self._prepared = dict(prepared or {})

    def over(self, shapes: Sequence[ZoneShape], changed: int) -> "DrawnZones":
        """Return the same over shapes of which one has changed; what is prepared is shared."""
        prepared = self._prepared.copy()
        prepared.pop(changed, None)
        return DrawnZones(shapes, prepared)

    def sides(self, zone_idx: I64 | I32, lat_deg: F64, lon_deg: F64) -> tuple[Bool, Bool]:
        """Side of each fix against its zone.

        Parameters
        ----------
        zone_idx, lat_deg, lon_deg
            int64 (P,), float64 (P,), degree; longitudes on the zone's side of the antimeridian.

        Returns
        -------
        inside, touching
            bool (P,): inside or on the boundary; on it.
        """
        inside = np.zeros(zone_idx.size, dtype=bool)
        touching = np.zeros(zone_idx.size, dtype=bool)
        for zone in set(zone_idx.tolist()):
            polygon = self.prepared(zone)
            rows = indices(zone_idx == zone)
            found = rows.take(indices(shapely.intersects_xy(polygon, lon_deg.take(rows), lat_deg.take(rows))))
            if found.size:
                inside[found] = True
                touching[found] = ~shapely.contains_xy(polygon, lon_deg.take(found), lat_deg.take(found))
        return inside, touching

    @cached_property
    def all_prepared(self) -> npt.NDArray[np.object_]:
        """Every zone's prepared polygons; object (Z,)."""
        return np.array([self.prepared(z) for z in range(len(self._shapes))], dtype=object)

    def prepared(self, zone: int) -> shapely.MultiPolygon:
        """Return a zone's prepared polygons."""
        found = self._prepared.get(zone)
        if found is None:
            polygons = self._shapes[zone].polygons
            found = shapely.MultiPolygon([shapely.Polygon(p[0], p[1:]) for p in polygons])
            shapely.prepare(found)
            # Two threads may make the same one; either serves.
            self._prepared[zone] = found
        return found
