"""``replay:``: the pace on a clock that the test moves, and the rule for logs without arrival times."""

import asyncio
import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.capture import CaptureHeader, CaptureWriter, RecordKind
from devices.errors import TransportEndedError, TransportOpenError
from devices.transports import Chunk, Transport, open_transport
from devices.transports.raw_log import (
    LINE_CAP_BYTES,
    STEP_BREAK_NS,
    find_time_of_day_ns,
    read_raw_log,
)
from tests.devices.manual_clock import ManualClock

S = 1_000_000_000


def rmc(time: str) -> bytes:
    return f"$GPRMC,{time},A,5012.345,N,00421.987,E,0.0,0.0,010120,,,A*00\r\n".encode()


GSA = b"$GPGSA,A,3,01,02,,,,,,,,,,,1.0,1.0,1.0*00\r\n"


async def play(transport: Transport, clock: ManualClock) -> list[Chunk]:
    """Receive all of it, moving the clock only as far as the next wake-up."""
    chunks: list[Chunk] = []

    async def collect() -> None:
        with contextlib.suppress(TransportEndedError):
            while True:
                chunks.append(await transport.receive())

    task = asyncio.create_task(collect())
    await clock.settle()
    while not task.done():
        deadline = clock.next_deadline_ns
        await clock.advance(0 if deadline is None else deadline - clock.mono_ns())
    await task
    await transport.close()
    return chunks


async def offsets_s(spec: str) -> list[tuple[float, bytes]]:
    clock = ManualClock()
    start = clock.mono_ns()
    transport = open_transport(spec, clock=clock)
    await transport.open()
    return [((chunk.t_rx_mono_ns - start) / S, chunk.data) for chunk in await play(transport, clock)]


async def test_a_raw_log_is_paced_by_its_own_times_of_day(tmp_path: Path) -> None:
    log = tmp_path / "drive.nmea"
    log.write_bytes(GSA + rmc("120000.00") + GSA + rmc("120000.20") + GSA + rmc("120001.20"))
    for spec, speed in ((f"replay:{log}", 1), (f"replay:{log}?pace=x10", 10)):
        assert await offsets_s(spec) == [
            (0.0, GSA + rmc("120000.00") + GSA),
            (0.2 / speed, rmc("120000.20") + GSA),
            (1.2 / speed, rmc("120001.20")),
        ]


async def test_pace_max_takes_no_time_and_cuts_alike(tmp_path: Path) -> None:
    log = tmp_path / "drive.nmea"
    log.write_bytes(rmc("120000") + rmc("120001") + rmc("120002"))
    paced, fast = await offsets_s(f"replay:{log}"), await offsets_s(f"replay:{log}?pace=max")
    assert [data for _, data in paced] == [data for _, data in fast]
    assert {offset for offset, _ in fast} == {0.0}


async def test_a_late_receiver_is_not_held_up_further(tmp_path: Path) -> None:
    """Wake-up times are absolute: after a pause of the pipeline the recording catches up at once."""
    log = tmp_path / "drive.nmea"
    log.write_bytes(b"".join(rmc(f"1200{second:02}") for second in range(10)))
    clock = ManualClock()
    transport = open_transport(f"replay:{log}", clock=clock)
    await transport.open()
    await transport.receive()
    await clock.advance(5 * S)
    start = clock.mono_ns()
    for _ in range(5):
        assert (await transport.receive()).t_rx_mono_ns == start
    waiting = asyncio.create_task(transport.receive())
    await clock.advance(S - 1)
    assert not waiting.done()
    await clock.advance(1)
    await waiting
    await transport.close()


async def test_midnight_is_a_step_and_a_break_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "night.nmea"
    log.write_bytes(rmc("235959") + rmc("000000") + rmc("030000") + rmc("020000") + rmc("020001"))
    assert [offset for offset, _ in await offsets_s(f"replay:{log}")] == [0, 1, 2, 3, 4]
    assert STEP_BREAK_NS == S


async def test_a_log_without_times_runs_at_a_nominal_rate(tmp_path: Path) -> None:
    log = tmp_path / "ais.log"
    log.write_bytes((b"!AIVDM,1,1,,A,0,0*26\r\n" + b"x" * 937 + b"\n") * 2)
    assert [offset for offset, _ in await offsets_s(f"replay:{log}")] == pytest.approx(
        [22 / 960, 960 / 960, 982 / 960, 1920 / 960]
    )


async def test_the_rate_can_be_set(tmp_path: Path) -> None:
    log = tmp_path / "drive.nmea"
    log.write_bytes(rmc("120000") + rmc("120001"))
    n = len(rmc("120000"))
    assert [offset for offset, _ in await offsets_s(f"replay:{log}?rate=100")] == pytest.approx([n / 100, 2 * n / 100])


async def test_a_compressed_log_is_read_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "drive.log.gz"
    log.write_bytes(gzip.compress(rmc("120000") + rmc("120001")))
    assert [data for _, data in await offsets_s(f"replay:{log}")] == [rmc("120000"), rmc("120001")]


async def test_a_damaged_compressed_log_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "drive.log.gz"
    plain = b"".join(rmc(f"{n // 3600:02}{n // 60 % 60:02}{n % 60:02}") for n in range(5000))
    packed = gzip.compress(plain)
    log.write_bytes(packed[: len(packed) // 2])
    transport = open_transport(f"replay:{log}?pace=max")
    await transport.open()
    got = b""
    with contextlib.suppress(TransportEndedError):
        while True:
            got += (await transport.receive()).data
    with pytest.raises(TransportEndedError, match="cannot be read further"):
        await transport.receive()
    assert got and plain.startswith(got)
    await transport.close()


async def test_a_capture_keeps_its_pace_and_its_utc(tmp_path: Path) -> None:
    path = tmp_path / "run.tagcap"
    header = CaptureHeader(
        device_id="tag-1", transport="memory:x", tagrig_version="0", t_start_mono_ns=5, t_start_utc_ns=6
    )
    writer = CaptureWriter(path, header)
    for n, at_ns in enumerate((7 * S, 8 * S, 8 * S + 1, 20 * S)):
        writer.write(RecordKind.RECEIVED, b"%d" % n, t_mono_ns=at_ns, t_utc_ns=at_ns + 100)
        writer.write(RecordKind.SENT, b"not replayed", t_mono_ns=at_ns, t_utc_ns=at_ns)
    writer.close()
    clock = ManualClock()
    start = clock.mono_ns()
    transport = open_transport(f"replay:{path}", clock=clock)
    await transport.open()
    chunks = await play(transport, clock)
    assert [chunk.data for chunk in chunks] == [b"0", b"1", b"2", b"3"]
    assert [chunk.t_rx_mono_ns - start for chunk in chunks] == [0, S, S + 1, 13 * S]
    assert [chunk.t_rx_utc_ns for chunk in chunks] == [7 * S + 100, 8 * S + 100, 8 * S + 101, 20 * S + 100]


async def test_closing_ends_a_wait_for_a_distant_line(tmp_path: Path) -> None:
    log = tmp_path / "drive.nmea"
    log.write_bytes(rmc("120000") + rmc("120100"))
    transport = open_transport(f"replay:{log}", clock=ManualClock())
    await transport.open()
    await transport.receive()
    waiting = asyncio.create_task(transport.receive())
    await asyncio.sleep(0)
    await transport.close()
    with pytest.raises(OSError, match="closed"):
        await waiting


async def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(TransportOpenError, match="does not exist"):
        await open_transport(f"replay:{tmp_path / 'none.nmea'}").open()
    with pytest.raises(TransportOpenError, match="cannot read"):
        await open_transport(f"replay:{tmp_path}").open()


PIECES = [GSA, rmc("120000"), b"\r", b"\n", b"\xff" * 5000]


@given(data=st.binary(max_size=3 * LINE_CAP_BYTES) | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_no_byte_of_a_log_is_lost_or_moved(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "x.nmea"
    path.write_bytes(b" " + data)
    for rate in (None, 1000.0):
        pieces = list(read_raw_log(path, bytes_per_s=rate))
        assert b"".join(piece.data for piece in pieces) == b" " + data
        due = [piece.due_ns for piece in pieces]
        assert due == sorted(due)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"$GPRMC,010203.5,A", (3723 * S + S // 2)),
        (b"$GNGGA,235960,5012", 86400 * S),
        (b"$GPGLL,5012.3,N,00421.9,E,120000.00,A", 43200 * S),
        (b"$GPZDA,000000,01,01,2020", 0),
        (b"junk$GPRMC,010203,A", 3723 * S),
        (b"$GPRMC,,V,", None),
        (b"$GPRMC,250000,A", None),
        (b"$GPGSV,3,1,12", None),
        (b"$PTRGS,1,20250101000000.000", None),
        (b"", None),
    ],
)
def test_reading_a_time_of_day(line: bytes, expected: int | None) -> None:
    assert find_time_of_day_ns(line) == expected


@pytest.mark.corpus
def test_every_real_log_is_handed_on_whole_in_about_its_own_time(corpus: Path) -> None:
    logs = sorted((corpus / "nmea").rglob("*.nmea")) + sorted((corpus / "nmea").rglob("*.log"))
    assert len(logs) > 50
    for path in logs:
        pieces = list(read_raw_log(path, bytes_per_s=None))
        assert b"".join(piece.data for piece in pieces) == path.read_bytes(), path.name
        due = [piece.due_ns for piece in pieces]
        assert due == sorted(due)
