"""Real recordings: every file is read or refused with what to do, and bicycle tracks give what a plain judge says."""

import gzip
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from rig.cli.backtest import command
from tests.rig.backtest_support import START, Row, judge_plainly, polygon_feature, run, seconds, table, zones_file

pytestmark = pytest.mark.corpus


def invoke(zones: Path, *arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["--zones", str(zones), "--jobs", "1", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


def anywhere(folder: Path) -> Path:
    ring = [(-1.0, 51.0), (-0.9, 51.0), (-0.9, 51.1), (-1.0, 51.1)]
    return zones_file(folder / "z.geojson", [polygon_feature("somewhere", ring)])


def test_every_track_is_read_or_refused_with_what_to_do(corpus: Path, tmp_path: Path) -> None:
    zones = anywhere(tmp_path)
    tracks = corpus / "tracks"
    files = [p for p in sorted(tracks.rglob("*")) if {".gpx", ".csv"} & set(p.suffixes)]
    assert len(files) > 20
    refused = {}
    for path in files:
        code, errors = invoke(zones, path)
        if code:
            refused[path.name] = errors
            assert code == 2
            assert "Next: " in errors
            assert invoke(zones, path, "--no-times")[0] == 0
    assert sorted(refused) == ["mappymatch-sample_trace_1.csv", "mappymatch-sample_trace_2.csv"]


def test_every_nmea_log_is_read(corpus: Path, tmp_path: Path) -> None:
    zones = anywhere(tmp_path)
    logs = [p for p in sorted((corpus / "nmea").rglob("*")) if ".log" in p.suffixes and ".chk" not in p.suffixes]
    assert len(logs) > 50
    for path in logs:
        assert invoke(zones, path, "--format", "nmea")[0] == 0


def plain_rows(path: Path) -> list[Row]:
    """Track points as the standard library's other XML parser sees them."""
    root = ElementTree.fromstring(gzip.decompress(path.read_bytes()))
    rows = []
    for point in root.iter():
        if point.tag.rpartition("}")[2] == "trkpt":
            time = next((c.text for c in point if c.tag.rpartition("}")[2] == "time"), None)
            if time is not None:
                moment = datetime.fromisoformat(time.strip())
                t_s = (moment - START) / timedelta(seconds=1)
                rows.append(
                    Row(
                        path.name.removesuffix(".gpx.gz"), t_s, float(point.get("lat", "")), float(point.get("lon", ""))
                    )
                )
    return rows


def test_bicycle_tracks_of_seven_receivers(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "tracks" / "whitchurch-routeA"
    paths = [p for p in sorted(folder.glob("*.gpx.gz")) if p.name != "whitchurch-routeA.gpx.gz"]
    assert len(paths) == 7
    features = []
    for i in range(12):
        for j in range(8):
            west, south = -1.34 + i * 0.011, 51.056 + j * 0.022
            ring = [
                (west, south),
                (west + 0.004, south - 0.003),
                (west + 0.007, south + 0.008),
                (west + 0.002, south + 0.012),
            ]
            features.append(polygon_feature(f"{i}-{j}", ring))
    zones = zones_file(tmp_path / "z.geojson", features)
    rows = [row for path in paths for row in plain_rows(path)]
    summary, outputs = run(zones, paths, tmp_path / "out", chunk_fixes=500)
    seen = judge_plainly(features, rows, max_gap_s=600)
    got = [(int(c["after_fix"]), c["zone"], c["device"], c["crossing"]) for c in table(outputs["crossings"])]
    assert len(got) > 50
    assert got == [c[:4] for c in seen.crossings]
    for row, (*_, t_s, _, _) in zip(table(outputs["crossings"]), seen.crossings, strict=True):
        assert seconds(row["utc"]) == pytest.approx(t_s, abs=1e-3)
    assert summary.tally.records == len(rows)
    assert len(table(outputs["dwell"])) == len(seen.periods)
