"""The tag's GNSS receiver: the truth in, an observation with correlated error and an honest error estimate out."""

import math
from dataclasses import dataclass, replace
from typing import Final

from rig.emulator.gnss_faults import SPOOFED_DBHZ, SPOOFED_SYSTEM, Falsehood, FalsePosition, Shift, Spoof
from rig.emulator.noise import OrnsteinUhlenbeck, Spells, stream
from rig.emulator.profiles import GnssProfile
from rig.emulator.sky import NOMINAL_HDOP, TRACKING_DBHZ, Geometry, Satellite, Sky, find_geometry, in_use
from rig.emulator.track import MOVING_MPS, Track, TrackPoint
from rig.local_frame import LocalFrame

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

_COAST_SHARE: Final = 0.5
"""Share of losses after which a receiver that can goes straight on for a while (a): logs show both."""

_JUMP_SPREAD_DEG: Final = 25.0
"""Directions of multipath jumps about the square to the street, degrees (a)."""

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
    """What the receiver says at one epoch.

    ``position`` is None without a fix; ``coasting`` marks one that goes straight on without signals; the receiver's
    clock is ``time_offset_s`` ahead.
    """

    position: Position | None
    satellites: tuple[Satellite, ...]
    used: tuple[Satellite, ...]
    coasting: bool = False
    time_offset_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coast:
    """A receiver that goes straight on from its last solution."""

    last: Position
    from_s: float
    until_s: float

    def at(self, t_s: float, frame: LocalFrame) -> Position:
        """Return where it believes to be."""
        last, way_m = self.last, self.last.speed_mps * (t_s - self.from_s)
        course = math.radians(last.course_deg or 0.0)
        way_m = 0.0 if last.course_deg is None else way_m
        east_m, north_m = last.east_m + way_m * math.sin(course), last.north_m + way_m * math.cos(course)
        lat, lon = frame.to_geodetic(east_m, north_m)
        return replace(last, east_m=east_m, north_m=north_m, lat_deg=lat, lon_deg=lon)


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
        self._last_s = 0.0
        self._false = FalsePosition()
        self._bearings = stream(seed, "gnss/bearings")
        self._coasts = stream(seed, "gnss/coasts")
        self._coast: Coast | None = None
        self.frozen = False
        self.set_profile(profile)

    def set_profile(self, profile: GnssProfile) -> None:
        """Go to other surroundings: houses and trees are others, orbits and ionosphere stay what they are."""
        self.profile = profile
        self._changes += 1

        def own(name: str, tau_s: float) -> OrnsteinUhlenbeck:
            return OrnsteinUhlenbeck(stream(self._seed, f"gnss/{self._changes}/{name}"), tau_s)

        self._main = tuple(own(axis, profile.error_tau_s) for axis in ("major", "minor", "up"))
        if self._changes == 1:
            self._slow = tuple(own(f"slow-{axis}", profile.slow_tau_s) for axis in ("major", "minor", "up"))
        for noise in self._slow:
            noise.tau_s = profile.slow_tau_s
        rng = stream(self._seed, f"gnss/{self._changes}/spells")
        self._jump_side_deg = stream(self._seed, f"gnss/{self._changes}/side").choice((90.0, -90.0))
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

    def set_jump(self, jump: Shift | None) -> None:
        """Let positions be off by so much, or end it."""
        self._false.set_jump(self._with_bearing(jump))

    def set_drift(self, drift: Shift | None, t_s: float) -> None:
        """Let positions walk off from now on, or end it."""
        self._false.set_drift(self._with_bearing(drift), t_s)

    def set_spoof(self, spoof: Spoof | None, t_s: float) -> None:
        """Let false signals take over, or end them: then the true ones must be found again."""
        if spoof is None and self._false.spoofed:
            self._without_signal = True
        shift = None if spoof is None else self._with_bearing(spoof.shift)
        self._false.set_spoof(None if spoof is None or shift is None else replace(spoof, shift=shift), t_s)

    def _with_bearing(self, shift: Shift | None) -> Shift | None:
        if shift is None or shift.bearing_deg is not None:
            return shift
        return replace(shift, bearing_deg=self._bearings.uniform(0, 360))

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
        false = self._false.at(t_s)
        satellites = self._signals(t_s, dt_s)
        used = tuple(in_use(satellites))
        errors = [(m.advance(dt_s), s.advance(dt_s)) for m, s in zip(self._main, self._slow, strict=True)]
        noise = [self._rng.gauss(0.0, 1.0) for _ in range(5)]
        gap, jumping, frozen = self._gaps.advance(dt_s), self._jumps.advance(dt_s), self._freezes.advance(dt_s)
        if self._jumps.started:
            self._jump = self._draw_jump()
        if self.profile.no_fix_share >= 1:
            gap = True
        geometry = None if gap and not self._false.spoofed else find_geometry(self._enough(used))
        lost_now = not self._without_signal
        if not self._holds_fix(t_s, geometry) or geometry is None:
            coasting = self._coast_on(t_s, lost_now) if geometry is None else None
            return Observation(
                position=coasting, satellites=self._lost(satellites), used=(), coasting=coasting is not None
            )
        self._coast = None
        if (frozen or self.frozen) and self._last is not None:
            position = self._last
        else:
            position = self._solve(t_s, truth, geometry, errors, noise, self._jump if jumping else (0.0, 0.0), false)
        self._last, self._last_s = position, t_s
        return Observation(position=position, satellites=satellites, used=used, time_offset_s=false.time_s)

    def _signals(self, t_s: float, dt_s: float) -> tuple[Satellite, ...]:
        attenuation_db = self._attenuation_db(t_s)
        true = self._sky.view(t_s, dt_s, self.profile, attenuation_db)
        if not self._false.spoofed or attenuation_db >= _BLOCKED_DB:
            return tuple(true)
        return tuple(replace(s, cn0_dbhz=SPOOFED_DBHZ) for s in true if s.system == SPOOFED_SYSTEM)

    def _lost(self, satellites: tuple[Satellite, ...]) -> tuple[Satellite, ...]:
        """Take the levels from what a jammed receiver without a fix lists: it follows no satellite."""
        if not self._jam:
            return satellites
        return tuple(s if s.cn0_dbhz is None or s.cn0_dbhz >= TRACKING_DBHZ else _unheard(s) for s in satellites)

    def _coast_on(self, t_s: float, lost_now: bool) -> Position | None:
        """Go straight on for some seconds after the signals went, where the receiver does that."""
        longest_s = self.profile.coast_s
        last = self._last
        if lost_now and last is not None and longest_s > 0 and self._coasts.random() < _COAST_SHARE:
            self._coast = Coast(
                last=last, from_s=self._last_s, until_s=t_s + self._coasts.uniform(longest_s / 2, longest_s)
            )
        if self._coast is None or t_s > self._coast.until_s:
            self._coast = None
            return None
        return self._coast.at(t_s, self._track.frame)

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
        """Draw a jump to one side of the street: reflections come from the houses across it."""
        spread_deg = self._rng.uniform(-_JUMP_SPREAD_DEG, _JUMP_SPREAD_DEG)
        angle = math.radians(self._sky.street_deg + self._jump_side_deg + spread_deg)
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
        false: Falsehood,
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
        east = (
            along * math.sin(angle)
            + across * math.cos(angle)
            + self._reacquire_error[0] * fade
            + jump[0]
            + false.east_m
        )
        north = (
            along * math.cos(angle)
            - across * math.sin(angle)
            + self._reacquire_error[1] * fade
            + jump[1]
            + false.north_m
        )
        first = p.reacquire_sd_m * fade
        sigma_major = math.hypot(p.sd_m * scale_major, first)
        sigma_minor = math.hypot(p.sd_m * scale_minor, first)
        vertical = min(geometry.vdop / nominal, MAX_SCALE)
        east_m, north_m = truth.east_m + east, truth.north_m + north
        lat, lon = self._track.frame.to_geodetic(east_m, north_m)
        speed, course = _speed(
            truth, noise[3] * _SPEED_SD_MPS + false.east_mps, noise[4] * _SPEED_SD_MPS + false.north_mps
        )
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


def _unheard(satellite: Satellite) -> Satellite:
    return replace(satellite, cn0_dbhz=None)


def _spells(seed: int, rate_hz: float, mean_s: float) -> Spells:
    mean_off_s = 1 / rate_hz if rate_hz > 0 else math.inf
    return Spells(stream(seed, "spells"), mean_off_s=mean_off_s, mean_on_s=mean_s or math.inf)


def _speed(truth: TrackPoint, east_error: float, north_error: float) -> tuple[float, float | None]:
    course = math.radians(truth.course_deg or 0.0)
    east = truth.speed_mps * math.sin(course) + east_error
    north = truth.speed_mps * math.cos(course) + north_error
    speed = math.hypot(east, north)
    return speed, math.degrees(math.atan2(east, north)) % 360 if speed >= MOVING_MPS else None
