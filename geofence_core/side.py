"""Which side of a zone's rings a fix is on, decided in longitude and latitude, where edges are straight by definition.

::

          o   north                A meridian is followed from the fix to the pole; the fix is inside when it meets the
     .----|-----.                  rings an odd number of times. Following a meridian, not a parallel, means that no
     |    |     |                  edge ever has to be unrolled over the antimeridian.
     |    o fix |
     '----------'                  Rings are stored in runs of RUN edges, and blocks of runs, with their boxes. What
                                   lies wholly north of the fix counts by its two ends alone; only blocks, then runs,
                                   whose box holds the fix are opened.

No projection, no tolerance in metres: an edge counts as touched when the sign of the orientation determinant cannot be
told from zero in doubles, which is below 2e-8 m anywhere, and a touched zone holds the fix.
"""

from dataclasses import dataclass

import numpy as np

from geofence_core.arrays import F64, I64, Bool, chunks, expand, indices

RUN = 8
"""Edges of one run, in `side` and in `boundary`; longer runs open more edges per fix, shorter ones test more boxes."""

ORIENTATION_ERROR = (3 + 16 * 2**-53) * 2**-53
"""Relative error of the 2x2 orientation determinant in doubles; no unit; Shewchuk, "Adaptive precision floating-point
arithmetic", 1997, section 4.2. A smaller value gives coin-toss sides on the boundary."""

CHUNK_BLOCKS = 1 << 15
"""Blocks asked at once; bounds the temporaries to about 20 MB per call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """Boxes round stretches of rings, as children of owners (zones, or longer stretches); boxes B, degree.

    ``ptr`` int64 (owners + 1,); the rest float64 (B,): the box, and the longitudes of the stretch's two ends.
    """

    ptr: I64
    lon_min: F64
    lon_max: F64
    lat_min: F64
    lat_max: F64
    lon_first: F64
    lon_last: F64

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, name).nbytes) for name in self.__slots__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRuns:
    """Rings of all zones as runs of `RUN` edges, shorter ones filled up with their last vertex.

    ``blocks`` boxes of each zone's blocks; ``runs`` boxes of each block's runs; ``lon lat`` float64 (R, RUN + 1),
    degree; ``bounds`` bool (R,), False where the edges are drawn but bound nothing (`seams`); ``touches_north
    touches_south`` bool (Z,).
    """

    blocks: Boxes
    runs: Boxes
    lon: F64
    lat: F64
    bounds: Bool
    touches_north: Bool
    touches_south: Bool

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(int(getattr(self, name).nbytes) for name in self.__slots__)


def sides(runs: SideRuns, zone_idx: I64, lat_deg: F64, lon_deg: F64) -> tuple[Bool, Bool]:
    """Side of each fix against its zone.

    Parameters
    ----------
    runs
        Rings of all zones.
    zone_idx, lat_deg, lon_deg
        int64 (P,), float64 (P,): one (zone, fix) pair each; longitude in [-180, 180), no NaN.

    Returns
    -------
    inside, touching
        bool (P,): inside or on the rings; and on a ring that bounds the zone.

    Notes
    -----
    Exact but for rounding of the coordinates themselves: 3e-14 degree, 3e-9 m.
    """
    inside = np.empty(zone_idx.size, dtype=bool)
    touching = np.empty(zone_idx.size, dtype=bool)
    start = runs.blocks.ptr[zone_idx]
    count = runs.blocks.ptr[zone_idx + 1] - start
    for part in chunks(count, CHUNK_BLOCKS):
        inside[part], touching[part] = _sides(
            runs, zone_idx[part], lat_deg[part], lon_deg[part], start[part], count[part]
        )
    return inside, touching


def _sides(runs: SideRuns, zone: I64, lat: F64, lon: F64, start: I64, count: I64) -> tuple[Bool, Bool]:
    pairs = zone.size
    pair, block = expand(start, count)
    crossings, pair, block = _meet(runs.blocks, pair, block, lat, lon)
    first = runs.runs.ptr[block]
    inner, run = expand(first, runs.runs.ptr[block + 1] - first)
    more, pair, run = _meet(runs.runs, pair[inner], run, lat, lon)
    crossings += more

    x, y = lon[pair], lat[pair]
    hits, drawn = _open(runs, run, x, y)
    crossings += np.bincount(pair, weights=hits, minlength=pairs).astype(np.int64)
    seam = indices(_at_seam(runs.runs, run, x))
    if seam.size:
        drawn[seam] |= _open(runs, run[seam], np.full(seam.size, 180.0), y[seam])[1]

    inside = crossings % 2 == 1
    inside[pair[drawn]] = True
    touching = np.zeros(pairs, dtype=bool)
    touching[pair[drawn & runs.bounds[run]]] = True
    # All longitudes meet at a pole, so a ring that reaches it holds it whatever longitude the fix came with.
    inside |= (lat == 90.0) & runs.touches_north[zone]
    inside |= (lat == -90.0) & runs.touches_south[zone]
    return inside, touching


def _meet(boxes: Boxes, pair: I64, box: I64, lat: F64, lon: F64) -> tuple[I64, I64, I64]:
    """Count the crossings of stretches wholly north of the fix, and keep the stretches whose box holds it.

    Parameters
    ----------
    pair, box
        int64 (M,): which box is asked for which pair.
    lat, lon
        float64 (P,), degree.

    Returns
    -------
    crossings, pair, box
        int64 (P,); and what is left to open.
    """
    x, y = lon[pair], lat[pair]
    in_lon = (x >= boxes.lon_min[box]) & (x <= boxes.lon_max[box])
    south = boxes.lat_min[box]
    crossed = in_lon & (south > y) & ((boxes.lon_first[box] <= x) != (boxes.lon_last[box] <= x))
    crossings = np.bincount(pair[crossed], minlength=lat.size)
    keep = indices((in_lon | _at_seam(boxes, box, x)) & (south <= y) & (y <= boxes.lat_max[box]))
    return crossings, pair[keep], box[keep]


def _at_seam(boxes: Boxes, box: I64, x: F64) -> Bool:
    """Whether a fix on the antimeridian, -180 to the meridian it follows, meets edges that end at +180."""
    at_seam: Bool = (x == -180.0) & (boxes.lon_max[box] == 180.0)
    return at_seam


def _open(runs: SideRuns, run: I64, x: F64, y: F64) -> tuple[I64, Bool]:
    """Look at every edge of a run: crossings north of the fix (S,), and whether an edge is touched (S,)."""
    lon = runs.lon[run]
    lat = runs.lat[run]
    px = x[:, None]
    py = y[:, None]
    dx = lon - px
    dy = lat - py
    x0, x1 = dx[:, :-1], dx[:, 1:]
    y0, y1 = dy[:, :-1], dy[:, 1:]
    west = lon <= px
    spans = west[:, :-1] != west[:, 1:]
    # Orientation of (fix, edge start, edge end); differences first, so a zone of a metre keeps its digits.
    left = (lon[:, 1:] - lon[:, :-1]) * y0
    right = (lat[:, 1:] - lat[:, :-1]) * x0
    det = right - left
    error = ORIENTATION_ERROR * (np.abs(left) + np.abs(right))
    hits = (spans & ((det < 0) == (x1 > x0))).sum(axis=1)
    in_x = (np.minimum(x0, x1) <= 0) & (np.maximum(x0, x1) >= 0)
    in_y = (np.minimum(y0, y1) <= 0) & (np.maximum(y0, y1) >= 0)
    return hits, np.any((np.abs(det) <= error) & in_x & in_y, axis=1)
