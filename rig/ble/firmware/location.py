"""The smart tag's own satellite receiver, told as Location and Speed."""

from typing import Final

from protocols.ble.gatt import LnFeature, LocationAndSpeed, PositionStatus, encode_location_and_speed
from rig.emulator.clock import NS_PER_S
from rig.emulator.gnss import GnssReceiver
from rig.emulator.profiles import PROFILES
from rig.emulator.track import MOVING_MPS, Track

LN_FEATURES: Final = LnFeature.SPEED | LnFeature.LOCATION | LnFeature.ELEVATION | LnFeature.HEADING | LnFeature.UTC_TIME
"""What the receiver gives."""

_DAY_NS: Final = 86_400 * NS_PER_S


class TagReceiver:
    """Positions along a track with the errors of a profile, one an interval.

    Attributes
    ----------
    has_fix, moving : bool
        What the last observation showed.
    """

    def __init__(self, track: Track, *, profile: str, seed: int, interval_s: float = 1.0) -> None:
        self.track = track
        self._receiver = GnssReceiver(track, PROFILES[profile], seed)
        self._interval_ns = round(interval_s * NS_PER_S)
        self._due_ns = 0
        self.has_fix = False
        self.moving = False

    @property
    def due_ns(self) -> int:
        """When the next position is due, tag time."""
        return self._due_ns

    def observe(self, t_ns: int, t_utc_ns: int) -> bytes:
        """Give the value of Location and Speed of now."""
        self._due_ns = t_ns - t_ns % self._interval_ns + self._interval_ns
        position = self._receiver.observe(t_ns / NS_PER_S).position
        self.has_fix = position is not None
        self.moving = self.track.at(t_ns / NS_PER_S).speed_mps >= MOVING_MPS
        day, time_of_day_ns = divmod(t_utc_ns, _DAY_NS)
        if position is None:
            value = LocationAndSpeed(status=PositionStatus.NO_POSITION, day=day, time_of_day_ns=time_of_day_ns)
        else:
            value = LocationAndSpeed(
                status=PositionStatus.POSITION_OK,
                lat_deg=position.lat_deg,
                lon_deg=position.lon_deg,
                alt_m=position.alt_m,
                speed_mps=position.speed_mps,
                heading_deg=position.course_deg,
                day=day,
                time_of_day_ns=time_of_day_ns,
            )
        return encode_location_and_speed(value)
