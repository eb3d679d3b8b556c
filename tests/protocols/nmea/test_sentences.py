import pytest

from protocols.nmea.sentences import find_kind
from protocols.rejects import RejectReason
from protocols.reports import FixMode, FixQuality, FixState
from tests.protocols.nmea.support import decode, fixes, line, lines, one_fix, reasons, run

GGA = "GPGGA,120000.00,5130.00000,N,00007.50000,W,1,08,1.2,20.5,M,47.0,M,,"
RMC = "GPRMC,120000.00,A,5130.00000,N,00007.50000,W,10.0,123.4,010326,,,A"
KNOT = 1852 / 3600


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "IN", "II", "EC", "SD", "U1"])
def test_any_talker_is_heard(talker: str) -> None:
    fix = one_fix(line(talker + GGA[2:]))
    assert (fix.talker, fix.lat_deg, fix.lon_deg) == (talker, 51.5, -0.125)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("GPRMC", "RMC"),
        ("PQGSV", "GSV"),
        ("PGRMC", None),
        ("PMTK705", None),
        ("PUBX", None),
        ("GPTXT", None),
        ("GPRMB", None),
        ("GPXXRMC", None),
    ],
)
def test_proprietary_addresses_are_not_talkers(address: str, kind: str | None) -> None:
    assert find_kind(address) == kind


def test_other_sentences_are_counted_and_passed_over() -> None:
    assert decode(lines("GPRMB,A,,,", "PGRME,15.0,M,45.0,M,25.0,M", "PUBX,00,1", "GPTXT,hello", "HCHDG,1,,,2,W")) == []


def test_rmc() -> None:
    fix = one_fix(line(RMC))
    assert fix.speed_mps == pytest.approx(10 * KNOT)
    assert fix.course_deg == 123.4
    assert fix.quality is FixQuality.GNSS
    assert fix.t_fix_utc_ns == 1_772_366_400_000_000_000


def test_gga() -> None:
    fix = one_fix(line(GGA))
    assert (fix.alt_m, fix.satellites_used, fix.hdop, fix.quality) == (20.5, 8, 1.2, FixQuality.GNSS)
    assert fix.time_of_day_ns == 43_200_000_000_000


@pytest.mark.parametrize(
    ("digit", "state", "quality"),
    [
        ("", FixState.NO_FIX, None),
        ("0", FixState.NO_FIX, FixQuality.INVALID),
        ("1", FixState.POSITION, FixQuality.GNSS),
        ("2", FixState.POSITION, FixQuality.DIFFERENTIAL),
        ("3", FixState.POSITION, FixQuality.PRECISE),
        ("4", FixState.POSITION, FixQuality.RTK_FIXED),
        ("5", FixState.POSITION, FixQuality.RTK_FLOAT),
        ("6", FixState.DEAD_RECKONING, FixQuality.ESTIMATED),
        ("7", FixState.MANUAL, FixQuality.MANUAL),
        ("8", FixState.SIMULATOR, FixQuality.SIMULATOR),
        ("9", FixState.POSITION, FixQuality.DIFFERENTIAL),
    ],
)
def test_gga_quality(digit: str, state: FixState, quality: FixQuality | None) -> None:
    fix = one_fix(line(GGA.replace(",W,1,", f",W,{digit},")))
    assert (fix.state, fix.quality) == (state, quality)
    assert (fix.lat_deg is None) == (state is not FixState.POSITION)


@pytest.mark.parametrize(
    ("status", "letter", "state"),
    [
        ("A", "A", FixState.POSITION),
        ("A", "D", FixState.POSITION),
        ("A", "R", FixState.POSITION),
        ("A", "", FixState.POSITION),
        ("A", "?", FixState.POSITION),
        ("A", "N", FixState.NO_FIX),
        ("A", "E", FixState.DEAD_RECKONING),
        ("A", "M", FixState.MANUAL),
        ("V", "S", FixState.SIMULATOR),
        ("V", "A", FixState.NO_FIX),
        ("V", "", FixState.NO_FIX),
        ("", "", FixState.NO_FIX),
    ],
)
def test_status_and_mode_letter(status: str, letter: str, state: FixState) -> None:
    rmc = RMC.replace(",A,51", f",{status},51")[:-1] + letter
    gll = f"GPGLL,5130.00000,N,00007.50000,W,120000.00,{status},{letter}"
    for body in (rmc, gll):
        fix = one_fix(line(body))
        assert fix.state is state
        assert (fix.lat_deg is None) == (fix.speed_mps is None and state is not FixState.POSITION)


@pytest.mark.parametrize("body", [RMC.replace(",A,51", ",X,51"), "GPGLL,5130.0,N,00007.5,W,120000,Q,A"])
def test_an_unknown_status_is_refused(body: str) -> None:
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


@pytest.mark.parametrize("body", ["GPGGA,120000,5130.0,N,00007.5,W,X,8,1,2,M,,M,,", "GPGSA,A,4,,,,,,,,,,,,,1,1,1"])
def test_an_unknown_quality_or_mode_digit_is_refused(body: str) -> None:
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_rmc_of_version_4_10_has_a_navigation_status() -> None:
    assert one_fix(line(RMC + ",V")).state is FixState.POSITION


def test_short_sentences_of_old_versions() -> None:
    assert one_fix(line("GPGLL,5130.00,N,00007.50,W")).lat_deg == 51.5
    assert one_fix(line("GPGLL,5130.00,N,00007.50,W")).time_of_day_ns is None
    assert one_fix(line("GPRMC,120000,A,5130.00,N,00007.50,W,1.0,2.0,010326,,")).lat_deg == 51.5
    vtg = one_fix(lines("GPGLL,5130.00,N,00007.50,W,120000,A", "GPVTG,054.7,034.4,005.5,010.2"))
    assert (vtg.course_deg, vtg.speed_mps) == (54.7, pytest.approx(5.5 * KNOT))


@pytest.mark.parametrize(
    ("letters", "state", "quality"),
    [
        ("NN", FixState.NO_FIX, FixQuality.INVALID),
        ("", FixState.NO_FIX, FixQuality.INVALID),
        ("AN", FixState.POSITION, FixQuality.GNSS),
        ("NNAD", FixState.POSITION, FixQuality.DIFFERENTIAL),
        ("AR", FixState.POSITION, FixQuality.RTK_FIXED),
        ("F", FixState.POSITION, FixQuality.RTK_FLOAT),
        ("EN", FixState.DEAD_RECKONING, FixQuality.ESTIMATED),
        ("SS", FixState.SIMULATOR, FixQuality.SIMULATOR),
    ],
)
def test_gns_takes_the_best_constellation(letters: str, state: FixState, quality: FixQuality) -> None:
    fix = one_fix(line(f"GNGNS,120000.00,5130.00000,N,00007.50000,W,{letters},12,0.9,20.5,47.0,,,V"))
    assert (fix.state, fix.quality, fix.satellites_used, fix.hdop) == (state, quality, 12, 0.9)


def test_valid_without_coordinates_is_no_fix() -> None:
    assert one_fix(line("GPRMC,120000.00,A,,,,,,,010326,,,A")).state is FixState.NO_FIX
    assert one_fix(line("GPRMC,120000.00,A,5130.0000,N,,,,,010326,,,A")).state is FixState.NO_FIX
    assert one_fix(line("GPRMC,120000.00,A,5130.0000,,00007.0000,W,,,010326,,,A")).state is FixState.NO_FIX


def test_south_and_west_are_negative() -> None:
    fix = one_fix(line("GPGLL,3330.00,S,15112.00,E,120000,A"))
    assert (fix.lat_deg, fix.lon_deg) == (-33.5, 151.2)


def test_gsa_of_several_constellations() -> None:
    fix = one_fix(
        lines(
            GGA,
            "GPGSA,A,1,,,,,,,,,,,,,,,",
            "GNGSA,A,3,01,02,03,,,,,,,,,,1.8,1.2,1.3,1",
            "GNGSA,A,3,65,66,,,,,,,,,,,1.8,1.2,1.3,2",
        )
    )
    assert (fix.mode, fix.pdop, fix.hdop, fix.vdop) == (FixMode.THREE_D, 1.8, 1.2, 1.3)
    assert fix.satellites_used == 8


def test_gsa_counts_satellites_where_nothing_else_does() -> None:
    fix = one_fix(lines(RMC, "GNGSA,A,2,01,02,03,,,,,,,,,,1.8,1.2,1.3", "GNGSA,A,2,65,66,,,,,,,,,,,1.8,1.2,1.3"))
    assert (fix.satellites_used, fix.mode, fix.hdop) == (5, FixMode.TWO_D, 1.2)


def test_gsa_with_twenty_four_places() -> None:
    fix = one_fix(lines(RMC, "GPGSA,A,3,23,13,07,25" + "," * 21 + "9.2,7.2,5.7"))
    assert (fix.pdop, fix.hdop, fix.vdop, fix.satellites_used) == (9.2, 7.2, 5.7, 4)


def test_a_dop_of_zero_is_absent() -> None:
    fix = one_fix(line(GGA.replace(",1.2,", ",0.0,")))
    assert (fix.hdop, fix.sigma_rule) == (None, "floor_gnss")


def test_gsv_over_messages_constellations_and_signals() -> None:
    fix = one_fix(
        lines(
            RMC,
            "GPGSV,2,1,05,01,40,083,40,02,17,308,30,03,07,344,00,04,22,228,,1",
            "GPGSV,2,2,05,05,20,100,20,1",
            "GPGSV,1,1,02,01,40,083,44,02,17,308,,8",
            "GLGSV,1,1,03,65,40,083,36,,,,,66,11,022,",
            "GAGSV,,,",
        )
    )
    assert fix.satellites_in_view == 5 + 3
    assert fix.cn0_max_dbhz == 44
    assert fix.cn0_mean_dbhz == pytest.approx((44 + 30 + 20 + 36) / 4)


def test_gst_gives_ellipse_and_sigma() -> None:
    fix = one_fix(lines(RMC, "GPGST,120000.00,1.5,4.0,3.0,61.0,3.0,4.0,5.0"))
    assert fix.error_ellipse is not None
    assert (fix.error_ellipse.semi_major_m, fix.error_ellipse.semi_minor_m) == (4.0, 3.0)
    assert fix.error_ellipse.orientation_deg == 61.0
    assert fix.horizontal_sigma_m == pytest.approx((12.5) ** 0.5)
    assert fix.sigma_rule == "gst"


def test_vtg_gives_speed_and_course_where_rmc_is_absent() -> None:
    fix = one_fix(lines(GGA, "GPVTG,54.7,T,,M,,N,36.0,K,D"))
    assert (fix.speed_mps, fix.course_deg) == (pytest.approx(10.0), 54.7)
    both = one_fix(lines(RMC, "GPVTG,54.7,T,,M,1.0,N,36.0,K,D"))
    assert (both.speed_mps, both.course_deg) == (pytest.approx(10 * KNOT), 123.4)


def test_vtg_gives_the_quality_where_rmc_is_of_an_old_version() -> None:
    old = "GPRMC,120000,A,5130.00,N,00007.50,W,1.0,2.0,010326,,"
    assert one_fix(line(old)).quality is None
    assert one_fix(lines(old, "GPVTG,2.0,T,,M,1.0,N,1.9,K,D")).quality is FixQuality.DIFFERENTIAL


def test_zda_gives_the_date() -> None:
    fix = one_fix(lines(GGA, "GPZDA,120000.00,01,03,2026,00,00"))
    assert fix.t_fix_utc_ns == 1_772_366_400_000_000_000


def test_gbs_belongs_to_the_epoch_and_is_checked() -> None:
    assert len(fixes(decode(lines(GGA, "GPGBS,120000.00,1.0,1.0,2.0,,,,", RMC)))) == 1
    assert reasons(decode(line("GPGBS,120000.00,x,1.0,2.0,,,,"))) == [RejectReason.BAD_FIELD]


def test_nothing_of_a_moving_state_is_kept_without_a_position() -> None:
    fix = one_fix(lines(RMC.replace(",A,51", ",V,51"), GGA.replace(",W,1,", ",W,0,"), "GPVTG,1,T,,M,1.0,N,,K,N"))
    assert fix.state is FixState.NO_FIX
    assert (fix.lat_deg, fix.alt_m, fix.speed_mps, fix.course_deg, fix.horizontal_sigma_m) == (None,) * 5
    assert fix.mode is FixMode.NONE


def test_most_decimals_win_and_quality_comes_from_gga() -> None:
    data = lines(
        "GPRMC,120000,A,5130.1234,N,00007.5000,W,,,010326,,,A",
        "GPGGA,120000.00,5130.1234321,N,00007.5000123,W,4,12,0.7,1.0,M,,M,,",
        "GPGLL,5130.123,N,00007.500,W,120000,A,A",
    )
    fix = one_fix(data)
    assert fix.lat_deg == pytest.approx(51 + 30.1234321 / 60, abs=1e-12)
    assert fix.quality is FixQuality.RTK_FIXED


def test_a_sentence_speaks_for_its_own_coordinates() -> None:
    """A void RMC gives no position and takes none from a valid GGA; a dead-reckoned or simulated one does."""
    for letter, state in (("N", FixState.POSITION), ("E", FixState.DEAD_RECKONING), ("S", FixState.SIMULATOR)):
        rmc = RMC.replace(",A,51", ",V,51")[:-1] + letter
        assert one_fix(lines(rmc, GGA)).state is state


def test_counters() -> None:
    from protocols.nmea import NmeaDecoder

    data = lines(RMC, GGA, "GPTXT,x", "GPGGA,x,,,,,,,,,,,,,") + b"junk" + line(RMC)[:20]
    decoder = NmeaDecoder()
    decoder.feed(data)
    decoder.close()
    counters = decoder.counters
    assert counters.bytes_in == len(data)
    assert (counters.framed, counters.sentences, counters.ignored, counters.fixes) == (4, 2, 1, 1)
    assert counters.rejects_by_reason == {
        RejectReason.BAD_FIELD: 1,
        RejectReason.GARBAGE: 1,
        RejectReason.TRUNCATED: 1,
    }
    assert run([data])
