"""Recordings in the place of devices: any format, any date, judged by their truth; the real ones too."""

import gzip
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from devices.clock import SystemClock
from protocols.nmea.encode import encode_gga, encode_rmc
from rig.cli.replay import command
from rig.local_frame import LocalFrame
from rig.play import run
from rig.play.settings import Planted, PlaySettings
from rig.replay.cast import Asked
from rig.replay.errors import ReplayError
from rig.replay.recorded import DAY_NS, Line, read_line, write_capture
from rig.replay.recordings import play_recordings, prepare
from rig.replay.run_again import replay_run
from rig.runs.folder import RunFile
from rig.scenario import Scenario
from rig.truth.verdict import Verdict

S = 1_000_000_000
T0_NS = 1_767_225_600 * S
"""2026-01-01T00:00:00Z."""

FRAME = LocalFrame(51.0, -6.5)


def at(east_m: float) -> tuple[float, float]:
    lat, lon = FRAME.to_geodetic(east_m, 0.0)
    return round(lat, 8), round(lon, 8)


def write_gpx(path: Path, east_m: list[float], *, start_ns: int = T0_NS, every_s: int = 1) -> Path:
    points = ""
    for n, east in enumerate(east_m):
        lat, lon = at(east)
        seconds = (start_ns - T0_NS) // S + n * every_s
        stamp = f"2026-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"
        points += f'<trkpt lat="{lat}" lon="{lon}"><time>{stamp}</time></trkpt>'
    gpx = f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{points}</trkseg></trk></gpx>'
    path.write_text(gpx)
    return path


def write_csv(path: Path, east_m: list[float]) -> Path:
    rows = [f"{(T0_NS + n * S) // S},{at(east)[0]},{at(east)[1]}" for n, east in enumerate(east_m)]
    path.write_text("\n".join(["time_s,lat,lon", *rows]) + "\n")
    return path


def sentences(east_m: list[float], *, start_ns: int = T0_NS, dated: bool = True) -> bytes:
    said = b""
    for n, east in enumerate(east_m):
        lat, lon = at(east)
        t_utc_ns = start_ns + n * S
        said += encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=lon) if dated else b""
        said += encode_gga(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=lon)
    return said


COMES = [300.0 - 10 * n for n in range(31)]
STAYS = [0.0] * 31


def seconds(line: Line) -> list[float]:
    return [(place.t_utc_ns - T0_NS) / S for place in line.places]


@pytest.mark.parametrize("name", ["a.gpx", "a.csv", "a.nmea", "a.log.gz", "a.gga", "a.tagcap"])
def test_every_format_gives_the_same_places_at_the_same_times(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    match path.suffix:
        case ".gpx":
            write_gpx(path, COMES)
        case ".csv":
            write_csv(path, COMES)
        case ".gz":
            path.write_bytes(gzip.compress(sentences(COMES)))
        case ".tagcap":
            (tmp_path / "a.nmea").write_bytes(sentences(COMES))
            folder = tmp_path / "captures"
            path = write_capture(read_line(tmp_path / "a.nmea"), folder, "a", zero_utc_ns=T0_NS, version="0")
        case _:
            path.write_bytes(sentences(COMES))
    line = read_line(path)
    assert seconds(line) == pytest.approx(range(31))
    for place, east in zip(line.places, COMES, strict=True):
        assert FRAME.to_local(place.lat_deg, place.lon_deg)[0] == pytest.approx(east, abs=0.02)


def test_a_log_is_heard_to_the_byte_over_midnight_and_over_its_gaps(tmp_path: Path) -> None:
    late = T0_NS + DAY_NS - 10 * S
    said = sentences(COMES[:20], start_ns=late) + b"\x00\xff$GPTXT,cut\r\n" + sentences(COMES, start_ns=late + 200 * S)
    path = tmp_path / "night.nmea"
    path.write_bytes(said)
    line = read_line(path)
    assert b"".join(burst.data for burst in line.bursts) == said
    assert [t - (late - T0_NS) / S for t in seconds(line)] == pytest.approx([*range(20), *range(200, 231)])


def test_a_log_without_a_date_has_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / "undated.gga"
    path.write_bytes(sentences(COMES, start_ns=T0_NS + DAY_NS - 5 * S, dated=False))
    with pytest.raises(ReplayError, match="tells times of day and no date"):
        read_line(path)
    assert seconds(read_line(path, near_utc_ns=T0_NS + DAY_NS + 7 * S))[0] == (DAY_NS - 5 * S) / S
    dated = tmp_path / "dated.nmea"
    dated.write_bytes(sentences(COMES, start_ns=T0_NS + DAY_NS - 3 * S))
    prepared = prepare(Asked(wearers=(dated,), protected=(path,)), tmp_path)
    assert prepared.file.zero_utc_ns == T0_NS + DAY_NS - 3 * S
    assert prepared.scenario.duration_s == 28


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<gpx></gpx>", "not one position"),
        ('<gpx><trk><trkseg><trkpt lat="1" lon="2"/></trkseg></trk></gpx>', "no times"),
    ],
)
def test_a_track_that_says_too_little_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.gpx"
    path.write_text(content)
    with pytest.raises(ReplayError, match=said):
        read_line(path)


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments])


def test_recordings_are_played_judged_and_can_be_replayed(tmp_path: Path) -> None:
    his = write_gpx(tmp_path / "his.gpx", COMES)
    hers = tmp_path / "hers.nmea"
    hers.write_bytes(sentences(STAYS))
    result = cli("--wearer", his, "--protected", hers, "--rings", "50,120,200", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    summary = msgspec.json.decode(result.stdout)
    (pair,) = summary["pairs"]
    assert (summary["verdict"], pair["verdict"], pair["contradicted_s"]) == ("PASS", "PASS", 0)
    assert pair["decided_s"] > 120
    folder = Path(summary["folder"])
    assert (folder / "report.html").stat().st_size > 10_000
    again = replay_run(folder, out=None, pace="max", clock=SystemClock())
    assert again.problems == ()
    assert again.verdict.verdict is Verdict.PASS


def test_who_is_behind_is_as_far_away_as_he_is_late(tmp_path: Path) -> None:
    his = write_gpx(tmp_path / "his.gpx", [10.0 * n for n in range(60)])
    hers = write_csv(tmp_path / "hers.csv", [10.0 * n for n in range(60)])
    asked = Asked(wearers=(his,), protected=(hers,), rings_m=(50, 150, 500), delay_s=20)
    _, verdict, (judged,) = play_recordings(asked, tmp_path)
    assert verdict.verdict is Verdict.PASS
    assert judged.nearest_m == pytest.approx(200, abs=12)


def test_each_with_each_is_every_pair_once(tmp_path: Path) -> None:
    files = tuple(write_gpx(tmp_path / f"r{n}.gpx", COMES) for n in range(4))
    folder = tmp_path / "run"
    folder.mkdir()
    scenario = prepare(Asked(each_with_each=files, truth=files[0]), folder).scenario
    pairs = {(order.wearer, ring.device) for order in scenario.order for ring in order.protected}
    assert len(pairs) == 6
    assert all(his.removeprefix("wearer-") < hers.removeprefix("protected-") for his, hers in pairs)


def test_a_bridge_that_tells_late_is_against_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = run.play

    def play_late(scenario: Scenario, settings: PlaySettings) -> RunFile:
        return play(scenario, replace(settings, planted=Planted(delay_alerts_s=6.0)))

    monkeypatch.setattr(run, "play", play_late)
    his = write_gpx(tmp_path / "his.gpx", COMES)
    hers = write_gpx(tmp_path / "hers.gpx", STAYS)
    _, verdict, _ = play_recordings(Asked(wearers=(his,), protected=(hers,), rings_m=(50, 120, 200)), tmp_path)
    assert verdict.verdict is Verdict.FAIL
    assert "pre-alert ring of protected-hers" in verdict.problems[0]
    assert "told clear: he was" in verdict.problems[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected either the folder of a run, or recordings"),
        (("--protected-at", "51.0"), "expected 2 numbers"),
        (("--rings", "1,2"), "expected 3 numbers"),
        (("--rings", "500,120,200"), "must grow"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    his = write_gpx(tmp_path / "his.gpx", COMES)
    wearer = ("--wearer", his, "--protected-at", "51.0,-6.5") if arguments else ()
    result = cli(*wearer, *arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.corpus
def test_the_real_drive_past_a_person_who_stands_there(corpus: Path, tmp_path: Path) -> None:
    drive, truth = corpus / "nmea/long/mtv-ublox-f9k.part1.nmea.gz", corpus / "nmea/long/mtv-span-truth.part1.gga.gz"
    asked = Asked(
        wearers=(drive,), protected_at=(37.42, -122.08), truth=truth, rings_m=(100, 300, 800), from_s=500, until_s=580
    )
    _, verdict, (judged,) = play_recordings(asked, tmp_path)
    assert verdict.verdict is Verdict.PASS, verdict.problems
    assert judged.decided_share > 0.9


@pytest.mark.corpus
def test_two_receivers_of_one_bicycle_are_in_one_place(corpus: Path, tmp_path: Path) -> None:
    ride = corpus / "tracks/whitchurch-routeA"
    best, other = ride / "Garmin-Edge-605.gpx.gz", ride / "openlog.gpx.gz"
    asked = Asked(wearers=(best,), protected=(other,), truth=best, until_s=60)
    _, verdict, (judged,) = play_recordings(asked, tmp_path)
    assert verdict.verdict is Verdict.PASS, verdict.problems
    assert judged.nearest_m == 0


@pytest.mark.corpus
@pytest.mark.soak
def test_the_whole_drive_and_all_pairs_of_the_whole_ride(corpus: Path, tmp_path: Path) -> None:
    drive, truth = corpus / "nmea/long/mtv-ublox-f9k.part1.nmea.gz", corpus / "nmea/long/mtv-span-truth.part1.gga.gz"
    ride = sorted((corpus / "tracks/whitchurch-routeA").glob("*.gpx.gz"))
    receivers = tuple(path for path in ride if not path.name.startswith("whitchurch"))
    for asked in (
        Asked(wearers=(drive,), protected=(truth,), truth=truth),
        Asked(wearers=(drive,), protected_at=(37.42, -122.08), truth=truth, rings_m=(100, 300, 800)),
        Asked(each_with_each=receivers, truth=receivers[0]),
    ):
        _, verdict, judged = play_recordings(asked, tmp_path)
        assert verdict.verdict is Verdict.PASS, verdict.problems
        assert all(each.decided_share > 0.7 for each in judged)
