"""Zones as they were drawn: longitude and latitude in degrees, before any index."""

from dataclasses import dataclass, field, replace

from geofence_core.arrays import F64

PURPOSES = ("exclusion", "inclusion")
"""What an order does with a zone: the wearer must stay out of it, or within it."""

KINDS = ("polygon", "multipolygon", "circle", "corridor")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneShape:
    """One zone's geometry.

    ``polygons``: for each polygon its rings, shell first; a ring is float64 (V, 2), columns lon_deg and lat_deg, last
    position equal to the first. ``line``: float64 (V, 2) likewise, the centre line of a corridor. ``centre``:
    (lon_deg, lat_deg) of a circle. What does not belong to ``kind`` is empty.
    """

    zone_id: str
    kind: str
    purpose: str
    name: str | None = None
    polygons: tuple[tuple[F64, ...], ...] = ()
    line: F64 | None = field(default=None)
    centre: tuple[float, float] | None = None
    radius_m: float | None = None
    half_width_m: float | None = None

    def with_polygons(self, polygons: tuple[tuple[F64, ...], ...]) -> "ZoneShape":
        """Return the same zone with other rings; the kind follows the number of polygons."""
        return replace(self, polygons=polygons, kind="polygon" if len(polygons) == 1 else "multipolygon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """One change that ``mend=True`` made to a zone; ``ring`` is None where it concerns the whole zone."""

    zone_id: str
    ring: int | None
    what: str
