"""Each wearer's own zones: the pairs (wearer, zone) that an order makes, and the calls that look at nothing else."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from geofence_core.arrays import F64, I64, chunks, expand, float_column, indices, int_column
from geofence_core.errors import AssignmentError, ColumnError
from geofence_core.fence import SingleFence
from geofence_core.listed import Places, places_of
from geofence_core.zones import FixZones, ZoneTable

CHUNK_PAIRS = 1 << 20
"""Pairs judged at once, 60 MB of temporaries: the more, the more of them share a zone and find it in the cache."""


class AssignedZones:
    """K assigned (wearer, zone) pairs over one `ZoneTable`.

    Parameters
    ----------
    zones
        The table.
    owner_idx
        int (K,): wearer of each pair, 0 to W - 1.
    zone_idx
        int (K,): zone of each pair; absent means pair k is zone k, each zone belonging to one wearer. A zone may be
        assigned to several wearers.
    wearers
        W; absent means one more than the largest owner.

    Raises
    ------
    AssignmentError
        A wearer or zone is outside its table.
    ColumnError
        Columns differ in length, or a pair stands twice.
    """

    def __init__(
        self,
        zones: ZoneTable,
        owner_idx: npt.ArrayLike,
        zone_idx: npt.ArrayLike | None = None,
        *,
        wearers: int | None = None,
    ) -> None:
        owner = _index_column(owner_idx, "owner_idx", None)
        zone = (
            np.arange(len(zones), dtype=np.int64)
            if zone_idx is None
            else _index_column(zone_idx, "zone_idx", owner.size)
        )
        if zone.size != owner.size:
            raise ColumnError(f"owner_idx: expected {zone.size} values, one per zone, got {owner.size}")
        n_wearers = (int(owner.max()) + 1 if owner.size else 0) if wearers is None else wearers
        _within(owner, n_wearers, "owner_idx", "wearers")
        _within(zone, len(zones), "zone_idx", "zones")
        self._zones = zones
        # By wearer, then zone: a fix's rows come out in rising zone order.
        order = np.lexsort((zone, owner))
        if order.size and ((np.diff(owner[order]) == 0) & (np.diff(zone[order]) == 0)).any():
            raise ColumnError("a (wearer, zone) pair stands twice; next: assign each zone once per wearer")
        self._owner = owner
        self._zone = zone
        self._pair = order
        self._by_wearer = zone[order]
        self._ptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n_wearers))]).astype(np.int64)
        self._freeze()
        # Made now: the first fix of a live bridge must not wait for it.
        _ = zones.index.grids

    def _freeze(self) -> None:
        for array in (self._owner, self._zone, self._pair, self._by_wearer, self._ptr):
            array.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrays come out of a pickle writable."""
        vars(self).update(state)
        self._freeze()

    def over(self, zones: ZoneTable) -> "AssignedZones":
        """Return the same pairs over another table of as many zones, for example one that `ZoneTable.replace` made.

        Equals ``AssignedZones(zones, own.owner_idx, own.zone_idx)``, but nothing is sorted anew. A `FenceState` goes on
        with it.

        Raises
        ------
        AssignmentError
            The number of zones differs.
        """
        if len(zones) != len(self._zones):
            raise AssignmentError(f"expected a table of {len(self._zones)} zones, got {len(zones)}")
        other = copy.copy(self)
        vars(other).update(_zones=zones)
        return other

    def __len__(self) -> int:
        """Return K, the number of assigned pairs."""
        return int(self._owner.size)

    @property
    def zones(self) -> ZoneTable:
        """The table that ``zone_idx`` points into."""
        return self._zones

    @property
    def n_wearers(self) -> int:
        """W, the number of wearers, those without a zone included."""
        return int(self._ptr.size - 1)

    @property
    def owner_idx(self) -> I64:
        """int64 (K,): wearer of each pair."""
        return self._owner

    @property
    def zone_idx(self) -> I64:
        """int64 (K,): zone of each pair."""
        return self._zone

    def signed_distance_m(
        self, wearer_idx: npt.ArrayLike, lat_deg: npt.ArrayLike, lon_deg: npt.ArrayLike, exact: bool = False
    ) -> FixZones:
        """Signed distance of each fix to each of its wearer's own zones.

        Parameters
        ----------
        wearer_idx, lat_deg, lon_deg
            int (N,), float64 (N,), degree; in any order, any number of fixes per wearer.
        exact
            As in `ZoneTable.signed_distance_m`.

        Returns
        -------
        FixZones
            One row per fix and own zone, also where the position is NaN (its distances are NaN).
        """
        lat = float_column(lat_deg, "lat_deg")
        places = places_of(lat, float_column(lon_deg, "lon_deg", lat.size))
        wearer = self.checked_wearers(wearer_idx, lat.size)
        fix_ptr, _, zone, signed = self.judge(wearer, places, np.inf if exact else self._zones.band_m)
        return FixZones(fix_ptr, zone, signed)

    def checked_wearers(self, wearer_idx: npt.ArrayLike, size: int) -> I64:
        """Return ``wearer_idx`` as int64 (N,), or raise AssignmentError for one outside the table."""
        wearer = int_column(wearer_idx, "wearer_idx", size)
        _within(wearer, self.n_wearers, "wearer_idx", "wearers")
        return wearer

    def judge(self, wearer: I64, places: Places, band_m: float) -> tuple[I64, I64, I64, F64]:
        """Signed distances of all own pairs.

        Returns
        -------
        fix_ptr, entry, zone_idx, signed_m
            int64 (N + 1,); int64 (M,), places among the pairs in order of wearer and zone (`pairs_at`); int64 (M,);
            float64 (M,).
        """
        start = self._ptr.take(wearer)
        count = self._ptr.take(wearer + 1)
        count -= start
        fix_ptr = np.zeros(wearer.size + 1, dtype=np.int64)
        count.cumsum(out=fix_ptr[1:])
        found: list[tuple[I64, I64, F64]] = []
        for part in [slice(None)] if fix_ptr[-1] <= CHUNK_PAIRS else chunks(count, CHUNK_PAIRS):
            fix, entry = expand(start[part], count[part])
            zone = self._by_wearer.take(entry)
            at = Places(places.lat_deg[part], places.lon_deg[part])
            found.append((entry, zone, self._zones.index.pairs_m(at, fix, zone, band_m)))
        if len(found) == 1:
            return fix_ptr, *found[0]
        entry, zone, signed = (np.concatenate(column) for column in zip(*found, strict=True))
        return fix_ptr, entry, zone, signed

    def pairs_at(self, entry: I64) -> I64:
        """Return which assigned pairs stand at places in order of wearer and zone."""
        return self._pair.take(entry)

    def single(self, wearer: int) -> "SingleFence":
        """Return the fence of one wearer, for one fix at a time."""
        return SingleFence(self._zones.index, self.own_zones(wearer))

    def own_zones(self, wearer: int) -> I64:
        """Return the zones of one wearer in rising order, or raise AssignmentError for one outside the table."""
        self.checked_wearers([wearer], 1)
        return self._by_wearer[self._ptr[wearer] : self._ptr[wearer + 1]]


def _index_column(values: npt.ArrayLike, name: str, size: int | None) -> I64:
    return int_column(values, name, size).copy()


def _within(values: I64, limit: int, name: str, table: str) -> None:
    bad = indices(values.view(np.uint64) >= limit)  # what is below 0 is huge there
    if bad.size:
        i = int(bad[0])
        raise AssignmentError(f"{name}[{i}] is {int(values[i])}, but there are {limit} {table}")
