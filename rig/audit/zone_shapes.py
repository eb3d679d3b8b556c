"""Zones of a GeoJSON file as rings to draw; the judging is the bridge's, this is a picture of it."""

import json
import math
from pathlib import Path
from typing import Any

from rig.audit.errors import AuditError
from rig.audit.track_map import METRES_PER_DEG, Shape

_CIRCLE_CORNERS = 64
"""A circle of a kilometre is then drawn within two metres."""


def read_shapes(path: Path, wanted: frozenset[str] | None) -> tuple[Shape, ...]:
    """Read polygons and circles; ``wanted``: ids, None: all. A corridor is not drawn.

    Raises
    ------
    AuditError
        The file cannot be read as GeoJSON.
    """
    try:
        return shapes_of(json.loads(path.read_text()), wanted)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as exc:
        raise AuditError(f"{path}: cannot be read as zones: {exc!r}. Next: tagrig check-config") from exc


def shapes_of(collection: dict[str, Any], wanted: frozenset[str] | None = None) -> tuple[Shape, ...]:
    """Give the shapes of a GeoJSON FeatureCollection; it must be one, as a loaded order's zones are."""
    found = [_shape(feature) for feature in collection["features"]]
    return tuple(shape for shape in found if shape is not None and (wanted is None or shape.zone_id in wanted))


def _shape(feature: dict[str, Any]) -> Shape | None:  # Any: JSON of somebody else, each use of it is guarded above
    geometry, properties = feature["geometry"], feature["properties"]
    match geometry["type"]:
        case "Polygon":
            rings = [_ring(ring) for ring in geometry["coordinates"]]
        case "MultiPolygon":
            rings = [_ring(ring) for polygon in geometry["coordinates"] for ring in polygon]
        case "Point" if "radius_m" in properties:
            lon_deg, lat_deg, *_ = geometry["coordinates"]
            rings = [_circle(lat_deg, lon_deg, properties["radius_m"])]
        case _:
            return None
    zone_id = str(feature["id"])
    name = str(properties.get("name") or zone_id)
    return Shape(zone_id=zone_id, name=name, purpose=str(properties.get("purpose", "")), rings=tuple(rings))


def _ring(corners: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((lat_deg, lon_deg) for lon_deg, lat_deg, *_ in corners)


def _circle(lat_deg: float, lon_deg: float, radius_m: float) -> tuple[tuple[float, float], ...]:
    dlat_deg = radius_m / METRES_PER_DEG
    dlon_deg = dlat_deg / max(0.01, math.cos(math.radians(lat_deg)))
    angles = [2 * math.pi * n / _CIRCLE_CORNERS for n in range(_CIRCLE_CORNERS)]
    return tuple((lat_deg + dlat_deg * math.cos(a), lon_deg + dlon_deg * math.sin(a)) for a in angles)
