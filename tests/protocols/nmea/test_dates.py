from datetime import UTC, datetime

import pytest

from protocols.nmea.dates import ROLLOVER_PERIOD_NS, ROLLOVER_TOLERANCE_NS, Calendar, find_day, find_short_day
from protocols.reports import DateRule, Fix
from tests.protocols.nmea.support import decode, fixes, line, lines, run


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text + "+00:00").timestamp()) * 1_000_000_000


def rmc(time: str, date: str) -> str:
    return f"GPRMC,{time},A,5130.0000,N,00007.5000,W,,,{date},,,A"


def gga(time: str) -> str:
    return f"GPGGA,{time},5130.0000,N,00007.5000,W,1,08,1.0,20.0,M,,M,,"


def dated(data: bytes, host: int | None = None) -> list[tuple[int | None, DateRule]]:
    return [(fix.t_fix_utc_ns, fix.date_rule) for fix in fixes(decode(data, host=host))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010326", "2026-03-01"),
        ("311279", "2079-12-31"),
        ("220899", "1999-08-22"),
        ("010181", "1981-01-01"),
        ("290224", "2024-02-29"),
        ("060180", None),
        ("290225", None),
        ("310426", None),
        ("000000", None),
        ("2208-1", None),
        ("1604", None),
        ("", None),
    ],
)
def test_short_dates(text: str, expected: str | None) -> None:
    day = find_short_day(text)
    assert (None if day is None else str(datetime.fromtimestamp(day * 86_400, UTC).date())) == expected


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        (("01", "03", "2026"), True),
        (("1", "3", "2026"), True),
        (("01", "03", "1980"), False),
        (("01", "03", "2080"), False),
        (("01", "01", "1981"), True),
        (("31", "12", "2079"), True),
        (("01", "03", "2081"), False),
        (("01", "03", "9999"), False),
        (("01", "03", "1066"), False),
        (("01", "01", "0001"), False),
        (("16", "04", "14"), False),
        (("", "", ""), False),
        (("00", "00", "0000"), False),
        (("32", "01", "2026"), False),
    ],
)
def test_long_dates(fields: tuple[str, str, str], known: bool) -> None:
    assert (find_day(*fields) is not None) is known


def test_midnight_between_sentences_carries_the_date_forward() -> None:
    data = lines(rmc("235959.00", "280226"), gga("000000.00"), gga("000001.00"))
    assert dated(data) == [
        (utc("2026-02-28T23:59:59"), DateRule.SENT),
        (utc("2026-03-01T00:00:00"), DateRule.CARRIED),
        (utc("2026-03-01T00:00:01"), DateRule.CARRIED),
    ]


def test_midnight_within_an_epoch_takes_the_date_of_its_own_rmc() -> None:
    data = lines(rmc("235959.00", "280226"), gga("000000.00"), rmc("000000.00", "010326"))
    assert dated(data)[1] == (utc("2026-03-01T00:00:00"), DateRule.SENT)


def test_a_fix_from_before_midnight_that_comes_late_goes_back_a_day() -> None:
    data = lines(rmc("000001.00", "010326"), gga("235959.00"))
    assert dated(data)[1] == (utc("2026-02-28T23:59:59"), DateRule.CARRIED)


def test_leap_second_stays_between_its_neighbours() -> None:
    data = lines(rmc("235959.00", "311226"), rmc("235960.00", "311226"), rmc("235960.50", "311226"))
    times = [t for t, _ in dated(data + line(rmc("000000.00", "010127")))]
    assert times == sorted(t for t in times if t is not None)
    assert times[0] < times[1] == times[2] < times[3]  # type: ignore[operator]
    assert times[3] == utc("2027-01-01T00:00:00")


@pytest.mark.parametrize("periods", [1, 2])
def test_rollover_is_undone_against_the_host(periods: int) -> None:
    host = utc("2026-03-01T12:00:30")
    true_ns = utc("2026-03-01T12:00:00")
    wrong = datetime.fromtimestamp((true_ns - periods * ROLLOVER_PERIOD_NS) // 10**9, UTC)
    if wrong.year >= 1981:
        data = lines(rmc("120000.00", f"{wrong:%d%m%y}"), gga("120001.00"))
        assert dated(data, host) == [(true_ns, DateRule.ROLLOVER), (true_ns + 10**9, DateRule.CARRIED)]
        assert dated(data)[0] == (true_ns - periods * ROLLOVER_PERIOD_NS, DateRule.SENT)


def test_two_rollovers_from_a_zda_of_the_last_century() -> None:
    host = utc("2026-03-01T12:00:30")
    wrong = datetime.fromtimestamp((utc("2026-03-01T12:00:00") - 2 * ROLLOVER_PERIOD_NS) // 10**9, UTC)
    data = lines(gga("120000.00"), f"GPZDA,120000.00,{wrong:%d,%m,%Y},00,00")
    assert dated(data, host) == [(utc("2026-03-01T12:00:00"), DateRule.ROLLOVER)]


@pytest.mark.parametrize(("off_ns", "undone"), [(0, True), (1, True), (-1, False)])
def test_rollover_tolerance(off_ns: int, undone: bool) -> None:
    sent = utc("2006-07-16T12:00:00")
    host = sent + ROLLOVER_PERIOD_NS + (ROLLOVER_TOLERANCE_NS if off_ns >= 0 else ROLLOVER_TOLERANCE_NS + 1)
    (found,) = dated(line(rmc("120000.00", "160706")), host)
    assert found[1] is (DateRule.ROLLOVER if undone else DateRule.SENT)


@pytest.mark.parametrize("host", ["2026-03-01T12:00:00", "2000-01-01T00:00:00", "1970-01-01T00:00:00"])
def test_a_host_that_disagrees_otherwise_changes_nothing(host: str) -> None:
    assert dated(line(rmc("120000.00", "150323")), utc(host)) == [(utc("2023-03-15T12:00:00"), DateRule.SENT)]


@pytest.mark.parametrize("date", ["060180", "010180", "2208-1", ""])
def test_power_up_and_unreadable_dates_are_no_dates(date: str) -> None:
    data = line(rmc("235950.00", date))
    assert dated(data) == [(None, DateRule.NONE)]
    assert dated(data, utc("2026-03-01T00:00:05")) == [(utc("2026-02-28T23:59:50"), DateRule.HOST)]


def test_host_date_is_the_day_nearest_to_the_host() -> None:
    data = lines(gga("235959.00"), gga("000000.00"))
    assert dated(data, utc("2026-03-01T00:00:00")) == [
        (utc("2026-02-28T23:59:59"), DateRule.HOST),
        (utc("2026-03-01T00:00:00"), DateRule.HOST),
    ]


def test_a_carried_date_moves_on_with_the_host_over_a_long_silence() -> None:
    from protocols.nmea import NmeaDecoder

    decoder = NmeaDecoder()
    decoder.feed(line(rmc("120000.00", "010326")), t_rx_utc_ns=utc("2030-01-01T00:00:00"))
    decoder.close_epoch()
    decoder.feed(line(gga("120100.00")), t_rx_utc_ns=utc("2030-01-04T00:01:00"))
    (fix,) = decoder.close_epoch()
    assert isinstance(fix, Fix)
    assert (fix.t_fix_utc_ns, fix.date_rule) == (utc("2026-03-04T12:01:00"), DateRule.CARRIED)


def test_no_time_of_day_is_no_time() -> None:
    assert dated(line("GPGLL,5130.0000,N,00007.5000,W"), utc("2026-03-01T00:00:00")) == [(None, DateRule.NONE)]


def test_a_receiver_date_wins_over_the_host_once_it_was_sent() -> None:
    host = utc("2026-03-01T12:00:00")
    out = fixes(run([lines(gga("120000.00"), rmc("120001.00", "010323"), gga("120002.00"))], host=host))
    assert [fix.date_rule for fix in out] == [DateRule.HOST, DateRule.SENT, DateRule.CARRIED]
    assert out[2].t_fix_utc_ns == utc("2023-03-01T12:00:02")


def test_a_recording_heard_half_a_day_off_does_not_jump_a_day() -> None:
    calendar = Calendar()
    host = utc("2026-11-22T23:53:30")
    hour_ns = 3_600_000_000_000
    moments = [calendar.resolve(h * hour_ns, None, host) for h in (10, 11, 12, 13)]
    assert moments == [(utc(f"2026-11-23T{h}:00:00"), DateRule.HOST) for h in (10, 11, 12, 13)]


@pytest.mark.parametrize("year", ["0001", "1066", "2999", "9999"])
def test_a_year_that_no_receiver_can_mean_counts_as_not_sent(year: str) -> None:
    host = utc("2026-03-01T12:00:30")
    data = lines(gga("120000.00"), f"GPZDA,120000.00,01,03,{year},00,00")
    assert dated(data, host) == [(utc("2026-03-01T12:00:00"), DateRule.HOST)]
    assert dated(data) == [(None, DateRule.NONE)]
