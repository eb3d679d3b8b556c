"""Where records become arrays: columns for the geofence core in, transitions of named zones and pairs out."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from bridge.alerts.proximity import BandTransition
from bridge.alerts.zones import Crossing, ZoneTransition
from bridge.orders.handover import Handover
from bridge.orders.layer import ZoneLayer
from bridge.pair_index import PairIndex
from bridge.passes import Passes
from bridge.plan import Plan
from bridge.view import DeviceView
from devices.events import Stamps
from geofence_core.arrays import I8
from geofence_core.assigned import AssignedZones
from geofence_core.evaluate import (
    INSIDE,
    NEVER_NS,
    OUTSIDE,
    UNKNOWN,
    FenceState,
    FixColumns,
    TransitionKind,
    Transitions,
    evaluate,
)
from geofence_core.pairs import Band, TrackColumns, evaluate_pairs, separation_one_m
from protocols.mqtt.messages import BandName, ZoneRef
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
        self._layers = plan.layers
        self._exit_margin_m = plan.config.policy.exit_margin_m
        self._late = late
        self._states = [FenceState.unknown(layer.assigned) for layer in self._layers]

    def judge(self, rows: Sequence[FixRow]) -> list[ZoneTransition]:
        """Evaluate a batch in one call per layer; rows of one device in order of time."""
        if not self._layers or not rows:
            return []
        columns = _columns(rows)
        states: list[FenceState] = []
        named: list[tuple[int, ZoneTransition]] = []
        for layer, before in zip(self._layers, self._states, strict=True):
            state, found = evaluate(layer.assigned, before, columns, exit_margin_m=self._exit_margin_m)
            states.append(state)
            named += self._named(rows, layer, found)
        self._states = states
        return _in_order(named, len(states))

    def judge_again(self, rows: Sequence[FixRow]) -> list[ZoneTransition]:
        """Evaluate where each of some devices was last, for zones of which nothing is known; one row per device."""
        if not rows:
            return []
        columns = _columns(rows)
        named: list[tuple[int, ZoneTransition]] = []
        for place, (layer, before) in enumerate(zip(self._layers, self._states, strict=True)):
            t_ns = before.t_ns.copy()
            t_ns[columns.wearer_idx] = NEVER_NS
            state, found = evaluate(
                layer.assigned,
                dataclasses.replace(before, t_ns=t_ns),
                columns,
                exit_margin_m=self._exit_margin_m,
            )
            inside = np.where(before.inside == UNKNOWN, state.inside, before.inside)
            self._states[place] = FenceState(inside, np.maximum(before.t_ns, state.t_ns))
            named += [
                (t_ns, transition)
                for t_ns, transition in self._named(rows, layer, found)
                if transition.crossing in {Crossing.FIRST_INSIDE, Crossing.FIRST_OUTSIDE}
            ]
        return _in_order(named, len(self._layers))

    def reset_time(self, device_idx: int, *, forget: bool) -> None:
        """Let a device's next fix be judged whatever its time; ``forget`` also what is known of its zones."""
        for place, (layer, state) in enumerate(zip(self._layers, self._states, strict=True)):
            t_ns = state.t_ns.copy()
            t_ns[device_idx] = NEVER_NS
            inside = _forgotten(layer.assigned, state.inside, device_idx) if forget else state.inside
            self._states[place] = dataclasses.replace(state, t_ns=t_ns, inside=inside)

    def hand_over(self, handover: Handover) -> set[int]:
        """Go on with another plan's zones; returns the devices that have zones of which nothing is known."""
        old = self._states
        states: list[FenceState] = []
        unknown: set[int] = set()
        for layer, carries in zip(handover.plan.layers, handover.zones, strict=True):
            fresh = FenceState.unknown(layer.assigned)
            inside = fresh.inside
            for carry in carries:
                inside[carry.here_idx] = old[carry.source].inside[carry.there_idx]
            states.append(FenceState(inside, old[0].t_ns if old else fresh.t_ns))
            unknown.update(np.unique(layer.assigned.owner_idx[inside == UNKNOWN]).tolist())
        self._layers, self._states = handover.plan.layers, states
        return unknown

    def restore(self, sides: Sequence[tuple[int, ZoneRef, bool]]) -> None:
        """Take up on which side of zones devices were (inside: True), as raised alerts say.

        The exit margin counts from there. A zone that is not judged for the device is left out.
        """
        for place, (layer, state) in enumerate(zip(self._layers, self._states, strict=True)):
            zone_idx = {(ref.id, ref.type): idx for idx, ref in enumerate(layer.refs)}
            named = {
                device_idx * len(layer.refs) + zone_idx[zone.id, zone.type]: is_inside
                for device_idx, zone, is_inside in sides
                if (zone.id, zone.type) in zone_idx
            }
            pairs = layer.assigned.owner_idx * np.int64(len(layer.refs)) + layer.assigned.zone_idx
            own = np.flatnonzero(np.isin(pairs, np.fromiter(named, np.int64, len(named))))
            inside = state.inside.copy()
            inside[own] = [INSIDE if named[pair] else OUTSIDE for pair in pairs[own].tolist()]
            self._states[place] = dataclasses.replace(state, inside=inside)

    def _named(self, rows: Sequence[FixRow], layer: ZoneLayer, found: Transitions) -> list[tuple[int, ZoneTransition]]:
        named = []
        for fix_idx, zone_idx, kind in zip(
            found.fix_idx.tolist(), found.zone_idx.tolist(), found.kind.tolist(), strict=True
        ):
            row = rows[fix_idx]
            transition = ZoneTransition(
                device_id=row.view.id,
                zone=layer.refs[zone_idx],
                crossing=_CROSSINGS[TransitionKind(kind)],
                fix=row.fix,
                t_fix_utc_ns=row.t_utc_ns,
                stamps=row.stamps,
                late=self._late,
            )
            named.append((row.t_judge_ns, transition))
        return named


def _columns(rows: Sequence[FixRow]) -> FixColumns:
    n = len(rows)
    return FixColumns(
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


def _in_order(named: list[tuple[int, ZoneTransition]], layers: int) -> list[ZoneTransition]:
    """Transitions by time; those of one layer are in order already."""
    if layers > 1:
        named.sort(key=lambda each: each[0])
    return [transition for _, transition in named]


def _forgotten(assigned: AssignedZones, inside: I8, device_idx: int) -> I8:
    fresh = inside.copy()
    fresh[assigned.owner_idx == device_idx] = UNKNOWN
    return fresh


class PairJudge:
    """Band of every pair, from the newest live position of each device; judged for one device at a time.

    A ring that was passed through between two fixes counts until the next (`Passes`). Ages are taken on our own
    monotonic clock (when a position was decoded), not on the receivers' claims.
    """

    def __init__(self, plan: Plan, views: Sequence[DeviceView]) -> None:
        self._index = PairIndex(plan.pairs)
        self._views = views
        self._bands = plan.pairs.unknown()
        self._max_age_ns = int(plan.config.policy.max_position_age_s * 1e9)
        self._exit_margin_m = plan.config.policy.exit_margin_m
        self._t_ns = np.full(len(views), np.iinfo(np.int64).min, dtype=np.int64)
        self._lat_deg = np.full(len(views), np.nan)
        self._lon_deg = np.full(len(views), np.nan)
        self._passes = Passes(self._max_age_ns)

    def hand_over(self, handover: Handover) -> None:
        """Go on with another plan's pairs; positions of devices that are new to any pair are taken from their views."""
        bands = handover.plan.pairs.unknown()
        bands[handover.pairs_here_idx] = self._bands[handover.pairs_there_idx]
        joined = [idx for idx in handover.pairs.of_device if idx not in self._index.of_device]
        self._index, self._bands = handover.pairs, bands
        self._passes.forget(self._index.names)
        for idx in joined:
            newest = self._views[idx].newest
            if newest is not None:
                self.move(newest)

    @property
    def max_age_ns(self) -> int:
        """Older positions make a pair unknown."""
        return self._max_age_ns

    def names(self) -> Sequence[tuple[int, int]]:
        """Rows of wearer and protected person of each pair."""
        return self._index.names

    @property
    def devices(self) -> Set[int]:
        """Rows of the devices that are in any pair."""
        return self._index.of_device.keys()

    def move(self, row: FixRow) -> None:
        """Take a device's newest live position."""
        idx = row.view.device_idx
        self._t_ns[idx] = row.stamps.t_decoded_mono_ns
        self._lat_deg[idx] = row.lat_deg
        self._lon_deg[idx] = row.lon_deg
        self._passes.move(idx, row.stamps.t_decoded_mono_ns, row.t_judge_ns, row.lat_deg, row.lon_deg)

    def find_slacks(
        self, device_idx: int, concerns: Callable[[int, int], bool]
    ) -> Iterator[tuple[tuple[int, int], float]]:
        """Iterate over those of a device's pairs that concern somebody and whose positions are known.

        Gives the rows of wearer and protected person, and the metres that they are beyond the pre-alert ring.
        """
        rows, table = self._index.part(device_idx)
        for row, pre_alert_m in zip(rows.tolist(), table.pre_alert_m.tolist(), strict=True):
            pair = self._index.names[row]
            if concerns(*pair) and self._bands[row] != Band.UNKNOWN:
                yield pair, self._apart_m(*pair) - pre_alert_m

    def judge(self, mover: DeviceView, now_mono_ns: int, *, stamps: Stamps) -> list[BandTransition]:
        """Evaluate the pairs of one device as of now."""
        tracks = TrackColumns(t_ns=self._t_ns, lat_deg=self._lat_deg, lon_deg=self._lon_deg)
        own_idx, own = self._index.part(mover.device_idx)
        before = self._bands[own_idx]
        now, _ = evaluate_pairs(
            own, before, tracks, now_mono_ns, max_age_ns=self._max_age_ns, exit_margin_m=self._exit_margin_m
        )
        after = self._bands[own_idx] = self._passes.raise_bands(
            mover.device_idx, self._index.rows(mover.device_idx), before, now
        )
        transitions = []
        for row in np.flatnonzero(after != before).tolist():
            band = Band(after[row])
            wearer_idx, protected_idx = self._index.names[own_idx[row]]
            wearer, protected = self._views[wearer_idx], self._views[protected_idx]
            unknown = band is Band.UNKNOWN
            transitions.append(
                BandTransition(
                    wearer_id=wearer.id,
                    protected_id=protected.id,
                    band=_BANDS[band],
                    distance_m=None if unknown else self._apart_m(wearer_idx, protected_idx),
                    wearer_fix=wearer.fix,
                    protected_fix=protected.fix,
                    shown_by=mover.id,
                    stamps=stamps,
                    in_passing=bool(after[row] > now[row]),
                )
            )
        return transitions

    def _apart_m(self, a: int, b: int) -> float:
        return separation_one_m(
            float(self._lat_deg[a]), float(self._lon_deg[a]), float(self._lat_deg[b]), float(self._lon_deg[b])
        )
