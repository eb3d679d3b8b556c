"""Every format in, every kind of damage counted, every unclear column refused with what to do."""

import gzip
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.backtest.arrow_values import counted_times, iso_times, numbers
from rig.backtest.columns import ColumnRules
from rig.backtest.errors import HistoryError
from rig.backtest.fixes import DeviceNames, Fixes, Tally
from rig.backtest.sources import open_sources
from tests.rig.backtest_support import (
    LAT0,
    SQUARE,
    START,
    START_NS,
    UNIX,
    WALK,
    Row,
    assert_walked,
    invoke,
    iso,
    polygon_feature,
    random_history,
    run,
    table,
    walk_csv,
    write_csv,
    zones_file,
)


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    return zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])


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
