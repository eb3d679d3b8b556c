"""Satellites over the tag: where they stand, how loud they are, and what their geometry does to a position."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rig.emulator.noise import OrnsteinUhlenbeck, stream
from rig.emulator.profiles import GnssProfile

TRACKING_DBHZ: Final = 27.0
"""C/N0 in dB-Hz below which a satellite is not used (a): small receivers hold lock to about 25. Higher values lose the
fix earlier under jamming."""

HEARD_DBHZ: Final = 10.0
"""C/N0 in dB-Hz below which GSV gives no value at all, as receivers do when a satellite is known but not heard."""

MASK_DEG: Final = 5.0
"""Elevation in degrees below which satellites are ignored, the usual mask of a receiver."""

_CN0_HORIZON_DBHZ: Final = 33.0
_CN0_RISE_DB: Final = 14.0
"""C/N0 at the horizon and its gain to the zenith: 33 to 47 dB-Hz is what open-sky logs of small antennas show (m)."""

_CN0_SD_DB: Final = 1.5
_CN0_TAU_S: Final = 40.0
"""Fading per satellite (a)."""

_AZIMUTH_RATE_DEG_S: Final = 360 / 43_082
"""Apparent motion, degrees per second: one turn in half a sidereal day (GPS)."""

MAX_HDOP: Final = 20.0
"""A position with a worse HDOP is withheld, as receivers do by default; indoor logs show 3 to 20."""

NOMINAL_HDOP: Final = 0.65
"""HDOP of this constellation under an open sky; profile errors are stated for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """One satellite as the receiver lists it; ``cn0_dbhz`` is None where it is not heard."""

    system: str
    number: int
    elevation_deg: float
    azimuth_deg: float
    cn0_dbhz: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Dilution of precision of the satellites in use, and the shape of the horizontal error (unit range error)."""

    hdop: float
    vdop: float
    pdop: float
    major: float
    minor: float
    orientation_deg: float


class Sky:
    """A made-up constellation of GPS and Galileo satellites, fixed by the seed, slowly turning.

    Attributes
    ----------
    street_deg : float
        Where the street runs whose houses hide satellites, degrees from true north.
    """

    def __init__(self, seed: int) -> None:
        rng = stream(seed, "sky")
        self._orbits: list[tuple[str, int, float, float]] = []
        for system, count, highest in (("GP", 9, 32), ("GA", 7, 36)):
            numbers = sorted(rng.sample(range(1, highest + 1), count))
            start = rng.uniform(0, 360)
            for i, number in enumerate(numbers):
                azimuth = start + 360 * i / count + rng.uniform(-12, 12)
                # area-true over the dome from 8 degrees up, spread evenly so that no seed has a bad sky
                height = (((i * 5) % count) + rng.random()) / count
                elevation = math.degrees(math.asin(0.14 + height * 0.84))
                self._orbits.append((system, number, azimuth, elevation))
        self._fading = [OrnsteinUhlenbeck(self._own(rng), _CN0_TAU_S) for _ in self._orbits]
        self.street_deg = rng.uniform(0, 180)

    @staticmethod
    def _own(rng: random.Random) -> random.Random:
        return random.Random(rng.getrandbits(64))

    def view(self, t_s: float, dt_s: float, profile: GnssProfile, attenuation_db: float) -> list[Satellite]:
        """All satellites above the mask after a step, with what is left of their signals."""
        out = []
        for (system, number, azimuth0, elevation), fading in zip(self._orbits, self._fading, strict=True):
            azimuth = (azimuth0 + _AZIMUTH_RATE_DEG_S * t_s) % 360
            fade = fading.advance(dt_s) * _CN0_SD_DB
            if elevation < MASK_DEG:
                continue
            cn0 = _CN0_HORIZON_DBHZ + _CN0_RISE_DB * math.sin(math.radians(elevation)) + fade
            cn0 += profile.cn0_offset_db - attenuation_db
            across = abs(math.sin(math.radians(azimuth - self.street_deg)))
            if profile.wall_deg and across > math.sin(math.radians(45)) and elevation < profile.wall_deg:
                cn0 -= 20.0
            out.append(
                Satellite(
                    system=system,
                    number=number,
                    elevation_deg=elevation,
                    azimuth_deg=azimuth,
                    cn0_dbhz=cn0 if cn0 >= HEARD_DBHZ else None,
                )
            )
        return out


def in_use(satellites: Sequence[Satellite]) -> list[Satellite]:
    """Those strong enough for a position."""
    return [s for s in satellites if s.cn0_dbhz is not None and s.cn0_dbhz >= TRACKING_DBHZ]


def find_geometry(satellites: Sequence[Satellite]) -> Geometry | None:
    """Dilution of precision by least squares over four unknowns; None where there is no usable fix."""
    if len(satellites) < 4:
        return None
    rows = []
    for s in satellites:
        el, az = math.radians(s.elevation_deg), math.radians(s.azimuth_deg)
        rows.append((math.cos(el) * math.sin(az), math.cos(el) * math.cos(az), math.sin(el), 1.0))
    normal = [[math.fsum(r[i] * r[j] for r in rows) for j in range(4)] for i in range(4)]
    q = _find_inverse(normal)
    if q is None:
        return None
    q_ee, q_nn, q_en, q_uu = q[0][0], q[1][1], q[0][1], q[2][2]
    if not 0.0 < q_ee + q_nn <= MAX_HDOP**2:
        return None
    mean, half = (q_ee + q_nn) / 2, math.hypot((q_ee - q_nn) / 2, q_en)
    # orientation of the major axis from north, eastwards
    orientation = math.degrees(0.5 * math.atan2(2 * q_en, q_nn - q_ee)) % 180
    return Geometry(
        hdop=math.sqrt(q_ee + q_nn),
        vdop=math.sqrt(q_uu),
        pdop=math.sqrt(q_ee + q_nn + q_uu),
        major=math.sqrt(mean + half),
        minor=math.sqrt(max(mean - half, 0.0)),
        orientation_deg=orientation,
    )


def _find_inverse(matrix: list[list[float]]) -> list[list[float]] | None:
    """Gauss-Jordan with pivoting; None where a pivot is lost in rounding."""
    n = len(matrix)
    work = [row[:] + [1.0 if i == j else 0.0 for j in range(n)] for i, row in enumerate(matrix)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(work[r][i]))
        if abs(work[pivot][i]) < 1e-9:
            return None
        work[i], work[pivot] = work[pivot], work[i]
        work[i] = [v / work[i][i] for v in work[i]]
        for r in range(n):
            if r != i and (factor := work[r][i]):
                work[r] = [a - factor * b for a, b in zip(work[r], work[i], strict=True)]
    return [row[n:] for row in work]
