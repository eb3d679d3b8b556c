"""The path model and the presence estimator against real recordings with true distances (figures: rig/README.md).

Danis: one beacon moved through an office floor of 18 by 21 m, twelve receivers, position of each packet. MIT-LL: phones
on a person at 1.83 m who turned, in five surroundings.
"""

import itertools
import math
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

from devices.rssi import Calibration, PresenceEstimator, fit
from rig.ble.path_loss import RADIO_PROFILES, PathLoss, loss_probability
from tests.rig.ble.recordings import (
    CALIBRATE_ON,
    DANIS_INTERVAL_S,
    JUDGE_ON,
    Heard,
    Rates,
    by_receiver,
    calibrate,
    danis_still,
    danis_track,
    judge,
    mitll_runs,
    simulated,
)

pytestmark = pytest.mark.corpus

WITHIN_M = (3.0, 5.0, 8.0)
SEED = 1


@pytest.fixture(scope="module")
def tracks(corpus: Path) -> dict[str, list[Heard]]:
    return {name: danis_track(corpus / "ble" / "danis", name) for name in (*CALIBRATE_ON, *JUDGE_ON)}


@pytest.fixture(scope="module")
def modelled(tracks: dict[str, list[Heard]]) -> dict[str, list[Heard]]:
    return {name: simulated(track, "indoor", seed=SEED) for name, track in tracks.items()}


def line_of(tracks: dict[str, list[Heard]]) -> Calibration:
    every = [row for track in tracks.values() for row in track]
    return fit(
        [row.distance_m for row in every],
        [row.rssi_dbm for row in every],
        places=[(row.receiver, row.place) for row in every],
    )


def calibrations_of(tracks: dict[str, list[Heard]]) -> dict[str, Calibration]:
    rows = [row for name in CALIBRATE_ON for row in tracks[name]]
    return {receiver: calibrate(heard) for receiver, heard in by_receiver(rows).items()}


def rates_of(tracks: dict[str, list[Heard]]) -> list[Rates]:
    calibrations = calibrations_of(tracks)
    return [judge(calibrations, [tracks[name] for name in JUDGE_ON], within_m) for within_m in WITHIN_M]


def test_the_models_line_and_spread_are_those_of_the_recorded_floor(
    tracks: dict[str, list[Heard]], modelled: dict[str, list[Heard]]
) -> None:
    real, model = line_of(tracks), line_of(modelled)
    assert real.reference_dbm == pytest.approx(-62, abs=1)
    assert real.exponent == pytest.approx(1.4, abs=0.1)
    assert model.reference_dbm == pytest.approx(real.reference_dbm, abs=2)
    assert model.exponent == pytest.approx(real.exponent, abs=0.3)
    assert model.residual_sd_db == pytest.approx(real.residual_sd_db, abs=0.8)
    assert model.fading_sd_db == pytest.approx(real.fading_sd_db, abs=1.0)
    assert model.shadowing_sd_db == pytest.approx(real.shadowing_sd_db, abs=2.0)


def test_receivers_differ_from_each_other_as_the_recorded_ones_do(
    tracks: dict[str, list[Heard]], modelled: dict[str, list[Heard]]
) -> None:
    real = [calibration.exponent for calibration in calibrations_of(tracks).values()]
    model = [calibration.exponent for calibration in calibrations_of(modelled).values()]
    assert statistics.stdev(real) == pytest.approx(0.4, abs=0.1)
    assert statistics.stdev(model) == pytest.approx(statistics.stdev(real), abs=0.15)


def test_as_many_packets_are_lost(tracks: dict[str, list[Heard]]) -> None:
    sent = sum((track[-1].t_s - track[0].t_s) / DANIS_INTERVAL_S for track in tracks.values()) * 12
    real = 1 - sum(len(track) for track in tracks.values()) / sent
    assert 0.08 < real < 0.18
    every = [row.rssi_dbm for track in tracks.values() for row in track]
    model = statistics.mean(loss_probability(RADIO_PROFILES["indoor"], rssi_dbm) for rssi_dbm in every)
    assert model == pytest.approx(real, abs=0.05)


def test_still_pairs_keep_few_levels_far_apart_and_the_model_does_too(corpus: Path) -> None:
    """A median deviation near zero with a range of 20 dB: three channels, each steady, not one noisy value."""

    def spread(levels: list[float]) -> tuple[float, float]:
        steps = [abs(b - a) for a, b in itertools.pairwise(sorted(levels))]
        quantiles = statistics.quantiles(levels, n=50)
        return statistics.median(steps), quantiles[-1] - quantiles[0]

    real = [spread(levels) for _, _, levels in danis_still(corpus / "ble" / "danis")]
    ranges = [width for _, width in real]
    assert min(ranges) < 4
    assert max(ranges) > 20
    model = []
    for seed in range(12):
        path = PathLoss(RADIO_PROFILES["indoor"], seed=seed, pair="still")
        model.append(spread([round(path.receive(t_s=0.455 * i, distance_m=7.0).rssi_dbm) for i in range(600)]))
    assert statistics.median(width for _, width in model) == pytest.approx(statistics.median(ranges), abs=5)
    assert max(width for _, width in model) > 12


def test_presence_is_told_near_and_not_told_far(tracks: dict[str, list[Heard]]) -> None:
    """Calibrated on three tracks, judged on two others. Chance would be equal rates; certainty 1 and 0."""
    for rates in rates_of(tracks):
        assert rates.true_positive > 0.85
        assert rates.clear_true_positive > 0.95
        assert rates.false_positive < 0.40
        assert rates.clear_false_positive < 0.20


def test_presence_is_as_hard_on_the_model_as_in_the_recording(
    tracks: dict[str, list[Heard]], modelled: dict[str, list[Heard]]
) -> None:
    for real, model in zip(rates_of(tracks), rates_of(modelled), strict=True):
        assert model.true_positive == pytest.approx(real.true_positive, abs=0.1)
        assert model.false_positive == pytest.approx(real.false_positive, abs=0.1)


def test_a_ratio_is_what_it_says_or_less(tracks: dict[str, list[Heard]]) -> None:
    """Of packets called "within" at ten to one or better, the odds gained are positive but not overstated tenfold."""
    calibrations = calibrations_of(tracks)
    counts = {True: 0, False: 0}
    totals = {True: 0, False: 0}
    for name in JUDGE_ON:
        for receiver, rows in by_receiver(tracks[name]).items():
            estimator = PresenceEstimator(calibrations[receiver], within_m=5.0, max_m=20.0)
            for row in rows:
                near = row.distance_m < 5.0
                totals[near] += 1
                counts[near] += estimator.update(row.rssi_dbm, round(row.t_s * 1e9)) > math.log(10)
    gained = (counts[True] / totals[True]) / (counts[False] / totals[False])
    assert gained > 5


def test_a_turning_person_costs_what_the_model_takes_a_body_to_cost(corpus: Path) -> None:
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    packets: dict[str, list[float]] = defaultdict(list)
    for where, phone, _, levels in mitll_runs(corpus / "ble" / "mitll"):
        means[where, phone].append(statistics.mean(levels))
        packets[where] += levels
    outdoors = [max(m) - min(m) for (where, _), m in means.items() if where == "courtyard"]
    least, most = RADIO_PROFILES["on_body"].body_loss_db
    assert max(outdoors) > most
    assert statistics.median(outdoors) > least
    path_levels = []
    for seed in range(24):
        path = PathLoss(RADIO_PROFILES["on_body"], seed=seed, pair="phone")
        path_levels += [path.receive(t_s=0.1 * i, distance_m=1.83, moved_m=0.0).rssi_dbm for i in range(300)]
    assert statistics.stdev(path_levels) == pytest.approx(statistics.stdev(packets["courtyard"]), abs=2.5)
    # indoors the walls send around the body what it blocks
    indoors = [max(m) - min(m) for (where, _), m in means.items() if where == "screen-room"]
    assert max(indoors) < max(outdoors)
