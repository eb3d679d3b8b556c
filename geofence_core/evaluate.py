"""From distances to transitions: which wearer entered or left which zone, and when. Pure and vectorised.

::

    signed distance      -30   -2   +4   +9   +40        exit margin 10 m
    says                  in   in    ?    ?   out        ? = outside, but within the margin: keep what was known
    state                 in   in   in   in   out        the last answer that was no ?, carried forward
    transition                                EXIT
"""

from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I8, I32, I64, float_column, indices, int_column
from geofence_core.assigned import AssignedZones
from geofence_core.errors import ColumnError
from geofence_core.listed import places_of

UNKNOWN, OUTSIDE, INSIDE = -1, 0, 1

NEVER_NS = np.iinfo(np.int64).min
"""Time of a wearer's newest judged fix before there was one; nanosecond."""


@unique
class TransitionKind(IntEnum):
    """What changed between a wearer and a zone."""

    ENTER = 0
    EXIT = 1
    FIRST_INSIDE = 2
    """The first known state is inside: nothing was known before, or since the state was last reset."""
    FIRST_OUTSIDE = 3


@dataclass(frozen=True, slots=True, eq=False)
class FixColumns:
    """Fixes as columns of equal length N; NaN in a position means the fix has none.

    ``wearer_idx`` int32 (N,); ``t_ns`` int64 (N,), UTC; ``lat_deg lon_deg`` float64 (N,); ``sigma_m`` float64 (N,),
    standard deviation per axis, NaN where unknown (carried for rules that weigh it; `evaluate` does not).
    """

    wearer_idx: I32
    t_ns: I64
    lat_deg: F64
    lon_deg: F64
    sigma_m: F64

    def __post_init__(self) -> None:
        n = int_column(self.wearer_idx, "wearer_idx").size
        int_column(self.t_ns, "t_ns", n)
        for name in ("lat_deg", "lon_deg", "sigma_m"):
            float_column(getattr(self, name), name, n)

    def __len__(self) -> int:
        """Return N."""
        return len(self.wearer_idx)

    @classmethod
    def of(
        cls,
        wearer_idx: npt.ArrayLike,
        t_ns: npt.ArrayLike,
        lat_deg: npt.ArrayLike,
        lon_deg: npt.ArrayLike,
        sigma_m: npt.ArrayLike | None = None,
    ) -> "FixColumns":
        """Make columns from any sequences; sigma unknown when absent."""
        wearer = int_column(wearer_idx, "wearer_idx")
        sigma = np.full(wearer.size, np.nan) if sigma_m is None else float_column(sigma_m, "sigma_m", wearer.size)
        return cls(
            wearer.astype(np.int32),
            int_column(t_ns, "t_ns", wearer.size),
            float_column(lat_deg, "lat_deg", wearer.size),
            float_column(lon_deg, "lon_deg", wearer.size),
            sigma,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FenceState:
    """What is known of each assigned pair; a value, never changed in place.

    ``inside`` int8 (K,): -1 unknown, 0 outside, 1 inside. ``t_ns`` int64 (W,): newest judged fix of each wearer.
    """

    inside: I8
    t_ns: I64

    @classmethod
    def unknown(cls, assigned: AssignedZones) -> "FenceState":
        """Return the state before the first fix."""
        return cls(
            np.full(len(assigned), UNKNOWN, dtype=np.int8), np.full(assigned.n_wearers, NEVER_NS, dtype=np.int64)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """What changed, ordered by fix time, then zone, then wearer; T rows.

    ``fix_idx`` int64 (T,), place in the call's fixes; ``wearer_idx`` int32 (T,); ``zone_idx`` int64 (T,); ``kind`` int8
    (T,), a `TransitionKind`; ``signed_distance_m`` float64 (T,), of the fix that made the change (beyond the table's
    ``band_m`` a lower bound with the right sign).
    """

    fix_idx: I64
    wearer_idx: I32
    zone_idx: I64
    kind: I8
    signed_distance_m: F64

    def __len__(self) -> int:
        """Return T."""
        return int(self.fix_idx.size)


def evaluate(
    assigned: AssignedZones, state: FenceState, fixes: FixColumns, *, exit_margin_m: float = 0.0
) -> tuple[FenceState, Transitions]:
    """Judge fixes against their wearers' zones and report what changed.

    Parameters
    ----------
    assigned
        K (wearer, zone) pairs.
    state
        What was known before; unchanged by the call.
    fixes
        N fixes in any order, any number per wearer. A fix without a position, or not newer than the newest judged fix
        of its wearer, changes nothing; of fixes with one time the first counts.
    exit_margin_m
        Metre. A wearer inside leaves only beyond this distance from the boundary; entry is at once.

    Returns
    -------
    state, transitions
        An unknown pair becomes known with the first fix that is inside, or outside beyond the margin.

    Raises
    ------
    AssignmentError
        A fix names a wearer that is not in ``assigned``.
    ColumnError
        State and assignment do not belong together, or the margin is negative.

    Notes
    -----
    Cutting the fixes, in order of time, into any number of calls gives the same states and transitions.
    """
    if not 0.0 <= exit_margin_m < np.inf:
        raise ColumnError(f"exit_margin_m: expected metres, 0 or more, got {exit_margin_m}")
    if state.inside.shape != (len(assigned),) or state.t_ns.shape != (assigned.n_wearers,):
        raise ColumnError(
            f"state of {state.inside.size} pairs and {state.t_ns.size} wearers, assignment of {len(assigned)} and "
            f"{assigned.n_wearers}; next: start with FenceState.unknown(assigned)"
        )
    wearer = assigned.checked_wearers(fixes.wearer_idx, len(fixes))
    placed = places_of(float_column(fixes.lat_deg, "lat_deg"), float_column(fixes.lon_deg, "lon_deg"))
    judged = _newer(wearer, fixes.t_ns, indices(~np.isnan(placed.lat_deg)), state.t_ns)
    taken = type(placed)(*(column[judged] for column in placed))
    band = max(assigned.zones.band_m, exit_margin_m)
    fix_ptr, entry, _, signed = assigned.judge(wearer[judged], taken, band)
    pair = assigned.pairs_at(entry)

    says = np.where(signed <= 0.0, INSIDE, np.where(signed > exit_margin_m, OUTSIDE, UNKNOWN)).astype(np.int8)
    order = np.argsort(pair, kind="stable")
    before, after, last = _carry(pair[order], says[order], state.inside)
    changed = indices(before != after)
    rows = order[changed]
    fix = judged[np.searchsorted(fix_ptr, rows, side="right") - 1]
    kind = np.where(
        before[changed] == UNKNOWN,
        np.where(after[changed] == INSIDE, TransitionKind.FIRST_INSIDE, TransitionKind.FIRST_OUTSIDE),
        np.where(after[changed] == INSIDE, TransitionKind.ENTER, TransitionKind.EXIT),
    ).astype(np.int8)
    zone = assigned.zone_idx[pair[rows]]
    sort = np.lexsort((wearer[fix], zone, fixes.t_ns[fix]))

    inside = state.inside.copy()
    inside[pair[order][last]] = after[last]
    t_ns = state.t_ns.copy()
    np.maximum.at(t_ns, wearer[judged], fixes.t_ns[judged])
    inside.flags.writeable = t_ns.flags.writeable = False
    transitions = Transitions(
        fix_idx=fix[sort],
        wearer_idx=wearer[fix[sort]].astype(np.int32),
        zone_idx=zone[sort],
        kind=kind[sort],
        signed_distance_m=signed[rows[sort]],
    )
    return FenceState(inside, t_ns), transitions


def _newer(wearer: I64, t_ns: I64, present: I64, newest_ns: I64) -> I64:
    """Choose the fixes to judge, ordered by wearer and time: newer than the state, one per time."""
    order = present[np.lexsort((t_ns[present], wearer[present]))]
    w, t = wearer[order], t_ns[order]
    keep = t > newest_ns[w]
    keep[1:] &= (w[1:] != w[:-1]) | (t[1:] != t[:-1])
    return order[keep]


def _carry(pair: I64, says: I8, known: I8) -> tuple[I8, I8, I64]:
    """State of each row before and after it; rows grouped by pair, in order of time.

    Returns ``before`` and ``after`` int8 (M,), and ``last`` int64: the last row of each group.
    """
    n = pair.size
    start = np.diff(pair, prepend=-1) != 0
    place = np.where((says != UNKNOWN) | start, np.arange(n), 0)
    source = np.maximum.accumulate(place) if n else place
    after = np.where(says[source] == UNKNOWN, known[pair], says[source])
    before = np.where(start, known[pair], np.roll(after, 1))
    last = indices(np.diff(pair, append=-1) != 0)
    return before, after, last
