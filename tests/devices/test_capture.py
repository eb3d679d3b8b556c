"""Captures: whole, torn at every byte, on a disk that is full."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.capture import (
    BODY_CAP_BYTES,
    MAGIC,
    CaptureHeader,
    CaptureRecord,
    CaptureWriter,
    CapturingTransport,
    RecordKind,
    capture_path,
    is_capture,
    read_capture,
    read_records,
)
from devices.clock import SystemClock
from devices.errors import CaptureError, TransportLostError, TransportOpenError
from devices.transports import open_transport

HEADER = CaptureHeader(
    device_id="tag-4711",
    transport="serial:/dev/ttyUSB0?baud=9600",
    tagrig_version="0.1.0",
    t_start_mono_ns=1,
    t_start_utc_ns=1_700_000_000_000_000_000,
    firmware="1.2.3",
    config_hash="abc",
)


def record(n: int, data: bytes, kind: RecordKind = RecordKind.RECEIVED) -> CaptureRecord:
    return CaptureRecord(kind=kind, data=data, t_mono_ns=1000 + n, t_utc_ns=-5 + n)


def write(path: Path, records: list[CaptureRecord]) -> bytes:
    writer = CaptureWriter(path, HEADER)
    for entry in records:
        writer.write(entry.kind, entry.data, t_mono_ns=entry.t_mono_ns, t_utc_ns=entry.t_utc_ns)
    writer.close()
    return path.read_bytes()


@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from([kind for kind in RecordKind if kind is not RecordKind.HEADER]),
            st.binary(max_size=300),
            st.integers(0, 2**63 - 1),
            st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=20,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[RecordKind, bytes, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("capture") / "x.tagcap"
    records = [CaptureRecord(kind=k, data=d, t_mono_ns=m, t_utc_ns=u) for k, d, m, u in entries]
    write(path, records)
    header, got = read_records(path)
    assert header == HEADER
    assert list(got) == records
    _, chunks = read_capture(path)
    assert [chunk.data for chunk in chunks] == [r.data for r in records if r.kind is RecordKind.RECEIVED and r.data]


def test_a_crash_at_any_byte_leaves_every_whole_record(tmp_path: Path) -> None:
    records = [record(0, b"$GPRMC"), record(1, b""), record(2, b"\x00\xff" * 20, RecordKind.SENT), record(3, b"last")]
    whole = write(tmp_path / "whole.tagcap", records)
    ends = [len(write(tmp_path / f"first{n}.tagcap", records[:n])) for n in range(len(records) + 1)]
    path = tmp_path / "torn.tagcap"
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        if size < ends[0]:
            with pytest.raises(CaptureError):
                read_records(path)
            continue
        n_whole = sum(end <= size for end in ends) - 1
        header, got = read_records(path)
        assert header == HEADER
        assert list(got) == records[:n_whole], size


def test_a_damaged_byte_ends_the_reading_before_it(tmp_path: Path) -> None:
    """Power cuts leave zeros or old blocks at the end of a file; nothing behind them is believed."""
    records = [record(n, b"x" * 30) for n in range(4)]
    whole = write(tmp_path / "whole.tagcap", records)
    start = len(write(tmp_path / "header.tagcap", []))
    length = (len(whole) - start) // 4
    path = tmp_path / "damaged.tagcap"
    for at in range(start, len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0x55,)) + whole[at + 1 :])
        _, got = read_records(path)
        assert list(got) == records[: (at - start) // length]
    path.write_bytes(whole + bytes(4096))
    assert list(read_records(path)[1]) == records


def test_a_kind_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    from devices.capture import _pack

    path = tmp_path / "x.tagcap"
    whole = write(path, [record(0, b"one")])
    later = _pack(99, b"something new", 0, 0)  # type: ignore[arg-type]
    path.write_bytes(whole + later + whole[len(write(tmp_path / "h.tagcap", [])) :])
    assert [entry.data for entry in read_records(path)[1]] == [b"one", b"one"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a capture"),
        (b"$GPRMC,1234", "not a capture"),
        (MAGIC, "header record is cut short"),
        (MAGIC + b"\xff" * 100, "header record is cut short"),
    ],
)
def test_what_is_no_capture_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=words):
        read_records(path)
    assert is_capture(path) == content.startswith(MAGIC)


def test_a_header_with_an_unknown_field_or_a_later_format_is_refused(tmp_path: Path) -> None:
    from devices.capture import _pack

    path = tmp_path / "x.tagcap"
    path.write_bytes(MAGIC + _pack(RecordKind.HEADER, b'{"format_version": 2, "new": 1}', 0, 0))
    with pytest.raises(CaptureError, match="format 2, this tagrig reads 1"):
        read_records(path)
    path.write_bytes(MAGIC + _pack(RecordKind.HEADER, b'{"format_version": 1, "device": "x"}', 0, 0))
    with pytest.raises(CaptureError, match="header: "):
        read_records(path)
    with pytest.raises(CaptureError, match="cannot read"):
        read_records(tmp_path / "none")


def test_a_capture_is_never_overwritten_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.tagcap"
    CaptureWriter(path, HEADER).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CaptureError, match="exists already"):
        CaptureWriter(path, HEADER)


def test_names_sort_by_start_and_hold_no_path(tmp_path: Path) -> None:
    path = capture_path(tmp_path, "../tag 1", 1_700_000_000_123_456_789)
    assert path == tmp_path / "..-tag-1_20231114T221320.123456Z.tagcap"


def test_more_than_one_record_holds_becomes_several(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    write(tmp_path / "x.tagcap", [record(0, data)])
    chunks = [chunk.data for chunk in read_capture(tmp_path / "x.tagcap")[1]]
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) == BODY_CAP_BYTES


def test_a_full_disk_stops_the_capture_and_not_the_line(tmp_path: Path) -> None:
    """A file size limit refuses as a full disk does, in the middle of a record."""
    code = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from tests.devices.test_capture import HEADER, record
        from devices.capture import CaptureWriter, read_records
        path = Path(sys.argv[1])
        writer = CaptureWriter(path, HEADER)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        for n in range(50):
            entry = record(n, b"x" * 80)
            writer.write(entry.kind, entry.data, t_mono_ns=entry.t_mono_ns, t_utc_ns=entry.t_utc_ns)
        writer.close()
        n_read = len(list(read_records(path)[1]))
        assert 0 < n_read and n_read + writer.n_dropped == 50, (n_read, writer.n_dropped)
        size = path.stat().st_size
        assert size <= 1000
        print("whole", n_read)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.tagcap")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("whole")
    assert done.stderr.count("capture stopped") == 1, "said once"


async def test_both_directions_and_the_gaps_are_in_it(tmp_path: Path) -> None:
    device = open_transport("memory:captured?end=device")
    path = tmp_path / "x.tagcap"
    line = CapturingTransport(open_transport("memory:captured"), path, HEADER, clock=SystemClock())
    with pytest.raises(TransportOpenError):
        await line.open()
    for n in range(2):
        await device.open()
        await line.open()
        await device.send(b"up %d" % n)
        chunk = await line.receive()
        await line.send(b"down %d" % n)
        await device.close()
        with pytest.raises(TransportLostError):
            await line.receive()
    await line.close()
    line.close_capture()
    line.close_capture()
    header, records = read_records(path)
    got = list(records)
    assert header == HEADER
    assert [entry.kind for entry in got] == [
        RecordKind.OPENED,
        RecordKind.RECEIVED,
        RecordKind.SENT,
        RecordKind.LOST,
    ] * 2
    assert [entry.data for entry in got if entry.kind is RecordKind.SENT] == [b"down 0", b"down 1"]
    assert got[5].t_mono_ns == chunk.t_rx_mono_ns, "the stamp that the pipeline gets"
    stamps = [entry.t_mono_ns for entry in got]
    assert stamps == sorted(stamps)


async def test_a_capture_is_on_the_file_system_before_the_chunk_is_handed_on(tmp_path: Path) -> None:
    device = open_transport("memory:captured?end=device")
    await device.open()
    path = tmp_path / "x.tagcap"
    line = CapturingTransport(open_transport("memory:captured"), path, HEADER, clock=SystemClock())
    await line.open()
    await device.send(b"evidence")
    await line.receive()
    assert [chunk.data for chunk in read_capture(path)[1]] == [b"evidence"], "while it is still being written"
    await line.close()
    line.close_capture()
    await device.close()
