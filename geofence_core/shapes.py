"""Zones as they were drawn: longitude and latitude in degrees, before any index."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import overload

import numpy as np

from geofence_core.arrays import F64, I64, U8

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnArrays:
    """Z zones as flat arrays, read-only: zone -> polygons -> rings -> positions.

    A corridor is one polygon of one ring, its line; a circle one position, its centre.

    ``kind purpose`` uint8 (Z,), places in `KINDS` and `PURPOSES`; ``size_m`` float64 (Z,), radius or half width, 0 for
    areas; ``zone_ptr`` int64 (Z + 1,), first polygon of each zone; ``polygon_ptr`` int64 (G + 1,), first ring of each
    polygon; ``ring_ptr`` int64 (R + 1,), first position of each ring; ``lonlat_deg`` float64 (P, 2).
    """

    kind: U8
    purpose: U8
    size_m: F64
    zone_ptr: I64
    polygon_ptr: I64
    ring_ptr: I64
    lonlat_deg: F64

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self))


class DrawnShapes(Sequence[ZoneShape]):
    """Zones kept as `DrawnArrays`; each `ZoneShape` is made when it is asked for, its rings are views.

    Parameters
    ----------
    ids, names
        Of Z zones.
    arrays
        Their geometry.
    """

    __slots__ = ("arrays", "ids", "names")

    def __init__(self, ids: tuple[str, ...], names: tuple[str | None, ...], arrays: DrawnArrays) -> None:
        self.ids = ids
        self.names = names
        self.arrays = arrays
        for f in fields(arrays):
            getattr(arrays, f.name).flags.writeable = False

    @classmethod
    def of(cls, shapes: Sequence[ZoneShape]) -> "DrawnShapes":
        """Take the geometry of validated zones over."""
        if isinstance(shapes, cls):
            return shapes
        polygons = [_polygons(shape) for shape in shapes]
        rings = [polygon for zone in polygons for polygon in zone]
        lines = [ring for polygon in rings for ring in polygon]
        arrays = DrawnArrays(
            kind=np.array([KINDS.index(s.kind) for s in shapes], dtype=np.uint8),
            purpose=np.array([PURPOSES.index(s.purpose) for s in shapes], dtype=np.uint8),
            size_m=np.array([s.radius_m or s.half_width_m or 0.0 for s in shapes], dtype=np.float64),
            zone_ptr=_ptr([len(zone) for zone in polygons]),
            polygon_ptr=_ptr([len(polygon) for polygon in rings]),
            ring_ptr=_ptr([len(line) for line in lines]),
            lonlat_deg=np.concatenate([np.zeros((0, 2)), *lines]),
        )
        return cls(tuple(s.zone_id for s in shapes), tuple(s.name for s in shapes), arrays)

    def __len__(self) -> int:
        """Return Z."""
        return len(self.ids)

    @overload
    def __getitem__(self, zone: int) -> ZoneShape: ...

    @overload
    def __getitem__(self, zone: slice) -> tuple[ZoneShape, ...]: ...

    def __getitem__(self, zone: int | slice) -> ZoneShape | tuple[ZoneShape, ...]:
        """Make one zone, or some."""
        if isinstance(zone, slice):
            return tuple(self[z] for z in range(*zone.indices(len(self))))
        z = range(len(self))[zone]
        arrays = self.arrays
        kind = KINDS[int(arrays.kind[z])]
        size = float(arrays.size_m[z])
        polygons = tuple(self._rings(p) for p in range(int(arrays.zone_ptr[z]), int(arrays.zone_ptr[z + 1])))
        line = polygons[0][0] if kind == "corridor" else None
        centre = polygons[0][0][0].tolist() if kind == "circle" else None
        return ZoneShape(
            zone_id=self.ids[z],
            kind=kind,
            purpose=PURPOSES[int(arrays.purpose[z])],
            name=self.names[z],
            polygons=polygons if line is None and centre is None else (),
            line=line,
            centre=None if centre is None else (centre[0], centre[1]),
            radius_m=None if centre is None else size,
            half_width_m=None if line is None else size,
        )

    def _rings(self, polygon: int) -> tuple[F64, ...]:
        arrays = self.arrays
        ends = arrays.ring_ptr[arrays.polygon_ptr[polygon] : arrays.polygon_ptr[polygon + 1] + 1].tolist()
        return tuple(arrays.lonlat_deg[a:b] for a, b in pairwise(ends))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each zone."""
        return tuple(KINDS[k] for k in self.arrays.kind.tolist())

    @property
    def purposes(self) -> tuple[str, ...]:
        """Purpose of each zone."""
        return tuple(PURPOSES[p] for p in self.arrays.purpose.tolist())


def _polygons(shape: ZoneShape) -> tuple[tuple[F64, ...], ...]:
    """Return a zone as polygons of rings, whatever its kind."""
    if shape.centre is not None:
        return ((np.array([shape.centre], dtype=np.float64),),)
    return shape.polygons if shape.line is None else ((shape.line,),)


def _ptr(sizes: list[int]) -> I64:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
