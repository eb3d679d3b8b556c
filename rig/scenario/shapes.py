"""Zones of a scenario as GeoJSON."""

from typing import Any

from rig.local_frame import LocalFrame
from rig.scenario.tables import Metres, ZoneTable


def zone_feature(frame: LocalFrame, zone: ZoneTable) -> dict[str, Any]:  # Any: GeoJSON is nested data
    """One zone as a GeoJSON Feature in degrees."""

    def lon_lat(point: Metres) -> list[float]:
        lat, lon = frame.to_geodetic(*point)
        return [round(lon, 9), round(lat, 9)]

    properties: dict[str, Any] = {"purpose": zone.purpose, "name": zone.name or zone.id}
    geometry: dict[str, Any]
    if zone.centre_m is not None:
        geometry = {"type": "Point", "coordinates": lon_lat(zone.centre_m)}
        properties["radius_m"] = zone.radius_m
    elif zone.line_m:
        geometry = {"type": "LineString", "coordinates": [lon_lat(p) for p in zone.line_m]}
        properties["half_width_m"] = zone.half_width_m
    else:
        rings = [[lon_lat(p) for p in ring] for ring in zone.rings_m]
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]}
    return {"type": "Feature", "id": zone.id, "properties": properties, "geometry": geometry}
