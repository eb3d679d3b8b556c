"""Separation of wearers and protected persons, in bands: how near, or not known.

::

      |<- contact ->|                       CONTACT    >  ALARM  >  PRE_ALERT  >  CLEAR        UNKNOWN: no position,
      |<------- alarm -------->|            a closer band holds at once; a wider one only      or one that is too old
      |<------------ pre-alert ------->|    beyond its ring + exit margin
"""

from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I8, I32, I64, float_column, int_column
from geofence_core.ellipsoid import separation_m
from geofence_core.errors import AssignmentError, ColumnError


@unique
class Band(IntEnum):
    """Proximity ring that holds for a pair; larger is nearer."""

    UNKNOWN = -1
    """One position is missing or too old. Never the same as CLEAR."""
    CLEAR = 0
    PRE_ALERT = 1
    ALARM = 2
    CONTACT = 3


@dataclass(frozen=True, slots=True, eq=False)
class PairTable:
    """P pairs of wearer and protected person with their rings.

    ``wearer_idx protected_idx`` int32 (P,), rows of the track columns; ``contact_m alarm_m pre_alert_m`` float64 (P,),
    metre, each ring at least as wide as the one within it.
    """

    wearer_idx: I32
    protected_idx: I32
    contact_m: F64
    alarm_m: F64
    pre_alert_m: F64

    def __post_init__(self) -> None:
        n = int_column(self.wearer_idx, "wearer_idx").size
        int_column(self.protected_idx, "protected_idx", n)
        contact = float_column(self.contact_m, "contact_m", n)
        alarm = float_column(self.alarm_m, "alarm_m", n)
        pre_alert = float_column(self.pre_alert_m, "pre_alert_m", n)
        bad = np.flatnonzero(~((contact >= 0) & (alarm >= contact) & (pre_alert >= alarm)))
        if bad.size:
            i = int(bad[0])
            raise ColumnError(
                f"pair {i}: expected 0 <= contact_m <= alarm_m <= pre_alert_m, got {contact[i]:g}, {alarm[i]:g}, "
                f"{pre_alert[i]:g}"
            )

    def __len__(self) -> int:
        """Return P."""
        return len(self.wearer_idx)

    @classmethod
    def of(
        cls,
        wearer_idx: npt.ArrayLike,
        protected_idx: npt.ArrayLike,
        contact_m: npt.ArrayLike,
        alarm_m: npt.ArrayLike,
        pre_alert_m: npt.ArrayLike,
    ) -> "PairTable":
        """Make a table from any sequences."""
        wearer = int_column(wearer_idx, "wearer_idx")
        return cls(
            wearer.astype(np.int32),
            int_column(protected_idx, "protected_idx", wearer.size).astype(np.int32),
            float_column(contact_m, "contact_m", wearer.size),
            float_column(alarm_m, "alarm_m", wearer.size),
            float_column(pre_alert_m, "pre_alert_m", wearer.size),
        )

    def unknown(self) -> I8:
        """Return the band state before the first position; int8 (P,)."""
        return np.full(len(self), Band.UNKNOWN, dtype=np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class TrackColumns:
    """Newest position of each device; D rows, NaN = none.

    ``t_ns`` int64 (D,), UTC; ``lat_deg lon_deg`` float64 (D,).
    """

    t_ns: I64
    lat_deg: F64
    lon_deg: F64

    def __post_init__(self) -> None:
        n = int_column(self.t_ns, "t_ns").size
        float_column(self.lat_deg, "lat_deg", n)
        float_column(self.lon_deg, "lon_deg", n)

    def __len__(self) -> int:
        """Return D."""
        return len(self.t_ns)


@dataclass(frozen=True, slots=True, eq=False)
class PairTransitions:
    """Pairs whose band changed, in rising pair order; T rows.

    ``pair_idx`` int64 (T,); ``band_before band_after`` int8 (T,), `Band`; ``separation_m`` float64 (T,), NaN when the
    pair became UNKNOWN.
    """

    pair_idx: I64
    band_before: I8
    band_after: I8
    separation_m: F64

    def __len__(self) -> int:
        """Return T."""
        return int(self.pair_idx.size)


def evaluate_pairs(
    pairs: PairTable,
    band_state: I8,
    tracks: TrackColumns,
    now_ns: int,
    *,
    max_age_ns: int,
    exit_margin_m: float = 0.0,
) -> tuple[I8, PairTransitions]:
    """Judge how near the pairs are now and report what changed.

    Parameters
    ----------
    pairs
        P pairs over the devices of ``tracks``.
    band_state
        int8 (P,), `Band` of each pair before; unchanged by the call.
    tracks
        Newest position per device.
    now_ns, max_age_ns
        Nanosecond. A position older than ``max_age_ns`` at ``now_ns`` is no position.
    exit_margin_m
        Metre. A band is left outwards only beyond its ring and this margin; inwards at once.

    Returns
    -------
    band_state, transitions
        A pair with a missing or old position is UNKNOWN, never CLEAR.

    Raises
    ------
    AssignmentError
        A pair names a device that is not in ``tracks``.
    ColumnError
        ``band_state`` has another length, or a margin or age is negative.
    """
    before = np.asarray(band_state, dtype=np.int8)
    if before.shape != (len(pairs),):
        raise ColumnError(f"band_state: expected {len(pairs)} values, one per pair, got shape {before.shape}")
    if not 0.0 <= exit_margin_m < np.inf or max_age_ns < 0:
        raise ColumnError(f"expected exit_margin_m and max_age_ns of 0 or more, got {exit_margin_m}, {max_age_ns}")
    a = _devices(pairs.wearer_idx, len(tracks), "wearer_idx")
    b = _devices(pairs.protected_idx, len(tracks), "protected_idx")
    # Compared as times, not as ages: the difference to "never" would overflow.
    oldest_ns = now_ns - max_age_ns
    current = (tracks.t_ns[a] >= oldest_ns) & (tracks.t_ns[b] >= oldest_ns)
    apart_m = np.full(len(pairs), np.nan)
    known = np.flatnonzero(current)
    i, j = a[known], b[known]
    apart_m[known] = separation_m(tracks.lat_deg[i], tracks.lon_deg[i], tracks.lat_deg[j], tracks.lon_deg[j])

    nearest = _band(pairs, apart_m, 0.0)
    furthest = _band(pairs, apart_m, exit_margin_m)
    held = np.where(before == Band.UNKNOWN, nearest, np.clip(before, nearest, furthest))
    after = np.where(np.isnan(apart_m), np.int8(Band.UNKNOWN), held).astype(np.int8)
    after.flags.writeable = False
    changed = np.flatnonzero(after != before)
    return after, PairTransitions(changed, before[changed], after[changed], apart_m[changed])


def _band(pairs: PairTable, apart_m: F64, margin_m: float) -> I8:
    """Count the rings, widened by the margin, that hold each separation; int8 (P,), 0 for NaN."""
    rings = (pairs.contact_m, pairs.alarm_m, pairs.pre_alert_m)
    return sum(((apart_m <= ring + margin_m).astype(np.int8) for ring in rings), np.zeros(len(pairs), dtype=np.int8))


def _devices(idx: I32, limit: int, name: str) -> I64:
    device = int_column(idx, name)
    bad = np.flatnonzero((device < 0) | (device >= limit))
    if bad.size:
        i = int(bad[0])
        raise AssignmentError(f"{name}[{i}] is {int(device[i])}, but there are {limit} devices")
    return device
