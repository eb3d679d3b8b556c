"""Fixes against shared zones: which rows of the sheets they meet, and what those say.

::

      all fixes        tile: empty, done                                     a block of fixes at a time
        in tiles       leaf, and its rows (zone, list)                       collected until they are many
          with a list  nearest edge                                          in full blocks
"""

import numpy as np

from geofence_core.arrays import F64, I32, I64, even, indices, narrow, ranges
from geofence_core.drawn import DrawnZones
from geofence_core.edges import EdgeTable
from geofence_core.judge import OUTSIDE_FLOOR_M
from geofence_core.listed import Places, into_rim, listed_m, places_of
from geofence_core.nearest import POINTS, POOL, Work, shortest_first
from geofence_core.sheets import BLOCK_DEG, LEAF_BITS, Sheet, Sheets


def query(
    edges: EdgeTable, sheets: Sheets, drawn: DrawnZones, lat_deg: F64, lon_deg: F64, work: Work
) -> tuple[I64, I64, F64]:
    """Every (fix, zone) pair within the band or inside, for indexed zones.

    Parameters
    ----------
    edges, sheets, drawn
        The zones.
    lat_deg, lon_deg
        float64 (N,), degree, as they were given; what is no position meets no zone.
    work
        Buffers.

    Returns
    -------
    fix_idx, zone_idx, signed_m
        int64 (M,), rising by fix, then zone; float64 (M,), metre, up to ``band_m``, exact there, just
        below ``-band_m`` deeper inside.
    """
    if len(sheets.sheets) == 1 and not sheets.block.size:
        return _query(edges, sheets, sheets.sheets[0], drawn, Places(lat_deg, lon_deg), work)
    places = places_of(lat_deg, lon_deg)
    found: list[tuple[I64, I64, F64]] = []
    for which, rows in _by_sheet(sheets, places):
        part = Places(places.lat_deg.take(rows), places.lon_deg.take(rows))
        fix, zone, signed = _query(edges, sheets, sheets.sheets[which], drawn, part, work)
        found.append((rows.take(fix), zone, signed))
    fix, zone, signed = _joined(found)
    order = np.argsort(fix, kind="stable")
    return fix[order], zone[order], signed[order]


def _joined(found: list[tuple[I64, I64, F64]]) -> tuple[I64, I64, F64]:
    if len(found) == 1:
        return found[0]
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    fix, zone, signed = (np.concatenate(c) for c in zip(*found, strict=True))
    return fix, zone, signed


def _by_sheet(sheets: Sheets, places: Places) -> list[tuple[int, I64]]:
    if not sheets.block.size:
        return []
    n_lon = 360 // BLOCK_DEG
    present = indices(places.lat_deg == places.lat_deg)
    y = np.minimum(((places.lat_deg[present] + 90.0) / BLOCK_DEG).astype(np.int64), 180 // BLOCK_DEG - 1)
    x = np.minimum(((places.lon_deg[present] + 180.0) / BLOCK_DEG).astype(np.int64), n_lon - 1)
    which = sheets.block[y * n_lon + x] - 1
    order = np.argsort(which, kind="stable")
    ranked = which[order]
    first = np.flatnonzero(np.diff(ranked, prepend=-2))
    return [
        (int(ranked[a]), present[order[a:b]])
        for a, b in zip(first.tolist(), [*first[1:].tolist(), ranked.size], strict=True)
        if ranked[a] >= 0
    ]


def _query(
    edges: EdgeTable, sheets: Sheets, sheet: Sheet, drawn: DrawnZones, places: Places, work: Work
) -> tuple[I64, I64, F64]:
    found: list[tuple[I64, I64, F64]] = []
    fixes: list[I64] = []
    entries: list[I32] = []
    waiting, checked = 0, False
    for a in range(0, places.lat_deg.size, POINTS):
        lat, lon = places.lat_deg[a : a + POINTS], places.lon_deg[a : a + POINTS]
        u, v = _in_leaves(sheet, lat, lon, work)
        if not (_off_rim(u, sheet.columns) and _off_rim(v, sheet.rows)):
            if not checked:
                # Only now: what lies within the sheet, off its rim, is a position as it should be. The rim may reach
                # beyond the antimeridian, where another longitude of the same place has zones.
                places, checked = places_of(*places), True
                u, v = _in_leaves(sheet, places.lat_deg[a : a + POINTS], places.lon_deg[a : a + POINTS], work)
            into_rim(u, sheet.columns << LEAF_BITS)
            into_rim(v, sheet.rows << LEAF_BITS)
        fix, entry = _rows(sheet, u, v)
        if fix.size:
            fix += a
            fixes.append(fix)
            entries.append(entry)
            waiting += fix.size
        if waiting >= POINTS * POOL:
            found.append(_judge(edges, sheets.band_m, sheet, drawn, places, fixes, entries, work))
            fixes, entries, waiting = [], [], 0
    if fixes:
        found.append(_judge(edges, sheets.band_m, sheet, drawn, places, fixes, entries, work))
    return _joined(found)


def _in_leaves(sheet: Sheet, lat: F64, lon: F64, work: Work) -> tuple[F64, F64]:
    """Turn degrees into leaves from the corner of the sheet, in buffers."""
    u, v = work.held[: lat.size], work.along[: lat.size]
    np.subtract(lon, sheet.west_deg, out=u)
    u *= sheet.lon_scale
    np.subtract(lat, sheet.south_deg, out=v)
    v *= sheet.lat_scale
    return u, v


def _off_rim(leaf: F64, tiles: int) -> bool:
    """Whether all are leaves of inner tiles; False with NaN."""
    side = 1 << LEAF_BITS
    return bool(np.minimum.reduce(leaf) >= side and np.maximum.reduce(leaf) < (tiles - 1) * side)


def _rows(sheet: Sheet, u: F64, v: F64) -> tuple[I64, I32]:
    """Find the rows of each fix's leaf, fixes and entries: the only step that every fix takes part in."""
    x, y = u.astype(np.int32), v.astype(np.int32)
    tile = y >> LEAF_BITS
    tile *= sheet.columns
    tile += x >> LEAF_BITS
    block = sheet.tile.take(tile)
    here = indices(block)
    if not here.size:
        return here, block[:0]
    if here.size < x.size:
        block, x, y = block.take(here), x.take(here), y.take(here)
    mask = (1 << LEAF_BITS) - 1
    block <<= LEAF_BITS
    y &= mask
    block |= y
    block <<= LEAF_BITS
    x &= mask
    block |= x
    row: I32 | I64 = sheet.first.take(block)
    block += 1
    number = sheet.first.take(block)
    number -= row
    some = indices(number)
    if not some.size:
        return some, block[:0]
    fix = here
    if some.size < here.size:
        number, row, fix = number.take(some), row.take(some), here.take(some)
    if number.max() > 1:
        fix, row = fix.repeat(number), ranges(row, number)
    return fix, sheet.entry.take(row)


def _judge(
    edges: EdgeTable,
    band_m: float,
    sheet: Sheet,
    drawn: DrawnZones,
    places: Places,
    fixes: list[I64],
    entries: list[I32],
    work: Work,
) -> tuple[I64, I64, F64]:
    fix = np.concatenate(fixes) if len(fixes) > 1 else fixes[0]
    entry = np.concatenate(entries) if len(entries) > 1 else entries[0]
    limit_m = band_m + OUTSIDE_FLOOR_M
    record = sheet.zone_start_count.take(entry, axis=0)
    zone = record[:, 0].astype(np.int64)
    signed = np.full(fix.size, -limit_m)
    listed = indices(record[:, 2])
    if not listed.size:
        return fix, zone, signed
    record = record.take(listed, axis=0)
    lengths, starts = narrow(record[:, 2]), record[:, 1].copy()
    for part in even(listed.size, POINTS):
        count, at, start = shortest_first(lengths[part], listed[part], starts[part])
        f = fix.take(at)
        here = Places(places.lat_deg.take(f), places.lon_deg.take(f))
        d = listed_m(edges, sheet.candidate, drawn, here, zone.take(at), start, count, work)
        np.maximum(d, -limit_m, out=d)
        signed[at] = d
    keep = indices(signed <= band_m)
    if keep.size == fix.size:
        return fix, zone, signed
    return fix.take(keep), zone.take(keep), signed.take(keep)
