"""Calibration and likelihood ratio against made signals whose truth is known."""

import math
import random

import pytest

from devices.errors import CalibrationError
from devices.rssi import Calibration, PresenceEstimator, fit, student_975

S = 1_000_000_000
DISTANCES_M = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0)
TRUE = Calibration(
    reference_dbm=-59.0,
    exponent=2.2,
    shadowing_sd_db=4.0,
    fading_sd_db=3.0,
    residual_sd_db=5.0,
    n_samples=1,
    n_places=1,
)


def walk(rng: random.Random, *, n: int = 40) -> tuple[list[float], list[float]]:
    """Advertisements at each of some places; every place has its own shadowing."""
    distances, rssi = [], []
    for distance_m in DISTANCES_M:
        shadowing_db = rng.gauss(0, TRUE.shadowing_sd_db)
        for _ in range(n):
            distances.append(distance_m)
            rssi.append(TRUE.expected_dbm(distance_m) + shadowing_db + rng.gauss(0, TRUE.fading_sd_db))
    return distances, rssi


def test_a_clean_line_is_found_exactly() -> None:
    rssi = [-60.0 - 25.0 * math.log10(d) for d in DISTANCES_M]
    found = fit(DISTANCES_M, rssi)
    assert found.reference_dbm == pytest.approx(-60.0)
    assert found.exponent == pytest.approx(2.5)
    assert found.residual_sd_db == pytest.approx(0.0, abs=1e-9)
    assert (found.n_samples, found.n_places) == (10, 10)


def test_the_band_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(7)
    n_runs, covered = 300, 0
    for _ in range(n_runs):
        band = fit(*walk(rng, n=5)).band_dbm(3.0)
        assert band is not None
        covered += band[0] <= TRUE.expected_dbm(3.0) <= band[1]
    # 95 % of 300, four standard deviations of a count either way.
    assert covered / n_runs == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / n_runs))


def test_shadowing_and_fading_are_told_apart() -> None:
    rng = random.Random(3)
    found = [fit(*walk(rng)) for _ in range(60)]
    assert sum(c.fading_sd_db for c in found) / 60 == pytest.approx(TRUE.fading_sd_db, abs=0.1)
    assert sum(c.shadowing_sd_db for c in found) / 60 == pytest.approx(TRUE.shadowing_sd_db, abs=0.6)


def test_more_advertisements_at_the_same_places_do_not_feign_certainty() -> None:
    few, many = fit(*walk(random.Random(5), n=5)), fit(*walk(random.Random(5), n=500))
    few_db, many_db = few.fit_sd_db(3.0), many.fit_sd_db(3.0)
    assert few_db is not None and many_db is not None
    assert many_db > 0.5 * few_db


def test_one_distance_needs_the_exponent_given() -> None:
    rssi = [-65.0, -66.0, -64.0]
    with pytest.raises(CalibrationError, match="about one distance"):
        fit([1.83] * 3, rssi)
    found = fit([1.83] * 3, rssi, exponent=2.0)
    assert found.expected_dbm(1.83) == pytest.approx(-65.0)
    assert found.band_dbm(1.83) is None


def test_postures_at_one_distance_show_the_shadowing() -> None:
    found = fit([2.0] * 8, [-60.0] * 4 + [-70.0] * 4, places=["front"] * 4 + ["back"] * 4, exponent=2.0)
    assert found.n_places == 2
    assert found.shadowing_sd_db == pytest.approx(math.sqrt(50.0))
    assert found.fading_sd_db == 0.0


@pytest.mark.parametrize(
    ("distances", "rssi", "says"),
    [
        ([], [], "no samples"),
        ([1.0], [], "one for each"),
        ([1.0, 0.0], [-60, -60], "sample 1: distance"),
        ([1.0, 2.0], [-60, -127], "sample 1: RSSI"),
        ([1.0, math.nan], [-60, -60], "sample 1: distance"),
    ],
)
def test_bad_samples_are_refused(distances: list[float], rssi: list[float], says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        fit(distances, rssi)


def ratios(distance_m: float, *, within_m: float, seconds: int, rng: random.Random) -> list[float]:
    estimator = PresenceEstimator(TRUE, within_m=within_m)
    shadowing_db = rng.gauss(0, TRUE.shadowing_sd_db)
    out = []
    for k in range(seconds * 10):
        heard_dbm = TRUE.expected_dbm(distance_m) + shadowing_db + rng.gauss(0, TRUE.fading_sd_db)
        out.append(estimator.update(heard_dbm, k * S // 10))
    return out


def test_near_and_far_are_told_apart_more_often_than_not_wrongly() -> None:
    rng = random.Random(11)
    near = [ratios(1.0, within_m=3.0, seconds=5, rng=rng)[-1] for _ in range(40)]
    far = [ratios(15.0, within_m=3.0, seconds=5, rng=rng)[-1] for _ in range(40)]
    assert sum(r > 0 for r in near) >= 36
    assert sum(r < 0 for r in far) >= 36


def test_the_ratio_is_calibrated() -> None:
    """Among cases drawn from the two hypotheses alike, a ratio of L is right e^L times as often as wrong."""
    rng = random.Random(23)
    within_m, max_m, n = 4.0, 30.0, 4000
    cases = []
    for k in range(n):
        low, high = (0.1, within_m) if k % 2 else (within_m, max_m)
        distance_m = math.sqrt(rng.uniform(low**2, high**2))
        noise_db = rng.gauss(0, math.hypot(TRUE.shadowing_sd_db, TRUE.fading_sd_db))
        estimator = PresenceEstimator(TRUE, within_m=within_m, max_m=max_m)
        cases.append((estimator.update(TRUE.expected_dbm(distance_m) + noise_db, 0), bool(k % 2)))
    for low, high in ((-1.5, -0.5), (-0.5, 0.5), (0.5, 1.5)):
        chosen = [(ratio, near) for ratio, near in cases if low <= ratio < high]
        expected = sum(1 / (1 + math.exp(-ratio)) for ratio, _ in chosen) / len(chosen)
        share = sum(near for _, near in chosen) / len(chosen)
        assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / len(chosen)))


def test_more_advertisements_of_a_still_tag_do_not_prove_without_end() -> None:
    short = ratios(2.0, within_m=3.0, seconds=10, rng=random.Random(2))[-1]
    long = ratios(2.0, within_m=3.0, seconds=300, rng=random.Random(2))[-1]
    assert abs(long - short) < 1.5


def test_freak_values_are_bounded() -> None:
    estimator = PresenceEstimator(TRUE, within_m=3.0)
    assert abs(estimator.update(20.0, 0)) < 8
    for k in range(200):
        ratio = estimator.update(-126.0, (k + 1) * S // 10)
    assert -8 < ratio < 8


def test_smoothing_forgets() -> None:
    estimator = PresenceEstimator(TRUE, within_m=3.0, time_constant_s=1.0)
    assert estimator.smoothed_dbm is None
    estimator.update(-50.0, 0)
    estimator.update(-90.0, 10 * S)
    assert estimator.smoothed_dbm == pytest.approx(-90.0, abs=0.01)
    estimator.update(-90.0, 9 * S)  # late: taken as heard with the newest


def test_an_uncertain_calibration_says_less() -> None:
    known = fit(*walk(random.Random(5)))
    assert known.exponent_var is not None and known.reference_var_db2 is not None and known.covariance_db is not None
    vague = Calibration(
        reference_dbm=known.reference_dbm,
        exponent=known.exponent,
        shadowing_sd_db=known.shadowing_sd_db,
        fading_sd_db=known.fading_sd_db,
        residual_sd_db=known.residual_sd_db,
        n_samples=known.n_samples,
        n_places=known.n_places,
        reference_var_db2=100 * known.reference_var_db2,
        covariance_db=100 * known.covariance_db,
        exponent_var=100 * known.exponent_var,
    )
    sure = PresenceEstimator(known, within_m=3.0).update(-85.0, 0)
    unsure = PresenceEstimator(vague, within_m=3.0).update(-85.0, 0)
    assert sure < 0 and abs(unsure) < abs(sure)


def test_student_reaches_the_normal() -> None:
    assert student_975(0) == math.inf
    assert student_975(1) == 12.706
    assert student_975(30) == 2.042
    assert student_975(31) == 1.96


@pytest.mark.parametrize("within_m", [0.0, 0.05, 60.0, 100.0])
def test_a_ring_that_cannot_be_weighed_is_refused(within_m: float) -> None:
    with pytest.raises(CalibrationError):
        PresenceEstimator(TRUE, within_m=within_m)
