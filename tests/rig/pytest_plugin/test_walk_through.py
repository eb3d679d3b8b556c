"""The walk-through is run as it stands: every file is written, every command typed, every shown line looked for."""

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rig.cli import cli
from rig.cli.stop_signals import STOP_SIGNALS
from tests.rig.pytest_plugin.inner import run_pytest

pytest_plugins = ["pytester"]

TEXT = (Path(sys.modules["rig.cli"].__file__ or "").parents[1] / "pytest_plugin" / "README.md").read_text()
BLOCK = re.compile(r"^```(toml|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    walk, _, _ = TEXT.partition("# Reference")
    return [(kind, body) for kind, body in BLOCK.findall(walk)]


def commands(body: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines it shows."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line != "...":
            found[-1][1].append(line)
    return found


def test_an_engineer_writes_a_scenario_and_a_test_from_the_text_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGRIG_LEASES", str(pytester.path / "leases"))
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        follow(pytester)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    kept = sorted(path.name for path in (pytester.path / "kept").iterdir())
    assert kept == ["test_a_slow_bridge_is_found-1"]
    assert not list((pytester.path / "runs").glob("test_*")), "runs of tests that passed are removed"


def follow(pytester: pytest.Pytester) -> None:
    n_commands = 0
    for kind, body in blocks():
        if kind != "console":
            name = body.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"\w+\.(toml|py)", name), f"a file block begins with its name: {name}"
            Path(pytester.path / name).write_text(body)
            continue
        for command, shown in commands(body):
            n_commands += 1
            program, *args = shlex.split(command)
            if program == "tagrig":
                done = CliRunner().invoke(cli, args)
                printed = done.output.splitlines()
            else:
                assert program == "pytest"
                printed = run_pytest(pytester, *args).outlines
            print("\n".join([f"$ {command}", *printed]))  # noqa: T201 - shown where a line is missing
            pytest.LineMatcher(printed).fnmatch_lines(shown)
    assert n_commands == 6
