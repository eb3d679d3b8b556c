"""One chunk against all zones: which fixes are inside, where the ways between them cross boundaries.

For one device and one zone::

    fixes            o-----o-----i-----i-----i-----o-----o     gap      i-----i
    crossings                 enter             exit    pass            first_inside
    runs                     |-----------------|        ||              |-----...

A run is a row of fixes inside without a gap. It may go on before and behind the chunk; the stitcher joins it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, unique
from typing import Self

import numpy as np

from geofence_core import ZoneTable
from geofence_core.arrays import F64, I8, I32, I64, Bool, indices
from rig.backtest.chunks import Chunk
from rig.backtest.fixes import Fixes


@unique
class Crossing(IntEnum):
    """What a crossing is."""

    ENTER = 0
    EXIT = 1
    FIRST_INSIDE = 2
    """Inside at the first fix of a device, or at the first one after a gap."""
    PASS = 3
    """In and out again between two fixes, both outside."""


@unique
class Began(IntEnum):
    """How a run of fixes inside began."""

    ENTER = 0
    FIRST_INSIDE = 1
    PASS = 2
    BEFORE_CHUNK = 3


@unique
class Ended(IntEnum):
    """How a run of fixes inside ended."""

    EXIT = 0
    GAP = 1
    PASS = 2
    END = 3
    """With the history."""
    BEHIND_CHUNK = 4


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """How fixes are joined.

    ``max_gap_ns``: two fixes further apart in time are not joined; None where there are no times.
    """

    max_gap_ns: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Base of records made of columns of one length."""

    device: I32

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.device.size)

    def take(self, rows: I64 | Bool | slice) -> Self:
        """Return some of the rows."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the parts one behind the other; there must be one at least."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class Crossings(Rows):
    """Crossings; C rows, sorted by ``after``, then zone.

    ``device`` int32, ``zone`` int64, ``kind`` int8 (`Crossing`). ``t_ns`` int64, ``lat_deg lon_deg`` float64: where the
    straight way between the two fixes meets the boundary; of a pass, first. ``fraction`` float64 of that way, NaN for
    FIRST_INSIDE. ``until_ns until_fraction``: last point inside of a pass; NaN else. ``before after`` int64: numbers of
    the two fixes (before is 0 for FIRST_INSIDE), with their times and signed distances in metres, NaN where the
    distance is beyond the table's band.
    """

    zone: I64
    kind: I8
    t_ns: I64
    lat_deg: F64
    lon_deg: F64
    fraction: F64
    until_ns: I64
    until_fraction: F64
    before: I64
    before_ns: I64
    before_m: F64
    after: I64
    after_ns: I64
    after_m: F64


@dataclass(frozen=True, slots=True, eq=False)
class Runs(Rows):
    """Runs of fixes inside; R rows.

    ``device`` int32, ``zone`` int64, ``began`` int8 (`Began`), ``ended`` int8 (`Ended`); ``from_ns to_ns`` int64, at
    the boundary where a fix outside is joined; ``first_ns last_ns`` int64, times of the first and last fix inside (of a
    pass: of the points on the boundary); ``n_fixes`` int64, the chunk's own; ``closed_by`` int64, number of the fix
    that ended it, 0 where it goes on.
    """

    zone: I64
    began: I8
    ended: I8
    from_ns: I64
    to_ns: I64
    first_ns: I64
    last_ns: I64
    n_fixes: I64
    closed_by: I64


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a chunk says: crossings are final, runs are to be joined.

    ``n_fixes``: the chunk's own; ``devices`` int32: whose they are.
    """

    number: int
    n_fixes: int
    crossings: Crossings
    runs: Runs
    devices: I32


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """What the ways between neighbouring fixes touch; ``key`` int64, rising: fix a way leads to, times Z, plus zone."""

    key: I64
    entry: F64
    exit: F64


def judge_chunk(zones: ZoneTable, rules: Rules, chunk: Chunk) -> Judged:
    """Judge one chunk.

    Parameters
    ----------
    zones
        Any number of threads and processes may share it.
    rules, chunk
        Independent of every other chunk.

    Returns
    -------
    Judged
        The same values for a fix, and for a way between two fixes, whichever chunk they are in.

    Notes
    -----
    The ways tell which fixes are inside: a way's exit is 1 exactly if it ends inside (`ZoneTable.crossed`). Only fixes
    that no way leads to are asked for themselves.
    """
    fixes, n_zones = chunk.fixes, max(len(zones), 1)
    joined = _joined(fixes, rules)
    sweep = _sweep(zones, fixes, indices(joined), n_zones)
    runs, first, last = _runs(chunk, joined, *_inside(zones, fixes, joined, sweep, n_zones))

    began_by = indices(runs.began == Began.ENTER)
    ended_by = indices(runs.ended == Ended.EXIT)
    new = indices(runs.began == Began.FIRST_INSIDE)
    entering = np.searchsorted(sweep.key, first[began_by] * n_zones + runs.zone[began_by])
    leaving = np.searchsorted(sweep.key, (last[ended_by] + 1) * n_zones + runs.zone[ended_by])
    passing = indices((sweep.entry > 0.0) & (sweep.exit < 1.0))
    none = np.full(new.size, np.nan)
    crossings = _crossings(
        zones,
        fixes,
        to=np.concatenate([first[began_by], last[ended_by] + 1, sweep.key[passing] // n_zones, first[new]]),
        zone=np.concatenate([runs.zone[began_by], runs.zone[ended_by], sweep.key[passing] % n_zones, runs.zone[new]]),
        kind=np.repeat(
            np.array([Crossing.ENTER, Crossing.EXIT, Crossing.PASS, Crossing.FIRST_INSIDE], dtype=np.int8),
            [began_by.size, ended_by.size, passing.size, new.size],
        ),
        fraction=np.concatenate([sweep.entry[entering], sweep.exit[leaving], sweep.entry[passing], none]),
        until=np.concatenate([np.full(entering.size + leaving.size, np.nan), sweep.exit[passing], none]),
    )
    runs.from_ns[began_by] = crossings.t_ns[: began_by.size]
    runs.to_ns[ended_by] = crossings.t_ns[began_by.size : began_by.size + ended_by.size]
    runs = Runs.join([runs, _as_runs(crossings.take(crossings.kind == Crossing.PASS))])
    order = np.lexsort((crossings.zone, crossings.after))
    own = fixes.device[~chunk.is_lead]
    return Judged(chunk.number, own.size, crossings.take(order), runs, np.unique(own))


def _joined(fixes: Fixes, rules: Rules) -> Bool:
    """Which fixes are joined to the one before them: the same device, and no gap."""
    joined = np.zeros(len(fixes), dtype=bool)
    joined[1:] = fixes.device[1:] == fixes.device[:-1]
    if rules.max_gap_ns is not None:
        joined[1:] &= np.diff(fixes.t_ns) <= rules.max_gap_ns
    return joined


def _sweep(zones: ZoneTable, fixes: Fixes, to: I64, n_zones: int) -> _Sweep:
    lat, lon = fixes.lat_deg, fixes.lon_deg
    found = zones.crossed(lat[to - 1], lon[to - 1], lat[to], lon[to])
    segment = np.repeat(to, np.diff(found.segment_ptr))
    return _Sweep(segment * n_zones + found.zone_idx, found.entry, found.exit)


def _inside(zones: ZoneTable, fixes: Fixes, joined: Bool, sweep: _Sweep, n_zones: int) -> tuple[I64, I64]:
    """Return fixes inside zones as pairs, sorted by zone, then fix."""
    alone = indices(~joined)
    held = zones.near(fixes.lat_deg[alone], fixes.lon_deg[alone], 0.0)
    fix, zone = np.divmod(sweep.key[sweep.exit == 1.0], n_zones)
    fix = np.concatenate([fix, np.repeat(alone, np.diff(held.fix_ptr))])
    zone = np.concatenate([zone, held.zone_idx])
    order = np.argsort(zone * len(fixes) + fix, kind="stable")
    return fix[order], zone[order]


def _runs(chunk: Chunk, joined: Bool, fix: I64, zone: I64) -> tuple[Runs, I64, I64]:
    """Group pairs, sorted by zone and fix, into runs; also returns the first and last fix of each."""
    fixes, n = chunk.fixes, len(chunk.fixes)
    start = np.ones(fix.size, dtype=bool)
    start[1:] = (zone[1:] != zone[:-1]) | (fix[1:] != fix[:-1] + 1) | ~joined[fix[1:]]
    head = indices(start)
    tail = np.concatenate([head[1:], [fix.size]])[: head.size] - 1
    first, last = fix[head], fix[tail]
    lead = chunk.is_lead[first]
    began = np.where(lead, Began.BEFORE_CHUNK, np.where(joined[first], Began.ENTER, Began.FIRST_INSIDE))

    following = np.minimum(last + 1, n - 1)
    goes_on = (last + 1 == n) | (fixes.device[following] != fixes.device[last])
    ended = np.where(goes_on, Ended.BEHIND_CHUNK, np.where(joined[following], Ended.EXIT, Ended.GAP))
    runs = Runs(
        device=fixes.device[first],
        zone=zone[head].astype(np.int64),
        began=began.astype(np.int8),
        ended=ended.astype(np.int8),
        from_ns=fixes.t_ns[first],
        to_ns=fixes.t_ns[last],
        first_ns=fixes.t_ns[first],
        last_ns=fixes.t_ns[last],
        n_fixes=last - first + 1 - lead,
        closed_by=np.where(goes_on, 0, fixes.number[following]),
    )
    return runs, first, last


def _crossings(zones: ZoneTable, fixes: Fixes, to: I64, zone: I64, kind: I8, fraction: F64, until: F64) -> Crossings:
    """Fill in times, places and distances. Row i is about zone ``zone[i]`` on the way to fix ``to[i]``."""
    is_first = kind == Crossing.FIRST_INSIDE
    start = np.where(is_first, to, to - 1)
    share = np.where(is_first, 1.0, fraction)
    step_deg = fixes.lon_deg[to] - fixes.lon_deg[start]
    # the short way round, as the core sweeps it
    step_deg -= 360.0 * np.rint(step_deg / 360.0)
    lon = fixes.lon_deg[start] + share * step_deg
    lon -= 360.0 * ((lon > 180.0).astype(np.int64) - (lon < -180.0))
    before_m, after_m = _distances(zones, fixes, start, to, zone)
    return Crossings(
        device=fixes.device[to],
        zone=zone,
        kind=kind,
        t_ns=_between(fixes, start, to, share),
        lat_deg=fixes.lat_deg[start] + share * (fixes.lat_deg[to] - fixes.lat_deg[start]),
        lon_deg=lon,
        fraction=fraction,
        until_ns=_between(fixes, start, to, np.where(np.isnan(until), 1.0, until)),
        until_fraction=until,
        before=np.where(is_first, 0, fixes.number[start]),
        before_ns=fixes.t_ns[start],
        before_m=np.where(is_first, np.nan, before_m),
        after=fixes.number[to],
        after_ns=fixes.t_ns[to],
        after_m=after_m,
    )


def _between(fixes: Fixes, start: I64, to: I64, share: F64) -> I64:
    span = fixes.t_ns[to] - fixes.t_ns[start]
    return fixes.t_ns[start] + np.rint(share * span).astype(np.int64)


def _distances(zones: ZoneTable, fixes: Fixes, start: I64, to: I64, zone: I64) -> tuple[F64, F64]:
    """Signed distance before and after; NaN beyond the band, where only bounds are known."""
    wanted = np.unique(np.concatenate([start, to]))
    near = zones.near(fixes.lat_deg[wanted], fixes.lon_deg[wanted], zones.band_m)
    n_zones = max(len(zones), 1)
    # a last key that nothing equals, so that every search ends within
    known = np.append(np.repeat(np.arange(wanted.size), np.diff(near.fix_ptr)) * n_zones + near.zone_idx, -1)
    metres = np.append(np.where(np.abs(near.signed_distance_m) < zones.band_m, near.signed_distance_m, np.nan), np.nan)
    found = []
    for fix in (start, to):
        key = np.searchsorted(wanted, fix) * n_zones + zone
        at = np.searchsorted(known[:-1], key)
        found.append(np.where(known[at] == key, metres[at], np.nan))
    return found[0], found[1]


def _as_runs(passes: Crossings) -> Runs:
    n = len(passes)
    return Runs(
        device=passes.device,
        zone=passes.zone,
        began=np.full(n, Began.PASS, dtype=np.int8),
        ended=np.full(n, Ended.PASS, dtype=np.int8),
        from_ns=passes.t_ns,
        to_ns=passes.until_ns,
        first_ns=passes.t_ns,
        last_ns=passes.until_ns,
        n_fixes=np.zeros(n, dtype=np.int64),
        closed_by=passes.after,
    )
