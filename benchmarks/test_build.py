"""What an index costs: time to build, memory, saving and opening it, exchanging one zone.

Times of building are held to what the best shapely recipe must build for the same zones (prepared polygons and
boundaries, a tree of boxes, a tree of the edges per zone), in turns; absolute times are reported. Checking the zones is
shown beside it, not counted. Memory: the bytes of the index with what `AssignedZones` adds, and how much a
fresh process grows by.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import geofence_core as gc
from benchmarks import peers
from benchmarks.gate import Gate, budget
from benchmarks.workloads import BAND_M, OWN, ZoneSet, one_zone, own_zones, shared_zones

BUILD = {
    "own": budget("build_own_zone"),
    "shared": budget("build_shared_zone"),
    "large": budget("build_large_zone"),
}
MEMORY = {
    "own": budget("memory_own_zone"),
    "shared": budget("memory_shared_zone"),
    "large": budget("memory_large_zone"),
}
RESIDENT = budget("resident_own_zone")
OPEN = budget("open_saved")
REPLACE = budget("replace_one_zone")


def zone_set(kind: str) -> ZoneSet:
    """504 own zones of 33 edges; 200 shared zones, one of them a county; one zone of 5,000 vertices."""
    if kind == "own":
        return own_zones(63)[0]
    return shared_zones(200) if kind == "shared" else one_zone(5_000)


def index(kind: str, zones: ZoneSet) -> gc.ZoneTable | gc.AssignedZones:
    """The index of checked zones, ready to be asked."""
    table = gc.ZoneTable(zones.table.shapes, band_m=BAND_M)
    fixes = (np.array([53.2]), np.array([-2.4]))
    if kind == "own":
        assigned = gc.AssignedZones(table, np.repeat(np.arange(len(zones) // OWN), OWN))
        assigned.signed_distance_m([0], *fixes)
        return assigned
    if kind == "large":
        table.signed_distance_m(*fixes)  # the grid of a table's only zone
    else:
        table.near(*fixes, BAND_M)
    return table


def shapelys(zones: ZoneSet) -> None:
    """What the best shapely recipe needs."""
    peer = peers.Shapely(zones)
    _ = peer.lines, peer.box_tree
    for polygon in peer.flat:
        peers.edge_tree(polygon)


@pytest.mark.parametrize("kind", BUILD)
def test_time(kind: str, contest: Callable[..., Any]) -> None:
    zones = zone_set(kind)
    contest(
        f"build, {kind} zone ({zones.edges.mean():.0f} edges)",
        lambda: index(kind, zones),
        {
            "shapely trees, prepared": lambda: shapelys(zones),
            "our reading and checks": lambda: gc.ZoneTable.from_shapely(zones.polygons, map(str, range(len(zones)))),
        },
        [Gate(budget=BUILD[kind], against=["shapely trees, prepared"])],
        items=len(zones),
    )


@pytest.mark.parametrize("kind", MEMORY)
def test_memory(kind: str, benchmark: Any) -> None:
    """Bytes of all arrays that hang on the table and on the assignment."""
    zones = shared_zones(1_000) if kind == "shared" else zone_set(kind)
    made = benchmark.pedantic(lambda: index(kind, zones), rounds=1)
    table = made.zones if isinstance(made, gc.AssignedZones) else made
    size = table.nbytes + (own_bytes(made) if isinstance(made, gc.AssignedZones) else 0)
    per = size / len(zones)
    MEMORY[kind].check(per, mode=f"memory, {kind} zone ({zones.edges.mean():.0f} edges)", ours=f"{per / 1000:.3g} kB")


def own_bytes(assigned: gc.AssignedZones) -> int:
    """What the assignment holds beside the table."""
    return sum(value.nbytes for value in vars(assigned).values() if isinstance(value, np.ndarray))


GROWTH = """
import ctypes, psutil

def resident():
    ctypes.CDLL(None).malloc_trim(0)  # freed temporaries go back first
    return psutil.Process().memory_info().rss

from benchmarks.test_build import index
from benchmarks.workloads import own_zones
few, zones = own_zones(2)[0], own_zones(250)[0]
index("own", few)  # code and allocator are warm
zones.table.shapes
before = resident()
kept = index("own", zones)
print(resident() - before)
"""


def test_resident(benchmark: Any) -> None:
    """Growth of a fresh process by 2,000 own zones, shapes not counted."""

    def grown() -> float:
        done = subprocess.run(
            [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
        )
        return float(done.stdout) / (250 * OWN)

    per = benchmark.pedantic(grown, rounds=1)
    RESIDENT.check(per, mode="memory, own zone (33 edges), resident", ours=f"{per / 1000:.3g} kB")


def test_open(contest: Callable[..., Any], tmp_path: Path) -> None:
    """A restart: the saved index opened and asked, against building it."""
    zones = zone_set("shared")
    path = tmp_path / "zones.index"
    zones.table.save(path)
    fixes = (np.array([53.2]), np.array([-2.4]))
    want, got = (table.near(*fixes, 5_000.0) for table in (zones.table, gc.ZoneTable.open(path)))
    assert all(np.array_equal(a, b) for a, b in zip(want, got, strict=True))
    contest(
        "open a saved index, 200 zones (per zone)",
        lambda: gc.ZoneTable.open(path).near(*fixes, BAND_M),
        {"our build": lambda: index("shared", zones)},
        [Gate(budget=OPEN, against=["our build"])],
        items=len(zones),
    )


def test_replace(contest: Callable[..., Any]) -> None:
    """One zone of 200 moved by a metre, against building all: the same directory in both."""
    zones = zone_set("shared")
    table = index("shared", zones)
    assert isinstance(table, gc.ZoneTable)
    moved = shapely.transform(zones.polygons[1], lambda xy: xy + np.array([0.0, 1e-5]))
    at = np.array([[moved.representative_point().y, moved.representative_point().x]])
    changed = table.replace("1", moved)
    assert changed.contains(at[:, 0], at[:, 1])[0, 1]
    assert changed.ids == table.ids
    contest(
        "one of 200 zones replaced",
        lambda: table.replace("1", moved),
        {"our build": lambda: index("shared", zones)},
        [Gate(budget=REPLACE, against=["our build"])],
        items=1,
    )
