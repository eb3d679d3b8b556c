"""One zone's edges and circles taken out of the grid for segments, and others entered."""

import numpy as np

from geofence_core.arrays import F64, I64, freeze, indices
from geofence_core.sweep import Edges, Rounds, SweepIndex


def splice_sweep(index: SweepIndex, zone: int, new: SweepIndex) -> SweepIndex:
    """Put the items of ``new``, one zone entered by `sweep.sweep_like`, in the place of a zone's.

    The boxes that say which cells zones lie in are kept for the old zone too: they only rule out.
    """
    edges, rounds, grid = index.edges, index.rounds, index.grid
    kept_edges, kept_rounds = indices(edges.zone != zone), indices(rounds.zone != zone)
    n_edges = kept_edges.size + new.edges.zone.size
    # Numbers of the items that stay: edges, then rounds, the new ones behind each.
    number = np.full(edges.zone.size + rounds.zone.size, -1, dtype=np.int64)
    number[kept_edges] = np.arange(kept_edges.size)
    number[edges.zone.size + kept_rounds] = n_edges + np.arange(kept_rounds.size)
    item = number.take(index.item)
    gone = indices(item < 0)
    count = np.diff(index.ptr) - _per_cell(index.ptr.astype(np.int64), gone)
    end = np.cumsum(count)
    given = new.item.astype(np.int64)
    is_edge = given < new.edges.zone.size
    given += np.where(is_edge, kept_edges.size, n_edges + kept_rounds.size - new.edges.zone.size)
    given_count = np.diff(new.ptr)
    item = np.insert(np.delete(item, gone), end.repeat(given_count), given)
    count += given_count
    out = SweepIndex(
        zones=index.zones,
        grid=grid,
        within=grid.sums(grid.unsummed(index.within) | grid.unsummed(new.within)),
        rims=grid.sums(count.reshape(grid.lat.size, grid.lon.size) > 0),
        ptr=np.append(0, np.cumsum(count)).astype(np.int32),
        item=item.astype(np.int32),
        edges=_edges(edges, kept_edges, new.edges, zone),
        rounds=_rounds(rounds, kept_rounds, new.rounds, zone),
    )
    freeze(out)
    return out


def _per_cell(ptr: I64, rows: I64) -> I64:
    """How many of the rows stand in each cell."""
    return np.bincount(ptr.searchsorted(rows, side="right") - 1, minlength=ptr.size - 1)


def _edges(old: Edges, kept: I64, new: Edges, zone: int) -> Edges:
    def joined(a: F64, b: F64) -> F64:
        return np.concatenate([a.take(kept), b])

    return Edges(
        lon_a=joined(old.lon_a, new.lon_a),
        lat_a=joined(old.lat_a, new.lat_a),
        lon_b=joined(old.lon_b, new.lon_b),
        lat_b=joined(old.lat_b, new.lat_b),
        zone=np.concatenate([old.zone.take(kept), np.full(new.zone.size, zone, dtype=np.int64)]),
    )


def _rounds(old: Rounds, kept: I64, new: Rounds, zone: int) -> Rounds:
    def joined(a: F64, b: F64) -> F64:
        return np.concatenate([a.take(kept, axis=-1), b], axis=-1)

    return Rounds(
        ends_m=joined(old.ends_m, new.ends_m),
        middle_m=joined(old.middle_m, new.middle_m),
        half_m=joined(old.half_m, new.half_m),
        bend_m=joined(old.bend_m, new.bend_m),
        reach_m=joined(old.reach_m, new.reach_m),
        circle=np.concatenate([old.circle.take(kept), new.circle]),
        zone=np.concatenate([old.zone.take(kept), np.full(new.zone.size, zone, dtype=np.int64)]),
    )
