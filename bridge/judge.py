"""Where records become arrays: columns for the geofence core in, transitions of named zones and pairs out."""

import dataclasses
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from bridge.alerts.proximity import BandTransition
from bridge.alerts.zones import Crossing, ZoneTransition
from bridge.plan import Plan
from bridge.view import DeviceView
from devices.events import Stamps
from geofence_core.arrays import I8, I64
from geofence_core.assigned import AssignedZones
from geofence_core.evaluate import NEVER_NS, UNKNOWN, FenceState, FixColumns, TransitionKind, evaluate
from geofence_core.pairs import Band, PairTable, TrackColumns, evaluate_pairs
from protocols.mqtt.messages import BandName
from protocols.reports import Fix

_CROSSINGS = {
    TransitionKind.ENTER: Crossing.ENTERED,
    TransitionKind.EXIT: Crossing.LEFT,
    TransitionKind.FIRST_INSIDE: Crossing.FIRST_INSIDE,
    TransitionKind.FIRST_OUTSIDE: Crossing.FIRST_OUTSIDE,
}

_BANDS = {
    Band.UNKNOWN: BandName.UNKNOWN,
    Band.CLEAR: BandName.CLEAR,
    Band.PRE_ALERT: BandName.PRE_ALERT,
    Band.ALARM: BandName.ALARM,
    Band.CONTACT: BandName.CONTACT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRow:
    """A fix with coordinates, ready to be judged.

    ``t_utc_ns`` is when it was so: by the receiver, or by the host where the receiver's word is missing or not
    believed. ``t_judge_ns`` orders a device's fixes; no two have the same.
    """

    view: DeviceView
    fix: Fix
    lat_deg: float
    lon_deg: float
    t_utc_ns: int
    t_judge_ns: int
    stamps: Stamps


class ZoneJudge:
    """State of every (wearer, zone) pair; one instance for now, another for what is told late."""

    def __init__(self, plan: Plan, *, late: bool) -> None:
        self._assigned = plan.assigned
        self._zone_refs = plan.zone_refs
        self._exit_margin_m = plan.config.policy.exit_margin_m
        self._late = late
        self._state = FenceState.unknown(plan.assigned) if plan.assigned is not None else None

    def judge(self, rows: Sequence[FixRow]) -> list[ZoneTransition]:
        """Evaluate a batch in one call; rows of one device in order of time."""
        assigned, state = self._assigned, self._state
        if assigned is None or state is None or not rows:
            return []
        n = len(rows)
        columns = FixColumns(
            wearer_idx=np.fromiter((row.view.device_idx for row in rows), np.int32, n),
            t_ns=np.fromiter((row.t_judge_ns for row in rows), np.int64, n),
            lat_deg=np.fromiter((row.lat_deg for row in rows), np.float64, n),
            lon_deg=np.fromiter((row.lon_deg for row in rows), np.float64, n),
            sigma_m=np.fromiter(
                (np.nan if row.fix.horizontal_sigma_m is None else row.fix.horizontal_sigma_m for row in rows),
                np.float64,
                n,
            ),
        )
        self._state, found = evaluate(assigned, state, columns, exit_margin_m=self._exit_margin_m)
        return [
            self._named(rows[fix_idx], zone_idx, TransitionKind(kind))
            for fix_idx, zone_idx, kind in zip(
                found.fix_idx.tolist(), found.zone_idx.tolist(), found.kind.tolist(), strict=True
            )
        ]

    def reset_time(self, device_idx: int, *, forget: bool) -> None:
        """Let a device's next fix be judged whatever its time; ``forget`` also what is known of its zones."""
        assigned, state = self._assigned, self._state
        if assigned is None or state is None:
            return
        t_ns = state.t_ns.copy()
        t_ns[device_idx] = NEVER_NS
        inside = _forgotten(assigned, state.inside, device_idx) if forget else state.inside
        self._state = dataclasses.replace(state, t_ns=t_ns, inside=inside)

    def _named(self, row: FixRow, zone_idx: int, kind: TransitionKind) -> ZoneTransition:
        return ZoneTransition(
            device_id=row.view.id,
            zone=self._zone_refs[zone_idx],
            crossing=_CROSSINGS[kind],
            fix=row.fix,
            t_fix_utc_ns=row.t_utc_ns,
            stamps=row.stamps,
            late=self._late,
        )


def _forgotten(assigned: AssignedZones, inside: I8, device_idx: int) -> I8:
    fresh = inside.copy()
    fresh[assigned.owner_idx == device_idx] = UNKNOWN
    return fresh


class PairJudge:
    """Band of every pair, from the newest live position of each device; judged for one device at a time.

    Ages are taken on our own monotonic clock (when a position was decoded), not on the receivers' claims.
    """

    def __init__(self, plan: Plan, views: Sequence[DeviceView]) -> None:
        self._names = list(zip(plan.pairs.wearer_idx.tolist(), plan.pairs.protected_idx.tolist(), strict=True))
        self._views = views
        self._bands = plan.pairs.unknown()
        self._max_age_ns = int(plan.config.policy.max_position_age_s * 1e9)
        self._exit_margin_m = plan.config.policy.exit_margin_m
        self._t_ns = np.full(len(views), np.iinfo(np.int64).min, dtype=np.int64)
        self._lat_deg = np.full(len(views), np.nan)
        self._lon_deg = np.full(len(views), np.nan)
        self._pairs_of = {idx: _pairs_of(plan.pairs, idx) for idx in {i for pair in self._names for i in pair}}

    @property
    def max_age_ns(self) -> int:
        """Older positions make a pair unknown."""
        return self._max_age_ns

    def names(self) -> list[tuple[int, int]]:
        """Rows of wearer and protected person of each pair."""
        return self._names

    @property
    def devices(self) -> Set[int]:
        """Rows of the devices that are in any pair."""
        return self._pairs_of.keys()

    def move(self, row: FixRow) -> None:
        """Take a device's newest live position."""
        idx = row.view.device_idx
        self._t_ns[idx] = row.stamps.t_decoded_mono_ns
        self._lat_deg[idx] = row.lat_deg
        self._lon_deg[idx] = row.lon_deg

    def judge(self, mover: DeviceView, now_mono_ns: int, *, stamps: Stamps) -> list[BandTransition]:
        """Evaluate the pairs of one device as of now."""
        tracks = TrackColumns(t_ns=self._t_ns, lat_deg=self._lat_deg, lon_deg=self._lon_deg)
        own_idx, own = self._pairs_of[mover.device_idx]
        self._bands[own_idx], found = evaluate_pairs(
            own,
            self._bands[own_idx],
            tracks,
            now_mono_ns,
            max_age_ns=self._max_age_ns,
            exit_margin_m=self._exit_margin_m,
        )
        transitions = []
        for pair_idx, band, apart_m in zip(
            own_idx[found.pair_idx].tolist(), found.band_after.tolist(), found.separation_m.tolist(), strict=True
        ):
            wearer, protected = (self._views[idx] for idx in self._names[pair_idx])
            unknown = band == Band.UNKNOWN
            transitions.append(
                BandTransition(
                    wearer_id=wearer.id,
                    protected_id=protected.id,
                    band=_BANDS[Band(band)],
                    distance_m=None if unknown else apart_m,
                    wearer_fix=wearer.fix,
                    protected_fix=protected.fix,
                    shown_by=mover.id,
                    stamps=stamps,
                )
            )
        return transitions


def _pairs_of(pairs: PairTable, device_idx: int) -> tuple[I64, PairTable]:
    """Rows of the pairs that a device is in, and the table of these alone."""
    idx = np.flatnonzero((pairs.wearer_idx == device_idx) | (pairs.protected_idx == device_idx))
    return idx, PairTable.of(
        pairs.wearer_idx[idx],
        pairs.protected_idx[idx],
        pairs.contact_m[idx],
        pairs.alarm_m[idx],
        pairs.pre_alert_m[idx],
    )
