"""One zone of 8 to 5,000 vertices, a hundred thousand fixes over its surroundings; and few fixes.

Three questions: inside; signed distance, exact within 250 m; exact everywhere. Peers: shapely's prepared point in
polygon in degrees; recipes for the distance (`benchmarks.peers`), of which the fastest counts. The usual ones
(distance, a tree of the edges, "within the band" and then distance) have one budget; a better one for large zones
("within the band" of the boundary, then a tree of the edges) has its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import agree, peers
from benchmarks.gate import Gate, budget
from benchmarks.workloads import Fixes, one_zone, over

FIXES = 100_000
SLOW_FIXES = 10_000
"""The peers' share at 512 vertices and more, where they take 1 to 30 us a fix; times are per fix."""

CHECKED = 5_000
"""So many fixes are compared before anybody is timed: some recipes take 30 us a fix."""

INSIDE = {
    8: budget("one_zone_inside_8"),
    64: budget("one_zone_inside_64"),
    512: budget("one_zone_inside_512"),
    5_000: budget("one_zone_inside_5000"),
}
SIGNED = {
    8: budget("one_zone_signed_8"),
    64: budget("one_zone_signed_64"),
    512: budget("one_zone_signed_512"),
    5_000: budget("one_zone_signed_5000"),
}
EXACT = {
    8: budget("one_zone_exact_8"),
    64: budget("one_zone_exact_64"),
    512: budget("one_zone_exact_512"),
    5_000: budget("one_zone_exact_5000"),
}
FEW = {64: budget("few_fixes_inside_64"), 1_000: budget("few_fixes_inside_1000")}

BEST_SIGNED = {
    512: budget("one_zone_signed_512_best"),
    5_000: budget("one_zone_signed_5000_best"),
}

Recipe = Callable[[peers.Shapely, Fixes], Any]
RECIPES: dict[str, Recipe] = {
    "shapely distance": peers.one_distance,
    "shapely edge tree": peers.one_edge_tree,
}
BAND_RECIPES: dict[str, Recipe] = RECIPES | {"shapely dwithin": peers.one_dwithin}
BEST: dict[str, Recipe] = {"shapely dwithin + tree": peers.one_dwithin_tree}


def bound(recipes: dict[str, Recipe], vertices: int) -> tuple[dict[str, Callable[[], Any]], dict[str, int]]:
    """Recipes that wait for nothing but the call, and how many fixes each judges."""
    peer = peers.Shapely(one_zone(vertices))
    fixes = over(vertices, FIXES)[: FIXES if vertices < 512 else SLOW_FIXES]
    calls = {name: lambda recipe=recipe: recipe(peer, fixes) for name, recipe in recipes.items()}
    return calls, dict.fromkeys(calls, len(fixes)) | {"ours": FIXES}


@pytest.mark.parametrize("vertices", INSIDE)
def test_inside(vertices: int, contest: Callable[..., Any]) -> None:
    zones, fixes = one_zone(vertices), over(vertices, FIXES)
    peer = peers.Shapely(zones)

    def ours() -> peers.Bool:
        return zones.table.contains(fixes.lat_deg, fixes.lon_deg)

    agree.same_sides(ours()[:, 0], peers.one_inside(peer, fixes))
    contest(
        f"one zone, {vertices} vertices, inside",
        ours,
        {"shapely prepared": lambda: peers.one_inside(peer, fixes)},
        [Gate(budget=INSIDE[vertices], against=["shapely prepared"])],
        items=len(fixes),
    )


def check(ours: peers.F64, recipes: dict[str, Recipe], vertices: int, fixes: Fixes, *, exact: bool) -> None:
    """Every recipe and ours say the same."""
    zones, some = one_zone(vertices), fixes[:CHECKED]
    none = np.zeros(len(some), dtype=np.int64)
    for name, recipe in recipes.items():
        want = recipe(peers.Shapely(zones), some)
        agree.same_distances(
            ours[:CHECKED, 0], want, zones, none, some.lon_deg, exact=exact, far_is_exact=name in RECIPES
        )


@pytest.mark.parametrize("vertices", SIGNED)
def test_signed(vertices: int, contest: Callable[..., Any]) -> None:
    zones, fixes = one_zone(vertices), over(vertices, FIXES)
    recipes = BAND_RECIPES | BEST if vertices in BEST_SIGNED else BAND_RECIPES

    def ours() -> peers.F64:
        return zones.table.signed_distance_m(fixes.lat_deg, fixes.lon_deg)

    check(ours(), recipes, vertices, fixes, exact=False)
    gates = [Gate(budget=SIGNED[vertices], against=list(BAND_RECIPES))]
    if vertices in BEST_SIGNED:
        gates.append(Gate(budget=BEST_SIGNED[vertices], against=list(BEST)))
    rivals, items = bound(recipes, vertices)
    contest(f"one zone, {vertices} vertices, signed 250 m", ours, rivals, gates, items=items)


@pytest.mark.parametrize("vertices", EXACT)
def test_exact_everywhere(vertices: int, contest: Callable[..., Any]) -> None:
    zones, fixes = one_zone(vertices), over(vertices, FIXES)

    def ours() -> peers.F64:
        return zones.table.signed_distance_m(fixes.lat_deg, fixes.lon_deg, exact=True)

    check(ours(), RECIPES, vertices, fixes, exact=True)
    rivals, items = bound(RECIPES, vertices)
    gates = [Gate(budget=EXACT[vertices], against=list(RECIPES))]
    contest(f"one zone, {vertices} vertices, exact everywhere", ours, rivals, gates, items=items)


@pytest.mark.parametrize("n", FEW)
def test_inside_of_few_fixes(n: int, contest: Callable[..., Any]) -> None:
    """Where shapely is hard to beat: nothing is spent but the call."""
    zones, fixes = one_zone(64), over(64, n)
    peer = peers.Shapely(zones)

    def ours() -> peers.Bool:
        return zones.table.contains(fixes.lat_deg, fixes.lon_deg)

    agree.same_sides(ours()[:, 0], peers.one_inside(peer, fixes))
    contest(
        f"{n} fixes, one zone of 64 vertices, inside",
        ours,
        {"shapely prepared": lambda: peers.one_inside(peer, fixes)},
        [Gate(budget=FEW[n], against=["shapely prepared"])],
        items=n,
    )
