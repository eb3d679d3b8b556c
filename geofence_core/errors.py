"""Errors of ``geofence_core``; each says what, where, and the next step.

::

    GeofenceError
      ZoneFileError (ValueError)       not a GeoJSON FeatureCollection of zones, or no whole file of saved ones
      ZoneGeometryError (ValueError)   one zone is refused: its id, ring, vertex and why
      ColumnError (ValueError)         columns of different length, or of a wrong type
      AssignmentError (IndexError)     a wearer, zone or device index outside its table
"""


class GeofenceError(Exception):
    """Root of this package's errors."""


class ZoneFileError(GeofenceError, ValueError):
    """Not a collection of zones, for example ``{"type": "Topology"}``; or a saved table that is cut short."""


class ZoneGeometryError(GeofenceError, ValueError):
    """One zone is refused, for example a ring that crosses itself.

    Parameters
    ----------
    zone_id
        The zone's id, or its place in the file (``features[3]``) where it has none.
    ring
        Index of the ring, counted over all polygons of the zone; None where the fault belongs to no ring.
    vertex
        Index of the position in the ring as it was given; None where the fault belongs to the whole ring.
    reason
        What is wrong and what to do.
    """

    def __init__(self, zone_id: str, ring: int | None, vertex: int | None, reason: str) -> None:
        self.zone_id = zone_id
        self.ring = ring
        self.vertex = vertex
        self.reason = reason
        where = f"zone {zone_id!r}"
        if ring is not None:
            where += f", ring {ring}"
        if vertex is not None:
            where += f", vertex {vertex}"
        super().__init__(f"{where}: {reason}")

    @property
    def is_mendable(self) -> bool:
        """Whether ``mend=True`` has an answer to it; every such reason ends by naming it."""
        return self.reason.endswith("mend=True")

    def __reduce__(self) -> tuple[type["ZoneGeometryError"], tuple[str, int | None, int | None, str]]:
        return (type(self), (self.zone_id, self.ring, self.vertex, self.reason))


class ColumnError(GeofenceError, ValueError):
    """Columns do not belong together, for example 10 latitudes and 9 longitudes."""


class AssignmentError(GeofenceError, IndexError):
    """An index points outside its table, for example wearer 12 of 10."""
