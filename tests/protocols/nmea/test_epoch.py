"""When an epoch closes, and what belongs to it."""

import pytest

from protocols.nmea import NmeaDecoder
from protocols.reports import Fix, FixMode, FixState
from tests.protocols.nmea.support import decode, fixes, line, lines


def hms(second: float) -> str:
    whole = int(second)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round(second * 100) % 100:02d}"


def rmc(second: float, lat: str = "5130.00000", status: str = "A") -> str:
    return f"GPRMC,{hms(second)},{status},{lat},N,00007.50000,W,1.0,90.0,010326,,,{'A' if status == 'A' else 'N'}"


def gga(second: float, lat: str = "5130.00000", quality: int = 1) -> str:
    return f"GPGGA,{hms(second)},{lat},N,00007.50000,W,{quality},08,1.0,20.0,M,,M,,"


def gll(second: float, lat: str = "5130.00000") -> str:
    return f"GPGLL,{lat},N,00007.50000,W,{hms(second)},A,A"


def gsa(mode: int = 3, pdop: float = 1.5) -> str:
    return f"GPGSA,A,{mode},01,02,03,04,,,,,,,,,{pdop},1.0,1.1"


def gsv(cn0: int = 40) -> str:
    return f"GPGSV,1,1,01,01,40,083,{cn0}"


VTG = "GPVTG,90.0,T,,M,1.0,N,1.9,K,A"


def closings(bodies: list[str]) -> list[tuple[int, Fix]]:
    """Index of the sentence on which each fix was reported."""
    decoder = NmeaDecoder()
    out = []
    for index, body in enumerate(bodies):
        out += [(index, item) for item in decoder.feed(line(body)) if isinstance(item, Fix)]
    return out


def cycles(count: int, *makers: object, step: float = 1.0, start: float = 43_200.0) -> list[str]:
    return [make(start + n * step) if callable(make) else str(make) for n in range(count) for make in makers]


def test_the_first_epochs_close_when_the_time_changes() -> None:
    assert [index for index, _ in closings(cycles(3, rmc, gga))] == [2, 4]


@pytest.mark.parametrize(
    "makers",
    [
        (rmc,),
        (gga,),
        (gll,),
        (rmc, gga),
        (rmc, VTG, gga, gsa(), gsv(), gll),
        (gga, gsa(), gsv(), rmc),
        (gga, gsa(), gsv(), rmc, VTG),
        (gsa(), gsv(), rmc, gga),
        (gsv(), gga, rmc, gsa()),
    ],
)
def test_learned_epochs_close_on_their_last_sentence(makers: tuple[object, ...]) -> None:
    """After three epochs over two seconds, each fix is reported with the last sentence that is not GSV."""
    bodies = cycles(12, *makers)
    found = closings(bodies)
    last = max(at for at, make in enumerate(makers) if not (isinstance(make, str) and "GSV" in make))
    for n, (index, fix) in enumerate(found[4:], start=4):
        assert index == n * len(makers) + last
        assert fix.time_of_day_ns == (43_200 + n) * 1_000_000_000
    assert len(found) == 12


@pytest.mark.parametrize("step", [0.5, 0.2, 0.1])
def test_fast_receivers_are_learned_over_two_seconds(step: float) -> None:
    found = closings(cycles(60, rmc, gga, step=step))
    assert len(found) == 60
    late = [index for index, fix in found if index % 2 == 0]
    assert len(late) == pytest.approx(2.0 / step, abs=2)


def test_a_sentence_once_a_second_in_a_fast_stream_is_never_cut_off() -> None:
    """10 Hz GGA, 1 Hz RMC: nothing is learned too early, so the RMC keeps its place in its epoch."""
    bodies = []
    for n in range(100):
        bodies.append(gga(43_200 + n / 10))
        if n % 10 == 0:
            bodies.append(rmc(43_200 + n / 10))
    decoder = NmeaDecoder()
    found = fixes(decoder.feed(lines(*bodies)) + decoder.close())
    assert len(found) == 100
    assert decoder.counters.late_sentences == 0
    assert [fix.speed_mps is not None for fix in found] == [n % 10 == 0 for n in range(100)]


def test_gsa_before_rmc_belongs_to_the_epoch_it_introduces() -> None:
    bodies = []
    for n in range(6):
        bodies += [gsa(2 + n % 2, pdop=n + 1.0), gsv(30 + n), rmc(43_200 + n), gga(43_200 + n)]
    for n, fix in enumerate(fixes(decode(lines(*bodies)))):
        assert (fix.pdop, fix.mode) == (n + 1.0, FixMode.THREE_D if n % 2 else FixMode.TWO_D)
        assert fix.cn0_max_dbhz == 30 + n


def test_a_stream_joined_in_the_middle_is_put_right_by_the_first_idle() -> None:
    """Joined behind RMC and GGA: the GSA heard first belongs to the past, as the pause after it shows."""
    decoder = NmeaDecoder()
    assert decoder.feed(lines(gsa(pdop=9.0), gsv())) == []
    assert not decoder.has_open_epoch
    assert decoder.close_epoch() == []
    found = []
    for n in range(4):
        found += fixes(decoder.feed(lines(rmc(43_200 + n), gga(43_200 + n), gsa(pdop=n + 1.0), gsv(30 + n))))
        assert decoder.has_open_epoch == (n < 3)
        found += fixes(decoder.close_epoch())
    assert [fix.pdop for fix in found] == [1.0, 2.0, 3.0, 4.0]


def test_gsv_behind_the_learned_end_counts_for_the_next_epoch() -> None:
    bodies = []
    for n in range(12):
        bodies += [gga(43_200 + n), rmc(43_200 + n)]
        if n % 5 == 4:
            bodies.append(gsv(30 + n))
    found = fixes(decode(lines(*bodies)))
    assert len(found) == 12
    assert [n for n, fix in enumerate(found) if fix.cn0_max_dbhz is not None] == [5, 10]


def test_a_late_sentence_is_counted_and_unlearns() -> None:
    bodies = cycles(6, rmc, gga) + [gll(43_205)] + [b for n in range(6, 9) for b in (rmc(43_200 + n), gga(43_200 + n))]
    decoder = NmeaDecoder()
    out = [(i, r) for i, body in enumerate(bodies) for r in decoder.feed(line(body)) if isinstance(r, Fix)]
    assert decoder.counters.late_sentences == 1
    times = [fix.time_of_day_ns for _, fix in out]
    assert len(times) == len(set(times))
    assert out[-1][0] == len(bodies) - 2, "after the late one, an epoch closes by time again"


def test_a_late_position_that_differs_is_reported_all_the_same() -> None:
    bodies = [*cycles(6, rmc, gga), gll(43_205, "5130.00100"), *[rmc(43_206)]]
    found = fixes(decode(lines(*bodies)))
    at = [fix.lat_deg for fix in found if fix.time_of_day_ns == 43_205_000_000_000]
    assert at == [51.5, pytest.approx(51 + 30.001 / 60)]


def test_two_positions_with_one_time_are_two_fixes_unless_rounding_explains_it() -> None:
    assert len(fixes(decode(lines(rmc(43_200, "5130.00000"), gga(43_200, "5130.00020"))))) == 2
    assert len(fixes(decode(lines(rmc(43_200, "5130.00000"), gga(43_200, "5130.00010"))))) == 1
    assert len(fixes(decode(lines(rmc(43_200, "5130.00000"), gga(43_200, "5130.00001"))))) == 1
    assert len(fixes(decode(lines(rmc(43_200, "5130.0001"), gga(43_200, "5130.00014"))))) == 1
    assert len(fixes(decode(lines(rmc(43_200, "5130.0001"), gga(43_200, "5130.00019"))))) == 1


def test_a_stopped_clock_does_not_stop_the_fixes() -> None:
    """A receiver without a fix may repeat one time for ever; each round is an epoch, and memory does not grow."""
    for learned in (0, 6):
        decoder = NmeaDecoder()
        decoder.feed(lines(*cycles(learned, rmc, gga)))
        before = decoder.counters.fixes
        for _ in range(50):
            decoder.feed(lines(rmc(50_000, status="V"), gga(50_000, quality=0), gsa(1)))
        assert decoder.counters.fixes - before >= 49


def test_an_echo_is_no_fix_of_its_own() -> None:
    once = lines(rmc(43_200), VTG, gga(43_200))
    assert len(fixes(decode(once + once + once + line(rmc(43_201))))) == 2
    learned = lines(*cycles(6, rmc, gga))
    assert len(fixes(decode(learned + lines(rmc(43_205), gga(43_205)) + line(rmc(43_206))))) == 7


def test_fast_positions_under_one_coarse_time_are_no_echo() -> None:
    found = fixes(decode(lines(*(gga(43_200, f"5130.0000{n}") for n in range(5)))))
    assert [fix.lat_deg for fix in found] == [pytest.approx(51 + (30 + n * 1e-5) / 60, abs=1e-12) for n in range(5)]


def test_the_first_fix_behind_claims_without_a_time_is_one_epoch() -> None:
    void = ["GPRMC,,V,,,,,,,010326,,,N", "GPGGA,,,,,,0,,,,,,,,", "GPGLL,,,,,,V,N"]
    for turn in range(3):
        order = (void * 2)[turn:]
        found = fixes(decode(lines(*order, rmc(43_200), gga(43_200), gll(43_200), rmc(43_201))))
        assert [fix.time_of_day_ns for fix in found if fix.state is FixState.POSITION] == [
            43_200_000_000_000,
            43_201_000_000_000,
        ]


def test_claims_without_a_time_close_when_they_come_again() -> None:
    void = ("GPRMC,,V,,,,,,,,,,N", "GPGGA,,,,,,0,,,,,,,,", gsa(1))
    found = fixes(decode(lines(*void * 4)))
    assert [fix.state for fix in found] == [FixState.NO_FIX] * 4
    assert all(fix.time_of_day_ns is None and fix.t_fix_utc_ns is None for fix in found)


def test_positions_without_a_time_are_reported_each() -> None:
    found = fixes(decode(lines(*(f"GPGLL,5130.0{n}0,N,00007.500,W" for n in range(5)))))
    assert [fix.lat_deg for fix in found] == [pytest.approx(51 + (30 + n / 100) / 60) for n in range(5)]


def test_sentences_without_a_claim_are_no_epoch() -> None:
    assert decode(lines(*cycles(5, gsa(), gsv(), VTG, lambda s: f"GPZDA,{hms(s)},01,03,2026,00,00"))) == []


def test_a_date_in_a_round_of_its_own_is_kept() -> None:
    found = fixes(decode(lines("GPZDA,120000.00,01,03,2026,00,00", gll(43_201))))
    assert found[0].t_fix_utc_ns == 1_772_366_401_000_000_000


def test_receivers_that_alternate_sentences() -> None:
    """One position sentence a second, of three types in turn: nothing to learn, nothing lost."""
    bodies = []
    for n in range(0, 24, 4):
        t = 43_200 + n
        bodies += [rmc(t), gll(t + 1), VTG, rmc(t + 2), gga(t + 3), f"GPZDA,{hms(t + 3)},01,03,2026,00,00"]
    assert [fix.time_of_day_ns for fix in fixes(decode(lines(*bodies)))] == [
        (43_200 + n) * 1_000_000_000 for n in range(24)
    ]


def test_idle_closes_and_teaches() -> None:
    decoder = NmeaDecoder()
    for n in range(3):
        assert decoder.feed(lines(rmc(43_200 + n), gga(43_200 + n))) == []
        assert len(decoder.close_epoch()) == 1
        assert not decoder.has_open_epoch
    assert len(decoder.feed(lines(rmc(43_203), gga(43_203)))) == 1


def test_time_going_back_is_another_moment() -> None:
    found = fixes(decode(lines(rmc(43_200), rmc(43_100), rmc(43_300))))
    assert [fix.time_of_day_ns for fix in found] == [43_200_000_000_000, 43_100_000_000_000, 43_300_000_000_000]


def test_offset_is_the_first_byte_of_the_epoch() -> None:
    data = lines(gsa(), rmc(43_200), gga(43_200)) + line(rmc(43_201))
    assert [fix.offset for fix in fixes(decode(data))] == [0, len(lines(gsa(), rmc(43_200), gga(43_200)))]


def test_a_peer_that_sends_only_satellites_does_not_fill_the_memory() -> None:
    decoder = NmeaDecoder()
    for n in range(3000):
        decoder.feed(lines(f"GPGSV,9,2,36,01,40,083,40,{n}", gsa()))
    epoch = decoder._assembler._open
    assert epoch is not None
    assert len(epoch.views) <= 64
    assert len(epoch.solutions) <= 64
