"""An epoch as the tag sends it: RMC, GGA, GSA per constellation, GST, now and then GSV, last the status sentence."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from protocols.nmea.encode import SatelliteView, encode_gga, encode_gsa, encode_gst, encode_gsv, encode_rmc
from protocols.nmea.tag import encode_status
from protocols.reports import FixMode, FixQuality
from rig.emulator.firmware import Epoch
from rig.emulator.sky import Satellite

TALKER: Final = "GN"
"""Talker of a solution from several constellations; the satellites in view come under GP and GA."""

_NO_DOP: Final = 99.99
"""What receivers send for DOP without a fix."""

_RANGE_RMS_SHARE: Final = 0.6
"""RMS of the range residuals per metre of position error (a); receivers differ, no decoder should rest on it."""


def encode_epoch(epoch: Epoch, *, stored: bool) -> list[bytes]:
    """Whole sentences, in the order of the wire."""
    position = epoch.observation.position
    used = epoch.observation.used
    quality = _quality(epoch)
    lat = position.lat_deg if position else None
    lon = position.lon_deg if position else None
    sentences = [
        encode_rmc(
            t_utc_ns=epoch.t_utc_ns,
            lat_deg=lat,
            lon_deg=lon,
            speed_mps=position.speed_mps if position else None,
            course_deg=position.course_deg if position else None,
            quality=quality,
            talker=TALKER,
        ),
        encode_gga(
            t_utc_ns=epoch.t_utc_ns,
            lat_deg=lat,
            lon_deg=lon,
            quality=quality,
            satellites_used=len(used),
            hdop=position.hdop if position else _NO_DOP,
            alt_m=position.alt_m if position else None,
            talker=TALKER,
        ),
    ]
    sentences += [
        encode_gsa(
            mode=FixMode.THREE_D if position else FixMode.NONE,
            satellites=[s.number for s in used if s.system == system],
            pdop=position.pdop if position else _NO_DOP,
            hdop=position.hdop if position else _NO_DOP,
            vdop=position.vdop if position else _NO_DOP,
            talker=TALKER,
        )
        for system in ("GP", "GA")
    ]
    sentences.append(
        encode_gst(
            t_utc_ns=epoch.t_utc_ns,
            range_rms_m=position.sigma_major_m * _RANGE_RMS_SHARE if position else None,
            semi_major_m=position.sigma_major_m if position else None,
            semi_minor_m=position.sigma_minor_m if position else None,
            orientation_deg=position.orientation_deg if position else None,
            lat_sigma_m=position.sigma_lat_m if position else None,
            lon_sigma_m=position.sigma_lon_m if position else None,
            alt_sigma_m=position.sigma_alt_m if position else None,
            talker=TALKER,
        )
    )
    if epoch.list_satellites:
        sentences += _satellites(epoch.observation.satellites)
    sensors = epoch.sensors
    sentences.append(
        encode_status(
            t_status_utc_ns=epoch.t_utc_ns,
            sequence=epoch.sequence,
            stored=stored,
            strap=sensors.strap,
            case=sensors.case,
            shielded=sensors.shielded,
            jamming=sensors.jamming,
            battery_pct=sensors.battery_pct,
            battery_mv=sensors.battery_mv,
            charging=sensors.charging,
            motion=sensors.motion,
            temperature_c=sensors.temperature_c,
            firmware=sensors.firmware,
        )
    )
    return sentences


def _quality(epoch: Epoch) -> FixQuality:
    if epoch.observation.position is None:
        return FixQuality.INVALID
    return FixQuality.ESTIMATED if epoch.observation.coasting else FixQuality.GNSS


def _satellites(satellites: Sequence[Satellite]) -> list[bytes]:
    return [
        encode_gsv(
            [
                SatelliteView(
                    satellite=s.number,
                    elevation_deg=round(s.elevation_deg),
                    azimuth_deg=round(s.azimuth_deg) % 360,
                    cn0_dbhz=None if s.cn0_dbhz is None else round(s.cn0_dbhz),
                )
                for s in group
            ],
            talker=system,
        )
        for system, group in groupby(satellites, key=lambda s: s.system)
    ]
