"""One zone's rows taken out of arrays and others put in their place: copies, nothing is built.

::

      zones      | 0 | 1 | 2 | ...         edges, cells: the new rows go to the end, the old ones are left behind
      sheet      leaf | 0 1 | 1 2 | 2 |    rows of zone 1 are cut out of the leaves, new ones put in between
      balls      | 0 . . | 1 . | 2 . . |   three levels of offsets: a stretch of each is exchanged

What is left behind is cleared away when it is more than what is in use.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I32, I64, Bool, expand, freeze, group_starts, indices, ranges
from geofence_core.boundary import Balls, BoundaryRuns
from geofence_core.build import ZoneArrays
from geofence_core.edges import EdgeTable
from geofence_core.grids import ZoneGrids
from geofence_core.shapes import DrawnArrays, DrawnShapes, ZoneShape
from geofence_core.sheets import LEAF_BITS, Sheet, Sheets
from geofence_core.side import Boxes, SideRuns

Array = npt.NDArray[Any]
_R = TypeVar("_R", EdgeTable, ZoneGrids, Sheet, Boxes, Balls, ZoneArrays)
_Rows = TypeVar("_Rows", Boxes, Balls)

VERTEX_FIELDS = ("at", "unit", "length_m", "bulge_per_m", "code")
CELL_FIELDS = ("start", "count", "side")
"""What `edges.EdgeTable` and `grids.ZoneGrids` hold per vertex and per cell; all else, but lists, is per zone."""


def splice_edges(edges: EdgeTable, zone: int, new: EdgeTable) -> EdgeTable:
    """Put the boundary of ``new``, a table of one zone, in the place of a zone's."""
    out = _per_zone(edges, zone, new, {"first", *VERTEX_FIELDS})
    out["first"] = _set(edges.first, zone, edges.at.size)
    if edges.at.size + new.at.size <= 2 * int(out["number"].sum(dtype=np.int64)):
        for name in VERTEX_FIELDS:
            out[name] = np.concatenate([getattr(edges, name), getattr(new, name)])
        return _made(edges, out)
    number = out["number"].astype(np.int64)
    number[zone] = 0
    kept = ranges(edges.first, number)
    for name in VERTEX_FIELDS:
        out[name] = np.concatenate([getattr(edges, name).take(kept), getattr(new, name)])
    out["first"] = np.cumsum(number) - number
    out["first"][zone] = kept.size
    return _made(edges, out)


def splice_grids(grids: ZoneGrids, zone: int, new: ZoneGrids) -> ZoneGrids:
    """Put the grid of ``new``, grids of one zone, in the place of a zone's."""
    out = _per_zone(grids, zone, new, {"band_m", "base", "candidate", *CELL_FIELDS})
    out["base"] = _set(grids.base, zone, grids.start.size)
    for name in CELL_FIELDS:
        out[name] = np.concatenate([getattr(grids, name), getattr(new, name)])
    old = int(grids.base[zone])
    out["count"][old : old + int(grids.size[zone]) ** 2] = 0
    out["start"][grids.start.size :] += grids.candidate.size
    out["candidate"] = np.concatenate([grids.candidate, new.candidate])
    cells = out["size"].astype(np.int64) ** 2
    if out["start"].size > 2 * int(cells.sum()):
        kept = ranges(out["base"], cells)
        for name in CELL_FIELDS:
            out[name] = out[name].take(kept)
        out["base"] = np.cumsum(cells) - cells
    out["start"], out["candidate"] = _tidy(out["start"], out["count"], out["candidate"])
    return _made(grids, out)


def splice_sheets(sheets: Sheets, zone: int, new: Sheets) -> Sheets:
    """Put the rows of ``new``, sheets of one zone made by `sheets.sheets_like`, in the place of a zone's."""
    if not sheets.sheets:
        return sheets
    if not sheets.block.size:
        return replace(sheets, sheets=(_splice_sheet(sheets.sheets[0], zone, new.sheets[0] if new.sheets else None),))
    out = list(sheets.sheets)
    block = sheets.block.copy()
    mine = (
        dict(zip(indices(new.block).tolist(), (new.block[new.block > 0] - 1).tolist(), strict=True))
        if new.sheets
        else {}
    )
    for at in indices(sheets.block).tolist():
        which = int(block[at]) - 1
        given = new.sheets[mine.pop(at)] if at in mine else None
        out[which] = _splice_sheet(out[which], zone, given)
    for at, which in mine.items():
        empty = new.sheets[which]
        out.append(_splice_sheet(_without_rows(empty), zone, empty))
        block[at] = len(out)
    block.flags.writeable = False
    return replace(sheets, sheets=tuple(out), block=block)


def _without_rows(sheet: Sheet) -> Sheet:
    leaves = 1 << (2 * LEAF_BITS)
    return replace(
        sheet,
        tile=np.zeros_like(sheet.tile),
        first=np.zeros(leaves + 1, dtype=sheet.first.dtype),
        entry=sheet.entry[:0],
        zone_start_count=sheet.zone_start_count[:0],
        candidate=sheet.candidate[:0],
    )


def _splice_sheet(sheet: Sheet, zone: int, new: Sheet | None) -> Sheet:
    leaf_bits = 2 * LEAF_BITS
    e0, e1 = np.searchsorted(sheet.zone_start_count[:, 0], [zone, zone + 1]).tolist()
    if new is None and e0 == e1:
        return sheet
    gone = indices((sheet.entry >= e0) & (sheet.entry < e1))
    number = np.diff(sheet.first)
    _count(number, sheet.first.searchsorted(gone, side="right") - 1, -1)
    tile, entry, row_at = sheet.tile, np.zeros(0, dtype=sheet.entry.dtype), np.zeros(0, dtype=np.int64)
    rows = sheet.zone_start_count[:0]
    candidate = sheet.candidate
    if new is not None:
        fresh = indices((new.tile > 0) & (tile == 0))
        tile = tile.copy()
        tile[fresh] = (number.size >> leaf_bits) + np.arange(fresh.size, dtype=tile.dtype)
        number = np.concatenate([number, np.zeros(fresh.size << leaf_bits, dtype=number.dtype)])
        # Leaves of the new rows, as numbered here; the order of its blocks may differ.
        home = np.zeros(int(new.tile.max()) + 1, dtype=np.int64)
        home[new.tile] = tile
        leaf = np.repeat(np.arange(new.first.size - 1), np.diff(new.first))
        leaf = (home[leaf >> leaf_bits] << leaf_bits) | (leaf & ((1 << leaf_bits) - 1))
        order = np.argsort(leaf, kind="stable")
        leaf, entry = leaf[order], new.entry[order] + e0
        row_at = _places_of_zone(sheet, leaf, e0)
        _count(number, leaf, 1)
        rows = new.zone_start_count.copy()
        rows[:, 0] = zone
        rows[:, 1] += candidate.size
        candidate = np.concatenate([candidate, new.candidate])
    kept = np.delete(sheet.entry, gone)
    kept += (kept >= e1) * kept.dtype.type(len(rows) - (e1 - e0))
    entry = np.insert(kept, row_at - gone.searchsorted(row_at), entry)
    table = np.concatenate([sheet.zone_start_count[:e0], rows, sheet.zone_start_count[e1:]])
    # Blocks of leaves that nothing stands in any more; the first one is nobody's.
    used: Bool = np.any(number.reshape(-1, 1 << leaf_bits), axis=1)
    used[0] = True
    if not used.all():
        renumbered = np.where(used, np.cumsum(used) - 1, 0).astype(tile.dtype)
        tile, number = renumbered[tile], number.reshape(used.size, -1)[used].ravel()
    table[:, 1], candidate = _tidy(table[:, 1], table[:, 2], candidate)
    first = np.zeros(number.size + 1, dtype=sheet.first.dtype)
    np.cumsum(number, dtype=first.dtype, out=first[1:])
    return _made(
        sheet,
        {
            "tile": tile,
            "first": first,
            "entry": entry,
            "zone_start_count": table,
            "candidate": candidate,
        },
    )


def _count(number: I32, leaf: I64, each: int) -> None:
    """Add ``each`` to the number of rows of a leaf as often as it stands among ``leaf``, which are in order."""
    start = group_starts(leaf)
    number[leaf[start]] += (each * np.diff(start, append=leaf.size)).astype(number.dtype)


def _places_of_zone(sheet: Sheet, leaf: I64, entry: int) -> I64:
    """Row of each leaf before which the rows of a zone belong, whose first entry is ``entry``."""
    last = sheet.first.size - 1
    begin = sheet.first[np.minimum(leaf, last)].astype(np.int64)
    count = sheet.first[np.minimum(leaf + 1, last)] - begin
    own, row = expand(begin, count)
    return begin + np.bincount(own[sheet.entry[row] < entry], minlength=leaf.size)


def _tidy(start: Array, count: Array, candidate: Array) -> tuple[Array, Array]:
    """Leave lists out that no cell points to, when they are more than the others."""
    length = count.astype(np.int64)
    if candidate.size <= 2 * int(length.sum()):
        return start, candidate
    kept = ranges(start.astype(np.int64), length)
    return (np.cumsum(length) - length).astype(start.dtype), candidate.take(kept)


def splice_arrays(arrays: ZoneArrays, zone: int, size: int, new: ZoneArrays) -> ZoneArrays:
    """Put the zones of ``new`` (one, or none) in the place of ``size`` zones (one, or none) from ``zone`` on."""
    sides, rings = arrays.rings, new.rings
    blocks, runs, at = _two_levels(sides.blocks, sides.runs, zone, size, rings.blocks, rings.runs)
    per_zone = slice(zone, zone + size)
    out_rings = SideRuns(
        blocks=blocks,
        runs=runs,
        lon=_swap(sides.lon, at, rings.lon),
        lat=_swap(sides.lat, at, rings.lat),
        bounds=_swap(sides.bounds, at, rings.bounds),
        touches_north=_swap(sides.touches_north, per_zone, rings.touches_north),
        touches_south=_swap(sides.touches_south, per_zone, rings.touches_south),
    )
    line, given = arrays.boundary, new.boundary
    balls, pieces, at = _two_levels(line.blocks, line.runs, zone, size, given.blocks, given.runs)
    out_line = BoundaryRuns(
        blocks=balls,
        runs=pieces,
        **{name: _swap(getattr(line, name), at, getattr(given, name)) for name in ("x_m", "y_m", "z_m", "bend_m")},
    )
    mine = {
        f.name: _swap(getattr(arrays, f.name), per_zone, getattr(new, f.name))
        for f in fields(arrays)
        if not is_dataclass(getattr(arrays, f.name))
    }
    return _made(arrays, {**mine, "rings": out_rings, "boundary": out_line})


def _two_levels(
    blocks: _Rows, runs: _Rows, zone: int, size: int, new_blocks: _Rows, new_runs: _Rows
) -> tuple[_Rows, _Rows, slice]:
    """Exchange the blocks of zones and the runs of those; also where the runs stood."""
    b0, b1 = int(blocks.ptr[zone]), int(blocks.ptr[zone + size])
    r0, r1 = int(runs.ptr[b0]), int(runs.ptr[b1])
    return (
        _exchange(blocks, slice(zone, zone + size), slice(b0, b1), new_blocks),
        _exchange(runs, slice(b0, b1), slice(r0, r1), new_runs),
        slice(r0, r1),
    )


def _exchange(record: _Rows, owners: slice, rows: slice, new: _Rows) -> _Rows:
    out = {f.name: _swap(getattr(record, f.name), rows, getattr(new, f.name)) for f in fields(record)}
    out["ptr"] = _swap_ptr(record.ptr, owners, new.ptr)
    return _made(record, out)


def splice_shapes(shapes: DrawnShapes, zone: int, shape: ZoneShape) -> DrawnShapes:
    """Put a zone in the place of one of the same id."""
    old, new = shapes.arrays, DrawnShapes.of([shape]).arrays
    p0, p1 = old.zone_ptr[zone : zone + 2].tolist()
    r0, r1 = int(old.polygon_ptr[p0]), int(old.polygon_ptr[p1])
    positions = slice(int(old.ring_ptr[r0]), int(old.ring_ptr[r1]))
    arrays = DrawnArrays(
        kind=_set(old.kind, zone, new.kind[0]),
        purpose=_set(old.purpose, zone, new.purpose[0]),
        size_m=_set(old.size_m, zone, new.size_m[0]),
        zone_ptr=_swap_ptr(old.zone_ptr, slice(zone, zone + 1), new.zone_ptr),
        polygon_ptr=_swap_ptr(old.polygon_ptr, slice(p0, p1), new.polygon_ptr),
        ring_ptr=_swap_ptr(old.ring_ptr, slice(r0, r1), new.ring_ptr),
        lonlat_deg=_swap(old.lonlat_deg, positions, new.lonlat_deg),
    )
    names = shapes.names
    if shape.name != names[zone]:
        names = (*names[:zone], shape.name, *names[zone + 1 :])
    return DrawnShapes(shapes.ids, names, arrays)


def middles_deg(arrays: DrawnArrays) -> F64:
    """Middle of the box of each zone's positions, longitude and latitude; float64 (Z, 2)."""
    first = arrays.ring_ptr[arrays.polygon_ptr[arrays.zone_ptr[:-1]]]
    low, high = (f.reduceat(arrays.lonlat_deg, first, axis=0) for f in (np.minimum, np.maximum))
    middle: F64 = (low + high) / 2
    return middle


def _swap(values: Array, rows: slice, new: Array) -> Array:
    return np.concatenate([values[: rows.start], new, values[rows.stop :]])


def _swap_ptr(ptr: I64, owners: slice, new: I64) -> I64:
    begin, end = ptr[owners.start], ptr[owners.stop]
    return np.concatenate([ptr[: owners.start], begin + new, ptr[owners.stop + 1 :] + (begin + new[-1] - end)])


def _set(values: Array, at: int, value: Any) -> Array:
    out = values.copy()
    out[at] = value
    return out


def _per_zone(record: EdgeTable | ZoneGrids, zone: int, new: EdgeTable | ZoneGrids, others: set[str]) -> dict[str, Any]:
    names = [f.name for f in fields(record) if f.name not in others]
    return {name: _set(getattr(record, name), zone, getattr(new, name)[0]) for name in names}


def _made(record: _R, changed: dict[str, Any]) -> _R:
    out = replace(record, **changed)
    freeze(out)
    return out
