"""Recordings of four kinds as times and places, and what is no recording, by name."""

import gzip
from pathlib import Path

import pytest

from protocols.nmea.encode import encode_rmc
from protocols.reports import FixQuality
from rig.errors import TrackError
from rig.recordings import RecordedPoint, kind_of, read_recording

T0_NS = 1_767_258_000_000_000_000  # 2026-01-01T09:00:00Z
GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><wpt lat="1" lon="2"/><trk><trkseg>
<trkpt lat="51.0" lon="-6.5"><time>2026-01-01T09:00:00Z</time></trkpt>
<trkpt lat="51.1" lon="-6.4"><ele>3</ele><time>2026-01-01T09:00:01.5Z</time></trkpt>
</trkseg><trkseg><trkpt lat="51.2" lon="-6.3"><time>2026-01-01T09:00:03Z</time></trkpt></trkseg></trk></gpx>
"""
POINTS = (
    RecordedPoint(t_utc_ns=T0_NS, lat_deg=51.0, lon_deg=-6.5),
    RecordedPoint(t_utc_ns=T0_NS + 1_500_000_000, lat_deg=51.1, lon_deg=-6.4),
    RecordedPoint(t_utc_ns=T0_NS + 3_000_000_000, lat_deg=51.2, lon_deg=-6.3),
)


def write(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.gpx", "a.gpx.gz"])
def test_track_points_of_a_gpx_file(tmp_path: Path, name: str) -> None:
    recording = read_recording(write(tmp_path / name, GPX))
    assert recording.points == POINTS
    assert (recording.timed, recording.start_utc_ns, recording.left_out) == (True, T0_NS, 0)


@pytest.mark.parametrize(
    "text",
    [
        "time,latitude,longitude\n2026-01-01T09:00:00Z,51.0,-6.5\n2026-01-01T09:00:01.500Z,51.1,-6.4\n"
        "2026-01-01T09:00:03+00:00,51.2,-6.3\n",
        "t_utc_ms;lat;lon;device\n1767258000000;51.0;-6.5;a\n1767258000000;1;1;b\n1767258001500;51.1;-6.4;a\n"
        "1767258003000;51.2;-6.3;a\n",
    ],
)
def test_a_table_with_usual_names(tmp_path: Path, text: str) -> None:
    device = "a" if "device" in text else None
    assert read_recording(write(tmp_path / "a.csv", text), device=device).points == POINTS


def test_records_without_a_place_or_out_of_order_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "time,lat,lon\n"
    for second, lat in ((5, "51.0"), (6, ""), (4, "51.3"), (5, "51.3"), (7, "151"), (8, "51.1")):
        text += f"2026-01-01T09:00:{second:02d}Z,{lat},-6.5\n"
    recording = read_recording(write(tmp_path / "a.csv", text))
    assert [(p.t_utc_ns or 0) // 10**9 % 60 for p in recording.points] == [5, 8]
    assert (recording.left_out, recording.not_later) == (2, 2)
    assert len(read_recording(tmp_path / "a.csv", with_times=False).points) == 4


def test_a_log_of_sentences(tmp_path: Path) -> None:
    sentences = [
        encode_rmc(
            t_utc_ns=p.t_utc_ns or 0,
            lat_deg=p.lat_deg,
            lon_deg=p.lon_deg,
            speed_mps=0.0,
            course_deg=None,
            quality=FixQuality.GNSS,
            talker="GN",
        )
        for p in POINTS
    ]
    path = tmp_path / "a.nmea"
    path.write_bytes(b"".join(sentences))
    got = read_recording(path).points
    assert [p.t_utc_ns for p in got] == [p.t_utc_ns for p in POINTS]
    assert [p.lat_deg for p in got] == pytest.approx([p.lat_deg for p in POINTS], abs=1e-6)


def test_a_table_without_times_has_none(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "a.csv", "lat,lon\n51.0,-6.5\n51.1,-6.4\n"))
    assert (recording.timed, len(recording.points), recording.start_utc_ns) == (False, 2, 0)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.gpx", GPX.replace("trkpt", "rtept"), "not one position in it, of 0 records"),
        ("a.gpx", GPX[:200], "no XML"),
        ("a.gpx", '<!DOCTYPE x [<!ENTITY a "b">]><gpx/>', "document type declaration"),
        ("a.csv", "a,b\n1,2\n", "expected one column each for lat and lon.*'a', 'b'"),
        ("a.csv", "lat,lon,device\n1,2,x\n3,4,y\n", "several devices are in it. Expected device = one of: x, y"),
        ("a.csv", "time,lat,lon\n3,51,1\n", "no times of"),
        ("a.nmea", "hello\n", "not one position"),
        ("a.tagcap", "hello\n", "a.tagcap"),
        ("a.kml", "", "the name does not say"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(TrackError, match=words) as caught:
        read_recording(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrackError, match=r"absent\.gpx"):
        read_recording(tmp_path / "absent.gpx")
    cut = tmp_path / "cut.gpx.gz"
    cut.write_bytes(gzip.compress(GPX.encode())[:-20])
    with pytest.raises(TrackError, match=r"cut\.gpx\.gz: .*Expected a whole file"):
        read_recording(cut)
    with pytest.raises(TrackError, match="'igc' is not known"):
        read_recording(cut, "igc")


@pytest.mark.corpus
def test_every_real_track_is_read_or_refused_by_name(corpus: Path) -> None:
    refused = {}
    n_points = 0
    for path in sorted([*(corpus / "tracks").rglob("*.gpx*"), *(corpus / "tracks").rglob("*.csv*")]):
        try:
            recording = read_recording(path)
        except TrackError as exc:
            refused[path.name] = str(exc)
            continue
        assert kind_of(path) in {"gpx", "csv"}
        n_points += len(recording.points)
    # files that hold a plan, nothing at all, or no column of places
    assert all(words in text for text in refused.values() for words in ("Expected",) if "position" in text)
    assert n_points > 20_000
    assert len(refused) < 8
