"""Proximity of a wearer to a protected person: one change for his side (band only), one for hers (with distance)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.alerts.change import AlertKey, Change, Separation
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, BandName
from protocols.reports import Fix


@dataclass(frozen=True, slots=True, kw_only=True)
class BandTransition:
    """A pair's band changed. ``distance_m`` is None while the band is unknown.

    ``in_passing``: the way between two fixes led through that ring; where both are now is further out.
    """

    wearer_id: str
    protected_id: str
    band: BandName
    distance_m: float | None
    wearer_fix: Fix | None
    protected_fix: Fix | None
    shown_by: str
    stamps: Stamps
    in_passing: bool = False


def bearing_deg(lat_from_deg: float, lon_from_deg: float, lat_to_deg: float, lon_to_deg: float) -> float:
    """Compute the initial bearing on a sphere, degrees from true north.

    Method: great circle. At most 0.2 deg from the geodesic's azimuth on the ellipsoid, which is far below what a
    person turns by; the distance is the core's.
    """
    lat1, lat2 = math.radians(lat_from_deg), math.radians(lat_to_deg)
    dlon = math.radians(lon_to_deg - lon_from_deg)
    east = math.sin(dlon) * math.cos(lat2)
    north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(dlon)
    return math.degrees(math.atan2(east, north)) % 360.0


def find_separation(transition: BandTransition) -> Separation | None:
    """Distance and bearing from her to him; None unless both positions are known."""
    his, hers = transition.wearer_fix, transition.protected_fix
    if transition.distance_m is None or his is None or hers is None:
        return None
    if his.lat_deg is None or his.lon_deg is None or hers.lat_deg is None or hers.lon_deg is None:
        return None
    return Separation(
        distance_m=transition.distance_m,
        bearing_deg=bearing_deg(hers.lat_deg, hers.lon_deg, his.lat_deg, his.lon_deg),
    )


def proximity_changes(transition: BandTransition, *, was_raised: bool) -> Iterator[Change]:
    """Judge a band. UNKNOWN neither raises nor clears: what was raised stays raised and is updated."""
    band = transition.band
    raised = was_raised if band is BandName.UNKNOWN else band is not BandName.CLEAR
    sides = (
        (transition.wearer_id, transition.protected_id, transition.wearer_fix, None),
        (transition.protected_id, transition.wearer_id, transition.protected_fix, find_separation(transition)),
    )
    for device_id, about, fix, separation in sides:
        yield Change(
            key=AlertKey(device_id=device_id, kind=AlertKind.PROXIMITY_BREACH, about=about),
            raised=raised,
            occurred_utc_ns=transition.stamps.t_rx_utc_ns,
            stamps=transition.stamps,
            shown_by=transition.shown_by,
            reason=_reason(transition),
            band=band,
            fix=fix,
            separation=separation,
        )


def _reason(transition: BandTransition) -> str:
    """Say why, for both sides of the wall: without any distance."""
    if transition.band is BandName.UNKNOWN:
        return "a position is too old"
    return f"band {transition.band}{' between two fixes' if transition.in_passing else ''}"
