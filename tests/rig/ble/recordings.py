"""Real RSSI recordings with true distances, read for the tests: MIT-LL static configurations, Danis indoor tracks."""

import gzip
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.rssi import Calibration, PresenceEstimator, fit
from rig.ble.path_loss import RADIO_PROFILES, PathLoss

DANIS_INTERVAL_S = 0.455
"""Seconds between the beacon's advertisements: median of what still receivers heard."""

CALIBRATE_ON = ("straight_01", "straight_02", "rectangular_without_rotation")
JUDGE_ON = ("straight_05", "zigzagging_with_rotation")
"""Tracks of the office floor: some to calibrate, others to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One packet of a recording."""

    t_s: float
    receiver: str
    rssi_dbm: float
    distance_m: float
    place: tuple[int, int]


def _receivers(folder: Path) -> dict[str, tuple[float, float, float]]:
    text = (folder / "cnf-tetam.dev").read_text()
    found = re.findall(r'"([0-9a-f]{12})": \[\[([\d.]+), ([\d.]+), ([\d.]+)\]', text)
    return {name: (float(x), float(y), float(z)) for name, x, y, z in found}


def danis_track(folder: Path, name: str) -> list[Heard]:
    """A track with the true distance of each packet, in order of time."""
    places = _receivers(folder)
    heard = []
    with gzip.open(folder / f"trk-{name}.mbd.gz", "rt") as lines:
        for line in lines:
            t_s, receiver, _, rssi_dbm, *xyz = line.split(",")[:7]
            if not -127 < float(rssi_dbm) <= 20:
                # the receivers report a few impossible levels, such as 42 dBm
                continue
            at = (float(xyz[0]), float(xyz[1]), float(xyz[2]))
            heard.append(
                Heard(
                    t_s=float(t_s),
                    receiver=receiver,
                    rssi_dbm=float(rssi_dbm),
                    distance_m=math.dist(at, places[receiver]),
                    place=(round(at[0] * 2), round(at[1] * 2)),
                )
            )
    return sorted(heard, key=lambda row: row.t_s)


def danis_still(folder: Path) -> Iterator[tuple[float, list[float], list[float]]]:
    """Distance, times and levels of each still pair."""
    places = _receivers(folder)
    for path in sorted(folder.glob("still-sensor10_*.mbd.gz")):
        x, y, z = (float(part) for part in path.name.removesuffix(".mbd.gz").split("_")[1:])
        times, levels, receiver = [], [], ""
        with gzip.open(path, "rt") as lines:
            for line in lines:
                t_s, receiver, _, rssi_dbm = line.split(",")[:4]
                times.append(float(t_s))
                levels.append(float(rssi_dbm))
        yield math.dist((x, y, z), places[receiver]), times, levels


def mitll_runs(folder: Path) -> Iterator[tuple[str, str, int, list[float]]]:
    """Surroundings, phone, angle and levels of each 30 s run of the iPhone receiver at 1.83 m."""
    for path in sorted(folder.glob("*/iphone_*.txt.gz")):
        levels: dict[str, list[float]] = defaultdict(list)
        with gzip.open(path, "rt") as lines:
            for line in lines:
                parts = line.strip().split(",")
                if len(parts) > 5 and parts[1] == "Bluetooth" and parts[4].startswith("TestPhone"):
                    levels[parts[4]].append(float(parts[3]))
        angle = int(path.name.removesuffix(".txt.gz").rsplit("_", 1)[1])
        for phone, values in levels.items():
            yield path.parent.name, phone, angle, values


def simulated(heard: Sequence[Heard], profile: str, *, seed: int) -> list[Heard]:
    """What the path model makes of the same ways: same times, same true distances, its own levels and losses."""
    paths: dict[str, PathLoss] = {}
    last: dict[str, Heard] = {}
    out = []
    for row in heard:
        path = paths.setdefault(row.receiver, PathLoss(RADIO_PROFILES[profile], seed=seed, pair=row.receiver))
        before = last.get(row.receiver, row)
        moved_m = math.dist(before.place, row.place) / 2 or 0.3
        last[row.receiver] = row
        got = path.receive(t_s=row.t_s - heard[0].t_s, distance_m=row.distance_m, moved_m=moved_m)
        if got.heard:
            out.append(
                Heard(
                    t_s=row.t_s,
                    receiver=row.receiver,
                    rssi_dbm=got.rssi_dbm,
                    distance_m=row.distance_m,
                    place=row.place,
                )
            )
    return out


def calibrate(heard: Sequence[Heard]) -> Calibration:
    """Fit one receiver; packets of one half-metre cell share a place."""
    return fit(
        [row.distance_m for row in heard],
        [row.rssi_dbm for row in heard],
        places=[row.place for row in heard],
    )


def by_receiver(heard: Sequence[Heard]) -> dict[str, list[Heard]]:
    """Packets of each receiver, in order."""
    out: dict[str, list[Heard]] = defaultdict(list)
    for row in heard:
        out[row.receiver].append(row)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often presence within r was told, by where the tag truly was."""

    within_m: float
    true_positive: float
    false_positive: float
    clear_true_positive: float
    """Of packets within 0.7 r."""
    clear_false_positive: float
    """Of packets beyond 1.5 r."""
    n_within: int
    n_beyond: int


def judge(
    calibrations: dict[str, Calibration], tracks: Sequence[Sequence[Heard]], within_m: float, *, log_ratio: float = 0.0
) -> Rates:
    """Run the presence estimator over tracks it was not calibrated on."""
    told: list[tuple[float, bool]] = []
    for track in tracks:
        for receiver, rows in by_receiver(track).items():
            estimator = PresenceEstimator(calibrations[receiver], within_m=within_m, max_m=20.0)
            told += [(row.distance_m, estimator.update(row.rssi_dbm, round(row.t_s * 1e9)) > log_ratio) for row in rows]

    def share(low_m: float, high_m: float) -> float:
        chosen = [yes for distance_m, yes in told if low_m <= distance_m < high_m]
        return statistics.mean(chosen) if chosen else math.nan

    return Rates(
        within_m=within_m,
        true_positive=share(0, within_m),
        false_positive=share(within_m, math.inf),
        clear_true_positive=share(0, 0.7 * within_m),
        clear_false_positive=share(1.5 * within_m, math.inf),
        n_within=sum(d < within_m for d, _ in told),
        n_beyond=sum(d >= within_m for d, _ in told),
    )
