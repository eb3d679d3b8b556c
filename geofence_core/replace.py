"""One zone of a table exchanged: what has been made is spliced, what has not stays unmade."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from geofence_core.build import ZoneArrays, build
from geofence_core.edges import build_edges
from geofence_core.given import redrawn
from geofence_core.grids import ZoneGrids, build_exact_grids, build_grids
from geofence_core.index import ZoneIndex
from geofence_core.saved import Part
from geofence_core.shapes import Mend, ZoneShape
from geofence_core.sheets import Sheets, build_sheets, sheets_like
from geofence_core.splice import middles_deg, splice_arrays, splice_edges, splice_grids, splice_shapes, splice_sheets
from geofence_core.splicesweep import splice_sweep
from geofence_core.sweep import sweep_index, sweep_like
from geofence_core.validate import check, check_place


def checked(
    index: ZoneIndex, zone: int, geometry: Mapping[str, Any] | shapely.Geometry, *, mend: bool
) -> tuple[ZoneShape, list[Mend]]:
    """Read and check what is to take a zone's place, as `ZoneTable.from_geojson` does.

    Raises
    ------
    ZoneGeometryError
        The geometry is refused.
    """
    shape, mends = check(redrawn(index.shapes[zone], geometry), mend=mend)
    if len(index.shapes) >= 3:
        others = np.delete(middles_deg(index.shapes.arrays), zone, axis=0)
        shape, more = check_place(shape, np.median(others, axis=0), mend=mend)
        mends += more
    return shape, mends


def replaced(index: ZoneIndex, zone: int, shape: ZoneShape) -> ZoneIndex:
    """Return an index with another zone in one place.

    Parameters
    ----------
    index
        Stays as it is.
    zone, shape
        Which zone, and the one that takes its place; checked, of the same id.

    Returns
    -------
    ZoneIndex
        Answers to the bit as one that is built from the same shapes.

    Notes
    -----
    Cost: the new zone is laid out and cut alone; the rest is copied once, 0.3 ns a byte. Only when a zone leaves the
    rectangle that sheets or the grid of segments cover, those are built anew.
    """
    shapes = splice_shapes(index.shapes, zone, shape)
    alone = build_edges([shape])
    edges = splice_edges(index.edges, zone, alone)
    only = len(shapes) == 1
    parts: dict[str, Part] = {}
    for name, part in index.made.items():
        if isinstance(part, ZoneGrids):
            if name == "exact_grids":
                cut = build_exact_grids(alone, index.band_m, alone=only)
            else:
                cut = build_grids(alone, part.band_m, alone=only)
            parts[name] = splice_grids(part, zone, cut)
        elif isinstance(part, Sheets):
            like = sheets_like(alone, part)
            parts[name] = build_sheets(edges, part.band_m) if like is None else splice_sheets(part, zone, like)
        elif isinstance(part, ZoneArrays):
            parts[name] = splice_arrays(part, zone, 1, build([shape]))
        else:
            swept = sweep_like([shape], part.grid)
            parts[name] = sweep_index(tuple(shapes)) if swept is None else splice_sweep(part, zone, swept)
    row = int(np.searchsorted(index.other, zone))
    was, stays = not index.edges.is_indexed[zone], not alone.is_indexed[0]
    others = index.others
    if was or stays:
        others = splice_arrays(others, row, int(was), build([shape] if stays else []))
    found = ZoneIndex(shapes, index.band_m, edges, parts, others=others)
    found.drawn = index.drawn.over(shapes, zone)
    return found
