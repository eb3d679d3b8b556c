"""``tagrig run`` as a person and a CI job use it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rig.cli.run import command
from tests.rig.play.scenes import ZONE, fault

TAGRIG = (sys.executable, "-c", "from rig.cli import main; main()")
PARAMETERS = "[parameters]\nspeed_mps = 3.0\n"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "park.toml"
    path.write_text(ZONE.replace("speed_mps = 3,", 'speed_mps = "${speed_mps}",') + PARAMETERS)
    return path


def tagrig_run(*args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.mark.needs("mosquitto")
def test_a_run_is_played_judged_and_kept(scenario: Path, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    out = tmp_path / "runs"
    result = tagrig_run(scenario, "--out", out, "--set", "speed_mps=4", "--seed", 9, "--json", "--junit", junit)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["verdict"], data["seed"], data["parameters"]) == ("PASS", 9, {"speed_mps": 4.0})
    assert data["folder"] == str(out / "park-1")
    assert b"alert_latency" in junit.read_bytes()
    assert {"report.html", "junit.xml", "summary.json", "trace.json"} <= {p.name for p in (out / "park-1").iterdir()}


@pytest.mark.needs("mosquitto")
def test_a_planted_mistake_ends_with_code_1_and_says_how_to_see_it_again(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    result = tagrig_run(scenario, "--out", out, "--plant", "delay_alerts_s=1", "--no-report")
    assert result.exit_code == 1, result.output
    assert "late by 750 ms" in result.stdout
    assert f"Again: tagrig replay {out / 'park-1'}" in result.stdout
    assert not (out / "park-1" / "report.html").exists()


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


def test_what_cannot_be_run_is_refused_with_what_was_expected(scenario: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "runs")
    assert "Did you mean 'into_a_zone'?" in refused(tagrig_run("into_a_zon", *out))
    assert "there is no such file" in refused(tagrig_run("absent.toml", *out))
    assert "expected virtual, real, or x0.1 to x100" in refused(tagrig_run(scenario, "--pace", "fast", *out))
    assert "expected NAME=VALUE" in refused(tagrig_run(scenario, "--set", "speed", *out))
    assert "given twice, 1 and 2" in refused(tagrig_run(scenario, "--set", "speed=1", "--set", "speed=2", *out))
    assert "speeed" in refused(tagrig_run(scenario, "--set", "speeed=1", *out))
    assert "cannot be planted" in refused(tagrig_run(scenario, "--plant", "gremlin=1", *out))
    assert "for suites" in refused(tagrig_run(scenario, "--family", "foot", *out))
    broken = tmp_path / "broken.toml"
    broken.write_text(ZONE.replace("wait_s = 5", "wait_s = nan"))
    assert f"{broken}: person 'tag-1': waypoint 1: wait_s: expected" in refused(tagrig_run(broken, *out))
    assert not (tmp_path / "runs").exists()


def test_a_mistake_that_could_not_show_is_not_planted(scenario: Path, tmp_path: Path) -> None:
    def planted(text: str) -> str:
        return refused(tagrig_run(scenario, "--plant", text, "--out", tmp_path / "runs"))

    for seconds in ("-1", "0", "nan", "inf", "soon"):
        assert "expected seconds above 0" in planted(f"delay_alerts_s={seconds}")
    assert "'nobody': expected one of: " in planted("deaf_device=nobody")
    assert "cannot be withheld: expected one of: " in planted("withheld_zone=nowhere")
    assert not (tmp_path / "runs").exists()


def test_a_pace_that_the_bench_or_the_mistake_does_not_allow_is_refused_before_the_run(
    scenario: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "runs")
    bench = tmp_path / "bench.toml"
    bench.write_text(
        '[bench]\nname = "desk"\n[devices.offender]\ntransport = "serial:/dev/absent"\ntype = "ankle_tag"\n'
    )
    real = "tag-1 is real, and knows no virtual time. Next: --pace real"
    assert real in refused(tagrig_run(scenario, "--bench", bench, *out))
    assert "cannot be hurried" in refused(tagrig_run(scenario, "--bench", bench, "--pace", "x10", *out))
    late = refused(tagrig_run(scenario, "--plant", "delay_alerts_s=1", "--pace", "x10", *out))
    assert "Next: --pace virtual" in late
    assert not (tmp_path / "runs").exists()


@pytest.mark.needs("mosquitto")
def test_a_fault_that_the_pace_cannot_play_is_told(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(scenario.read_text().partition("[parameters]")[0] + fault("broker.slow", 10, 5) + PARAMETERS)
    result = tagrig_run(scenario, "--out", tmp_path / "runs", "--no-report")
    assert result.exit_code == 0, result.output
    assert ", 1 not brought about." in result.stdout
    told = [line for line in result.stdout.splitlines() if "SKIPPED" in line]
    assert told == [
        "  SKIPPED  fault broker.slow at 10.0 s: broker.slow needs processes in real time, not a bench at the virtual "
        "pace. Next: --pace real"
    ]


def test_a_junit_file_that_cannot_be_written_is_refused_before_the_run(scenario: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "runs")
    assert "is a folder" in refused(tagrig_run(scenario, "--junit", tmp_path, *out))
    assert "there is no folder" in refused(tagrig_run("nij", "--junit", tmp_path / "no" / "junit.xml", *out))
    assert not (tmp_path / "runs").exists()


def test_a_suite_refuses_what_would_have_no_effect(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "runs")
    assert "are for scenarios" in refused(tagrig_run("approach", "--plant", "delay_alerts_s=1", *out))
    assert "are for scenarios" in refused(tagrig_run("approach", "--set", "a=1", *out))
    assert "nij has no families" in refused(tagrig_run("nij", "--family", "by_car", *out))
    assert "nij has no families" in refused(tagrig_run("nij", "--bench", "desk.toml", *out))


def tagrig_into(stdout: int, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [*TAGRIG, *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("plant", "code"), [((), 0), (("--plant", "delay_alerts_s=1"), 1)])
def test_a_reader_that_leaves_does_not_change_the_verdict(
    scenario: Path, tmp_path: Path, closed_pipe: int, plant: tuple[str, ...], code: int
) -> None:
    args = ("run", str(scenario), "--out", str(tmp_path / "runs"), "--no-report", *plant)
    assert tagrig_into(closed_pipe, *args) == (code, "")


def test_output_that_nobody_takes_is_no_verdict(closed_pipe: int) -> None:
    assert tagrig_into(closed_pipe, "faults") == (141, "")
    with Path("/dev/full").open("wb") as full:
        code, told = tagrig_into(full.fileno(), "faults")
    assert code == 3
    assert told.startswith("tagrig: output cannot be written: No space left on device. Next: ")


@pytest.mark.needs("mosquitto")
def test_without_a_standard_output_the_verdict_is_the_code(scenario: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            'exec "$@" >&-',
            "sh",
            *TAGRIG,
            "run",
            scenario,
            "--out",
            tmp_path / "runs",
            "--json",
            "--no-report",
        ],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "runs" / "park-1" / "verdict.json").read_bytes())["verdict"] == "PASS"


BROKEN = """
import importlib, sys
sys.argv = ["tagrig", *sys.argv[1:]]
def broken(**_options):
    raise {error}
importlib.import_module("rig.cli." + sys.argv[1]).command.callback = broken
from rig.cli import main
main()
"""


@pytest.mark.parametrize("error", ["KeyError('x')", "EOFError()", "OSError(5, 'it')", "ModuleNotFoundError(name='x')"])
def test_a_mistake_of_ours_is_no_verdict(error: str) -> None:
    code, told = ended(BROKEN.format(error=error), "faults")
    assert code == 3
    assert told.startswith("Traceback (most recent call last):")
    assert error.partition("(")[0] in told
    assert "tagrig: this is a mistake in tagrig faults, and no verdict. Next: report it" in told


@pytest.mark.parametrize(
    ("verb", "error", "code"),
    [
        ("bridge", "KeyError('x')", 1),  # as bridge/README.md promises its supervisor
        ("faults", "BrokenPipeError()", 141),
        ("faults", "ModuleNotFoundError(name='bumble')", 2),
        ("faults", "__import__('click').UsageError('as click has it')", 2),
        ("faults", "SystemExit(4)", 4),
    ],
)
def test_ends_that_are_meant_keep_their_codes(verb: str, error: str, code: int) -> None:
    got, told = ended(BROKEN.format(error=error), verb)
    assert got == code, told
    assert "this is a mistake" not in told


def ended(program: str, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_a_bench_file_that_is_missing_is_refused(scenario: Path, tmp_path: Path) -> None:
    result = tagrig_run(scenario, "--bench", tmp_path / "absent.toml", "--out", tmp_path / "runs")
    assert result.exit_code in (2, 3)
    assert "absent.toml" in result.output


def test_every_scenario_that_comes_with_the_project_has_a_name() -> None:
    from rig.play.library import find_scenario, scenario_names

    names = scenario_names()
    assert {"demo", "into_a_zone"} <= set(names)
    assert find_scenario("demo").name == "story.toml"
