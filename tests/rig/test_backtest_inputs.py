"""Every format in, every kind of damage counted, every unclear column refused with what to do."""

import gzip
import json
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from devices.capture import CaptureHeader, CaptureWriter, RecordKind
from protocols.nmea.encode import encode_rmc
from protocols.reports import FixQuality
from rig.backtest.arrow_values import counted_times, iso_times, numbers
from rig.backtest.columns import ColumnRules
from rig.backtest.errors import HistoryError
from rig.backtest.fixes import DeviceNames, Fixes, Tally
from rig.backtest.sources import open_sources
from rig.cli.backtest import command
from tests.rig.backtest_support import (
    LAT0,
    LON0,
    START,
    UNIX,
    Row,
    iso,
    polygon_feature,
    random_history,
    run,
    seconds,
    table,
    write_csv,
    zones_file,
)

SQUARE = [(LON0, LAT0), (LON0 + 0.01, LAT0), (LON0 + 0.01, LAT0 + 0.01), (LON0, LAT0 + 0.01)]
WALK = [(0.0, LON0 - 0.002), (10.0, LON0 + 0.002), (20.0, LON0 + 0.005), (30.0, LON0 + 0.012)]
"""In through the west side after 5 s, out through the east side after 27.1 s."""
START_NS = (START - UNIX) // timedelta(microseconds=1) * 1000


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    return zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])


def walk_csv(path: Path, head: str, line: str) -> Path:
    lines = [
        line.format(t=iso(t), s=START_NS // 10**9 + int(t), ns=START_NS + int(t * 1e9), lat=LAT0 + 0.005, lon=lon)
        for t, lon in WALK
    ]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def assert_walked(outputs: dict[str, bytes], device: str) -> None:
    got = [(c["device"], c["crossing"]) for c in table(outputs["crossings"])]
    assert got == [(device, "enter"), (device, "exit")]
    enter, leave = (seconds(c["utc"]) for c in table(outputs["crossings"]))
    assert enter == pytest.approx(5.0, abs=1e-3)
    assert leave == pytest.approx(20 + 10 * 5 / 7, abs=1e-3)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


class TestColumns:
    @pytest.mark.parametrize(
        ("head", "line"),
        [
            ("time,lat,lon", "{t},{lat},{lon}"),
            ("Latitude;Longitude;Timestamp", "{lat};{lon};{t}"),
            ("time_utc\tlat_deg\tlon_deg\talt_m", "{t}\t{lat}\t{lon}\t"),
            ("LNG,LAT,t_fix_utc_ns", "{lon},{lat},{ns}"),
            ('"id","time","lat","lon","lon"', '"x","{s}",{lat},{lon},"a, b"'),
            ("epoch|lat|long", "{s}.000|{lat}|{lon}"),
            ("\ufefftimestamp,latitude,longitude", '"{t}"," {lat}",{lon} '),
        ],
    )
    def test_usual_names_and_separators(self, tmp_path: Path, zones: Path, head: str, line: str) -> None:
        names = {"lon": "lon"} if head.count("lon") > 1 else {}
        path = walk_csv(tmp_path / "walk.csv", head, line)
        if names:
            with pytest.raises(HistoryError, match=r"could each be the lon.*--columns lon=NAME"):
                run(zones, [path], tmp_path / "out")
            path = walk_csv(tmp_path / "walk.csv", head.replace('"lon","lon"', '"lon","note"'), line)
        _, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")

    def test_a_column_map(self, tmp_path: Path, zones: Path) -> None:
        path = walk_csv(tmp_path / "walk.csv", "who,when,north,east,lat,lon", "tag 7,{t},{lat},{lon},1,1")
        names = {"lat": "north", "lon": "east", "time": "when", "device": "who"}
        _, outputs = run(zones, [path], tmp_path / "out", names=names)
        assert_walked(outputs, "tag 7")
        mapped = ",".join(f"{role}={name}" for role, name in names.items())
        assert (
            json.loads(invoke("--zones", zones, path, "--columns", mapped, "--json", "--jobs", 1).stdout)["crossings"]
            == 2
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--columns", "lat=north"], "no column 'north' (asked for as lat); its columns are 'time', 'y', 'x'"),
            (["--columns", "lat"], "expected each of lat, lon, time, device at most once as ROLE=COLUMN"),
            (["--columns", "lat=y,lat=x"], "at most once"),
            (["--columns", "speed=y"], "got 'speed=y'"),
            ([], "no column for lat; its columns are 'time', 'y', 'x'. Next: --columns lat=NAME"),
            (["--columns", "lat=y,lon=x,time=when"], "no column 'when'"),
        ],
    )
    def test_a_wrong_map_is_a_usage_error(
        self, tmp_path: Path, zones: Path, arguments: list[str], message: str
    ) -> None:
        path = walk_csv(tmp_path / "walk.csv", "time,y,x", "{t},{lat},{lon}")
        result = invoke("--zones", zones, path, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr

    def test_without_a_time_column_the_option_is_named(self, tmp_path: Path, zones: Path) -> None:
        path = walk_csv(tmp_path / "walk.csv", "lat,lon", "{lat},{lon}")
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "no column for time" in result.stderr
        assert "--no-times" in result.stderr

    def test_no_times_judges_by_order(self, tmp_path: Path, zones: Path) -> None:
        path = walk_csv(tmp_path / "walk.csv", "lat,lon", "{lat},{lon}")
        for size in (1, 3, 100):
            _, outputs = run(zones, [path], tmp_path / "out", timed=False, chunk_fixes=size)
            enter, leave = table(outputs["crossings"])
            assert (enter["crossing"], leave["crossing"]) == ("enter", "exit")
            assert (enter["before_fix"], enter["after_fix"], leave["after_fix"]) == ("1", "2", "4")
            assert float(enter["fraction"]) == pytest.approx(0.5, abs=1e-6)
            assert enter["utc"] == enter["after_utc"] == ""
            (period,) = table(outputs["dwell"])
            assert (period["fixes"], period["from_utc"], period["duration_s"]) == ("2", "", "")


class TestTimes:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_the_unit_of_numbers_is_told_from_them(self, tmp_path: Path, zones: Path, unit: str) -> None:
        scale = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
        lines = [f"{(START_NS + int(t * 1e9)) // scale},{LAT0 + 0.005},{lon}" for t, lon in WALK]
        path = tmp_path / "walk.csv"
        path.write_text("\n".join(["time,lat,lon", *lines]))
        _, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")

    def test_numbers_that_could_be_two_units_are_refused(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.csv"
        path.write_text(f"time,lat,lon\n{START_NS},1,1\n{START_NS // 1000},1,1\n")
        result = invoke("--zones", zones, path)
        assert result.exit_code == 2
        assert "--time-unit s|ms|us|ns" in result.stderr
        path.write_text("time,lat,lon\n0,1,1\n1,1,1\n")
        assert invoke("--zones", zones, path).exit_code == 2
        assert invoke("--zones", zones, path, "--time-unit", "s", "--jobs", 1).exit_code == 0

    def test_fractions_of_seconds_are_read_in_digits(self) -> None:
        column = pa.array([b"1767225600.123456789", b"1767225600", b"1767225600.5"], pa.binary())
        values, bad = numbers(column)
        times = counted_times(column, values, bad, "s", is_sure=False)
        assert times.t_ns.tolist() == [1767225600123456789, 1767225600 * 10**9, 1767225600500000000]

    def test_times_without_a_zone_are_utc_and_told(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "walk.csv"
        lines = [f"{iso(t).replace('T', ' ').removesuffix('Z')},{LAT0 + 0.005},{lon}" for t, lon in WALK]
        path.write_text("\n".join(["time,lat,lon", *lines]))
        summary, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")
        assert summary.tally.times_without_zone == 4
        assert "4 times say no zone; they were read as UTC" in invoke("--zones", zones, path, "--jobs", 1).stderr

    @given(
        st.datetimes(min_value=START.replace(year=1700, tzinfo=None), max_value=START.replace(year=2200, tzinfo=None)),
        st.sampled_from(["Z", "", "+01:00", "-0330", "+14"]),
        st.sampled_from(["T", " "]),
        st.booleans(),
    )
    def test_any_iso_time_with_or_without_damaged_neighbours(
        self, moment, zone: str, between: str, damaged: bool
    ) -> None:  # type: ignore[no-untyped-def]
        text = moment.isoformat(sep=between) + zone
        column = pa.array(
            [text.encode(), *([b"yesterday", b"2026-02-29T00:00:00Z", b""] if damaged else [])], pa.binary()
        )
        times = iso_times(column)
        hours = {"Z": 0, "": 0, "+01:00": 1, "-0330": -3.5, "+14": 14}[zone]
        expected = (moment - UNIX.replace(tzinfo=None)) // timedelta(microseconds=1) * 1000 - int(hours * 3600e9)
        assert times.t_ns[0] == expected
        assert times.known.tolist() == [True, False, False, False][: len(column)]
        assert times.bad.tolist() == [False, True, True, False][: len(column)]
        assert times.n_without_zone == (zone == "")


class TestDamage:
    def test_bad_rows_are_counted_by_reason_with_the_first_line(self, tmp_path: Path, zones: Path) -> None:
        t = iso(0)
        path = tmp_path / "h.csv"
        lines = [
            "device,time,lat,lon",
            f"a,{t},53.2,-2.5",
            "",
            f"a,{iso(1)},53.2,x",
            f"a,{iso(2)},91,-2.5",
            f"a,{iso(3)},,",
            f"a,{iso(4)},nan,-2.5",
            "a,noon,53.2,-2.5",
            "a,,53.2,-2.5",
            f"a,{iso(5)},53.2",
            f",{iso(6)},53.2,-2.5",
            f"a,{iso(7)},53.2,-2.5,1,2",
            f"a,{iso(8)},53.2,181",
            f"a,{iso(9)},53.2,1e400",
            f"a,{iso(10)},53.2,-2.5",
        ]
        path.write_bytes("\r\n".join(lines).encode() + b"\r\n\xff\xfe,\xff,\xff,\xff\r\n")
        summary, _ = run(zones, [path], tmp_path / "out")
        tally = summary.tally
        assert {reason: (what.count, what.first_place) for reason, what in tally.rejected.items()} == {
            "bad_number": (2, f"{path}, line 4"),
            "out_of_range": (3, f"{path}, line 5"),
            "bad_time": (1, f"{path}, line 8"),
            "no_time": (1, f"{path}, line 9"),
            "wrong_number_of_columns": (2, f"{path}, line 10"),
            "no_device": (1, f"{path}, line 11"),
        }
        assert (tally.records, tally.without_position, summary.fixes) == (14, 2, 2)

    def test_a_summary_tells_them_and_the_run_goes_on(self, tmp_path: Path, zones: Path) -> None:
        path = tmp_path / "h.csv"
        path.write_text(f"time,lat,lon\n{iso(0)},53.2,-2.5\n{iso(1)},north,-2.5\n")
        result = invoke("--zones", zones, path, "--json", "--jobs", 1)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["rejected"] == {"bad_number": {"count": 1, "first": f"{path}, line 3"}}
        assert f"refused 1: bad_number (first: {path}, line 3)" in result.stderr

    def test_gzip_and_its_members(self, tmp_path: Path, zones: Path) -> None:
        plain = walk_csv(tmp_path / "walk.csv", "time,lat,lon", "{t},{lat},{lon}").read_bytes()
        path = tmp_path / "walk.csv.gz"
        path.write_bytes(gzip.compress(plain[:50]) + gzip.compress(plain[50:]))
        _, outputs = run(zones, [path], tmp_path / "out")
        assert_walked(outputs, "walk")

    def test_gzip_that_stops_in_the_middle_gives_its_whole_lines(self, tmp_path: Path, zones: Path) -> None:
        rng = np.random.default_rng(1)
        plain = write_csv(tmp_path / "h.csv", random_history(rng, 2, 4000)).read_bytes()
        path = tmp_path / "h.csv.gz"
        packed = gzip.compress(plain)
        path.write_bytes(packed[: len(packed) * 2 // 3])
        summary, _ = run(zones, [path], tmp_path / "out")
        cut = summary.tally.rejected.pop("file_cut_short")
        assert cut.first_place == f"{path}: the gzip data stop in the middle"
        assert not summary.tally.rejected
        assert 4000 < summary.tally.records < 8000

    @pytest.mark.parametrize("at", ["device", "lat"])
    def test_a_stray_quote_costs_its_own_line(self, tmp_path: Path, zones: Path, at: str) -> None:
        rows = [Row("a", float(t), 53.2, -2.5) for t in range(8000)]
        path = write_csv(tmp_path / "h.csv", rows)
        lines = path.read_text().splitlines()
        lines[7000] = '"' + lines[7000] if at == "device" else lines[7000].replace("53.2", '"53.2')
        path.write_text("\n".join(lines))
        summary, _ = run(zones, [path], tmp_path / "out")
        reason = {"device": "stray_quote", "lat": "bad_number"}[at]
        assert {r: (what.count, what.first_place) for r, what in summary.tally.rejected.items()} == {
            reason: (1, f"{path}, line 7001")
        }
        assert (summary.fixes, summary.devices) == (7999, 1)

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"time,lat,lon", b"time,lat,lon\n", b"\xef\xbb\xbf", b"\x00" * 70000]
    )
    def test_files_with_nothing_in_them(self, tmp_path: Path, zones: Path, content: bytes) -> None:
        path = tmp_path / "h.csv"
        path.write_bytes(content)
        result = invoke("--zones", zones, path, "--jobs", 1)
        assert result.exit_code == (0 if content.startswith(b"time") else 2)
        assert "Traceback" not in result.output

    @given(data=st.data())
    def test_no_damage_to_a_table_escapes(self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("damage") / "h.csv"
        text = bytearray(walk_csv(path, "device,time,lat,lon", "a,{t},{lat},{lon}").read_bytes())
        for at in data.draw(st.lists(st.integers(20, len(text) - 1), max_size=8)):
            text[at] = data.draw(st.sampled_from(list(b'\x00\n,"\r;9-.eE\xff \xc3')))
        path.write_bytes(bytes(text))
        tally = Tally()
        rules = ColumnRules(names={}, time_unit=None, timed=True)
        try:
            (source,) = open_sources([path], None, rules, DeviceNames(), tally)
            batches = list(source.batches(1))
        except HistoryError:
            return
        fixes = Fixes.join([batch.fixes for batch in batches] or [Fixes.none()])
        refused = sum(what.count for what in tally.rejected.values())
        assert len(fixes) + tally.without_position + refused == tally.records
        assert np.all(np.abs(fixes.lat_deg) <= 90)
        assert np.all(np.abs(fixes.lon_deg) <= 180)


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
