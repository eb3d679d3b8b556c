"""The zones of one order, read and checked by the core."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from geofence_core import geojson
from geofence_core.clean import clean
from geofence_core.errors import GeofenceError
from geofence_core.shapes import DrawnShapes, ZoneShape
from geofence_core.zones import ZoneTable
from protocols.mqtt.commands import Order
from protocols.mqtt.messages import ZoneRef
from protocols.mqtt.refusal import Refusal, RefusalReason, clip_detail

MAX_ZONE_NAME = 256
"""Characters of a zone's id and of its name. Both stand in every alert about it, whose body has a size limit; a person
at a desk reads far less."""


MAX_BOUNDARY_KM = 3_000.0
"""Length of all boundaries of one order. What it guards against is a coordinate that was mistyped: a zone down to the
equator takes minutes and gigabytes to index (measured: 2,000 km 2 s, 4,400 km 7 s and 0.5 GB), for everybody's orders.
Great Britain, drawn with 200 vertices, has 3,000 km; who needs more puts the zone into the bridge's zones file."""

KM_PER_DEG = 111.32
"""Of latitude, and of longitude at the equator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrderZones:
    """Zones of an order: as drawn, as they stand in messages, and a print of purpose and geometry of each."""

    shapes: tuple[ZoneShape, ...] = ()
    refs: tuple[ZoneRef, ...] = ()
    prints: tuple[bytes, ...] = ()


def read_zones(order: Order) -> OrderZones | Refusal:
    """Read an order's zones; a refusal names zone, ring and vertex. Nothing is mended: a court drew them."""
    if order.zones is None:
        return OrderZones()
    try:
        table = ZoneTable.from_geojson(order.zones)
    except GeofenceError as exc:
        return _refused(_without_mending(exc))
    return _named(table.shapes)


def read_many(orders: Sequence[Order]) -> list[OrderZones | Refusal]:
    """Read the zones of orders that were checked one by one when they came: all at once, ten times as fast."""
    shapes: list[ZoneShape] = []
    places: list[range | Refusal] = []
    for order in orders:
        first = len(shapes)
        try:
            shapes += geojson.read(order.zones) if order.zones is not None else []
            places.append(range(first, len(shapes)))
        except GeofenceError as exc:
            places.append(_refused(_without_mending(exc)))
    drawn = DrawnShapes.of(shapes)
    good = clean(drawn.arrays).tolist()
    return [
        place
        if isinstance(place, Refusal)
        else _named(drawn[place.start : place.stop])
        if all(good[place.start : place.stop])
        else read_zones(order)
        for order, place in zip(orders, places, strict=True)
    ]


def _named(shapes: Sequence[ZoneShape]) -> OrderZones | Refusal:
    for shape in shapes:
        if len(shape.zone_id) > MAX_ZONE_NAME or len(shape.name or "") > MAX_ZONE_NAME:
            return _refused(f"zone {shape.zone_id[:40]!r}: its id or name is longer than {MAX_ZONE_NAME} characters")
    boundary_km = sum(map(_boundary_km, shapes))
    if boundary_km > MAX_BOUNDARY_KM:
        longest = max(shapes, key=_boundary_km)
        return _refused(
            f"zone {longest.zone_id!r}: the boundaries of the order's zones are {boundary_km:.0f} km long, at most "
            f"{MAX_BOUNDARY_KM:.0f} are taken by command. Next: look for a coordinate that was mistyped"
        )
    return OrderZones(
        shapes=tuple(shapes),
        refs=tuple(_ref(shape.zone_id, shape.purpose, shape.name) for shape in shapes),
        prints=tuple(map(_print, shapes)),
    )


def zone_refs(zones: ZoneTable) -> tuple[ZoneRef, ...]:
    """Name the zones of a table as messages do."""
    return tuple(map(_ref, zones.ids, zones.purposes, zones.names))


def _ref(zone_id: str, purpose: str, name: str | None) -> ZoneRef:
    return ZoneRef(id=zone_id, type="exclusion" if purpose == "exclusion" else "inclusion", name=name)


def _refused(detail: str) -> Refusal:
    return Refusal(reason=RefusalReason.INVALID_ZONES, detail=clip_detail(detail))


def _without_mending(exc: GeofenceError) -> str:
    """Tell an error without the advice to load with ``mend``, which a command cannot."""
    return str(exc).removesuffix(", or load with mend=True")


def _boundary_km(shape: ZoneShape) -> float:
    """Length of a zone's boundary, within a few per cent."""
    lines = [ring for polygon in shape.polygons for ring in polygon]
    if shape.line is not None:
        lines.append(shape.line)
    length = 2 * math.pi * (shape.radius_m or shape.half_width_m or 0.0) / 1000
    for line in lines:
        lon, lat = np.diff(line, axis=0).T
        middle = np.radians((line[1:, 1] + line[:-1, 1]) / 2)
        length += float(np.hypot(lon * np.cos(middle), lat).sum()) * KM_PER_DEG
    return length


def _print(shape: ZoneShape) -> bytes:
    """Equal for zones of the same purpose that are drawn the same, to the bit."""
    digest = blake2b(digest_size=16)
    digest.update(f"{shape.kind} {shape.purpose} {shape.centre} {shape.radius_m} {shape.half_width_m}".encode())
    for polygon in shape.polygons:
        digest.update(b"P")
        for ring in polygon:
            digest.update(b"R" + ring.tobytes())
    if shape.line is not None:
        digest.update(shape.line.tobytes())
    return digest.digest()
