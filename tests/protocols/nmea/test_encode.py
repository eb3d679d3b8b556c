import pynmea2
import pytest

from protocols.errors import EncodeError
from protocols.nmea.encode import (
    SatelliteView,
    encode_gga,
    encode_gll,
    encode_gsa,
    encode_gst,
    encode_gsv,
    encode_rmc,
    encode_vtg,
    encode_zda,
)
from protocols.reports import FixMode, FixQuality, FixState
from tests.protocols.nmea.support import line, one_fix

T = 1_772_366_400_120_000_000


def test_layouts() -> None:
    assert encode_rmc(t_utc_ns=T, lat_deg=51.5, lon_deg=-0.125, speed_mps=1852 / 360, course_deg=90.0) == line(
        "GPRMC,120000.120,A,5130.00000,N,00007.50000,W,10.000,90.00,010326,,,A"
    )
    assert encode_gga(
        t_utc_ns=T, lat_deg=-33.5, lon_deg=151.2, satellites_used=8, hdop=1.0, alt_m=20.0, geoid_separation_m=-3.0
    ) == line("GPGGA,120000.120,3330.00000,S,15112.00000,E,1,08,1.00,20.0,M,-3.0,M,,")
    assert encode_gll(t_utc_ns=T, lat_deg=0.0, lon_deg=0.0) == line("GPGLL,0000.00000,N,00000.00000,E,120000.120,A,A")
    assert encode_gsa(mode=FixMode.TWO_D, satellites=[3, 14], pdop=2.0, hdop=1.5, vdop=1.3) == line(
        "GPGSA,A,2,03,14,,,,,,,,,,,2.00,1.50,1.30"
    )
    assert encode_gst(t_utc_ns=T, lat_sigma_m=3.0, lon_sigma_m=4.0) == line("GPGST,120000.120,,,,,3.00,4.00,")
    assert encode_vtg(speed_mps=10.0, course_deg=5.0) == line("GPVTG,5.00,T,,M,19.438,N,36.000,K,A")
    assert encode_zda(t_utc_ns=T) == line("GPZDA,120000.120,01,03,2026,00,00")


def test_gsv_is_as_many_messages_as_needed() -> None:
    views = [SatelliteView(satellite=n, elevation_deg=10, azimuth_deg=5, cn0_dbhz=None) for n in range(1, 6)]
    assert encode_gsv(views) == line("GPGSV,2,1,05,01,10,005,,02,10,005,,03,10,005,,04,10,005,") + line(
        "GPGSV,2,2,05,05,10,005,"
    )
    assert encode_gsv([]) == line("GPGSV,1,1,00")


def test_minutes_never_read_60() -> None:
    fix = one_fix(encode_gga(t_utc_ns=T, lat_deg=51.99999999999, lon_deg=-179.99999999999))
    assert (fix.lat_deg, fix.lon_deg) == (52.0, -180.0)
    assert one_fix(encode_gga(t_utc_ns=T, lat_deg=-90.0, lon_deg=180.0)).lat_deg == -90.0


@pytest.mark.parametrize(("lat", "lon"), [(90.1, 0.0), (0.0, 180.1), (float("nan"), 0.0), (0.0, float("inf"))])
def test_coordinates_that_have_no_place_raise(lat: float, lon: float) -> None:
    with pytest.raises(EncodeError, match="degrees"):
        encode_rmc(t_utc_ns=T, lat_deg=lat, lon_deg=lon)


def test_a_number_that_is_none_raises() -> None:
    with pytest.raises(EncodeError, match="finite"):
        encode_gga(t_utc_ns=T, hdop=float("nan"))


@pytest.mark.parametrize("quality", FixQuality)
def test_every_quality_comes_back_as_its_state(quality: FixQuality) -> None:
    position = {"lat_deg": 51.5, "lon_deg": -0.125}
    rmc = one_fix(encode_rmc(t_utc_ns=T, quality=quality, **position))  # type: ignore[arg-type]
    gga = one_fix(encode_gga(t_utc_ns=T, quality=quality, **position))  # type: ignore[arg-type]
    assert rmc.state is gga.state
    assert rmc.quality is gga.quality is quality
    assert (rmc.state is FixState.POSITION) == (1 <= quality <= 5)


def test_no_fix_has_empty_fields() -> None:
    assert encode_rmc(t_utc_ns=None, quality=FixQuality.INVALID) == line("GPRMC,,V,,,,,,,,,,N")
    assert encode_gga(t_utc_ns=None, quality=FixQuality.INVALID) == line("GPGGA,,,,,,0,,,,M,,M,,")


def test_another_decoder_reads_the_same() -> None:
    rmc = pynmea2.parse(encode_rmc(t_utc_ns=T, lat_deg=51.123456, lon_deg=-0.654321).decode())
    assert (rmc.latitude, rmc.longitude) == (pytest.approx(51.123456, abs=1e-7), pytest.approx(-0.654321, abs=1e-7))
    assert rmc.datestamp.isoformat() == "2026-03-01"
