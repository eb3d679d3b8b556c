"""The tag's GNSS receiver: the truth in, an observation with correlated error and an honest error estimate out."""

import math
from dataclasses import dataclass
from typing import Final

from rig.emulator.noise import OrnsteinUhlenbeck, Spells, stream
from rig.emulator.profiles import GnssProfile
from rig.emulator.sky import NOMINAL_HDOP, Geometry, Satellite, Sky, find_geometry, in_use
from rig.emulator.track import MOVING_MPS, Track, TrackPoint

_BLOCKED_DB: Final = 60.0
"""Attenuation by a cellar, a tunnel or foil, dB: nothing is heard."""

_JAM_DB: Final = {0: 0.0, 1: 10.0, 2: 20.0, 3: 30.0}
"""Fall of C/N0 by jammer strength, dB; real jamming takes 10 to 30 dB (a).

Strength 1 leaves a fix under an open sky."""

_JAM_RAMP_S: Final = (1.0, 5.0)
"""A jammer comes near in so many seconds (a); it ends at once."""

FIRST_FIX_S: Final = (1.0, 3.0)
"""Time to first fix after power-on with valid ephemeris (hot start), seconds; data sheets say 1 to 2."""

REACQUIRE_S: Final = (1.0, 4.0)
"""Time from the return of signals to the next fix, seconds (a)."""

_ALTITUDE_M: Final = 20.0
"""Altitude of the made-up place, metres above mean sea level: the track is flat."""

_SPEED_SD_MPS: Final = 0.05
"""Error of the Doppler speed per axis, metres per second (data sheets: 0.05)."""

MAX_SCALE: Final = 1.5
"""Cap on the growth of the error with poor geometry (a): the profiles' figures are those of whole logs, poor geometry
included, and a receiver's filter holds the position together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One solution. Errors in ``sigma_*`` are what the receiver believes, per axis of its error ellipse."""

    east_m: float
    north_m: float
    lat_deg: float
    lon_deg: float
    alt_m: float
    speed_mps: float
    course_deg: float | None
    hdop: float
    vdop: float
    pdop: float
    sigma_major_m: float
    sigma_minor_m: float
    orientation_deg: float
    sigma_lat_m: float
    sigma_lon_m: float
    sigma_alt_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the receiver says at one epoch; ``position`` is None without a fix."""

    position: Position | None
    satellites: tuple[Satellite, ...]
    used: tuple[Satellite, ...]


class GnssReceiver:
    """Correlated errors per axis of the ellipse, jumps, gaps, frozen positions, jamming and loss, from one seed."""

    def __init__(self, track: Track, profile: GnssProfile, seed: int) -> None:
        self._track = track
        self._sky = Sky(seed)
        self._rng = stream(seed, "gnss")
        self._seed = seed
        self._changes = 0
        self._t_s: float | None = None
        self.blocked = False
        self.shielded = False
        self._jam = 0
        self._jam_since_s = 0.0
        self._jam_ramp_s = 1.0
        self._ready_at_s = self._rng.uniform(*FIRST_FIX_S)
        self._without_signal = True
        self._reacquired_at_s = -math.inf
        self._reacquire_error = (0.0, 0.0)
        self._last: Position | None = None
        self.set_profile(profile)

    def set_profile(self, profile: GnssProfile) -> None:
        """Go to other surroundings; the errors of the new place start afresh."""
        self.profile = profile
        self._changes += 1

        def own(name: str) -> OrnsteinUhlenbeck:
            tau_s = profile.slow_tau_s if name.startswith("slow") else profile.error_tau_s
            return OrnsteinUhlenbeck(stream(self._seed, f"gnss/{self._changes}/{name}"), tau_s)

        self._main = (own("major"), own("minor"), own("up"))
        self._slow = (own("slow-major"), own("slow-minor"), own("slow-up"))
        rng = stream(self._seed, f"gnss/{self._changes}/spells")
        self._jumps = _spells(rng.getrandbits(64), profile.jump_rate_hz, profile.jump_mean_s)
        self._freezes = _spells(rng.getrandbits(64), profile.freeze_rate_hz, profile.freeze_mean_s)
        if 0 < profile.no_fix_share < 1:
            mean_fix_s = profile.no_fix_mean_s * (1 - profile.no_fix_share) / profile.no_fix_share
            self._gaps = _spells(rng.getrandbits(64), 1 / mean_fix_s, profile.no_fix_mean_s)
        else:
            self._gaps = _spells(0, 0.0, 0.0)
        self._jump = (0.0, 0.0)

    def set_jammer(self, strength: int, t_s: float) -> None:
        """Bring a jammer near (1 to 3) or take it away (0)."""
        self._jam, self._jam_since_s = strength, t_s
        self._jam_ramp_s = self._rng.uniform(*_JAM_RAMP_S)

    def restart(self, t_s: float) -> None:
        """Power on again: the first fix takes its time, and the last position is forgotten."""
        self._ready_at_s = t_s + self._rng.uniform(*FIRST_FIX_S)
        self._last = None

    @property
    def jam_indicator(self) -> int:
        """What the receiver's own jamming detector shows."""
        return self._jam

    def observe(self, t_s: float) -> Observation:
        """One epoch at a tag time; times must not fall."""
        dt_s = 0.0 if self._t_s is None else t_s - self._t_s
        self._t_s = t_s
        truth = self._track.at(t_s)
        satellites = tuple(self._sky.view(t_s, dt_s, self.profile, self._attenuation_db(t_s)))
        used = tuple(in_use(satellites))
        errors = [(m.advance(dt_s), s.advance(dt_s)) for m, s in zip(self._main, self._slow, strict=True)]
        noise = [self._rng.gauss(0.0, 1.0) for _ in range(5)]
        gap, jumping, frozen = self._gaps.advance(dt_s), self._jumps.advance(dt_s), self._freezes.advance(dt_s)
        if self._jumps.started:
            self._jump = self._draw_jump()
        if self.profile.no_fix_share >= 1:
            gap = True
        geometry = None if gap else find_geometry(self._enough(used))
        if not self._holds_fix(t_s, geometry) or geometry is None:
            return Observation(position=None, satellites=satellites, used=())
        if frozen and self._last is not None:
            position = self._last
        else:
            position = self._solve(t_s, truth, geometry, errors, noise, self._jump if jumping else (0.0, 0.0))
        self._last = position
        return Observation(position=position, satellites=satellites, used=used)

    def _attenuation_db(self, t_s: float) -> float:
        if self.blocked or self.shielded:
            return _BLOCKED_DB
        if not self._jam:
            return 0.0
        return _JAM_DB[self._jam] * min(1.0, (t_s - self._jam_since_s) / self._jam_ramp_s)

    @staticmethod
    def _enough(used: tuple[Satellite, ...]) -> tuple[Satellite, ...]:
        return used if len(used) >= 4 else ()

    def _draw_jump(self) -> tuple[float, float]:
        angle = self._rng.uniform(0, math.tau)
        length = self._rng.uniform(self.profile.jump_min_m, self.profile.jump_max_m)
        return length * math.sin(angle), length * math.cos(angle)

    def _holds_fix(self, t_s: float, geometry: Geometry | None) -> bool:
        """Whether there is a fix; signals that return need a moment, and the first fix after a loss is worse."""
        if geometry is None:
            self._without_signal = True
            self._ready_at_s = max(self._ready_at_s, t_s)
            return False
        if self._without_signal:
            self._without_signal = False
            if self._last is not None:
                self._ready_at_s = t_s + self._rng.uniform(*REACQUIRE_S)
                self._reacquired_at_s = self._ready_at_s
                sd = self.profile.reacquire_sd_m
                self._reacquire_error = (self._rng.gauss(0.0, sd), self._rng.gauss(0.0, sd))
                self._last = None
        return t_s >= self._ready_at_s

    def _solve(
        self,
        t_s: float,
        truth: TrackPoint,
        geometry: Geometry,
        errors: list[tuple[float, float]],
        noise: list[float],
        jump: tuple[float, float],
    ) -> Position:
        p = self.profile
        nominal = NOMINAL_HDOP / math.sqrt(2)
        scale_major = min(geometry.major / nominal, MAX_SCALE)
        scale_minor = min(geometry.minor / nominal, MAX_SCALE)
        along, across, up = (
            m * p.error_sd_m + s * p.slow_sd_m + w * p.white_sd_m for (m, s), w in zip(errors, noise[:3], strict=True)
        )
        along, across = along * scale_major, across * scale_minor
        angle = math.radians(geometry.orientation_deg)
        fade = math.exp(-max(0.0, t_s - self._reacquired_at_s) / p.reacquire_tau_s)
        east = along * math.sin(angle) + across * math.cos(angle) + self._reacquire_error[0] * fade + jump[0]
        north = along * math.cos(angle) - across * math.sin(angle) + self._reacquire_error[1] * fade + jump[1]
        first = p.reacquire_sd_m * fade
        sigma_major = math.hypot(p.sd_m * scale_major, first)
        sigma_minor = math.hypot(p.sd_m * scale_minor, first)
        vertical = min(geometry.vdop / nominal, MAX_SCALE)
        east_m, north_m = truth.east_m + east, truth.north_m + north
        lat, lon = self._track.frame.to_geodetic(east_m, north_m)
        speed, course = _speed(truth, noise[3] * _SPEED_SD_MPS, noise[4] * _SPEED_SD_MPS)
        return Position(
            east_m=east_m,
            north_m=north_m,
            lat_deg=lat,
            lon_deg=lon,
            alt_m=_ALTITUDE_M + up * vertical,
            speed_mps=speed,
            course_deg=course,
            hdop=geometry.hdop,
            vdop=geometry.vdop,
            pdop=geometry.pdop,
            sigma_major_m=sigma_major,
            sigma_minor_m=sigma_minor,
            orientation_deg=geometry.orientation_deg,
            sigma_lat_m=math.hypot(sigma_major * math.cos(angle), sigma_minor * math.sin(angle)),
            sigma_lon_m=math.hypot(sigma_major * math.sin(angle), sigma_minor * math.cos(angle)),
            sigma_alt_m=math.hypot(p.sd_m * vertical, first),
        )


def _spells(seed: int, rate_hz: float, mean_s: float) -> Spells:
    mean_off_s = 1 / rate_hz if rate_hz > 0 else math.inf
    return Spells(stream(seed, "spells"), mean_off_s=mean_off_s, mean_on_s=mean_s or math.inf)


def _speed(truth: TrackPoint, east_error: float, north_error: float) -> tuple[float, float | None]:
    course = math.radians(truth.course_deg or 0.0)
    east = truth.speed_mps * math.sin(course) + east_error
    north = truth.speed_mps * math.cos(course) + north_error
    speed = math.hypot(east, north)
    return speed, math.degrees(math.atan2(east, north)) % 360 if speed >= MOVING_MPS else None
