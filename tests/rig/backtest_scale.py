"""Large histories for the backtest's memory: made-up tracks over 80 x 67 km, and polygons of 8 to 60 corners."""

import os
import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv

from tests.rig.backtest_support import polygon_feature, zones_file

LAT0, LON0 = 53.2, -2.5
M_PER_LAT_DEG = 111_200.0
M_PER_LON_DEG = 111_300.0 * np.cos(np.radians(LAT0))
HALF_LAT_DEG, HALF_LON_DEG = 33_500 / M_PER_LAT_DEG, 40_000 / M_PER_LON_DEG


def make_zones(path: Path, n: int, seed: int) -> Path:
    """Stars of 100 m to 3 km, and five of 10 km in a thousand."""
    rng = np.random.default_rng(seed)
    features = []
    for k in range(n):
        corners = int(rng.integers(8, 61))
        radius_m = 10_000.0 if k % 200 == 0 else 100.0 * 10 ** rng.uniform(0.0, 1.5)
        angle = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
        reach_m = radius_m * rng.uniform(0.6, 1.4, corners)
        lat = LAT0 + rng.uniform(-HALF_LAT_DEG, HALF_LAT_DEG) + reach_m * np.sin(angle) / M_PER_LAT_DEG
        lon = LON0 + rng.uniform(-HALF_LON_DEG, HALF_LON_DEG) + reach_m * np.cos(angle) / M_PER_LON_DEG
        ring = [(round(float(x), 7), round(float(y), 7)) for x, y in zip(lon, lat, strict=True)]
        features.append(polygon_feature(f"zone-{k}", ring))
    return zones_file(path, features)


def make_history(path: Path, n_fixes: int, n_devices: int, seed: int) -> Path:
    """Devices interleaved at 1 Hz: on foot, by bicycle, by car, turning back at the edge."""
    rng = np.random.default_rng(seed)
    lat = LAT0 + rng.uniform(-HALF_LAT_DEG, HALF_LAT_DEG, n_devices)
    lon = LON0 + rng.uniform(-HALF_LON_DEG, HALF_LON_DEG, n_devices)
    heading = rng.uniform(0, 2 * np.pi, n_devices)
    speed = rng.choice([1.4, 8.0, 20.0], n_devices)
    names = pa.array([f"tag-{i:04d}" for i in range(n_devices)])
    schema = pa.schema([("device", pa.string()), ("time", pa.string()), ("lat", pa.float64()), ("lon", pa.float64())])
    steps, per_block = n_fixes // n_devices, max(1, 200_000 // n_devices)
    options = pa_csv.WriteOptions(quoting_style="none", quoting_header="none")
    with pa_csv.CSVWriter(path, schema, write_options=options) as writer:
        for start in range(0, steps, per_block):
            n = min(per_block, steps - start)
            places = np.empty((2, n, n_devices))
            for i in range(n):
                heading += rng.normal(0, 0.15, n_devices)
                lat += speed * np.sin(heading) / M_PER_LAT_DEG
                lon += speed * np.cos(heading) / M_PER_LON_DEG
                heading[(np.abs(lat - LAT0) > HALF_LAT_DEG) | (np.abs(lon - LON0) > HALF_LON_DEG)] += np.pi
                np.clip(lat, LAT0 - HALF_LAT_DEG, LAT0 + HALF_LAT_DEG, out=lat)
                np.clip(lon, LON0 - HALF_LON_DEG, LON0 + HALF_LON_DEG, out=lon)
                places[:, i] = lat, lon
            seconds = np.datetime64("2026-01-01T00:00:00", "s") + start + np.arange(n)
            text = pa.array(np.datetime_as_string(seconds, timezone="UTC").astype(object), pa.string())
            device = names.take(pa.array(np.tile(np.arange(n_devices), n)))
            time = text.take(pa.array(np.repeat(np.arange(n), n_devices)))
            columns = [device, time, *(pa.array(np.round(place.ravel(), 7)) for place in places)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return path


class TreeMemory:
    """Highest memory of this process's children and all that they started, watched from outside of what is tested.

    ``peak_pss`` bytes: shared pages count once; ``peak_rss`` bytes: once per process.
    """

    def __init__(self) -> None:
        self.peak_pss = self.peak_rss = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process(os.getpid())
        while not self._end.wait(0.1):
            told = [info for child in me.children(recursive=True) if (info := _info(child)) is not None]
            self.peak_pss = max(self.peak_pss, sum(info.pss for info in told))
            self.peak_rss = max(self.peak_rss, sum(info.rss for info in told))


def _info(process: psutil.Process) -> Any:
    try:
        return process.memory_full_info()
    except psutil.Error:
        return None
