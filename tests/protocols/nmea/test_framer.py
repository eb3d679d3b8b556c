import pytest

from protocols.errors import DecoderClosedError
from protocols.nmea import NmeaDecoder
from protocols.nmea.framer import MAX_SENTENCE_BYTES, Frame, Framer
from protocols.rejects import Reject, RejectReason
from tests.protocols.nmea.support import decode, fixes, line, reasons

GGA = line("GPGGA,120000.00,5130.00000,N,00007.00000,W,1,08,1.0,20.0,M,,M,,")
RMC = line("GPRMC,120001.00,A,5130.00000,N,00007.00000,W,0.0,0.0,010326,,,A")


def rejects(data: bytes) -> list[Reject]:
    return [item for item in decode(data) if isinstance(item, Reject)]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\n\r", b" \r\n", b"\r\n\r\n\r\n", b""])
def test_any_line_end_or_none_at_all(end: bytes) -> None:
    assert [fix.offset for fix in fixes(decode(GGA.rstrip() + end + RMC.rstrip() + end))] == [
        0,
        len(GGA.rstrip() + end),
    ]
    assert not reasons(decode(GGA.rstrip() + end + RMC))


def test_a_sentence_is_whole_at_its_last_checksum_digit() -> None:
    framer = Framer()
    assert framer.feed(GGA[:-3]) == []
    (frame,) = framer.feed(GGA[-3:-2])
    assert frame == Frame(offset=0, body=GGA[1:-5], raw=GGA[:-2])


def test_lower_case_checksum_digits() -> None:
    body, _, digits = GGA.partition(b"*")
    assert len(fixes(decode(body + b"*" + digits.lower()))) == 1


@pytest.mark.parametrize("tail", [b"*00", b"*0", b"*", b"*GG", b"*4 2", b"*000000"])
def test_wrong_or_cut_checksum_is_bad(tail: bytes) -> None:
    bad = GGA.partition(b"*")[0] + tail + b"\r\n"
    first, *rest = rejects(bad + RMC)
    assert (first.reason, first.offset) == (RejectReason.BAD_CHECKSUM, 0)
    assert "expected *" in first.detail
    assert not rest
    assert len(fixes(decode(bad + RMC))) == 1


def test_no_checksum_is_missing_unless_allowed() -> None:
    bare = GGA.partition(b"*")[0] + b"\r\n"
    (reject,) = rejects(bare)
    assert reject == Reject(offset=0, reason=RejectReason.MISSING_CHECKSUM, raw=bare.rstrip())
    assert len(fixes(decode(bare, require_checksum=False))) == 1


def test_the_switch_does_not_allow_a_wrong_checksum() -> None:
    bad = GGA.partition(b"*")[0] + b"*00\r\n"
    assert reasons(decode(bad, require_checksum=False)) == [RejectReason.BAD_CHECKSUM]


def test_a_sentence_without_checksum_and_line_end_may_be_cut_and_gives_no_position() -> None:
    bare = GGA.partition(b"*")[0]
    assert reasons(decode(bare, require_checksum=False)) == [RejectReason.TRUNCATED]


def test_a_new_start_truncates() -> None:
    (reject,) = rejects(GGA[:30] + RMC)
    assert reject == Reject(offset=0, reason=RejectReason.TRUNCATED, raw=GGA[:30])


def test_merged_sentences_are_both_decoded() -> None:
    assert len(fixes(decode(GGA.rstrip() + RMC.rstrip()))) == 2


def test_a_doubled_start_character_costs_one_byte() -> None:
    found = decode(b"$" + GGA + b"$" + RMC)
    assert reasons(found) == [RejectReason.GARBAGE] * 2
    assert len(fixes(found)) == 2


def test_binary_between_sentences_is_one_reject_a_run() -> None:
    ubx = b"\xb5\x62\x01\x07\x04\x00\x24\x21\x24\x47\x00\xff\x0a\x0d\x24\x2a\x0a"
    first, second = rejects(GGA + ubx + RMC + ubx)
    assert (first.reason, first.offset, first.raw) == (RejectReason.GARBAGE, len(GGA), ubx.rstrip())
    assert second.offset == len(GGA + ubx + RMC)
    assert len(fixes(decode(GGA + ubx + RMC + ubx))) == 2


def test_comment_lines_and_blank_lines_are_one_run() -> None:
    (reject,) = rejects(b"\r\n  # Name: x\r\n\r\n# more\r\n" + GGA)
    assert (reject.offset, reject.raw) == (4, b"# Name: x\r\n\r\n# more")


def test_text_around_a_sentence_does_not_hide_it() -> None:
    data = b"NMEA," + GGA.rstrip() + b",1467321967000\nNMEA," + RMC.rstrip() + b",1467321968000\n"
    assert len(fixes(decode(data))) == 2
    assert reasons(decode(data)) == [RejectReason.GARBAGE] * 3


def test_a_byte_that_is_no_text_inside_a_sentence_is_garbage() -> None:
    damaged = bytearray(GGA)
    damaged[20] |= 0x80
    assert reasons(decode(bytes(damaged) + RMC)) == [RejectReason.GARBAGE]
    assert len(fixes(decode(bytes(damaged) + RMC))) == 1


def test_encapsulated_sentences_are_framed_and_never_a_position() -> None:
    ais = line("AIVDM,1,1,,A,13aI8e?P00PGpU:NR6s00?vT2000,0").replace(b"$", b"!")
    decoder = NmeaDecoder()
    assert decoder.feed(ais + b"!" + GGA[1:]) == []
    assert (decoder.counters.framed, decoder.counters.ignored, decoder.counters.sentences) == (2, 2, 0)


@pytest.mark.parametrize("extra", [-1, 0, 1, 5000])
def test_over_long_is_swallowed_to_its_line_end(extra: int) -> None:
    long = b"$GPTXT," + b"x" * (MAX_SENTENCE_BYTES - 7 + extra) + b"\r\n"
    (reject,) = rejects(long + GGA)
    assert reject.reason is (RejectReason.MISSING_CHECKSUM if extra < 0 else RejectReason.OVERLONG)
    assert len(reject.raw) == MAX_SENTENCE_BYTES + min(extra, 0)
    assert len(fixes(decode(long + GGA))) == 1


def test_over_long_ends_at_a_new_start_too() -> None:
    data = b"$GPTXT," + b"x" * 3000 + GGA
    assert reasons(decode(data)) == [RejectReason.OVERLONG]
    assert len(fixes(decode(data))) == 1


def test_a_million_bytes_without_line_end_keep_no_memory() -> None:
    framer = Framer()
    for _ in range(1000):
        framer.feed(b"$GPGGA" + b"9" * 994)
    assert len(framer._buffer) <= MAX_SENTENCE_BYTES
    assert len(framer._run) <= MAX_SENTENCE_BYTES
    (frame,) = [item for item in framer.feed(b"\r\n" + GGA) if isinstance(item, Frame)]
    assert frame.offset == 1_000_002


def test_end_of_stream_names_what_is_left() -> None:
    assert reasons(decode(GGA[:20])) == [RejectReason.TRUNCATED]
    assert reasons(decode(GGA.partition(b"*")[0] + b"*00")) == [RejectReason.BAD_CHECKSUM]
    assert reasons(decode(b"$")) == [RejectReason.GARBAGE]
    assert reasons(decode(b"\r\n \t")) == []


def test_feeding_a_closed_decoder_is_our_mistake() -> None:
    decoder = NmeaDecoder()
    decoder.close()
    assert decoder.close() == []
    with pytest.raises(DecoderClosedError, match="new NmeaDecoder"):
        decoder.feed(b"")
