"""Transitions against a loop that anyone can read, and the promises about order, lateness and batches."""

import itertools

import numpy as np
import pytest

import geofence_core as gc
from geofence_core import TransitionKind as Kind
from geofence_core.evaluate import NEVER_NS
from tests.geofence_core.drawing import box, circle, metres, mixed, polygon, scatter, table

S = 1_000_000_000


def loop(
    own: gc.AssignedZones, inside: list[int], newest: list[int], fixes: gc.FixColumns, margin: float
) -> list[tuple[int, int, int, int, int]]:
    """(t, zone, wearer, kind, fix), one fix and one pair at a time; changes inside and newest."""
    found = []
    distance_m = own.zones.signed_distance_m(fixes.lat_deg, fixes.lon_deg, exact=True)
    for i in sorted(range(len(fixes)), key=lambda i: fixes.t_ns[i]):
        w, t = int(fixes.wearer_idx[i]), int(fixes.t_ns[i])
        if np.isnan(fixes.lat_deg[i]) or np.isnan(fixes.lon_deg[i]) or t <= newest[w]:
            continue
        newest[w] = t
        for k in np.flatnonzero(own.owner_idx == w):
            d = distance_m[i, own.zone_idx[k]]
            now = 1 if d <= 0 else 0 if d > margin else inside[k]
            if now != inside[k]:
                kind = {-1: (Kind.FIRST_OUTSIDE, Kind.FIRST_INSIDE), 0: (None, Kind.ENTER), 1: (Kind.EXIT, None)}
                found.append((t, int(own.zone_idx[k]), w, int(kind[inside[k]][now]), i))
            inside[k] = now
    return sorted(found)


def rows(fixes: gc.FixColumns, found: gc.Transitions, first: int = 0) -> list[tuple[int, int, int, int, int]]:
    return [
        (int(fixes.t_ns[f]), int(z), int(w), int(k), int(f) + first)
        for f, z, w, k in zip(found.fix_idx, found.zone_idx, found.wearer_idx, found.kind, strict=True)
    ]


def history(seed: int, n: int = 400, wearers: int = 7) -> tuple[gc.AssignedZones, gc.FixColumns]:
    """Walks through a town of zones, with missing positions, equal times and unknown sigma."""
    rng = np.random.default_rng(seed)
    zones = mixed(rng, 16, span_m=1_500.0)
    pairs = np.unique(rng.integers(0, [wearers, 16], (40, 2)), axis=0)
    own = gc.AssignedZones(zones, pairs[:, 0], pairs[:, 1], wearers=wearers)
    lat, lon = scatter(rng, n, span_m=2_500.0)
    lat[rng.uniform(size=n) < 0.1] = np.nan
    return own, gc.FixColumns.of(rng.integers(0, wearers, n), rng.integers(0, n // 2, n) * S, lat, lon)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("margin", [0.0, 25.0, 700.0])
def test_transitions_equal_the_loop(seed: int, margin: float) -> None:
    own, fixes = history(seed)
    inside, newest = [-1] * len(own), [NEVER_NS] * own.n_wearers
    want = loop(own, inside, newest, fixes, margin)
    state, found = gc.evaluate(own, gc.FenceState.unknown(own), fixes, exit_margin_m=margin)
    assert rows(fixes, found) == want
    assert len(want) > 50
    assert state.inside.tolist() == inside
    assert state.t_ns.tolist() == newest


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_of_a_history_gives_the_same_transitions(seed: int) -> None:
    own, mixed_up = history(seed)
    order = np.argsort(mixed_up.t_ns, kind="stable")
    fixes = gc.FixColumns.of(*(getattr(mixed_up, c)[order] for c in ("wearer_idx", "t_ns", "lat_deg", "lon_deg")))
    whole_state, whole = gc.evaluate(own, gc.FenceState.unknown(own), fixes, exit_margin_m=30.0)
    rng = np.random.default_rng(seed)
    for size in (1, 7, 60, 0):
        cuts = np.sort(rng.integers(0, len(fixes), 15)) if not size else np.arange(0, len(fixes), size)
        state, found = gc.FenceState.unknown(own), []
        for a, b in itertools.pairwise([0, *cuts.tolist(), len(fixes)]):
            part = gc.FixColumns(*(getattr(fixes, c)[a:b] for c in fixes.__slots__))
            state, some = gc.evaluate(own, state, part, exit_margin_m=30.0)
            found += rows(part, some, a)
        assert sorted(found) == rows(fixes, whole)
        assert np.array_equal(state.inside, whole_state.inside)
        assert np.array_equal(state.t_ns, whole_state.t_ns)


def test_the_same_input_gives_the_same_bits_and_changes_nothing_it_was_given() -> None:
    own, fixes = history(11)
    state = gc.FenceState.unknown(own)
    first = gc.evaluate(own, state, fixes)
    second = gc.evaluate(own, state, fixes)
    assert (state.inside == -1).all()
    for a, b in zip(first, second, strict=True):
        for name in a.__slots__:
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    with pytest.raises(ValueError, match="read-only"):
        first[0].inside[0] = 1


def home() -> gc.AssignedZones:
    return gc.AssignedZones(table(circle(53.0, -2.0, 100.0)), [0])


def walk(*east_m: float, t0_s: int = 0) -> gc.FixColumns:
    lat, lon = zip(*(metres(53.0, -2.0, e, 0.0) for e in east_m), strict=True)
    return gc.FixColumns.of([0] * len(east_m), (np.arange(len(east_m)) + t0_s) * S, lat, lon)


@pytest.mark.parametrize(
    ("east_m", "margin", "kinds"),
    [
        ([200, 50, 200], 0.0, [Kind.FIRST_OUTSIDE, Kind.ENTER, Kind.EXIT]),
        ([50, 200], 0.0, [Kind.FIRST_INSIDE, Kind.EXIT]),
        ([50, 105, 95, 108, 111], 10.0, [Kind.FIRST_INSIDE, Kind.EXIT]),
        ([200, 105, 95], 10.0, [Kind.FIRST_OUTSIDE, Kind.ENTER]),
        ([105, 105], 10.0, []),
        ([105, 95], 10.0, [Kind.FIRST_INSIDE]),
        ([105, 200], 10.0, [Kind.FIRST_OUTSIDE]),
        ([50, 1_000, 50], 600.0, [Kind.FIRST_INSIDE, Kind.EXIT, Kind.ENTER]),
        ([50, 650, 50], 600.0, [Kind.FIRST_INSIDE]),
    ],
)
def test_an_exit_needs_its_margin_and_an_entry_does_not(east_m: list[float], margin: float, kinds: list[Kind]) -> None:
    own = home()
    _, found = gc.evaluate(own, gc.FenceState.unknown(own), walk(*east_m), exit_margin_m=margin)
    assert [Kind(k) for k in found.kind] == kinds


def test_a_late_fix_changes_nothing() -> None:
    own = home()
    state, _ = gc.evaluate(own, gc.FenceState.unknown(own), walk(50, t0_s=10))
    for late in (walk(500, t0_s=10), walk(500, t0_s=3)):
        after, found = gc.evaluate(own, state, late)
        assert len(found) == 0
        assert after.inside.tolist() == [1]
        assert after.t_ns.tolist() == [10 * S]


def test_a_fix_without_position_is_not_judged_and_does_not_make_others_late() -> None:
    own = home()
    nowhere = gc.FixColumns.of([0], [20 * S], [np.nan], [-2.0])
    state, found = gc.evaluate(own, gc.FenceState.unknown(own), nowhere)
    assert len(found) == 0
    assert state.t_ns.tolist() == [NEVER_NS]
    _, found = gc.evaluate(own, state, walk(50, t0_s=10))
    assert found.kind.tolist() == [Kind.FIRST_INSIDE]


def test_of_fixes_with_one_time_the_first_counts() -> None:
    own = home()
    lat, lon = zip(metres(53, -2, 50, 0), metres(53, -2, 500, 0), strict=True)
    _, found = gc.evaluate(own, gc.FenceState.unknown(own), gc.FixColumns.of([0, 0], [S, S], lat, lon))
    assert found.fix_idx.tolist() == [0]
    assert found.kind.tolist() == [Kind.FIRST_INSIDE]


def test_transitions_come_in_order_of_time_then_zone_and_carry_their_distance() -> None:
    z = table(polygon(box(0, 0, 1, 1), zone_id="a"), polygon(box(-1, -1, 2, 2), zone_id="b"))
    own = gc.AssignedZones(z, [1, 1, 0], [0, 1, 1])
    fixes = gc.FixColumns.of([1, 0, 1], [5 * S, 5 * S, 2 * S], [0.5, 0.5, 5.0], [0.5, 0.5, 5.0])
    _, found = gc.evaluate(own, gc.FenceState.unknown(own), fixes)
    assert list(zip(found.fix_idx.tolist(), found.zone_idx.tolist(), strict=True)) == [
        (2, 0),
        (2, 1),
        (0, 0),
        (1, 1),
        (0, 1),
    ]
    assert found.wearer_idx.tolist() == [1, 1, 1, 0, 1]
    assert (found.signed_distance_m[2:] < 0).all()
    assert len(found) == 5


def test_no_fixes_and_no_zones_are_no_trouble() -> None:
    own = home()
    state, found = gc.evaluate(
        own, gc.FenceState.unknown(own), gc.FixColumns.of(np.zeros(0, int), np.zeros(0, int), [], [])
    )
    assert len(found) == 0 and state.inside.tolist() == [-1]
    none = gc.AssignedZones(own.zones, np.zeros(0, int), np.zeros(0, int), wearers=1)
    state, found = gc.evaluate(none, gc.FenceState.unknown(none), walk(50, t0_s=4))
    assert len(found) == 0 and state.t_ns.tolist() == [4 * S]


def test_what_does_not_belong_together_is_refused() -> None:
    own = home()
    state = gc.FenceState.unknown(own)
    with pytest.raises(gc.AssignmentError):
        gc.evaluate(own, state, gc.FixColumns.of([1], [0], [53.0], [-2.0]))
    with pytest.raises(gc.ColumnError, match=r"FenceState\.unknown"):
        gc.evaluate(own, gc.FenceState(np.zeros(2, np.int8), state.t_ns), walk(50))
    with pytest.raises(gc.ColumnError, match="exit_margin_m"):
        gc.evaluate(own, state, walk(50), exit_margin_m=-1.0)
    with pytest.raises(gc.ColumnError, match="lat_deg"):
        gc.FixColumns.of([0], [0], [1.0, 2.0], [1.0])
    with pytest.raises(gc.ColumnError, match="t_ns: expected integers"):
        gc.FixColumns.of([0], [0.5], [1.0], [1.0])
