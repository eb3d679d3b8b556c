"""Which zones are beyond doubt, found for all at once: a file without faults is checked in a few array passes.

What is not clean is no fault yet: `validate.check` looks at it zone by zone, and says what is wrong or mends it.
"""

import numpy as np
import shapely

from geofence_core.arrays import F64, I64, Bool, expand, ranges
from geofence_core.shapes import KINDS, DrawnArrays
from geofence_core.validate import LONGEST_EDGE_DEG

SURE = 1e-6
"""Least area of a ring whose winding is beyond doubt, relative to the sum of the products it is made of: those round at
1e-16 each."""


def clean(drawn: DrawnArrays) -> Bool:
    """Find the zones that `validate.check` would take as they are.

    Parameters
    ----------
    drawn
        Z zones, not yet checked.

    Returns
    -------
    bool (Z,): valid areas, closed, wound as they should be, within the map; False for circles and corridors.
    """
    ring_bad = _bad_rings(drawn)
    polygon_of = np.repeat(np.arange(drawn.polygon_ptr.size - 1), np.diff(drawn.polygon_ptr))
    zone_of = np.repeat(np.arange(drawn.kind.size), np.diff(drawn.zone_ptr))
    zone_bad = np.bincount(zone_of[polygon_of[ring_bad]], minlength=drawn.kind.size) > 0
    polygons = np.diff(drawn.zone_ptr)
    # One part makes a polygon, more a multipolygon; that it is called so is part of being clean.
    called = np.where(polygons == 1, KINDS.index("polygon"), KINDS.index("multipolygon"))
    good: Bool = ~zone_bad & (polygons > 0) & (drawn.kind == called)
    zones = np.flatnonzero(good)
    if zones.size:
        good[zones] = _valid(drawn, zones)
    return good


def _bad_rings(drawn: DrawnArrays) -> I64:
    """Find rings with any fault that their own positions tell, or whose winding is in doubt."""
    size = np.diff(drawn.ring_ptr)
    ring_of = np.repeat(np.arange(size.size), size)
    lon, lat = drawn.lonlat_deg[:, 0], drawn.lonlat_deg[:, 1]
    bad = size < 4
    bad[ring_of[~((np.abs(lon) <= 180.0) & (np.abs(lat) <= 90.0))]] = True
    full = np.flatnonzero(size)
    first, last = drawn.ring_ptr[:-1][full], drawn.ring_ptr[1:][full] - 1
    bad[full] |= (lon[first] != lon[last]) | (lat[first] != lat[last])
    a = np.flatnonzero(ring_of[1:] == ring_of[:-1])
    b = a + 1
    bad[ring_of[a[(lon[a] == lon[b]) & (lat[a] == lat[b])]]] = True
    bad[ring_of[a[~(np.abs(lon[a] - lon[b]) <= LONGEST_EDGE_DEG)]]] = True
    # Relative to the first vertex: a zone of a metre at longitude 180 would otherwise lose its area to rounding.
    start = drawn.ring_ptr[:-1][ring_of]
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = lon - lon[start], lat - lat[start]
        left, right = x[a] * y[b], x[b] * y[a]
        area = np.bincount(ring_of[a], left - right, minlength=size.size)
        whole = np.bincount(ring_of[a], np.abs(left) + np.abs(right), minlength=size.size)
    is_shell = np.zeros(size.size, dtype=bool)
    is_shell[drawn.polygon_ptr[:-1][np.diff(drawn.polygon_ptr) > 0]] = True
    bad |= ~(np.where(is_shell, area, -area) > SURE * whole)
    return np.flatnonzero(bad)


def _valid(drawn: DrawnArrays, zones: I64) -> Bool:
    """Whether zones of good rings are valid as a whole, as GEOS sees it."""
    polygon = _members(drawn.zone_ptr, zones)
    ring = _members(drawn.polygon_ptr, polygon)
    at = _members(drawn.ring_ptr, ring)
    rings = np.asarray(shapely.linearrings(drawn.lonlat_deg[at], indices=_owner(drawn.ring_ptr, ring)))
    polygons = np.asarray(shapely.polygons(rings, indices=_owner(drawn.polygon_ptr, polygon)))
    whole = np.asarray(shapely.multipolygons(polygons, indices=_owner(drawn.zone_ptr, zones)))
    return np.asarray(shapely.is_valid(whole))


def _members(ptr: I64, owners: I64) -> I64:
    """List what belongs to some owners, in order."""
    return ranges(ptr[owners], ptr[owners + 1] - ptr[owners])


def _owner(ptr: I64, owners: I64) -> I64:
    """Say which of some owners each of their members belongs to."""
    return expand(ptr[owners], ptr[owners + 1] - ptr[owners])[0]


def middles(drawn: DrawnArrays) -> F64:
    """Middle of each zone's box, float64 (Z, 2), longitude and latitude; every zone has a position."""
    first = drawn.ring_ptr[drawn.polygon_ptr[drawn.zone_ptr[:-1]]]
    if not first.size:
        return np.zeros((0, 2))
    low, high = (ufunc.reduceat(drawn.lonlat_deg, first, axis=0) for ufunc in (np.minimum, np.maximum))
    middle: F64 = (low + high) / 2
    return middle
