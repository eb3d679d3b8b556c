"""Zones as programs give them: shapely geometries, and the geometry that takes the place of a zone's old one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geofence_core import geojson
from geofence_core.arrays import I64
from geofence_core.errors import ZoneGeometryError
from geofence_core.shapes import KINDS, PURPOSES, DrawnArrays, DrawnShapes, ZoneShape


def from_shapely(geometry: shapely.Geometry, zone_id: str, purpose: str) -> ZoneShape:
    """Take a Polygon or MultiPolygon over, not yet checked; shapely says which ring is the shell, so they are wound.

    Raises
    ------
    ZoneGeometryError
        Another geometry, an empty one, or an unknown purpose.
    """
    if not isinstance(geometry, shapely.Polygon | shapely.MultiPolygon):
        raise ZoneGeometryError(
            zone_id, None, None, f"expected Polygon or MultiPolygon, got {getattr(geometry, 'geom_type', geometry)!r}"
        )
    if geometry.is_empty:
        raise ZoneGeometryError(zone_id, None, None, "the geometry is empty; next: draw the zone or remove it")
    if purpose not in PURPOSES:
        raise ZoneGeometryError(zone_id, None, None, f"purpose must be one of {', '.join(PURPOSES)}, got {purpose!r}")
    # A part without positions is a set without points: leaving it out changes nothing.
    parts = [p for p in shapely.get_parts(geometry) if not shapely.is_empty(p)]
    with np.errstate(invalid="ignore"):  # vertices that are NaN are refused later, by name
        oriented = [shapely.orient_polygons(p, exterior_cw=False) for p in parts]
    polygons = tuple(
        tuple(np.array(ring.coords, dtype=np.float64)[:, :2] for ring in (p.exterior, *p.interiors)) for p in oriented
    )
    kind = "polygon" if len(polygons) == 1 else "multipolygon"
    return ZoneShape(zone_id=zone_id, kind=kind, purpose=purpose, polygons=polygons)


def from_shapelys(
    geometries: Sequence[shapely.Geometry], ids: Sequence[str], purposes: Sequence[str]
) -> Sequence[ZoneShape]:
    """Take many over as `from_shapely` does one, in array passes where nothing is to be refused."""
    given = np.array(geometries, dtype=object)
    if all(isinstance(g, shapely.Polygon | shapely.MultiPolygon) for g in geometries):
        parts, zone_of = shapely.get_parts(given, return_index=True)
        zones = np.arange(len(geometries))
        if not shapely.is_empty(parts).any() and np.isin(zones, zone_of).all() and set(purposes) <= set(PURPOSES):
            with np.errstate(invalid="ignore"):  # vertices that are NaN are refused later, by name
                rings, polygon_of = shapely.get_rings(
                    shapely.orient_polygons(parts, exterior_cw=False), return_index=True
                )
            number = np.bincount(zone_of, minlength=zones.size)
            kinds = np.where(number == 1, KINDS.index("polygon"), KINDS.index("multipolygon"))
            arrays = DrawnArrays(
                kind=kinds.astype(np.uint8),
                purpose=np.array([PURPOSES.index(p) for p in purposes], dtype=np.uint8),
                size_m=np.zeros(zones.size),
                zone_ptr=_ptr(number),
                polygon_ptr=_ptr(np.bincount(polygon_of, minlength=parts.size)),
                ring_ptr=_ptr(shapely.get_num_coordinates(rings)),
                lonlat_deg=shapely.get_coordinates(rings),
            )
            return DrawnShapes(tuple(ids), (None,) * zones.size, arrays)
    return [from_shapely(g, i, p) for g, i, p in zip(geometries, ids, purposes, strict=True)]


def _ptr(number: npt.NDArray[np.integer[Any]]) -> I64:
    return np.concatenate([[0], np.cumsum(number)]).astype(np.int64)


def redrawn(old: ZoneShape, geometry: Mapping[str, Any] | shapely.Geometry) -> ZoneShape:
    """Read a zone's new geometry, not yet checked.

    Parameters
    ----------
    old
        The zone as it was.
    geometry
        A GeoJSON Feature or geometry, or a shapely Polygon or MultiPolygon. What it does not say stays as it was:
        purpose, name, a circle's ``radius_m``, a corridor's ``half_width_m``.

    Raises
    ------
    ZoneGeometryError
        It is no zone, or a Feature of another id.
    """
    if isinstance(geometry, shapely.Geometry):
        shape = from_shapely(geometry, old.zone_id, old.purpose)
        return ZoneShape(
            zone_id=old.zone_id, kind=shape.kind, purpose=old.purpose, name=old.name, polygons=shape.polygons
        )
    if not isinstance(geometry, Mapping):
        raise ZoneGeometryError(
            old.zone_id, None, None, f"expected a GeoJSON Feature or geometry, or a shapely geometry, got {geometry!r}"
        )
    feature = dict(geometry) if geometry.get("type") == "Feature" else {"type": "Feature", "geometry": geometry}
    if feature.get("id") is not None and str(feature["id"]) != old.zone_id:
        raise ZoneGeometryError(
            old.zone_id,
            None,
            None,
            f"the Feature's id is {feature['id']!r}; next: leave the id out, or name the zone that it replaces",
        )
    feature["id"] = old.zone_id
    kept = {"purpose": old.purpose, "name": old.name, "radius_m": old.radius_m, "half_width_m": old.half_width_m}
    said = feature.get("properties")
    if said is None or isinstance(said, Mapping):
        feature["properties"] = {**kept, **(said or {})}
    return geojson.read({"type": "FeatureCollection", "features": [feature]})[0]
