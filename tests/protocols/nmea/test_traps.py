"""Our answer to each trap of pynmea2 1.19, and what the library does today beside it."""

import pynmea2
import pytest

from protocols.nmea.framer import MAX_SENTENCE_BYTES, Framer
from protocols.rejects import RejectReason
from protocols.reports import FixState
from tests.protocols.nmea.support import decode, line, one_fix, reasons


def test_void_rmc_has_no_position_where_the_library_says_0_0() -> None:
    body = "GPRMC,120000.00,V,,,,,,,010326,,,N"
    assert pynmea2.parse("$" + body).latitude == 0.0
    fix = one_fix(line(body))
    assert (fix.state, fix.lat_deg, fix.lon_deg) == (FixState.NO_FIX, None, None)


def test_hemisphere_x_is_refused_where_the_library_says_0_0_and_valid() -> None:
    body = "GPRMC,120000.00,A,5130.0000,X,00007.0000,W,0.0,0.0,010326,,,A"
    assert pynmea2.parse("$" + body).latitude == 0.0
    assert reasons(decode(line(body))) == [RejectReason.BAD_HEMISPHERE]
    assert reasons(decode(line(body.replace(",X,", ",N,").replace(",W,", ",N,")))) == [RejectReason.BAD_HEMISPHERE]


def test_leap_second_is_a_time_where_the_library_gives_text() -> None:
    body = "GPRMC,235960.00,A,5130.0000,N,00007.0000,W,0.0,0.0,311226,,,A"
    assert pynmea2.parse("$" + body).timestamp == "235960.00"
    fix = one_fix(line(body))
    assert fix.time_of_day_ns == 86_400_000_000_000
    assert fix.t_fix_utc_ns == 1_798_761_600_000_000_000 - 1


@pytest.mark.parametrize(
    "time", ["235961.00", "120060.00", "246000.00", "240000.00", "12000", "1200.00", "1e5000", "x"]
)
def test_a_time_that_cannot_be_is_refused(time: str) -> None:
    body = f"GPGGA,{time},5130.0000,N,00007.0000,W,1,08,1.0,20.0,M,,M,,"
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_altitude_x_is_refused_where_the_library_gives_text() -> None:
    body = "GPGGA,120000.00,5130.0000,N,00007.0000,W,1,08,1.0,x,M,,M,,"
    assert pynmea2.parse("$" + body).altitude == "x"
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_no_decimals_is_refused_at_decode_where_the_library_raises_later() -> None:
    body = "GPGGA,120000.00,4629,N,00007.0000,W,1,08,1.0,20.0,M,,M,,"
    late = pynmea2.parse("$" + body)
    with pytest.raises(ValueError):
        late.latitude  # noqa: B018
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_no_checksum_is_refused_where_the_library_accepts() -> None:
    bare = b"$GPGGA,120000.00,5130.0000,N,00007.0000,W,1,08,1.0,20.0,M,,M,,\r\n"
    assert pynmea2.parse(bare.decode()).latitude == 51.5
    assert reasons(decode(bare)) == [RejectReason.MISSING_CHECKSUM]


def test_a_million_bytes_without_newline_are_capped_where_the_library_keeps_them() -> None:
    reader = pynmea2.NMEAStreamReader()
    assert list(reader.next("$" * 1_000_000)) == []
    assert len(reader.buffer) == 1_000_000
    framer = Framer()
    framer.feed(b"$GPGGA," + b"1" * 1_000_000)
    assert len(framer._buffer) <= MAX_SENTENCE_BYTES


@pytest.mark.parametrize(
    "field",
    ["nan", "inf", "1e3", "1_0", "--1", "+-1", ".", "-", "1.2.3", "0x10", " "],
)
def test_what_float_would_take_or_a_default_would_hide_is_refused(field: str) -> None:
    body = f"GPGGA,120000.00,5130.0000,N,00007.0000,W,1,08,1.0,{field},M,,M,,"
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        ("5160.0000,N", "00007.0000,W"),
        ("9000.0001,N", "00007.0000,W"),
        ("-130.0000,N", "00007.0000,W"),
        ("5130.0000,N", "18000.0001,W"),
        ("5130.0000,N", "00099.0000,W"),
        ("30.0000,N", "00007.0000,W"),
        ("5130.,N", "00007.0000,W"),
        ("5130.00e0,N", "00007.0000,W"),
    ],
)
def test_coordinates_that_cannot_be_are_refused(lat: str, lon: str) -> None:
    body = f"GPGGA,120000.00,{lat},{lon},1,08,1.0,20.0,M,,M,,"
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_one_module_imports_pynmea2() -> None:
    from pathlib import Path

    import protocols

    (folder,) = protocols.__path__
    doors = [path.name for path in Path(folder).rglob("*.py") if "import pynmea2" in path.read_text()]
    assert doors == ["sentences.py"]
