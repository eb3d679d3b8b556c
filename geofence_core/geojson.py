"""Zone files: GeoJSON (RFC 7946) in, ``ZoneShape`` out. The only place where longitude comes before latitude.

::

    FeatureCollection
      Feature   id          zone id (string, or an integer read as one)
                geometry    Polygon | MultiPolygon | Point (circle) | LineString (corridor)
                properties  purpose       "exclusion" | "inclusion"    required
                            name          string                       optional
                            radius_m      number > 0                   Point only
                            half_width_m  number > 0                   LineString only

Other properties are left alone. Positions may carry an altitude, which is ignored.
"""

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from geofence_core.arrays import F64
from geofence_core.errors import ZoneFileError, ZoneGeometryError
from geofence_core.shapes import PURPOSES, ZoneShape

# JSON has no static type: `Any` is confined to this module, which checks each value before it hands it on.
Json = Any

_KIND_OF = {"Polygon": "polygon", "MultiPolygon": "multipolygon", "Point": "circle", "LineString": "corridor"}
_WGS84_NAMES = ("CRS84", "4326", "WGS84", "WGS 84")


def read(source: Mapping[str, Json] | str | PathLike[str]) -> list[ZoneShape]:
    """Read zones from a GeoJSON object or file; shapes are not yet checked for validity.

    Raises
    ------
    ZoneFileError
        The file is absent, not JSON, or not a FeatureCollection.
    ZoneGeometryError
        A feature lacks what a zone needs.
    """
    where = "GeoJSON object"
    document: Json = source
    if not isinstance(source, Mapping):
        where = str(source)
        try:
            text = Path(source).read_text(encoding="utf-8-sig")
        except OSError as exc:
            raise ZoneFileError(
                f"{where}: cannot be read ({exc.strerror}); next: check the path of the zone file"
            ) from exc
        except UnicodeDecodeError as exc:
            raise ZoneFileError(f"{where}: not UTF-8 at byte {exc.start}; next: save the file as UTF-8") from exc
        try:
            document = json.loads(text, object_pairs_hook=_members)
        except ValueError as exc:
            raise ZoneFileError(
                f"{where}: not JSON ({exc}); next: open it in a GeoJSON editor and save it again"
            ) from exc
        except RecursionError as exc:
            raise ZoneFileError(f"{where}: nested too deeply to be a zone file") from exc
    return _collection(document, where)


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"member {twice!r} stands twice in one object")
    return members


def _collection(document: Json, where: str) -> list[ZoneShape]:
    if not isinstance(document, Mapping):
        raise ZoneFileError(f"{where}: expected a FeatureCollection, got {type(document).__name__}")
    kind = document.get("type")
    if kind == "Feature":
        features: Json = [document]
    elif kind == "FeatureCollection":
        features = document.get("features")
    else:
        raise ZoneFileError(
            f"{where}: expected type FeatureCollection, got {kind!r}; next: wrap each geometry in a Feature with id "
            "and properties.purpose"
        )
    _check_crs(document.get("crs"), where)
    if not _is_list(features):
        raise ZoneFileError(f"{where}: 'features' must be a list, got {type(features).__name__}")
    shapes: list[ZoneShape] = []
    seen: dict[str, int] = {}
    for place, feature in enumerate(features):
        shape = _feature(feature, f"features[{place}]")
        if shape.zone_id in seen:
            raise ZoneGeometryError(
                shape.zone_id,
                None,
                None,
                f"the id stands twice, in features[{seen[shape.zone_id]}] and features[{place}]; next: give each zone "
                "its own id",
            )
        seen[shape.zone_id] = place
        shapes.append(shape)
    return shapes


def _check_crs(crs: Json, where: str) -> None:
    if crs is None:
        return
    text = json.dumps(crs, default=str)
    if not any(name in text for name in _WGS84_NAMES):
        raise ZoneFileError(
            f"{where}: 'crs' is {text[:120]}, zones must be WGS 84 longitude and latitude; next: reproject the file to "
            "EPSG:4326"
        )


def _feature(feature: Json, place: str) -> ZoneShape:
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        got = feature.get("type") if isinstance(feature, Mapping) else type(feature).__name__
        raise ZoneGeometryError(place, None, None, f"expected a Feature, got {got!r}")
    zone_id = feature.get("id")
    if isinstance(zone_id, int) and not isinstance(zone_id, bool):
        zone_id = str(zone_id)
    if not isinstance(zone_id, str) or not zone_id:
        raise ZoneGeometryError(place, None, None, f"expected a string 'id', got {zone_id!r}; next: name the zone")
    properties = feature.get("properties")
    if not isinstance(properties, Mapping):
        raise ZoneGeometryError(zone_id, None, None, "no properties; next: add properties.purpose")
    purpose = properties.get("purpose")
    if purpose not in PURPOSES:
        raise ZoneGeometryError(
            zone_id, None, None, f"properties.purpose must be one of {', '.join(PURPOSES)}, got {purpose!r}"
        )
    name = properties.get("name")
    if name is not None and not isinstance(name, str):
        raise ZoneGeometryError(zone_id, None, None, f"properties.name must be a string, got {name!r}")
    geometry = feature.get("geometry")
    if geometry is None:
        raise ZoneGeometryError(zone_id, None, None, "no geometry; next: draw the zone or remove the feature")
    if not isinstance(geometry, Mapping):
        raise ZoneGeometryError(zone_id, None, None, f"geometry must be an object, got {type(geometry).__name__}")
    kind = _KIND_OF.get(geometry.get("type", "")) if isinstance(geometry.get("type"), str) else None
    if kind is None:
        raise ZoneGeometryError(
            zone_id, None, None, f"geometry {geometry.get('type')!r} is no zone; expected one of {', '.join(_KIND_OF)}"
        )
    coordinates = geometry.get("coordinates")
    if not _is_list(coordinates) or len(coordinates) == 0:
        raise ZoneGeometryError(zone_id, None, None, "the geometry is empty; next: draw the zone or remove the feature")
    return _shape(zone_id, kind, purpose, name, coordinates, properties)


def _shape(
    zone_id: str, kind: str, purpose: str, name: str | None, coordinates: Sequence[Json], properties: Mapping[str, Json]
) -> ZoneShape:
    if kind == "circle":
        lon, lat = _position(zone_id, None, None, coordinates)
        radius = _length(zone_id, properties, "radius_m")
        return ZoneShape(zone_id=zone_id, kind=kind, purpose=purpose, name=name, centre=(lon, lat), radius_m=radius)
    if kind == "corridor":
        half_width = _length(zone_id, properties, "half_width_m")
        line = _positions(zone_id, 0, coordinates)
        return ZoneShape(zone_id=zone_id, kind=kind, purpose=purpose, name=name, line=line, half_width_m=half_width)
    groups = [coordinates] if kind == "polygon" else coordinates
    polygons: list[tuple[F64, ...]] = []
    ring = 0
    for group in groups:
        if not _is_list(group) or len(group) == 0:
            raise ZoneGeometryError(zone_id, ring, None, "a polygon without rings; next: draw it or remove it")
        rings: list[F64] = []
        for positions in group:
            if not _is_list(positions):
                raise ZoneGeometryError(zone_id, ring, None, "expected a list of positions; next: check the nesting")
            rings.append(_positions(zone_id, ring, positions))
            ring += 1
        polygons.append(tuple(rings))
    return ZoneShape(zone_id=zone_id, kind=kind, purpose=purpose, name=name, polygons=tuple(polygons))


def _positions(zone_id: str, ring: int, positions: Sequence[Json]) -> F64:
    if len(positions) == 0:
        raise ZoneGeometryError(zone_id, ring, None, "the ring is empty; next: draw it or remove it")
    return np.array([_position(zone_id, ring, i, p) for i, p in enumerate(positions)], dtype=np.float64)


def _position(zone_id: str, ring: int | None, vertex: int | None, position: Json) -> tuple[float, float]:
    if not _is_list(position) or len(position) < 2:
        raise ZoneGeometryError(zone_id, ring, vertex, f"expected [longitude, latitude], got {str(position)[:60]}")
    lon, lat = position[0], position[1]
    if not _is_number(lon) or not _is_number(lat):
        raise ZoneGeometryError(zone_id, ring, vertex, f"expected two numbers, got {str(position)[:60]}")
    return float(lon), float(lat)


def _length(zone_id: str, properties: Mapping[str, Json], key: str) -> float:
    value = properties.get(key)
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise ZoneGeometryError(
            zone_id, None, None, f"properties.{key} must be a number of metres above 0, got {value!r}"
        )
    return float(value)


def _is_number(value: Json) -> TypeGuard[float]:
    if isinstance(value, bool):
        return False
    # JSON integers are unbounded; one that no float can hold is no coordinate either.
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 60)


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, list | tuple)
