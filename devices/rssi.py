"""Signal strength as evidence: calibrate a tag against a receiver, then say how much "within r" is favoured.

Model: ``rssi = reference - 10 * exponent * log10(d / 1 m) + shadowing + fading`` (log-distance path loss). Shadowing
(body, furniture) stays as long as nobody moves; fading changes with every advertisement and channel. They are kept
apart because a thousand advertisements heard at one place tell no more about the shadowing there than one does.
The output is a log likelihood ratio. A distance is not computed: at an exponent of 2 and 6 dB of shadowing it would be
wrong by a factor of two either way.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from devices.errors import CalibrationError

DISTANCE_MIN_M = 0.1
"""m. Nearer, antennas couple and the path loss model ends; also keeps the logarithm finite."""
DISTANCE_MAX_M = 60.0
"""m. The farthest a tag is thought to be heard when "beyond r" is weighed: open air at 0 dBm. Larger makes weak signals
weigh a little more against "within"."""
TIME_CONSTANT_S = 3.0
"""s. Memory of the smoothing: a person walks about 4 m in it, so a ring of that size is not smeared, and 100 ms
advertisements average 30-fold. Longer is later, shorter lets fading through."""
SHADOWING_FLOOR_DB = 2.0
"""dB. What shadowing is taken to be at least, whatever a calibration shows: one run over a few places in one room does
not meet the body in all its postures."""
OUTLIER_SHARE = 0.01
"""Share of measurements taken to say nothing (reflections, receivers that saturate). It bounds the ratio, so that no
single series of freak values can prove anything."""
OUTLIER_SPAN_DB = 100.0
"""dB. Width of the uniform density of an outlier: what receivers report lies between -100 and 0 dBm."""
CONFIDENCE = 0.95
"""Confidence of the band of a calibration."""

MIN_SPREAD_DB2 = 4.5
"""dB^2. Least sum of squares of ``10 log10 d`` about its mean: two distances a factor of two apart. Below, a residue of
shadowing looks like an exponent of any size."""

_STEPS = 48
"""Steps of the integral over distance; doubling them changes the ratio by less than 0.001."""

_STUDENT_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (two-sided 95 %); beyond, 1.96 is within 4 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How strongly one receiver hears one tag.

    Attributes
    ----------
    reference_dbm : float
        Expected RSSI at 1 m.
    exponent : float
        Path loss exponent; 2 in free space.
    shadowing_sd_db : float
        Standard deviation between places, beyond what fading explains.
    fading_sd_db : float
        Standard deviation within a place, from advertisement to advertisement.
    residual_sd_db : float
        Standard deviation of a single advertisement about the fitted line.
    n_samples, n_places : int
        Advertisements, and distances they were heard at.
    reference_var_db2, covariance_db, exponent_var : float or None
        Uncertainty of the fit, places counted as independent and advertisements at one place not. None where too few
        places leave nothing to tell it from.
    """

    reference_dbm: float
    exponent: float
    shadowing_sd_db: float
    fading_sd_db: float
    residual_sd_db: float
    n_samples: int
    n_places: int
    reference_var_db2: float | None = None
    covariance_db: float | None = None
    exponent_var: float | None = None

    def expected_dbm(self, distance_m: float) -> float:
        """Return the RSSI that the fitted line gives at a distance."""
        return self.reference_dbm - 10.0 * self.exponent * math.log10(max(distance_m, DISTANCE_MIN_M))

    def fit_sd_db(self, distance_m: float) -> float | None:
        """Return the standard deviation of the line itself at a distance, or None where it is not known."""
        if self.reference_var_db2 is None or self.covariance_db is None or self.exponent_var is None:
            return None
        x = -10.0 * math.log10(max(distance_m, DISTANCE_MIN_M))
        variance = self.reference_var_db2 + 2.0 * x * self.covariance_db + x * x * self.exponent_var
        return math.sqrt(max(variance, 0.0))

    def band_dbm(self, distance_m: float) -> tuple[float, float] | None:
        """Return the 95 % confidence band of the line at a distance, or None where it is not known."""
        sd_db = self.fit_sd_db(distance_m)
        if sd_db is None:
            return None
        half_db = student_975(self.n_places - 2) * sd_db
        middle_dbm = self.expected_dbm(distance_m)
        return middle_dbm - half_db, middle_dbm + half_db


def student_975(degrees_of_freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    if degrees_of_freedom < 1:
        return math.inf
    return _STUDENT_975[degrees_of_freedom - 1] if degrees_of_freedom <= len(_STUDENT_975) else 1.96


def fit(
    distances_m: Sequence[float],
    rssi_dbm: Sequence[float],
    *,
    places: Sequence[object] | None = None,
    exponent: float | None = None,
) -> Calibration:
    """Fit the path loss of one tag at one receiver.

    Parameters
    ----------
    distances_m : sequence of float, shape (N,)
        True distance at which each advertisement was heard.
    rssi_dbm : sequence of float, shape (N,)
    places : sequence of hashable, shape (N,), optional
        Which advertisements share one place and posture; by default those of one distance do.
    exponent : float, optional
        Fixed exponent. Needed where all distances are equal: one distance cannot show a slope.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        Unequal lengths, values outside their range, no samples, or a slope that the distances cannot show.

    Notes
    -----
    Ordinary least squares on the mean of each place, all places weighing the same: what repeats at a place is fading,
    and its share of a mean of many advertisements is small against shadowing.
    """
    grouped = _group(distances_m, rssi_dbm, places)
    n = len(rssi_dbm)
    xs = [mean_x for mean_x, _ in grouped]
    ys = [sum(values) / len(values) for _, values in grouped]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    sxx = sum((x - x_mean) ** 2 for x in xs)
    if exponent is None:
        if sxx < MIN_SPREAD_DB2:
            raise CalibrationError(
                f"all {n} samples were taken at about one distance: expected a spread of at least a factor of two. "
                "Next: add samples at other distances, or give the exponent (2 in free space)"
            )
        slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / sxx
    else:
        slope = exponent
    reference_dbm = y_mean - slope * x_mean
    residuals = [y - (reference_dbm + slope * x) for x, y in zip(xs, ys, strict=True)]
    n_fitted = 1 if exponent is not None else 2
    degrees = len(ys) - n_fitted
    between_db2 = sum(r * r for r in residuals) / degrees if degrees > 0 else None
    fading_db2 = _within(grouped, ys)
    mean_share_db2 = fading_db2 * sum(1.0 / len(values) for _, values in grouped) / len(grouped)
    shadowing_db2 = max((between_db2 or 0.0) - mean_share_db2, 0.0)
    all_db2 = sum((value - (reference_dbm + slope * x)) ** 2 for x, values in grouped for value in values)
    knows_slope = between_db2 is not None and exponent is None
    return Calibration(
        reference_dbm=reference_dbm,
        exponent=slope,
        shadowing_sd_db=math.sqrt(shadowing_db2),
        fading_sd_db=math.sqrt(fading_db2),
        residual_sd_db=math.sqrt(all_db2 / max(n - n_fitted, 1)),
        n_samples=n,
        n_places=len(grouped),
        reference_var_db2=(between_db2 or 0.0) * (1.0 / len(ys) + x_mean**2 / sxx) if knows_slope else None,
        covariance_db=-(between_db2 or 0.0) * x_mean / sxx if knows_slope else None,
        exponent_var=(between_db2 or 0.0) / sxx if knows_slope else None,
    )


def _group(
    distances_m: Sequence[float], rssi_dbm: Sequence[float], places: Sequence[object] | None
) -> list[tuple[float, list[float]]]:
    if len(distances_m) != len(rssi_dbm) or (places is not None and len(places) != len(rssi_dbm)):
        raise CalibrationError(
            f"{len(distances_m)} distances for {len(rssi_dbm)} signal strengths: expected one for each"
        )
    if not rssi_dbm:
        raise CalibrationError("no samples. Next: record advertisements of the tag at known distances")
    by_place: dict[object, tuple[list[float], list[float]]] = {}
    for k, (distance_m, value_dbm) in enumerate(zip(distances_m, rssi_dbm, strict=True)):
        if not DISTANCE_MIN_M <= distance_m <= 10_000.0:
            raise CalibrationError(f"sample {k}: distance {distance_m!r} m, expected {DISTANCE_MIN_M} to 10000")
        if not -127.0 < value_dbm <= 20.0:
            raise CalibrationError(f"sample {k}: RSSI {value_dbm!r} dBm, expected -126 to 20 (-127 means none)")
        xs, values = by_place.setdefault(distance_m if places is None else places[k], ([], []))
        xs.append(-10.0 * math.log10(distance_m))
        values.append(value_dbm)
    return [(sum(xs) / len(xs), values) for xs, values in by_place.values()]


def _within(grouped: list[tuple[float, list[float]]], means: list[float]) -> float:
    n_free = sum(len(values) - 1 for _, values in grouped)
    if n_free == 0:
        return 0.0
    squares = sum((v - mean) ** 2 for (_, values), mean in zip(grouped, means, strict=True) for v in values)
    return squares / n_free


class PresenceEstimator:
    """Weighs by what is heard of one tag whether it is within a distance or beyond.

    Parameters
    ----------
    calibration : Calibration
        Of this tag at this receiver.
    within_m : float
        The r of "within r".
    max_m : float
        Where "beyond" ends.
    time_constant_s : float
        Memory of the smoothing.

    Notes
    -----
    Both hypotheses take the tag to be anywhere in their part of the plane with equal density. The RSSI is averaged with
    exponentially falling weight; the averaged value is normal about the line with the variance of the shadowing, of
    the line, and of fading divided by the effective number of advertisements. Advertisements that are not heard are
    not weighed: silence is judged by ``devices.presence``.
    """

    def __init__(
        self,
        calibration: Calibration,
        *,
        within_m: float,
        max_m: float = DISTANCE_MAX_M,
        time_constant_s: float = TIME_CONSTANT_S,
    ) -> None:
        if not DISTANCE_MIN_M < within_m < max_m:
            raise CalibrationError(f"within {within_m} m: expected more than {DISTANCE_MIN_M} and less than {max_m} m")
        if time_constant_s <= 0:
            raise CalibrationError(f"time constant {time_constant_s} s: expected more than 0")
        self._calibration = calibration
        self._time_constant_ns = time_constant_s * 1e9
        self._near = _grid(calibration, DISTANCE_MIN_M, within_m)
        self._far = _grid(calibration, within_m, max_m)
        self._shadowing_db2 = max(calibration.shadowing_sd_db, SHADOWING_FLOOR_DB) ** 2
        self._weight = 0.0
        self._weight2 = 0.0
        self._sum_dbm = 0.0
        self._t_mono_ns: int | None = None

    @property
    def smoothed_dbm(self) -> float | None:
        """The average that the last ratio came from; None before anything was heard."""
        return self._sum_dbm / self._weight if self._weight else None

    def update(self, rssi_dbm: float, t_mono_ns: int) -> float:
        """Take one advertisement and return the log likelihood ratio of "within" against "beyond" (natural log).

        Parameters
        ----------
        rssi_dbm : float
        t_mono_ns : int
            When it was heard; an older one than the last is taken as heard with it.
        """
        if self._t_mono_ns is not None:
            age_ns = max(t_mono_ns - self._t_mono_ns, 0)
            decay = math.exp(-age_ns / self._time_constant_ns)
            self._weight *= decay
            self._weight2 *= decay * decay
            self._sum_dbm *= decay
        self._t_mono_ns = max(t_mono_ns, self._t_mono_ns or t_mono_ns)
        self._weight += 1.0
        self._weight2 += 1.0
        self._sum_dbm += rssi_dbm
        return self._ratio(self._sum_dbm / self._weight, self._weight**2 / self._weight2)

    def _ratio(self, smoothed_dbm: float, n_effective: float) -> float:
        noise_db2 = self._shadowing_db2 + self._calibration.fading_sd_db**2 / n_effective
        near = _likelihood(self._near, smoothed_dbm, noise_db2)
        far = _likelihood(self._far, smoothed_dbm, noise_db2)
        return math.log(near / far)


def _grid(calibration: Calibration, low_m: float, high_m: float) -> list[tuple[float, float, float]]:
    """Return (expected dBm, variance of the line in dB^2, weight) over a ring of the plane; the weights sum to 1."""
    width_m = (high_m - low_m) / _STEPS
    points = [low_m + (k + 0.5) * width_m for k in range(_STEPS)]
    total = sum(points)
    return [(calibration.expected_dbm(d), (calibration.fit_sd_db(d) or 0.0) ** 2, d / total) for d in points]


def _likelihood(grid: list[tuple[float, float, float]], value_dbm: float, noise_db2: float) -> float:
    density = 0.0
    for expected_dbm, line_db2, weight in grid:
        variance = noise_db2 + line_db2
        density += (
            weight * math.exp(-((value_dbm - expected_dbm) ** 2) / (2 * variance)) / math.sqrt(math.tau * variance)
        )
    return (1.0 - OUTLIER_SHARE) * density + OUTLIER_SHARE / OUTLIER_SPAN_DB
