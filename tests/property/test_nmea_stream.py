"""Invariants of the decoder over generated input and, where there are any, over real logs."""

import random
import resource
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.nmea import NmeaDecoder
from protocols.nmea.encode import encode_gga, encode_gsa, encode_gst, encode_rmc
from protocols.nmea.framer import MAX_SENTENCE_BYTES, Frame, Framer
from protocols.nmea.tag import Command, decode_command, encode_ack, encode_command, encode_status
from protocols.rejects import Reject
from protocols.reports import (
    Closure,
    CommandAck,
    CommandOutcome,
    CommandVerb,
    Fix,
    FixMode,
    FixState,
    Jamming,
    Report,
    TagStatus,
)
from tests.protocols.nmea.support import line, lines, read_log, run

T = 1_772_366_400_000_000_000
STREAM = b"".join(
    encode_rmc(t_utc_ns=T + n * 10**9, lat_deg=51.5 + n * 1e-4, lon_deg=-0.125, speed_mps=1.0, course_deg=90.0)
    + encode_gga(t_utc_ns=T + n * 10**9, lat_deg=51.5 + n * 1e-4, lon_deg=-0.125, satellites_used=8, hdop=1.0)
    + encode_gsa(mode=FixMode.THREE_D, satellites=[1, 2], pdop=1.5, hdop=1.0, vdop=1.1)
    + encode_gst(t_utc_ns=T + n * 10**9, lat_sigma_m=3.0, lon_sigma_m=4.0)
    + b"\xb5b\x01\x07$!\n*\r"
    + line("GPGSV,1,1,01,01,40,083,41")
    + b"!AIVDM,broken*00\r\n# note\r\n"
    for n in range(6)
)
PROBE = line("GPGGA,235950.50,1234.56789,S,12345.67890,W,2,09,0.9,1.0,M,,M,,")


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.integers(0, 10**6), max_size=30))
@settings(max_examples=150)
def test_any_split_gives_the_same_reports(places: list[int]) -> None:
    assert run(cut(STREAM, places)) == run([STREAM])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.text("$!*,\r\n0123456789ABFGPRMCN.", max_size=60).map(str.encode),
            st.sampled_from([PROBE, PROBE[:-6], line("GPTXT,x"), b"$", b"*", b"\xb5b", b"$GP" + b"x" * 1100]),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 10**6), max_size=12),
)
@settings(max_examples=300)
def test_any_split_of_any_bytes_gives_the_same_reports(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    whole = run([data])
    assert run(cut(data, places)) == whole
    assert run(data[i : i + 1] for i in range(len(data))) == whole


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=300)
def test_after_any_bytes_the_next_whole_sentence_is_decoded(noise: bytes, newline: bool) -> None:
    """Only a start of a sentence in the noise's last bytes can run into the next; a line end settles that too."""
    data = noise + (b"\r\n" if newline else b"") + PROBE
    assert any(isinstance(item, Fix) and item.time_of_day_ns == 86_390_500_000_000 for item in run([data]))


@given(st.integers(0, len(STREAM) - 1), st.binary(max_size=6), st.integers(0, 6))
@settings(max_examples=300)
def test_damage_costs_the_sentences_it_touches_and_no_other(at: int, put: bytes, drop: int) -> None:
    damaged = STREAM[:at] + put + STREAM[at + drop :]
    whole = {f.raw for f in Framer().feed(STREAM) if isinstance(f, Frame)}
    kept = [f.raw for f in Framer().feed(damaged) if isinstance(f, Frame)]
    untouched = {
        f.raw
        for f in Framer().feed(STREAM)
        if isinstance(f, Frame) and (f.offset + len(f.raw) <= at or f.offset >= at + drop)
    }
    assert untouched <= set(kept) & whole


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.integers(0, 32_503_680_000).map(lambda s: s * 10_000_000),
    st.one_of(st.none(), st.floats(0.01, 99)),
)
@settings(max_examples=300)
def test_decode_of_encode_is_the_fix(lat: float, lon: float, since_ns: int, hdop: float | None) -> None:
    t_ns = 946_684_800 * 10**9 + since_ns
    data = encode_rmc(t_utc_ns=t_ns, lat_deg=lat, lon_deg=lon, speed_mps=1.5, course_deg=12.25)
    data += encode_gga(t_utc_ns=t_ns, lat_deg=lat, lon_deg=lon, hdop=hdop, alt_m=1.5)
    (fix,) = run([data])
    assert isinstance(fix, Fix)
    assert fix.state is FixState.POSITION
    assert fix.lat_deg == pytest.approx(lat, abs=1e-5 / 60)
    assert fix.lon_deg == pytest.approx(lon, abs=1e-5 / 60)
    assert fix.t_fix_utc_ns == t_ns
    assert fix.speed_mps == pytest.approx(1.5, abs=3e-4)
    assert (fix.course_deg, fix.alt_m) == (12.25, 1.5)
    assert fix.hdop == (None if hdop is None else pytest.approx(hdop, abs=0.0051))


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="$*,!\\^~"), max_size=48)


@given(
    st.builds(
        TagStatus,
        offset=st.just(0),
        sequence=st.integers(0, 2**32 - 1),
        stored=st.booleans(),
        strap=st.sampled_from(Closure),
        case=st.sampled_from(Closure),
        shielded=st.booleans(),
        jamming=st.sampled_from(Jamming),
        battery_pct=st.integers(0, 100),
        battery_mv=st.integers(0, 65_535),
        charging=st.booleans(),
        motion=st.booleans(),
        temperature_c=st.one_of(st.none(), st.integers(-9999, 9999).map(lambda tenths: tenths / 10)),
        firmware=TEXT,
        t_status_utc_ns=st.one_of(
            st.none(), st.integers(946_684_800_000, 2_524_608_000_000).map(lambda ms: ms * 10**6)
        ),
    )
)
def test_status_round_trip(status: TagStatus) -> None:
    fields = {name: getattr(status, name) for name in TagStatus.__dataclass_fields__ if name != "offset"}
    year_2080 = status.t_status_utc_ns is not None and 3_471_292_800 <= status.t_status_utc_ns // 10**9 < 3_502_915_200
    if not year_2080:
        assert run([encode_status(**fields)]) == [status]


@given(st.integers(0, 65_535), st.sampled_from(CommandVerb), TEXT)
def test_command_and_ack_round_trip(command_id: int, verb: CommandVerb, text: str) -> None:
    assert decode_command(encode_command(command_id, verb, text)) == Command(
        command_id=command_id, verb=verb, verb_text=verb.value, argument=text
    )
    sent = encode_ack(command_id, CommandOutcome.REFUSED, text)
    assert run([sent]) == [CommandAck(offset=0, command_id=command_id, outcome=CommandOutcome.REFUSED, value=text)]


@pytest.mark.long
def test_ten_million_random_bytes_neither_raise_nor_grow_memory() -> None:
    source = random.Random(20260301)
    starts = lines("GPGSV,1,1,01,01,40,083,41", "GPGSA,A,3,,,,,,,,,,,,,1,1,1")
    decoder = NmeaDecoder()
    chunk_bytes = 100_000
    tracemalloc.start()
    try:
        base = 0
        for round_ in range(100):
            data = source.randbytes(chunk_bytes)
            if round_ % 2:
                # Half of it is text, which gets further into the framer than bytes of all values.
                data = (
                    bytes(0x20 + byte % 0x5F for byte in data[: chunk_bytes // 2]) + starts + data[chunk_bytes // 2 :]
                )
            out: list[Report | Reject] = decoder.feed(data)
            assert all(len(item.raw) <= MAX_SENTENCE_BYTES for item in out if isinstance(item, Reject))
            del out
            if round_ == 9:
                base = tracemalloc.get_traced_memory()[0]
        grown = tracemalloc.get_traced_memory()[0] - base
    finally:
        tracemalloc.stop()
    assert decoder.counters.bytes_in >= 10_000_000
    assert decoder.counters.rejects_by_reason
    # One buffer and one run, each capped, and the chunk in hand.
    assert grown < 2 * MAX_SENTENCE_BYTES + 65_536


def test_a_long_stream_keeps_memory_flat() -> None:
    """Twenty minutes at 10 Hz: what is remembered of a stream does not grow with it."""
    decoder = NmeaDecoder()
    before = 0
    for n in range(12_000):
        t_ns = T + n * 10**8
        decoder.feed(encode_gga(t_utc_ns=t_ns, lat_deg=51.5, lon_deg=-0.125, hdop=1.0))
        if n == 3000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decoder.counters.fixes >= 11_999
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096


@pytest.mark.corpus
def test_any_split_of_the_real_logs_gives_the_same_reports(corpus: Path) -> None:
    source = random.Random(7)
    folders = (corpus / "nmea" / "gpsd", corpus / "nmea" / "small")
    for path in sorted(path for folder in folders for path in folder.iterdir() if ".chk" not in path.name):
        data = read_log(path)[:20_000]
        whole = run([data])
        assert run(data[i : i + 1] for i in range(min(len(data), 2000))) == run([data[:2000]])
        for most in (7, 500):
            chunks, at = [], 0
            while at < len(data):
                size = source.randint(1, most)
                chunks.append(data[at : at + size])
                at += size
            assert run(chunks) == whole, path.name


@pytest.mark.corpus
def test_damage_to_real_logs_never_raises_and_loses_only_what_it_touches(corpus: Path) -> None:
    source = random.Random(11)
    for path in sorted((corpus / "nmea" / "gpsd").glob("*.log"))[::5]:
        data = path.read_bytes()
        for _ in range(10):
            damaged = bytearray(data)
            hits = sorted(source.sample(range(len(data)), 20))
            for at in hits:
                damaged[at] = source.randrange(256)
            run([bytes(damaged)])
            kept = {item.offset for item in Framer().feed(bytes(damaged)) if isinstance(item, Frame)}
            for item in Framer().feed(data):
                untouched = isinstance(item, Frame) and not any(
                    item.offset <= at < item.offset + len(item.raw) for at in hits
                )
                assert not untouched or item.offset in kept, f"{path.name} at {item.offset}"
