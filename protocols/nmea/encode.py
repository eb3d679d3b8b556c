"""Sentence builders for the emulator: values in our units to whole sentences with checksum and line end.

``None`` is an empty field.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from protocols.errors import EncodeError
from protocols.nmea.checksum import seal
from protocols.nmea.fields import MPS_PER_KMH, MPS_PER_KNOT
from protocols.nmea.text import angle_text, date_text, time_text
from protocols.reports import FixMode, FixQuality

MINUTE_DECIMALS = 5
"""Decimals of a minute: 18 mm, below any sigma of a code receiver."""

TIME_DECIMALS = 3
"""Decimals of a second, as in the tag's status: a coarser time would not match the status of the same epoch."""

_MODE_LETTERS = {
    FixQuality.INVALID: "N",
    FixQuality.GNSS: "A",
    FixQuality.DIFFERENTIAL: "D",
    FixQuality.PRECISE: "P",
    FixQuality.RTK_FIXED: "R",
    FixQuality.RTK_FLOAT: "F",
    FixQuality.ESTIMATED: "E",
    FixQuality.MANUAL: "M",
    FixQuality.SIMULATOR: "S",
}
_MODE_DIGITS = {FixMode.NONE: "1", FixMode.TWO_D: "2", FixMode.THREE_D: "3"}
_VALID = frozenset(
    (
        FixQuality.GNSS,
        FixQuality.DIFFERENTIAL,
        FixQuality.PRECISE,
        FixQuality.RTK_FIXED,
        FixQuality.RTK_FLOAT,
    )
)
_SATELLITES_PER_GSA = 12
_SATELLITES_PER_GSV = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteView:
    """One satellite of a GSV sentence; ``cn0_dbhz`` is None where it is in view but not tracked."""

    satellite: int
    elevation_deg: int | None
    azimuth_deg: int | None
    cn0_dbhz: int | None


def encode_rmc(
    *,
    t_utc_ns: int | None,
    lat_deg: float | None = None,
    lon_deg: float | None = None,
    speed_mps: float | None = None,
    course_deg: float | None = None,
    quality: FixQuality = FixQuality.GNSS,
    talker: str = "GP",
    with_date: bool = True,
    minute_decimals: int = MINUTE_DECIMALS,
) -> bytes:
    """RMC; status A for the qualities that are positions, V for all others."""
    return _sentence(
        f"{talker}RMC",
        _time(t_utc_ns),
        "A" if quality in _VALID else "V",
        _position(lat_deg, lon_deg, minute_decimals),
        _decimal(None if speed_mps is None else speed_mps / MPS_PER_KNOT, 3),
        _decimal(course_deg, 2),
        _short_date(t_utc_ns) if with_date else "",
        "",
        "",
        _MODE_LETTERS[quality],
    )


def encode_gga(
    *,
    t_utc_ns: int | None,
    lat_deg: float | None = None,
    lon_deg: float | None = None,
    quality: FixQuality = FixQuality.GNSS,
    satellites_used: int | None = None,
    hdop: float | None = None,
    alt_m: float | None = None,
    geoid_separation_m: float | None = None,
    talker: str = "GP",
    minute_decimals: int = MINUTE_DECIMALS,
) -> bytes:
    """GGA."""
    return _sentence(
        f"{talker}GGA",
        _time(t_utc_ns),
        _position(lat_deg, lon_deg, minute_decimals),
        str(int(quality)),
        "" if satellites_used is None else f"{satellites_used:02d}",
        _decimal(hdop, 2),
        _decimal(alt_m, 1),
        "M",
        _decimal(geoid_separation_m, 1),
        "M",
        "",
        "",
    )


def encode_gll(
    *,
    t_utc_ns: int | None,
    lat_deg: float | None = None,
    lon_deg: float | None = None,
    quality: FixQuality = FixQuality.GNSS,
    talker: str = "GP",
    minute_decimals: int = MINUTE_DECIMALS,
) -> bytes:
    """GLL."""
    return _sentence(
        f"{talker}GLL",
        _position(lat_deg, lon_deg, minute_decimals),
        _time(t_utc_ns),
        "A" if quality in _VALID else "V",
        _MODE_LETTERS[quality],
    )


def encode_gsa(
    *,
    mode: FixMode,
    satellites: Sequence[int] = (),
    pdop: float | None = None,
    hdop: float | None = None,
    vdop: float | None = None,
    talker: str = "GP",
) -> bytes:
    """GSA; only the first twelve satellites have a place."""
    ids = [f"{satellite:02d}" for satellite in satellites[:_SATELLITES_PER_GSA]]
    ids += [""] * (_SATELLITES_PER_GSA - len(ids))
    dops = (_decimal(pdop, 2), _decimal(hdop, 2), _decimal(vdop, 2))
    return _sentence(f"{talker}GSA", "A", _MODE_DIGITS[mode], *ids, *dops)


def encode_gsv(satellites: Sequence[SatelliteView], *, talker: str = "GP") -> bytes:
    """All GSV messages of one constellation, four satellites each, one after another."""
    messages = max(1, -(-len(satellites) // _SATELLITES_PER_GSV))
    out = b""
    for message in range(messages):
        fields = [str(messages), str(message + 1), f"{len(satellites):02d}"]
        for view in satellites[message * _SATELLITES_PER_GSV : (message + 1) * _SATELLITES_PER_GSV]:
            fields += [
                f"{view.satellite:02d}",
                "" if view.elevation_deg is None else f"{view.elevation_deg:02d}",
                "" if view.azimuth_deg is None else f"{view.azimuth_deg:03d}",
                "" if view.cn0_dbhz is None else f"{view.cn0_dbhz:02d}",
            ]
        out += _sentence(f"{talker}GSV", *fields)
    return out


def encode_gst(
    *,
    t_utc_ns: int | None,
    lat_sigma_m: float | None,
    lon_sigma_m: float | None,
    alt_sigma_m: float | None = None,
    semi_major_m: float | None = None,
    semi_minor_m: float | None = None,
    orientation_deg: float | None = None,
    range_rms_m: float | None = None,
    talker: str = "GP",
) -> bytes:
    """GST."""
    values = (range_rms_m, semi_major_m, semi_minor_m, orientation_deg, lat_sigma_m, lon_sigma_m, alt_sigma_m)
    return _sentence(f"{talker}GST", _time(t_utc_ns), *(_decimal(value, 2) for value in values))


def encode_vtg(
    *,
    speed_mps: float | None,
    course_deg: float | None,
    quality: FixQuality = FixQuality.GNSS,
    talker: str = "GP",
) -> bytes:
    """VTG."""
    return _sentence(
        f"{talker}VTG",
        _decimal(course_deg, 2),
        "T",
        "",
        "M",
        _decimal(None if speed_mps is None else speed_mps / MPS_PER_KNOT, 3),
        "N",
        _decimal(None if speed_mps is None else speed_mps / MPS_PER_KMH, 3),
        "K",
        _MODE_LETTERS[quality],
    )


def encode_zda(*, t_utc_ns: int, talker: str = "GP") -> bytes:
    """ZDA, with local zone 00."""
    date = date_text(t_utc_ns)
    return _sentence(f"{talker}ZDA", _time(t_utc_ns), date[6:8], date[4:6], date[:4], "00", "00")


def _sentence(*fields: str) -> bytes:
    return seal(",".join(fields))


def _time(t_utc_ns: int | None) -> str:
    return "" if t_utc_ns is None else time_text(t_utc_ns, TIME_DECIMALS)


def _short_date(t_utc_ns: int | None) -> str:
    if t_utc_ns is None:
        return ""
    date = date_text(t_utc_ns)
    return date[6:8] + date[4:6] + date[2:4]


def _position(lat_deg: float | None, lon_deg: float | None, minute_decimals: int) -> str:
    if lat_deg is None or lon_deg is None:
        return ",,,"
    lat = angle_text("lat_deg", lat_deg, 90, minute_decimals, "NS")
    lon = angle_text("lon_deg", lon_deg, 180, minute_decimals, "EW")
    return f"{lat},{lon}"


def _decimal(value: float | None, decimals: int) -> str:
    if value is None:
        return ""
    if not isfinite(value):
        raise EncodeError(f"expected a finite number or None, got {value!r}")
    return f"{value:.{decimals}f}"
