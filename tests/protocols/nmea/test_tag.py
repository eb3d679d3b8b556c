from typing import Any

import pytest

from protocols.errors import EncodeError
from protocols.nmea.encode import encode_gga, encode_gsa, encode_gst, encode_gsv, encode_rmc
from protocols.nmea.tag import (
    Command,
    CommandReceiver,
    decode_command,
    encode_ack,
    encode_command,
    encode_status,
)
from protocols.rejects import Reject, RejectReason
from protocols.reports import (
    Closure,
    CommandAck,
    CommandOutcome,
    CommandVerb,
    Fix,
    FixMode,
    FixState,
    Jamming,
    TagStatus,
)
from tests.protocols.nmea.support import decode, line, reasons

T = 1_772_366_400_000_000_000
STATUS: dict[str, Any] = {
    "sequence": 7,
    "stored": True,
    "strap": Closure.CLOSED,
    "case": Closure.OPEN,
    "shielded": False,
    "jamming": Jamming.WARNING,
    "battery_pct": 80,
    "battery_mv": 3900,
    "charging": False,
    "motion": True,
    "temperature_c": -3.5,
    "firmware": "1.2.3",
    "t_status_utc_ns": T,
}


def status(**changes: object) -> bytes:
    return encode_status(**{**STATUS, **changes})


def epoch(t_ns: int, *, with_status: bool = True, **changes: object) -> bytes:
    out = encode_rmc(t_utc_ns=t_ns, lat_deg=51.5, lon_deg=-0.125, speed_mps=1.0, course_deg=90.0)
    out += encode_gga(t_utc_ns=t_ns, lat_deg=51.5, lon_deg=-0.125, satellites_used=8, hdop=1.0, alt_m=20.0)
    out += encode_gsa(mode=FixMode.THREE_D, satellites=[1, 2, 3], pdop=1.5, hdop=1.0, vdop=1.1)
    out += encode_gst(t_utc_ns=t_ns, lat_sigma_m=3.0, lon_sigma_m=4.0)
    return out + (status(t_status_utc_ns=t_ns, **changes) if with_status else b"")


def test_status_layout() -> None:
    assert status() == line("PTRGS,1,20260301120000.000,7,S,C,O,0,2,80,3900,0,1,-3.5,1.2.3")


def test_status_round_trip() -> None:
    (report,) = decode(status())
    assert report == TagStatus(offset=0, **STATUS)


def test_status_without_clock_and_thermometer() -> None:
    (report,) = decode(status(t_status_utc_ns=None, temperature_c=None))
    assert report == TagStatus(offset=0, **{**STATUS, "t_status_utc_ns": None, "temperature_c": None})


def test_status_closes_and_marks_its_epoch() -> None:
    data = epoch(T)
    fix, report = decode(data)
    assert isinstance(fix, Fix) and isinstance(report, TagStatus)
    assert (fix.stored, fix.sequence, fix.t_fix_utc_ns, fix.sigma_rule) == (True, 7, T, "gst")
    assert report.offset == len(data) - len(status())


def test_a_time_off_the_whole_millisecond_still_matches() -> None:
    fix, _ = decode(epoch(T + 123_456_789))
    assert isinstance(fix, Fix)
    assert (fix.sequence, fix.t_fix_utc_ns) == (7, T + 123_000_000)


def test_live_and_stored_fixes_in_one_stream() -> None:
    seconds = [0, 1, -600, -599, 2]
    data = b"".join(epoch(T + s * 10**9, sequence=n, stored=s < 0) for n, s in enumerate(seconds))
    found = [item for item in decode(data) if isinstance(item, Fix)]
    assert [(fix.sequence, fix.stored) for fix in found] == [(n, s < 0) for n, s in enumerate(seconds)]
    assert [fix.t_fix_utc_ns for fix in found] == [T + s * 10**9 for s in seconds]


def test_status_of_another_moment_closes_but_does_not_mark() -> None:
    fix, _ = decode(epoch(T, with_status=False) + status(t_status_utc_ns=T + 10**9))
    assert isinstance(fix, Fix)
    assert (fix.stored, fix.sequence) == (False, None)


def test_status_marks_an_epoch_without_a_time() -> None:
    fix, _ = decode(encode_rmc(t_utc_ns=None, quality=0) + status())  # type: ignore[arg-type]
    assert isinstance(fix, Fix)
    assert (fix.state, fix.sequence) == (FixState.NO_FIX, 7)


def test_status_alone_is_a_report_of_its_own() -> None:
    assert [type(item) for item in decode(status() + status(sequence=8))] == [TagStatus, TagStatus]


def test_a_cycle_learned_without_status_is_unlearned_by_it() -> None:
    """The sentence order of a tag that begins to send its status must not cut the epoch before it."""
    data = b"".join(epoch(T + n * 10**9, with_status=False) for n in range(6))
    data += b"".join(epoch(T + n * 10**9, sequence=n) for n in range(6, 10))
    found = [item for item in decode(data) if isinstance(item, Fix)]
    assert [fix.sequence for fix in found] == [None] * 7 + [7, 8, 9]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("PTRGS,1,", "PTRGS,2,"),
        (",20260301120000.000,", ",2026030112000.000,"),
        (",20260301120000.000,", ",20261301120000.000,"),
        (",7,S,", ",x,S,"),
        (",7,S,", ",4294967296,S,"),
        (",S,C,", ",s,C,"),
        (",C,O,0,", ",C,X,0,"),
        (",O,0,2,", ",O,2,2,"),
        (",0,2,80,", ",0,4,80,"),
        (",80,3900,", ",101,3900,"),
        (",80,3900,", ",80,-1,"),
        (",-3.5,", ",-3,"),
        (",1.2.3", ""),
        (",1.2.3", ",1.2.3,more"),
    ],
)
def test_a_status_field_that_cannot_be_is_refused(good: str, bad: str) -> None:
    body = "PTRGS,1,20260301120000.000,7,S,C,O,0,2,80,3900,0,1,-3.5,1.2.3"
    assert good in body
    assert reasons(decode(line(body.replace(good, bad)))) == [RejectReason.BAD_FIELD]


@pytest.mark.parametrize(
    "changes",
    [
        {"battery_pct": 140},
        {"battery_mv": -1},
        {"sequence": 2**32},
        {"temperature_c": 1e4},
        {"temperature_c": float("nan")},
        {"firmware": "a,b"},
        {"firmware": "a*b"},
        {"firmware": "é"},
        {"firmware": "x" * 49},
    ],
)
def test_a_value_without_a_place_on_the_wire_raises(changes: dict[str, object]) -> None:
    with pytest.raises(EncodeError, match=next(iter(changes))):
        status(**changes)


@pytest.mark.parametrize("verb", CommandVerb)
@pytest.mark.parametrize("argument", ["", "30"])
def test_command_round_trip(verb: CommandVerb, argument: str) -> None:
    sentence = encode_command(42, verb, argument)
    assert decode_command(sentence) == Command(command_id=42, verb=verb, verb_text=verb.value, argument=argument)
    assert len(sentence) <= 82


def test_command_layout() -> None:
    assert encode_command(42, CommandVerb.VIBRATE, "3") == line("PTRGC,42,VIBRATE,3")
    assert encode_command(1, CommandVerb.LOCATE_NOW) == line("PTRGC,1,LOCATE")


def test_a_verb_of_a_later_version_is_kept_as_text() -> None:
    assert decode_command(line("PTRGC,5,SING,loud")) == Command(
        command_id=5, verb=None, verb_text="SING", argument="loud"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (line("PTRGC,70000,LOCATE"), RejectReason.BAD_FIELD),
        (line("PTRGC,5"), RejectReason.BAD_FIELD),
        (line("PTRGC,5,VIBRATE,3,4"), RejectReason.BAD_FIELD),
        (b"$PTRGC,5,LOCATE*00\r\n", RejectReason.BAD_CHECKSUM),
        (b"$PTRGC,5,LOCATE", RejectReason.TRUNCATED),
        (b"", RejectReason.TRUNCATED),
        (b"hello\r\n", RejectReason.GARBAGE),
    ],
)
def test_a_damaged_command_is_a_reject(data: bytes, reason: RejectReason) -> None:
    got = decode_command(data)
    assert isinstance(got, Reject)
    assert got.reason is reason


def test_another_sentence_is_no_command() -> None:
    assert decode_command(status()) is None


def test_command_receiver_takes_any_pieces() -> None:
    data = b"noise" + encode_command(1, CommandVerb.LOCATE_NOW) + status() + encode_command(2, CommandVerb.VIBRATE, "3")
    receiver = CommandReceiver()
    got = [item for i in range(len(data)) for item in receiver.feed(data[i : i + 1])]
    assert got == CommandReceiver().feed(data)
    assert [item.command_id for item in got if isinstance(item, Command)] == [1, 2]
    assert [item.reason for item in got if isinstance(item, Reject)] == [RejectReason.GARBAGE]


@pytest.mark.parametrize("outcome", CommandOutcome)
@pytest.mark.parametrize("value", ["", "fw 2.1.0"])
def test_ack_round_trip(outcome: CommandOutcome, value: str) -> None:
    assert decode(encode_ack(9, outcome, value)) == [CommandAck(offset=0, command_id=9, outcome=outcome, value=value)]


def test_an_ack_does_not_disturb_the_epoch() -> None:
    whole = epoch(T)
    cut = whole.index(b"$GPGSA")
    found = decode(whole[:cut] + encode_ack(1, CommandOutcome.DONE) + whole[cut:])
    assert [type(item) for item in found] == [CommandAck, Fix, TagStatus]


@pytest.mark.parametrize("body", ["PTRGA,1", "PTRGA,1,YES", "PTRGA,x,OK", "PTRGA,1,OK,a,b"])
def test_an_ack_that_cannot_be_is_refused(body: str) -> None:
    assert reasons(decode(line(body))) == [RejectReason.BAD_FIELD]


def test_a_command_heard_on_the_uplink_is_no_report() -> None:
    assert decode(encode_command(1, CommandVerb.LOCATE_NOW)) == []


def test_encode_command_refuses_what_has_no_place() -> None:
    for command_id, argument in ((-1, ""), (65_536, ""), (1, "a,b"), (1, "a$b"), (1, "\n")):
        with pytest.raises(EncodeError):
            encode_command(command_id, CommandVerb.VIBRATE, argument)


def test_gsv_between_gst_and_status() -> None:
    from protocols.nmea.encode import SatelliteView

    view = [SatelliteView(satellite=n, elevation_deg=40, azimuth_deg=100, cn0_dbhz=30 + n) for n in range(1, 7)]
    found = decode(epoch(T, with_status=False) + encode_gsv(view) + status())
    fix = found[0]
    assert isinstance(fix, Fix)
    assert (fix.satellites_in_view, fix.cn0_max_dbhz, fix.cn0_mean_dbhz) == (6, 36, 33.5)
