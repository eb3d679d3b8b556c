"""What the backtest's tests share: small histories, a judge of plain Python and shapely, and one way to run."""

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner, Result

import geofence_core as gc
from rig.backtest.columns import ColumnRules
from rig.backtest.run import Settings, Summary, run_backtest
from rig.cli.backtest import command

UNIX = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LAT0, LON0 = 53.2, -2.5


@dataclass(frozen=True)
class Row:
    """One record of a history; seconds after START."""

    device: str
    t_s: float | None
    lat: float | None
    lon: float | None


def iso(t_s: float) -> str:
    return (START + timedelta(seconds=t_s)).isoformat().replace("+00:00", "Z")


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    lines = ["device,time,lat,lon"]
    for row in rows:
        t = "" if row.t_s is None else iso(row.t_s)
        lines.append(f"{row.device},{t},{'' if row.lat is None else row.lat},{'' if row.lon is None else row.lon}")
    path.write_text("\n".join(lines) + "\n")
    return path


def polygon_feature(zone_id: str, ring: Sequence[tuple[float, float]], *holes: Sequence[tuple[float, float]]) -> Any:
    rings = [[list(p) for p in [*r, r[0]]] for r in (ring, *holes)]
    return {
        "type": "Feature",
        "id": zone_id,
        "properties": {"purpose": "exclusion"},
        "geometry": {"type": "Polygon", "coordinates": rings},
    }


def zones_file(path: Path, features: Sequence[Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def random_zones(rng: np.random.Generator, n: int, *, spread_deg: float = 0.02) -> list[Any]:
    """Stars of 3 to 12 corners, some with a hole, all over one another."""
    features = []
    for k in range(n):
        m = int(rng.integers(3, 13))
        lat = LAT0 + rng.uniform(-spread_deg, spread_deg)
        lon = LON0 + rng.uniform(-spread_deg, spread_deg)
        radius = rng.uniform(0.001, 0.012)
        angle = 2 * math.pi * np.arange(m) / m

        def ring(
            share: float, lat: float = lat, lon: float = lon, angle: Any = angle, radius: float = radius, m: int = m
        ) -> list[tuple[float, float]]:
            reach = share * radius * rng.uniform(0.6, 1.0, m)
            return [
                (round(lon + r * math.cos(a), 6), round(lat + r * math.sin(a), 6))
                for r, a in zip(reach, angle, strict=True)
            ]

        # the shell keeps at least 0.6 cos(60 deg) = 0.3 of its radius from the middle, the hole at most 0.25
        holes = [ring(0.25)[::-1]] if rng.random() < 0.4 else []
        features.append(polygon_feature(f"zone-{k}", ring(1.0), *holes))
    return features


def random_history(rng: np.random.Generator, n_devices: int, n_steps: int) -> list[Row]:
    """Walks by time, devices interleaved, with gaps, rests, and epochs without a position."""
    rows: list[Row] = []
    lat = LAT0 + rng.uniform(-0.02, 0.02, n_devices)
    lon = LON0 + rng.uniform(-0.02, 0.02, n_devices)
    t = rng.uniform(0, 60, n_devices).round(3)
    for _ in range(n_steps):
        for d in rng.permutation(n_devices):
            t[d] += round(float(rng.choice([1, 30, 120, 700], p=[0.5, 0.3, 0.15, 0.05])), 3)
            step = 0.0 if rng.random() < 0.1 else 0.004
            lat[d] = float(np.clip(lat[d] + rng.normal(0, step), LAT0 - 0.03, LAT0 + 0.03))
            lon[d] = float(np.clip(lon[d] + rng.normal(0, step), LON0 - 0.03, LON0 + 0.03))
            if rng.random() < 0.05:
                rows.append(Row(f"tag-{d}", float(t[d]), None, None))
            else:
                rows.append(Row(f"tag-{d}", float(t[d]), round(float(lat[d]), 7), round(float(lon[d]), 7)))
    return rows


@dataclass(frozen=True)
class Seen:
    """What the plain judge says, in the words of the outputs."""

    crossings: list[tuple[Any, ...]]
    """(after fix, zone, device, crossing, seconds, fraction, until fraction)."""
    periods: list[tuple[Any, ...]]
    """(device, zone, began, ended, from seconds, to seconds, fixes)."""


def judge_plainly(features: Sequence[Any], rows: Sequence[Row], *, max_gap_s: float) -> Seen:
    """One fix and one zone at a time, with shapely on longitude and latitude."""
    shapes = {f["id"]: shapely.geometry.shape(f["geometry"]) for f in features}
    crossings: list[tuple[Any, ...]] = []
    periods: list[tuple[Any, ...]] = []
    for device in dict.fromkeys(row.device for row in rows):
        mine = [(r.t_s, n, r.lat, r.lon) for n, r in enumerate(rows, 1) if r.device == device and r.lat is not None]
        mine.sort(key=lambda fix: (fix[0], fix[1]))
        fixes = [fix for i, fix in enumerate(mine) if i == 0 or fix[0] != mine[i - 1][0]]
        for zone, shape in shapes.items():
            began: tuple[str, float, int] | None = None
            west, south, east, north = shape.bounds
            for i, (t, number, lat, lon) in enumerate(fixes):
                inside = west <= lon <= east and south <= lat <= north and shape.covers(shapely.Point(lon, lat))
                before = fixes[i - 1] if i else None
                if before is not None and t - before[0] <= max_gap_s:
                    bt, _, blat, blon = before
                    apart = (
                        max(lon, blon) < west
                        or min(lon, blon) > east
                        or max(lat, blat) < south
                        or min(lat, blat) > north
                    )
                    entry, leave = (None, None) if apart else shared_span(shape, (blon, blat), (lon, lat))
                    was = began is not None
                    at = lambda f, bt=bt, t=t: bt + f * (t - bt)  # noqa: E731
                    if not was and inside:
                        crossings.append((number, zone, device, "enter", at(entry), entry, None))
                        began = ("enter", at(entry), 0)
                    elif was and not inside:
                        crossings.append((number, zone, device, "exit", at(leave), leave, None))
                        periods.append((device, zone, began[0], "exit", began[1], at(leave), began[2]))
                        began = None
                    elif not was and entry is not None:
                        crossings.append((number, zone, device, "pass", at(entry), entry, leave))
                        periods.append((device, zone, "pass", "pass", at(entry), at(leave), 0))
                else:
                    if began is not None:
                        periods.append((device, zone, began[0], "gap", began[1], before[0], began[2]))
                        began = None
                    if inside:
                        crossings.append((number, zone, device, "first_inside", t, None, None))
                        began = ("first_inside", t, 0)
                if began is not None:
                    began = (began[0], began[1], began[2] + 1)
            if began is not None:
                periods.append((device, zone, began[0], "end", began[1], fixes[-1][0], began[2]))
    order = {zone: i for i, zone in enumerate(shapes)}
    crossings.sort(key=lambda c: (c[0], order[c[1]]))
    return Seen(crossings, periods)


def shared_span(shape: Any, a: tuple[float, float], b: tuple[float, float]) -> tuple[Any, Any]:
    """First and last point of a way that a zone holds, as fractions."""
    if a == b:
        return (0.0, 1.0) if shape.covers(shapely.Point(a)) else (None, None)
    way = shapely.LineString([a, b])
    part = shape.intersection(way)
    if part.is_empty:
        return None, None
    shares = [way.project(shapely.Point(p)) / way.length for p in shapely.get_coordinates(part)]
    return min(shares), max(shares)


def run(
    zones: Path,
    inputs: Sequence[Path],
    folder: Path,
    *,
    names: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    timed: bool = True,
    suffix: str = ".csv",
    **settings: Any,
) -> tuple[Summary, dict[str, bytes]]:
    """Run a backtest; returns its summary and the bytes of its three outputs."""
    folder.mkdir(exist_ok=True)
    paths = {name: folder / f"{name}{suffix}" for name in ("crossings", "dwell", "totals")}
    columns = ColumnRules(names=names or {}, time_unit=time_unit, timed=timed)
    summary = run_backtest(
        gc.ZoneTable.from_geojson(zones), Settings(inputs=list(inputs), columns=columns, **paths, **settings)
    )
    return summary, {name: path.read_bytes() for name, path in paths.items()}


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(data.decode().splitlines()))


def seconds(text: str) -> float:
    """Seconds after START of a time in an output."""
    return (datetime.fromisoformat(text) - START) / timedelta(seconds=1)


SCHEDULER = """
import asyncio, sys
from distributed import Scheduler
async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as s:
        print(s.address, flush=True)
        await s.finished()
asyncio.run(main())
"""
WORKER = """
import asyncio, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], nthreads=1, host="127.0.0.1", dashboard=False, local_directory=sys.argv[2]) as w:
        await w.finished()
asyncio.run(main())
"""


class Cluster:
    """A scheduler and workers without nannies, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scheduler = self._start(SCHEDULER, stdout=subprocess.PIPE)
        assert self.scheduler.stdout is not None
        self.address = self.scheduler.stdout.readline().strip()
        self.workers: list[subprocess.Popen[str]] = []

    def add_worker(self) -> None:
        local = self.folder / f"worker-{len(self.workers)}"
        local.mkdir()
        self.workers.append(self._start(WORKER, self.address, str(local), stdout=subprocess.DEVNULL))

    def _start(self, code: str, *arguments: str, stdout: int) -> subprocess.Popen[str]:
        log = (self.folder / "cluster.log").open("a")
        with log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", code, *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
                cwd=self.folder,
                stdout=stdout,
                stderr=log,
                text=True,
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        assert self.scheduler.stdout is not None
        self.scheduler.stdout.close()


SQUARE = [(LON0, LAT0), (LON0 + 0.01, LAT0), (LON0 + 0.01, LAT0 + 0.01), (LON0, LAT0 + 0.01)]
WALK = [(0.0, LON0 - 0.002), (10.0, LON0 + 0.002), (20.0, LON0 + 0.005), (30.0, LON0 + 0.012)]
"""In through the west side after 5 s, out through the east side after 27.1 s."""
START_NS = (START - UNIX) // timedelta(microseconds=1) * 1000


def walk_csv(path: Path, head: str, line: str) -> Path:
    lines = [
        line.format(t=iso(t), s=START_NS // 10**9 + int(t), ns=START_NS + int(t * 1e9), lat=LAT0 + 0.005, lon=lon)
        for t, lon in WALK
    ]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def assert_walked(outputs: dict[str, bytes], device: str) -> None:
    got = [(c["device"], c["crossing"]) for c in table(outputs["crossings"])]
    assert got == [(device, "enter"), (device, "exit")]
    enter, leave = (seconds(c["utc"]) for c in table(outputs["crossings"]))
    assert enter == pytest.approx(5.0, abs=1e-3)
    assert leave == pytest.approx(20 + 10 * 5 / 7, abs=1e-3)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])
