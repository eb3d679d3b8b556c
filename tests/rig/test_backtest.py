"""Backtests against a plain judge of shapely and Python, and against themselves under other cuts."""

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import geofence_core as gc
from rig.backtest.columns import ColumnRules
from rig.backtest.errors import HistoryError
from rig.backtest.run import Progress, Settings, run_backtest
from tests.rig.backtest_support import (
    LAT0,
    LON0,
    Row,
    Seen,
    judge_plainly,
    polygon_feature,
    random_history,
    random_zones,
    run,
    seconds,
    table,
    write_csv,
    zones_file,
)

SQUARE = [(LON0, LAT0), (LON0 + 0.01, LAT0), (LON0 + 0.01, LAT0 + 0.01), (LON0, LAT0 + 0.01)]


def assert_same(outputs: dict[str, bytes], seen: Seen) -> None:
    got = table(outputs["crossings"])
    assert [(int(c["after_fix"]), c["zone"], c["device"], c["crossing"]) for c in got] == [
        c[:4] for c in seen.crossings
    ]
    for row, (_, _, _, kind, t_s, entry, leave) in zip(got, seen.crossings, strict=True):
        assert seconds(row["utc"]) == pytest.approx(t_s, abs=1e-4)
        assert (row["fraction"] == "") == (entry is None)
        if entry is not None:
            assert float(row["fraction"]) == pytest.approx(entry, abs=1e-7)
        if kind == "pass":
            assert float(row["until_fraction"]) == pytest.approx(leave, abs=1e-7)
        else:
            assert row["until_fraction"] == row["until_utc"] == ""
    dwell = table(outputs["dwell"])
    key = lambda p: (p[0], p[1], round(p[4], 2))  # noqa: E731
    mine = [
        (p["device"], p["zone"], p["began"], p["ended"], seconds(p["from_utc"]), seconds(p["to_utc"]), int(p["fixes"]))
        for p in dwell
    ]
    assert len(mine) == len(seen.periods)
    for a, b in zip(sorted(mine, key=key), sorted(seen.periods, key=key), strict=True):
        assert a[:4] == b[:4]
        assert a[6] == b[6]
        assert a[4:6] == pytest.approx(b[4:6], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_plain_judge(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = random_zones(rng, 12)
    rows = random_history(rng, 4, 60)
    zones = zones_file(tmp_path / "z.geojson", features)
    history = write_csv(tmp_path / "h.csv", rows)
    summary, outputs = run(zones, [history], tmp_path / "out")
    seen = judge_plainly(features, rows, max_gap_s=600)
    assert {c[3] for c in seen.crossings} == {"enter", "exit", "first_inside", "pass"}
    assert {p[3] for p in seen.periods} >= {"exit", "gap", "pass"}
    assert_same(outputs, seen)
    assert summary.fixes == sum(row.lat is not None for row in rows)
    assert summary.tally.without_position == sum(row.lat is None for row in rows)
    assert (summary.crossings, summary.periods) == (len(seen.crossings), len(seen.periods))


def test_totals_are_the_sums_of_the_periods(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    zones = zones_file(tmp_path / "z.geojson", random_zones(rng, 8))
    history = write_csv(tmp_path / "h.csv", random_history(rng, 5, 60))
    _, outputs = run(zones, [history], tmp_path / "out")
    dwell = table(outputs["dwell"])
    totals = table(outputs["totals"])
    assert [t["zone"] for t in totals] == [f"zone-{k}" for k in range(8)]
    for total in totals:
        mine = [p for p in dwell if p["zone"] == total["zone"]]
        assert int(total["devices"]) == len({p["device"] for p in mine})
        assert int(total["passes"]) == sum(p["began"] == "pass" for p in mine)
        assert int(total["periods"]) == sum(p["began"] != "pass" for p in mine)
        assert int(total["fixes"]) == sum(int(p["fixes"]) for p in mine)
        assert float(total["dwell_s"]) == pytest.approx(sum(float(p["duration_s"]) for p in mine), abs=1e-3)


def test_no_cut_changes_a_byte(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    zones = zones_file(tmp_path / "z.geojson", random_zones(rng, 10))
    rows = random_history(rng, 3, 30)
    history = write_csv(tmp_path / "h.csv", rows)
    _, whole = run(zones, [history], tmp_path / "out")
    assert len(table(whole["crossings"])) > 25
    for size in [1, 2, 3, 5, 8, 13, len(rows) // 2, len(rows) - 1, len(rows)]:
        _, cut = run(zones, [history], tmp_path / "out", chunk_fixes=size)
        assert cut == whole, f"chunks of {size}"
    for block in (1, 2, 7, 40):
        _, cut = run(zones, [history], tmp_path / "out", reorder_fixes=block, chunk_fixes=9)
        assert cut == whole, f"blocks of {block}"


def test_files_one_behind_the_other_are_one_history(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    zones = zones_file(tmp_path / "z.geojson", random_zones(rng, 10))
    rows = random_history(rng, 3, 30)
    whole = write_csv(tmp_path / "h.csv", rows)
    parts = [write_csv(tmp_path / f"h{i}.csv", rows[a:b]) for i, (a, b) in enumerate(pairwise([0, 17, 50, len(rows)]))]
    _, expected = run(zones, [whole], tmp_path / "out")
    summary, got = run(zones, parts, tmp_path / "out")
    assert got == expected
    assert [first for _, first in summary.inputs] == [1, 18, 51]


def test_parquet_outputs_say_what_the_csv_outputs_say(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rng = np.random.default_rng(5)
    zones = zones_file(tmp_path / "z.geojson", random_zones(rng, 10))
    history = write_csv(tmp_path / "h.csv", random_history(rng, 3, 40))
    _, as_csv = run(zones, [history], tmp_path / "out")
    _, first = run(zones, [history], tmp_path / "out", suffix=".parquet")
    _, again = run(zones, [history], tmp_path / "out", suffix=".parquet", chunk_fixes=7)
    assert first == again
    for name, data in as_csv.items():
        rows = table(data)
        columns = pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pydict()
        assert list(columns) == list(rows[0])
        for column, values in columns.items():
            for text, value in zip((row[column] for row in rows), values, strict=True):
                if value is None:
                    assert text == ""
                elif column.endswith("utc"):
                    assert seconds(text) == seconds(value.isoformat())
                else:
                    assert text == value if isinstance(value, str) else float(text) == value


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_is_told_and_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(4)
    zones = zones_file(tmp_path / "z.geojson", random_zones(rng, 10))
    history = write_csv(tmp_path / "h.csv", random_history(rng, 3, 60))
    path = tmp_path / f"crossings{suffix}"
    settings = Settings(
        inputs=[history], columns=ColumnRules(names={}, time_unit=None, timed=True), crossings=path, chunk_fixes=10
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: Progress) -> None:
        if progress.is_judging:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))

    try:
        with pytest.raises(HistoryError, match=f"crossings{suffix}: cannot be written: .*Next: check the disk"):
            run_backtest(gc.ZoneTable.from_geojson(zones), settings, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.csv", "z.geojson"]


class TestGaps:
    def run(
        self, tmp_path: Path, *rows: tuple[float, float], **settings: object
    ) -> tuple[list[str], list[tuple[str, ...]]]:
        zones = zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])
        history = write_csv(tmp_path / "h.csv", [Row("a", t, LAT0 + 0.005, LON0 + east) for t, east in rows])
        _, out = run(zones, [history], tmp_path / "out", **settings)
        return (
            [c["crossing"] for c in table(out["crossings"])],
            [(p["began"], p["ended"], p["duration_s"], p["fixes"]) for p in table(out["dwell"])],
        )

    def test_nothing_is_known_across_a_gap(self, tmp_path: Path) -> None:
        crossings, periods = self.run(tmp_path, (0, 0.005), (60, 0.006), (661, 0.005), (700, 0.004))
        assert crossings == ["first_inside", "first_inside"]
        assert periods == [("first_inside", "gap", "60", "2"), ("first_inside", "end", "39", "2")]

    def test_a_gap_of_exactly_the_limit_is_joined(self, tmp_path: Path) -> None:
        crossings, periods = self.run(tmp_path, (0, 0.005), (600, 0.005))
        assert (crossings, periods) == (["first_inside"], [("first_inside", "end", "600", "2")])

    def test_no_crossing_is_drawn_through_a_gap(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, (0, -0.01), (601, 0.02)) == ([], [])
        assert self.run(tmp_path, (0, -0.01), (601, 0.005))[0] == ["first_inside"]
        assert self.run(tmp_path, (0, 0.005), (601, 0.02)) == (["first_inside"], [("first_inside", "gap", "0", "1")])

    def test_without_a_limit_every_way_counts(self, tmp_path: Path) -> None:
        crossings, periods = self.run(tmp_path, (0, -0.01), (30_000, 0.02), max_gap_ns=None)
        assert crossings == ["pass"]
        assert periods == [("pass", "pass", "10000", "0")]


def test_a_crossing_tells_where_when_and_how_far(tmp_path: Path) -> None:
    zones = zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])
    rows = [
        Row("a", 0, LAT0 + 0.005, LON0 - 0.001),
        Row("a", 10, LAT0 + 0.005, LON0 + 0.003),
        Row("a", 20, LAT0 + 0.005, LON0 + 0.006),
    ]
    _, out = run(zones, [write_csv(tmp_path / "h.csv", rows)], tmp_path / "out")
    (enter,) = table(out["crossings"])
    assert enter["crossing"] == "enter"
    assert enter["utc"] == "2026-03-01T12:00:02.500000Z"
    assert (float(enter["lat_deg"]), float(enter["lon_deg"])) == (53.205, -2.5)
    assert float(enter["fraction"]) == pytest.approx(0.25, abs=1e-8)
    assert (enter["before_fix"], enter["after_fix"]) == ("1", "2")
    # a degree of longitude at 53.205 N is 66,812 m on WGS 84
    assert float(enter["before_m"]) == pytest.approx(66.812, abs=0.01)
    assert float(enter["after_m"]) == pytest.approx(-200.44, abs=0.03)


def test_a_distance_beyond_the_band_is_not_told(tmp_path: Path) -> None:
    zones = zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])
    rows = [Row("a", 0, LAT0 + 0.005, LON0 - 0.004), Row("a", 10, LAT0 + 0.005, LON0 + 0.005)]
    _, out = run(zones, [write_csv(tmp_path / "h.csv", rows)], tmp_path / "out")
    (enter,) = table(out["crossings"])
    assert enter["before_m"] == enter["after_m"] == ""


def test_the_short_way_round_the_antimeridian(tmp_path: Path) -> None:
    ring = [(179.99, 10.0), (180.0, 10.0), (180.0, 10.01), (179.99, 10.01)]
    zones = zones_file(tmp_path / "z.geojson", [polygon_feature("east", ring)])
    rows = [Row("a", 0, 10.005, -179.99), Row("a", 10, 10.005, 179.98)]
    _, out = run(zones, [write_csv(tmp_path / "h.csv", rows)], tmp_path / "out")
    (crossing,) = table(out["crossings"])
    assert crossing["crossing"] == "pass"
    assert float(crossing["fraction"]) == pytest.approx(1 / 3, abs=1e-8)
    assert abs(float(crossing["lon_deg"])) == pytest.approx(180.0, abs=1e-8)


class TestOrder:
    def rows(self) -> list[Row]:
        rng = np.random.default_rng(8)
        return random_history(rng, 3, 40)

    def test_fixes_out_of_order_are_put_in_their_place(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(9)
        features = random_zones(rng, 10)
        rows = self.rows()
        shuffled = [rows[i] for i in np.argsort(np.arange(len(rows)) + rng.uniform(0, 20, len(rows)))]
        assert shuffled != rows
        zones = zones_file(tmp_path / "z.geojson", features)
        history = write_csv(tmp_path / "h.csv", shuffled)
        seen = judge_plainly(features, shuffled, max_gap_s=600)
        for block, size in ((20, 1), (20, 7), (50, 1000), (1000, 3)):
            summary, out = run(zones, [history], tmp_path / "out", reorder_fixes=block, chunk_fixes=size)
            assert not summary.tally.rejected
            assert_same(out, seen)

    def test_a_fix_that_comes_too_late_is_counted_with_its_place(self, tmp_path: Path) -> None:
        zones = zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])
        rows = [Row("a", t, LAT0, LON0) for t in range(30)]
        rows.append(Row("a", 3.5, LAT0, LON0))
        history = write_csv(tmp_path / "h.csv", rows)
        for size in (1, 4, 100):
            summary, _ = run(zones, [history], tmp_path / "out", reorder_fixes=10, chunk_fixes=size)
            late = summary.tally.rejected["late"]
            assert (late.count, late.first_place) == (1, f"{history}, line 32")
        summary, _ = run(zones, [history], tmp_path / "out", reorder_fixes=31)
        assert not summary.tally.rejected

    def test_of_fixes_with_one_time_the_first_counts(self, tmp_path: Path) -> None:
        zones = zones_file(tmp_path / "z.geojson", [polygon_feature("square", SQUARE)])
        out_lon, in_lon = LON0 - 0.001, LON0 + 0.001
        rows = [Row("a", t, LAT0 + 0.005, lon) for t in (0, 1, 2) for lon in (out_lon, in_lon, in_lon)]
        history = write_csv(tmp_path / "h.csv", rows)
        for block, size in ((1, 1), (2, 1), (4, 2), (100, 100)):
            summary, out = run(zones, [history], tmp_path / "out", reorder_fixes=block, chunk_fixes=size)
            assert table(out["crossings"]) == []
            same = summary.tally.rejected["same_time"]
            assert (same.count, same.first_place) == (6, f"{history}, line 3")
