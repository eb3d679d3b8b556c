"""``tagrig calibrate rssi``: from a file, from a tag that is heard, and what it says of samples that show nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devices.errors import CalibrationError
from devices.rssi_file import read_calibration
from rig.ble.path_loss import RADIO_PROFILES, PathLoss
from rig.cli.calibrate import command
from tests.rig.test_emulate_air import ROOT, emulator

WHO = ("--tag", "tag-1", "--receiver", "hci0")


def samples_file(folder: Path, distances_m: Sequence[float], *, n: int = 60) -> Path:
    """Samples as the path model gives them: several places at each distance."""
    rows = ["distance_m,rssi_dbm,place"]
    for number, distance_m in enumerate(distances_m):
        path = PathLoss(RADIO_PROFILES["indoor"], seed=number, pair="tag-1/hci0")
        rows += [
            f"{distance_m},{path.receive(t_s=0.1 * i, distance_m=distance_m).rssi_dbm:.0f},place-{number}"
            for i in range(n)
        ]
    file = folder / "samples.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


def calibrate(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(command, ["rssi", *args], input=stdin)


def test_samples_become_a_file_that_the_drivers_read(tmp_path: Path) -> None:
    distances = [0.5, 1.0, 2.0, 4.0, 8.0, 12.0] * 10
    out = tmp_path / "cal" / "tag-1.json"
    done = calibrate(str(samples_file(tmp_path, distances)), *WHO, "--out", str(out))
    assert done.exit_code == 0, done.stderr
    assert "tag-1 at hci0: 3600 advertisements at 60 places" in done.stdout
    assert "95 % band of the line" in done.stdout
    assert f"Written to {out}" in done.stdout
    found = read_calibration(out)
    assert (found.tag, found.receiver, found.n_places) == ("tag-1", "hci0", 60)
    calibration = found.calibration()
    profile = RADIO_PROFILES["indoor"]
    for distance_m in (1.0, 8.0):
        low, high = calibration.band_dbm(distance_m) or (0.0, 0.0)
        truth = profile.rssi_1m_dbm - 10 * profile.exponent * (0 if distance_m == 1 else 0.90309)
        # fading takes a dB or two off the mean of a path that has no direct share
        assert low - 3 < truth < high + 3
        assert 0 < high - low < 6


def test_json_holds_all_and_standard_input_will_do(tmp_path: Path) -> None:
    text = samples_file(tmp_path, [1, 2, 4, 8]).read_text()
    done = calibrate("-", *WHO, "--json", stdin=text)
    word = json.loads(done.stdout)
    assert word["calibration"]["n_samples"] == 240
    assert [row[0] for row in word["band"]] == [1, 2, 5, 10, 20]
    assert all(low < expected < high for _, expected, low, high in word["band"])


def test_what_is_doubtful_is_said(tmp_path: Path) -> None:
    done = calibrate(str(samples_file(tmp_path, [1, 4], n=5)), *WHO)
    assert "careful: 2 places leave the line without a band" in done.stdout
    assert "careful: one place has 5 advertisements only" in done.stdout
    assert "Not written. Next: add --out FILE" in done.stdout
    upside_down = tmp_path / "up.csv"
    upside_down.write_text("distance_m,rssi_dbm\n" + "".join(f"{d},{-80 + d}\n" for d in (1, 2, 4, 8)))
    assert "lies outside of 1.2 to 4.5" in calibrate(str(upside_down), *WHO).stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected the columns distance_m and rssi_dbm, got none"),
        ("metres,dbm\n1,-60\n", "got metres, dbm"),
        ("distance_m,rssi_dbm\n1,-60\nfar,-70\n", "line 3: distance_m 'far': expected a number"),
        ("distance_m,rssi_dbm\n1\n", "line 2: rssi_dbm None: expected a number"),
        ("distance_m,rssi_dbm\n1,nan\n", "line 2: rssi_dbm 'nan': expected a number"),
        ("distance_m,rssi_dbm\n", "no samples"),
        ("distance_m,rssi_dbm\n2,-60\n2,-61\n", "at about one distance"),
        ("distance_m,rssi_dbm\n1,-60\n8,-200\n", "expected -126 to 20"),
    ],
)
def test_samples_that_show_nothing_are_refused_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "samples.csv"
    file.write_text(text)
    done = calibrate(str(file), *WHO)
    assert done.exit_code == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "either a file of samples or --target"),
        (["/nowhere.csv"], "/nowhere.csv: No such file"),
        (["--target", "ble:rolling"], "add key_file=PATH"),
        (["--target", "ble:C0:DE:00:00:00:01", "--distances", "1,zwei"], "expected metres such as"),
        (["--target", "ble:C0:DE:00:00:00:01", "--distances", "0,1"], "expected 0.1 to 100 metres"),
    ],
)
def test_a_mistake_is_told_in_a_line(args: list[str], told: str) -> None:
    done = calibrate(*args, *WHO)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_damaged_calibration_file_is_refused_by_field(tmp_path: Path) -> None:
    out = tmp_path / "tag-1.json"
    calibrate(str(samples_file(tmp_path, [1, 2, 4])), *WHO, "--out", str(out))
    for damage, told in (('"exponent"', "exponant"), ('"version": 1', '"version": 2'), ("{", "")):
        (tmp_path / "bad.json").write_text(out.read_text().replace(damage, told))
        with pytest.raises(CalibrationError, match=r"bad\.json: .* Expected a file that tagrig calibrate rssi"):
            read_calibration(tmp_path / "bad.json")
    with pytest.raises(CalibrationError, match=r"No such file or directory\. Next"):
        read_calibration(tmp_path / "absent.json")


def test_guided_it_says_where_to_put_the_tag_and_hears_it_there(tmp_path: Path) -> None:
    args = ["air", "--keys", str(tmp_path), "--interval-s", "0.02", "--profile", "free_space", "--json"]
    with emulator(*args) as air:
        ready = air.word("ready")
        verb = [
            *[sys.executable, "-c", "from rig.cli.calibrate import command; command()", "rssi", *WHO],
            *["--target", ready["tags"][0]["target"], "--distances", "1,4,8", "--seconds", "0.4", "--json"],
            *["--save-samples", str(tmp_path / "kept.csv")],
        ]
        guided = subprocess.Popen(
            verb,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": ready["bus"]},
        )
        with guided:
            assert guided.stdin is not None and guided.stdout is not None and guided.stderr is not None
            for metres in (1, 4, 8):
                assert f"Put the tag {metres} m from the receiver" in guided.stderr.readline()
                air.say(f"away {metres}")
                air.word("done", line=f"away {metres}")
                guided.stdin.write("\n")
                guided.stdin.flush()
                assert "heard, median" in guided.stderr.readline()
            word = json.loads(guided.stdout.read())
        assert guided.returncode == 0
        assert word["calibration"]["exponent"] == pytest.approx(2.0, abs=0.1)
        assert word["calibration"]["reference_dbm"] == pytest.approx(-60, abs=1)
    again = calibrate(str(tmp_path / "kept.csv"), *WHO, "--json")
    assert json.loads(again.stdout)["calibration"]["exponent"] == word["calibration"]["exponent"]
