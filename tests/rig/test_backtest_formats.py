"""Parquet, NMEA, captures and GPX in; names, wrong command lines and missing extras."""

import gzip
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from devices.capture import CaptureHeader, CaptureWriter, RecordKind
from protocols.nmea.encode import encode_rmc
from protocols.reports import FixQuality
from rig.backtest.errors import HistoryError
from tests.rig.backtest_support import (
    LAT0,
    SQUARE,
    START_NS,
    WALK,
    Row,
    assert_walked,
    invoke,
    iso,
    polygon_feature,
    run,
    walk_csv,
    write_csv,
    zones_file,
)


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    return zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])


class TestFormats:
    def rows(self) -> list[Row]:
        return [Row("walk", t, LAT0 + 0.005, lon) for t, lon in WALK]

    @pytest.mark.parametrize(
        ("device", "time"),
        [
            ("text", "ms"),
            ("text", "ns"),
            ("dictionary", "naive"),
            ("dictionary", "text"),
            ("integer", "float"),
            ("integer", "integer"),
        ],
    )
    def test_parquet(self, tmp_path: Path, zones: Path, device: str, time: str) -> None:
        t_ns = [START_NS + int(t * 1e9) for t, _ in WALK]
        stamps = pa.array(t_ns).cast(pa.timestamp("ns", "UTC"))
        times = {
            "ms": stamps.cast(pa.timestamp("ms", "UTC")),
            "ns": stamps,
            "naive": pa.array(t_ns).cast(pa.timestamp("ns")),
            "text": pa.array([iso(t) for t, _ in WALK]),
            "float": pa.array([t / 1e9 for t in t_ns]),
            "integer": pa.array([t // 10**6 for t in t_ns]),
        }
        devices = {
            "text": pa.array(["7"] * 4),
            "dictionary": pa.array(["7"] * 4).dictionary_encode(),
            "integer": pa.array([7] * 4),
        }
        columns = {
            "imei": devices[device],
            "ts": times[time],
            "latitude": pa.array([LAT0 + 0.005] * 4),
            "longitude": pa.array([lon for _, lon in WALK]),
        }
        path = tmp_path / "h.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=3)
        _, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "7")

    def test_parquet_without_values(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "h.parquet"
        t = START_NS // 10**6
        columns = {
            "device": pa.array(["a", None, "a", "a", "a"]),
            "time": pa.array([t, t + 1, None, t + 3, t + 4]),
            "lat": pa.array([1.0, 1.0, 1.0, None, 95.0]),
            "lon": pa.array([1.0, 1.0, 1.0, 1.0, 1.0]),
        }
        pq.write_table(pa.table(columns), path)
        summary, _ = run(zones, [path], tmp_path / "out")
        assert {reason: what.first_place for reason, what in summary.tally.rejected.items()} == {
            "no_device": f"{path}, row 2",
            "no_time": f"{path}, row 3",
            "out_of_range": f"{path}, row 5",
        }
        assert (summary.fixes, summary.tally.without_position) == (1, 1)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\x00" * 50 + b"PAR1", b"time,lat,lon\n"])
    def test_parquet_that_is_none(self, tmp_path: Path, zones: Path, content: bytes) -> None:
        path = tmp_path / "h.parquet"
        path.write_bytes(content)
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "cannot be read as Parquet" in result.stderr

    def test_parquet_columns_of_a_wrong_type(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "h.parquet"
        pq.write_table(pa.table({"time": [[1]], "lat": [1.0], "lon": [1.0]}), path)
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "cannot be the time" in result.stderr

    def nmea(self) -> bytes:
        sentences = [
            encode_rmc(t_utc_ns=START_NS + int(t * 1e9), lat_deg=LAT0 + 0.005, lon_deg=lon, minute_decimals=8)
            for t, lon in WALK
        ]
        sentences.insert(2, encode_rmc(t_utc_ns=START_NS + 15 * 10**9, quality=FixQuality.INVALID))
        sentences.insert(1, sentences[0].replace(b"RMC,", b"RMC;"))
        return b"".join(sentences)

    @pytest.mark.parametrize("name", ["walk.nmea", "walk.log", "walk.nmea.gz"])
    def test_nmea(self, tmp_path: Path, zones: Path, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(gzip.compress(self.nmea()) if name.endswith("gz") else self.nmea())
        summary, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")
        assert summary.tally.without_position == 1
        assert {reason: what.count for reason, what in summary.tally.rejected.items()} == {"nmea_bad_checksum": 1}

    def test_a_capture(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "x.tagcap"
        header = CaptureHeader(
            device_id="tag-4711", transport="memory:x", tagrig_version="0", t_start_mono_ns=0, t_start_utc_ns=START_NS
        )
        writer = CaptureWriter(path, header)
        data = self.nmea()
        for at in range(0, len(data), 33):
            writer.write(RecordKind.RECEIVED, data[at : at + 33], t_mono_ns=at, t_utc_ns=START_NS)
        writer.close()
        summary, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "tag-4711")
        assert summary.tally.without_position == 1
        path.write_bytes(b"TAGRIGC1")
        assert invoke("--zones", zones, path).exit_code == 2

    def gpx(self, extra: str = "", version: str = "1/1") -> str:
        points = "".join(
            f'<trkpt lat="{LAT0 + 0.005}" lon="{lon}"><ele>1</ele><time>{iso(t)}</time></trkpt>' for t, lon in WALK
        )
        return (
            f'<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/{version}"><metadata>'
            f"<time>2020-01-01T00:00:00Z</time></metadata>"
            '<wpt lat="1" lon="1"><time>2020-01-01T00:00:00Z</time></wpt>'
            f"<trk><trkseg>{points}{extra}"
            "</trkseg></trk></gpx>"
        )

    @pytest.mark.parametrize("name", ["walk.gpx", "walk.gpx.gz"])
    def test_gpx(self, tmp_path: Path, zones: Path, name: str) -> None:
        path = tmp_path / name
        text = self.gpx().encode()
        path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        summary, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")
        assert summary.tally.records == 4

    def test_gpx_points_that_are_none(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.gpx"
        t = iso(99)
        extra = (
            f'<trkpt lat="x" lon="1"><time>{t}</time></trkpt><trkpt lat="99" lon="1"><time>{t}</time></trkpt>'
            '<trkpt lat="1" lon="1"/><trkpt lat="1" lon="1"><time>later</time></trkpt>'
        )
        path.write_text(self.gpx(extra))
        summary, _ = run(zones, [path], tmp_path / "out")
        assert summary.tally.without_position == 1
        assert {reason: what.first_place for reason, what in summary.tally.rejected.items()} == {
            "out_of_range": f"{path}, track point 6",
            "no_time": f"{path}, track point 7",
            "bad_time": f"{path}, track point 8",
        }

    def test_gpx_cut_short_gives_its_points(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.gpx"
        path.write_text(self.gpx()[:-20])
        summary, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")
        assert summary.tally.rejected["bad_xml"].count == 1

    def test_a_bomb_of_entities_is_refused(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.gpx"
        entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
        path.write_text(f"<!DOCTYPE gpx [{entities}]>" + self.gpx("<trkpt><time>&a11;</time></trkpt>").split("?>")[1])
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "document type declaration" in result.stderr

    def test_a_route_is_a_plan(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.gpx"
        path.write_text('<gpx><rte><rtept lat="1" lon="1"/><rtept lat="1" lon="1"/></rte></gpx>')
        result = invoke("--zones", zones, path, "--jobs", 1)
        assert result.exit_code == 0
        assert "no track points; 2 waypoints and route points are a plan" in result.stderr


def test_more_devices_than_anybody_has_are_refused(
    tmp_path: Path, zones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rig.backtest.fixes.DEVICES_CAP", 100)
    rows = [Row(f"tag-{i}", 0.0, 53.2, -2.5) for i in range(101)]
    write_csv(tmp_path / "h.csv", rows[:100])
    assert run(zones, [tmp_path / "h.csv"], tmp_path / "out")[0].devices == 100
    write_csv(tmp_path / "h.csv", rows)
    with pytest.raises(HistoryError, match=r"more than 100 devices; the newest is 'tag-100'"):
        run(zones, [tmp_path / "h.csv"], tmp_path / "out")


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("pyarrow", [], "need the package 'pyarrow'. Next: pip install 'tagrig[backtest]'"),
        (
            "distributed",
            ["--dask", "tcp://127.0.0.1:1"],
            "needs the package 'distributed'. Next: pip install 'tagrig[b",
        ),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, zones: Path, monkeypatch: pytest.MonkeyPatch, package: str, arguments: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    path = walk_csv(tmp_path / "walk.csv", "time,lat,lon", "{t},{lat},{lon}")
    result = invoke("--zones", zones, path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


class TestNames:
    def test_an_unknown_name_needs_the_format(self, tmp_path: Path, zones: Path) -> None:
        path = walk_csv(tmp_path / "walk.dat", "time,lat,lon", "{t},{lat},{lon}")
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "Next: --format csv|parquet|nmea|gpx|capture" in result.stderr
        _, outputs = run(zones, [path], tmp_path / "out", format_name="csv")
        assert_walked(outputs, "walk.dat")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gone.csv"], "gone.csv: is not there"),
            (["walk.csv", "--crossings", "x.json"], "expected a name that ends in .csv or .parquet"),
            (["walk.csv", "--crossings", "gone/x.csv"], "cannot be written"),
            (["walk.csv", "--crossings", "x.parquet", "--dwell", "gone/x.csv"], "cannot be written"),
            (["walk.csv", "--crossings", "x.csv", "--dwell", "x.csv"], "two outputs have the same name"),
            (["walk.csv", "--max-gap", "soon"], "expected seconds, or a number with s, min or h, or none"),
            (["walk.csv", "--zones", "walk.csv"], "walk.csv"),
            (["walk.csv", "--chunk-fixes", "0"], "x>=1"),
            ([], "Missing argument 'FIXES...'"),
        ],
    )
    def test_a_wrong_command_line(
        self, tmp_path: Path, zones: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        walk_csv(tmp_path / "walk.csv", "time,lat,lon", "{t},{lat},{lon}")
        result = invoke("--zones", zones, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert sorted(p.name for p in tmp_path.iterdir()) == ["walk.csv", "z.geojson"]
