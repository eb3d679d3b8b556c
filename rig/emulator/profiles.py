"""Surroundings of a receiver, as numbers. Marks: (m) measured on real logs, (l) literature, (a) assumed, to be varied.

Position error is correlated in time: a study of still single-frequency receivers finds an Ornstein-Uhlenbeck process
far better than white noise (Sensors 2020, 20, 6050). Independent noise per fix would make any dwell filter look better
than it is.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssProfile:
    """What a place does to satellite positioning.

    Attributes
    ----------
    error_sd_m, error_tau_s : float
        Standard deviation per axis and time constant of the main error.
    slow_sd_m, slow_tau_s : float
        The same for the slow drift (orbits, ionosphere).
    white_sd_m : float
        Noise that differs from fix to fix.
    cn0_offset_db : float
        Added to the C/N0 of every satellite.
    wall_deg : float
        Elevation below which satellites to two opposite sides are hidden (a street canyon).
    jump_rate_hz, jump_mean_s, jump_min_m, jump_max_m : float
        Multipath jumps: how often, how long (exponential), how far (uniform), to one side.
    no_fix_share, no_fix_mean_s : float
        Share of time without a fix, and the mean length of one such spell.
    freeze_rate_hz, freeze_mean_s : float
        Spells in which the receiver repeats its last position with new times.
    reacquire_sd_m, reacquire_tau_s : float
        Extra error of the first fix after a loss, and how fast it fades.
    coast_s : float
        Longest time for which the receiver goes straight on once the signals are gone; its fixes say so.
    """

    name: str
    error_sd_m: float
    error_tau_s: float
    slow_sd_m: float
    slow_tau_s: float
    white_sd_m: float
    cn0_offset_db: float = 0.0
    wall_deg: float = 0.0
    jump_rate_hz: float = 0.0
    jump_mean_s: float = 0.0
    jump_min_m: float = 0.0
    jump_max_m: float = 0.0
    no_fix_share: float = 0.0
    no_fix_mean_s: float = 0.0
    freeze_rate_hz: float = 0.0
    freeze_mean_s: float = 0.0
    reacquire_sd_m: float = 3.0
    reacquire_tau_s: float = 10.0
    coast_s: float = 0.0

    @property
    def sd_m(self) -> float:
        """Standard deviation per axis of all continuous parts at nominal satellite geometry."""
        return float((self.error_sd_m**2 + self.slow_sd_m**2 + self.white_sd_m**2) ** 0.5)


PROFILES: Final[dict[str, GnssProfile]] = {
    profile.name: profile
    for profile in (
        # sd 1 to 3 m, time constant 60 to 100 s (m); slow part 20 to 40 min, 1 to 2 m (a)
        GnssProfile(name="open_sky", error_sd_m=1.6, error_tau_s=80, slow_sd_m=1.2, slow_tau_s=1800, white_sd_m=0.2),
        # sd 5 to 10 m (m)
        GnssProfile(
            name="poor_view",
            error_sd_m=7.0,
            error_tau_s=80,
            slow_sd_m=1.5,
            slow_tau_s=1800,
            white_sd_m=0.5,
            cn0_offset_db=-5,
            reacquire_sd_m=8,
        ),
        # sd 8 to 15 m, a jump every 2 to 5 min of 20 to 60 m for 20 to 60 s (a); 10 to 50 m by vendors' pages (l)
        GnssProfile(
            name="urban",
            error_sd_m=8.5,
            error_tau_s=80,
            slow_sd_m=1.5,
            slow_tau_s=1800,
            white_sd_m=0.8,
            cn0_offset_db=-6,
            wall_deg=35,
            jump_rate_hz=1 / 210,
            jump_mean_s=40,
            jump_min_m=20,
            jump_max_m=60,
            reacquire_sd_m=20,
        ),
        # no fix 30 to 80 % of the time, by spells and by too few satellites; else sd 15 to 30 m, 3 to 8 satellites,
        # HDOP 2 to 20 (a); frozen positions with new times (m)
        GnssProfile(
            name="indoor",
            error_sd_m=14.0,
            error_tau_s=60,
            slow_sd_m=3.0,
            slow_tau_s=1800,
            white_sd_m=1.5,
            cn0_offset_db=-16.5,
            no_fix_share=0.25,
            no_fix_mean_s=40,
            freeze_rate_hz=1 / 60,
            freeze_mean_s=15,
            reacquire_sd_m=30,
        ),
        # gaps of 10 to 150 s (m), first fixes after it off by up to 50 m (a)
        GnssProfile(
            name="tunnel",
            error_sd_m=1.6,
            error_tau_s=80,
            slow_sd_m=1.2,
            slow_tau_s=1800,
            white_sd_m=0.2,
            cn0_offset_db=-60,
            no_fix_share=1.0,
            reacquire_sd_m=25,
            coast_s=10,
        ),
        # the same for somebody on foot under concrete
        GnssProfile(
            name="car_park",
            error_sd_m=1.6,
            error_tau_s=80,
            slow_sd_m=1.2,
            slow_tau_s=1800,
            white_sd_m=0.2,
            cn0_offset_db=-60,
            no_fix_share=1.0,
            reacquire_sd_m=25,
            coast_s=10,
        ),
        # under a metal roof with large windows: some dB, sd 2 to 5 m (a)
        GnssProfile(
            name="in_car",
            error_sd_m=2.8,
            error_tau_s=80,
            slow_sd_m=1.2,
            slow_tau_s=1800,
            white_sd_m=0.3,
            cn0_offset_db=-3,
            reacquire_sd_m=8,
        ),
        # corrected to centimetres: for stories in which the error must not matter (a)
        GnssProfile(
            name="rtk",
            error_sd_m=0.015,
            error_tau_s=80,
            slow_sd_m=0.01,
            slow_tau_s=1800,
            white_sd_m=0.005,
            reacquire_sd_m=0.05,
        ),
    )
}
"""Named surroundings; verdicts and recorded runs refer to them by name."""

DEFAULT_PROFILE: Final = "open_sky"
"""Where a tag is unless told otherwise."""
