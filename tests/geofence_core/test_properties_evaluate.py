"""Transitions of histories over zones of every kind: the same as fix by fix, however the history is cut."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import geofence_core as gc
from tests.geofence_core.random_zones import Scene, scene

seeds = st.integers(0, 2**32 - 1)
scenes = st.builds(scene, seeds, st.integers(1, 7), st.integers(1, 150))
margins = st.sampled_from([0.0, 0.0, 1e-3, 20.0, 400.0])


def history(given_scene: Scene, seed: int) -> tuple[gc.AssignedZones, gc.FixColumns]:
    """Fixes of four wearers in order of time, some at one time; zones that one, several or none of them own."""
    rng = np.random.default_rng(seed)
    owned = np.argwhere(rng.uniform(size=(4, len(given_scene.table))) < 0.6)
    own = gc.AssignedZones(given_scene.table, owned[:, 0], owned[:, 1], wearers=4)
    n = given_scene.lat.size
    times = np.sort(rng.integers(0, 2 * n, n)) * 500_000_000
    return own, gc.FixColumns.of(rng.integers(0, 4, n), times, given_scene.lat, given_scene.lon)


def rows(fixes: gc.FixColumns, found: gc.Transitions, first: int = 0) -> list[tuple[int, int, int, int, int, float]]:
    return list(
        zip(
            fixes.t_ns[found.fix_idx].tolist(),
            found.zone_idx.tolist(),
            found.wearer_idx.tolist(),
            (found.fix_idx + first).tolist(),
            found.kind.tolist(),
            found.signed_distance_m.tolist(),
            strict=True,
        )
    )


def fix_by_fix(own: gc.AssignedZones, fixes: gc.FixColumns, margin_m: float) -> list[tuple[int, int, int, int, int]]:
    """The rules of the README in plain words, one (fix, zone) after the other."""
    known: dict[tuple[int, int], bool] = {}
    newest: dict[int, int] = {}
    found = []
    for i in range(len(fixes)):
        w, t = int(fixes.wearer_idx[i]), int(fixes.t_ns[i])
        if np.isnan(fixes.lat_deg[i]) or np.isnan(fixes.lon_deg[i]) or t <= newest.get(w, -1):
            continue
        newest[w] = t
        exact = own.zones.signed_distance_m(fixes.lat_deg[i], fixes.lon_deg[i], exact=True)[0]
        for z in own.own_zones(w).tolist():
            if 0.0 < exact[z] <= margin_m:
                continue
            inside, before = bool(exact[z] <= 0.0), known.get((w, z))
            if before != inside:
                first = gc.TransitionKind.FIRST_INSIDE if inside else gc.TransitionKind.FIRST_OUTSIDE
                change = gc.TransitionKind.ENTER if inside else gc.TransitionKind.EXIT
                found.append((t, z, w, i, int(first if before is None else change)))
            known[w, z] = inside
    return sorted(found)


@settings(max_examples=30)
@given(scenes, seeds, margins)
def test_evaluate_equals_the_rules_fix_by_fix(given_scene: Scene, seed: int, margin_m: float) -> None:
    own, fixes = history(given_scene, seed)
    _, found = gc.evaluate(own, gc.FenceState.unknown(own), fixes, exit_margin_m=margin_m)
    got = rows(fixes, found)
    assert [r[:5] for r in got] == fix_by_fix(own, fixes, margin_m)
    dense = own.zones.signed_distance_m(fixes.lat_deg, fixes.lon_deg)
    for _, zone, _, fix, _, signed in got:
        if abs(signed) <= own.zones.band_m:
            assert signed == dense[fix, zone]
        else:
            assert (signed <= 0) == (dense[fix, zone] <= 0)


@settings(max_examples=30)
@given(scenes, seeds, margins, st.lists(st.integers(1, 149), max_size=8))
def test_a_history_cut_anywhere_gives_the_same(given_scene: Scene, seed: int, margin_m: float, cuts: list[int]) -> None:
    own, fixes = history(given_scene, seed)
    start = gc.FenceState.unknown(own)
    want_state, want = gc.evaluate(own, start, fixes, exit_margin_m=margin_m)
    state, found = start, []
    for a, b in pairwise(sorted({0, len(fixes), *(c for c in cuts if c < len(fixes))})):
        part = gc.FixColumns(*(getattr(fixes, column)[a:b] for column in fixes.__slots__))
        state, some = gc.evaluate(own, state, part, exit_margin_m=margin_m)
        found += rows(part, some, a)
    # A fix with the time of one before it counts for nothing, in whichever call it comes.
    assert sorted(found) == rows(fixes, want)
    assert state.inside.tobytes() == want_state.inside.tobytes()
    assert state.t_ns.tobytes() == want_state.t_ns.tobytes()
    assert (start.inside == -1).all()


@settings(max_examples=20)
@given(scenes, seeds, margins)
def test_wearers_do_not_change_each_other(given_scene: Scene, seed: int, margin_m: float) -> None:
    """All wearers at once, in any order of fixes that keeps times, give what each gives alone."""
    own, fixes = history(given_scene, seed)
    _, found = gc.evaluate(own, gc.FenceState.unknown(own), fixes, exit_margin_m=margin_m)
    alone = []
    for w in range(4):
        mine = np.flatnonzero(fixes.wearer_idx == w)
        part = gc.FixColumns(*(getattr(fixes, column)[mine] for column in fixes.__slots__))
        _, some = gc.evaluate(own, gc.FenceState.unknown(own), part, exit_margin_m=margin_m)
        alone += [(*r[:3], int(mine[r[3]]), *r[4:]) for r in rows(part, some)]
    assert sorted(alone) == rows(fixes, found)
