from math import sqrt

import pytest

from protocols.nmea.records import Noise
from protocols.nmea.sigma import DIFFERENTIAL, GNSS, PRECISE, RTK_FIXED, RTK_FLOAT, Mechanism, horizontal_sigma
from protocols.reports import FixQuality


def noise(lat: float | None, lon: float | None, major: float | None = None, minor: float | None = None) -> Noise:
    return Noise(
        talker="GP",
        time_of_day_ns=0,
        semi_major_m=major,
        semi_minor_m=minor,
        orientation_deg=0.0,
        lat_sigma_m=lat,
        lon_sigma_m=lon,
    )


def test_gst_comes_first() -> None:
    assert horizontal_sigma(FixQuality.GNSS, 1.0, noise(3.0, 4.0, 9.0, 9.0)) == (sqrt(12.5), "gst")


def test_ellipse_stands_in_for_missing_axes() -> None:
    assert horizontal_sigma(FixQuality.GNSS, 1.0, noise(None, None, 4.0, 3.0)) == (sqrt(12.5), "gst")


@pytest.mark.parametrize("empty", [noise(None, None), noise(0.0, 0.0), noise(3.0, None, 0.0, 3.0), None])
def test_a_gst_that_says_nothing_or_zero_is_passed_over(empty: Noise | None) -> None:
    assert horizontal_sigma(FixQuality.GNSS, 2.0, empty)[1] == "hdop_uere_gnss"


@pytest.mark.parametrize(
    ("quality", "mechanism"),
    [
        (FixQuality.GNSS, GNSS),
        (FixQuality.DIFFERENTIAL, DIFFERENTIAL),
        (FixQuality.PRECISE, PRECISE),
        (FixQuality.RTK_FIXED, RTK_FIXED),
        (FixQuality.RTK_FLOAT, RTK_FLOAT),
        (None, GNSS),
    ],
)
def test_hdop_times_uere_per_axis_else_the_floor(quality: FixQuality | None, mechanism: Mechanism) -> None:
    sigma_m, rule = horizontal_sigma(quality, 2.0, None)
    assert (sigma_m, rule) == (pytest.approx(2.0 * mechanism.uere_m / sqrt(2)), f"hdop_uere_{mechanism.name}")
    assert horizontal_sigma(quality, None, None) == (mechanism.floor_m, f"floor_{mechanism.name}")
