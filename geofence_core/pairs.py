"""Separation of wearers and protected persons, in bands: how near, or not known.

::

      |<- contact ->|                       CONTACT    >  ALARM  >  PRE_ALERT  >  CLEAR        UNKNOWN: no position,
      |<------- alarm -------->|            a closer band holds at once; a wider one only      or one that is too old
      |<------------ pre-alert ------->|    beyond its ring + exit margin
"""

import math
from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I8, I32, I64, float_column, int_column
from geofence_core.ellipsoid import A_M, CHORD_LIMIT_M, E2, frame, separation_m
from geofence_core.errors import AssignmentError, ColumnError

FEW = 8
"""Pairs up to which they are judged one by one in plain Python; a call on arrays costs as much as some twenty pairs."""


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

    Notes
    -----
    Cost: 0.25 us a pair, at least 100 us a call; 15 us and 8 us a pair up to `FEW` of them, with the same bits.
    """
    before = np.asarray(band_state, dtype=np.int8)
    if before.shape != (len(pairs),):
        raise ColumnError(f"band_state: expected {len(pairs)} values, one per pair, got shape {before.shape}")
    if not 0.0 <= exit_margin_m < np.inf or max_age_ns < 0:
        raise ColumnError(f"expected exit_margin_m and max_age_ns of 0 or more, got {exit_margin_m}, {max_age_ns}")
    # Compared as times, not as ages: the difference to "never" would overflow.
    oldest_ns = now_ns - max_age_ns
    if len(pairs) <= FEW:
        return _few(pairs, before, tracks, oldest_ns, exit_margin_m)
    a = _devices(pairs.wearer_idx, len(tracks), "wearer_idx")
    b = _devices(pairs.protected_idx, len(tracks), "protected_idx")
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


def _few(
    pairs: PairTable, before: I8, tracks: TrackColumns, oldest_ns: int, margin_m: float
) -> tuple[I8, PairTransitions]:
    """`evaluate_pairs` without arrays, where their overhead would be most of the cost."""
    devices = [np.asarray(column).tolist() for column in (pairs.wearer_idx, pairs.protected_idx)]
    for column, name in zip(devices, ("wearer_idx", "protected_idx"), strict=True):
        if column and not (min(column) >= 0 and max(column) < len(tracks)):
            _devices(getattr(pairs, name), len(tracks), name)
    rings = [np.asarray(column).tolist() for column in (pairs.contact_m, pairs.alarm_m, pairs.pre_alert_m)]
    t_ns, lat, lon = tracks.t_ns, tracks.lat_deg, tracks.lon_deg
    after: list[int] = []
    changed: list[int] = []
    apart: list[float] = []
    for i, (a, b, *ring, known) in enumerate(zip(*devices, *rings, before.tolist(), strict=True)):
        separation = math.nan
        if t_ns[a] >= oldest_ns and t_ns[b] >= oldest_ns:
            separation = separation_one_m(float(lat[a]), float(lon[a]), float(lat[b]), float(lon[b]))
        held: int = Band.UNKNOWN.value
        if separation == separation:
            nearest = sum(separation <= r for r in ring)
            furthest = sum(separation <= r + margin_m for r in ring)
            held = nearest if known == Band.UNKNOWN else min(max(known, nearest), furthest)
        after.append(held)
        if held != known:
            changed.append(i)
            apart.append(separation)
    bands = np.array(after, dtype=np.int8)
    bands.flags.writeable = False
    rows = np.array(changed, dtype=np.int64)
    return bands, PairTransitions(rows, before[rows], bands[rows], np.array(apart, dtype=np.float64))


def separation_one_m(lat_a_deg: float, lon_a_deg: float, lat_b_deg: float, lon_b_deg: float) -> float:
    """`ellipsoid.separation_m` of one pair, the same bits; 8 us."""
    ax, ay, az, *_ = frame(lat_a_deg, lon_a_deg)
    bx, by, bz, *_ = frame(lat_b_deg, lon_b_deg)
    dx, dy, dz = bx - ax, by - ay, bz - az
    chord2 = dx * dx + dy * dy + dz * dz
    if not 0.0 < chord2 <= CHORD_LIMIT_M * CHORD_LIMIT_M:
        return float(separation_m(lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)[0])
    sx, sy, sz = ax + bx, ay + by, az + bz
    up = sz * sz
    out = (1 - E2) ** 2 * (sx * sx + sy * sy)
    sin2 = up / (up + out)
    w2 = 1.0 - E2 * sin2
    across = math.sqrt(w2) / A_M
    along = across * w2 / (1 - E2)
    flat = 1.0 - sin2
    north2 = min(dz * dz / flat, chord2) if flat > 0.0 else chord2 if dz else 0.0
    bend = north2 * along + (chord2 - north2) * across
    q = bend * bend / chord2
    return math.sqrt(chord2) * (
        1.0 + q * (1 / 24 + q * (3 / 640 + q * (5 / 7168 + q * (35 / 294912 + q * 63 / 2883584))))
    )


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
