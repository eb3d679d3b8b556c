"""RSSI of one advertisement between one tag and one receiver: distance, body, multipath per channel, lost packets.

::

    rssi = rssi_1m - 10 n log10(d) - shadow(way) - body(turning, gait) + fade(channel, way) + noise

What real recordings show and a plain "distance plus Gaussian noise" would miss: two still devices keep one level *per
advertising channel* for minutes (three levels up to 22 dB apart, each within 1 dB), and only movement draws new ones.
So averaging many advertisements of a still pair does not average the error away.
"""

import math
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final, Protocol

from rig.emulator.noise import OrnsteinUhlenbeck, Spells, stream
from rig.errors import RigError

MIN_DISTANCE_M: Final = 0.1
"""Metres. Closer than this the antennas couple and the formula's far field does not hold."""

_WAVELENGTH_M: Final = 0.125
"""Metres at 2.4 GHz: multipath is drawn anew about every half of it."""

_STILL_TAU_S: Final = 36_000.0
"""Seconds in which the multipath of a still pair changes, by doors and other people: real still pairs kept each
channel's level within 1 to 2 dB for 30 minutes (m)."""

_SHADOW_WAY_M: Final = 5.0
"""Metres of way over which walls and furniture in between become others (a)."""

_GAIT_HZ: Final = (0.8, 1.1)
"""Strides per second of a walking leg (a): one ankle passes behind the other leg once a stride."""

_RSSI_RANGE_DBM: Final = (-127.0, 20.0)
"""What an advertising report can carry (Core 5.4 Vol 4 Part E 7.7.65.2)."""


@unique
class AdvertisingChannel(IntEnum):
    """The three channels an advertisement is sent on; a receiver listens to one of them at a time."""

    CH_37 = 37
    CH_38 = 38
    CH_39 = 39


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioProfile:
    """Surroundings of a radio path as numbers. Marks: (m) measured on recordings, (l) literature, (a) assumed.

    Attributes
    ----------
    rssi_1m_dbm : float
        RSSI at 1 m without a body in between, at the tag's usual transmit power.
    exponent : float
        Path-loss exponent.
    shadow_sigma_db : float
        What stands in between, constant over metres.
    fade_k : float
        Ratio of the direct path's power to the scattered one (Rice); 0 is Rayleigh, ``math.inf`` no fading.
    channel_sigma_db : float
        Fixed difference of antennas between the three channels.
    noise_sigma_db : float
        From advertisement to advertisement on one channel.
    body_share, body_mean_s : float
        Share of time with a body in between, and mean length of such a spell.
    body_loss_db : tuple of float
        Least and greatest loss by the body; drawn per spell.
    gait_loss_db : float
        Greatest extra loss within a stride.
    base_loss : float
        Share of advertisements lost at any level: collisions, and the receiver being on another channel.
    sensitivity_dbm : float
        Half of the advertisements are lost here.
    sensitivity_slope_db : float
        How fast loss rises around it: at two slopes above 12 % are lost, at two below 88 %.
    """

    name: str
    rssi_1m_dbm: float
    exponent: float
    shadow_sigma_db: float = 0.0
    fade_k: float = math.inf
    channel_sigma_db: float = 0.0
    noise_sigma_db: float = 0.0
    body_share: float = 0.0
    body_mean_s: float = 0.0
    body_loss_db: tuple[float, float] = (0.0, 0.0)
    gait_loss_db: float = 0.0
    base_loss: float = 0.0
    sensitivity_dbm: float = -97.0
    sensitivity_slope_db: float = 2.5


RADIO_PROFILES: Final = {
    profile.name: profile
    for profile in (
        # for exact expectations: nothing but distance
        RadioProfile(name="free_space", rssi_1m_dbm=-60.0, exponent=2.0, sensitivity_slope_db=0.1),
        # asphalt courtyard: 2 to 5 dB within a run (m); exponent 2 to 3 outdoors (a)
        RadioProfile(
            name="open_air",
            rssi_1m_dbm=-58.0,
            exponent=2.2,
            shadow_sigma_db=2.0,
            fade_k=6.0,
            channel_sigma_db=2.0,
            noise_sigma_db=0.8,
            base_loss=0.05,
        ),
        # office floor, 12 receivers: -62 dBm at 1 m, exponent 1.4 to 2.0, 6.3 dB about the line, 12 % lost (m)
        RadioProfile(
            name="indoor",
            rssi_1m_dbm=-60.0,
            exponent=1.5,
            shadow_sigma_db=3.5,
            fade_k=1.5,
            channel_sigma_db=2.0,
            noise_sigma_db=0.8,
            base_loss=0.12,
        ),
        # phones on a person who turns, 1.8 m: 7 to 28 dB between the best and the worst side (m)
        RadioProfile(
            name="on_body",
            rssi_1m_dbm=-58.0,
            exponent=2.2,
            shadow_sigma_db=2.0,
            fade_k=2.0,
            channel_sigma_db=2.0,
            noise_sigma_db=0.8,
            body_share=0.5,
            body_mean_s=8.0,
            body_loss_db=(8.0, 20.0),
            gait_loss_db=4.0,
            base_loss=0.08,
        ),
        # both tags on bodies, one at the ankle: twice the chance of a body in between, ground close by (a)
        RadioProfile(
            name="ankle",
            rssi_1m_dbm=-62.0,
            exponent=2.4,
            shadow_sigma_db=3.0,
            fade_k=2.0,
            channel_sigma_db=2.0,
            noise_sigma_db=0.8,
            body_share=0.6,
            body_mean_s=6.0,
            body_loss_db=(10.0, 25.0),
            gait_loss_db=6.0,
            base_loss=0.08,
        ),
        # the same pair by surroundings: exponent 2.4 (l) outdoors, 1.6 (m) indoors, between them under concrete (a);
        # 5 % lost above -80 dBm, all near -98 dBm (a)
        *(
            RadioProfile(
                name=f"ankle_{place}",
                rssi_1m_dbm=-60.0,
                exponent=exponent,
                shadow_sigma_db=shadow_sigma_db,
                fade_k=fade_k,
                channel_sigma_db=2.0,
                noise_sigma_db=0.8,
                body_share=0.6,
                body_mean_s=6.0,
                body_loss_db=(10.0, 25.0),
                gait_loss_db=6.0,
                base_loss=0.05,
                sensitivity_dbm=-93.0,
                sensitivity_slope_db=1.5,
            )
            for place, exponent, shadow_sigma_db, fade_k in (
                ("outdoor", 2.4, 3.0, 2.0),
                ("indoor", 1.6, 4.0, 1.5),
                ("concrete", 1.8, 5.0, 1.0),
            )
        ),
    )
}
"""Named surroundings. Courtyard and turning phones: MIT-LL static configurations (iPhone logs, 6 ft); office floor:
Danis, position-annotated RSSI. The exponents outdoors and the ankle's figures are assumptions, to be varied."""

DEFAULT_RADIO_PROFILE: Final = "ankle"
"""What a scenario gets unless it says otherwise: the hardest one."""


def find_radio_profile(name: str) -> RadioProfile:
    """Return a profile by name.

    Raises
    ------
    RigError
        No such profile; the message names all.
    """
    try:
        return RADIO_PROFILES[name]
    except KeyError:
        known = ", ".join(RADIO_PROFILES)
        raise RigError(f"radio profile {name!r} is not known. Expected one of: {known}") from None


def mean_dbm(profile: RadioProfile, distance_m: float) -> float:
    """Return the RSSI that distance alone would give."""
    return profile.rssi_1m_dbm - 10 * profile.exponent * math.log10(max(distance_m, MIN_DISTANCE_M))


def loss_probability(profile: RadioProfile, rssi_dbm: float) -> float:
    """Return the share of advertisements that a receiver loses at a level.

    A logistic curve about the sensitivity on top of a base loss, since real receivers lose one in eight at -71 dBm too.
    """
    z = (rssi_dbm - profile.sensitivity_dbm) / profile.sensitivity_slope_db
    weak = 1 / (1 + math.exp(min(max(z, -60.0), 60.0)))
    return profile.base_loss + (1 - profile.base_loss) * weak


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """One advertisement at the receiver; ``heard`` is False for a packet that was lost at this level."""

    rssi_dbm: float
    channel: AdvertisingChannel
    blocked: bool
    heard: bool


class RadioPath(Protocol):
    """A path from one tag to one receiver, as `PathLoss` is."""

    def receive(self, *, t_s: float, distance_m: float, moved_m: float | None = None) -> Reception:
        """Send one advertisement."""
        ...


class _Fading:
    """Rice fading of one channel: a direct path plus scattered ones that change with the way that was moved."""

    def __init__(self, seed: int, name: str, k: float) -> None:
        rng = stream(seed, name)
        self._direct = math.sqrt(k / (k + 1)) if math.isfinite(k) else 1.0
        self._scattered = math.sqrt(1 / (k + 1) / 2) if math.isfinite(k) else 0.0
        self._re = OrnsteinUhlenbeck(rng, 1.0)
        self._im = OrnsteinUhlenbeck(rng, 1.0)

    def advance(self, changes: float) -> float:
        """Gain in dB after so many decorrelation lengths."""
        re = self._direct + self._scattered * self._re.advance(changes)
        im = self._scattered * self._im.advance(changes)
        return 20 * math.log10(max(math.hypot(re, im), 1e-3))


class PathLoss:
    """The path from one tag to one receiver. Same seed, same pair name, same calls: same values.

    Parameters
    ----------
    profile : RadioProfile
    seed : int
    pair : str
        Names the random streams, so that two receivers hear one tag with errors of their own.
    """

    def __init__(self, profile: RadioProfile, *, seed: int, pair: str = "") -> None:
        self.profile = profile
        name = f"radio/{pair}"
        self._rng = stream(seed, name)
        self._shadow = OrnsteinUhlenbeck(stream(seed, f"{name}/shadow"), 1.0)
        self._fades = {c: _Fading(seed, f"{name}/fade{c}", profile.fade_k) for c in AdvertisingChannel}
        self._offset_db = {c: self._rng.gauss(0.0, profile.channel_sigma_db) for c in AdvertisingChannel}
        share, mean_s = profile.body_share, profile.body_mean_s
        self._body = Spells(
            stream(seed, f"{name}/body"),
            mean_off_s=mean_s * (1 - share) / share if share > 0 else math.inf,
            mean_on_s=mean_s,
            start_on=share > 0 and self._rng.random() < share,
        )
        self._body_loss_db = self._rng.uniform(*profile.body_loss_db)
        self._gait_hz = self._rng.uniform(*_GAIT_HZ)
        self._last: tuple[float, float] | None = None

    def receive(self, *, t_s: float, distance_m: float, moved_m: float | None = None) -> Reception:
        """Send one advertisement.

        Parameters
        ----------
        t_s : float
            Time, seconds; never steps back.
        distance_m : float
            True distance, metres.
        moved_m : float, optional
            Way that both ends together moved since the last call; absent, the change of the distance.

        Returns
        -------
        Reception
        """
        last_t_s, last_distance_m = self._last or (t_s, distance_m)
        dt_s = max(t_s - last_t_s, 0.0)
        way_m = abs(distance_m - last_distance_m) if moved_m is None else moved_m
        self._last = (t_s, distance_m)
        channel = self._rng.choice(tuple(AdvertisingChannel))
        changes = way_m / (_WAVELENGTH_M / 2) + dt_s / _STILL_TAU_S
        fades = {c: fade.advance(changes) for c, fade in self._fades.items()}
        blocked, body_db = self._body_now(dt_s, t_s, way_m)
        rssi_dbm = (
            mean_dbm(self.profile, distance_m)
            + self.profile.shadow_sigma_db * self._shadow.advance(way_m / _SHADOW_WAY_M + dt_s / _STILL_TAU_S)
            - body_db
            + fades[channel]
            + self._offset_db[channel]
            + self._rng.gauss(0.0, self.profile.noise_sigma_db)
        )
        rssi_dbm = min(max(rssi_dbm, _RSSI_RANGE_DBM[0]), _RSSI_RANGE_DBM[1])
        heard = self._rng.random() >= loss_probability(self.profile, rssi_dbm)
        return Reception(rssi_dbm=rssi_dbm, channel=channel, blocked=blocked, heard=heard)

    def _body_now(self, dt_s: float, t_s: float, way_m: float) -> tuple[bool, float]:
        blocked = self._body.advance(dt_s)
        if self._body.started:
            self._body_loss_db = self._rng.uniform(*self.profile.body_loss_db)
        loss_db = self._body_loss_db if blocked else 0.0
        if way_m > 0:
            loss_db += self.profile.gait_loss_db * (0.5 - 0.5 * math.cos(2 * math.pi * self._gait_hz * t_s))
        return blocked, loss_db
