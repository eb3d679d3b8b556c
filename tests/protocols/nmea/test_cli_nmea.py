import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rig.cli.nmea
from rig.cli.nmea import command
from tests.protocols.nmea.support import lines

RMC = "GPRMC,120000.00,A,5130.00000,N,00007.50000,W,10.0,123.4,010326,,,A"
GGA = "GPGGA,120000.00,5130.00000,N,00007.50000,W,1,08,1.2,20.5,M,47.0,M,,"
FIX_KEYS = [
    "type",
    "offset",
    "t_fix_utc",
    "lat_deg",
    "lon_deg",
    "alt_m",
    "speed_mps",
    "course_deg",
    "mode",
    "quality",
    "satellites_used",
    "hdop",
    "horizontal_sigma_m",
    "sigma_rule",
    "talker",
]


def invoke(*args: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, args, input=stdin)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.nmea"
    path.write_bytes(lines(RMC, GGA) + b"\xb5b\xff\n" + lines("GPGLL,,,,,120001.00,V,N"))
    return path


def test_json_lines_have_exactly_the_named_fields(log: Path) -> None:
    result = invoke("--json", str(log))
    first, second, third = (json.loads(row) for row in result.stdout.splitlines())
    assert list(second) == FIX_KEYS
    assert second["t_fix_utc"] == "2026-03-01T12:00:00.000Z"
    assert (second["mode"], second["quality"], second["talker"]) == (None, 1, "GP")
    assert first == {"type": "reject", "offset": len(lines(RMC, GGA)), "reason": "garbage", "raw": "\xb5b\xff"}
    assert (third["lat_deg"], third["mode"]) == (None, "none")
    assert result.exit_code == 0


def test_table_and_summary(log: Path) -> None:
    result = invoke(str(log))
    assert "2026-03-01T12:00:00.000Z position" in result.stdout
    assert "fixes: no_fix 1, position 1" in result.stdout
    assert "rejects: garbage 1" in result.stdout
    assert result.stderr == ""


def test_table_of_a_tag() -> None:
    capture = Path(__file__).parents[3] / "fixtures" / "captures" / "nmea" / "tag.nmea"
    result = invoke(str(capture))
    assert "tag 3: strap open" in result.stdout
    assert "answer to command 1: OK 2.4.1" in result.stdout


def test_standard_input_and_gzip_say_the_same(log: Path, tmp_path: Path) -> None:
    plain = invoke("--json", str(log)).stdout
    zipped = tmp_path / "log.nmea.gz"
    zipped.write_bytes(gzip.compress(log.read_bytes()))
    assert invoke("--json", str(zipped)).stdout == plain
    assert invoke("--json", "-", stdin=log.read_bytes()).stdout == plain
    assert invoke("--json", "-", stdin=zipped.read_bytes()).stdout == plain


def test_now_is_the_hosts_clock(tmp_path: Path) -> None:
    path = tmp_path / "log.nmea"
    path.write_bytes(lines(RMC.replace("010326", "160706")))
    before = json.loads(invoke("--json", str(path)).stdout)
    after = json.loads(invoke("--json", "--now", "2026-03-01T13:00:00+01:00", str(path)).stdout)
    assert (before["t_fix_utc"], after["t_fix_utc"]) == ("2006-07-16T12:00:00.000Z", "2026-03-01T12:00:00.000Z")


@pytest.mark.parametrize("now", ["yesterday", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z"])
def test_a_wrong_now_is_a_usage_error(log: Path, now: str) -> None:
    result = invoke("--now", now, str(log))
    assert result.exit_code == 2
    assert "RFC 3339" in result.stderr


def test_no_checksum_switch(tmp_path: Path) -> None:
    path = tmp_path / "bare.nmea"
    path.write_bytes(f"${GGA}\r\n".encode())
    refused = invoke("--json", str(path))
    assert json.loads(refused.stdout)["reason"] == "missing_checksum"
    assert "Next: try --no-checksum" in refused.stderr
    assert json.loads(invoke("--json", "--no-checksum", str(path)).stdout)["type"] == "fix"


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.nmea", tmp_path):
        result = invoke(str(path))
        assert result.exit_code == 2
        assert "Traceback" not in result.stderr + result.stdout


def test_a_torn_gzip_prints_what_came_before_and_fails(log: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress(log.read_bytes() * 4000)[:-200])
    result = invoke("--json", str(torn))
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) > 100
    assert "cannot be read to its end" in result.stderr


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.nmea"
    path.touch()
    result = invoke(str(path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "fixes: none" in result.stdout


def test_progress_is_a_line_on_stderr_where_that_is_no_terminal(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.cli.nmea, "_PROGRESS_AFTER_NS", 0)
    result = invoke("--json", str(log))
    assert "decoding 100 %" in result.stderr
    assert all(json.loads(row) for row in result.stdout.splitlines())


def test_sub_millisecond_times_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "fine.nmea"
    path.write_bytes(lines(RMC.replace("120000.00", "120000.123456")))
    assert json.loads(invoke("--json", str(path)).stdout)["t_fix_utc"] == "2026-03-01T12:00:00.123456000Z"
