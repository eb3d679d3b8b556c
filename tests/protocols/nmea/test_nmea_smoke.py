from protocols.nmea import NmeaDecoder
from protocols.nmea.encode import encode_gga, encode_rmc
from protocols.nmea.tag import encode_status
from protocols.reports import Closure, Fix, FixState, Jamming, TagStatus

T = 1_772_366_400_000_000_000


def test_tag_epoch_is_closed_by_its_status() -> None:
    dec = NmeaDecoder()
    out = dec.feed(
        encode_rmc(t_utc_ns=T, lat_deg=51.5, lon_deg=-0.1, speed_mps=1.0, course_deg=90.0)
        + encode_gga(t_utc_ns=T, lat_deg=51.5, lon_deg=-0.1, satellites_used=8, hdop=1.0, alt_m=20.0)
        + encode_status(
            sequence=7,
            stored=True,
            strap=Closure.CLOSED,
            case=Closure.CLOSED,
            shielded=False,
            jamming=Jamming.NONE,
            battery_pct=80,
            battery_mv=3900,
            charging=False,
            motion=True,
            temperature_c=-3.5,
            firmware="1.2.3",
            t_status_utc_ns=T,
        )
    )
    fix, status = out
    assert isinstance(fix, Fix) and isinstance(status, TagStatus)
    assert fix.state is FixState.POSITION and fix.stored and fix.sequence == 7 and fix.t_fix_utc_ns == T
    assert status.temperature_c == -3.5 and status.t_status_utc_ns == T
