"""Is the beacon that her unit hears near her? Weighed by signal strength, never told in metres."""

from devices.rssi import Calibration, PresenceEstimator
from protocols.reports import BeaconSighting

DEFAULT_CALIBRATION = Calibration(
    reference_dbm=-59.0,
    exponent=2.0,
    shadowing_sd_db=6.0,
    fading_sd_db=5.0,
    residual_sd_db=7.8,
    n_samples=0,
    n_places=0,
)
"""A tag at 0 dBm worn on a body, in the open: -59 dBm at one metre is what beacons of that power are commonly set to
announce, 2 is free space, 6 dB a body between the two. Wide on purpose: weak signals are then not taken for far."""


class Hearing:
    """What one unit hears of one wearer's beacon, smoothed."""

    def __init__(self, *, within_m: float, log_ratio: float, calibration: Calibration = DEFAULT_CALIBRATION) -> None:
        self._estimator = PresenceEstimator(calibration, within_m=within_m)
        self._log_ratio = log_ratio

    def is_near(self, sighting: BeaconSighting, t_rx_mono_ns: int) -> bool:
        """Take a genuine sighting; whether all that was heard lately makes him near enough."""
        t_heard_mono_ns = t_rx_mono_ns - sighting.age_ms * 1_000_000
        return self._estimator.update(float(sighting.rssi_dbm), t_heard_mono_ns) >= self._log_ratio
