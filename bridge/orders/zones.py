"""The zones of one order, read and checked by the core."""

from dataclasses import dataclass
from hashlib import blake2b

from geofence_core.errors import GeofenceError
from geofence_core.shapes import ZoneShape
from geofence_core.zones import ZoneTable
from protocols.mqtt.commands import Order
from protocols.mqtt.messages import ZoneRef
from protocols.mqtt.refusal import Refusal, RefusalReason, clip_detail

MAX_ZONE_NAME = 256
"""Characters of a zone's id and of its name. Both stand in every alert about it, whose body has a size limit; a person
at a desk reads far less."""


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
        return _refused(str(exc))
    for zone_id, name in zip(table.ids, table.names, strict=True):
        if len(zone_id) > MAX_ZONE_NAME or len(name or "") > MAX_ZONE_NAME:
            return _refused(f"zone {zone_id[:40]!r}: its id or name is longer than {MAX_ZONE_NAME} characters")
    shapes = tuple(table.shapes)
    return OrderZones(shapes=shapes, refs=zone_refs(table), prints=tuple(map(_print, shapes)))


def zone_refs(zones: ZoneTable) -> tuple[ZoneRef, ...]:
    """Name the zones of a table as messages do."""
    return tuple(
        ZoneRef(id=zone_id, type="exclusion" if purpose == "exclusion" else "inclusion", name=name)
        for zone_id, purpose, name in zip(zones.ids, zones.purposes, zones.names, strict=True)
    )


def _refused(detail: str) -> Refusal:
    return Refusal(reason=RefusalReason.INVALID_ZONES, detail=clip_detail(detail))


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
